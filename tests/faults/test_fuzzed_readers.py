"""Damaged files: every reader accepts them or refuses them in one line, in bounded time and memory.

Each input is a valid file with seeded damage. Workers with a limit on their memory read them; one
that dies or takes too long is a failure, and the next input is tried by another worker.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import gzip
import io
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch
from fault_counts import FaultCounts
from helpers import FIXTURES, ROOT, draw_blobs, encode_idx, flat_net, linux_only
from mutations import (
    Mutation,
    edit_json,
    edit_json_line,
    edit_toml,
    gzip_bomb,
    idx_header,
    json_tricks,
    mutate,
    npy_header,
    png_extra,
    png_header,
    rearrange_zip,
    repack_gzip,
    repack_png,
    repack_zip,
    safetensors_header,
    zip_bomb,
    zip_sizes,
)
from PIL import Image
from processes import PRELOAD
from safetensors.torch import save as save_safetensors

from netlet import catalog, records
from netlet.budgets import TEMPLATE, load_budget, to_toml
from netlet.budgets.class_file import read_class_file
from netlet.classroom.roster import read_claim
from netlet.cli.search_progress import describe_line
from netlet.cli.settings import apply_limits, apply_settings, parse_shape
from netlet.data import load_user_images, prepare_digit, read_digits, read_idx, read_raw_picture
from netlet.errors import NetletError
from netlet.experiments import build_experiment, find_ladder
from netlet.experiments.search.fitting import Images
from netlet.experiments.search.space import Space
from netlet.experiments.search.space_file import SPACES, find_search, load_search
from netlet.experiments.search.train_command import train_command
from netlet.experiments.search.trials import (
    rank_results,
    read_results,
    remove_unfinished_line,
    trial_from_line,
)
from netlet.nets import build, find_net, load_weights
from netlet.recipes import Recipe
from netlet.repository.settings import load_settings
from netlet.text import escape_controls
from netlet.training import Callback, Checkpoint, fit, load_checkpoint
from netlet.training.checkpoint import checkpoint_to_bytes

pytestmark = linux_only
SEED = 19_980_401
INPUTS = 500  # of each reader
LIMIT_S = 10
MAX_LETTERS = 10_000  # of a message
MEMORY_BYTES = 1 << 30  # beyond what the process has already


@dataclass(frozen=True)
class Reader:
    """A reader, valid files for it, and damage that its format allows.

    Attributes:
        what: Its name in docs/trust.md.
        samples: Return valid contents.
        read: Read the file at a path.
        file: The file's name.
        damage: Besides damage to bytes.
    """

    what: str
    samples: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    file: str
    damage: tuple[Mutation, ...] = ()


# --- valid files


def idx_samples() -> list[bytes]:
    images, labels = draw_blobs(20, 0)
    return [encode_idx(images), encode_idx(labels)]


def packed_idx_samples() -> list[bytes]:
    return [gzip.compress(raw, mtime=0) for raw in idx_samples()]


def npz_samples() -> list[bytes]:
    images, labels = draw_blobs(30, 0)
    words = np.array(["cat", "dog"])[labels % 2]
    made = []
    for save in (np.savez, np.savez_compressed):
        for names in (labels, words):
            file = io.BytesIO()
            save(file, images=images, labels=names, test_images=images, test_labels=names)
            made.append(file.getvalue())
    return made


def draw_picture(side: int = 28) -> Image.Image:
    picture = Image.new("L", (side, side), 255)
    for y in range(side // 4, side - side // 4):
        for x in range(side // 2 - 2, side // 2 + 2):
            picture.putpixel((x, y), 0)
    return picture


def encode_picture(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def png_samples() -> list[bytes]:
    gray = draw_picture()
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    shown = [gray, gray.convert("RGBA"), gray.convert("P"), gray.convert("1"), deep]
    return [encode_picture(picture, "PNG") for picture in shown]


def other_picture_samples() -> list[bytes]:
    kinds = ("JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
    return [encode_picture(draw_picture(), kind) for kind in kinds]


def safetensors_samples() -> list[bytes]:
    return [save_safetensors(build(flat_net, 0).state_dict(), {"name": "flat"})]


def torch_samples() -> list[bytes]:
    made = []
    state = build(flat_net, 0).state_dict()
    for content, zipped in (
        (state, True),
        ({"state_dict": state, "epoch": 3}, True),
        (state, False),
    ):
        file = io.BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        made.append(file.getvalue())
    return made


class KeepsCheckpoints(Callback):
    def __init__(self) -> None:
        self.kept: list[Checkpoint] = []

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.kept.append(checkpoint)


CHECKPOINTED = Recipe(epochs=2, batch_size=50, averaging="ema")


def checkpoint_data() -> object:
    from netlet.data import Dataset, Split

    images, labels = (torch.from_numpy(values) for values in draw_blobs(100, 0))
    split = Split("train", images[:, None], labels.long())
    names = tuple("0123456789")
    return Dataset("blobs", split, split.take(torch.arange(20), "test"), names)


def checkpoint_samples() -> list[bytes]:
    keeps = KeepsCheckpoints()
    fit(build(flat_net, 0), checkpoint_data(), CHECKPOINTED, callbacks=[keeps])  # type: ignore[arg-type]
    return [checkpoint_to_bytes(checkpoint, {"net": "x"}) for checkpoint in keeps.kept]


def ladder_samples() -> list[bytes]:
    folder = ROOT / "src" / "netlet" / "experiments" / "ladders"
    return [path.read_bytes() for path in sorted(folder.glob("*.toml"))]


def run_samples() -> list[bytes]:
    paths = [*sorted((FIXTURES / "records").glob("run*.json"))]
    paths += sorted((ROOT / "results").glob("*/run.json"))
    return [path.read_bytes() for path in paths[:6]]


def study_samples() -> list[bytes]:
    studies = ROOT / "results" / "studies"
    sizes = sorted(studies.glob("*/study.json"), key=lambda path: path.stat().st_size)
    return [path.read_bytes() for path in sizes[:3]]


def trials_samples() -> list[bytes]:
    line = json.dumps({"seed": 3, "net": "8 P 8", "correct": 950, "total": 1000})
    return [f"{line}\n".encode() * 3]


@functools.cache
def small_space() -> Space:
    found = find_search("speck")
    assert isinstance(found, Space)
    return found


def searched_samples() -> list[bytes]:
    """Return the files of a search of which three trials have ended, and of a comparison."""
    from netlet.experiments.search.sampler import Sampler

    sampler = Sampler(small_space(), Images(), "d", [])
    sampler.left = 3
    lines = []
    for state in ("finished", "stopped", "failed"):
        proposal = sampler.propose()
        assert proposal is not None
        line = {"schema": 2, "space": "speck", **proposal.trial.to_dict(), "data_digest": "d"}
        line |= {"state": state, "epochs": proposal.epochs, "restarts": 0}
        if state == "failed":
            line |= {"error": "the loss is nan at epoch 1, step 3"}
        else:
            line |= {"parameters": 1_890, "correct": 9_800, "total": 10_000, "loss": 0.07}
            line |= {"nll": 0.07 if state == "finished" else None, "train_correct": 49_000}
            line |= {"correct_by_epoch": [9_500, 9_800], "loss_by_epoch": [0.2, 0.07]}
        lines.append(json.dumps(line))
    return ["".join(f"{line}\n" for line in lines).encode()]


ARMS = """\
budget = { params_below = 1_500 }
recipe = "quick"
epochs = 1
runs = [3, 6]
drop_below = 0.5
baseline = "plain"

