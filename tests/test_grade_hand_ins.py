"""Which files of a hand-in are read, and what students are told of the others."""

from __future__ import annotations

import io
import pickle
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from class_of_students import RIGHT, grade, spot_data, spot_weights, write_submission, zip_of
from torch import nn

from netlet.analysis import trace
from netlet.budgets import Budget
from netlet.classroom import (
    Grade,
    GradingSettings,
    Submission,
    grade_files,
    grade_submissions,
    list_submissions,
    submitted_files,
)
from netlet.classroom.case import CODE, shorten_problem
from netlet.classroom.submissions import find_missing
from netlet.classroom.submitted_files import LeftOut, copy_submission
from netlet.classroom.submitted_weights import find_weights
from netlet.errors import GradingError, NetError, NetletError, NetletWarning
from netlet.nets import load_weights
from netlet.nets.device_errors import describe_device_error

BUDGET = Budget(params_below=8_000, accuracy_at_least=95)


def copy_and_grade(path: Path, copy: Path) -> Grade:
    copy_submission(Submission("ann", path), copy)
    return grade(copy, GradingSettings(budget=BUDGET))


@pytest.mark.parametrize("name", ["checkpoint.pth.tar", "model.PT.TAR", "model.pkl"])
def test_a_file_of_torch_save_is_scored_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    content = io.BytesIO()
    torch.save({"epoch": 3, "state_dict": spot_weights()}, content)
    files = {"m.py": RIGHT, name: content.getvalue(), "claim.toml": f"weights = '{name}'"}
    write_submission(tmp_path, "ann", files)
    (tmp_path / "copy").mkdir()
    assert copy_submission(Submission("ann", tmp_path / "ann"), tmp_path / "copy") == LeftOut()
    found = grade(tmp_path / "copy", GradingSettings(budget=BUDGET))
    assert (found.state, found.problem, found.warnings) == ("PASS", "", ())
    (tmp_path / "copy" / "claim.toml").unlink()
    assert grade(tmp_path / "copy", GradingSettings(budget=BUDGET)).state == "PASS"


def test_pickles_beside_weights_are_other_data(tmp_path: Path) -> None:
    for name in ("history.pkl", "model.pt", "split.pickle"):
        (tmp_path / name).write_bytes(name.encode())
    assert find_weights(tmp_path, None) == "model.pt"
    assert find_weights(tmp_path, "history.pkl") == "history.pkl"
    (tmp_path / "model.pt").unlink()
    with pytest.raises(GradingError, match="2 files of weights"):
        find_weights(tmp_path, None)
    for new in (True, False):
        torch.save({"w": torch.ones(2)}, tmp_path / "w.pkl", _use_new_zipfile_serialization=new)
        assert find_weights(tmp_path, None) == "w.pkl"


def test_weights_of_another_kind_are_named_with_the_kinds_that_are_read(tmp_path: Path) -> None:
    endings = "weights are read from files that end in .safetensors, .pt, .pth, .ckpt, .bin, "
    with pytest.raises(
        GradingError, match=re.escape(f"no weights 'm.h5'; there are none; {endings}")
    ):
        find_weights(tmp_path, "m.h5")
    with pytest.raises(GradingError, match=r"no weights 'm\.pt'; there are none$"):
        find_weights(tmp_path, "m.pt")
    write_submission(tmp_path, "ann", {"m.py": RIGHT, "m.h5": b"x", "data.csv": ""})
    (tmp_path / "copy").mkdir()
    said = copy_submission(Submission("ann", tmp_path / "ann"), tmp_path / "copy").weights
    assert said.startswith(f"m.h5 is not read; {endings}")
    (tmp_path / "ann" / "m.h5").unlink()
    for name in ("w.pt.zip", "w.PTH.txt", "w.pth.gz", "weights", "best_Model"):
        write_submission(tmp_path, "bob" + name, {"m.py": RIGHT, name: b"x"})
        said = copy_submission(
            Submission("bob", tmp_path / ("bob" + name)), tmp_path / "copy"
        ).weights
        assert said.startswith(f"{name} is not read; {endings}")
    (tmp_path / "ann" / "m.pt").write_bytes(b"x")
    assert copy_submission(Submission("ann", tmp_path / "ann"), tmp_path / "copy") == LeftOut()
    settings = GradingSettings(budget=BUDGET, net="model.txt:Net")
    with pytest.raises(NetError, match=r"nets are read from files that end in \.py or \.ipynb"):
        grade(tmp_path / "copy", settings)


