"""A net is not recorded with a definition that its notebook replaces before the net uses it."""

from __future__ import annotations

import linecache
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import few_fast, write_notebook
from torch import nn

from netlet import build
from netlet.errors import NetError
from netlet.nets.running_code import find_running_code

Run = Callable[[str], types.ModuleType]
START = (
    "import functools\nimport torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
)
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.own = {built}
    def forward(self, x):
        return self.fc(x.flatten(1)) + 0 * {called}
"""
ADD = "def add(cls):\n    def put(f):\n        cls.forward = f\n        return f\n    return put\n"
PLUS = (
    "def plus(n):\n    def wrap(f):\n        def more(x):\n            return f(x) + {}\n        "
)
PLUS += "return more\n    return wrap\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a cell in a kernel and returns that."""
    kernel = types.ModuleType("kernel")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "kernel", kernel)

    def run(cell: str) -> types.ModuleType:
        name = f"<cell {abs(hash(cell))} of {tmp_path}>"  # of the same text, IPython has one
        lines = cell.splitlines(keepends=True)
        monkeypatch.setitem(linecache.cache, name, (len(cell), None, lines, name))
        exec(compile(cell, name, "exec"), vars(kernel))
        return kernel

    return run


DEFINED = "def use(x):\n    return x * {}\n"
TWICE = [
    # the earlier definition, the later one, what is built, what is called
    ("use = nn.LeakyReLU(0.2)\n", "use = nn.LeakyReLU()\n", "use", "1"),
    (DEFINED.format(1), DEFINED.format(2), "use(1)", "1"),
    (DEFINED.format(1), DEFINED.format(2), "1", "use(1)"),
    (DEFINED.format(1), DEFINED.format(2), "[use]", "self.own[0](1)"),
    ("use = lambda x: x * 1\n", "use = lambda x: x * 2\n", "use(1)", "1"),
    ("use = lambda x: x * 1\n", "use = lambda x: x * 2\n", "use", "self.own(1)"),
    (DEFINED.format(1), "use = F.relu\n", "1", "use(x).sum()"),
    ("use = F.relu\n", DEFINED.format(2), "1", "use(x).sum()"),
    ("use = F.relu\n", "use = F.gelu\n", "use", "1"),
    ("use = torch.tanh\n", "use = torch.sin\n", "1", "use(x).sum()"),
    ("from torch.nn.functional import relu as use\n", "use = F.gelu\n", "use", "1"),
    ("use = nn.ReLU\n", "use = nn.GELU\n", "use()", "1"),
    ("use = nn.ReLU()\n", "use = nn.GELU()\n", "use", "1"),
    ("use = nn.ReLU()\n", "use = nn.GELU()\n", "1", "use(x).sum()"),
    ("use = nn.LeakyReLU(0.1)\n", "use = nn.LeakyReLU(0.2)\n", "1", "use(x).sum()"),
    ("use = nn.GELU('tanh')\n", "use = nn.GELU()\n", "1", "use(x).sum()"),
    ("use = nn.MaxPool2d(2, 1)\n", "use = nn.MaxPool2d(2)\n", "use", "1"),
    ("use = None\n", "use = nn.ReLU()\n", "1", "1 if use else 0"),
    (
        "use = functools.partial(nn.Linear, bias=False)\n",
        "use = functools.partial(nn.Linear)\n",
        "use(2, 2)",
        "1",
    ),
    (
        "use = functools.partial(nn.LeakyReLU, 0.1)\n",
        "use = functools.partial(nn.LeakyReLU, 0.2)\n",
        "use()",
        "1",
    ),
    (
        "use = functools.partial(F.leaky_relu, negative_slope=0.1)\n",
        "use = functools.partial(F.leaky_relu, negative_slope=0.2)\n",
        "use",
        "1",
    ),
    ("import torch.nn.init as use\n", "import torch.nn.functional as use\n", "use", "1"),
    (
        "class use(nn.Module):\n    def forward(self, x): return x\n",
        "class use(nn.Module):\n    def forward(self, x): return -x\n",
        "use()",
        "1",
    ),
    (
        "class use:\n    @staticmethod\n    def f(): return 1\n",
        "class use:\n    @staticmethod\n    def f(): return 2\n",
        "use.f()",
        "1",
    ),
    (
        "def use(n):\n    class Part(nn.Module):\n        a = 1\n        def forward(self, x): return x\n"
        "    return Part()\n",
        "def use(n):\n    class Part(nn.Module):\n        a = 2\n        def forward(self, x): return x\n"
        "    return Part()\n",
        "use(1)",
        "1",
    ),
]


