"""A class over time: names, rosters and corrections when only some of it is graded again."""

from __future__ import annotations

import csv
import json
import re
import shutil
import unicodedata
from pathlib import Path

import pytest
from class_of_students import RIGHT, spot_data, write_submission
from helpers import ROOT, Netlet

from netlet.budgets import Budget
from netlet.classroom import Grade, GradingSettings, grade_submissions, list_submissions
from netlet.classroom.grade_files import format_grades, grades_to_csv, to_gradescope
from netlet.classroom.roster import read_roster
from netlet.classroom.submitted_weights import find_weights
from netlet.errors import GradingError, NetletWarning

ADDED = "assignsubmission_file"
BROKEN = {"claim.toml": "accuracy = "}  # graded without a sandbox


def read_table() -> dict[str, dict[str, str]]:
    lines = Path("grades/grades.csv").read_text("utf-8-sig").splitlines()
    return {row["submission"]: row for row in csv.DictReader(lines)}


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with submissions of ann and bob."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("netlet.cli.grade.load_dataset", lambda *_: spot_data())
    Path("class.toml").write_text("params_below = 8000\n")
    folder = tmp_path / "submissions"
    for name in ("ann", "bob"):
        write_submission(folder, name, BROKEN)
    return folder


def test_names_and_corrections_of_a_roster_are_not_lost_without_it(
    netlet: Netlet, two: Path
) -> None:
    Path("class.csv").write_text(
        "submission,student,corrected_points,comment\nann,Ann,40,late\nbob,Bob,,\nzoe,Zoe,5,ill\n"
    )
    command = ("grade", str(two), "--budget", "class.toml", "--trust")
    assert netlet(*command)[0] == 1  # no roster yet, so none is missed
    code, out, _ = netlet(*command, "--roster", "class.csv")
    assert code == 1
    assert "zoe: no submission, 5 points; ill\n" in out
    table = Path("grades/grades.csv").read_bytes()
    code, out, err = netlet(*command)
    assert (code, out) == (2, "")
    assert "name it again with --roster" in err
    assert Path("grades/grades.csv").read_bytes() == table
    assert netlet(*command, "--out", "other")[0] == 1


def test_a_correction_that_waits_for_its_submission_is_named(netlet: Netlet, two: Path) -> None:
    roster = Path("class.csv")
    roster.write_text("submission,corrected_points,comment\nann,,\nbob,,\n")
    options = ("--budget", "class.toml", "--trust", "--roster", str(roster))
    netlet("grade", str(two), *options)
    roster.write_text("submission,corrected_points,comment\nann,30,late\nbob,20,\n")
    out = netlet("grade", str(two / "ann"), "--single", *options)[1]
    assert "bob: the roster has new points or a new comment, but this run does not grade it" in out
    assert "ann: the roster has" not in out
    assert read_table()["ann"]["points"] == "30"
    out = netlet("grade", str(two), *options)[1]
    assert "the roster has" not in out
    assert read_table()["bob"]["points"] == "20"


def test_a_second_student_of_a_name_gets_a_grade_of_their_own(netlet: Netlet, two: Path) -> None:
    shutil.rmtree(two / "bob")
    first, second = (f"Cy Ho_{number}_{ADDED}_" for number in (4, 5))
    write_submission(two, first, BROKEN)
    roster = Path("class.csv")
    roster.write_text("submission,corrected_points,comment\nCy Ho,18,mail\n")
    options = ("--budget", "class.toml", "--trust", "--roster", str(roster))
    netlet("grade", str(two), *options)
    assert list(read_table()) == ["Cy Ho", "ann"]
    # Alone, the second one neither replaces the first nor gets its points.
    other = two.with_name("late")
    write_submission(other, second, BROKEN)
    out = netlet("grade", str(other), *options)[1]
    assert "Cy Ho: several students have this name; write Cy Ho_5 on the roster\n" in out
    points = {name: row["points"] for name, row in read_table().items()}
    assert points == {"Cy Ho": "18", "Cy Ho_5": "0", "ann": "0"}
    # Together, both have a number.
    write_submission(two, second, BROKEN)
    out = netlet("grade", str(two), *options)[1]
    assert "write Cy Ho_4 or Cy Ho_5 on the roster; the earlier grade without a number is" in out
    assert list(read_table()) == ["Cy Ho_4", "Cy Ho_5", "ann", "Cy Ho"]
    assert read_table()["Cy Ho"]["verdict"] == "NO SUBMISSION"
    roster.write_text(f"submission,corrected_points\nCy Ho_4,18\n{second},17\n")
    out = netlet("grade", str(two), *options)[1]
    assert "no submission" not in out
    assert out.count("is not on the roster") == 1  # ann
    # One of them alone is not taken for another person.
    netlet("grade", str(two / second), "--single", *options)
    points = {name: row["points"] for name, row in read_table().items()}
    assert points == {"Cy Ho_4": "18", "Cy Ho_5": "17", "ann": "0"}


