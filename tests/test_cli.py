"""The commands as a person runs them: output, exit codes, one line for each error."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import FIXTURES, ROOT, Netlet, few_fast, make_seed_result, make_study, set_options

from netlet.catalog import BUDGETS, RECIPES
from netlet.errors import OutputError
from netlet.export.result import write_files
from netlet.nets import NETS


@pytest.mark.slow
def test_list_shows_every_net(netlet: Netlet) -> None:
    code, out, _ = netlet("list")
    assert code == 0
    for name in NETS:
        assert f"\n{name} " in out
    assert "\nNAME.documented is the net NAME with the recipe of its write-up.\n" in out
    assert out.splitlines()[-1].startswith("Write-ups 000 to 004 are five course write-ups: ")
    rows = {row["name"]: row for row in json.loads(netlet("list", "--json")[1])["experiments"]}
    assert rows["mnistnet_1"]["parameters"] == 7_416
    assert rows["mnistnet_1"]["macs"] == 1_131_712
    assert rows["mnistnet_1"]["receptive_field"] == [28, 28]
    assert rows["mnistnet_1"]["standing"] == "NOT YET"
    assert rows["week4"]["standing"] == "FAIL"
    assert rows["code_1"]["standing"] == "FAIL"


def test_list_recipes_and_budgets_says_what_each_is_for(netlet: Netlet) -> None:
    code, out, _ = netlet("list", "--recipes", "--budgets")
    assert code == 0
    for name in (*RECIPES, *BUDGETS):
        assert f"\n{name} " in out
    assert "fewer than 8,000 parameters, at most 15 epochs, more than 99.4% accuracy" in out
    assert "at most 3,700 parameters, at most 20 epochs, at least 99.4% accuracy" in out
    assert "at most 3,762 parameters, at most 20 epochs, at least 99.5% accuracy" in out
    assert "more than 99.4% accuracy, no Linear layer" in out
    listed = json.loads(netlet("list", "--recipes", "--budgets", "--json")[1])
    assert listed["kind"] == "list"
    assert [row["name"] for row in listed["recipes"]] == list(RECIPES)
    limits = {row["name"]: row["limits"] for row in listed["budgets"]}
    assert limits["eight_k"]["params_below"] == 8_000
    assert all(row["about"] for row in listed["recipes"] + listed["budgets"])
    assert "experiments" not in listed


def test_show(netlet: Netlet) -> None:
    assert "7,416 (7,416 trainable, 0 non-trainable)" in netlet("show", "mnistnet_1")[1]
    shown = netlet("show", "swift")[1]
    assert shown.startswith("swift, input 1x28x28\n")
    assert "receptive field  42x42 (larger than the 28x28 input)" in shown
    assert "Total mult-adds (M): 1.13" in netlet("show", "mnistnet_1", "--style", "torchinfo")[1]
    assert (
        "Estimated Total Size (MB): 0.47" in netlet("show", "pyramid", "--style", "torchsummary")[1]
    )
    rf = json.loads(netlet("show", "mnistnet_1", "--rf", "--json")[1])
    assert [row["r_out"][0] for row in rf["rows"]] == [3, 5, 5, 6, 10, 14, 18, 28, 28]
    assert json.loads(netlet("show", "code_2", "--json")[1])["parameters"] == 4_990
    styled = json.loads(netlet("show", "code_2", "--style", "torchinfo", "--json")[1])
    assert "Total params: 4,990" in styled["table"]
    assert "receptive field: 28" in netlet("show", "mnistnet_1.documented", "--rf")[1]


def test_check_exit_codes(netlet: Netlet) -> None:
    assert netlet("check", "mnistnet_1")[0] == 0
    code, out, _ = netlet("check", "code_1", "--budget", "eight_k")
    assert code == 1
    assert "most parameters: layer 13 (Conv2d) 47,040" in out
    code, out, _ = netlet("check", "week4", "--forbid", "Linear")
    assert (code, out.splitlines()[0], out.splitlines()[-1]) == (
        1,
        "command-line limits: FAIL",
        "Linear layers: fc2.0",
    )
    verdict = json.loads(netlet("check", "pyramid", "--params-below", "18531", "--json")[1])
    assert verdict["state"] == "PASS"
    rule = {"rule": "parameters", "strictness": "below", "limit": 18_531, "found": 18_530}
    assert verdict["rules"][0].items() >= {**rule, "margin": 0, "state": "PASS"}.items()
    assert netlet("check", "pyramid", "--params-below", "18530")[0] == 1
    assert netlet("check", "mnistnet_1.documented")[0] == 1  # 20 epochs where 15 are asked
    replaced = netlet(
        "check",
        "mnistnet_1",
        "--budget",
        "eight_k",
        "--accuracy-at-least",
        "99",
        "--macs-below",
        "9",
    )
    assert replaced[0] == 1
    assert "at least 99%" in replaced[1].replace("99 %", "99%")
    assert "above 99.4" not in replaced[1]


def test_foreign_nets_everywhere(netlet: Netlet) -> None:
    address = f"{FIXTURES}/small_nets.py:color_any_size"
    assert "3x32x40" in netlet("show", address, "--input", "3,32,40")[1]
    assert netlet("check", address, "--input", "3,32,40")[0] == 0
    code, _, err = netlet("show", address)
    assert code == 2
    assert "set another with --input C,H,W in show and check" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    few_fast(
        [
            (("show", "nope"), "no experiment or net 'nope'"),
            (("show", "swfit"), "did you mean 'swift'?"),
            (
                ("check", f"{FIXTURES}/small_nets.py"),
                "small_nets.py: name the net in this file, for example ",
            ),
            (("check", "nowhere.py"), "nowhere.py: no such file; check its path"),
            (
                ("evaluate", "runs/swift-seed9"),
                "runs/swift-seed9: no such folder; 'netlet runs' lists your runs",
            ),
            (
                ("report", "runs/swift-seed9"),
                "runs/swift-seed9: no such folder or file; 'netlet runs' lists your runs",
            ),
            (("show", "/"), "/: is a folder, not a net; name one from 'netlet list'"),
            (
                ("train", "--data-dir", "scribble"),
                "mnist not found in the folder scribble; for the data set scribble, pass --dataset ",
            ),
            (
                ("show", "swift", "--style", "keras"),
                "no style 'keras'; there are: torchsummary, torchinfo",
            ),
            (
                ("show", "swift", "--input", "28x28"),
                "--input '28x28' is not a shape; write channels, height, width, like 1,28,28",
            ),
            (
                ("show", "8 8", "--input", "1,2"),
                "'8 8': the shape 1,2 is not that of an image; give channels, height, width, like 1,28,28",
            ),
            (("show", "swift", "--input", "1,4,4"), "conv2.0 (Conv2d) with input 8x1x1: "),
            (
                ("show", "swift", "--style", "torchinfo", "--rf"),
                "--style and --rf cannot be combined; pass only one",
            ),
            (("check", "swift", "--budget", "mine"), "no budget 'mine'"),
            (
                ("check", "swift", "--params-below", "-1"),
                "params_below=-1 is too small; give 1 or more",
            ),
            (
                ("check", "swift", "--forbid", "Liner"),
                "no kind of layer is called 'Liner'; did you mean 'Linear'?",
            ),
            (
                ("check", "swift", "--epochs-below", "3", "--epochs-at-most", "3"),
                "cannot be combined; pass only one",
            ),
            (("check",), "no NET is named; name one, like model.py:Net, or write netlet.toml"),
            (("frobnicate",), "no command 'frobnicate'"),
            (("train", "--set", "epochs"), "has no '='; write key=value, like epochs=5"),
            (("train", "--set", "epochs=many"), "epochs='many' is not a whole number"),
            (
                ("train", "--set", "epoch=3"),
                "a recipe has no setting 'epoch'; did you mean 'epochs'?",
            ),
            (("train", "--set", "nesterov=yes"), "nesterov='yes' is not true or false"),
            (
                ("train", "--set", "augment=wild"),
                "augment='wild' is unknown; choose one of none, light",
            ),
            (("train", "--set", "augment.turn=3"), "augment has no setting 'turn'"),
            (("train", "--set", "peak_lr=-1"), "peak_lr=-1.0 is out of range"),
            (("train", "--recipe", "slow"), "no recipe 'slow'"),
            (("train", "--seed", "x"), "invalid value for '--seed'"),
            (("train", "--val", "7"), "val=7 of 600 training images is out of range"),
            (("train", "--weights", "none.pt"), "no such weights file"),
            (("train", "--data-dir", "/nonexistent"), "mnist not found in /nonexistent"),
            (("train", "--dataset", "minst"), "no data set 'minst'; did you mean 'mnist'?"),
            (
                ("train", "--dataset", "./nothing"),
                "./nothing: no such folder or file; public data sets are: mnist",
            ),
            (
                ("train", "--dataset", "scribble", "--data-dir", "x"),
                "scribble is generated, not read from a folder; leave out --data-dir x (folder in",
            ),
            (
                ("train", "--resume", "nowhere"),
                "nowhere: no such folder; pass the folder of the run to resume",
            ),
            (("data", "get", "minst"), "no public data set 'minst'; did you mean 'mnist'?"),
            (("data", "make", "kmnist"), "only scribble can be generated"),
            (("runs", "nowhere"), "nowhere: no such folder"),
            (("runs", "--json", "--jsonl"), "--json and --jsonl cannot be combined"),
            (
                ("search", "speck", "-o", "."),
                ".: is a folder; name a file with --out",
            ),
            (
                ("climb", "nowhere.toml"),
                "nowhere.toml: no such file; name a ladder's .toml file",
            ),
            (
                ("study", "code_2", "--chosen-by", "nowhere"),
                "nowhere: no such file; name the file that 'netlet search' wrote",
            ),
        ],
        24,
    ),
)
def test_every_error_is_one_line_and_exit_2(
    netlet: Netlet, blobs_for_mnist: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = netlet(*arguments)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert err.startswith("netlet: ")
    assert out == ""


@pytest.mark.slow
def test_debug_shows_the_traceback_and_keeps_the_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "netlet", "show", "nope", "--debug"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Traceback")


FAST = set_options(epochs=2, batch_size=60, precision="float32", ema_decay=0.5)


def test_train_records_judges_and_lists(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    code, out, err = netlet("train", "code_2", "--seed", "3", "--json", *FAST)
    record = json.loads(out)
    assert code == (0 if record["verdict"]["state"] == "PASS" else 1)
    assert record["seed"] == 3
    assert record["last_epoch"].keys() == {"epoch", "split", "correct", "total"}
    assert record["last_epoch"]["split"] == "test"
    assert record["recipe"]["epochs"] == 2
    assert (record.pop("kind"), record.pop("folder")) == ("run", "runs/code_2-seed3")
    folder = tmp_path / "runs" / "code_2-seed3"
    assert json.loads((folder / "run.json").read_text()) == record
    assert err.count("epoch ") >= 2
    assert "\r" not in err  # no bar where there is no terminal
    assert "document_004: " in err.splitlines()[0]  # checked before it is trained

    netlet("train", "code_2", "--seed", "3", *FAST)
    assert (tmp_path / "runs" / "code_2-seed3-2" / "run.json").is_file()
    assert json.loads((folder / "run.json").read_text()) == record

    code, out, _ = netlet("runs")
    assert code == 0
    assert out.count("code_2") >= 4
    listed = json.loads(netlet("runs", "--json")[1])["runs"]
    assert [row["path"] for row in listed] == ["runs/code_2-seed3", "runs/code_2-seed3-2"]
    assert [row["state"] for row in listed] == ["finished"] * 2
    assert listed[0]["weights_digest"] == listed[1]["weights_digest"]


def test_train_with_val_overrides_and_weights(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    code, out, _ = netlet(
        "train",
        "code_3",
        "--val",
        "50",
        "--budget",
        "twenty_k",
        "--recipe",
        "quick",
        *FAST,
        "--set",
        "augment.rotate_deg=9",
        "--set",
        "dropout=none",
        "--json",
    )
    record = json.loads(out)
    assert code == 0  # NOT YET is not a failure
    assert record["last_epoch"]["split"] == "val"
    assert record["verdict"]["budget"] == "twenty_k"
    assert record["recipe"]["augment"][0]["rotate_deg"] == 9
    name = record["recipe"]["name"]
    assert name.startswith("quick with epochs=2, batch_size=60, ")
    assert name.endswith(", augment.rotate_deg=9, dropout=None")
    assert record["recipe"]["dropout"] is None
    weights = str(tmp_path / "runs" / "code_3-seed0" / "weights.safetensors")
    code, out, _ = netlet(
        "train", "code_3", "--weights", weights, *FAST, "--json", "--val", "50", "--recipe", "quick"
    )
    assert json.loads(out)["epochs"][0]["train_loss"] < record["epochs"][0]["train_loss"]
    code, _, err = netlet("train", "code_2", "--weights", weights)
    assert code == 2
    assert "these weights belong to another net;" in err


@pytest.mark.parametrize("command", ["train", "study"])
def test_judging_val_needs_images_that_are_held_out(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path, command: str
) -> None:
    code, _, err = netlet(command, "code_2", *FAST, "--judge", "val", "-o", "there")
    assert code == 2
    assert err.splitlines()[-1] == (
        "netlet: --judge val: mnist has test images and none are held out, so the run would "
        "be scored on test; add --val N, or leave out --judge val"
    )
    assert not Path("there").exists()


def test_train_says_its_verdict_in_words(netlet: Netlet, blobs_for_mnist: Path) -> None:
    code, out, _ = netlet("train", "code_2", *FAST, "--set", "epochs=1")
    assert code in (0, 1)
    assert out.startswith("document_004: ")
    assert "shown, not judged" in out
    assert "recorded in runs/code_2-seed0" in out


def test_one_bad_record_does_not_hide_the_others(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    netlet("train", "code_2", *FAST, "--set", "epochs=1")
    for name, text in (
        ("cut", '{"schema": 1, "last_'),
        ("other", '{"a": 1}'),
        ("new", '{"schema": 99, "last_epoch": 1}'),
        ("lacks", '{"schema": 1, "last_epoch": {}}'),
    ):
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "run.json").write_text(text)
    code, out, err = netlet("runs")
    assert code == 1
    assert "code_2" in out
    for words in (
        "found broken JSON",
        "found something else",
        "expected schema 1 to",
        "lacks/run.json: expected a value for 'recipe', found nothing",
    ):
        assert words in err
    assert len(err.splitlines()) == 4


def test_out_that_is_a_file_or_cannot_be_made(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("mine")
    code, _, err = netlet("train", "code_2", "--out", "taken", *FAST)
    assert code == 2
    assert "taken: is a file; name a folder with --out" in err
    for command in (
        ("train", "code_2", "--out", "taken/run", *FAST),
        ("study", "code_2", "--out", "taken/run", *FAST),
        ("climb", "document_004", "--out", "taken/run"),
        ("export", "swift", "--to", "c", "--out", "taken/run"),
    ):
        code, _, err = netlet(*command)
        assert code == 2
        assert err == "netlet: taken/run: taken is a file; name a folder with --out\n"
    code, _, err = netlet("search", "speck", "--out", "taken/x.jsonl")
    assert code == 2
    assert err == "netlet: taken/x.jsonl: taken is a file; name another file with --out\n"
    with pytest.raises(OutputError, match="name another folder with --out"):
        write_files({tmp_path / "taken" / "netlet.h": ""}, named="folder")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "full" / "checkpoint.pt").write_text("damaged")
    code, _, err = netlet("train", "code_2", "-o", "full", *FAST)
    assert code == 2
    assert "full: is not empty; --out is the run's own folder" in err
    code, _, err = netlet("train", "code_2", "--out", "/proc/nothing", *FAST)
    assert code == 2
    assert err.startswith("netlet: /proc/nothing: cannot be written (")


# --- which images
# --------------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without MNIST and without a network, on which scribble is quick to draw."""
    from netlet.data import load as loading
    from netlet.data import make_scribble

    monkeypatch.delenv("NETLET_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        sys.modules[loading.__module__], "load_scribble", lambda *_, **__: make_scribble(600, 100)
    )


