"""Log trainings to TensorBoard, Weights & Biases and trackio."""

from netlet.training.logs.callback import LogCallback
from netlet.training.logs.run_log import LOGS, RunLog, check_logs
from netlet.training.logs.values import LoggedRun, describe_recipe, epoch_values

__all__ = [
    "LOGS",
    "LogCallback",
    "LoggedRun",
    "RunLog",
    "check_logs",
    "describe_recipe",
    "epoch_values",
]
