"""Which net a submission means that builds a class with other arguments than its defaults."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from class_of_students import grade, notebook, torch_bytes, write_submission
from helpers import few_fast
from torch import nn

from netlet.budgets import Budget
from netlet.classroom import Grade, GradingSettings, grade_files
from netlet.errors import NetError
from netlet.nets import complete_address
from netlet.nets.net_builds import Builds

BUDGET = Budget(params_below=20_000)
NET = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, width=2, num_classes=10):
        super().__init__()
        self.a = nn.Linear(784, width)
        self.b = nn.Linear(width, num_classes)
    def forward(self, x):
        return self.b(self.a(x.flatten(1)))
"""
MAIN = "if __name__ == '__main__':\n    "
IMPORT = "from net import Net\n"
SEQUENTIAL = """
from torch import nn
def make(width=2):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.Linear(width, 10))
"""


def count(width: int) -> int:
    return 785 * width + 11 * width + 10 - width


def grade_code(tmp_path: Path, files: dict[str, str | bytes]) -> Grade:
    write_submission(tmp_path, "ann", files)
    return grade(tmp_path / "ann", GradingSettings(budget=BUDGET))


def weights(width: int) -> bytes:
    net = nn.ModuleDict({"a": nn.Linear(784, width), "b": nn.Linear(width, 10)})
    return torch_bytes(net.state_dict())


@pytest.mark.parametrize(
    ("files", "net"),
    [
        ({"net.py": NET + "model = Net(width=4)\n"}, "net.py:model"),
        ({"net.py": NET + "model: nn.Module = Net(4).to('cpu')\n"}, "net.py:model"),
        ({"net.py": NET + "def build():\n    return Net(width=4)\n"}, "net.py:build"),
        ({"net.py": NET + "def build(w=4):\n    m = Net(w)\n    return m\n"}, "net.py:build"),
        ({"net.py": NET + "def build(w=2):\n    return Net(w)\nm = build(4)\n"}, "net.py:m"),
        ({"net.py": NET + "def build(w):\n    return Net(w)\nm = build(4)\n"}, "net.py:m"),
        ({"net.py": NET + "model = Net(4)\nema = Net(width=4)\n"}, "net.py:model"),
        ({"net.py": NET + "model = Net(8)\nmodel = Net(4)\n"}, "net.py:model"),
        ({"net.py": NET + "model = Net(4)\nmodel = model.to('cpu')\n"}, "net.py:model"),
        ({"net.py": NET, "train.py": IMPORT + "model = Net(width=4)\n"}, "train.py:model"),
        ({"net.py": NET, "train.py": "import net\nmodel = net.Net(4)\n"}, "train.py:model"),
        (
            {"net.py": NET, "train.py": "from net import Net as N\ndef f():\n    return N(4)\n"},
            "train.py:f",
        ),
        ({"a.ipynb": notebook(NET + "model = Net(width=4)")}, "a.ipynb:model"),
        ({"net.py": SEQUENTIAL + "model = make(4)\n"}, "net.py:model"),
    ],
)
def test_the_net_that_the_weights_fit_alone_is_meant(
    tmp_path: Path, files: dict[str, str | bytes], net: str
) -> None:
    files = dict(files)
    if "Sequential" in str(files):
        layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 4), nn.Linear(4, 10))
        files["w.pt"] = torch_bytes(layers.state_dict())
    else:
        files["w.pt"] = weights(4)
    found = grade_code(tmp_path, files)
    assert (found.net, found.parameters) == (net, count(4))


def test_a_net_of_a_private_class_is_graded_if_there_is_no_other(tmp_path: Path) -> None:
    private = NET.replace("Net", "_Net") + "def create(width=4):\n    return _Net(width)\n"
    files = {"net.py": private, "a.ipynb": notebook("%run net.py"), "w.pt": weights(4)}
    found = grade_code(tmp_path / "1", files)
    assert (found.net, found.parameters, found.notes) == ("net.py:create", count(4), ())
    found = grade_code(tmp_path / "2", {"b.py": NET, "net.py": private})
    assert (found.net, found.notes) == ("b.py:Net", ())