@pytest.mark.slow
def test_without_mnist_it_trains_on_scribble_and_withholds_the_verdict(
    netlet: Netlet, nowhere: None, tmp_path: Path
) -> None:
    code, out, err = netlet("train", *FAST)
    assert code == 0
    warnings = [line for line in err.splitlines() if line.startswith("netlet: ")]
    assert warnings == [
        "netlet: warning: MNIST is not on this machine and cannot be downloaded; training on scribble, generated "
        "digits, instead ('netlet data get mnist' shows why)"
    ]
    assert "training swift on scribble: " in err
    assert out.startswith("twenty_k: not judged: trained on scribble\n")
    folder = tmp_path / "runs" / "swift-scribble-seed0"
    record = json.loads((folder / "run.json").read_text())
    assert record["data"]["name"] == "scribble"
    assert record["verdict"]["state"] == "NOT JUDGED"
    assert record["verdict"]["withheld"] == "trained on scribble"
    assert json.loads((folder / "epochs.jsonl").read_text().splitlines()[0])["data"] == "scribble"
    assert b'"data":"scribble"' in (folder / "weights.safetensors").read_bytes()
    assert "scribble" in netlet("runs")[1]
    # What it costs is judged all the same.
    code, out, _ = netlet("train", "code_1", *FAST)
    assert code == 1
    assert out.startswith("document_004: FAIL\n")


