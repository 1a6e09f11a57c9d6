"""Describe why a net failed to run: the layer, the shape of its input, the reason."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from math import prod

from torch import nn

from netlet.analysis.module_rows import shown_run
from netlet.graph import ModuleRun
from netlet.nets.device_errors import describe_device_error
from netlet.nets.name_errors import explain_name_error
from netlet.nets.sources import locate_error
from netlet.text import format_shape

# Words that occur in PyTorch's messages about shapes, and words of other errors that mention sizes.
_SHAPE_WORDS = re.compile(r"shape|\bsizes?\b|dimension|\bdims?\b|channel|\d-?D\b|elements", re.I)
_OTHER_WORDS = re.compile(r"CUDA|cuDNN|cuBLAS|HIP|MPS|\bmemory\b|\bdevices?\b", re.I)
# Errors that PyTorch raises for tensors of a wrong shape.
_SHAPE_ERRORS = (AssertionError, IndexError, RuntimeError, ValueError)
_NO_FORWARD = re.compile(r'Module \[(.*)\] is missing the required "forward" function')
_SCRIPTED_ARGUMENT = re.compile(r"missing value for argument '(\w+)'")
_IMAGES_ALONE = "a net must take images alone"


def describe_failure(error: Exception, last: ModuleRun, shape: Sequence[int]) -> str:
    """Return a message for a net that failed to run.

    If the reason is about shapes, the message also says how to change the input shape. Of a net in
    a notebook, it begins with the cell and the line.

    Args:
        error: What it raised.
        last: The run of a module that started last.
        shape: The shape of one image.
    """
    where = locate_error(error)
    message = _describe_code(error, last) or _describe_run(error, last, shape)
    return f"{where}: {message}" if where else message


def _describe_run(error: Exception, last: ModuleRun, shape: Sequence[int]) -> str:
    """Return a message for an error that PyTorch raised, or the net itself."""
    lines = str(error).strip().splitlines()
    device_error = describe_device_error(error)
    reason = device_error or (lines[0] if lines else type(error).__name__)
    message = f"{_describe(shown_run(last))}: {reason}"
    text = str(error)
    if (
        device_error
        or not isinstance(error, _SHAPE_ERRORS)
        or not _SHAPE_WORDS.search(text)
        or _OTHER_WORDS.search(text)
    ):
        return message
    return (
        f"{message} (input {_format_shape(shape)}; set another with --input C,H,W in show and "
        "check, or repeat gray images with --channels 3 in train and evaluate)"
    )


def _describe_code(error: Exception, last: ModuleRun) -> str:
    """Return a message if the net's code is the reason, and not the image; else nothing."""
    if isinstance(error, NameError):
        return f"{_root(last).kind}: {explain_name_error(error)}"
    lines = str(error).strip().splitlines() or [""]
    root = _root(last)
    if missing := _NO_FORWARD.match(lines[0]):
        if last is root and missing[1] == root.kind:
            return f"{root.kind}: has no forward(); define one, and {_IMAGES_ALONE}"
        return f"{_describe(shown_run(last))}: {missing[1]} has no forward(); define one"
    wants, optional = _list_arguments(root.module, lines[0])
    if wants and not root.steps:
        return f"{root.kind}: its forward() takes {wants}; {_IMAGES_ALONE}"
    if optional and "NoneType" in lines[0]:
        return (
            f"{_describe(shown_run(last))}: {lines[0]}; its forward() gets no {optional}, since "
            f"{_IMAGES_ALONE}"
        )
    return ""


def _root(run: ModuleRun) -> ModuleRun:
    while run.parent is not None:
        run = run.parent
    return run


def _list_arguments(module: nn.Module, reason: str) -> tuple[str, str]:
    """Return what a net's forward takes, unless it is images alone, and what is None by default.

    Args:
        module: The net.
        reason: The message of the error that it raised.
    """
    if scripted := _SCRIPTED_ARGUMENT.search(reason):
        return f"images and {scripted[1]}", ""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # it has none
        return "", ""
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    takes_images = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    if not takes_images and (not named or named[0].kind == named[0].KEYWORD_ONLY):
        return "no images", ""
    further = named[1:] if named and named[0].kind != named[0].KEYWORD_ONLY else named
    required = [p.name for p in further if p.default is p.empty]
    optional = [p.name for p in further if p.default is None]
    return " and ".join(["images", *required] if required else []), " and ".join(optional)


def _describe(run: ModuleRun) -> str:
    name = run.path or "(net)"
    if run.input is None:
        return name
    return f"{name} ({run.kind}) with input {_format_shape(run.input)}"


def _format_shape(shape: Sequence[int]) -> str:
    return format_shape(tuple(shape)) if prod(shape) else "of no elements"
