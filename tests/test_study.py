"""Studies run seeds in parallel, lose nothing when a worker dies, and train only what is missing."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import (
    FIXTURES,
    Netlet,
    make_seed_result,
    make_study,
    set_options,
    start_interruptible,
)

from netlet import records, stats
from netlet.budgets import Budget
from netlet.errors import RecordError
from netlet.experiments.seeds import SeedError
from netlet.records import to_json_value

FAST = set_options(epochs=2, batch_size=50, precision="float32", ema_decay=0.5)


@pytest.fixture
def digits(digits_file: Path, tmp_path: Path) -> str:
    """Copy a data set to the folder of the test, for worker processes cannot use fixtures."""
    shutil.copy(digits_file, tmp_path)
    return digits_file.name


def test_statistics_match_a_calculation_by_hand() -> None:
    found = make_study(
        make_seed_result(0, 990),
        make_seed_result(1, 994, train_s=3.0),
        make_seed_result(2, 995, verdict="FAIL", train_s=2.0),
    )
    assert stats.mean_percent(found) == pytest.approx(99.3)
    assert stats.sd_points(found) == pytest.approx((((3**2 + 1 + 2**2) / 2) ** 0.5) / 10)
    half = (
        4.30265 * (7**0.5 / 10) / 3**0.5
    )  # Student's t at 0.975 with two degrees of freedom, from a printed table
    assert stats.interval_over_seeds(found) == pytest.approx((99.3 - half, 99.3 + half), abs=1e-5)
    text = stats.study_text(found)
    assert "swift on mnist, 3 seeds, last epoch on 1,000 test images:" in text
    assert "mean accuracy 99.300%, sd 0.265 points, 990 to 995 correct" in text
    assert "95% interval over seeds: 98.643 to 99.957%; over images: 98." in text
    assert "2 of 3 meet the budget" not in text  # it has none
    assert "median training time 2.0 s with 1 thread for each seed" in text
    assert stats.study_to_json(found)["result"]["median_train_s"] == 2.0
    alone = make_study(make_seed_result(7, 990))
    assert (stats.sd_points(alone), stats.interval_over_seeds(alone)) == (None, None)
    assert "mean accuracy 99.000%, 990 correct" in stats.study_text(alone)
    assert "over seeds: unknown, there is one seed only" in stats.study_text(alone)


def test_a_summary_names_what_the_mean_misses() -> None:
    budget = Budget(name="bar", params_below=2, requires=("Dropout",), accuracy_at_least=99.0)
    found = make_study(
        *(make_seed_result(seed, 990, verdict="FAIL") for seed in range(2)),
        budget=to_json_value(budget),
    )
    lines = stats.study_text(found).splitlines()
    place = lines.index("budget bar: 0 of 2 seeds pass; mean of the seeds: FAIL")
    assert lines[place + 1 : place + 3] == [
        "missed: parameters: found 3, limit below 2",
        "missed: Dropout layers: found 0, limit at least 1",
    ]
    assert not lines[place + 3].startswith("missed")
    told = budget.replace(messages={"params_below": "Use fewer.", "accuracy_at_least": "Not met."})
    found = dataclasses.replace(found, budget=to_json_value(told))
    assert stats.study_text(found).splitlines()[place + 1 : place + 4] == [
        "missed: parameters: found 3, limit below 2",
        "parameters: Use fewer.",
        "missed: Dropout layers: found 0, limit at least 1",
    ]
    elsewhere = dataclasses.replace(
        found,
        budget=to_json_value(budget.replace(dataset="mnist")),
        data=found.data | {"name": "color"},
    )
    lines = stats.study_text(elsewhere).splitlines()
    assert lines[place].endswith("mean of the seeds: FAIL")
    assert "not judged: accuracy, last epoch at least 99% on mnist" in lines[place + 1 :]


def test_a_study_prints_the_check_of_its_net_once_before_training(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.experiments.study.train_seeds", lambda *_: [SeedError(0, "no")])
    (tmp_path / "class.toml").write_text('requires = ["Dropout"]\nepochs_at_most = 3\n')
    words = ("--seeds", "2", "--epochs", "4", "--budget", str(tmp_path / "class.toml"))
    code, out, err = netlet("study", "4 P 8", *words)
    assert (code, out) == (2, "")
    assert err.count("class: FAIL\n") == 1
    assert err.index("4 planned") < err.index("Dropout layers: add nn.Dropout") < err.index("(seed")


def test_a_study_says_which_seeds_it_trains_and_how() -> None:
    from netlet.cli.training_progress import say_seeds
    from netlet.data import make_scribble
    from netlet.experiments import EXPERIMENTS

    images, swift = make_scribble(train=40, test=20), EXPERIMENTS["swift"]

    def said(seeds: range, left: list[int]) -> str:
        with contextlib.redirect_stderr(io.StringIO()) as stream:
            say_seeds(swift, images, 10, seeds, left)
        return stream.getvalue()

    how = "training swift on scribble: recipe quick, 5 epochs of 30 images, batch size 128"
    assert said(range(3, 4), [3]) == f"{how}, seed 3\n"
    assert said(range(5), [0, 1, 2, 3, 4]) == f"{how}, seeds 0 to 4\n"
    assert said(range(5), [1, 4]) == f"{how}, seeds 0 to 4 (3 of 5 finished before)\n"
    assert said(range(5), []) == "swift on scribble: 5 seeds finished, nothing to train\n"


def test_a_study_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    found = make_study(make_seed_result(0, 990, verdict=""), make_seed_result(1, 994, verdict=""))
    records.save_study(found, tmp_path / "study.json")
    assert records.load_study(tmp_path) == found
    assert len((tmp_path / "study.json").read_text().splitlines()) < 30
    for content, message in (
        ("{", "expected the JSON record of a study, found broken JSON"),
        ("{}", "expected the record of a study, found something else"),
        ('{"schema": 99, "seeds": []}', "expected schema 2 to 4, found 99"),
    ):
        (tmp_path / "study.json").write_text(content)
        with pytest.raises(RecordError, match=message):
            records.load_study(tmp_path)


def test_a_study_says_that_its_seeds_are_too_short_to_compile() -> None:
    from netlet.cli.training_progress import describe_short_training
    from netlet.data import make_scribble
    from netlet.experiments import EXPERIMENTS

    images, experiment = make_scribble(train=40, test=20), EXPERIMENTS["swift"]
    text = describe_short_training(experiment, images, 10)
    assert text.startswith(
        "every seed was trained with the eager backend, because compiling takes longer than"
    )
    for changes in ({"epochs": 1_000}, {"backend": "eager"}, {"backend": "compiled"}):
        changed = dataclasses.replace(experiment, recipe=experiment.recipe.replace(**changes))
        assert describe_short_training(changed, images, 10) == ""


@pytest.mark.slow
def test_parallel_seeds_give_the_same_weights_as_single_runs(
    netlet: Netlet, digits: str, tmp_path: Path
) -> None:
    arguments = (
        "study",
        "code_2",
        "--dataset",
        digits,
        "--seeds",
        "3",
        "--first-seed",
        "4",
        "--workers",
        "2",
        *FAST,
    )
    code, out, err = netlet(*arguments)
    assert code == 0, err  # not judged: the bar is MNIST's
    assert "recorded in studies/code_2-digits.npz/study.json" in out
    assert "every seed was trained with the eager backend, because compiling takes longer" in out
    said = [line for line in err.splitlines() if line.startswith("worker ")]
    assert sorted(line.split(": ")[1] for line in said) == [
        "seed 4",
        "seed 5",
        "seed 6",
    ]
    folder = tmp_path / "studies" / "code_2-digits.npz"
    found = records.load_study(folder)
    assert [seed.seed for seed in found.seeds] == [4, 5, 6]
    netlet("train", "code_2", "--dataset", digits, "--seed", "5", "--threads", "1", *FAST)
    alone = records.load_run(tmp_path / "runs" / "code_2-digits.npz-seed5")
    assert found.seeds[1].weights_digest == alone.weights_digest
    assert found.seeds[1].correct == alone.last_epoch.correct
    assert len(found.seeds[1].mistakes) == 100 - alone.last_epoch.correct
    assert found.environment["threads"] == 1

    stamp = (folder / "seed-4" / "run.json").stat().st_mtime_ns
    code, out, err = netlet(*arguments[:5], "4", *arguments[6:], "--json")
    assert code == 0
    assert "seed 7" in err  # the missing one
    assert "seed 4" not in err
    assert (folder / "seed-4" / "run.json").stat().st_mtime_ns == stamp
    assert json.loads(out)["result"]["seeds"] == 4
    for change, what in (
        (("--set", "batch_size=9"), "recipe (batch_size 50 there, 9 now)"),
        (("--val", "20"), "validation split (0 there, 20 now)"),
        (("--budget", "eight_k"), "budget (epochs_at_most None there, 15 now; "),
        (("--channels", "3"), "number of channels (1 there, 3 now)"),
    ):
        code, _, err = netlet(*arguments, *change)
        assert code == 2
        assert f"code_2-digits.npz: holds a run with a different {what}" in err
        assert "give the one that it has, or name another folder with --out" in err
        assert len(err.splitlines()) == 1
    shutil.copytree(folder / "seed-4", folder / "seed-9")
    code, _, err = netlet(*arguments[:5], "1", "--first-seed", "9", *arguments[8:])
    assert code == 2
    assert err == (
        "netlet: studies/code_2-digits.npz/seed-9: holds the run of seed 4; rename it to seed-4, "
        "or move it away\n"
    )
    shutil.rmtree(folder / "seed-9")
    own = (folder / "seed-5" / "weights.safetensors").read_bytes()
    shutil.copy(folder / "seed-4" / "weights.safetensors", folder / "seed-5")
    code, _, err = netlet(*arguments)
    assert code == 2
    assert "seed-5/weights.safetensors: has weights with the digest" in err
    assert err.endswith(
        "; restore the file, or move studies/code_2-digits.npz/seed-5 away to train this seed "
        "again\n"
    )
    (folder / "seed-5" / "weights.safetensors").write_bytes(own)
    shutil.copy(digits, "renamed.npz")
    words = ["renamed.npz" if one == digits else one for one in arguments]
    code, _, err = netlet(*words, "-o", "studies/code_2-digits.npz")
    assert code == 2
    assert "different name of the data set (digits.npz there, renamed.npz now)" in err


KILLED = """
import os, signal
from pathlib import Path
import torch
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
        self.seed, self.steps = torch.initial_seed(), 0
    def forward(self, x):
        self.steps += self.training  # the analysis of a net runs it in evaluation mode
        if self.steps == 5 and Path(f"kill-{self.seed}").exists():
            if Path(f"kill-{self.seed}").read_text() == "once":
                Path(f"kill-{self.seed}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)
"""


@pytest.mark.slow
def test_a_killed_worker_loses_only_its_seed(netlet: Netlet, digits: str, tmp_path: Path) -> None:
    (tmp_path / "fragile.py").write_text(KILLED)
    (tmp_path / "kill-0").write_text("once")
    (tmp_path / "kill-1").write_text("always")
    arguments = (
        "study",
        "fragile.py:Net",
        "--dataset",
        digits,
        "--seeds",
        "3",
        "--workers",
        "2",
        "--out",
        "s",
        *FAST,
    )
    code, out, err = netlet(*arguments)
    assert (code, out) == (2, "")
    for seed in (0, 1):
        assert (
            f"netlet: warning: seed {seed}: its process was killed, as the system does when memory "
            "runs out (code -9); another worker continues after 0 epochs; to avoid this, run it with "
            "fewer workers (--workers)\n" in err
        )
    assert "1 of 3 seeds is not finished (seed 1: " in err
    assert (
        "(seed 1: its process was killed, as the system does when memory runs out (code -9)); "
        "finished seeds are kept in s, run the same command for the rest with fewer workers "
        "(--workers)"
    ) in err.splitlines()[-1]
    assert len(list((tmp_path / "s").glob("seed-*/run.json"))) == 2
    assert not (tmp_path / "s" / "study.json").exists()
    (tmp_path / "kill-1").unlink()
    code, _, err = netlet(*arguments)
    assert code == 0, err
    assert err.count(": seed ") == 1  # the missing one went on
    assert len(records.load_study(tmp_path / "s").seeds) == 3


@pytest.mark.slow
def test_studies_of_different_seeds_in_one_folder_lose_none(
    netlet: Netlet, digits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first study trains seed 0, another one trains and records seed 7."""
    from netlet.experiments import seeds, study

    common = ("study", "code_2", "--dataset", digits, "--workers", "1", "-o", "s", *FAST)
    train_seeds = seeds.train_seeds
    others: list[tuple[int, str, str]] = []

    def train_while_another_study_runs(*arguments: Any) -> list[str]:
        monkeypatch.setattr(study, "train_seeds", train_seeds)
        (claim,) = os.listdir(tmp_path / "s")
        assert re.fullmatch(r"\.seeds-0-0-[0-9a-f]{12}\.netlet-lock", claim)
        for more in (("--first-seed", "8", "--set", "epochs=3"), ("--first-seed", "7"), ()):
            others.append(netlet(*common, "--seeds", "1", *more))
        return train_seeds(*arguments)

    monkeypatch.setattr(study, "train_seeds", train_while_another_study_runs)
    code, _, err = netlet(*common, "--seeds", "1")
    assert code == 0, err
    assert others[0][0] == 2
    assert "trains another experiment there; name another folder with --out" in others[0][2]
    assert others[1][0] == 0, others[1][2]
    assert [seed.seed for seed in records.load_study(tmp_path / "s").seeds] == [0, 7]
    assert sorted(os.listdir(tmp_path / "s")) == ["seed-0", "seed-7", "study.json"]
    code, out, err = others[2]
    assert (code, out) == (2, "")
    assert re.fullmatch(
        rf"netlet: s: process {os.getpid()} on \S+ \(netlet study since .* UTC\) trains seeds 0 to "
        r"0 there; wait until it has ended, or train others with --first-seed \(seeds in Python\)",
        err.splitlines()[-1],
    )


def test_a_study_whose_record_cannot_be_written_says_so_before_the_training(
    netlet: Netlet, digits: str, tmp_path: Path
) -> None:
    (tmp_path / "s" / "study.json").mkdir(parents=True)
    code, out, err = netlet("study", "code_2", "--dataset", digits, "--out", "s", *FAST)
    assert (code, out) == (2, "")
    assert "s/study.json: cannot be written (it is a folder)" in err
    assert len(err.splitlines()) == 1
    assert os.listdir(tmp_path / "s") == ["study.json"]


def test_results_never_go_into_the_folder_of_images(netlet: Netlet, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for command in ("train", "study"):
        code, _, err = netlet(command, "code_2", "--dataset", "images", "--out", "images/new")
        assert code == 2
        assert "images/new: lies in the data set images; name a folder outside of it" in err
    assert os.listdir(tmp_path / "images") == []


def test_settings_may_be_written_in_another_order(
    netlet: Netlet, digits: str, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    settings = [("--set", "epochs=1"), ("--set", "peak_lr=0.01"), ("--set", "batch_size=60")]
    command = ("study", "4 P 8", "--dataset", digits, "--recipe", "steady", "--workers", "1")
    for seeds, given in ((1, settings), (2, settings[::-1])):
        options = [word for pair in given for word in pair]
        netlet(*command, *options, "-o", str(folder), "--seeds", str(seeds))
    names = [records.load_run(path).recipe["name"] for path in sorted(folder.glob("*/run.json"))]
    assert len({*names}) == 2
    code, _, err = netlet("runs", str(folder))
    assert (code, err) == (0, "")
    (folder / "study.json").unlink()
    assert "recorded in" in netlet(*command, *options, "-o", str(folder), "--seeds", "2")[1]


@pytest.mark.slow
def test_errors_in_workers_are_reported(netlet: Netlet, digits: str, tmp_path: Path) -> None:
    net = f"{FIXTURES}/small_nets.py:Diverging"
    code, _, err = netlet(
        "study", net, "--dataset", digits, "--seeds", "2", "--workers", "1", *FAST
    )
    assert code == 2
    assert (
        "2 of 2 seeds are not finished (seeds 0, 1: the loss is nan at epoch 1, step 1; try a lower"
        in err.splitlines()[-1]
    )
    assert "run the same command" not in err  # which would end in the same way
    trained = err[err.index("training ") :]  # below the check of the budget
    assert len(trained.splitlines()) == 1 + 3


@pytest.mark.slow
def test_ctrl_c_keeps_finished_seeds(digits: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "netlet",
        "study",
        "code_2",
        "--dataset",
        digits,
        "--seeds",
        "50",
        "--out",
        "s",
        "--workers",
        "1",
        *FAST,
    ]
    process = start_interruptible(command, cwd=tmp_path, start_new_session=True)
    while not list((tmp_path / "s").glob("seed-*/run.json")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert (
        "interrupted; finished seeds and checkpoints are kept in s, run the same command for the rest"
        in err
    )
    assert "Traceback" not in err