PRIVATE = NET.replace("Net", "_Net") + "def create():\n    return _Net()\n"
LOADER = (
    "from torch.utils.data import DataLoader\n"
    "def load():\n    raise SystemExit\n    return DataLoader([])\n"
)
IMPORTED = "from netlet.nets import swift\ndef get():\n    return swift()\n"


@pytest.mark.parametrize(
    ("files", "net"),
    few_fast(
        [
            ({"b.py": IMPORTED, "net.py": PRIVATE}, "b.py:get"),
            ({"net.py": IMPORTED + PRIVATE}, "net.py:get"),
            ({"b.py": IMPORTED, "net.py": PRIVATE, "w.pt": weights(2)}, "net.py:create"),
            ({"b.py": IMPORTED.replace("()\n", "('x')\n"), "net.py": PRIVATE}, "net.py:create"),
            ({"net.py": LOADER + PRIVATE}, "net.py:create"),
        ],
        2,
    ),
)
def test_a_function_that_returns_an_imported_net_is_tried_before_one_of_a_private_class(
    tmp_path: Path, files: dict[str, str | bytes], net: str
) -> None:
    assert grade_code(tmp_path, files).net == net


@pytest.mark.parametrize(
    "files",
    [
        {"net.py": NET + "model = Net(width=2)\n"},
        {"net.py": NET + "model = Net(num_classes=10)\n"},
        {"net.py": NET + "WIDTH = 2\nmodel = Net(WIDTH, 10)\n"},
        {"net.py": NET + "model = Net(4)\nmodel = Net()\n"},
        {"net.py": NET + MAIN + "Net(width=4)(torch.zeros(1, 1, 28, 28))\n"},
        {"net.py": NET + "def main():\n    model = Net(2)\n"},
        {"net.py": NET, "test_net.py": IMPORT + "model = Net(width=4)\n"},
        {"net.py": NET, "tests/small.py": IMPORT + "def small():\n    return Net(width=4)\n"},
        {"net.py": NET + "def test_shape():\n    net = Net(width=4)\n"},
        {
            "net.py": NET
            + "class Head(Net):\n    def twin(self):\n        return Net(4)\nHead()\nNet()"
        },
    ],
)
def test_a_net_with_its_defaults_is_graded_as_before(tmp_path: Path, files: dict[str, str]) -> None:
    found = grade_code(tmp_path, dict(files))
    assert found.parameters == count(2)
    assert "not tried" not in found.definitions


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "def main():\n    model = Net(width=4)\n",
            "Net(width=4) was not tried (it is inside main())",
        ),
        (MAIN + "model = Net(width=4)\n", "Net(width=4) was not tried (it is below if __name__"),
        (
            "def main(args):\n    m = Net(args.w)\n",
            "Net(width=args.w) was not tried (it is inside m",
        ),
        ("for w in (4, 8):\n    print(Net(w))\n", "Net(width=w) was not tried (neither a variable"),
        (
            "def train():\n    m = Net(4)\n    m(0).backward()\n    return m\n",
            "Net(width=4) was not tried (it is inside train())",
        ),
    ],
)
def test_a_net_that_is_built_where_it_cannot_be_named_is_said(
    tmp_path: Path, code: str, said: str
) -> None:
    found = grade_code(tmp_path, {"net.py": NET + code})
    assert found.parameters == count(2)
    assert f"net.py:Net is graded; net.py:{said}" in found.definitions
    assert "add a function without arguments that returns it" in found.definitions


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("split", [False, True])
def test_of_a_class_and_what_is_built_of_it_the_weights_choose(
    tmp_path: Path, width: int, split: bool
) -> None:
    files = {"net.py": NET + "small = Net(width=4)\n", "train.py": IMPORT + "model = Net()\n"}
    if not split:
        files = {"net.py": "".join(files.values()).replace(IMPORT, "")}
    found = grade_code(tmp_path, {**files, "w.pt": weights(width)})
    chosen, other = ("small", "Net") if width == 4 else ("Net", "small")
    assert (found.net, found.parameters) == (f"net.py:{chosen}", count(width))
    said = f"net.py:{other} is not (w.pt fits net.py:{chosen}); if it is the"
    assert (said in found.definitions) == (width == 4)


