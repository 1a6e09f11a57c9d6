"""Vectors are as wide as a net's maps need, and every width computes the same."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from fixtures import compiled_nets
from helpers import few_fast, linux_only
from torch.nn.modules.dropout import _DropoutNd

import netlet
from netlet.backends.cpu import CompiledStep, compiled_step
from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.parts.base import LANES
from netlet.backends.cpu.program import Program
from netlet.backends.cpu.vectors import count_multiplications, fit_vectors, with_vectors_of
from netlet.nets import find_net


def program_of(net: str, vector: int) -> Program:
    program = read_program(netlet.build(find_net(net).builder, seed=0), (1, 28, 28))
    return with_vectors_of(program, vector)


@pytest.mark.parametrize(
    ("net", "vector"),
    [("4 d7 P d8 8", 8), ("speck", 8), ("swift", 16), ("mnistnet_3", 16), ("crest", 16)],
)
def test_vectors_are_of_eight_numbers_where_sixteen_would_be_half_empty(
    net: str, vector: int
) -> None:
    assert fit_vectors(program_of(net, 16)).shape.vector == vector


@pytest.mark.parametrize("vector", [4, 8])
def test_vectors_that_are_narrow_already_stay(vector: int) -> None:
    program = program_of("speck", vector)
    assert fit_vectors(program) is program


def test_a_net_with_dropout_keeps_the_masks_of_its_wide_vectors() -> None:
    program = program_of("speck", 16)
    first, *others = program.parts
    dropping = dataclasses.replace(
        program, parts=(dataclasses.replace(first, dropout=0.1), *others)
    )
    assert fit_vectors(dropping) is dropping


def test_multiplications_are_counted_in_vectors() -> None:
    # Windows of 3x3 over one channel to a map of 26x26x6, and over six to one of 24x24x20.
    narrow, wide = (program_of("6 20 P", vector) for vector in (8, 16))
    assert count_multiplications(wide) == 9 * (26 * 26 + 6 * 24 * 24 * 2)
    assert count_multiplications(narrow) == 9 * (26 * 26 + 6 * 24 * 24 * 3)


@linux_only
@pytest.mark.parametrize("name", few_fast(compiled_nets.SHAPES, 3))
def test_steps_with_narrow_vectors_compute_the_same_as_pytorch(
    name: str, quick_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = min(8, LANES // 2)
    monkeypatch.setattr(
        compiled_step, "fit_vectors", lambda program: with_vectors_of(program, narrow)
    )
    torch.manual_seed(0)
    net = getattr(compiled_nets, name)()
    for module in net.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
    CompiledStep(net, compiled_nets.SHAPES[name], 9, half=False)  # compares with PyTorch
