"""What an operation does with each of its tensors: which hold weights, and which pick or mask."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import Any

import torch

from netlet.analysis.labels import Label, Source
from netlet.graph.aten_names import POINTWISE
from netlet.graph.tensors import address
from netlet.nets.registered import count_numbers

# The arguments that may hold weights, the most likely one last.
WEIGHT_ARGUMENTS = {
    **dict.fromkeys(("convolution", "_convolution", "linear"), ("bias", "weight")),
    **dict.fromkeys(("mm", "bmm"), ("self", "mat2")),
    "mv": ("self", "vec"),
    "dot": ("self", "tensor"),
    "matmul": ("self", "other"),
    "addmm": ("self", "mat1", "mat2"),
    "baddbmm": ("self", "batch1", "batch2"),
    "addmv": ("self", "mat", "vec"),
    "embedding": ("weight",),
}
# These read elements of a table at indices.
_LOOKUPS = {"index", "index_select", "gather", "take", "take_along_dim", "embedding"}
_LOOKUPS |= {"_embedding_bag", "_embedding_bag_forward_only", "_unsafe_index"}
_PLACING = {"scatter", "scatter_add", "scatter_reduce", "index_put", "_index_put_impl"}
_PLACING |= {"_unsafe_index_put", "index_add", "index_copy", "index_fill", "masked_scatter"}
_MASKING = {"where", "masked_fill"}
_PICKING_ARGUMENTS = ("index", "indices", "offsets", "mask", "condition", "lengths")
# What a buffer is added to or compared with takes it as a position, an offset or a mask.
_ADDING = {"add", "sub", "rsub", "cat", "stack", "copy", "eq", "ne", "lt", "le", "gt", "ge"}
_SCALING = {"mul", "div"}
# Two coordinates at each place of a map, and as many again.
_MAX_COORDINATES = 4


def picks(operation: str, argument: str) -> bool:
    """Return whether an argument only says which elements an operation takes."""
    indexing = operation in _LOOKUPS | _PLACING | _MASKING or operation == "_pack_padded_sequence"
    return indexing and argument in _PICKING_ARGUMENTS


def draws_places(operation: str, argument: str, *, noise: bool) -> bool:
    """Return whether random numbers in an argument only choose where an operation reads.

    Args:
        operation: The operation.
        argument: The name of the argument.
        noise: Whether the numbers differ from run to run. Others may be a fixed displacement.
    """
    if operation in ("grid_sampler_2d", "grid_sampler_3d"):
        return noise and argument == "grid"
    return argument == "random_samples"  # of fractional pooling


def may_be_no_weight(operation: str, argument: str, buffer: torch.Tensor) -> bool:
    """Return whether a buffer may be a position or a mask, if it is not larger than the values."""
    if operation in _LOOKUPS or operation in WEIGHT_ARGUMENTS:
        return False
    if operation in _ADDING | _PLACING | _MASKING:
        return True
    if operation in _SCALING:
        return operation == "mul" and _is_mask(buffer)
    return not (buffer.is_floating_point() or buffer.is_complex())


def is_statistics_or_scores_mask(operation: str, argument: str) -> bool:
    """Return whether an argument is a batch norm's statistics, or masks scores of attention."""
    statistics = argument in ("running_mean", "running_var")
    return statistics or "scaled_dot_product" in operation


def count_share(
    operation: str, arguments: Mapping[str, Any], values: Sequence[torch.Tensor], images: int
) -> int:
    """Return how many numbers a position or a mask may have: as many as the values of one image.

    Args:
        operation: The operation that combines them.
        arguments: Its arguments by name.
        values: Those of its tensors that have been computed from the images.
        images: In the batch.
    """
    share = 1
    for tensor in values:
        own = spread(tensor) // _count_images(tensor, images)
        if operation == "cat":  # coordinates are a few channels more
            own = max(own, _MAX_COORDINATES * own // max(tensor.shape[arguments["dim"]], 1))
        share = max(share, own)
    return share


def _count_images(tensor: torch.Tensor, images: int) -> int:
    """Return how many images a value is of: some of a batch that forward runs in parts."""
    first, *others = (*tensor.shape, 1)
    if first % images == 0 or images in others:
        return images
    return first if first < images else 1


def spread(tensor: torch.Tensor) -> int:
    """Return how many numbers a tensor has, of which ``expand`` repeats none."""
    if tensor.layout is not torch.strided:
        return count_numbers([tensor])
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return prod(size for size, stride in sizes if stride) * (2 if tensor.is_complex() else 1)


class CombinedBuffers:
    """How many numbers of each source have been used as positions or masks."""

    def __init__(self) -> None:
        self._used: dict[Source, dict[int, int]] = {}  # source -> address -> numbers there
        self._counted: dict[Source, int] = {}

    def count(self, source: Source, tensor: torch.Tensor, numbers: int, share: int) -> int:
        """Return how many more numbers of a source count as weights, with another use of it.

        Its rows, one after the other, count together, and a part that is used again counts once.

        Args:
            source: It.
            tensor: What has been computed from it.
            numbers: Of the source, as far as they can have reached the tensor.
            share: How many a position or a mask may have.
        """
        used = self._used.setdefault(source, {})
        key = address(tensor) or id(tensor)
        used[key] = max(used.get(key, 0), min(numbers, spread(tensor)))
        total = min(sum(used.values()), source.numbers)
        if total <= share:
            return 0
        more = total - self._counted.get(source, 0)
        self._counted[source] = total
        return more


def drop_masks_and_noise(
    operation: str,
    tensors: Sequence[torch.Tensor],
    labels: Sequence[Label],
    noise: Collection[Source],
) -> Sequence[Label]:
    """Return labels without masks of parameters, zeros and ones that switch weights off, and noise.

    Args:
        operation: It reads nothing that has been computed from the images.
        tensors: Its tensors.
        labels: Theirs.
        noise: Random numbers that differ from run to run.
    """
    if operation not in POINTWISE:
        return labels
    parameters = [
        sum(numbers for source, numbers in label.sources.items() if source.kind == "parameter")
        for label in labels
    ]
    kept = []
    for tensor, label, own in zip(tensors, labels, parameters, strict=True):
        switched = sum(parameters) - own
        sources = label.sources
        if sources and spread(tensor) <= switched:
            if operation in _MASKING | {"mul"} and _is_mask(tensor):
                sources = {}
            sources = {source: sources[source] for source in sources if source not in noise}
        kept.append(Label(sources=sources))
    return kept


def _is_mask(tensor: torch.Tensor) -> bool:
    """Return whether a tensor has only zeros and ones."""
    if tensor.dtype == torch.bool:
        return True
    if tensor.layout is not torch.strided or tensor.device.type == "meta" or tensor.is_quantized:
        return False
    return bool(((tensor == 0) | (tensor == 1)).all())


def is_noise(random: torch.Tensor, shapes: Sequence[torch.Size], images: int) -> bool:
    """Return whether there is a random number for each value from the input, or for each image.

    Args:
        random: The random numbers.
        shapes: Of the values that they are combined with.
        images: In the batch.
    """
    for_each_image = random.shape[:1] == (images,)
    return any(
        shape == random.shape
        or (for_each_image and shape[:1] == (images,) and len(shape) == random.dim())
        for shape in shapes
    )
