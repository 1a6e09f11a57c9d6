"""A traced graph says what a net computes, however its code is written."""

from __future__ import annotations

import copy
import ctypes
import io
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from fixtures.course_nets import BOTH_FORMS, COURSE_NETS
from helpers import few_fast
from torch import nn
from torch.distributions import Distribution, Normal
from torch.nn import functional as F

from netlet.analysis import summary
from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.c_source import generate_c_source
from netlet.errors import ExportError, NetError
from netlet.export import build_inference_graph
from netlet.graph import Graph, WithoutDropout, trace_graph
from netlet.graph.argument_checks import VALIDATION
from netlet.graph.dependence import Mixture
from netlet.graph.operations import (
    Activation,
    Arithmetic,
    BatchNorm,
    Convolution,
    Dropout,
    Elementwise,
    Linear,
    Opaque,
    Operation,
    Reduction,
    Reshape,
    Slice,
)
from netlet.graph.rare_operations import Interpolation, Rearrangement, Scan
from netlet.nets.eval_mode import eval_mode

# Their two forms differ in more than spelling: a ReLU before or after a concatenation, one mean or
# two, and a maximum whose gradient goes to one element or to all equal ones.
DIFFERENT = {"inception", "gelu_silu", "separable_hardswish"}


def graph_of(
    forward: Callable[[nn.Module, torch.Tensor], object], *layers: nn.Module, training: bool = False
) -> Graph:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(layers)

        def forward(self, x: torch.Tensor) -> object:
            return forward(self, x)

    return trace_graph(Net().train(training), (2, 8, 6))


def operations(graph: Graph) -> list[Operation]:
    return [node.operation for node in graph.nodes]


@pytest.mark.parametrize("name", few_fast(sorted(BOTH_FORMS.keys() - DIFFERENT), 13))
def test_modules_and_functions_become_the_same_program(name: str) -> None:
    with_modules, with_functions = (
        generate_c_source(
            read_program(make(), (1, 28, 28)), half=False, training=True, images=9, registers=30
        )
        for make in BOTH_FORMS[name]
    )
    assert with_modules == with_functions


@pytest.mark.parametrize("name", few_fast(COURSE_NETS, 15))
def test_every_course_net_has_a_compiled_form(name: str) -> None:
    assert read_program(COURSE_NETS[name](), (1, 28, 28)).classes == 10


def test_a_node_says_operation_inputs_shape_weights_and_module() -> None:
    conv, linear = nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.Linear(3 * 8 * 6, 5)

    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(conv(x))
        return linear((y + conv(x)).flatten(1))  # type: ignore[no-any-return]

    graph = graph_of(forward, conv, linear)
    kinds = [type(operation) for operation in operations(graph)]
    assert kinds == [Convolution, Activation, Convolution, Arithmetic, Reshape, Linear]
    assert [node.inputs for node in graph.nodes] == [(0,), (1,), (0,), (2, 3), (4,), (5,)]
    assert [node.shape for node in graph.nodes][3:] == [(3, 8, 6), (144,), (5,)]
    assert [node.path for node in graph.nodes] == ["layers.0", "", "layers.0", "", "", "layers.1"]
    first, last = graph.nodes[0].operation, graph.nodes[-1].operation
    assert isinstance(first, Convolution)
    assert isinstance(last, Linear)
    assert (first.weight.name, first.bias) == ("layers.0.weight", None)
    assert first.weight.tensor is conv.weight
    assert last.weight.name == "layers.1.weight"
    assert last.weight.tensor is linear.weight  # not its transpose
    assert graph.output == 6
    assert graph.readers(0) == [1, 3]
    assert graph.needed() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("rows", "compute", "tiled"),
    [
        (1, lambda w: w.expand(2, -1, -1, -1), True),
        (1, lambda w: w.repeat(2, 1, 1, 1), True),
        (2, lambda w: w.repeat(1, 1, 1, 1), True),
        (1, lambda w: w.repeat(3, 1, 1, 1)[:2], True),
        (1, lambda w: w.expand(2, -1, -1, -1)[:], True),
        (1, lambda w: w.repeat(3, 1, 1, 1)[1:], False),  # begins at another row
        (2, lambda w: w.repeat(2, 1, 1, 1)[::2], False),
        (2, lambda w: w.repeat(1, 1, 2, 1)[:, :, 8:], False),
        (2, lambda w: w.repeat_interleave(2, 0)[:2], False),
        (1, lambda w: w.expand(2, -1, -1, -1) * 1, False),
        (1, lambda w: (w * 1).expand(2, -1, -1, -1), False),
    ],
)
def test_a_parameter_that_is_tiled_is_told_from_one_computed_from_it(
    rows: int, compute: Callable[[torch.Tensor], torch.Tensor], tiled: bool
) -> None:
    conv = nn.Conv2d(2, 2, 3, groups=2, bias=False)
    conv.weight = nn.Parameter(torch.rand(rows, 1, 8, 6))

    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, compute(conv.weight), groups=2)

    (found,) = operations(graph_of(forward, conv))
    assert isinstance(found, Convolution)
    assert (found.weight.name, found.weight.source) == ("", "layers.0.weight")
    assert found.weight.tiled == tiled