def test_a_large_pickle_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitted_files, "_MAX_FILE_BYTES", 500)
    write_submission(tmp_path, "ann", {"m.py": RIGHT, "mnist.pkl": b"x" * 501})
    (tmp_path / "copy").mkdir()
    with zipfile.ZipFile(tmp_path / "ann.zip", "w") as archive:
        for name in ("m.py", "mnist.pkl"):
            archive.write(tmp_path / "ann" / name, name)
    for name in ("ann", "ann.zip"):
        said = copy_submission(Submission("ann", tmp_path / name), tmp_path / "copy").weights
        assert said == (
            "mnist.pkl is larger than 0 MiB and is not read; if it has the weights, hand in "
            "net.state_dict() alone"
        )
        assert [path.name for path in (tmp_path / "copy").iterdir()] == ["m.py"]
    write_submission(tmp_path, "ann", {"w.pt": b"x"})
    assert copy_submission(Submission("ann", tmp_path / "ann"), tmp_path / "copy") == LeftOut()
    write_submission(tmp_path, "ann", {"m.pt": b"x" * 501})
    with pytest.raises(
        GradingError, match=r"the files are too large: .*, but m\.pt has 0\.0 MiB; "
    ):
        copy_submission(Submission("ann", tmp_path / "ann"), tmp_path / "copy")


@pytest.mark.parametrize("as_zip", [False, True])
def test_files_that_are_too_large_are_named_with_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_zip: bool
) -> None:
    def refuse(files: dict[str, bytes | str]) -> str:
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        (tmp_path / f"{path.name}-copy").mkdir()
        write_submission(tmp_path, path.name, zip_of(files) if as_zip else files)
        submission = Submission("s", path.rename(f"{path}.zip") if as_zip else path)
        with pytest.raises(GradingError, match=r"^the files are too large: at most ") as raised:
            copy_submission(submission, tmp_path / f"{path.name}-copy")
        return str(raised.value).partition(", but ")[2]

    monkeypatch.setattr(submitted_files, "_MAX_FILE_BYTES", 3 << 20)
    assert refuse({"a.py": "", "out/w.pt": bytes(5 << 20)}) == (
        "out/w.pt has 5.0 MiB; hand in only the net's files, and of a checkpoint net.state_dict() "
        "alone"
    )
    monkeypatch.setattr(submitted_files, "_MAX_BYTES", 4 << 20)
    files = {"a.py": "x" * (2 << 20), "b.py": "x" * (1 << 20), "c.py": "x" * (3 << 19)}
    assert refuse(files) == "the largest, a.py, has 2.0 MiB; hand in only the net's files"
    files["c.py"] = "x" * (3 << 20)  # of which the first MiB is too much
    assert refuse(files) == "the largest, c.py, has 3.0 MiB; hand in only the net's files"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "src/claim.json",
            " " * 70_000,
            "has 70,000 bytes, but such files have at most 65,536; write only the keys that netlet "
            "reads into it",
        ),
        ("src/claim.toml", "a = 1".encode("utf-16"), "is saved as UTF-16; save it as UTF-8"),
        ("src/claim.json", "[]", "has no keys; "),
        ("src/claim.toml", "a = ", "is not valid TOML"),
        ("src/netlet.toml", "a = ", "is not valid TOML"),
        ("src/netlet.toml", "#" * 70_000, "has 70,000 bytes, but "),
        ("src/netlet.toml", "recipe = 'none'", "no recipe"),
    ],
)
def test_the_files_of_a_submission_are_named_relative_to_it(
    tmp_path: Path, name: str, content: bytes | str, said: str
) -> None:
    write_submission(tmp_path, "ann", {"m.py": RIGHT, name: content})
    found = grade(tmp_path / "ann", GradingSettings(budget=BUDGET))
    shown = grade_files.explain_grade(found)
    assert f"{name}: {said}" in shown
    assert str(tmp_path) not in shown


