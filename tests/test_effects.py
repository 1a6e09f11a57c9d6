"""A net is loaded with what the statements of its file change, by whatever name or function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import few_fast, write_notebook
from torch import nn

from netlet.errors import NetError
from netlet.nets import build, find_code, find_net

HEAD = """import argparse, configparser, functools, itertools, json, os, pathlib, random, types
import torch
from torch import nn
"""
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(784, {width})
    def forward(self, x):
        return self.f(x.flatten(1))
"""
C = "c = types.SimpleNamespace(w=8)\n"
CONFIG = "class Config:\n    width = 5\n    def set(self, width):\n        self.width = width\n"


def load(folder: Path, text: str, name: str = "Net") -> nn.Module:
    (folder / "mine.py").write_text(HEAD + text)
    return build(find_net(f"{folder / 'mine.py'}:{name}").builder, 0)


def read_width(net: nn.Module) -> int:
    return int(net.get_submodule("f").weight.shape[0])  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    ("before", "width", "expected"),
    [
        ("sizes = [8, 16, 24]\ndel sizes[0]", "sizes[0]", 16),
        ("sizes = [8, 6, 7]\nsizes.sort()", "sizes[0]", 6),
        ("sizes = [8, 6, 7]\nsizes.reverse()", "sizes[0]", 7),
        ("sizes = [8, 6]\nother = sizes\nother[0] = 9", "sizes[0]", 9),
        ("sizes = [8]\nlast = sizes\nlast += [7]", "sizes[-1]", 7),
        ("sizes = [8]\ndef add(n):\n    sizes.append(n)\nadd(7)", "sizes[-1]", 7),
        ("sizes = [8, 6]\nrandom.Random(0).shuffle(sizes)\nsizes.sort()", "sizes[0]", 6),
        ("items = iter([8, 6])\nfirst = next(items)", "next(items)", 6),
        ("c = {'m': {'w': 8}}\nm = c['m']\nm['w'] = 7", "c['m']['w']", 7),
        ("cs = [{'w': 8}]\nfor c in cs:\n    c['w'] *= 2", "cs[0]['w']", 16),
        ("c = {'w': 8}\ndef setup(c):\n    c['w'] = 7\nsetup(c)", "c['w']", 7),
        ("c = types.SimpleNamespace(w=8)\nvars(c).update(w=7)", "c.w", 7),
        ("c = types.SimpleNamespace(w=8)\ndef big(x):\n    x.w = 12\nbig(c)", "c.w", 12),
        (f"{CONFIG}config = Config()\nconfig.set(7)", "config.width", 7),
        (f"{CONFIG}config = Config()\nConfig.set(config, width=7)", "config.width", 7),
        (f"{CONFIG}alias = Config\nalias.width = 7", "Config.width", 7),
        ("W = 8\ndef choose(w):\n    global W\n    W = w\nchoose(7)", "W", 7),
        ("def choose(w):\n    global W\n    W = w\nchoose(7)", "W", 7),
        ("W = 2\nsizes = [W := i for i in (8, 7)]", "W", 7),
        ("match {'w': 7}:\n    case {'w': W}:\n        pass", "W", 7),
        ("match [3, 7]:\n    case [_, *rest]:\n        pass", "rest[0]", 7),
        ("w = 7\nclass C:\n    w = w + 1\n    v = w", "C.v", 8),
        ("V = 7\nW = eval('V + 1')", "W", 8),
        ("V = 7\nW = globals()['V']", "W", 7),
        ("if __name__ == '__main__':\n    W = 3\nelse:\n    W = 7", "W", 7),
        (
            "p = argparse.ArgumentParser()\ng = p.add_argument_group('net')\n"
            "g.add_argument('--w', type=int, default=7)\nargs = p.parse_args([])",
            "args.w",
            7,
        ),
        (
            "c = configparser.ConfigParser()\nc.read_string('[net]\\nw = 7')",
            "c.getint('net', 'w')",
            7,
        ),
        ("weights = torch.zeros(1)\nnn.init.constant_(weights, 7)", "int(weights)", 7),
        ("g = torch.Generator()\ng.manual_seed(3)", "g.initial_seed() + 4", 7),
        # In a function, whatever of it is read later.
        (f"{C}def tune(c):\n    c.w = 7\ntune(c)", "(lambda w: w)(**vars(c))", 7),
        (f"{C}def tune(c):\n    c.w = 7\ntune(c)", "max(vars(c).values())", 7),
        ("c = {'w8': 8}\ndef tune(c):\n    c['w8'] = 7\ntune(c)", "c[f'w{8}']", 7),
        (f"{C}def set_to(c, w):\n    c.w = w\nf = functools.partial(set_to, w=7)\nf(c)", "c.w", 7),
        ("c = {'w': 8}\nf = lambda w: c.update(w=w)\nf(7)", "c['w']", 7),
        (f"{C}def a(c):\n    c.w -= 1\nfor f in (a, a):\n    f(c)", "c.w", 6),
        ("from os import path\npath = {'w': 8}\npath['w'] = 7", "path['w']", 7),
        # In packages.
        ("nn.Narrow = lambda: 7", "nn.Narrow()", 7),
        ("os.environ.setdefault('NETLET_W', '7')\nW = int(os.getenv('NETLET_W', '8'))", "W", 7),
        (
            "import sys\nsys.argv = ['x', '--w', '7']\np = argparse.ArgumentParser()\n"
            "p.add_argument('--w', type=int, default=8)\nargs = p.parse_args()",
            "args.w",
            7,
        ),
    ],
)
def test_a_value_is_what_the_file_has_made_of_it(
    tmp_path: Path, before: str, width: str, expected: int
) -> None:
    net = load(tmp_path, before + NET.format(width=width))
    assert read_width(net) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("for m in net.modules():\n    if isinstance(m, nn.Linear):\n        m.bias = None\n", 70),
        ("for _, m in net.named_children():\n    m.bias = None\n", 70),
        ("head = net[1]\nhead.bias = None\n", 70),
        ("other = net\nother[1] = nn.Linear(10, 2)\n", 22),
        ("def strip(m):\n    for c in m.children():\n        c.bias = None\nstrip(net)\n", 70),
        ("def widen(m, n):\n    m[1] = nn.Linear(10, n)\nwiden(net, 3)\n", 33),
        ("del net[1]\n", 0),
        ("net.set_submodule('1', nn.Linear(10, 1))\n", 11),
        ("for p in net.parameters():\n    p.requires_grad = False\n", 0),
        ("net[1].requires_grad_(False)\n", 0),
        (
            "ls = [m for m in net.modules() if hasattr(m, 'bias')]\nfor m in ls:\n    m.bias = None\n",
            70,
        ),
        ("ps = list(net.parameters())\nfor p in ps[1:]:\n    p.requires_grad = False\n", 70),
        ("nets = {'a': net}\nnets['a'][1].bias = None\n", 70),
        ("a, b = net[0], net[1]\nb.bias = None\n", 70),
        ("ls = [net[1]]\ndef strip(ms):\n    for m in ms:\n        m.bias = None\nstrip(ls)\n", 70),
        ("dict(net.named_modules())['1'].bias = None\n", 70),
        ("for p in itertools.chain(net.parameters()):\n    p.requires_grad = False\n", 0),
        ("def find(m):\n    return [c for c in m]\nfor m in find(net):\n    m.bias = None\n", 70),
        ("def find(m):\n    yield from m\nfor m in find(net):\n    m.bias = None\n", 70),
        ("def swap(m):\n    m._modules['1'] = nn.Linear(10, 2)\nswap(net)\n", 22),
        ("def swap(m, new):\n    m[1] = new()\nswap(net, nn.Flatten)\n", 0),
        ("def swap(m, new):\n    setattr(m, '1', new(10, 2))\nswap(net, nn.Linear)\n", 22),
        (
            "make = functools.partial(nn.Linear, 10)\ndef swap(m):\n    m[1] = make(2)\nswap(net)\n",
            22,
        ),
        ("def strip(m):\n    m[1].bias = None\nstrip(m=net)\n", 70),
        ("net.to(torch.float64)\nnet[1].bias = None\n", 70),
    ],
)
def test_a_net_is_what_the_file_has_made_of_it(tmp_path: Path, change: str, expected: int) -> None:
    net = load(tmp_path, f"net = nn.Sequential(nn.Flatten(), nn.Linear(10, 7))\n{change}", "net")
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == expected


