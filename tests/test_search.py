"""The search: trials on held-out images, stopped at rungs, recorded and repeated."""

from __future__ import annotations

import dataclasses
import errno
import json
import re
import subprocess
import sys
import time
import warnings
from concurrent.futures import Executor
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Inline, Netlet

from netlet import recipes
from netlet.data import Split, count_repeated, load, save_npz
from netlet.errors import (
    DataError,
    NetError,
    NetletWarning,
    OutputError,
    RecordError,
    SearchError,
    TrainingError,
)
from netlet.experiments.execution import WorkerDiedError
from netlet.experiments.search.engine import TrialEvent
from netlet.experiments.search.leg import Leg, LegResult, run_leg
from netlet.experiments.search.repeat import repeat_trial
from netlet.experiments.search.sharp_score import calibrated_nll
from netlet.experiments.search.space import Space
from netlet.experiments.search.space_file import load_search
from netlet.experiments.search.train_command import train_command
from netlet.experiments.search.trials import (
    Trial,
    append_result,
    read_results,
    remove_unfinished_line,
    trial_from_line,
)
from netlet.records import read_trials, to_json_value

ROOT = Path(__file__).parent.parent
SPACE = """\
budget = { params_below = 600 }
recipe = "quick"
epochs = 2
shapes = ["1k5s2 P 2"]
folds = 3
rungs = [1]

[vary]
backend = "eager"
augment = "none"
batch_size = 100
peak_lr = { log_uniform = [0.001, 0.02] }
label_smoothing = [0.0, 0.1]
"""
needs_optuna = pytest.mark.skipif(
    not find_spec("optuna"),
    reason="optuna is not installed: pip install -e '.[search]'",
)


@pytest.fixture
def space(tmp_path: Path) -> Space:
    (tmp_path / "mine.toml").write_text(SPACE)
    found = load_search(tmp_path / "mine.toml")
    assert isinstance(found, Space)
    return found


def search(
    space: Space, path: Path, trials: int, executor: Executor | None = None, **options: Any
) -> Any:
    from netlet.experiments.search.run import run_search

    return run_search(space, path, trials, 1, executor=executor or Inline(), **options)


# --- trials


CHANGES = {
    "epochs": 1,
    "augment": [to_json_value(warp) for warp in recipes.AUGMENTS["elastic"]],
    "optimizer": "soap",
    "backend": "eager",
}
TRIAL = Trial(net="4k5s2 P 6", recipe="steady", changes=CHANGES, seed=3, fold=0, folds=6)


def run(trial: Trial, **options: Any) -> dict[str, Any]:
    """Return the line of a trial that is trained to its end."""
    result = run_leg(Leg(number=0, trial=trial, until=trial.changes["epochs"], **options))
    return {**trial.to_dict(), "state": "finished", "epochs": 1, **result.outcome}


def test_a_trial_is_a_line_that_can_be_run_again(blobs_for_mnist: Path, tmp_path: Path) -> None:
    first = run(TRIAL)
    assert (first["total"], first["fold"], first["folds"]) == (100, 0, 6)
    file = tmp_path / "trials" / "x.jsonl"
    append_result(first, file)
    (line,) = read_results(file)
    assert line == json.loads(json.dumps({"schema": 2, **first}))
    assert trial_from_line(line, "line 1") == TRIAL
    found = repeat_trial(file, 1)
    assert found.identical
    assert found.repeated["loss"] == line["loss"]
    other = run(dataclasses.replace(TRIAL, fold=1))
    assert other["loss"] != first["loss"]
    append_result(first | {"weights_digest": "0" * 64}, file)
    assert not repeat_trial(file, 2).identical
    append_result({k: v for k, v in first.items() if k not in ("correct_by_epoch", "epochs")}, file)
    with pytest.raises(
        RecordError, match="line 3: does not say how many epochs were trained; choose"
    ):
        repeat_trial(file, 3)


