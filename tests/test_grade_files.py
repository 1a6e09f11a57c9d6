"""From the files of a submission to its grade, in this process: the code of these tests is ours."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from class_of_students import (
    LARGE,
    RIGHT,
    Answers,
    grade,
    notebook,
    spot_data,
    spot_weights,
    submit,
    torch_bytes,
    write_submission,
)
from helpers import few_fast
from safetensors.torch import save
from torch import nn

from netlet.analysis import check
from netlet.budgets import Budget
from netlet.classroom import Grade, GradingSettings, grade_files, inside, net_search
from netlet.classroom.examine import Examination, Examiner
from netlet.classroom.grades import check_claim
from netlet.classroom.named_net import find_named_net
from netlet.classroom.roster import Claim
from netlet.classroom.student_page import student_page
from netlet.classroom.submitted_weights import find_weights
from netlet.errors import GradingError, NetError
from netlet.nets import find_net
from netlet.recipes import QUICK
from netlet.sandbox import SandboxAnswer

BUDGET = Budget(params_below=8_000, accuracy_at_least=95)
SQUEEZES = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
    def forward(self, x):
        return super().forward(x).squeeze()
"""
REMEDY = "squeeze() also removes the batch dimension of one image: use flatten(1)"


def slow(*values: object) -> Any:
    """Return a case that is left out of the fast tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


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
    assert "not retrained" in graded[1].problem
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
    first, last = ("cell 3", "cell 4") if file == "m.ipynb" else ("line 3", "line 8")
    said = (
        f"{file}:Net: 'Net' is defined 2 times; the last one counts, in {last}; write Net[1] for "
        f"the one in {first}"
    )
    assert found.definitions.startswith(said)
    assert grade_files.explain_grade(found) == found.definitions
    (row,) = csv.DictReader(io.StringIO(grade_files.grades_to_csv([found])))
    assert row["reason"] == found.definitions
    assert found.definitions in grade_files.to_gradescope(found)["output"]
    page = student_page(Examination(found), spot_data().held_out, figures=False).text
    assert page.count("is defined 2 times") == 1
    (folder / file).write_text(notebook(RIGHT) if file == "m.ipynb" else RIGHT)
    assert grade(folder, GradingSettings(budget=BUDGET)).definitions == ""


LIGHTNING = f"""import lightning_of_nobody as pl
{RIGHT}
class Lit(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = Net()
    def forward(self, x):
        return self.model(x)
"""


OUTER = """class Outer(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.lit = Lit()
    def forward(self, x):
        return self.lit(x)
"""


@pytest.mark.parametrize(
    ("code", "why"),
    few_fast(
        [
            (
                LIGHTNING,
                "does not run (m.py:Lit: importing it failed in line 1: ModuleNotFoundError: ",
            ),
            (LIGHTNING + OUTER, "does not run (m.py:Outer: importing it failed in line 1: "),
            (
                LIGHTNING.replace("LightningModule", "Module")
                .replace("lightning_of_nobody", "torch.nn")
                .replace("        super().__init__()\n", ""),
                "does not run (m.py:Lit: building it failed in line 10: Lit.__init__() assigns ",
            ),
            (
                LIGHTNING.replace("(self):\n        super().__init__()\n", "(self, lr):\n"),
                "cannot be built without arguments",
            ),
        ],
        2,
    ),
)
def test_the_net_of_a_whole_that_cannot_be_used_is_graded_and_named(
    tmp_path: Path, code: str, why: str
) -> None:
    folder = submit(tmp_path, m__py=code, w__ckpt=torch_bytes(spot_weights("model.1.")))
    found = grade(folder, GradingSettings(budget=BUDGET))
    assert (found.state, found.net, found.points) == ("PASS", "m.py:Net", 100)
    said = f"m.py:Net is graded alone: what it is a part of {why}"
    assert grade_files.explain_grade(found).startswith(said)
    page = student_page(Examination(found), spot_data().held_out, figures=False).text
    assert "is graded alone" in page
    if "does not run" in why:
        assert grade(folder, GradingSettings(budget=BUDGET, net="m.py")).net == "m.py:Net"
        with pytest.raises(NetError, match=r"m\.py:Lit: "):
            grade(folder, GradingSettings(budget=BUDGET, net="m.py:Lit"))


FINAL = RIGHT.replace("Net", "Final")
BROKEN = f"import package_of_nobody as p\n{FINAL.replace('10)', '10), p.Part()')}"
MISSING = "importing it failed in line 1: ModuleNotFoundError: No module named 'package_of_nobody'"
BASE = "from torch import nn\nclass Base(nn.Module):\n    def forward(self, x):\n        {body}\n"
DERIVED = """from base import Base
from torch import nn
class Net(Base):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)
    def forward(self, x):
        return self.out(x.flatten(1))
"""


ADD = (
    "if it is the net, add a function without arguments that returns it, and name this function "
    "in claim.toml"
)
NEEDING = FINAL.replace("(self)", "(self, p)")
SLIP = """class Final(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)
    def foward(self, x):
        return self.out(x.flatten(1))
"""
NAMED = "        self.Final = None\n"
LOSS = """
from torch import nn
class LabelSmooth(nn.Module):
    def forward(self, p, t):
        return (p - t).mean()
"""
EXPORT = "    net = Net()\n    head = nn.Sequential(net, nn.Linear(10, 10), nn.Softmax(1))\n"
AROUND = """
from torch import nn
class Ema(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net
    def forward(self, x):
        return self.net(x)
"""


@pytest.mark.parametrize(
    ("files", "failed"),
    few_fast(
        [
            ({"final.py": BROKEN}, f"final.py:Final does not run ({MISSING})"),
            ({"draft.py": RIGHT + BROKEN}, f"draft.py:Final does not run ({MISSING[:22]}"),
            (
                {"final.py": FINAL + "oops("},
                "final.py does not run ('(' was never closed (final.py, ",
            ),
            (
                {"final.ipynb": notebook(FINAL + "oops(")},
                "final.ipynb:Final does not run (cell 3 is not valid Python (line 6: '('",
            ),
            (
                {"m.py": f"if __name__ == '__main__':\n{textwrap.indent(FINAL, '    ')}"},
                f'm.py:Final was not tried (it is below if __name__ == "__main__"); {ADD}',
            ),
            (
                {"m.py": f"{NEEDING}if __name__ == '__main__':\n    model = Final(0.1)\n"},
                f"m.py:Final was not tried (it has required arguments: p); {ADD}",
            ),
            (
                {
                    "m.py": NEEDING,
                    "train.py": "from m import Final\ndef main():\n    n = Final(0.1)\n",
                },
                "m.py:Final was not tried (it has required arguments: p); ",
            ),
            (
                {"m.py": f"def main():\n{textwrap.indent(FINAL, '    ')}\n    Final()\n"},
                "m.py:Final was not tried (it is inside main()); ",
            ),
            (
                {
                    "m.py": "from torch import nn\ndef main():\n    net = nn.Sequential(nn.Linear(4, 10))\n"
                },
                "m.py:net was not tried (it is inside main()); ",
            ),
            (
                {"draft.py": RIGHT + SLIP},
                "draft.py:Final does not run (Final: has no forward(), but ",
            ),
            (
                {"f.ipynb": notebook("class Final(\n    nn.Module\n):\n  oops(")},
                "f.ipynb:Final does not run (cell 3 is not valid Python",
            ),
            (
                {"draft.py": RIGHT + NAMED + BROKEN},
                "draft.py:Final does not run",
            ),
            (
                {f"{i}.py": BROKEN.replace("Part", f"Part{i}") for i in range(5)},
                f"2.py:Final does not run ({MISSING}), nor do 2 more",
            ),
            # Losses, loaders and blocks, what is built around a net, and nets that nobody builds.
            ({"loss.py": LOSS}, ""),
            ({"draft.py": RIGHT + LOSS}, ""),
            ({"n.ipynb": notebook("class FocalLoss(nn.Module):\n    oops(")}, ""),
            ({"n.ipynb": notebook("class Data(pl.LightningDataModule):\n    oops(")}, ""),
            (
                {"n.ipynb": notebook("class Block(nn.Module):\n    def __init__(self, i): oops(")},
                "",
            ),
            ({"draft.py": f"{RIGHT}if __name__ == '__main__':\n{EXPORT}"}, ""),
            ({"draft.py": f"{RIGHT}def export(net):\n{EXPORT}"}, ""),
            (
                {
                    "ema.py": AROUND,
                    "train.py": "from ema import Ema\ndef main(net):\n    Ema(net)\n",
                },
                "",
            ),
            ({"m.py": NEEDING}, ""),
            # Parts and base classes of nets, and a copy of the one that is graded.
            ({"blocks.py": "from torch import nn\nclass Block(nn.Conv2d):\n    pass\n"}, ""),
            ({"draft.py": DERIVED, "base.py": BASE.format(body="raise NotImplementedError")}, ""),
            ({"draft.py": DERIVED, "base.py": BASE.format(body="return self.out(x)")}, ""),
            ({"copy.py": f"from package_of_nobody import *\n{RIGHT}"}, ""),
            ({"train.py": "from draft import Net\nmodel = Net()\nraise SystemExit\n"}, ""),
        ],
        9,
    ),
)
def test_a_net_that_does_not_run_is_named_beside_the_one_that_is_graded(
    tmp_path: Path, files: dict[str, str], failed: str
) -> None:
    weights = torch_bytes(nn.Linear(5, 10).state_dict())
    write_submission(tmp_path, "ann", {"draft.py": RIGHT, **files, "w.pt": weights})
    found = grade(tmp_path / "ann", GradingSettings(budget=BUDGET))
    assert found.net == "draft.py:Net"
    assert ": these weights belong to another net; " in found.problem
    shown = grade_files.explain_grade(found)
    assert ("is graded" in shown) == bool(failed)
    assert failed in shown
    assert failed in "".join(found.notes)


def test_a_net_in_the_last_of_many_files_is_found(tmp_path: Path) -> None:
    lessons = {f"lesson{i:02d}.py": f"def step{i}(x):\n    return x\n" for i in range(45)}
    write_submission(tmp_path, "ann", {**lessons, "src/model.py": RIGHT})
    for named in (None, "Net", "*.py"):
        found = grade(tmp_path / "ann", GradingSettings(budget=BUDGET, net=named))
        assert (found.net, found.definitions) == ("src/model.py:Net", "")
    (tmp_path / "ann" / "baseline.py").write_text(LARGE)
    with pytest.raises(
        NetError, match=r"2 nets return 10 .*: baseline\.py:Net, src/model\.py:Net;"
    ):
        grade(tmp_path / "ann", GradingSettings(budget=BUDGET))


def test_a_net_around_one_of_another_file_is_graded_as_a_whole(tmp_path: Path) -> None:
    code = AROUND.replace("self, net)", "self)").replace("= net", "= Net()")
    write_submission(tmp_path, "ann", {"m.py": RIGHT, "train.py": f"from m import Net\n{code}"})
    found = grade(tmp_path / "ann", GradingSettings(budget=BUDGET))
    assert (found.net, found.definitions) == ("train.py:Ema", "")


@pytest.mark.parametrize("place", ["Session 6: MNIST.ipynb", "week 1: mnist/net.py"])
@pytest.mark.parametrize("named", few_fast([None, "{place}", "{place}:Net", "{stem}", "*:Net"], 1))
def test_the_path_of_a_net_may_have_a_colon(tmp_path: Path, place: str, named: str | None) -> None:
    code = notebook(RIGHT) if place.endswith("ipynb") else RIGHT
    write_submission(tmp_path, "ann", {place: code})
    if named == "*:Net":
        named = "*.ipynb:Net" if place.endswith("ipynb") else "*.py:Net"
    named = named and named.format(place=place, stem=place.rpartition(".")[0])
    found = grade(tmp_path / "ann", GradingSettings(budget=BUDGET, net=named))
    assert (found.net, found.definitions) == (f"{place}:Net", "")


def test_nets_that_are_not_tried_for_their_number_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net_search, "MOST_CANDIDATES", 2)
    wrong = {f"{name}.py": RIGHT.replace("10)", f"{7 + i})") for i, name in enumerate("bcd")}
    write_submission(tmp_path, "ann", {"a.py": RIGHT, **wrong})
    said = (
        "only 2 nets of a submission are tried, and 2 more were not, the first of them c.py:Net; "
        "if it is the net, name it in claim.toml, or with --net"
    )
    found = grade(tmp_path / "ann", GradingSettings(budget=BUDGET))
    assert found.net == "a.py:Net"
    assert f"a.py:Net is graded; {said}" in grade_files.explain_grade(found)
    assert said in "".join(found.notes)
    (tmp_path / "ann" / "a.py").write_text(LARGE.replace("10)", "11)"))
    with pytest.raises(NetError, match=re.escape(f"({said})")):
        grade(tmp_path / "ann", GradingSettings(budget=BUDGET))


def test_of_several_parts_of_a_net_that_does_not_run_one_has_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = RIGHT.replace("Net", "Other")
    code = LIGHTNING.replace("Net()", "Net() or Other()").replace(RIGHT, RIGHT + other)
    folder = submit(tmp_path, m__py=code)
    like = re.escape("2 nets return 10 classes: m.py:Net, m.py:Other; name one in claim.toml, ")
    with pytest.raises(NetError, match=f"^{like}.* does not run .m.py:Lit: importing it failed"):
        grade(folder, GradingSettings(budget=BUDGET))
    (folder / "m.py").write_text(code.replace("784, 10)", "784, 7)", 1))
    found = grade(folder, GradingSettings(budget=BUDGET))
    assert (found.state, found.net) == ("NOT YET", "m.py:Other")
    with monkeypatch.context() as fewer:
        fewer.setattr(net_search, "MOST_CANDIDATES", 2)  # Lit, Net
        with pytest.raises(NetError, match=r"^no net runs: m\.py:Lit: importing it failed"):
            grade(folder, GradingSettings(budget=BUDGET))
    (folder / "m.py").write_text(code.replace("784, 10)", "784, 7)"))
    with pytest.raises(NetError, match=r"^no net runs: m\.py:Lit: importing it failed") as raised:
        grade(folder, GradingSettings(budget=BUDGET))
    assert "another net" not in str(raised.value)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (LIGHTNING, "; or name another net of this file: {file}:Net"),
        # This one needs the missing module, too.
        (LIGHTNING.replace("nn.Linear(", "pl.Linear("), "or write the net without it"),
        (f"import nowhere as a\n{RIGHT.replace('10)', 'a.n)')}", "or write the net without it"),
    ],
)
def test_a_net_that_cannot_be_imported_is_refused_with_those_that_can(
    tmp_path: Path, code: str, remedy: str
) -> None:
    file = tmp_path / "m.py"
    file.write_text(code)
    with pytest.raises(NetError, match="importing it failed") as raised:
        find_net(str(file))
    assert str(raised.value).endswith(remedy.replace("{file}", str(file)))


MORE = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)
        {more}
    def forward(self, x):
        return self.out(x.flatten(1))
"""
AS_BUFFER = "self.register_buffer('more', {tensor})"
AS_STATE = "self.kept = 1\n    def get_extra_state(self):\n        return {'a': 1}"


@pytest.mark.filterwarnings("ignore::UserWarning")  # of PyTorch, on types that are new or old
@pytest.mark.parametrize(
    ("more", "parameters"),
    few_fast(
        [
            ("self.more = nn.Parameter(torch.zeros(5, dtype=torch.complex128))", 7_860),
            *(
                (AS_BUFFER.replace("{tensor}", tensor), parameters)
                for tensor, parameters in (
                    ("torch.zeros((), dtype=torch.complex32)", 7_852),
                    ("torch.quantize_per_tensor(torch.ones(5), 0.1, 0, torch.qint8)", 7_855),
                    ("torch.zeros(5, dtype=torch.uint8).view(torch.uint4)", 7_855),
                    ("torch.zeros(5, dtype=torch.uint8).view(torch.float8_e8m0fnu)", 7_855),
                    ("torch.zeros(5, dtype=torch.uint16)", 7_855),
                    ("torch.eye(5).to_sparse()", 7_855),
                    ("torch.eye(5).to_sparse_csr()", 7_855),
                    ("torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])", 7_855),
                    ("torch.zeros(5, device='meta')", 7_855),
                )
            ),
            (AS_STATE, 7_850),
        ],
        5,
    ),
)
def test_tensors_that_safetensors_cannot_hold_are_counted(
    tmp_path: Path, more: str, parameters: int
) -> None:
    folder = submit(tmp_path, m__py=MORE.replace("{more}", more))
    found = grade(folder, GradingSettings(budget=BUDGET))
    assert (found.state, found.points, found.parameters) == ("NOT YET", 50, parameters)


def test_the_accuracy_of_a_net_with_complex_weights_is_judged(tmp_path: Path) -> None:
    numbers = torch.ones(5, dtype=torch.complex128)
    code = MORE.replace("{more}", "self.more = nn.Parameter(torch.zeros(5).cdouble())")
    weights = torch_bytes({**spot_weights("out."), "more": numbers})
    found = grade(submit(tmp_path, m__py=code, w__pt=weights), GradingSettings(budget=BUDGET))
    assert (found.state, found.points) == ("PASS", 100)


def test_weights_that_the_code_of_the_net_refuses_cost_no_points_of_other_rules(
    tmp_path: Path,
) -> None:
    own = "pass\n    def load_state_dict(self, *values, **options):\n        raise OSError('no')"
    code = MORE.replace("{more}", own)
    folder = submit(tmp_path, m__py=code, w__pt=torch_bytes(spot_weights("out.")))
    found = grade(folder, GradingSettings(budget=BUDGET))
    assert (found.state, found.points) == ("NOT YET", 50)
    assert found.problem.endswith("are judged: w.pt: cannot be loaded (OSError: no)")


BLOCK = "class Block(nn.Linear):\n    pass\n"
BLOCKS = RIGHT.replace("class Net", f"{BLOCK}class Net").replace("nn.Linear(784", "Block(784")
BUILT = "from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
IMPORTED = BLOCKS.replace(BLOCK, "from blocks import Block\n")


@pytest.mark.parametrize(
    ("files", "net", "same"),
    [
        ({"m.py": RIGHT, "m (1).py": f"# copy\n{RIGHT}"}, "m (1).py:Net", "m.py:Net"),
        ({"m.py": RIGHT, "m.ipynb": notebook(RIGHT)}, "m.ipynb:Net", "m.py:Net"),
        (
            {"blocks.py": f"from torch import nn\n{BLOCK}", "m.py": IMPORTED, "train.py": BLOCKS},
            "m.py:Net",
            "train.py:Net",
        ),
        ({"m.py": BUILT, "n.py": BUILT}, "m.py:net", "n.py:net"),
        ({"m.py": RIGHT, "n.py": RIGHT.replace("10)", "10, False)")}, "m.py:Net", ""),
        ({"m.py": BLOCKS, "n.py": BLOCKS.replace("    pass", "    x = 1")}, "m.py:Net", ""),
    ],
)
def test_nets_with_the_same_code_count_as_one(
    tmp_path: Path, files: dict[str, str], net: str, same: str
) -> None:
    folder = tmp_path / "ann"
    folder.mkdir()
    write_submission(tmp_path, "ann", files)
    if not same:
        with pytest.raises(NetError, match=f"^2 nets return 10 classes: {net}, n.py:Net; name one"):
            grade(folder, GradingSettings(budget=BUDGET))
        return
    found = grade(folder, GradingSettings(budget=BUDGET))
    assert (found.state, found.net) == ("NOT YET", net)
    assert f"{net} is graded; {same} has the same code" in grade_files.explain_grade(found)


def test_of_several_nets_the_one_that_the_weights_fit_is_proposed(tmp_path: Path) -> None:
    weights = torch_bytes(spot_weights())
    folder = submit(tmp_path, a__py=LARGE, m__py=RIGHT, w__pt=weights)
    with pytest.raises(NetError) as raised:
        grade(folder, GradingSettings(budget=BUDGET))
    assert str(raised.value) == (
        "2 nets return 10 classes: a.py:Net, m.py:Net, and w.pt fits only m.py:Net; name one in "
        'claim.toml, like net = "m.py:Net", or with --net'
    )
    (folder / "n.py").write_text(RIGHT.replace("Flatten()", "Flatten(1)"))
    with pytest.raises(NetError, match=r"3 nets return .*, n.py:Net; name one .*a.py:Net"):
        grade(folder, GradingSettings(budget=BUDGET))


@pytest.mark.parametrize("path", ["w.pt", "./w.pt", "../top/w.pt"])
def test_code_finds_the_files_beside_it_and_writes_others(tmp_path: Path, path: str) -> None:
    code = f"import os, torch\n{RIGHT}        self.load_state_dict(torch.load({path!r}))\n"
    code += "        os.makedirs('logs', exist_ok=True)\n        open('logs/log', 'w').close()\n"
    code += "    def forward(self, x):\n        open('logs/log').close()\n"
    code += "        return super().forward(x)\n"
    folder = tmp_path / "ann" / "top"
    folder.mkdir(parents=True)
    (folder / "m.py").write_text(code)
    (folder / "w.pt").write_bytes(torch_bytes(spot_weights()))
    before = os.getcwd()
    found = grade(tmp_path / "ann", GradingSettings(budget=BUDGET))
    assert (found.state, found.points, found.net) == ("PASS", 100, "top/m.py:Net")
    assert os.getcwd() == before
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        *("ann", "m.py", "scratch", "top", "w.pt")
    ]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"a.py": "class Net(:\n"}, "no net: a.py: is not valid Python ("),
        ({"a.py": RIGHT.encode("utf-16")}, "no net: a.py: is saved as UTF-16; save it as UTF-8"),
        ({"a.py": RIGHT.encode("utf-16-be")}, "no net: a.py: is saved as UTF-16; save it as UTF-8"),
        ({"a.py": "x = 1\0\n"}, "no net: a.py: is not valid Python ("),
        ({"a.py": "class Net(:\n", "b.py": "x = 1\n"}, "repair it (and 1 more)"),
        ({"a.py": f"import nowhere\n{RIGHT.replace('10)', 'nowhere.n)')}"}, "no net runs"),
        (
            {"a.py": f"import nowhere\n{RIGHT.replace('10)', 'nowhere.n)')}", "b.py": "def f(): 0"},
            "no net runs: a.py:Net: importing it failed",
        ),
        ({}, "no Python file or notebook"),
    ],
)
def test_what_no_other_name_would_help_gets_no_advice_to_name_a_net(
    tmp_path: Path, files: dict[str, bytes | str], problem: str
) -> None:
    (tmp_path / "ann").mkdir()
    write_submission(tmp_path, "ann", files)
    with pytest.raises(NetError) as raised:
        grade(tmp_path / "ann", GradingSettings(budget=BUDGET))
    assert problem in str(raised.value)
    assert "--net" not in str(raised.value)
    (tmp_path / "ann" / "c.py").write_text("def make_net(): return 3\n")
    if "runs" not in problem:
        with pytest.raises(NetError, match=r"name it in claim\.toml, or with --net"):
            grade(tmp_path / "ann", GradingSettings(budget=BUDGET))


