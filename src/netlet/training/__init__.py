"""Training: the engine, what it is made of, and who listens to it."""

from netlet.training.checkpoint import FILE as CHECKPOINT
from netlet.training.checkpoint import Checkpoint, load_checkpoint
from netlet.training.listeners import Listener, Plan, Progress
from netlet.training.recorder import Recorder
from netlet.training.trainer import fit

__all__ = [
    "CHECKPOINT",
    "Checkpoint",
    "Listener",
    "Plan",
    "Progress",
    "Recorder",
    "fit",
    "load_checkpoint",
]
