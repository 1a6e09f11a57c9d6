"""The misclassified images of a study: a gallery, or a table without the images.

Images whose label most annotators reject are marked: a net that agrees with them is counted wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netlet.data import Split
from netlet.data.disputed_labels import ANNOTATORS, DisputedLabel, disputed_labels
from netlet.errors import ReportError
from netlet.records import Study
from netlet.records.data_contradictions import read_held_out
from netlet.report import study_plots, study_tables
from netlet.report.page import Draft
from netlet.report.study_tables import WrongImage
from netlet.text import escape_controls

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SHOWN = 24
GALLERY_ALTERNATIVE = "Misclassified images, each with its label and prediction"


def refuse_other_images(study: Study, images: Split) -> None:
    """Refuse images that have not scored a study: its mistakes would get the wrong pictures.

    Args:
        study: The study.
        images: The split.

    Raises:
        ReportError: They are others.
    """
    mistakes = [wrong.mistake for wrong in study_tables.rank_wrong_images(study)]
    if (images.name, len(images)) == (study.split, study.total) and all(
        int(images.labels[mistake.image]) == mistake.label for mistake in mistakes
    ):
        return
    scored = f"{study.total:,} {study.split} images of {study.data['name']}"
    remedy = "that data.load gives"
    if study.split == "val":
        how = read_held_out(study.data) or {}
        named = [f"{name}={number}" for name, number in how.items()]
        remedy = f"of data.hold_out({', '.join([str(study.total), *named])})"
        if "fold" in how:
            remedy = f"of data.hold_out_fold({', '.join(named)})"
    raise ReportError(
        f"the study was scored on {scored}, not on these {len(images):,} {images.name} images; "
        f"pass the held_out split {remedy}"
    )


def add_mistakes(draft: Draft, study: Study, images: Split | None) -> None:
    """Add the worst mistakes to a page: as pictures if the images are there, else as a table.

    Args:
        draft: The page.
        study: The study.
        images: The split that scored it.
    """
    every = study_tables.rank_wrong_images(study)
    wrong = every[:MOST_SHOWN]
    disputed = disputed_labels(study.data["checksums"], study.split)
    n = len(study.seeds)
    order = "misclassified by the most seeds, then with" if n > 1 else "with"
    draft.add(
        f"{len(wrong):,} of {len(every):,} misclassified images: those {order} the highest "
        "confidence."
    )
    if not wrong:
        return
    if images is None:
        draft.add(
            "The images were not available when this report was written.",
            draft.table("mistakes", study_tables.mistake_table(study, wrong, disputed)),
        )
    else:
        score = "mean confidence, share of seeds that are wrong" if n > 1 else "confidence"
        draft.add(
            f"Below each: label and prediction, {score}, number of the image.",
            draft.figure(
                "mistakes", _draw_gallery(study, wrong, images, disputed), GALLERY_ALTERNATIVE
            ),
        )
    shown = 0 if images is None else sum(one.mistake.image in disputed for one in wrong)
    numbers = [one.mistake.image for one in every]
    draft.add(explain_disputed(disputed, numbers, shown, study.total))


def _draw_gallery(
    study: Study,
    wrong: Sequence[WrongImage],
    images: Split,
    disputed: Mapping[int, DisputedLabel],
) -> Figure:
    names, n = [*map(escape_controls, study.data["class_names"])], len(study.seeds)
    captions = [
        mark_caption(
            f"{names[mistake.label]}, predicted {names[mistake.predicted]}\n"
            f"{100 * mistake.confidence:.0f}%, "
            + (f"{seeds}/{n}\n" if n > 1 else "")
            + f"no. {mistake.image}",
            mistake.image,
            disputed,
        )
        for mistake, seeds in wrong
    ]
    pictures = [
        prepare_picture(images.images[one.mistake.image].permute(1, 2, 0).numpy()) for one in wrong
    ]
    framed = [one.mistake.image in disputed for one in wrong]
    return study_plots.mistake_gallery(pictures, captions, framed)


def prepare_picture(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image ``H W C`` as color if it has three channels, else its first channel."""
    return image if image.shape[2] == 3 else image[:, :, 0]


def mark_caption(caption: str, image: int, disputed: Mapping[int, DisputedLabel]) -> str:
    """Return the caption of a mistake, with a line more if most annotators reject the label.

    Args:
        caption: The caption.
        image: The index of the image in its split.
        disputed: The images whose label most annotators reject.
    """
    return f"{caption}\nrejected {disputed[image]}" if image in disputed else caption


def explain_disputed(
    disputed: Mapping[int, DisputedLabel],
    wrong: Collection[int],
    marked: int,
    total: int,
) -> str:
    """Return what the marks mean, and the accuracy that they leave within reach, as Markdown.

    Args:
        disputed: The images whose label most annotators reject; without any, nothing is returned.
        wrong: The indices of all misclassified images.
        marked: The number of pictures that have a frame.
        total: The number of images of the split.
    """
    if not disputed:
        return ""
    found = sum(image in disputed for image in wrong)
    reach = 100 - 100 * len(disputed) / total
    where = (
        f" {marked} of them {'has' if marked == 1 else 'have'} an orange frame, with the number of "
        f"annotators who reject the label, of {ANNOTATORS}."
        if marked
        else ""
    )
    return (
        f"Most annotators reject the label of {len(disputed)} test images; {found} of these "
        f"{'is' if found == 1 else 'are'} among the misclassified ones.{where} A net that agrees "
        f"with the annotators on all of them reaches at most {reach:.2f}%. The annotations are "
        "those of Northcutt, Athalye and Mueller ([arXiv:2103.14749](https://arxiv.org/abs/2103.14749))."
    )
