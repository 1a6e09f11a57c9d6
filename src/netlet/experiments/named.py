"""Experiments by name, built from the catalog's definitions."""

from __future__ import annotations

from netlet.budgets import TWENTY_K
from netlet.catalog import DEFINITIONS, Definition
from netlet.errors import NetError, check_type, did_you_mean
from netlet.experiments.experiment import Experiment
from netlet.nets import NETS, explain_path, find_net, is_notation, is_user_code
from netlet.nets.one_line import find_experiments_net
from netlet.recipes import STEADY


def _build(definition: Definition) -> Experiment:
    net = find_experiments_net(definition.name)
    assert net is not None
    return Experiment(
        name=definition.name,
        net=net,
        recipe=definition.recipe,
        budget=definition.budget,
        claim=definition.claim,
    )


EXPERIMENTS: dict[str, Experiment] = {
    definition.name: _build(definition) for definition in DEFINITIONS
}
DEFAULT = "swift"


def find_experiment(name: str, *, trusted: bool = True) -> Experiment:
    """Return the experiment of a name, or a net with the default recipe and budget.

    Args:
        name: The name of an experiment; or a net: a registered one, one in one line, ``file.py`` or
            ``file.py:Name``.
        trusted: Whether the user named it; see :func:`netlet.nets.find_net`.

    Raises:
        NetError: There is no such experiment or net, or it is code that is not trusted.
    """
    check_type(name, str, "the name of an experiment or net", "a name like 'swift'")
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    if not (is_user_code(name) or name in NETS or is_notation(name)):
        hint = did_you_mean(name, [*EXPERIMENTS, *NETS])
        raise NetError(
            explain_path(name)
            or f"no experiment or net {name!r}; {hint}'netlet list' shows all of them,"
            " and file.py:Name means a net of your own"
        )
    net = find_net(name, trusted=trusted)
    # A file alone means the net in it, whose address has its name.
    own = net.name if is_user_code(name) else name
    return Experiment(name=own, net=net, recipe=STEADY, budget=TWENTY_K)
