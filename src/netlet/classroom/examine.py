"""Make a task for the sandbox of one submission, and judge what comes back without believing it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load

from netlet.analysis.batch_slips import drop_one_image_note
from netlet.budgets import ModelCost, RuleResult, Score
from netlet.classroom.grades import Grade, GradingSettings, Used, check_claim, count_points
from netlet.classroom.inside import CODE, COPIES, NO_SOURCES, TRAIN
from netlet.classroom.judging import judge_rules, make_curve, suspect, worst_state
from netlet.classroom.own_files import complete_claim
from netlet.classroom.perturbed_copy import ImageSequence, ShuffledImages, draw_images
from netlet.classroom.recount import check_counts, count_again
from netlet.classroom.roster import Claim, ClaimProblems
from netlet.classroom.source_size import describe_large_code
from netlet.classroom.submissions import SOURCES
from netlet.classroom.submitted_weights import (
    TRIED_IMAGES,
    choose_normalization,
    find_weights,
    list_other_normalizations,
    suggest_normalization,
)
from netlet.data import Dataset
from netlet.display import Displayed
from netlet.errors import GradingError, NetError, NetletError
from netlet.evaluation import Evaluation, score_logits
from netlet.experiments.sandbox import NetAnalysis, parse_analysis
from netlet.recipes import Recipe
from netlet.sandbox import Limits, SandboxAnswer, SandboxTask

_FUNCTION = "netlet.classroom.inside:examine"
_ANSWER_BYTES = 256 << 20
_MOST_NOTES, _MOST_LETTERS = 50, 2_000  # of the notes that the code inside returns
_NO_WEIGHTS = "no weights were handed in, so only the rules on the net are judged"
_UNUSABLE = "no weights that can be used, so only the rules on the net are judged: "
_NOT_RETRAINED = "was not retrained, so only the rules on the net are judged: "
_NO_RECIPE = 'claims no recipe to retrain by; write recipe = "quick", for example, in claim.toml'
_NO_EPOCHS = "the accuracy of each of the last epochs is known only with --retrain"
_NOT_TRAINED = "was not retrained: training needs a net that returns a row for a single image"
_NO_LOGITS = "its code returned no logits for some of the images; read it"


@dataclass(frozen=True)
class Examination(Displayed):
    """A grade, and the evaluation from which its pictures are drawn.

    Attributes:
        grade: The grade.
        evaluation: That of the test images; None without weights, and of an earlier grade.
    """

    grade: Grade
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class Case:
    """One submission on its way through the sandbox.

    Attributes:
        name: The name of the submission.
        folder: The folder with its files.
        claim: What the student says of it.
        recipe: The recipe to retrain it by; None for its own weights.
        images: What it is scored on.
        task: What the sandbox does.
        unusable: Why it has no weights or recipe that can be used; empty if nothing is wrong.
        warnings: What is wrong with the claim.
    """

    name: str
    folder: Path
    claim: Claim
    recipe: Recipe | None
    images: ImageSequence
    task: SandboxTask
    unusable: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Results:
    """What the nets of a submission computed, by seed; scores are those that netlet counted."""

    epochs: Mapping[int, list[Evaluation]]  # on the test images, after each epoch
    seed: int  # of median accuracy
    copies: tuple[Evaluation, ...]  # of its last epoch, on either kind of copies

    @property
    def counted(self) -> list[Evaluation]:
        """The evaluations that count."""
        return self.epochs.get(self.seed, [])


class Examiner:
    """Grades submissions of a class by the same settings.

    Args:
        settings: How the class is graded.
        data: The data set; its held-out split gives the scores.
        folder: An empty folder for the training images, which the sandbox reads.
    """

    def __init__(self, settings: GradingSettings, data: Dataset, folder: Path) -> None:
        self._settings, self._data = settings, data
        self._inputs: dict[str, Path] = {}
        if settings.retrain:
            file = folder / "train.npz"
            np.savez(file, images=data.train.images.numpy(), labels=data.train.labels.numpy())
            file.chmod(0o644)
            self._inputs[TRAIN] = file

    def prepare(
        self, name: str, folder: Path, claim: Claim, problems: ClaimProblems | None = None
    ) -> Case:
        """Return what the sandbox has to do for a submission.

        Args:
            name: The name of the submission.
            folder: The folder with its files.
            claim: What the student says of it.
            problems: What is wrong with the claim; None if nothing is.

        Raises:
            NetError: It has no code.
        """
        if not any(path.suffix in SOURCES for path in folder.rglob("*")):
            raise NetError(NO_SOURCES)
        settings, problems = self._settings, problems or ClaimProblems()
        claim, problems = complete_claim(claim, problems, folder, settings)
        recipe, weights, unusable = self._choose(folder, claim, problems)
        used = choose_normalization(claim)
        images = draw_images(self._data.held_out)
        request = {
            "net": claim.net or settings.net,
            "weights": weights,
            "shape": self._data.shape,
            "classes": self._data.classes,
            "recipe": recipe.to_dict() if recipe else None,
            "seeds": settings.seeds,
            "mean": used.mean,
            "std": used.std,
            "others": list_other_normalizations(used) if weights else [],
            "tried": TRIED_IMAGES,
        }
        seconds = settings.seconds_per_seed * (len(settings.seeds) if recipe else 1)
        task = SandboxTask(
            function=_FUNCTION,
            request=request,
            inputs={CODE: folder, **self._inputs},
            later=images.to_bytes() if recipe or weights else (),
            limits=Limits(wall_s=seconds, answer_bytes=_ANSWER_BYTES),
            trust=settings.trust,
        )
        warnings = tuple(one for one in problems.found if one not in unusable)
        return Case(name, folder, claim, recipe, images, task, unusable, warnings)

    def _choose(
        self, folder: Path, claim: Claim, problems: ClaimProblems
    ) -> tuple[Recipe | None, str | None, str]:
        """Return the recipe to retrain by or the path of the weights, or why there are neither."""
        chosen = self._settings.retrain
        if isinstance(chosen, Recipe):
            return chosen.for_net(in_catalog=False), None, ""
        if chosen:
            if claim.recipe is not None:
                return claim.recipe.for_net(in_catalog=False), None, ""
            return None, None, _NOT_RETRAINED + (problems.of_recipe or _NO_RECIPE)
        if problems.of_weights:
            return None, None, _UNUSABLE + problems.of_weights
        try:
            return None, find_weights(folder, claim.weights or self._settings.weights), ""
        except GradingError as error:
            return None, None, _UNUSABLE + str(error)

    def judge(self, case: Case, answer: SandboxAnswer) -> Examination:
        """Grade a submission by what its code returned.

        Raises:
            GradingError: It cannot be judged; the message says why.
        """
        try:
            return self._judge(case, answer)
        except GradingError:
            raise
        except NetletError as error:
            raise GradingError(str(error).removeprefix(f"{case.name}: ")) from error
        except Exception as error:  # anything can come out of the sandbox
            raise GradingError("its code spoiled the answer of the sandbox; read it") from error

    def _judge(self, case: Case, answer: SandboxAnswer) -> Examination:
        found = parse_analysis(answer.values["analysis"], case.name)
        address = str(answer.values["net"])[:200]
        definitions = str(answer.values["definitions"])[:_MOST_LETTERS]
        check_counts(found.cost)
        unusable = case.unusable
        if problem := str(answer.values["weights_problem"])[:_MOST_LETTERS]:
            unusable = _UNUSABLE + shorten_problem(problem, case.folder)
        # Training refuses some nets, which are judged by their structure only.
        trained = case.recipe is not None and found.cost.one_image is None
        refused = case.recipe is not None and not trained
        settings, recipe = self._settings, case.recipe if trained else None
        tensors = load(answer.payload)
        results = _Results({}, 0, ())
        if not refused and not unusable:
            results = self._score(case, answer, tensors)
        cost, recount = count_again(found.cost, _state_of(tensors, results.seed))
        evaluations = results.counted
        rules = self._judge_rules(cost, case, recipe, evaluations)
        score = evaluations[-1].score if evaluations else None
        copies = [one.score for one in results.copies]
        suspicion = suspect(score, *copies) if score else ""
        missing = not evaluations and settings.budget.target is not None
        reason = _NOT_TRAINED if refused else unusable or _NO_WEIGHTS
        warnings = [*case.warnings, *([unusable] if unusable and not missing else [])]
        if score and not recipe:
            warnings += self._suggest(case, score, tensors)
        seeds = tuple(results.epochs[s][-1].score for s in settings.seeds) if recipe else ()
        percents = answer.values["epochs"][settings.seeds.index(results.seed)] if recipe else ()
        grade = Grade(
            name=case.name,
            state="REVIEW" if suspicion else worst_state(rules),
            points=count_points(rules, settings.points, trusted=not suspicion),
            max_points=settings.points,
            net=address,
            problem=suspicion or (reason if missing else ""),
            warnings=tuple(warnings),
            used=self._describe_used(case) if score else None,
            rules=rules,
            parameters=cost.parameters,
            score=score,
            perturbed=copies[1] if score else None,
            seed_scores=seeds,
            claim=case.claim,
            notes=(
                *([definitions] if definitions else []),
                *recount,
                *self._notes(case, found, rules),
            ),
            definitions=definitions,
            summary=str(dataclasses.replace(found.summary, net=address))[:20_000],
            curve=make_curve(percents, evaluations) if recipe else None,
        )
        grade = grade.replace(notes=(*grade.notes, *check_claim(grade)))
        return Examination(grade, evaluations[-1] if evaluations else None)

    def _suggest(self, case: Case, score: Score, tensors: Mapping[str, torch.Tensor]) -> list[str]:
        """Return the normalization that fits better, if there is one: as a warning."""
        tried = [tensors.get(f"other.{n}") for n in range(len(case.task.request["others"]))]
        number = min(TRIED_IMAGES, score.total)
        shape = (number, self._data.classes)
        logits = [one for one in tried if one is not None and tuple(one.shape) == shape]
        if len(logits) < len(tried):
            raise GradingError(_NO_LOGITS)
        split, order = self._data.held_out, case.images.clean.order
        found = suggest_normalization(score, case.claim, logits, split, order)
        return [found] if found else []

    def _describe_used(self, case: Case) -> Used:
        if case.recipe:
            return Used(case.recipe.mean, case.recipe.std)
        request = case.task.request
        return Used(request["mean"], request["std"], request["weights"])

    def _judge_rules(
        self,
        cost: ModelCost,
        case: Case,
        recipe: Recipe | None,
        evaluations: Sequence[Evaluation],
    ) -> tuple[RuleResult, ...]:
        return judge_rules(
            dataclasses.replace(cost, epochs=recipe.epochs if recipe else case.claim.epochs),
            self._settings.budget,
            evaluations,
            self._data.name,
            complete=recipe is not None,
            batch_size=recipe.batch_size if recipe else None,
        )

    def _notes(self, case: Case, found: NetAnalysis, rules: Sequence[RuleResult]) -> list[str]:
        own = drop_one_image_note(found.summary.notes, found.cost.one_image, rules)
        notes = [note[:_MOST_LETTERS] for note in own[:_MOST_NOTES]]
        notes += describe_large_code(case.folder)
        if self._settings.budget.held_for_last and not case.recipe:
            notes.append(_NO_EPOCHS)
        return notes

    def _score(
        self, case: Case, answer: SandboxAnswer, tensors: Mapping[str, torch.Tensor]
    ) -> _Results:
        """Score the logits of each seed, and those for the copies of the seed that counts."""
        if not case.task.later:
            return _Results({}, 0, ())
        seeds = self._settings.seeds if case.recipe else (0,)
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
        return _Results(epochs, seed, copies)

    def _evaluate(self, logits: torch.Tensor, images: ShuffledImages) -> Evaluation:
        wanted = (len(images.images), self._data.classes)
        if tuple(logits.shape) != wanted or logits.dtype != torch.float32:
            raise GradingError(
                f"returns {tuple(logits.shape)} of {logits.dtype} for {wanted[0]} images; it must "
                f"return {wanted[0]}x{wanted[1]} of float32"
            )
        return score_logits(images.restore(logits), self._data.held_out, self._data.classes)


def _state_of(tensors: Mapping[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    start = f"state.{seed}."
    return {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}


def shorten_problem(message: str, folder: Path) -> str:
    """Return a message without the paths of the sandbox.

    Args:
        message: What went wrong.
        folder: The folder of the submission, which code without a sandbox names.
    """
    for place in (CODE, str(folder)):
        message = message.replace(f"{place}/", "").replace(place, "the submission")
    return message
