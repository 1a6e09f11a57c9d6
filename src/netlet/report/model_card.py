"""Model cards of trained weights."""

from __future__ import annotations

from netlet import stats
from netlet.recipes import describe_epochs
from netlet.records import Study
from netlet.report.commands import command_for
from netlet.report.markdown import bullet_list, escape_markdown, inline_code, shell_block
from netlet.report.page import Draft, Page
from netlet.report.study_tables import class_table
from netlet.report.tables import Code
from netlet.text import Table, format_shape


def model_card(
    study: Study, seed: int, file: str, sha256: str, weights_license: str | None = None
) -> Page:
    """Return a model card with the sections of Mitchell et al. (arXiv:1810.03993).

    Args:
        study: The study that the weights come from.
        seed: The seed that trained them.
        file: The name of the weights file.
        sha256: The SHA-256 of the weights file.
        weights_license: The license of the weights, as their author states it.
    """
    seed_study = study.select_seeds([seed])
    (result,) = seed_study.seeds
    draft = Draft()
    rows = [
        ["net", Code(study.net)],
        ["parameters", f"{study.cost['parameters']:,}"],
        ["multiply-adds (MACs) per image", f"{study.cost['macs']:,}"],
        [
            "input",
            f"{_describe_levels(study.data['shape'][0])} from 0 to 1, "
            f"{format_shape(study.data['shape'])}, minus "
            f"{study.recipe['mean']:g}, divided by {study.recipe['std']:g}",
        ],
        ["output", f"{len(study.class_sizes)} {_name_output(study)}"],
        ["weights file", Code(file)],
        ["seed", str(seed)],
        ["SHA-256 of the file", Code(sha256)],
        ["digest of the weights", Code(result.weights_digest)],
        ["license", weights_license or "not stated"],
    ]
    command = command_for(study)
    draft.add(
        draft.table("facts", Table(("property", "value"), rows, "ll")),
        "## Intended use",
        f"{_describe_task(study)}: for teaching, for small devices and as a baseline. Not for "
        "reading anything that people's money, health or rights depend on.",
        "## Accuracy",
        bullet_list(_describe_accuracy(study, seed)),
        draft.table("classes", class_table(seed_study)),
        "## Training",
        bullet_list(_describe_training(study)),
        shell_block(command) if command else "",
    )
    return draft.finish(escape_markdown(study.name))


def _name_output(study: Study) -> str:
    """Return what a net's numbers are, by the functions that follow its last weights."""
    rows = study.summary["rows"]
    last = max((place for place, row in enumerate(rows) if row["macs"]), default=-1)
    kinds = {row["kind"].lower().replace("_", "") for row in rows[last + 1 :]}
    if "logsoftmax" in kinds or {"softmax", "log"} <= kinds:
        return "log-probabilities"
    return "probabilities" if "softmax" in kinds else "logits"


def _describe_accuracy(study: Study, seed: int) -> list[str]:
    (result,) = study.select_seeds([seed]).seeds
    n, data = len(study.seeds), escape_markdown(study.data["name"])
    interval = stats.interval_over_seeds(study)
    within = f" (95% interval {interval[0]:.3f}% to {interval[1]:.3f}%)" if interval else ""
    median = (
        " These weights are the median seed's, not the best seed's."
        if seed == stats.median_seed(study)
        else ""
    )
    other = (
        "digits that are prepared differently or written elsewhere"
        if _is_of_digits(study)
        else "other images"
    )
    return [
        f"These weights: {100 * result.correct / study.total:.2f}% {study.split} accuracy on "
        f"{data} "
        f"({result.correct:,} of {study.total:,} images) after the last epoch; "
        f"{100 * result.train_correct / study.train_total:.2f}% train accuracy without "
        f"augmentation ({result.train_correct:,} of {study.train_total:,}).",
        f"Study: {stats.mean_percent(study):.3f}% {study.split} accuracy, mean of {n} seeds after "
        f"the last epoch{within}.{median}"
        if n > 1
        else "Study: one seed, so the accuracy of other seeds is unknown.",
        *(f"{escape_markdown(line)}." for line in stats.describe_shifts([study])),
        f"{'The error' if n == 1 else 'The mean error'} of {100 - stats.mean_percent(study):.2f}% "
        f"holds for images like those of {data}. Expect a larger one on {other}.",
    ]


def _describe_training(study: Study) -> list[str]:
    data, chosen = escape_markdown(study.data["name"]), study.chosen_by
    trials = (
        f", chosen in {chosen['number']:,} trials on images held out of the training set "
        f"({inline_code(str(chosen['file']))})"
        if chosen
        else ""
    )
    commit = study.environment.get("commit")
    return [
        f"Data: the {study.train_total:,} training images of {data}, digest "
        f"{inline_code(study.data['digest'][:16])}.",
        f"Recipe: {escape_markdown(study.recipe['name'])}, "
        f"{describe_epochs(study.recipe)}{trials}.",
        f"Trained with netlet {study.environment['netlet']}, "
        + (f"commit {inline_code(commit)}." if commit else "whose commit was not recorded."),
    ]


def _describe_levels(channels: int) -> str:
    if channels == 1:
        return "gray levels"
    return "levels of " + ("red, green and blue" if channels == 3 else f"{channels} channels")


def _is_of_digits(study: Study) -> bool:
    return list(study.data["class_names"]) == list("0123456789")


def _describe_task(study: Study) -> str:
    if _is_of_digits(study):
        return "Classification of single handwritten digits that are prepared like MNIST's"
    names = ", ".join(escape_markdown(name) for name in study.data["class_names"])
    return (
        f"Classification of images like those of {escape_markdown(study.data['name'])} into "
        f"{len(study.class_sizes)} classes ({names})"
    )
