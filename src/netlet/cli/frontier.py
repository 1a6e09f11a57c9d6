"""``netlet frontier``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netlet.cli.options import Json
from netlet.cli.results import result, result_json, say
from netlet.errors import RecordError, ReportError

_USUAL = (Path("results/studies"), Path("studies"))


def frontier(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR...]", help="Where records lie; results/studies and studies if not given."
        ),
    ] = None,
    params_below: Annotated[
        int | None, typer.Option("--params-below", metavar="N", min=1, help="Smaller nets only.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Also as a page: .html, or .md and its picture."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show accuracy against parameters: the studies that are recorded, and what other people have published."""
    if out and out.suffix not in (".html", ".md"):
        raise ReportError(f"{out}: a page is written as .html or .md; name such a file with --out")

    import dataclasses

    from netlet import stats

    places = folders or [place for place in _USUAL if place.is_dir()]
    gathered = [stats.gather(place) for place in places]
    studies, troubles = stats.grouped(entry for entries, _ in gathered for entry in entries)
    for trouble in [*(trouble for _, some in gathered for trouble in some), *troubles]:
        say(trouble)
    points = [*stats.measured(studies), *stats.PUBLISHED]
    points = [point for point in points if params_below is None or point.parameters < params_below]
    if not points:
        raise RecordError(
            f"no net below {params_below:,} parameters is recorded or published; raise --params-below"
        )
    if out:
        from netlet.report import frontier_page, write

        write(frontier_page(points), out)
    if json:
        front = stats.leading(points)
        result_json(
            {"points": [dataclasses.asdict(point) | {"leads": point in front} for point in points]}
        )
    else:
        result(stats.frontier_text(points) + (f"\n\nwritten to {out}" if out else ""))
        if not any(point.measured for point in points):
            say(
                "nothing is measured here yet: 'netlet study NAME' records a study, or name a folder that holds some"
            )
