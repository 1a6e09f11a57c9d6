"""What grading writes of a grade, and what it counts and refuses before any code runs."""

from __future__ import annotations

import csv
import dataclasses
import io
import random
from pathlib import Path

import pytest
import torch
from class_of_students import (
    BUFFER,
    RIGHT,
    grade,
    notebook,
    spot_data,
    spot_weights,
    submit,
    zip_of,
)
from safetensors.torch import save
from torch import nn

from netlet.analysis import cost_from_trace, trace
from netlet.budgets import Budget, ModelCost, RuleResult, Score
from netlet.classroom import Grade, GradingSettings, Submission, grade_files, source_size
from netlet.classroom.examine import Examination
from netlet.classroom.grades import RulePoints, check_claim
from netlet.classroom.judging import judge_rules, suspect
from netlet.classroom.net_search import find_net
from netlet.classroom.recount import count_again
from netlet.classroom.roster import Claim
from netlet.classroom.student_page import student_page
from netlet.classroom.submitted_files import copy_submission
from netlet.cli.grade_writer import GradeWriter
from netlet.data import Split
from netlet.data.disputed_labels import DISPUTED_LABELS
from netlet.data.sources import MNIST
from netlet.errors import GradingError, NetError
from netlet.evaluation import score_logits
from netlet.report import Page

MESSAGE = "Use fewer channels,\nor a smaller kernel."
JOINED = "Use fewer channels, or a smaller kernel."


def grade_of(*rules: RuleResult) -> Grade:
    points = tuple(RulePoints(0, 10) for _ in rules)
    return Grade(name="ann", state="FAIL", points=0, max_points=10, rules=rules, rule_points=points)


def test_rule_remedy_and_message_are_in_all_that_people_read() -> None:
    grade = grade_of(
        RuleResult("parameters", "below 80", "90", "-11", "FAIL", message=MESSAGE),
        RuleResult("GAP", "present", "none", "-", "FAIL", remedy="add one"),
        RuleResult("BatchNorm", "present", "none", "-", "FAIL", remedy="add", message="Read 3."),
        RuleResult("Dropout", "present", "1", "-", "PASS"),
    )
    page = student_page(Examination(grade), spot_data().held_out, figures=False).text
    assert f"- parameters: {JOINED}\n- GAP: add one\n- BatchNorm: add; Read 3." in page
    outputs = [test["output"] for test in grade_files.to_gradescope(grade)["tests"]]
    assert outputs[:2] == [f"FAIL: 90; {JOINED}", "FAIL: none; add one"]
    assert outputs[2:] == ["FAIL: none; add; Read 3.", "PASS: 1"]
    reason = (
        f"parameters: 90, below 80: {JOINED.removesuffix('.')}; GAP: none, present: add one; "
        "BatchNorm: none, present: add; Read 3."
    )
    assert grade_files.explain_grade(grade) == reason
    (row,) = csv.DictReader(io.StringIO(grade_files.grades_to_csv([grade])))
    assert row["reason"] == reason
    assert grade_files.format_grades([grade]).endswith(f"\nann: {reason}")


def test_a_report_names_assignment_submission_student_and_day() -> None:
    split, grade = spot_data().held_out, grade_of()
    page = student_page(Examination(grade), split, figures=False)
    assert page.title == "Grading report"
    assert page.text.startswith("Submission `ann`.\n\n**FAIL**, 0 of 10 points.")
    grade = grade.replace(name="a`b", student="Ann *Lee*", graded_on="2026-11-27")
    page = student_page(Examination(grade), split, title="Small\n_nets_", figures=False)
    assert page.title == r"Small \_nets\_"
    assert page.text.startswith(r"Submission a\`b by Ann \*Lee\*, graded on 2026-11-27.")


def test_mistakes_of_a_student_are_marked_where_annotators_reject_the_label() -> None:
    split = spot_data().held_out
    answers = split.labels.clone()
    answers[[3, 5]] = (answers[[3, 5]] + 1) % 10
    examination = Examination(grade_of(), score_logits(9 * torch.eye(10)[answers], split, 10))
    disputed = {3: DISPUTED_LABELS[947], 90: DISPUTED_LABELS[3520]}
    page = student_page(examination, split, disputed)
    gallery = page.figures["mistakes"].axes
    captions = {axes.get_xlabel().split("no. ")[1]: axes for axes in gallery if axes.get_xlabel()}
    assert captions.keys() == {"3\nrejected by 5 of 5", "5"}
    framed = [axes.spines["top"].get_visible() for _, axes in sorted(captions.items())]
    assert framed == [True, False]
    assert "reject the label of 2 test images; 1 of these is among" in page.text
    assert "1 of them has an orange frame" in page.text
    assert "annotators" not in student_page(examination, split).text


