"""Nets of a submission that are not graded, of which one may be the net that the student means."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from netlet.classroom.code_uses import CodeUses
from netlet.classroom.same_code import has_same_text

_MOST_NAMED = 3  # in one line
# Of classes and functions that are not the net: blocks, and what has to be filled in or inherited.
_NEEDS_ARGUMENTS, _ABSTRACT = "has required arguments (", "NotImplementedError"
_REMEDY = (
    "if it is the net, add a function without arguments that returns it, and name this function "
    "in claim.toml"
)
HAS_NAME = "its name is "  # begins why a net is not tried that only has to be named
_NAME_IT = "if it is the net, name it in claim.toml"


def describe_others(
    failed: Mapping[str, str],
    untried: Mapping[str, str],
    graded: str,
    others: Sequence[str],
    folder: Path,
) -> str:
    """Return which nets do not run or are not tried, beside one that is graded.

    Left out are parts and base classes of other nets, and copies of the one that is graded.

    Args:
        failed: Why nets do not run, by their addresses; or files that cannot be read.
        untried: Why nets are not tried, by their addresses.
        graded: The address of the net that is graded.
        others: The addresses of the other nets that run.
        folder: The folder of the submission.

    Returns:
        The text; empty if no net is worth a note.
    """
    shown = {address: os.path.relpath(address, folder) for address in (*failed, *untried)}
    why = {one: failed[one].removeprefix(f"{shown[one]}: ") for one in failed}
    why = {
        one: reason
        for one, reason in why.items()
        if not (reason.startswith(_NEEDS_ARGUMENTS) or _ABSTRACT in reason)
    }
    uses = {one: CodeUses(one) for one in (graded, *others, *why, *untried)}
    readable = {one: found for one, found in uses.items() if found.are_known}

    def list_worth_a_note(reasons: Mapping[str, str]) -> list[str]:
        return [
            address
            for address in reasons
            if not has_same_text(address, graded)
            and not any(
                one.has(address) and not uses[address].has(other)
                for other, one in readable.items()
                if other != address
            )
        ]

    said = []
    for address in list_worth_a_note(why):
        short = why[address].partition("; ")[0].partition(" (input ")[0]
        said.append(f"{shown[address]} does not run ({short})")
    text = _join(said, "nor do {} more")
    worth = list_worth_a_note(untried)
    said = [f"{shown[one]} was not tried ({untried[one]})" for one in worth]
    have_names = all(untried[one].startswith(HAS_NAME) for one in worth)
    remedy = (_NAME_IT if have_names else _REMEDY) if said else ""
    return "; ".join(filter(None, [text, _join(said, "nor were {} more"), remedy]))


def explain_parts(reasons: Sequence[str]) -> str:
    """Return why a part of a net is graded, and not the whole.

    Args:
        reasons: Why the other nets of its file do not run.
    """
    if not reasons:
        return "what it is a part of cannot be built without arguments"
    reason = reasons[0].partition(" (input ")[0].partition("; ")[0]
    return f"what it is a part of does not run ({reason})"


def _join(said: Sequence[str], rest: str) -> str:
    more = len(said) - _MOST_NAMED
    return ", ".join([*said[:_MOST_NAMED], *([rest.format(more)] if more > 0 else [])])