def test_a_file_that_cannot_be_read_is_named_relative_to_its_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    write_submission(tmp_path, "ann", {"src/m.py": RIGHT})
    monkeypatch.setattr(submitted_files, "open", refuse, raising=False)
    with pytest.raises(GradingError, match=r"Permission denied: 'src/m\.py'\); hand them in again"):
        copy_submission(Submission("ann", tmp_path / "ann"), tmp_path / "copy")


def copied_files(path: Path, copy: Path) -> tuple[dict[str, str], LeftOut]:
    """Return the files of a submission that are copied, with what they hold, and what is not."""
    copy.mkdir()
    left_out = copy_submission(Submission("ann", path), copy)
    files = [file for file in copy.rglob("*") if file.is_file()]
    return {file.relative_to(copy).as_posix(): file.read_text() for file in files}, left_out


def test_a_zip_file_beside_code_is_named_since_it_is_not_unpacked(tmp_path: Path) -> None:
    write_submission(tmp_path, "ann", {"m.py": RIGHT, "hw.zip": b"anything"})
    found, left_out = copied_files(tmp_path / "ann", tmp_path / "copy")
    assert list(found) == ["m.py"]
    assert left_out == LeftOut(
        archive="hw.zip is not unpacked, since code lies beside it; put its files beside it if "
        "they belong to the submission"
    )


def test_files_beside_a_zip_file_count_more_than_those_in_it(tmp_path: Path) -> None:
    inside = {"model.py": "", "claim.toml": "mean = 0", "model.pt": "old", "a/netlet.toml": "1"}
    files = {"model.PT": "new", "Claim.toml": "mean = 0.5", "a/netlet.toml": "1"}
    write_submission(tmp_path, "ann", {"code.zip": zip_of({**inside}), **files})
    found, left_out = copied_files(tmp_path / "ann", tmp_path / "copy")
    counting = {"claim.toml": "mean = 0.5", "model.pt": "new", "a/netlet.toml": "1"}
    assert found == {"model.py": "", **counting}
    said = (
        "claim.toml, model.pt in code.zip differ from those beside it, which count; keep only one"
    )
    assert left_out == LeftOut(twins=(said,))
    (tmp_path / "ann" / "model.PT").write_text("old")
    _, left_out = copied_files(tmp_path / "ann", tmp_path / "again")
    said = "claim.toml in code.zip differs from the one beside it, which counts; keep only one"
    assert left_out == LeftOut(twins=(said,))


def test_the_newer_of_two_files_with_one_path_in_a_zip_file_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ann.zip", "w") as archive:
        archive.writestr("m.py", "old")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("m.py", "new")  # as programs add a file again
    assert copied_files(tmp_path / "ann.zip", tmp_path / "copy") == ({"m.py": "new"}, LeftOut())


def test_files_that_grading_knows_by_one_name_are_named_if_they_differ(tmp_path: Path) -> None:
    files = {"Model.PY": "1", "Model.py.txt": "2", "claim.toml.txt": "a = 1", "claim.toml": "b = 2"}
    same = {"w.PT": "x", "w.pt": "x"}
    write_submission(tmp_path, "ann", {**files, **same})
    (tmp_path / "ann.zip").write_bytes(zip_of({**files, **same}))
    for name in ("ann", "ann.zip"):
        found, left_out = copied_files(tmp_path / name, tmp_path / f"copy of {name}")
        assert found == {"Model.py": "1", "claim.toml": "b = 2", "w.pt": "x"}
        assert set(left_out.twins) == {
            "Model.PY and Model.py.txt differ, of which Model.PY counts; keep only one",
            "claim.toml and claim.toml.txt differ, of which claim.toml counts; keep only one",
        }


@pytest.mark.parametrize("name", ["claim-2.toml", "Claim (1).toml", "claim(3).toml.txt"])
def test_a_claim_that_canvas_or_a_browser_has_numbered_is_read(tmp_path: Path, name: str) -> None:
    write_submission(tmp_path, "ann", {"m.py": "", name: "epochs = 9", "claims-2.toml": ""})
    found, _ = copied_files(tmp_path / "ann", tmp_path / "copy")
    assert found == {"m.py": "", "claim.toml": "epochs = 9"}


