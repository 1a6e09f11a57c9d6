"""The report of a study; everything but the images of mistakes comes from its record."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from netlet import catalog, records, stats
from netlet.budgets import describe_teacher
from netlet.data import Split
from netlet.errors import check_argument
from netlet.nets import is_user_code
from netlet.recipes import PLAIN, describe_epochs
from netlet.records import Study
from netlet.report import study_plots, study_tables
from netlet.report.commands import budget_file_for, command_for
from netlet.report.markdown import (
    bullet_list,
    code_block,
    escape_markdown,
    inline_code,
    shell_block,
)
from netlet.report.mistakes import add_mistakes, refuse_other_images
from netlet.report.net_diagram import has_branches, net_diagram
from netlet.report.page import Draft, Page
from netlet.text import escape_controls, format_count, format_shape, format_sizes


def study_page(study: Study, images: Split | None = None) -> Page:
    """Return the report of a study.

    Args:
        study: A study with any number of seeds.
        images: The split that scored it, to show the misclassified images; without it they are
            listed in a table.

    Raises:
        ReportError: matplotlib is not installed, or the images are not those that scored it.
    """
    check_argument(study, Study)
    check_argument(images, Split, optional=True)
    if images is not None:
        refuse_other_images(study, images)
    draft = Draft()
    add_verdict(draft, study)
    _add_uncertainty(draft, study)
    draft.add(
        "## What the results mean", bullet_list([*map(escape_markdown, stats.analyze_study(study))])
    )
    _add_training(draft, study)
    _add_net(draft, study)
    _add_errors(draft, study)
    draft.add("### Worst mistakes")
    add_mistakes(draft, study, images)
    _add_reproduction(draft, study)
    name, data = escape_markdown(study.name), escape_markdown(study.data["name"])
    return draft.finish(
        f"{name}: {stats.mean_percent(study):.2f}% {study.split} accuracy on {data}"
    )


def describe_result(study: Study) -> str:
    """Return the net, its training and its accuracy in a sentence of Markdown."""
    numbers = ", ".join(str(seed.seed) for seed in study.seeds)
    n = len(study.seeds)
    seeds = f"seed {numbers}" if n == 1 else f"mean of {n} seeds: {numbers}"
    trained = study.cost.get("training_parameters")
    form = f" (trained as {study.recipe['train_as']} with {trained:,})" if trained else ""
    if teacher := study.cost.get("teacher"):
        form += f" (taught by {escape_markdown(describe_teacher(teacher))})"
    return (
        f"{inline_code(study.net)}, {study.cost['parameters']:,} parameters{form}, trained for "
        f"{describe_epochs(study.recipe)} with recipe {escape_markdown(study.recipe['name'])}: "
        f"{stats.mean_percent(study):.3f}% accuracy on the {study.total:,} {study.split} images of "
        f"{escape_markdown(study.data['name'])} after the last epoch ({seeds})."
        + "".join(f" {escape_markdown(line)}." for line in stats.describe_shifts([study]))
    )


def add_verdict(draft: Draft, study: Study) -> None:
    """Add the verdict with a row for each rule, and the result; without a budget, only that."""
    verdict, table = stats.study_verdict(study), study_tables.verdict_table(study)
    if verdict is None or table is None:
        draft.add(describe_result(study))
        return
    n = len(study.seeds)
    withheld, label = escape_markdown(verdict.withheld), escape_markdown(verdict.label)
    state = f"not judged, {withheld}" if verdict.state == "NOT JUDGED" else verdict.state
    passing = stats.count_passing_seeds(study)
    seeds = ""
    if n > 1 and passing is not None:
        seeds = f" Judged by the mean of the seeds; {passing} of {n} seeds pass by themselves."
    head = f"**{label[:1].upper() + label[1:]}: {state}.**{seeds}"
    draft.add(head, describe_result(study), draft.table("verdict", table))
    if footnotes := verdict.footnotes():  # what would help, and what the budget says of it
        draft.add(bullet_list([escape_markdown(line) for line in footnotes]))


def _add_uncertainty(draft: Draft, study: Study) -> None:
    """Add what a reader has to know before believing the accuracy."""
    draft.add("## How certain the result is", bullet_list(_explain_uncertainty(study)))
    if len(study.seeds) > 1:
        figure = study_plots.seed_accuracies([study])
        draft.add(
            draft.figure("seeds", figure, "Accuracy of each seed, their mean, and the target")
        )
    draft.add(draft.table("seeds", stats.seed_table(study)))


def _explain_uncertainty(study: Study) -> list[str]:
    n, (low, high) = len(study.seeds), stats.interval_over_images(study)
    over_seeds, sd = stats.interval_over_seeds(study), stats.sd_points(study)
    seeds = f"unknown accuracy, because {stats.explain_missing_interval(study)}"
    if over_seeds:
        seeds = (
            f"the 95% interval of the mean is {over_seeds[0]:.3f}% to {over_seeds[1]:.3f}% "
            f"(Student's t, {n} seeds, sd {sd:.3f} points)"
        )
    sentences = [
        f"Other seeds: {seeds}.",
        f"Other images: on images of this kind, the 95% interval of these nets' accuracy is "
        f"{low:.2f}% to {high:.2f}% (Wilson; an image counts once with all its seeds).",
    ]
    target = stats.target_percent(study)
    if target is not None:
        p = stats.p_value_mean_above(study, target)
        test = (
            f"one-sided t test, {stats.format_p_value(p)}"
            if p is not None
            else "cannot be tested with these seeds"
        )
        sentences.append(f"Mean of all seeds above the target of {target:g}%: {test}.")
    if n > 1:
        rates = stats.error_rates(study)
        some, every = int((rates > 0).sum()), int((rates == 1).sum())
        sentences.append(
            f"{some:,} images are misclassified by at least one seed, {every:,} by all."
        )
    if study.split == "val":
        sentences.append(
            "The images were held out of the training set: the accuracy serves to choose between "
            "nets and recipes and is not a test accuracy."
        )
    else:
        sentences.append(f"The last epoch counts. {_explain_choice(study)}")
    return sentences


def _explain_choice(study: Study) -> str:
    """Return how the recipe was chosen; a choice by test accuracy would bias the result."""
    name = escape_markdown(study.recipe["name"])
    if study.chosen_by:
        return (
            f"Net and recipe {name} were chosen in {study.chosen_by['number']:,} trials on images "
            f"held out of the training set ({inline_code(str(study.chosen_by['file']))}), none of "
            "them with these seeds."
        )
    known = catalog.RECIPES.get(study.recipe["name"])
    known = known and known.for_net(in_catalog=not is_user_code(study.net))
    if known is None or records.to_json_value(known) != study.recipe:
        return f"Whether the recipe was chosen by {study.split} accuracy is not recorded."
    if study.recipe["name"] == PLAIN.name:
        return (
            f"Recipe {name} is a baseline that comes with netlet; it was not chosen by any "
            "accuracy."
        )
    if study.recipe["name"].startswith("document_"):
        return (
            f"Recipe {name} is a write-up's, as far as the write-up states it, and was not chosen "
            "by any accuracy here."
        )
    return f"Recipe {name} comes with netlet; docs/documents.md says how it was chosen."


def _add_training(draft: Draft, study: Study) -> None:
    bands = (
        " Lines are means over seeds; bands reach from the lowest to the highest seed."
        if len(study.seeds) > 1
        else ""
    )
    curves = [
        draft.figure(
            "accuracy",
            study_plots.accuracy_curves(study),
            f"Accuracy after each epoch on the {study.split} images and during training",
        ),
        draft.figure(
            "loss",
            study_plots.loss_curves(study),
            f"Cross-entropy after each epoch on the {study.split} images and during training",
        ),
        draft.figure(
            "learning-rate",
            study_plots.learning_rate_curve(study),
            "Learning rate of every training step",
        ),
    ]
    draft.add(
        "## Training",
        f"The {study.split} accuracy after each epoch is for information; only the last epoch "
        f"counts.{bands}",
        "\n".join(curves),
    )


def _add_net(draft: Draft, study: Study) -> None:
    draft.add("## The net", summarize_cost(study))
    diagram = net_diagram(study)
    if diagram is not None:
        draft.add(
            draft.figure(
                "net",
                diagram,
                "Stages of the net: output shapes and receptive fields in the input",
                net_diagram(study, narrow=True),
            ),
            "Above: the output of each stage, channels × height × width. Below: the receptive "
            "field (RF) of one output in the input image, in pixels."
            + (
                " Stages are in the order in which they run; branches are not drawn."
                if has_branches(study)
                else ""
            ),
        )
    draft.add(
        draft.table("layers", study_tables.layer_table(study)),
        "### Receptive field",
        draft.table("receptive-field", study_tables.receptive_field_table(study)),
    )


def summarize_cost(study: Study) -> str:
    """Return what the net costs in a sentence of Markdown."""
    cost = study.cost
    limit = (study.budget or {}).get("params_below")
    allowed = f" (limit: fewer than {limit:,})" if limit else ""
    active = cost["activation_bytes"]
    activations = "unknown" if active is None else f"{active / 1024:.1f} KiB"
    return (
        f"{cost['parameters']:,} parameters{allowed}, {format_count(cost['macs'])} multiply-adds "
        f"(MACs) per image, {_describe_weights(study)}, peak activations "
        f"{activations}, receptive field {format_sizes(study.receptive_field['size'])} of "
        f"{format_shape(study.data['shape'][1:])} pixels."
    )


def _describe_weights(study: Study) -> str:
    """Return the size of the parameters as a summary has it, and that of a weights file."""
    sizes = (study.summary["parameter_bytes"], study.cost["weight_bytes"])
    parameters, both = (f"{size / 1024:.1f} KiB" for size in sizes)
    text = f"{parameters} of parameters"
    return text if both == parameters else f"{text} ({both} with buffers)"


def _add_errors(draft: Draft, study: Study) -> None:
    figures = [
        draft.figure(
            "confusion",
            study_plots.confusion_matrix(study),
            "Confusion matrix of all seeds together, without correct predictions",
        ),
        draft.figure(
            "calibration",
            study_plots.calibration_curve(study),
            "Accuracy of predictions by their confidence, all seeds together",
        ),
    ]
    sums = "Confusion matrix and calibration are sums over all seeds. "
    draft.add(
        "## Errors",
        f"{sums if len(study.seeds) > 1 else ''}In the plot of the calibration, a larger dot "
        "stands for more images.",
        "\n".join(figures),
        draft.table("classes", study_tables.class_table(study)),
        "### Calibration",
        draft.table("calibration", study_tables.calibration_table(study)),
    )


def _add_reproduction(draft: Draft, study: Study) -> None:
    draft.add(
        "## How to reproduce it",
        _explain_command(study),
        _describe_environment(study),
        draft.table("recipe", study_tables.recipe_table(study)),
    )


def _explain_command(study: Study) -> str:
    name, content = budget_file_for(study) or ("", "")
    command = command_for(study, name)
    if command is not None:
        block = code_block(escape_controls(content, keep="\n"), "toml")
        file = f"The file {inline_code(name)} has the budget:\n\n{block}"
        return f"{shell_block(command)}\n\n{file}" if name else shell_block(command)
    if study.initial_weights_digest:
        return (
            "Training started from given weights (digest "
            f"{inline_code(study.initial_weights_digest[:16])}), so no command reproduces it."
        )
    if study.initial_weights:
        return (
            "The training of each seed started from weights that neither the seed nor a shared "
            "file determined (their digests are in the record), so no command reproduces it."
        )
    return (
        "No command expresses this recipe: it was made in Python or read from a file, with the "
        "values below."
    )


def _describe_environment(study: Study) -> str:
    machine: Mapping[str, Any] = study.environment
    names = ("netlet", "torch", "python", "system", "cpu", "cpu_capability", "blas", "onednn")
    shown = [
        f"{name.replace('_', ' ')} {machine[name]}"
        for name in (*names, "libc", "compiler")
        if machine.get(name)  # version 0.1 did not record all of them
    ]
    shown += [f"{name}={value}" for name, value in sorted((machine.get("settings") or {}).items())]
    versions = ", ".join(map(escape_markdown, shown))
    seconds = statistics.median(seed.train_s for seed in study.seeds)
    unlike = "".join(
        f" {escape_markdown(line[0].upper() + line[1:])}."
        for line in stats.summarize_environments(study)
    )
    return (
        f"{versions}; {machine['cores']} cores, {stats.format_threads(study)} for "
        f"each run, precision {escape_markdown(study.precision)}, "
        f"backend {escape_markdown(study.backend)}; median training time "
        f"{seconds:.1f} s. Data digest {inline_code(study.data['digest'][:16])}, net digest "
        f"{inline_code(study.net_digest[:16])}. On another processor or version of torch, results "
        f"may differ in the last bits and thereby in single images.{unlike}"
    )
