"""Recipes: how to train, as values that derive from one another: ``STEADY.replace(epochs=5)``."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from netlet.display import Displayed
from netlet.errors import NetletDeprecationWarning, RecipeError, did_you_mean, warn_of_but

Optimizer = Literal["sgd", "adamw", "muon", "soap"]
Schedule = Literal["constant", "step", "one_cycle", "triangular", "cosine"]
Averaging = Literal["none", "ema", "tail"]
Precision = Literal["auto", "float32", "bf16"]
BackendChoice = Literal["auto", "eager", "compiled"]
Interpolation = Literal["bilinear", "nearest"]
MAX_EPOCHS = 100_000

# What other programs call a field; answered with "did you mean".
_OTHER_NAMES = {"lr": "peak_lr", "learning_rate": "peak_lr", "max_lr": "peak_lr"}
# Field names of version 0.1.
_OLD_NAMES = {"optimiser": "optimizer", "batch": "batch_size", "step": "backend"}


class CatalogRate(float):
    """A dropout rate for the nets of the catalog; all others keep their own rates.

    Only the value itself says so: a recipe with another ``dropout``, however it was derived, asks
    for that rate for every net. See :meth:`Recipe.for_net`.
    """


@dataclass(frozen=True, kw_only=True)
class Warp(Displayed):
    """A random affine transform of an image and, optionally, an elastic deformation.

    Each image draws its own. The affine parameters are uniform, and a strength is half the width
    of their range: ``rotate_deg=7`` means -7 to 7 degrees. The elastic deformation (Simard and
    others, 2003) moves the points of a grid over the image, edges included, by independent normal
    draws and interpolates smoothly between them.

    Attributes:
        rotate_deg: The largest rotation in degrees.
        shift_px: The largest shift in pixels, along each axis.
        scale: The largest change of size: 0.05 means 0.95 to 1.05 times.
        shear_deg: The largest shear in degrees, along the horizontal axis.
        elastic_px: The standard deviation of a grid point's move in pixels, along each axis.
        elastic_points: The number of points of the grid, along each axis.
        fill: The gray level, 0 to 255, of what comes in from outside the image.
        interpolation: ``bilinear`` or ``nearest``.
    """

    rotate_deg: float = 0.0
    shift_px: float = 0.0
    scale: float = 0.0
    shear_deg: float = 0.0
    elastic_px: float = 0.0
    elastic_points: int = 5
    fill: int = 0
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        """Check the strengths.

        Raises:
            RecipeError: One is out of range.
        """
        _check_float(self, "rotate_deg", 0, 180)
        _check_float(self, "shift_px", 0, 64)
        _check_float(self, "scale", 0, 0.9)
        _check_float(self, "shear_deg", 0, 60)
        _check_float(self, "elastic_px", 0, 64)
        _check_integer(self, "elastic_points", 2, 28)
        _check_integer(self, "fill", 0, 255)
        _check_choice(self, "interpolation", Interpolation)

    @property
    def is_identity(self) -> bool:
        """Whether it leaves images unchanged."""
        return not (
            self.rotate_deg or self.shift_px or self.scale or self.shear_deg or self.elastic_px
        )


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
        mean: The mean of gray levels 0..1, which is subtracted from the input.
        std: The standard deviation by which the input is then divided.
        averaging: The average of the weights that is scored and recorded: ``none``, ``ema`` (a
            moving average) or ``tail`` (the mean over the last steps).
        ema_decay: The share of the average that is kept at each step (``ema``).
        tail_share: The share of all steps, the last ones, that are averaged (``tail``).
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
    mean: float = 0.1307
    std: float = 0.3081

    averaging: Averaging = "none"
    ema_decay: float = 0.99
    tail_share: float = 0.25

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
            ("precision", Precision),
            ("backend", BackendChoice),
        ):
            _check_choice(self, name, choices)
        _check_integer(self, "epochs", 1, MAX_EPOCHS)
        _check_integer(self, "batch_size", 1, 1_000_000)
        _check_integer(self, "step_epochs", 1, MAX_EPOCHS)
        _check_float(self, "peak_lr", 0, 1_000, open_low=True)
        for name in ("momentum", "beta2", "ema_decay", "label_smoothing"):
            _check_float(self, name, 0, 1, open_high=True)
        if self.dropout is not None:
            _check_float(self, "dropout", 0, 1, open_high=True)
        _check_float(self, "weight_decay", 0, 100)
        for name in ("peak_at", "start_lr", "end_lr"):
            _check_float(self, name, 0, 1)
        for name in ("step_factor", "tail_share"):
            _check_float(self, name, 0, 1, open_low=True)
        _check_float(self, "mean", -1_000, 1_000)
        _check_float(self, "std", 0, 1_000, open_low=True)
        for name in ("nesterov", "decay_norms_and_biases"):
            if not isinstance(getattr(self, name), bool):
                raise RecipeError(
                    f"{name}={getattr(self, name)!r} is not True or False; give one of them"
                )
        if not isinstance(self.name, str):
            raise RecipeError(f"name={self.name!r} is not a text; give one like 'steady'")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise RecipeError(
                "nesterov=True needs optimizer='sgd' and momentum above 0;"
                f" found {self.optimizer!r} and {self.momentum}"
            )
        for warp in self.augment:
            if not isinstance(warp, Warp):
                raise RecipeError(f"augment holds {warp!r}; give Warp(...) values")

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
        known = [*self.to_dict(), "about"]
        for name in changes:
            if name not in known:
                similar = did_you_mean(_OTHER_NAMES.get(name, name), known)
                raise RecipeError(
                    f"a recipe has no field {name!r}; {similar}"
                    f"the fields are: {', '.join(name for name in known if name != 'about')}"
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
        """Return the fields that records store; ``about`` is not among them."""
        values = dataclasses.asdict(self)
        del values["about"]
        if self.dropout is not None:
            values["dropout"] = float(self.dropout)
        return values


def _check_range(
    value: object,
    name: str,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    number = getattr(value, name)
    if isinstance(number, bool) or not isinstance(number, int | float) or math.isnan(number):
        raise RecipeError(f"{name}={number!r} is not a number; give one like 0.5")
    if (
        number < low
        or number > high
        or (open_low and number == low)
        or (open_high and number == high)
    ):
        bounds = f"{'above' if open_low else 'at least'} {low:,.10g}"
        if high != math.inf:
            bounds += f" and {'below' if open_high else 'at most'} {high:,.10g}"
        raise RecipeError(f"{name}={number!r} is out of range; give {bounds}")


def _check_float(value: object, name: str, low: float, high: float, **bounds: bool) -> None:
    """Check a number, and store a whole one as a float: equal values have equal JSON."""
    _check_range(value, name, low, high, **bounds)
    number = getattr(value, name)
    if not isinstance(number, CatalogRate):
        object.__setattr__(value, name, float(number))


def _check_integer(value: object, name: str, low: float, high: float) -> None:
    _check_range(value, name, low, high)
    if not isinstance(getattr(value, name), int):
        raise RecipeError(f"{name}={getattr(value, name)!r} is not a whole number; give one like 5")


def _check_choice(value: object, name: str, choices: Any) -> None:
    given = getattr(value, name)
    if given not in choices.__args__:
        raise RecipeError(
            f"{name}={given!r} is not known; choose one of {', '.join(choices.__args__)}"
        )


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

    Fields that are newer than the record get their defaults, which train as before.
    """
    return (
        Recipe().to_dict()
        | upgrade_recipe(values)
        | {"augment": [dataclasses.asdict(Warp()) | dict(warp) for warp in values["augment"]]}
    )


def upgrade_recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a recipe with the names of version 0.1 replaced by today's."""
    return {_OLD_NAMES.get(name, name): value for name, value in values.items()}


def warn_of_old_names(names: Iterable[str]) -> None:
    """Warn if one of some field names is from version 0.1, and say what it is called now."""
    for name in names:
        if name in _OLD_NAMES:
            warnings.warn(
                f"the recipe field {name!r} is now called {_OLD_NAMES[name]!r};"
                " the old name will stop working in 0.3",
                NetletDeprecationWarning,
                stacklevel=3,
            )
