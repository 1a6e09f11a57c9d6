"""The support matrix: its cells are what happens to nets with these operations."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import few_fast
from torch import nn
from torch.nn import functional as F

from netlet.analysis import trace
from netlet.analysis.field_rules import RULES
from netlet.analysis.multiply_adds import COUNTS
from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.errors import UnsupportedNetError
from netlet.backends.cpu.parts.functions import FUNCTIONS
from netlet.errors import ExportError
from netlet.experiments import TrainedNet
from netlet.export import build_inference_graph, trace_model
from netlet.export.c_program import generate_program
from netlet.export.lower_layers import FUNCTIONS as EXPORTED
from netlet.export.onnx_model import build_onnx
from netlet.export.quantize import quantize_graph
from netlet.graph import trace_graph
from netlet.graph.dependence import Dependence
from netlet.graph.operations import Activation, Elementwise, Opaque, Operation
from tools import operations
from tools.operations import (
    BY_FUNCTION,
    compiled_kinds,
    exported_functions,
    exported_kinds,
    operation_kinds,
)

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text()
PAGE_SCRIPT = (ROOT / "src/netlet/export/page/run.js").read_text()
Function = Callable[[torch.Tensor], torch.Tensor]
SHAPE = (2, 8, 8)


class Between(nn.Module):
    """A convolution, a function of its feature map, and a classifier."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.function = function
        self.head = nn.LazyLinear(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.function(self.conv(x))
        return self.head(x.mean((2, 3)) if x.dim() == 4 else x.flatten(1))


# A net with each operation, by the name of its class, as nets for images usually have it.
EXAMPLES: dict[str, nn.Module] = {
    "Convolution": Between(nn.Conv2d(4, 4, 3)),
    "Linear": nn.Sequential(nn.Flatten(), nn.Linear(128, 8), nn.ReLU(), nn.Linear(8, 3)),
    "MatrixProduct": Between(lambda x: x.flatten(2) @ x.flatten(2).transpose(1, 2)),
    "BatchNorm": Between(nn.BatchNorm2d(4)),
    "OtherNorm": Between(nn.GroupNorm(2, 4)),
    "TensorClamp": Between(lambda x: x.clamp(max=torch.ones(()))),
    "Arithmetic": Between(lambda x: x + x),
    "Pooling": Between(nn.MaxPool2d(2)),
    "AdaptivePooling": Between(nn.AdaptiveAvgPool2d(4)),
    "Reduction": Between(lambda x: x.amax((2, 3))),
    "Dropout": Between(nn.Dropout(0.2)),
    "Concatenation": Between(lambda x: torch.cat([x, x], 1)),
    "Reshape": nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(144, 3)),
    "Padding": Between(nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(4, 4, 3))),
    "Slice": Between(lambda x: x[:, :2]),
    "Permutation": Between(lambda x: x.transpose(2, 3)),
    "Attention": Between(lambda x: F.scaled_dot_product_attention(x, x, x)),
    "Stack": Between(lambda x: torch.stack([x, x], 1).flatten(1, 2)),
    "EdgePadding": Between(nn.ReflectionPad2d(1)),
    "Interpolation": Between(nn.Upsample(scale_factor=2)),
    "Rearrangement": Between(nn.PixelShuffle(2)),
    "GatedHalf": Between(nn.GLU(1)),
    "Scan": Between(lambda x: x.cumsum(3)),
    "Sorting": Between(lambda x: x.topk(2, 3)[0]),
    "FurtherOutput": Between(lambda x: x + torch.max(x, 1, keepdim=True)[1]),
    "Softmax": nn.Sequential(Between(nn.ReLU()), nn.LogSoftmax(1)),
}


def function_named(name: str) -> Function:
    """Return an element-wise function by its name in the graph."""
    special: dict[str, Function] = {
        "clamp": lambda x: torch.clamp(x, -1, 1),
        "gelu_tanh": nn.GELU("tanh"),
        "maximum": lambda x: torch.maximum(x, -x),
        "minimum": lambda x: torch.minimum(x, -x),
        "pow": lambda x: x.pow(2),
        "threshold": nn.Threshold(0.1, 0.1),
        "prelu": nn.PReLU(),
    }
    found: Function = special.get(name) or getattr(F, name, None) or getattr(torch, name)
    return found


def is_exported(net: nn.Module) -> bool:
    net(torch.rand(2, *SHAPE))
    try:
        build_inference_graph(net, SHAPE, 0.5, 0.5)
    except ExportError:
        return False
    return True


def is_compiled(net: nn.Module) -> bool:
    net(torch.rand(2, *SHAPE))  # lazy layers take their shapes
    try:
        read_program(net, SHAPE)
    except UnsupportedNetError:
        return False
    return True


