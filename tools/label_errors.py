"""Draws what the rejected labels of MNIST's test images leave to gain, for docs/frontier.md."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netlet.data.disputed_labels import DISPUTED_LABELS
from netlet.records import Study
from netlet.report.markdown import inline_code, markdown_table
from netlet.stats.images import error_rates


def draw_label_errors(studies: Sequence[Study]) -> str:
    """Return how the mistakes of studies are spread over the test images, in text and a table."""
    rows = []
    for study in studies:
        rates = error_rates(study)
        disputed = rates[list(DISPUTED_LABELS)]
        rows.append(
            [
                inline_code(study.name),
                f"{rates.sum():.1f}",
                f"{disputed.sum():.1f}",
                f"{np.count_nonzero(rates == 1):,}",
                f"{np.count_nonzero(rates > 0.5):,}",
                f"{np.count_nonzero(rates):,}",
            ]
        )
    head = (
        "experiment",
        "mistakes of a run",
        "mistakes on rejected labels",
        "images wrong in all runs",
        "images wrong in more than half",
        "images wrong in at least one",
    )
    return f"""Of {len(DISPUTED_LABELS)} of the 10,000 test images, most annotators
[reject the label](data.md#labels-that-annotators-reject). A net that agrees with them makes a
mistake there. The table has the mean number of mistakes of a
run of each study, and how many images several of its runs get wrong. A vote of the runs would make
about as many mistakes as the column *images wrong in more than half* says.

{markdown_table(head, rows, "lrrrrr")}"""
