"""Running a study: one experiment trained with several seeds."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

from netlet import records
from netlet.data import Dataset
from netlet.errors import (
    LockedError,
    OutputError,
    TrainingError,
    check_argument,
    check_type,
)
from netlet.experiments.config import refuse_other_data
from netlet.experiments.events import OnEvent, WorkerEvent
from netlet.experiments.execution import LOCAL, open_executor
from netlet.experiments.finished_seeds import load_finished_seeds
from netlet.experiments.parallelism import settle_parallelism
from netlet.experiments.progress import show_seeds
from netlet.experiments.same_start import warn_of_same_start
from netlet.experiments.seed_logs import SeedLogs
from netlet.experiments.seeds import SeedError, run_folder, train_seeds
from netlet.experiments.unlike_seeds import warn_of_other_environment
from netlet.files import check_replaceable, remove_unfinished
from netlet.locks import LOCK, find_holder, lock_file, lock_folder
from netlet.records import (
    ExperimentConfig,
    RunConfig,
    Study,
    Trials,
)
from netlet.text import count_noun
from netlet.training import clear_finished

_CLAIM = re.compile(
    rf"\.seeds-(?P<first>\d+)-(?P<last>\d+)-(?P<experiment>[0-9a-f]{{12}}){re.escape(LOCK)}"
)
_WRITE_WAIT_S = 60.0  # for another study of the same folder that writes its record


def run_study(
    config: RunConfig,
    seeds: Sequence[int],
    folder: Path | str,
    workers: int | None,
    on_event: OnEvent | None = None,
    chosen_by: Trials | None = None,
    *,
    progress: bool | None = None,
    executor: Executor | None = None,
    data: Dataset | None = None,
    on: str | None = None,
    log: str | Sequence[str] = (),
) -> Study:
    """Train every seed that is not finished yet, several at a time, and write ``study.json``.

    Seeds that are finished are not trained again, and interrupted ones are resumed. Where a
    ``study.json`` remains but the runs beside it were deleted, its seeds count as finished.

    Several processes may train different seeds in the same folder at the same time; the record
    gets the seeds of all of them.

    Args:
        config: The run to train, from :func:`configure_run`; code that it names is run. Its seed is
            ignored, its threads are those of each worker unless ``workers`` is None.
        seeds: The seeds to train, each once.
        folder: The folder of the study; each seed's run is recorded in its folder ``seed-N``.
        workers: Number of processes. None: one per CPU core with one thread each, or one with all
            threads if that is faster for this net (see :mod:`netlet.experiments.parallelism`).
            With ``on``, the most that train at the same time. Not used if ``executor`` is given.
        on_event: A function that is called for each event of each worker.
        chosen_by: The trials that led to this experiment, for the record.
        progress: Whether to show a progress bar over the seeds; by default in a terminal and in a
            notebook, unless ``on_event`` is given.
        executor: What trains the seeds instead of processes of this machine: any
            :class:`concurrent.futures.Executor`, such as Dask's. The caller ends it.
        data: The images that ``config`` was made for, if they are loaded already. Workers get
            them from this process; otherwise each worker loads them by their name.
        on: The cluster that trains the seeds, such as ``ray``; see
            :func:`~netlet.experiments.execution.open_executor`.
        log: What to log each seed to, a run for each: ``tensorboard``, ``wandb`` or ``trackio``.

    Returns:
        The study of these seeds; the file keeps those of earlier calls, too.

    Raises:
        TypeError: The configuration, the seeds or the data set are of another type.
        DataError: The data set is not that of the configuration.
        RecordError: The folder holds runs of another experiment.
        LockedError: Another process trains some of these seeds.
        TrainingError: There are no seeds, one is given twice, or some could not be finished. The
            others are kept, and the same call trains only the rest.
    """
    check_argument(config, RunConfig)
    check_argument(data, Dataset, optional=True)
    if data is not None:
        refuse_other_data(config, data)
    if data is not None and config.val:  # which workers hold out of all training images
        data = data.before_hold_out or data
    check_type(seeds, (range, list, tuple), "the argument seeds", "whole numbers, like range(5)")
    if not seeds:
        raise TrainingError("there are no seeds to train; name some, like range(5)")
    if twice := [seed for seed, times in Counter(seeds).items() if times > 1]:
        raise TrainingError(f"seed {twice[0]} is given twice; name each seed once")
    folder, here = Path(folder), executor is None and on in (None, LOCAL)
    with _claim_seeds(config, list_unfinished_seeds(config, seeds, folder), folder):
        # Again, since another process may have finished some of them in the meantime.
        finished = load_finished_seeds(config, seeds, folder)
        left = [seed for seed in seeds if seed not in finished]
        shown = progress if progress is not None else (None if on_event is None else False)
        with show_seeds(config.name, len(seeds), len(left), shown) as bar:
            logs = SeedLogs(log, config, folder)
            tell = _tell(logs, bar, on_event)
            with contextlib.ExitStack() as stack:
                stack.callback(logs.close)
                if left and executor is None:
                    if workers is None and here:
                        config, workers = settle_parallelism(config, finished, left, folder, data)
                    opened = open_executor(on, workers, threads=config.threads)
                    executor = stack.enter_context(opened)
                errors = []
                if left and executor is not None:
                    warn_of_other_environment(config.threads, finished, folder, here=here)
                    warn_of_same_start(config, seeds)
                    errors = train_seeds(config, left, folder, executor, tell, data)
                if errors:
                    raise TrainingError(_describe_errors(errors, len(seeds), folder))
        return _save_seeds(config, seeds, folder, chosen_by)


def list_unfinished_seeds(config: RunConfig, seeds: Sequence[int], folder: Path) -> list[int]:
    """Return the seeds that a study in a folder has still to train.

    Args:
        config: The run to train.
        seeds: The seeds of the study, each once.
        folder: The folder of the study.

    Raises:
        OutputError: The record of the study cannot be written there.
        RecordError: The folder holds runs of another experiment.
    """
    try:
        check_replaceable(folder / records.STUDY)
    except OSError as error:
        raise OutputError(
            f"{folder / records.STUDY}: cannot be written ({error.strerror}); name another folder "
            "with --out (folder in Python)"
        ) from error
    finished = load_finished_seeds(config, seeds, folder)
    return [seed for seed in seeds if seed not in finished]


def _describe_errors(errors: Sequence[SeedError], total: int, folder: Path) -> str:
    """Return which seeds are not finished, each reason once, and what to do about it.

    The same command is advised only where it may end otherwise; a reason has its own remedy.
    """
    seeds_by_reason: dict[str, list[int]] = {}
    for error in errors:
        seeds_by_reason.setdefault(error.reason, []).append(error.seed)
    reasons = [
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, sorted(seeds)))}: {reason}"
        for reason, seeds in seeds_by_reason.items()
    ]
    verb = "is" if len(errors) == 1 else "are"
    text = (
        f"{len(errors)} of {count_noun(total, 'seed')} {verb} not finished ({'; '.join(reasons)})"
    )
    hints = [f"finished seeds are kept in {folder}"] if len(errors) < total else []
    if any(error.died for error in errors):
        remedies = sorted({error.remedy for error in errors if error.remedy})
        words = ["run the same command for", "the rest" if hints else "them", *remedies]
        hints.append(" ".join(words))
    return f"{text}; {', '.join(hints)}" if hints else text


def _tell(*listeners: OnEvent | None) -> OnEvent:
    """Return a function that passes each event to every listener."""

    def tell(event: WorkerEvent) -> None:
        for listener in listeners:
            if listener is not None:
                listener(event)

    return tell


@contextlib.contextmanager
def _claim_seeds(config: RunConfig, seeds: Sequence[int], folder: Path) -> Iterator[None]:
    """Keep other processes from training these seeds in this folder while the block runs.

    A claim is a lock that names its first and last seed and the experiment.

    Raises:
        LockedError: Another process trains some of them, or another experiment.
    """
    shared = {
        field.name: getattr(config, field.name) for field in dataclasses.fields(ExperimentConfig)
    }
    digest = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:12]
    if not seeds:
        yield
        return
    with contextlib.ExitStack() as claim:
        for path in [path for path in (folder, *folder.parents) if not path.exists()][::-1]:
            claim.callback(_remove_if_empty, path)  # the deepest first
        with lock_folder(folder, "netlet study", _WRITE_WAIT_S):
            for path in sorted(folder.glob(f".seeds-*{LOCK}")):
                named = _CLAIM.fullmatch(path.name)
                if not named or not (holder := find_holder(path)):
                    continue
                if named["experiment"] != digest:
                    raise LockedError(
                        f"{folder}: {holder} trains another experiment there; name another folder "
                        "with --out (folder in Python)"
                    )
                if int(named["first"]) <= max(seeds) and int(named["last"]) >= min(seeds):
                    raise LockedError(
                        f"{folder}: {holder} trains seeds {named['first']} to {named['last']} "
                        "there; wait until it has ended, or train others with --first-seed (seeds "
                        "in Python)"
                    )
            mine = folder / f"seeds-{min(seeds)}-{max(seeds)}-{digest}"
            claim.enter_context(lock_file(mine, "netlet study"))
        yield


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _save_seeds(
    config: RunConfig, seeds: Sequence[int], folder: Path, chosen_by: Trials | None
) -> Study:
    """Add seeds to ``study.json``, which another process may have changed; return their study."""
    path = folder / records.STUDY
    with lock_folder(folder, "netlet study", _WRITE_WAIT_S):
        remove_unfinished(folder, [records.CHECKPOINT_FILE])
        found = load_finished_seeds(config, seeds, folder)
        if gone := [seed for seed in seeds if seed not in found]:
            raise TrainingError(
                f"{run_folder(folder, gone[0])}: its record has disappeared; run the same command "
                "again"
            )
        study = functools.reduce(Study.merge, found.values())
        trials = chosen_by.to_dict() if chosen_by else None
        if not trials and path.is_file():
            trials = records.load_study(path).chosen_by
        study = dataclasses.replace(study, chosen_by=trials)
        try:
            records.save_study(study, path)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror}); all seeds are kept in {folder}, "
                "run the same command again"
            ) from error
        for seed in seeds:
            clear_finished(run_folder(folder, seed))
        for claim in folder.glob(f".seeds-*{LOCK}"):
            find_holder(claim)  # removes that of a process that died
    return study.select_seeds(seeds)
