"""``netlet grade``: right nets pass, others do not, and nobody harms the others or the machine."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import importlib.util
import io
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import class_of_students
import numpy as np
import pytest
import torch
from class_of_students import spot_data, spot_weights, write_submission, zip_of
from helpers import Netlet, needs_sandbox, start_interruptible
from safetensors.torch import save

from netlet import catalog
from netlet.budgets import Budget, RuleResult, Score
from netlet.budgets.class_file import ClassFile, read_class_file
from netlet.classroom import (
    Grade,
    GradingSettings,
    Submission,
    class_folder,
    earlier_grades,
    grade_files,
    grade_submissions,
    limit_workers,
    list_submissions,
    read_roster,
)
from netlet.classroom.grades import RulePoints
from netlet.classroom.journal import append_grade
from netlet.classroom.perturbed_copy import draw_images
from netlet.classroom.roster import (
    Claim,
    ClaimProblems,
    Correction,
    find_correction,
    find_row,
    read_claim,
)
from netlet.classroom.submissions import find_missing, find_unknown
from netlet.classroom.submitted_files import copy_submission, digest_files
from netlet.data import save_npz
from netlet.errors import BudgetError, GradingError, NetletWarning, OutputError, SandboxError
from netlet.evaluation import score_logits
from netlet.files import read_regular
from netlet.sandbox import SandboxAnswer, SandboxTask, find_program

CLASS = Budget(name="class", params_below=8_000, accuracy_at_least=95, forbids=("Conv2d",))

pytestmark = pytest.mark.filterwarnings("ignore:.*; will be retried alone")


def name_of(key: str) -> str:
    return key.removesuffix(".zip")


@pytest.mark.slow
@needs_sandbox
def test_a_class_of_forty_gets_the_expected_grades(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = tmp_path / "submissions"
    folder.mkdir()
    expected = class_of_students.submissions(secret)
    assert len(expected) == 40
    for name, (files, _, _) in expected.items():
        write_submission(folder, name, files)
    settings = GradingSettings(budget=CLASS, time_limit_s=60)
    grades = grade_submissions(list_submissions([folder]), settings, spot_data())
    found = {grade.name: grade for grade in grades}
    assert found.keys() == {name_of(name) for name in expected}
    for name, (_, state, why) in expected.items():
        grade = found[name_of(name)]
        assert grade.state == state, grade
        reason = grade_files.explain_grade(grade)
        assert any(part in reason for part in why.split("|")), (name, reason)
        assert "\n" not in reason
        assert str(tmp_path) not in grade.problem.replace(str(secret), "")
    assert secret.read_text() == "secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.txt", "submissions"]


@pytest.fixture
def class_on_spots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one right submission; the budget is called ``class``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(catalog.BUDGETS, "class", CLASS)
    monkeypatch.setattr("netlet.cli.grade.load_dataset", lambda *_: spot_data())
    folder = tmp_path / "submissions"
    folder.mkdir()
    files = {"model.py": class_of_students.RIGHT, "w.safetensors": save(spot_weights())}
    write_submission(folder, "ann", {**files, "claim.toml": "accuracy = 99.5\n"})
    return folder


@needs_sandbox
def test_one_command_writes_tables_reports_and_results(
    netlet: Netlet, class_on_spots: Path
) -> None:
    Path("class.csv").write_text("submission,student\nann,Ann =Lee\nzoe,Zoe\n")
    Path("class.toml").write_text(
        'title = "Assignment 3"\nparams_below = 8_000\naccuracy_at_least = 95\n'
        'forbids = ["Conv2d"]\n'
        '[grade]\nnet = "model.py:Net"\npoints = 20\n'
    )
    command = ("grade", str(class_on_spots), "--budget", "class.toml", "--roster", "class.csv")
    code, out, err = netlet(*command)
    assert code == 0, (out, err)
    (line,) = (line.split() for line in out.splitlines() if line.startswith("ann "))
    assert line == ["ann", "PASS", "20/20", "7,850", "100.00%", "99.50%", "100.00%"]
    assert "zoe: no submission\n" in out
    rows = list(csv.DictReader(Path("grades/grades.csv").read_text("utf-8-sig").splitlines()))
    assert [(r["submission"], r["student"], r["verdict"]) for r in rows] == [
        ("ann", "Ann =Lee", "PASS"),
        ("zoe", "Zoe", "NO SUBMISSION"),
    ]
    assert rows[1]["points"] == "0"
    assert json.loads(Path("grades/grades.json").read_text())["missing"] == [
        {"name": "zoe", "student": "Zoe"}
    ]
    report = Path("grades/ann/report.md").read_text()
    assert report.startswith("# Assignment 3\n\nSubmission `ann` by Ann =Lee, graded on 20")
    assert "\n\n**PASS**, 20 of 20 points.\n" in report
    assert "| test accuracy | 99.50% | 100.00% |" in report
    results = json.loads(Path("grades/ann/results.json").read_text())
    assert results["score"] == 20
    assert [test["status"] for test in results["tests"]] == ["passed"] * 3
    written = Path("grades/grades.json").read_text()
    code, out, err = netlet(*command, "--json")
    assert code == 0
    assert json.loads(out)["grades"][0]["state"] == "PASS"
    assert "ann: PASS" not in err  # unchanged
    assert Path("grades/grades.json").read_text() == written


def test_points_and_comments_of_the_roster_count_and_a_changed_table_is_kept(
    netlet: Netlet, class_on_spots: Path
) -> None:
    roster = Path("class.csv")
    roster.write_text(
        "submission;student;corrected_points;comment\n"
        "ann;Ann;87,5;=Well done\nzoe;Zoe;10;By e-mail.\nyan;Yan;;\n"
    )
    options = ("--budget", "class", "--roster", "class.csv", "--trust")
    code, out, _ = netlet("grade", str(class_on_spots), *options)
    assert code == 0
    assert "ann         PASS     87.5/100" in out
    said = "100 points by the rules, corrected to 87.5; =Well done"
    assert f"ann: {said}" in out
    assert "changed" not in out
    table = Path("grades/grades.csv")
    rows = list(csv.DictReader(table.read_text("utf-8-sig").splitlines()))
    assert [(row["points"], row["verdict"], row["reason"]) for row in rows] == [
        ("87.5", "PASS", said),
        ("0", "NO SUBMISSION", "no submission"),
        ("10", "NO SUBMISSION", "no submission; By e-mail."),
    ]
    report = Path("grades/ann/report.md").read_text()
    assert (
        "**PASS**, 87.5 of 100 points.\n\n100 points by the rules, corrected to 87.5.\n" in report
    )
    assert "**Comment:** \\=Well done\n" in report
    results = json.loads(Path("grades/ann/results.json").read_text())
    assert results["score"] == 87.5
    assert "100 points by the rules, corrected to 87.5\n=Well done" in results["output"]
    missing = json.loads(Path("grades/grades.json").read_text())["missing"]
    assert missing[1] == {"name": "zoe", "student": "Zoe", "points": 10, "comment": "By e-mail."}

    changed = table.read_text("utf-8-sig").replace('"87.5"', '"90"')
    for kept in ("grades.changed.csv", "grades.changed-2.csv"):
        table.write_text(changed)
        code, out, _ = netlet("grade", str(class_on_spots), *options)
        assert code == 0
        assert f"what you changed is in {Path('grades') / kept}; to correct points, use" in out
        assert (Path("grades") / kept).read_text() == changed
        assert '"87.5"' in table.read_text("utf-8-sig")
    roster.write_text(roster.read_text().replace("87,5", "many"))
    code, _, err = netlet("grade", str(class_on_spots), *options)
    assert code == 2
    assert (
        "class.csv: ann: corrected_points is 'many'; give a number from 0 to 1,000,000 with at most "
        "two decimals and no exponent, like 14.5, or nothing" in err
    )


@pytest.mark.slow
def test_one_student_of_a_class_is_graded_again_as_one_of_it(
    netlet: Netlet, class_on_spots: Path
) -> None:
    write_submission(class_on_spots, "bob", {"model.py": class_of_students.RIGHT})
    options = ("--budget", "class", "--trust")
    assert netlet("grade", str(class_on_spots), *options)[0] == 0
    report = Path("grades/bob/report.md")
    assert "**NOT YET**" in report.read_text()
    write_submission(class_on_spots, "bob", {"w.safetensors": save(spot_weights())})
    code, out, _ = netlet("grade", str(class_on_spots / "bob"), "--single", *options)
    assert code == 0
    assert "grades has the grades of a class: report and results are in its subfolder" in out
    assert "**PASS**" in report.read_text()
    assert json.loads(Path("grades/bob/results.json").read_text())["score"] == 100
    assert not Path("grades/report.md").exists()
    rows = csv.DictReader(Path("grades/grades.csv").read_text("utf-8-sig").splitlines())
    assert [(row["submission"], row["verdict"]) for row in rows] == [
        ("ann", "PASS"),
        ("bob", "PASS"),
    ]


@pytest.mark.slow
@needs_sandbox
def test_what_has_changed_is_graded_again_and_all_if_the_budget_has(class_on_spots: Path) -> None:
    found = list_submissions([class_on_spots])
    settings = GradingSettings(budget=CLASS)

    def grade(settings: GradingSettings, before: dict[str, Grade]) -> tuple[dict[str, Grade], bool]:
        kept: list[bool] = []
        grades = grade_submissions(
            found, settings, spot_data(), before=before, on_grade=lambda _, k: kept.append(k)
        )
        return {one.name: one for one in grades}, kept[0]

    first, kept = grade(settings, {})
    assert not kept
    second, kept = grade(settings, first)
    assert kept
    assert second == first
    other = GradingSettings(budget=CLASS.replace(params_below=100))
    third, kept = grade(other, first)
    assert not kept
    assert third["ann"].state == "FAIL"
    (class_on_spots / "ann" / "model.py").write_text(class_of_students.LARGE)
    fourth, kept = grade(settings, first)
    assert not kept
    assert "another net" in fourth["ann"].problem


@pytest.mark.slow
@needs_sandbox
@pytest.mark.parametrize("trust", [False, True])
def test_nets_are_trained_anew_from_fixed_seeds(
    netlet: Netlet, class_on_spots: Path, trust: bool
) -> None:
    claim = "recipe = {base = 'quick', epochs = 2, batch_size = 50}\n"
    (class_on_spots / "ann" / "claim.toml").write_text(claim)
    command = ("grade", str(class_on_spots), "--budget", "class", "--retrain", "claim")
    code, out, err = netlet(*command, "--seeds", "2", *(["--trust"] if trust else []))
    assert code == 0, (out, err)
    assert ("without a sandbox" in err) == trust
    grade = json.loads(Path("grades/grades.json").read_text())["grades"][0]
    assert len(grade["curve"]["test_correct"]) == 2
    assert len(grade["seed_scores"]) == 2
    report = Path("grades/ann/report.md").read_text()
    assert "![Accuracy after each epoch](report/curves.svg)" in report
    assert Path("grades/ann/report/curves.svg").is_file()


def start_slow_class(tmp_path: Path) -> subprocess.Popen[str]:
    """Start to grade a broken submission and one that never ends; wait until both are begun."""
    attack = class_of_students.HOSTILE.replace("{attack}", "time.sleep(31_000_009)")
    (tmp_path / "class").mkdir()
    (tmp_path / "temporary").mkdir()
    (tmp_path / "class" / "slow.py").write_text(attack)
    (tmp_path / "class" / "broken.zip").write_bytes(b"PK")
    command = [sys.executable, "-m", "netlet", "grade", str(tmp_path / "class"), "--dataset"]
    save_npz(spot_data(), tmp_path / "spots.npz")
    command += [str(tmp_path / "spots.npz"), "--budget", "eight_k", "-o", str(tmp_path / "out")]
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    process = start_interruptible(command, env=environment)
    end = time.monotonic() + 100
    while not (tmp_path / "out" / "grades.jsonl").exists() and time.monotonic() < end:
        time.sleep(0.1)
    while not sandboxes_of(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    return process


def sandboxes_of(tmp_path: Path) -> list[bytes]:
    """Return the command lines of sandboxes that see a folder of a test."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes())
    return [line for line in found if b"/task/code" in line and os.fsencode(tmp_path) in line]


