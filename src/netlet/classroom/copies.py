"""Which submissions have the same weights or the same predictions: a fact, and no verdict."""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load_file

from netlet.classroom.grades import Grade
from netlet.display import Displayed
from netlet.evaluation import Evaluation
from netlet.nets.shipped_weights import find_shipped_weights, list_shipped_weights
from netlet.nets.tensor_bytes import tensor_bytes
from netlet.text import count_noun

# A class may hand in weights that it was given.
_MOST_NAMES = 10  # in one line of the summary
_MOST_IN_CELL = 1_000  # Excel's cells hold 32,767 characters


def digest_weights(state: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of the tensors of a net, whatever its layers are called.

    Args:
        state: The state dict of the net.
    """
    tensors = sorted(digest_tensor(one) for one in state.values() if one.numel())
    return hashlib.sha256(b"".join(tensors)).hexdigest() if tensors else ""


def digest_tensor(tensor: torch.Tensor) -> bytes:
    """Return the SHA-256 of the type, shape and bytes of a tensor."""
    described = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
    return hashlib.sha256(described + tensor_bytes(tensor)).digest()


def digest_predictions(evaluation: Evaluation, images: str) -> str:
    """Return the SHA-256 of the classes that a net predicts.

    It is empty if two nets may well agree by chance: where all predictions are right, all are the
    same class, or none is finite.

    Args:
        evaluation: That of the images.
        images: The SHA-256 of images and labels.
    """
    predicted = [sum(column) for column in zip(*evaluation.confusion, strict=True)]
    none = evaluation.not_finite == evaluation.score.total
    if not evaluation.mistakes or none or sum(map(bool, predicted)) == 1:
        return ""
    mistakes = sorted((one.image, one.predicted) for one in evaluation.mistakes)
    return hashlib.sha256(f"{images} {mistakes}".encode()).hexdigest()


@dataclass(frozen=True)
class Copies(Displayed):
    """Submissions that are alike; each group has the names of two or more, sorted.

    Attributes:
        weights: Those with the same weights. Weights that come with netlet are called
            ``netlet's NAME``.
        predictions: Those with the same predictions, on images of which some are misclassified.
    """

    weights: tuple[tuple[str, ...], ...]
    predictions: tuple[tuple[str, ...], ...]

    def describe(self, grades: Sequence[Grade]) -> list[str]:
        """Return a line for each group, without groups of which all is said already.

        Args:
            grades: The grades in which they were found.
        """
        scores = {grade.name: grade.score for grade in grades}
        lines = [f"{_list_names(group)}: same weights" for group in self.weights]
        for group in self.predictions:
            score = scores[group[0]]
            if score and not any(set(group) <= set(same) for same in self.weights):
                mistakes = count_noun(score.total - score.correct, "mistake")
                lines.append(f"{_list_names(group)}: same predictions, with {mistakes}")
        return lines

    def describe_one(self, name: str) -> str:
        """Return in one line which submissions one is like; empty if there is none.

        Args:
            name: The name of the submission.
        """
        weights = [other for group in self.weights if name in group for other in group]
        answers = [other for group in self.predictions if name in group for other in group]
        others = {
            "same weights as": [other for other in weights if other != name],
            "same predictions as": [one for one in answers if one not in (name, *weights)],
        }
        return "; ".join(
            f"{what} {_list_names(names, _MOST_IN_CELL)}" for what, names in others.items() if names
        )


def find_copies(grades: Sequence[Grade]) -> Copies:
    """Return which submissions are alike, or have weights that come with netlet.

    Args:
        grades: The grades of a class.
    """
    return Copies(
        _group([*((grade.weights_digest, grade.name) for grade in grades), *_list_shipped()]),
        _group([(grade.predictions_digest, grade.name) for grade in grades]),
    )


@functools.cache
def _list_shipped() -> tuple[tuple[str, str], ...]:
    """Return the digest of all weights that come with netlet, and what lists call them."""
    names = list_shipped_weights()
    digests = [digest_weights(load_file(find_shipped_weights(name) or "")) for name in names]
    return tuple((digest, f"netlet's {name}") for digest, name in zip(digests, names, strict=True))


def _group(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    names: dict[str, list[str]] = defaultdict(list)
    for digest, name in pairs:
        if digest:
            names[digest].append(name)
    return tuple(sorted(tuple(sorted(group)) for group in names.values() if len(group) > 1))


def _list_names(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
