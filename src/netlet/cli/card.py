"""``netlet card``."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from netlet.cli.results import result
from netlet.errors import NetError, RecordError, ReportError
from netlet.files import write_whole


def card(
    net: Annotated[
        str,
        typer.Argument(
            metavar="NET|RUN|STUDY",
            help="One whose weights come with netlet, or a folder of records.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write it there instead of printing it."),
    ] = None,
) -> None:
    """Tell what trained weights are for, how good they are and how they came about: a model card in Markdown."""
    text = _of_record(Path(net)) if Path(net).is_dir() else _of_shipped(net)
    if out is None:
        result(text)
        return
    try:
        write_whole(out, text)
    except OSError as error:
        raise ReportError(
            f"{out}: cannot be written ({error.strerror}); name another with --out"
        ) from error
    result(str(out))


def _of_shipped(name: str) -> str:
    from netlet.nets import shipped, shipped_weights

    weights = shipped_weights(name)
    if weights is None:
        raise NetError(
            f"{name}: no weights of it come with netlet, so there are no records to draw a card from; name the folder "
            f"of a run or a study, or one of {', '.join(shipped())}"
        )
    return weights.with_suffix(".md").read_text(encoding="utf-8")


def _of_record(folder: Path) -> str:
    """The card of a run's weights, or of those of a study's median seed."""
    from netlet import records, report, stats
    from netlet.cli.found import found_study

    if (folder / records.LADDER).is_file():
        raise RecordError(f"{folder}: is a ladder, a net for each step; name one of its steps")
    study = found_study(folder)
    seed = stats.median_seed(study)
    runs = [folder, *sorted(folder.glob("*/"))]
    files = (
        run / records.WEIGHTS
        for run in runs
        if (run / records.RECORD).is_file() and records.load_run(run).seed == seed
    )
    weights = next((file for file in files if file.is_file()), None)
    if weights is None:
        raise RecordError(
            f"{folder}: the weights of seed {seed} are gone, and a card is of weights; 'netlet study' trains again "
            f"what is missing beside {records.STUDY}"
        )
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    return report.card(study, seed, weights.name, sha256).markdown
