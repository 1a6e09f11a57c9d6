"""A net is recorded as the code of an address only if it was built from that code."""

from __future__ import annotations

import ast
import importlib
import linecache
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from helpers import few_fast, write_notebook
from torch import nn
from torch.optim.swa_utils import AveragedModel

from netlet import build
from netlet.errors import NetError
from netlet.nets import find_net
from netlet.nets.built_nets import describe_constant, evaluate_constant, unwrap_builder
from netlet.nets.first_weights import remember_training
from netlet.nets.name_errors import SELECTED
from netlet.nets.running_code import find_running_code
from netlet.nets.used_functions import find_used

Run = Callable[[str], types.ModuleType]
NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.drop = nn.Dropout({built})
    def forward(self, x):
        return self.drop(self.fc(x.flatten(1))) * {called}
"""
BUILT = "n = 0.1\n" + NET.format(built="n", called="1")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a cell in a kernel and returns that."""
    kernel = types.ModuleType("kernel")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "kernel", kernel)
    count = iter(range(100))

    def run(cell: str) -> types.ModuleType:
        name = f"<cell {next(count)} of {tmp_path}>"
        lines = cell.splitlines(keepends=True)
        monkeypatch.setitem(linecache.cache, name, (len(cell), None, lines, name))
        exec(compile(cell, name, "exec"), vars(kernel))
        return kernel

    return run


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Return a function that writes code into ``mine.py`` and imports it."""

    def make(code: str) -> types.ModuleType:
        Path("mine.py").write_text(code)
        importlib.invalidate_caches()
        return importlib.import_module("mine")

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield make
    sys.modules.pop("mine", None)


AGAIN = ["for n in range(3): pass", "n = 3", "def g():\n    global n\n    n = 3\ng()"]
AGAIN += ["with open('n.txt', 'w'):\n    n = 3"]


@pytest.mark.parametrize("builds", [True, False])
@pytest.mark.parametrize("cell", AGAIN)
def test_a_constant_that_is_set_again_after_the_net_was_built_is_accepted(
    run: Run, cell: str, builds: bool
) -> None:
    net = build(run(BUILT).Net, 0) if builds else run(BUILT).Net()
    run(cell)
    write_notebook(Path("a.ipynb"), BUILT, "net = build(Net, 0)", cell, "fit(net)")
    assert find_running_code(net, "a.ipynb:Net")
    remember_training(net)  # then, too
    assert find_running_code(net, "a.ipynb:Net")


@pytest.mark.parametrize("cell", AGAIN)
def test_a_net_that_runs_with_another_constant_than_it_was_saved_with_is_refused(
    run: Run, cell: str
) -> None:
    text = "n = 0.1\n" + NET.format(built="0.5", called="n")
    net = build(run(text).Net, 0)
    now = run(cell).n
    write_notebook(Path("a.ipynb"), text, "net = build(Net, 0)", cell, "fit(net)")
    with pytest.raises(NetError) as error:
        find_running_code(net, "a.ipynb:Net")
    assert str(error.value) == (
        f"a.ipynb: n is not {now} there, as it is here; save the notebook, run all of it again, "
        "and train; if other code sets n, too, set it by one assignment only"
    )


def test_a_net_that_was_built_from_another_constant_is_refused(run: Run) -> None:
    net = build(run(BUILT.replace("0.1", "0.2")).Net, 0)
    run("n = 0.1")  # as it was saved then, without building the net again
    write_notebook(Path("a.ipynb"), BUILT, "net = build(Net, 0)")
    with pytest.raises(NetError, match=r"n is not 0\.2 there, as it was when the net was built; "):
        find_running_code(net, "a.ipynb:Net")


def test_names_of_attributes_and_of_other_modules_are_no_constants(run: Run) -> None:
    text = "scale = 2\n" + NET.format(built="0.5", called="self.scale") + "    scale = 1\n"
    net = build(run(text).Net, 0)
    run("scale = 3")
    write_notebook(Path("a.ipynb"), text, "net = build(Net, 0)", "scale = 3")
    assert find_running_code(net, "a.ipynb:Net")


def test_what_a_constant_was_computed_from_may_be_set_again(run: Run) -> None:
    text = "n = 2\nrates = [n / 4]\n" + NET.format(built="rates[0]", called="1")
    net = build(run(text).Net, 0)
    run("n = 7")
    write_notebook(Path("a.ipynb"), text, "net = build(Net, 0)", "n = 7")
    assert find_running_code(net, "a.ipynb:Net")
    write_notebook(Path("a.ipynb"), text, "net = build(Net, 0)")
    with pytest.raises(NetError, match="n is not 7 there"):
        find_running_code(net, "a.ipynb:Net")


def test_methods_that_decorators_add_are_those_of_their_classes(run: Run) -> None:
    add = "def add(cls):\n    def put(f):\n        cls.forward = f\n        return f\n    return put\n"
    own = NET.format(built="0.5", called="1")
    of_class = own[: own.index("    def forward")]
    method = "@add({})\ndef forward(self, x):\n    return self.fc(x.flatten(1)) * {}\n"
    cells = [add, of_class, method.format("Net", 2), of_class.replace("class Net", "class Other")]
    cells += [method.format("Other", 3)]
    kernels = [run(cell) for cell in cells]
    net = kernels[-1].Net()
    write_notebook(Path("a.ipynb"), *cells)
    assert find_running_code(net, "a.ipynb:Net")
    run(method.format("Net", 4))  # and not saved
    with pytest.raises(NetError, match=r"has another forward than the one that runs here"):
        find_running_code(net, "a.ipynb:Net")


@pytest.mark.parametrize("name", ["mine.py:make", "mine:make"])
def test_constants_are_those_of_the_module_of_the_function_that_builds(
    run: Run, module: Run, name: str
) -> None:
    made = module(
        "from torch import nn\nWIDTH = 10\ndef make():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, WIDTH))\n"
    )
    kernel = run("from mine import make\nWIDTH = 80\ndef make_twice(): return make()\n")
    for net in build(kernel.make, 0), build(lambda: made.make(), 0), build(kernel.make_twice, 0):
        assert find_running_code(net, name)
    made.WIDTH = 11
    with pytest.raises(NetError) as error:
        find_running_code(build(kernel.make, 0), "mine.py:make")
    assert str(error.value) == (
        "mine.py: WIDTH is not 11 there, as it is here; start Python, or the kernel of the "
        "notebook, again and train; if other code sets WIDTH, too, set it by one assignment only"
    )


def test_constants_of_a_notebook_are_those_of_its_kernel(run: Run, module: Run) -> None:
    module("WIDTH = 5\n" + NET.format(built="0", called="1").replace("(self)", "(self, width)"))
    cells = "from mine import Net\nWIDTH = 10\n", "net = build(lambda: Net(WIDTH), 0)\n"
    run("from netlet import build")
    net = [run(cell) for cell in cells][-1].net
    write_notebook(Path("a.ipynb"), *cells)
    assert find_running_code(net, "a.ipynb:net")
    write_notebook(Path("a.ipynb"), cells[0].replace("10", "11"), cells[1])
    with pytest.raises(NetError, match="WIDTH is not 10 there"):
        find_running_code(net, "a.ipynb:net")


@pytest.mark.parametrize(
    ("ran", "saved"),
    [
        ("[0.1, 8]", "[0.1, 16]"),
        ("[0.1, 8]", "(0.1, 8)"),
        ("(0.1,)", "(0.1, 0.1)"),
        ("(0.1, [1])", "(0.1, [True])"),
        ("{0: 0.1, 'a': [8]}", "{0: 0.1, 'a': [9]}"),
        ("[0.1, None]", "[0.1, 0]"),
        ("[0.1, {1, 2}]", "[0.1, {1, 3}]"),
    ],
)
def test_constants_of_several_values_are_compared(run: Run, ran: str, saved: str) -> None:
    text = "n = {}\n" + NET.format(built="n[0]", called="1").replace("{", "{{").replace("}", "}}")
    net = build(run(text.format(ran)).Net, 0)
    write_notebook(Path("a.ipynb"), text.format(ran))
    assert find_running_code(net, "a.ipynb:Net")
    write_notebook(Path("a.ipynb"), text.format(saved))
    with pytest.raises(NetError, match=r"a\.ipynb: n is not .* there, as it is here"):
        find_running_code(net, "a.ipynb:Net")


def test_none_is_a_constant(run: Run) -> None:
    text = "n = None\n" + NET.format(built="n or 0", called="1")
    net = build(run(text).Net, 0)
    write_notebook(Path("a.ipynb"), text.replace("n = None", "n = 0.5"))
    with pytest.raises(NetError, match=r"a\.ipynb: n is not None there"):
        find_running_code(net, "a.ipynb:Net")


@pytest.mark.parametrize(
    "change",
    [
        "n.append(1)",
        "n[1:] = [1]",
        "del n[1]",
        "m = n\nm.sort()",
        "random.shuffle(n)",
        "n, m = n, 1",
    ],
)
def test_a_list_that_is_changed_is_not_compared(run: Run, change: str) -> None:
    text = f"import random\nn = [0.1, 0]\n{change}\n" + NET.format(built="n[0]", called="1")
    net = build(run(text).Net, 0)
    run("n.append(1)")
    write_notebook(Path("a.ipynb"), text)
    assert find_running_code(net, "a.ipynb:Net")


def test_what_a_star_import_may_have_set_again_is_not_compared(module: Run) -> None:
    Path("mine_settings.py").write_text("n = 0.2\ndef get(n=2): return n\n")
    text = "n = 0.1\ndef get(n=1): return n\nfrom mine_settings import *\nm = 1\n"
    text += NET.format(built="n", called="m + 0 * get()")
    made = module(text)
    sys.modules.pop("mine_settings")
    assert made.n == 0.2
    assert find_running_code(build(made.Net, 0), "mine.py:Net")
    made.m = 3  # set after the import
    with pytest.raises(NetError, match="m is not 3 there"):
        find_running_code(build(made.Net, 0), "mine.py:Net")


def test_a_tuple_with_a_list_that_is_changed_is_not_compared(run: Run) -> None:
    text = "n = ([0.1, 0],)\nn[0].append(1)\n" + NET.format(built="n[0][0]", called="1")
    net = build(run(text).Net, 0)
    write_notebook(Path("a.ipynb"), text)
    assert find_running_code(net, "a.ipynb:Net")


def test_constants_that_are_assigned_together_are_compared(run: Run) -> None:
    text = "n, m = 0.1, 1\n" + NET.format(built="n", called="m")
    net = build(run(text).Net, 0)
    write_notebook(Path("a.ipynb"), text)
    assert find_running_code(net, "a.ipynb:Net")
    write_notebook(Path("a.ipynb"), text.replace("0.1, 1", "0.1, 2"))
    with pytest.raises(NetError, match="m is not 1 there"):
        find_running_code(net, "a.ipynb:Net")


def test_the_texts_of_constants_differ_as_the_constants_do() -> None:
    class Level(int):
        pass

    values = [1, 1.0, True, "1", None, (1,), [1], {1}, frozenset({1}), {1: 1}, Level(1), 0.0, -0.0]
    assert len({describe_constant(value) for value in values}) == len(values)
    assert describe_constant({3, 1, 2}) == describe_constant({1, 2, 3}) == "{1, 2, 3}"
    start = time.process_time()
    with pytest.raises(ValueError, match="large"):
        describe_constant([[[0] * 900] * 900] * 900)
    assert time.process_time() - start < 0.3
    endless: list[object] = []
    endless.append(endless)
    for value in endless, [object()], torch.zeros(1), "x" * 20_000, [0] * 2_000:
        with pytest.raises(ValueError, match=r"large|long"):
            describe_constant(value)


def test_arithmetic_is_done_with_numbers_that_are_not_large() -> None:
    def evaluate(text: str) -> object:
        return evaluate_constant(ast.parse(text, mode="eval").body)

    assert evaluate("[2 ** 64 - 1, -7 // 2]") == [2**64 - 1, -4]
    for text in (
        "2 ** 65",
        "10 ** 10 ** 9",
        "2 ** -65",
        "(2 ** 64 + 1) * 2",
        "[1] * 10 ** 9",
        "1 / 0",
    ):
        with pytest.raises(ValueError, match=r"large|no arithmetic"):
            evaluate(text)


def test_constants_are_not_those_of_what_netlet_has_loaded_from_the_file(
    module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "from torch import nn\nn = 10\ndef make():\n    return nn.Linear(784, n)\n"
    loaded = types.ModuleType(f"{SELECTED}1")
    loaded.__file__ = str(Path("mine.py").resolve())
    exec(text, vars(loaded))
    monkeypatch.setitem(sys.modules, loaded.__name__, loaded)
    made = module(text)
    made.n = 11
    with pytest.raises(NetError, match="n is not 11 there"):
        find_running_code(made.make(), "mine.py:make")


def test_a_block_that_is_defined_again_after_the_net_was_built_is_accepted(run: Run) -> None:
    block = "def block():\n    return 0.1\n"
    text = block + NET.format(built="block()", called="1")
    again = block.replace("0.1", "0.2")
    net = build(run(text).Net, 0)
    kernel = run(again)
    write_notebook(Path("a.ipynb"), text, "net = build(Net, 0)", again, "fit(net)")
    assert find_running_code(net, "a.ipynb:Net")
    with pytest.raises(NetError, match="has another block than the one that runs here"):
        find_running_code(build(kernel.Net, 0), "a.ipynb:Net")


DATACLASS = "import dataclasses\n@dataclasses.dataclass\nclass Settings:\n    p: float = {}\n"
ENUM = "import enum\nclass Settings(enum.Enum):\n    P = {}\n"
TUPLE = "import typing\nclass Settings(typing.NamedTuple):\n    p: float = {}\n"
BASES = "class A:\n    p = 0.1\nclass B:\n    p = 0.2\nclass Settings({}):\n    pass\n"
TRY = "try:\n    from nowhere import f\nexcept ImportError:\n    def f(x):\n        return x.{}()\n"
PARTIAL = (
    "from functools import partial\nf = partial(nn.functional.leaky_relu, negative_slope={})\n"
)
DECORATED = """
def scaled(cls):
    class Scaled(cls):
        def forward(self, x):
            return super().forward(x) * {}
    return Scaled