@pytest.mark.slow
@needs_sandbox
def test_ctrl_c_stops_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    process = start_slow_class(tmp_path)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted after 1 of 2 submissions; the same command grades the others" in err
    assert not list((tmp_path / "temporary").iterdir())
    assert [path.name for path in (tmp_path / "out").glob("grades*")] == ["grades.json"]
    (grade,) = earlier_grades.read_grades(tmp_path / "out").values()
    assert (grade.name, grade.state) == ("broken", "ERROR")


@pytest.mark.slow
@needs_sandbox
def test_a_kill_ends_the_sandboxes_and_loses_no_grade(tmp_path: Path) -> None:
    if not find_program().watched:
        pytest.skip("a container has no parent that could end it")
    process = start_slow_class(tmp_path)
    assert sandboxes_of(tmp_path)
    process.kill()
    process.communicate(timeout=20)
    end = time.monotonic() + 20
    while sandboxes_of(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert not sandboxes_of(tmp_path)
    (grade,) = earlier_grades.read_grades(tmp_path / "out").values()
    assert (grade.name, grade.state) == ("broken", "ERROR")


def test_without_a_sandbox_nothing_is_graded(
    netlet: Netlet, class_on_spots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netlet.sandbox import programs

    monkeypatch.setenv("PATH", "/nowhere")
    programs.find_program.cache_clear()
    code, out, err = netlet("grade", str(class_on_spots), "--budget", "class")
    programs.find_program.cache_clear()
    assert (code, out) == (2, "")
    assert ("install bubblewrap" if sys.platform == "linux" else "needs Linux") in err
    assert not Path("grades").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["--retrain", "quick", "--weights", "*.pt"],
            "--retrain (or retrain in [grade]) trains new weights; leave out --weights",
        ),
        (["--seeds", "3"], "--seeds is for --retrain"),
        (["--budget", "nobody"], "no budget 'nobody'"),
        (["--roster", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_wrong_options_are_refused_at_once(
    netlet: Netlet, class_on_spots: Path, options: list[str], problem: str
) -> None:
    code, out, err = netlet("grade", str(class_on_spots), "--budget", "class", *options)
    assert (code, out) == (2, "")
    assert problem in err
    assert len(err.splitlines()) == 1


def test_the_options_of_a_class_are_read_from_its_budget_file(tmp_path: Path) -> None:
    file = tmp_path / "class.toml"
    file.write_text('params_below = 8000\n[grade]\nnet = "m.py:Net"\npoints = 20\nseeds = 3\n')
    found = ClassFile(points=50).fill_from(read_class_file(file))
    assert found == ClassFile(net="m.py:Net", points=50, seeds=3)
    file.write_text("params_below = 8000\n")
    assert read_class_file(file) == ClassFile()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("point = 20", "'point' is not a key of [grade]; did you mean 'points'? the keys are: "),
        ("points = 0", "points is 0 in [grade]; write points = 100, for example"),
        ("time_limit = 2", "write time_limit = 120, for example (a whole number from 5 to 86,400)"),
        ("epochs_below = 2", "line 3: epochs_below is below [grade]; move its line above"),
        ("seeds = true", "seeds is True in [grade]; write seeds = 3, for example"),
        ("net = 3", 'net is 3 in [grade]; write net = "model.py:Net", for example'),
        ("seeds = 3", "class.toml: seeds in [grade] is for retrain; add retrain = 'quick'"),
        ("retrain = 'magic'", "no recipe 'magic'"),
    ],
)
def test_a_wrong_option_in_the_file_is_named(
    netlet: Netlet, class_on_spots: Path, line: str, problem: str
) -> None:
    Path("class.toml").write_text(f"params_below = 8000\n[grade]\n{line}\n")
    code, out, err = netlet("grade", str(class_on_spots), "--budget", "class.toml")
    assert (code, out) == (2, "")
    assert problem in err
    assert len(err.splitlines()) == 1


def test_only_plain_files_of_known_kinds_are_copied(tmp_path: Path) -> None:
    folder, target = tmp_path / "from", tmp_path / "to"
    (folder / ".git").mkdir(parents=True)
    (folder / "sub").mkdir()
    target.mkdir()
    for name in (".git/hook.py", "a.py", "sub/b.ipynb", "w.PT", "data.csv", "answers.json"):
        (folder / name).write_text("x")
    (folder / "link.py").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.py")
    copy_submission(Submission("s", folder), target)
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert files == {"a.py", "sub/b.ipynb", "w.pt"}  # suffixes in small letters


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"w.pt": bytes(70 << 20)}, "too large"),
        ({f"{n}.py": "" for n in range(2_100)}, "more than 2,000 files"),
        ({"../up.py": "", "/etc/cron.py": "", "a/../../up.py": "", "ok.py": ""}, ""),
    ],
)
def test_a_zip_file_writes_only_within_its_folder_and_limits(
    tmp_path: Path, files: dict[str, bytes | str], problem: str
) -> None:
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    (tmp_path / "s.zip").write_bytes(zip_of(files))
    submission = Submission("s", tmp_path / "s.zip")
    if problem:
        with pytest.raises(GradingError, match=problem):
            copy_submission(submission, target)
        return
    copy_submission(submission, target)
    found = {path.relative_to(target).as_posix() for path in tmp_path.rglob("*.py")}
    assert found == {"etc/cron.py", "ok.py"}


