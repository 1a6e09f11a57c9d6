"""Tables in the styles of torchinfo and torchsummary, compared with what these programs print."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable

import pytest
import torch
import torchinfo
import torchsummary
from fixtures import compiled_nets, foreign_nets, honest_nets, nets_to_export
from fixtures.compiled_nets import SHAPES
from fixtures.course_nets import COURSE_NETS
from fixtures.table_nets import TABLE_NETS
from helpers import FIXTURES, Netlet, few_fast
from torch import nn

from netlet import nets
from netlet.analysis import TABLE_STYLES, hooked_run
from netlet.errors import NetError

# They need arguments or other images, return no logits, or have random paths.
UNFIT = ("Gate", "Needy", "KnownArguments", "NoLogits", "ThreeChannels", "ControlFlow")
Builder = Callable[[], nn.Module]
SHAPE = (1, 28, 28)
OTHER_NETS = {
    f"{module.__name__}.{name}": value
    for module in (compiled_nets, foreign_nets, honest_nets, nets_to_export)
    for name, value in vars(module).items()
    if getattr(value, "__module__", "") == module.__name__
    and (name in SHAPES or module is not compiled_nets)
    and not name.startswith("_")
    and name not in UNFIT
}


def print_by_torchinfo(net: nn.Module, shape: tuple[int, ...]) -> str:
    printed = str(torchinfo.summary(net, (1, *shape), verbose=0, device="cpu"))
    # From Python 3.11 on, torchinfo writes the name of its constant instead of its value.
    units = {"MEGABYTES": "M", "GIGABYTES": "G", "TERABYTES": "T"}
    return re.sub(r"Units\.(\w+)", lambda match: units[match[1]], printed)


def print_by_torchsummary(net: nn.Module, shape: tuple[int, ...]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        torchsummary.summary(net, shape, device="cpu")
    return printed.getvalue().rstrip("\n")


PRINTED = {"torchinfo": print_by_torchinfo, "torchsummary": print_by_torchsummary}


def build(builder: Builder) -> nn.Module:
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lazy layers and of torch.jit
        return builder()


def compare(style: str, builder: Builder, shape: tuple[int, ...] = SHAPE) -> str:
    """Compare a table with the program's own, or expect a note if the program raises an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = TABLE_STYLES[style](build(builder), shape)
        try:
            theirs = PRINTED[style](build(builder), shape)
        except Exception:
            assert re.search(rf"\nnote: {style} [\d.]+ raises an error on this net: ", ours)
            return ours
    assert ours == theirs
    return ours


@pytest.mark.parametrize("style", PRINTED)
@pytest.mark.parametrize("name", few_fast(TABLE_NETS, 24))
def test_unusual_nets(style: str, name: str) -> None:
    compare(style, TABLE_NETS[name])


@pytest.mark.parametrize("style", PRINTED)
@pytest.mark.parametrize("name", few_fast(COURSE_NETS, 6))
def test_nets_of_courses(style: str, name: str) -> None:
    fails = (style, name) == ("torchinfo", "fully_convolutional")  # it squeezes one image away
    assert ("note: torch" in compare(style, COURSE_NETS[name])) == fails


@pytest.mark.parametrize("style", PRINTED)
@pytest.mark.parametrize("name", few_fast(nets.NETS, 4))
def test_registered_nets(style: str, name: str) -> None:
    assert "note:" not in compare(style, nets.NETS[name].builder)


@pytest.mark.parametrize("style", PRINTED)
@pytest.mark.parametrize("name", few_fast(OTHER_NETS, 6))
def test_nets_of_other_tests(style: str, name: str) -> None:
    compare(style, OTHER_NETS[name], SHAPES.get(name.rpartition(".")[2], SHAPE))


@pytest.mark.parametrize("style", PRINTED)
def test_color_and_nonsquare_images(style: str) -> None:
    compare(style, lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (3, 40, 17))


