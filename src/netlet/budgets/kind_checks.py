"""Kinds of layers in rules that neither PyTorch nor netlet knows: slips, or classes of a net."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netlet.budgets.layer_names import find_slip, is_layer, suggest_kind
from netlet.budgets.rules import Rule, Term


def unknown_kinds(rules: Iterable[Rule]) -> list[Term]:
    """Return the words of rules that are neither layers of torch.nn nor families.

    Those that say that they are classes of a net, like ``=Block``, are not among them.
    """
    return [term for rule in rules for term in rule.words() if is_unknown(term)]


def is_unknown(term: Term) -> bool:
    """Return whether a word is neither a layer of torch.nn nor a family, and has no ``=``."""
    return bool(term.kind) and not term.own and not is_layer(term.kind)


def may_be_class(term: Term) -> bool:
    """Return whether an unknown word may be a class of somebody's net.

    It is written like a class and not like a known name with a slip.
    """
    return bool(re.search(r"[A-Z]", term.kind)) and not find_slip(term.kind)


def describe_unknown_kind(kind: str, in_net: Iterable[str] = ()) -> str:
    """Return that no kind of layer has a name, and what to write, in one line.

    Args:
        kind: The name.
        in_net: Kinds of the net that is judged.
    """
    return (
        f"no kind of layer is called {kind!r}; {suggest_kind(kind, in_net)}"
        "use the name in torch.nn, such as 'Linear', a family, such as 'GAP', or "
        f"'={kind}' for a class in the file of the net"
    )