def test_mnist_by_name_is_mnist_or_nothing(netlet: Netlet, nowhere: None, tmp_path: Path) -> None:
    for arguments, remedy in (
        (("train", "--dataset", "mnist"), "or put its four IDX files"),
        (
            ("train", "--data-dir", "some where"),
            "not found in some where; name the folder of its four IDX files (train-images-idx3-ubyte, "
            "..., plain or .gz), leave out --data-dir (folder in Python), or run 'netlet data get "
            "mnist --out 'some where''",
        ),
        (("data", "show", "mnist"), "or put its four IDX files"),
    ):
        code, out, err = netlet(*arguments)
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert remedy in err
    assert not (tmp_path / "runs").exists()
    code, out, err = netlet("data", "verify", "mnist")
    assert (code, out) == (1, "")
    assert "'netlet data get mnist' downloads it" in err
    code, out, _ = netlet("data", "verify")
    assert code == 0
    assert "mnist: not on this machine" in out
    assert "not here" in netlet("data", "list")[1]
    assert {row["name"] for row in json.loads(netlet("data", "list", "--json")[1])["datasets"]} >= {
        "mnist",
        "qmnist",
        "scribble",
    }


def test_a_damaged_mnist_is_no_reason_to_train_on_something_else(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(blobs_for_mnist, tmp_path / "bad")
    path = tmp_path / "bad" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    monkeypatch.setenv("NETLET_DATA", str(tmp_path / "bad"))
    code, _, err = netlet("train")
    assert code == 2
    assert "expected a complete gzip file, found a broken one" in err
    code, _, err = netlet("data", "verify")
    assert code == 1
    assert "train-images-idx3-ubyte.gz: expected a complete gzip file" in err


def test_data_verify_and_list_name_what_is_here(netlet: Netlet, blobs_for_mnist: Path) -> None:
    code, out, _ = netlet("data", "verify")
    assert code == 0
    assert "mnist: complete, 600 train and 100 test images of 1x28x28, 10 classes, SHA-256 " in out
    assert str(blobs_for_mnist) in netlet("data", "list")[1]


def test_a_verb_without_anything_shows_its_help(netlet: Netlet) -> None:
    for arguments in ((), ("data",)):
        code, out, err = netlet(*arguments)
        assert (code, err) == (0, "")
        assert "\n" in out.strip()
        assert "Examples:" in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_download_shows_a_bar_on_a_terminal_and_a_line_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from netlet.cli import progress
    from netlet.data import DownloadProgress

    monkeypatch.setattr(progress, "DELAY_S", 0)

    def download(stream: io.StringIO, *, failures: bool = True) -> str:
        monkeypatch.setattr(sys, "stderr", stream)
        bar = progress.DownloadBar(failures=failures)
        for received in range(0, 4_000_001, 1_000_000):
            bar(DownloadProgress("images", "http://mirror/", received, 4_000_000))
        bar(DownloadProgress("images", "http://mirror/", 0, None, "HTTP 500"))
        bar.close()
        return stream.getvalue()

    assert "images: " in download(Terminal())
    assert "/4.00M" in download(Terminal())
    assert download(io.StringIO()).splitlines() == [
        "downloading images from http://mirror/",
        "images: http://mirror/: HTTP 500",
    ]
    assert "HTTP" not in download(io.StringIO(), failures=False)


def test_a_bar_shows_what_a_callback_reports_and_nothing_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from netlet.cli import progress

    monkeypatch.setattr(progress, "DELAY_S", 0)
    for stream, expected in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress.show_progress("evaluating") as bar:
            for done in (500, 1_000):
                bar(done, 1_000)
        assert ("evaluating: " in stream.getvalue()) == expected
        assert ("/1.00k" in stream.getvalue()) == expected


def test_phases_are_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from netlet.cli.progress import show_phases

    for stream, expected in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with show_phases() as on_progress:
            on_progress("compiling")
        assert ("compiling" in stream.getvalue()) == expected


def test_old_option_names_still_work_with_a_warning(netlet: Netlet, blobs_for_mnist: Path) -> None:
    code, _, err = netlet("data", "verify", "mnist", "--data", str(blobs_for_mnist))
    assert code == 0
    assert err.splitlines() == [
        "netlet: warning: --data is now called --data-dir; --data will stop working in 0.3"
    ]
    netlet("train", "code_2", *FAST, "--set", "epochs=1")
    code, out, err = netlet("runs", "--data=mnist")
    assert code == 0
    assert "code_2" in out
    assert "--data is now called --dataset" in err


@pytest.mark.slow
def test_runs_lists_what_can_be_resumed(netlet: Netlet, blobs_for_mnist: Path) -> None:
    netlet("train", "code_2", *FAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("netlet.records.save_run", interrupt)
        code, _, err = netlet("train", "code_2", "--seed", "1", *FAST)
    assert code == 130
    assert "'netlet train --resume runs/code_2-seed1' continues after the last complete" in err
    code, out, _ = netlet("runs")
    assert code == 0
    assert "netlet train --resume runs/code_2-seed1" in out
    rows = {row["path"]: row for row in json.loads(netlet("runs", "--json")[1])["runs"]}
    assert rows["runs/code_2-seed0"]["state"] == "finished"
    unfinished = rows["runs/code_2-seed1"]
    assert unfinished["state"] == "unfinished"
    assert (unfinished["epochs_done"], unfinished["epochs"]) == (2, 2)
    assert unfinished["seed"] == 1
    assert "runs/code_2-seed1" not in netlet("runs", "--params-below", "9000")[1]
    code, _, err = netlet("train", "--resume", "runs/code_2-seed1", "--seed", "2", "--val", "5")
    assert code == 2
    assert "remove --seed, --val" in err
    code, _, err = netlet("train", "code_2", "--resume", "runs/code_2-seed1")
    assert code == 2
    assert "remove NET" in err
    assert netlet("train", "--resume", "runs/code_2-seed1")[0] in (0, 1)
    assert "unfinished" not in netlet("runs")[1]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_percentages_in_json_have_at_most_four_decimals(netlet: Netlet) -> None:
    studies = str(ROOT / "results" / "studies")
    for command in (
        ("frontier", studies),
        ("compare", "swift", "sprint"),
        ("runs", studies),
        ("runs", studies, "--compare"),
    ):
        found = re.findall(
            r'(?:percent|points|to_best)": (-?[\d.]+)', netlet(*command, "--json")[1]
        )
        assert found
        assert all(len(number.partition(".")[2]) <= 4 for number in found), command


def test_runs_compare_says_that_a_best_with_one_seed_leaves_the_others_undecided(
    netlet: Netlet, tmp_path: Path
) -> None:
    from netlet import records

    for name, study in (
        ("best", make_study(make_seed_result(0, 990, verdict=""), name="best", net="best")),
        (
            "other",
            make_study(*(make_seed_result(k, 900 + k, verdict="") for k in range(3)), name="other"),
        ),
    ):
        records.save_study(study, tmp_path / "studies" / name / "study.json")
    rows = json.loads(netlet("runs", "studies", "--compare", "--json")[1])["experiments"]
    assert [(row["seeds"], row["outcome"]) for row in rows] == [
        (3, "best"),
        (1, "undecided over seeds"),  # one seed may be a lucky one
    ]


def test_runs_says_where_the_studies_are(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no runs of 'netlet train'; run 'netlet train' first" in netlet("runs")[2]
    assert "typo: no such folder; name the one with your" in netlet("runs", "typo")[2]
    (tmp_path / "studies").mkdir()
    code, out, err = netlet("runs")
    assert (code, out) == (2, "")
    assert "'netlet runs studies' lists those of your studies" in err


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        (("--lr", "0.1"), "--lr is a setting of the recipe; write --set peak_lr=VALUE"),
        (("--batch-size=64",), "--batch-size is a setting of the recipe; write --set batch_size="),
        (("--params-below", "8000"), "--params-below is a limit of 'netlet check'; here, name a"),
        (("--input", "3,32,32"), "no option --input: the data set decides the shape of the images"),
        (
            ("--num-classes=5",),
            "choose it with --dataset, such as a folder of your own images, and --ch",
        ),
        (("--device", "cuda"), "finds one, else the CPU; set CUDA_VISIBLE_DEVICES= to run"),
        (("--set", "lr=0.1"), "did you mean 'peak_lr'?"),
        (("--epochz", "3"), "no option --epochz; did you mean --epochs? see 'netlet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_options_of_other_programs_are_answered_with_ours(
    netlet: Netlet, option: tuple[str, ...], answer: str
) -> None:
    code, out, err = netlet("train", "speck", *option)
    assert (code, out) == (2, "")
    assert answer in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (
            ("evaluate", "--net", "r1"),
            "no option --net: NET is an argument; write it without --net",
        ),
        (("train", "--net=speck", "--epochs", "1"), "no option --net: NET is an argument"),
        (("show", "--nets", "speck"), "no option --nets: NET is an argument"),
        (("explain", "speck", "--images", "a.png"), "no option --images: IMAGE is an argument"),
        (("search", "--space", "speck"), "no option --space: SPACE is an argument"),
        (("data", "show", "--path", "a.npz"), "no option --path: NAME|PATH is an argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_argument_that_is_given_as_an_option_is_named(
    netlet: Netlet, words: tuple[str, ...], answer: str
) -> None:
    code, out, err = netlet(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"netlet: {answer}")
    assert err.count("\n") == 1


def test_a_limit_names_all_commands_that_judge_by_it(netlet: Netlet) -> None:
    commands = ("check", "train")
    limits = {
        command: re.findall(
            r"--\w[\w-]+-(?:below|above|most|least)\b", netlet(command, "--help")[1]
        )
        for command in commands
    }
    for limit in dict.fromkeys(limits["check"]):
        names = [f"'netlet {command}'" for command in commands if limit in limits[command]]
        err = netlet("study", "speck", limit, "9")[2]
        assert f"{limit} is a limit of {' and '.join(names)}; here, name a budget with" in err


def test_trust_is_not_needed_where_no_code_of_a_run_runs(netlet: Netlet) -> None:
    note = "netlet: --trust changes nothing: 'netlet {}' runs no code of a run\n"
    for command, *words in (
        ("report", "code_5", "-o", "page.md"),
        ("compare", "code_5", "swift"),
        ("frontier",),
        ("runs", "."),
    ):
        plain, trusting = netlet(command, *words), netlet(command, *words, "--trust")
        assert trusting == (*plain[:2], note.format(command) + plain[2])
    assert netlet("compare", "code_5", "--", "--trust")[0] == 2  # a name, not the option
    code, out, err = netlet("data", "verify", "--trust")
    assert (code, out) == (2, "")
    assert err.startswith("netlet: no option --trust: this command does not need it; leave it out")


def test_epochs_is_short_for_its_setting(netlet: Netlet, digits_file: Path) -> None:
    code, out, err = netlet(
        "train", "code_2", "--dataset", str(digits_file), "--epochs", "1", "--json"
    )
    run = json.loads(out)
    assert code == 0
    assert len(run["epochs"]) == 1
    assert run["recipe"]["name"] == "steady_14 with epochs=1"
    assert "recipe steady_14 with epochs=1, 1 epoch of " in err
