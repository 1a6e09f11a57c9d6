"""What a run was asked to do: net, recipe, budget, data and seed, as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

from netlet.display import Displayed
from netlet.errors import RecordError
from netlet.recipes import complete_recipe
from netlet.records.data_contradictions import find_held_out
from netlet.records.schema import STRICT, check_values
from netlet.records.upgrade import explain_upgrade_errors, upgrade_config
from netlet.records.values import DataDescription, DataSource

MAX_THREADS = 1_024  # PyTorch crashes with many more
_MOST_CHANGES = 3  # of settings in a message
OTHER_SOURCE = "source of the net"  # what two runs may differ in
_SHOWN = (
    "name",
    "net",
    "validation split",
    "name of the data set",
    "number of channels",
)  # whose values people know


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig(Displayed):
    """What all runs of one experiment share; runs and studies extend it with their results.

    ``recipe`` and ``budget`` hold the fields of ``Recipe`` and ``Budget`` as JSON stores them.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

    name: str  # of the experiment
    net: str  # the name that was passed to netlet
    recipe: Mapping[str, Any]
    budget: Mapping[str, Any] | None
    data: DataSource | DataDescription
    initial_weights_digest: str = ""  # empty if the seed initialized the weights
    # SHA-256 of the code of the net (``nets.NetCode``); empty for nets that come with netlet, and
    # in records of earlier versions.
    source_digest: str = ""

    @property
    def initial_weights(self) -> str:
        """What the weights are that training begins with: their digest; empty for the seed's."""
        return self.initial_weights_digest


@dataclass(frozen=True, kw_only=True)
class RunConfig(ExperimentConfig):
    """Everything that another process needs to start or resume one run."""

    seed: int
    val: int  # training images to hold out for scoring; 0: score on test
    net_source: str  # like net, but with an absolute path, so that it works in any folder
    dataset: str  # name of a public data set, or an absolute path
    data_folder: str | None  # where the files of a public data set are, if that was specified
    threads: int  # CPU threads; another number may change the last bits of the weights

    @staticmethod
    def from_dict(values: Mapping[str, Any], where: object) -> RunConfig:
        """Restore a configuration from a checkpoint, whichever version of netlet wrote it.

        Args:
            values: The values that ``to_dict`` returned.
            where: The checkpoint's path, for the error message.

        Raises:
            RecordError: A field is missing or unknown, or its value is of another form.
        """
        with explain_upgrade_errors(f"{where}: configuration"):
            upgraded = upgrade_config(values)
        config: RunConfig = check_values(RunConfig, upgraded, f"{where}: configuration")
        if not 1 <= config.threads <= MAX_THREADS:
            raise RecordError(
                f"{where}: threads is {config.threads}, expected 1 to {MAX_THREADS:,}; "
                "start a new run"
            )
        return config

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON stores them."""
        return dataclasses.asdict(self)


_IDENTITY: Mapping[str, Callable[[ExperimentConfig], object]] = {
    "name": lambda config: config.name,
    "net": lambda config: config.net,
    # Two recipes that train alike are one, whatever they are called.
    "recipe": lambda config: {**config.recipe, "name": ""},
    "budget": lambda config: config.budget,
    "validation split": lambda config: _describe_val(config.data),
    "data set": lambda config: config.data["digest"],
    "name of the data set": lambda config: config.data["name"],
    "number of channels": lambda config: config.data["shape"][0],
    "initial weights": lambda config: config.initial_weights,
}


def _describe_val(data: DataSource) -> object:
    number, how = data["images"].get("val", 0), find_held_out(data)
    return f"{number} ({how})" if how else number


def find_difference(one: ExperimentConfig, other: ExperimentConfig) -> str | None:
    """Return what two runs or studies differ in, in words.

    The machine, the seed and the location of files may differ.

    Returns:
        For instance ``"recipe"``; None if both are of the same experiment.
    """
    different = (what for what, value in _IDENTITY.items() if value(one) != value(other))
    if (what := next(different, None)) is not None:
        return what
    classes = [config.data.get("class_names") for config in (one, other)]
    if None not in classes and classes[0] != classes[1]:  # not known of version 0.1
        return "list of classes"
    digests = {one.source_digest, other.source_digest} - {""}  # not known of earlier versions
    return OTHER_SOURCE if len(digests) > 1 else None


def describe_difference(what: str, there: ExperimentConfig, now: ExperimentConfig) -> str:
    """Return what was found and what is asked for, like ``epochs 3 there, 2 now``.

    Args:
        what: What they differ in, as :func:`find_difference` returns it.
        there: What the record has that is there already.
        now: What is asked for.

    Returns:
        Empty if the values say nothing to a person, as digests do.
    """
    if what == "recipe":
        return describe_changed_recipe(there.recipe, now.recipe)
    if what == "budget":
        return _list_changes(there.budget or {"name": "none"}, now.budget or {"name": "none"})
    if what not in _SHOWN:
        return ""
    old, new = (_IDENTITY[what](one) for one in (there, now))
    return f"{old} there, {new} now"


def describe_changed_recipe(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return which settings of a recorded recipe have other values now, and which."""
    return _list_changes(_list_settings(there), _list_settings(now))


def _list_changes(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """Return the first values that differ; the name only if no other does."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    names = [name for name in names if name != "name"] or names
    shown = (f"{name} {old.get(name)} there, {new.get(name)} now" for name in names)
    return "; ".join(islice(shown, _MOST_CHANGES))


def _list_settings(recipe: Mapping[str, Any]) -> dict[str, object]:
    """Return all settings of a recorded recipe, those of its augmentation one by one."""
    values = complete_recipe(recipe)
    warps = values.pop("augment")
    values["augment"] = f"{len(warps)} steps"
    for number, warp in enumerate(warps, start=1):
        where = "augment" if len(warps) == 1 else f"augment {number}"
        values |= {f"{where}.{name}": value for name, value in warp.items()}
    return values
