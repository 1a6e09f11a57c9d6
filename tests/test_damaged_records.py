"""Records that are edited, damaged, contradictory or no records: refused in one line."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import FIXTURES, ROOT, Netlet, few_fast, linux_only
from record_checks import record_runs, try_edits
from torch import nn

from netlet import find_study, nets, records
from netlet.analysis import (
    cost_from_trace,
    receptive_field_from_trace,
    summary_from_trace,
    trace,
)
from netlet.cli.results import json_document
from netlet.data import Dataset
from netlet.errors import DamagedRecordError, NetError, RecordError
from netlet.nets.origins import find_net_of_run
from netlet.recipes import Recipe
from netlet.records import RECORD, STUDY, to_json_value
from netlet.records.json_file import MAX_BYTES, MAX_DEPTH, load_json, parse_json
from netlet.records.net_contradictions import contradictions_of_net
from netlet.stats.text import study_to_json
from netlet.training import fit

Record = dict[str, Any]
COMMITTED = [
    *sorted((ROOT / "results").rglob(RECORD)),
    *sorted((ROOT / "results").rglob(STUDY)),
    FIXTURES / "records" / "run_schema_1.json",
    FIXTURES / "records" / "study_schema_2.json",
]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, digits_file: Path) -> Path:
    """Folders ``runs`` and ``studies``, each with ``good`` and ``edited``."""
    folder = tmp_path_factory.mktemp("recorded")
    record_runs(folder, digits_file)
    return folder


def test_every_committed_record_agrees_with_itself() -> None:
    assert len(COMMITTED) > 50
    for path in COMMITTED:
        records.find_study(path)


@pytest.mark.slow
def test_every_edit_of_a_run_is_refused_or_harmless(recorded: Path) -> None:
    edited = recorded / "runs" / "edited"
    refused = list(try_edits(edited, RECORD, 140, 1, commands_every=8, report_every=3))
    assert sum(refused) > 100


@pytest.mark.slow
@pytest.mark.parametrize(("number", "seed"), few_fast([(30, 2), (60, 2)], 1))
def test_every_edit_of_a_study_is_refused_or_harmless(
    recorded: Path, number: int, seed: int
) -> None:
    edited = recorded / "studies" / "edited"
    refused = list(try_edits(edited, STUDY, number, seed, commands_every=8, report_every=3))
    assert sum(refused) > 40 / 60 * number


@pytest.mark.slow
def test_the_tables_of_every_net_agree_with_its_cost() -> None:
    for name, entry in nets.NETS.items():
        traced = trace(entry.builder(), (1, 28, 28))
        tables = (
            # As a record stores it: with the structure only if a budget judges it.
            dataclasses.replace(cost_from_trace(traced, 3), structure=None),
            summary_from_trace(traced).to_dict(),
            receptive_field_from_trace(traced).to_dict(),
        )
        assert [*contradictions_of_net(*map(to_json_value, tables))] == [], name


@pytest.mark.slow
def test_a_number_may_be_written_without_its_decimal_point_but_never_gain_one(
    recorded: Path,
) -> None:
    """jq and JavaScript write 99.0 as 99; a whole number with a point is not a count."""
    for kind, name in (("runs", RECORD), ("studies", STUDY)):
        path = recorded / kind / "good" / name
        text = path.read_text()
        sound, short = records.find_study(path), _shorten_floats(json.loads(text))
        assert json.dumps(short) != json.dumps(json.loads(text))
        edited = recorded / kind / "short"
        edited.mkdir()
        (edited / name).write_text(json.dumps(short))
        assert records.find_study(edited / name) == sound
        shutil.rmtree(edited)
    record = json.loads((recorded / "runs" / "good" / RECORD).read_text())
    for place in ("budget.params_below", "recipe.epochs", "cost.parameters", "seed"):
        long = json.loads(json.dumps(record))
        change(long, place, 1901.0)
        with pytest.raises(DamagedRecordError, match=r"expected a whole number, found 1901\.0"):
            records.Run.from_json(json.dumps(long), "run.json")


def _shorten_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shorten_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shorten_floats(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def change(record: Record, path: str, value: object) -> None:
    *above, last = path.split(".")
    for key in above:
        record = record[int(key) if key.isdigit() else key]
    record[int(last) if last.isdigit() else last] = value  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "value", "parts"),
    [
        ("cost.parameters", 12, ("cost.parameters is 12", "the layers of summary give 1,285")),
        ("summary.rows.0.parameters", 1, ("cost.parameters", "the layers of summary")),
        ("receptive_field.rows.0.kind", "Linear", ('kind is "Linear"', 'summary has "Conv2d"')),
        ("cost.kinds.Conv2d", [], ("summary has the layer", "cost.kinds does not list it")),
        ("confusion.0.1", 55, ("confusion is", "last_epoch.total")),
        ("last_epoch.correct", 0, ("last_epoch is", "the last of epochs gives")),
        ("best_epoch.epoch", 9, ("best_epoch is", "the best of epochs gives")),
        ("recipe.epochs", 6, ("cost.epochs is 5", "recipe.epochs gives 6")),
        ("epochs.0.epoch", 2, ("epochs[0].epoch is 2", "its place gives 1")),
        ("calibration.3.2", 77, ("has a calibration over", "its total, 100")),
        ("budget.params_below", 3, ("verdict is", "the budget, judged again, gives")),
        ("verdict.results.0.found", "12", ("verdict on parameters: found", "judged again")),
        ("verdict.state", "PASS", ("verdict.state", "verdict.results give")),
        ("data.digest", "0" * 64, ("data.digest", "data.checksums")),
        ("data.class_names", [*"1023456789"], ("data.class_names are", "data.checksums")),
        ("data.class_names", ["\ud800", *"123456789"], ("data.class_names are", "another order")),
        ("data.shape", [1, 28, 27], ("summary.input", "data.shape")),
        ("times.train_s", 1e6, ("times.train_s is 1e+06", "its epochs took")),
        ("started_at", "yesterday", ("started_at", "not a date")),
        ("stretches.0.last_epoch", 4, ("stretches", "epochs 1 to 5")),
        ("environment.threads", 99, ("environment", "stretches")),
        ("backend", "compiled", ("backend", "recipe.backend is eager")),
        ("weights_digest", "0", ("weights_digest", "64 hexadecimal digits")),
    ],
)
def test_contradictions_name_both_parts(
    recorded: Path, path: str, value: object, parts: tuple[str, ...]
) -> None:
    record = json.loads((recorded / "runs" / "good" / RECORD).read_text())
    change(record, path, value)
    with pytest.raises(DamagedRecordError) as caught:
        records.Run.from_json(json.dumps(record), "run.json")
    assert "run.json: " in str(caught.value)
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("seed", True, "seed: expected a whole number, found true"),
        ("seed", "1", 'seed: expected a whole number, found "1"'),
        ("seed", 1.0, "seed: expected a whole number, found 1.0"),
        ("epochs.1.train.correct", -1, "epochs[1].train.correct: expected at least 0, found -1"),
        ("epochs.1.lr", None, "epochs[1].lr: expected a number, found null"),
        ("epochs", {}, "epochs: expected a list, found an object with 0 keys"),
        # Versions of pydantic name the place and what is missing in two ways.
        ("mistakes.0", [1, 2, 3], ", found nothing"),
        ("mistakes.0", {"image": 1}, "mistakes[0]"),
        ("data.extra", 1, "data.extra: expected no such key, found 1"),
        ("extra", 1, "extra: expected no such key, found 1"),
        ("recipe.peak_lr", "fast", 'recipe.peak_lr: expected a number, found "fast"'),
        ("recipe.optimizer", "adam", "recipe.optimizer: expected one of 'sgd'"),
        ("recipe.momentum", 7, "recipe: momentum=7.0 is out of range"),
        ("recipe.extra", 1, "recipe.extra: expected no such key"),
        ("budget.params_below", 0, "params_below=0 is too small"),
        ("times.total_s", 10**24, "times.total_s: expected a smaller number"),
        ("verdict.results.0.state", "FINE", "verdict.results[0].state: expected one of"),
        ("schema", True, "expected schema 1 to 5, found true"),
        ("schema", 99, "another version of netlet wrote it"),
    ],
)
def test_a_field_of_another_form_is_named(
    recorded: Path, path: str, value: object, message: str
) -> None:
    record = json.loads((recorded / "runs" / "good" / RECORD).read_text())
    change(record, path, value)
    with pytest.raises(DamagedRecordError) as caught:
        records.Run.from_json(json.dumps(record), "run.json")
    assert message in str(caught.value)
    assert "; " in str(caught.value)  # a remedy follows


def test_a_missing_field_is_named(recorded: Path) -> None:
    whole = json.loads((recorded / "runs" / "good" / RECORD).read_text())
    for field in whole.keys() - {"schema", "last_epoch"}:
        cut = {key: value for key, value in whole.items() if key != field}
        with pytest.raises(DamagedRecordError, match=f"{field}: expected a value, found"):
            records.Run.from_json(json.dumps(cut), "run.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 1}', 'the key "a" twice in one object'),
        ("[NaN]", "NaN, which is not a finite number"),
        ("[-Infinity]", "-Infinity, which is not a finite number"),
        ("[1e999]", "1e999, which is not a finite number"),
        ("[" + "1" * 5_000 + "]", "a number of 5,000 digits"),
        ("[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ("[" * 30 + "]" * 30, f"nested more than {MAX_DEPTH} deep"),
        ("[1,", "found broken JSON (line 1, column 4: "),
        ("[" + "[]," * 2_000_000 + "1]", "more than netlet ever writes"),
    ],
)
def test_json_is_read_strictly(text: str, message: str) -> None:
    with pytest.raises(DamagedRecordError) as caught:
        parse_json(text, "run.json")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def make_unreadable(folder: Path) -> dict[str, str]:
    """Make folders with records that cannot be read; return the words about each."""
    kinds: dict[str, tuple[Callable[[Path], object], str]] = {
        "folder": (Path.mkdir, "is a folder"),
        "pipe": (os.mkfifo, "is a pipe"),
        "link": (lambda path: path.symlink_to("gone"), "a link to a file that does not exist"),
        "huge": (lambda path: path.touch() or os.truncate(path, 2**30), "1,073,741,824 bytes"),
        "deep": (lambda path: path.write_text("[" * 100_000), "nested more than"),
        "latin": (lambda path: path.write_bytes(b'{"name": "\xe9"}'), "expected UTF-8 text"),
        "empty": (Path.touch, "found broken JSON"),
        "other": (lambda path: path.write_text("{}"), "found something else"),
    }
    for name, (make, _) in kinds.items():
        (folder / name).mkdir()
        make(folder / name / RECORD)
    return {name: words for name, (_, words) in kinds.items()}


@linux_only
def test_unreadable_records_hide_no_others(netlet: Netlet, recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    shutil.copytree(recorded / "runs" / "good", tmp_path / "runs" / "good")
    words = make_unreadable(tmp_path / "runs")
    began = time.monotonic()
    for command in (
        ("runs", "runs"),
        ("runs", "runs", "--compare"),
        ("frontier", "runs"),
        ("report", "runs", "-o", "page.md"),
        ("compare", "runs", str(recorded / "studies" / "good")),
    ):
        code, out, err = netlet(*command)
        assert code == 1, (command, err)
        shown = Path("page.md").read_text() if command[0] == "report" else out
        assert ("SimpleNet" if command[0] == "frontier" else "speck") in shown
        lines = [line for line in err.splitlines() if line.startswith("netlet: ")]
        assert len(lines) == len(words), err
        for name, words_of_name in words.items():
            (line,) = (line for line in lines if f"runs/{name}/{RECORD}: " in line)
            assert words_of_name in line
    assert time.monotonic() - began < 30


def test_a_folder_of_damaged_runs_only_is_refused(netlet: Netlet, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD).write_text("{}")
    code, out, err = netlet("report", ".")
    assert (code, out) == (2, "")
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["a/run.json", "b/run.json"]


def test_a_study_that_contradicts_the_run_of_a_seed_is_refused(
    netlet: Netlet, recorded: Path, tmp_path: Path
) -> None:
    study = records.load_study(recorded / "studies" / "good")
    first = dataclasses.replace(study.seeds[0], train_correct=study.seeds[0].train_correct - 1)
    records.save_study(
        dataclasses.replace(study, seeds=(first, *study.seeds[1:])), tmp_path / STUDY
    )
    shutil.copytree(recorded / "seed-0", tmp_path / "seed-0")
    for command in (("report", "."), ("compare", ".", "speck"), ("card", ".")):
        code, _, err = netlet(*command)
        assert code == 2
        assert "study.json: contradicts seed-0/run.json in train_correct of seed 0; " in err
        assert len(err.splitlines()) == 1
    code, out, err = netlet("runs", ".")
    assert code == 1
    assert [line.split()[2] for line in out.splitlines() if line.startswith("speck")] == ["1", "0"]
    assert "contradicts" in err


def test_a_damaged_rung_is_left_out_of_a_ladder(
    netlet: Netlet, recorded: Path, tmp_path: Path
) -> None:
    study = records.load_study(recorded / "studies" / "good")
    rungs = ""
    for name in ("one", "two"):
        records.save_study(dataclasses.replace(study, name=name), tmp_path / name / STUDY)
        rungs += f'[[rung]]\nname = "{name}"\nexperiment = "speck"\ntitle = "T"\ntarget = "t"\n'
    (tmp_path / "ladder.toml").write_text(f'title = "Two"\n{rungs}')
    (tmp_path / "one" / STUDY).write_text("{}")
    code, _, err = netlet("report", ".", "-o", "page.md")
    assert code == 1
    assert "one/study.json: expected the record of a study" in err
    assert "two" in (tmp_path / "page.md").read_text()
    (tmp_path / "two" / STUDY).write_text("{}")
    code, _, err = netlet("report", ".", "-o", "page.md")
    assert code == 2


def test_the_same_json_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2.5, null]}')
    assert load_json(path) == {"a": [1, 2.5, None]}
    assert MAX_BYTES == 32 * 2**20
    with pytest.raises(RecordError, match="no such file"):
        load_json(tmp_path / "gone.json")


def test_other_weights_than_the_records_are_refused(
    netlet: Netlet, recorded: Path, tmp_path: Path, digits_file: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (RECORD, records.WEIGHTS):
        (folder / name).write_bytes((recorded / "runs" / "good" / name).read_bytes())
    assert netlet("evaluate", "run", "--dataset", str(digits_file))[0] == 0
    net = nets.build(nets.find_net("speck").builder, 7)
    nets.save_weights(net, folder / records.WEIGHTS)
    for command in (
        ("evaluate", "run", "--dataset", str(digits_file)),
        ("export", "run", "--to", "onnx"),
        ("predict", "x.png", "--net", "run"),
        ("play", "run", "--no-open"),
        ("card", "run"),
    ):
        code, out, err = netlet(*command)
        assert (code, out) == (2, ""), (command, err)
        assert "run/weights.safetensors: has weights with the digest " in err, command
        assert "but run/run.json is about those with " in err
        assert len(err.splitlines()) == 1
    code, _, err = netlet(
        "evaluate", "run", "--weights", "run/weights.safetensors", "--dataset", str(digits_file)
    )
    assert code == 0, err  # a person may name any weights


def test_code_in_place_of_a_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import torch\n")
    why = (
        r"mine.py: is Python code, not the JSON record of a run; .* such as studies/mine.py_Net or"
    )
    with pytest.raises(RecordError, match=why):
        records.load_run(tmp_path / "mine.py")


def test_json_output_in_place_of_a_record_is_named(tmp_path: Path) -> None:
    printed = json_document("study", study_to_json(find_study("sprint")))
    (tmp_path / "sprint.json").write_text(json.dumps(printed))
    for load, what in ((records.load_study, "study"), (records.load_run, "run")):
        why = f"sprint.json: is output of --json, not the JSON record of a {what}; name the folder"
        with pytest.raises(RecordError, match=why):
            load(tmp_path / "sprint.json")


def test_a_run_whose_net_has_no_address_says_how_to_give_it_one(few: Dataset) -> None:
    class Mine(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Flatten(), nn.Linear(784, 10))

    run = fit(nets.build(Mine, 0), few, Recipe(epochs=1))
    with pytest.raises(NetError, match=r"runs/x: its net is Mine, of a file .*'file.py:Mine'"):
        find_net_of_run(run, "runs/x", trusted=True)