def test_the_grading_marks_disputed_labels_of_mnist_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    monkeypatch.setattr(
        "netlet.classroom.student_page.student_page",
        lambda examination, split, disputed, **_: shown.append(disputed) or Page("ann", ""),
    )
    spots = spot_data()
    digits = dataclasses.replace(spots, checksums={file.name: file.md5 for file in MNIST.files})
    for data in (spots, digits):
        writer = GradeWriter(tmp_path / data.digest, data, ["ann"], single=True)
        writer.take(Examination(grade_of()), False)
    assert shown == [{}, DISPUTED_LABELS]


def test_an_interrupted_report_is_no_graded_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> Page:
        raise KeyboardInterrupt

    monkeypatch.setattr("netlet.classroom.student_page.student_page", interrupt)
    writer = GradeWriter(tmp_path, spot_data(), ["ann"], single=True)
    with pytest.raises(KeyboardInterrupt):
        writer.take(Examination(grade_of()), False)
    assert (writer.done, writer.known) == (0, {})


@pytest.mark.parametrize(("wrong", "state"), [(0, "REVIEW"), (14, "REVIEW"), (15, "PASS")])
def test_more_accuracy_than_annotators_allow_is_reviewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: int, state: str
) -> None:
    spots = spot_data()
    digits = dataclasses.replace(spots, checksums={file.name: file.md5 for file in MNIST.files})
    labels = spots.held_out.labels.clone()
    labels[:wrong] = (labels[:wrong] + 1) % 10
    test = dataclasses.replace(spots.held_out, labels=labels)
    changed = dataclasses.replace(digits, held_out=test)
    monkeypatch.setattr("class_of_students.spot_data", lambda: changed)
    folder = submit(tmp_path, m__py=RIGHT, w__safetensors=save(spot_weights()))
    budget = Budget(params_below=8_000, accuracy_at_least=90)
    found = grade(folder, GradingSettings(budget=budget, points=20))
    assert found.score is not None
    assert found.score.correct == 200 - wrong
    assert (found.state, found.points) == (state, 20 if state == "PASS" else 10)
    percent = 100 * (200 - wrong) / 200
    said = (
        f"the net classifies {percent:.2f}% of the test images correctly, more than a net can "
        "reach that agrees with the annotators (92.50%); the teacher checks whether it was trained "
        "on the test images"
    )
    assert found.problem == (said if state == "REVIEW" else "")
    evaluation = score_logits(9 * torch.eye(10)[spots.held_out.labels], test, 10)
    assert suspect(evaluation, evaluation, evaluation) == ""


@pytest.mark.parametrize(
    ("only_clean", "only_copies", "is_suspect"),
    [
        (1_380, 1_320, False),  # dropout that is active in evaluation
        (290, 230, False),  # a softmax over the batch
        (51, 0, True),  # a table of answers
        (50, 0, False),
        (290, 170, True),  # a table in a net that draws random numbers
        (1_600, 1_320, True),
    ],
)
def test_a_net_is_not_suspect_of_what_chance_explains(
    only_clean: int, only_copies: int, is_suspect: bool
) -> None:
    """The counts are those of images that are right only among the test images, or the copies."""
    total = 10_000
    labels = torch.arange(total) % 10
    split = Split("test", torch.zeros(total, 1, 1, 1, dtype=torch.uint8), labels)
    number = torch.arange(total)
    wrong_clean = (number < only_copies) | (number >= 8_000)
    wrong_copies = ((number >= 4_000) & (number < 4_000 + only_clean)) | (number >= 8_000)
    clean, copies = (
        score_logits(torch.eye(10)[(labels + wrong) % 10], split, 10)
        for wrong in (wrong_clean, wrong_copies)
    )
    said = suspect(clean, copies, copies)
    assert said.endswith("the teacher checks whether the code has a table of answers") == is_suspect
    assert bool(said) == is_suspect


