"""Training: the engine, what it is made of, and who listens to it."""

from netlet.training.checkpoint import CHECKPOINT_FILE
from netlet.training.checkpoint import Checkpoint, load_checkpoint
from netlet.training.callbacks import Callback, Plan, Progress
from netlet.training.recorder import Recorder
from netlet.training.trainer import fit

__all__ = [
    "CHECKPOINT_FILE",
    "Checkpoint",
    "Callback",
    "Plan",
    "Progress",
    "Recorder",
    "fit",
    "load_checkpoint",
]
