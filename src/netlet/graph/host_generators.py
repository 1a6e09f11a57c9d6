"""Random generators of Python and NumPy: what a net draws from them, no operation shows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType

import numpy as np
from torch import nn

from netlet.nets.registered import list_attributes, list_modules


class HostGenerators:
    """The generators outside PyTorch that a net may draw from.

    These are the generator of Python, that of NumPy, and those that are attributes of its modules
    or global names that their methods use.

    Args:
        net: The net.
    """

    def __init__(self, net: nn.Module) -> None:
        self._states = (random.getstate, _numpy_state, *_own_generators(net))
        self._last = self._read()

    def have_moved(self) -> bool:
        """Return whether anything has been drawn from them since the last call."""
        before, self._last = self._last, self._read()
        return self._last != before

    def _read(self) -> list[object]:
        return [state() for state in self._states]


def _numpy_state() -> object:
    state = np.random.get_state(legacy=True)  # a dict if the program has chosen another generator
    parts = state.values() if isinstance(state, dict) else state
    return [part.tobytes() if isinstance(part, np.ndarray) else str(part) for part in parts]


def _own_generators(net: nn.Module) -> Iterator[Callable[[], object]]:
    for _, module in list_modules(net):
        for value in (*list_attributes(module).values(), *_globals_of(type(module))):
            if isinstance(value, random.Random) and not isinstance(value, random.SystemRandom):
                yield value.getstate
            elif isinstance(value, np.random.Generator):
                yield partial(_state_of, value.bit_generator)
            elif isinstance(value, np.random.RandomState):
                yield partial(_state_of, value._bit_generator)


def _globals_of(kind: type) -> Iterator[object]:
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] in ("torch", "builtins"):
            continue
        for function in vars(base).values():
            if isinstance(function, FunctionType):
                for name in function.__code__.co_names:
                    yield function.__globals__.get(name)


def _state_of(generator: np.random.BitGenerator) -> str:
    return str(generator.state)