def test_hidden_files_are_no_part_of_a_hand_in(tmp_path: Path) -> None:
    """macOS writes ``._model.py`` beside ``model.py`` on a stick or a share."""
    hidden = b"\0\5\x16\7\0\2\0\0Mac OS X"
    write_submission(tmp_path, "a", {"m.zip": zip_of({"m.py": "x"}), "._m.zip": hidden})
    write_submission(tmp_path, "b", {"m.zip": zip_of({"m.py": "x"}), "._m.py": hidden})
    write_submission(tmp_path, "c", {"m.py": "x", "._m.py": hidden, "._claim.toml": hidden})
    (tmp_path / "d.zip").write_bytes(zip_of({"m.py": "x", "a/._m.py": hidden, "._w.pt": hidden}))
    for name in ("a", "b", "c", "d.zip"):
        found, left_out = copied_files(tmp_path / name, tmp_path / f"copy of {name}")
        assert (found, left_out) == ({"m.py": "x"}, LeftOut())


def test_absolute_paths_in_a_zip_file_are_read_as_unzip_does(tmp_path: Path) -> None:
    names = {"/m.py": "1", "C:\\hw\\n.py": "2", "//server/o.py": "3", "d:/claim.toml": "4"}
    others = {"/../p.py": "5", "C:\\..\\q.py": "6", "m.py": "7"}
    (tmp_path / "s.zip").write_bytes(zip_of({**names, **others}))
    found, _ = copied_files(tmp_path / "s.zip", tmp_path / "copy")
    assert found == {"m.py": "7", "hw/n.py": "2", "server/o.py": "3", "claim.toml": "4"}


def test_what_is_not_read_is_said_although_the_files_that_are_read_stay(tmp_path: Path) -> None:
    write_submission(tmp_path, "ann", {"m.py": RIGHT})
    settings = GradingSettings(budget=Budget(params_below=8_000), trust=True)
    found = [Submission("ann", tmp_path / "ann")]
    (before,) = grade_submissions(found, settings, spot_data())
    (same,) = grade_submissions(found, settings, spot_data(), before={"ann": before})
    assert (same.digest, same.warnings) == (before.digest, ())
    write_submission(tmp_path, "ann", {"best.h5": b"x"})
    (after,) = grade_submissions(found, settings, spot_data(), before={"ann": before})
    assert after.warnings[0].startswith("best.h5 is not read; weights are read from files")


def test_a_tar_archive_and_a_plain_pickle_are_told_from_weights(tmp_path: Path) -> None:
    said = r"a plain pickle, as written by pickle\.dump; save it again with torch\.save\(net\.state"
    for content in (nn.Linear(1, 1).state_dict(), {"loss": [1.0]}):
        for protocol in range(2, 6):
            (tmp_path / "m.pkl").write_bytes(pickle.dumps(content, protocol))
            with pytest.raises(NetError, match=said):
                load_weights(nn.Linear(1, 1), tmp_path / "m.pkl")
    (tmp_path / "cut.pkl").write_bytes((tmp_path / "m.pkl").read_bytes()[:-1])
    with pytest.raises(NetError, match="found a broken file or one of another program"):
        load_weights(nn.Linear(1, 1), tmp_path / "cut.pkl")
    (tmp_path / "data.pkl").write_bytes((tmp_path / "m.pkl").read_bytes())  # of an unpacked .pt
    with pytest.raises(NetError, match=r"has been unpacked; hand in or name that file itself"):
        load_weights(nn.Linear(1, 1), tmp_path / "data.pkl")
    with tarfile.open(tmp_path / "m.pth.tar", "w") as archive:
        archive.add(tmp_path / "m.pkl", "m.pkl")
    with pytest.raises(NetError, match=r"is a tar archive, not a file that torch\.save wrote"):
        load_weights(nn.Linear(1, 1), tmp_path / "m.pth.tar")


