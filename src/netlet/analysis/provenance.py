"""Follow where the numbers come from that a running net reads.

A weight that is not registered in the net (a tensor in a list, in a closure, made in ``forward``,
from NumPy) is neither counted, trained nor saved by PyTorch. Every tensor that an operation reads
is the input, a parameter, a buffer, computed from these, generated (``arange``, ``zeros``), or a
*source* that nothing else accounts for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from netlet.analysis.argument_uses import drop_masks_and_noise
from netlet.analysis.labels import (
    Label,
    Source,
    capacity,
    is_one_number,
    join_labels,
    label_drawn,
    label_registered,
    label_stored,
)
from netlet.analysis.outside_values import OutsideValues, in_module
from netlet.analysis.readings import Reading, Readings
from netlet.analysis.unseen_writes import UnseenWrites, digest
from netlet.graph.aten_names import GENERATED, RANDOM, SHAPE_ONLY, VALUE_DEPENDENT, VIEWS
from netlet.graph.call import (
    bind_arguments,
    drop_overwritten,
    operation_name,
    sampling_tensors,
    written_tensors,
)
from netlet.graph.tensors import has_own_dispatch, list_tensors, storage_address, version
from netlet.nets.registered import count_numbers, list_buffers, list_parameters

# Whose operations hide nothing; the profiler's read and write no tensors.
_SEEN = ("aten", "prims", "prim", "profiler")
# Their results may have more of the memory than their arguments.
_MEMORY_VIEWS = ("as_strided", "set", "resize")

# What runs have generated and somebody has kept, with the digest of its content: a net is analyzed
# more than once, as before and after its training.
_GENERATED = WeakTensorKeyDictionary()


class Provenance:
    """What each tensor of a running net has been computed from.

    Args:
        net: Before it runs.
        earlier: The provenance of a run before, whose constants the net may have kept.
    """

    def __init__(self, net: nn.Module, earlier: Provenance | None = None) -> None:
        self._noise: set[Source] = set()
        self._readings = Readings(self._noise)
        self.outside = OutsideValues()
        self.net = net
        self._earlier = earlier
        self._images = self._seed = 0
        self._labels: dict[int, Label] = {}
        self._by_storage: dict[int, Label] = {}
        self._kept: list[Any] = []  # keeps tensors alive, so that no id or address is used again
        self._sharing: dict[int, list[torch.Tensor]] = {}  # storage -> the tensors that share it
        self._versions: dict[int, int] = {}  # PyTorch counts how often a tensor was written to
        self._counting: set[int] = set()  # ids of tensors whose last writing may not be counted yet
        self._registered_in: dict[int, int] = {}  # storage -> bytes that are registered
        self._storages: dict[int, int | None] = {}  # id of a tensor -> its storage when seen last
        self._foreign: set[int] = set()  # storages that no operation has made
        self._unseen_writes = UnseenWrites()
        self._register(list_parameters(net), "parameter")
        self._register(list_buffers(net), "buffer")

    @property
    def readings(self) -> list[Reading]:
        """The sources that operations used together with values computed from the input."""
        return self._readings.found

    @property
    def read(self) -> Set[int]:
        """The ids of all tensors that operations used, or numbers of them, with such values."""
        return self._readings.used

    def start(self, x: torch.Tensor) -> None:
        """Register the input."""
        self._images = self._readings.images = len(x)
        self.outside.start(len(x))
        self._seed = torch.initial_seed()
        self._set(x, Label(active=True))

    def finish(self, output: torch.Tensor | None, made: Iterable[torch.Tensor] = ()) -> None:
        """Take into account what became registered during the run, and the output.

        Lazy layers have their parameters and buffers only now.

        Args:
            output: The first tensor that the net returned.
            made: Parameters that the net has made anew for this run, which are none of its own.
        """
        anew = {id(tensor) for tensor in made}
        self.drop_parameters(p for _, p in list_parameters(self.net) if id(p) not in anew)
        buffers = {id(tensor) for _, tensor in list_buffers(self.net)}
        for reading in self.readings:
            if id(reading.source.tensor) in buffers:
                reading.source.kind = "buffer"
        for tensor in self._kept:
            if isinstance(tensor, torch.Tensor) and self.has_generated(tensor):
                _GENERATED[tensor] = digest(tensor)
        if output is not None:
            label = self._label(output)
            # PyTorch's own operations may do this, too, but not to the output.
            if version(output) not in self._expected_versions(output):
                self.outside.reasons["the output is written to where nothing sees it"] = None
            if not label.active:
                self._readings.add(label.sources, "(net)", "the output", as_weight=True)
        if numbers := self.outside.finish(has_sources=bool(self.readings)):
            self._readings.add(
                {Source("number", None, numbers): numbers}, "(net)", "", as_weight=True
            )

    def drop_parameters(self, parameters: Iterable[torch.Tensor]) -> None:
        """Forget readings of parameters, which count anyway."""
        self._readings.drop_parameters(parameters)

    def _expected_versions(self, tensor: torch.Tensor) -> set[int]:
        seen = {self._versions[id(tensor)]}
        # A view gets the count of its base after the operation is over, as a base gets its own.
        if tensor._base is not None and id(tensor._base) in self._versions:
            seen.add(self._versions[id(tensor._base)])
        counting = id(tensor) in self._counting or id(tensor._base) in self._counting
        return seen | ({number + 1 for number in seen} if counting else set())

    def prepare(self, func: Any, args: Any, kwargs: Any, place: str) -> None:
        """Look at what an operation is about to read, which may have changed unseen.

        Args:
            func: The operation, an ``OpOverload``.
            args: Its arguments.
            kwargs: Its keyword arguments.
            place: The module that runs.
        """
        with torch._C.DisableTorchFunction():
            for tensor in list_tensors((args, kwargs)):
                self._notice_other_tensor(tensor)
                if operation_name(func) not in VIEWS:  # which read no numbers
                    self._notice_other_numbers(tensor, place)

    def _notice_other_tensor(self, tensor: torch.Tensor) -> None:
        storage = storage_address(tensor)
        if self._storages.get(id(tensor), storage) != storage:  # by ``tensor.data = other``
            # The alias differs from a parameter, which would not count as hidden.
            label = self._label(tensor.detach())
            self._set(tensor, label)

    def _notice_other_numbers(self, tensor: torch.Tensor, place: str) -> None:
        if self._label(tensor).active or not self._unseen_writes.found_in(tensor):
            return
        if storage_address(tensor) in self._registered_in:
            text = f"a weight is written to where no operation is seen{in_module(place)}"
            self.outside.reasons[text] = None
        else:
            self._mark_written([tensor], label_stored(tensor.detach(), self._images))

    def observe(self, func: Any, args: Any, kwargs: Any, out: Any, place: str) -> None:
        """Follow one operation.

        Args:
            func: The operation, an ``OpOverload``.
            args: Its arguments.
            kwargs: Its keyword arguments.
            out: Its result.
            place: The module that runs.
        """
        with torch._C.DisableTorchFunction():
            self._observe(func, args, kwargs, out, place)

    def _observe(self, func: Any, args: Any, kwargs: Any, out: Any, place: str) -> None:
        name = operation_name(func)
        arguments = bind_arguments(func, args, kwargs)
        inputs = list(list_tensors(arguments))
        written = written_tensors(func, arguments)
        for tensor in written:
            if id(tensor) in self._versions:
                self._versions[id(tensor)] = version(tensor)
        self.outside.note_arguments(func, args, kwargs)
        labels = [self._label(t) for t in inputs]
        read = arguments
        active = name not in SHAPE_ONLY and any(label.active for label in labels)
        if func.namespace not in _SEEN or any(has_own_dispatch(t) for t in inputs):
            self.outside.reasons[f"cannot see into {func._schema.name}{in_module(place)}"] = None
        if active and name in VALUE_DEPENDENT:
            self.outside.note_value_read(inputs[0], place)
        if active:
            label = self._readings.read(name, arguments, place, self._label)
        elif name in RANDOM:
            drawn = label_drawn(next(list_tensors(out), None), self._images)
            # Numbers that forward has set a seed for are the same in each run.
            if arguments.get("generator") is None and torch.initial_seed() == self._seed:
                self._noise.update(drawn.sources)
            # A deviation of 0 leaves what is given as the mean.
            label = join_labels([drawn, *map(self._label, sampling_tensors(func, arguments))])
        elif name in SHAPE_ONLY | GENERATED:
            label = Label()
        elif not inputs and (made := next(list_tensors(out), None)) is not None:
            label = label_stored(made, self._images)  # read from a file
        else:
            if (read := drop_overwritten(func, arguments)) is not arguments:
                inputs = list(list_tensors(read))
                labels = [self._label(t) for t in inputs]
            label = join_labels(drop_masks_and_noise(name, inputs, labels, self._noise))
        for tensor in list_tensors(out):
            self._set(tensor, self._after_view(name, tensor, inputs, label))
        if func._schema.is_mutable:
            self._mark_written(written, label, keeps=read is arguments)
        for tensor in () if name in VIEWS else (*inputs, *list_tensors(out)):
            if not self._label(tensor).active:
                self._unseen_writes.remember(tensor)

    def note_bulk_read(self, tensor: torch.Tensor, method: str, place: str) -> bool:
        """Note that a net takes a tensor's values out of PyTorch, as ``x.numpy()`` does.

        Returns:
            Whether they are computed from the input.
        """
        with torch._C.DisableTorchFunction():
            active = self._label(tensor).active
        if active:
            self.outside.note_bulk_read(method, place)
        return active

    def _label(self, tensor: torch.Tensor) -> Label:
        """Return the label of a tensor; one that was never seen before is a source."""
        if (known := self._labels.get(id(tensor))) is not None:
            return known
        storage = storage_address(tensor)
        if storage is not None and (known := self._by_storage.get(storage)) is not None:
            self._set(tensor, known)
            return known
        earlier = self._earlier is not None and self._earlier.has_generated(tensor)
        if earlier or (tensor in _GENERATED and _GENERATED[tensor] == digest(tensor)):
            self._set(tensor, Label())
            self._unseen_writes.remember(tensor, storage=True)
            return Label()
        label = label_stored(tensor, self._images)
        if label.sources and is_one_number(tensor):
            self.outside.note_number(tensor)
            label = Label()
        if storage is not None:
            self._foreign.add(storage)
        self._set(tensor, label)
        return label

    def has_generated(self, tensor: torch.Tensor) -> bool:
        """Return whether this run has made a tensor's numbers, from none and not from images."""
        storage = storage_address(tensor)
        label = self._by_storage.get(storage or 0)
        if label is None or storage in self._foreign or storage in self._registered_in:
            return self._earlier is not None and self._earlier.has_generated(tensor)
        computed = label.active or any(s.kind != "parameter" for s in label.sources)
        return not computed and not self._unseen_writes.found_in(tensor)

    def _set(self, tensor: torch.Tensor, label: Label) -> None:
        storage = storage_address(tensor)
        self._kept += [tensor, tensor.untyped_storage() if storage is not None else None]
        self._labels[id(tensor)] = label
        self._versions[id(tensor)] = version(tensor)
        self._storages[id(tensor)] = storage
        if storage is not None:
            self._sharing.setdefault(storage, []).append(tensor)
            if storage not in self._registered_in:
                self._by_storage.setdefault(storage, label)

    def _mark_written(
        self, written: Sequence[torch.Tensor], label: Label, *, keeps: bool = True
    ) -> None:
        """Join the label into what an operation wrote to, and into all views of it.

        Args:
            written: The tensors.
            label: Of the numbers that were written.
            keeps: Whether any number in this memory may be as before.
        """
        for tensor in written:
            storage = storage_address(tensor)
            old = [self._label(tensor)] if keeps else []
            self._labels[id(tensor)] = join_labels([*old, label])
            if storage is None:
                continue
            # A view may have fewer numbers than its storage, which keeps the others.
            old += [self._by_storage[storage]] if keeps and storage in self._by_storage else []
            self._by_storage[storage] = join_labels([*old, label])
            for other in self._sharing.get(storage, ()):
                # One whose data was exchanged, unseen, has not been written to.
                keeps_other = keeps or storage_address(other) != storage
                before = [self._labels[id(other)]] if keeps_other else []
                self._labels[id(other)] = join_labels([*before, label])
                self._versions[id(other)] = version(other)
                # Outside inference mode, PyTorch counts only after the operation is over.
                self._counting.add(id(other))

    def _after_view(
        self, name: str, out: torch.Tensor, inputs: Sequence[torch.Tensor], label: Label
    ) -> Label:
        """Return the label of a result: no more numbers than it can hold, and no fewer.

        A parameter may be a view of a larger tensor, or hold numbers packed as bits.
        """
        storage = storage_address(out)
        if name in _MEMORY_VIEWS and storage is not None:
            made = storage in self._by_storage and storage not in self._foreign
            if not made:
                return label_stored(out, self._images)  # such as the content of a file
            label = join_labels([label, self._by_storage[storage]])
        size = capacity(out)
        sources = {s: min(n, size) for s, n in label.sources.items()}
        if name in _MEMORY_VIEWS and not label.active:
            total = out.untyped_storage().nbytes() if storage is not None else 0
            if total > self._registered_in.get(storage or 0, total):
                hidden = (total - self._registered_in[storage or 0]) // out.element_size()
                sources[Source("packed", out, hidden)] = hidden
        elif name == "view" and inputs and out.element_size() < inputs[0].element_size():
            extra = count_numbers([out]) - count_numbers([inputs[0]])
            sources[Source("packed", out, extra)] = extra
        return Label(label.active, sources)

    def _register(self, tensors: Sequence[tuple[str, torch.Tensor]], kind: str) -> None:
        for _, tensor in tensors:
            if nn.parameter.is_lazy(tensor):
                continue
            label = label_registered(tensor, kind)
            self._set(tensor, label)
            self._unseen_writes.remember(tensor)
            storage = storage_address(tensor)
            if storage is not None:
                bytes_ = count_numbers([tensor]) * tensor.element_size()
                self._registered_in[storage] = self._registered_in.get(storage, 0) + bytes_
                old = self._by_storage.get(storage, label)
                self._by_storage[storage] = join_labels([old, label])
