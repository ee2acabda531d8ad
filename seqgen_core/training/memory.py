"""How much memory a process has taken at most, and how much is left to take."""

import os
import sys
from pathlib import Path

import torch

from seqgen_core.errors import UsageError

_CGROUPS = (
    # controllers in /proc/self/cgroup, mount, limit, usage, what of the usage can be given back
    ("", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def peak() -> int:
    """Bytes that were resident at most since this process began; of its parent's where it was forked."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held before this program was started
        return 1024 * int(_fields(status)["VmHWM"].split()[0])
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def taken_at_most(device: torch.device) -> int:
    """Bytes that training took at most until now: of a GPU's memory, else what was resident; 0 where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        return peak()
    except ImportError:  # Windows
        return 0


def available(root: Path = Path("/")) -> int:
    """Bytes that programs can still take: free or freed on demand, within the limits of this process's cgroups.

    root: where proc and sys are found. Raises UsageError on a system that does not tell.
    """
    meminfo = root / "proc/meminfo"
    if meminfo.exists():
        left = 1024 * int(_fields(meminfo)["MemAvailable"].split()[0])
        return min([left, *_left_in_cgroups(root)])
    try:  # half of what there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        raise UsageError(
            "This system does not tell how much memory is left.", hint="Name a number in place of --batch-size auto."
        ) from None


def _fields(file: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in file.read_text().splitlines())
    return {name: value.strip() for name, _, value in lines}


def _left_in_cgroups(root: Path) -> list[int]:
    """Bytes left in each cgroup, of either version, that this process is in and that has a limit."""
    file, left = root / "proc/self/cgroup", []
    for line in file.read_text().splitlines() if file.exists() else []:
        _, controllers, place = line.split(":", 2)
        for named, mount, limit, usage, spare in _CGROUPS:
            if named not in controllers.split(","):
                continue
            top = root / mount
            folder = top / place.strip("/")
            # in a container the path can be the host's, of which only the mount itself is seen
            for part in (folder, *(parent for parent in folder.parents if parent.is_relative_to(top))):
                left += _left(part, limit, usage, spare)
    return left


def _left(folder: Path, limit: str, usage: str, spare: str) -> list[int]:
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or "max"
        return []
    return [max(0, most - used + int(stat.get(spare, 0)))]
