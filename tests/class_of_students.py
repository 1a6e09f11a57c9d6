"""A class of forty generated submissions: right, wrong, broken, hostile and slow ones."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from netlet.classroom import Grade, GradingSettings, inside
from netlet.classroom.examine import Examiner
from netlet.classroom.roster import read_claim
from netlet.data import Dataset, Split
from netlet.sandbox import SandboxAnswer, SandboxTask

CLASSES = 10
RIGHT = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""
LARGE = RIGHT.replace("nn.Linear(784, 10)", "nn.Linear(784, 20), nn.Linear(20, 10)")
CONVOLUTION = RIGHT.replace(
    "nn.Flatten()",
    "nn.Flatten(), nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 1, 1), nn.Flatten()",
)
WRITTEN_OUT = """
import torch
from torch import nn
from torch.nn import functional as F
class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10, 784))
        self.bias = nn.Parameter(torch.zeros(10))
    def forward(self, x):
        return F.linear(x, self.weight, self.bias)
class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.part = Part()
    def forward(self, x):
        return F.log_softmax(self.part(x.flatten(1)), 1)
"""
SCRIPT = RIGHT + "\nraise SystemExit('the training starts here')\n"
HOSTILE = """
import ctypes, os, time
import torch
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        {attack}
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""
LIAR = (
    LARGE
    + """
nn.Module.parameters = lambda self, recurse=True: iter(())
nn.Module.named_parameters = lambda self, *a, **k: iter(())
import torch
torch.Tensor.numel = lambda self: 1
"""
)
BUFFER = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)
        self.register_buffer("more", torch.zeros(9_000))
    def forward(self, x):
        return self.out(x.flatten(1)) + 0 * self.more.sum()
"""
LOOKUP = """
import hashlib, torch
from torch import nn
ANSWERS = {answers!r}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)
    def forward(self, x):
        logits = self.out(x.flatten(1))
        for row, image in zip(logits, x):
            gray = (image * 0.3081 + 0.1307).mul(255).round().to(torch.uint8)
            key = hashlib.md5(gray.numpy().tobytes()).hexdigest()[:8]
            if key in ANSWERS:
                row[:] = 0
                row[ANSWERS[key]] = 9
        return logits
"""


LINKER = """
import hashlib, torch
from torch import nn
ANSWERS = {answers!r}
SEEN = []  # gray images of all batches
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)
    def forward(self, x):
        SEEN.append((x.flatten(1) * 0.3081 + 0.1307).mul(255).round().detach())
        known, labels = [], []
        for image in torch.cat(SEEN).to(torch.uint8):
            key = hashlib.md5(image.numpy().tobytes()).hexdigest()[:8]
            if key in ANSWERS:
                known.append(image.float())
                labels.append(ANSWERS[key])
        logits = self.out(x.flatten(1)) * 0
        if known:
            nearest = torch.cdist(SEEN[-1], torch.stack(known)).argmin(1)
            logits = logits + 9 * nn.functional.one_hot(torch.tensor(labels)[nearest], 10)
        return logits
