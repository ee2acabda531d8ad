"""seqgen info system: versions and devices, to know what a figure was measured on."""

import os
import platform
import shutil

import typer

from seqgen_cli.options import Shared, command

PACKAGES = ("seqgen", "torch", "torchaudio", "numpy", "numba", "soundfile", "av", "soxr", "yt-dlp", "pydantic", "typer")


def register(app: typer.Typer) -> None:
    """Add the command to `seqgen info`."""
    command(app, "system")(system)


def system(shared: Shared) -> None:
    """Versions, processor and devices."""
    shared.project([])  # a settings file that is named must be one, here as everywhere
    import importlib.metadata

    import torch

    from seqgen_core.devices import choose_device
    from seqgen_core.generation.engines import problems

    devices = ["cpu"]
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        devices.append(f"cuda:{number} {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        devices.append("mps")
    facts = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "devices": ", ".join(devices),
        "--device auto": str(choose_device("auto")),
        **{f"engine {name}": problem or "works" for name, problem in problems().items()},
        "JavaScript runtime": next((name for name in ("deno", "node", "bun") if shutil.which(name)), "none"),
    }
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    shared.screen.table("", ["", ""], [*facts.items(), *versions.items()])
    shared.screen.result({**facts, "versions": versions})


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"
