"""From the files of a submission to its grade, in this process: the code of these tests is ours."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from class_of_students import RIGHT, notebook, spot_data, spot_weights, write_submission
from safetensors.torch import save

from netlet.analysis import check
from netlet.budgets import Budget
from netlet.classroom import Grade, GradingSettings, grade_files, inside
from netlet.classroom.examine import Examination, Examiner
from netlet.classroom.roster import Claim
from netlet.classroom.student_page import student_page
from netlet.errors import GradingError, NetError
from netlet.nets import find_net
from netlet.recipes import QUICK
from netlet.sandbox import SandboxAnswer, SandboxTask

BUDGET = Budget(params_below=8_000, accuracy_at_least=95)
SQUEEZES = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
    def forward(self, x):
        return super().forward(x).squeeze()
"""
REMEDY = "squeeze() also drops the batch of one image: use flatten(1)"


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
    case = examiner.prepare(folder.name, folder, Claim())
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


def test_a_net_that_drops_the_batch_of_one_image_fails_alike_however_it_is_graded(
    tmp_path: Path,
) -> None:
    folder = submit(tmp_path, m__py=SQUEEZES)
    net = find_net(f"{folder}/m.py:Net").builder()
    checked = check(net, BUDGET).results
    graded = [grade(folder, GradingSettings(budget=BUDGET))]
    graded.append(grade(folder, GradingSettings(budget=BUDGET, retrain=QUICK)))
    (folder / "w.safetensors").write_bytes(save(spot_weights()))
    graded.append(grade(folder, GradingSettings(budget=BUDGET)))
    for one in graded:
        (rule,) = [rule for rule in one.rules if rule.state == "FAIL"]
        assert rule in checked
        assert (one.state, rule.remedy) == ("FAIL", REMEDY)
        assert f"0 rows: 10 instead of 1x10, exactly 1 row: {REMEDY}" in (
            grade_files.explain_grade(one)
        )
        assert not any("single image" in note for note in one.notes)  # once is enough
    assert [one.score is None for one in graded] == [True, True, False]
    assert "was not retrained" in graded[1].problem
    assert graded[0].points == graded[1].points


@pytest.mark.parametrize("file", ["m.ipynb", "m.py"])
def test_which_of_several_definitions_counts_is_in_all_that_grading_writes(
    tmp_path: Path, file: str
) -> None:
    old = RIGHT.replace("784, 10)", "784, 10, bias=False)")
    text = notebook(old)
    if file == "m.ipynb":
        document = json.loads(text)
        document["cells"].append({**document["cells"][-1], "source": RIGHT})
        text = json.dumps(document)
    folder = submit(tmp_path)
    folder.mkdir()
    (folder / file).write_text(text if file == "m.ipynb" else old + RIGHT)
    found = grade(folder, GradingSettings(budget=Budget(params_below=8_000)))
    assert (found.state, found.parameters) == ("PASS", 7_850)
    places = "cell 3, cell 4" if file == "m.ipynb" else "line 3, line 8"
    said = f"{file}:Net: 'Net' is defined 2 times ({places}); the last one counts, Net[1] is the"
    assert found.definitions.startswith(said)
    assert grade_files.explain_grade(found) == found.definitions
    (row,) = csv.DictReader(io.StringIO(grade_files.grades_to_csv([found])))
    assert row["reason"] == found.definitions
    assert found.definitions in grade_files.to_gradescope(found)["output"]
    page = student_page(Examination(found), spot_data().held_out, figures=False).text
    assert page.count("is defined 2 times") == 1
    (folder / file).write_text(notebook(RIGHT) if file == "m.ipynb" else RIGHT)
    assert grade(folder, GradingSettings(budget=BUDGET)).definitions == ""


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"a.py": "class Net(:\n"}, "has no net: a.py: is not valid Python ("),
        ({"a.py": "class Net(:\n", "b.py": "x = 1\n"}, "repair it (and 1 more)"),
        ({"a.py": f"import nowhere\n{RIGHT.replace('10)', 'nowhere.n)')}"}, "has no net that runs"),
        (
            {"a.py": f"import nowhere\n{RIGHT.replace('10)', 'nowhere.n)')}", "b.py": "def f(): 0"},
            "has no net that runs: a.py:Net: importing it failed",
        ),
        ({}, "has no Python file or notebook"),
    ],
)
def test_what_no_other_name_would_help_gets_no_advice_to_name_a_net(
    tmp_path: Path, files: dict[str, str], problem: str
) -> None:
    (tmp_path / "ann").mkdir()
    for name, text in files.items():
        (tmp_path / "ann" / name).write_text(text)
    with pytest.raises(NetError) as raised:
        grade(tmp_path / "ann", GradingSettings(budget=BUDGET))
    assert problem in str(raised.value)
    assert "--net" not in str(raised.value)
    (tmp_path / "ann" / "c.py").write_text("def make_net(): return 3\n")
    if "runs" not in problem:
        with pytest.raises(NetError, match="name it with --net"):
            grade(tmp_path / "ann", GradingSettings(budget=BUDGET))


