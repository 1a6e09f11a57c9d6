"""The card of trained weights: what they are for, what they were trained on and how, and what that came to."""

from __future__ import annotations

from netlet import stats
from netlet.records.study import Study
from netlet.report.commands import command_for
from netlet.report.markdown import (
    bullet_list,
    escape_markdown,
    inline_code,
    markdown_table,
    shell_block,
)
from netlet.report.page import Page
from netlet.report.study_tables import class_table


def model_card(study: Study, seed: int, file: str, sha256: str, license: str | None = None) -> Page:
    """A model card, in the order of Mitchell and others (arXiv:1810.03993).

    Args:
        study: That the weights are of.
        seed: Whose weights they are.
        file: The weights file's name.
        sha256: Of that file.
        license: Of the weights; whose they are has to say it.
    """
    one, n = study.select_seeds([seed]), len(study.seeds)
    (result,) = one.seeds
    cost, data = study.cost, escape_markdown(study.data["name"])
    interval = stats.interval_over_seeds(study)
    middle = (
        " These weights are the median seed's, not the best one's."
        if seed == stats.median_seed(study)
        else ""
    )
    within = f" ({interval[0]:.3f} to {interval[1]:.3f} %)" if interval else ""
    rows = [
        ["net", inline_code(study.net)],
        ["parameters", f"{cost['parameters']:,}"],
        ["multiply-adds for an image", f"{cost['macs']:,}"],
        [
            "input",
            f"gray levels 0..1 as {'x'.join(map(str, study.data['shape']))}, less {study.recipe['mean']:g}, "
            f"over {study.recipe['std']:g}",
        ],
        ["output", f"{len(study.class_sizes)} logits"],
        ["weights", f"{inline_code(file)}, seed {seed}, SHA-256 {inline_code(sha256)}"],
        ["digest of the weights", inline_code(result.weights_digest)],
        ["license", license or "not stated"],
    ]
    told = [
        f"These weights: {result.correct:,} of {study.total:,} {study.split} images of {data} right "
        f"({100 * result.correct / study.total:.2f} %), and {result.train_correct:,} of {study.train_total:,} of train.",
        f"The study they are of: {stats.mean_percent(study):.3f} %{within}, the mean of {n} seeds after their last "
        f"epoch with its 95 % interval.{middle}"
        if n > 1
        else "One training of one seed: what other seeds come to, it cannot say.",
        f"Error {100 - stats.mean_percent(study):.2f} % is on {data} as it stands; on "
        + (
            "digits that are prepared otherwise, or written elsewhere,"
            if _of_digits(study)
            else "other images"
        )
        + " expect more.",
    ]
    commit = study.environment.get("commit")
    by = study.chosen_by
    chosen = (
        f", chosen by {by['number']:,} trials on images held out of train ({inline_code(str(by['file']))})"
        if by
        else ""
    )
    trained = [
        f"Data: {data}'s {study.train_total:,} training images, digest {inline_code(study.data['digest'][:16])}.",
        f"Recipe: {escape_markdown(study.recipe['name'])}, {study.epochs} epoch{'s' if study.epochs != 1 else ''}{chosen}.",
        *([f"Sources: commit {inline_code(commit)}."] if commit else []),
    ]
    command = command_for(study)
    text = "\n\n".join(
        [
            markdown_table(("what", "how much"), rows),
            "## What it is for",
            f"{_purpose(study)}: teaching, small devices, a yardstick. Not for reading what matters to anybody's money, "
            "health or rights.",
            "## How good it is",
            bullet_list(told),
            markdown_table(*class_table(one)),
            "## How it was trained",
            bullet_list(trained),
            *([shell_block(command)] if command else []),
        ]
    )
    return Page(escape_markdown(study.name), text)


def _of_digits(study: Study) -> bool:
    return list(study.data["class_names"]) == list("0123456789")


def _purpose(study: Study) -> str:
    if _of_digits(study):
        return "Telling one handwritten digit, prepared as MNIST's are"
    names = ", ".join(escape_markdown(name) for name in study.data["class_names"])
    like = escape_markdown(study.data["name"])
    return f"Telling which of {len(study.class_sizes)} classes ({names}) an image like those of {like} is"