@pytest.mark.parametrize("name", ["Net", "make", "net"])
@pytest.mark.parametrize(("first", "second", "built", "called"), few_fast(TWICE, 8))
def test_what_an_earlier_cell_defines_that_was_run_again_is_refused(
    run: Run, first: str, second: str, built: str, called: str, name: str
) -> None:
    net = NET.format(built=built, called=called) + "def make(): return Net()\n"
    cells = [START, first, net, second, "from netlet import build\nnet = build(make, 0)"]
    for cell in cells:
        kernel = run(cell)
    write_notebook(Path("a.ipynb"), *cells)
    assert find_running_code(kernel.net, f"a.ipynb:{name}")
    assert find_running_code(build(kernel.Net, 0), "a.ipynb:Net")
    run(first)
    kernel = run(cells[-1])
    for one in (kernel.net, *([kernel.Net()] if name == "Net" else [])):
        with pytest.raises(NetError, match=r"a\.ipynb: .*(use|Net).* runs here"):
            find_running_code(one, f"a.ipynb:{name}")
    run(second)
    assert find_running_code(run(cells[-1]).net, f"a.ipynb:{name}")


METHOD = "@add(Net)\ndef forward(self, x):\n    return self.fc(x.flatten(1)) * {}\n"
OWN = NET.format(built="1", called="1")
DATA = "import dataclasses\n@dataclasses.dataclass\nclass Config:\n    width: int = {}\n"
PUT = [
    [OWN, ADD, METHOD.format(1), METHOD.format(2)],
    [
        OWN,
        "def f(self, x): return 1\ndef g(self, x): return 2\n",
        "Net.forward = f",
        "Net.forward = g",
    ],
    [
        PLUS.format(1),
        "@plus(1)\ndef use(x):\n    return 1\n",
        PLUS.format(2),
        NET.format(built="1", called="use(1)"),
    ],
    [
        DEFINED.format(1),
        NET.format(built="again(1)", called="1"),
        DEFINED.format(2),
        "again = use\n",
    ],
    [DATA.format(1), NET.format(built="Config().width", called="1"), "", DATA.format(2)],
    [
        "class Base(nn.Module):\n    def show(self): return 1\n",
        "class Base(nn.Module):\n    def show(self): return 2\n",
        NET.replace("nn.Module", "Base").format(built="1", called="1"),
        "",
    ],
    [
        "use = float('0.1')",
        NET.format(built="nn.Dropout(use)", called="1"),
        "use = 0.5",
        "use = 0.2",
    ],
]
ORDERS = [(0, 1, 2, 3, 2), (0, 1, 2, 3, 2), (0, 2, 1, 3), (0, 1, 2, 3, 0, 3), (0, 1, 2, 3, 0)]
ORDERS += [(0, 1, 0, 2), (0, 1, 2, 3, 2)]


@pytest.mark.parametrize(("cells", "order"), [*zip(PUT, ORDERS, strict=True)])
def test_what_classes_and_other_functions_hold_of_an_earlier_cell_is_refused(
    run: Run, cells: list[str], order: tuple[int, ...]
) -> None:
    write_notebook(Path("a.ipynb"), START, *cells)
    for cell in START, *cells:
        kernel = run(cell)
    for _ in range(2):
        for net in build(kernel.Net, 0), kernel.Net():
            assert find_running_code(net, "a.ipynb:Net")
        for cell in cells:  # all again, in order
            kernel = run(cell)
    for place in order:
        run(cells[place])
    with pytest.raises(NetError, match=r"a\.ipynb: .* runs here"):
        find_running_code(build(kernel.Net, 0), "a.ipynb:Net")