def test_a_dimension_swapped_with_itself_is_no_transpose() -> None:
    linear = nn.Linear(4, 4)

    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :4] @ linear.weight.transpose(0, 0)

    last = operations(graph_of(forward, linear))[-1]
    assert isinstance(last, Linear)
    assert torch.equal(last.weight.tensor, linear.weight.t())


def test_an_error_of_several_lines_is_told_by_its_first() -> None:
    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("too small\nfor this net")

    with pytest.raises(NetError) as caught:
        graph_of(forward)
    assert str(caught.value) == "Net: does not run on an image 2x8x6 (too small)"


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_is_refused_in_one_line(layout: torch.layout, kept: bool) -> None:
    parts = [torch.ones(5, 4), torch.ones(3, 4)]
    bank = torch.nested.nested_tensor(parts, layout=layout)

    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if kept:
            return x.flatten(1)[:, :4] + torch.nested.to_padded_tensor(bank, 0.0)[:, 0]
        flat = x.flatten(1)
        nested = torch.nested.as_nested_tensor([flat[0, :20], flat[1, :12]], layout=layout)
        return torch.nested.to_padded_tensor(nested, 0.0)

    with pytest.raises(NetError) as caught:
        graph_of(forward)
    assert "computes with a nested tensor, whose parts differ in shape" in str(caught.value)
    assert "pad the parts and use a mask" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_dropout_is_a_node_in_both_modes_and_drops_nothing() -> None:
    layers = [nn.Dropout(0.2), nn.Dropout2d(0.3)]

    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            x = layer(x)
        return F.dropout(x, 0.4, net.training)

    for training in (False, True):
        found = operations(graph_of(forward, *layers, training=training))
        assert found == [
            Dropout("dropout", 0.2, training),
            Dropout("dropout2d", 0.3, training),
            Dropout("dropout", 0.4, training),
        ]
    x = torch.ones(2, 3, 4, 4)
    with WithoutDropout():
        assert torch.equal(F.dropout(nn.Dropout2d(0.9)(x), 0.9), x)


def test_batch_norm_says_what_it_does_in_each_mode() -> None:
    norm = nn.BatchNorm2d(2, momentum=0.3, eps=0.01)
    for training in (False, True):
        (found,) = operations(graph_of(lambda net, x: norm(x), norm, training=training))
        assert isinstance(found, BatchNorm)
        assert (found.by_batch, found.eps) == (training, 0.01)
        assert found.mean is not None
        assert found.mean.name == "layers.0.running_mean"
    assert found.momentum == pytest.approx(0.3)


