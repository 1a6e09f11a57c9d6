"""The tables of docs/techniques.md, from the recorded comparisons under results/trials/."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from netlet.experiments.search.comparison import ArmRuns, Comparison
from netlet.experiments.search.contrasts import ArmResult, Difference, compare_arms
from netlet.experiments.search.fitting import Images
from netlet.experiments.search.space_file import load_search
from netlet.experiments.search.train_command import list_settings
from netlet.experiments.search.trials import read_results
from netlet.recipes import AUGMENTS, Warp
from netlet.report.markdown import inline_code, markdown_table
from netlet.stats.seeds import confidence_half_width
from netlet.text import count_noun
from tools.records import RESULTS, ROOT

# Each is complete once it has led to a choice: the studies of what was chosen record its digest.
SMALL = RESULTS / "trials" / "ascent"
LARGE = tuple(RESULTS / "trials" / name for name in ("ascent_large", "ascent_middle"))
FOLDERS = (SMALL, *LARGE)
_MNIST = Images((1, 28, 28), 10)
# What the title or a name of a comparison does not say by itself; its file is complete.
_NOTES = {
    "under_800_layers": "The layers are written in `results/trials/ascent/own_layers.py`, since "
    "the one-line notation has no words for them.",
}
_BEFORE = "as before"  # an arm: the net and the recipe that were used before the comparison
_FEWEST_RUNS = 6  # of an arm, for its interval to say something


@dataclass(frozen=True)
class Compared:
    """A comparison and what its trials have led to.

    Attributes:
        path: Its TOML file.
        comparison: The arms.
        trials: The number of recorded trials.
        arms: The results of the arms that have run.
        lines: The finished trials of each arm, by its name.
    """

    path: Path
    comparison: Comparison
    trials: int
    arms: list[ArmResult]
    lines: Mapping[str, Sequence[Mapping[str, Any]]]


@functools.cache  # several tables are drawn from them, and reading takes seconds
def read_comparisons() -> tuple[Compared, ...]:
    """Return each comparison that has trials, those of the smallest nets first."""
    return tuple(_read_comparisons())


def _read_comparisons() -> Iterator[Compared]:
    for path, comparison in sorted(iterate_comparisons(), key=_sort_by_limit):
        lines = read_results(path.with_suffix(".jsonl"))
        comparison = _with_recorded_nets(comparison, lines)
        runs = ArmRuns(comparison, _MNIST, lines[0]["data_digest"], lines)
        if not runs.lines[comparison.baseline]:
            continue
        arms = compare_arms(comparison, runs)
        by_arm = {arm: list(by_seed.values()) for arm, by_seed in runs.lines.items()}
        yield Compared(path, comparison, len(lines), arms, by_arm)


def iterate_comparisons() -> Iterator[tuple[Path, Comparison]]:
    """Yield the file of each comparison that has trials, and its arms."""
    for path in (path for folder in FOLDERS for path in folder.glob("*.toml")):
        if path.with_suffix(".jsonl").exists():
            comparison = load_search(path)
            assert isinstance(comparison, Comparison), path
            yield path, comparison


def _with_recorded_nets(comparison: Comparison, lines: Sequence[Mapping[str, Any]]) -> Comparison:
    """Return a comparison with the recorded net of each arm in place of its shape.

    To widen all shapes again would take half a minute; a slow test does, and compares the nets.
    """
    nets = {line["arm"]: line["net"] for line in lines}
    arms = tuple(
        dataclasses.replace(arm, net=nets.get(arm.name, arm.shape), shape="") if arm.shape else arm
        for arm in comparison.arms
    )
    return dataclasses.replace(comparison, arms=arms)


def _sort_by_limit(found: tuple[Path, Comparison]) -> tuple[int, Path]:
    path, comparison = found
    assert comparison.budget is not None
    assert comparison.budget.params_below is not None
    return comparison.budget.params_below, path


def count_trials() -> int:
    """Return how many trials the comparisons have recorded."""
    return sum(len(read_results(path)) for folder in FOLDERS for path in folder.glob("*.jsonl"))


def draw_comparisons() -> str:
    """Return a section for each comparison: its title, its arms, and how to run it again."""
    return "\n\n".join(map(_draw_comparison, read_comparisons()))


def _draw_comparison(found: Compared) -> str:
    path = found.path.relative_to(ROOT)
    recipe = found.comparison.arms[0]
    tables = [_draw_arms(found, taught=False)]
    if any(arm.teacher for arm in found.arms):  # never beside nets that were trained without one
        tables.append(f"With a teacher:\n\n{_draw_arms(found, taught=True)}")
    text = "\n\n".join(tables)
    before = ", the net and recipe that were used before this comparison"
    baseline = found.comparison.baseline
    note = _NOTES.get(found.path.stem, "")
    return (
        f"### {found.comparison.title}\n\n"
        f"{inline_code(str(path))}: {count_noun(found.trials, 'trial')}; recipe "
        f"{inline_code(recipe.recipe)}, {recipe.epochs} epochs. {_describe_state(found)}"
        f"Differences are to *{baseline}*{before if baseline == _BEFORE else ''}."
        f"{' ' if note else ''}{note}\n\n{text}"
    )


def _name_arm(found: Compared, name: str) -> str:
    """Return the name of an arm outside of its comparison: *as before* says nothing there."""
    if name != _BEFORE:
        return name
    (arm,) = (arm for arm in found.comparison.arms if arm.name == name)
    changes = _list_changes(arm.changes, None)
    return inline_code(arm.net) + (f" with {changes}" if arm.changes else "")


def _describe_state(found: Compared) -> str:
    """Return sentences about what is missing in a comparison."""
    runs, planned = max(found.arms, key=lambda arm: arm.percent).runs, found.comparison.runs[-1]
    have_run = {arm.name for arm in found.arms}
    rest = [arm.name for arm in found.comparison.arms if arm.name not in have_run]
    text = f"The best arm has {runs} of {planned} runs. " if runs < planned else ""
    return text + (f"Not run yet: *{'*, *'.join(rest)}*. " if rest else "")


def _draw_arms(found: Compared, *, taught: bool) -> str:
    """Return the table of the arms with a teacher, or of those without one."""
    arms = found.comparison.arms
    epochs = {arm.name: arm.epochs for arm in arms if arm.epochs != arms[0].epochs}
    changes = {arm.name: _list_changes(arm.changes, epochs.get(arm.name)) for arm in arms}
    rows = [
        [
            arm.name,
            inline_code(arm.net),
            *([arm.teacher] if taught else []),
            changes[arm.name],
            f"{arm.parameters:,}",
            f"{arm.runs} (dropped)" if arm.dropped_after else f"{arm.runs}",
            f"{arm.percent:.3f}%",
            _show(arm.points, arm.runs, 3),
            _show(arm.nll_difference, arm.runs, 5),
        ]
        for arm in sorted(found.arms, key=lambda arm: -arm.percent)
        if bool(arm.teacher) is taught
    ]
    head = (
        *("arm", "net", *(["teacher"] if taught else [])),
        *("changes of the recipe", "parameters", "runs", "val accuracy"),
        *("difference in points", "difference in NLL"),
    )
    return markdown_table(head, rows, "l" * (len(head) - 5) + "rrrrr")


def _list_changes(changes: Mapping[str, Any], epochs: int | None) -> str:
    """Return the changes of the recipe, and the epochs unless they are those of all arms."""
    if epochs is not None:
        changes = {"epochs": epochs} | dict(changes)
    settings = list_settings(changes)
    if settings is None:
        settings = [f"{name}={json.dumps(value)}" for name, value in changes.items()]
    return ", ".join(map(inline_code, settings)) or "-"


def _show(difference: Difference | None, runs: int, digits: int) -> str:
    """Return a difference with its interval, in bold if that excludes 0."""
    if difference is None:
        return "baseline"
    if difference.half_width is None or runs < _FEWEST_RUNS:
        return f"{difference.mean:+.{digits}f}"
    shown = f"{difference.mean:+.{digits}f} ± {difference.half_width:.{digits}f}"
    return f"**{shown}**" if difference.is_significant else shown


def draw_conclusions() -> str:
    """Return the techniques with a difference whose interval excludes 0, and the others."""
    better, worse, unclear = (
        "More accurate than the baseline, in one score at least:",
        "Less accurate:",
        "No clear difference:",
    )
    groups: dict[str, list[list[str]]] = {better: [], worse: [], unclear: []}
    for found in read_comparisons():
        for arm in found.arms:
            if arm.points is None or arm.nll_difference is None or arm.runs < _FEWEST_RUNS:
                continue
            clear = arm.points.is_significant or arm.nll_difference.is_significant
            gains = better if arm.points.mean > 0 else worse
            row = [
                arm.name,
                found.comparison.title,
                _name_arm(found, found.comparison.baseline),
                f"{arm.runs}",
                _show(arm.points, arm.runs, 3),
                _show(arm.nll_difference, arm.runs, 5),
            ]
            groups[gains if clear else unclear].append(row)
    head = (
        *("technique", "comparison", "baseline"),
        *("runs", "difference in points", "difference in NLL"),
    )
    count = sum(map(len, groups.values()))
    caution = (
        f"These are {count_noun(count, 'arm')} with two intervals each. If no technique had an "
        f"effect, about {round(2 * count / 20)} of the {2 * count} intervals would still exclude "
        "0, and none of these arms has been run again with other seeds."
    )
    return (
        caution
        + "\n\n"
        + "\n\n".join(
            f"{text}\n\n{markdown_table(head, rows, 'lllrrr')}"
            for text, rows in groups.items()
            if rows
        )
    )


def draw_sharpness() -> str:
    """Return which of the two scores tells arms from their baseline more clearly."""
    pairs = [
        (arm.points, arm.nll_difference)
        for found in read_comparisons()
        for arm in found.arms
        if arm.points and arm.nll_difference and arm.runs >= _FEWEST_RUNS
    ]
    if not pairs:
        return "No arm has run often enough yet."
    accuracy, nll = ([_sharpness(pair[which]) for pair in pairs] for which in (0, 1))
    agree = sum(points.mean * -loss.mean > 0 for points, loss in pairs)
    rows = [
        [name, f"{median(values):.2f}", f"{fmean(values):.2f}", f"{sum(v > 1 for v in values)}"]
        for name, values in (("accuracy", accuracy), ("calibrated, clipped NLL", nll))
    ]
    head = ("score", "median", "mean", "arms whose interval excludes 0")
    return (
        f"{markdown_table(head, rows, 'lrrr')}\n\n"
        f"Over {count_noun(len(pairs), 'arm')} with {_FEWEST_RUNS} or more runs. In {agree} of "
        "them both scores prefer the same side. By the median, the NLL is "
        f"{median(nll) / median(accuracy):.2f} times as sharp as accuracy."
    )


def _sharpness(difference: Difference) -> float:
    """Return a difference in units of half its interval."""
    assert difference.half_width
    return abs(difference.mean) / difference.half_width


def draw_choices_by_training() -> str:
    """Return what choosing by the training images among the runs of each fold would have given."""
    rows = []
    for found in read_comparisons():
        for arm, lines in found.lines.items():
            by_fold: dict[int, list[Mapping[str, Any]]] = {}
            for line in lines:
                by_fold.setdefault(line["fold"], []).append(line)
            each = {len(runs) for runs in by_fold.values()}
            if len(by_fold) < found.comparison.folds or len(each) > 1 or each == {1}:
                continue
            best = [max(runs, key=lambda line: line["train_correct"]) for runs in by_fold.values()]
            gains = [
                _mean_percent([chosen]) - _mean_percent(runs)
                for chosen, runs in zip(best, by_fold.values(), strict=True)
            ]
            rows.append(
                [
                    _name_arm(found, arm),
                    found.comparison.title,
                    f"{each.pop()}",
                    f"{_mean_percent(lines):.3f}%",
                    f"{_mean_percent(best):.3f}%",
                    _show(Difference(fmean(gains), confidence_half_width(gains)), len(gains), 3),
                ]
            )
    head = (
        *("arm", "comparison", "runs on each fold", "mean of all"),
        *("mean of the chosen runs", "gain in points"),
    )
    return markdown_table(head, rows, "llrrrr")


def _mean_percent(lines: Sequence[Mapping[str, Any]]) -> float:
    return fmean(100 * line["correct"] / line["total"] for line in lines)


def draw_trial_count() -> str:
    """Return the number of trials in a sentence."""
    return f"So far, {count_noun(count_trials(), 'trial')} of comparisons are recorded."


def draw_augmentations() -> str:
    """Return the strengths of each augmentation that has a name."""
    rows = [
        [
            f"`{name}`",
            " and ".join(f"±{warp.rotate_deg:g}°" for warp in warps) or "-",
            *(
                _strength(warps, field, unit)
                for field, unit in (
                    ("shift_px", " px"),
                    ("scale", ""),
                    ("shear_deg", "°"),
                    ("elastic_px", " px"),
                )
            ),
        ]
        for name, warps in AUGMENTS.items()
    ]
    head = ("name", "rotation", "shift", "change of size", "shear", "elastic deformation")
    return markdown_table(head, rows, "llllll")


def _strength(warps: Sequence[Warp], field: str, unit: str) -> str:
    """Return a strength of an augmentation, which at most one of its transforms has."""
    values = [value for warp in warps if (value := getattr(warp, field))]
    if not values:
        return "-"
    (value,) = values
    if field == "scale":
        return f"±{100 * value:g}%"
    return f"{value:g}{unit} (sd)" if field == "elastic_px" else f"±{value:g}{unit}"


TABLES: dict[str, Callable[[], str]] = {
    "augmentations": draw_augmentations,
    "techniques": draw_comparisons,
    "techniques_choices": draw_choices_by_training,
    "techniques_conclusions": draw_conclusions,
    "techniques_sharpness": draw_sharpness,
    "techniques_trials": draw_trial_count,
}
