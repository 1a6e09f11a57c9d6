"""Leave out the tensors of a file that a net does not have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch

LEFT_OUT = ", left out"  # ends the sentence on what is left out
_COUNTS_OF_THOP = ("total_ops", "total_params")  # buffers that thop and its like add to modules


def leave_out_surplus(
    found: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    path: Path,
    layers: bool = False,
) -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors that a net has, and a sentence on the others.

    Nothing is left out if some of the net's tensors are missing or have other shapes, or if the
    others are those of more layers of the same kind, as the weights of a deeper net have. Only the
    counts that thop adds to a net are left out in any case, without a sentence.

    Args:
        found: The tensors of a file, under the net's names.
        wanted: Those of the net.
        path: The path of the file.
        layers: Whether more layers of the same kind are left out, too: a layer that never ran may
            have been deleted from the code since.
    """
    found = {
        key: value
        for key, value in found.items()
        if key in wanted or key.rpartition(".")[2] not in _COUNTS_OF_THOP
    }
    others = [key for key in found if key not in wanted]
    has_all = all(key in found and found[key].shape == own.shape for key, own in wanted.items())
    is_deeper = {*map(_drop_numbers, others)} & {*map(_drop_numbers, wanted)}
    if not others or not has_all or (is_deeper and not layers):
        return found, ""
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    hint = " (a deeper net has them)" if is_deeper else ""
    note = f"{path.name}: the net has no {', '.join(others[:5])}{more}{hint}{LEFT_OUT}"
    return {key: found[key] for key in wanted}, note


def _drop_numbers(name: str) -> str:
    """Return the same text for the names of a tensor in layers with other numbers, or without."""
    return re.sub(r"_?\d+", "", name)
