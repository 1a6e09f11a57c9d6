"""Translate ATen operations outside the vocabulary of which it is known what they depend on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from netlet.graph.call import Call
from netlet.graph.dependence import (
    Choice,
    Contributions,
    Distances,
    LastDimension,
    MapMixture,
    Mixture,
    Recurrence,
    Unpooling,
)
from netlet.graph.operations import Elementwise, Opaque, Operation
from netlet.graph.products import count_products
from netlet.graph.resampling_aten import rearrangement
from netlet.graph.tensors import list_tensors

_MAX_MASK = 4_000_000  # places of one map times those of another
_NO_WEIGHT = 1e-4  # smaller weights are rounding errors of coordinates in float32
_OTHER_PLACES = "which elements it reads depends on the image"


def _outside(call: Call, like: Operation | None, why: str = "") -> Opaque:
    return Opaque(call.name.strip("_"), why, like, count_products(call))


def _in_place(call: Call) -> Operation:
    """Return a function of each element whose result has another type of numbers."""
    return _outside(call, Elementwise(call.name.strip("_")))


def _fourier(call: Call) -> Operation:
    rank = call["self"].dim()
    return _outside(call, Mixture(tuple(sorted(dim % rank for dim in call["dim"]))))


def _pairs(call: Call) -> Operation:
    return _outside(call, LastDimension(call.name == "view_as_real"))


def _embedding(call: Call) -> Operation:
    return _outside(call, None if call.is_value(call["weight"]) else LastDimension(True))


def _distances(call: Call) -> Operation:
    rows = (call["x1"], call["x2"])
    return _outside(
        call, Distances(tuple(None if call.is_value(x) else call.weight(x, False) for x in rows))
    )


def _of_each_image(call: Call) -> Operation:
    """Return a function of everything that is read of an image."""
    rank = max(x.dim() for x in list_tensors(list(call.arguments.values())) if call.is_value(x))
    return _outside(call, Mixture(tuple(range(1, rank))))


def _of_everything(call: Call) -> Operation:
    return _outside(call, Mixture(tuple(range(call.out.dim()))))


def _renorm(call: Call) -> Operation:
    kept = call["dim"] % call.out.dim()
    return _outside(call, Mixture(tuple(dim for dim in range(call.out.dim()) if dim != kept)))


def _matrix_vector(call: Call) -> Operation:
    vector = call.is_value(call["vec"])
    return _outside(call, None if vector else Mixture((1,), removed=True))


def _recurrent_layer(call: Call) -> Operation:
    like = Recurrence(bool(call["reverse"])) if call.is_value(call["input"]) else None
    return _outside(call, like)


def _unpooling(call: Call) -> Operation:
    both = call.is_value(call["self"]) and call.is_value(call["indices"])
    return _outside(call, Unpooling() if both else None)


def _gather(call: Call) -> Operation:
    if not call.is_value(call["index"]):
        return rearrangement(call)
    dim = call["dim"] % max(1, call.out.dim())
    chosen = Choice((dim,), coordinates=False) if call.is_value(call["self"]) else None
    return _outside(call, chosen, _OTHER_PLACES)


def _index_put(call: Call) -> Operation:
    """Return a function of single elements where a mask, computed from the image, says which."""
    masks, values = [i for i in call["indices"] if i is not None], call["values"]
    if not any(map(call.is_value, masks)):
        return _accumulated(call) if call["accumulate"] else rearrangement(call)
    one_mask = len(masks) == 1 and masks[0].dtype == torch.bool
    if one_mask and masks[0].dim() == call.out.dim() and values.numel() == 1:
        return _in_place(call)
    return _outside(call, None, _OTHER_PLACES)


def _grid_sample(call: Call) -> Operation:
    image, grid = call["input"], call["grid"]
    if call.is_value(grid):
        dims = tuple(range(2, image.dim())) if call.is_value(image) else None
        chosen = None if dims is None else Choice(dims, coordinates=True)
        return _outside(call, chosen, "where it samples depends on the image")
    rank, sizes = image.dim() - 2, tuple(image.shape[2:])
    places, new = int(np.prod(sizes)), int(np.prod(grid.shape[1:-1]))
    if places * new > _MAX_MASK:
        return _outside(call, None, "the maps are too large to follow it")
    points = grid.detach().double().unique(dim=0)  # images have the same points, or few
    unit = torch.eye(places, dtype=torch.float64).reshape(1, places, *sizes)
    weights = call.function(
        unit.expand(len(points), *unit.shape[1:]),
        points,
        call["interpolation_mode"],
        call["padding_mode"],
        call["align_corners"],
    )
    mask = (weights.abs() > _NO_WEIGHT).any(0).reshape(places, new).numpy()
    return _outside(call, MapMixture(rank, mask))


def _fold(call: Call) -> Operation:
    sizes = (call["kernel_size"], call["dilation"], call["padding"], call["stride"])
    return _contributions(call, torch.ops.aten.im2col(_numbers(call.out).double(), *sizes))


def _accumulated(call: Call) -> Operation:
    """Return sums at places that do not depend on the image."""
    numbers = _numbers(call.out)
    if call.name.strip("_") in ("index_put", "index_put_impl"):
        added, targets = call["values"], numbers[tuple(_or_all(i) for i in call["indices"])]
    elif call.name == "scatter_add":
        index = call["index"]
        added = call["src"][tuple(slice(n) for n in index.shape)]
        targets = numbers.gather(call["dim"], index)
        if added.shape != call["src"].shape:
            return _outside(call, None)
    else:
        added, targets = call["source"], numbers.index_select(call["dim"], call["index"])
    indices = [call.get("index"), *(call.get("indices") or ())]
    if any(map(call.is_value, indices)):
        return _outside(call, None, _OTHER_PLACES)
    if added.shape != targets.shape:
        return _outside(call, None, "it adds one element at several places")
    parts = [(call["self"], numbers), (added, targets)]
    return _contributions(call, *(places for value, places in parts if call.is_value(value)))


def _contributions(call: Call, *targets: torch.Tensor) -> Operation:
    flat = torch.cat([places.reshape(-1) for places in targets]).to(torch.int64) - 1
    return _outside(call, Contributions(flat.numpy()))


def _numbers(out: torch.Tensor) -> torch.Tensor:
    """Return the places of a tensor's elements, counted from 1."""
    return torch.arange(1, out.numel() + 1).reshape(out.shape)