@pytest.mark.parametrize(
    ("correct", "said"),
    [
        ([190], ""),
        ([190, 180], "Of the two seeds, the one of lower accuracy counts."),
        ([190, 180, 185], "The seed of median accuracy counts."),
        (
            [190, 180, 185, 195],
            "The seed of median accuracy (of the two in the middle, the lower) counts.",
        ),
    ],
)
def test_a_report_says_which_of_several_seeds_counts(correct: list[int], said: str) -> None:
    scores = tuple(Score("test", one, 200) for one in correct)
    found = grade_of().replace(score=scores[0], seed_scores=scores)
    page = student_page(Examination(found), spot_data().held_out, figures=False).text
    assert ("counts." in page) == bool(said)
    assert said in page


def test_a_comment_keeps_its_full_stop_and_stands_at_the_end() -> None:
    hidden = RuleResult("weights outside the net", "none", "2,110", "-", "UNKNOWN")
    found = grade_of(hidden).replace(
        points=5, points_by_rules=0, comment="Late. See my mail.", problem="no weights."
    )
    assert grade_files.explain_grade(found) == (
        "0 points by the rules, corrected to 5; no weights; weights outside the net: 2,110, none "
        "are allowed; Late. See my mail."
    )


def test_no_two_columns_of_the_table_have_the_same_title() -> None:
    text = grade_files.grades_to_csv([Grade(name="a", state="FAIL", points=0, max_points=1)])
    fixed = next(csv.reader(io.StringIO(text)))
    rules = [RuleResult(title, "below 8", "9", "-1", "FAIL") for title in (*fixed, "epochs")]
    grade = grade_of(*rules).replace(parameters=9)
    titles = next(csv.reader(io.StringIO(grade_files.grades_to_csv([grade]))))
    assert len(titles) == len(set(titles)) == 3 * len(fixed) + 2
    (row,) = csv.DictReader(io.StringIO(grade_files.grades_to_csv([grade])))
    assert (row["parameters"], row["parameters rule"], row["epochs"]) == ("9", "FAIL", "FAIL")


def test_what_is_not_as_claimed_is_in_all_that_grading_writes() -> None:
    claim = Claim(accuracy=99.9, parameters=7_000, epochs=12)
    grade = grade_of(RuleResult("epochs", "at most 15", "12 claimed", "+3", "PASS"))
    grade = grade.replace(state="PASS", claim=claim, parameters=7_850, score=Score("t", 98, 100))
    grade = grade.replace(notes=tuple(check_claim(grade)))
    said = [
        "7,000 parameters are claimed, 7,850 are counted",
        "99.90% accuracy is claimed, 98.00% is measured",
    ]
    (row,) = csv.DictReader(io.StringIO(grade_files.grades_to_csv([grade])))
    assert (row["claimed_epochs"], row["reason"]) == ("12", "; ".join(said))
    printed = grade_files.format_grades([grade])
    assert "  accuracy  claimed accuracy  moved 1 px\n" in printed
    assert printed.endswith(f"\nann: {'; '.join(said)}")
    assert grade_files.to_gradescope(grade)["output"].splitlines()[1:] == said
    page = student_page(Examination(grade), spot_data().held_out, figures=False).text
    assert "| epochs | 12 | - |" in page
    assert all(f"- {one}" in page for one in said)
    for rounded in (97.0, 98.0, 98.004):  # what is measured, rounded, or less
        modest = grade.replace(claim=Claim(accuracy=rounded, parameters=7_850, epochs=12))
        assert check_claim(modest) == []
    higher = grade.replace(claim=Claim(accuracy=98.1, parameters=7_850, epochs=12))
    assert check_claim(higher) == ["98.10% accuracy is claimed, 98.00% is measured"]
    honest = grade.replace(claim=Claim(accuracy=98.004, parameters=7_850, epochs=12))
    assert check_claim(honest) == []
    assert grade_files.explain_grade(honest) == ""


def test_a_rule_on_epochs_asks_for_the_claim_that_it_needs() -> None:
    grade = grade_of(RuleResult("epochs", "at most 15", "-", "-", "NOT YET"))
    asked = "the budget limits epochs, but none are claimed: write epochs = N in claim.toml"
    assert check_claim(grade) == [asked]
    assert grade_files.explain_grade(grade) == asked
    assert check_claim(grade.replace(claim=Claim(epochs=16))) == []
    assert check_claim(grade_of(RuleResult("epochs", "at most 15", "9", "+6", "PASS"))) == []


