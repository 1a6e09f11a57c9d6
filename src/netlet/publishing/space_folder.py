"""The folder of a static Space: the page to draw on, and the head that the Hub reads."""

from __future__ import annotations

from netlet import export
from netlet.experiments import TrainedNet
from netlet.outputs import TEXT_MARK, seal_text
from netlet.publishing.card_head import space_head, write_head
from netlet.publishing.model_folder import README, Published, find_license
from netlet.publishing.record import NetRecord
from netlet.records import Confidence
from netlet.report.markdown import escape_markdown

PAGE = "index.html"


def build_space_folder(
    trained: TrainedNet,
    record: NetRecord,
    license_id: str | None = None,
    *,
    confidence: Confidence | None = None,
    card: str | None = None,
) -> Published:
    """Return the files of a static Space for the Hugging Face Hub.

    Args:
        trained: The net with its weights.
        record: The record of their training.
        license_id: As for :func:`~netlet.publishing.build_model_folder`.
        confidence: The calibration of the net's confidence; None: the page is never unsure.
        card: The net's model card in Markdown, which the page shows; None: it shows none.

    Raises:
        ExportError: The net cannot be exported as a page.
        NetError: The license is not written as the Hub does.
    """
    head = write_head(space_head(record.study, find_license(record, license_id)))
    name = escape_markdown(record.study.name)
    text = (
        f"{head}\n<!-- {TEXT_MARK.decode()} -->\n\n# {name}\n\nDraw, or open a picture, and "
        "follow it through every layer of the net. The page computes everything in the browser.\n"
    )
    page = export.build_page(export.trace_model(trained), confidence=confidence, card=card)
    return Published({README: seal_text(text), PAGE: str(page)})
