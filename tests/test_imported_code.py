"""A net that was imported from a file which has been edited since is not recorded as its code."""

from __future__ import annotations

import dis
import functools
import gc
import importlib
import importlib.util
import subprocess
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import few_fast
from IPython.extensions.autoreload import superreload
from IPython.extensions.deduperreload import deduperreload
from torch import nn

from netlet import build
from netlet.errors import NetError
from netlet.nets import imported_code, used_functions
from netlet.nets.first_weights import remember_training
from netlet.nets.imported_code import find_edited, find_edited_since, list_imported
from netlet.nets.running_code import find_running_code
from netlet.nets.used_functions import is_of_library

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
        ("def act(x):\n", 'def act(x):\n    """Rectify."""\n'),
        ("def __init__(self):\n", 'def __init__(self):\n        "Build it."\n'),
        ("x.relu()", "x . relu()  # the same"),
        ("class Net(", "class Unused:\n    def forward(self):\n        return 5\nclass Net("),
    ],
)
def test_code_that_does_the_same_is_not_edited(net: nn.Module, old: str, new: str) -> None:
    path = Path("imported_net.py")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text)
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


def test_a_file_that_is_gone_is_not_compared(net: nn.Module) -> None:
    Path("imported_helpers.py").unlink()
    assert find_edited(net) is None


@pytest.fixture
def module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], types.ModuleType]]:
    """Return a function that writes code into a file and imports it."""

    def make(code: str) -> types.ModuleType:
        Path("imported_module.py").write_text(
            f"import functools, torch\nfrom torch import nn\n{code}"
        )
        importlib.invalidate_caches()
        return importlib.import_module("imported_module")

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "imported_module", raising=False)
    yield make
    sys.modules.pop("imported_module", None)


def edit_module(old: str, new: str) -> None:
    path = Path("imported_module.py")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


NET_WITH = "class Net(nn.Module):\n    def forward(self, x):\n        return {}\n"
ACT = "def act(x):\n    return x.relu()\n"


@pytest.mark.parametrize(
    ("code", "edited"),
    [
        (ACT + NET_WITH.format("torch.cat([act(one) for one in (x,)])"), "act"),
        (ACT + NET_WITH.format("(lambda y: act(y))(x)"), "act"),
        (NET_WITH.format("[getattr(one, 'relu')() for one in (x,)][0]"), "Net.forward"),
        (NET_WITH.format("getattr(x, 'relu')()"), "Net.forward"),
        (ACT + "ACTS = {'act': act}\n" + NET_WITH.format("ACTS['act'](x)"), "act"),
        (ACT + "ACTS = [act]\n" + NET_WITH.format("ACTS[0](x)"), "act"),
        (ACT + "SAME = functools.partial(act)\n" + NET_WITH.format("SAME(x)"), "act"),
        (ACT + NET_WITH.replace("x)", "x, do=act)").format("do(x)"), "act"),
        (
            "class Act:\n    @functools.cached_property\n    def act(self):\n"
            "        return torch.relu\n" + NET_WITH.format("Act().act(x)"),
            "Act.act",
        ),
        (
            "class Act:\n    def __call__(self, x):\n        return x.relu()\nACT = Act()\n"
            + NET_WITH.format("ACT(x)"),
            "Act.__call__",
        ),
        (
            "def checked(f):\n    @functools.wraps(f)\n    def call(self, x):\n"
            "        return f(self, x.relu())\n    return call\n"
            + NET_WITH.format("x").replace("    def", "    @checked\n    def"),
            "checked.<locals>.call",
        ),
        (
            "def make():\n    def act(x):\n        return x.relu()\n"
            "    class Net(nn.Module):\n        def forward(self, x):\n            return act(x)\n"
            "    return Net\nNet = make()\n",
            "make.<locals>.act",
        ),
    ],
)
def test_whatever_a_net_runs_is_compared(
    module: Callable[[str], types.ModuleType], code: str, edited: str
) -> None:
    net = module(code).Net()
    assert find_edited(net) is None
    edit_module("relu", "tanh")
    assert find_edited(net) == (Path("imported_module.py").resolve(), edited)


def test_an_edited_function_that_only_the_names_of_attributes_have_is_not_used(
    module: Callable[[str], types.ModuleType],
) -> None:
    net = module(ACT + NET_WITH.format("self.act(x)")).Net()
    edit_module("relu", "tanh")
    assert find_edited(net) is None