def test_a_net_that_was_named_has_the_outputs_that_one_that_was_found_needs(tmp_path: Path) -> None:
    folder = submit(tmp_path, m__py=RIGHT.replace("784, 10)", "784, 7)"))
    settings = GradingSettings(budget=Budget(params_below=8_000), net="m.py:Net")
    with pytest.raises(NetError, match=r"^m\.py:Net returns 7 numbers, not 10$"):
        grade(folder, settings)
    (folder / "m.py").write_text(RIGHT.replace("nn.Flatten(), nn.Linear(784", "nn.Linear(28"))
    with pytest.raises(NetError, match=r"^m\.py:Net returns no logits, not 10$"):
        grade(folder, settings)


def test_rules_read_as_the_budget_writes_them_wherever_a_person_reads_them(tmp_path: Path) -> None:
    words = ("GAP or FC", "at least one 1 x 1 convolution", "Conv2d >= 3")
    budget = Budget(requires=words, forbids=("fully connected",))
    found = grade(submit(tmp_path, m__py=RIGHT), GradingSettings(budget=budget))
    titles = ["fully connected", *words]
    assert [rule.title for rule in found.rules] == titles
    assert [rule.rule for rule in found.rules] == [
        *("Linear layers", "GAP | Linear", "1x1 convolution", "Conv2d layers"),
    ]
    (row,) = csv.DictReader(io.StringIO(grade_files.grades_to_csv([found])))
    assert [row[title] for title in titles] == ["FAIL", "PASS", "FAIL", "FAIL"]
    assert "at least one 1 x 1 convolution: 0, at least 1: add " in row["reason"]
    page = student_page(Examination(found), spot_data().held_out, figures=False).text
    for title in titles:
        assert f"\n| {title} | " in page
    assert "- at least one 1 x 1 convolution: add nn.Conv2d(channels, channels, 1)" in page
    tests = grade_files.to_gradescope(found)["tests"]
    assert tests[1]["name"] == "GAP or FC: at least 1"


def test_an_empty_answer_for_a_net_that_training_takes_is_no_grade(tmp_path: Path) -> None:
    folder = submit(tmp_path, m__py=RIGHT)
    examiner = Examiner(GradingSettings(budget=BUDGET, retrain=QUICK), spot_data(), tmp_path)
    case = examiner.prepare("ann", folder, Claim())
    request = {**case.task.request, "recipe": None, "places": {inside.CODE: str(folder)}}
    values, payload = inside.examine(request, Answers(case.task))  # type: ignore[arg-type]
    with pytest.raises(GradingError, match="returned no logits for some of the images"):
        examiner.judge(case, SandboxAnswer(values, payload))


def test_a_shape_that_the_code_made_up_is_no_shape(tmp_path: Path) -> None:
    folder = submit(tmp_path, m__py=SQUEEZES)
    examiner = Examiner(GradingSettings(budget=BUDGET), spot_data(), tmp_path)
    case = examiner.prepare("ann", folder, Claim())
    request = {**case.task.request, "places": {inside.CODE: str(folder)}}
    values, payload = inside.examine(request, Answers(case.task))  # type: ignore[arg-type]
    assert values["analysis"]["cost"]["one_image"] == (10,)
    for shape in ([-10], [1] * 65, [2**60], ["10"]):
        values["analysis"]["cost"]["one_image"] = shape
        with pytest.raises(GradingError, match="spoiled the answer"):
            examiner.judge(case, SandboxAnswer(json.loads(json.dumps(values)), payload))
