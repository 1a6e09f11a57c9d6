"""Describe the machine and the software of a run, to tell where its results can be reproduced."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netlet import __version__
from netlet.recipes import Recipe


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return the versions, machine, threads and device, as records store them.

    Args:
        device: Where the net is trained.
    """
    return {
        "netlet": __version__,
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
    """Return ``bf16`` or ``float32``.

    Args:
        recipe: Its precision ``auto`` means bf16 on hardware with instructions for it.
        device: Where the net is trained.
    """
    if recipe.precision != "auto":
        return recipe.precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    supported = device.type == "cpu" and any(
        getattr(torch.cpu, name, lambda: False)() for name in checks
    )
    return "bf16" if supported else "float32"


@functools.cache
def _source_commit() -> str | None:
    """Return the commit of netlet's repository, with ``+`` if its sources were changed."""
    package = Path(__file__).resolve().parents[1]
    if not (package.parents[1] / ".git").exists():
        return None  # installed; a repository around it is not netlet's
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", package, *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "."))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changes else "")


def _cpu_name() -> str:
    # platform.processor() is empty or just the architecture on Linux.
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
