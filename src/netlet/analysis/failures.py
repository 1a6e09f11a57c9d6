"""Describe why a net failed to run: the layer, the shape of its input, the reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

from netlet.analysis.module_rows import shown_run
from netlet.graph import ModuleRun
from netlet.nets.device_errors import describe_device_error
from netlet.text import format_shape

# Words that occur in PyTorch's messages about shapes, and words of other errors that mention sizes.
_SHAPE_WORDS = re.compile(r"shape|\bsizes?\b|dimension|\bdims?\b|channel|\d-?D\b|elements", re.I)
_OTHER_WORDS = re.compile(r"CUDA|cuDNN|cuBLAS|HIP|MPS|\bmemory\b|\bdevices?\b", re.I)


def describe_failure(error: Exception, last: ModuleRun, shape: Sequence[int]) -> str:
    """Return a message for a net that failed to run.

    If the reason is about shapes, the message also says how to change the input shape.

    Args:
        error: What it raised.
        last: The run of a module that started last.
        shape: Of one image.
    """
    lines = str(error).strip().splitlines()
    device_error = describe_device_error(error)
    reason = device_error or (lines[0] if lines else type(error).__name__)
    message = f"{_describe(shown_run(last))}: {reason}"
    text = str(error)
    if device_error or not _SHAPE_WORDS.search(text) or _OTHER_WORDS.search(text):
        return message
    return (
        f"{message} (input {_format_shape(shape)}; set another with --input C,H,W in show and "
        "check, or repeat gray images with --channels 3 in train and evaluate)"
    )


def _describe(run: ModuleRun) -> str:
    name = run.path or "(net)"
    if run.input is None:
        return name
    return f"{name} ({run.kind}) with input {_format_shape(run.input)}"


def _format_shape(shape: Sequence[int]) -> str:
    return format_shape(tuple(shape)) if prod(shape) else "of no elements"
