"""Compare environments: in what two machines and their software differ that may change bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netlet.text import count_noun

# How a difference between two environments is put into words; the values are not worth reading.
_DIGESTS = {
    "sources": ("another version of netlet's sources", ("netlet",)),
    "torch_build": ("another build of PyTorch", ("torch",)),
    "cpu_features": ("other processor features", ("cpu",)),
    "compiled_step": ("another compiled training step", ("compiler", "compiler_flags", "sources")),
    "compiled_augmentation": (
        "another compiled augmentation",
        ("compiler", "compiler_flags", "sources"),
    ),
}
_MAY_BE_NONE = ("cores",)  # which is always there, and not known everywhere
_CHANGES_NO_BITS = ("cores", "commit", "node")  # "sources" tells more than the commit
# The number of threads is compared; how threads wait, which the command netlet sets, is not.
_SETTINGS_LEFT_OUT = {"OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}


def find_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words in what two environments differ that may change bits.

    Only what both describe is compared, since another version of netlet may describe more or less.

    Args:
        before: The earlier environment, as records store it; ``backend`` may be added.
        now: The same.

    Returns:
        For instance ``["2 threads instead of 1"]``.
    """
    both = [name for name in now if name in before and before[name] != now[name]]
    words = []
    for name in both:
        if name in _CHANGES_NO_BITS:
            continue
        if name == "settings":
            words += _differences_in_settings(before[name], now[name])
        elif name in _DIGESTS:
            text, implied_by = _DIGESTS[name]
            if not any(other in both for other in implied_by):
                words.append(text)
        elif name == "threads":
            words.append(f"{count_noun(now[name], 'thread')} instead of {before[name]}")
        elif name in ("backend", "augmentation"):
            words.append(f"the {now[name]} {name} instead of the {before[name]} one")
        else:
            words.append(f"{name.replace('_', ' ')} {now[name]} instead of {before[name]}")
    return words


def _differences_in_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    # As text, since version 0.1 wrote switches as true or false.
    return [
        f"{name} {now.get(name, 'unset')} instead of {before.get(name, 'unset')}"
        for name in sorted({*before, *now} - _SETTINGS_LEFT_OUT)
        if str(before.get(name, "")) != str(now.get(name, ""))
    ]


def list_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values in which an environment differs from another; None for what it lacks.

    Args:
        before: The environment to compare with.
        now: That with the values.
    """
    return {
        key: now.get(key)
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    }


def apply_changes(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment whose differences from another :func:`list_changes` has listed."""
    lacking = {key for key, value in changes.items() if value is None and key not in _MAY_BE_NONE}
    return {key: value for key, value in {**before, **changes}.items() if key not in lacking}