@scaled
"""
DEFAULT = "p = {}\n" + NET.format(built="p", called="1").replace("(self)", "(self, p=p)")
VALUES = [
    ("f = nn.functional.{}\n", "0", "f(x)", "relu", "tanh"),
    ("f = nn.{}()\n", "0", "f(x)", "ReLU", "Tanh"),
    (PARTIAL, "0", "f(x)", "0.1", "0.2"),
]


@pytest.mark.parametrize(
    ("before", "built", "called", "ran", "saved"),
    few_fast(
        [
            (DATACLASS, "Settings().p", "1", "0.1", "0.2"),
            (ENUM, "Settings.P.value", "1", "0.1", "0.2"),
            (TUPLE, "Settings().p", "1", "0.1", "0.2"),
            ("class Settings:\n    p = {}\n", "Settings.p", "1", "0.1", "0.2"),
            (BASES, "Settings.p", "1", "A", "B"),
            ("f = lambda x: x.{}()\n", "0", "f(x)", "relu", "tanh"),
            ("if True:\n    def f(x):\n        return x.{}()\n", "0", "f(x)", "relu", "tanh"),
            (TRY, "0", "f(x)", "relu", "tanh"),
            *VALUES,
            ("n = 1 / {}\n", "n", "1", "10", "2"),
            ("n = [2 * {}, -1]\n", "n[0]", "1", "0.1", "0.2"),
            (DECORATED, "0", "1", "2", "3"),
        ],
        6,
    ),
)
def test_whatever_a_net_is_built_from_in_other_cells_is_compared(
    run: Run, before: str, built: str, called: str, ran: str, saved: str
) -> None:
    def write(value: str) -> list[str]:
        first, net = before.format(value), NET.format(built=built, called=called)
        if before is DECORATED:
            first, net = "", first + net.replace("\nfrom torch import nn", "")
        return [
            f"from torch import nn\n{first}",
            net,
            "from netlet import build\nnet = build(Net, 0)",
        ]

    def run_all(value: str) -> nn.Module:
        found: nn.Module = [run(cell) for cell in write(value)][-1].net
        return found

    net = run_all(ran)
    write_notebook(Path("a.ipynb"), *write(ran))
    assert find_running_code(net, "a.ipynb:Net")
    assert find_running_code(run_all(ran), "a.ipynb:Net")
    write_notebook(Path("a.ipynb"), *write(saved))
    with pytest.raises(NetError, match=r"a\.ipynb: .* (than the one that runs|as it is) here"):
        find_running_code(net, "a.ipynb:Net")
    again = run_all(saved)
    assert find_running_code(again, "a.ipynb:Net")
    write_notebook(Path("a.ipynb"), *write(ran))
    if (before, built, called, ran, saved) not in VALUES:  # of these, Python keeps no cell
        with pytest.raises(NetError, match=r"a\.ipynb: "):
            find_running_code(again, "a.ipynb:Net")


@pytest.mark.parametrize(
    "cell",
    few_fast(
        [
            "import dataclasses\n@dataclasses.dataclass(frozen=True, slots=True)\nclass C:\n"
            "    p: float = 0.1\n    widths: list = dataclasses.field(default_factory=list)\n",
            "from enum import Enum, auto\nclass C(Enum):\n    p = auto()\n    q = 2\n    r = 2\n",
            "import typing\nclass C(typing.NamedTuple):\n    p: float = 1 / 10\n    q: int = 2 * 3\n",
            "class C:\n    p = 0.1\nC.p = 0.2\n",
            "class C:\n    p = 0.1\n    q = p * 2\n",
            "Base = nn.Module\nclass C(Base):\n    p = 0.1\n",
            "class C: p = 0.1\nclass C(C): q = 0.1\n",
            "def tagged(cls):\n    cls.p = 0.3\n    return cls\n@tagged\nclass C:\n    p = 0.1\n",
            "C = lambda: 1\nD = C\n",
            "C, D = (lambda: 1), (lambda: 2)\n",
            "import functools\nC = functools.lru_cache(lambda: 1)\n",
            "import functools\nC = functools.partial(lambda x: x, x=1)\n",
            "C = [lambda: 1, lambda: 2]\n",
            "if len('a') > 1:\n    def C(): return 1\nelse:\n    def C(): return 2\n",
            "for k in range(2):\n    C = lambda: k\n",
            "def C(a=1): return a\nif C:\n    def C(a=2): return a\n",
            "class C:\n    def f(self, a=1): return a\n    if f:\n        def f(self, a=2): return a\n",
            "def C(a, b=[], *, c=-1, d=2 ** 3, e=(1 / 3,), f=None):\n    b.append(1)\n    return a\nC(1)\n",
            "k = 1\ndef C(a=k):\n    return a\nk = 2\n",
            "class C:\n    k = 1\n    def __init__(self, a=k):\n        self.a = a\nk = 3\n",
        ],
        8,
    ),
)
@pytest.mark.parametrize("times", [1, 2])
def test_cells_that_were_run_as_they_are_saved_are_accepted(
    run: Run, cell: str, times: int
) -> None:
    texts = f"from torch import nn\n{cell}", NET.format(built="0 if C else 1", called="1")
    for text in texts * times:
        kernel = run(text)
    write_notebook(Path("a.ipynb"), *texts)
    for net in build(kernel.Net, 0), kernel.Net():
        assert find_running_code(net, "a.ipynb:Net")


@pytest.mark.parametrize("file", ["class f:\n    p = 0.1\n", "f = len\n"])
@pytest.mark.parametrize("command", ["%run mine.py\n", "from mine import f\n"])
def test_what_cells_get_from_a_file_is_not_what_a_cell_had_before(
    run: Run, file: str, command: str
) -> None:
    Path("mine.py").write_text(file)
    net = NET.format(built="0 if f else 1", called="1")
    for cell in "class f:\n    p = 0.2\n", "f = print\n", net:
        kernel = run(cell)
    exec(compile(file, "mine.py", "exec"), vars(kernel))
    write_notebook(Path("a.ipynb"), command, net)
    assert find_running_code(build(kernel.Net, 0), "a.ipynb:Net")


def test_a_file_that_sets_a_constant_again_before_it_builds_the_net_is_refused(
    run: Run,
) -> None:
    called = "n = 0.1\n" + NET.format(built="0.5", called="n")
    texts = BUILT, called, BUILT.replace("Dropout(n)", "Dropout(n * 1)")
    for text in texts:
        net = build(run(text).Net, 0)
        write_notebook(Path("a.ipynb"), text, "net = build(Net, 0)", "n = 0.2", "build(Net, 0)")
        with pytest.raises(NetError, match=r"a\.ipynb: n is not 0\.1 there, as it "):
            find_running_code(net, "a.ipynb:Net")
        if text is not called:  # the variable is built before
            assert find_running_code(net, "a.ipynb:net")
        assert find_running_code(build(run("n = 0.2").Net, 0), "a.ipynb:Net")


def test_a_default_argument_is_compared(run: Run, module: Run) -> None:
    kernel = run(DEFAULT.format("0.1"))
    write_notebook(Path("a.ipynb"), DEFAULT.format("0.1"))
    assert find_running_code(build(kernel.Net, 0), "a.ipynb:Net")
    run("p = 0.2")  # without the cell of the class
    write_notebook(Path("a.ipynb"), DEFAULT.format("0.2"))
    for net in build(kernel.Net, 0), kernel.Net():
        with pytest.raises(NetError) as error:
            find_running_code(net, "a.ipynb:Net")
        assert str(error.value) == (
            "a.ipynb: the default of p in Net.__init__ is not 0.1 there, as it is here; save the "
            "notebook, run all of it again, and train"
        )
    text = NET.format(built="p", called="1").replace("(self)", "(self, *, p=0.1)")
    net = build(module(text).Net, 0)
    Path("mine.py").write_text(text.replace("0.1", "0.2"))
    with pytest.raises(NetError, match=r"mine\.py: the default of p in Net\.__init__ is not 0\.1"):
        find_running_code(net, "mine.py:Net")


@pytest.mark.parametrize(
    "cell",
    [
        "def keep(into, x):\n    into.append(1)\n    return x\ndef use(x):\n    return keep(n, x)\n",
        "def use(x, into=n):\n    into[1:] = [1]\n    return x\n",
        "def use(x, *, into=n):\n    into.append(1)\n    return x\n",
        "from mine import keep\ndef use(x):\n    return keep(n, x)\n",
        "class Log:\n    def __init__(self, into):\n        self.into = into\n    def __call__(self, x):\n"
        "        self.into.append(1)\n        return x\nuse = Log(n)\n",
        "def register(into, name):\n    def put(f):\n        into.append(f)\n        return f\n    return put\n"
        "@register(n, 'use')\ndef use(x):\n    return x\n",
    ],
)
def test_a_list_that_is_changed_by_another_name_is_not_compared(
    run: Run, module: Run, cell: str
) -> None:
    module("def keep(into, x):\n    into.append(1)\n    return x\n")
    texts = "n = []\n", cell, NET.format(built="0", called="use(1) + 0 * len(n)")
    kernel = [run(text) for text in texts][-1]
    net = build(kernel.Net, 0)
    net(torch.zeros(1, 784))
    kernel.n.append(1)
    write_notebook(Path("a.ipynb"), *texts)
    assert find_running_code(net, "a.ipynb:Net")


def test_a_list_that_is_passed_to_functions_is_compared(run: Run) -> None:
    text = (
        "n = [0.1, 1]\ndef first(of):\n    return of[0]\nclass Part:\n"
        "    def __init__(self, of):\n        self.of = of\n"
        + NET.format(built="first(Part(n).of)", called="1")
    )
    net = build(run(text).Net, 0)
    write_notebook(Path("a.ipynb"), text)
    assert find_running_code(net, "a.ipynb:Net")
    write_notebook(Path("a.ipynb"), text.replace("0.1, 1", "0.2, 1"))
    with pytest.raises(NetError, match="n is not"):
        find_running_code(net, "a.ipynb:Net")


def test_a_class_that_a_decorator_makes_is_that_of_its_name(run: Run) -> None:
    text = DECORATED.format(2) + NET.format(built="0", called="1").replace(
        "\nfrom torch import nn", ""
    )
    text = f"from torch import nn\n{text}"
    kernel = run(text)
    assert kernel.Net.__name__ == "Scaled"
    write_notebook(Path("a.ipynb"), text)
    for net in build(kernel.Net, 0), kernel.Net(), build(lambda: kernel.Net(), 0):
        assert find_running_code(net, "a.ipynb:Net")
    write_notebook(Path("a.ipynb"), text.replace("Linear(784, 10)", "Linear(784, 10, bias=False)"))
    with pytest.raises(NetError, match="has another Net than the one that runs here"):
        find_running_code(net, "a.ipynb:Net")


def test_a_net_of_classes_of_torch_is_no_class_of_a_file(module: Run) -> None:
    made = module(
        TWO.replace("Dropout(0)", "Dropout(0.0)")
        + "class New(nn.Module):\n    def __new__(cls):\n        return make()\n"
    )
    layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    for net in build(lambda: nn.Sequential(*layers), 0), layers:
        with pytest.raises(NetError) as error:
            find_running_code(net, "mine.py:Net")
        assert str(error.value) == (
            "mine.py: Net is not the net that is trained, which is Sequential; write a function "
            "that builds it, and pass its name, as in net_name='mine.py:FUNCTION'"
        )
        for name in "make", "variable":
            assert find_running_code(net, f"mine.py:{name}")
    assert find_running_code(build(made.New, 0), "mine.py:New")
    assert find_running_code(torch.jit.script(made.Net()), "mine.py:Net")
    assert find_running_code(torch.fx.symbolic_trace(made.Net()), "mine.py:Net")


def test_a_module_that_does_not_exist_or_lacks_the_name_is_refused(module: Run) -> None:
    made = module(TWO + "globals()['Known'] = Net\n")
    net = build(made.Net, 0)
    assert find_running_code(net, "mine:Known")
    Path("mine.py").write_text(TWO)
    assert find_running_code(net, "mine:Net")
    with pytest.raises(NetError, match=r"no 'Nett' in .*mine\.py; did you mean 'Net'"):
        find_running_code(net, "mine:Nett")
    with pytest.raises(NetError) as error:
        find_running_code(net, "nowhere.mine:Net")
    assert str(error.value) == "nowhere.mine: no such module; correct net_name='nowhere.mine:Net'"


def test_a_net_that_was_built_without_netlet_gets_the_remedy_that_keeps_its_blocks(
    run: Run,
) -> None:
    block = "def block():\n    return 0.1\n"
    text, again = block + NET.format(built="block()", called="1"), block.replace("0.1", "0.2")
    kernel = run(text)
    direct, built = kernel.Net(), build(kernel.Net, 0)
    run(again)
    write_notebook(Path("a.ipynb"), text, "net = Net()", again)
    assert find_running_code(built, "a.ipynb:Net")
    with pytest.raises(NetError, match="if block is defined again since, build the net with netl"):
        find_running_code(direct, "a.ipynb:Net")


TWO = (
    NET.format(built="0", called="1")
    + """
