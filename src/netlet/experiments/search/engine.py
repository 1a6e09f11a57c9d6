"""Search for a net and a recipe under a budget.

    python -m search NAME --trials 40       tries so many more; each becomes a line of
    results/trials/NAME.jsonl python -m search NAME --repeat LINE     tries again what a line of it
    (from 1) records, and says what comes out

Trials are scored on images held out of train; test is not read. What the file holds already, the
sampler knows.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna

from netlet.experiments.search.spaces import SPACES, Space
from netlet.experiments.search.trials import Trial, lines, record, tried

TRIALS = Path(__file__).parents[1] / "results" / "trials"


def search(space: Space, path: Path, trials: int, workers: int) -> None:
    """Ask the sampler for trials and tell it what came out, on so many processes."""
    known = list(lines(path))
    sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=len(known))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for number, line in enumerate(known, start=1):
        if line["params"]:
            try:
                study.add_trial(_as_optunas(line, space))
            except ValueError:
                print(f"{path.name}, line {number}: is of another space; the sampler is not told")
    first = max((line["seed"] for line in known), default=-1) + 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running: dict[Future[dict[str, Any]], optuna.Trial] = {}
        for seed in range(first, first + trials):
            if len(running) == workers:
                _take(running, study, path)
            asked = study.ask()
            net, changes = space.asked(asked)
            trial = Trial(
                net=net, recipe="steady", changes=changes, seed=seed, draw=seed, params=asked.params
            )
            running[pool.submit(tried, trial)] = asked
        while running:
            _take(running, study, path)


def _take(
    running: dict[Future[dict[str, Any]], optuna.Trial], study: optuna.Study, path: Path
) -> None:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for one in done:
        asked, line = running.pop(one), one.result()
        study.tell(asked, line["correct"] / line["of"])
        record(line, path)
        print(
            f"{line['correct']:,} of {line['of']:,}, {line['parameters']:,} parameters: {line['net']}"
        )


def _as_optunas(line: dict[str, Any], space: Space) -> optuna.trial.FrozenTrial:
    asked = optuna.trial.FixedTrial(line["params"])
    space.asked(asked)  # type: ignore[arg-type]  # optuna says that a fixed trial is one
    return optuna.trial.create_trial(
        params=line["params"], distributions=asked.distributions, value=line["correct"] / line["of"]
    )


def repeat(line: dict[str, Any]) -> None:
    """Try again what a line records."""
    found = tried(Trial(**{field.name: line[field.name] for field in dataclasses.fields(Trial)}))
    print(
        f"recorded: {line['correct']:,} of {line['of']:,}; again: {found['correct']:,} of {found['of']:,}"
    )


def main() -> None:
    """Parse and do."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name", help=f"of a space ({', '.join(SPACES)}), or, to repeat, of any file of trials"
    )
    parser.add_argument("--trials", type=int, default=20, metavar="N")
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="processes, a thread each"
    )
    parser.add_argument("--repeat", type=int, metavar="LINE")
    given = parser.parse_args()
    path = TRIALS / f"{given.name}.jsonl"
    if given.repeat is None:
        if given.name not in SPACES:
            sys.exit(f"no space {given.name!r}; there are: {', '.join(SPACES)}")
        search(SPACES[given.name], path, given.trials, given.workers)
        return
    known = list(lines(path))
    if not 1 <= given.repeat <= len(known):
        sys.exit(f"{path}: has {len(known)} lines; there is no line {given.repeat}")
    repeat(known[given.repeat - 1])


if __name__ == "__main__":
    main()