def test_a_function_that_needs_arguments_is_no_example_of_a_net(tmp_path: Path) -> None:
    code = "def conv_block(a): return a\ndef make_net(channels): return conv_block(channels)\n"
    folder = submit(tmp_path, m__py=code)
    with pytest.raises(NetError) as raised:
        grade(folder, GradingSettings(budget=BUDGET))
    assert str(raised.value) == (
        "no net was found (m.py: all that it defines has required arguments; give defaults to "
        "those of the net, or add a function without arguments that builds the net; it defines: "
        "conv_block, make_net)"
    )
    (folder / "m.py").write_text(code.replace("make_net(channels)", "make_net(channels=8)"))
    with pytest.raises(NetError, match=r"for example m\.py:make_net; it defines: conv_block, make"):
        grade(folder, GradingSettings(budget=BUDGET))


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
        with pytest.raises(GradingError, match="interfered with the result"):
            examiner.judge(case, SandboxAnswer(json.loads(json.dumps(values)), payload))


def written_for(grade: Grade) -> tuple[str, str, dict[str, str]]:
    """Return what the summary says of a grade, its student's report and its row of the table."""
    page = student_page(Examination(grade), spot_data().held_out, figures=False).text
    (row,) = csv.DictReader(io.StringIO(grade_files.grades_to_csv([grade])))
    return grade_files.explain_grade(grade), page, row