@pytest.mark.parametrize("code", ["small = Net(4)\nm = Net()\n", "a = Net(4)\nb = Net(8)\n"])
def test_without_weights_a_class_is_graded_with_its_defaults(tmp_path: Path, code: str) -> None:
    found = grade_code(tmp_path, {"net.py": NET + code})
    assert (found.net, found.parameters) == ("net.py:Net", count(2))
    assert "Net(width=4) was not tried (its name is " in found.definitions
    assert found.definitions.endswith("if it is the net, name it in claim.toml")


@pytest.mark.parametrize(
    ("code", "held"),
    [
        ("m = Net(4)\nm = torch.compile(m)\n", "m"),
        ("m = Net(4)\nif torch.cuda.is_available():\n    m = m.cuda()\n", "m"),
        ("m = Net(4)\nm.a = nn.Identity()\nm = m.to('cpu').eval()\n", "m"),
        ("m = Net(4)\nm = m.a.to('cpu')\n", None),
        ("m = Net(4)\nm = other.to('cpu')\n", None),
        ("m = Net(4)\nfor w in (2, 8):\n    m = Net(w)\nm = m.to('cpu')\n", None),
        ("m = Net(4)\nm, rest = wrap(m)\nm = m.to('cpu')\n", None),
    ],
)
def test_a_variable_keeps_its_net_if_it_is_moved_or_wrapped(code: str, held: str | None) -> None:
    named = Builds(ast.parse(NET + code), {}).named
    expected = {held: "width=4"} if held else {}
    assert {name: build.arguments for name, (_, build) in named.items()} == expected


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        ("m = Net()\nm = Net(4)\n", set()),  # the variable holds the other net in the end
        ("m = Net(4)\nm = Net()\n", {"Net"}),
        ("m = Net()\nn = Net(4)\n", {"Net"}),
        ("m = Net(4)\ndef main():\n    m = Net()\n", {"Net"}),
    ],
)
def test_a_net_that_a_variable_held_before_is_not_the_one_built_by_default(
    code: str, kinds: set[str]
) -> None:
    assert Builds(ast.parse(NET + code), {}).by_default == kinds


def test_no_training_is_run_to_choose_a_net(tmp_path: Path) -> None:
    search = "def run(w):\n    Net(w)(torch.zeros(1, 784)).sum().backward()\n    raise SystemExit\n"
    code = NET + search + "best = max([4, 8], key=run)\nmodel = Net(best)\n"
    found = grade_code(tmp_path, {"net.py": code, "w.pt": weights(4)})
    assert (found.net, found.parameters) == ("net.py:Net", count(2))


FINAL = (
    "from net import Net\nclass Final(Net):\n    def __init__(self):\n        super().__init__(4)\n"
)
ABSTRACT = NET.replace("self.a(x.flatten(1))", "self.features(x)") + (
    "    def features(self, x):\n        raise NotImplementedError\n"
)


@pytest.mark.parametrize(
    "files",
    [
        {"net.py": NET, "final.py": FINAL, "train.py": "from final import Final\nm = Final()\n"},
        {"net.py": NET, "final.py": FINAL + MAIN + "net = Final()\n"},
        {"net.py": NET, "final.py": FINAL, "w.pt": weights(4)},
        {
            "net.py": NET,
            "final.py": FINAL.replace("import Net", "import Net as B").replace("(Net)", "(B)"),
            "w.pt": weights(4),
        },
        {
            "net.py": ABSTRACT,
            "final.py": FINAL + "    def features(self, x):\n        return self.a(x.flatten(1))\n",
        },
        {
            "pkg/__init__.py": "from .net import Net\n",
            "pkg/net.py": NET,
            "final.py": FINAL.replace("from net", "from pkg") + "m = Final()\n",
        },
    ],
)
def test_a_class_that_inherits_forward_from_another_file_is_a_net(
    tmp_path: Path, files: dict[str, str | bytes]
) -> None:
    found = grade_code(tmp_path, files)
    assert found.net == "final.py:Final"
    assert found.parameters == count(4)