def test_names_in_capitals_are_written_in_small_letters(tmp_path: Path) -> None:
    (tmp_path / "s.zip").write_bytes(
        zip_of({"NET.PY": "x = 1", "b/M.IPYNB": "", "m.py": "", "Claim.TOML": ""})
    )
    copy_submission(Submission("s", tmp_path / "s.zip"), tmp_path / "target")
    found = {path.name for path in (tmp_path / "target").rglob("*") if path.is_file()}
    assert found == {"NET.py", "M.ipynb", "m.py", "claim.toml"}
    write_submission(tmp_path, "both", {"m.py": "", "Claim.toml": "other", "claim.toml": "usual"})
    copy_submission(Submission("both", tmp_path / "both"), tmp_path / "second")
    assert (tmp_path / "second" / "claim.toml").read_text() == "usual"


def test_a_pipe_and_a_rarely_compressed_zip_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("m.py", "x = 1")
    for name, problem in (("pipe.py", "not a regular file"), ("s.zip", "in a rare way")):
        with pytest.raises(GradingError, match=problem):
            copy_submission(Submission("s", tmp_path / name), tmp_path / "target")


def test_a_fault_of_netlet_in_one_submission_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("empty pattern")

    monkeypatch.setattr("netlet.classroom.grading.read_claim", fail)
    (tmp_path / "m.py").write_text(class_of_students.RIGHT)
    settings = GradingSettings(budget=CLASS, trust=True)
    (grade,) = grade_submissions([Submission("m", tmp_path / "m.py")], settings, spot_data())
    assert (grade.state, grade.points) == ("ERROR", 0)
    assert date.fromisoformat(grade.graded_on) <= date.today()
    assert grade.problem == "netlet failed (ValueError: empty pattern); report this"


def test_a_submission_is_graded_again_when_its_worker_died(tmp_path: Path) -> None:
    (tmp_path / "ann.py").write_text(class_of_students.RIGHT)
    settings = GradingSettings(budget=CLASS, trust=True)
    found = [Submission("ann", tmp_path / "ann.py")]
    for errors, problem in (
        ([DIED] * 3, "the worker failed 3 times (RuntimeError: worker died (9));"),
        ([SHORT] * 3, "ran out of memory"),
    ):
        executor = Scripted(*errors)
        (grade,) = grade_submissions(found, settings, spot_data(), executor=executor)
        assert (grade.state, executor.tasks, grade.digest) == ("ERROR", len(errors), "")
        assert grade.problem.startswith(problem)
    with pytest.raises(SandboxError, match="no program"):  # nor will the next one have it
        grade_submissions(
            found,
            settings,
            spot_data(),
            executor=Scripted(SandboxError("no program", "missing")),
        )
    executor = Scripted(SandboxError("the code ended the sandbox", "ended"))
    (grade,) = grade_submissions(found, settings, spot_data(), executor=executor)
    assert (grade.state, executor.tasks) == ("ERROR", 1)
    assert grade.digest  # the same code ends the same way


