"""``netlet card``."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from netlet.cli.locate import locate_weights, median_run
from netlet.cli.options import Json, TrainedNet
from netlet.cli.results import print_json, print_result
from netlet.errors import NetError
from netlet.files import write_output


def card(
    net: TrainedNet,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="File to write; printed if not given."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the model card of trained weights, in Markdown."""
    text = _card_of_record(net) if Path(net).is_dir() else _card_of_shipped(net)
    if out is not None:
        write_output(out, text)
    if json:
        print_json("card", {"net": net, "file": str(out) if out else None, "markdown": text})
    else:
        print_result(text if out is None else str(out))


def _card_of_shipped(name: str) -> str:
    from netlet.nets import find_shipped_weights, list_shipped_weights

    weights = find_shipped_weights(name)
    if weights is None:
        raise NetError(
            f"{name}: no weights come with netlet for it, so there is no card; name the folder of "
            f"a run or study, or one of {', '.join(list_shipped_weights())}"
        )
    return weights.with_suffix(".md").read_text(encoding="utf-8")


def _card_of_record(net: str) -> str:
    """Return the card of a run's weights, or of those of a study's median seed."""
    from netlet import records, report

    locate_weights(net)  # refuses a ladder
    study = records.find_study(net)
    run = median_run(Path(net), study)
    weights = run / records.WEIGHTS
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    return report.model_card(study, records.load_run(run).seed, weights.name, sha256).markdown
