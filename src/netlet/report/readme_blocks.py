"""What netlet fills into the blocks of a README: parts of reports, from the same records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from netlet import stats
from netlet.data import Dataset
from netlet.records import LadderResult, Study
from netlet.report import study_plots, study_tables
from netlet.report.augmentation_plot import augmentation_samples
from netlet.report.comparison_page import describe_studies
from netlet.report.comparison_plots import curves_of_studies
from netlet.report.ladder_page import ladder_page, list_results
from netlet.report.markdown import bullet_list, escape_markdown, inline_code
from netlet.report.mistakes import add_mistakes
from netlet.report.page import Draft, Page, demote_headings
from netlet.report.study_page import add_verdict, describe_result, summarize_cost


@dataclass(frozen=True)
class Material:
    """The records and images that the blocks are filled from.

    Attributes:
        studies: Studies with a name of their own each; most blocks show the first one.
        ladders: Climbed ladders; the first one is shown.
        images: The data set that the first study was trained on, if it is on this machine.
    """

    studies: Sequence[Study]
    ladders: Sequence[LadderResult] = ()
    images: Dataset | None = None

    @property
    def main(self) -> Study:
        """The study that most blocks show: the first one, else the ladder's last rung."""
        return self.studies[0] if self.studies else self.ladders[0].studies[-1]


class NotFilledError(Exception):
    """Why a block cannot be filled from these records, with what to do."""


def draw_block(name: str, material: Material) -> Page:
    """Return the content of a block.

    Args:
        name: A key of ``BLOCKS``.
        material: The records and images.

    Raises:
        NotFilledError: The records or images that it needs are not among these.
        ReportError: matplotlib is not installed.
        RecordError: The studies cannot be compared.
    """
    draft = Draft()
    BLOCKS[name](draft, material)
    return draft.finish(name)


def _add_summary(draft: Draft, material: Material) -> None:
    study = material.main
    draft.add(
        f"**{stats.mean_percent(study):.2f}% {study.split} accuracy with "
        f"{study.cost['parameters']:,} parameters.**",
        describe_result(study),
        summarize_cost(study),
        draft.table("layers", study_tables.layer_table(study)),
    )


def _add_field(draft: Draft, material: Material) -> None:
    study = material.main
    draft.add(
        "The receptive field of each layer, from the input to the logits. `n` is the size of the "
        "feature map, `r` the receptive field and `j` the jump, at the layer's input (`_in`) and "
        "output (`_out`).",
        draft.table("receptive-field", study_tables.receptive_field_table(study)),
    )


def _add_verdict(draft: Draft, material: Material) -> None:
    if material.main.budget is None:
        raise NotFilledError("the study has no budget; train it with --budget")
    add_verdict(draft, material.main)


def _add_curves(draft: Draft, material: Material) -> None:
    if len(material.studies) > 1:
        draft.add(
            draft.figure(
                "curves",
                curves_of_studies(material.studies),
                "Accuracy of each net after each epoch, held out and while training",
            ),
            *describe_studies(draft, material.studies),
        )
        return
    study = material.main
    accuracy = f"Accuracy after each epoch on the {study.split} images and during training"
    loss = f"Cross-entropy after each epoch on the {study.split} images and during training"
    draft.add(
        draft.figure("accuracy", study_plots.accuracy_curves(study), accuracy)
        + "\n"
        + draft.figure("loss", study_plots.loss_curves(study), loss)
    )


def _add_confusion(draft: Draft, material: Material) -> None:
    study = material.main
    draft.add(
        draft.figure(
            "confusion",
            study_plots.confusion_matrix(study),
            "Confusion matrix of all seeds together, without correct predictions",
        ),
        draft.table("classes", study_tables.class_table(study)),
    )


def _add_mistakes(draft: Draft, material: Material) -> None:
    images = material.images
    add_mistakes(draft, material.main, None if images is None else images.held_out)


def _add_augmentation(draft: Draft, material: Material) -> None:
    if material.images is None:
        raise NotFilledError(
            "the training images are not on this machine; name them with --dataset"
        )
    figure = augmentation_samples(material.main, material.images)
    if figure is None:
        draft.add("The recipe does not augment the training images.")
        return
    draft.add(
        "Above, a training image of each class; below, what the net sees of it in three epochs.",
        draft.figure("augmentation", figure, "Training images and their augmentations"),
    )


def _add_ladder(draft: Draft, material: Material) -> None:
    if material.ladders:
        page = ladder_page(material.ladders[0])
        draft.add(f"**{page.title}**", demote_headings(demote_headings(page.text)))
        for figure in page.figures.items():
            draft.figure(*figure, "")
        return
    if len(material.studies) < 2:
        raise NotFilledError(
            "one study is not a ladder; name a ladder that 'netlet climb' recorded, or several "
            "studies in order"
        )
    draft.add(*describe_studies(draft, material.studies))
    before: Study | None = None
    for study in material.studies:
        analysis = [*map(escape_markdown, stats.analyze_study(study, before))]
        draft.add(
            f"#### {escape_markdown(study.name)}",
            f"**Target:** {_describe_target(study)}",
            f"**Results:**\n\n{bullet_list(list_results(study, {}))}",
            f"**Analysis:**\n\n{bullet_list(analysis)}",
        )
        before = study


def _describe_target(study: Study) -> str:
    verdict = stats.study_verdict(study)
    if verdict is None:
        return "none"
    rules = "; ".join(escape_markdown(rule.requirement) for rule in verdict.results)
    return f"{rules} (budget {inline_code(verdict.budget)})."


BLOCKS: Mapping[str, Callable[[Draft, Material], None]] = {
    "summary": _add_summary,
    "receptive-field": _add_field,
    "verdict": _add_verdict,
    "curves": _add_curves,
    "confusion": _add_confusion,
    "mistakes": _add_mistakes,
    "augmentation": _add_augmentation,
    "ladder": _add_ladder,
}
BLOCKS_WITH_IMAGES = frozenset({"mistakes", "augmentation"})