@pytest.mark.parametrize("reason", ["takes more than 9 s", "takes too much processor time"])
def test_a_submission_that_was_too_slow_is_tried_alone_and_the_next_time(
    tmp_path: Path, reason: str
) -> None:
    (tmp_path / "ann.py").write_text(class_of_students.RIGHT)
    found, slow = [Submission("ann", tmp_path / "ann.py")], SandboxError(reason, "time")
    settings = GradingSettings(budget=CLASS, trust=True, time_limit_s=9)
    executor = Scripted(slow, slow)
    with pytest.warns(NetletWarning, match="ann: took too long; will be retried alone"):
        (grade,) = grade_submissions(found, settings, spot_data(), executor=executor)
    assert (grade.state, executor.tasks, grade.exceeded_s) == ("ERROR", 2, 9)
    assert grade.problem.startswith(
        "grading took more than 9 s even with no other submission running; look for an infinite"
    )
    assert grade.problem.endswith(
        "; without one, the teacher's machine may have been busy: grade again there, or raise "
        "--time-limit"
    )
    executor = Scripted(SandboxError("the code ended the sandbox", "ended"))
    (again,) = grade_submissions(
        found, settings, spot_data(), executor=executor, before={"ann": grade}
    )
    assert (again.problem, executor.tasks) == ("the code ended the sandbox", 1)
    longer, executor = dataclasses.replace(settings, time_limit_s=60), Scripted()
    (kept,) = grade_submissions(
        found, longer, spot_data(), executor=executor, before={"ann": again}
    )
    assert (kept, executor.tasks) == (again, 0)  # another limit changes no grade


@pytest.mark.parametrize(
    ("limit_s", "skip", "changed", "tried"),
    [
        (9, True, False, False),
        (5, True, False, False),
        (10, True, False, True),
        (9, True, True, True),
        (9, False, False, True),
    ],
)
def test_a_submission_that_was_too_slow_is_skipped_if_asked_and_nothing_changed(
    tmp_path: Path, limit_s: int, skip: bool, changed: bool, tried: bool
) -> None:
    (tmp_path / "ann.py").write_text(class_of_students.RIGHT)
    found, slow = [Submission("ann", tmp_path / "ann.py")], SandboxError("too slow", "time")
    settings = GradingSettings(budget=CLASS, trust=True, time_limit_s=9)
    executor = Scripted(slow, slow)
    (before,) = grade_submissions(found, settings, spot_data(), executor=executor)
    if changed:
        (tmp_path / "ann.py").write_text(class_of_students.LARGE)
    executor = Scripted(SandboxError("the code ended the sandbox", "ended"))
    (grade,) = grade_submissions(
        found,
        dataclasses.replace(settings, time_limit_s=limit_s),
        spot_data(),
        executor=executor,
        before={"ann": before},
        skip_slow=skip,
    )
    assert executor.tasks == tried
    assert (grade == before) == (not tried)


