"""Every command's JSON: one document with schema and kind, as docs/json.md describes it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Netlet
from PIL import Image

from netlet.cli import main
from netlet.cli.results import SCHEMAS, json_document
from netlet.data import SOURCES, Source, make_scribble, save_npz
from netlet.records.upgrade import RUN_SCHEMA, STUDY_SCHEMA

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "json.md").read_text()
EXAMPLES = {
    document["kind"]: document
    for document in map(json.loads, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
}
# Kinds whose documents take long to make: tested where the commands are, or made by hand below.
NOT_RUN = ("search", "search_repeat")
DATA = ("--dataset", "digits.npz")
FAST = (*DATA, "--set", "epochs=1", "--set", "batch_size=60", "--set", "precision=float32")
RUN, STUDY = "runs/code_2-digits.npz-seed0", "studies/code_2-digits.npz"
LADDER = """
title = "One rung"

[[rung]]
experiment = "code_2"
title = "First"
target = "Fewer than 8,000 parameters."
recipe = "plain"
set = { epochs = 1, batch_size = 60 }
"""
COMMANDS = (
    ("list", "--recipes", "--budgets"),
    ("list",),
    ("budget", "eight_k"),
    ("show", "code_2"),
    ("show", "code_2", "--rf"),
    ("show", "code_2", "speck"),
    ("show", "code_2", "speck", "--rf"),
    ("check", "code_1", "--budget", "eight_k"),
    ("check", "code_1", "speck"),
    ("grade", "submissions", "--budget", "eight_k", "--trust"),  # nothing that could be run
    ("train", "code_2", *FAST),
    ("study", "code_2", "--seeds", "2", "--workers", "1", *FAST),
    ("climb", "ladder.toml", "--seeds", "1", "--workers", "1", *DATA),
    ("lr", "code_2", *DATA, "--set", "batch_size=30"),
    ("runs",),
    ("runs", "studies", "--compare"),
    ("compare", "swift", "sprint"),
    ("report", "speck", "-o", "speck.md"),
    ("frontier", "studies"),
    ("evaluate", RUN, *DATA),
    ("evaluate", STUDY, *DATA),
    ("export", RUN, "--to", "page", *DATA),
    ("explain", "speck", "digit.png"),
    ("predict", "digit.png", "missing.png"),
    ("predict", "digit.png", "--net", STUDY),
    ("play", "--no-open", "-o", "play.html"),
    ("card", "speck"),
    ("card", STUDY),
    ("publish", "speck", "--to", "speck-model"),
    ("publish", STUDY, "--to", "study-page", "--space", *DATA),
    ("data", "get", "mnist", "-o", "downloads"),
    ("data", "list"),
    ("data", "verify", "mnist"),
    ("data", "show", "mnist"),
    ("data", "make", "--train", "20", "--test", "20", "-o", "few.npz"),
)


@pytest.fixture(scope="module")
def documents(
    tmp_path_factory: pytest.TempPathFactory, blob_source: Source, blob_folder: Path
) -> Iterator[dict[tuple[str, ...], Any]]:
    """What each command prints, in a folder of its own, with MNIST replaced by a few blobs."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "ladder.toml").write_text(LADDER)
    digits = make_scribble(600, 100)
    save_npz(digits, folder / "digits.npz")
    Image.fromarray(digits.train.images[0, 0].numpy()).save(folder / "digit.png")
    (folder / "submissions").mkdir()
    (folder / "submissions" / "broken.zip").write_bytes(b"PK")
    shutil.copytree(blob_folder, folder / "downloads" / "mnist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(SOURCES, "mnist", blob_source)
        patch.setenv("NETLET_DATA", str(blob_folder))
        patch.setenv("NETLET_OFFLINE", "1")
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield {command: _run(*command) for command in COMMANDS}


def _run(*command: str) -> Any:
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as stop,
    ):
        main([*command, "--json"])
    assert stop.value.code in (0, 1, None), f"{command}: {err.getvalue()}"
    return json.loads(out.getvalue())


