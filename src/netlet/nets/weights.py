"""Save and load weights: safetensors, and ``state_dict`` files without running pickled code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save as save_safetensors
from torch import nn

from netlet.errors import NetError, check_argument
from netlet.files import open_regular, write_atomic
from netlet.nets.checkpoints import align_names, describe_other_states, find_state
from netlet.nets.first_weights import remember_loading
from netlet.nets.observers import take_sizes
from netlet.nets.surplus_tensors import leave_out_surplus
from netlet.nets.tensor_bytes import tensor_bytes
from netlet.nets.tensor_files import (
    MAX_WEIGHTS_BYTES,
    check_tensor,
    read_safetensors,
    read_torch_file,
)
from netlet.text import format_shape, to_unicode


def save_weights(net: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> str:
    """Write a net's weights and buffers as safetensors; the file appears complete or not at all.

    Args:
        net: The net.
        path: The path of the file.
        metadata: The entries of the file's header, written as valid Unicode.

    Returns:
        The SHA-256 of the file.

    Raises:
        TypeError: The net is of another type, such as its class.
    """
    check_argument(net, nn.Module)
    content = weights_to_bytes(net, metadata)
    write_atomic(path, content)
    return hashlib.sha256(content).hexdigest()


def weights_to_bytes(net: nn.Module, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the content of a file with a net's weights; see :func:`save_weights`."""
    return tensors_to_bytes(net.state_dict(), metadata)


def tensors_to_bytes(
    tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> bytes:
    """Return the content of a file with tensors by name; see :func:`save_weights`."""
    # Cloned, since safetensors cannot store shared parameters and channels-last strides.
    state = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    described = {key: to_unicode(value) for key, value in (metadata or {}).items()}
    return _sort_header(save_safetensors(state, described))


def _sort_header(content: bytes) -> bytes:
    """Return a safetensors file whose metadata is in order.

    safetensors writes it in another order each time, and equal runs write equal files.
    """
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    metadata = header.pop("__metadata__", None)
    if metadata:
        header = {"__metadata__": dict(sorted(metadata.items())), **header}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def load_weights(
    net: nn.Module, path: Path | str, *, convert: bool = False, if_other_images: str = ""
) -> str:
    """Load the weights in a file into a net; on an error the net stays unchanged.

    Args:
        net: The net, which is changed in place.
        path: A safetensors file, or a ``.pt``/``.pth`` written by ``torch.save`` from a
            ``state_dict``, alone or in a checkpoint, under ``state_dict``, ``model``, ``weights``
            or a similar key. Prefixes of wrappers (``module.``, ``model.``, ``_orig_mod.``) are
            ignored, and so is what a checkpoint holds beside the weights.
        convert: Whether floating-point weights of another type, such as float16, are converted to
            the net's type; they are refused otherwise.
        if_other_images: What to do if only the channels of the images or the number of classes
            differ, for the error message.

    Returns:
        In a sentence, what was converted, or which other weights of the file fit, such as averages;
        empty if nothing was.

    Raises:
        NetError: The file cannot be read, contains something else, would run code, has values that
            are not finite, or does not fit the net (missing and unexpected entries, and those of
            another shape or type are named).
    """
    loaded = load_adapted(
        net, Path(path), convert=convert, leave_out="nothing", if_other_images=if_other_images
    )
    return loaded.note


@dataclass(frozen=True)
class AdaptedWeights:
    """What was done to load weights into a net.

    Attributes:
        note: In a sentence, what was converted or left out, or which other weights of the file fit,
            such as averages; empty if nothing was.
        left_out: Whether tensors that the net does not have were left out.
    """

    note: str
    left_out: bool


def load_adapted(
    net: nn.Module,
    path: Path,
    *,
    convert: bool = True,
    leave_out: Literal["nothing", "others", "layers"] = "others",
    if_other_images: str = "",
) -> AdaptedWeights:
    """Load weights into a net that need not have all of them; see :func:`load_weights`.

    ``leave_out`` says which tensors that the net does not have are left out if the file has all of
    the net's: ``others`` than those of more layers of the same kind, or these ``layers``, too.
    """
    wanted = net.state_dict()
    tensors, others = _read_tensors(path)
    found = align_names(tensors, wanted)
    wanted = take_sizes(net, wanted, found)
    for key, value in wanted.items():
        if key.endswith("num_batches_tracked"):  # missing in old files
            found.setdefault(key, value)
    surplus = ""
    if leave_out != "nothing":
        found, surplus = leave_out_surplus(found, wanted, path, leave_out == "layers")
    found, note = _convert(found, wanted, path) if convert else (found, "")
    if problems := _find_mismatches(found, wanted):
        if all(problem.startswith("wrong type: ") for problem in problems):
            raise NetError(
                f"{path}: {problems[0]}; save them in the net's type, for instance with "
                "net.float().state_dict()"
            )
        if if_other_images and _differ_at_ends_only(found, wanted):
            problems.append(if_other_images)
        raise NetError(f"{path}: these weights belong to another net; {'; '.join(problems)}")
    refuse_not_finite(found, f"{path}: ", wanted)
    net.load_state_dict(found)
    remember_loading(net)
    return AdaptedWeights("; ".join(filter(None, [note, surplus, others])), bool(surplus))


def _convert(
    found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], path: Path
) -> tuple[dict[str, torch.Tensor], str]:
    """Return tensors in the floating-point types of a net, and a sentence on what was converted."""
    other = [
        name
        for name, tensor in found.items()
        if name in wanted
        and tensor.dtype != wanted[name].dtype
        and tensor.is_floating_point()
        and wanted[name].is_floating_point()
    ]
    if not other:
        return dict(found), ""
    types = sorted({(_name_dtype(found[name]), _name_dtype(wanted[name])) for name in other})
    note = ", ".join(f"{given} to {own}" for given, own in types)
    converted = {name: found[name].to(wanted[name].dtype) for name in other}
    return {**found, **converted}, f"{path.name}: its weights were converted from {note}"


