"""The nets of the five documents against the documents' own tables, copied to tests/golden."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from netlet import nets
from netlet.analysis import format_torchinfo, format_torchsummary, receptive_field

GOLDEN = Path(__file__).parent / "golden"
TORCHSUMMARY = {
    "document_000": nets.pyramid,
    "document_002": nets.expand_squeeze,
    "document_004": nets.code_4,
}
TOTALS = {
    "pyramid": 18_530,
    "mnistnet_1": 7_416,
    "expand_squeeze": 18_666,
    "week4": 19_642,
    "week4_conv": 19_642,
    "code_1": 119_392,
    "code_2": 4_990,
    "code_3": 5_150,
    "code_4": 7_904,
}


def content(text: str) -> list[str]:
    """Return the lines with text, with single spaces: the documents' Markdown changed the spacing."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and not set(line) <= {"-", "="}]


@pytest.mark.parametrize("document", TORCHSUMMARY)
def test_rows_and_totals_equal_the_documents_table(document: str) -> None:
    golden = (GOLDEN / f"{document}.torchsummary.txt").read_text()
    assert content(format_torchsummary(TORCHSUMMARY[document]())) == content(golden)


def test_document_000_is_reproduced_to_the_character() -> None:
    golden = (GOLDEN / "document_000.torchsummary.txt").read_text()
    ours = format_torchsummary(nets.pyramid())
    assert [line.rstrip() for line in ours.splitlines()] == [
        line.rstrip() for line in golden.splitlines()
    ]


def test_document_001_is_reproduced_to_the_character() -> None:
    golden = (GOLDEN / "document_001.torchinfo.txt").read_text()
    ours = format_torchinfo(nets.mnistnet_1())
    assert [line.rstrip() for line in ours.splitlines()] == [
        line.rstrip() for line in golden.splitlines()
    ]


def test_document_001_receptive_field_table_is_reproduced_and_completed() -> None:
    golden = [
        tuple(int(cell) for cell in line.strip("| ").split("|"))
        for line in (GOLDEN / "document_001.receptive_field.md").read_text().splitlines()[2:]
    ]
    rows = receptive_field(nets.mnistnet_1()).rows
    columns = ("n_in", "k", "s", "p", "n_out", "r_in", "j_in", "r_out", "j_out")
    assert all(len(set(getattr(row, column))) == 1 for row in rows for column in columns)
    ours = [tuple(getattr(row, column)[0] for column in columns) for row in rows]
    assert len(golden) == 7
    assert ours[:7] == golden
    assert ours[7:] == [(6, 6, 6, 0, 1, 18, 2, 28, 12), (1, 1, 1, 0, 1, 28, 12, 28, 12)]


def test_document_003_repr_is_reproduced() -> None:
    golden = (GOLDEN / "document_003.repr.txt").read_text()
    # Torch 2.12 began to print the bias of a batch norm; the document is older.
    ours = re.sub(r"(BatchNorm2d\(.*affine=True), bias=True", r"\1", repr(nets.week4()))
    assert ours.splitlines() == golden.rstrip().splitlines()


@pytest.mark.parametrize("name", TOTALS)
def test_every_documents_net_has_the_documents_total(name: str) -> None:
    net = nets.NETS[name].builder()
    assert sum(p.numel() for p in net.parameters()) == TOTALS[name]
    assert net.train()(torch.randn(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("document", [*TORCHSUMMARY, "document_001"])
def test_golden_tables_detect_a_missing_bias_and_swapped_layers(document: str) -> None:
    style = format_torchinfo if document == "document_001" else format_torchsummary
    suffix = "torchinfo" if document == "document_001" else "torchsummary"
    golden = content((GOLDEN / f"{document}.{suffix}.txt").read_text())
    builder = TORCHSUMMARY.get(document, nets.mnistnet_1)

    other = builder()
    conv = next(module for module in other.modules() if isinstance(module, nn.Conv2d))
    conv.bias = None if conv.bias is not None else nn.Parameter(torch.zeros(conv.out_channels))
    assert content(style(other)) != golden

    swapped = builder()
    parent = next(
        m for m in swapped.modules() if isinstance(m, nn.Sequential | nn.ModuleList) and len(m) > 2
    )
    parent[1], parent[2] = parent[2], parent[1]
    assert content(style(swapped)) != golden


def test_the_linear_head_and_its_convolution_compute_the_same() -> None:
    linear, conv = nets.week4().eval(), nets.week4_conv().eval()
    state = linear.state_dict()
    state["fc2.0.weight"] = state["fc2.0.weight"][:, :, None, None]
    conv.load_state_dict(state)
    x = torch.randn(16, 1, 28, 28)
    torch.testing.assert_close(conv(x), linear(x))
    assert conv(x).abs().max() > 0


@pytest.mark.parametrize("name", nets.NETS)
def test_every_net_takes_other_numbers_of_classes(name: str) -> None:
    assert nets.NETS[name].builder(classes=26)(torch.zeros(2, 1, 28, 28)).shape == (2, 26)


def test_code_3_adds_norms_on_80_channels_to_code_2() -> None:
    norms = [module for module in nets.code_3().modules() if isinstance(module, nn.BatchNorm2d)]
    assert sum(norm.num_features for norm in norms) == 80
    convs = [
        [m.weight.shape for m in net.modules() if isinstance(m, nn.Conv2d)]
        for net in (nets.code_2(), nets.code_3())
    ]
    assert convs[0] == convs[1]