@pytest.mark.parametrize(
    ("files", "there"),
    [
        (["model.pt"], ", only weights (model.pt)"),
        (
            ["run/run.json", "run/weights.safetensors", "run/epochs.jsonl"],
            ", only weights (weights.safetensors) and the record of a run",
        ),
        (["a.pt", "b.pt", "notes.txt"], ", only weights (a.pt, b.pt) and notes.txt"),
        (["claim.toml", "netlet.toml", "a.csv"], ", only claim.toml, netlet.toml and a.csv"),
        (["a\nb.pdf"], ", only a\\nb.pdf"),
        ([".hidden/model.py"], ""),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_hand_in_without_code_is_told_what_is_there(
    tmp_path: Path, files: list[str], there: str, packed: bool
) -> None:
    contents: dict[str, bytes | str] = dict.fromkeys(files, "")
    content = zip_of(contents)
    if packed:
        (tmp_path / "ann.zip").write_bytes(content)
    else:
        write_submission(tmp_path, "ann", contents)
        for inner in (tmp_path / "ann").glob("*.zip"):
            inner.write_bytes(zip_of({"in.zip": b""}))
    (tmp_path / "copy").mkdir()
    with pytest.raises(NetletError) as raised:
        copy_and_grade(next(tmp_path.glob("ann*")), tmp_path / "copy")
    assert str(raised.value) == (
        f"no Python file or notebook{there}; hand in the code of the net{', too' if there else ''}"
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_zip_file_in_a_zip_file_has_to_be_unpacked(tmp_path: Path, packed: bool) -> None:
    outer = zip_of({"in.zip": zip_of({"m.py": RIGHT}), "notes.txt": ""})
    if packed:
        (tmp_path / "ann.zip").write_bytes(outer)
    else:
        write_submission(tmp_path, "ann", {"out.zip": outer})
    (tmp_path / "copy").mkdir()
    with pytest.raises(NetletError) as raised:
        copy_and_grade(next(tmp_path.glob("ann*")), tmp_path / "copy")
    assert str(raised.value) == (
        "no Python file or notebook, only the zip file in.zip; unpack it and hand in its files"
    )


def test_a_loose_file_that_is_not_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    read = ("ann.py", "bob.py.txt", "cy.ipynb.json", "eve.ipynb.txt", "zoe.zip")
    unread = ("dave.pdf", "dora.pt", "hans.txt", "ida.docx", "kim.pth.tar", "zoe.pt")
    of_teacher = ("class.csv", "class.toml", "README.txt", "~$ida.docx", "a.json", "Makefile")
    for name in (*read, *unread, *of_teacher):
        (tmp_path / name).write_text(RIGHT)
    found = {one.path.name: one for one in list_submissions([tmp_path])}
    assert found.keys() == {*read, *unread}
    assert [found[name].name for name in read] == ["ann", "bob", "cy", "eve", "zoe"]
    assert [found[name].name for name in unread] == [
        *("dave", "dora", "hans", "ida", "kim", "zoe.pt"),
    ]
    (tmp_path / "anna.tar").mkdir()
    assert "anna.tar" in [one.name for one in list_submissions([tmp_path])]
    for name in unread:
        with pytest.raises(GradingError) as raised:
            copy_submission(found[name], tmp_path)
        remedy = "is not read; hand in a .py file, notebook, folder or .zip file"
        if name.endswith((".pt", ".tar")):
            remedy = (
                "has weights without the code of the net; put both into one folder, or into one "
                ".zip file"
            )
        assert str(raised.value) == f"{name} {remedy}"
    (tmp_path / "copy").mkdir()
    assert copy_and_grade(tmp_path / "bob.py.txt", tmp_path / "copy").parameters == 7_850
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["bob.py"]


@pytest.mark.parametrize(
    "files",
    [
        {"a.py": "", "best.pt": ""},
        {"a.py": "", "train.py": "", "best.pt": ""},
        {"a.py": "from .b import Net", "b.py": "", "best.pt": ""},
        {"a.py": "", "b.py": "", "netlet.toml": "", "best.pt": ""},
        {"a.py": "", "b.py": "", "claim.toml": ""},
        {"a.py": "", "Claim.toml.txt": ""},
        {"a.py": "", "b.py": "", "hand-in/run.json": "{}"},
        {"a.py": "", "b.py": "", "studies/a/study.json": "{}"},
        {"a.py": "", "b.py": "", "studies/a/seed-0/run.json": "{}"},
        {"a.py": "", "b.py": "", "netlet.toml": "net = 'b.py:Net'"},
        {"src/a.py": "", "b": "", "netlet.toml": "net = 'src/a.py'"},
    ],
)
def test_files_that_belong_together_are_refused_as_a_class(
    tmp_path: Path, files: dict[str, bytes | str]
) -> None:
    write_submission(tmp_path, "ann", files)
    with pytest.raises(GradingError, match="looks like one submission, because it contains"):
        list_submissions([tmp_path / "ann"])


@pytest.mark.parametrize("text", ["net = 'model.py:Net'", "net = 'swift'", "net = 3", "net =", ""])
def test_the_settings_of_a_teacher_do_not_make_a_class_one_submission(
    tmp_path: Path, text: str
) -> None:
    write_submission(tmp_path, "class", {"ann.py": "", "bob/model.py": "", "netlet.toml": text})
    write_submission(tmp_path, "class", {"task.toml": "", "class.csv": "", "hand-in/cy.py": ""})
    found = list_submissions([tmp_path / "class"])
    assert [one.name for one in found] == ["ann", "bob", "hand-in"]


def test_grades_of_an_earlier_grading_are_no_submission(tmp_path: Path) -> None:
    grades = grade_files.grades_to_json([])
    write_submission(tmp_path, "class", {"ann.py": "", "first/grades.json": grades})
    write_submission(tmp_path, "class", {"first/bob/report.md": "", "killed/all/grades.jsonl": ""})
    # Neither other records nor a record beside code make a student's folder one of grades.
    write_submission(tmp_path, "class", {"cy/grades.json": "{}", "cy/bob/report.md": ""})
    write_submission(tmp_path, "class", {"dan/grades.json": grades, "dan/m.py": ""})
    folder = tmp_path / "class"
    for paths in ([folder], sorted(folder.iterdir())):
        with pytest.warns(NetletWarning) as warned:
            found = list_submissions(paths, out=tmp_path / "out")
        assert [one.name for one in found] == ["ann", "cy", "dan"]
        assert sorted(str(one.message) for one in warned) == [
            f"{folder / name}: is left out, since it has the grades of an earlier grading"
            for name in ("first", "killed")
        ]
    with pytest.warns(NetletWarning, match="killed: is left out"):
        found = list_submissions(sorted(folder.iterdir()), out=folder / "first")
    assert [one.name for one in found] == ["ann", "cy", "dan"]
    with (
        pytest.raises(GradingError, match="only grades of an earlier grading; name submissions"),
        pytest.warns(NetletWarning),
    ):
        list_submissions([folder / "first", folder / "killed"])


def test_a_submission_that_is_named_twice_is_graded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bob.py", "ann.py"):
        (tmp_path / name).write_text("")
    paths = [Path("bob.py"), tmp_path / "ann.py", tmp_path / "bob.py", Path("./x/../bob.py")]
    (tmp_path / "x").mkdir()
    found = list_submissions(paths)
    assert [(one.name, one.path) for one in found] == [("bob", paths[0]), ("ann", paths[1])]
    assert list_submissions([tmp_path, Path()]) == list_submissions([tmp_path])
    assert len(list_submissions([paths[0], paths[2]], single=True)) == 1


def test_spaces_around_a_name_do_not_count_on_the_roster(tmp_path: Path) -> None:
    moodle = "_12_assignsubmission_file_"
    for name in ("ann ", " bob", f"Cy Lee {moodle}"):
        write_submission(tmp_path, name, {"model.py": RIGHT})
    (tmp_path / "dora .py").write_text(RIGHT)
    found = list_submissions([tmp_path])
    assert sorted(one.name for one in found) == ["Cy Lee", "ann", "bob", "dora"]
    assert find_missing(["ann", "bob", "dora", "Cy Lee", "eve"], found, {}) == ["eve"]
    write_submission(tmp_path, "ann", {"model.py": RIGHT})
    names = [one.name for one in list_submissions([tmp_path])]
    assert {"ann", "ann "} < {*names}
    assert len({*names}) == 5


@pytest.mark.parametrize(
    "code",
    [
        "from netlet.nets import mnistnet_2\ndef net(): return mnistnet_2()\n",
        "from netlet import nets\ndef net():\n    made = nets.mnistnet_2()\n    return made\n",
    ],
)
def test_a_function_that_returns_an_imported_net_is_found(tmp_path: Path, code: str) -> None:
    write_submission(tmp_path, "ann", {"model.py": code})
    settings = GradingSettings(budget=Budget(params_below=80_000))
    assert grade(tmp_path / "ann", settings).net == "model.py:net"
    # A net that the text shows is preferred.
    write_submission(tmp_path, "ann", {"own.py": RIGHT})
    assert grade(tmp_path / "ann", settings).net == "own.py:Net"


@pytest.mark.parametrize(
    "code",
    [
        "from model import Net\ndef build_net(): return Net(20)\n",
        "import model\ndef build_net():\n    net = model.Net(width=20)\n    return net\n",
    ],
)
def test_a_function_gives_an_imported_net_its_required_arguments(tmp_path: Path, code: str) -> None:
    needing = RIGHT.replace("(self)", "(self, width)").replace(
        "10)", "width), nn.Linear(width, 10)"
    )
    write_submission(tmp_path, "ann", {"model.py": needing})
    settings = GradingSettings(budget=Budget(params_below=80_000))
    with pytest.raises(NetError, match=r"model\.py:Net: has required arguments \(width\)"):
        grade(tmp_path / "ann", settings)
    write_submission(tmp_path, "ann", {"build.py": code})
    assert grade(tmp_path / "ann", settings).net == "build.py:build_net"
    # A net that runs by itself is preferred.
    write_submission(tmp_path, "ann", {"own.py": RIGHT})
    assert grade(tmp_path / "ann", settings).net == "own.py:Net"


@pytest.mark.parametrize(
    "code",
    [
        "from model import Net\nnet = Net(20).to('cpu')\n",
        "from model import *\nWIDTH = 20\nnet = Net(width=WIDTH)\nnet.eval()\n",
        "import model\nnet = model.Net(20)\nopt = torch.optim.SGD(net.parameters(), lr=0.1)\n",
    ],
)
def test_a_variable_gives_an_imported_net_its_required_arguments(tmp_path: Path, code: str) -> None:
    needing = RIGHT.replace("(self)", "(self, width)").replace(
        "10)", "width), nn.Linear(width, 10)"
    )
    write_submission(tmp_path, "ann", {"model.py": needing, "train.py": code})
    settings = GradingSettings(budget=Budget(params_below=80_000))
    assert grade(tmp_path / "ann", settings).net == "train.py:net"
    # The same net in another script, which goes on otherwise, is no other one.
    again = "from model import Net\nbest = Net(20)\nbest.train()\n"
    if "WIDTH" not in code:
        write_submission(tmp_path, "ann", {"check.py": again})
        found = grade(tmp_path / "ann", settings)
        assert found.net == "check.py:best"
        assert found.notes == ("check.py:best is graded; train.py:net has the same code",)
    # Another one is.
    write_submission(tmp_path, "ann", {"check.py": again.replace("20", "30")})
    with pytest.raises(NetError, match=r"2 nets return 10 classes: check\.py:best, train\.py:net"):
        grade(tmp_path / "ann", settings)
    # A function that builds it is preferred, and a net that runs by itself to both.
    build = "from model import Net\ndef build_net(): return Net(40)\n"
    write_submission(tmp_path, "ann", {"build.py": build})
    assert grade(tmp_path / "ann", settings).net == "build.py:build_net"
    write_submission(tmp_path, "ann", {"own.py": RIGHT})
    assert grade(tmp_path / "ann", settings).net == "own.py:Net"


@pytest.mark.parametrize(
    "builder",
    [
        "def baseline(): return Base(20)\n",
        "baseline = Base(20)\n",
        "def baseline():\n    net = Base(20)\n    torch.optim.SGD(net.parameters(), 1.0).step()\n"
        "    open('trained', 'w').close()\n    return net\n",
    ],
)
def test_derived_classes_and_parts_come_before_what_gives_arguments(
    tmp_path: Path, builder: str
) -> None:
    """A teacher hands out a base class with a baseline, or a student keeps an earlier try."""
    base = RIGHT.replace("(self)", "(self, width)").replace("10)", "width), nn.Linear(width, 10)")
    base = base.replace("class Net", "class Base")
    derived = (
        "from base import Base\nclass Mine(Base):\n    def __init__(self): super().__init__(30)\n"
    )
    files = {"base.py": base, "baseline.py": f"import torch\nfrom base import Base\n{builder}"}
    settings = GradingSettings(budget=Budget(params_below=80_000))
    write_submission(tmp_path, "derived", {**files, "mine.py": derived})
    assert grade(tmp_path / "derived", settings).net == "mine.py:Mine"
    whole = "import lightning_that_is_missing as L\nclass Lit(L.LightningModule):\n"
    whole += "    def __init__(self):\n        super().__init__()\n        self.net = Net()\n"
    whole += "    def forward(self, x): return self.net(x)\n"
    write_submission(tmp_path, "part", {**files, "model.py": RIGHT + whole})
    assert grade(tmp_path / "part", settings).net == "model.py:Net"
    if "open" in builder:  # what trains is not run
        write_submission(tmp_path, "trains", files)
        with pytest.raises(NetError, match=r"base\.py:Base: has required arguments \(width\)"):
            grade(tmp_path / "trains", settings)


def test_a_file_that_may_have_a_net_is_not_said_to_have_another_one(tmp_path: Path) -> None:
    write_submission(tmp_path, "ann", {"model.py": "def net(size): return size\n"})
    with pytest.raises(
        NetError, match=r"^no net was found \(model\.py: all that it defines has required"
    ):
        grade(tmp_path / "ann", GradingSettings(budget=BUDGET))
    code = "import math\ndef one(): return math.sqrt(2)\n"
    write_submission(tmp_path, "bob", {"model.py": code})
    with pytest.raises(NetError, match=r"^no net runs: model\.py:one"):
        grade(tmp_path / "bob", GradingSettings(budget=BUDGET))


@pytest.mark.parametrize(
    ("layer", "remedy"),
    [
        (
            nn.Linear(1024, 10),
            "change its layers, or enlarge them in forward(), as F.pad(x, (2, 2, 2, 2)) does to "
            "32x32)",
        ),
        (
            nn.Conv2d(3, 8, 3),
            "change its layers, or repeat their channel in forward(): x.expand(-1, 3, -1, -1))",
        ),
    ],
)
def test_a_problem_with_the_images_has_a_remedy_of_students(
    tmp_path: Path, layer: nn.Module, remedy: str
) -> None:
    net = nn.Sequential(nn.Flatten(), layer) if isinstance(layer, nn.Linear) else layer
    with pytest.raises(NetError, match="--input C,H,W") as raised:
        trace(net, (1, 28, 28))
    said = shorten_problem(f"no net runs: m.py:Net: {raised.value}", tmp_path)
    assert said.endswith(f"(input 1x28x28; the net is graded on images of this shape: {remedy}")
    assert "--" not in said


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        (
            "FileNotFoundError: [Errno 2] No such file or directory: 'old/w.pt'",
            "the submission has run/w.pt: the code runs in the folder of its own file",
        ),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: 'w.csv'",
            "only Python files, notebooks and weights are read: write its values into the code",
        ),
        *(
            (
                f"FileNotFoundError: [Errno 2] No such file or directory: {path!r}",
                "the code can read only the files of its submission: leave out what reads others",
            )
            for path in ("/content/w.csv", "/data/t10k-labels-idx1-ubyte", "../../labels.npy")
        ),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: '/content/w.pt'",
            "the submission has run/w.pt: write its path relative to the file of the code",
        ),
        (
            "URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
            "grading has no network: hand in what the code downloads, or leave it out",
        ),
    ],
)
def test_a_problem_with_what_the_sandbox_lacks_has_a_remedy(
    tmp_path: Path, reason: str, remedy: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "w.pt").touch()
    assert shorten_problem(f"no net runs: {reason}", tmp_path) == f"no net runs: {reason}; {remedy}"


def test_a_problem_has_no_paths_of_this_machine_and_the_limit_of_memory(tmp_path: Path) -> None:
    torch_file, own = Path(torch.__file__), Path(submitted_files.__file__)
    message = (
        f"File '{torch_file}', line 3: {own}:7 ({tmp_path}/net.py) /opt/lib/python3.12/ast.py, "
        f"{CODE}/a/b.py and '/content/drive/x.pt', 3/4 of 1/2"
    )
    assert shorten_problem(message, tmp_path) == (
        "File '__init__.py', line 3: submitted_files.py:7 (net.py) ast.py, a/b.py and "
        "'/content/drive/x.pt', 3/4 of 1/2"
    )
    error = RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    )
    said = shorten_problem(f"no net runs: m.py:Net: {describe_device_error(error)}", tmp_path)
    assert said.startswith(
        "no net runs: m.py:Net: the code needs more memory than the sandbox allows (4 GiB) (Default"
    )
    assert said.endswith("9 bytes); use smaller tensors")
