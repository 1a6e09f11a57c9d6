"""Wrong values of options: each ends in one line with a remedy, before any work starts."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Netlet, few_fast, flat_net

import netlet as netlet_package
from netlet.cli.app import build_command
from netlet.cli.error_messages import describe_error
from netlet.errors import NetletError

LINE = re.compile(r"netlet: [^\n]+; [^\n]+\n")
LIBRARY_WORDS = ("Input should", "validation error", "valid integer", "in the range", "Errno")
TOO_LARGE = "1" + "0" * 30


def numeric_options() -> list[tuple[str, ...]]:
    """Return each command with each of its options that takes a number."""
    found = []
    root = build_command()
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {})
        for path, one in [((name, sub), c) for sub, c in inner.items()] or [((name,), command)]:
            for param in one.params:
                kind = getattr(getattr(param, "type_descriptor", None), "annotation", None)
                if kind in (int, float):
                    found.append((*path, max(param.opts, key=len)))
    return found


def check_refused(result: tuple[int, str, str]) -> str:
    """Check that a command has refused its arguments in one line, and return the line."""
    code, out, err = result
    assert (code, out) == (2, ""), (out, err)
    assert LINE.fullmatch(err), err
    assert not [word for word in LIBRARY_WORDS if word in err], err
    assert "--debug shows where" not in err
    return err


def test_an_error_of_the_system_names_its_file_if_there_is_one() -> None:
    denied = PermissionError(errno.EACCES, "Permission denied", "a.png")
    assert describe_error(denied) == (
        "a.png: cannot be read or written (Permission denied); check its name, its permissions and "
        "the disk"
    )
    full = describe_error(OSError(errno.ENOSPC, "No space left on device"))
    assert full == "the system reports 'No space left on device'; --debug shows where"


@pytest.mark.slow
@pytest.mark.skipif(not numeric_options(), reason="needs a typer that says the types of options")
def test_every_number_is_checked_in_plain_words(netlet: Netlet) -> None:
    options = numeric_options()
    assert len(options) > 40
    for *command, option in options:
        err = check_refused(netlet(*command, option, " "))
        assert f"{option} is empty; give it a value, or leave it out" in err
        err = check_refused(netlet(*command, f"{option}=1e☃"))
        assert f"invalid value for '{option}'" in err
        assert "'1e☃' is not a" in err, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    few_fast(
        [
            (("train", "--seed=-1"), "'-1' is out of range; give a whole number from 0 to 9,223,"),
            (
                ("train", f"--seed={TOO_LARGE}"),
                "is out of range; give a whole number from 0 to 9,223,",
            ),
            (("train", "--seed=1e30"), "'1e30' is not a whole number; give a whole number from 0"),
            (("train", "--seed=" + "9" * 5_000), "..."),
            (
                ("train", "--epochs", "3", "--set", "epochs = 2"),
                "--epochs 3 and --set epochs=... cannot be combined",
            ),
            (
                ("study", "swift", "--on", "local,gpus=1"),
                "'local' takes no options; use local, ray",
            ),
            (("train", "--epochs", "1,000"), "'1,000' is not a whole number; write 1000"),
            (("check", "speck", "--params-below", "20k"), "is not a whole number; write 20000"),
            (
                ("train", "--threads", "100000"),
                "'100000' is out of range; give a whole number from 1",
            ),
            (("train", "--threads", "0"), "'0' is out of range; give a whole number from 1"),
            (("train", "--epochs", TOO_LARGE), "is out of range; give a whole number from 1"),
            (("train", "--set", f"epochs={TOO_LARGE}"), "give a whole number from 1 to 100,000"),
            (
                ("train", "--set", f"batch_size={TOO_LARGE}"),
                "give a whole number from 1 to 1,000,000",
            ),
            (("train", "--set", "peak_lr=nan"), "peak_lr=nan is not a number"),
            (
                ("train", "--set", "peak_lr=inf"),
                "peak_lr=inf is out of range; give a number above 0",
            ),
            (("train", "--accuracy-at-least", "nan"), "nan is not a percentage"),
            (
                ("train", "--channels", "1000000"),
                "is out of range; give a whole number from 1 to 16",
            ),
            (("study", "speck", "--seeds", "1000000000"), "from 1 to 10,000"),
            (("study", "speck", "--first-seed", TOO_LARGE), "is out of range"),
            (("study", "speck", "--workers", "100000"), "from 1 to 256"),
            (("show", "speck", "--input", "1,28"), "give channels, height, width, like 1,28,28"),
            (("show", "speck", "--input", "1,1000000,1000000"), "name a smaller image"),
            (("show", "speck", "--input=-1,28,28"), "write channels, height, width, like 1,28,28"),
            (("show", "speck", "--input", "1,0,28"), "write channels, height, width, like 1,28,28"),
            (
                ("show", "speck", "--input", ""),
                "--input is empty; give it a value, or leave it out",
            ),
            (("train", "--dataset="), "--dataset is empty; give it a value, or leave it out"),
            (("predict", ""), "an argument is empty; give it a value, or leave it out"),
            (
                ("show", "speck", "--input", "9" * 5_000),
                "write channels, height, width, like 1,28,28",
            ),
            (("show", "speck", "--classes", "1000000000"), "from 2 to 10,000"),
            (("show", "99999999 P"), "is too large for netlet, whose nets are tiny"),
            (("show", "8 " * 300), "has 300 layers; write at most 200"),
            (
                ("check", "speck", "--accuracy-above", "inf"),
                "accuracy_above=inf is not a percentage",
            ),
            (("export", "speck", "--to", "c", "--max-loss", "nan"), "give a number"),
            (("export", "speck", "--to", "c", "--max-loss", "101"), "give a number from 0 to 100"),
            (
                ("export", "speck", "--to", "svg"),
                "'svg' is not one of 'onnx', 'c', 'arduino', 'page'",
            ),
            (("evaluate", "speck", "--mean", "nan"), "nan is not a finite number"),
            (("evaluate", "speck", "--std", "x,y"), "'x,y' is not a number; give a number like"),
            (
                ("export", "speck", "--to", "c", "--mean", "0.485,0.456,0.406"),
                "'0.485,0.456,0.406' is not one number for all channels; normalize each channel "
                "inside the net, with buffers, and pass --mean 0 --std 1",
            ),
            (
                ("train", "speck", "--set", "std=0.229,0.224,0.225"),
                "std='0.229,0.224,0.225' is not one number for all channels; normalize each "
                "channel inside the net, with buffers, and give mean=0 and std=1",
            ),
            (("runs", "--accuracy-at-least", "nan"), "nan is not a finite number"),
            (("train", "a", "b"), "too many arguments (b); put a net in one line into quotes"),
            (("budget", "a", "b"), "too many arguments (b); see 'netlet budget --help'"),
            (("search", "speck", "--repeat", "9", "-o", "nofile"), "nofile: no such file; name"),
            (("data", "verify", "nosuch"), "no data set 'nosuch'"),
            (("data", "verify", "no/such"), "no/such: no such folder or file"),
            (("data", "make", "-o", "."), "the name must end in .npz; use few.npz"),
            (("data", "make", "-o", "a.npz", "--train", TOO_LARGE), "from 10 to 500,000"),
            (
                ("data", "make", "-o", "a.npz", "--test", "9"),
                "'9' is out of range; give a whole number from 10 to 500,000",
            ),
            (
                ("data", "show", "nosuch", "--split", "validation"),
                "'validation' is not one of 'train', 'val', 'test'",
            ),
            (
                ("evaluate", "speck", "--dataset", "nosuch", "--split", "Test"),
                "'Test' is not one of 'train', 'val', 'test'",
            ),
        ],
        20,
    ),
)
def test_a_wrong_value_is_refused_with_a_remedy(
    netlet: Netlet, blobs_for_mnist: Path, arguments: tuple[str, ...], message: str
) -> None:
    err = check_refused(netlet(*arguments))
    assert message in err
    assert len(err) < 2_500


PLACES = {
    "folder": "is a folder",
    "pipe": "is a pipe, not a file",
    "/dev/zero": "is a device, not a file",
    "dangling": "is a link to a file that does not exist",
    "file/below": "",
    "a\x1b[31m": "",
}


@pytest.mark.parametrize(
    ("command", "suffix"),
    few_fast(
        [
            (("climb",), ".toml"),
            (("evaluate", "speck", "--weights"), ".pt"),
            (("evaluate", "speck", "--weights"), ".safetensors"),
            (("study", "code_2", "--chosen-by"), ""),
            (("search", "speck", "--repeat", "1", "-o"), ""),
            (("evaluate", "speck", "--dataset"), ".npz"),
        ],
        3,
    ),
)
def test_what_is_no_file_is_refused_and_never_waited_for(
    netlet: Netlet,
    blobs_for_mnist: Path,
    tmp_path: Path,
    command: tuple[str, ...],
    suffix: str,
) -> None:
    (tmp_path / f"folder{suffix}").mkdir()
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"dangling{suffix}").symlink_to("nowhere")
    (tmp_path / f"device{suffix}").symlink_to("/dev/zero")
    (tmp_path / "file").write_text("x")
    for name, message in PLACES.items():
        place = f"device{suffix}" if name == "/dev/zero" else f"{name}{suffix}"
        if name == "folder" and "--dataset" in command:
            message = "has no subfolders of images"
        if name == "folder" and "--chosen-by" in command:
            message = "holds no trials; name the file"
        assert message in check_refused(netlet(*command, place))


def test_pictures_that_are_no_files_are_refused(netlet: Netlet, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    code, _, err = netlet("predict", "--net", "speck", "pipe.png", "/dev/zero", ".", "nowhere.png")
    assert code == 1
    assert [line.partition(": ")[2].partition(";")[0] for line in err.splitlines()] == [
        "pipe.png: is a pipe, not a file",
        "/dev/zero: is a device, not a file",
        ".: is a folder",
        "nowhere.png: no such file",
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda: netlet_package.find_recipe(None),
        lambda: netlet_package.find_budget(3),
        lambda: netlet_package.find_experiment(1.5),
        lambda: netlet_package.compare("swift", "sprint"),
        lambda: netlet_package.check(flat_net(), None),
        lambda: netlet_package.build(flat_net, "0"),
        lambda: netlet_package.build(flat_net, 10**30),
        lambda: netlet_package.build(flat_net, 0, ()),
        lambda: netlet_package.build(flat_net, 0, classes=-1),
        lambda: netlet_package.net(source="own")(3),
        lambda: netlet_package.Budget(forbids="Linear"),
        lambda: netlet_package.Budget(params_below="8000"),
        lambda: netlet_package.Recipe(nesterov=1),
        lambda: netlet_package.Recipe(epochs=float("nan")),
        lambda: netlet_package.Recipe(augment=None),
        lambda: netlet_package.Recipe(augment="light"),
        lambda: netlet_package.Recipe(augment=netlet_package.recipes.Warp()),
        lambda: netlet_package.receptive_field(flat_net(), 28),
        lambda: netlet_package.check(flat_net(), netlet_package.Budget(params_below=9), 28),
    ],
)
def test_the_python_api_names_a_wrong_type(call: Callable[[], object]) -> None:
    with pytest.raises((NetletError, TypeError), match="; "):
        call()