def test_parts_of_a_value_are_slices() -> None:
    found = operations(graph_of(lambda net, x: x[:, 1:].chunk(4, 2)[3][..., -2:]))
    assert found[0] == Slice("slice", 1, 1, 1, 1)
    assert Slice("split", 2, 6, 1, 2) in found
    assert found[-1] == Slice("slice", 3, 4, 1, 2)
    assert not operations(graph_of(lambda net, x: x.narrow(1, 0, x.shape[1])[:, :, 0:99]))


def test_the_operands_of_a_subtraction_are_in_order() -> None:
    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = x.exp()
        return torch.rsub(x - y, y)

    first, last = graph_of(forward).nodes[1:]
    assert (first.operation, first.inputs) == (Arithmetic("sub"), (0, 1))
    assert (last.operation, last.inputs) == (Arithmetic("sub"), (1, 2))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: 1 - x, Arithmetic("sub", 1, constant_first=True)),
        (lambda x: torch.rsub(x, 2), Arithmetic("sub", 2, constant_first=True)),
        (lambda x: x / 4, Arithmetic("div", 4)),
        (lambda x: torch.add(x, x, alpha=3), Arithmetic("add", alpha=3.0)),
        (lambda x: x.clamp(min=0.5), Activation("clamp", (0.5, float("inf")))),
        (F.relu6, Activation("hardtanh", (0.0, 6.0))),
        (lambda x: F.elu(x, 0.7), Activation("elu", (0.7, 1.0, 1.0))),
        (lambda x: F.gelu(x, approximate="tanh"), Activation("gelu_tanh")),
        (lambda x: x.mean((2, 3)), Reduction("mean", (2, 3), False)),
        (lambda x: x.amax(-1, keepdim=True), Reduction("amax", (3,), True)),
        (lambda x: torch.fft.fft(x), Opaque("fft_r2c", "", Mixture((3,)))),
        (
            lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"),
            Interpolation("upsample_bilinear2d", (12, 9), False, (1.5, 1.5)),
        ),
        (F.softshrink, Elementwise("softshrink")),
        (lambda x: torch.cumsum(dim=-1, input=x), Scan("cumsum", 3)),
    ],
)
def test_arguments_are_those_of_pytorch(
    function: Callable[[torch.Tensor], torch.Tensor], expected: Operation
) -> None:
    assert operations(graph_of(lambda net, x: function(x)))[-1] == expected


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.pixel_unshuffle(x, 2),
        lambda x: x.roll(2, 3).flip(2),
        lambda x: x[:, :, [3, 0, 0]],
        lambda x: x.repeat(1, 2, 1, 1),
        lambda x: x.index_select(3, torch.tensor([1, 4])),
        lambda x: torch.cat([x, torch.zeros(2, 1, 8, 6)], 1),
        lambda x: x.new_zeros(2, 2, 9, 9).index_put((torch.tensor([1]),), x[1, 1, 1, 1]),
    ],
)
def test_elements_in_other_places_are_found(
    function: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    """Reading the images through the sources gives what the net returns."""
    images = torch.rand(2, 2, 8, 6)
    values = [images]
    for node in graph_of(lambda net, x: function(x)).nodes:
        operation = node.operation.like if isinstance(node.operation, Opaque) else node.operation
        read = [values[number] for number in node.inputs]
        if isinstance(operation, Rearrangement):
            flat = torch.cat([*(value.flatten() for value in read), torch.zeros(1)])
            values.append(flat[torch.from_numpy(operation.source)])
        else:
            assert isinstance(operation, Slice)
            (value,) = read
            values.append(value.select(operation.dim, operation.start))
    assert torch.equal(values[-1], function(images))


def test_what_a_graph_cannot_show_is_marked() -> None:
    conv = nn.Conv2d(2, 3, 3)

    def reads(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return x * float(x.sum())

    def draws(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand(1)

    def writes(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        conv.bias.data.mul_(1.0)  # type: ignore[union-attr]
        conv.get_parameter("weight").requires_grad_(False).add_(0)
        return conv(x)  # type: ignore[no-any-return]

    def rereads(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = conv(x)
        view = y[:, 1:]
        y.relu_()
        return view

    def mixes(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean()

    assert graph_of(reads, conv).value_dependent == "Net"
    assert graph_of(draws, conv).random == "Net"
    assert graph_of(writes, conv).changes == "Net"
    assert graph_of(rereads, conv).stale == "Net"
    assert not graph_of(mixes, conv).nodes[0].batched
    harmless = graph_of(lambda net, x: F.relu_(conv(x)).flatten(1), conv)
    marks = (harmless.stale, harmless.changes, harmless.random, harmless.value_dependent)
    assert marks == ("", "", "", "")


def test_checks_of_arguments_choose_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Distribution, "_validate_args", True)  # torch.compile sets it to False

    def one_hot(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        index = x.flatten(1).argmax(1)
        return F.one_hot(index, 200) + F.one_hot(input=index, num_classes=200)  # type: ignore[call-arg]

    def as_many_as_needed(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return F.one_hot(x.flatten(1).argmax(1))

    def out_of_bounds(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return F.one_hot(x.flatten(1).argmax(1) + 9, 9)

    def draws(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return Normal(x, x.exp()).rsample()

    def checks(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return Normal(x, x.exp(), validate_args=True).rsample()

    assert graph_of(one_hot).value_dependent == ""
    assert graph_of(as_many_as_needed).value_dependent == "Net"
    with pytest.raises(NetError, match="out of bounds"):
        graph_of(out_of_bounds)
    assert graph_of(draws).value_dependent == ""
    assert graph_of(checks).value_dependent == "Net"
    with VALIDATION.held(), ThreadPoolExecutor() as pool:
        assert pool.submit(graph_of, draws).result().value_dependent == ""
    first, second = VALIDATION.held(), VALIDATION.held()  # of two threads
    for step in (first.__enter__, second.__enter__):
        step()
    for leave in (first.__exit__, second.__exit__):
        leave(None, None, None)
    with pytest.raises(ValueError, match="constraint"):  # as before
        Normal(torch.zeros(1), -torch.ones(1))


_GENERATOR = np.random.default_rng(0)


class _Drops(nn.Module):
    """Skips a block now and then, by random numbers from outside PyTorch."""

    def __init__(self, draw: Callable[[], float] | None) -> None:
        super().__init__()
        self.draw, self.block = draw, nn.Conv2d(2, 2, 1)
        self.generator = random.Random(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        number = self.draw() if self.draw else _GENERATOR.random()
        return x if number < 0.001 else x + self.block(x)


@pytest.mark.parametrize("own", ["python", "numpy", "attribute", "global"])
def test_random_numbers_from_outside_pytorch_are_marked(own: str) -> None:
    draws = {"python": random.random, "numpy": np.random.rand, "global": None}
    block = _Drops(draws.get(own))
    if own == "attribute":
        block.draw = block.generator.random
    net = nn.Sequential(nn.Conv2d(2, 2, 1), block, nn.Conv2d(2, 2, 1))
    assert trace_graph(net, (2, 8, 6)).random == "1"
    block.draw = lambda: 1.0
    assert trace_graph(net, (2, 8, 6)).random == ""


def test_a_trace_leaves_a_net_in_evaluation_mode_unchanged() -> None:
    net = COURSE_NETS["reused_relu"]()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with eval_mode(net):
        trace_graph(net, (1, 28, 28))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


class Reads(nn.Module):
    """Chooses a path by values that it reads back in one of many ways."""

    def __init__(self, read: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 28)
        self.read = read

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        bright = bool(np.max(np.asarray(self.read(x))) > 1e9)
        return (-y if bright else y).flatten(1)


WAYS_TO_READ: dict[str, Callable[[torch.Tensor], object]] = {
    "item": lambda x: x.max().item(),
    "float": lambda x: float(x.max()),
    "int": lambda x: int(x.max()),
    "numpy": lambda x: x.numpy(),
    "detached": lambda x: x.detach().cpu().numpy(),
    "data": lambda x: x.data.numpy(),
    "item of data": lambda x: x.data.max().item(),
    "list": lambda x: x.flatten().tolist(),
    "list of data": lambda x: x.data.flatten().tolist(),
    "asarray": lambda x: np.asarray(x),
    "function of NumPy": lambda x: np.square(x),
    "dlpack": lambda x: np.from_dlpack(x),
    "copy as a tensor": lambda x: torch.tensor(x).max().item(),
    "new tensor": lambda x: x.new_tensor(x).max().item(),
    "as tensor": lambda x: torch.as_tensor(x).max().item(),
    "list of numbers": lambda x: torch.tensor([x.max(), x.min()]).numpy(),
    "deep copy": lambda x: copy.deepcopy(x).numpy(),
    "copy": lambda x: copy.copy(x).numpy(),
    "saved": lambda x: torch.save(x, io.BytesIO()) or 0.0,
    "branch": lambda x: 1.0 if x.max() > 1e9 else 0.0,
    "comparison": lambda x: float(torch.equal(x, -x)),
    "printed": lambda x: len(str(x)),
    "representation": lambda x: len(repr(x)),
    "formatted": lambda x: float(f"{x.max():.3f}"),
    "counts": lambda x: len(torch.bincount((x.flatten() > 0).long())),
    "repetitions": lambda x: len(torch.repeat_interleave((x.flatten() > 0).long())),
    "places": lambda x: len(torch.argwhere(x > 0)),
    "pieces": lambda x: len(torch.tensor_split(x.flatten(), (x.flatten()[:2] > 0).long())),
    "sparse": lambda x: x.to_sparse()._nnz(),
    "picked": lambda x: len(x[x > 0]),
    "search in a list": lambda x: float(x.sum() in [1.0, 2.0]),
    "slice": lambda x: len(x[: (x.sum() > 0).long() + 1]),
    "address": lambda x: ctypes.c_float.from_address(x.data_ptr()).value,
    "lengths": lambda x: len(
        nn.utils.rnn.pack_padded_sequence(
            x[:, 0], (x[:, 0, :, 0] >= 0).sum(1), batch_first=True, enforce_sorted=False
        ).data
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", few_fast(WAYS_TO_READ, 17))
def test_values_that_are_read_back_are_seen_however_it_is_done(way: str) -> None:
    net = Reads(WAYS_TO_READ[way])
    graph = trace_graph(net, (1, 28, 28))
    assert graph.value_dependent == "Reads"
    with pytest.raises(ExportError, match="reading a tensor's value back into Python cannot be"):
        build_inference_graph(net, (1, 28, 28), 0.0, 1.0)
    assert summary(net).macs is None


HARMLESS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "data": lambda x: x.data,
    "type of another": lambda x: x + torch.ones(1).type_as(x),
    "zeros like": lambda x: x + torch.zeros_like(x) + x.new_zeros(x.shape),
    "new tensor": lambda x: x + x.new_tensor([0.5]),
    "tensor of numbers": lambda x: x + torch.tensor(0.5) + torch.as_tensor([0.5]),
    "shapes": lambda x: x.view(len(x), *x.shape[1:]).reshape(x.size()),
    "no change": lambda x: x.to(x.dtype).float().contiguous().cpu(),
    "loop": lambda x: torch.stack(list(x)),
    "mask of its own": lambda x: x[:, torch.tensor([True, False])].repeat(1, 2, 1, 1),
    "name of the shape": lambda x: x if str(x.shape) else -x,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_reads_no_values_is_not_taken_for_it(name: str) -> None:
    conv = nn.Conv2d(2, 10, 3)
    graph = graph_of(lambda net, x: conv(HARMLESS[name](x)).flatten(1), conv)
    assert (graph.value_dependent, graph.output is None) == ("", False)
