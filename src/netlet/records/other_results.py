"""Check that a study and the records of its runs say the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from netlet.errors import DamagedRecordError
from netlet.records.run import Run
from netlet.records.seed_result import SeedResult
from netlet.records.study import Study, study_of_run
from netlet.records.values import shared_value


def refuse_other_results(study: Study, run: Run, study_path: Path, run_path: Path) -> None:
    """Check that a study says of a seed what the record of its run says.

    Args:
        study: A study, which may have other seeds as well.
        run: A run of any seed; if the seed is not in the study, it has not been added yet.
        study_path: The path of the study's record, for the error message.
        run_path: The path of the run's record.

    Raises:
        DamagedRecordError: They contradict each other.
    """
    mine = next((seed for seed in study.seeds if seed.seed == run.seed), None)
    if mine is None:
        return
    other = study_of_run(run)
    if not study.initial_weights_digest:
        other = other.with_own_weights()
    (theirs,) = other.seeds
    shared = [field.name for field in dataclasses.fields(Study)]
    unshared = (
        "seeds",
        "environment",
        "chosen_by",
        "schema",
        "precision",
        "backend",
        "source_digest",
    )
    pairs = [(name, study, other) for name in shared if name not in unshared]
    fields = [
        (field.name, mine, theirs)
        for field in dataclasses.fields(SeedResult)
        # Earlier versions did not know where a seed was trained.
        if field.name != "environment" and (field.name != "trained_on" or mine.trained_on)
    ]
    for name, one, two in [*pairs, *fields]:
        if shared_value(one, name) != shared_value(two, name):
            raise DamagedRecordError(
                f"{study_path}: contradicts {run_path} in {name} of seed {run.seed}; restore the"
                " one that was edited from a copy, or remove it and run 'netlet study' again"
            )
