"""Every process collects the same tests in the same order, as pytest-xdist needs it.

Each file that is listed by name exists.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROGRAMS, SMOKE
from helpers import FIXTURES, ROOT


def collect(temporary: Path, *words: str, **environment: str) -> list[str]:
    """Return the ids of all tests, as a new process collects them."""
    temporary.mkdir()
    options = ("-o", "addopts=--strict-markers", "-q", "-p", "no:cacheprovider", "--collect-only")
    paths = os.pathsep.join(filter(None, (str(FIXTURES), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths, "TMPDIR": str(temporary)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.slow
def test_ids_and_order_are_the_same_in_every_process(tmp_path: Path) -> None:
    here = collect(tmp_path / "one", PYTHONHASHSEED="1")
    other = collect(tmp_path / "two", "-p", "another_process", PYTHONHASHSEED="2")
    assert len(here) > 4_000
    assert here == other


def test_listed_files_exist_and_have_one_kind() -> None:
    stems = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert stems >= SMOKE
    assert stems >= PROGRAMS
    assert not SMOKE & PROGRAMS
