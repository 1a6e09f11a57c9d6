"""A file whose cells train a net is loaded without training it."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from helpers import write_notebook

from netlet.errors import NetError
from netlet.nets import build, find_code, find_net
from netlet.nets.addresses import list_addresses

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(784, WIDTH)
    def forward(self, x):
        return self.f(x.flatten(1))
"""
SWEEP = "from engine import run\nfor WIDTH in (20, 30):\n    open('TRAINED', 'w')\n    run(Net())\n"
FIT = """
import netlet
for WIDTH in (20, 30):
    netlet.fit(Net(), netlet.data.load("scribble"), netlet.recipes.QUICK)
"""


def load(tmp_path: Path, text: str, name: str = "Net") -> int:
    """Return the width of the net in a file."""
    (tmp_path / "mine.py").write_text(f"from torch import nn\n{text}")
    net = build(find_net(f"{tmp_path / 'mine.py'}:{name}").builder, 0)
    return int(net.get_submodule("f").out_features)  # type: ignore[arg-type]


def test_a_loop_that_uses_the_net_does_not_set_what_the_net_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path, f"WIDTH = 10\n{NET}{SWEEP}") == 10
    assert not Path("TRAINED").exists()
    # Others may well set it, such as one that looks for the widest net below a limit.
    size = "sum(p.numel() for p in Net().parameters())"
    for change in (
        f"for WIDTH in range(20, 0, -1):\n    if {size} < 8000:\n        break\n",
        f"while {size} > 8000:\n    WIDTH = WIDTH - 1\n",
        f"if {size} > 8000:\n    WIDTH = 10\n",
        f"def count():\n    return {size}\nWIDTH = WIDTH * 8000 // count()\n",
    ):
        assert load(tmp_path, f"WIDTH = 20\n{NET}{change}") == 10
    assert load(tmp_path, f"WIDTH = 10\nfor _ in range(2):\n    WIDTH += 1\n{NET}") == 12
    assert load(tmp_path, f"WIDTH = 10\n{NET}for WIDTH in (20, 30):\n    print(WIDTH)\n") == 30


def test_a_training_that_a_net_depends_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetError, match=r"line 12: this trains a net, but a net is only loaded"):
        load(tmp_path, f"{NET}{FIT}")


OF_HALF = NET.replace(
    "        self.f =", "        self.half = getattr(type(self), 'half', 1)\n        self.f ="
)
LOOP = "import netlet\nfor WIDTH in (20, 30):\n    net = Net()\n    netlet.fit(net, 1, 2)\n"


@pytest.mark.parametrize("name", ["Net", "net"])
@pytest.mark.parametrize(
    "loop", [LOOP, LOOP.replace("for WIDTH in (20, 30):", "if Net:\n    WIDTH = 20")]
)
def test_a_training_whose_values_are_set_again_is_left_out(
    tmp_path: Path, name: str, loop: str
) -> None:
    assert load(tmp_path, f"{NET}{loop}WIDTH = 8\nnet = Net()\n", name) == 8
    for last in (
        "WIDTH += 8\nnet = Net()\n",
        "WIDTH = WIDTH + 8\nnet = Net()\n",
        "if True:\n    WIDTH = 8\n",
        "half = WIDTH // 2\nWIDTH = 8\nNet.half = half\nnet = Net()\n",
        "def make(): return Net()\nNet.half = make()\nWIDTH = 8\nnet = Net()\n",
    ):
        with pytest.raises(NetError, match="this trains a net"):
            load(tmp_path, OF_HALF + loop + last, name)


def test_a_loop_that_a_default_or_a_class_reads_counts(tmp_path: Path) -> None:
    reads = "class Net(nn.Module):\n    scale = WIDTH\n    def __init__(self, width=WIDTH):"
    net = NET.replace("class Net(nn.Module):\n    def __init__(self):", reads)
    net = net.replace("784, WIDTH", "784, width")
    loop = "for WIDTH in (20, 30):\n    pass\n"
    assert load(tmp_path, f"WIDTH = 10\n{loop}{net}WIDTH = 8\n") == 30
    # What is set when they are defined already is none of the net, and no training is run.
    assert load(tmp_path, f"WIDTH = 10\n{net}{LOOP.replace('Net()', 'nn.ReLU()')}") == 10
    code = find_code(f"{tmp_path}/mine.py:Net")
    assert load(tmp_path, f"WIDTH = 10\n{net}import netlet\nWIDTH = 12\nwide = Net(WIDTH)\n") == 10
    assert find_code(f"{tmp_path}/mine.py:Net") == code
    load(tmp_path, f"WIDTH = 10\n{net}WIDTH = 12\nNet.half = lambda: WIDTH\n")
    read_later = find_code(f"{tmp_path}/mine.py:Net")
    load(tmp_path, f"WIDTH = 10\n{net}Net.half = lambda: WIDTH\n")
    assert find_code(f"{tmp_path}/mine.py:Net") != read_later


