"""Budgets in TOML files: read strictly, named by line if they are wrong, kept in records by value."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from conftest import Netlet
from torch import nn

import netlet as netlet_package
from netlet import catalog
from netlet.budgets import (
    TEMPLATE,
    Budget,
    ModelCost,
    Outcome,
    Score,
    budget_from_json,
    load_budget,
    to_toml,
)
from netlet.budgets.class_file import ClassFile, read_class_file
from netlet.budgets.dataset_names import DATASETS, explain_dataset
from netlet.errors import BudgetError, RecordError
from netlet.records import Run, to_json_value

CLASS = """\
title = "Assignment 6"
dataset = "mnist"
judge = "val"
params_below = 8_000
epochs_at_most = 15
accuracy_at_least = 99.4
requires = ["GAP | Linear", "Conv2d >= 3"]
forbids = ["bias"]

[messages]
params_below = "Use fewer channels."
"GAP | Linear" = "End with a pooling."
"""


def write(folder: Path, text: str, name: str = "class.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_the_budget_that_it_says(tmp_path: Path) -> None:
    expected = Budget(
        name="class",
        title="Assignment 6",
        dataset="mnist",
        judged_on="val",
        params_below=8_000,
        epochs_at_most=15,
        accuracy_at_least=99.4,
        requires=("GAP | Linear", "Conv2d >= 3"),
        forbids=("bias",),
        messages={"params_below": "Use fewer channels.", "GAP | Linear": "End with a pooling."},
    )
    path = write(tmp_path, CLASS)
    assert load_budget(path) == netlet_package.load_budget(str(path)) == expected
    assert catalog.find_budget(str(path)) == expected
    assert load_budget(write(tmp_path, 'name = "six"\n' + CLASS)).name == "six"
    assert load_budget(write(tmp_path, "\ufeff" + CLASS)) == expected


def test_every_budget_survives_being_written(tmp_path: Path) -> None:
    odd = Budget(name='a "b" \\ c\x7f ü 😀', macs_below=3, messages={"macs_below": "a\n\tb"})
    for budget in (*catalog.BUDGETS.values(), load_budget(write(tmp_path, CLASS)), odd):
        again = load_budget(write(tmp_path, to_toml(budget)))
        assert again.replace(title=budget.title) == budget
        assert budget_from_json(to_json_value(budget)) == budget
        assert hash(again)


def test_the_template_is_a_budget_without_slips(tmp_path: Path) -> None:
    path = write(tmp_path, TEMPLATE)
    budget = load_budget(path)
    assert budget.params_below == 8_000
    assert budget.requires
    assert read_class_file(path) == ClassFile(points=100)
    keys = set()
    options, head, points = TEMPLATE.partition("# [grade.points]\n")
    for line in options.splitlines():
        if line.startswith("# ") and " = " in line:
            key = line[2:].split(" = ")[0]
            path = write(tmp_path, TEMPLATE.replace(line, line[2:]))
            of_grade = TEMPLATE.index(line) > TEMPLATE.index("[grade]")
            found = getattr(read_class_file(path) if of_grade else load_budget(path), key)
            assert found is not None
            keys.add(key)
    assert keys >= {"name"} | {one.name for one in fields(ClassFile)} - {"points", "limit_points"}
    path = write(
        tmp_path, re.sub("(?m)^points = .*$", "", options) + re.sub("(?m)^# ", "", head + points)
    )
    given = {"accuracy_at_least": 50, "GAP | Linear": 10}
    assert read_class_file(path) == ClassFile(points=100, limit_points=given)
    assert read_class_file(path).find_points(load_budget(path)) == 100


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "parms_below = 3",
            1,
            "'parms_below' is not a key of a budget; did you mean 'params_below'",
        ),
        ("flash_below = 3", 1, "did you mean 'weight_bytes_below'? the keys are"),
        ("\nepochs = 3", 2, "'epochs' is not a key of a budget; did you mean 'epochs_at_most'"),
        ("\n\njudged_on = 'test'", 3, "did you mean 'judge'"),
        ("x_y_z = 3", 1, "the keys are: name, title"),
        ("params_below = '8000'", 1, "params_below is '8000'; write a whole number like 8_000"),
        ("params_below = true", 1, "params_below is True; write a whole number"),
        ("params_below = 8.5", 1, "params_below=8.5 is not a whole number"),
        ("params_below = 0", 1, "params_below=0 is too small"),
        ("params_below = 99999999999999999999", 1, "write a whole number"),
        ("accuracy_at_least = nan", 1, "accuracy_at_least is nan; write a percentage like 99.4"),
        ("accuracy_at_least = 0.994", 1, "accuracies are in percent, write 99.4"),
        ("accuracy_at_least = 994", 1, "is not a percentage"),
        ("epochs_below = 3\nepochs_at_most = 3", 2, "are both set; keep one of them"),
        ("held_for_last = 3", 1, "held_for_last=3 needs an accuracy"),
        ("judge = 'train'", 1, 'judge is \'train\'; write "test" or "val"'),
        ("judge = 3", 1, "judge is 3, which is not text"),
        ("title = ''\nparams_below = 3", 1, "title is empty; write a text, or leave the key out"),
        ("title = ['a']", 1, "title is ['a'], which is not text"),
        ("requires = 'Dropout'", 1, "requires is 'Dropout'; write a list of texts"),
        ("requires = ['Dropout', 3]", 1, "write a list of texts like"),
        ("forbids = ['Linear', 'Linear']", 1, "forbids has 'Linear' twice; drop one"),
        ("requires = [\n  'GAP',\n  'Conv2d >= x',\n]", 3, "a limit is written like 'Conv2d >= 3'"),
        ("requires = ['GAP']\nforbids = ['gap']", 2, "gap is both forbidden and required"),
        ("requires = ['GAP', 'no GAP']", 1, "contradict each other; drop one"),
        (f"requires = {['BatchNorm'] * 201}", 1, "requires has 201 rules; write at most 200"),
        ("messages = 3", 1, "messages is 3; write a table [messages]"),
        (
            "params_below = 3\n[messages]\nparam_below = 'a'",
            3,
            "'param_below' is not a limit or rule of this budget; did you mean 'params_below'",
        ),
        ("params_below = 3\n[messages]\nparams_below = 4", 3, "is 4, which is not text"),
        (f"params_below = 3\n[messages]\nparams_below = '{'x' * 3000}'", 3, "3,000 characters"),
        (
            "requires = ['Conv2d >= 3']\n[messages]\n'Conv2d >= 4' = 'a'",
            3,
            "'Conv2d >= 4' is not a limit or rule of this budget; did you mean 'Conv2d >= 3'",
        ),
        ("requires = ['GAP', 'Conv2d  >= x']", 1, "a limit is written like 'Conv2d >= 3'"),
        (
            "requires = [\n'GAP',\n'dropuot']",
            3,
            "no kind of layer is called 'dropuot'; did you mean 'Dropout'? use the name in "
            "torch.nn, such as 'Linear', a family, such as 'GAP', or '=dropuot' for a class in "
            "the file of the net",
        ),
        (
            "params_below = 3\ndataset = 'minst'",
            2,
            "no data set is called 'minst'; did you mean 'mnist'? the names are mnist, fashion",
        ),
        ("params_below = 3\ndataset = 'fashion-mnist'", 2, "did you mean 'fashion_mnist'?"),
        ("requires = ['GAP']\nforbids = ['Liner']", 2, "did you mean 'Linear'"),
        ("requires = ['GAP | Liner']", 1, "no kind of layer is called 'Liner'"),
        ("requires = ['no Droput right before the prediction']", 1, "did you mean 'Dropout'"),
        ("requires = ['BatchNrom after each convolution']", 1, "did you mean 'BatchNorm'"),
        ("requires = ['Conv2d >= 3', 'nn.Liner']", 1, "did you mean 'Linear'"),
        ("forbids = ['sunflower']", 1, "no kind of layer is called 'sunflower'; use the name in"),
        ("forbids = ['bacth norm']", 1, "'bacth norm' is not a kind of layer; did you mean 'Batch"),
        ("", None, "the budget limits nothing; add a limit"),
        ("title = 'a'", None, "the budget limits nothing; add a limit"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BudgetError) as caught:
        load_budget(path)
    where = f"{path}, line {line}: " if line else f"{path}: "
    assert str(caught.value).startswith(where)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"params_below = = 3", "is not valid TOML: Invalid value (at line 1, column 16)"),
        (b"params_below = 3\nparams_below = 4", "is not valid TOML: Cannot overwrite a value (at"),
        (b"params_below = 3\nparams_below = 4", "the key is also set above; keep one of them"),
        (b"[budget]\nparams_below = 3", "leave out the line [budget], limits have no heading"),
        (b"a = \xff", "is not UTF-8 text; save it as UTF-8"),
        (b"#" * 100_000, "at most 65,536"),
        (b"a = " + b"[" * 30_000, "is nested too deeply|is not valid TOML"),
        (
            b".".join([b"a"] * 3_000) + b" = 1",
            "line 1 has too many dots; shorten it to 1,000 at most",
        ),
        (b"a = " + b"9" * 20_000, "is not valid TOML"),
    ],
)
def test_files_that_are_no_budget_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "class.toml"
    path.write_bytes(content)
    with pytest.raises(BudgetError) as caught:
        load_budget(path)
    assert any(text in str(caught.value) for text in message.split("|"))


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(BudgetError, match=str(path)):
            load_budget(path)
    with pytest.raises(BudgetError, match="or name a TOML file"):
        catalog.find_budget("clas")


def test_a_message_is_read_where_a_rule_is_missed(tmp_path: Path) -> None:
    budget = load_budget(
        write(
            tmp_path,
            'params_below = 9\nepochs_below = 3\naccuracy_above = 90\nrequires = ["ReLU"]\n'
            '[messages]\nparams_below = "One."\nepochs_below = "Two."\naccuracy_above = "Three."\n'
            'ReLU = "Four."',
        )
    )
    kinds = {"Conv2d": ["a"]}
    big = ModelCost(parameters=9, macs=1, weight_bytes=1, activation_bytes=1, kinds=kinds)
    scores = [Score("test", 80, 100)] * 3
    missed = budget.judge(big, Outcome(scores))
    assert [result.message for result in missed.results] == ["One.", "Two.", "Three.", "Four."]
    assert "parameters: One." in str(missed)
    early = budget.judge(ModelCost(parameters=8, macs=1, weight_bytes=1, activation_bytes=1))
    assert [result.message for result in early.results] == ["", "", "", "Four."]


def test_records_of_budgets_without_new_fields_are_as_before() -> None:
    values = catalog.find_budget("document_003").to_dict()
    assert not {"title", "messages", "about"} & values.keys()


NET = """\
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(26), nn.Flatten(), nn.Linear(4, 10))
"""


def test_commands_take_a_file_for_a_budget(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, NET, "net.py")
    text = 'title = "Six"\nrequires = ["GAP", "Dropout"]\n[messages]\nDropout = "Add dropout."\n'
    write(tmp_path, text, "six.toml")
    code, out, _ = netlet("check", "net.py:Net", "--budget", "six.toml")
    assert code == 1
    assert out.startswith("six: FAIL\n")
    assert "Dropout layers: Add dropout." in out
    code, out, _ = netlet("budget", "six.toml")
    assert code == 0
    assert "six: Six" in out
    assert "Add dropout." in out
    code, out, err = netlet("budget")
    assert (code, out) == (2, "")
    assert "no BUDGET; name one of 'netlet list --budgets' or a TOML file, or pass --temp" in err
    assert "'netlet budget NAME' shows one with its rules" in netlet("list", "--budgets")[1]
    assert load_budget(write(tmp_path, netlet("budget", "--template")[1])).requires
    assert load_budget(write(tmp_path, netlet("budget", "eight_k", "--toml")[1])).name == "eight_k"
    code, out, err = netlet("budget", "eight_k", "--template")
    assert (code, out) == (2, "")
    assert "--template takes no name" in err
    code, _, err = netlet("check", "net.py:Net", "--budget", "seven.toml")
    assert code == 2
    assert "seven.toml" in err


def test_only_slips_in_the_name_of_a_data_set_are_refused() -> None:
    assert DATASETS == netlet_package.data.DATASET_NAMES
    for name in (
        *DATASETS,
        None,
        "EMNIST",
        "mnist_small",
        "digits",
        "digits.npz",
        "cifar10",
        "letters",
    ):
        assert explain_dataset(name) == "", name
    for name in ("minst", "mnst", "MNIST", "mnits", "fashionmnist", "scribbel", "kmnit"):
        assert "did you mean" in explain_dataset(name), name
    net, budget = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), Budget(dataset="minst")
    with pytest.raises(BudgetError, match="budget: no data set is called 'minst'; did you mean"):
        netlet_package.check(net, budget)


def test_a_name_that_may_be_a_class_of_the_net_is_noted(netlet: Netlet, tmp_path: Path) -> None:
    path = write(tmp_path, 'requires = ["Block", "=Linear2", "Dropout2d"]\nforbids = ["Linear2"]')
    code, out, _ = netlet("budget", str(path))
    assert code == 0
    notes = " ".join(out.partition("note: ")[2].split()).split(" note: ")
    assert [note.split()[0] for note in notes] == ["'Linear2'", "'Block'"]
    assert notes[1] == (
        "'Block' is neither a layer of torch.nn nor a family of layers, so it means a class of this "
        "name in the file of the net; write '=Block' to say so"
    )
    assert json.loads(netlet("budget", str(path), "--json")[1])["notes"][0].startswith("note: 'Li")


def test_a_budget_is_shown_as_a_page_for_students(netlet: Netlet, tmp_path: Path) -> None:
    text = (
        'title = "Six"\ndataset = "mnist"\nparams_below = 8_000\naccuracy_at_least = 99.4\n'
        'held_for_last = 3\nepochs_at_most = 1\nforbids = ["fully-connected layer"]\n'
        'requires = ["GAP | 1x1", "=Own", "Conv2d >= 3", "dropout at least 2 layers before the '
        'prediction", "receptive field at least 9 before GAP", "no Dropout right before the '
        'prediction", "batch norm after each conv"]\n'
        '[messages]\nparams_below = "Use fewer channels."\n"GAP | 1x1" = "See lecture 4."\n'
    )
    code, out, _ = netlet("budget", str(write(tmp_path, text)))
    assert code == 0
    assert max(map(len, out.splitlines())) <= 100
    page = " ".join(out.split())
    assert page.startswith(
        "class: Six Accuracy is judged after the last epoch, on the test images of mnist. "
        "Limits - fewer than 8,000 parameters if missed: Use fewer channels. - at most 1 epoch - "
        "accuracy held for the last 3 epochs - at least 99.4% accuracy "
        "- one row of scores for each image, also for a single one: no x.squeeze() "
        "Required - GAP | 1x1 GAP: the mean over the whole map"
    )
    for part in (
        "1x1 convolution: a convolution with a kernel of this size if missed: See lecture 4.",
        "- =Own =Own: a layer of torch.nn, or a class in the file of the net",
        "- Conv2d >= 3 Conv2d: exactly this layer of torch.nn, or its function",
        "with a rate above 0 place: the layers that count are the convolutions and linear layers",
        "place: before GAP: the pixels of the image that one element there depends on",
        "prediction place: on the output of the last convolution or linear layer",
        "place: before the next convolution, linear layer or output; the last layer needs none",
        "Forbidden - fully-connected layer Linear: a dense layer",
    ):
        assert part in page, part
    found = json.loads(netlet("budget", str(tmp_path / "class.toml"), "--json")[1])
    assert found["sentences"]["epochs_at_most"] == "at most 1 epoch"
    assert [rule["required"] for rule in found["rules"]] == [True] * 7 + [False]
    assert found["rules"][0]["message"] == "See lecture 4."
    assert list(found["rules"][0]["counts"]) == ["GAP", "1x1 convolution"]


def test_rules_on_the_command_line_are_added_to_those_of_the_budget(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, NET, "net.py")
    text = 'requires = ["GAP", "Dropout"]\nforbids = ["BatchNorm"]\nparams_below = 90\n'
    write(tmp_path, f"{text}[messages]\nDropout = 'Add dropout.'\n", "six.toml")
    (tmp_path / "netlet.toml").write_text('net = "net.py"\nbudget = "six.toml"\n')
    rules = ("--require", "Conv2d >= 1", "--require", "GAP", "--forbid", "Flatten")
    for words in ((), ("net.py:Net", "--budget", "six.toml")):
        code, out, _ = netlet("check", *words, *rules, "--params-below", "50", "--json")
        found = json.loads(out)
        states = {rule["rule"]: rule["state"] for rule in found["rules"]}
        assert (code, found["budget"], found["state"]) == (1, "six", "FAIL")
        assert list(states) == [
            *("parameters", "BatchNorm layers", "Flatten layers", "GAP", "Dropout layers"),
            "Conv2d layers",
        ]
        assert (states["Dropout layers"], states["Conv2d layers"]) == ("FAIL", "PASS")
        assert found["rules"][0]["limit"] == 50
    code, _, err = netlet("check", "--forbid", "Dropout")
    assert code == 2
    assert "dropout is both forbidden and required; drop one" in err


def test_a_run_keeps_its_budget_and_what_it_was_judged_by(tmp_path: Path) -> None:
    text = 'requires = ["GAP", "Dropout"]\n[messages]\nDropout = "Add dropout."\n'
    net = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(26), nn.Flatten(), nn.Linear(4, 10))
    )
    run = netlet_package.fit(
        net,
        netlet_package.data.make_scribble(train=40, test=20),
        netlet_package.recipes.QUICK.replace(epochs=1, batch_size=20),
        budget=load_budget(write(tmp_path, text)),
    )
    again = Run.from_json(run.to_json())  # judges anew, and compares
    assert (again.budget, again.verdict) == (run.budget, run.verdict)
    assert again.budget is not None
    assert again.verdict is not None
    assert budget_from_json(again.budget).messages == (("Dropout", "Add dropout."),)
    assert {result.rule: result.state for result in again.verdict.results} == {
        "GAP": "PASS",
        "Dropout layers": "FAIL",
    }
    assert again.verdict.results[1].message == "Add dropout."


def test_the_page_shows_a_file_that_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "budgets.md").read_text()
    example = page.partition("```toml\n")[2].partition("```")[0]
    budget = load_budget(write(tmp_path, example))
    assert budget.params_below
    assert budget.messages


def test_the_table_of_grading_is_checked_without_grading(netlet: Netlet, tmp_path: Path) -> None:
    file = write(tmp_path, "params_below = 8_000\n[grade]\npoint = 20\n")
    code, out, err = netlet("budget", str(file))
    assert (code, out) == (2, "")
    assert "'point' is not a key of [grade]; did you mean 'points'?" in err
    write(tmp_path, "params_below = 8_000\n[grade]\nretrain = 'quikc'\n")
    code, out, err = netlet("budget", str(file))
    assert (code, out) == (2, "")
    assert f"{file}: retrain in [grade]: no recipe 'quikc'; did you mean 'quick'?" in err
    for line in ("points = 20", "retrain = 'quick'", "retrain = 'claim'"):
        write(tmp_path, f"params_below = 8_000\n[grade]\n{line}\n")
        assert netlet("budget", str(file))[0] == 0


def test_a_limit_below_the_table_of_grading_is_named(tmp_path: Path) -> None:
    """It belongs to that table in TOML, so nothing would judge it."""
    file = write(tmp_path, "params_below = 8_000\n[grade]\npoints = 20\nrequires = ['GAP']\n")
    with pytest.raises(BudgetError, match=r"line 4: requires is below \[grade\]; move its line"):
        load_budget(file)


def test_a_receptive_field_that_any_net_has_is_noted(netlet: Netlet, tmp_path: Path) -> None:
    rules = ("RF >= 22", "receptive field at least 22 before GAP", "receptive field at most 40")
    code, out, _ = netlet("budget", str(write(tmp_path, f"requires = {list(rules)}")), "--json")
    assert code == 0
    (note,) = json.loads(out)["notes"]
    assert note.startswith("note: 'RF >= 22' holds for almost any net")


def test_shares_of_points_are_shown_as_they_are_earned(netlet: Netlet, tmp_path: Path) -> None:
    text = "requires = ['GAP', 'Dropout', 'BatchNorm']\n[grade.points]\ntotal = 20\nGAP = 15\n"
    out = netlet("budget", str(write(tmp_path, f"params_below = 9\n{text}")))[1]
    shown = re.findall(r"\(([\d.]+) points\)", out)
    assert shown == ["1.67", "15", "1.66", "1.67"]  # 20 in all, as in the table of a grade


def test_a_budget_shows_what_judges_and_how_a_class_is_graded(
    netlet: Netlet, tmp_path: Path
) -> None:
    text = (
        'judge = "val"\nparams_below = 8_000\n[messages]\nparams_below = "Use fewer."\n[grade]\n'
        'net = "model.py:\u00c4"\npoints = 20\ntime_limit = 1_200\n'
    )
    file = write(tmp_path, text)
    page = netlet("budget", str(file))[1]
    assert "judged after the last epoch, on images held out of the training split.\n" in page
    assert "- fewer than 8,000 parameters\n  if missed: Use fewer.\n" in page
    rows = [line.split() for line in page.splitlines()]
    after = rows[rows.index(["[grade]", "value"]) + 2 :]
    assert after == [["net", "model.py:\u00c4"], ["points", "20"], ["time_limit", "1,200"]]
    document = json.loads(netlet("budget", str(file), "--json")[1])
    assert document["judge"] == "val"
    assert document["grade"] == {"net": "model.py:\u00c4", "points": 20, "time_limit": 1_200}
    again = write(tmp_path, netlet("budget", str(file), "--toml")[1], "again.toml")
    assert read_class_file(again) == read_class_file(file)
    assert load_budget(again) == load_budget(file).replace(name="class")
    plain = netlet("budget", "eight_k")[1]
    assert "on the test images" in plain
    assert "[grade]" not in plain
    assert json.loads(netlet("budget", "eight_k", "--json")[1])["grade"] == {}


def test_a_record_keeps_the_words_of_the_budget(tmp_path: Path) -> None:
    file = write(tmp_path, 'requires = ["GAP or FC", "Dropout"]\n')
    run = netlet_package.fit(
        nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
        netlet_package.data.make_scribble(train=40, test=20),
        netlet_package.recipes.QUICK.replace(epochs=1, batch_size=20, backend="eager"),
        budget=load_budget(file),
    )
    again = Run.from_json(run.to_json())  # judges anew, and compares
    assert again.verdict == run.verdict
    assert again.verdict is not None
    assert [one.title for one in again.verdict.results] == ["GAP or FC", "Dropout layers"]
    values = json.loads(run.to_json())
    assert [one.get("words") for one in values["verdict"]["results"]] == ["GAP or FC", None]
    values["verdict"]["results"][0]["words"] = "GAP"
    with pytest.raises(RecordError, match=r"verdict on GAP \| Linear: words"):
        Run.from_json(json.dumps(values))
    del values["verdict"]["results"][0]["words"]  # as an earlier version wrote it
    assert Run.from_json(json.dumps(values)).budget == run.budget
