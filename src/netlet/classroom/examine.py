"""Grade one submission: judge what comes back from its sandbox without believing it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load

from netlet.analysis.batch_slips import drop_one_image_note
from netlet.budgets import ModelCost, RuleResult
from netlet.classroom.case import UNUSABLE, Case, CaseMaker, shorten_problem
from netlet.classroom.copies import digest_predictions, digest_weights
from netlet.classroom.grades import Grade, GradingSettings, Used, check_claim
from netlet.classroom.judging import JudgedRule, judge_rules, make_curve, suspect, worst_state
from netlet.classroom.points import count_points
from netlet.classroom.recount import check_counts, count_again
from netlet.classroom.roster import NO_PROBLEMS, Claim, ClaimProblems
from netlet.classroom.scoring import NO_SCORES, Scorer, Scores
from netlet.classroom.source_size import describe_large_code
from netlet.data import Dataset
from netlet.data.disputed_labels import disputed_labels
from netlet.display import Displayed
from netlet.errors import GradingError, NetletError
from netlet.evaluation import Evaluation, describe_not_finite
from netlet.experiments.sandbox import NetAnalysis, parse_analysis
from netlet.nets.surplus_tensors import LEFT_OUT
from netlet.recipes import Recipe
from netlet.sandbox import SandboxAnswer

_MOST_NOTES, _MOST_LETTERS = 50, 2_000  # of the notes that the code inside returns
_NO_WEIGHTS = "no weights were handed in, so only the rules on the net are judged"
_NO_EPOCHS = "the accuracy of each of the last epochs is known only with --retrain"
_NOT_TRAINED = "not retrained: training needs a net that returns a row for a single image"


@dataclass(frozen=True)
class Examination(Displayed):
    """A grade, and the evaluation from which its pictures are drawn.

    Attributes:
        grade: The grade.
        evaluation: That of the test images; None without weights, and of an earlier grade.
    """

    grade: Grade
    evaluation: Evaluation | None = None


class Examiner:
    """Grades submissions of a class by the same settings.

    Args:
        settings: How the class is graded.
        data: The data set; its held-out split gives the scores.
        folder: An empty folder for the training images, which the sandbox reads.
    """

    def __init__(self, settings: GradingSettings, data: Dataset, folder: Path) -> None:
        self._settings, self._data = settings, data
        self._scorer = Scorer(data, settings.seeds)
        self._images = data.held_out.sha256()
        disputed = disputed_labels(data.checksums, data.held_out.name)
        self._suspect = partial(suspect, disputed=len(disputed))
        self._maker = CaseMaker(settings, data, folder)

    def prepare(
        self, name: str, folder: Path, claim: Claim, problems: ClaimProblems = NO_PROBLEMS
    ) -> Case:
        """Return what the sandbox has to do for a submission; see :meth:`CaseMaker.prepare`."""
        return self._maker.prepare(name, folder, claim, problems)

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
            raise GradingError(
                "the code interfered with the result of the sandbox; inspect the code"
            ) from error

    def _judge(self, case: Case, answer: SandboxAnswer) -> Examination:
        found = parse_analysis(answer.values["analysis"], case.name)
        address = str(answer.values["net"])[:200]
        definitions = str(answer.values["definitions"])[:_MOST_LETTERS]
        check_counts(found.cost)
        unusable = case.unusable
        if problem := str(answer.values["weights_problem"])[:_MOST_LETTERS]:
            unusable = UNUSABLE + shorten_problem(problem, case.folder)
        # Training refuses some nets, which are judged by their structure only.
        trained = case.recipe is not None and found.cost.one_image is None
        refused = case.recipe is not None and not trained
        settings, recipe = self._settings, case.recipe if trained else None
        tensors = load(answer.payload)
        results = NO_SCORES
        if not refused and not unusable:
            results = self._scorer.score(case, answer, tensors)
        cost, recount = count_again(found.cost, _state_of(tensors, results.seed))
        evaluations = results.counted
        judged = self._judge_rules(cost, case, recipe, evaluations)
        rules = tuple(one.result for one in judged)
        score = evaluations[-1].score if evaluations else None
        copies = [one.score for one in results.copies]
        suspicion = self._suspect(evaluations[-1], *results.copies) if score else ""
        points, rule_points = count_points(judged, settings, trusted=not suspicion)
        converted = str(answer.values["weights_note"])[:_MOST_LETTERS]
        missing = not evaluations and settings.budget.target is not None
        reason = _NOT_TRAINED if refused else unusable or _NO_WEIGHTS
        # A count that is not the one of netlet check may decide on a limit.
        warnings = [*case.warnings, *([unusable] if unusable and not missing else []), *recount]
        if evaluations and (broken := describe_not_finite(evaluations[-1])):
            warnings.append(broken)
        if score and not recipe:
            left_out = "some tensors of the weights are left out; " * (LEFT_OUT in converted)
            warnings += [left_out + text for text in self._scorer.suggest(case, score, tensors)]
        grade = Grade(
            name=case.name,
            state="REVIEW" if suspicion else worst_state(rules),
            points=points,
            max_points=float(settings.points),  # as when it is read again
            net=address,
            problem=suspicion or (reason if missing else ""),
            warnings=tuple(warnings),
            used=self._describe_used(case) if score else None,
            rules=rules,
            rule_points=rule_points,
            parameters=cost.parameters,
            score=score,
            perturbed=copies[1] if score else None,
            claim=case.claim,
            notes=(
                *([definitions] if definitions else []),
                *([converted] if converted else []),
                *self._notes(case, found, rules),
            ),
            definitions=definitions,
            summary=str(dataclasses.replace(found.summary, net=address))[:20_000],
        )
        if recipe:
            grade = grade.replace(**self._describe_training(answer, results))
        elif score:  # equal nets that are trained alike have equal weights
            grade = grade.replace(**self._digest(tensors, evaluations[-1]))
        grade = grade.replace(notes=(*grade.notes, *check_claim(grade)))
        return Examination(grade, evaluations[-1] if evaluations else None)

    def _describe_training(self, answer: SandboxAnswer, results: Scores) -> dict[str, Any]:
        """Return the score of each seed, and the curve of the one that counts."""
        seeds = self._settings.seeds
        percents = answer.values["epochs"][seeds.index(results.seed)]
        return {
            "seed_scores": tuple(results.epochs[seed][-1].score for seed in seeds),
            "curve": make_curve(percents, results.counted),
        }

    def _digest(
        self, tensors: Mapping[str, torch.Tensor], evaluation: Evaluation
    ) -> dict[str, str]:
        """Return by what submitted weights are compared with those of others."""
        return {
            "weights_digest": digest_weights(_state_of(tensors, 0)),
            "predictions_digest": digest_predictions(evaluation, self._images),
        }

    def _describe_used(self, case: Case) -> Used:
        if case.recipe:
            return Used(float(case.recipe.mean), float(case.recipe.std))
        request = case.task.request
        return Used(float(request["mean"]), float(request["std"]), request["weights"])

    def _judge_rules(
        self,
        cost: ModelCost,
        case: Case,
        recipe: Recipe | None,
        evaluations: Sequence[Evaluation],
    ) -> tuple[JudgedRule, ...]:
        return judge_rules(
            dataclasses.replace(cost, epochs=recipe.total_epochs if recipe else case.claim.epochs),
            self._settings.budget,
            evaluations,
            self._data.name,
            complete=recipe is not None,
            batch_size=recipe.batch_size if recipe else None,
        )

    def _notes(self, case: Case, found: NetAnalysis, rules: Sequence[RuleResult]) -> list[str]:
        own = drop_one_image_note(found.summary.notes, found.cost.one_image, rules)
        notes = [note.removeprefix("note: ")[:_MOST_LETTERS] for note in own[:_MOST_NOTES]]
        notes += describe_large_code(case.folder)
        if self._settings.budget.held_for_last and not case.recipe:
            notes.append(_NO_EPOCHS)
        return notes


def _state_of(tensors: Mapping[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    start = f"state.{seed}."
    return {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}
