"""Where the parts of a record contradict each other.

A record says many things twice: the parameters as a total and layer by layer, the score as a number
and as the list of mistakes. If they disagree, the record was edited or damaged, and no figure is
drawn from it. Every function yields sentences that name both parts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from netlet.budgets import Outcome, Score, budget_from_json, cost_from_json
from netlet.recipes import Recipe, count_epochs, recipe_from_json
from netlet.records.data_contradictions import contradictions_of_data
from netlet.records.json_file import shorten
from netlet.records.machine_contradictions import contradictions_of_machines
from netlet.records.net_contradictions import contradictions_of_net
from netlet.records.score_contradictions import contradictions_of_errors
from netlet.records.weights_contradictions import (
    contradictions_of_digest,
    contradictions_of_seed_weights,
)

if TYPE_CHECKING:
    from netlet.records.config import ExperimentConfig
    from netlet.records.run import Epoch, Run
    from netlet.records.seed_result import SeedResult
    from netlet.records.study import Study

_BACKENDS = ("eager", "compiled", "cuda_graph")

_RESULT_FIELDS = ("limit", "found", "margin", "state", "largest_layers", "remedy", "message")


def contradictions_of_run(run: Run) -> Iterator[str]:
    """Yield what contradicts what in a run."""
    yield from _contradictions_of_experiment(run, run.cost, run.summary, run.receptive_field)
    yield from _contradictions_of_epochs(run)
    total = run.last_epoch.total
    yield from _differ("last_epoch.total", total, "data.images", _images(run, run.last_epoch.split))
    trained = run.train_score
    yield from _contradictions_of_images(run, run.last_epoch.split)
    yield from _differ("train_score.total", trained.total, "data.images", _images(run, "train"))
    yield from _differ("train_score.split", trained.split, "the split that is trained on", "train")
    yield from _contradictions_of_count("train_score.correct", trained.correct, trained.total)
    yield from _contradictions_of_confusion(run)
    yield from contradictions_of_errors(
        run.last_epoch.correct, total, len(run.confusion), run.mistakes, run.calibration
    )
    yield from _contradictions_of_verdict(run)
    yield from _contradictions_of_process(run)


def contradictions_of_study(study: Study) -> Iterator[str]:
    """Yield what contradicts what in a study."""
    if not study.seeds:
        yield "it has no seeds"
        return
    numbers = [seed.seed for seed in study.seeds]
    if len(set(numbers)) < len(numbers):
        yield "it contains a seed twice"
    if numbers != sorted(numbers):
        yield "its seeds are not in increasing order"
    yield from _contradictions_of_experiment(
        study, study.cost, study.summary, study.receptive_field
    )
    if "spending" in study.cost:
        yield "cost has the amounts of single layers, which only runs have"
    if sum(study.class_sizes) != study.total:
        yield (f"its classes hold {sum(study.class_sizes):,} images, but total is {study.total:,}")
    yield from _differ(
        "the length of class_sizes", len(study.class_sizes), "data.classes", study.data["classes"]
    )
    yield from _differ("total", study.total, "data.images", _images(study, study.split))
    yield from _contradictions_of_images(study, study.split)
    yield from _differ("train_total", study.train_total, "data.images", _images(study, "train"))
    yield from _differ(
        "the length of lr_by_epoch", study.epochs, "recipe.epochs", study.recipe["epochs"]
    )
    yield from _contradictions_of_lr(study.recipe, study.lr_by_epoch)
    yield from _contradictions_of_backend(study.recipe, study.precision, study.backend)
    if study.chosen_by is not None:
        yield from contradictions_of_digest("chosen_by.sha256", study.chosen_by["sha256"])
        if study.chosen_by["number"] < 1:
            yield "chosen_by.number is 0, but at least one trial was needed to choose"
    for seed in study.seeds:
        yield from (f"seed {seed.seed} {text}" for text in _contradictions_of_seed(seed, study))


def _contradictions_of_experiment(
    config: ExperimentConfig,
    cost: Mapping[str, Any],
    summary: Mapping[str, Any],
    receptive_field: Mapping[str, Any],
) -> Iterator[str]:
    """Yield contradictions in what a run and a study have in common."""
    if not config.name or not config.net:
        yield "its name or net is empty"
    yield from contradictions_of_net(cost, summary, receptive_field)
    yield from _differ("summary.input", summary["input"], "data.shape", config.data["shape"])
    source = "recipe" if "random_starts" in config.recipe else "recipe.epochs"
    yield from _differ("cost.epochs", cost["epochs"], source, count_epochs(config.recipe))
    if ("training_parameters" in cost) == (config.recipe.get("train_as", "net") == "net"):
        yield "cost.training_parameters and recipe.train_as do not belong together"
    if config.recipe.get("teacher", "") != cost.get("teacher", {"net": ""})["net"]:
        yield "cost.teacher and recipe.teacher do not belong together"
    yield from contradictions_of_data(config.data)
    for name in ("initial_weights_digest", "source_digest"):
        if digest := getattr(config, name):
            yield from contradictions_of_digest(name, digest)


def _contradictions_of_epochs(run: Run) -> Iterator[str]:
    if not run.epochs:
        yield "it has no epochs"
        return
    n, last, best = len(run.epochs), run.epochs[-1], run.best_epoch
    yield from _differ("recipe.epochs", run.recipe["epochs"], "epochs", n, " entries")
    for number, epoch in enumerate(run.epochs, start=1):
        yield from _differ(f"epochs[{number - 1}].epoch", epoch.epoch, "its place", number)
        yield from _contradictions_of_epoch(run, epoch)
    counted = (run.last_epoch.epoch, run.last_epoch.score)
    yield from _differ("last_epoch", _score_text(*counted), "the last of epochs", _epoch_text(last))
    highest = max(run.epochs, key=lambda epoch: epoch.held_out.correct)
    yield from _differ(
        "best_epoch",
        _score_text(best.epoch, best.score),
        "the best of epochs",
        _epoch_text(highest),
    )
    yield from _contradictions_of_lr(run.recipe, [epoch.lr for epoch in run.epochs])


def _contradictions_of_epoch(run: Run, epoch: Epoch) -> Iterator[str]:
    where = f"epochs[{epoch.epoch - 1}]"
    for name, score, split, total in (
        ("train", epoch.train, run.train_score.split, run.train_score.total),
        ("held_out", epoch.held_out, run.last_epoch.split, run.last_epoch.total),
    ):
        found, expected = (score.split, score.total), (split, total)
        other = "train_score" if name == "train" else "last_epoch"
        yield from _differ(f"{where}.{name}", _split_text(*found), other, _split_text(*expected))
        yield from _contradictions_of_count(f"{where}.{name}.correct", score.correct, score.total)


def _contradictions_of_lr(recipe: Mapping[str, Any], rates: Sequence[float]) -> Iterator[str]:
    highest = max(rates, default=0)
    if highest > recipe["peak_lr"] * (1 + 1e-9):
        yield (
            f"an epoch's learning rate is {highest:g}, but recipe.peak_lr is {recipe['peak_lr']:g}"
        )


def _contradictions_of_confusion(run: Run) -> Iterator[str]:
    classes = run.data["classes"]
    sizes = {len(run.confusion), *map(len, run.confusion)}
    if sizes != {classes}:
        yield f"confusion is not {classes} x {classes}, but data has {classes} classes"
        return
    total, right = sum(map(sum, run.confusion)), sum(row[k] for k, row in enumerate(run.confusion))
    yield from _differ("confusion", total, "last_epoch.total", run.last_epoch.total, " images")
    yield from _differ(
        "the diagonal of confusion", right, "last_epoch.correct", run.last_epoch.correct, " images"
    )
    counted = Counter((mistake.label, mistake.predicted) for mistake in run.mistakes)
    for label, row in enumerate(run.confusion):
        for predicted, images in enumerate(row):
            if label != predicted:
                yield from _differ(
                    f"confusion[{label}][{predicted}]",
                    images,
                    "mistakes",
                    counted[label, predicted],
                )


def _contradictions_of_verdict(run: Run) -> Iterator[str]:
    found = run.verdict
    if run.budget is None or found is None:
        if (run.budget is None) != (found is None):
            yield "it has a verdict without a budget, or a budget without a verdict"
        return
    scores = [epoch.held_out for epoch in run.epochs]
    judged = budget_from_json(run.budget).judge(
        cost_from_json(run.cost),
        Outcome(scores, run.data["name"]),
        batch_size=run.recipe["batch_size"],
    )
    yield from _differ("verdict", found.state, "the budget, judged again,", judged.state)
    yield from _differ("verdict.budget", found.budget, "budget.name", judged.budget)
    yield from _differ(
        "verdict.withheld", found.withheld, "the budget, judged again,", judged.withheld
    )
    rules = [rule.rule for rule in judged.results]
    yield from _differ("verdict.results", [r.rule for r in found.results], "the budget", rules)
    for mine, anew in zip(found.results, judged.results, strict=False):
        # Earlier versions did not store the words of the budget.
        for name in (*_RESULT_FIELDS, *(("words",) if mine.words else ())):
            both = [getattr(mine, name), getattr(anew, name)]
            if name in ("limit", "found"):  # version 0.1 wrote 99.4 %, and "of" for "on mnist"
                both = [text.replace(" %", "%").replace("% of ", "% on ") for text in both]
            where = f"verdict on {mine.rule}: {name}"
            yield from _differ(where, both[0], "the budget, judged again,", both[1])


def _contradictions_of_process(run: Run) -> Iterator[str]:
    """Yield contradictions in what a run says of how it was computed."""
    n, times = len(run.epochs), run.times
    for name in ("train_s", "score_s"):
        seconds = sum(getattr(epoch, name) for epoch in run.epochs)
        if not math.isclose(times[name], seconds, rel_tol=1e-6, abs_tol=1e-6):
            yield f"times.{name} is {times[name]:g}, but its epochs took {seconds:g}"
    if times["total_s"] < (times["train_s"] + times["score_s"]) * (1 - 1e-6):
        yield f"times.total_s is {times['total_s']:g}, less than training and scoring took"
    yield from _contradictions_of_backend(run.recipe, run.precision, run.backend)
    yield from contradictions_of_digest("weights_digest", run.weights_digest)
    if bool(run.source_path) != bool(run.source_digest):
        yield "source_path and source_digest do not both say where the net comes from"
    if run.source_cell and not run.source_path:
        yield f"source_cell is {run.source_cell}, but source_path names no file"
    try:
        dated = datetime.fromisoformat(run.started_at).tzinfo is not None
    except ValueError:
        dated = False
    if not dated:
        yield f"started_at is {shorten(run.started_at)}, not a date and time with a time zone"
    starts, ends = (
        [getattr(one, name) for one in run.stretches] for name in ("first_epoch", "last_epoch")
    )
    covered = starts == [1, *(end + 1 for end in ends[:-1])] and ends[-1:] == [n]
    if not covered or any(first > last for first, last in zip(starts, ends, strict=True)):
        yield f"stretches do not cover epochs 1 to {n}, one after the other"
        return
    if (
        list(run.resumed_after) != sorted(run.resumed_after)
        or max(run.resumed_after, default=0) > n
    ):
        yield f"resumed_after is {list(run.resumed_after)}, which are not epochs in order"
    resumed = sorted({end for end in run.resumed_after if 0 < end < n})
    yield from _differ("the ends of stretches", ends[:-1], "resumed_after", resumed)
    last = run.stretches[-1]
    yield from _differ("backend", run.backend, "the last of stretches", last.backend)
    if last.environment != run.environment:
        yield "environment is not that of the last of stretches"


def _contradictions_of_backend(
    recipe: Mapping[str, Any], precision: str, backend: str
) -> Iterator[str]:
    wanted: Recipe = recipe_from_json(recipe)
    if precision not in ("float32", "bf16") or wanted.precision not in ("auto", precision):
        yield f"precision is {shorten(precision)}, but recipe.precision is {wanted.precision}"
    if backend not in _BACKENDS:
        yield f"backend is {shorten(backend)}, which is none of {', '.join(_BACKENDS)}"
    if wanted.backend == "eager" != backend:
        yield f"backend is {shorten(backend)}, but recipe.backend is {wanted.backend}"


def _contradictions_of_seed(seed: SeedResult, study: Study) -> Iterator[str]:
    yield from contradictions_of_errors(
        seed.correct, study.total, len(study.class_sizes), seed.mistakes, seed.calibration
    )
    wrong = Counter(mistake.label for mistake in seed.mistakes)
    if any(wrong[k] > size for k, size in enumerate(study.class_sizes)):
        yield "has more mistakes in a class than the class has images"
    curves = ("correct_by_epoch", "train_correct_by_epoch", "train_losses", "held_out_losses")
    lengths = {len(getattr(seed, name)) for name in curves}
    if lengths != {study.epochs} or seed.correct_by_epoch[-1] != seed.correct:
        yield "has epochs that do not end in its result"
        return
    if any(correct > study.total for correct in seed.correct_by_epoch):
        yield "has an epoch with more correct images than there are"
    train = (*seed.train_correct_by_epoch, seed.train_correct)
    if any(correct > study.train_total for correct in train):
        yield "has more correct training images than there are"
    if seed.total_s < seed.train_s * (1 - 1e-3):
        yield f"has total_s {seed.total_s:g}, but training alone took {seed.train_s:g}"
    yield from contradictions_of_seed_weights(seed, study)
    yield from contradictions_of_machines(seed, study)
    state = ""
    if study.budget is not None:
        scores = [Score(study.split, correct, study.total) for correct in seed.correct_by_epoch]
        outcome = Outcome(scores, study.data["name"])
        cost, batch_size = cost_from_json(study.cost), study.recipe["batch_size"]
        budget = budget_from_json(study.budget)
        state = budget.judge(cost, outcome, batch_size=batch_size).state
    if seed.verdict != state:
        yield f"has verdict {seed.verdict!r}, but its budget, judged again, gives {state!r}"


def _contradictions_of_count(name: str, correct: int, total: int) -> Iterator[str]:
    if correct > total:
        yield f"{name} is {correct:,}, but there are {total:,} images"


def _contradictions_of_images(config: ExperimentConfig, split: str) -> Iterator[str]:
    if split == "train":
        yield "its score is of train, but the images that give the score are held out of training"
    elif config.data["images"].keys() != {"train", split}:
        yield f"data.images has other splits than train and {shorten(split)}"


def _images(config: ExperimentConfig, split: str) -> int | None:
    return config.data["images"].get(split)


def _differ(
    name: str, found: object, other: str, expected: object, unit: str = ""
) -> Iterator[str]:
    if found != expected:
        yield f"{name} is {_show(found)}, but {other} gives {_show(expected)}{unit}"


def _show(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return shorten(value) if value is not None else "nothing"


def _split_text(split: str, total: int) -> str:
    return f"{total:,} images of {split}"


def _score_text(epoch: int, score: Score) -> str:
    return f"epoch {epoch}, {score.correct:,} of {score.total:,} {score.split}"


def _epoch_text(epoch: Epoch) -> str:
    return _score_text(epoch.epoch, epoch.held_out)
