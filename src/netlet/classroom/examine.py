"""Run one submission in the sandbox, and judge what comes back without believing it."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load

from netlet import analysis
from netlet.budgets import Budget, ModelCost, Outcome, RuleResult, Score, is_about_accuracy
from netlet.classroom.grades import Curve, Grade, GradingSettings, count_points
from netlet.classroom.perturbed_copy import shuffle_images
from netlet.classroom.recount import check_counts, count_again
from netlet.classroom.roster import Claim
from netlet.classroom.source_size import describe_large_code
from netlet.classroom.submissions import WEIGHTS
from netlet.data import Dataset
from netlet.errors import GradingError, NetletError, SandboxError
from netlet.evaluation import Evaluation, score_logits
from netlet.experiments.sandbox import NetAnalysis, parse_analysis
from netlet.recipes import Recipe
from netlet.sandbox import Limits, SandboxProgram, run_task

_FUNCTION = "netlet.classroom.inside:examine"
_ANSWER_BYTES = 256 << 20
# How much a net that has learned digits loses at most, in percentage points.
_MOST_LOST_TO_NOISE = 0.5  # of one gray level
_MOST_LOST_TO_MOVES = 20.0  # of one pixel
_MOST_IMAGES_LOST = 5  # where half a point is fewer images
_MOST_NOTES, _MOST_LETTERS = 50, 2_000  # of the notes that the code inside returns
_NO_WEIGHTS = "no weights were handed in, so only the rules on the net are judged"
_NO_EPOCHS = "the accuracy of each of the last epochs is known only with --retrain"


@dataclass(frozen=True)
class Examination:
    """A grade, and the evaluation from which its pictures are drawn."""

    grade: Grade
    evaluation: Evaluation | None = None


class Examiner:
    """Grades submissions with the same images and settings.

    Args:
        settings: How the class is graded.
        data: The data set; its held-out split gives the scores.
        folder: An empty folder for the images, which the sandbox reads.
        program: What runs the code.
        stop: An event after which no more code is run.
    """

    def __init__(
        self,
        settings: GradingSettings,
        data: Dataset,
        folder: Path,
        program: SandboxProgram,
        stop: threading.Event,
    ) -> None:
        self._settings, self._data = settings, data
        self._program, self._stop = program, stop
        self._shuffled = shuffle_images(data.held_out)
        self._inputs = {"/task/images.npy": folder / "images.npy"}
        np.save(folder / "images.npy", self._shuffled.images.numpy())
        if settings.retrain:
            file = folder / "train.npz"
            np.savez(file, images=data.train.images.numpy(), labels=data.train.labels.numpy())
            self._inputs["/task/train.npz"] = file
        for file in self._inputs.values():
            file.chmod(0o644)

    def examine(self, name: str, folder: Path, claim: Claim) -> Examination:
        """Grade one submission.

        Args:
            name: The name of the submission.
            folder: The folder with its files.
            claim: What the student says of it.

        Raises:
            GradingError: It cannot be judged; the message says why.
        """
        recipe = self._recipe(claim)
        weights = None if recipe else self._find_weights(folder, claim)
        try:
            values, payload = self._run(folder, claim, recipe, weights)
        except SandboxError as error:
            raise GradingError(_shorten(str(error), folder)) from error
        try:
            found = parse_analysis(values["analysis"], name)
            address = str(values["net"])[:200]
            tensors = load(payload)
            return self._judge(name, claim, recipe, found, address, tensors, values, folder)
        except GradingError:
            raise
        except NetletError as error:
            raise GradingError(str(error).removeprefix(f"{name}: ")) from error
        except Exception as error:  # anything can come out of the sandbox
            raise GradingError("its code spoiled the answer of the sandbox; read it") from error

    def _run(
        self, folder: Path, claim: Claim, recipe: Recipe | None, weights: str | None
    ) -> tuple[dict[str, Any], bytes]:
        settings = self._settings
        inputs = {"/task/code": folder, **self._inputs}

        def place(path: str) -> str:  # without a sandbox, the files are where they are
            return str(inputs[path]) if settings.trust else path

        used = Recipe()
        request = {
            "folder": place("/task/code"),
            "net": claim.net or settings.net,
            "weights": weights,
            "shape": self._data.shape,
            "classes": self._data.classes,
            "images": place("/task/images.npy"),
            "train": place("/task/train.npz") if settings.retrain else None,
            "recipe": recipe.to_dict() if recipe else None,
            "seeds": settings.seeds,
            "mean": used.mean if claim.mean is None else claim.mean,
            "std": used.std if claim.std is None else claim.std,
        }
        seconds = settings.seconds_per_seed * (len(settings.seeds) if recipe else 1)
        limits = Limits(wall_s=seconds, answer_bytes=_ANSWER_BYTES)
        return run_task(_FUNCTION, request, inputs, limits, self._program, self._stop)

    def _recipe(self, claim: Claim) -> Recipe | None:
        chosen = self._settings.retrain
        if not isinstance(chosen, str):
            return chosen.for_net(in_catalog=False) if chosen else None
        if claim.recipe is None:
            raise GradingError("claims no recipe to retrain by; ask for one in claim.toml")
        return claim.recipe.for_net(in_catalog=False)

    def _find_weights(self, folder: Path, claim: Claim) -> str | None:
        """Return the path of the submitted weights in the submission; None if there are none."""
        pattern = claim.weights or self._settings.weights
        files = [p for p in folder.rglob("*") if p.suffix.lower() in WEIGHTS and p.is_file()]
        files.sort(key=lambda file: (len(file.parts), file))
        names = [file.relative_to(folder).as_posix() for file in files]
        if pattern:
            try:
                matches = [
                    name
                    for name in names
                    if Path(name).match(pattern) or Path(name).match(f"*/{pattern}")
                ]
            except ValueError:  # of "."
                matches = []
            if not matches:
                there = ", ".join(names[:5]) or "-"
                raise GradingError(f"has no weights {pattern[:200]!r}; it has: {there}")
            names = matches[:1]
        if len(names) > 1:
            raise GradingError(
                f"has {len(names)} files of weights ({', '.join(names[:5])}); name one with "
                "--weights, or in claim.toml"
            )
        return names[0] if names else None

    def _judge(
        self,
        name: str,
        claim: Claim,
        recipe: Recipe | None,
        found: NetAnalysis,
        address: str,
        tensors: Mapping[str, torch.Tensor],
        values: Mapping[str, Any],
        folder: Path,
    ) -> Examination:
        check_counts(found.cost)
        settings = self._settings
        seeds = settings.seeds if recipe else (0,)
        runs = {seed: _logits_by_epoch(tensors, seed) for seed in seeds}
        scored = {s: [self._score(one)[0] for one in runs[s]] for s in seeds if runs[s]}
        if recipe and len(scored) != len(seeds):
            raise GradingError("its code returned no logits from the training; read it")
        order = sorted(scored, key=lambda seed: scored[seed][-1].score.correct)
        seed = order[(len(order) - 1) // 2] if order else 0
        cost, recount = count_again(found.cost, _state_of(tensors, seed))
        evaluations = scored.get(seed, [])
        epochs = recipe.epochs if recipe else claim.epochs
        rules = _judge_rules(
            dataclasses.replace(cost, epochs=epochs),
            settings.budget,
            evaluations,
            self._data.name,
            complete=recipe is not None,
        )
        scores = [one.score for one in self._score(runs[seed][-1])] if evaluations else []
        suspicion = _suspect(*scores) if scores else ""
        missing = not evaluations and settings.budget.target is not None
        score = evaluations[-1].score if evaluations else None
        own = [note[:_MOST_LETTERS] for note in found.summary.notes[:_MOST_NOTES]]
        notes = [*recount, *own, *describe_large_code(folder)]
        if settings.budget.held_for_last and not recipe:
            notes.append(_NO_EPOCHS)
        notes += _compare_claim(claim, cost, score.percent if score else None)
        grade = Grade(
            name=name,
            state="REVIEW" if suspicion else _worst(rules),
            points=count_points(rules, settings.points, trusted=not suspicion),
            max_points=settings.points,
            net=address,
            problem=suspicion or (_NO_WEIGHTS if missing else ""),
            rules=rules,
            parameters=cost.parameters,
            score=score,
            perturbed=scores[2] if scores else None,
            seed_scores=tuple(scored[s][-1].score for s in scored) if recipe else (),
            claim=claim,
            notes=tuple(notes),
            summary=str(dataclasses.replace(found.summary, net=address))[:20_000],
            curve=_curve(values, seeds.index(seed), evaluations) if recipe else None,
        )
        return Examination(grade, evaluations[-1] if evaluations else None)

    def _score(self, logits: torch.Tensor) -> list[Evaluation]:
        """Score logits on the test images and on either kind of copy."""
        wanted = (len(self._shuffled.images), self._data.classes)
        if tuple(logits.shape) != wanted or logits.dtype != torch.float32:
            raise GradingError(
                f"returns {tuple(logits.shape)} of {logits.dtype} for {wanted[0]} images; it must "
                f"return {wanted[0]}x{wanted[1]} of float32"
            )
        split, classes = self._data.held_out, self._data.classes
        return [score_logits(one, split, classes) for one in self._shuffled.restore(logits)]


def _logits_by_epoch(tensors: Mapping[str, torch.Tensor], seed: int) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    while (logits := tensors.get(f"logits.{seed}.{len(found)}")) is not None:
        found.append(logits)
    return found


def _state_of(tensors: Mapping[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    start = f"state.{seed}."
    return {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}


def _judge_rules(
    cost: ModelCost,
    budget: Budget,
    evaluations: list[Evaluation],
    dataset: str,
    *,
    complete: bool,
) -> tuple[RuleResult, ...]:
    """Judge a net; of submitted weights, only the final accuracy is known."""
    rules = analysis.judge_cost(cost, budget).results
    if not complete:
        rules = tuple(
            dataclasses.replace(rule, found=rule.found.replace(" planned", " claimed"))
            for rule in rules
        )
    if not evaluations:
        return rules
    outcome = Outcome([one.score for one in evaluations], dataset)
    judged = [r for r in budget.judge(cost, outcome).results if is_about_accuracy(r)]
    # The epochs before the last one are not known: that rule stays NOT YET.
    known = {r.rule: r for r in judged if complete or r.rule == "accuracy, last epoch"}
    return tuple(known.get(rule.rule, rule) for rule in rules)


def _worst(rules: tuple[RuleResult, ...]) -> Any:
    states = {rule.state for rule in rules}
    order = ("FAIL", "UNKNOWN", "NOT JUDGED", "NOT YET")
    return next((state for state in order if state in states), "PASS")


def _suspect(clean: Score, noisy: Score, moved: Score) -> str:
    """Return why a person should look at a net that scores; empty if nothing is unusual."""
    lost = clean.correct - noisy.correct
    if lost > max(_MOST_IMAGES_LOST, _MOST_LOST_TO_NOISE * clean.total / 100):
        copies, change = noisy, "that differ by one gray level"
    elif clean.percent - moved.percent > _MOST_LOST_TO_MOVES:
        copies, change = moved, "moved by one pixel"
    else:
        return ""
    return (
        f"is right on {clean.percent:.2f}% of the test images but on {copies.percent:.2f}% of "
        f"copies {change}; it may have a table of answers, read its code"
    )


def _compare_claim(claim: Claim, cost: ModelCost, percent: float | None) -> list[str]:
    notes = []
    if claim.parameters is not None and claim.parameters != cost.parameters:
        notes.append(f"claims {claim.parameters:,} parameters, counted are {cost.parameters:,}")
    if claim.accuracy is None or percent is None:
        return notes
    if not math.isclose(claim.accuracy, percent, abs_tol=0.005):
        notes.append(f"claims {claim.accuracy:.2f}% accuracy, measured is {percent:.2f}%")
    return notes


def _curve(values: Mapping[str, Any], which: int, evaluations: list[Evaluation]) -> Curve:
    train = tuple(float(percent) for percent in values["epochs"][which][: len(evaluations)])
    if not all(0 <= percent <= 100 for percent in train):
        raise ValueError("an accuracy that is none")
    return Curve(train, tuple(one.score.correct for one in evaluations))


def _shorten(message: str, folder: Path) -> str:
    """Return a message without the paths of the sandbox."""
    for place in ("/task/code", str(folder)):
        message = message.replace(f"{place}/", "").replace(place, "the submission")
    return message
