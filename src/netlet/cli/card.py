"""``netlet card``."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from netlet import records
from netlet.cli.locate import input_files, locate_weights, median_run
from netlet.cli.options import Json, TrainedNet
from netlet.cli.results import print_json, print_result
from netlet.errors import NetError
from netlet.outputs import check_output, write_output


def card(
    net: TrainedNet,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="File to write; printed if not given."),
    ] = None,
    json: Json = False,
) -> None:
    """Show the model card of trained weights, in Markdown."""
    from netlet.nets import find_shipped_weights

    if out is not None:
        check_output(out, inputs=input_files(net))
    # A folder that happens to have the name of a net, such as that of a report, is not meant.
    weights = None if records.holds_records(Path(net)) else find_shipped_weights(net)
    if weights is not None:
        text = weights.with_suffix(".md").read_text(encoding="utf-8")
    else:
        text = _card_of_record(net)
    if out is not None:
        write_output(out, text)
    if json:
        print_json("card", {"net": net, "file": str(out) if out else None, "markdown": text})
    else:
        print_result(text if out is None else str(out), lines=out is None)


def _card_of_record(net: str) -> str:
    """Return the card of a run's weights, or of those of a study's median seed.

    Raises:
        NetError: It is neither a folder nor the name of shipped weights.
    """
    from netlet import report
    from netlet.nets import list_shipped_weights
    from netlet.nets.weights import refuse_other_weights

    if not Path(net).is_dir():
        raise NetError(
            f"{net}: no weights come with netlet for it, so there is no card; name the folder of "
            f"a run or study, or one of {', '.join(list_shipped_weights())}"
        )
    locate_weights(net)  # refuses a ladder
    study = records.find_study(net)
    run = median_run(Path(net), study)
    weights = run / records.WEIGHTS
    record = records.load_run(run)
    refuse_other_weights(weights, record.weights_digest, run / records.RECORD)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    return report.model_card(study, record.seed, weights.name, sha256).markdown