def test_the_message_names_the_cells_and_what_to_do(run: Run) -> None:
    cells = [
        START,
        "use = nn.ReLU()",
        NET.format(built="1", called="use(x).sum()"),
        "use = nn.ELU()",
    ]
    write_notebook(Path("a.ipynb"), *cells)
    for cell in *cells, cells[1]:
        kernel = run(cell)
    with pytest.raises(NetError) as error:
        find_running_code(build(kernel.Net, 0), "a.ipynb:Net")
    assert str(error.value) == (
        "a.ipynb: defines use more than once: that of cell 2 runs here, but loading the net uses "
        "that of cell 4; give them different names, or run cell 4 again, and build and train the "
        "net again"
    )


USES = NET.format(built="use(1)", called="1")
CALLS = NET.format(built="1", called="use(x).sum()")
IN_ORDER = [
    [
        "use = nn.ReLU",
        "use = nn.GELU",
        NET.format(built="use()", called="1"),
        "net = Net()",
        "use = nn.ReLU",
    ],
    [DEFINED.format(1), USES, "net = build(Net, 0)", DEFINED.format(2), "fit(net)"],
    [
        DEFINED.format(1),
        "two = use(1)",
        DEFINED.format(2),
        NET.format(built="two", called="use(1)"),
        "net = build(Net, 0)",
    ],
    [
        "use = nn.ReLU()",
        NET.format(built="use", called="1"),
        "net = build(Net, 0)",
        "use = nn.GELU()",
    ],
    [
        "use = nn.ReLU()",
        "Act = use",
        "use = nn.GELU()",
        NET.format(built="use", called="Act(x).sum()"),
        "net = build(Net, 0)",
    ],
    ["use = F.relu", "use = plus(use)", CALLS, "net = build(Net, 0)"],
    [DEFINED.format(1), "use = plus(use)", CALLS, "net = build(Net, 0)"],
    [DEFINED.format(1), "if use(1):\n    def use(x): return x\n", CALLS, "net = build(Net, 0)"],
    [
        "try:\n    use = F.missing\nexcept AttributeError:\n    use = F.relu\n",
        CALLS,
        "net = build(Net, 0)",
    ],
    ["for use in (F.relu, F.gelu):\n    pass", CALLS, "net = build(Net, 0)"],
    ["use = F.gelu", "for use in (F.gelu, F.relu):\n    pass", CALLS, "net = build(Net, 0)"],
    [
        DEFINED.format(1) + "# one\n",
        DEFINED.format(1).replace(":\n", ":\n    '''Two.'''\n"),
        CALLS,
        "net = build(Net, 0)",
        DEFINED.format(1) + "# one\n",
    ],
    [
        "def use(x): return x",
        "from torch.nn.functional import relu as use",
        CALLS,
        "net = build(Net, 0)",
    ],
    [
        "use = [nn.ReLU()]",
        "use = [nn.GELU()]",
        NET.format(built="use[0]", called="1"),
        "net = build(Net, 0)",
    ],
    ["use = nn.ReLU()", OWN, "net = build(Net, 0)\nnet.own = use", "use = nn.GELU()"],
    [
        "import torch.nn.functional as use",
        "import torch.nn.functional as use",
        NET.format(built="use", called="1"),
        "net = build(Net, 0)",
    ],
    [
        ADD,
        OWN,
        METHOD.format(1),
        OWN.replace("Net", "Other"),
        METHOD.format(2).replace("Net", "Other"),
        "net = build(Net, 0)",
    ],
    [
        "@functools.singledispatch\ndef use(x): return x\n@use.register\ndef _(x: int): return 1\n@use.register\ndef _(x: str): return 2\n",
        USES,
        "net = build(Net, 0)",
    ],
    [
        "REG = {}\ndef reg(f):\n    REG[f(0)] = f\n    return f\n@reg\ndef use(x): return 0\n",
        "@reg\ndef use(x): return 1\n",
        NET.format(built="REG[0]", called="1"),
        "net = build(Net, 0)",
    ],
    [
        DEFINED.format(1),
        "class Block(nn.Module):\n    def forward(self, x): return use(x)\n",
        "stem = Block()",
        "class Block(nn.Module):\n    def forward(self, x): return -x\n",
        NET.format(built="nn.Sequential(stem, Block())", called="1"),
        "net = build(Net, 0)",
    ],
    [
        "class Base(nn.Module):\n    a = 1\n    def show(self): return 1\n",
        "class Part(Base): pass\n",
        "class Base(nn.Module):\n    def show(self): return 2\n",
        NET.replace("nn.Module", "Base").format(built="Part()", called="1"),
        "net = build(Net, 0)",
    ],
    [
        "use = None",
        "def init():\n    global use\n    use = F.relu\ninit()",
        CALLS,
        "net = build(Net, 0)",
    ],
    [
        "use = lambda x: x",
        "use = lambda x: -x",
        NET.format(built="[use, lambda x: x]", called="1"),
        "net = build(Net, 0)",
    ],
    [
        DEFINED.format(1),
        USES,
        "first = build(Net, 0)",
        DEFINED.format(2),
        USES,
        "net = build(Net, 0)",
    ],
    ["use = nn.Dropout(0.1)", "use = nn.Dropout(0.2)", CALLS, "net = build(Net, 0)\nuse.p = 0.3"],
    ["use = nn.ELU(2.0)", "use = nn.ELU(inplace=True)", CALLS, "net = build(Net, 0)\nuse.eval()"],
    [
        "use = functools.partial(F.elu, alpha=2)",
        "old = functools.partial(F.elu, alpha=2)",
        "use = functools.partial(old)",
        CALLS,
        "net = build(Net, 0)",
    ],
    [
        "use = 2",
        NET.format(built="use", called="1"),
        "use = 4",
        "net = Net()",
        "use = 2",
    ],
    [
        "use = 3.141592653589793",
        "from math import pi as use",
        NET.format(built="use", called="1"),
        "net = build(Net, 0)",
    ],
    ["Act = nn.ReLU", "use = Act()", "Act = nn.GELU", "use2 = Act()", CALLS, "net = build(Net, 0)"],
]