def test_a_base_class_that_alone_is_built_is_the_net(tmp_path: Path) -> None:
    found = grade_code(tmp_path, {"net.py": NET + "model = Net()\n", "final.py": FINAL})
    assert (found.net, found.parameters) == ("net.py:Net", count(2))


def test_a_function_that_is_no_net_is_not_proposed(tmp_path: Path) -> None:
    code = SEQUENTIAL.replace("width=2", "width") + "def main():\n    model = make(16)\n"
    (tmp_path / "net.py").write_text(code)
    with pytest.raises(NetError, match=r"what may be a net has required arguments; give defaults"):
        complete_address(str(tmp_path / "net.py"))
    (tmp_path / "net.py").write_text("def main():\n    print(1)\n")
    with pytest.raises(NetError, match=r"no class or function of it is or returns a net; add one"):
        complete_address(str(tmp_path / "net.py"))


def test_weights_of_a_checkpoint_that_fit_too_are_said(tmp_path: Path) -> None:
    state = nn.ModuleDict({"a": nn.Linear(784, 2), "b": nn.Linear(2, 10)}).state_dict()
    average = {f"module.{name}": tensor + 1 for name, tensor in state.items()}
    average["n_averaged"] = torch.tensor(3)
    said = "w.pt: the weights under 'model' are used, but those under 'model_ema' fit the net, too;"
    for other, count_of_notes in ((average, 1), (dict(state), 0)):
        content = torch_bytes({"model": state, "model_ema": other, "optimizer": {"lr": 1}})
        found = grade_code(tmp_path, {"net.py": NET, "w.pt": content})
        assert sum(said in note for note in found.notes) == count_of_notes


@pytest.mark.parametrize("name", ["net.py", "a.ipynb"])
def test_a_merge_conflict_is_named(tmp_path: Path, name: str) -> None:
    conflict = "<<<<<<< HEAD\nWIDTH = 4\n=======\nWIDTH = 8\n>>>>>>> other\n"
    code = NET + conflict if name == "net.py" else "{\n" + conflict
    (tmp_path / name).write_text(code)
    with pytest.raises(
        NetError, match=r"line \d+ begins an unresolved merge conflict of Git; keep"
    ):
        complete_address(str(tmp_path / name))


DEEP = """
import copy
from torch import nn
class Net(nn.Module):
    def __init__(self, depth=1, norm=False):
        super().__init__()
        self.a = nn.Linear(784, 10)
        self.blocks = nn.Sequential(*[nn.Linear(10, 10) for _ in range(depth)])
        self.norm = nn.LayerNorm(10) if norm else nn.Identity()
    def forward(self, x):
        return self.norm(self.blocks(self.a(x.flatten(1))))
"""
NEEDS = DEEP.replace("depth=1", "depth")


def deep_weights(depth: int, **options: bool) -> bytes:
    space: dict[str, Callable[..., nn.Module]] = {}
    exec(DEEP, space)
    return torch_bytes(space["Net"](depth, **options).state_dict() | {"total_ops": torch.zeros(1)})


@pytest.mark.parametrize(
    ("files", "options", "net", "parameters"),
    few_fast(
        [
            (
                {"net.py": DEEP, "train.py": IMPORT + "model = Net(depth=3)\n"},
                {"depth": 3},
                "train.py:model",
                8_180,
            ),
            (
                {"net.py": DEEP + "def f():\n    return Net(1)\ndef g():\n    return Net(3)\n"},
                {"depth": 3},
                "net.py:g",
                8_180,
            ),
            (
                {"net.py": DEEP + "model = Net(norm=True)\n"},
                {"depth": 1, "norm": True},
                "net.py:model",
                7_980,
            ),
            (
                {"net.py": DEEP + "model = Net()\nmodel = Net(norm=True)\n"},
                {"depth": 1, "norm": True},
                "net.py:model",
                7_980,
            ),
        ],
        1,
    ),
)
def test_the_net_with_all_tensors_of_the_weights_is_graded_before_one_with_fewer(
    tmp_path: Path, files: dict[str, str], options: dict[str, Any], net: str, parameters: int
) -> None:
    found = grade_code(tmp_path, {**files, "w.pt": deep_weights(**options)})
    assert (found.net, found.parameters) == (net, parameters)
    assert f"net.py:Net is not (w.pt fits {net})" in found.definitions