@pytest.mark.parametrize("kind", [k for k in operation_kinds() if k not in BY_FUNCTION])
def test_an_operation_is_compiled_as_the_matrix_says(kind: operations.Kind) -> None:
    net = EXAMPLES[kind.__name__].train()
    compiled = is_compiled(net)
    kinds = {type(node.operation) for node in trace_graph(net, SHAPE).nodes}
    assert kind in kinds or kind.__name__ == "Dropout"  # which is inactive in evaluation mode
    assert compiled == (kind in compiled_kinds())


@pytest.mark.parametrize("kind", [k for k in operation_kinds() if k not in BY_FUNCTION])
def test_an_operation_is_exported_as_the_matrix_says(kind: operations.Kind) -> None:
    assert is_exported(EXAMPLES[kind.__name__]) == (kind in exported_kinds())


@pytest.mark.parametrize(
    "kind", few_fast((k for k in operation_kinds() if k not in BY_FUNCTION), 13)
)
def test_an_operation_is_analyzed_as_the_matrix_says(kind: operations.Kind) -> None:
    analyzed = trace(EXAMPLES[kind.__name__], SHAPE)
    last = analyzed.leaves()[-1]
    assert all(op.macs is not None for op in analyzed.leaves()) == (kind in COUNTS)
    assert (last.field is not None) == (kind in RULES)


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, "prelu", "sin"}))
def test_a_function_is_exported_as_the_matrix_says(name: str) -> None:
    assert is_exported(Between(function_named(name))) == (name in exported_functions())


@pytest.mark.parametrize("name", few_fast(sorted(exported_functions()), 11))
def test_a_function_is_written_to_each_export_as_the_matrix_says(name: str) -> None:
    net = Between(function_named(name)).eval()
    images = torch.randint(256, (20, *SHAPE), dtype=torch.uint8)
    net(images.float())
    model = trace_model(TrainedNet(name, net, SHAPE, ("a", "b", "c"), 0.5, 0.5, None, None))
    build_onnx(model)
    generate_program(model, quantize_graph(model.graph, images))
    if EXPORTED.get(name, "clamp") != "clamp":  # a scale is a convolution
        assert re.search(rf"^  {EXPORTED[name]}[:,]", PAGE_SCRIPT, re.MULTILINE)
    try:
        generate_program(model)
    except ExportError:
        assert name not in operations.functions_in_c()
    else:
        assert name in operations.functions_in_c()


@pytest.mark.parametrize("name", [*FUNCTIONS, "prelu", "sin"])
def test_a_function_is_compiled_as_the_matrix_says(name: str) -> None:
    net = Between(function_named(name))
    compiled = is_compiled(net)
    found = [node.operation for node in trace_graph(net, SHAPE).nodes]
    names = [o.function for o in found if isinstance(o, Activation | Elementwise)]
    assert names == [name]
    assert compiled == (name in FUNCTIONS)


@pytest.mark.parametrize(
    ("function", "name"),
    [(F.relu6, "hardtanh"), (lambda x: x.clamp(min=-1), "clamp")],
    ids=("relu6", "one_bound"),
)
def test_functions_are_called_what_the_page_says(function: Function, name: str) -> None:
    net = Between(function).eval()
    net(torch.rand(2, *SHAPE))
    assert name in [node.operation.name for node in trace_graph(net, SHAPE).nodes]


def test_the_matrix_has_the_whole_vocabulary() -> None:
    found, kinds = {Operation}, set()
    while found:
        kind = found.pop()
        found |= set(kind.__subclasses__())
        found -= {Dependence}  # which is not part of it
        if not kind.__subclasses__() and kind.__module__.startswith("netlet.graph."):
            kinds.add(kind)
    assert set(operation_kinds()) == kinds - {Opaque}


def test_each_operation_and_each_reader_is_on_the_page() -> None:
    for kind in operation_kinds():
        assert PAGE.count(f"| **{operations.words(kind)}**") == (kind not in BY_FUNCTION), kind
    for name in FUNCTIONS:
        assert f"| `{name}` | " in PAGE
    for reader in operations.READERS:  # a column in each table, or named below it
        title = re.escape(reader.title)
        named = rf"^\| (operation|function) \|.* {title} \||^Supported for all.*[:,] {title}[,.]"
        assert len(re.findall(named, PAGE, re.MULTILINE)) == 2, title


def test_what_all_rows_support_is_no_column_of_the_matrix() -> None:
    yes, no = "yes", "-"
    table = operations._table("operation", [["a", yes, yes, no, no, no, no, no], ["b", *7 * [yes]]])
    assert table.startswith("| operation | compiled training | ONNX |")
    assert table.endswith("\n\nSupported for all of them: multiply-adds, receptive field.")
