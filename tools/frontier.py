"""docs/frontier.md: what was asked, what is measured, and the trials that led there."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from netlet import stats
from netlet.experiments import EXPERIMENTS
from netlet.experiments.search.trials import read_results
from netlet.recipes import AUGMENTS, STEADY, complete_recipe
from netlet.records import to_json_value
from netlet.report import Page, command_for, frontier_page
from netlet.report.markdown import inline_code, markdown_table, shell_block
from tools.records import RESULTS, all_studies, recorded_study

TRIALS = RESULTS / "trials" / "frontier.jsonl"
# Experiment, what it is, its limits in words, and the mean that its net has to reach.
ASKED = (
    ("mnistnet_2", "below 8,000 parameters, 15 epochs", "99.55 %", "99.65 %"),
    ("mnistnet_3", "the smallest at 99.40 %, 20 epochs", "3,700 parameters", "2,000 parameters"),
    ("crest", "below 20,000 parameters, 19 epochs", "99.62 %", "99.72 %"),
    ("speck", "the smallest at 99.00 %, 20 epochs", "1,900 parameters", "800 parameters"),
)
_FIELDS = (
    "optimizer",
    "peak_lr",
    "batch",
    "augment",
    "label_smoothing",
    "weight_decay",
    "averaging",
    "ema_decay",
    "peak_at",
    "precision",
)


def draw_frontier() -> Page:
    """The whole page."""
    ours = [study for name, study in all_studies().items() if name in EXPERIMENTS]
    drawn = frontier_page([*stats.measured_points(ours), *stats.PUBLISHED_POINTS])
    tried = trials()
    text = f"""\
Means over seeds of accuracy on MNIST's 10,000 test images after the last epoch: one net, one look at each image. Nets
and recipes were chosen on images held out of `train`, and committed before `test` was scored, with seeds that no trial
had used. `netlet frontier` prints this table for any records; the weights of each median seed come with the package.

## What was asked, and what is measured

{_asked()}

{_commands()}

## Accuracy against parameters

{drawn.text}

## What helped, and what did not

{len(tried):,} trials, each scored on 10,000 images held out of `train` with the other 50,000 to learn from
(`results/trials/frontier.jsonl`; `python -m search frontier --repeat LINE` does one again). Ten thousand images tell
two nets at 99.5 % apart by 0.1 points at best, and one seed differs from the next by 0.05: most of what follows is a
hint. Of the lines, {sum(line["commit"] is None for line in tried)} name no commit: they were run while the sources were
being written. Those by AdamW without elastic maps should come out the same again (line 5 does); those by Muon or SOAP
differ in their last bits, and those with elastic maps drew these in another order.

### One thing changed, all else the same

Differences in images of 10,000, over pairs of trials that share net, seed, images and every other value; *t* is the
mean over its standard error, and below 2 may be chance.

{_pairs(tried)}

### One net beside another

By the same recipe, seed and images: how many more of them the second net has right, and by how much its loss differs.

{_beside(tried)}

### Many things at once

{_main_effects(tried)}

### Shapes

Nets by one recipe, smallest first.

{_shapes(tried)}

### What is not known

