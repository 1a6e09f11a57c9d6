"""``netlet check`` and ``netlet show`` with several nets: one process, the worst exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import Netlet

SMALL = "from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
LARGE = "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self):\n        super().__init__(784, 100)\n"
NOTEBOOK = json.dumps({"cells": [{"cell_type": "code", "source": SMALL}], "nbformat": 4})
SIZES = ["7,850", "7,840", "31,400", "3,176"]  # of SMALL


@pytest.fixture(autouse=True)
def files(netlet: Netlet) -> None:
    Path("small.py").write_text(SMALL)
    Path("large.py").write_text(
        LARGE + "    def forward(self, x):\n        return super().forward(x.flatten(1))\n"
    )
    Path("book.ipynb").write_text(NOTEBOOK)
    Path("broken.py").write_text("class Net(:\n")
    Path("empty.py").write_text("")


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


def test_a_row_for_each_net_and_the_worst_exit_code(netlet: Netlet) -> None:
    code, out, err = netlet("check", "small.py", "book.ipynb", "swift", "--params-below", "20000")
    assert (code, err) == (0, "")
    sizes = ["MACs", "weight", "bytes", "activation", "bytes"]
    assert rows(out)[0] == ["net", "verdict", "parameters", *sizes, "budget", "missed"]
    assert rows(out)[2] == ["small.py:net", "PASS", *SIZES, "command-line", "limits"]
    assert [row[:3] for row in rows(out)[2:]] == [
        ["small.py:net", "PASS", "7,850"],
        ["book.ipynb:net", "PASS", "7,850"],
        ["swift", "PASS", "18,952"],
    ]
    code, out, _ = netlet("check", "small.py", "large.py", "--budget", "eight_k")
    assert code == 1
    assert rows(out)[2] == ["small.py:net", "NOT", "YET", *SIZES, "eight_k"]
    assert rows(out)[3][:3] == ["large.py:Net", "FAIL", "78,500"]
    assert "eight_k  parameters 78,500 (below 8,000)" in out


def test_a_net_that_cannot_be_used_does_not_stop_the_rest(netlet: Netlet) -> None:
    code, out, err = netlet("check", "broken.py", "large.py", "empty.py", "nowhere.py", "small.py")
    assert code == 2
    assert [row[:2] for row in rows(out)[2:]] == [
        ["broken.py", "ERROR"],
        ["large.py:Net", "FAIL"],
        ["empty.py", "ERROR"],
        ["nowhere.py", "ERROR"],
        ["small.py:net", "NOT"],
    ]
    assert "netlet: broken.py: is not valid Python" in err
    assert "netlet: empty.py: defines no class or function" in err
    assert "netlet: nowhere.py: no such file; check its path" in err


def test_a_pattern_that_the_shell_leaves_is_to_be_left_out(netlet: Netlet) -> None:
    code, _, err = netlet("check", "small.py", "*.ipynb")
    assert code == 2
    assert "netlet: *.ipynb: no such file; leave this pattern out if no file matches it" in err


def test_a_wrong_budget_is_said_once_and_before_any_net_runs(netlet: Netlet) -> None:
    Path("acting.py").write_text(f"open('RAN', 'w')\n{SMALL}net.ran = open('RAN', 'w')\n")
    code, out, err = netlet("check", "acting.py", "small.py", "--budget", "nosuch")
    assert (code, out) == (2, "")
    assert err.count("no budget 'nosuch'") == 1
    assert not Path("RAN").exists()


def test_the_json_has_an_entry_for_each_net(netlet: Netlet) -> None:
    code, out, _ = netlet("check", "small.py", "broken.py", "--json")
    good, bad = json.loads(out)["nets"]
    assert code == 2
    assert (good["name"], good["state"]) == ("small.py", "NOT YET")
    assert bad["name"] == "broken.py"
    assert "is not valid Python" in bad["error"]


def test_show_prints_the_nets_one_below_the_other(netlet: Netlet) -> None:
    code, out, err = netlet("show", "small.py", "empty.py", "book.ipynb")
    assert code == 2
    assert out.index("small.py:net, input 1x28x28") < out.index("\n\nbook.ipynb:net, input 1x28x28")
    assert "empty.py: defines no class" in err
    code, out, _ = netlet("show", "small.py", "book.ipynb", "--rf", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["kind"] == "receptive_fields"
    assert [entry["rows"][-1]["name"] for entry in document["nets"]] == ["1", "1"]


@pytest.mark.parametrize("command", ["check", "show"])
def test_a_net_in_one_line_without_quotes_is_not_taken_for_several(
    netlet: Netlet, command: str
) -> None:
    code, _, err = netlet(command, "8", "8", "P", "16")
    assert code == 2
    assert "too many arguments (8 P 16); put a net in one line into quotes, like '8 8 P 16'" in err


def test_the_notes_of_each_net_are_below_the_table(netlet: Netlet) -> None:
    Path("ends.py").write_text(
        "from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Softmax(1))\n"
    )
    out = netlet("check", "small.py", "ends.py")[1]
    (note,) = out.splitlines()[4:]
    assert note.startswith("ends.py: note: the net ends in layer 2 (Softmax), but ")
