"""What a search tries: a space of nets and recipes, or a few arms that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet.budgets import Budget
from netlet.catalog import find_recipe
from netlet.data import DATASET_NAMES
from netlet.errors import SearchError, did_you_mean
from netlet.experiments.search.fitting import Images, check_net, fill_budget
from netlet.experiments.search.ranges import Chooser, Field, Interval
from netlet.experiments.search.recipe_fields import change_recipe, settle_fields

FOLDS = 6  # of the training images, if the file does not say
KEEP = 0.5  # share of the trials that goes on from a rung, if the file does not say


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A net and how to train it."""

    net: str  # in one line, or by name
    recipe: str  # to start from
    changes: Mapping[str, Any]  # to fields of the recipe, as JSON stores them
    epochs: int
    params: Mapping[str, Any] | None = None  # as the sampler chose them
    arm: str | None = None  # that it is a run of, in a comparison


@dataclass(frozen=True, kw_only=True)
class Search:
    """What all trials of a search share."""

    name: str
    title: str = ""
    dataset: str = "mnist"  # a name, or a path
    folds: int = FOLDS  # disjoint parts of the training images; each trial is scored on one
    budget: Budget | None = None

    @property
    def nets(self) -> tuple[str, ...]:
        """The nets that the search names as they are."""
        return ()

    @property
    def all_shapes(self) -> tuple[str, ...]:
        """The shapes that are widened until they fill the budget."""
        return ()

    @property
    def varied(self) -> dict[str, bool]:
        """What is searched, as trials record it in ``params``, and whether by its logarithm."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Space(Search):
    """Nets and recipes to choose from.

    Attributes:
        recipe: The name of the recipe to start from.
        epochs: The number of epochs of a trial that is not stopped.
        candidates: Nets as they are, by name or in one line.
        shapes: Nets in one line with ratios instead of widths; see
            :mod:`netlet.experiments.search.fitting`.
        fields: The fields of the recipe that are set or vary.
        rungs: The epochs after which a trial may be stopped, ascending.
        keep: The share of the trials that goes on from a rung.
    """

    recipe: str
    epochs: int
    candidates: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    rungs: tuple[int, ...] = ()
    keep: float = KEEP

    @property
    def nets(self) -> tuple[str, ...]:
        """The nets that the search names as they are."""
        return self.candidates

    @property
    def all_shapes(self) -> tuple[str, ...]:
        """The shapes that are widened until they fill the budget."""
        return self.shapes

    @property
    def varied(self) -> dict[str, bool]:
        """What is searched, as trials record it in ``params``, and whether by its logarithm."""
        several = {"net": self.candidates, "shape": self.shapes}
        nets = {name: False for name, values in several.items() if len(values) > 1}
        ranges = {field.name: field.range for field in self.fields if field.varies}
        return nets | {name: isinstance(one, Interval) and one.log for name, one in ranges.items()}

    def choose(self, chooser: Chooser, images: Images) -> Candidate:
        """Choose a net and a recipe.

        Args:
            chooser: Chooses the values, like a trial of Optuna.
            images: What the net is for.

        Returns:
            The candidate, without the chooser's parameters.

        Raises:
            NetletError: No net of the chosen shape fits the budget, or the chosen values do not go
                together.
        """
        if self.shapes:
            shape = self.shapes[0]
            if len(self.shapes) > 1:
                shape = chooser.suggest_categorical("shape", self.shapes)
            assert self.budget is not None
            net = fill_budget(shape, self.budget, images)
        else:
            net = self.candidates[0]
            if len(self.candidates) > 1:
                net = chooser.suggest_categorical("net", self.candidates)
        chosen = {field.name: field.range.choose(field.name, chooser) for field in self.fields}
        recipe = find_recipe(self.recipe)
        changes = change_recipe(recipe, settle_fields(self.fields, chosen))
        changes = {"epochs": self.epochs, **changes}
        return Candidate(net=net, recipe=self.recipe, changes=changes, epochs=self.epochs)


def default_rungs(epochs: int) -> tuple[int, ...]:
    """Return the rungs of a search whose file has none: a quarter and half of the epochs."""
    return tuple(sorted({epochs // 4, epochs // 2} - {0}))


def check_search(search: Search, images: Images, *, trust: bool = False) -> None:
    """Check that every net of a search keeps to its budget, before anything is trained.

    Args:
        search: The search.
        images: What the nets are for.
        trust: Whether to run code that the search names, like ``file.py:Name``.

    Raises:
        NetError: A net cannot be built, or misses the budget.
        SearchError: No net of a shape fits the budget.
    """
    for shape in search.all_shapes:
        assert search.budget is not None
        fill_budget(shape, search.budget, images)
    for net in search.nets:
        check_net(net, search.budget, images, trust=trust)


def resolve_dataset(dataset: str, folder: Path) -> str:
    """Return a data set's name, or the path that a file in a folder means by it.

    Raises:
        SearchError: It is neither a name nor a path.
    """
    if dataset in DATASET_NAMES:
        return dataset
    path = folder / dataset
    if path.exists():
        return str(path.resolve())
    if path.suffix or len(path.parts) > len(folder.parts) + 1:  # no name has a dot or a slash
        raise SearchError(f"dataset {dataset!r}: no such folder or file; check its path")
    raise SearchError(
        f"dataset {dataset!r} is neither the name of a data set nor a path; "
        f"{did_you_mean(dataset, DATASET_NAMES)}choose one of {', '.join(DATASET_NAMES)}, or name "
        "a folder with one subfolder of images per class, or an .npz"
    )
