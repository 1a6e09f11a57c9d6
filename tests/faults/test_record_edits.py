"""Three thousand single edits of a run and of a study: each is refused in one line or harmless."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_counts import FaultCounts
from record_checks import record_runs, try_edits

from netlet.records import RECORD, STUDY

EDITS = {RECORD: 2_000, STUDY: 1_000}
FOLDERS = {RECORD: "runs", STUDY: "studies"}
SEED = 17


@pytest.mark.faults
@pytest.mark.parametrize("name", EDITS)
def test_every_edit_of_a_record_is_refused_or_harmless(
    name: str, tmp_path: Path, digits_file: Path, fault_counts: FaultCounts
) -> None:
    record_runs(tmp_path, digits_file)
    folder = tmp_path / FOLDERS[name] / "edited"
    refused: list[bool] = []
    failed = 0
    try:
        for outcome in try_edits(
            folder, name, EDITS[name], SEED, commands_every=40, report_every=10
        ):
            refused.append(outcome)
    except AssertionError:
        failed = 1
        raise
    finally:
        fault_counts.add(
            "records",
            f"single edits of {name}",
            len(refused) + failed,
            refused=sum(refused),
            harmless=len(refused) - sum(refused),
            failed=failed,
            seed=SEED,
        )
    assert len(refused) == EDITS[name]