def _or_all(index: torch.Tensor | None) -> torch.Tensor | slice:
    return slice(None) if index is None else index


MIXING_TRANSLATIONS: dict[str, Callable[[Call], Operation]] = {
    # What is copied as another type of numbers; all other copies are not operations.
    **dict.fromkeys(
        ("_to_copy", "alias", "clone", "contiguous", "detach", "lift_fresh", "_conj"), _in_place
    ),
    **dict.fromkeys(
        ("_conj_physical", "_neg_view", "resolve_conj", "resolve_neg", "polar", "complex"),
        _in_place,
    ),
    **dict.fromkeys(("_fft_r2c", "_fft_c2r", "_fft_c2c"), _fourier),
    **dict.fromkeys(("view_as_real", "view_as_complex"), _pairs),
    **dict.fromkeys(("index_put", "_index_put_impl"), _index_put),
    **dict.fromkeys(("scatter_add", "index_add"), _accumulated),
    **dict.fromkeys(("grid_sampler_2d", "grid_sampler_3d"), _grid_sample),
    **dict.fromkeys(("max_unpool2d", "max_unpool3d"), _unpooling),
    **dict.fromkeys(("affine_grid_generator", "_trilinear"), _of_each_image),
    "_cdist_forward": _distances,
    "col2im": _fold,
    "embedding": _embedding,
    "gather": _gather,
    "masked_scatter": _of_everything,
    "mkldnn_rnn_layer": _recurrent_layer,
    "mv": _matrix_vector,
    "renorm": _renorm,
}
