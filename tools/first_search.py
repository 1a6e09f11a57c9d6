"""Draws what the trials of the first search show, for docs/frontier.md."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from netlet.experiments.search.trials import read_results
from netlet.recipes import AUGMENTS, STEADY, complete_recipe
from netlet.records import to_json_value
from netlet.report.markdown import inline_code, markdown_table
from tools.records import ROOT

FIRST_SEARCH = "results/trials/frontier.jsonl"  # as studies record it
TRIALS = ROOT / FIRST_SEARCH
_FIELDS = (
    "optimizer",
    "peak_lr",
    "batch_size",
    "augment",
    "label_smoothing",
    "weight_decay",
    "averaging",
    "ema_decay",
    "peak_at",
    "precision",
)


def draw_first_search(chosen: Sequence[str]) -> str:
    """Return the last section of the page: what the trials show.

    Args:
        chosen: The names of the nets that these trials led to.
    """
    tried = trials()
    uncommitted = sum(line["commit"] is None for line in tried)
    return f"""\
## The first search

{", ".join(map(inline_code, chosen))} were chosen from a first search of {len(tried):,} trials:
{_count_sizes(tried)}. Each trained on 50,000 images of `train` and was scored on the 10,000 images
held out (`{FIRST_SEARCH}`). There is no record of how these nets were chosen from the best
trials. Later trials compare nets and recipes over the same seeds:
[Techniques](techniques.md). To run a trial of the first search again:

```sh
netlet search mnistnet_2 --out {FIRST_SEARCH} --repeat LINE
```

(Any search space can stand in place of `mnistnet_2`: net and recipe are those of the line. These
lines have no digest of the weights: accuracy and loss are compared.)

Near 99.5%, the difference of two trials on 10,000 images has a standard error of 0.1 points if the
images differ, and two seeds of one net on the same images differ by 0.05 points, so most of what
follows is a hint. Nets are written in
the [one-line notation](notation.md).

For {uncommitted} trials no commit is recorded, because they ran with code that had not been
committed yet. Of these, trials with AdamW and without elastic augmentation can be reproduced
exactly (line 5, for instance). Trials with Muon or SOAP differ in their last bits, and trials with
elastic augmentation drew their deformations in another order.

### One change at a time

Differences in correct images of 10,000, over pairs of trials that share net, seed, images and
every other value of the recipe. *t* is the mean difference divided by its standard error; below 2
it may be chance.

{_draw_pairs(tried)}

### Pairs of nets

Both nets with the same recipe, seed and images: the second net's additional correct images, and
the difference in loss.

{_draw_comparisons(tried)}

### Many values at a time

{_draw_main_effects(tried)}

### Shapes

Nets with the same recipe, smallest first. The recipes are listed below the table.

{_draw_shapes(tried)}

### Not tried in this search

Squeeze-and-excitation, blurred pooling, activations other than ReLU, residual connections. Shared
blocks, weighted pooling, dense connections, CReLU, leaky ReLU and training in a wider net are
compared in [Techniques](techniques.md), as are other activation functions, nets without norms,
training as branches and distillation. No trial of this search averages several nets,
and none classifies an image more than once (no test-time augmentation)."""


def trials() -> list[dict[str, Any]]:
    """Return the recorded trials, each with its complete recipe under ``whole``."""
    return [
        line | {"whole": complete_recipe(to_json_value(STEADY) | line["changes"])}
        for line in read_results(TRIALS)
    ]


def _count_sizes(tried: Sequence[Mapping[str, Any]]) -> str:
    """Return how many trials there are up to each limit of the experiments."""
    limits, counts, low = (1_900, 3_700, 8_000, 20_000), [], 0
    for limit in limits:
        number = sum(low < line["parameters"] <= limit for line in tried)
        last = limit == limits[-1]
        sizes = f"{low + 1:,} to {limit:,}" if low else f"at most {limit:,}"
        counts.append(f"{number} with {f'more than {low:,}' if last else sizes}")
        low = limit
    return ", ".join(counts[:-1]) + f" and {counts[-1]} parameters"


def _draw_pairs(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of trials that differ in one value of the recipe only."""
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
                first, second = sorted(
                    (one, other), key=lambda line: _describe(line["whole"][field])
                )
                if _describe(first["whole"][field]) != _describe(second["whole"][field]):
                    change = (
                        field,
                        _describe(first["whole"][field]),
                        _describe(second["whole"][field]),
                    )
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
            _t_statistic([p["difference"] for p in pairs]),
            ", ".join(inline_code(net) for net in sorted({p["net"] for p in pairs})),
        ]
        for (field, old, new), pairs in sorted(found.items())
    ]
    return markdown_table(("field", "from", "to", "pairs", "images", "t", "nets"), rows, "lllrrrl")


