"""Open the executor that ``--on`` names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

from netlet.backends import find_device
from netlet.errors import TrainingError
from netlet.experiments.execution.local import LocalExecutor
from netlet.experiments.execution.turns import TurnsExecutor


@contextlib.contextmanager
def open_executor(
    on: str | None,
    workers: int,
    *,
    threads: int = 1,
    say: Callable[[str], None] | None = None,
) -> Iterator[Executor]:
    """Yield an executor, and end its workers afterwards.

    If the block raises an error, as Ctrl-C does, all tasks are cancelled.

    Args:
        on: Where to run tasks: None or ``local`` for processes of this machine; runs on a CUDA
            device take turns in one process.
        workers: Number of tasks that run at the same time.
        threads: Number of CPU threads of each.
        say: A function that is called with each line that a person should read.

    Raises:
        TrainingError: There is no such executor.
    """
    if on not in (None, "local"):
        raise TrainingError(f"--on {on!r} is not known; leave it out to use this machine")
    executor: Executor
    if find_device().type == "cuda":
        executor = TurnsExecutor(workers, threads=threads)
    else:
        executor = LocalExecutor(workers, threads=threads)
    try:
        yield executor
    except BaseException:
        executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()
