"""Read the seeds of a study that are finished, and check that they belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netlet import records
from netlet.analysis import trace
from netlet.errors import NetError, RecordError
from netlet.experiments.config import load_experiment
from netlet.experiments.seeds import run_folder
from netlet.nets import build
from netlet.nets.weights import refuse_other_weights
from netlet.records import ExperimentConfig, Run, RunConfig, Study, find_difference
from netlet.records.config import OTHER_SOURCE, describe_difference
from netlet.training import load_checkpoint
from netlet.training.run_record import digest_traced_net


def load_finished_seeds(config: RunConfig, seeds: Sequence[int], folder: Path) -> dict[int, Study]:
    """Return the finished seeds of a study's folder, each as a study of its own.

    A seed is read from its run's folder or, if that is gone, from ``study.json``.

    Raises:
        RecordError: The folder holds runs of another experiment, a record is damaged, or the study
            and a run contradict each other.
    """
    studies = {}
    if (folder / records.STUDY).is_file():
        old = records.load_study(folder)
        _check_same_experiment(config, old, folder)
        studies = {seed.seed: old.select_seeds([seed.seed]) for seed in old.seeds}
    for seed in seeds:
        if run := _load_finished_run(config, run_folder(folder, seed), seed):
            if seed in studies:
                path = run_folder(folder, seed) / records.RECORD
                records.refuse_other_results(studies[seed], run, folder / records.STUDY, path)
            studies[seed] = Study.from_runs([run])
    if studies:
        _check_same_net(config, next(iter(studies.values())), folder)
    return studies


def _load_finished_run(config: RunConfig, place: Path, seed: int) -> Run | None:
    """Return the run of a seed in a folder, or None if it is unfinished or not started.

    Raises:
        RecordError: It is of another experiment or seed.
    """
    if (place / records.RECORD).is_file():
        run = records.load_run(place)
        _check_same_run(config, run, place, seed)
        _check_weights(run, place)
        return run
    if (place / records.CHECKPOINT_FILE).is_file():
        started = RunConfig.from_dict(load_checkpoint(place)[1], place / records.CHECKPOINT_FILE)
        _check_same_run(config, started, place, seed)
    return None


def _check_same_run(config: RunConfig, found: Run | RunConfig, place: Path, seed: int) -> None:
    _check_same_experiment(config, found, place)
    if found.seed != seed:
        raise RecordError(
            f"{place}: holds the run of seed {found.seed}; rename it to "
            f"{run_folder(place.parent, found.seed).name}, or move it away"
        )


def _check_weights(run: Run, place: Path) -> None:
    """Check that the weights beside a record are those of the run, if there are any."""
    path = place / records.WEIGHTS
    try:
        if path.is_file():
            refuse_other_weights(path, run.weights_digest, place / records.RECORD)
    except NetError as error:
        reason = str(error).partition("; ")[0]
        raise RecordError(
            f"{reason}; restore the file, or move {place} away to train this seed again"
        ) from error


def _check_same_experiment(config: RunConfig, found: ExperimentConfig, place: Path) -> None:
    what = find_difference(config, found)
    if what == OTHER_SOURCE:
        raise _other_net(config, place)
    if what:
        detail = describe_difference(what, found, config)
        detail = f" ({detail})" if detail else ""
        raise RecordError(
            f"{place}: holds a run with a different {what}{detail}; give the one that it has, or "
            "name another folder with --out (folder in Python)"
        )


def _other_net(config: RunConfig, folder: Path) -> RecordError:
    return RecordError(
        f"{folder}: its runs were trained with other code of {config.net} than it has now; restore "
        "its files and those that it imports, comments included, or name another folder with --out "
        "(folder in Python)"
    )


def _check_same_net(config: RunConfig, known: Study, folder: Path) -> None:
    """Check that the net of this name has not changed since the study's runs."""
    shape = known.data["shape"]
    net = build(load_experiment(config, trust=True).net.builder, 0, shape, known.data["classes"])
    if digest_traced_net(trace(net, shape)) != known.net_digest:
        raise _other_net(config, folder)
