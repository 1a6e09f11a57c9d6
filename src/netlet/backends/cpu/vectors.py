"""How many numbers a vector of a program holds."""

from __future__ import annotations

import dataclasses
from typing import Any

from netlet.backends.cpu.parts.base import MapShape, Part
from netlet.backends.cpu.parts.stage import Stage
from netlet.backends.cpu.program import Program

_NARROW = 8
# How many more vectors a program with narrow ones may have. On a Xeon with AVX-512, a step took
# 0.5 to 0.8 times as long with up to 1.45 times as many, 0.93 times with 1.55 and 1.08 with 1.7.
_MOST_VECTORS = 1.6


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
    return narrow if count_vectors(narrow) <= _MOST_VECTORS * count_vectors(program) else program


def count_vectors(program: Program) -> int:
    """Return the vectors in the maps of one image, before and after pooling."""
    count = 0
    for part in program.parts:
        if isinstance(part, Stage):
            count += part.conv_h * part.conv_w * part.shape.blocks
        count += part.shape.h * part.shape.w * part.shape.blocks
    return count


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