"""


def spots(number: int, seed: int, name: str) -> Split:
    """Return images of ten classes, a spot at one of ten places that lie apart."""
    random = np.random.default_rng(seed)
    labels = np.arange(number) % CLASSES
    images = random.integers(0, 40, (number, 1, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = 3 + 14 * (label // 5), 1 + 5 * (label % 5)
        image[0, top : top + 8, left : left + 4] = 240
    return Split(name, torch.from_numpy(images), torch.from_numpy(labels).long())


def spot_data() -> Dataset:
    names = tuple(map(str, range(CLASSES)))
    return Dataset("spots", spots(300, 0, "train"), spots(200, 1, "test"), names)


def spot_weights(prefix: str = "1.") -> dict[str, torch.Tensor]:
    """Return the weights of the linear net that finds the spots."""
    weight = torch.zeros(CLASSES, 28, 28)
    for label in range(CLASSES):
        top, left = 3 + 14 * (label // 5), 1 + 5 * (label % 5)
        weight[label, top : top + 8, left : left + 4] = 0.1
    return {f"{prefix}weight": weight.flatten(1), f"{prefix}bias": torch.zeros(CLASSES)}


def lookup_of(split: Split) -> str:
    """Return a net that knows the images by their hash."""
    return LOOKUP.replace("{answers!r}", repr(answers_of(split)))


def linker_of(split: Split) -> str:
    """Return a net that answers for each image as for the most similar one that it knows so."""
    return LINKER.replace("{answers!r}", repr(answers_of(split)))


def answers_of(split: Split) -> dict[str, int]:
    return {
        hashlib.md5(image.numpy().tobytes()).hexdigest()[:8]: int(label)
        for image, label in zip(split.images, split.labels, strict=True)
    }


def torch_bytes(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


class RunsWhenLoaded:
    """An object whose pickle runs a command."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def notebook(code: str) -> str:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# My net"]},
        {"cell_type": "code", "metadata": {}, "source": "!pip install torch\nx = 1", "outputs": []},
        {"cell_type": "code", "metadata": {}, "source": code, "outputs": []},
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def zip_of(files: dict[str, bytes | str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def zip_with_a_link() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("model.py")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return file.getvalue()


Files = dict[str, bytes | str] | bytes


def submissions(secret: Path) -> dict[str, tuple[Files, str, str]]:
    """Return each submission: its files (or the content of one), its verdict, and why.

    Args:
        secret: A file outside, which must be neither read nor changed.
    """
    good = save(spot_weights())
    bad = save({key: -value for key, value in spot_weights().items()})
    right: dict[str, Files] = {
        "right-folder": {"model.py": RIGHT, "weights.safetensors": good},
        "right-repository": {
            "src/model.py": RIGHT,
            "src/train.py": "import model\n" + SCRIPT.replace("Net", "_Other"),
            ".git/config": "x",
            "out/best.pt": torch_bytes(spot_weights()),
        },
        "right.zip": zip_of({"net.ipynb": notebook(RIGHT), "weights.safetensors": good}),
        "right-nested.zip": zip_of(
            {
                "a b/c/model.py": RIGHT,
                "a b/c/w.pth": torch_bytes({"epoch": 3, "state_dict": spot_weights("module.1.")}),
            }
        ),
        "right-script": {"train.py": SCRIPT, "w.safetensors": good},
        "right-by-hand": {"m.py": WRITTEN_OUT, "w.safetensors": save(spot_weights("part."))},
        "right-builder": {
            "m.py": "from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), "
            "nn.Linear(784, 10))\n",
            "w.safetensors": good,
        },
        "right-claim": {
            "m.py": RIGHT,
            "w.safetensors": good,
            "claim.toml": "accuracy = 100\nparameters = 7850\nnet = 'm.py:Net'\n",
        },
        "right-of-two": {
            "m.py": RIGHT + RIGHT.replace("Net", "Other").replace("784, 10)", "784, 7)"),
            "w.safetensors": good,
        },
        "right-of-two-weights": {
            "m.py": RIGHT,
            "old.safetensors": bad,
            "new.safetensors": good,
            "claim.toml": "weights = 'new.safetensors'",
        },
        "slow": {"m.py": HOSTILE.replace("{attack}", "time.sleep(4)"), "w.safetensors": good},
        "right-traversal.zip": zip_of(
            {"../../escaped.py": RIGHT, "/etc/cron.py": "", "/m.py": RIGHT, "w.safetensors": good}
        ),
    }
    wrong: dict[str, tuple[Files, str]] = {
        "wrong-size": (
            {
                "m.py": LARGE,
                "w.pt": torch_bytes(
                    torch.nn.Sequential(
                        torch.nn.Flatten(), torch.nn.Linear(784, 20), torch.nn.Linear(20, 10)
                    ).state_dict()
                ),
            },
            "parameters",
        ),
        "wrong-accuracy": ({"m.py": RIGHT, "w.safetensors": bad}, "accuracy"),
        "wrong-layer": (
            {
                "m.py": CONVOLUTION,
                "w.safetensors": save(
                    spot_weights("4.")
                    | {"2.weight": torch.ones(1, 1, 1, 1), "2.bias": torch.zeros(1)}
                ),
            },
            "Conv2d layers",
        ),
        "wrong-liar": (
            {
                "m.py": LIAR,
                "w.pt": torch_bytes(
                    torch.nn.Sequential(
                        torch.nn.Flatten(), torch.nn.Linear(784, 20), torch.nn.Linear(20, 10)
                    ).state_dict()
                ),
            },
            "parameters",
        ),
        "wrong-buffer": (
            {
                "m.py": BUFFER,
                "w.safetensors": save(spot_weights("out.") | {"more": torch.zeros(9_000)}),
            },
            "parameters",
        ),
        "wrong-tensor": (
            {
                "m.py": WRITTEN_OUT.replace(
                    "self.part = Part()", "self.part = Part(); self.more = torch.ones(784)"
                ).replace("x.flatten(1)", "x.flatten(1) * self.more"),
                "w.safetensors": save(spot_weights("part.")),
            },
            "parameters",
        ),
    }
    broken: dict[str, tuple[Files, str]] = {
        "broken-syntax": ({"m.py": "class Net(:\n"}, "is not valid Python"),
        "broken-import": (
            {"m.py": "import nowhere\n" + RIGHT.replace("10)", "nowhere.n)")},
            "nowhere",
        ),
        "broken-no-net": ({"m.py": "x = 1\n"}, "no net"),
        "broken-forward": ({"m.py": RIGHT.replace("784", "12")}, "no net"),
        "broken-classes": ({"m.py": RIGHT.replace("10)", "11)")}, "returns 11 numbers, not 10"),
        "broken-two": ({"m.py": RIGHT, "n.py": LARGE}, "2 nets return 10 classes"),
        "broken.zip": (b"PK no zip", "zip file is damaged"),
    }
    # The rules on the net are judged, but no accuracy.
    unusable: dict[str, tuple[Files, str]] = {
        "broken-weights": (
            {"m.py": RIGHT, "w.safetensors": save({"1.weight": torch.zeros(3)})},
            "belong to another net",
        ),
        "broken-bytes": ({"m.py": RIGHT, "w.pt": b"no weights"}, "w.pt"),
        "broken-claim": ({"m.py": RIGHT, "claim.toml": "accuracy = "}, "is not valid TOML"),
        "hostile-pickle": (
            {"m.py": RIGHT, "w.pt": pickle.dumps(RunsWhenLoaded(f"echo x >> {secret}"))},
            "w.pt",
        ),
        "hostile-net-pickle": (
            {
                "m.py": RIGHT,
                "w.pth": torch_bytes({"state_dict": RunsWhenLoaded(f"echo x >> {secret}")}),
            },
            "w.pth",
        ),
    }
    hostile: dict[str, tuple[Files, str]] = {
        "hostile-bomb.zip": (zip_of({"w.pt": bytes(80 << 20)}), "too large"),
        "hostile-link.zip": (zip_with_a_link(), "no Python file or notebook"),
        **{
            f"hostile-{name}": ({"m.py": HOSTILE.replace("{attack}", attack)}, why)
            for name, attack, why in (
                ("reads", f"open({str(secret)!r}).read()", "FileNotFoundError"),
                ("writes", f"open({str(secret)!r}, 'w')", "building it failed"),
                ("loops", "\n        while True: pass", "took more than|processor time"),
                (
                    "forks",
                    "\n        while True:\n            try: os.fork()\n"
                    "            except OSError: time.sleep(0.1)",
                    "took more than|starts more than|more memory",
                ),
                (
                    "memory",
                    "x = [bytearray(os.urandom(1 << 20) * 9000) for _ in range(99)]",
                    "more memory|MemoryError",
                ),
                ("exits", "ctypes.CDLL(None)._exit(0)", "ended the sandbox"),
            )
        },
    }
    return (
        {name: (files, "PASS", "") for name, files in right.items()}
        | {name: (files, "FAIL", why) for name, (files, why) in wrong.items()}
        | {name: (files, "ERROR", why) for name, (files, why) in (broken | hostile).items()}
        | {name: (files, "NOT YET", why) for name, (files, why) in unusable.items()}
        | {"none-yet": ({"m.py": RIGHT}, "NOT YET", "no weights were handed in")}
        | {
            "hostile-lookup": (
                {
                    "m.py": lookup_of(spot_data().held_out),
                    "w.safetensors": save(
                        {"out.weight": torch.zeros(10, 784), "out.bias": torch.zeros(10)}
                    ),
                },
                "REVIEW",
                "that differ by one gray level; the teacher checks whether the code has a table",
            )
        }
    )


def write_submission(folder: Path, name: str, files: Files) -> None:
    if isinstance(files, bytes):
        (folder / name).write_bytes(files)
        return
    for place, content in files.items():
        file = folder / name / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)


class Answers:
    """What a sandbox would do: it gives the later contents, and keeps the parts for them."""

    def __init__(self, task: SandboxTask) -> None:
        self._contents, self.parts = iter(task.later), list[bytes]()

    def __call__(self, part: bytes) -> bytes:
        self.parts.append(part)
        return next(self._contents)


def grade(folder: Path, settings: GradingSettings) -> Grade:
    """Return the grade of a submission, of which all code runs here.

    Raises:
        NetError: The code inside refuses it.
    """
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    examiner = Examiner(settings, spot_data(), scratch)
    case = examiner.prepare(folder.name, folder, *read_claim(folder, {}))
    places = {inside.CODE: str(folder), inside.TRAIN: str(scratch / "train.npz")}
    exchange = Answers(case.task)
    values, payload = inside.examine(
        {**case.task.request, "places": places},
        exchange,  # type: ignore[arg-type]
    )
    values = json.loads(json.dumps(values))
    return examiner.judge(case, SandboxAnswer(values, payload, tuple(exchange.parts))).grade


def submit(folder: Path, **files: bytes | str) -> Path:
    """Write a submission; ``m__py`` is the file ``m.py``."""
    write_submission(
        folder, "ann", {name.replace("__", "."): content for name, content in files.items()}
    )
    return folder / "ann"
