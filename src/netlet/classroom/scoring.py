"""Score the logits that come back from the sandbox, with labels that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load

from netlet.budgets import Score
from netlet.classroom.case import Case
from netlet.classroom.inside import COPIES
from netlet.classroom.perturbed_copy import ShuffledImages
from netlet.classroom.submitted_weights import TRIED_IMAGES, suggest_normalization
from netlet.data import Dataset
from netlet.errors import GradingError
from netlet.evaluation import Evaluation, score_logits
from netlet.sandbox import SandboxAnswer

_NO_LOGITS = "the code returned no logits for some of the images; inspect the code"


@dataclass(frozen=True)
class Scores:
    """What the nets of a submission computed, by seed; scores are those that netlet counted."""

    epochs: Mapping[int, list[Evaluation]]  # on the test images, after each epoch
    seed: int  # of median accuracy; of two in the middle, the lower
    copies: tuple[Evaluation, ...]  # of its last epoch, on either kind of copies

    @property
    def counted(self) -> list[Evaluation]:
        """The evaluations that count."""
        return self.epochs.get(self.seed, [])


NO_SCORES = Scores({}, 0, ())


class Scorer:
    """Scores what the nets of a class return.

    Args:
        data: The data set; its held-out split gives the scores.
        seeds: The seeds of nets that are retrained.
    """

    def __init__(self, data: Dataset, seeds: Sequence[int]) -> None:
        self._data, self._seeds = data, seeds

    def score(
        self, case: Case, answer: SandboxAnswer, tensors: Mapping[str, torch.Tensor]
    ) -> Scores:
        """Score the logits of each seed, and those for the copies of the seed that counts.

        Args:
            case: What the sandbox was asked for.
            answer: What it returned for the copies.
            tensors: What it returned at the end.

        Raises:
            GradingError: Logits are missing, or have another shape.
        """
        if not case.task.later:
            return NO_SCORES
        seeds = self._seeds if case.recipe else (0,)
        number, clean = case.recipe.epochs if case.recipe else 1, case.images.clean
        wanted = [[f"logits.{seed}.{epoch}" for epoch in range(number)] for seed in seeds]
        if len(answer.parts) != len(case.task.later) or any(
            name not in tensors for names in wanted for name in names
        ):
            raise GradingError(_NO_LOGITS)
        epochs = {
            seed: [self._evaluate(tensors[name], clean) for name in names]
            for seed, names in zip(seeds, wanted, strict=True)
        }
        order = sorted(seeds, key=lambda seed: epochs[seed][-1].score.correct)
        seed = order[(len(order) - 1) // 2]
        kinds = [getattr(case.images, kind) for kind in COPIES]
        copies = tuple(
            self._evaluate(load(part)[f"logits.{seed}"], images)
            for part, images in zip(answer.parts[1:], kinds, strict=True)
        )
        return Scores(epochs, seed, copies)

    def suggest(self, case: Case, score: Score, tensors: Mapping[str, torch.Tensor]) -> list[str]:
        """Return the normalization that fits better, if there is one: as a warning.

        Args:
            case: What the sandbox was asked for.
            score: The score with the normalization that counts.
            tensors: What the sandbox returned.

        Raises:
            GradingError: Logits are missing, or have another shape.
        """
        tried = [tensors.get(f"other.{n}") for n in range(len(case.task.request["others"]))]
        number = min(TRIED_IMAGES, score.total)
        shape = (number, self._data.classes)
        logits = [one for one in tried if one is not None and tuple(one.shape) == shape]
        if len(logits) < len(tried):
            raise GradingError(_NO_LOGITS)
        split, order = self._data.held_out, case.images.clean.order
        found = suggest_normalization(score, case.claim, logits, split, order)
        return [found] if found else []

    def _evaluate(self, logits: torch.Tensor, images: ShuffledImages) -> Evaluation:
        wanted = (len(images.images), self._data.classes)
        if tuple(logits.shape) != wanted or logits.dtype != torch.float32:
            raise GradingError(
                f"the net returns {tuple(logits.shape)} of {logits.dtype} for {wanted[0]} images; "
                f"it must return {wanted[0]}x{wanted[1]} of float32"
            )
        return score_logits(images.restore(logits), self._data.held_out, self._data.classes)
