"""How two studies were trained unequally: what a difference in accuracy may be due to, too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netlet.display import Displayed
from netlet.recipes import Recipe
from netlet.records.run import to_json_value
from netlet.records.study import Study
from netlet.stats.formatting import AS_IN_NET, format_setting
from netlet.stats.seed_environments import count_environments

_Recipe = Mapping[str, Any]
# What computes the same training on any machine; precision and backend in use are compared instead.
_NOT_COMPARED = {"name", "about", "precision", "backend"}
# A record may lack fields that have their default.
DEFAULTS = {one.name: to_json_value(one.default) for one in dataclasses.fields(Recipe)}
_NET, _CODE = "net (digest)", "code of the net (digest)"
_RAMPED = ("one_cycle", "triangular")
# Fields that have an effect only together with others.
_IN_EFFECT: Mapping[str, Callable[[_Recipe], bool]] = {
    "nesterov": lambda recipe: recipe["optimizer"] == "sgd",
    "beta2": lambda recipe: recipe["optimizer"] != "sgd",
    "decay_norms_and_biases": lambda recipe: recipe["weight_decay"] > 0,
    "peak_at": lambda recipe: recipe["schedule"] in _RAMPED,
    "start_lr": lambda recipe: recipe["schedule"] in _RAMPED,
    "end_lr": lambda recipe: recipe["schedule"] in (*_RAMPED, "cosine"),
    "step_epochs": lambda recipe: recipe["schedule"] == "step",
    "step_factor": lambda recipe: recipe["schedule"] == "step",
    "augment_end": lambda recipe: bool(recipe["augment"]),
    "augment_ramp_share": lambda recipe: bool(recipe["augment"]) and recipe["augment_end"] < 1,
    "expand_factor": lambda recipe: recipe["train_as"] == "expanded",
    "widen_factor": lambda recipe: recipe["train_as"] == "widened",
    "widened_weight": lambda recipe: recipe["train_as"] == "widened",
    "teacher_recipe": lambda recipe: bool(recipe["teacher"]),
    "teacher_epochs": lambda recipe: bool(recipe["teacher"]),
    "distill_weight": lambda recipe: bool(recipe["teacher"]),
    "distill_temperature": lambda recipe: bool(recipe["teacher"]),
    "random_start_epochs": lambda recipe: recipe["random_starts"] > 1,
    "ema_decay": lambda recipe: recipe["averaging"] == "ema",
    "tail_share": lambda recipe: recipe["averaging"] == "tail",
}


@dataclass(frozen=True)
class TrainingDifference(Displayed):
    """Something in which two studies were trained unequally.

    Attributes:
        what: A field of the recipe, or what else differs, such as ``seeds``.
        a: Its value in the first study, as JSON stores it.
        b: Its value in the second study.
    """

    what: str
    a: Any
    b: Any

    def __str__(self) -> str:
        """Both values in words: ``epochs 15 / 19``."""
        return f"{self.what} {format_setting(self.a)} / {format_setting(self.b)}"


def find_training_differences(a: Study, b: Study) -> tuple[TrainingDifference, ...]:
    """Return in what two studies were trained unequally, apart from nets of two names.

    Two nets of one name have two digests, or their code has. Fields of the recipe that have no
    effect in one of them are left out, such as the second beta of SGD. So is what changes the
    time, not the result.

    Args:
        a: The first study.
        b: The second study, scored on the same images.

    Returns:
        The nets if they have one name, the fields of the recipe in their order, then the rest;
        empty if nothing differs.
    """
    mine, theirs = _settings(a), _settings(b)
    if a.net == b.net or a.name == b.name:
        mine, theirs = _describe_net(a) | mine, _describe_net(b) | theirs
    found = tuple(
        TrainingDifference(what, value, theirs[what])
        for what, value in mine.items()
        if what in theirs and value != theirs[what]
    )
    other_layers = any(one.what == _NET for one in found)  # which is other code, too
    return tuple(one for one in found if not (other_layers and one.what == _CODE))


def training_differences_text(names: tuple[str, str], found: Sequence[TrainingDifference]) -> str:
    """Return one line that names what differs, without a period; empty if nothing does.

    Args:
        names: What the two studies are called.
        found: What :func:`find_training_differences` returned.
    """
    if not found:
        return ""
    return f"trained differently ({' / '.join(names)}): {'; '.join(map(str, found))}"


def _settings(study: Study) -> dict[str, Any]:
    """Return what decides the result of a study's training, by name."""
    recipe = DEFAULTS | dict(study.recipe)
    settings = {
        name: value
        for name, value in recipe.items()
        if name not in _NOT_COMPARED and _IN_EFFECT.get(name, _always)(recipe)
    }
    if not any("Dropout" in kind for kind in study.cost["kinds"]):
        settings.pop("dropout", None)
    elif settings.get("dropout", 0) is None:
        settings["dropout"] = AS_IN_NET
    if checksum := study.data["checksums"].get("train"):
        settings["checksum of training images"] = checksum[:8]
    return settings | {
        "training images": study.train_total,
        "channels": study.data["shape"][0],
        "initial weights": _describe_initial_weights(study),
        "precision in use": study.precision,
        "backend in use": study.backend,
        "search trials": study.chosen_by["number"] if study.chosen_by else 0,
        "seeds": len(study.seeds),
        "environments of the seeds": count_environments(study),
    }


def _describe_net(study: Study) -> dict[str, str]:
    """Return the digests of a net: of its layers and, if it is known, of its code."""
    code = {_CODE: study.source_digest[:8]} if study.source_digest else {}
    return {_NET: study.net_digest[:8]} | code


def _always(recipe: _Recipe) -> bool:
    return True


def _describe_initial_weights(study: Study) -> str:
    if study.initial_weights_digest:
        return f"weights {study.initial_weights_digest[:8]}"
    return study.initial_weights or "from the seed"
