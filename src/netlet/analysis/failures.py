"""Describe why a net failed to run: the layer, the shape of its input, the reason."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from math import prod
from types import FunctionType

from torch import nn

from netlet.analysis.layer_sizes import depends_on_image, explain_sizes
from netlet.analysis.module_rows import shown_run
from netlet.analysis.operation_sizes import explain_operation, joins_values
from netlet.budgets.layer_names import is_layer
from netlet.errors import first_line
from netlet.graph import ModuleRun
from netlet.nets.class_slips import (
    explain_attribute,
    explain_missing_forward,
    find_class_as_layer,
    returns_nothing,
    suggest_attribute,
)
from netlet.nets.device_errors import describe_device_error
from netlet.nets.first_weights import is_built_for_others
from netlet.nets.isolation import UserExitError
from netlet.nets.name_errors import explain_name_error
from netlet.nets.registered import list_modules
from netlet.nets.sources import locate_error
from netlet.text import format_shape

# Words that occur in PyTorch's messages about shapes, and words of other errors that mention sizes.
_SHAPE_WORDS = re.compile(r"shape|\bsizes?\b|dimension|\bdims?\b|channel|\d-?D\b|elements", re.I)
_OTHER_WORDS = re.compile(r"CUDA|cuDNN|cuBLAS|HIP|MPS|\bmemory\b|\bdevices?\b", re.I)
# Errors that PyTorch raises for tensors of a wrong shape.
_SHAPE_ERRORS = (AssertionError, IndexError, RuntimeError, ValueError)
_NO_FORWARD = re.compile(r'Module \[(.*)\] is missing the required "forward" function')
_SCRIPTED_ARGUMENT = re.compile(r"missing value for argument '(\w+)'")
_NO_ATTRIBUTE = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_NO_TENSOR = re.compile(r"must be Tensor, not (\w+)")
RETURNS_NOTHING = "its forward() returns nothing; end it with return, as in 'return x'"
# Remedies of the commands and functions that choose the images; grading has others.
OTHER_SHAPE = "set another with --input C,H,W in show and check, with shape=(C, H, W) in Python"
REPEAT_CHANNELS = ", or repeat gray images with --channels 3 in train and evaluate"
_IMAGES_ALONE = "a net must take images alone"


def describe_failure(error: Exception, last: ModuleRun, shape: Sequence[int]) -> str:
    """Return a message for a net that failed to run.

    If the reason is about shapes, the message also says how to change the input shape. Of a net in
    a file, it begins with the line, in a notebook with the cell, too.

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
    device_error = describe_device_error(error)
    reason = device_error or first_line(error)
    shown = shown_run(last)
    fails_by_shape = isinstance(error, _SHAPE_ERRORS) and not device_error
    sizes = explain_sizes(shown, shape) if fails_by_shape else ""
    depends, is_image = depends_on_image(shown, shape), len(shape) == 3
    if sizes and depends and is_image and is_built_for_others(_root(last).module, shape):
        sizes = f"{sizes.partition('; ')[0]}; build the net with shape={tuple(shape)}"
    operation = explain_operation(reason, _count_images(last)) if fails_by_shape else ""
    message = f"{_describe(shown)}: {sizes or operation or reason}"
    text = str(error)
    if (
        not fails_by_shape
        or (sizes and not depends)
        or joins_values(reason)
        or not _SHAPE_WORDS.search(text)
        or _OTHER_WORDS.search(text)
    ):
        return message
    remedy = OTHER_SHAPE
    if len(shape) == 2:
        h, w = shape
        remedy = f"for gray images, pass --input 1,{h},{w}, in Python shape=(1, {h}, {w})"
    elif (
        shape[0] == 1 < getattr(shown.module, "in_channels", 0)
        and shown.output is None
        and "channels" in message
    ):
        remedy += REPEAT_CHANNELS
    return f"{message} (input {_format_shape(shape)}; {remedy})"


def _count_images(last: ModuleRun) -> int:
    """Return the number of images that a net was run on; 0 if no module of it has returned."""
    return next((run.output[0] for run in _list_runs(_root(last)) if run.output), 0)