def test_a_valid_grade_with_a_number_is_not_offered_to_be_dropped(
    netlet: Netlet, two: Path
) -> None:
    for number in (1017, 1018):
        write_submission(two, f"Bernd Both_{number}_{ADDED}_", BROKEN)
    Path("class.csv").write_text("submission\nann\nBernd Both\n")
    options = ("--budget", "class.toml", "--trust", "--roster", "class.csv")
    hint = (
        "Bernd Both: several students have this name; write Bernd Both_1017 or Bernd Both_1018 on"
    )
    assert hint in netlet("grade", str(two), *options)[1]
    for part in ((str(two / "ann"), str(two / "bob")), (str(two / "ann"), "--single")):
        out = netlet("grade", *part, *options)[1]
        assert f"{hint} the roster\n" in out
        assert re.search(r"^.*Bernd Both_1018.*: are not on the roster$", out, re.M)
        assert "--drop 'Bernd" not in out
    Path("class.csv").write_text("submission\nann\nBernd Both_1017\nBernd Both_1018\nzoe\neva\n")
    out = netlet("grade", str(two), *options)[1]
    assert "several students" not in out
    assert "eva, zoe: no submission\n" in out
    # Without a line of the roster that could be theirs, the grades are those of others.
    Path("class.csv").write_text("submission\nann\nBernd Both_1017\n")
    out = netlet("grade", str(two / "ann"), "--single", *options)[1]
    assert "--drop 'Bernd Both_1018' drops its earlier grade" in out


def test_a_number_once_given_stays(netlet: Netlet, two: Path) -> None:
    shutil.rmtree(two)
    first, second = (f"Cy Ho_{number}_{ADDED}_" for number in (4, 5))
    Path("class.csv").write_text("submission,corrected_points\nCy Ho,77\n")
    options = ("--budget", "class.toml", "--trust", "--roster", "class.csv")
    for folder, name in (("one", first), ("late", second)):
        write_submission(Path(folder), name, BROKEN)
        netlet("grade", folder, *options)
    netlet("grade", "late", *options, "--drop", "Cy Ho")
    points = {name: row["points"] for name, row in read_table().items()}
    assert points == {"Cy Ho_5": "0", "Cy Ho": "77"}
    assert read_table()["Cy Ho"]["verdict"] == "NO SUBMISSION"


def test_the_report_of_another_is_not_taken_for_ones_own(netlet: Netlet, two: Path) -> None:
    options = ("--budget", "class.toml", "--trust")
    write_submission(two, "ann_lee", BROKEN)
    netlet("grade", str(two), *options)
    write_submission(two, "ann lee", {"claim.toml": "epochs = "})
    for _ in range(2):
        netlet("grade", str(two), *options)
        reports = [file.read_text() for file in Path("grades").glob("ann_lee*/report.md")]
        for name in ("ann_lee", "ann lee"):
            assert any(f"Submission `{name}`" in report for report in reports)


def test_accents_may_be_composed_or_not(tmp_path: Path) -> None:
    for form, number in (("NFC", 4), ("NFD", 5)):
        name = unicodedata.normalize(form, "Jos\u00e9")
        (tmp_path / f"{name}_{number}_{ADDED}_").mkdir()
    names = [one.name for one in list_submissions([tmp_path])]
    assert sorted(names) == ["Jos\u00e9_4", "Jos\u00e9_5"]


def test_only_names_that_are_alike_get_longer(tmp_path: Path) -> None:
    for name in ("alice.py", "alice.py.zip", "alice.zip", "bob.py"):
        (tmp_path / name).write_text("")
    names = [one.name for one in list_submissions([tmp_path])]
    assert names == ["alice.py", "alice.py.zip", "alice.zip", "bob"]


