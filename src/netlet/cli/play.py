"""``netlet play``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netlet.cli.confidence import find_confidence
from netlet.cli.locate import input_files, locate_weights
from netlet.cli.options import Json, Mean, Std, TrainedNet, Trust, Weights
from netlet.cli.results import print_json, print_result, say
from netlet.outputs import check_output


def play(
    net: TrainedNet = "crest",
    weights: Weights = None,
    trust: Trust = False,
    mean: Mean = None,
    std: Std = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="HTML file to write; in the cache if not given."
        ),
    ] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Write the page without opening a browser.")
    ] = False,
    json: Json = False,
) -> None:
    """Draw digits in the browser and watch a net classify them.

    Writes one page that works offline, without a server.
    """
    import webbrowser

    if out is not None:
        check_output(out, inputs=input_files(net, weights))
    from netlet import export
    from netlet.data import cache_folder
    from netlet.experiments import load_trained_net
    from netlet.export.page_export import build_page
    from netlet.export.result import write_files

    trained = load_trained_net(locate_weights(net), weights, mean=mean, std=std, trust=trust)
    model = export.trace_model(trained)
    path = (out or cache_folder() / "play" / f"{model.stem}.html").absolute()
    write_files({path: build_page(model, confidence=find_confidence(model.source))})
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