def _describe_code(error: Exception, last: ModuleRun) -> str:
    """Return a message if the net's code is the reason, and not the image; else nothing."""
    if isinstance(error, UserExitError):
        return f"{_root(last).kind}: {error}"
    if isinstance(error, NameError):
        return f"{_root(last).kind}: {explain_name_error(error)}"
    lines = str(error).strip().splitlines() or [""]
    root = _root(last)
    if missing := _NO_FORWARD.match(lines[0]):
        slips = (explain_missing_forward(cls) for cls in _classes_named(missing[1], root.module))
        if slip := next(filter(None, slips), ""):
            return slip
        if last is root and missing[1] == root.kind:
            return f"{root.kind}: has no forward(); define one, and {_IMAGES_ALONE}"
        return f"{_describe(shown_run(last))}: {missing[1]} has no forward(); define one"
    if slip := _describe_slip(error, root):
        return slip
    wants, optional = _list_arguments(root.module, lines[0])
    if wants == "no images" and (own := _parameter_before_self(root.module)):
        return f"{root.kind}: its forward() has no self; write def forward(self, {own})"
    if wants and not root.steps:
        return f"{root.kind}: its forward() takes {wants}; {_IMAGES_ALONE}"
    if optional and "NoneType" in lines[0]:
        return (
            f"{_describe(shown_run(last))}: {lines[0]}; its forward() gets no {optional}, since "
            f"{_IMAGES_ALONE}"
        )
    return ""


def _describe_slip(error: Exception, root: ModuleRun) -> str:
    """Return which slip in the code of a module is the reason; else nothing."""
    reason = (str(error).strip().splitlines() or [""])[0]
    if missing := _NO_ATTRIBUTE.match(reason):
        for module in _modules_named(missing[1], root.module):
            if slip := explain_attribute(module, missing[2]):
                return slip
    layer = _NO_ATTRIBUTE.match(reason) or _NO_TENSOR.search(reason)
    if layer and layer[1] != "Module" and is_layer(layer[1]):
        return (
            f"{root.kind}: uses the layer nn.{layer[1]} where a tensor belongs ({reason}); create "
            f"it once, and call it: nn.{layer[1]}(...)(x)"
        )
    if isinstance(error, TypeError) and (wrong := _describe_wrong_layer(reason, root.module)):
        return f"{root.kind}: {wrong}"
    if "NoneType" in reason:
        for run in _list_runs(root):
            if run is not root and returns_nothing(run.module):
                return f"{run.path} ({run.kind}): {RETURNS_NOTHING}"
    return suggest_attribute(error) and f"{root.kind}: {suggest_attribute(error)}"


def _describe_wrong_layer(reason: str, net: nn.Module) -> str:
    """Return which attribute is called as a layer and is none: a tuple, or a class."""
    for path, module in list_modules(net):
        above = f"{path}." if path else ""
        if reason == "'tuple' object is not callable":
            for name, value in vars(module).items():
                if isinstance(value, tuple) and any(isinstance(one, nn.Module) for one in value):
                    return f"{above}{name} is a tuple; remove the comma after the layer"
        name, kind = find_class_as_layer(module)
        if name and reason.startswith(f"{kind}.__init__()"):
            return f"{above}{name} is the class {kind}, not a layer; create one: {kind}(...)"
    return ""


def _list_runs(run: ModuleRun) -> Iterator[ModuleRun]:
    yield run
    for step in run.steps:
        if isinstance(step, ModuleRun):
            yield from _list_runs(step)


def _modules_named(kind: str, net: nn.Module) -> list[nn.Module]:
    return [module for _, module in list_modules(net) if type(module).__name__ == kind]


def _classes_named(kind: str, net: nn.Module) -> list[type]:
    return [type(module) for module in _modules_named(kind, net)]


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


def _parameter_before_self(module: nn.Module) -> str:
    """Return the first parameter of a method forward that has none called self; else nothing."""
    forward = vars(type(module)).get("forward")
    if not isinstance(forward, FunctionType) or not forward.__code__.co_argcount:
        return ""
    first = forward.__code__.co_varnames[0]
    return "" if first in ("self", "_") else first


def _describe(run: ModuleRun) -> str:
    name = run.path or "(net)"
    if run.input is None:
        return name
    if run.input == ():
        return f"{name} ({run.kind})"
    if run.output is not None:
        return f"after {name} ({run.kind}), which returned {_format_shape(run.output[1:])}"
    return f"{name} ({run.kind}) with input {_format_shape(run.input)}"


def _format_shape(shape: Sequence[int]) -> str:
    return format_shape(tuple(shape)) if prod(shape) else "of no elements"