def test_a_row_counts_for_any_kind_of_hand_in(netlet: Netlet, two: Path) -> None:
    Path("class.csv").write_text("submission,corrected_points\nann.py,50\nbob,\n")
    netlet(*("grade", str(two), "--budget", "class.toml", "--trust", "--roster", "class.csv"))
    assert read_table()["ann"]["points"] == "50"


def test_what_is_stated_of_other_weights_does_not_count(tmp_path: Path) -> None:
    run = tmp_path / "one" / "runs" / "a"
    run.mkdir(parents=True)
    for folder in (run, tmp_path / "one"):
        (folder / "weights.safetensors").write_bytes(str(folder).encode())
    (run / "run.json").write_text("{}")
    assert find_weights(tmp_path / "one", "weights.safetensors") == "weights.safetensors"
    (tmp_path / "one" / "b[1].pt").write_bytes(b"b")
    assert find_weights(tmp_path / "one", "b[1].PT") == "b[1].pt"


def test_a_grade_that_no_longer_counts_is_dropped_alone(netlet: Netlet, two: Path) -> None:
    Path("class.csv").write_text("submission\nann\nBob\n")
    options = ("--budget", "class.toml", "--trust", "--roster", "class.csv")
    netlet("grade", str(two), *options)
    shutil.rmtree(two / "bob")
    write_submission(two, "Bob", BROKEN)
    out = netlet("grade", str(two), *options)[1]
    assert "bob: is not on the roster; --drop bob drops its earlier grade" in out
    assert netlet("grade", str(two), *options, "--drop", "bo")[::2] == (
        2,
        "netlet: grades: has no grade of 'bo'; did you mean 'bob'? name one of Bob, ann, bob with "
        "--drop\n",
    )
    netlet("grade", str(two), *options, "--drop", "bob")
    assert list(read_table()) == ["Bob", "ann"]


def test_one_who_is_not_on_the_roster_is_named_when_graded_alone(netlet: Netlet, two: Path) -> None:
    Path("class.csv").write_text("submission\nann\nbob\n")
    options = ("--budget", "class.toml", "--trust", "--roster", "class.csv")
    netlet("grade", str(two), *options)
    write_submission(two.with_name("mail"), "ros", BROKEN)
    out = netlet("grade", str(two.with_name("mail") / "ros"), "--single", *options)[1]
    assert "ros: is not on the roster\n" in out


@pytest.mark.parametrize("second", [["submissions/bob", "--single"], ["submissions"]])
def test_the_report_of_a_single_submission_moves_when_others_are_graded(
    netlet: Netlet, two: Path, second: list[str]
) -> None:
    options = ("--budget", "class.toml", "--trust")
    netlet("grade", str(two / "ann"), "--single", *options)
    assert "`ann`" in Path("grades/report.md").read_text()
    Path("grades/report").mkdir(exist_ok=True)
    Path("grades/report/mistakes.svg").write_text("of ann")
    netlet("grade", *second, *options)
    own = {"grades.csv", "grades.json"}
    assert {path.name for path in Path("grades").iterdir()} == {*own, "ann", "bob"}
    for name in ("ann", "bob"):
        assert f"`{name}`" in Path(f"grades/{name}/report.md").read_text()
        assert read_table()[name]["report"] == name
    assert Path("grades/ann/report/mistakes.svg").read_text() == "of ann"
    code, out, _ = netlet("grade", str(two / "ann"), "--single", *options)
    assert (code, "1 submission unchanged" in out) == (1, True)
    assert not Path("grades/report.md").exists()


@pytest.mark.parametrize(
    ("title", "meant"), [("points", "corrected_points"), ("Comments", "comment")]
)
def test_a_column_that_is_nearly_one_of_the_roster_is_named(
    tmp_path: Path, title: str, meant: str
) -> None:
    roster = tmp_path / "class.csv"
    roster.write_text(f"submission,First name,Email,{title}\njan,Jan,j@x,15\n")
    with pytest.warns(NetletWarning) as caught:
        read_roster(roster)
    (one,) = caught
    assert str(one.message) == (
        f"{roster}: the column {title!r} is not read; did you mean {meant!r}?"
    )