@pytest.mark.parametrize(
    ("call", "edited"),
    [
        ("imported_helpers.shrink(x.act(1))", False),
        ("imported_helpers.act(x)", True),
        ("(lambda one: one.act(x))(imported_helpers)", True),
        ("[imported_helpers.act(one) for one in (x,)][0]", True),
        ("imported_helpers.shrink((lambda one: one.act(x))(imported_helpers))", True),
    ],
)
def test_an_attribute_of_a_tensor_is_no_function_of_a_module(
    module: Callable[[str], types.ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    edited: bool,
) -> None:
    monkeypatch.delitem(sys.modules, "imported_helpers", raising=False)
    Path("imported_helpers.py").write_text(f"{HELPERS[: HELPERS.index('class')]}{ACT}")
    net = module(f"import imported_helpers\n{NET_WITH.format(call)}").Net()
    monkeypatch.delitem(sys.modules, "imported_helpers")
    assert find_edited(net) is None
    path = Path("imported_helpers.py")
    path.write_text(path.read_text().replace("relu", "tanh"))
    assert find_edited(net) == ((path.resolve(), "act") if edited else None)


def test_a_lambda_is_compared_with_the_one_of_its_name(
    module: Callable[[str], types.ModuleType],
) -> None:
    lambdas = "act = lambda x: x.relu()\nother = lambda x: x.tanh()\n"
    net = module(lambdas + NET_WITH.format("act(x)")).Net()
    assert find_edited(net) is None
    edit_module("other", "act = lambda x: x.relu()  # again\nother")
    assert find_edited(net) is None
    edit_module("relu", "tanh")
    assert find_edited(net) == (Path("imported_module.py").resolve(), "act")


def test_a_lambda_of_another_file_is_not_compared_with_one_of_the_name_here(
    module: Callable[[str], types.ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "imported_helpers", raising=False)
    Path("imported_helpers.py").write_text("act = lambda x: x.relu()\nother = lambda x: x.tanh()\n")
    net = module(f"from imported_helpers import act as other\n{NET_WITH.format('other(x)')}").Net()
    assert find_edited(net) is None


def test_functions_of_one_name_are_not_compared_with_those_of_before(
    module: Callable[[str], types.ModuleType],
) -> None:
    code = "f, g = (lambda x: x), (lambda x: -x)\ndef make(x):\n    return f(x) if x else g(x)\n"
    made = module(code)
    before = list_imported(made.make)
    assert [name for _, name in before] == ["make"]
    assert find_edited_since(before, made.make) is None
    # Instructions that do nothing move the places that others jump to.
    moved = {
        place: code.replace(co_code=bytes([dis.opmap["NOP"], 0]) + code.co_code)
        for place, code in before.items()
    }
    assert find_edited_since(moved, made.make) is None


def test_a_function_is_looked_at_once_in_a_net_of_many_parts(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[types.FunctionType] = []

    def look(function: types.FunctionType) -> bool:
        seen.append(function)
        return is_of_library(function)

    monkeypatch.setattr(used_functions, "is_of_library", look)
    assert find_edited(nn.Sequential(*[type(net)() for _ in range(5)])) is None
    assert len(seen) == len(set(seen))
    assert nn.Module.__init__ in seen


def test_what_cells_import_is_compared(module: Callable[[str], types.ModuleType]) -> None:
    kernel = types.ModuleType("kernel")
    vars(kernel).update(vars(module(ACT)), __name__="kernel")
    for name in ("__file__", "__loader__", "__spec__"):
        delattr(kernel, name)
    cell = f"from torch import nn\n{NET_WITH.format('act(x)')}"
    exec(compile(cell, "<cell 1>", "exec"), vars(kernel))
    net = kernel.Net()
    assert find_edited(net) is None
    edit_module("relu", "tanh")
    found = find_edited(net)
    assert found is not None
    assert found[1] == "act"


def test_the_function_that_has_built_a_net_is_compared(
    module: Callable[[str], types.ModuleType],
) -> None:
    made = module("def make():\n    return nn.Sequential(nn.Flatten(), nn.ReLU())\n")
    nets = build(made.make, 0), build(functools.partial(made.make)), made.make()
    for net in nets:
        assert find_running_code(net, "imported_module.py:make")
    edit_module("ReLU", "Tanh")
    for net in nets:
        with pytest.raises(NetError, match=r"imported_module\.py: has another make than the one"):
            find_running_code(net, "imported_module.py:make")


RELOADED = """
def block():
    "Two layers."
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
def shrink(x):
    return x / 255
class Net(nn.Module):
    scale = 1
    def __init__(self):
        super().__init__()
        self.block = block()
        self.act = self.make()
    def make(self):
        def act(x):
            return torch.relu(
                x,
            )
        return act
    @property
    def width(self):
        return torch.tensor(10)
    @staticmethod
    def twice(x):
        return torch.mul(x, 2)
    def forward(self, x):
        "Run it."
        return self.act(self.block(self.twice(shrink(x)))) * self.scale
"""


@pytest.fixture(params=["patched", "reloaded"])
def autoreload(
    module: Callable[[str], types.ModuleType], request: pytest.FixtureRequest
) -> Callable[[str, str], None]:
    """Return a function that edits a module, which IPython's autoreload brings up to date."""
    made = module(RELOADED)
    path = Path("imported_module.py")
    reloader = deduperreload.DeduperReloader()

    def edit(old: str, new: str) -> None:
        reloader.source_by_modname[made.__name__] = path.read_text()
        edit_module(old, new)
        importlib.invalidate_caches()
        # By time and length Python knows whether the code that it keeps is current.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        if request.param == "patched":
            assert reloader.maybe_reload_module(made)
        else:
            superreload(made)

    return edit


@pytest.mark.parametrize(
    ("old", "new", "name"),
    few_fast(
        [
            ("nn.Linear(784, 10)", "nn.LazyLinear(10)", "block"),
            ('"Two', '"Some', ""),
            ("torch.relu", "torch.tanh", "make.<locals>.act"),
            ("tensor(10)", "tensor(11)", "Net.width"),
            ("torch.mul", "torch.add", "Net.twice"),
            ("return self.act(self.block", "return (self.block", "Net.forward"),
            ('"Run it."', '"""Run it.\n\n        Twice."""', ""),
            ("scale = 1", "scale = 2", ""),
            ("super().__init__()", "super().__init__()\n        torch.rand(1)", "Net.__init__"),
        ],
        2,
    ),
)
def test_what_ipython_has_brought_up_to_date_is_that_of_the_file(
    autoreload: Callable[[str, str], None], old: str, new: str, name: str
) -> None:
    made = sys.modules["imported_module"]
    for _ in range(2):
        autoreload(old, new)
        assert find_edited(made.Net(), made.Net) is None
        assert find_running_code(made.Net(), "imported_module.py:Net")
        autoreload(new, old)
        assert find_edited(made.Net(), made.Net) is None
    autoreload(old, new)
    net = made.Net()
    edit_module(new, old)
    found = find_edited(net, made.Net)
    assert (found is not None) == bool(name)
    if found is not None:
        assert found[0] == Path("imported_module.py").resolve()
        assert found[1] in (name, f"Net.{name}")  # of a function in a patched method, less is known


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("nn.Linear(784, 10)", "nn.Linear(784, 10, bias=False)", "block"),
        ("super().__init__()", "super().__init__()\n        self.pool = None", r"Net\.__init__"),
        ('"Two', '"Some', ""),
    ],
)
def test_a_net_that_was_built_before_autoreload_took_up_an_edit_is_refused(
    autoreload: Callable[[str, str], None], old: str, new: str, name: str
) -> None:
    made, address = sys.modules["imported_module"], "imported_module.py:Net"
    before = build(made.Net, 0)
    autoreload(old, new)
    if name:
        with pytest.raises(NetError, match=f"{name} was edited since the net was built; build"):
            find_running_code(before, address)
    else:
        assert find_running_code(before, address)
    assert find_running_code(build(made.Net, 0), address)


def test_a_net_does_not_live_longer_because_its_builder_is_known() -> None:
    class Maker:
        def __call__(self) -> nn.Module:
            self.net = nn.Linear(784, 10)
            return self.net

    net = build(Maker(), 0)
    remember_training(net)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


CHECKED = """
import types
def checked(function):
    def forward(self, x):
        assert x is not None
        return x
    code = forward.__code__.replace(co_qualname=function.__qualname__)
    return types.FunctionType(code, globals(), function.__name__)
class Net(nn.Module):
    @checked
    def forward(self, x):
        return x
"""


def test_a_function_that_a_decorator_compiles_is_that_of_a_file_older_than_the_process(
    module: Callable[[str], types.ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = module(CHECKED).Net()
    assert find_edited(net) is not None  # it may have been edited since Python started
    monkeypatch.setattr(imported_code, "_started", time.time() + 5)
    assert find_edited(net) is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux says when it started")
@pytest.mark.slow
def test_the_start_of_a_process_is_known_or_too_early() -> None:
    code = "import time; time.sleep(0.5); from netlet.nets.imported_code import _started as s;"
    before = time.time()
    printed = subprocess.run(
        [sys.executable, "-c", f"{code} print(s)"], capture_output=True, text=True, check=True
    ).stdout
    assert before - 0.1 <= float(printed) <= before + 0.4