Not tried: blocks that share weights, squeeze-and-excite, learned or blurred pooling, activations other than ReLU,
residual branches, training wide and folding, distillation. Nothing here is averaged over nets, and no image is looked
at twice.
"""
    return Page("The frontier", text, drawn.pictures)


def trials() -> list[dict[str, Any]]:
    """The recorded trials, each with its whole recipe under ``whole``."""
    return [
        line | {"whole": complete_recipe(to_json_value(STEADY) | line["changes"])}
        for line in read_results(TRIALS)
    ]


def _asked() -> str:
    """What was asked, and what the studies came to."""
    rows = []
    for name, limit, must, goal in ASKED:
        study = recorded_study(name)
        interval, by = stats.interval_over_seeds(study), study.chosen_by
        assert interval is not None
        assert by is not None
        seeds = study.seeds
        rows.append(
            [
                inline_code(name),
                limit,
                must,
                goal,
                f"{study.cost['parameters']:,}",
                f"**{stats.mean_percent(study):.3f} %** ({interval[0]:.3f} to {interval[1]:.3f})",
                f"{min(seed.correct for seed in seeds):,} to {max(seed.correct for seed in seeds):,}",
                f"{len(seeds)}: {seeds[0].seed} to {seeds[-1].seed}",
                f"{by['number']:,}",
            ]
        )
    head = (
        "experiment",
        "limits",
        "must",
        "goal",
        "parameters",
        "mean (95 % interval)",
        "lowest to highest",
        "seeds",
        "trials before",
    )
    return markdown_table(head, rows, "llrrrrrrr")


def _commands() -> str:
    said = [
        f"{inline_code(study.name)} by the sources of commit {inline_code(str(study.environment.get('commit')))}:\n\n"
        f"{shell_block(command_for(study) or '')}"
        for study in (recorded_study(name) for name, *_ in ASKED)
    ]
    return "\n\n".join(said)


def _pairs(lines: Sequence[Mapping[str, Any]]) -> str:
    """Trials that differ in one value of the recipe only."""
    alike: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        for field in _FIELDS:
            rest = {name: value for name, value in line["whole"].items() if name != field}
            key = json.dumps([field, line["net"], line["seed"], line["draw"], rest], sort_keys=True)
            alike[key].append(line)
    found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for key, group in alike.items():
        field = json.loads(key)[0]
        for i, one in enumerate(group):
            for other in group[i + 1 :]:
                first, second = sorted((one, other), key=lambda line: _said(line["whole"][field]))
                if _said(first["whole"][field]) != _said(second["whole"][field]):
                    change = (field, _said(first["whole"][field]), _said(second["whole"][field]))
                    found[change].append(
                        {"difference": second["correct"] - first["correct"], "net": first["net"]}
                    )
    rows = [
        [
            field,
            old,
            new,
            f"{len(pairs)}",
            f"{statistics.mean(p['difference'] for p in pairs):+.1f}",
            _t([p["difference"] for p in pairs]),
            ", ".join(inline_code(net) for net in sorted({p["net"] for p in pairs})),
        ]
        for (field, old, new), pairs in sorted(found.items())
    ]
    return markdown_table(("what", "from", "to", "pairs", "images", "t", "nets"), rows, "lllrrrl")


# What each pair is to show, and the nets of it; they cost about the same, unless it says otherwise.
_BESIDE = (
    (
        "padded with two poolings, and unpadded with one",
        "6p P 8p 8p 8p P 8p 8p 8p 8p",
        "8 P 8 10 10 12",
    ),
    ("one convolution at full resolution, and two", "8 P 8 10 10 13", "6 5 P 8 10 11 11"),
    (
        "padded and deep, and less deep without padding",
        "4p 4p 4p P 8p 8p 8p P 8p 8p 8p",
        "6 5 P 8 10 11 11",
    ),
    ("two at full resolution, and three", "8 9 P 12 14 16 17", "8 8 8 P 13 13 15 16"),
    ("three at full resolution, and four", "8 8 8 P 13 13 15 16", "8 8 8 8 P 13 13 14 14"),
    ("plain, and separable", "8 9 P 12 14 16 17", "15 d26 d30 P d36 d42 d45"),
    ("plain, and separable", "4 4 P 6 6 8 8", "6 d9 d11 P d14 d16 d17"),
    ("plain, and separable with fewer parameters", "6 5 P 8 10 11 11", "9 d15 d18 P d21 d24 d27"),
    (
        "separable, and with norm and ReLU inside too",
        "6 d9 d11 P d14 d16 d17",
        "6 m9 m10 P m13 m15 m15",
    ),
    ("separable, and deeper", "6 d9 d11 P d14 d16 d17", "5 d8 d8 d10 P d10 d12 d13 d14"),
    ("separable, and with some 5x5 windows", "6 d9 d11 P d14 d16 d17", "6 d9k5 d11 P d14k5 d16"),
)


def _beside(lines: Sequence[Mapping[str, Any]]) -> str:
    """Pairs of nets by one recipe, seed and draw of images."""
    found: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for line in lines:
        key = json.dumps([line["seed"], line["draw"], line["whole"]], sort_keys=True)
        found[line["net"]].setdefault(key, line)
    rows = []
    for said, one, other in _BESIDE:
        pairs = [
            (found[one][key], found[other][key]) for key in found[one].keys() & found[other].keys()
        ]
        if not pairs:
            continue
        images, losses = (
            [new[what] - old[what] for old, new in pairs] for what in ("correct", "loss")
        )
        rows.append(
            [
                said,
                f"{inline_code(one)} ({pairs[0][0]['parameters']:,})",
                f"{inline_code(other)} ({pairs[0][1]['parameters']:,})",
                str(len(pairs)),
                f"{statistics.mean(images):+.1f}",
                f"{statistics.mean(losses):+.4f}",
            ]
        )
    return markdown_table(
        ("what", "net (parameters)", "beside it", "pairs", "images of 10,000", "loss"),
        rows,
        "lllrrr",
    )


def _t(values: Sequence[float]) -> str:
    if len(values) < 2 or not (sd := statistics.stdev(values)):
        return "-"
    return f"{statistics.mean(values) / (sd / len(values) ** 0.5):.1f}"


def _main_effects(lines: Sequence[Mapping[str, Any]]) -> str:
    """Of the net with the most trials, most of whose recipes were drawn at random: each value's mean."""
    by_net: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        by_net[line["net"]].append(line)
    net, drawn = max(by_net.items(), key=lambda item: len(item[1]))
    rows = []
    for field in _FIELDS:
        if field == "peak_lr":
            continue  # drawn to suit optimizer and batch
        levels: dict[str, list[int]] = defaultdict(list)
        for line in drawn:
            levels[_said(line["whole"][field])].append(line["correct"])
        for value, correct in sorted(levels.items()):
            if len(levels) > 1 and len(correct) > 2:
                error = statistics.stdev(correct) / len(correct) ** 0.5
                rows.append(
                    [
                        field,
                        value,
                        str(len(correct)),
                        f"{statistics.mean(correct):,.1f} ± {error:.1f}",
                    ]
                )
    text = f"{inline_code(net)}, {len(drawn)} trials, most by recipes drawn at random; means with standard errors, of 10,000."
    return f"{text}\n\n{markdown_table(('what', 'value', 'trials', 'right'), rows, 'llrr')}"