@pytest.mark.parametrize(
    ("code", "reason"),
    few_fast(
        [
            (MAIN + "small = Net()\n    model = Net(depth=3)\n", "it is below if __name__"),
            ("model = Net(depth=3)\nmodel = Net()\n", "its variable is also assigned another net"),
            (
                "if 0:\n    model = Net(3)\nelse:\n    model = Net()\nmodel = model.to('cpu')\n",
                "its variable is also assigned another net",
            ),
        ],
        2,
    ),
)
def test_weights_of_a_deeper_net_are_not_scored_with_fewer_layers(
    tmp_path: Path, code: str, reason: str
) -> None:
    write_submission(tmp_path, "ann", {"net.py": DEEP + code, "w.pt": deep_weights(3)})
    found = grade(tmp_path / "ann", GradingSettings(budget=Budget(accuracy_at_least=2)))
    assert (found.net, found.state, found.score) == ("net.py:Net", "NOT YET", None)
    assert found.problem.endswith(
        "another net; unexpected: blocks.1.weight, blocks.1.bias, blocks.2.weight, blocks.2.bias"
    )
    assert f"net.py:Net(depth=3) was not tried ({reason}" in found.definitions


PRIVATE_DEEP = DEEP.replace("Net", "_Net") + "def create(depth=1):\n    return _Net(depth)\n"
CREATE = "from net import create\n"


@pytest.mark.parametrize(
    ("files", "depth", "reason"),
    few_fast(
        [
            (
                {"net.py": PRIVATE_DEEP, "train.py": CREATE + "def main():\n    m = create(3)\n"},
                3,
                "train.py:_Net(depth=3) was not tried (it is inside main())",
            ),
            (
                {"net.py": NEEDS + "m = Net(3)\nm = m.eval()\nm = Net(1)\n"},
                3,
                "net.py:Net(depth=3) was not tried (its variable is also assigned another net)",
            ),
            (
                {"net.py": PRIVATE_DEEP + "def f():\n    m = create(2)\n"},
                1,
                "net.py:_Net(depth=2) was not tried (it is inside f())",
            ),
            (
                {
                    "net.py": PRIVATE_DEEP,
                    "train.py": CREATE + "def f():\n    create(1), create(3)\n",
                },
                1,
                "",
            ),
        ],
        1,
    ),
)
def test_other_nets_of_the_class_that_a_function_or_variable_holds_are_said(
    tmp_path: Path, files: dict[str, str], depth: int, reason: str
) -> None:
    write_submission(tmp_path, "ann", {**files, "w.pt": deep_weights(depth)})
    found = grade(tmp_path / "ann", GradingSettings(budget=Budget(accuracy_at_least=2)))
    assert ("was not tried" in found.definitions) == bool(reason)
    assert reason in found.definitions
    assert (found.score is None) == (depth == 3)


@pytest.mark.parametrize(
    "train", ["", "from net import Net\nmodel = Net(norm=True)\nmodel = Net()\n"]
)
def test_weights_of_layers_that_the_code_no_longer_has_are_left_out_with_a_note(
    tmp_path: Path, train: str
) -> None:
    norm = bool(train)
    weights = deep_weights(1 if norm else 2, norm=norm)
    found = grade_code(tmp_path, {"net.py": DEEP, "train.py": train or "0", "w.pt": weights})
    assert (found.net, found.parameters, found.problem) == ("net.py:Net", 7_960, "")
    hint = "norm.weight, norm.bias" if norm else "blocks.1.weight, blocks.1.bias (a deeper net"
    assert any(note.startswith(f"w.pt: the net has no {hint}") for note in found.notes)
    assert "left out" in grade_files.explain_grade(found)


