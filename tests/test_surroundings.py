"""What a file sets in the process holds while its net is built, and only then."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import write_notebook
from torch import nn

from netlet.errors import NetError
from netlet.nets import NetEntry, build, find_code, find_net

HEAD = "import argparse, os, random, sys\nimport numpy as np\nfrom torch import nn\n"
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(784, {width})
    def forward(self, x):
        return self.f(x.flatten(1))
"""
ARGUMENTS = """
def get_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=8)
    return parser.parse_args()
"""
READ = "int(os.environ.get('NETLET_W', 8))"


def find(folder: Path, text: str, name: str = "Net") -> NetEntry:
    (folder / "mine.py").write_text(HEAD + text)
    return find_net(f"{folder / 'mine.py'}:{name}")


def read_width(net: nn.Module) -> int:
    return int(net.get_submodule("f").weight.shape[0])  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    ("before", "width"),
    [
        ("os.environ['NETLET_W'] = '7'", READ),
        ("os.environ.update(NETLET_W='7')", READ),
        ("os.environ['NETLET_W'] = '7'", "int(os.environ['NETLET_W'])"),
        ("def setup():\n    os.environ['NETLET_W'] = '7'\nsetup()", READ),
        ("import beside", READ),
        ("os.environ.pop('NETLET_V')", "7 if 'NETLET_V' not in os.environ else 8"),
        (f"sys.argv = ['train.py', '--width', '7']{ARGUMENTS}", "get_args().width"),
        (f"sys.argv += ['--width', '7']{ARGUMENTS}", "get_args().width"),
    ],
)
@pytest.mark.parametrize("name", ["Net", "make"])
def test_a_net_is_built_with_what_its_file_has_set_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, width: str, name: str
) -> None:
    monkeypatch.setenv("NETLET_V", "1")
    (tmp_path / "beside.py").write_text("import os\nos.environ['NETLET_W'] = '7'\n")
    make = "def make():\n    return Net()\n"
    use = "\nprint(beside)\n" if "beside" in before else ""
    net = NET.format(width=width if not use else f"(beside, {width})[1]")
    entry = find(tmp_path, f"{before}\n{net}{make}", name)
    process = list(sys.argv), dict(os.environ)
    assert [read_width(build(entry.builder, 0)) for _ in range(2)] == [7, 7]
    assert (list(sys.argv), dict(os.environ)) == process


def test_what_a_file_has_set_around_its_net_reaches_no_other_net(tmp_path: Path) -> None:
    setting = find(tmp_path, f"os.environ['NETLET_W'] = '7'\n{NET.format(width=READ)}")
    other = find(tmp_path, NET.format(width=READ))
    widths = [read_width(build(one.builder, 0)) for one in (setting, other, setting)]
    assert widths == [7, 8, 7]


def test_a_net_is_built_with_what_the_process_has_set_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = find(tmp_path, f"os.environ['NETLET_OTHER'] = '7'\n{NET.format(width=READ)}")
    monkeypatch.setenv("NETLET_W", "5")
    assert read_width(build(entry.builder, 0)) == 5


@pytest.mark.parametrize("draw", ["random.randint(1, 9999)", "int(np.random.randint(1, 9999))"])
def test_a_seed_decides_what_a_builder_draws_from_python_and_numpy(
    tmp_path: Path, draw: str
) -> None:
    entry = find(tmp_path, NET.format(width=draw))
    states = random.getstate(), str(np.random.get_state())
    first = read_width(build(entry.builder, 3))
    assert (random.getstate(), str(np.random.get_state())) == states
    random.random()
    np.random.rand()
    assert read_width(build(entry.builder, 3)) == first
    assert read_width(build(entry.builder, 2**40 + 4)) != first


@pytest.mark.parametrize("imports", ["import os", "from os import getenv"])
@pytest.mark.parametrize("read", ["when the cell runs", "when the net is built"])
@pytest.mark.parametrize(
    "command",
    [
        *("%env NETLET_W=7", "%env NETLET_W 7", "%set_env NETLET_W = 7", "env NETLET_W=7"),
        "get_ipython().run_line_magic('env', 'NETLET_W=7')",
    ],
)
def test_a_notebook_sets_the_environment_by_a_command(
    tmp_path: Path, command: str, read: str, imports: str
) -> None:
    value = "getenv('NETLET_W', '8')" if "getenv" in imports else "os.environ.get('NETLET_W', '8')"
    late = read == "when the net is built"
    width, net = f"W = int({value})", NET.format(width=f"int({value})" if late else "W")
    cells = f"{imports}\nfrom torch import nn", f"{command}\nx = 1", width, net
    path = write_notebook(tmp_path / "a.ipynb", *cells)
    process = dict(os.environ)
    assert read_width(build(find_net(f"{path}:Net").builder, 0)) == 7
    assert dict(os.environ) == process


@pytest.mark.parametrize("value", ["{width}", "$width"])
def test_a_variable_with_a_computed_value_is_refused_if_a_net_needs_it(
    tmp_path: Path, value: str
) -> None:
    cells = HEAD, f"width = 7\n%env NETLET_W={value}", f"W = {READ}"
    path = write_notebook(tmp_path / "a.ipynb", *cells, NET.format(width="W"))
    address = f"{path}:Net"
    with pytest.raises(NetError, match=r"cell 2, .*variable NETLET_W .* write os\.environ"):
        find_net(address)
    path.write_text(path.read_text().replace("%env NETLET_W=", "%env NETLET_PATH="))
    assert find_net(address)  # which reads another one
    assert find_net(f"{write_notebook(tmp_path / 'a.ipynb', *cells, NET.format(width=3))}:Net")


def test_a_command_for_the_environment_is_none_of_a_net_that_does_not_read_it(
    tmp_path: Path,
) -> None:
    codes = []
    for command in ("%matplotlib inline", "%env CUDA_VISIBLE_DEVICES=0"):
        path = write_notebook(tmp_path / "a.ipynb", HEAD, command, NET.format(width=3))
        codes.append(find_code(f"{path}:Net"))
    assert codes[0] == codes[1]


def test_an_exported_script_without_marks_of_cells_sets_the_environment(tmp_path: Path) -> None:
    command = "get_ipython().run_line_magic('env', 'NETLET_W=7')\n"
    (tmp_path / "a.py").write_text(HEAD + command + f"W = {READ}" + NET.format(width="W"))
    assert read_width(build(find_net(f"{tmp_path / 'a.py'}:Net").builder, 0)) == 7
