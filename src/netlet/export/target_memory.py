"""What a net needs on a microcontroller, in float32 and in int8, for its model card."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from netlet.data import Dataset
from netlet.display import Displayed
from netlet.errors import ExportError
from netlet.export.board_run import has_emulator
from netlet.export.c_options import COptions
from netlet.export.c_program import generate_program
from netlet.export.c_size import measure_size
from netlet.export.image_selection import select_calibration_images, select_verification_images
from netlet.export.progress import OnProgress, ignore_progress
from netlet.export.quantize import quantize_graph
from netlet.export.targets import find_target
from netlet.export.traced_model import TracedModel

_KEYS = ("flash_bytes", "ram_bytes", "stack_bytes", "instructions")


@dataclass(frozen=True)
class TargetMemory(Displayed):
    """What a net needs on a target.

    Attributes:
        rows: For each arithmetic that the net can be exported in, the bytes of flash, RAM and
            stack, and the instructions of an image; None if unknown.
        how: How they were measured, in sentences.
    """

    rows: Mapping[str, tuple[int | None, ...]]
    how: str


def measure_target_memory(
    model: TracedModel,
    dataset: Dataset | None,
    options: COptions,
    on_progress: OnProgress = ignore_progress,
) -> TargetMemory:
    """Build a net for a target, in float32 and in int8, and measure both.

    Args:
        model: The net.
        dataset: The data set that it was trained on, to calibrate int8; None: synthetic digits.
        options: With a target.
        on_progress: Called when a phase begins.

    Raises:
        ExportError: There is no compiler for the target, or the net can be exported in neither
            arithmetic.
    """
    assert options.target is not None
    target = find_target(options.target)
    images = select_verification_images(model, dataset)[1].images
    rows: dict[str, tuple[int | None, ...]] = {}
    refusals: dict[str, ExportError] = {}
    for arithmetic in ("float32", "int8"):
        on_progress(f"measuring {arithmetic} for {target.name}")
        try:
            quantized = None
            if arithmetic == "int8":
                quantized = quantize_graph(
                    model.graph, select_calibration_images(model, dataset)[1]
                )
            texts = generate_program(model, quantized, options.prefix)
        except ExportError as reason:
            refusals[arithmetic] = reason
            continue
        memory = measure_size(texts, model.graph, quantized, options, images).memory
        rows[arithmetic] = tuple(memory[key] for key in _KEYS)
    if not rows:
        raise next(iter(refusals.values()))
    stack = "the stack is an upper bound, because the program was not run"
    if has_emulator(target):
        stack = f"stack and instructions were measured in QEMU, on the board {target.board}"
    how = (
        f"For {target.name} ({target.about}), compiled by `{target.compiler}` with "
        f"`{shlex.join(options.flags)}`. Sizes are in bytes, those of the libraries that the net "
        f"needs included; {stack}."
    )
    for arithmetic, refusal in refusals.items():
        how += f" Not in {arithmetic}: {refusal}."
    return TargetMemory(rows, how)
