"""``netlet search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netlet.cli.options import Json, Workers


def search(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="Search space: mnistnet_2, mnistnet_3, crest, speck."),
    ],
    trials: Annotated[
        int, typer.Option("--trials", metavar="N", min=1, help="Number of trials to run.")
    ] = 20,
    workers: Workers = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="JSON Lines file that trials are added to; trials/NAME.jsonl if not given.",
        ),
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            "--repeat",
            metavar="LINE",
            min=1,
            help="Run the trial on this line of the file again instead, and compare the results.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Search for a net and a recipe that fit a budget.

    Trials are scored on images held out of the training set and never see the test images. The
    search continues from the trials that the file holds.
    """
    raise NotImplementedError