class Same(Net):
    pass
def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
def other():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Tanh())
def wide():
    return nn.Sequential(make(), nn.Linear(10, 10))
variable = Net()
"""
)


@pytest.mark.parametrize("kind", ["notebook", "module", "loaded"])
@pytest.mark.parametrize(
    ("builder", "name", "trained"),
    [
        ("Net", "Net", ""),
        ("Same", "Same", ""),
        ("make", "make", ""),
        ("Net", "Same", "Net"),
        ("Same", "Net", "Same"),
        ("make", "other", "make"),
        ("make", "Net", "make"),
        ("Net", "make", "Net"),
    ],
)
def test_an_address_of_another_net_is_refused(
    run: Run, module: Run, kind: str, builder: str, name: str, trained: str
) -> None:
    if kind == "notebook":
        place = "a.ipynb"
        write_notebook(Path(place), TWO)
        net = build(getattr(run(TWO), builder), 0)
    else:
        place = "mine.py"
        net = build(getattr(module(TWO), builder), 0)
    if kind == "loaded":
        net = build(find_net(f"mine.py:{builder}").builder, 0)
    if not trained:
        assert find_running_code(net, f"{place}:{name}")
        return
    with pytest.raises(NetError) as error:
        find_running_code(net, f"{place}:{name}")
    which = "which was loaded from mine.py:" if kind == "loaded" else "which is "
    assert str(error.value) == (
        f"{place}: {name} is not the net that is trained, {which}{trained}; pass "
        f"net_name='{place}:{trained}'"
    )
    if kind == "module":
        with pytest.raises(NetError, match=f"{name} is not the net that is trained, which is "):
            find_running_code(net, f"mine:{name}")


@pytest.mark.parametrize("name", ["variable", "wide"])
def test_a_variable_and_a_function_that_calls_the_builder_are_accepted(
    module: Run, name: str
) -> None:
    made = module(TWO)
    assert find_running_code(build(made.make, 0), f"mine.py:{name}")


def test_subclasses_that_no_file_defines_and_direct_calls_are_accepted(module: Run) -> None:
    made = module(TWO)
    dynamic = type("Parametrized", (made.Net,), {"__module__": "mine"})
    for net in dynamic(), build(lambda: made.Net(), 0), made.variable:
        assert find_running_code(net, "mine.py:Net")
    for net in made.make(), build(lambda: made.make(), 0):
        assert find_running_code(net, "mine.py:make")


def test_a_net_of_another_file_is_refused(run: Run, module: Run) -> None:
    module(TWO)
    kernel = run(
        "from mine import Net, nn\nclass Other(nn.Linear):\n    pass\nclass More(Net):\n"
        "    def forward(self, x):\n        return -super().forward(x)\n"
        "def make():\n    class Inner(More):\n        pass\n    return Inner()\n"
    )
    for net in kernel.Other(784, 10), kernel.More():
        name = type(net).__name__
        with pytest.raises(NetError, match=rf"which is {name}; pass net_name='FILE:{name}'"):
            find_running_code(net, "mine.py:Net")
    with pytest.raises(NetError, match="which is Inner, of a class inside a function; write a "):
        find_running_code(kernel.make(), "mine.py:Same")


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        AveragedModel,
        torch.compile,
        lambda net: nn.DataParallel(torch.compile(net)),
    ],
)
def test_the_net_in_a_wrapper_is_the_one_that_is_trained(
    module: Run, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    made = module(TWO)
    for net in build(lambda: wrap(made.Net()), 0), wrap(made.Net()), wrap(build(made.Net, 0)):
        assert find_running_code(net, "mine.py:Net")
        with pytest.raises(NetError) as error:
            find_running_code(net, "mine.py:Same")
        assert str(error.value) == (
            "mine.py: Same is not the net that is trained, which is Net; pass "
            "net_name='mine.py:Net'"
        )
    assert find_running_code(build(lambda: wrap(made.make()), 0), "mine.py:make")


def test_a_net_of_an_installed_package_is_refused_with_its_address(
    module: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "installed_nets.py").write_text(NET.format(built="0", called="1"))
    monkeypatch.syspath_prepend(str(packages))
    net = importlib.import_module("installed_nets").Net()
    module("from torch import nn\nclass Base(nn.Module):\n    pass\n")
    with pytest.raises(NetError, match="which is Net; pass net_name='installed_nets:Net'"):
        find_running_code(net, "mine.py:Base")
    assert find_running_code(net, "installed_nets:Net")
    monkeypatch.delitem(sys.modules, "installed_nets")


@pytest.mark.parametrize("place", ["a.py", "a.ipynb"])
def test_a_file_that_was_edited_since_netlet_loaded_a_net_from_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def write(text: str) -> None:
        if place == "a.py":
            Path(place).write_text(text)
        else:
            write_notebook(Path(place), text)

    monkeypatch.chdir(tmp_path)
    write(TWO)
    nets = build(find_net(f"{place}:Net").builder, 0), find_net(f"{place}:variable").builder()
    nets = (*nets, nn.Sequential(build(find_net(f"{place}:Net").builder)))
    names = "Net", "variable", "unknown"
    write(TWO.replace("(784, 10)\n", "(784, 10)  # classes\n") + "unknown = 5\n")
    for net, name in zip(nets, names, strict=True):
        assert find_running_code(net, f"{place}:{name}")
    write(TWO.replace("* 1", "* 2") + "unknown = 5\n")
    for net, name in zip(nets, ("Net", "variable", "Net"), strict=True):
        with pytest.raises(NetError) as error:
            find_running_code(net, f"{place}:{names[0]}")
        assert str(error.value) == (
            f"{place}: has another {name} than the one that was loaded from there; load it again "
            "with netlet.nets.find_net, and train"
        )
    again = build(find_net(f"{place}:Net").builder, 0)
    assert find_running_code(again, f"{place}:Net")
    Path("b.py").write_text("import netlet\nnet = netlet.nets.find_net('a.py:Net').builder()\n")
    assert find_running_code(again, "b.py:net")


def test_what_a_loaded_net_imports_is_compared_also_after_another_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lib").mkdir()
    Path("lib", "acts.py").write_text("def act(x):\n    return x.relu()\n")
    Path("a.py").write_text(
        "import sys\nsys.path.append('lib')\nfrom acts import act\n"
        + NET.format(built="0", called="act(x)")
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    net = build(find_net("a.py:Net").builder, 0)
    assert find_running_code(net, "a.py:Net")
    find_net("a.py:Net")
    os.utime("lib/acts.py", (0, 0))
    Path("lib", "acts.py").write_text("def act(x):\n    return x.tanh()\n")
    with pytest.raises(NetError, match=r"acts\.py: has another act than the one"):
        find_running_code(net, "a.py:Net")


ODD = """
import functools
from torch import nn
class AttrDict(dict):
    __getattr__ = dict.__getitem__
