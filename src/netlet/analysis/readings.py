"""What the operations of a net read besides values from the input: weights, positions, masks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from netlet.analysis.argument_uses import (
    WEIGHT_ARGUMENTS,
    CombinedBuffers,
    count_share,
    draws_places,
    is_noise,
    is_statistics_or_scores_mask,
    may_be_no_weight,
    picks,
)
from netlet.analysis.labels import Label, Source
from netlet.graph.aten_names import POINTWISE
from netlet.graph.tensors import list_tensors

# So many unregistered numbers are constants such as means and deviations, unless they are weights
# of a convolution or a dense layer.
FEW_NUMBERS = 8


@dataclass(frozen=True)
class Reading:
    """A source that an operation used together with values computed from the input."""

    source: Source
    numbers: int  # of the source, as far as they can have reached the operation
    place: str  # the module that ran
    operation: str
    as_weight: bool


class Readings:
    """The sources that operations on values from the input read.

    Args:
        noise: Random numbers that differ from run to run.

    Attributes:
        found: Those that are no parameters.
        used: The ids of the tensors of all, parameters too.
    """

    def __init__(self, noise: Collection[Source]) -> None:
        self.found: list[Reading] = []
        self.used: set[int] = set()
        self.images = 0
        self._noise = noise
        self._combined = CombinedBuffers()

    def read(
        self,
        name: str,
        arguments: Mapping[str, Any],
        place: str,
        label_of: Callable[[torch.Tensor], Label],
    ) -> Label:
        """Note the sources that an operation reads.

        Args:
            name: Of the operation.
            arguments: Its arguments by name.
            place: The module that runs.
            label_of: Returns the label of a tensor.

        Returns:
            The label of its result.
        """
        slots = WEIGHT_ARGUMENTS.get(name, ())
        values = [t for t in list_tensors(arguments) if label_of(t).active]
        share = count_share(name, arguments, values, self.images)
        carried: dict[Source, int] = {}
        for at, argument in arguments.items():
            for tensor in list_tensors(argument):
                label = label_of(tensor)
                if label.active:
                    # Values that a stored index has picked are weights if they are used as such.
                    if slots and at == slots[-1]:
                        self.add(label.sources, place, name, as_weight=True)
                    elif not slots:
                        carried.update(label.sources)
                elif picks(name, at) and not tensor.is_floating_point():
                    # Random places choose among values, as for a shuffle.
                    carried.update({s: n for s, n in label.sources.items() if s not in self._noise})
                    if at in ("mask", "condition"):
                        masks = self._count_combined(label.sources, tensor, share)
                        self.add(masks, place, name, as_weight=False)
                else:
                    sources = self._find_weights(name, at, tensor, label, values)
                    weights = {s: n for s, n in sources.items() if s.kind != "buffer"}
                    buffers = {s: n for s, n in sources.items() if s.kind == "buffer"}
                    if may_be_no_weight(name, at, tensor):
                        buffers = self._count_combined(buffers, tensor, share)
                    self.add(weights | buffers, place, name, as_weight=at in slots)
        return Label(active=True, sources=carried)

    def _find_weights(
        self, name: str, at: str, tensor: torch.Tensor, label: Label, values: list[torch.Tensor]
    ) -> dict[Source, int]:
        """Return the sources of an argument, without noise and the statistics of batch norms."""
        shapes = [value.shape for value in values]
        noise = name in POINTWISE and is_noise(tensor, shapes, self.images)
        statistics = is_statistics_or_scores_mask(name, at)
        return {
            source: numbers
            for source, numbers in label.sources.items()
            if not (source.kind == "random" and (noise or self._draws_places(name, at, source)))
            and not (source.kind == "buffer" and statistics)
        }

    def _draws_places(self, name: str, at: str, source: Source) -> bool:
        return draws_places(name, at, noise=source in self._noise)

    def _count_combined(
        self, sources: Mapping[Source, int], tensor: torch.Tensor, share: int
    ) -> dict[Source, int]:
        """Return positions and masks as far as they have more numbers than the values."""
        counts = {
            source: self._combined.count(source, tensor, numbers, share)
            for source, numbers in sources.items()
            if source.kind != "parameter"
        }
        return {source: count for source, count in counts.items() if count}

    def add(
        self, sources: Mapping[Source, int], place: str, operation: str, *, as_weight: bool
    ) -> None:
        """Note sources that an operation reads; parameters count anyway."""
        for source, numbers in sources.items():
            self.used.add(id(source.tensor))
            if source.kind != "parameter":
                self.found.append(Reading(source, numbers, place, operation, as_weight))

    def drop_parameters(self, parameters: Iterable[torch.Tensor]) -> None:
        """Forget readings of tensors that turned out to be parameters, which count anyway."""
        known = {id(tensor) for tensor in parameters}
        self.found = [
            reading
            for reading in self.found
            if id(reading.source.tensor) not in known or reading.source.kind == "packed"
        ]
