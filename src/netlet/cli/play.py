"""``netlet play``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netlet.cli.results import result, say


def play(
    net: Annotated[
        str,
        typer.Argument(
            metavar="NET|RUN",
            help="As for 'netlet evaluate': with weights, or the folder of a run.",
        ),
    ] = "crest",
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", metavar="FILE", help="A safetensors file, or a .pt of a state_dict."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The page; in the cache folder if not given."
        ),
    ] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Write the page and say where; open no browser.")
    ] = False,
) -> None:
    """Draw digits for a net in the browser: one page, with no server and no network."""
    import webbrowser

    from netlet import export
    from netlet.data import cache_folder
    from netlet.experiments import trained_net
    from netlet.export.exported import write_export
    from netlet.export.page_file import page

    source = export.origin(trained_net(net, weights))
    path = (out or cache_folder() / "play" / f"{source.stem}.html").absolute()
    write_export({path: page(source)})
    result(str(path))
    if not no_open and not webbrowser.open(path.as_uri()):
        say("netlet: found no browser to open it with; open the file yourself")