def refuse_not_finite(
    tensors: Mapping[str, torch.Tensor],
    where: str,
    wanted: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Refuse weights with values that are NaN or infinite.

    Args:
        tensors: The tensors by name.
        where: The name of the tensors, for the beginning of the error message.
        wanted: The net's own tensors, if the others are from a file, which may be of any training.
            What they have as well, such as an infinite mask, is allowed.

    Raises:
        NetError: One has.
    """
    for name, tensor in tensors.items():
        own = None if wanted is None else wanted.get(name)
        if not _is_finite(tensor) and (own is None or not torch.equal(tensor, own.cpu())):
            rate = "use a lower peak_lr" if wanted is None else "train with a lower learning rate"
            raise NetError(
                f"{where}{name} has values that are not finite (NaN or infinite): the training"
                f" diverged; {rate}"
            )


def find_not_finite(tensors: Mapping[str, torch.Tensor]) -> set[str]:
    """Return the names of the tensors with values that are NaN or infinite."""
    return {name for name, tensor in tensors.items() if not _is_finite(tensor)}


def _is_finite(tensor: torch.Tensor) -> bool:
    if not tensor.is_floating_point() and not tensor.is_complex():
        return True
    wide = tensor if tensor.element_size() > 1 else tensor.float()
    return bool(wide.isfinite().all())


def _differ_at_ends_only(
    found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> bool:
    """Return whether tensors differ only in the first layer's inputs or the last one's outputs."""
    layers = [key for key, value in wanted.items() if value.dim() > 1]
    if found.keys() != wanted.keys() or not layers:
        return False
    last = layers[-1].rpartition(".")[0]
    for key, value in wanted.items():
        shape, own = tuple(found[key].shape), tuple(value.shape)
        is_first, is_last = key == layers[0], key.rpartition(".")[0] == last
        if len(shape) != len(own) or any(
            one != other and not ((dim == 1 and is_first) or (dim == 0 and is_last))
            for dim, (one, other) in enumerate(zip(shape, own, strict=True))
        ):
            return False
    return True


def _find_mismatches(
    found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> list[str]:
    """Return what prevents tensors from being loaded into a net, one text for each kind."""
    missing = [key for key in wanted if key not in found]
    unexpected = [key for key in found if key not in wanted]
    misshapen = [
        f"{key} is {_describe_shape(found[key])}, in the net {_describe_shape(wanted[key])}"
        for key in wanted
        if key in found and found[key].shape != wanted[key].shape
    ]
    of_other_type = [
        f"{key} is {_name_dtype(found[key])}, in the net {_name_dtype(wanted[key])}"
        for key in wanted
        if key in found and found[key].dtype != wanted[key].dtype
    ]
    return [
        f"{what}: {', '.join(keys[:5])}{f' and {len(keys) - 5} more' if len(keys) > 5 else ''}"
        for what, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("wrong shape", misshapen),
            ("wrong type", of_other_type),
        )
        if keys
    ]


def weights_digest(net: nn.Module) -> str:
    """Return the SHA-256 of the names, shapes and values of a net's weights and buffers.

    Raises:
        TypeError: The net is of another type, such as its class.
    """
    check_argument(net, nn.Module)
    return _digest_tensors(net.state_dict())


def refuse_other_weights(path: Path, digest: str, record: Path) -> None:
    """Check that a file has the weights that a record is about.

    Args:
        path: The path of the file with the weights.
        digest: The digest that the record states, from :func:`weights_digest`.
        record: The path of the record, for the error message.

    Raises:
        NetError: The file has other weights, or cannot be read.
    """
    found = _digest_tensors(read_state_dict(path))
    if found != digest:
        raise NetError(
            f"{path}: has weights with the digest {found[:16]}..., but {record} is about those with"
            f" {digest[:16]}...; restore the file, or pass it with --weights (weights in Python) to"
            " use it anyway"
        )


def _digest_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(tensors.items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(tensor_bytes(value))
    return digest.hexdigest()


def check_weights_file(path: Path) -> None:
    """Check that a path is a file that may hold weights, without reading it.

    Raises:
        NetError: There is no such file, or it is a folder, a pipe, a device or too large.
    """
    if not os.path.lexists(path):
        raise NetError(f"{path}: no such weights file; check its name")
    open_regular(path, MAX_WEIGHTS_BYTES, NetError).close()


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in a weights file by name.

    Raises:
        NetError: The file cannot be read, contains something else, or would run code.
    """
    return _read_tensors(path)[0]


def _read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Return the tensors in a weights file, and a sentence on those that fit the same net."""
    check_weights_file(path)
    others = ""
    if path.suffix == ".safetensors":
        tensors = read_safetensors(path, NetError)
    else:
        loaded = read_torch_file(path, NetError)
        tensors, others = find_state(loaded, path), describe_other_states(loaded, path.name)
    for name, tensor in tensors.items():
        check_tensor(tensor, path, name, NetError)
    return tensors, others


def _name_dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _describe_shape(tensor: torch.Tensor) -> str:
    return format_shape(tensor.shape) or "a single number"
