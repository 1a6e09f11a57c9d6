"""Open the executor that ``--on`` names."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

from netlet.backends import find_device
from netlet.errors import TrainingError, install_hint
from netlet.experiments.execution.local import LocalExecutor
from netlet.experiments.execution.ray_options import RayOptions
from netlet.experiments.execution.turns import TurnsExecutor
from netlet.processor_load import cpu_cores

LOCAL = "local"


@contextlib.contextmanager
def open_executor(
    on: str | None,
    workers: int | None,
    *,
    threads: int = 1,
    say: Callable[[str], None] | None = None,
) -> Iterator[Executor]:
    """Yield an executor, and end its workers afterwards.

    If the block raises an error, as Ctrl-C does, all tasks are cancelled.

    Args:
        on: Where to run tasks: None or ``local`` for processes of this machine, where runs on a
            CUDA device take turns in one process; ``ray`` or ``ray://HOST:PORT`` for a Ray cluster
            (:class:`~netlet.experiments.execution.ray_options.RayOptions`).
        workers: Number of tasks that run at the same time; None: one for each CPU core of this
            machine, or as many as the cluster has room for.
        threads: Number of CPU threads of each.
        say: A function that is called with each line that a person should read.

    Raises:
        TrainingError: There is no such executor, or it cannot be used.
    """
    executor: Executor
    if on is not None and on != LOCAL:
        executor = _open_ray(on, workers, threads, say)
    elif find_device().type == "cuda":
        executor = TurnsExecutor(workers or cpu_cores(), threads=threads)
    else:
        executor = LocalExecutor(workers or cpu_cores(), threads=threads)
    try:
        yield executor
    except BaseException:
        executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()


def check_executor(on: str | None) -> None:
    """Check that there is such an executor, without starting it.

    Args:
        on: Where to run tasks; see :func:`open_executor`.

    Raises:
        TrainingError: There is none, or the packages that it needs are missing.
    """
    if on is not None and on != LOCAL:
        RayOptions.parse(on)
        if importlib.util.find_spec("ray") is None:
            raise TrainingError(f"--on {on} needs Ray; {install_hint('ray')}")


def _open_ray(
    on: str, workers: int | None, threads: int, say: Callable[[str], None] | None
) -> Executor:
    check_executor(on)
    # Which imports Ray.
    from netlet.experiments.execution.ray_cluster import RayExecutor

    return RayExecutor(RayOptions.parse(on), workers, threads=threads, say=say)
