"""Select what computes the gradients of a training, also of a net that is trained within others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from netlet.backends import (
    Backend,
    EagerBackend,
    FlatParameters,
    ParameterGroup,
    SoftTarget,
    flatten_parameters,
    select_backend,
)
from netlet.data import Dataset
from netlet.recipes import Recipe
from netlet.training.rng import RandomStreams
from netlet.training.state import TrainingState
from netlet.training.widened_net import WidenedNet
from netlet.training.widening import WidenedCopy


@contextmanager
def select_step_backend(
    state: TrainingState, data: Dataset, recipe: Recipe, precision: str, random: RandomStreams
) -> Iterator[Backend]:
    """Yield the fastest available backend for the module that is trained.

    Args:
        state: The module, with its final dropout rates, and what follows its weights.
        data: Provides the shape and the number of images.
        recipe: Provides batch size and label smoothing, and may request one backend.
        precision: ``bf16`` or ``float32``.
        random: The sources of dropout masks, and of widths.

    Raises:
        TrainingError: The recipe requests the compiled backend, and it is not available.
    """
    net, parameters = state.net, state.parameters
    if not isinstance(net, WidenedNet):
        # A recorded step has no place for what a teacher says.
        update = None if recipe.teacher else state
        with select_backend(
            net, parameters, data, recipe, precision, random.dropout, update
        ) as backend:
            yield backend
        return
    # Copied before a backend changes layers of the net.
    copies = [net.copy_wide(factor) for factor in range(2, net.largest + 1)]
    with ExitStack() as stack:
        base = stack.enter_context(
            select_backend(net.net, parameters, data, recipe, precision, random.dropout)
        )
        wide = []
        for copy in copies:
            copy.net.to(parameters.floats[0].device).train()
            own = stack.enter_context(flatten_parameters(copy.net))
            selected = select_backend(copy.net, own, data, recipe, precision, random.widths)
            index = _find_weights(net, copy).to(parameters.floats[0].device)
            wide.append(_Wide(stack.enter_context(selected), own.groups[0], index))
        yield WidenedBackend(base, wide, parameters, recipe.widened_weight, random.widths)


@dataclass(frozen=True)
class _Wide:
    """A wider net.

    Attributes:
        backend: Computes its gradients.
        own: Its parameters.
        index: Where each of them is among the parameters that are trained.
    """

    backend: Backend
    own: ParameterGroup
    index: torch.Tensor


class WidenedBackend(Backend):
    """Adds the gradients of a wider net, drawn anew for each step, to those of a net.

    Losses and correct images are those of the net.

    Args:
        base: The backend of the net.
        wide: The wider nets.
        parameters: All parameters that are trained.
        weight: The weight of the loss of a wider net.
        rng: The source of its choice.
    """

    def __init__(
        self,
        base: Backend,
        wide: Sequence[_Wide],
        parameters: FlatParameters,
        weight: float,
        rng: np.random.BitGenerator,
    ) -> None:
        backends = [base, *(one.backend for one in wide)]
        alike = all(one.name == base.name for one in backends)
        self.name = base.name if alike else EagerBackend.name
        self.torch_threads = base.torch_threads
        reasons = [getattr(one, "fallback", None) for one in backends]
        self.fallback = next((reason for reason in reasons if reason is not None), None)
        self._base, self._wide = base, wide
        (self._group,) = parameters.groups
        self._weight, self._rng = weight, rng
        self._unread: set[Backend] = set()  # wider nets that have trained since the last reading

    def compute_gradients(
        self, images: torch.Tensor, labels: torch.Tensor, soft: SoftTarget | None = None
    ) -> None:
        """See :class:`~netlet.backends.Backend`."""
        group = self._group
        group.gradient.zero_()
        self._base.compute_gradients(images, labels, soft)
        wide = self._wide[self._rng.random_raw() % len(self._wide)]
        torch.index_select(group.weights, 0, wide.index, out=wide.own.weights)
        wide.backend.compute_gradients(images, labels, soft)
        self._unread.add(wide.backend)
        group.gradient.index_add_(0, wide.index, wide.own.gradient, alpha=self._weight)

    def evaluation_net(self, net: torch.nn.Module) -> torch.nn.Module:
        """See :class:`~netlet.backends.Backend`."""
        return self._base.evaluation_net(net)

    def read_losses(self) -> tuple[list[float], int]:
        """See :class:`~netlet.backends.Backend`."""
        for backend in self._unread:  # which keeps them until then
            backend.read_losses()
        self._unread.clear()
        return self._base.read_losses()


def _find_weights(net: WidenedNet, wide: WidenedCopy) -> torch.Tensor:
    """Return which of the trained parameters is which parameter of a wider net; both are flat."""

    def list_places(parameter: torch.Tensor) -> torch.Tensor:
        start = int(parameter.storage_offset())
        return torch.arange(start, start + parameter.numel()).view(parameter.shape)

    index = torch.empty(sum(p.numel() for p in wide.net.parameters()), dtype=torch.int64)
    read = net.iterate_weights(wide, lambda parameter: list_places(parameter.data))
    for parameter, places in zip(wide.net.parameters(), read, strict=True):
        index[list_places(parameter.data)] = places
    return index