def test_the_table_leads_back_to_what_was_handed_in_and_to_the_reports(
    netlet: Netlet, two: Path
) -> None:
    handed_in = [f"Cy Ho_{number}_{ADDED}_" for number in (4, 5)]
    for name in (*handed_in, f"ann lee_6_{ADDED}_", "ann_lee"):
        write_submission(two, name, BROKEN)
    Path("class.csv").write_text("submission\nzoe\n")
    options = ("--budget", "class.toml", "--trust", "--roster", "class.csv")
    netlet("grade", str(two), *options)
    table = read_table()
    assert list(table["ann"])[-3:] == ["source", "report", "budget"]
    assert list(table["ann"])[:2] == ["submission", "student"]
    rows = {name: (row["source"], row["report"]) for name, row in table.items()}
    assert rows["Cy Ho_4"][0] == handed_in[0]
    assert rows["Cy Ho_5"][0] == handed_in[1]
    assert rows["ann lee"][0] == f"ann lee_6_{ADDED}_"
    assert rows.pop("zoe") == ("", "")
    assert len({folder for _, folder in rows.values()}) == len(rows) == 6
    for name, (_, folder) in rows.items():
        assert f"Submission `{name}`" in Path("grades", folder, "report.md").read_text()
    netlet("grade", str(two / "ann"), "--single", *options)  # the others keep theirs
    assert {name: (row["source"], row["report"]) for name, row in read_table().items()} == {
        **rows,
        "zoe": ("", ""),
    }
    netlet(*("grade", str(two / "bob"), "--single", "--out", "alone"), *options)
    (line,) = csv.DictReader(Path("alone/grades.csv").read_text("utf-8-sig").splitlines()[:2])
    assert (line["source"], line["report"]) == ("bob", ".")


def test_the_lines_of_the_guide_make_the_folders_that_moodle_takes(
    netlet: Netlet, two: Path
) -> None:
    for name in (f"Cy Ho_4_{ADDED}_", f"Cy Ho_5_{ADDED}_"):
        write_submission(two, name, BROKEN)
    Path("class.csv").write_text("submission\nzoe\n")
    netlet(*("grade", str(two), "--budget", "class.toml", "--trust", "--roster", "class.csv"))
    guide = (ROOT / "docs" / "grading.md").read_text()
    (lines,) = re.findall(r"^```python\n(.*?feedback.*?)^```", guide, re.MULTILINE | re.DOTALL)
    for _ in range(2):
        exec(lines, {})
    made = {path.parent.name: path.read_text() for path in Path("feedback").glob("*/report.md")}
    assert sorted(made) == [f"Cy Ho_4_{ADDED}_", f"Cy Ho_5_{ADDED}_", "ann", "bob"]
    assert not [*Path("feedback").rglob("results.json")]
    assert "Submission `Cy Ho_5`" in made[f"Cy Ho_5_{ADDED}_"]


def test_grades_by_two_budgets_in_one_table_are_named_and_marked(netlet: Netlet, two: Path) -> None:
    write_submission(two, "cy", BROKEN)
    options = ("--budget", "class.toml", "--trust")
    out = netlet("grade", str(two), *options)[1]
    assert "by another budget" not in out
    assert {row["budget"] for row in read_table().values()} == {"class"}
    Path("class.toml").write_text("title = 'Second'\nparams_below = 8000\n")  # judges the same
    out = netlet("grade", str(two / "ann"), "--single", *options)[1]
    assert "by another budget" not in out
    Path("class.toml").write_text("params_below = 7000\n[grade]\npoints = 30\n")
    out = netlet("grade", str(two / "ann"), "--single", *options)[1]
    assert (
        "2 earlier grades in the tables are by another budget (see the column budget of "
        "grades.csv); grade the whole class again\n"
    ) in out
    budgets = {name: row["budget"] for name, row in read_table().items()}
    earlier = "class (earlier version)"
    assert budgets == {"ann": "class", "bob": earlier, "cy": earlier}
    assert {name: row["max_points"] for name, row in read_table().items()} == {
        **dict.fromkeys(("bob", "cy"), "100"),
        "ann": "30",
    }
    Path("other.toml").write_text("params_below = 6000\n")
    out = netlet("grade", str(two / "cy"), "--single", "--budget", "other.toml", "--trust")[1]
    assert "2 earlier grades in the tables are by another budget" in out
    budgets = {name: row["budget"] for name, row in read_table().items()}
    assert budgets == {**dict.fromkeys(("ann", "bob"), "class (another budget)"), "cy": "other"}
    out = netlet("grade", str(two), *options)[1]  # all of these are judged anew
    assert "by another budget" not in out
    assert {row["max_points"] for row in read_table().values()} == {"30"}
    assert {row["budget"] for row in read_table().values()} == {"class"}


