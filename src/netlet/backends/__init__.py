"""Backends: ways to run a training step. All of them compute the same gradients.

Eager PyTorch, compiled C for CPUs, and CUDA graphs.
"""

from netlet.backends.backend import Backend, Step, Update
from netlet.backends.cuda_settings import find_device, use_repeatable_kernels
from netlet.backends.eager import EagerBackend
from netlet.backends.flat_parameters import FlatParameters, ParameterGroup, flatten_parameters
from netlet.backends.loss import SoftTarget
from netlet.backends.select import (
    describe_compiled_code,
    explain_short_training,
    select_augmentation,
    select_backend,
    warn_of_fallback,
)
from netlet.backends.torch_threads import choose_threads, use_torch_threads

__all__ = [
    "Backend",
    "EagerBackend",
    "FlatParameters",
    "ParameterGroup",
    "SoftTarget",
    "Step",
    "Update",
    "choose_threads",
    "describe_compiled_code",
    "explain_short_training",
    "find_device",
    "flatten_parameters",
    "select_augmentation",
    "select_backend",
    "use_repeatable_kernels",
    "use_torch_threads",
    "warn_of_fallback",
]