@pytest.mark.parametrize(
    ("code", "net", "fits"),
    few_fast(
        [
            (NET + "model = Net(width=4)\n", "net.py:Net", "net.py:model"),
            (NET + "model = Net(width=4)\n", "net.py", "net.py:model"),
            (NET + "small = Net(3)\nlarge = Net(4)\n", "net.py:small", "net.py:large"),
            (NET + "a = Net(4)\nb = Net(5)\ndef main():\n    Net(4)\n", "Net", "net.py:a"),
        ],
        1,
    ),
)
def test_a_claim_that_names_the_class_gets_the_name_of_the_net(
    tmp_path: Path, code: str, net: str, fits: str
) -> None:
    files = {"net.py": code, "w.pt": weights(4), "claim.toml": f'net = "{net}"\n'}
    write_submission(tmp_path, "ann", files)
    settings = GradingSettings(budget=Budget(accuracy_at_least=2))
    problem = grade(tmp_path / "ann", settings).problem
    assert problem.endswith(f"judged: w.pt fits only {fits}; name it in claim.toml")
    (tmp_path / "ann" / "claim.toml").write_text(f'net = "{fits}"\n')
    assert grade(tmp_path / "ann", settings).score is not None


EARLIER = [NET.replace("width=2", f"width={width}") for width in (2, 4, 3)]
AVERAGE = """
class Average(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.module = copy.deepcopy(model)
    def forward(self, x):
        return self.module(x)
model = Net(3)
average = Average(model)
"""


def test_the_definition_that_the_weights_fit_alone_is_said(tmp_path: Path) -> None:
    write_submission(tmp_path, "ann", {"a.py": "".join(EARLIER), "w.pt": weights(4)})
    folder, settings = tmp_path / "ann", GradingSettings(budget=Budget(accuracy_at_least=2))
    found = grade(folder, settings)
    assert (found.net, found.parameters, found.score) == ("a.py:Net", count(3), None)
    assert found.problem.endswith("judged: w.pt fits only a.py:Net[2]; name it in claim.toml")
    (folder / "claim.toml").write_text('net = "a.py:Net[2]"\n')
    assert grade(folder, settings).parameters == count(4)
    (folder / "claim.toml").write_text('net = "Net[1]"\n')
    assert "w.pt fits only a.py:Net[2]; name it" in grade(folder, settings).problem
    (folder / "claim.toml").unlink()
    (folder / "a.py").write_text("".join([*EARLIER[:2], EARLIER[1], EARLIER[2]]))
    assert "w.pt fits only a.py:Net[2]; name it" in grade(folder, settings).problem
    (folder / "w.pt").write_bytes(weights(5))
    assert "w.pt: these weights belong to another net; wrong" in grade(folder, settings).problem


@pytest.mark.parametrize(
    ("code", "net"),
    few_fast(
        [
            (NEEDS + "def f():\n    return Net(1)\ndef g():\n    return Net(3)\n", "g"),
            (NEEDS + "def f():\n    return Net(3)\ndef g():\n    return Net(1)\n", "f"),
            (DEEP + AVERAGE, "model"),
            (DEEP + DEEP.replace("Net", "Other") + "model = Net(3)\n", "model"),
            (DEEP.replace("depth=1", "depth=3") + DEEP + DEEP.replace("Net", "Other"), "Net[1]"),
        ],
        2,
    ),
)
def test_of_several_nets_the_one_with_all_tensors_is_proposed(
    tmp_path: Path, code: str, net: str
) -> None:
    with pytest.raises(NetError, match=r"^2 nets return 10 classes: ") as raised:
        grade_code(tmp_path, {"net.py": code, "w.pt": deep_weights(3)})
    said = f'and w.pt fits only net.py:{net}; name one in claim.toml, like net = "net.py:{net}"'
    assert said in str(raised.value)