@pytest.mark.parametrize("cells", few_fast(IN_ORDER, 6))
def test_notebooks_that_were_run_in_order_are_accepted(run: Run, cells: list[str]) -> None:
    start = START + "from netlet import build\nfit = print\nplus = lambda f: lambda x: f(x)\n"
    write_notebook(Path("a.ipynb"), start, *cells)
    for _ in range(2):
        for cell in start, *cells:
            kernel = run(cell)
        for name in "Net", "net":
            assert find_running_code(kernel.net, f"a.ipynb:{name}")


def test_layers_are_compared_after_torchdynamo_has_replaced_their_init(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = nn.Module.__init__

    def patched_init(self: nn.Module) -> None:
        init(self)

    monkeypatch.setattr(nn.Module, "__init__", patched_init)
    cells = ["use = nn.ReLU()", CALLS, "use = nn.Tanh()", "net = build(Net, 0)"]
    start = f"{START}from netlet import build\n"
    write_notebook(Path("a.ipynb"), start, *cells)
    for cell in start, *cells:
        kernel = run(cell)
    assert find_running_code(kernel.net, "a.ipynb:Net")


def test_comparing_layers_draws_no_random_numbers(run: Run) -> None:
    cells = [START, "use = nn.Linear(9, 9)", CALLS, "use = nn.Linear(9, 9, bias=False)"]
    write_notebook(Path("a.ipynb"), *cells)
    for cell in *cells, cells[1]:
        kernel = run(cell)
    net, state = kernel.Net(), torch.get_rng_state()
    assert find_running_code(net, "a.ipynb:Net")
    assert torch.equal(torch.get_rng_state(), state)
