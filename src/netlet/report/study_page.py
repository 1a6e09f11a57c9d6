"""What there is to say of a study, from its record; only the pictures of mistakes need the images."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netlet import recipes, records, stats
from netlet.data import Split
from netlet.records.study import Study
from netlet.report import plots
from netlet.report.commands import command_for
from netlet.report.markdown import (
    bullet_list,
    escape_markdown,
    image_link,
    inline_code,
    markdown_table,
    shell_block,
)
from netlet.report.page import Page
from netlet.report.study_tables import (
    calibration_table,
    class_table,
    layer_table,
    mistake_table,
    receptive_field_table,
    seed_rows,
    verdict_table,
    worst_mistakes,
)
from netlet.text import count, per_axis

_SHOWN = 25  # mistakes in the gallery


def study_page(study: Study, images: Split | None = None) -> Page:
    """A study's report.

    Args:
        study: Of one seed or more.
        images: The split that scored it, for the gallery of mistakes; without it they are a table
            only.

    Raises:
        ReportError: matplotlib is not installed.
    """
    made: dict[str, str] = {}

    def shown(name: str, svg: str, about: str) -> str:
        made[f"{name}.svg"] = svg
        return image_link(f"{name}.svg", about)

    parts = [_verdict(study), "## How sure this is", _sure(study)]
    parts.append(
        shown(
            "seeds",
            plots.seeds_and_bar([study]),
            "Each seed's accuracy after the last epoch, and the bar",
        )
    )
    parts += [markdown_table(*seed_rows(study)), "## What the figures mean", bullet_list(stats.analyze_study(study))]
    curves = [
        shown(
            "accuracy",
            plots.learning_curves(study),
            f"Accuracy by epoch, on {study.split} and while training",
        ),
        shown("loss", plots.loss_curves(study), f"Loss by epoch, on {study.split} and as trained"),
        shown("rate", plots.learning_rates(study), "Learning rate by epoch"),
    ]
    band = (
        ""
        if len(study.seeds) == 1
        else " Lines are means of the seeds, bands reach from the lowest to the highest."
    )
    parts += [
        "## Training",
        f"Scores on {study.split} after each epoch are for watching; only the last one counts.{band}",
        "\n".join(curves),
        "## The net",
        _totals(study),
        markdown_table(*layer_table(study)),
        "### Receptive field",
        markdown_table(*receptive_field_table(study)),
        "## Where it errs",
        shown(
            "confusion",
            plots.confusion(study),
            "Which label is taken for which, of all seeds together",
        )
        + "\n"
        + shown(
            "calibration", plots.calibration(study), "How often the net is right, by how sure it is"
        ),
        markdown_table(*class_table(study)),
        "### Calibration",
        markdown_table(*calibration_table(study)),
        "### Worst mistakes",
    ]
    worst = worst_mistakes(study)[:_SHOWN]
    how = (
        "wrong for most seeds, and surest of it"
        if len(study.seeds) > 1
        else "surest of what is wrong"
    )
    parts.append(
        f"{len(worst)} of {len({m.image for m in study.mistakes()})} images that are wrong: {how}."
    )
    if images is not None and worst:
        pictures = [_picture(images.images[one.image].permute(1, 2, 0).numpy()) for one in worst]
        names = study.data["class_names"]
        captions = [
            f"{names[one.label]} as {names[one.predicted]}, {100 * one.confidence:.0f} %"
            for one in worst
        ]
        parts.append(
            shown(
                "mistakes",
                plots.gallery(pictures, captions),
                "The worst mistakes: label as prediction",
            )
        )
    elif worst:
        parts.append("(Without their pictures: the images were not at hand when this was written.)")
    parts += [
        markdown_table(*mistake_table(study, worst)),
        "## How to repeat it",
        _repeat(study),
        _recorded(study),
    ]
    name, data = escape_markdown(study.name), escape_markdown(study.data["name"])
    title = f"{name}: {stats.mean_percent(study):.2f} % of {data}'s {study.split} images"
    return Page(title, "\n\n".join(parts), made)


def _verdict(study: Study) -> str:
    verdict = stats.study_verdict(study)
    n = len(study.seeds)
    numbers = ", ".join(str(seed.seed) for seed in study.seeds)
    seeds = f"seed {numbers}" if n == 1 else f"the mean of {n} seeds: {numbers}"
    head = (
        f"{inline_code(study.net)}, {study.cost['parameters']:,} parameters, {study.epochs} epochs of recipe "
        f"{escape_markdown(study.recipe['name'])}: {stats.mean_percent(study):.3f} % of {study.total:,} {study.split} images "
        f"of {escape_markdown(study.data['name'])} right after the last epoch ({seeds})."
    )
    rows = verdict_table(study)
    if verdict is None or rows is None:
        return head
    state = f"not judged, {verdict.withheld}" if verdict.state == "NOT JUDGED" else verdict.state
    alone = f" Of the seeds, each by itself, {stats.count_passing_seeds(study)} of {n} meet it." if n > 1 else ""
    return f"**Budget {verdict.budget}: {state}.**{alone}\n\n{head}\n\n{markdown_table(*rows)}"


def _sure(study: Study) -> str:
    """Everything that a reader must know before believing the figure."""
    n, (low, high) = len(study.seeds), stats.interval_over_images(study)
    over_seeds, sd = stats.interval_over_seeds(study), stats.sd_points(study)
    rates, bar = stats.error_rates(study), stats.target_percent(study)
    told = []
    if over_seeds and sd is not None:
        told.append(
            f"Other seeds: the mean of all lies between {over_seeds[0]:.3f} and {over_seeds[1]:.3f} % "
            f"(95 %, Student's t, {n} seeds, sd {sd:.3f})."
        )
    else:
        told.append(f"Other seeds: {stats.name_single_value_seeds(study)} cannot say what others would do.")
    told.append(
        f"Other images: these nets' accuracy on images of this kind lies between {low:.2f} and {high:.2f} % (95 %, "
        "Wilson, each image with all its seeds counted once)."
    )
    if bar is not None:
        p = stats.p_value_mean_above(study, bar)
        at_all = (
            f"{stats.format_p_value(p)}, one-sided t test" if p is not None else "these seeds cannot say"
        )
        told.append(f"That the mean of all seeds surpasses {bar:g} %: {at_all}.")
    if n > 1:
        told.append(
            f"{int((rates > 0).sum()):,} images are wrong for some seed, {int((rates == 1).sum()):,} for every one."
        )
    if study.split == "val":
        told.append("Scored on images held out of train: good for choosing, no claim about test.")
    else:
        told.append(f"The last epoch counts. {_chosen(study)}")
    return bullet_list(told)


def _chosen(study: Study) -> str:
    """Where the recipe comes from: a choice made by the very images that judge would make the figure too good."""
    name = escape_markdown(study.recipe["name"])
    if study.chosen_by:
        return (
            f"Net and recipe {name} were chosen by {study.chosen_by['number']:,} trials on images held out of train "
            f"({inline_code(str(study.chosen_by['file']))}), none of them with these seeds."
        )
    known = recipes.RECIPES.get(study.recipe["name"])
    if known is None or records.to_json_value(known) != study.recipe:
        return f"Whether the recipe was chosen on {study.split}, the record cannot know."
    if study.recipe["name"].startswith(("plain", "document_")):
        return f"Recipe {name} is a document's, as far as that gives one, and was not chosen by any score here."
    return (
        f"Recipe {name} is one of netlet's own; its docs/documents.md says how these were chosen."
    )


def _totals(study: Study) -> str:
    cost = study.cost
    limits = study.budget or {}
    allowed = f" of fewer than {limits['params_below']:,}" if limits.get("params_below") else ""
    active = cost["activation_bytes"]
    return (
        f"{cost['parameters']:,} parameters{allowed}, {count(cost['macs'])} multiply-adds an image, weights "
        f"{cost['weight_bytes'] / 1024:.1f} KiB, activations alive at once "
        f"{'?' if active is None else f'{active / 1024:.1f} KiB'}, receptive field "
        f"{per_axis(study.receptive_field['size'])} of {'x'.join(map(str, study.data['shape'][1:]))}."
    )


def _repeat(study: Study) -> str:
    command = command_for(study)
    if command is None:
        if study.initial_weights_digest:
            return f"It began with weights that somebody gave (digest {inline_code(study.initial_weights_digest[:16])}); no command has them."
        return (
            "No command says this recipe or budget: it was made in Python, from the values below."
        )
    return shell_block(command)


def _recorded(study: Study) -> str:
    machine: Mapping[str, Any] = study.environment
    recipe = [[name, inline_code(str(value))] for name, value in study.recipe.items()]
    where = ", ".join(
        f"{what} {machine[what]}" for what in ("netlet", "torch", "python", "system", "cpu")
    )
    seconds = statistics.median(seed.train_s for seed in study.seeds)
    return "\n\n".join(
        [
            f"{where}; {machine['cores']} cores, {machine['threads']} thread{'s' if machine['threads'] > 1 else ''} a run, "
            f"{study.precision}, {study.backend} step; median training time {seconds:.1f} s. Data digest "
            f"`{study.data['digest'][:16]}`, net digest `{study.net_digest[:16]}`. On another processor or version of "
            "torch the last bits, and with them single images, may differ.",
            markdown_table(("recipe", ""), recipe, "ll"),
        ]
    )


def _picture(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``H W C`` as it can be shown: color if there are three channels, else the first."""
    return image if image.shape[2] == 3 else image[:, :, 0]
