"""How much memory the work takes now: that of the GPU where one is in use, else what this process has resident."""

import os
import sys
from pathlib import Path

GIB, MIB = 2**30, 2**20


def in_use() -> str:
    """In words such as "412 MiB" or "GPU 3.1 GiB"; empty where no model is at work, or where nothing tells it."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda"):  # downloads and decoding take little that is worth watching
        return ""
    if torch.cuda.is_initialized():
        return f"GPU {_said(torch.cuda.memory_reserved())}"
    resident = _resident()
    return "" if resident is None else _said(resident)


def _resident() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _said(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"
