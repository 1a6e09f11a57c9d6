"""Edit records and see what the commands that read them do."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from record_edits import FREE_IN_RUN, FREE_IN_STUDY, Edit, make_edits

from netlet import records
from netlet.cli import main
from netlet.errors import RecordError
from netlet.records import RECORD, STUDY, Study

# The name of an exception of Python, such as KeyError, is not a message for a person.
_EXCEPTION = re.compile(r"\b[A-Z]\w*(Error|Exception|Traceback)\b|Traceback|--debug")
READERS = ("compare", "card", "frontier")


def call(*words: str) -> tuple[int, str, str]:
    """Run the command line in this process: arguments to exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(words))
        except SystemExit as stop:
            return int(stop.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def try_edits(
    folder: Path, name: str, number: int, seed: int, *, commands_every: int, report_every: int
) -> Iterator[bool]:
    """Edit a record, load it, and run the commands that read it; put the record back at the end.

    Args:
        folder: Has the record, and for a run its weights; ``folder/../good`` has a good run.
        name: ``run.json`` or ``study.json``.
        number: How many edits.
        seed: Of the edits.
        commands_every: Run ``runs`` and another command on every Nth edit.
        report_every: Draw a report of every Nth of them.

    Yields:
        For each edit whether it was refused; else it was harmless.

    Raises:
        AssertionError: It was neither.
    """
    path = folder / name
    whole, sound = path.read_text(), records.find_study(path)
    choose = random.Random(seed)
    free = FREE_IN_RUN if name == RECORD else FREE_IN_STUDY
    try:
        for count, edit in enumerate(make_edits(json.loads(whole), number, seed)):
            path.write_bytes(edit.text.encode("utf-8", "surrogatepass"))
            refused = False
            try:
                found = records.find_study(path)
            except RecordError as error:
                refused = True
                check_refusal(edit, str(error))
            else:
                if edit.same_number:
                    assert found == sound, f"accepted, but another record: {edit.what}"
                else:
                    assert edit.is_free(free), f"accepted, but something else tells: {edit.what}"
            if count % commands_every == 0:
                check_list(folder, name, edit, refused=refused)
                report = count // commands_every % report_every == report_every - 1
                reader = "report" if report else choose.choice(READERS)
                check_reader(reader, folder, edit, refused=refused)
            yield refused
    finally:
        path.write_text(whole)


def check_list(folder: Path, name: str, edit: Edit, *, refused: bool) -> None:
    """Check that ``runs`` names a refused record, shows an accepted one, and hides no other."""
    code, out, err = call("runs", str(folder.parent), "--json")
    rows = {Path(row["path"]).name: row for row in reversed(json.loads(out)["runs"])}
    assert code == refused, f"{edit.what}: {err}"
    assert "good" in rows, f"{edit.what} hides other runs"
    if refused:
        check_refusal(edit, err)
    else:
        check_shown(edit, name, rows[folder.name], json.loads(edit.text))


def check_refusal(edit: Edit, err: str) -> None:
    """Check that an edit was refused in one line for people."""
    # Lines of the command frontier, about other studies.
    others = ("no studies found; ", "left out: ")
    lines = [line for line in err.splitlines() if not line.startswith(others)]
    assert len(lines) == 1, f"{edit.what}: {err}"
    assert len(err) < 1_000, f"{edit.what}: {err}"
    assert not _EXCEPTION.search(err), f"{edit.what}: {err}"


def check_shown(edit: Edit, name: str, row: dict[str, Any], record: dict[str, Any]) -> None:
    """Check that every number that is shown is the record's, as edited."""
    if name == RECORD:
        last, train = record["last_epoch"], record["train_score"]
        scores = [epoch["held_out"]["correct"] for epoch in record["epochs"]]
        shown = {"epochs": len(scores), "train_s": round(record["times"]["train_s"], 3)}
        best, seed = max(scores), record
    else:
        seed = record["seeds"][0]
        last = {"correct": seed["correct"], "total": record["total"]}
        train = {"correct": seed["train_correct"], "total": record["train_total"]}
        best, shown = max(seed["correct_by_epoch"]), {"train_s": seed["train_s"]}
    shown |= {
        "parameters": record["cost"]["parameters"],
        "last_percent": round(100 * last["correct"] / last["total"], 4),
        "best_percent": round(100 * best / last["total"], 4),
        "train_percent": round(100 * train["correct"] / train["total"], 4),
        "seed": seed["seed"],
    }
    assert {key: row[key] for key in shown} == shown, f"{edit.what}: {row}"


def check_reader(reader: str, folder: Path, edit: Edit, *, refused: bool) -> None:
    """Check that another command refuses the same edit, or shows the record."""
    words = {
        "compare": ("compare", str(folder), str(folder.parent / "good")),
        "card": ("card", str(folder)),
        "frontier": ("frontier", str(folder.parent)),
        "report": ("report", str(folder), "--out", str(folder.parent / "page.md")),
    }[reader]
    code, _, err = call(*words)
    assert not _EXCEPTION.search(err), f"{edit.what}: {reader}: {err}"
    if refused:
        assert code == (1 if reader == "frontier" else 2), f"{edit.what}: {reader}: {err}"
        check_refusal(edit, err)
    else:
        # Two edited records may be of two experiments, and edited weights are no longer there.
        assert code in (0, 1, 2), f"{edit.what}: {reader}: {err}"
        assert code < 2 or len(err.splitlines()) == 1, f"{edit.what}: {reader}: {err}"


def record_runs(folder: Path, data: Path) -> None:
    """Train a tiny net with two seeds, and write ``good``, ``run`` and ``study`` into a folder.

    Args:
        folder: Gets the folders.
        data: An ``.npz`` of images.
    """
    for seed in (0, 1):
        words = ("--dataset", str(data), "--seed", str(seed), "--out", str(folder / f"seed-{seed}"))
        settings = ("--set", "epochs=5", "--set", "backend=eager", "--set", "batch_size=100")
        code, _, err = call("train", "speck", *words, *settings)
        assert code in (0, 1), err
    (folder / "runs").mkdir()
    (folder / "studies").mkdir()
    runs = [records.load_run(folder / f"seed-{seed}") for seed in (0, 1)]
    for kind, name in (("runs", RECORD), ("studies", STUDY)):
        for place in ("good", "edited"):
            target = folder / kind / place
            if name == RECORD:
                shutil.copytree(folder / f"seed-{place == 'good':d}", target)
            else:
                records.save_study(Study.from_runs(runs), target / name)
