"""Memory that an exported C program needs, and instructions that it takes on a target."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from netlet.errors import ExportError
from netlet.export import int8_reference, reference
from netlet.export.board_run import (
    BoardRun,
    NotRunError,
    Program,
    has_emulator,
    link_size,
    run_program,
)
from netlet.export.c_build import OBJECT, measure_build
from netlet.export.c_options import COptions
from netlet.export.inference_graph import InferenceGraph
from netlet.export.quantize import QuantizedGraph
from netlet.export.targets import Target, find_target
from netlet.export.verification import ROUNDING_TOLERANCE

_MAX_IMAGES = 100
# Emulated for a measurement: at 50 million a second, that is a few seconds.
_MAX_INSTRUCTIONS = 300_000_000
_INSTRUCTIONS_PER_MAC = {"integer": 20, "fpu": 15, "software": 200}  # at -Os, rather too many


@dataclass(frozen=True)
class MeasuredSize:
    """What a C export says about the memory that it needs.

    Attributes:
        notes: Lines for the user.
        memory: Keys for JSON.
    """

    notes: tuple[str, ...] = ()
    memory: Mapping[str, Any] = field(default_factory=dict)


def measure_size(
    texts: Mapping[str, str],
    graph: InferenceGraph,
    quantized: QuantizedGraph | None,
    options: COptions,
    images: torch.Tensor,
) -> MeasuredSize:
    """Measure a program, and run it if it is for a target that QEMU emulates here.

    Args:
        texts: The files of the program, by name.
        graph: What it computes.
        quantized: The same in integers; None for float32.
        options: With target and flags.
        images: Images to run it on, ``N C H W``; as many of them as take a few seconds.

    Raises:
        NoCompilerError: There is no compiler on this machine, and no target is named.
        ExportError: The compiler fails, or the scores of the target are others than here.
    """
    if options.target is None:
        return _measure_here(texts, options.flags)
    target = find_target(options.target)
    function = f"{options.prefix}_predict{'_int' if quantized else ''}"
    program = Program(texts, function, quantized is not None, graph.classes)
    size = link_size(program, target, options.flags)
    run, stack, verb = None, None, "at most "
    why = f"{target.emulator[0]} was not found (Debian's package {target.emulator_package})"
    if has_emulator(target):
        images = images[: _count_images(graph, target, quantized is not None)]
        try:
            run = run_program(program, target, options.flags, images.numpy())
        except NotRunError as reason:
            why = str(reason)
    if run is not None:
        stack, verb = run.stack_bytes, ""
        ran = _compare_scores(run, graph, quantized, images, target)
    else:
        measured = measure_build(
            texts, target.compiler, (*target.flags, target.library, *options.flags, *OBJECT)
        )
        stack = measured.stack_bytes if measured else None
        ran = f"not run, because {why}"
    of_stack = f" and {verb}{stack:,} bytes of stack" if stack is not None else ""
    notes = (
        f"{target.name}: {size.flash_bytes:,} bytes of flash, {size.ram_bytes:,} bytes of RAM"
        f"{of_stack} ({shlex.join(options.flags)}, {target.compiler}); {ran}",
        *size.warnings,
    )
    memory = _to_json(size.flash_bytes, size.ram_bytes, stack, options)
    return MeasuredSize(notes, memory | {"instructions": run and run.instructions})


def _measure_here(texts: Mapping[str, str], flags: Sequence[str]) -> MeasuredSize:
    size = measure_build(texts, flags=(*flags, *OBJECT))
    if size is None:
        return MeasuredSize(
            ("size unknown: install 'size' (GNU binutils), which reads the object file",)
        )
    memory = _to_json(
        size.flash_bytes, size.ram_bytes, size.stack_bytes, COptions(flags=tuple(flags))
    )
    return MeasuredSize((f"this machine: {size}", *size.warnings), memory | {"instructions": None})


def _to_json(flash: int, ram: int, stack: int | None, options: COptions) -> dict[str, Any]:
    return {
        "flash_bytes": flash,
        "ram_bytes": ram,
        "stack_bytes": stack,
        "target": options.target,
        "flags": list(options.flags),
    }


def _count_images(graph: InferenceGraph, target: Target, int8: bool) -> int:
    """Return how many images are emulated in a few seconds."""
    macs = sum(layer.weight.size * math.prod(layer.shape[1:]) for layer in graph.convolutions())
    arithmetic = "integer" if int8 else "fpu" if target.has_fpu else "software"
    each = max(1, macs * _INSTRUCTIONS_PER_MAC[arithmetic])
    return min(_MAX_IMAGES, max(1, _MAX_INSTRUCTIONS // each))


def _compare_scores(
    run: BoardRun,
    graph: InferenceGraph,
    quantized: QuantizedGraph | None,
    images: torch.Tensor,
    target: Target,
) -> str:
    """Compare the scores of the target with those of Python, and return what to say."""
    actual = torch.from_numpy(run.scores.copy())
    if quantized is not None:
        expected = torch.from_numpy(int8_reference.compute_logits(quantized, images.numpy()))
        same = bool((actual == expected).all())
        how = "equal to the bit"
    else:
        expected = reference.compute_logits(graph, images)
        largest = float((actual - expected).abs().max())
        same = largest <= ROUNDING_TOLERANCE * max(1.0, float(expected.abs().max()))
        how = f"differ by at most {largest:.2g}"
    if not same:
        raise ExportError(
            f"verification failed: compiled for {target.name}, the exported C program computes "
            "other scores than PyTorch; nothing was written; try other --flags, and please report "
            "this net as a bug"
        )
    number = f"{len(images)} image{'s' if len(images) != 1 else ''}"
    return (
        f"run by QEMU ({target.board}): {run.instructions:,} instructions per image, scores of "
        f"{number} {how}"
    )