OF_LIST = NET.format(width="sum(sizes)").replace("(self):", "(self, sizes=SIZES):")
BLOCK = "def block(n):\n    return nn.Linear(784, n)\n"
OF_BLOCK = NET.format(width=3).replace("nn.Linear(784, 3)", "block(3)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{BLOCK}{OF_BLOCK}def block(n):\n    assert Net\n    return nn.Linear(784, 9)\n", 9),
        (f"W = 10\n{NET.format(width='W')}W = Net.half = 5\n", 5),
    ],
)
def test_a_statement_that_uses_the_net_may_define_what_it_is_made_of(
    tmp_path: Path, text: str, expected: int
) -> None:
    assert read_width(load(tmp_path, text)) == expected


@pytest.mark.parametrize("change", ["SIZES += [5]", "SIZES.append(5)"])
def test_a_list_that_a_training_fills_is_not_replaced_for_who_has_it(
    tmp_path: Path, change: str
) -> None:
    loop = (
        f"import netlet\nfor _ in range(2):\n    {change}\n    netlet.fit(1, 2, 3)\nSIZES = [8]\n"
    )
    with pytest.raises(NetError, match="this trains a net"):
        load(tmp_path, f"SIZES = [3]\n{OF_LIST}{loop}")


PUT = "def put(c):\n    return lambda f: setattr(c, f.__name__, f) or f\n"


