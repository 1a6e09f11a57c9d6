"""A folder with everything that the commands of netlet read, made once by netlet itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from helpers import draw_blobs, set_options, write_blob_source
from PIL import Image
from processes import Job, run

from netlet.data import Source
from netlet.outputs import TEXT_MARK

SHORT = set_options(epochs=1, batch_size=60)
LADDER = """\
title = "One rung"
[[rung]]
name = "first"
experiment = "8 P 8"
title = "First"
target = "any"
set = { epochs = 1, batch_size = 60 }
"""
NET = """\
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""
SPACE = """\
nets = ["8 P 8"]
recipe = "quick"
epochs = 1
vary.backend = "eager"
"""
CLASS = """\
title = "A small net"
params_below = 8_000
forbids = ["bias"]
[grade]
points = 20
"""
README = """\
# A small net

<!-- netlet:verdict -->
<!-- /netlet -->
"""
OLD = b"what was there before\n"
# Command -> what it writes over; every command of the command line is here.
COMMANDS: dict[str, tuple[str, ...]] = {
    "list": ("list",),
    "show": ("show", "swift", "--rf"),
    "check": ("check", "mine.py:Net", "--params-below", "8000"),
    "budget": ("budget", "class.toml"),
    "init": ("init", "mine.py:Net", "--budget", "class.toml"),
    "search": ("search", "space.toml", "--trials", "1", "--workers", "1", "-o", "trials.jsonl"),
    "lr": ("lr", "8 P 8", "-o", "old.png", *set_options(batch_size=10)),
    "train": ("train", "8 P 8", "-o", "new", *SHORT),
    "resume": ("train", "--resume", "run"),
    "study": ("study", "8 P 8", "--seeds", "2", "--workers", "1", "-o", "study", *SHORT),
    "climb": ("climb", "ladder.toml", "--seeds", "1", "--workers", "1", "-o", "ladder"),
    "runs": ("runs", ".", "--compare"),
    "compare": ("compare", "study", "ladder/first"),
    "report": ("report", "study", "-o", "old.md"),
    "report into a README": ("report", "study", "--into", "README.md"),
    "report of a ladder": ("report", "ladder", "-o", "old.html"),
    "evaluate": ("evaluate", "run"),
    "frontier": ("frontier", "study", "-o", "old.csv"),
    "export to ONNX": ("export", "run", "--to", "onnx", "-o", "old.onnx"),
    "export to C": ("export", "run", "--to", "c", "-o", "c"),
    "export to a page": ("export", "run", "--to", "page", "-o", "old.html"),
    "predict": ("predict", "digit.png", "--net", "run", "--show", "old.png"),
    "explain": ("explain", "run", "test:0", "-o", "old.html"),
    "grade": ("grade", "class", "--budget", "class.toml", "--workers", "1", "-o", "grades"),
    "grade without a sandbox": (
        *("grade", "class", "--budget", "class.toml", "--workers", "1", "--trust"),
        *("-o", "grades"),
    ),
    "play": ("play", "run", "--no-open", "-o", "old.html"),
    "card": ("card", "swift", "-o", "old.md"),
    "publish": ("publish", "run", "--to", "model"),
    "publish a page": ("publish", "run", "--to", "space", "--space"),
    "data list": ("data", "list"),
    "data get": ("data", "get", "mnist", "-o", "downloaded"),
    "data verify": ("data", "verify", "mnist"),
    "data show": ("data", "show", "mnist", "-o", "old.png"),
    "data make": ("data", "make", "--train", "20", "--test", "10", "-o", "old.npz"),
}


def make_template(root: Path) -> Source:
    """Fill ``root/template`` with inputs and earlier results; return the data set for MNIST."""
    template = root / "template"
    template.mkdir(parents=True)
    (root / "data").mkdir()
    source = write_blob_source(root / "data", train=240, test=60)
    (template / "mine.py").write_text(NET)
    (template / "ladder.toml").write_text(LADDER)
    (template / "space.toml").write_text(SPACE)
    (template / "class.toml").write_text(CLASS)
    (template / "README.md").write_text(README)
    (template / "class" / "ada").mkdir(parents=True)
    (template / "class" / "ada" / "model.py").write_text(NET)
    images, _ = draw_blobs(1, 0)
    Image.fromarray(255 - np.kron(images[0], np.ones((4, 4), np.uint8))).save(
        template / "digit.png"
    )
    for name in ("old.md", "old.html", "old.csv", "old.onnx", "old.png", "old.npz"):
        (template / name).write_bytes(OLD)
    (template / "c").mkdir()
    # Another file of this name is not netlet's, and refused.
    (template / "c" / "netlet.c").write_bytes(b"/* " + TEXT_MARK + b" */\n" + OLD)
    for words in (
        ("train", "8 P 8", "-o", "run", *SHORT),
        ("study", "8 P 8", "--seeds", "1", "--workers", "1", "-o", "study", *SHORT),
        COMMANDS["climb"],
    ):
        done = run(Job(words, template, root / "logs" / "template", environment(root), source))
        assert done.code in (0, 1), done.err
    return source


def environment(root: Path) -> dict[str, str | None]:
    """Return an environment in which netlet finds the data set, and its cache is in ``root``."""
    return {
        "NETLET_DATA": str(root / "data"),
        "XDG_CACHE_HOME": str(root / "cache"),
        "NETLET_OFFLINE": "1",
        "TMPDIR": None,
    }


def copy_template(root: Path, folder: Path) -> None:
    """Copy the inputs and earlier results into a folder."""
    shutil.copytree(root / "template", folder, dirs_exist_ok=True)
