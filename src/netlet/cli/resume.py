"""``netlet train --resume``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netlet.cli.log_option import log_callbacks, say_logs
from netlet.cli.results import say
from netlet.errors import DataError, TrainingError
from netlet.text import split_address

if TYPE_CHECKING:
    from netlet.data import Dataset
    from netlet.records import Run, RunConfig


def resume_run(
    folder: Path, threads: int | None, net: str | None, log: Sequence[str], *, trust: bool
) -> Run:
    """Finish an interrupted run; return the record if it is finished already.

    Args:
        folder: The folder of the run.
        threads: The number of CPU threads; None: that of the run.
        net: The address of the net, if it was named again.
        log: Where to log each epoch to.
        trust: Whether the code of the net may run without being named.

    Raises:
        TrainingError: There is nothing to resume, or it was started otherwise.
    """
    from netlet import records
    from netlet.locks import lock_folder
    from netlet.training import clear_finished, load_checkpoint

    record = folder / records.RECORD
    if not record.is_file():
        if not (folder / records.CHECKPOINT_FILE).is_file():
            load_checkpoint(folder)  # raises, and says what is missing
        with lock_folder(folder, "netlet train"):
            if not record.is_file():  # another process may just have finished it
                return _continue(folder, threads, net, log, trust=trust)
    run = records.load_run(folder)
    clear_finished(folder)
    say(f"{folder}: the run is finished")
    return run


def _continue(
    folder: Path, threads: int | None, net: str | None, log: Sequence[str], *, trust: bool
) -> Run:
    """Resume a run whose folder is locked."""
    import torch

    from netlet.cli.training_progress import TrainingProgress
    from netlet.experiments import load_experiment
    from netlet.records import RunConfig
    from netlet.training import Recorder, load_checkpoint

    checkpoint, values = load_checkpoint(folder)
    if not values and checkpoint.setting:
        raise TrainingError(
            f"{folder}: Python code has started this run; resume it there, with its net, data and "
            f'recipe: netlet.fit(..., resume="{folder}")'
        )
    config = RunConfig.from_dict(values, folder)
    if net is not None:
        config, trust = _locate_again(config, net, folder), True
    else:
        _refuse_missing_code(config, folder)
    experiment = load_experiment(config, trust=trust)
    images = _load_images(config, values["net_source"])
    torch.set_num_threads(threads or config.threads)
    say(f"resuming {folder} after {len(checkpoint.epochs)} of {experiment.recipe.epochs} epochs")
    recorder = Recorder(folder, values, resumed=True)
    progress, logs = TrainingProgress(), log_callbacks(log, recorder)
    with progress.hint_at_resume(recorder):
        run = experiment.run(
            images,
            config.seed,
            val=config.val,
            initial_weights_digest=config.initial_weights_digest,
            resume=checkpoint,
            callbacks=[progress, recorder, *logs],
            progress=False,
        )
    say_logs(logs)
    return run


def _refuse_missing_code(config: RunConfig, folder: Path) -> None:
    """Raise :class:`TrainingError` if the file of a run's net has been moved or deleted."""
    from netlet.nets import is_file_address

    file = split_address(config.net_source)[0]
    if is_file_address(file) and not os.path.exists(file):
        raise TrainingError(
            f"{folder}: {file}, the code of its net, has been moved or deleted; name the net where "
            f"it is now: 'netlet train FILE.py:NET --resume {folder}'"
        )


def _locate_again(config: RunConfig, net: str, folder: Path) -> RunConfig:
    """Return the configuration of a run with the place of its code, if it was moved.

    Args:
        config: The configuration.
        net: The address of the code, which was named again.
        folder: The folder of the run, for messages.

    Raises:
        TrainingError: The run was started from another net.
    """
    from netlet.nets import find_code, full_address

    here = full_address(net)
    if here == full_address(config.net_source):
        return config
    found = find_code(here)
    if found is not None and found.digest == config.source_digest:
        return dataclasses.replace(config, net_source=here)
    raise TrainingError(
        f"{folder}: was started from {config.net_source}, not from {here}; name that net, or leave "
        "out NET"
    )


def _load_images(config: RunConfig, net_before: str) -> Dataset:
    """Load the data set of a run, which may have been moved or copied together with its code.

    Args:
        config: The configuration, with the place of the code now.
        net_before: The address of the net when the run was started.

    Raises:
        DataError: It is missing, or it has changed since the run started.
    """
    from netlet.experiments import load_data

    places = [config.dataset]
    if os.path.isabs(config.dataset):
        before, now = (
            Path(split_address(one)[0]).parent for one in (net_before, config.net_source)
        )
        beside = (now / os.path.relpath(config.dataset, before)).resolve()
        places += [str(beside)] if beside.exists() else []
        if not any(map(os.path.exists, places)):
            raise DataError(
                f"{config.dataset}: this data set, which the run was started on, has been moved or "
                "deleted; put it back there to resume the run"
            )
    for place in places[:-1]:
        with contextlib.suppress(DataError):  # the one beside the code may be that of the run
            return load_data(dataclasses.replace(config, dataset=place))
    return load_data(dataclasses.replace(config, dataset=places[-1]))