def test_each_definition_has_what_was_put_on_it(tmp_path: Path) -> None:
    helper = "@put(Net)\ndef double(x):\n    return 2 * x\n"
    later = NET.format(width="double(7)")
    path = write_notebook(
        tmp_path / "a.ipynb", HEAD, PUT, NET.format(width=3), "n = Net()", helper, later
    )
    assert read_width(build(find_net(f"{path}:Net[2]").builder, 0)) == 14
    first = find_net(f"{path}:Net[1]").builder()
    assert type(first).double(3) == 6  # type: ignore[attr-defined]


REGISTRY = """
MODELS = {{}}
def register(cls):
    MODELS[cls.__name__] = cls
    return cls
@register
{net}
@register
class Other(Net):
    open("OTHER", "w").close()
def create():
    return MODELS["Net"]()
"""


def test_a_registry_has_its_nets_only_for_who_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = REGISTRY.format(net=NET.format(width=7).strip())
    assert read_width(load(tmp_path, text)) == 7
    assert not Path("OTHER").exists()
    assert read_width(load(tmp_path, text, "create")) == 7
    assert Path("OTHER").exists()
    below = "class Base(nn.Module):\n    known = {}\n    def __init_subclass__(cls):\n"
    below += "        Base.known[cls.__name__] = cls\n"
    own = NET.format(width=7).replace("nn.Module", "Base")
    text = f"{below}{own}def create():\n    return Base.known['Net']()\n"
    assert read_width(load(tmp_path, text, "create")) == 7


def test_parse_args_of_a_file_does_not_read_the_options_of_netlet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["netlet", "check", "mine.py:Net", "--w", "3"])
    text = "p = argparse.ArgumentParser()\np.add_argument('--w', type=int, default=7)\n"
    assert read_width(load(tmp_path, f"{text}w = p.parse_args().w\n{NET.format(width='w')}")) == 7


def test_a_registry_may_be_an_object(tmp_path: Path) -> None:
    registry = (
        "class Registry:\n    def __init__(self):\n        self.items = {}\n"
        "    def register(self, name):\n        def put(cls):\n            self.items[name] = cls\n"
        "            return cls\n        return put\n    def build(self, name):\n"
        "        return self.items[name]()\nMODELS = Registry()\n@MODELS.register('net')"
    )
    text = f"{registry}{NET.format(width=7)}net = MODELS.build('net')\n"
    assert read_width(load(tmp_path, text, "net")) == 7


TRAINS = "\n    open('TRAINED', 'w').close()\n    loss.backward()\n"
SIZES = "sizes = []\nfor i in range(3):\n    sizes.append(7 + i)\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SIZES, f"for i in range(5):{TRAINS}"),
        (SIZES, "total = 0\nfor i in range(10):\n    total += i\n"),
        (SIZES, "for i, x in enumerate(MNIST(download=open('TRAINED', 'w'))):\n    pass\n"),
        (SIZES, f"def train(s):{TRAINS}    s[0] = 3\ntrain(sizes)\n"),
        (SIZES, f"class T:\n  def run(self, s):{TRAINS}    s[0] = 3\nT().run(sizes)\n"),
        (SIZES, "def show(s):\n    print(s)\n    open('TRAINED', 'w')\nshow(sizes)\n"),
        (SIZES, f"def inner():{TRAINS}\ndef fill(s):\n    inner()\n    s[0] = 3\nfill(sizes)\n"),
        (
            SIZES,
            "def get(s):\n    s[0] = open('TRAINED', 'w')\n    Data(download=True)\nget(sizes)\n",
        ),
        (SIZES, "def show(s):\n    s[0] = open('TRAINED', 'w')\n    s(1)\nshow(sizes)\n"),
        (SIZES, "other = sizes\nother = []\nother.append(open('TRAINED', 'w'))\n"),
        (SIZES, "os.remove('mine.py')\n"),
    ],
)
def test_what_changes_nothing_of_a_net_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        read_width(load(tmp_path, before + NET.format(width="sizes[0 * len(os.sep)]") + after)) == 7
    )
    assert Path("mine.py").exists()
    assert not Path("TRAINED").exists()