@pytest.mark.parametrize(
    ("style", "name", "note"),
    [
        (
            "torchsummary",
            "Recurrent",
            "torchsummary 1.5.1 raises an error on this net: the output of LSTM-1 is neither a "
            "tensor nor a list of tensors of one rank; the table shows its first tensor",
        ),
        (
            "torchsummary",
            "no_parameters",
            "torchsummary 1.5.1 raises an error on this net: no layer in the net has a weight or "
            "a bias",
        ),
        (
            "torchinfo",
            "LazyNeverRun",
            "torchinfo 1.8.0 raises an error on this net: spare.weight has no shape, since its "
            "lazy layer never ran",
        ),
        (
            "torchinfo",
            "NeedsTwoImages",
            "torchinfo 1.8.0 raises an error on this net: needs two images; this is netlet's own "
            "table",
        ),
    ],
)
def test_a_note_says_why_the_program_raises_an_error(style: str, name: str, note: str) -> None:
    lines = compare(style, TABLE_NETS[name]).splitlines()
    assert lines[-1] == f"note: {note}"
    assert not any("note: torch" in line for line in lines[:-1])


def test_tables_of_nets_on_which_the_program_raises_an_error_follow_its_rules() -> None:
    lines = compare("torchsummary", TABLE_NETS["Recurrent"]).splitlines()
    assert lines[3].split() == ["LSTM-1", "[-1,", "28,", "16]", "0"]
    assert "Total params: 170" in lines
    lines = compare("torchinfo", TABLE_NETS["LazyNeverRun"]).splitlines()
    assert lines[4].split() == ["├─Conv2d:", "1-1", "[1,", "10,", "26,", "26]", "100"]
    assert "Total params: 100" in lines


@pytest.mark.parametrize("style", PRINTED)
def test_the_net_is_left_as_it_was(style: str) -> None:
    net = build(TABLE_NETS["AuxiliaryHead"])
    net.conv.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = torch.get_rng_state()
    TABLE_STYLES[style](net, SHAPE)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert net.training
    assert not net.conv.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize("style", PRINTED)
def test_a_net_that_never_runs_is_refused_as_elsewhere(style: str) -> None:
    with pytest.raises(NetError, match=r"^0 \(Conv2d\) with input 1x28x28: .*--input C,H,W"):
        TABLE_STYLES[style](nn.Sequential(nn.Conv2d(3, 8, 3)), SHAPE)


@pytest.mark.parametrize("style", PRINTED)
def test_modules_that_share_modules_without_end_get_our_own_table(
    style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooked_run, "_MOST_WAYS", 100)
    net: nn.Module = nn.Flatten()
    for _ in range(8):
        net = nn.Sequential(net, nn.Sequential(net))
    table = TABLE_STYLES[style](TakesFirst(net), SHAPE)
    assert table.splitlines()[-1].endswith(
        "its modules are reached in more than 100 ways; this is netlet's own table"
    )


class TakesFirst(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :10]


def test_names_with_control_characters_are_escaped() -> None:
    net = nn.Sequential(type("Red\x1b[31m", (nn.Flatten,), {})(), nn.Linear(784, 10))
    for style in TABLE_STYLES.values():
        assert r"Red\x1b[31m" in style(net, SHAPE)
        assert "\x1b" not in style(net, SHAPE)


def test_show_prints_the_table_and_where_it_differs(netlet: Netlet) -> None:
    path = FIXTURES / "table_nets.py"
    _, out, err = netlet("show", f"{path}:SharedRelu", "--style", "torchinfo")
    assert out.rstrip("\n") == print_by_torchinfo(build(TABLE_NETS["SharedRelu"]), SHAPE)
    assert err == (
        "note: torchinfo itself writes (Units.MEGABYTES) for (M) on Python 3.11 and later\n"
    )
    _, out, err = netlet("show", f"{path}:SharedRelu", "--style", "torchsummary")
    assert out.rstrip("\n") == print_by_torchsummary(build(TABLE_NETS["SharedRelu"]), SHAPE)
    assert err == ""


@pytest.mark.slow
def test_show_prints_the_same_table_from_the_sandbox(netlet: Netlet) -> None:
    command = ("show", f"{FIXTURES / 'table_nets.py'}:lazy", "--style", "torchinfo")
    assert netlet(*command, "--sandbox")[:2] == netlet(*command)[:2]