def test_own_images_of_a_budget_are_looked_for_in_the_working_folder(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    budget = 'dataset = "mini.npz"\nparams_below = 9_000\n'
    write_submission(tmp_path, "task", {"class.toml": budget, "mini.npz": ""})
    write_submission(tmp_path, "all", {"ann.py": class_of_students.RIGHT})
    command = ("grade", "all", "--budget", "task/class.toml", "--trust")
    assert netlet(*command) == (
        2,
        "",
        "netlet: class: its dataset 'mini.npz' is neither a public data set nor in this folder; "
        "pass the path with --dataset\n",
    )
    Path("mini.npz").touch()
    for options, file in (((), "mini.npz"), (("--dataset", "task/mini.npz"), "task/mini.npz")):
        assert f"netlet: {file}: " in netlet(*command, *options)[2]  # it is empty


def test_the_summary_says_what_was_too_slow_and_what_is_skipped(
    netlet: Netlet, class_on_spots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(task: SandboxTask, stop: object) -> SandboxAnswer:
        raise SandboxError("too slow", "time")

    monkeypatch.setattr("netlet.classroom.grading.run_task", run)
    command = ("grade", str(class_on_spots), "--budget", "class", "--trust")
    again = (
        "1 submission too slow; the next run tries again, unless you pass --skip-slow with the "
        "same budget and options\n"
    )
    skipped = "1 submission too slow before and not tried again; raise --time-limit, or leave"
    for options, said, unsaid in (
        ((), again, skipped),
        (("--skip-slow",), skipped, again),
        (("--skip-slow", "--time-limit", "200"), again, skipped),
        (("--skip-slow", "--again"), again, skipped),
    ):
        code, out, _ = netlet(*command, *options)
        assert code == 1
        assert said in out
        assert unsaid not in out
        assert "unchanged since the last time" not in out


def test_the_command_takes_an_executor_of_other_machines(
    netlet: Netlet, class_on_spots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("grade", str(class_on_spots), "--budget", "class", "--on")
    code, out, err = netlet(*command, "mars")
    assert (code, out) == (2, "")
    assert "use local, ray or ray://HOST:PORT" in err
    opened = []

    @contextlib.contextmanager
    def open_scripted(on: str, workers: int, say: object) -> Iterator[Executor]:
        opened.append((on, workers))
        yield executor

    executor = Scripted(SandboxError("the code ended the sandbox", "ended"))
    monkeypatch.setattr("netlet.experiments.execution.open_executor", open_scripted)
    monkeypatch.setattr("netlet.experiments.execution.check_executor", lambda on: None)
    monkeypatch.setenv("PATH", "/nowhere")  # this machine needs no sandbox
    code, out, err = netlet(*command, "ray://head:10001", "--workers", "7")
    assert code == 1
    assert "ann: the code ended the sandbox" in out
    assert opened == [("ray://head:10001", 7)]
    executor = Scripted(SandboxError("no program", "missing"))
    code, out, err = netlet(*command, "ray://head:10001", "--again")
    assert (code, out, opened[1:]) == (2, "", [("ray://head:10001", 1)])
    assert "no program" in err
    assert [one.problem for one in earlier_grades.read_grades(Path("grades")).values()] == [
        "the code ended the sandbox"
    ]


def test_what_is_repeated_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, running, seen = threading.Lock(), [0], dict[str, list[int]]()

    def run(task: SandboxTask, stop: object) -> SandboxAnswer:
        name = (task.inputs["/task/code"] / "claim.toml").read_text()
        with lock:
            running[0] += 1
        time.sleep(0.05)
        with lock:
            seen.setdefault(name, []).append(running[0])
            running[0] -= 1
        raise SandboxError("ran out of memory", "machine")

    monkeypatch.setattr("netlet.classroom.grading.run_task", run)
    monkeypatch.setattr("netlet.classroom.grading.limit_workers", lambda workers: workers)
    for number in range(4):
        write_submission(
            tmp_path, f"s{number}", {"m.py": "", "claim.toml": f"epochs = {number + 1}"}
        )
    settings = GradingSettings(budget=CLASS, trust=True)
    grades = grade_submissions(list_submissions([tmp_path]), settings, spot_data(), workers=4)
    assert all(grade.problem.startswith("ran out of memory") for grade in grades)
    assert [len(found) for found in seen.values()] == [3] * 4
    assert max(found[0] for found in seen.values()) > 1
    assert all(found[1:] == [1, 1] for found in seen.values())


def test_the_number_of_workers_fits_the_memory(
    netlet: Netlet, class_on_spots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.classroom.grading.count_fitting", lambda limits: 2)
    assert [limit_workers(number) for number in (1, 2, 9)] == [1, 2, 2]
    shutil.rmtree(class_on_spots / "ann")
    (class_on_spots / "broken.zip").write_bytes(b"PK")
    command = ("grade", str(class_on_spots), "--budget", "class", "--trust")
    assert "free; grading 2 at a time" in netlet(*command, "--workers", "9")[2]
    assert "at the same time" not in netlet(*command)[2]
    monkeypatch.setattr("netlet.classroom.grading.count_fitting", lambda limits: None)
    assert limit_workers(9) == 9


def test_a_layer_that_does_not_exist_is_found_before_any_code_runs(
    netlet: Netlet, class_on_spots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("ran")

    monkeypatch.setattr("netlet.classroom.grading.run_task", fail)
    Path("class.toml").write_text('params_below = 8000\nforbids = ["Conv2x"]\n')
    command = ("grade", str(class_on_spots), "--budget", "class.toml", "--trust")
    code, out, err = netlet(*command)
    assert (code, out) == (2, "")
    assert "no kind of layer is called 'Conv2x'; did you mean 'Conv2d'? " in err
    assert "or '=Conv2x' for a class in the file of the net" in err
    assert not Path("grades").exists()
    settings = GradingSettings(budget=Budget(forbids=("Conv2x",)), trust=True)
    with pytest.raises(BudgetError, match="Conv2x"):
        grade_submissions(list_submissions([class_on_spots]), settings, spot_data())


def test_a_killed_grading_loses_no_grade(netlet: Netlet, class_on_spots: Path) -> None:
    shutil.rmtree(class_on_spots / "ann")
    for name in ("a", "b"):
        write_submission(class_on_spots, name, {"claim.toml": "accuracy = "})
    command = ("grade", str(class_on_spots), "--budget", "class", "--trust")
    out = Path("grades")
    assert netlet(*command)[0] == 1
    assert not (out / "grades.jsonl").exists()
    grades = earlier_grades.read_grades(out)
    # As a grading leaves it that was killed when it had changed one grade and began the next line.
    append_grade(out, grades["b"].replace(problem="of the journal"))
    with open(out / "grades.jsonl", "a") as file:
        file.write('{"name": "a", "pro')
    found = earlier_grades.read_grades(out)
    assert found == grades | {"b": grades["b"].replace(problem="of the journal")}
    code, text, err = netlet(*command)
    assert code == 1
    assert "2 submissions unchanged since the last time" in text
    assert "b: of the journal" in text
    assert not (out / "grades.jsonl").exists()
    (out / "grades.jsonl").write_text("{}\n")
    code, text, err = netlet(*command)
    assert (code, text) == (2, "")
    assert "grades.jsonl: holds no grades of this version" in err
    (out / "grades.jsonl").unlink()
    (out / "grades.jsonl").symlink_to("/dev/null")
    with pytest.raises(OutputError, match=r"grades.jsonl: cannot be written"):
        append_grade(out, grades["a"])


def test_a_submission_without_code_is_graded_again_only_if_it_changes(
    netlet: Netlet, class_on_spots: Path
) -> None:
    shutil.rmtree(class_on_spots / "ann")
    write_submission(class_on_spots, "yan", {"essay.pdf": b"%PDF"})
    command = ("grade", str(class_on_spots), "--budget", "class", "--trust")
    out = netlet(*command)[1]
    assert "yan: no Python file or notebook" in out
    assert "unchanged since" not in out
    assert "1 submission unchanged since the last time" in netlet(*command)[1]
    write_submission(class_on_spots, "yan", {"notes.docx": b"PK"})
    assert "unchanged since" not in netlet(*command)[1]
    write_submission(class_on_spots, "yan", {"net.py": class_of_students.RIGHT})
    netlet(*command)
    assert earlier_grades.read_grades(Path("grades"))["yan"].parameters == 7_850


def test_a_grade_of_another_student_is_not_replaced_without_a_word(
    netlet: Netlet, class_on_spots: Path
) -> None:
    Path("a.csv").write_text("submission,student,points\nann,Ann Adams,3\nbob,Bob,\n")
    Path("b.csv").write_text("submission,student\nann,Ann Brown\n")
    command = ("grade", str(class_on_spots), "--budget", "class", "--trust", "--roster")
    for name in ("ann", "bob"):
        write_submission(class_on_spots, name, {"claim.toml": "accuracy = "})
    assert "replaces" not in netlet(*command, "a.csv")[2]
    shutil.rmtree(class_on_spots / "bob")
    _, out, err = netlet(*command, "b.csv")
    assert "ann: replaces the grade of Ann Adams; to keep the grades of another class, name" in err
    assert "bob" in out
    assert "new points or a new comment" not in out
    _, out, err = netlet(*command, "b.csv", "--drop", "ann", "--again")
    assert "ann: is among the submissions, so it is graded again; move it away to drop it" in err
    assert "replaces" not in err


def test_grading_some_keeps_the_grades_of_the_others(netlet: Netlet, class_on_spots: Path) -> None:
    shutil.rmtree(class_on_spots / "ann")
    for name in ("Bob", "ann", "cy", "bob"):
        write_submission(class_on_spots, name, {"claim.toml": "accuracy = "})
    Path("class.csv").write_text("submission\nBob\nann\nbob\ncy.zip\nzoe\n")
    options = ("--budget", "class", "--roster", "class.csv", "--trust")
    assert netlet("grade", str(class_on_spots), *options)[0] == 1
    whole = earlier_grades.read_grades(Path("grades"))
    reports = {file: file.read_text() for file in Path("grades").glob("*/report.md")}
    assert len(reports) == 4
    write_submission(class_on_spots, "dan", {"claim.toml": "accuracy = "})
    shutil.rmtree(class_on_spots / "bob")
    (class_on_spots / "bob").mkdir()  # empty
    some = [str(class_on_spots / name) for name in ("dan", "bob")]
    code, out, _ = netlet("grade", *some, *options)
    assert code == 1
    assert "zoe: no submission\ndan: is not on the roster\nthe earlier grades of 3 other" in out
    assert out.count("no submission") == 1
    rows = csv.DictReader(Path("grades/grades.csv").read_text("utf-8-sig").splitlines())
    assert [row["submission"] for row in rows] == ["Bob", "ann", "bob", "cy", "dan", "zoe"]
    assert (
        Path("grades/grades.csv").read_bytes().startswith(b'\xef\xbb\xbf"submission"')
    )  # for Excel
    after = earlier_grades.read_grades(Path("grades"))
    assert {name: after[name] for name in ("Bob", "ann", "cy")} == {
        name: whole[name] for name in ("Bob", "ann", "cy")
    }
    assert after["bob"].problem != whole["bob"].problem
    changed = {file.parent.name for file, text in reports.items() if file.read_text() != text}
    assert len(changed) == 1
    assert changed.pop().startswith("bob-")  # not in the folder of Bob


def test_the_cost_of_a_grade_does_not_grow_with_the_class(tmp_path: Path) -> None:
    grade = Grade(name="ann", state="PASS", points=1, max_points=1, summary="x" * 5_000)
    sizes = []
    for number in range(50):
        append_grade(tmp_path, grade.replace(name=f"s{number:02}"))
        sizes.append((tmp_path / "grades.jsonl").stat().st_size)
    assert {after - before for before, after in pairwise(sizes)} == {sizes[0]}
    assert len(earlier_grades.read_grades(tmp_path)) == 50


def test_submissions_are_those_in_a_folder_or_those_named(tmp_path: Path) -> None:
    for name in ("a.py", "b.ipynb", "c.zip", "notes.txt", ".hidden.py"):
        (tmp_path / name).write_text("x")
    for name in ("a", "grades", "__pycache__"):
        (tmp_path / name).mkdir()
    found = list_submissions([tmp_path], out=tmp_path / "grades")
    assert [one.name for one in found] == ["a", "a.py", "b", "c"]
    (tmp_path / "dan.tar.gz").write_bytes(b"x")
    *_, packed = list_submissions([tmp_path], out=tmp_path / "grades")
    assert packed.name == "dan"
    (tmp_path / "copy").mkdir()
    with pytest.raises(GradingError, match=r"dan\.tar\.gz is not unpacked; hand in a \.zip file"):
        copy_submission(packed, tmp_path / "copy")
    (tmp_path / "dan.tar.gz").unlink()
    found = list_submissions([tmp_path / "a.py", tmp_path / "c.zip"])
    assert [one.name for one in found] == ["a", "c"]
    assert [one.name for one in list_submissions([tmp_path], single=True)] == [tmp_path.name]
    for paths, out, problem in (
        ([tmp_path], tmp_path, "has the submissions; name another folder for the grades"),
        ([tmp_path], tmp_path / "a" / "grades", "a: is a submission, and the grades would be"),
        ([tmp_path / "a"], tmp_path / "a", "a: is a submission, and the grades would be written"),
        ([tmp_path / "a"], tmp_path, "a: is a submission, and the grades would be written"),
    ):
        with pytest.raises(GradingError, match=problem):
            list_submissions(paths, single=paths != [tmp_path], out=out)
    for paths, problem in (
        ([tmp_path / "grades"], "has no submissions"),
        ([tmp_path / "notes.txt"], "is not a submission; name a .py"),
        ([tmp_path / "nobody.py"], "no such submission or folder"),
    ):
        with pytest.raises(GradingError, match=problem):
            list_submissions(paths)


def test_each_student_has_a_folder_of_their_own() -> None:
    names = ["Ann", "ann", "a/b", "a_b", "..", "grades.csv", "\udce9"]
    folders = grade_files.name_folders(names)
    assert len({folder.lower() for folder in folders.values()}) == len(names)
    assert not any("/" in folder or folder.startswith(".") for folder in folders.values())


def test_the_digest_depends_on_names_and_contents(tmp_path: Path) -> None:
    digests = set()
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.py", "1")):
        folder = tmp_path / f"{name}{text}"
        folder.mkdir()
        (folder / name).write_text(text)
        digests.add(digest_files(folder))
    assert len(digests) == 3


def test_roster_and_claims_are_read_and_checked(tmp_path: Path) -> None:
    roster = tmp_path / "class.csv"
    roster.write_text('﻿GitHub,Name,Accuracy\n" ann ",Ann,"99.41%"\n,nobody,\n')
    rows = read_roster(roster)
    assert rows == {"ann": {"github": "ann", "name": "Ann", "accuracy": "99.41%", "student": "Ann"}}
    assert read_claim(tmp_path, rows["ann"]) == (Claim(accuracy=99.41), ClaimProblems())
    roster.write_text("who\nann\n")
    with pytest.raises(
        GradingError, match=r"no column submission or file or .*; its first line has: who"
    ):
        read_roster(roster)
    roster.write_text(f"submission\n{'a' * 200_000}\n")
    with pytest.raises(GradingError, match="is not valid CSV"):
        read_roster(roster)
    claim = tmp_path / "claim.toml"
    for text, problem in (
        ("accuracy = 'high'", "the claim accuracy='high' is not valid; give one like 99.4"),
        ("accuracy = nan", "accuracy=nan is not valid"),
        (f"accuracy = 1{'0' * 400}", "the claim accuracy=10000"),
        ("recipe = 'magic'", "no recipe 'magic'"),
        ("recipe = {epochs = -1}", "the claimed recipe is invalid"),
        ("points = 100", "'points' is not a key of a claim"),
        (
            "mean = [0.485, 0.456, 0.406]",
            "the claim mean=[0.485, 0.456, 0.406] is not one number for all channels; normalize",
        ),
        ("[" * 5_000, "is not valid TOML"),
        ("a." * 5_000 + "a = 1", "line 1 has too many dots"),
    ):
        claim.write_text(text)
        found, problems = read_claim(tmp_path, {})
        assert found == Claim()
        assert problem in "; ".join(problems.found), text
    claim.write_text("maen = 0.5\nstd = 0\nepochs = 12\nrecipe = 'magic'\naccuracy = 99\n")
    found, problems = read_claim(tmp_path, {})
    assert found == Claim(epochs=12, accuracy=99)
    assert problems.of_weights == "the claim std=0 is not valid; give one like 0.3081"
    assert "no recipe 'magic'" in problems.of_recipe
    assert len(problems.found) == 3


def test_claims_at_the_same_place_that_differ_are_named(tmp_path: Path) -> None:
    for name, text in (("b", "epochs = 3"), ("a", "epochs = 2"), ("a/deep", "epochs = 9")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "claim.toml").write_text(text)
    found, problems = read_claim(tmp_path, {})
    assert found == Claim(epochs=2)
    differ = "2 claims that differ (a/claim.toml, b/claim.toml), of which a/claim.toml counts; keep"
    assert problems.found == (f"{differ} only one",)
    (tmp_path / "b" / "claim.toml").write_text("epochs = 2")  # a copy
    assert read_claim(tmp_path, {}) == (Claim(epochs=2), ClaimProblems())
    (tmp_path / "b" / "claim.toml").write_text("epochs = 3")
    (tmp_path / "claim.toml").write_text("epochs = 5")  # the topmost one is meant
    assert read_claim(tmp_path, {}) == (Claim(epochs=5), ClaimProblems())
    (tmp_path / "claim.json").write_text('{"epochs": 6, "wrong": 1}')
    assert len(read_claim(tmp_path, {})[1].found) == 1
    (tmp_path / "claim.toml").write_text("epochs = ")
    assert len(read_claim(tmp_path, {})[1].found) == 2


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("epochs = 0", "15"),
        ("epochs = 1.5", "15"),
        ("epochs = inf", "15"),
        ("epochs = true", "15"),
        ("accuracy = 250", "99.4"),
        ("accuracy = 100.01", "99.4"),
        ("accuracy = -1", "99.4"),
        ("parameters = 7850.5", "7416"),
        ("mean = 1001", "0.1307"),
    ],
)
def test_a_claim_that_cannot_be_true_is_left_out(tmp_path: Path, text: str, like: str) -> None:
    (tmp_path / "claim.toml").write_text(text)
    found, problems = read_claim(tmp_path, {})
    assert found == Claim()
    written = text.replace(" ", "").replace("true", "True")
    assert problems.found == (f"the claim {written} is not valid; give one like {like}",)
    key, value = text.split(" = ")
    if key in ("accuracy", "epochs") and value != "true":
        assert read_claim(tmp_path / "nowhere", {key: value})[0] == Claim()


@pytest.mark.parametrize("value", ["[0.5]", "[0.5, 0.5, 0.5]"])
def test_a_normalization_may_have_an_equal_number_for_each_channel(
    tmp_path: Path, value: str
) -> None:
    (tmp_path / "claim.toml").write_text(f"mean = {value}\nstd = {value}\n")
    assert read_claim(tmp_path, {}) == (Claim(mean=0.5, std=0.5), ClaimProblems())


def test_whole_numbers_may_have_a_decimal_point(tmp_path: Path) -> None:
    (tmp_path / "claim.toml").write_text("epochs = 2.0\nparameters = 7850.0\naccuracy = 100\n")
    found, problems = read_claim(tmp_path, {})
    assert problems == ClaimProblems()
    assert found == Claim(epochs=2, parameters=7850, accuracy=100)
    assert isinstance(found.epochs, int)
    assert read_claim(tmp_path / "nowhere", {"epochs": "2.0"})[0] == Claim(epochs=2)


def test_numbers_as_text_are_claims_as_in_the_roster(tmp_path: Path) -> None:
    lines = (
        'accuracy = "99,99 %"\nparameters = "1,000"\nepochs = "15"\nmean = "0,5"\nstd = "0.25"\n'
    )
    (tmp_path / "claim.toml").write_text(lines)
    claimed = Claim(accuracy=99.99, parameters=1000, epochs=15, mean=0.5, std=0.25)
    assert read_claim(tmp_path, {}) == (claimed, ClaimProblems())
    (tmp_path / "claim.toml").write_text('accuracy = "high"\nmean = "50%"\n')
    found, problems = read_claim(tmp_path, {})
    assert found == Claim()
    assert "the claim accuracy='high' is not valid; give one like 99.4" in problems.found
    assert "the claim mean='50%' is not valid" in problems.of_weights


def test_a_roster_of_another_system_is_read_or_refused(tmp_path: Path) -> None:
    roster = tmp_path / "class.csv"
    roster.write_text("submission;student;accuracy\nJo\u0308rg;Jörg;99,41\n")
    rows = read_roster(roster)
    assert rows["J\u00f6rg"]["student"] == "Jörg"
    assert find_row(rows, "Jo\u0308rg") == find_row(rows, "J\u00f6rg") == rows["J\u00f6rg"]
    assert read_claim(tmp_path, rows["J\u00f6rg"])[0] == Claim(accuracy=99.41)
    submitted = [Submission("Jo\u0308rg", tmp_path / "Jo\u0308rg.zip")]
    assert find_missing(rows, submitted, {}) == []
    assert find_unknown(rows, {"Jo\u0308rg": "", "model": ""}) == ["model"]
    roster.write_bytes("submission\nann\nJörg\n".encode("cp1252"))
    with pytest.raises(GradingError, match="line 3 is not UTF-8; save it as 'CSV UTF-8'"):
        read_roster(roster)
    roster.write_text("submission\nann\nann\n")
    with pytest.raises(GradingError, match="has 'ann' twice; keep only one of the lines"):
        read_roster(roster)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("bob,33,5,half", "line 2 has more cells than the first line; put a text with ','"),
        ('bob,"1,000",', "corrected_points is '1,000'; give a number"),
        ("bob,nan,", "corrected_points is 'nan'; give a number"),
        (
            "bob,9.999,",
            "'9.999'; give a number from 0 to 1,000,000 with at most two decimals and no",
        ),
        ("bob,1.5e1,", "'1.5e1'; give a number .* no exponent, like 14.5, or nothing"),
    ],
)
def test_points_that_could_mean_something_else_are_refused(
    tmp_path: Path, line: str, problem: str
) -> None:
    roster = tmp_path / "class.csv"
    roster.write_text(f"submission,Corrected points,Comment\n{line}\n")
    with pytest.raises(GradingError, match=problem):
        read_roster(roster)
    roster.write_text('submission,Corrected points,Comment\nbob,33.5,"late, but good",\n')
    assert find_correction(read_roster(roster)["bob"]) == Correction(33.5, "late, but good")


def test_one_submission_is_not_taken_for_a_class(tmp_path: Path) -> None:
    write_submission(tmp_path, "mats", {"model.py": "", "model.pth": b""})
    with pytest.raises(
        GradingError, match=r"looks like one submission, because it contains model\.pth"
    ):
        list_submissions([tmp_path / "mats"])
    assert [one.name for one in list_submissions([tmp_path / "mats"], single=True)] == ["mats"]
    assert [one.name for one in list_submissions([tmp_path])] == ["mats"]
    record = tmp_path / "ida" / "runs" / "net-seed0" / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    with pytest.raises(GradingError, match=r"looks like one submission, because it contains runs;"):
        list_submissions([tmp_path / "ida"])


def test_each_code_of_a_class_is_read_once_however_many_weights_lie_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def count(path: Path, *words: Any) -> bytes:
        read.append(path.name)
        return read_regular(path, *words)

    monkeypatch.setattr(class_folder, "read_regular", count)
    files = {f"student{n}{suffix}": "" for n in range(9) for suffix in (".py", ".pt")}
    write_submission(tmp_path, "class", files)
    assert len(list_submissions([tmp_path / "class"])) == 18  # whose weights belong to no folder
    assert sorted(read) == [f"student{n}.py" for n in range(9)]


def test_folders_of_moodle_are_called_as_the_students(tmp_path: Path) -> None:
    added = "assignsubmission_file"
    for name in (
        f"Ann Lee_12_{added}_",
        f"Bo_3_{added}",
        f"Cy_4_{added}_",
        f"Cy_5_{added}_",
        "Di_6",
    ):
        (tmp_path / name).mkdir()
    (tmp_path / f"Ed_7_{added}_net.py").write_text("")
    names = [one.name for one in list_submissions([tmp_path])]
    two = ["Cy_4", "Cy_5"]  # two students of one name
    assert names == ["Ann Lee", "Bo", *two, "Di_6", "Ed"]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (["a.pdf"], "no Python file or notebook, only a.pdf; hand in the code of the net"),
        (
            ["a.pdf", "b.h5", "c.txt", "d.txt", "w.pt"],
            "only weights (w.pt), a.pdf, b.h5, c.txt and 1 more",
        ),
        (["a.pdf", "net.RAR"], "notebook, and net.RAR is not unpacked; hand in a .zip file"),
        (["net.tar.gz"], "net.tar.gz is not unpacked"),
    ],
)
def test_a_folder_without_code_is_told_what_it_has(
    tmp_path: Path, files: list[str], problem: str
) -> None:
    write_submission(tmp_path, "ann", dict.fromkeys(files, ""))
    (tmp_path / "to").mkdir()
    with pytest.raises(GradingError, match=re.escape(problem)):
        copy_submission(Submission("ann", tmp_path / "ann"), tmp_path / "to")


