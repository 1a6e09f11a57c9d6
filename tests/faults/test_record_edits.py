"""Thousands of single edits of records: each is refused in one line, or harmless."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest
from fault_counts import FaultCounts
from record_checks import record_runs, try_edits

from netlet.records import RECORD, STUDY

SEED = 16
EDITS = {RECORD: 2_000, STUDY: 1_000}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, digits_file: Path) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    record_runs(folder, digits_file)
    return folder


@pytest.mark.faults
@pytest.mark.parametrize(("kind", "name"), [("runs", RECORD), ("studies", STUDY)])
def test_every_edit_is_refused_or_harmless(
    kind: str, name: str, recorded: Path, fault_counts: FaultCounts
) -> None:
    edits = try_edits(recorded / kind / "edited", name, EDITS[name], SEED, report_every=20)
    counts = collections.Counter(edits)
    fault_counts.add(
        "records",
        f"single edits of {name}",
        EDITS[name],
        refused=counts[True],
        harmless=counts[False],
        seed=SEED,
    )
