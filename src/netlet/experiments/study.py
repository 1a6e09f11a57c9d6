"""Running a study: seeds side by side, each worker a process of its own that trains one seed after the other.

On a CPU one thread in each of as many processes as there are cores is faster than all cores on one
run after the other (docs/speed.md). Nothing is shared but pipes, so a worker that dies takes
nothing with it but the epoch it was in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netlet import records
from netlet.analysis import receptive_field_of, summary_of, trace
from netlet.data import Dataset
from netlet.errors import NetletError, RecordError, TrainingError
from netlet.experiments.config import RunConfig
from netlet.nets import build
from netlet.records import Epoch, Run, to_json_value
from netlet.records.study import Study, net_digest
from netlet.records.trials import Trials
from netlet.training import CHECKPOINT, Listener, Plan, Recorder, load_checkpoint

_STOP = -1  # instead of a seed
_Told = Mapping[str, Any]  # what a run was told to do


@dataclass(frozen=True)
class WorkerEvent:
    """What a worker says."""

    worker: int  # from 0
    seed: int
    epochs: int  # done; 0: it begins
    of: int
    score: str = ""  # of the last of them
    finished: bool = False
    trouble: str = ""  # why this seed will not be finished now


Heard = Callable[[WorkerEvent], None]


def run_study(
    assignment: RunConfig,
    seeds: Sequence[int],
    folder: Path,
    workers: int,
    heard: Heard = lambda _: None,
    chosen_by: Trials | None = None,
) -> Study:
    """Train every seed that is not finished yet, several at a time, and sum all up.

    Args:
        assignment: What to run; its seed does not matter, its threads are each worker's.
        seeds: Distinct.
        folder: Holds a run's folder for each seed, ``seed-N``, and in the end ``study.json``.
            Finished seeds that are there already are taken, interrupted ones go on; of a
            ``study.json`` that has lost its runs, the seeds are taken as it has them.
        workers: Processes.
        heard: Hears each word of each worker.
        chosen_by: The trials that led to this experiment, for the record.

    Returns:
        The study of all the seeds.

    Raises:
        RecordError: The folder holds runs of something else.
        TrainingError: Some seeds could not be finished; the others are kept, and the same call does
            only the rest.
    """
    known = finished(assignment, seeds, folder)
    left = [seed for seed in seeds if seed not in known]
    troubles = (
        _side_by_side(assignment, left, folder, min(workers, len(left)), heard) if left else []
    )
    if troubles:
        raise TrainingError(
            f"{len(troubles)} of {len(seeds)} seeds are not finished ({'; '.join(troubles)}); what is finished stays "
            f"in {folder}, and the same command does the rest"
        )
    known |= {seed: Study.of([records.load_run(_place(folder, seed))]) for seed in left}
    whole = functools.reduce(
        Study.joined, known.values()
    )  # seeds of earlier calls included: the file loses nothing
    if chosen_by:
        whole = dataclasses.replace(whole, chosen_by=chosen_by.to_dict())
    records.save_study(whole, folder / records.STUDY)
    return whole.of_seeds(seeds)


def finished(assignment: RunConfig, seeds: Sequence[int], folder: Path) -> dict[int, Study]:
    """What a study's folder has already, by seed: from a run's own folder or, where that is gone, from its record.

    Raises:
        RecordError: It holds runs of something else.
    """
    known = {}
    if (folder / records.STUDY).is_file():
        old = records.load_study(folder)
        _refuse_another(assignment, _told(old), folder)
        known = {seed.seed: old.of_seeds([seed.seed]) for seed in old.seeds}
    runs = {seed: run for seed in seeds if (run := _finished(assignment, seed, folder)) is not None}
    known |= {seed: Study.of([run]) for seed, run in runs.items()}
    if known:
        _refuse_another_net(assignment, next(iter(known.values())), folder)
    return known


def _side_by_side(
    assignment: RunConfig, seeds: Sequence[int], folder: Path, workers: int, heard: Heard
) -> list[str]:
    """Train seeds in processes; what went wrong, in a line for each seed."""
    context = multiprocessing.get_context(
        "spawn"
    )  # a fork would inherit threads that it cannot use
    waiting, troubles = list(seeds), []
    pipes: dict[Connection, tuple[int, Any]] = {}
    at_work: dict[int, int] = {}  # worker -> seed

    def hire(number: int) -> None:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_work, args=(number, assignment.to_dict(), str(folder), theirs), daemon=True
        )
        process.start()
        theirs.close()
        pipes[ours] = (number, process)
        give(number, ours)

    def give(number: int, pipe: Connection) -> None:
        if waiting:
            at_work[number] = waiting.pop(0)
        with contextlib.suppress(
            OSError
        ):  # a worker that has just died is noticed where words are awaited
            pipe.send(at_work.get(number, _STOP))

    try:
        for number in range(workers):
            hire(number)
        while pipes:
            for pipe in wait(list(pipes)):
                assert isinstance(pipe, Connection)
                number, process = pipes[pipe]
                try:
                    word: WorkerEvent = pipe.recv()
                except (EOFError, OSError):  # it is gone: as told, or killed
                    del pipes[pipe]
                    process.join()
                    if number in at_work:
                        seed = at_work.pop(number)
                        word = WorkerEvent(
                            number,
                            seed,
                            0,
                            0,
                            trouble=f"its process died (code {process.exitcode})",
                        )
                        heard(word)
                        troubles.append(f"seed {seed}: {word.trouble}")
                        if waiting:
                            hire(number)
                    continue
                heard(word)
                if word.trouble:
                    troubles.append(f"seed {word.seed}: {word.trouble}")
                if word.trouble or word.finished:
                    del at_work[number]
                    give(number, pipe)
    finally:
        for _, process in pipes.values():
            process.terminate()
    return troubles


def _work(number: int, plain: dict[str, Any], folder: str, pipe: Connection) -> None:
    """A worker's life: train the seeds that come through the pipe, the images loaded once."""
    try:
        torch.set_num_threads(plain["threads"])
        assignment = RunConfig(**plain)
        images: Dataset | None = None
        while (seed := pipe.recv()) != _STOP:
            try:
                images = images or assignment.images()
                _train(
                    dataclasses.replace(assignment, seed=seed),
                    images,
                    Path(folder),
                    _Teller(number, seed, pipe),
                )
            except NetletError as error:
                pipe.send(WorkerEvent(number, seed, 0, 0, trouble=" ".join(str(error).split())))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        os._exit(130)  # a person's Ctrl-C reaches every process; the first one speaks for all


