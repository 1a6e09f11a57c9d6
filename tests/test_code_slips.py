"""Slips that students make in the code of a net are named in one line, with what to write."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from helpers import Netlet, write_notebook
from torch import nn

from netlet.analysis import summary
from netlet.data import Dataset
from netlet.errors import DefinitionsWarning, NetError
from netlet.experiments import configure_run, find_experiment, load_experiment
from netlet.nets import build, find_net
from netlet.nets.class_slips import find_misspelled, returns_nothing

IMPORTS = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\n\n\n"
CLASS = """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.more = nn.Sequential(nn.ReLU())
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = self.more(self.conv(x))
        return self.fc(x.mean((2, 3)))
"""
FORWARD = CLASS[CLASS.index("    def forward") :]


def fail(path: Path) -> str:
    with pytest.raises(NetError) as caught:
        summary(build(find_net(f"{path}:Net").builder, seed=0))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_class_of_a_notebook_gets_the_same_message() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.conv = nn.Conv2d(1, 10, 3)

    with pytest.raises(NetError, match=r"assigns layers before it has called super\(\)") as caught:
        build(Net, seed=0)
    assert isinstance(caught.value.__cause__, AttributeError)


def indent(text: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}" for line in text.splitlines(keepends=True))


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            "        super().__init__()\n",
            "",
            "Net.__init__() assigns layers before it has called super().__init__(); make that its "
            "first line",
        ),
        ("super().__init__()", "super().__init__", "before it has called super().__init__()"),
        ("super().__init__()", "super().init()", "no attribute 'init'; write super().__init__()"),
        (
            "def __init__",
            "def _init_",
            "Net: nothing calls its method _init_(); call it __init__, with two underscores on each "
            "side",
        ),
        ("def __init__", "def __int__", "nothing calls its method __int__()"),
        ("def __init__", "def __init", "nothing calls its method __init()"),
        ("def __init__", "def init", "nothing calls its method init()"),
        ("def forward", "def foward", "Net: has no forward(), but foward(); rename it to forward"),
        ("def forward", "def Forward", "but Forward(); rename it to forward"),
        (FORWARD, indent(FORWARD, 4), "its forward() is defined inside of its __init__(); indent"),
        (
            FORWARD,
            "\n" + "".join(line[4:] for line in FORWARD.splitlines(keepends=True)),
            "Net: forward() is outside the class; indent it",
        ),
        (
            "return self.fc",
            "x = self.fc",
            "net.py, line 13: Net: its forward() returns nothing; end it with return",
        ),
        ("forward(self, x)", "forward(x)", "forward() has no self; write def forward(self, x)"),
        ("__init__(self)", "__init__()", "was given; write def __init__(self)"),
        ("(nn.Module)", "", "expected a torch.nn.Module, got a Net; write class Net(nn.Module)"),
        ("nn.Module", "nn.module", "has no attribute 'module'; did you mean 'Module'?"),
        ("nn.Conv2d", "nn.Conv2D", "has no attribute 'Conv2D'; did you mean 'Conv2d'?"),
        ("self.conv(x)", "F.relu2(self.conv(x))", "'relu2'; did you mean 'relu'?"),
        (
            "self.conv =",
            "conv =",
            "has no attribute 'conv'; its __init__() assigns conv: write self",
        ),
        ("self.conv(x)", "conv(x)", "'conv' is not defined in net.py; write self.conv"),
        ("self.conv(x)", "self.con(x)", "Net: has no attribute 'con'; did you mean 'conv'?"),
        ("(nn.ReLU())", "([nn.ReLU()])", "not a list; write nn.Sequential(*...)"),
        ("nn.Conv2d(1, 8, 3)", "nn.Conv2d(1, 8, 3),", "conv is a tuple; remove the comma after"),
        ("nn.Conv2d(1, 8, 3)", "nn.Conv2d", "conv is the class Conv2d, not a layer; create one"),
        (
            "self.more(self.conv(x))",
            "nn.ReLU(self.conv(x))",
            "uses the layer nn.ReLU where a tensor belongs ('ReLU' object has no attribute 'mean'); "
            "create it once, and call it: nn.ReLU(...)(x)",
        ),
        # Sizes that do not fit.
        (
            "Linear(8",
            "Linear(16",
            "fc (Linear) with input 8: it gets 8 features but expects 16; write nn.Linear(8, 10)",
        ),
        (
            "x.mean((2, 3))",
            "x",
            "it gets maps of 8x26x26 but expects rows of 8 features; flatten each map before it, "
            "x.flatten(1) makes 5,408 features, or average it, x.mean((2, 3)) makes 8",
        ),
        (
            "nn.Conv2d(1, 8, 3)",
            "nn.Conv2d(3, 8, 3)",
            "it gets 1 channel but expects 3; write in_channels=1 (input 1x28x28; set another with",
        ),
        (
            "nn.ReLU()",
            "nn.Conv2d(16, 8, 3)",
            "more.0 (Conv2d) with input 8x26x26: it gets 8 channels but expects 16; write "
            "in_channels=8, or give the layer before it 16 output channels",
        ),
        ("nn.ReLU()", "nn.BatchNorm2d(16)", "expects 16; write num_features=8, or give the layer"),
        ("nn.ReLU()", "nn.GroupNorm(2, 16)", "expects 16; write num_channels=8"),
        ("nn.ReLU()", "nn.PReLU(16)", "expects 16; write num_parameters=8"),
        (
            "nn.ReLU()",
            "nn.LayerNorm([8, 9, 9])",
            "gets 8x26x26 but expects 8x9x9; write nn.LayerNorm",
        ),
        (
            "nn.ReLU()",
            "nn.Flatten(), nn.Conv2d(8, 8, 3)",
            "a row of 5,408 features but expects maps",
        ),
        (
            "self.conv(x)",
            "self.conv(x) + x",
            "after conv (Conv2d), which returned 8x26x26: two values with different widths (26 and "
            "28) are combined; give both the same size: padding=1 keeps it in a 3x3 convolution",
        ),
        (
            "self.conv(x)",
            "self.conv(x) + self.conv(x).repeat(1, 2, 1, 1)",
            "two values with different numbers of channels (8 and 16) are combined; give both the "
            "same number of output channels",
        ),
        (
            "self.conv(x)",
            "torch.cat([self.conv(x), x], 1)",
            "two values with different sizes (26 and 28) are joined; give both the same size: padding",
        ),
        (
            "x.mean((2, 3))",
            "x.view(-1, 400)",
            "which returned 8x26x26: view or reshape asks for 400 values of each image, which has "
            "5,408 there; write x.flatten(1), and give the layer after it 5,408 input features "
            "(input 1x28x28; set another with --input C,H,W in show and check, with "
            "shape=(C, H, W) in Python)",
        ),
        (
            "x.mean((2, 3))",
            "x.flatten()",
            "fc (Linear): it gets the values of all images in one row; keep the batch dimension: "
            "x.flatten(1)",
        ),
        (
            "x.mean((2, 3))",
            "x.mean((1, 2))",
            "it gets 26 features but expects 8; write x.mean((2, 3)), which makes 8 of the map "
            "before it (input",
        ),
        (
            "x.mean((2, 3))",
            "F.max_pool2d(x, 8).flatten(1)",
            "it gets 72 features but expects 8; write x.mean((2, 3)), which makes 8 of the map "
            "before it, or nn.Linear(72, 10)",
        ),
        ("nn.ReLU()", "nn.BatchNorm1d(8)", "it gets maps of 8x26x26; write nn.BatchNorm2d"),
        (
            "nn.ReLU()",
            "nn.Flatten(), nn.BatchNorm2d(5408)",
            "it gets rows of 5408 features; write nn.BatchNorm1d",
        ),
        ("nn.ReLU()", "nn.Conv1d(8, 8, 3)", "it gets maps of 8x26x26; write nn.Conv2d"),
        (
            "nn.ReLU()",
            "nn.AvgPool2d(28)",
            "the window is larger than the map of 26x26; use a smaller window, or remove a pooling "
            "or stride before it; nn.AdaptiveAvgPool2d(1) and nn.AdaptiveMaxPool2d(1) pool the "
            "whole map",
        ),
        (
            "nn.ReLU()",
            "nn.MaxPool2d(8), nn.MaxPool2d(4)",
            "the window is larger than the map of 3x3; use a smaller window, or remove a pooling",
        ),
        (
            "nn.ReLU()",
            "nn.AvgPool2d(26), nn.MaxPool2d(2)",
            "map of 1x1; remove a pooling or stride",
        ),
        (
            "nn.ReLU()",
            "nn.AvgPool2d(13), nn.Conv2d(8, 8, 3)",
            "the kernel of 3x3 is larger than the map of 2x2 (with padding); use a smaller kernel or "
            "more padding, or remove a pooling or stride before it (input 1x28x28",
        ),
    ],
)
def test_a_slip_is_named_with_what_to_write(
    right: str, wrong: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.py"
    assert right in CLASS
    path.write_text(IMPORTS + CLASS.replace(right, wrong))
    assert message in fail(path)


def test_a_net_that_could_be_built_for_other_images_is_not_to_be_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(IMPORTS + CLASS)
    for name, remedy in (
        ("swift", "expects 1; build the net with shape=(3, 32, 32) (input 3x32x32"),
        (f"{path}:Net", "expects 1; write in_channels=3 (input 3x32x32"),
    ):
        net = build(find_net(name).builder, seed=0)
        with pytest.raises(NetError) as caught:
            summary(net, (3, 32, 32))
        assert remedy in str(caught.value)
    assert summary(build(find_net("swift").builder, 0, (3, 32, 32)), (3, 32, 32)).parameters


def test_a_part_that_returns_nothing_is_named(tmp_path: Path) -> None:
    part = "class Part(nn.Module):\n    def forward(self, x):\n        x = x.relu()\n\n\n"
    path = tmp_path / "net.py"
    path.write_text(IMPORTS + part + CLASS.replace("nn.ReLU()", "Part()"))
    assert "more.0 (Part): its forward() returns nothing; end it with return" in fail(path)


def test_only_slips_are_taken_for_slips() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()

        def _forward(self, x: object) -> object:
            return x

        def forward(self, x: object) -> object:
            def inner() -> None:
                return None

            return inner() or x

        def __exit__(self, *_: object) -> None: ...

    class Raises(nn.Module):
        def forward(self, x: object) -> None:
            raise NotImplementedError

    assert (find_misspelled(Whole, "__init__"), find_misspelled(Whole, "forward")) == ("", "")
    assert not returns_nothing(Whole())
    assert not returns_nothing(Raises())
    assert not returns_nothing(nn.ReLU())


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            (CLASS, IMPORTS),
            "'nn' is imported in cell 2, below cell 1, which uses it; move that cell above",
        ),
        (
            (IMPORTS, CLASS.replace("nn.Module", "Base"), "Base = nn.Module"),
            "'Base' is defined in cell 3, below cell 2, which uses it; move that cell above",
        ),
        (
            (
                IMPORTS,
                f"made = make()\n{CLASS}width = made",
                "def make():\n    return later",
                "later = 1",
            ),
            "'make' is defined in cell 3, below cell 2",
        ),
        (
            (f"{CLASS}\n{IMPORTS}",),
            "'nn' is imported in cell 1, line 14, below cell 1, line 1, which uses it; move it above",
        ),
    ],
)
def test_a_cell_that_stands_too_low_is_named(
    cells: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    cells = tuple(cell.replace("Linear(8, 10)", "Linear(8, width)") for cell in cells)
    cells = cells if "width = " in "".join(cells) else (*cells, "width = 10")
    assert message in fail(write_notebook(tmp_path / "a.ipynb", *cells))


def test_a_layer_that_has_returned_is_not_blamed_for_what_follows(tmp_path: Path) -> None:
    weight = "self.fc(torch.ones(8)).view(10, 1, 3, 3)"
    code = CLASS.replace("x = self.more(self.conv(x))", f"x = F.conv2d(x, {weight})")
    path = tmp_path / "net.py"
    path.write_text(IMPORTS + code)
    message = fail(path)
    assert "shape '[10, 1, 3, 3]' is invalid for input of size 10" in message
    assert "all images in one row" not in message


def test_an_import_below_the_class_of_a_script_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(f"{CLASS}\n\n{IMPORTS}")
    assert "'nn' is imported in line 15, below line 1, which uses it; move it above" in fail(path)


def test_what_a_note_says_is_no_warning_as_well(
    netlet: Netlet, tmp_path: Path, blobs_for_mnist: Path
) -> None:
    warns = "import warnings\n        warnings.warn('odd\\n net')\n        return self.fc"
    path = tmp_path / "net.py"
    path.write_text(IMPORTS + CLASS.replace("return self.fc", warns))
    for command in ("show", "check", "train"):
        options = ("--epochs", "1", "--set", "batch_size=60") if command == "train" else ()
        _, out, err = netlet(command, f"{path}:Net", *options)
        assert (out + err).count("odd") == 1
        assert "note: (net): odd net" in out + err


def test_several_definitions_are_told_once_for_a_study(tmp_path: Path, blob_data: Dataset) -> None:
    path = write_notebook(tmp_path / "a.ipynb", IMPORTS, CLASS, CLASS.replace("8", "6"))
    with pytest.warns(DefinitionsWarning, match="is defined 2 times; the last one counts"):
        config = configure_run(find_experiment(f"{path}:Net"), blob_data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_experiment(config, trust=True)
