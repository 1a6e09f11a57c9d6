"""A net that was imported from a file which has been edited since is not recorded as its code."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from torch import nn

from netlet.errors import NetError
from netlet.nets.imported_code import find_edited
from netlet.nets.running_code import find_running_code

HELPERS = """
def shrink(x, by=255):
    return x / by
class Block(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""
NET = '''
import functools
import torch
import imported_helpers
from torch import nn
from imported_helpers import Block
def act(x):
    return x.relu()
def logged(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)
    return call
class Base(nn.Module):
    """A base."""
    def head(self, x):
        return [one for one in (act(x),)][0]
class Net(Base):
    """A net."""
    modes = {"a", "b", "c"}
    def __init__(self):
        super().__init__()
        self.block = Block()
    @property
    def width(self):
        return 10
    @staticmethod
    def twice(x):
        return 2 * x
    @torch.no_grad()
    def predict(self, x):
        return self(x).argmax(1)
    @logged
    def forward(self, x):
        if x.dim() in {2, 3}:
            raise ValueError("images")
        return self.head(self.block(imported_helpers.shrink(self.twice(x))))
'''


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    (tmp_path / "imported_helpers.py").write_text(f"from torch import nn\n{HELPERS}")
    (tmp_path / "imported_net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("imported_helpers", "imported_net"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    found: nn.Module = importlib.import_module("imported_net").Net()
    return found


@pytest.mark.parametrize(
    ("file", "old", "new", "name"),
    [
        ("imported_net.py", "x.relu()", "x.tanh()", "act"),
        ("imported_net.py", "2 * x", "3 * x", "Net.twice"),
        ("imported_net.py", "2 * x", "2.0 * x", "Net.twice"),
        ("imported_net.py", "return 10", "return 11", "Net.width"),
        ("imported_net.py", "argmax(1)", "argmax(-1)", "Net.predict"),
        ("imported_net.py", "[0]", "[-1]", "Base.head"),
        ("imported_net.py", "{2, 3}", "{2, 5}", "Net.forward"),
        ("imported_net.py", "class Base(nn", "class Other(nn", "Base.head"),
        ("imported_net.py", "class Net(", "class Net(  # a half-written line", ""),
        ("imported_helpers.py", "x / by", "x * by", "shrink"),
        ("imported_helpers.py", "(784, 10)", "(784, 10, bias=False)", "Block.__init__"),
    ],
)
def test_an_edited_file_is_named(net: nn.Module, file: str, old: str, new: str, name: str) -> None:
    path = Path(file)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(NetError, match=f"{file}: has another {name}.* was imported; start Python"):
        find_running_code(net, "imported_net.py:Net")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("class Net(", "# A comment.\n\n\nclass Net("),
        ('"""A net."""', '"""Another docstring."""'),
        ("x.relu()", "x . relu()  # the same"),
        ("class Net(", "class Unused:\n    def forward(self):\n        return 5\nclass Net("),
    ],
)
def test_code_that_does_the_same_is_not_edited(net: nn.Module, old: str, new: str) -> None:
    path = Path("imported_net.py")
    path.write_text(path.read_text().replace(old, new, 1) if old else path.read_text())
    assert find_edited(net) is None
    assert find_running_code(net, "imported_net.py:Net")
    assert find_running_code(net, "imported_net:Net")


def test_code_that_is_reloaded_is_that_of_the_file(net: nn.Module) -> None:
    path = Path("imported_net.py")
    # Of another length: by time and length Python knows whether the code that it keeps is current.
    path.write_text(path.read_text().replace("2 * x", "30 * x"))
    assert find_edited(net) is not None
    importlib.invalidate_caches()
    again = importlib.reload(sys.modules["imported_net"]).Net()
    assert find_edited(again) is None


def test_a_class_that_ipython_has_loaded_again_is_not_compared(net: nn.Module) -> None:
    path = Path("imported_net.py")
    path.write_text(path.read_text().replace("2 * x", "30 * x"))
    loaded = path.read_text().replace("class Net(", "class __autoreload_class__(")
    module = sys.modules["imported_net"]
    exec(compile(loaded, str(path), "exec"), vars(module))
    again = vars(module)["__autoreload_class__"]()
    assert find_edited(again) is None
    assert find_edited(net) is not None


def test_a_file_that_is_gone_is_not_compared(net: nn.Module) -> None:
    Path("imported_helpers.py").unlink()
    assert find_edited(net) is None
