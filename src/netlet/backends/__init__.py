"""Ways to run a training step: eager PyTorch, compiled C on the CPU, CUDA graphs; all give the same gradients."""

from netlet.backends.backend import Backend
from netlet.backends.eager import EagerBackend
from netlet.backends.flat_parameters import FlatParameters, ParameterGroup, flatten_parameters
from netlet.backends.select import select_backend, select_augmentation

__all__ = [
    "Backend",
    "EagerBackend",
    "FlatParameters",
    "ParameterGroup",
    "flatten_parameters",
    "select_backend",
    "select_augmentation",
]