# It finds the spots only where white is about 1: brighter and negative gray levels count nothing.
ZERO_TO_ONE = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)
    def forward(self, x):
        return self.out((x * ((x >= 0) & (x < 1.5))).flatten(1))
"""


@pytest.mark.parametrize("claim", ["", slow("mean = 2.0\nstd = 0.1\n")])
def test_a_normalization_that_fits_better_is_named_wherever_a_person_looks(
    tmp_path: Path, claim: str
) -> None:
    folder = submit(
        tmp_path,
        m__py=ZERO_TO_ONE,
        w__safetensors=save(spot_weights("out.")),
        claim__toml=f"{claim}epochs = 1\n",
    )
    found = grade(folder, GradingSettings(budget=BUDGET))
    assert found.score is not None
    assert found.score.percent < 95
    assert found.state == "FAIL"
    (warning,) = found.warnings
    mean, std = ("2", "0.1") if claim else ("0.1307", "0.3081")
    origin = "as claimed or recorded" if claim else "the default; none are claimed"
    assert warning.startswith(
        f"accuracy is {found.score.percent:.2f}% with mean {mean}, std {std} ({origin}), but 100.00"
    )
    assert warning.endswith("write mean = 0 and std = 1 in claim.toml")
    said, page, row = written_for(found)
    assert warning in said
    assert f"**Please note:** A{warning[1:]}" in page
    origin = "as claimed or recorded" if claim else "the default, since none are claimed"
    used = f"Scored with the weights `w.safetensors`, with mean {mean} and std {std} ({origin})"
    assert used in page
    assert warning in grade_files.to_gradescope(found)["output"]
    assert (row["weights"], row["mean"], row["std"]) == ("w.safetensors", mean, std)
    (folder / "claim.toml").write_text("mean = 0\nstd = 1\n")
    again = grade(folder, GradingSettings(budget=BUDGET))
    assert (again.state, again.warnings) == ("PASS", ())


@pytest.mark.slow
def test_weights_that_are_bad_with_any_normalization_get_no_advice(tmp_path: Path) -> None:
    wrong = save({name: -tensor for name, tensor in spot_weights().items()})
    found = grade(
        submit(tmp_path, m__py=RIGHT, w__safetensors=wrong), GradingSettings(budget=BUDGET)
    )
    assert (found.state, found.warnings) == ("FAIL", ())


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"w.pt": b"no weights"}, "w.pt: "),
        slow({"w.safetensors": save({"1.weight": torch.zeros(3)})}, "belong to another net"),
        slow({"a.pt": b"", "b.pt": b"b"}, 'name one in claim.toml, like weights = "a.pt"'),
        slow({"a.pt": b"", "claim.toml": "weights = 'b.pt'"}, "no weights 'b.pt'; there are: a.pt"),
        ({"w.safetensors": save(spot_weights()), "claim.toml": "epochs: 10"}, "is not valid TOML"),
        slow({"w.pt": b"", "claim.toml": "std = 0"}, "claim std=0 is not"),
    ],
)
def test_weights_that_cannot_be_used_lose_no_points_of_the_rules_on_the_net(
    tmp_path: Path, files: dict[str, bytes | str], why: str
) -> None:
    write_submission(tmp_path, "ann", {"m.py": RIGHT})
    settings = GradingSettings(budget=BUDGET, points=20)
    without = grade(tmp_path / "ann", settings)
    write_submission(tmp_path, "ann", files)
    found = grade(tmp_path / "ann", settings)
    assert (found.state, found.points) == (without.state, without.points) == ("NOT YET", 10)
    assert found.rules == without.rules
    assert found.problem.startswith("no weights are scored, so only the rules on the net")
    said, page, row = written_for(found)
    assert why in said
    assert str(tmp_path) not in said
    assert said.count("claim.toml: ") <= 1
    assert "| parameters | below 8,000 | 7,850 |" in page
    assert (row["verdict"], row["weights"], row["mean"]) == ("NOT YET", "", "")
    assert len(grade_files.to_gradescope(found)["tests"]) == 2
    # A budget without accuracy asks for no weights, but the student is told.
    rules = grade(tmp_path / "ann", GradingSettings(budget=Budget(params_below=8_000)))
    assert (rules.state, rules.problem) == ("PASS", "")
    assert why in rules.warnings[0]


def test_weights_in_half_precision_are_scored(tmp_path: Path) -> None:
    weights = {name: tensor.half() for name, tensor in spot_weights().items()}
    write_submission(tmp_path, "ann", {"m.py": RIGHT, "w.safetensors": save(weights)})
    found = grade(tmp_path / "ann", GradingSettings(budget=BUDGET, points=20))
    assert (found.state, found.points, found.parameters) == ("PASS", 20, 7_850)
    assert found.score is not None
    assert found.score.correct == 200
    note = "w.safetensors: its weights were converted from float16 to float32"
    assert note in found.notes
    assert note in grade_files.to_gradescope(found)["output"]


def test_a_normalization_that_fits_better_comes_after_what_is_left_out(tmp_path: Path) -> None:
    weights = {**spot_weights("out."), "bn.weight": torch.ones(3)}
    folder = submit(tmp_path, m__py=ZERO_TO_ONE, w__safetensors=save(weights))
    (warning,) = grade(folder, GradingSettings(budget=BUDGET)).warnings
    assert warning.startswith("some tensors of the weights are left out; accuracy is ")


def test_what_the_weights_have_beside_those_of_the_net_is_left_out(tmp_path: Path) -> None:
    weights = {**spot_weights(), "total_ops": torch.zeros(1), "1.total_params": torch.zeros(1)}
    write_submission(tmp_path, "ann", {"m.py": RIGHT, "w.pt": torch_bytes(weights)})
    settings = GradingSettings(budget=BUDGET, points=20)
    found = grade(tmp_path / "ann", settings)
    assert (found.points, found.parameters, grade_files.explain_grade(found)) == (20, 7_850, "")
    assert not any("total_" in note for note in found.notes)
    write_submission(
        tmp_path,
        "bob",
        {"m.py": RIGHT, "w.pt": torch_bytes({**weights, "aux.bias": torch.ones(3)})},
    )
    found = grade(tmp_path / "bob", settings)
    assert (found.points, found.parameters) == (20, 7_850)
    assert "w.pt: the net has no aux.bias, left out" in found.notes
    assert grade_files.explain_grade(found) == "w.pt: the net has no aux.bias, left out"
    more_layers = torch_bytes({**weights, "2.bias": torch.ones(3)})
    write_submission(tmp_path, "deep", {"m.py": RIGHT, "w.pt": more_layers})
    note = "w.pt: the net has no 2.bias (a deeper net has them), left out"
    assert grade_files.explain_grade(grade(tmp_path / "deep", settings)) == note
    del weights["1.bias"]
    write_submission(tmp_path, "cy", {"m.py": RIGHT, "w.pt": torch_bytes(weights)})
    assert "another net; missing: 1.bias" in grade(tmp_path / "cy", settings).problem


def test_copies_of_the_weights_are_one_file(tmp_path: Path) -> None:
    for name in ("b.pt", "a/b.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"same")
    assert find_weights(tmp_path, None) == "b.pt"
    (tmp_path / "a" / "run.json").write_text("{}")
    assert find_weights(tmp_path, None) == "a/b.pt"  # whose record says how it was trained
    (tmp_path / "c.pt").write_bytes(b"other")
    with pytest.raises(GradingError, match="3 files of weights"):
        find_weights(tmp_path, None)


def test_a_pattern_names_one_of_several_weights_only_if_they_are_copies(tmp_path: Path) -> None:
    for name in ("epoch15.pt", "epoch01.pt", "b/best.pt", "a/best.pt"):
        write_submission(tmp_path, "ann", {name: name})
    folder = tmp_path / "ann"
    for pattern, said in (
        ("epoch*.pt", "2 files of weights (epoch01.pt, epoch15.pt); name one in claim.toml, like "),
        ("*.pt", "4 files of weights (epoch01.pt, epoch15.pt, a/best.pt, b/best.pt); name one"),
        ("best.pt", "2 files of weights (a/best.pt, b/best.pt); name one in claim.toml, like "),
    ):
        with pytest.raises(GradingError, match=re.escape(said)):
            find_weights(folder, pattern)
    for written in ("epoch15.pt", "b/best.pt"):
        assert find_weights(folder, written) == written
    assert find_weights(folder, "*15*") == "epoch15.pt"
    write_submission(tmp_path, "ann", {"b/best.pt": "a/best.pt"})
    assert find_weights(folder, "best.pt") == "a/best.pt"
    write_submission(tmp_path, "ann", {"hand-in/chosen.pt": "chosen"})
    assert find_weights(folder, "*.pt") == "hand-in/chosen.pt"


def test_a_pattern_names_the_only_file_with_such_a_net(tmp_path: Path) -> None:
    other = RIGHT.replace("Net", "Other")
    files = {"data.py": "import torch", "model.py": RIGHT, "old/model.py": other}
    write_submission(tmp_path, "ann", {**files, "train.py": "from model import Net"})
    folder = tmp_path / "ann"
    for pattern, found in (
        ("*.py:Net", "model.py:Net"),
        ("*.py:Net[1]", "model.py:Net[1]"),
        ("*:Other", "old/model.py:Other"),
        ("model.py", "model.py:Net"),
        ("model", "model.py:Net"),
        ("old/*.py", "old/model.py:Other"),
        ("old/model.py:Any", "old/model.py:Any"),
    ):
        assert find_named_net(folder, pattern) == f"{folder}/{found}"
    for pattern, said in (
        ("*.py", "2 files match '*.py': model.py, old/model.py; name one of them, like net = \"m"),
        ("*.py:Any", "4 files match '*.py:Any': data.py, model.py, train.py, old/model.py; name"),
    ):
        with pytest.raises(NetError, match=re.escape(said)):
            find_named_net(folder, pattern)
    write_submission(tmp_path, "ann", {"old/model.py": RIGHT})
    assert find_named_net(folder, "*.py:Net") == f"{folder}/model.py:Net"  # of two copies
    write_submission(tmp_path, "ann", {"old/model.py": RIGHT + other})
    with pytest.raises(
        NetError, match=r"2 files define 'Net': model\.py, old/model\.py; name one "
    ):
        find_named_net(folder, "*.py:Net")
    assert find_named_net(folder, "model.py:Net") == f"{folder}/model.py:Net"
    with pytest.raises(NetError, match=r"^no file 'x\.py'; there are: data\.py, model\.py, "):
        find_named_net(folder, "x.py")
    with pytest.raises(NetError, match=r"^no file 'x\.py'; there is no Python file or notebook$"):
        find_named_net(folder / "old" / "none", "x.py")


def test_an_unknown_key_in_a_claim_is_named_and_the_rest_of_it_counts(tmp_path: Path) -> None:
    folder = submit(
        tmp_path,
        m__py=RIGHT,
        w__safetensors=save(spot_weights()),
        claim__toml="accuracy = 100\nepoch = 3\n",
    )
    found = grade(folder, GradingSettings(budget=BUDGET))
    assert (found.state, found.claim.accuracy) == ("PASS", 100)
    (warning,) = found.warnings
    assert warning.startswith(
        "claim.toml: 'epoch' is not a key of a claim; the keys are: accuracy, "
    )
    _, page, _ = written_for(found)
    assert "**Please note:** claim.toml: 'epoch' is not a key" in page.replace("\\", "")


def test_a_claim_without_a_recipe_is_not_retrained_but_judged(tmp_path: Path) -> None:
    folder = submit(tmp_path, m__py=RIGHT)
    settings = GradingSettings(budget=BUDGET, retrain="claim", points=20)
    found = grade(folder, settings)
    assert (found.state, found.points, len(found.rules)) == ("NOT YET", 10, 2)
    assert found.problem.startswith("not retrained, so only the rules on the net are judged: ")
    assert 'write recipe = "quick", for example, in claim.toml' in found.problem
    (folder / "claim.toml").write_text("recipe = 'magic'")
    assert "no recipe 'magic'" in grade(folder, settings).problem


@pytest.mark.parametrize(
    "files",
    [
        {"m.py": RIGHT, "w.safetensors": save(spot_weights()), "claim.toml": "accuracy = 20"},
        slow({"m.py": RIGHT, "claim.toml": "accuracy = 0.2\nparameters = 3\nmaen = 1"}),
        slow({"m.py": RIGHT, "a.pt": b"", "b.pt": b""}),
        slow({"m.py": SQUEEZES}),
        slow({"m.py": RIGHT + RIGHT}),
    ],
)
def test_a_report_speaks_of_the_net_and_not_of_its_author(
    tmp_path: Path, files: dict[str, bytes | str]
) -> None:
    write_submission(tmp_path, "ann", files)
    found = grade(tmp_path / "ann", GradingSettings(budget=Budget(epochs_at_most=3, name="class")))
    _, page, _ = written_for(found)
    assert not re.search(r"(?m)^(- )?(\*\*Please note:\*\* )?(Has|Is|Was|Claims|Takes|Its)\b", page)
    for word in ("he", "she", "its code", "the student", "the submission", "claims"):
        assert f" {word} " not in page
    assert "the budget limits epochs, but none are claimed" in page


def test_a_claimed_accuracy_stands_beside_not_measured_and_is_in_percent() -> None:
    claim = Claim(accuracy=0.996)
    found = Grade(name="ann", state="NOT YET", points=0, max_points=9, claim=claim)
    said, page, _ = written_for(found.replace(notes=tuple(check_claim(found))))
    wanted = "the claim accuracy = 0.996 is read as 1.00%: write it in percent, accuracy = 99.6"
    assert said == wanted
    assert "| test accuracy | 1.00% | not measured |" in page
    assert check_claim(found.replace(claim=Claim(accuracy=99.6))) == []