def test_names_in_a_zip_file_of_macos_keep_their_umlauts(tmp_path: Path) -> None:
    """It writes them in UTF-8 without the flag that says so; others are left as they are read."""
    content = zip_of({"Loesung.py": "", "ab.py": ""})
    names = ((b"Loesung", "L\u00f6sung".encode()), (b"ab", b"\x81b"))  # the second in CP 437
    for written, name in names:
        assert len(name) == len(written)
        content = content.replace(written, name)
    (tmp_path / "s.zip").write_bytes(content)
    (tmp_path / "to").mkdir()
    copy_submission(Submission("s", tmp_path / "s.zip"), tmp_path / "to")
    assert {path.name for path in (tmp_path / "to").iterdir()} == {"L\u00f6sung.py", "\u00fcb.py"}


def test_a_folder_with_only_a_zip_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    inner = zip_of({"a/m.py": "", "w.pt": b"x"})
    write_submission(tmp_path, "Ben_1_file", {"abgabe.zip": inner, "readme.txt": ""})
    submission = Submission("Ben", tmp_path / "Ben_1_file")
    copy_submission(submission, tmp_path / "to")
    assert sorted(p.name for p in (tmp_path / "to").rglob("*.*")) == ["m.py", "w.pt"]
    write_submission(tmp_path, "Ben_1_file", {"old.zip": inner})
    with pytest.raises(GradingError, match=r"2 zip files \(abgabe.zip, old.zip\) and no Python"):
        copy_submission(submission, tmp_path / "to")