class Proxy:
    def _refuse(self, *args):
        raise RuntimeError("not loaded")
    __getattr__ = __eq__ = __hash__ = __len__ = __iter__ = __bool__ = __repr__ = _refuse
    __class__ = property(_refuse)
    def __call__(self, x):
        return x
class Names(dict):
    values = items = __iter__ = __len__ = Proxy._refuse
class Kind(type):
    def __getattribute__(cls, name):
        raise RuntimeError("not asked")
class Odd(metaclass=Kind):
    pass
config, proxy, names, shared = AttrDict(width=16), Proxy(), Names(one=len), functools.partial(Proxy())
class Net(nn.Module):
    config, proxy, names, odd = config, proxy, names, Odd
    def __init__(self):
        super().__init__()
        self.fc, self.shared = nn.Linear(784, 10), (Odd, names, shared)
    def forward(self, x):
        return self.fc(proxy(x).flatten(1)) * config.width
class Maker:
    __getattr__ = Proxy._refuse
    def __init__(self, of):
        self.__wrapped__ = of
    def __call__(self):
        return self.__wrapped__()
make = Maker(Net)
"""


def test_objects_that_raise_whatever_they_are_asked_are_only_looked_at(
    run: Run, module: Run
) -> None:
    for made, place in (run(ODD), "a.ipynb"), (module(ODD), "mine.py"):
        write_notebook(Path("a.ipynb"), ODD)
        assert unwrap_builder(made.make) is made.Net
        assert unwrap_builder(made.proxy) is None
        for net in build(made.Net, 0), made.Net(), build(lambda: made.make(), 0):  # noqa: B023
            assert find_running_code(net, f"{place}:Net")


def test_a_dict_that_another_thread_changes_is_read_as_a_copy(run: Run) -> None:
    kernel = run("held = {'a': len, 'b': abs}\ndef use():\n    return held\n")
    used = find_used(kernel.use)
    assert next(used) in (len, abs)
    del kernel.held["a"]
    kernel.held.update(b=max, c=min)
    assert sum(one in (len, abs) for one in used) == 1
