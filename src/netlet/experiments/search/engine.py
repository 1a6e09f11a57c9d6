"""Searching a space of nets and recipes with Optuna; needs the extra ``search``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from netlet.errors import NetletError, install_hint
from netlet.experiments.search.spaces import Space
from netlet.experiments.search.trials import (
    Trial,
    append_result,
    read_results,
    run_trial,
)
from netlet.locks import lock_file

try:
    import optuna
except ImportError as error:
    raise NetletError(
        f"a search needs the package optuna, which is not installed; {install_hint('search')}"
    ) from error

OnTrial = Callable[[Mapping[str, Any]], None]


def run_search(
    space: Space,
    path: Path,
    trials: int,
    workers: int,
    on_trial: OnTrial = lambda _: None,
) -> int:
    """Run more trials; the sampler learns from those that the file holds already.

    Args:
        space: The search space to choose from.
        path: File to which a line of JSON is added for each trial.
        trials: How many to run.
        workers: Number of processes; each trains on one thread.
        on_trial: A function that is called with each trial's result.

    Returns:
        The number of lines in the file that the sampler could not learn from, since they are from
        another space.

    Raises:
        LockedError: Another search adds to the file.
        OutputError: The file cannot be written; trials that were finished before are in it.
    """
    with lock_file(path, "netlet search"):
        return _search(space, path, trials, workers, on_trial)


def _search(space: Space, path: Path, trials: int, workers: int, on_trial: OnTrial) -> int:
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # on_trial reports the trials
    known = read_results(path)
    sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=len(known))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    unusable = _add_known_trials(study, known, space)
    first_seed = max((result["seed"] for result in known), default=-1) + 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running: dict[Future[dict[str, Any]], optuna.Trial] = {}
        for seed in range(first_seed, first_seed + trials):
            if len(running) == workers:
                _collect(running, study, path, on_trial)
            suggestion = study.ask()
            net, changes = space.suggest(suggestion)
            trial = Trial(
                net=net,
                recipe="steady",
                changes=changes,
                seed=seed,
                draw=seed,
                params=suggestion.params,
            )
            running[pool.submit(run_trial, trial)] = suggestion
        while running:
            _collect(running, study, path, on_trial)
    return unusable


def _add_known_trials(study: optuna.Study, known: list[dict[str, Any]], space: Space) -> int:
    """Tell the sampler about recorded trials; return how many are of another space."""
    unusable = 0
    for result in known:
        if isinstance(result.get("params"), Mapping) and result["params"]:
            try:
                study.add_trial(_to_optuna(result, space))
            except (ValueError, TypeError, KeyError, ZeroDivisionError):
                unusable += 1
    return unusable


def _collect(
    running: dict[Future[dict[str, Any]], optuna.Trial],
    study: optuna.Study,
    path: Path,
    on_trial: OnTrial,
) -> None:
    """Wait for at least one trial; record the finished ones and tell the sampler."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        suggestion, result = running.pop(future), future.result()
        study.tell(suggestion, result["correct"] / result["total"])
        append_result(result, path)
        on_trial(result)


def _to_optuna(result: Mapping[str, Any], space: Space) -> optuna.trial.FrozenTrial:
    """Return a recorded trial as Optuna's.

    Raises:
        ValueError: It is of another space.
    """
    suggestion = optuna.trial.FixedTrial(dict(result["params"]))
    space.suggest(suggestion)  # type: ignore[arg-type]  # a FixedTrial has the same methods
    return optuna.trial.create_trial(
        params=result["params"],
        distributions=suggestion.distributions,
        value=result["correct"] / result["total"],
    )