WORK = """
def test(args, model, loader):
    model.eval()
    with torch.no_grad():
        open("RAN", "w").close()
    args.best = max(args.best, 1)
    args.history.append(1)
def show_weights(m):
    w = m.f.weight
    w = w.detach()
    w -= w.min()
    shown = open("RAN", "w")
class Average:
    def __init__(self, model=None):
        self.saved, self.history = None, []
    def update(self, model):
        self.saved = model.state_dict()
    def restore(self, model):
        open("RAN", "w").close()
        model.load_state_dict(self.saved)
    def eval(self):
        self.history.append(1)
    def log(self, value):
        self.history.append(open("RAN", "w"))
def seed_all(seed):
    torch.manual_seed(seed)
def samples(model):
    seed_all(3)
    open("RAN", "w").close()
    model(1)
def load_data():
    return DataLoader(open("RAN", "w"))
args = types.SimpleNamespace(width=7, best=0, history=[])
args.best = 0
"""


@pytest.mark.parametrize("name", ["Net", "model"])
@pytest.mark.parametrize(
    "statements",
    few_fast(
        [
            "test(args, model, 1)",
            "show_weights(model)",
            "average = Average()\nfor _ in range(2):\n    loss.backward()\n    average.update(model)\n"
            "average.restore(model)",
            "for _ in range(2):\n    model.eval()\n    open('RAN', 'w')",
            "for x in DataLoader(open('RAN', 'w')):\n    model.log(x)",
            "loader = load_data()\nfor x in loader:\n    model.log(x)",
            "for m in model.modules():\n    print(m)\nfor m in [Average()]:\n    m.log(1)",
            "sys.stdout = open('RAN', 'w')\nos.environ['KEY'] = input()",
            "for args.fold in range(2):\n    open('RAN', 'w')\n    loss.backward()",
            "best = None\nfor _ in range(2):\n    loss.backward()\n    best = open('RAN', 'w')\n"
            "model.load_state_dict(best)",
            "def run():\n    loss.backward()\n    return open('RAN', 'w')\naccuracy = run()\n"
            "model.accuracy = accuracy",
            "for _ in range(2):\n    open('RAN', 'w')\n    loss.backward()\n    model.f.bias = None",
            "log = {'model': model}\nlog['size'] = 1\nlog['acc'] = open('RAN', 'w')\n"
            "log.update(file=open('RAN', 'w'))",
            "nets = [Net]\nnets[0] = open('RAN', 'w')\nnets.append(open('RAN', 'w'))",
            "if os.path.exists('a.pt'):\n    model.load_state_dict(torch.load('a.pt'))\nelse:\n"
            "    open('RAN', 'w')\n    loss.backward()",
            "samples(model)\nprint(torch.rand(2))",
        ],
        8,
    ),
)
def test_evaluation_output_and_other_weights_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    draws = "PERM = torch.randperm(784)\nimport sys\nSIZE = len(os.sep) + len(sys.path)\n"
    net = NET.format(width="args.width").replace("x.flatten(1)", "x.flatten(1)[:, PERM]")
    net = net.replace("super().__init__()", "super().__init__()\n        self.size = SIZE")
    text = f"{WORK}{draws}{net}model = Net()\n"
    assert read_width(load(tmp_path, text, name)) == 7
    code = find_code(f"{tmp_path / 'mine.py'}:{name}")
    assert read_width(load(tmp_path, f"{text}{statements}\n", name)) == 7
    assert not Path("RAN").exists()
    assert find_code(f"{tmp_path / 'mine.py'}:{name}") == code


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ("x = next(iter(loader))\nnet[1] = nn.Linear(10, len(x) * 3)", 33),
        ("if len(loader) > 1:\n    net[1] = nn.Linear(10, 3)\n    torch.save(net, 'RAN')", 33),
        ("for ax, p in zip(axes, net.parameters()):\n    ax.set(title=open('RAN', 'w'))", 77),
        ("ps = list(net.parameters())\nps.append(open('RAN', 'w'))\nps.reverse()", 77),
        ("for t, s in zip(teacher, net.parameters()):\n    t.clear(open('RAN', 'w'))", 77),
    ],
)
def test_a_head_for_the_classes_of_the_data_is_one_of_the_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: str, expected: int
) -> None:
    monkeypatch.chdir(tmp_path)
    data = "loader = torch.utils.data.DataLoader(torch.rand(2, 10))\naxes = teacher = []\n"
    net = load(
        tmp_path,
        f"{data}net = nn.Sequential(nn.Flatten(), nn.Linear(10, 7))\n{statements}\n",
        "net",
    )
    assert sum(p.numel() for p in net.parameters()) == expected
    assert Path("RAN").exists() == ("save" in statements)


