"""How to train: recipes are values that derive from one another, ``STEADY.replace(epochs=5)``."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from netlet.errors import NetletDeprecationWarning, RecipeError, did_you_mean, warn_of_but

Optimizer = Literal["sgd", "adamw", "muon", "soap"]
Schedule = Literal["constant", "step", "one_cycle", "triangular", "cosine"]
Averaging = Literal["none", "ema", "tail"]
Precision = Literal["auto", "float32", "bf16"]
BackendChoice = Literal["auto", "eager", "compiled"]
Interpolation = Literal["bilinear", "nearest"]

# Field names of version 0.1.
_OLD_NAMES = {"optimiser": "optimizer", "batch": "batch_size", "step": "backend"}


@dataclass(frozen=True, kw_only=True)
class Warp:
    """One random map of an image: an affine one about its center, bent if that is asked for; each image draws its own.

    The affine map is drawn uniformly within the bounds. Strengths are half-widths: ``rotate_deg=7``
    means -7 to 7 degrees. What bends is an elastic field (after Simard and others, 2003): points of
    a grid over the image, its edges among them, each move by their own normal draw, and what lies
    between follows smoothly.
    """

    rotate_deg: float = 0.0
    shift_px: float = 0.0  # along each axis
    scale: float = 0.0  # 0.05 means 0.95 to 1.05 times
    shear_deg: float = 0.0  # along the horizontal axis
    elastic_px: float = 0.0  # standard deviation of a grid point's move, along each axis
    elastic_points: int = 5  # of the grid, along each axis
    fill: int = 0  # gray level 0..255 of what comes in from outside
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        """Refuse strengths out of range.

        Raises:
            RecipeError: With the field, its value and the range.
        """
        _within(self, "rotate_deg", 0, 180)
        _within(self, "shift_px", 0, 64)
        _within(self, "scale", 0, 0.9)
        _within(self, "shear_deg", 0, 60)
        _within(self, "elastic_px", 0, 64)
        _whole(self, "elastic_points", 2, 28)
        _within(self, "fill", 0, 255)
        _one_of(self, "interpolation", Interpolation)

    @property
    def still(self) -> bool:
        """Whether it moves nothing."""
        return not (
            self.rotate_deg or self.shift_px or self.scale or self.shear_deg or self.elastic_px
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about training that is neither net nor data nor seed."""

    name: str = "recipe"
    epochs: int = 15
    batch_size: int = 128  # images a step; a last, smaller batch is trained on too

    optimizer: Optimizer = "adamw"
    peak_lr: float = 0.02  # the schedule's highest learning rate
    momentum: float = 0.9  # SGD's and Muon's momentum, the others' first beta
    nesterov: bool = False  # SGD only
    beta2: float = 0.99  # all but SGD
    weight_decay: float = 0.0  # per step times the learning rate; for SGD, added to the gradient
    decay_norms_and_biases: bool = False

    schedule: Schedule = "triangular"
    peak_at: float = 0.25  # share of all steps before the peak (one_cycle, triangular)
    start_lr: float = 0.04  # where the rise begins, as a share of peak_lr (one_cycle, triangular)
    end_lr: float = (
        0.0  # where the fall ends, as a share of peak_lr (one_cycle, triangular, cosine)
    )
    step_epochs: int = 7  # step: epochs between two falls
    step_factor: float = 0.4  # step: what the rate is multiplied by at each

    label_smoothing: float = 0.0
    dropout: float | None = None  # for all dropout layers of the net; None leaves their own rates

    augment: tuple[Warp, ...] = ()  # one after the other
    mean: float = 0.1307  # of the gray levels, 0..1, subtracted from the input
    std: float = 0.3081  # divided by

    averaging: Averaging = "none"
    ema_decay: float = 0.99  # ema: what the average keeps at each step
    tail_share: float = (
        0.25  # tail: share of all steps, the last ones, whose weights are averaged evenly
    )

    precision: Precision = (
        "auto"  # auto: bf16 where the machine has the instructions for it, else float32
    )
    # auto: compiled or captured where that can be done and pays; compiled: or say why not; eager:
    # as PyTorch runs it
    backend: BackendChoice = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be followed.

        Raises:
            RecipeError: With the field, its value and what it may be.
        """
        for name, choices in (
            ("optimizer", Optimizer),
            ("schedule", Schedule),
            ("averaging", Averaging),
            ("precision", Precision),
            ("backend", BackendChoice),
        ):
            _one_of(self, name, choices)
        for name in ("epochs", "batch_size", "step_epochs"):
            _whole(self, name, 1, math.inf)
        _within(self, "peak_lr", 0, 1_000, open_low=True)
        for name in ("momentum", "beta2", "ema_decay", "label_smoothing"):
            _within(self, name, 0, 1, open_high=True)
        if self.dropout is not None:
            _within(self, "dropout", 0, 1, open_high=True)
        _within(self, "weight_decay", 0, 100)
        for name in ("peak_at", "start_lr", "end_lr"):
            _within(self, name, 0, 1)
        for name in ("step_factor", "tail_share"):
            _within(self, name, 0, 1, open_low=True)
        _within(self, "mean", -1_000, 1_000)
        _within(self, "std", 0, 1_000, open_low=True)
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise RecipeError(
                f"nesterov=True needs optimizer='sgd' and momentum above 0; found {self.optimizer!r}, {self.momentum}"
            )
        for op in self.augment:
            if not isinstance(op, Warp):
                raise RecipeError(f"augment holds {op!r}; give Warp(...) values")

    def replace(self, **changes: object) -> Recipe:
        """Return a copy with some fields changed.

        Args:
            changes: New values by field name. The field names of version 0.1 (``optimiser``,
                ``batch``, ``step``) still work, with a warning.

        Raises:
            RecipeError: A field does not exist, or its value is out of range.
        """
        warn_of_old_names(changes)
        changes = upgrade_recipe(changes)
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise RecipeError(
                    f"a recipe has no field {name!r}; {did_you_mean(name, known)}"
                    f"the fields are: {', '.join(known)}"
                )
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def but(self, **changes: object) -> Recipe:
        """Return a copy with some fields changed; deprecated, use :meth:`replace`."""
        warn_of_but("Recipe")
        return self.replace(**changes)


def _within(
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
        raise RecipeError(f"{name}={number!r} is not a number")
    if (
        number < low
        or number > high
        or (open_low and number == low)
        or (open_high and number == high)
    ):
        bounds = f"{'above' if open_low else 'at least'} {low:g}"
        if high != math.inf:
            bounds += f" and {'below' if open_high else 'at most'} {high:g}"
        raise RecipeError(f"{name}={number!r} is out of range; give {bounds}")


def _whole(value: object, name: str, low: float, high: float) -> None:
    _within(value, name, low, high)
    if not isinstance(getattr(value, name), int):
        raise RecipeError(f"{name}={getattr(value, name)!r} is not a whole number")


def _one_of(value: object, name: str, choices: Any) -> None:
    given = getattr(value, name)
    if given not in choices.__args__:
        raise RecipeError(
            f"{name}={given!r} is not known; choose one of {', '.join(choices.__args__)}"
        )


def recipe_from_json(values: Mapping[str, Any]) -> Recipe:
    """Return a recipe from the values that JSON stores.

    Args:
        values: Fields of ``Recipe``; ``augment`` is a list of the fields of each ``Warp``. Missing
            fields keep their defaults, and old field names are accepted.

    Raises:
        RecipeError: A field is unknown, or its value is out of range.
    """
    current = complete_recipe(values)
    return Recipe().replace(
        **{**current, "augment": tuple(Warp(**warp) for warp in current["augment"])}
    )


def complete_recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded recipe with every field of today's ``Recipe`` under today's name.

    Fields that are newer than the record get their defaults, which train as before.
    """
    return (
        dataclasses.asdict(Recipe())
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
                " the old name will stop working in version 0.3",
                NetletDeprecationWarning,
                stacklevel=3,
            )
