"""Running a ladder: the study of each rung, one after the other."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from netlet import records
from netlet.catalog import find_budget, find_recipe
from netlet.data import Dataset
from netlet.errors import DamagedRecordError, LadderError, RecipeError, did_you_mean
from netlet.experiments.events import OnEvent
from netlet.experiments.execution import LOCAL, open_executor
from netlet.experiments.experiment import Experiment
from netlet.experiments.finished_seeds import load_finished_seeds
from netlet.experiments.named import find_experiment
from netlet.experiments.study import run_study
from netlet.locks import lock_folder
from netlet.outputs import write_output
from netlet.recipes import Recipe, change_settings
from netlet.records import Ladder, LadderResult, RunConfig, Rung

_FOLDER = Path(__file__).parent / "ladders"
LADDERS: Mapping[str, Path] = {path.stem: path for path in sorted(_FOLDER.glob("*.toml"))}


def find_ladder(name: str) -> Ladder:
    """Return a ladder that comes with netlet, or the one in a TOML file.

    Raises:
        LadderError: There is none of that name, or the file cannot be read.
    """
    if name in LADDERS:
        return records.load_ladder(LADDERS[name])
    if name.endswith(".toml"):
        return records.load_ladder(Path(name))
    raise LadderError(
        f"no ladder {name!r}; {did_you_mean(name, LADDERS)}choose one of {', '.join(LADDERS)},"
        " or name a .toml file"
    )


def build_experiment(rung: Rung, *, trust: bool = False) -> Experiment:
    """Return the experiment of a rung, with its changes to the recipe.

    Args:
        rung: A rung of a ladder.
        trust: Whether to run code that the ladder names, like ``file.py:Name``.

    Raises:
        NetletError: The experiment, recipe or budget does not exist, a value is out of range, or
            the net is code that is not trusted.
    """
    found = find_experiment(rung.experiment, trusted=trust)
    recipe = find_recipe(rung.recipe) if rung.recipe else found.recipe
    if rung.changes:
        recipe = _change_recipe(recipe, rung)
    budget = find_budget(rung.budget) if rung.budget else found.budget
    return dataclasses.replace(found, name=rung.name, recipe=recipe, budget=budget)


def climb(
    ladder: Ladder,
    folder: Path,
    configure: Callable[[Experiment], RunConfig],
    seeds: Sequence[int],
    workers: int | None,
    on_rung: Callable[[Rung], None] = lambda _: None,
    on_event: OnEvent | None = None,
    *,
    trust: bool = False,
    on_problem: Callable[[str], None] | None = None,
    executor: Executor | None = None,
    data: Dataset | None = None,
    on: str | None = None,
    log: str | Sequence[str] = (),
) -> LadderResult:
    """Run the studies of a ladder that are not finished yet.

    Args:
        ladder: The ladder; all its rungs are looked up before the first one is trained.
        folder: The folder that gets a copy of the ladder and a study's folder for each rung.
        configure: A function that returns the run configuration of an experiment.
        seeds: The seeds of each rung; a rung with ``max_seeds`` uses only the first ones.
        workers: Number of processes, or None; see :func:`run_study`.
        on_rung: A function that is called before each rung is run.
        on_event: A function that is called for each event of each worker; None: a progress bar in
            a terminal and in a notebook.
        trust: Whether to run code that the ladder names, like ``file.py:Name``.
        on_problem: A function called with the error of each rung that has a damaged record; the
            rung is left out. Without it, the error is raised before anything is trained.
        executor: What trains the seeds instead of processes of this machine; see
            :func:`run_study`.
        data: The images of all configurations, if they are loaded already; see :func:`run_study`.
        on: The cluster that trains the seeds; see :func:`run_study`.
        log: What to log each seed to; see :func:`run_study`.

    Raises:
        LockedError: Another process climbs a ladder in this folder.
        NetletError: As :func:`build_experiment` and :func:`run_study` raise it. Finished studies
            are kept.
    """
    ready = []
    for rung in ladder.rungs:
        config = configure(build_experiment(rung, trust=trust))
        try:
            # Refuse a folder that holds something else before anything is written.
            load_finished_seeds(config, seeds[: rung.max_seeds], folder / rung.name)
        except DamagedRecordError as error:
            if on_problem is None:
                raise
            on_problem(str(error))
        else:
            ready.append((rung, config))
    if not ready:
        raise LadderError(f"{folder}: every rung has a damaged record; restore them, see above")
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock_folder(folder, "netlet climb"))
        write_output(folder / records.LADDER, ladder.toml, what="folder")
        if executor is None and (workers is not None or on not in (None, LOCAL)):
            # The same workers for all rungs.
            opened = open_executor(on, workers, threads=ready[0][1].threads)
            executor = stack.enter_context(opened)
        for rung, config in ready:
            on_rung(rung)
            trained = seeds[: rung.max_seeds]
            place = folder / rung.name
            run_study(
                config, trained, place, workers, on_event, executor=executor, data=data, log=log
            )
        left = dataclasses.replace(ladder, rungs=tuple(rung for rung, _ in ready))
        return records.load_rungs(left, folder)


def _change_recipe(recipe: Recipe, rung: Rung) -> Recipe:
    try:
        changed = change_settings(recipe, rung.changes)
    except RecipeError as error:
        raise RecipeError(f"rung {rung.name}: {error}") from error
    return changed.replace(name=f"{recipe.name} (changed)")