@pytest.mark.parametrize(("complete", "found"), [(True, "4"), (False, "4 claimed")])
def test_epochs_are_claimed_or_trained_but_never_planned(complete: bool, found: str) -> None:
    cost = ModelCost(parameters=1, macs=1, weight_bytes=4, activation_bytes=4, epochs=4)
    (judged,) = judge_rules(cost, Budget(epochs_at_most=9), [], "spots", complete=complete)
    assert (judged.result.found, judged.result.state) == (found, "PASS")


def test_every_cell_of_the_table_is_quoted() -> None:
    text = grade_files.grades_to_csv([grade_of(RuleResult("a;b", "none", "2", "-", "FAIL"))])
    for line, cells in zip(text.splitlines(), csv.reader(io.StringIO(text)), strict=True):
        assert line == ",".join(f'"{cell}"' for cell in cells)


def test_submitted_weights_are_judged_by_their_last_epoch_only() -> None:
    split = spot_data().held_out
    perfect = score_logits(torch.eye(10)[split.labels], split, 10)
    cost = ModelCost(parameters=1, macs=1, weight_bytes=4, activation_bytes=4)
    messages = {"held_for_last": "Train on."}
    budget = Budget(accuracy_at_least=95, held_for_last=2, messages=messages)
    for epochs, complete, states in (
        (1, False, ["PASS", "NOT YET"]),
        (0, False, ["NOT YET", "NOT YET"]),
        (1, True, ["PASS", "FAIL"]),
        (2, True, ["PASS", "PASS"]),
    ):
        rules = judge_rules(cost, budget, [perfect] * epochs, "spots", complete=complete)
        assert [rule.result.state for rule in rules] == states
        assert [rule.limit for rule in rules] == ["accuracy_at_least", "held_for_last"]


def count(net: nn.Module, **more: int) -> int:
    """Return the counted parameters of a net with more tensors, by their names and sizes."""
    tensors = {name.replace("__", "."): torch.rand(size) for name, size in more.items()}
    cost = ModelCost(parameters=1, macs=1, weight_bytes=4, activation_bytes=4)
    return count_again(cost, {**net.state_dict(), **tensors})[0].parameters


def test_the_statistics_of_honest_nets_are_no_parameters() -> None:
    for net in (
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 10, 1)),
        nn.Sequential(nn.Conv2d(8, 8, 1, groups=8, bias=False), nn.BatchNorm2d(8)),
        nn.Sequential(nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8, affine=False)),
        nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8, track_running_stats=False)),
    ):
        assert count(net) == sum(parameter.numel() for parameter in net.parameters())


def test_what_is_only_named_like_statistics_counts() -> None:
    net = nn.Linear(9, 10)  # 100 parameters
    assert count(net, a__running_mean=20, a__running_var=20, a__num_batches_tracked=1) == 100
    assert count(net, a__running_mean=20, a__running_var=20) == 100
    assert count(net, a__running_mean=20) == 120
    assert count(net, a__running_mean=20, a__running_var=30) == 150
    assert count(net, a__running_mean=20, a__running_var=20, a__num_batches_tracked=7) == 107
    assert count(net, a__running_mean=5_000, a__running_var=5_000) == 10_100
    many = {f"{n}__{kind}": 500 for n in range(9) for kind in ("running_mean", "running_var")}
    assert count(net, **many) == (100 + 18 * 500) // 2


def cost_of(net: nn.Module) -> ModelCost:
    return cost_from_trace(trace(net, (1, 28, 28)))


def tied_net(width: int = 4) -> nn.Sequential:
    first = nn.Sequential(nn.Conv2d(width, width, 3, bias=False), nn.BatchNorm2d(width))
    return nn.Sequential(
        *(nn.Conv2d(1, width, 3), first, nn.BatchNorm2d(width), first),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)),
    )