def _train(assignment: RunConfig, images: Dataset, folder: Path, teller: _Teller) -> None:
    place = _place(folder, assignment.seed)
    checkpoint = load_checkpoint(place)[0] if (place / CHECKPOINT).is_file() else None
    recorder = Recorder(place, assignment.to_dict(), resumed=checkpoint is not None)
    # The recorder first: what is said to be finished is on the disk.
    assignment.experiment().run(
        images, assignment.seed, val=assignment.val, listeners=[recorder, teller], resume=checkpoint
    )


class _Teller(Listener):
    """Sends what happens through the pipe."""

    def __init__(self, number: int, seed: int, pipe: Connection) -> None:
        self._about = (number, seed)
        self._pipe = pipe
        self._of = 0

    def started(self, plan: Plan) -> None:
        self._of = plan.recipe.epochs
        self._pipe.send(WorkerEvent(*self._about, 0, self._of))

    def epoch_ended(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        self._pipe.send(WorkerEvent(*self._about, len(epochs), self._of, str(epochs[-1].held_out)))

    def finished(self, run: Run, net: nn.Module) -> None:
        self._pipe.send(
            WorkerEvent(*self._about, self._of, self._of, str(run.last_epoch.score), finished=True)
        )


def _place(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed}"


def _finished(assignment: RunConfig, seed: int, folder: Path) -> Run | None:
    """A seed's run, if it is whole.

    Raises:
        RecordError: It is of something else.
    """
    place = _place(folder, seed)
    whole, begun = (place / records.RECORD).is_file(), (place / CHECKPOINT).is_file()
    if not whole and not begun:
        return None
    run = records.load_run(place) if whole else None
    found = _told(run) if run else load_checkpoint(place)[1]
    _refuse_another(assignment, found, place)
    return run


def _told(run: Run | Study) -> _Told:
    """What a run, or the runs of a study, were told to do, by the names of an assignment."""
    return {
        "name": run.name,
        "net": run.net,
        "recipe": run.recipe,
        "budget": run.budget,
        "val_images": run.data["images"].get("val", 0),
        "digest": run.data["digest"],
        "channels": run.data["shape"][0],
        "began_with": run.began_with,
    }


def _refuse_another(assignment: RunConfig, found: _Told, place: Path) -> None:
    wanted = assignment.to_dict()
    said = {
        "val_images": "val",
        "digest": "data set",
        "channels": "number of channels",
        "began_with": "beginning",
    }
    for name in (
        "name",
        "net",
        "recipe",
        "budget",
        "val_images",
        "digest",
        "channels",
        "began_with",
    ):
        if found.get(name) != wanted[name]:
            raise RecordError(
                f"{place}: holds a run with another {said.get(name, name)}; name another folder with --out"
            )


def _refuse_another_net(assignment: RunConfig, known: Study, folder: Path) -> None:
    """A net of the same name may have been changed since."""
    traced = trace(
        build(assignment.experiment().net.builder, 0, known.data["shape"], known.data["classes"]),
        known.data["shape"],
    )
    now = net_digest(
        to_json_value(summary_of(traced).to_dict()),
        to_json_value(receptive_field_of(traced).to_dict()),
    )
    if now != known.net_digest:
        raise RecordError(
            f"{folder}: holds runs of another net called {assignment.net}: it has been changed since; name another "
            "folder with --out"
        )
