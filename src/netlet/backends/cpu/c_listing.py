"""A program with what its C code is written from: numbers, neighbors and sizes of its parts."""

from __future__ import annotations

from dataclasses import dataclass

from netlet.backends.cpu.parts.base import IMAGE, Code, Part
from netlet.backends.cpu.program import Program

PARAMETERS = "Net *net, Arena *arena, int thread, int slot, int training"
ARGUMENTS = "net, arena, thread, {slot}, {training}"


@dataclass(frozen=True)
class Listing:
    """A program, and for each part what it needs to know to write itself down.

    Attributes:
        program: The net.
        half: Whether convolutions read bfloat16 instead of float32.
        training: Whether to include the training step.
        images: The largest batch size.
        with_teacher: Whether the loss of the training step reads the logits of a teacher.
        parts: Numbers and parts.
        codes: By number.
        trained: By number, whether the gradient of its output is needed.
        readers: By number, the parts that read it.
    """

    program: Program
    half: bool
    training: bool
    images: int
    with_teacher: bool
    parts: tuple[tuple[int, Part], ...]
    codes: tuple[Code, ...]
    trained: tuple[bool, ...]
    readers: tuple[tuple[int, ...], ...]


def list_parts(
    program: Program,
    *,
    half: bool,
    training: bool,
    images: int,
    registers: int,
    with_teacher: bool = False,
) -> Listing:
    """Return a program with what its C code is written from.

    Args:
        program: The net.
        half: Whether convolutions read bfloat16 instead of float32.
        training: Whether to include the training step.
        images: The largest batch size.
        registers: The number of vector registers that can hold sums.
        with_teacher: Whether the loss of the training step reads the logits of a teacher.
    """
    parts = tuple(enumerate(program.parts))
    trained = tuple(program.is_trained(k) for k, _ in parts)
    readers = tuple(tuple(program.readers(k)) for k, _ in parts)
    codes = []
    for k, part in parts:
        adds = []
        for position, number in enumerate(part.inputs):
            # Backward, the end comes first, then the last part; the first of them stores.
            earlier = program.end.part == number or number in part.inputs[:position]
            adds.append(number != IMAGE and (earlier or any(r > k for r in readers[number])))
        codes.append(
            Code(
                number=k,
                half=half,
                registers=registers,
                inputs=tuple(None if n == IMAGE else program.parts[n] for n in part.inputs),
                adds=tuple(adds),
                wanted=tuple(n != IMAGE and trained[n] for n in part.inputs),
                numbers=part.inputs,
            )
        )
    return Listing(
        program, half, training, images, with_teacher, parts, tuple(codes), trained, readers
    )