def test_shuffled_images_come_back_in_order_and_copies_are_alike() -> None:
    split = spot_data().held_out
    drawn = draw_images(split)
    parts = (drawn.clean, drawn.noisy, drawn.moved)
    assert not torch.equal(drawn.clean.images, split.images)
    assert len({tuple(one.order.tolist()) for one in parts}) == 3  # no two are alike
    weights = spot_weights()
    for one in parts:
        logits = one.images.float().flatten(1) / 255 @ weights["1.weight"].T
        assert score_logits(one.restore(logits), split, 10).score.correct == len(split)
    clean, noisy, moved = (one.restore(one.images.float().flatten(1)) for one in parts)
    assert torch.equal(clean, split.images.float().flatten(1))
    assert (clean - noisy).abs().max() == 1
    assert not (clean == noisy).all(1).any()
    assert (clean - moved).abs().amax(1).min() > 100
    contents = [np.load(io.BytesIO(content)) for content in drawn.to_bytes()]
    assert [one.images.numpy().tobytes() for one in (drawn.noisy, drawn.moved, drawn.clean)] == [
        content.tobytes() for content in contents
    ]


DIED, SHORT = RuntimeError("worker died (9)"), SandboxError("ran out of memory", "machine")


class Scripted(Executor):
    """An executor whose tasks end as a script says: with an error, or by running them.

    Tasks and answers are copied, as between machines.
    """

    def __init__(self, *errors: Exception | None) -> None:
        self.errors, self.tasks = list(errors), 0

    def submit(self, function: Any, /, *args: Any, **options: Any) -> Future[Any]:
        self.tasks += 1
        future: Future[Any] = Future()
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            future.set_exception(error)
        else:
            call, words, names = pickle.loads(pickle.dumps((function, args, options)))
            future.set_result(pickle.loads(pickle.dumps(call(*words, **names))))
        return future


