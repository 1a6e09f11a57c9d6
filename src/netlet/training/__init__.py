"""Training: the trainer, its callbacks, checkpoints and the recorder of runs."""

from netlet.training.callbacks import Callback, Plan, Progress
from netlet.training.checkpoint import Checkpoint, load_checkpoint
from netlet.training.dropout import describe_dropout
from netlet.training.environment import resolve_precision
from netlet.training.logs import LogCallback
from netlet.training.range_test import RangeTest, run_range_test
from netlet.training.recorder import Recorder
from netlet.training.run_folder import clear_finished
from netlet.training.together import finish, finish_together
from netlet.training.train_net import fit, iterate_fit

__all__ = [
    "Callback",
    "Checkpoint",
    "LogCallback",
    "Plan",
    "Progress",
    "RangeTest",
    "Recorder",
    "clear_finished",
    "describe_dropout",
    "finish",
    "finish_together",
    "fit",
    "iterate_fit",
    "load_checkpoint",
    "resolve_precision",
    "run_range_test",
]
