"""Run tasks elsewhere: executors, the tasks that they run, and progress on its way back."""

from netlet.experiments.execution.channel import (
    Channel,
    DataReference,
    Sender,
    SocketChannel,
    open_channel,
)
from netlet.experiments.execution.executor import LOCAL, check_executor, open_executor
from netlet.experiments.execution.local import LocalExecutor, WorkerDiedError
from netlet.experiments.execution.message import Message
from netlet.experiments.execution.runner import TaskRunner
from netlet.experiments.execution.task import RunTask, TaskResult, run_task

__all__ = [
    "LOCAL",
    "Channel",
    "DataReference",
    "LocalExecutor",
    "Message",
    "RunTask",
    "Sender",
    "SocketChannel",
    "TaskResult",
    "TaskRunner",
    "WorkerDiedError",
    "check_executor",
    "open_channel",
    "open_executor",
    "run_task",
]