def test_shared_weights_count_once_as_in_netlet_check() -> None:
    nothing = ModelCost(parameters=0, macs=1, weight_bytes=0, activation_bytes=4)
    net = tied_net()
    honest = cost_of(net)
    assert honest.parameters == 40 + 144 + 8 + 8 + 50
    assert count_again(honest, net.state_dict()) == (honest, [])  # with zeros and ones, untrained
    torch.manual_seed(0)
    for tensor in [*net.parameters(), *net.buffers()]:
        tensor.data = torch.randint(9_000, tensor.shape).to(tensor.dtype)
    assert count_again(honest, net.state_dict()) == (honest, [])
    counted, notes = count_again(nothing, net.state_dict())  # the code says something else
    assert counted.parameters == 250
    assert counted.weight_bytes == honest.weight_bytes == 4 * (250 + 16) + 2 * 8
    assert notes == [
        "the weights have 250 numbers besides batch norm's statistics, not 0; the larger count is "
        "judged"
    ]


def test_weights_that_are_nearly_shared_count_each() -> None:
    one = torch.rand(4, 4)
    other = one.clone()
    other[3, 3] += 1e-3
    cost = ModelCost(parameters=0, macs=1, weight_bytes=0, activation_bytes=4)
    for tensors, numbers in (
        ([one, one.clone()], 16),
        ([one, other], 32),
        ([one, one.reshape(2, 8)], 32),
        ([torch.zeros(9), torch.zeros(9, dtype=torch.int32)], 18),
        ([torch.zeros(9), -torch.zeros(9)], 18),
    ):
        state = {str(number): tensor for number, tensor in enumerate(tensors)}
        assert count_again(cost, state)[0].parameters == numbers
    # Which of two numbers stands where is one bit each, so only some repeats are free.
    bits = {str(number): torch.tensor([float(number % 2)]) for number in range(10_000)}
    assert count_again(cost, bits)[0].parameters == 10_000 - 256
    assert count_again(cost, {**bits, "a": one, "b": one})[0].parameters == 10_016 - 255