def _shapes(lines: Sequence[Mapping[str, Any]]) -> str:
    """Nets tried by the same recipe, for each recipe that three or more were tried by."""
    by_recipe: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for line in lines:
        by_recipe[json.dumps(line["whole"], sort_keys=True)][line["net"]].append(line)
    rows = []
    for number, nets in enumerate((nets for nets in by_recipe.values() if len(nets) > 2), start=1):
        for net, tried in sorted(nets.items(), key=lambda item: item[1][0]["parameters"]):
            rows.append(
                [
                    str(number),
                    inline_code(net),
                    f"{tried[0]['parameters']:,}",
                    str(len(tried)),
                    f"{statistics.mean(line['correct'] for line in tried):,.1f}",
                    f"{statistics.mean(line['loss'] for line in tried):.4f}",
                    f"{100 * statistics.mean(line['train_correct'] for line in tried) / 50_000:.2f} %",
                ]
            )
    head = ("recipe", "net", "parameters", "trials", "right of 10,000", "loss", "right of train")
    return markdown_table(head, rows, "rlrrrrr")


def _said(value: Any) -> str:
    """A recipe's value in a word: an augmentation by its name and what bends it."""
    if not isinstance(value, list):
        return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    if not value:
        return "none"
    straight = [{**op, "elastic_px": 0.0} for op in value]
    names = (
        [name for name, ops in AUGMENTS.items() if [to_json_value(op) for op in ops] == straight]
        if len(value) == 1
        else []
    )
    bent = f", elastic {value[0]['elastic_px']:g} px" if value[0]["elastic_px"] else ""
    return f"{names[0] if names else 'other'}{bent}"


TABLES = {"frontier": _asked}