def test_grades_of_earlier_versions_are_by_an_unknown_budget(netlet: Netlet, two: Path) -> None:
    options = ("--budget", "class.toml", "--trust")
    netlet("grade", str(two), *options)
    path = Path("grades/grades.json")
    document = json.loads(path.read_text())
    for grade in document["grades"]:
        assert grade.pop("budget")["name"] == "class"
    path.write_text(json.dumps(document))
    out = netlet("grade", str(two / "ann"), "--single", *options)[1]
    assert "by another budget" not in out
    # That of ann is unchanged, so the budget is known again.
    assert {name: row["budget"] for name, row in read_table().items()} == {
        "ann": "class",
        "bob": "",
    }


def test_corrections_of_another_total_are_named(netlet: Netlet, two: Path) -> None:
    write_submission(two, "cy", BROKEN)
    Path("class.csv").write_text("submission,corrected_points\nann,14.5\nbob,9\ncy,\nzoe,5\n")
    options = ("--budget", "class.toml", "--trust", "--roster", "class.csv")
    said = "corrected_points stay as they were, but the earlier grade was not of 30 points; check"
    for points, names in (("20", ""), ("20", ""), ("30", "ann, bob, zoe"), ("30", "")):
        out = netlet("grade", str(two), *options, "--points", points)[1]
        assert [line for line in out.splitlines() if "corrected_points" in line] == (
            [f"{names}: {said} them on the roster"] if names else []
        )
        assert read_table()["ann"]["points"] == "14.5"
    # One submission is graded by another total: students without one are worth as much.
    alone = (str(two / "cy"), "--single", *options, "--points", "40")
    out = netlet("grade", *alone)[1]
    assert f"zoe: {said.replace('30', '40')} them on the roster" in out.splitlines()
    assert {name: row["max_points"] for name, row in read_table().items()} == {
        **dict.fromkeys(("ann", "bob"), "30"),
        **dict.fromkeys(("cy", "zoe"), "40"),
    }


def test_names_that_differ_in_capitals_or_spaces_are_named_on_the_roster(tmp_path: Path) -> None:
    roster = tmp_path / "class.csv"
    roster.write_text("submission\nanna maier\nann\nAnna  Maier\nanne\n")
    with pytest.warns(NetletWarning) as caught:
        assert len(read_roster(roster)) == 4
    assert [str(one.message) for one in caught] == [
        f"{roster}: line 2 has 'anna maier'; did you mean 'Anna  Maier', as in line 4?",
        f"{roster}: line 4 has 'Anna  Maier'; did you mean 'anna maier', as in line 2?",
    ]


def test_a_name_on_the_roster_that_is_nearly_that_of_a_submission_is_named(
    netlet: Netlet, two: Path
) -> None:
    write_submission(two, "anna maier", BROKEN)
    Path("class.csv").write_text(
        "submission,comment\nAnna  Maier,Ill.\nann,\nbob,\nzoe,ill\nBobby,by mail\n"
    )
    options = ("--budget", "class.toml", "--trust", "--roster", "class.csv")
    out = netlet("grade", str(two), *options)[1]
    assert "Anna  Maier: no submission; did you mean 'anna maier'? Ill.\n" in out
    assert "anna maier: is not on the roster; did you mean 'Anna  Maier'?\n" in out
    assert "zoe: no submission; ill\n" in out
    assert "Bobby: no submission; by mail\n" in out  # that of bob is his own
    out = netlet("grade", str(two / "ann"), "--single", *options)[1]
    assert (
        "anna maier: is not on the roster; did you mean 'Anna  Maier'? --drop 'anna maier' drops "
        "its earlier grade\n"
    ) in out


