"""Training: the trainer, its callbacks, checkpoints and the recorder of runs."""

from netlet.training.callbacks import Callback, Plan, Progress
from netlet.training.checkpoint import CHECKPOINT_FILE, Checkpoint, load_checkpoint
from netlet.training.recorder import Recorder, clear_finished
from netlet.training.trainer import fit

__all__ = [
    "CHECKPOINT_FILE",
    "Callback",
    "Checkpoint",
    "Plan",
    "Progress",
    "Recorder",
    "clear_finished",
    "fit",
    "load_checkpoint",
]
