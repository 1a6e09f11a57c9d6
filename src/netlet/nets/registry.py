"""The registry of nets: a function under ``@net`` registers a net under the function's name."""

from __future__ import annotations

import contextlib
import inspect
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from netlet.display import Displayed
from netlet.errors import NetError, check_type
from netlet.nets.blocks import MNIST_SHAPE
from netlet.nets.built_nets import prepare_building, remember_building
from netlet.nets.class_slips import explain_building
from netlet.nets.eval_mode import eval_mode
from netlet.nets.first_weights import Origin, remember_origin
from netlet.text import to_unicode

if TYPE_CHECKING:
    from netlet.nets.net_code import NetCode

Builder = Callable[..., nn.Module]
_B = TypeVar("_B", bound=Builder)


@dataclass(frozen=True)
class NetEntry(Displayed):
    """A net's name, the function that builds it, and where it comes from."""

    name: str
    builder: Builder
    source: str
    about: str  # the first line of the function's docstring
    code: NetCode | None = None  # that the net is in, if it does not come with netlet

    def _facts(self) -> Mapping[str, object]:
        return {"name": self.name, "source": self.source, "about": self.about}


_OWN_PACKAGE = __name__.rpartition(".")[0]
NETS: dict[str, NetEntry] = {}


def net(*, source: str) -> Callable[[_B], _B]:
    """Register a function that builds a net, under its name and with its docstring.

    Args:
        source: The document or paper that the net comes from, or ``own``.

    Raises:
        NetError: The name is taken; the function has no docstring; or ``classes`` and ``shape``
            with defaults are not among its parameters.
    """

    def register(builder: _B) -> _B:
        check_type(builder, FunctionType, "what @net registers", "a function that builds a net")
        name = builder.__name__
        if name in NETS:
            raise NetError(f"net {name!r} is defined twice; rename one of them")
        optional = {
            p.name
            for p in inspect.signature(builder).parameters.values()
            if p.default is not p.empty
        }
        about = (builder.__doc__ or "").strip()
        # Python drops docstrings with -OO.
        if not {"classes", "shape"} <= optional or not (about or sys.flags.optimize > 1):
            raise NetError(
                f"net {name!r} needs a docstring and parameters with defaults; write "
                f"def {name}(classes=10, shape={MNIST_SHAPE})"
            )
        NETS[name] = NetEntry(name, builder, source, about.partition("\n")[0])
        return builder

    return register


def build(
    builder: Builder,
    seed: int | None = None,
    shape: Sequence[int] = MNIST_SHAPE,
    classes: int | None = None,
) -> nn.Module:
    """Build a net whose initial weights depend on the seed alone.

    Args:
        builder: A function or class without required arguments. If it has parameters for the image
            shape, the input channels or the number of classes, under common names
            (``in_channels``, ``num_classes``, ...), they are passed to it.
        seed: The seed of the initial weights, and of what the builder draws from the generators of
            Python and NumPy; if None, they depend on the state of torch's global
            generator, as when the builder is called directly.
        shape: The shape of one image, ``C H W``. Lazy layers are initialized by running the net on
            blank images of this shape.
        classes: The number of classes; if None, the builder's default.

    Returns:
        The net.

    Raises:
        TypeError: An argument is of another type.
        NetError: An argument is out of range, a name in the net is not valid Unicode, or the code
            has a slip such as a missing ``super().__init__()``.
    """
    _check_build(builder, seed, shape, classes)
    own = next((entry.name for entry in NETS.values() if entry.builder is builder), "")
    if own and not builder.__module__.startswith(_OWN_PACKAGE):
        own = ""
    if own and len(shape) != 3:
        raise NetError(
            f"{own}: the shape {','.join(map(str, shape))} is not that of an image;"
            " give channels, height, width, like 1,28,28"
        )
    settings = _builder_arguments(builder, shape, classes)
    if seed is None:
        return _call(builder, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with _seed_python(seed):
            net = _call(builder, settings)
        _check_names(net)
        lazy = [module for module in net.modules() if isinstance(module, LazyModuleMixin)]
        if any(module.has_uninitialized_params() for module in lazy):
            # If the net cannot run, tracing it reports the error with the layer's name; it also
            # reports warnings.
            with (
                contextlib.suppress(Exception),
                warnings.catch_warnings(action="ignore"),
                eval_mode(net),
                torch.no_grad(),
            ):
                net(torch.zeros(2, *shape))
        again = partial(_rebuild, builder, tuple(shape), classes)
        told = any(recognize_parameter(name) in ("channels", "shape") for name in settings)
        rebuild = None if _holds_a_net(builder) else again
        name = own or getattr(builder, "__name__", "").replace("<lambda>", "")
        origin = Origin(seed, rebuild, tuple(shape) if told else None, name, bool(own))
        remember_origin(net, origin)
        return net


@contextlib.contextmanager
def _seed_python(seed: int) -> Iterator[None]:
    """Seed the generators of Python and NumPy, which a builder may draw from, while a block runs.

    Args:
        seed: Of it, NumPy takes the lower 32 bits.
    """
    python, of_numpy = random.getstate(), np.random.get_state(legacy=False)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)


