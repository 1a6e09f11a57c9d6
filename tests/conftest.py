"""Fixtures for all tests: small data sets, the command line, and MNIST if it is there."""

from __future__ import annotations

import dataclasses
import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Threads that wait would keep the core of another worker busy. OpenMP reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch
from fault_counts import FaultCounts
from helpers import Netlet, write_blob_source
from page_visit import BROWSERS, QUIET

from netlet.backends.cpu import library
from netlet.cli import main
from netlet.data import SOURCES, Dataset, Source, load, make_scribble, save_npz, source_files
from netlet.data.source_files import read_source
from netlet.errors import DataError
from netlet.experiments.execution import runner

# The files of the fast subset: they train nothing, and start few processes.
SMOKE = {
    "test_budgets",
    "test_documents",
    "test_architecture",
    "test_nets",
    "test_recipes",
    "test_records",
    "test_stats",
}

# Files whose tests start a browser, a C compiler, a Ray cluster, worker processes, the sandbox or
# another Python, or grade and score whole submissions and runs: half of the time. `.ci/run` runs
# them after the others.
PROGRAMS = {
    "test_added_folders",
    "test_c",
    "test_c_examples",
    "test_c_interface",
    "test_compiled_backend",
    "test_compiler",
    "test_evaluate",
    "test_execution",
    "test_folds",
    "test_grade",
    "test_grade_details",
    "test_grade_files",
    "test_grade_hand_ins",
    "test_graph_export",
    "test_interruption",
    "test_isolation",
    "test_library_cache",
    "test_locks",
    "test_net_builds",
    "test_packaging",
    "test_page",
    "test_publishing",
    "test_random_programs",
    "test_ray",
    "test_recorded_scores",
    "test_resumed_folders",
    "test_sandbox",
    "test_seeds",
    "test_vectors",
    "test_weights",
}

FAULTS = pytest.StashKey[FaultCounts]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults-out",
        metavar="FILE",
        default=os.environ.get("NETLET_FAULTS_OUT"),
        help="write the counts of the fault-injection tests to this JSON file",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Use one thread unless a test asks for more, also in the processes that tests start.

    On a busy machine, threads that wait for a core make small nets 30 times slower.
    """
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    gc.freeze()  # what has been imported stays: it need not be searched for garbage again
    gc.set_threshold(100_000, 50, 50)  # as the command line does
    config.stash[FAULTS] = FaultCounts()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark smoke tests, except slow ones and those that read MNIST, and tests that start programs."""
    for item in items:
        own = {mark.name for mark in item.iter_markers()}
        if item.path.stem in PROGRAMS and not own & {"slow", "faults"}:
            item.add_marker(pytest.mark.programs)
        if item.path.stem in SMOKE and not own & {"slow", "mnist"}:
            item.add_marker(pytest.mark.smoke)


@pytest.fixture
def fault_counts(request: pytest.FixtureRequest) -> FaultCounts:
    """Collect what the fault-injection tests tried, for the record in results/faults.json."""
    return request.config.stash[FAULTS]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the fault counts; a worker of pytest-xdist hands them to the process that started it."""
    counts = session.config.stash[FAULTS]
    if isinstance(sent := getattr(session.config, "workeroutput", None), dict):
        sent["faults"] = [dataclasses.asdict(row) for row in counts.rows]
    elif counts.rows and (path := session.config.getoption("--faults-out")):
        counts.write(Path(path))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the fault counts of a worker of pytest-xdist that has ended."""
    for row in getattr(node, "workeroutput", {}).get("faults", []):
        node.config.stash[FAULTS].add(**row)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install -e '.[test]'"
    )
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(
            "needs a browser: apt-get install chromium, or another that is called "
            + " or ".join(BROWSERS[1:])
        )
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=program, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def blob_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blobs")
    write_blob_source(folder)
    return folder


@pytest.fixture(scope="session")
def blob_source(blob_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Source:
    return write_blob_source(tmp_path_factory.mktemp("again"))


@pytest.fixture(scope="session")
def blob_data(blob_folder: Path, blob_source: Source) -> Dataset:
    return read_source(blob_source, blob_folder)


@pytest.fixture
def few(blob_data: Dataset) -> Dataset:
    """Return a data set of a few images."""
    train = blob_data.train.take(torch.arange(250))
    held_out = blob_data.held_out.take(torch.arange(50))
    measured = (train, held_out)
    return dataclasses.replace(blob_data, train=train, held_out=held_out, measured=measured)


@pytest.fixture
def blobs_for_mnist(
    blob_source: Source, monkeypatch: pytest.MonkeyPatch, blob_folder: Path
) -> Path:
    """Let the command line find the blobs where it looks for MNIST."""
    monkeypatch.setitem(SOURCES, "mnist", blob_source)
    monkeypatch.setenv("NETLET_DATA", str(blob_folder))
    return blob_folder


@pytest.fixture
def blobs_without_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let MNIST be blobs whose test files are garbage, and whose test split cannot be read."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    monkeypatch.setitem(SOURCES, "mnist", write_blob_source(folder))
    monkeypatch.setenv("NETLET_DATA", str(folder))
    for file in folder.glob("t10k*"):
        file.write_bytes(b"not to be read")
    read_split = source_files._read_split

    def read(source: Any, part: Any, *rest: Any) -> Any:
        assert part.name != "test", "the test images were read"
        return read_split(source, part, *rest)

    monkeypatch.setattr(source_files, "_read_split", read)
    with pytest.raises((AssertionError, DataError)):
        load("mnist")
    return folder


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 300 training and 100 test images of drawn digits, for processes of their own."""
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    save_npz(make_scribble(300, 100), path)
    return path


@pytest.fixture
def netlet(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Netlet:
    """Run the command line in a folder of its own: arguments to exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return call


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    try:
        return load("mnist")
    except DataError as error:
        pytest.skip(f"needs MNIST: {error}")


@pytest.fixture(autouse=True)
def _offline_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbid downloads unless a test allows them, and undo another test's number of threads."""
    monkeypatch.setenv("NETLET_OFFLINE", "1")
    torch.set_num_threads(1)


@pytest.fixture
def checkpoint_of_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tasks send the checkpoint of every epoch, since the epochs of tests are short."""
    monkeypatch.setattr(runner, "checkpoint_interval", lambda workers: 0.0)


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile with less optimization, for tests of what the C code says and not of how fast it is.

    It takes GCC half the time; the slow suite compiles the same nets as training does.
    """
    flags = tuple("-O1" if flag == "-O3" else flag for flag in library._FLAGS)
    monkeypatch.setattr(library, "_FLAGS", flags)


@pytest.fixture
def two_threads(_offline_on_one_thread: None) -> None:
    torch.set_num_threads(2)