def test_a_net_with_shared_weights_is_graded_as_it_is_checked(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(RIGHT.replace("784, 10)", "784, 10), *[nn.Linear(10, 10)] * 2"))
    for limit, state in ((7_961, "PASS"), (7_960, "FAIL")):
        found = grade(tmp_path, GradingSettings(budget=Budget(params_below=limit)))
        assert (found.state, found.parameters, found.warnings) == (state, 7_960, ())
    found = grade(
        submit(tmp_path, m__py=BUFFER), GradingSettings(budget=Budget(params_below=8_000))
    )
    said = "the weights have 16,850 numbers besides batch norm's statistics, not "
    assert any(said in warning for warning in found.warnings)
    assert said in grade_files.explain_grade(found)


def test_what_cannot_be_graded_is_said_without_advice_that_does_not_help(tmp_path: Path) -> None:
    def problem(**files: str) -> str:
        for file in tmp_path.glob("*.py"):
            file.unlink()
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(NetError) as raised:
            find_net(tmp_path, None, (1, 28, 28), 10)
        assert str(tmp_path) not in str(raised.value)
        return str(raised.value)

    net = "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
    layers = "        super().__init__(nn.Flatten(), nn.Linear(784, {}))\n"
    missing = net.replace("nn.Seq", "efficientlayers.Seq") + layers.format(10)
    missing = f"import efficientlayers\n{missing}"
    assert problem() == "no Python file or notebook; hand in the code of the net"
    failed = problem(grace=missing)
    assert failed.startswith("no net runs: grace.py:Net: ")
    assert "No module named 'efficientlayers'" in failed
    assert "--net" not in failed
    assert problem(grace=missing, ida=missing).endswith(" (nor does any of 1 more)")
    other = problem(hal=net + layers.format(7))
    assert other == (
        "no net returns 10 classes (hal.py:Net returns 7 numbers, not 10); name it in claim.toml, or "
        "with --net"
    )
    (tmp_path / "judy").mkdir()
    with pytest.raises(GradingError, match=r"^the folder is empty; hand in the files$"):
        copy_submission(Submission("judy", tmp_path / "judy"), tmp_path / "target")


def test_a_large_directory_of_a_zip_file_is_not_read(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {f"{n}{'x' * 60_000}.py": "" for n in range(200)}
    (tmp_path / "s.zip").write_bytes(zip_of(files))
    with pytest.raises(GradingError, match="the zip file has too many files"):
        copy_submission(Submission("s", tmp_path / "s.zip"), tmp_path / "target")


def test_a_large_notebook_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.ipynb"
    file.write_text(notebook("y = 2"))
    assert source_size._list_code(file)[2] == b"y = 2\n"
    monkeypatch.setattr(source_size, "_MAX_PARSED_BYTES", 9)
    assert source_size._list_code(file) == [file.read_bytes()]


def test_code_that_can_hold_a_table_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n" * 100_000)
    assert source_size.describe_large_code(tmp_path) == []
    for name, size in (("b.py", 10_000), ("c.py", 11_000)):
        (tmp_path / name).write_text(random.Random(name).randbytes(size).hex())
    (note,) = source_size.describe_large_code(tmp_path)
    assert "bytes compressed, enough for a table of answers, the largest part in c.py; " in note
    (tmp_path / "m.py").write_text(RIGHT)
    found = grade(tmp_path, GradingSettings(budget=Budget(params_below=8_000)))
    said = grade_files.explain_grade(found)
    assert said in found.notes
    assert said.endswith("the largest part in c.py; see whether it holds data")
    picture = random.Random(0).randbytes(20_000).hex()
    (tmp_path / "n.ipynb").write_text(notebook(f"picture = {picture!r}"))
    (note,) = source_size.describe_large_code(tmp_path)
    assert "the largest part in n.ipynb, cell 3; " in note


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("F.dropout(out(x), 0.3)", "dropout is active in evaluation too, so results vary"),
        (
            "out(x + x.new_ones(1).uniform_())",
            "Net draws random numbers in evaluation too, so results vary",
        ),
        ("F.softmax(out(x), dim=0)", "softmax normalizes over the images of a batch"),
        (
            "out(F.batch_norm(x, None, None, training=True))",
            "batch_norm normalizes by the batch in evaluation too, so the scores of an image "
            "depend on the other images",
        ),
        (
            "F.softmax(out(F.dropout(x, 0.3)), dim=0)",
            "dropout is active in evaluation too, so results vary; softmax normalizes over the "
            "images of a batch",
        ),
        (
            "(out(x), x)",
            "the net returns 2 tensors; the first is taken for the logits, and the others are "
            "neither scored nor exported",
        ),
    ],
)
def test_the_summary_says_that_scores_vary_and_what_is_scored(
    tmp_path: Path, last: str, said: str
) -> None:
    code = f"from torch.nn import functional as F\n{RIGHT}"
    code += f"    def forward(self, x):\n        out = super().forward\n        return {last}\n"
    folder = submit(tmp_path, m__py=code)
    found = grade(folder, GradingSettings(budget=Budget(params_below=8_000)))
    assert grade_files.explain_grade(found) == said
    (row,) = csv.DictReader(io.StringIO(grade_files.grades_to_csv([found])))
    assert row["reason"] == said
    assert grade_files.format_grades([found]).endswith(f"\nann: {said}")


def test_outputs_that_are_not_finite_count_as_wrong_and_are_named(tmp_path: Path) -> None:
    code = RIGHT + "    def forward(self, x):\n        return super().forward(x) / 0\n"
    folder = submit(tmp_path, m__py=code, w__safetensors=save(spot_weights()))
    found = grade(folder, GradingSettings(budget=Budget(accuracy_at_least=50)))
    assert (found.state, found.points, found.predictions_digest) == ("FAIL", 0, "")
    said = "the outputs for 200 of 200 images are not finite and count as wrong"
    assert found.warnings == (said,)
    assert said in grade_files.explain_grade(found)


def test_the_summary_names_one_of_several_layers_whose_scores_vary() -> None:
    varies = "(dropout) is active in evaluation too, so results vary"
    notes = tuple(f"{name} {varies}; repair it" for name in ("a", "b", "c"))
    said = grade_files.explain_grade(grade_of().replace(notes=("d is idle", *notes)))
    assert said == f"a {varies} (and 2 more like it)"


def test_the_time_limit_is_that_of_the_command_line() -> None:
    settings = GradingSettings(budget=Budget(params_below=80))
    assert settings.seconds_per_seed == 120
    assert dataclasses.replace(settings, retrain="claim").seconds_per_seed == 1_800
    assert dataclasses.replace(settings, time_limit_s=7).seconds_per_seed == 7
