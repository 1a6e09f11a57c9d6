"""Recipes: how to train, as values that derive from one another: ``STEADY.replace(epochs=5)``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from netlet.budgets.verdict import MAY_BE_MISSING, OPTIONAL
from netlet.display import Displayed
from netlet.errors import RecipeError, did_you_mean, warn_of_but
from netlet.recipes.epochs import count_epochs
from netlet.recipes.field_checks import (
    check_choice,
    check_float,
    check_integer,
    check_range,
    check_text,
)
from netlet.recipes.old_names import upgrade_recipe, warn_of_old_names
from netlet.recipes.warp import Warp

Optimizer = Literal["sgd", "adamw", "muon", "soap"]
Schedule = Literal["constant", "step", "one_cycle", "triangular", "cosine"]
Averaging = Literal["none", "ema", "tail"]
NormStatistics = Literal["running", "augmented", "plain"]
TrainAs = Literal["net", "branches", "expanded", "widened", "strided"]
Precision = Literal["auto", "float32", "bf16"]
BackendChoice = Literal["auto", "eager", "compiled"]
MAX_EPOCHS, MAX_STARTS = 100_000, 1_000

# What other programs call a field; answered with "did you mean".
_OTHER_NAMES = {"lr": "peak_lr", "learning_rate": "peak_lr", "max_lr": "peak_lr"}


class CatalogRate(float):
    """A dropout rate for the nets of the catalog; all others keep their own rates.

    Only the value itself says so: a recipe with another ``dropout``, however it was derived, asks
    for that rate for every net. See :meth:`Recipe.for_net`.
    """

    __str__ = float.__repr__

    def __repr__(self) -> str:
        """Return the Python that creates it: a plain number would be asked of every net."""
        return f"CatalogRate({self})"


@dataclass(frozen=True, kw_only=True)
class Recipe(Displayed):
    """How to train, apart from the net, the data and the seed.

    Attributes:
        name: The name of the recipe.
        about: What the recipe is for, in one line; not part of records.
        epochs: The number of epochs.
        batch_size: The number of images per step. A smaller last batch is trained on, too.
        optimizer: ``sgd``, ``adamw``, ``muon`` or ``soap``.
        peak_lr: The highest learning rate of the schedule.
        momentum: The momentum of SGD and Muon; the first beta of AdamW and SOAP.
        nesterov: Whether SGD uses Nesterov's momentum.
        beta2: The second beta of all optimizers but SGD.
        weight_decay: The share of a weight that is subtracted at each step, times the learning
            rate; for SGD, the factor of the weight that is added to the gradient.
        decay_norms_and_biases: Whether ``weight_decay`` also applies to batch norms and biases.
        schedule: ``constant``, ``step``, ``one_cycle``, ``triangular`` or ``cosine``.
        peak_at: The share of all steps before the peak (``one_cycle``, ``triangular``).
        start_lr: The initial learning rate as a share of ``peak_lr`` (``one_cycle``,
            ``triangular``).
        end_lr: The final learning rate as a share of ``peak_lr`` (``one_cycle``, ``triangular``,
            ``cosine``).
        step_epochs: The number of epochs between two reductions (``step``).
        step_factor: The factor of each reduction (``step``).
        label_smoothing: The share of the target that is spread over all classes.
        dropout: The rate of all dropout layers; None keeps the net's own rates, and a
            :class:`CatalogRate` those of nets that do not come with netlet.
        augment: Random transforms of each image, applied one after the other.
        augment_end: The strength of the random transforms at the last step, as a share of their
            full strength; 0 means that the last images are hardly changed.
        augment_ramp_share: The share of all steps, the last ones, over which the strength falls
            linearly to ``augment_end``.
        mean: The mean of gray levels 0..1, which is subtracted from the input.
        std: The standard deviation by which the input is then divided.
        averaging: The average of the weights that is scored and recorded: ``none``, ``ema`` (a
            moving average) or ``tail`` (the mean over the last steps).
        ema_decay: The share of the average that is kept at each step (``ema``).
        tail_share: The share of all steps, the last ones, that are averaged (``tail``).
        norm_statistics: The statistics with which batch norms are scored and recorded: ``running``
            (those kept during the training, averaged like the weights), or those of the scored
            weights, computed anew after each epoch: on training images as they are augmented
            (``augmented``) or without augmentation (``plain``).
        train_as: The form in which the net is trained: ``net`` (as it is), ``branches`` (each
            convolution as the sum of itself, a 1x1 convolution and, where the shapes allow it, the
            identity, each with a batch norm if one follows), ``expanded`` (each convolution without
            groups as three: 1x1, the kernel, 1x1), ``widened`` (within nets of more channels,
            which have its weights, too) or ``strided`` (a net that averages over shifts of the
            image, on the image as it is). Before each score, branches and expanded convolutions
            are folded into those of the net, which alone is scored, counted and recorded.
        expand_factor: How many times as many channels an expanded convolution has within.
        widen_factor: How many times as many channels the widest net has around a net that is
            trained widened. Each step trains the net and one wider net, whose factor is drawn from
            2 to this one.
        widened_weight: The weight of the loss of the wider net; that of the net has weight 1.
        teacher: A net whose logits the net is trained on, besides the labels: a name, or one line
            of notation; empty: none. It is trained first, on the same training images, with seed 0,
            and kept for later trainings.
        teacher_recipe: The name of the recipe that trains the teacher; empty: this one.
        teacher_epochs: The number of its epochs; 0: those of its recipe.
        distill_weight: The weight of the teacher in the loss; the labels have the rest.
        distill_temperature: By which the logits of both are divided before they are compared.
        random_starts: The number of nets with different initial weights that are trained first, on
            the same training images; the net begins with the weights of the one that classifies the
            most of them correctly. 1: none, it begins with its own initial weights.
        random_start_epochs: The number of epochs of each of them; 0: as many as ``epochs``.
        precision: ``float32``, ``bf16``, or ``auto``: bf16 where the hardware supports it.
        backend: ``auto``: a compiled backend where it is available and faster. ``compiled``: fail
            with the reason if it is not available. ``eager``: PyTorch's eager mode.
    """

    name: str = "recipe"
    about: str = field(default="", compare=False, repr=False)
    epochs: int = 15
    batch_size: int = 128

    optimizer: Optimizer = "adamw"
    peak_lr: float = 0.02
    momentum: float = 0.9
    nesterov: bool = False
    beta2: float = 0.99
    weight_decay: float = 0.0
    decay_norms_and_biases: bool = False

    schedule: Schedule = "triangular"
    peak_at: float = 0.25
    start_lr: float = 0.04
    end_lr: float = 0.0
    step_epochs: int = 7
    step_factor: float = 0.4

    label_smoothing: float = 0.0
    dropout: float | None = None

    augment: tuple[Warp, ...] = ()
    augment_end: float = field(default=1.0, metadata=MAY_BE_MISSING)
    augment_ramp_share: float = field(default=0.25, metadata=MAY_BE_MISSING)
    mean: float = 0.1307
    std: float = 0.3081

    averaging: Averaging = "none"
    ema_decay: float = 0.99
    tail_share: float = 0.25
    norm_statistics: NormStatistics = field(default="running", metadata=MAY_BE_MISSING)

    train_as: TrainAs = field(default="net", metadata=MAY_BE_MISSING)
    expand_factor: int = field(default=2, metadata=MAY_BE_MISSING)
    widen_factor: int = field(default=2, metadata=MAY_BE_MISSING)
    widened_weight: float = field(default=1.0, metadata=MAY_BE_MISSING)

    teacher: str = field(default="", metadata=MAY_BE_MISSING)
    teacher_recipe: str = field(default="", metadata=MAY_BE_MISSING)
    teacher_epochs: int = field(default=0, metadata=MAY_BE_MISSING)
    distill_weight: float = field(default=1.0, metadata=MAY_BE_MISSING)
    distill_temperature: float = field(default=1.0, metadata=MAY_BE_MISSING)

    random_starts: int = field(default=1, metadata=MAY_BE_MISSING)
    random_start_epochs: int = field(default=0, metadata=MAY_BE_MISSING)

    precision: Precision = "auto"
    backend: BackendChoice = "auto"

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            RecipeError: A value is out of range, or not one of a field's choices.
        """
        for name, choices in (
            ("optimizer", Optimizer),
            ("schedule", Schedule),
            ("averaging", Averaging),
            ("norm_statistics", NormStatistics),
            ("train_as", TrainAs),
            ("precision", Precision),
            ("backend", BackendChoice),
        ):
            check_choice(self, name, choices)
        check_integer(self, "epochs", 1, MAX_EPOCHS)
        check_integer(self, "batch_size", 1, 1_000_000)
        check_integer(self, "step_epochs", 1, MAX_EPOCHS)
        check_integer(self, "expand_factor", 1, 16)
        check_integer(self, "widen_factor", 2, 8)
        check_float(self, "widened_weight", 0, 100, open_low=True)
        check_float(self, "peak_lr", 0, 1_000, open_low=True)
        for name in ("momentum", "beta2", "ema_decay", "label_smoothing"):
            check_float(self, name, 0, 1, open_high=True)
        if isinstance(self.dropout, CatalogRate):
            check_range(self, "dropout", 0, 1, open_high=True)
        elif self.dropout is not None:
            check_float(self, "dropout", 0, 1, open_high=True)
        check_float(self, "weight_decay", 0, 100)
        for name in ("peak_at", "start_lr", "end_lr", "augment_end"):
            check_float(self, name, 0, 1)
        for name in ("step_factor", "tail_share", "augment_ramp_share"):
            check_float(self, name, 0, 1, open_low=True)
        check_float(self, "mean", -1_000, 1_000)
        check_float(self, "std", 0, 1_000, open_low=True)
        for name in ("nesterov", "decay_norms_and_biases"):
            if not isinstance(getattr(self, name), bool):
                raise RecipeError(
                    f"{name}={getattr(self, name)!r} is not True or False; give one of them"
                )
        check_integer(self, "teacher_epochs", 0, MAX_EPOCHS)
        check_integer(self, "random_starts", 1, MAX_STARTS)
        check_integer(self, "random_start_epochs", 0, MAX_EPOCHS)
        check_float(self, "distill_weight", 0, 1, open_low=True)
        check_float(self, "distill_temperature", 0, 100, open_low=True)
        for name in ("name", "teacher_recipe"):
            check_text(self, name, "steady")
        check_text(self, "teacher", "crest")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise RecipeError(
                "nesterov=True needs optimizer='sgd' and momentum above 0;"
                f" found {self.optimizer!r} and {self.momentum}"
            )
        if not isinstance(self.augment, list | tuple):
            raise RecipeError(
                f"augment is {self.augment!r}; give () for none, or a tuple like (Warp(...),), "
                "such as netlet.recipes.AUGMENTS['light']"
            )
        for warp in self.augment:
            if not isinstance(warp, Warp):
                raise RecipeError(f"augment holds {warp!r}; give Warp(...) values")

    @property
    def total_epochs(self) -> int:
        """The number of all epochs, with those of random starts."""
        return count_epochs(vars(self))

    def replace(self, **changes: object) -> Recipe:
        """Return a copy with some fields changed.

        Args:
            changes: New values by field name. ``about`` becomes empty unless it is among them.
                The field names of version 0.1 (``optimiser``, ``batch``, ``step``) still work,
                with a warning.

        Raises:
            RecipeError: A field does not exist, or its value is out of range.
        """
        warn_of_old_names(changes)
        changes = upgrade_recipe(changes)
        known = [one.name for one in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                similar = did_you_mean(_OTHER_NAMES.get(name, name), known)
                raise RecipeError(
                    f"a recipe has no setting {name!r}; {similar}"
                    f"the settings are: {', '.join(name for name in known if name != 'about')}"
                )
        if isinstance(rate := changes.get("dropout"), CatalogRate):
            changes["dropout"] = float(rate)  # now it is asked for
        return dataclasses.replace(self, **{"about": "", **changes})  # type: ignore[arg-type]

    def for_net(self, *, in_catalog: bool) -> Recipe:
        """Return the recipe as it trains a net, with the dropout rate that it has for this net.

        Args:
            in_catalog: Whether the net comes with netlet.
        """
        if not isinstance(self.dropout, CatalogRate):
            return self
        return dataclasses.replace(self, dropout=float(self.dropout) if in_catalog else None)

    def but(self, **changes: object) -> Recipe:
        """Return a copy with some fields changed; deprecated, use :meth:`replace`."""
        warn_of_but("Recipe")
        return self.replace(**upgrade_recipe(changes))  # one warning is enough

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that records store.

        ``about`` is not among them, and a field that is newer than the first records only if it
        differs from its default, so that the records of a recipe without it stay the same.
        """
        return drop_defaults(_list_fields(self))


def _list_fields(recipe: Recipe) -> dict[str, Any]:
    """Return all fields but ``about``."""
    values = dataclasses.asdict(recipe)
    del values["about"]
    if recipe.dropout is not None:
        values["dropout"] = float(recipe.dropout)
    return values


def drop_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe without those that records have only if they are not default.

    Args:
        values: Fields of ``Recipe``.
    """
    defaults = {
        one.name: one.default for one in dataclasses.fields(Recipe) if one.metadata.get(OPTIONAL)
    }
    return {
        name: value
        for name, value in values.items()
        if name not in defaults or value != defaults[name]
    }


def recipe_from_json(values: Mapping[str, Any]) -> Recipe:
    """Return a recipe from the values that JSON stores.

    Args:
        values: Fields of ``Recipe``; ``augment`` is a list of the fields of each ``Warp``. Missing
            fields keep their defaults. Field names of version 0.1 still work, with a warning.

    Raises:
        RecipeError: A field is unknown, or its value is out of range.
    """
    warn_of_old_names(values)
    current = complete_recipe(values)
    return Recipe().replace(
        **{**current, "augment": tuple(Warp(**warp) for warp in current["augment"])}
    )


def complete_recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded recipe with every field of today's ``Recipe`` under today's name.

    Fields that the record lacks get their defaults, which train as before.
    """
    return (
        _list_fields(Recipe())
        | upgrade_recipe(values)
        | {"augment": [dataclasses.asdict(Warp()) | dict(warp) for warp in values["augment"]]}
    )