def test_what_moodle_lets_a_student_type_is_no_second_submission(tmp_path: Path) -> None:
    for name in (
        f"Cy_4_{ADDED}_",
        "Cy_4_assignsubmission_onlinetext_",
        "Di_6_assignsubmission_onlinetext_",
    ):
        (tmp_path / name).mkdir()
    assert [one.name for one in list_submissions([tmp_path])] == ["Cy", "Di"]


def test_the_runs_of_a_study_belong_to_one_submission(tmp_path: Path) -> None:
    record = tmp_path / "ida" / "runs" / "study" / "seed-0" / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    with pytest.raises(GradingError, match=r"looks like one submission, because it contains runs;"):
        list_submissions([tmp_path / "ida"])


def test_grades_deep_in_the_folder_of_the_class_are_no_submission(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    out = tmp_path / "results" / "first" / "grades"
    out.mkdir(parents=True)
    assert [one.name for one in list_submissions([tmp_path], out=out)] == ["a"]
    (tmp_path / "results" / ".DS_Store").write_text("")
    assert [one.name for one in list_submissions([tmp_path], out=out)] == ["a"]
    (tmp_path / "results" / "net.py").write_text("")
    with pytest.raises(GradingError, match=r"results: is a submission, and the grades would be"):
        list_submissions([tmp_path], out=out)


CLAIM = 'net = "nets.py:Second"\n'
TWO_NETS = f"{RIGHT}\nFirst = Net\nclass Second(Net):\n    pass\n"


CLAIMS: dict[str, tuple[str, bytes]] = {
    "mark": ("claim.toml", b"\xef\xbb\xbf" + CLAIM.encode()),  # as Windows writes it
    "text": ("claim.toml.txt", CLAIM.encode()),
    "class": ("claim.toml", b'net = "Second"\n'),
    "stem": ("claim.toml", b'net = "nets:Second"\n'),
    "wide": ("claim.toml", CLAIM.encode("utf-16")),
}


@pytest.mark.slow
def test_a_claim_counts_however_it_was_saved_or_is_named_first(tmp_path: Path) -> None:
    for name, (file, content) in CLAIMS.items():
        write_submission(tmp_path, name, {"nets.py": TWO_NETS, file: content})
    files = {"nets.py": TWO_NETS, "old.py": TWO_NETS, "claim.toml": b'net = "Second"\n'}
    write_submission(tmp_path, "both", files)
    settings = GradingSettings(budget=Budget(params_below=10**6), trust=True)
    found = grade_submissions(list_submissions([tmp_path]), settings, spot_data(), workers=2)
    grades = {one.name: one for one in found}
    both = grades.pop("both")
    assert both.state == "ERROR"
    assert "2 files define 'Second': nets.py, old.py; name one of them, like net = " in both.problem
    wide = grades.pop("wide")
    assert wide.state == "ERROR"
    assert wide.problem.startswith("claim.toml: is saved as UTF-16; save it as UTF-8; 2 nets ")
    nets = {name: (one.state, one.net) for name, one in grades.items()}
    assert nets == dict.fromkeys(grades, ("PASS", "nets.py:Second"))


def test_weights_in_the_folder_hand_in_are_those_that_count(tmp_path: Path) -> None:
    for place in ("studies/net/seed-0", "hand-in"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "weights.safetensors").write_bytes(place.encode())
    assert find_weights(tmp_path, None) == "hand-in/weights.safetensors"
    (tmp_path / "hand-in" / "old.pt").write_bytes(b"old")
    with pytest.raises(GradingError, match="3 files of weights"):
        find_weights(tmp_path, None)


def test_points_are_written_in_full_and_comments_in_one_line() -> None:
    grade = Grade(name="ann", state="PASS", points=1_234_567.5, max_points=2_000_000)
    assert "1234567.5/2000000" in format_grades([grade])
    assert to_gradescope(grade)["output"] == "PASS: 1234567.5 of 2000000 points"
    row = {"student": "Zoe", "corrected_points": "999999.5", "comment": "ill;\n\n see  mail"}
    lines = list(csv.DictReader(grades_to_csv([grade], {"zoe": row}).splitlines()))
    assert [line["points"] for line in lines] == ["1234567.5", "999999.5"]
    assert lines[1]["reason"] == "no submission; ill; see mail"
