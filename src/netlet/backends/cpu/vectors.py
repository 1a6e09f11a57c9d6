"""How many numbers a vector of a program holds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from netlet.backends.cpu.parts.base import MapShape, Part
from netlet.backends.cpu.parts.stage import Stage
from netlet.backends.cpu.program import Program

_NARROW = 8
# How many times as many instructions the convolutions may take with narrow vectors. By
# results/vectors.json, a step is faster up to here.
_MOST_INSTRUCTIONS = 1.5


def fit_vectors(program: Program) -> Program:
    """Return a program with vectors of 8 numbers instead of 16 if that is faster.

    A vector holds channels of one pixel, so that the wider ones are half empty in a map of up to
    eight channels.

    Args:
        program: In float32, with the widest vectors of the processor.
    """
    dropped = any(part.dropout for part in program.parts)  # the width decides what is dropped
    if dropped or program.shape.vector <= _NARROW:
        return program
    narrow = with_vectors_of(program, _NARROW)
    limit = _MOST_INSTRUCTIONS * count_multiplications(program)
    return narrow if count_multiplications(narrow) <= limit else program


def count_multiplications(program: Program) -> int:
    """Return how many vectors of weights the convolutions multiply in a pass with one image."""
    return sum(
        part.conv_h
        * part.conv_w
        * part.shape.blocks
        * math.prod(part.taps)
        * (part.source.channels // part.groups)
        for part in program.parts
        if isinstance(part, Stage)
    )


def with_vectors_of(program: Program, numbers: int) -> Program:
    """Return the same program with vectors of so many numbers."""

    def fit(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(fit, value))
        return dataclasses.replace(value, vector=numbers) if isinstance(value, MapShape) else value

    def fit_part(part: Part) -> Part:
        fields = [field.name for field in dataclasses.fields(part)]
        return dataclasses.replace(part, **{name: fit(getattr(part, name)) for name in fields})

    end = dataclasses.replace(program.end, shape=fit(program.end.shape))
    return Program(fit(program.shape), tuple(map(fit_part, program.parts)), end)