[[arm]]
name = "plain"
net = "6 P 8 11"
set = { optimizer = "soap", peak_lr = 0.015 }

[[arm]]
name = "separable"
shape = "1 d1.7 P d2.4 d2.8"
set = { augment.rotate_deg = 9 }
"""
SETTINGS = """\
net = "model.py:Net"
budget = "class.toml"
recipe = "steady"
seeds = 3
records = ["studies/first", "studies/second"]

[settings]
peak_lr = 0.01
augment.rotate_deg = 9
"""
CLAIM = """\
accuracy = 99.4
parameters = 7416
epochs = 15
net = "model.py:Net"
weights = "net.pt"
recipe = { base = "steady", epochs = 15, augment = "light" }
"""


def space_samples() -> list[bytes]:
    return [*(path.read_bytes() for path in SPACES.values()), ARMS.encode()]


def budget_samples() -> list[bytes]:
    whole = TEMPLATE.replace("# name", "name").replace("# retrain", "retrain")
    return [TEMPLATE.encode(), whole.encode(), to_toml(catalog.find_budget("twenty_k")).encode()]


def text_samples() -> list[bytes]:
    return [
        b"net 8 8 P 12 14 16 16",
        b"net 16k5s2p x16 d16 m16 P",
        b"limit params_below 8000",
        b"limit forbids Linear,BatchNorm2d",
        b"limit accuracy_at_least 99.4",
        b"set epochs=3",
        b"set augment.rotate_deg=10",
        b"set optimizer=adamw",
        b"set peak_lr=0.01",
        b"budget twenty_k",
        b"recipe quick",
        b"shape 3,32,32",
    ]


# --- readers


def read_digit(path: Path) -> object:
    with contextlib.suppress(NetletError):
        read_raw_picture(path)
    return [prepare_digit(ink) for ink in read_digits(path)]


def read_class_folder(path: Path) -> object:
    """Read a folder of two classes; the damaged picture is one of them."""
    root = path.parent / "classes"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(2):
            if not (root / name / f"{number}.png").exists():
                draw_picture().save(root / name / f"{number}.png")
    shutil.copy(path, root / "a" / "0.png")
    return load_user_images(root)


def read_weights(path: Path) -> object:
    net = build(flat_net, 0)
    load_weights(net, path)
    return net


def read_checkpoint(path: Path) -> object:
    """Read a checkpoint, and resume from it: its content has to fit the net."""
    checkpoint, values = load_checkpoint(path.parent)
    with contextlib.suppress(NetletError):
        records.RunConfig.from_dict(values, path.parent)
    return fit(build(flat_net, 0), checkpoint_data(), CHECKPOINTED, resume=checkpoint)  # type: ignore[arg-type]


def read_ladder(path: Path) -> object:
    return [build_experiment(rung) for rung in find_ladder(str(path)).rungs]


def read_run(path: Path) -> object:
    return records.load_run(path).to_json()


def read_study(path: Path) -> object:
    return records.load_study(path).to_json()


def read_trials(path: Path) -> object:
    return records.read_trials(path, [1, 2])


def read_searched(path: Path) -> object:
    """Read a file of trials as a search that is resumed does, and one that repeats a line."""
    from netlet.experiments.search.sampler import Sampler

    remove_unfinished_line(path)
    lines = read_results(path)
    known = Sampler(small_space(), Images(), "d", lines).known
    for number, line in enumerate(lines, start=1):
        with contextlib.suppress(NetletError):
            trial_from_line(line, f"{path}, line {number}")
    return [(describe_line(line), train_command(line)) for line in rank_results(known)]


def read_budget(path: Path) -> object:
    return load_budget(path), read_class_file(path)


def read_submission(path: Path) -> object:
    claim, problems = read_claim(path.parent, {})
    if problems.found:  # it leaves out what it cannot use, and goes on
        raise NetletError("; ".join(problems.found))
    return claim


def parse_limit(name: str, text: str) -> object:
    """Return the value of a limit as the command line parses it."""
    if name == "forbids":
        return tuple(text.split(","))
    try:
        return int(text) if name == "params_below" else float(text)
    except ValueError as error:
        raise NetletError(f"{text!r} is not a number; the command line refuses it") from error


def read_text(path: Path) -> object:
    """Read a word of the command line: a net, a limit, a setting, a name or a shape."""
    kind, _, text = path.read_bytes().decode("utf-8", "surrogateescape").partition(" ")
    if kind == "limit":
        name, _, value = text.partition(" ")
        limits = {name: parse_limit(name, value)}
        return apply_limits(catalog.find_budget("twenty_k"), limits)
    if kind == "set":
        return apply_settings(catalog.find_recipe("quick"), [text])
    if kind == "budget":
        return catalog.find_budget(text)
    if kind == "recipe":
        return catalog.find_recipe(text)
    if kind == "shape":
        return parse_shape(text)
    if text.endswith(".py") or ":" in text:
        return None  # a file with code, not a text
    return find_net(text)


READERS = {
    reader.what: reader
    for reader in (
        Reader("IDX", idx_samples, read_idx, "images-idx3-ubyte", (idx_header,)),
        Reader(
            "gzipped IDX",
            packed_idx_samples,
            read_idx,
            "images-idx3-ubyte.gz",
            (repack_gzip, gzip_bomb, idx_header),
        ),
        Reader(
            "data in .npz",
            npz_samples,
            load_user_images,
            "data.npz",
            (repack_zip, rearrange_zip, zip_sizes, zip_bomb, npy_header),
        ),
        Reader(
            "PNG, as a picture of a digit",
            png_samples,
            read_digit,
            "digit.png",
            (repack_png, png_header, png_extra),
        ),
        Reader(
            "PNG, in a folder of classes",
            png_samples,
            read_class_folder,
            "image.png",
            (repack_png, png_header, png_extra),
        ),
        Reader("JPEG, WebP, BMP, GIF, TIFF, PPM", other_picture_samples, read_digit, "digit.jpg"),
        Reader(
            "safetensors",
            safetensors_samples,
            read_weights,
            "net.safetensors",
            (safetensors_header,),
        ),
        Reader(
            "weights in .pt",
            torch_samples,
            read_weights,
            "net.pt",
            (repack_zip, rearrange_zip, zip_sizes, zip_bomb),
        ),
        Reader(
            "checkpoints",
            checkpoint_samples,
            read_checkpoint,
            records.CHECKPOINT_FILE,
            (repack_zip, rearrange_zip, zip_sizes, zip_bomb),
        ),
        Reader("ladders in TOML", ladder_samples, read_ladder, "ladder.toml", (edit_toml,)),
        Reader("run.json", run_samples, read_run, "run.json", (edit_json, json_tricks)),
        Reader("study.json", study_samples, read_study, "study.json", (edit_json, json_tricks)),
        Reader(
            "trials of a search",
            trials_samples,
            read_trials,
            "t.jsonl",
            (edit_json_line, json_tricks),
        ),
        Reader(
            "trials that a search resumes from",
            searched_samples,
            read_searched,
            "t.jsonl",
            (edit_json_line, edit_json_line, json_tricks),
        ),
        Reader("search spaces in TOML", space_samples, load_search, "space.toml", (edit_toml,)),
        Reader("budgets in TOML", budget_samples, read_budget, "class.toml", (edit_toml,)),
        Reader(
            "netlet.toml", lambda: [SETTINGS.encode()], load_settings, "netlet.toml", (edit_toml,)
        ),
        Reader(
            "claims of submissions",
            lambda: [CLAIM.encode()],
            read_submission,
            "claim.toml",
            (edit_toml,),
        ),
        Reader("nets, budgets and recipes on the command line", text_samples, read_text, "words"),
    )
}


def make_input(reader: Reader, samples: list[bytes], number: int) -> bytes:
    """Return the damaged file of a number."""
    choose = random.Random(f"{SEED} {reader.what} {number}")
    content = mutate(choose, choose.choice(samples), reader.damage)
    return content[:300] if reader.file == "words" else content


# --- workers


def read_many(what: str, numbers: list[int], folder: Path, pipe: Connection) -> None:
    """Read damaged files in a process of its own; tell what happened to each."""
    torch.set_num_threads(1)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    warnings.simplefilter("ignore")
    reader = READERS[what]
    samples = reader.samples()
    path = folder / reader.file
    path.write_bytes(samples[0])
    reader.read(path)  # imports what it needs, and has to work
    (line,) = re.findall(r"VmData:\s*(\d+) kB", Path("/proc/self/status").read_text())
    resource.setrlimit(resource.RLIMIT_DATA, ((int(line) << 10) + MEMORY_BYTES,) * 2)
    gc.freeze()  # collecting takes long otherwise: everything is imported
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for number in numbers:
        path.write_bytes(make_input(reader, samples, number))
        pipe.send((number, "begun", ""))
        gc.collect()  # what the last input left counts for this one otherwise
        signal.alarm(LIMIT_S)
        outcome = judge_reading(reader, path)
        signal.alarm(0)
        pipe.send((number, *outcome))
    pipe.close()


def judge_reading(reader: Reader, path: Path) -> tuple[str, str]:
    """Read a file; return ``harmless``, ``refused`` or ``failed``, and why."""
    try:
        reader.read(path)
    except NetletError as error:
        text = escape_controls(str(error))  # as the command line prints it
        one_line = len(text.splitlines()) == 1 and len(text) < MAX_LETTERS
        if "MemoryError" in text or "alloc" in text:
            return "failed", f"it filled the memory: {text[:300]!r}"
        return ("refused", "") if one_line else ("failed", f"not one line: {text[:300]!r}")
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (
            "failed",
            f"{type(error).__name__}: {str(error)[:200]} ({place.name}, {place.filename}:{place.lineno})",
        )
    return "harmless", ""


def read_in_worker(what: str, numbers: list[int], folder: Path) -> dict[int, tuple[str, str]]:
    """Return what happened to each input; a worker that dies is replaced."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    outcomes: dict[int, tuple[str, str]] = {}
    left = numbers
    while left:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=read_many, args=(what, left, folder, theirs))
        process.start()
        theirs.close()
        number, began = None, time.monotonic()
        with contextlib.suppress(EOFError):
            while True:
                number, state, why = ours.recv()
                outcomes[number] = (state, why)
        process.join()
        ours.close()
        if number is None:
            raise RuntimeError(f"{what}: the worker does not start (code {process.exitcode})")
        if outcomes[number][0] == "begun":
            hung = process.exitcode == -signal.SIGALRM
            how = f"takes more than {LIMIT_S} s" if hung else f"ends it (code {process.exitcode})"
            outcomes[number] = (
                "failed",
                f"{how}, {time.monotonic() - began:.0f} s after its start",
            )
        left = left[left.index(number) + 1 :]
    return outcomes