def _call(builder: Builder, settings: Mapping[str, Any]) -> nn.Module:
    """Return what a builder returns.

    Raises:
        NetError: Its code has a slip that the message of Python or PyTorch does not name.
    """
    building = prepare_building(None if _holds_a_net(builder) else builder)
    try:
        net = builder(**settings)
    except Exception as error:
        if reason := explain_building(error, builder):
            raise NetError(reason) from error
        raise
    if isinstance(net, nn.Module):
        remember_building(net, building)
    return net


def _holds_a_net(builder: Builder) -> bool:
    """Return whether a builder has, or may have, a net that it returns."""
    if isinstance(builder, partial):
        return _holds_a_net(builder.func)
    if isinstance(builder, MethodType):
        return not isinstance(builder.__self__, type)
    cells = getattr(builder, "__closure__", None) or ()
    with contextlib.suppress(ValueError):  # a cell is empty
        return any(isinstance(cell.cell_contents, nn.Module) for cell in cells)
    return False


def _rebuild(builder: Builder, shape: tuple[int, ...], classes: int | None, seed: int) -> nn.Module:
    return build(builder, seed, shape, classes)


def _check_names(net: nn.Module) -> None:
    """Raise a NetError if a tensor's name cannot be written into a weights file."""
    for name, _ in (*net.named_parameters(), *net.named_buffers()):
        if to_unicode(name) != name:
            raise NetError(
                f"{type(net).__name__}: the name of {name!r} is not valid Unicode, so its weights "
                "cannot be saved; rename it"
            )


def check_seed(seed: object) -> None:
    """Check a seed.

    Raises:
        TypeError: It is not a whole number.
        NetError: It is out of range.
    """
    check_type(seed, int, "the seed", "a whole number like 0")
    assert isinstance(seed, int)
    if not 0 <= seed < 2**63:
        raise NetError(f"seed={seed} is out of range; give one from 0 to 2**63 - 1")


def check_shape(shape: object) -> None:
    """Check that the shape of an image is a tuple or list of whole numbers.

    Raises:
        TypeError: It is something else.
    """
    what, remedy = "the shape of an image", "channels, height, width: (1, 28, 28)"
    check_type(shape, (tuple, list), what, remedy)
    assert isinstance(shape, tuple | list)
    for size in shape:
        check_type(size, int, "a size of the shape", "whole numbers: (1, 28, 28)")


def _check_build(builder: Any, seed: Any, shape: Any, classes: Any) -> None:
    """Check the arguments of :func:`build`.

    Raises:
        TypeError: One is of another type.
        NetError: One is out of range.
    """
    if isinstance(builder, nn.Module):
        raise TypeError(
            f"the builder is a net already; pass its class {type(builder).__name__} or a function"
            " that builds it"
        )
    if not callable(builder):
        name = repr(builder) if isinstance(builder, str) else "'crest'"
        raise TypeError(
            f"the builder is of the type {type(builder).__name__}; pass a class or function, or "
            f"netlet.nets.find_net({name}).builder"
        )
    if seed is not None:
        check_seed(seed)
    if classes is not None:
        check_type(classes, int, "the number of classes", "a whole number like 10")
        if classes < 1:
            raise NetError(f"classes={classes} is out of range; give a whole number of at least 1")
    check_shape(shape)
    if not shape or min(shape) < 1:
        raise NetError(
            f"the shape {tuple(shape)} is not that of an image; "
            "give channels, height, width, like (1, 28, 28)"
        )


def recognize_parameter(name: str) -> str | None:
    """Return what a builder's parameter of this name means: ``classes``, ``channels`` or ``shape``.

    None if the name is not recognized.
    """
    return next((meaning for meaning, names in _PARAMETER_NAMES.items() if name in names), None)


_PARAMETER_NAMES = {
    # Only unambiguous names: "channels" is often the width of a hidden layer.
    "classes": ("classes", "num_classes", "n_classes", "nb_classes"),
    "channels": ("in_channels", "in_chans"),
    "shape": ("shape",),
}


def _builder_arguments(
    builder: Builder, shape: Sequence[int], classes: int | None
) -> dict[str, Any]:
    try:
        parameters = inspect.signature(builder).parameters
    except (TypeError, ValueError):  # some callables written in C have no signature
        return {}
    known = {"classes": classes, "channels": shape[0], "shape": tuple(shape)}
    settings = {}
    for name, parameter in parameters.items():
        value = known.get(recognize_parameter(name) or "")
        if (
            value is None
            and parameter.default is parameter.empty
            and recognize_parameter(name) == "classes"
        ):
            value = 10  # the default throughout netlet
        if value is not None:
            settings[name] = value
    return settings
