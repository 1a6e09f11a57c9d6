"""Search spaces: shapes of nets that fill a budget, and what of a recipe may vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netlet.errors import NetError, did_you_mean
from netlet.experiments.search.fitting import fit_widths
from netlet.recipes import AUGMENTS
from netlet.records import to_json_value

if TYPE_CHECKING:
    import optuna

# The learning rate at batch size 64 around which each optimizer is tried.
_LEARNING_RATES = {"adamw": 0.015, "muon": 0.01, "soap": 0.006}


@dataclass(frozen=True, kw_only=True)
class Space:
    """The nets and recipes to choose from."""

    below: int  # limit on parameters
    epochs: int
    shapes: tuple[str, ...]  # see netlet.experiments.search.fitting

    def suggest(self, trial: optuna.Trial) -> tuple[str, Mapping[str, Any]]:
        """Choose a net and a recipe.

        Args:
            trial: The trial of Optuna, which chooses the values.

        Returns:
            A net in one line that fills the budget, and changes to the recipe ``steady`` as JSON
            stores them.
        """
        net = fit_widths(trial.suggest_categorical("shape", self.shapes), self.below)
        optimizer = trial.suggest_categorical("optimizer", tuple(_LEARNING_RATES))
        batch_size = trial.suggest_categorical("batch_size", (32, 64, 128))
        rate = (
            _LEARNING_RATES[optimizer]
            * trial.suggest_float("rate", 0.5, 2, log=True)
            * (batch_size / 64) ** 0.5
        )
        augment = trial.suggest_categorical("augment", ("light", "medium", "full", "elastic"))
        changes = {
            "epochs": self.epochs,
            "optimizer": optimizer,
            "batch_size": batch_size,
            "peak_lr": round(rate, 5),
            "peak_at": trial.suggest_categorical("peak_at", (0.1, 0.25, 0.4)),
            "augment": [to_json_value(warp) for warp in AUGMENTS[augment]],
            "label_smoothing": trial.suggest_categorical("label_smoothing", (0.0, 0.05, 0.1)),
            "weight_decay": trial.suggest_categorical("weight_decay", (0.0, 0.05)),
            "averaging": trial.suggest_categorical("averaging", ("ema", "tail")),
        }
        return net, changes


# Nothing is padded: see "Shapes" in docs/frontier.md.
_SHAPES = (
    "1 d1.7 d2 P d2.4 d2.8 d3",
    "1 d1.7 P d2.4 d2.8 d3 d3",
    "1 1 P 1.5 1.75 2 2",
    "1 1 1 P 1.5 1.5 1.75 1.75",
)
SPACES = {
    "mnistnet_2": Space(below=8_000, epochs=15, shapes=_SHAPES),
    "mnistnet_3": Space(below=3_700, epochs=20, shapes=_SHAPES),
    "crest": Space(below=20_000, epochs=19, shapes=_SHAPES),
    "speck": Space(below=1_900, epochs=20, shapes=_SHAPES),
}


def find_space(name: str) -> Space:
    """Return the search space of a name.

    Raises:
        NetError: There is none.
    """
    if name in SPACES:
        return SPACES[name]
    raise NetError(
        f"no search space {name!r}; {did_you_mean(name, SPACES)}choose one of {', '.join(SPACES)}"
    )