def test_a_counter_of_nets_is_a_value_that_the_net_needs(tmp_path: Path) -> None:
    counting = NET.replace(
        "        super().__init__()\n",
        "        super().__init__()\n        global COUNT\n        COUNT += 1\n",
    )
    assert load(tmp_path, f"COUNT, WIDTH = 0, 10\n{counting}") == 10


ADD = """
import torch
def add_to_class(Class):
    def wrapper(obj):
        setattr(Class, obj.__name__, obj)
    return wrapper
def patch(function):
    setattr(function.__annotations__["self"], function.__name__, function)
"""
TWICE = "forward(self{}, x):\n    return 2 * self.f(x.flatten(1))\n"
TRAIN = """
def train(model):
    model.best = open("TRAINED", "w")
    for batch in ():
        model(batch).sum().backward()
def build_twice(cls):
    cls.net = cls()
    with torch.no_grad():
        open("TRAINED", "w")
def run_all(model):
    model.runs = train(model)
"""
USES = "net = Net()\ntrain(net)\ntrain(Net)\nrun_all(Net)\nbuild_twice(Net)\nprint(Net)\n"


@pytest.mark.parametrize(
    "change",
    [
        f"@add_to_class(Net)\ndef {TWICE.format('')}",
        f"@add_to_class(Class=Net)\n@torch.no_grad()\ndef {TWICE.format('')}",
        f"@patch\ndef {TWICE.format(': Net')}",
        f"def {TWICE.format('')}setattr(Net, 'forward', forward)\n",
        f"def {TWICE.format('')}for f in (forward,):\n    setattr(Net, f.__name__, f)\n",
        f"def {TWICE.format('')}add_to_class(Net)(forward)\n",
        f"def {TWICE.format('')}def register(cls):\n    cls.forward = forward\nregister(Net)\n",
    ],
)
@pytest.mark.parametrize(("name", "has_forward"), [("Net", True), ("net", False)])
def test_a_method_that_is_put_on_a_class_is_one_of_the_net(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, name: str, has_forward: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    of_class = NET if has_forward else NET[: NET.index("    def forward")]
    text = f"from torch import nn\nWIDTH = 10\n{ADD}{of_class}{TRAIN}{change}{USES}"
    Path("mine.py").write_text(text)
    net = build(find_net(f"mine.py:{name}").builder, 0)
    image = torch.ones(1, 1, 28, 28)
    assert torch.equal(net(image), 2 * net.get_submodule("f")(image.flatten(1)))
    assert not Path("TRAINED").exists()
    before, after = find_code("mine.py:Net"), text.replace("2 * self.f", "3 * self.f")
    Path("mine.py").write_text(after)
    assert before != find_code("mine.py:Net")


def test_a_method_of_another_class_or_definition_is_none_of_the_net(tmp_path: Path) -> None:
    one = f"@add_to_class(Net)\ndef {TWICE.format('')}"
    other = one.replace("(Net)", "(Other)").replace("2 *", "3 *")
    again = NET.replace("x.flatten(1)", "x.flatten(1) + 1")
    cells = ["from torch import nn\nWIDTH = 10", ADD, NET, one, again, "class Other: pass", other]
    write_notebook(tmp_path / "a.ipynb", *cells)
    last, code = find_net(f"{tmp_path}/a.ipynb:Net"), find_code(f"{tmp_path}/a.ipynb:Net[1]")
    assert "flatten(1) + 1" in inspect.getsource(last.builder().forward)
    write_notebook(tmp_path / "a.ipynb", *cells[:4])
    assert find_code(f"{tmp_path}/a.ipynb:Net") == code
    write_notebook(tmp_path / "a.ipynb", *cells[:3], *cells[4:])
    assert find_code(f"{tmp_path}/a.ipynb:Net[1]") != code
    write_notebook(tmp_path / "a.ipynb", *cells[:2], again)
    code = find_code(f"{tmp_path}/a.ipynb:Net")
    assert (last.code and last.code.digest) == (code and code.digest)


def test_a_class_whose_forward_a_decorator_adds_is_a_net(tmp_path: Path) -> None:
    of_class = NET[: NET.index("    def forward")]
    add = f"@add_to_class(Net)\ndef {TWICE.format('')}"
    block = NET.replace("class Net", "class Block").replace("__(self)", "__(self, width)")
    text = f"from torch import nn\nWIDTH = 10\n{ADD}{block}{of_class}{add}loss = nn.Sequential()\n"
    (tmp_path / "mine.py").write_text(text)
    assert list_addresses("mine.py") == []
    assert list_addresses(str(tmp_path / "mine.py")) == [
        f"{tmp_path / 'mine.py'}:{name}" for name in ("Net", "loss")
    ]


OF_LIST = """
SIZES = [3]
class Net(nn.Module):
    def __init__(self, sizes=SIZES):
        super().__init__()
        self.f = nn.Linear(784, sum(sizes))
    def forward(self, x):
        return self.f(x.flatten(1))
"""


@pytest.mark.parametrize("more", ["SIZES += [5]", "if True:\n    SIZES += [5]", "SIZES.append(5)"])
def test_a_default_that_is_changed_below_its_function_counts(tmp_path: Path, more: str) -> None:
    assert load(tmp_path, f"{OF_LIST}{more}\n") == 8


@pytest.mark.parametrize(
    "rest",
    [
        "@torch.autocast(device)\ndef fit(n):\n    n(loader)\n",
        "@functools.lru_cache(maxsize=WIDTH)\ndef fit(n):\n    n(loader)\n",
        "def run(c):\n    c.steps = loader\nrun(cfg)\n",
        "def evaluate(model):\n    model.accuracy = loader\nevaluate(net)\n",
        "def run(c):\n    vars(c)['steps'] = loader\nrun(cfg)\n",
    ],
)
@pytest.mark.parametrize("name", ["Net", "net"])
def test_code_that_only_notes_something_at_an_object_is_not_run(
    tmp_path: Path, rest: str, name: str
) -> None:
    before = (
        "import functools, pathlib, torch, types\nWIDTH, device = 10, 'cpu'\n"
        "cfg = types.SimpleNamespace(width=WIDTH)\n"
    )
    used = NET.replace("WIDTH", "cfg.width").replace("x.flatten(1)", "x.flatten(1).to(device)")
    place = tmp_path / "loaded"
    loads = f"net = Net()\nloader = DataLoader(pathlib.Path({str(place)!r}).touch())\n"
    assert load(tmp_path, f"{before}{used}{loads}{rest}", name) == 10
    assert not place.exists()


def test_a_helper_that_was_put_on_an_earlier_definition_is_there(tmp_path: Path) -> None:
    add = "def add(c):\n    return lambda f: setattr(c, f.__name__, f) or f\n"
    helper = "@add(Net)\ndef widen(n):\n    return n * 2\n"
    later = NET.replace("WIDTH", "widen(WIDTH)")
    assert load(tmp_path, f"WIDTH = 10\n{NET}{add}{helper}{later}") == 20


@pytest.mark.parametrize(
    "reads",
    [
        "class K:\n    def __getitem__(self, i):\n        return V + i\nk = K()\nLOOP\nWIDTH = k[1]\n",
        "it = (V + 1 for _ in range(1))\nLOOP\nfor WIDTH in it:\n    pass\n",
        "class B:\n    def __init_subclass__(cls):\n        cls.w = V + 1\nLOOP\nclass C(B):\n"
        "    pass\nWIDTH = C.w\n",
    ],
)
def test_a_loop_counts_whose_value_is_read_by_code_that_no_call_shows(
    tmp_path: Path, reads: str
) -> None:
    text = reads.replace("LOOP", "for V in (3, 5):\n    pass")
    assert load(tmp_path, f"V = 3\n{text}V = 9\n{NET}") == 6


def test_the_statements_of_a_large_file_are_selected_once(tmp_path: Path) -> None:
    """With the square of their number, these take minutes."""
    chain = "".join(f"def f{i}(x):\n    return f{i - 1}(x)\n" for i in range(1, 300))
    loops = "".join(f"for WIDTH in (4, 5):\n    print(f{i}(WIDTH))\n" for i in range(300))
    text = f"def f0(x):\n    return x\n{chain}{loops}WIDTH = 10\n{NET}"
    assert load(tmp_path, text) == 10


@pytest.mark.parametrize(
    ("training", "change"),
    [
        ("for m in (1, 2):\n    {}", "for m in net:\n    m.bias = None\n"),
        (
            "for _, m in [(1, 2)]:\n    {}",
            "for m in [net]:\n    for _, m in m.named_children():\n        m.bias = None\n",
        ),
        (
            "with open('log.txt', 'w') as f:\n    {}",
            "with open('mine.py') as f:\n    net.text = f.read()\n    net[0].bias = None\n",
        ),
    ],
)
def test_a_training_with_the_variables_of_a_later_loop_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, training: str, change: str
) -> None:
    monkeypatch.chdir(tmp_path)
    training = training.format("open('TRAINED', 'w')\n    loss.backward()\n")
    text = f"from torch import nn\nnet = nn.Sequential(nn.Linear(784, 8))\n{training}{change}"
    (tmp_path / "mine.py").write_text(text)
    net = build(find_net(f"{tmp_path / 'mine.py'}:net").builder, 0)
    assert list(net.state_dict()) == ["0.weight"]
    assert not Path("TRAINED").exists()


def test_a_loop_may_read_its_variable_as_it_was_before(tmp_path: Path) -> None:
    assert load(tmp_path, f"W = [3, 10]\nfor W in W:\n    WIDTH = W\n{NET}") == 10
    loop = "for W in (4, 5):\n    sizes.append(lambda: W)\n"
    assert load(tmp_path, f"sizes = []\n{loop}W = 9\nWIDTH = sizes[0]()\n{NET}") == 9
    assert load(tmp_path, f"W = 6\nfor W in ():\n    pass\nWIDTH = W\n{NET}") == 6
    loop = "for W in ():\n    sizes.append(1)\nelse:\n    sizes.append(W)\n"
    assert load(tmp_path, f"sizes, W = [], 7\n{loop}WIDTH = sizes[0]\n{NET}") == 7