def test_a_trial_of_an_earlier_version_can_be_run_again(
    blobs_for_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.experiments.search.trials.VAL", 100)
    trial = dataclasses.replace(TRIAL, fold=None, folds=None, draw=2)
    first = run(trial)
    old = {name: first[name] for name in ("net", "recipe", "changes", "seed", "draw", "params")}
    old |= {name: first[name] for name in ("parameters", "epochs", "correct", "total")}
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps(old | {"loss": round(first["loss"], 5)}) + "\n")
    found = repeat_trial(file, 1)
    assert found.identical
    assert found.repeated["draw"] == 2


def test_the_recorded_trials_of_earlier_versions_can_be_read() -> None:
    lines = read_results(ROOT / "results" / "trials" / "frontier.jsonl")
    assert len(lines) == 96
    assert all(trial_from_line(line, "a line").draw is not None for line in lines)
    assert len(read_results(ROOT / "results" / "trials" / "clock.jsonl")) == 718


NET = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10))
"""


def test_a_trial_of_a_file_keeps_its_dropout_and_records_its_code(
    blobs_for_mnist: Path, tmp_path: Path
) -> None:
    source, file = tmp_path / "mine.py", tmp_path / "x.jsonl"
    source.write_text(NET)
    changes = {"epochs": 1, "augment": [], "backend": "eager"}
    trial = dataclasses.replace(TRIAL, net=f"{source}:Net", changes=changes)
    first = run(trial, trust=True)
    dropped = dataclasses.replace(trial, changes=changes | {"dropout": 0.0})
    assert run(dropped, trust=True)["loss"] != first["loss"]
    append_result(first, file)
    found = repeat_trial(file, 1, trust=True)
    assert found.identical
    assert found.recorded["source_digest"] == found.repeated["source_digest"]
    with pytest.raises(NetError, match="--trust"):
        repeat_trial(file, 1)
    source.write_text(NET.replace("0.5", "0.4"))
    with pytest.raises(NetError, match=r"x\.jsonl, line 1: .*mine\.py has changed since"):
        repeat_trial(file, 1, trust=True)
    append_result(first | {"source_digest": 3}, file)
    with pytest.raises(RecordError, match="line 2: source_digest is 3, expected a text"):
        repeat_trial(file, 2, trust=True)


@pytest.mark.parametrize("margin", [0.5, 4.0, 40.0])
@pytest.mark.parametrize(("wrong", "score"), [(0.1, 0.3251), (0.01, 0.99 * 0.01005 + 0.01 * 3)])
def test_the_calibrated_score_does_not_depend_on_how_confident_a_net_is(
    margin: float, wrong: float, score: float
) -> None:
    # Two classes, each image with the same confidence: the best temperature makes that the accuracy.
    labels = torch.zeros(400, dtype=torch.int64)
    labels[: round(400 * wrong)] = 1  # as many in each half
    logits = torch.tensor([[margin, 0.0]]).repeat(400, 1)
    assert calibrated_nll(logits, labels) == pytest.approx(score, rel=0.01)  # at most 3 an image


def test_a_line_is_added_or_the_file_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.jsonl"
    append_result({"seed": 1}, file)
    file.write_bytes(file.read_bytes().rstrip(b"\n"))  # edited by hand
    append_result({"seed": 2}, file)
    assert [line["seed"] for line in read_results(file)] == [1, 2]
    before = file.read_bytes()

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        append_result({"seed": 3}, file)
    assert file.read_bytes() == before


def test_a_line_that_a_crash_has_cut_off_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    append_result({"seed": 1}, file)
    whole = file.read_bytes()
    remove_unfinished_line(file)
    assert file.read_bytes() == whole
    file.write_bytes(whole + whole[:9])
    with pytest.warns(NetletWarning, match="its last line was cut off"):
        remove_unfinished_line(file)
    assert file.read_bytes() == whole
    file.write_bytes(whole[:9])
    with pytest.warns(NetletWarning, match="its last line was cut off"):
        remove_unfinished_line(file)
    assert file.read_bytes() == b""


@pytest.mark.parametrize(
    "last",
    [
        b'{"seed": 2} {"seed": 3}',  # the end of a line was lost
        b'{"seed": ' + b"7" * 5_000 + b"}",
        b'{"seed": 2, "net": "\xff"}',
        b'{"a": ' * 200_000,
    ],
    ids=["two lines", "long number", "not UTF-8", "too deep"],
)
def test_a_last_line_that_is_damaged_but_not_cut_off_is_refused_and_stays(
    tmp_path: Path, last: bytes
) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(b'{"schema": 2, "seed": 1}\n' + last)
    remove_unfinished_line(file)
    assert file.read_bytes().endswith(last)
    with pytest.raises(RecordError):
        read_results(file)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": "0.1"}, 'line 2: loss is "0.1", expected a number; remove the line'),
        ({"loss": None}, "loss is null, expected a number"),
        ({"correct": 9.5}, "correct is 9.5, expected a whole number"),
        ({"correct": True}, "correct is true, expected a whole number"),
        ({"correct": 11, "total": 10}, "11 of 10 images are correct, which is impossible"),
        ({"total": 0}, "total is 0, which is impossible"),
        ({"nll": -1.0}, "nll is -1.0, which is impossible"),
        (
            {"correct": 9, "correct_by_epoch": [4, 6]},
            "contradicts itself: correct is 9, and 6 after the last epoch",
        ),
        (
            {"loss": 0.5, "loss_by_epoch": [2.0, 0.7]},
            "contradicts itself: loss is 0.5, and 0.7 after the last epoch",
        ),
        ({"total": 10, "correct_by_epoch": [3, 11]}, "11 of 10 images are correct"),
        ({"correct_by_epoch": [None]}, "correct_by_epoch is a list of 1, expected a list of num"),
        ({"params": [1]}, "params is a list of 1, expected an object"),
        ({"net": 3}, "net is 3, expected a text"),
        ({"state": "over"}, 'state is "over", expected one of finished, stopped, failed'),
        ({"state": "stopped", "total": 9}, "correct of a stopped trial is missing; remove the li"),
    ],
)
def test_a_value_that_no_search_writes_is_refused_with_its_line(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    file = tmp_path / "x.jsonl"
    append_result({"seed": 1, "params": None, "nll": None}, file)
    append_result({"seed": 2} | values, file)
    with pytest.raises(RecordError, match=re.escape(message)):
        read_results(file)


def test_the_command_of_a_trial_trains_its_recipe() -> None:
    line = {"net": "8 P 12", "recipe": "steady", "changes": CHANGES | {"nesterov": False}}
    assert train_command(line) == (
        "netlet train '8 P 12' --recipe steady --set epochs=1 --set augment=elastic "
        "--set optimizer=soap --set backend=eager --set nesterov=false"
    )
    turned = [CHANGES["augment"][0] | {"rotate_deg": 9.5}]  # type: ignore[index]
    words = train_command(line | {"changes": {"augment": turned}})
    assert words is not None
    assert "--set augment=light --set augment.rotate_deg=9.5" in words
    assert "elastic_points" not in words  # as in light
    assert train_command(line | {"changes": {"augment": [*turned, *turned]}}) is None


# --- searches


@needs_optuna
def test_a_search_reads_no_test_images_and_learns_from_its_file(
    space: Space,
    blobs_without_test: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file, events = tmp_path / "x.jsonl", list[TrialEvent]()
    first = search(space, file, 2, on_event=events.append)
    assert capfd.readouterr().err == ""  # no log of Optuna's
    lines = read_results(file)
    assert [dict(line, schema=2) for line in first.lines] == lines
    assert [(line["seed"], line["fold"], line["folds"]) for line in lines] == [(0, 0, 3), (1, 1, 3)]
    assert [event.line for event in events if event.line] == list(first.lines)
    for line in lines:
        assert (line["state"], line["total"], line["space"]) == ("finished", 200, "mine")
        assert line["parameters"] < 600
        assert line["commit"] == line["environment"]["commit"]
        assert set(line["params"]) == {"peak_lr", "label_smoothing"}
    again = search(space, file, 3, resume=True)
    assert (len(again.known), len(again.lines), again.unusable) == (2, 1, 0)
    assert search(space, file, 3, resume=True).lines == ()
    # A trial that went on from its rung has the same bits as one that was trained in one go.
    assert repeat_trial(file, 3).identical
    with pytest.raises(RecordError, match="has 3 lines; line 4 does not exist"):
        repeat_trial(file, 4)
    with pytest.raises(RecordError, match="a trial used seed 2 already"):
        read_trials(file, [2])


@needs_optuna
def test_lines_of_a_changed_space_are_counted_and_not_learned_from(
    space: Space, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    from netlet.experiments.search.fitting import Images
    from netlet.experiments.search.sampler import Sampler

    class Both:
        def suggest_categorical(self, name: str, choices: Any) -> Any:
            return choices[0]

        def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
            return high

    candidate = space.choose(Both(), Images())  # type: ignore[arg-type]
    line = {
        "net": candidate.net,
        "recipe": "quick",
        "changes": json.loads(json.dumps(candidate.changes)),
        "epochs": 2,
        "seed": 7,
        "fold": 1,
        "folds": 3,
        "dataset": "mnist",
        "data_digest": "d",
        "params": {"peak_lr": 0.02, "label_smoothing": 0.0},
        "state": "stopped",
        "correct": 9,
        "total": 10,
        "correct_by_epoch": [9],
    }
    assert Sampler(space, Images(), "d", [line]).known == [line]
    renamed = line | {"dataset": "signs.npz"}  # the same images
    assert Sampler(space, Images(), "d", [renamed]).known == [renamed]
    failed = {**line, "state": "failed"}
    for name in ("correct", "total", "correct_by_epoch"):
        del failed[name]
    assert Sampler(space, Images(), "d", [failed]).known == [failed]
    changed = [
        line | {"data_digest": "e"},
        line | {"folds": 4},
        line | {"epochs": 3},
        line | {"net": "1 P 1"},
        line | {"params": {"peak_lr": 0.2, "label_smoothing": 0.0}},
        line | {"params": {"peak_lr": 0.02}},
        line | {"params": None},
        {"seed": 3},
    ]
    assert Sampler(space, Images(), "d", changed).known == []
    wider = dataclasses.replace(space, keep=0.9)  # stopping earlier is the same space
    assert Sampler(wider, Images(), "d", [line]).known == [line]


@needs_optuna
def test_lines_of_earlier_versions_are_counted_and_new_ones_added(
    space: Space, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes((ROOT / "tests" / "fixtures" / "records" / "trials.jsonl").read_bytes())
    found = search(space, file, 1)
    assert (found.unusable, len(found.known), len(found.lines)) == (2, 0, 1)
    assert len(read_results(file)) == 3


def pretend(sampler: Any, trials: int) -> list[dict[str, Any]]:
    """Run trials of a sampler one after the other without training; return their lines."""
    lines = []
    sampler.left = trials
    while proposal := sampler.propose():
        trial = proposal.trial
        score = round(900 * (1 - abs(trial.changes["peak_lr"] - 0.008) / 0.012)) + trial.seed
        outcome = {"correct": score // 2, "total": 1_000, "correct_by_epoch": [score // 2]}
        goes_on = sampler.goes_on(trial, LegResult(outcome=outcome))
        if goes_on:
            outcome |= {"correct": score, "correct_by_epoch": [score // 2, score]}
        line = {**trial.to_dict(), "data_digest": "d", "epochs": 2, "loss": 0.1, "parameters": 9}
        line |= {"state": "finished" if goes_on else "stopped"} | outcome
        lines.append(json.loads(json.dumps(line)))
        sampler.tell(trial, line)
    return lines


@needs_optuna
@pytest.mark.parametrize("ended", [1, 7, 13])  # Optuna draws the first ten at random
def test_a_search_that_goes_on_proposes_what_it_would_have_without_the_interruption(
    space: Space, ended: int
) -> None:
    from netlet.experiments.search.fitting import Images
    from netlet.experiments.search.sampler import Sampler

    whole = pretend(Sampler(space, Images(), "d", []), 16)
    assert {line["state"] for line in whole} == {"finished", "stopped"}
    assert len({line["changes"]["peak_lr"] for line in whole}) == 16
    rest = Sampler(space, Images(), "d", whole[:ended])
    assert len(rest.known) == ended
    assert pretend(rest, 16 - ended) == whole[ended:]


@needs_optuna
def test_the_seeds_of_trials_that_were_lost_are_used_again(space: Space) -> None:
    from netlet.experiments.search.fitting import Images
    from netlet.experiments.search.sampler import Sampler

    whole = pretend(Sampler(space, Images(), "d", []), 5)
    kept = [whole[1], whole[3]]  # workers trained the others when the search was killed
    again = pretend(Sampler(space, Images(), "d", kept), 3)
    assert [line["seed"] for line in again] == [0, 2, 4]
    assert [line["params"] for line in again] == [whole[k]["params"] for k in (0, 2, 4)]


@needs_optuna
def test_the_worst_trials_are_stopped_at_a_rung_and_can_be_repeated(
    space: Space,
    blobs_for_mnist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from netlet.experiments.search import sampler

    monkeypatch.setattr(sampler, "_FIRST", 1)
    file = tmp_path / "x.jsonl"
    search(dataclasses.replace(space, keep=0.01), file, 4)
    lines = read_results(file)
    stopped = [line for line in lines if line["state"] == "stopped"]
    assert lines[0]["state"] == "finished"
    assert stopped
    best = 0
    for line in lines:  # in the order in which they ended
        (first, *rest) = line["correct_by_epoch"]
        assert bool(rest) == (first >= best) == (line["state"] == "finished")
        best = max(best, first)
    assert (stopped[0]["nll"], stopped[0]["train_correct"]) == (None, None)
    assert repeat_trial(file, 1 + lines.index(stopped[0])).identical


@needs_optuna
def test_dead_workers_and_failed_trials_are_survived_and_recorded(
    space: Space, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    died, diverged = WorkerDiedError(-9), TrainingError("the loss is nan at epoch 1, step 3")
    file = tmp_path / "x.jsonl"
    # The first trial dies twice and goes on, the second diverges, the third dies too often.
    executor = Inline(died, died, None, None, diverged, died, died, died)
    with pytest.warns(
        NetletWarning, match="its process was killed.*; another worker continues; to av"
    ):
        result = search(space, file, 4, executor)
    lines = read_results(file)
    assert [line["state"] for line in lines] == ["finished", "failed", "failed", "finished"]
    assert [line["restarts"] for line in lines] == [2, 0, 2, 0]
    assert lines[1]["error"] == str(diverged)
    assert lines[2]["error"] == str(died)
    assert [line["seed"] for line in result.lines] == [0, 1, 2, 3]
    with pytest.raises(RecordError, match=r"line 2: the trial failed .* no result to compare"):
        repeat_trial(file, 2)
    assert repeat_trial(file, 1).identical


@pytest.mark.slow
@needs_optuna
def test_a_search_whose_trials_all_fail_ends(
    space: Space, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    file = tmp_path / "x.jsonl"
    with pytest.raises(SearchError, match="5 trials in a row failed, the last one: train-im"):
        search(space, file, 9, Inline(*[DataError("train-images: gone")] * 9))
    assert len(read_results(file)) == 5
    file.unlink()
    with (
        pytest.raises(SearchError, match=r"same command again with fewer workers \(--workers\), "),
        warnings.catch_warnings(action="ignore"),
    ):
        search(space, file, 9, Inline(*[WorkerDiedError(-9)] * 15))


@needs_optuna
def test_the_command_prints_each_trial_the_best_and_a_plot(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netlet.experiments.search import run as module

    monkeypatch.setattr(module, "open_executor", lambda *_, **__: nullcontext(Inline()))
    (tmp_path / "mine.toml").write_text(SPACE)
    words = ("search", "mine.toml", "--trials", "2", "--resume", "--workers", "1")
    code, out, err = netlet(*words, "--plot", "mine.svg")
    assert code == 0, err
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "trial 1",
        "trial 2",
        "drawn into mine.svg",
    ]
    assert "2 trials (2 finished), 0 before" in out
    assert "train the best on all training images: netlet train " in out
    assert out.endswith("recorded in trials/mine.jsonl\n")
    svg = Path("mine.svg").read_text()
    assert "peak_lr" in svg
    for label in ("best so far", "median at each value", "val accuracy (%)"):
        assert f">{label}<" in svg, label
    assert "below the axis" not in svg  # no trial is
    assert "background:#fff" in svg  # a page that shows it may have other colors
    code, out, err = netlet(*words, "--json")
    document = json.loads(out)
    assert (code, document["trials"], document["known"]) == (0, [], 2)
    assert document["best"]["state"] == "finished"
    page = (ROOT / "docs" / "json.md").read_text().partition("## `netlet search`")[2]
    example = json.loads(page.partition("```json\n")[2].partition("```")[0])
    assert example.keys() == document.keys()
    assert example["trials"][0].keys() == document["best"].keys() - {"schema"}
    code, out, _ = netlet("search", "mine.toml", "--repeat", "1")
    assert (code, out.splitlines()[-1]) == (0, "the results are identical")
    more = ("search", "mine.toml", "--trials", "3", "--resume", "--workers", "1")
    assert netlet(*more)[2].startswith("trial 3: ")  # the line of the file, for --repeat


@needs_optuna
def test_a_search_without_trials_names_no_file(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(SPACE)
    code, out, _ = netlet("search", "mine.toml", "--trials", "0")
    assert (code, out) == (0, "0 trials (none), 0 before\n")


@needs_optuna
def test_a_search_warns_of_images_that_are_in_several_folds(
    netlet: Netlet, digits_file: Path
) -> None:
    once = load(digits_file)
    copies = once.train.take(torch.arange(0, 600, 3) % 300)  # of a third of the images
    images = torch.cat([once.train.images, copies.images])
    train = Split("train", images, torch.cat([once.train.labels, copies.labels]))
    twice = dataclasses.replace(once, train=train, checksums={}, measured=None)
    repeated = sum(count_repeated(twice.hold_out_fold(fold, 3)) for fold in range(3))
    assert 0 < repeated < 300
    for name, data in (("once", once), ("twice", twice)):
        save_npz(data, f"{name}.npz")
        Path("mine.toml").write_text(f'dataset = "{name}.npz"\n{SPACE}')
        err = netlet("search", "mine.toml", "--trials", "0", "-o", f"{name}.jsonl")[2]
        warning = f"twice.npz: {repeated} of 500 val images are also training images"
        assert (warning in err, "also" in err) == (name == "twice",) * 2


def test_a_terminal_shows_a_table_of_running_and_best_trials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from netlet.cli import search_progress

    monkeypatch.setattr(search_progress, "is_terminal", lambda: True)
    progress = search_progress.SearchProgress("mine", 3)
    line = {"state": "finished", "correct": 9_900, "total": 10_000, "loss": 0.1}
    line |= {"parameters": 590, "net": "1k5s2 P 2"}
    progress.begin([line | {"correct": 9_800}])
    progress(TrialEvent(trial=TRIAL, epochs=1, total_epochs=4, correct=97, total=100))
    progress(TrialEvent(trial=TRIAL, epochs=4, total_epochs=4, line=line))
    progress(
        TrialEvent(trial=TRIAL, epochs=1, total_epochs=4, line={"state": "failed", "error": "x"})
    )
    progress.close()
    err = capsys.readouterr().err
    assert "search mine: 2 of 3 trials (1 failed)" in err
    assert "seed 3: epoch 1/4 97.00%" in err
    assert "best 1: 99.00% with 590 parameters: 1k5s2 P 2" in err
    assert "best 2: 98.00%" in err


@pytest.mark.parametrize("ended", [False, True])
def test_ctrl_c_says_what_is_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, ended: bool
) -> None:
    from netlet.cli.search_progress import show_search

    file = tmp_path / "x.jsonl"
    if ended:
        file.write_text("{}\n")
    with pytest.raises(KeyboardInterrupt), show_search("mine", file):
        raise KeyboardInterrupt
    kept = f"the trials that have ended are in {file}" if ended else "none has ended"
    assert capsys.readouterr().err == (
        f"interrupted; {kept}, run the same command with --resume for the rest\n"
    )


@needs_optuna
@pytest.mark.slow
def test_a_search_that_is_killed_keeps_what_has_ended_and_runs_the_rest(
    digits_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(f'dataset = "{digits_file}"\n{SPACE}')
    words = ("search", "mine.toml", "--trials", "3", "--resume", "--workers", "1")
    command = [sys.executable, "-m", "netlet", *words]
    file = tmp_path / "trials" / "mine.jsonl"
    process = subprocess.Popen(command, cwd=tmp_path)
    while not (file.exists() and file.stat().st_size):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    kept = read_results(file)
    assert 1 <= len(kept) < 3
    subprocess.run(command, cwd=tmp_path, check=True)
    lines = read_results(file)
    assert lines[: len(kept)] == kept
    assert [line["seed"] for line in lines] == [0, 1, 2]
    assert {path.name for path in file.parent.iterdir()} == {file.name}  # no lock is left


@needs_optuna
@pytest.mark.slow
def test_a_ray_cluster_runs_the_same_trials_to_the_same_bits(
    digits_file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install '.[ray]'")
    (tmp_path / "mine.toml").write_text(f'dataset = "{digits_file}"\n{SPACE}')
    command = [sys.executable, "-m", "netlet", "search", "mine.toml", "--trials", "2"]
    for on in ("local", "ray"):
        words = [*command, "--workers", "1", "--on", on, "--out", f"{on}.jsonl"]
        subprocess.run(words, cwd=tmp_path, check=True)
    local, ray = (read_results(tmp_path / f"{on}.jsonl") for on in ("local", "ray"))
    assert len(local) == 2
    for key in ("state", "seed", "params", "correct_by_epoch", "loss_by_epoch", "weights_digest"):
        assert [line[key] for line in ray] == [line[key] for line in local]


@needs_optuna
@pytest.mark.slow
@pytest.mark.usefixtures("checkpoint_of_every_epoch")
def test_a_worker_that_is_killed_costs_a_search_one_epoch(
    space: Space, digits_file: Path, tmp_path: Path
) -> None:
    import os
    import signal

    from netlet.experiments.search.run import run_search

    own = dataclasses.replace(space, dataset=str(digits_file), epochs=30, rungs=())
    killed: list[int] = []

    def kill(event: TrialEvent) -> None:
        if event.epochs == 3 and not killed:
            import multiprocessing

            (child,) = [one for one in multiprocessing.active_children() if one.pid]
            killed.append(child.pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    with pytest.warns(NetletWarning, match="another worker continues"):
        run_search(own, tmp_path / "x.jsonl", 2, 1, kill)
    lines = read_results(tmp_path / "x.jsonl")
    assert [(line["state"], line["restarts"]) for line in lines] == [
        ("finished", 1),
        ("finished", 0),
    ]
    assert repeat_trial(tmp_path / "x.jsonl", 1).identical