def try_reader(what: str, numbers: list[int], folder: Path) -> tuple[dict[str, int], list[str]]:
    """Return how many inputs had which outcome, and what failed."""
    outcomes = read_in_worker(what, numbers, folder)
    states = [outcomes[number][0] for number in numbers]
    counts = {state: states.count(state) for state in ("refused", "harmless", "failed")}
    failures = [
        f"{what}, input {number}: {outcomes[number][1]}"
        for number in numbers
        if outcomes[number][0] == "failed"
    ]
    return counts, failures


# --- the tests


@pytest.mark.parametrize("what", ["data in .npz", "safetensors"])
def test_damaged_files_are_accepted_or_refused_in_one_line(what: str, tmp_path: Path) -> None:
    _, failures = try_reader(what, list(range(20)), tmp_path)
    assert not failures, f"seed {SEED}:\n" + "\n".join(failures)


@pytest.mark.faults
@pytest.mark.parametrize("what", READERS)
def test_every_damaged_file_is_accepted_or_refused_in_one_line(
    what: str, tmp_path: Path, fault_counts: FaultCounts
) -> None:
    if what == "trials that a search resumes from":
        pytest.importorskip("optuna")
    counts, failures = try_reader(what, list(range(INPUTS)), tmp_path)
    fault_counts.add("readers", what, INPUTS, **counts, seed=SEED)
    assert not failures, f"{len(failures)} of {INPUTS}, seed {SEED}:\n" + "\n".join(failures)


def test_the_number_of_an_input_gives_the_same_file_again() -> None:
    reader = READERS["data in .npz"]
    samples = reader.samples()
    assert [make_input(reader, samples, k) for k in range(20)] == [
        make_input(reader, samples, k) for k in range(20)
    ]
