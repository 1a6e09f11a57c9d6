"""On what a run was made: enough to tell whether another machine should give the same bits."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netlet.recipes import Recipe


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Versions, machine, threads and device."""
    return {
        "netlet": version("netlet"),
        "commit": _source_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }


def resolve_precision(recipe: Recipe, device: torch.device) -> str:
    """What a recipe's precision comes to on a device: ``auto`` is bf16 where there are instructions for it."""
    if recipe.precision != "auto":
        return recipe.precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    native = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has = device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in native)
    return "bf16" if has else "float32"


@functools.cache
def _source_commit() -> str | None:
    """Which commit of netlet's own repository runs, ``+`` after it if the sources are not as committed there."""
    package = Path(__file__).resolve().parents[1]
    if not (package.parents[1] / ".git").exists():
        return None  # installed; whatever repository lies around it is somebody else's
    try:
        asked = [
            subprocess.run(
                ["git", "-C", package, *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "."))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return asked[0] + ("+" if asked[1] else "")


def _cpu_name() -> str:
    # platform.processor() is empty or just the architecture on Linux.
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
