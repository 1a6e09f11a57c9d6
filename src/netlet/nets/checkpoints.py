"""Find the weights of a net in what a training script has saved, however they are wrapped."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from netlet.errors import NetError
from netlet.records.upgrade import OLD_LAYER_NAMES

# Keys under which training scripts save the state_dict in a larger checkpoint.
_STATE_KEYS = (
    *("state_dict", "model_state_dict", "model", "net", "weights", "net_state_dict"),
    *("model_state", "network", "params"),
)
# Attributes that hold the net in what scripts save instead of it: DataParallel, torch.compile,
# Lightning, averaged weights.
_WRAPPERS = ("module.", "model.", "net.", "network.", "backbone.", "_orig_mod.", "ema.")
_COMPILED = "_orig_mod."
FIT_TOO = "fit the net, too"  # of other weights in a checkpoint
_DEPTH = 3  # of what is looked into


def find_state(loaded: Any, path: Path) -> dict[str, torch.Tensor]:
    """Return the ``state_dict`` in what ``torch.save`` stored.

    Args:
        loaded: It: a ``state_dict``, or a dict that holds one beside other things.
        path: The path of the file, for the error message.

    Raises:
        NetError: There is none, or there are several and no name tells which is meant.
    """
    found = next(_find_states(loaded, _DEPTH, _STATE_KEYS), None)
    if found is not None:
        return found[1]
    others = _other_states(loaded)
    if len(others) == 1:
        return next(iter(others.values()))
    if others:
        raise NetError(
            f"{path}: holds the weights of several nets ({', '.join(map(repr, others))}); "
            "save the state_dict of one"
        )
    raise NetError(
        f"{path}: expected a state_dict (names and tensors), found {_describe(loaded)}; "
        "save net.state_dict()"
    )


def describe_other_states(loaded: Any, name: str) -> str:
    """Return which weights a checkpoint holds beside those that :func:`find_state` returns.

    Averages of the weights, for example: they fit the same net, and their values differ.

    Args:
        loaded: What ``torch.save`` stored.
        name: The name of the file.

    Returns:
        A sentence; empty if there are none.
    """
    keys, state = next(_find_states(loaded, _DEPTH, _STATE_KEYS), ((), {}))
    if not keys:
        return ""
    others = [
        where
        for where, other in _find_states(loaded, _DEPTH, None)
        if where != keys and _differs_in_values_only(state, align_names(other, state))
    ]
    if not others:
        return ""
    listed = ", ".join(map(_show_keys, others))
    place = "".join(f"[{key!r}]" for key in others[0])
    return (
        f"{name}: the weights under {_show_keys(keys)} are used, but those under {listed} "
        f"{FIT_TOO}; if they are meant, save them alone, like torch.save(checkpoint{place}, "
        "'weights.pt')"
    )


def _show_keys(keys: Sequence[object]) -> str:
    return repr(".".join(map(str, keys)))


def _differs_in_values_only(
    state: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]
) -> bool:
    """Return whether the tensors of a state have the same shapes in another one, not all equal."""
    if any(key not in other or other[key].shape != one.shape for key, one in state.items()):
        return False
    try:
        return not all(torch.equal(other[key], one) for key, one in state.items())
    except (RuntimeError, NotImplementedError):  # of rare types
        return True


def _find_states(
    loaded: Any, depth: int, usual: Collection[object] | None, keys: tuple[object, ...] = ()
) -> Iterator[tuple[tuple[object, ...], dict[str, torch.Tensor]]]:
    """Yield the states in what was loaded, each with its keys.

    Args:
        loaded: What was loaded.
        depth: Of the dictionaries to look into.
        usual: The keys to look under, in this order; None: all.
        keys: Those that led here.
    """
    if _is_state(loaded):
        yield keys, dict(loaded)
    elif isinstance(loaded, Mapping) and depth:
        for key in loaded if usual is None else usual:
            yield from _find_states(loaded.get(key), depth - 1, usual, (*keys, key))


def _other_states(loaded: Any) -> dict[str, dict[str, torch.Tensor]]:
    """Return what is stored under other keys and looks like the weights of a net."""
    if not isinstance(loaded, Mapping):
        return {}
    return {str(key): dict(value) for key, value in loaded.items() if _is_state(value)}


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(tensor, torch.Tensor) for tensor in value.values())
        and all(isinstance(key, str) for key in value)
    )


def _describe(loaded: Any) -> str:
    """Return what is in a file without a state_dict: the entry that spoils it, or its type."""
    if isinstance(loaded, Mapping) and any(isinstance(v, torch.Tensor) for v in loaded.values()):
        for key, value in loaded.items():
            if not isinstance(value, torch.Tensor):
                return f"{type(value).__name__} under {key!r}"
    return type(loaded).__name__


def align_names(
    found: dict[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Rename tensors to match the net's names.

    Either may have a common prefix from a wrapper, beside which a file may hold other tensors; and
    the weights of our own nets may have the layer names of version 0.1.

    Args:
        found: The tensors of a file.
        wanted: Those of the net.

    Returns:
        The tensors under the names that match most.
    """
    for names in OLD_LAYER_NAMES.values():
        renamed = {_rename_layer(key, names): value for key, value in found.items()}
        if renamed.keys() == wanted.keys():
            return renamed
    candidates = [found]
    while prefix := _shared_prefix(candidates[-1]):
        candidates.append(
            {key.removeprefix(prefix): value for key, value in candidates[-1].items()}
        )
    inside = [tensors for tensors in _unwrap(found, _DEPTH) if tensors.keys() != found.keys()]
    if prefix := _shared_prefix(wanted):
        for group in (candidates, inside):
            group += [{prefix + key: value for key, value in one.items()} for one in group]

    def matches(tensors: dict[str, torch.Tensor]) -> int:
        return len(tensors.keys() & wanted.keys())

    best = max(candidates, key=matches)
    # What lies beside a wrapped net is left out if only the tensors inside have its names.
    inner = max(inside, key=lambda tensors: (matches(tensors), -len(tensors)), default=best)
    return dict(inner if matches(inner) > matches(best) else best)


def _unwrap(tensors: dict[str, torch.Tensor], depth: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield tensors, and those below the attributes that hold a wrapped net."""
    yield tensors
    compiled = {key.replace(_COMPILED, ""): value for key, value in tensors.items()}
    if compiled.keys() != tensors.keys() and len(compiled) == len(tensors):
        yield from _unwrap(compiled, depth)
    for prefix in _WRAPPERS if depth else ():
        inside = {
            key.removeprefix(prefix): value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        if inside:
            yield from _unwrap(inside, depth - 1)


def _rename_layer(key: str, names: Mapping[str, str]) -> str:
    layer, dot, rest = key.partition(".")
    return names.get(layer, layer) + dot + rest


def _shared_prefix(names: Mapping[str, object]) -> str:
    firsts = {key.partition(".")[0] + "." for key in names if "." in key}
    return firsts.pop() if len(firsts) == 1 and all("." in key for key in names) else ""
