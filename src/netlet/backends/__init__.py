"""Ways to run a training step: eager PyTorch, compiled C on the CPU, CUDA graphs; all give the same gradients."""

from netlet.backends.backend import Backend
from netlet.backends.eager import EagerBackend
from netlet.backends.flat import Flat, Trained, laid_flat
from netlet.backends.select import select_backend, select_preparation

__all__ = [
    "Backend",
    "EagerBackend",
    "Flat",
    "Trained",
    "laid_flat",
    "select_backend",
    "select_preparation",
]
