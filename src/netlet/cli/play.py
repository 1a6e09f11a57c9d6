"""``netlet play``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netlet.cli.card import find_card
from netlet.cli.confidence import find_confidence
from netlet.cli.locate import input_files
from netlet.cli.option_groups import OWN_WEIGHTS, WeightOptions
from netlet.cli.options import Json, TrainedNet
from netlet.cli.results import print_json, print_result, say
from netlet.outputs import check_output

_CALIBRATE = "write the page with 'netlet export NET --to page --dataset PATH'"


def play(
    net: TrainedNet = "crest",
    using: WeightOptions = OWN_WEIGHTS,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="HTML file to write; in netlet's cache folder if not given.",
        ),
    ] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Write the page without opening a browser.")
    ] = False,
    json: Json = False,
) -> None:
    """Draw or open pictures in the browser; watch a net classify them.

    Writes one page that works offline, without a server.
    """
    import webbrowser

    if out is not None:
        check_output(out, inputs=input_files(net, using.weights))
    from netlet import export
    from netlet.data import cache_folder
    from netlet.export.page_export import build_page
    from netlet.export.result import write_files

    trained = using.load(net)
    model = export.trace_model(trained)
    path = (out or cache_folder() / "play" / f"{model.stem}.html").absolute()
    page = build_page(
        model,
        confidence=find_confidence(model.source, remedy=_CALIBRATE),
        card=find_card(net, is_recorded=using.weights is None and trained.file is not None),
    )
    write_files({path: page})
    if json:
        head = {"net": net, "mean": trained.mean, "std": trained.std}
        print_json("play", head | {"file": str(path)})
    else:
        print_result(str(path))
        say(
            f"netlet: the page normalizes images with {trained.normalization} (change with --mean "
            "and --std)"
        )
    if not no_open and not webbrowser.open(path.as_uri()):
        say("netlet: no browser found; open the file yourself")