def same_shape(example: Any, found: Any, where: str) -> None:
    """Assert that a document has the keys of its example; ``"..."`` stands for further ones."""
    if found is None:  # unknown here, or it does not apply
        return
    if isinstance(example, dict):
        assert isinstance(found, dict), where
        keys = example.keys() - {"..."}
        assert keys <= found.keys(), f"{where} lacks {keys - found.keys()}"
        assert "..." in example or keys == found.keys(), f"{where} has {found.keys() - keys}, too"
        for key in keys:
            same_shape(example[key], found[key], f"{where}.{key}")
    elif isinstance(example, list):
        assert isinstance(found, list), where
        if example and isinstance(example[0], dict):
            for i, entry in enumerate(found):
                if "error" not in entry:
                    same_shape(example[0], entry, f"{where}[{i}]")
    elif example is not None and example != "...":
        assert type(example) is type(found) or {type(example), type(found)} <= {int, float}, (
            f"{where}: {example!r} in the example, {found!r} in the document"
        )


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_document_is_as_its_page_says(
    documents: dict[tuple[str, ...], Any], command: tuple[str, ...]
) -> None:
    document = documents[command]
    assert list(document)[:2] == ["schema", "kind"]
    example = EXAMPLES[document["kind"]]
    if document["kind"] == "list":  # has only what was asked for
        example = {key: value for key, value in example.items() if key in document}
    same_shape(example, document, document["kind"])
    kind = document["kind"]
    records = {"run": RUN_SCHEMA, "study": STUDY_SCHEMA}
    assert document["schema"] == example["schema"] == (records | dict(SCHEMAS))[kind]


def test_the_page_describes_every_kind_and_every_command() -> None:
    rows = {"run_row", "experiment_row"}  # a row of "runs" each
    assert EXAMPLES.keys() == SCHEMAS.keys() - rows | {"run", "study"}
    for row in rows:
        assert f"`{row}`" in PAGE
    for command in COMMANDS:
        words = command[:2] if command[0] == "data" else command[:1]
        assert f"## `netlet {' '.join(words)}`" in PAGE
    assert len(EXAMPLES) == len(re.findall("```json", PAGE))


def test_a_search_is_as_its_page_says() -> None:
    from netlet.experiments.search.trials import trial_from_line

    line = EXAMPLES["search"]["trials"][0]
    trial = trial_from_line(line, "the page")
    assert trial.to_dict().items() <= line.items()
    for kind in NOT_RUN:
        example = EXAMPLES[kind]
        assert json_document(kind, {})["schema"] == example["schema"]


@pytest.mark.slow
def test_a_study_means_the_weights_of_its_median_seed(
    documents: dict[tuple[str, ...], Any],
) -> None:
    study = documents[("study", "code_2", "--seeds", "2", "--workers", "1", *FAST)]
    seeds = sorted((seed["correct"], seed["seed"]) for seed in study["seeds"])
    median = seeds[0][1]  # the lower one of two
    weights = documents[("evaluate", STUDY, *DATA)]["weights"]
    assert weights == f"{STUDY}/seed-{median}/weights.safetensors"
    assert f"seed {median}" in documents[("card", STUDY)]["markdown"]


@pytest.mark.slow
def test_counts_are_numbers(documents: dict[tuple[str, ...], Any]) -> None:
    (rule, *_) = documents[("check", "code_1", "--budget", "eight_k")]["rules"]
    assert (rule["limit"], rule["found"], rule["margin"]) == (8_000, 119_392, -111_393)
    assert rule["largest_layers"][0] == {"layer": "13 (Conv2d)", "count": 47_040}


@pytest.mark.slow
def test_json_lines_are_documents(netlet: Netlet, documents: dict[tuple[str, ...], Any]) -> None:
    folder = Path(documents[("data", "get", "mnist", "-o", "downloads")]["datasets"][0]["folder"])
    assert folder == Path("downloads/mnist")
    out = netlet("runs", str(ROOT / "results" / "studies" / "speck"), "--jsonl")[1]
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["kind"] for line in lines} == {"run_row"}
    same_shape(EXAMPLES["runs"]["runs"][0] | {"schema": 1, "kind": "run_row"}, lines[0], "run_row")


@pytest.mark.slow
def test_what_is_printed_at_exit_is_not_in_the_document() -> None:
    program = (
        "import atexit, os, sys\nfrom netlet.cli import main\n"
        "atexit.register(print, 'Run finished.')\natexit.register(os.write, 1, b'Bye.')\n"
        "sys.argv[1:] = ['list', '--json']\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["kind"] == "list"
    assert done.stderr.split() == ["Bye.Run", "finished."]