# What each pair compares, and its nets, of about the same size unless it says otherwise.
_COMPARISONS = (
    (
        "padded with two poolings vs. unpadded with one",
        "6p P 8p 8p 8p P 8p 8p 8p 8p",
        "8 P 8 10 10 12",
    ),
    ("one convolution at full resolution vs. two", "8 P 8 10 10 13", "6 5 P 8 10 11 11"),
    (
        "padded and deep vs. less deep without padding",
        "4p 4p 4p P 8p 8p 8p P 8p 8p 8p",
        "6 5 P 8 10 11 11",
    ),
    ("two at full resolution vs. three", "8 9 P 12 14 16 17", "8 8 8 P 13 13 15 16"),
    ("three at full resolution vs. four", "8 8 8 P 13 13 15 16", "8 8 8 8 P 13 13 14 14"),
    ("standard convolutions vs. separable", "8 9 P 12 14 16 17", "15 d26 d30 P d36 d42 d45"),
    ("standard convolutions vs. separable", "4 4 P 6 6 8 8", "6 d9 d11 P d14 d16 d17"),
    (
        "standard convolutions vs. separable with fewer parameters",
        "6 5 P 8 10 11 11",
        "9 d15 d18 P d21 d24 d27",
    ),
    (
        "separable vs. with norm and ReLU inside too",
        "6 d9 d11 P d14 d16 d17",
        "6 m9 m10 P m13 m15 m15",
    ),
    ("separable vs. deeper", "6 d9 d11 P d14 d16 d17", "5 d8 d8 d10 P d10 d12 d13 d14"),
    ("separable vs. with some 5x5 windows", "6 d9 d11 P d14 d16 d17", "6 d9k5 d11 P d14k5 d16"),
)


def _draw_comparisons(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of pairs of nets with the same recipe, seed and held-out images."""
    found: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for line in lines:
        key = json.dumps([line["seed"], line["draw"], line["whole"]], sort_keys=True)
        found[line["net"]].setdefault(key, line)
    rows = []
    for label, one, other in _COMPARISONS:
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
                label,
                f"{inline_code(one)} ({pairs[0][0]['parameters']:,})",
                f"{inline_code(other)} ({pairs[0][1]['parameters']:,})",
                str(len(pairs)),
                f"{statistics.mean(images):+.1f}",
                f"{statistics.mean(losses):+.4f}",
            ]
        )
    return markdown_table(
        ("comparison", "first net (parameters)", "second net", "pairs", "images of 10,000", "loss"),
        rows,
        "lllrrr",
    )


def _t_statistic(values: Sequence[float]) -> str:
    if len(values) < 2 or not (sd := statistics.stdev(values)):
        return "-"
    return f"{statistics.mean(values) / (sd / len(values) ** 0.5):.1f}"


def _draw_main_effects(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the mean of each value, over the trials of the net with most trials."""
    by_net: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        by_net[line["net"]].append(line)
    net, drawn = max(by_net.items(), key=lambda item: len(item[1]))
    rows = []
    for field in _FIELDS:
        if field == "peak_lr":
            continue  # chosen to suit the optimizer and the batch size
        levels: dict[str, list[int]] = defaultdict(list)
        for line in drawn:
            levels[_describe(line["whole"][field])].append(line["correct"])
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
    text = (
        f"{inline_code(net)}, {len(drawn)} trials, most of them with random recipes;"
        " mean correct images of 10,000 with standard errors. Values with fewer than three"
        " trials are left out."
    )
    return f"{text}\n\n{markdown_table(('field', 'value', 'trials', 'correct'), rows, 'llrr')}"


def _draw_shapes(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of nets with the same recipe, for recipes that three or more nets share."""
    by_recipe: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for line in lines:
        by_recipe[json.dumps(line["whole"], sort_keys=True)][line["net"]].append(line)
    rows = []
    shared = {recipe: nets for recipe, nets in by_recipe.items() if len(nets) > 2}
    for number, nets in enumerate(shared.values(), start=1):
        for net, tried in sorted(nets.items(), key=lambda item: item[1][0]["parameters"]):
            rows.append(
                [
                    str(number),
                    inline_code(net),
                    f"{tried[0]['parameters']:,}",
                    str(len(tried)),
                    f"{statistics.mean(line['correct'] for line in tried):,.1f}",
                    f"{statistics.mean(line['loss'] for line in tried):.4f}",
                    f"{statistics.mean(line['train_correct'] for line in tried) / 500:.2f}%",
                ]
            )
    head = ("recipe", "net", "parameters", "trials", "correct of 10,000", "loss", "train accuracy")
    recipes = (
        f"- Recipe {number}: `steady` with {_describe_recipe(json.loads(recipe))}"
        for number, recipe in enumerate(shared, start=1)
    )
    return f"{markdown_table(head, rows, 'rlrrrrr')}\n\n{chr(10).join(recipes)}"


def _describe_recipe(whole: Mapping[str, Any]) -> str:
    """Return the fields in which a recipe differs from ``steady``."""
    steady = complete_recipe(to_json_value(STEADY))
    return ", ".join(
        f"{field} {_describe(value)}"
        for field, value in whole.items()
        if field not in ("name", "about") and value != steady[field]
    )


def _describe(value: Any) -> str:
    """Return a recipe's value in a word or two; an augmentation by its name."""
    if not isinstance(value, list):
        return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    if not value:
        return "none"
    affine = [{**op, "elastic_px": 0.0} for op in value]
    names = (
        [name for name, ops in AUGMENTS.items() if [to_json_value(op) for op in ops] == affine]
        if len(value) == 1
        else []
    )
    elastic = f", elastic {value[0]['elastic_px']:g} px" if value[0]["elastic_px"] else ""
    return f"{names[0] if names else 'other'}{elastic}"