def test_a_training_notes_its_results_in_imported_settings_without_being_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_settings.py").write_text("config = {'width': 5, 'best': 0}\n")
    test = "def test(net):\n    open('RAN', 'w')\n    net.eval()\n    return 1\n"
    own = NET.format(width="config['width']")
    text = f"from own_settings import config\n{own}{test}"
    change = "config['width'] = 7\n"
    assert read_width(load(tmp_path, f"{text}{change}config['best'] = test(Net())\n")) == 7
    assert not Path("RAN").exists()


@pytest.mark.parametrize(
    "draw",
    [
        "PERM = torch.empty(784).uniform_().argsort()",
        "PERM = nn.init.normal_(torch.empty(784)).argsort()",
        "def draw():\n    return torch.randperm(784)\ndef twice():\n    return draw()\nPERM = twice()",
        "class D:\n    def draw(self):\n        return torch.randperm(784)\nPERM = D().draw()",
        "class D:\n    perm = torch.randperm(784)\nPERM = D.perm",
        "def draw(perm=torch.randperm(784)):\n    return perm\nPERM = draw()",
    ],
)
def test_a_seed_counts_for_whatever_draws(tmp_path: Path, draw: str) -> None:
    text = f"torch.manual_seed(3)\n{draw}\n{NET.format(width='int(PERM[0]) + 1')}"
    names: dict[str, Any] = {}
    exec(HEAD + text, names)
    assert read_width(load(tmp_path, text)) == names["Net"]().f.weight.shape[0]


def test_long_chains_are_read_in_time(tmp_path: Path) -> None:
    chain = (
        "class B:\n    def add(self, x):\n        return self\nclass C(B):\n    def add(self, x):\n"
    )
    chain += f"        return self\nb = B(){'.add(1)' * 40}\n"
    calls = "".join(f"def f{i}(x):\n    return f{i + 1}(x)\n" for i in range(150))
    names = "".join(f"    x{i + 1} = x{i}[0]\n" for i in range(150))
    text = f"{chain}{calls}def g(x0):\n{names}    return x0\n{NET.format(width=7)}"
    assert read_width(load(tmp_path, text)) == 7


@pytest.mark.parametrize("seed", ["torch.manual_seed(3)\n", ""])
def test_random_numbers_of_a_file_are_the_same_each_time(tmp_path: Path, seed: str) -> None:
    text = f"{seed}PERM = torch.randperm(784)\n{NET.format(width='int(PERM[0]) + 1')}"
    found = set()
    for state in range(3):
        torch.manual_seed(state)
        found.add(read_width(load(tmp_path, text)))
    assert len(found) == 1
    if seed:
        torch.manual_seed(3)
        assert found == {int(torch.randperm(784)[0]) + 1}


@pytest.mark.parametrize(
    "values", ["", "W = random.Random(0).randint(3, 9)\n", "W = int(torch.tensor(7))\n"]
)
def test_a_seed_and_settings_are_none_of_a_net_that_draws_no_numbers_of_a_module(
    tmp_path: Path, values: str
) -> None:
    codes = []
    for line in ("", "torch.manual_seed(3)\n", "torch.backends.cudnn.benchmark = True\n"):
        load(tmp_path, f"{line}{values}{NET.format(width='W' if values else 7)}")
        codes.append(find_code(f"{tmp_path / 'mine.py'}:Net"))
    assert codes[0] == codes[1] == codes[2]