def test_a_table_that_links_copies_to_test_images_needs_both_at_once(tmp_path: Path) -> None:
    """The attack of the next test gets through where it sees all images together."""
    split = spot_data().held_out
    drawn = draw_images(split)
    (tmp_path / "m.py").write_text(class_of_students.linker_of(split))
    spec = importlib.util.spec_from_file_location("linker", tmp_path / "m.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.Net()
    everything = [drawn.noisy, drawn.moved, drawn.clean]
    images = torch.cat([one.images for one in everything]).float()
    with torch.no_grad():
        together = net((images / 255 - 0.1307) / 0.3081).split(len(split))
    for one, logits in zip(everything, together, strict=True):
        assert score_logits(one.restore(logits), split, 10).score.correct == len(split)


@needs_sandbox
def test_a_table_that_links_copies_to_test_images_is_found_by_any_executor(tmp_path: Path) -> None:
    code = class_of_students.linker_of(spot_data().held_out)
    weights = {"out.weight": torch.zeros(10, 784), "out.bias": torch.zeros(10)}
    write_submission(tmp_path, "ann", {"m.py": code, "w.safetensors": save(weights)})
    settings = GradingSettings(budget=CLASS, time_limit_s=60)
    executor = Scripted(DIED, SHORT)
    (grade,) = grade_submissions(
        [Submission("ann", tmp_path / "ann")], settings, spot_data(), executor=executor
    )
    assert executor.tasks == 3
    assert grade.state == "REVIEW", grade
    assert grade.digest
    assert grade.score is not None
    assert grade.score.percent == 100
    assert (
        "copies that differ by one gray level; the teacher checks whether the code has a table"
        in grade.problem
    )


def test_tables_neither_compute_nor_break() -> None:
    rule = RuleResult("accuracy, last epoch", "at least 95%", "=1+1", "-", "PASS")
    grade = Grade(
        name="=HYPERLINK(1)\x1b[2J",
        state="REVIEW",
        points=0,
        max_points=10,
        problem="@sum",
        rules=(rule,),
        rule_points=(RulePoints(0, 10),),
        score=Score("test", 1, 2),
    )
    text = grade_files.grades_to_csv([grade])
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["submission"] == "'=HYPERLINK(1)\\x1b[2J"
    assert row["reason"] == "'@sum"
    results = grade_files.to_gradescope(grade)
    assert results["tests"][0]["score"] == 0
    assert results["tests"][0]["status"] == "failed"
    assert "\x1b" not in grade_files.format_grades([grade]) + json.dumps(results)


def test_two_rules_on_the_same_layers_have_a_column_each() -> None:
    rules = (
        RuleResult("Conv2d layers", "at least 3", "9", "-", "PASS"),
        RuleResult("Conv2d layers", "at most 5", "9", "-", "FAIL"),
    )
    grade = Grade(name="ann", state="FAIL", points=5, max_points=10, rules=rules)
    (row,) = csv.DictReader(io.StringIO(grade_files.grades_to_csv([grade])))
    assert row["Conv2d layers"] == "PASS"
    assert row["Conv2d layers, at most 5"] == "FAIL"
