"""Describe the machine and the software of a run, to tell where its results can be reproduced.

Two runs that may differ in bits never have equal environments, given the same net, data and recipe.
Considered are: the sources of netlet; the versions of Python, NumPy, PyTorch, its build and its
math libraries; the C library, whose ``expf`` compiled code calls; the processor, its features and
the instruction set that PyTorch chose from them; the threads; environment variables that limit or
change any of these; PyTorch's switches for determinism, precision and libraries; whether subnormal
numbers are flushed to zero; the compiler and its flags (added by the trainer, if it used compiled
code). Not described, since they change no bits: the number of cores, memory, clock rate, load. On a
cluster, the name of the node is described as well.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from netlet import __version__
from netlet.backends.cpu.library import processor_features
from netlet.installation import digest_sources, find_commit
from netlet.recipes import Recipe

# Environment variables of PyTorch, its math libraries, OpenMP, the C library and the compiler.
_VARIABLE_PREFIXES = (
    *("ATEN_", "BLIS_", "CUBLAS_", "CUDA_", "CUDNN_", "DNNL_", "GOMP_", "KMP_", "MKL_"),
    *("OMP_", "ONEDNN_", "OPENBLAS_", "PYTORCH_", "TORCH_", "VECLIB_"),
)
_VARIABLES = (
    *("GLIBC_TUNABLES", "LD_PRELOAD", "NVIDIA_TF32_OVERRIDE", "PYTHONHASHSEED", "PYTHONOPTIMIZE"),
)
# These say where something lies, for which devices something was built, or what is printed.
_NO_SETTINGS = (
    *("CUDA_HOME", "CUDA_PATH", "CUDA_VERSION", "CUDA_VISIBLE_DEVICES", "TORCH_CUDA_ARCH_LIST"),
    *("TORCH_HOME", "TORCH_LOGS", "DNNL_VERBOSE", "MKL_VERBOSE", "ONEDNN_VERBOSE"),
    *("KMP_SETTINGS", "OMP_DISPLAY_AFFINITY", "OMP_DISPLAY_ENV"),
)
# PyTorch's switches, and their values unless somebody changed them.
_SWITCHES: Mapping[str, tuple[Callable[[], object], object]] = {
    "default_dtype": (lambda: str(torch.get_default_dtype()), "torch.float32"),
    "deterministic_algorithms": (torch.are_deterministic_algorithms_enabled, False),
    "float32_matmul_precision": (torch.get_float32_matmul_precision, "highest"),
    "fp32_precision": (lambda: getattr(torch.backends, "fp32_precision", "none"), "none"),
    "mkldnn_fp32_precision": (
        lambda: getattr(torch.backends.mkldnn, "fp32_precision", "none"),
        "none",
    ),
    "mkldnn_conv_fp32_precision": (lambda: _read_fp32_precision("conv"), "none"),
    "mkldnn_matmul_fp32_precision": (lambda: _read_fp32_precision("matmul"), "none"),
    "mkldnn_enabled": (lambda: torch.backends.mkldnn.enabled, True),
    "mkldnn_deterministic": (lambda: getattr(torch.backends.mkldnn, "deterministic", False), False),
    "nnpack_enabled": (lambda: _is_nnpack_enabled(), True),
    "cudnn_enabled": (lambda: torch.backends.cudnn.enabled, True),
    "cudnn_benchmark": (lambda: torch.backends.cudnn.benchmark, False),
    "cudnn_deterministic": (lambda: torch.backends.cudnn.deterministic, False),
    "flush_denormal": (lambda: _flushes_subnormal_numbers(), False),
}
_NODE = "NETLET_NODE"  # environment variable: the node of a cluster that this process runs on


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return the versions, machine, threads, device and settings, as records store them.

    Args:
        device: The device on which the net is trained.
    """
    mkl, onednn = _math_library_versions()
    environment: dict[str, Any] = {
        "netlet": __version__,
        **_describe_sources(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_build": _shorten_digest(f"{torch.version.git_version} {torch.__config__.show()}"),
        "numpy": np.__version__,
        "blas": mkl,
        "onednn": onednn,
        "libc": " ".join(platform.libc_ver()).strip(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cpu_features": _shorten_digest(processor_features()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device.type,
        "settings": _changed_settings(),
    }
    if node := os.environ.get(_NODE):
        environment["node"] = node
    if device.type == "cuda":
        environment |= {
            "device": torch.cuda.get_device_name(device),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "cuda_fp32_precision": [
                str(getattr(switches, "fp32_precision", ""))
                for switches in (torch.backends.cuda.matmul, torch.backends.cudnn)
            ],
        }
    return environment


def resolve_precision(recipe: Recipe, device: torch.device) -> str:
    """Return ``bf16`` or ``float32``.

    Args:
        recipe: The recipe; precision ``auto`` means bf16 on a CPU with instructions for it.
        device: The device on which the net is trained.
    """
    if recipe.precision != "auto":
        return recipe.precision
    # On CUDA devices, bf16 is slower for some small nets and faster for others (docs/speed.md).
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    supported = device.type == "cpu" and any(
        getattr(torch.cpu, name, lambda: False)() for name in checks
    )
    return "bf16" if supported else "float32"


def _changed_settings() -> dict[str, str]:
    """Return what was set that may change bits; an empty dict is the usual."""
    variables = {
        name: value
        for name, value in sorted(os.environ.items())
        if (name.startswith(_VARIABLE_PREFIXES) and name not in _NO_SETTINGS) or name in _VARIABLES
    }
    switches = {name: read() for name, (read, _) in _SWITCHES.items()}
    # "ieee" is what "none" means as well; PyTorch changes one into the other by itself.
    switches = {name: "none" if value == "ieee" else value for name, value in switches.items()}
    changed = {name: str(value) for name, value in switches.items() if value != _SWITCHES[name][1]}
    return variables | changed


def _flushes_subnormal_numbers() -> bool:
    smallest = torch.finfo(torch.float32).tiny
    return not bool(torch.full((1,), smallest, dtype=torch.float32) * 0.5)


def _read_fp32_precision(operation: str) -> object:
    switches = getattr(torch.backends.mkldnn, operation, None)
    return getattr(switches, "fp32_precision", "none")


def _is_nnpack_enabled() -> bool:
    return bool(getattr(torch._C, "_get_nnpack_enabled", lambda: True)())


def _math_library_versions() -> tuple[str, str]:
    """Return the versions of PyTorch's BLAS and of oneDNN; empty if it does not tell."""
    config = torch.__config__.show()
    blas = re.search(r"Math Kernel Library Version (\S+).*?Build (\d+)", config)
    onednn = re.search(r"MKL-DNN v(\S+)", config)
    other = re.search(r"BLAS_INFO=(\w+)", config)
    return (
        f"MKL {blas[1]} {blas[2]}" if blas else (other[1] if other else ""),
        onednn[1] if onednn else "",
    )


def _shorten_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _describe_sources() -> dict[str, str | None]:
    """Return the commit, None if it is not known, and the digest of netlet's sources."""
    package = Path(__file__).resolve().parents[1]
    return {"commit": find_commit(package) or None, "sources": digest_sources(package)}


def _cpu_name() -> str:
    # platform.processor() is empty or just the architecture on Linux.
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
