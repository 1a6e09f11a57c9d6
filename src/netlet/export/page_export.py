"""Export to a web page: one HTML file to draw on, which runs the net offline in any browser.

The page's markup, style and scripts are the files of ``page/``; this module adds the net.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

from netlet.data import Dataset
from netlet.display import Displayed
from netlet.errors import check_argument
from netlet.export import reference
from netlet.export.card_html import card_section
from netlet.export.image_selection import select_verification_images
from netlet.export.page_facts import cost_rows, written_rows
from netlet.export.page_net import (
    detector_graph,
    encode_weights,
    has_detector,
    net_to_json,
    pack,
    sees_whole_pictures,
)
from netlet.export.page_words import words_of_page
from netlet.export.progress import OnProgress, ignore_progress
from netlet.export.result import (
    ExportResult,
    check_float32,
    check_recorded_score,
    write_files,
)
from netlet.export.traced_model import TracedModel
from netlet.export.verification import Verification, compare_with_pytorch
from netlet.export.written_layers import describe_written_net
from netlet.records import Confidence
from netlet.text import dump_json, escape_html

_LOADER = ("inflate.js", "unpack.js")  # runs the program, which the others are
_PROGRAM = (
    *("inflate.js", "net.js", "prepare.js", "pieces.js", "run.js", "fields.js", "drawing.js"),
    *("view.js", "grid.js", "ink.js", "png.js", "picture.js", "share.js", "main.js"),
)


class WebPage(str, Displayed):
    """The text of an HTML file; a notebook shows the page itself."""

    def _facts(self) -> Mapping[str, object]:
        title = re.search(r"<title>(.*?)</title>", self)
        return {"title": html.unescape(title[1]) if title else "", "characters": len(self)}


def export_page(
    model: TracedModel,
    path: Path | str,
    dataset: Dataset | None,
    *,
    confidence: Confidence | None = None,
    card: str | None = None,
    on_progress: OnProgress = ignore_progress,
) -> ExportResult:
    """Write a model as one HTML file, after verifying its graph against PyTorch.

    Args:
        model: The model.
        path: The path of the file.
        dataset: The data set that the net was trained on, for verification; None: synthetic digits
            (``scribble``).
        confidence: The calibration of the net's confidence; None: it is not calibrated.
        card: The net's model card in Markdown, as ``netlet card`` prints it; None: there is none.
        on_progress: Called when a phase begins.

    Raises:
        ExportError: The verification fails.
        OutputError: The file cannot be written.
    """
    check_argument(model, TracedModel)
    path = Path(path)
    image_set, split = select_verification_images(model, dataset)
    predict = functools.partial(reference.compute_logits, model.graph)
    verification = compare_with_pytorch(model, predict, image_set, split, on_progress)
    check_recorded_score(model, dataset, verification)
    check_float32(verification, "page's graph")
    note = (
        "verified: the page's graph, run by PyTorch (netlet's tests check that a browser computes "
        "the same)"
    )
    size = write_files({path: build_page(model, verification, confidence, card)})
    return ExportResult((path,), size, verification, (note,))


def build_page(
    model: TracedModel,
    verification: Verification | None = None,
    confidence: Confidence | None = None,
    card: str | None = None,
) -> WebPage:
    """Build one HTML file that loads nothing else.

    Args:
        model: The model.
        verification: Supplies the accuracy that the page shows; None: that of the run's record.
        confidence: The calibration of the net's confidence; None: the page is never unsure.
        card: The net's model card in Markdown, as ``netlet card`` prints it; None: there is none.
    """
    check_argument(model, TracedModel)
    words = words_of_page(model, whole=sees_whole_pictures(model))
    folder = resources.files(__package__) / "page"
    style = (folder / "page.css").read_text("utf-8")
    written = describe_written_net(model)
    detector = detector_graph() if has_detector(confidence) else None
    script, program = _join_scripts(_LOADER), _join_scripts(_PROGRAM)
    text = Template((folder / "page.html").read_text("utf-8")).substitute(
        name=escape_html(model.metadata["net"]),
        title=escape_html(words.title),
        invitation=escape_html(words.invitation),
        found_title=words.found,
        samples_title=words.samples,
        sample_keys=words.sample_keys,
        style=style,
        style_hash=_policy_hash(style),
        script=script,
        script_hash=_policy_hash(script),
        program=pack(program.encode()),
        program_hash=_policy_hash(program),
        costs="\n".join(cost_rows(model, verification, confidence)),
        written="\n".join(written_rows(written)),
        card=card_section(card),
        net=_to_script_json(net_to_json(model, written, confidence, detector)),
        weights=encode_weights(model.graph),
        detector_weights=encode_weights(detector) if detector else "",
    )
    return WebPage(text)


@functools.cache
def _join_scripts(names: tuple[str, ...]) -> str:
    """Return files of ``page/`` as one script that leaves no names behind."""
    folder = resources.files(__package__) / "page"
    scripts = "\n".join(_strip_comments((folder / name).read_text("utf-8")) for name in names)
    return f'(() => {{\n"use strict";\n{scripts}\n}})();\n'


def _strip_comments(script: str) -> str:
    """Remove indentation and comment lines to keep the file small; page/ has the originals."""
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "/*", "*")))


def _policy_hash(text: str) -> str:
    """Return the hash by which the content security policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _to_script_json(value: object) -> str:
    # Inside a script element only "<" could end the element early.
    return dump_json(value, compact=True).replace("<", "\\u003c")
