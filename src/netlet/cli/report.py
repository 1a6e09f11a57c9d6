"""``netlet report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet.cli.found import found_all
from netlet.cli.images import DataFolder
from netlet.cli.results import result, say
from netlet.errors import DataError, ReportError

if TYPE_CHECKING:
    from netlet.data import Split
    from netlet.records.study import Study


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|STUDY|LADDER...", help="Records, or the folders that hold them."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", help=".html, one file; or .md, its pictures beside it."
        ),
    ] = Path("report.html"),
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", metavar="PATH", help="One's own images, for the pictures of mistakes."
        ),
    ] = None,
    data: DataFolder = None,
) -> None:
    """Write what records show: verdict, how sure it is, net, curves, mistakes, and how to repeat it."""
    if out.suffix not in (".html", ".md"):
        raise ReportError(f"{out}: a report is written as .html or .md; name such a file with -o")
    found, climbs = found_all(paths)

    from netlet.report import ladder_page, overview, study_page, together, write

    pages = [ladder_page(climb) for climb in climbs]
    own = [study_page(study, _images(study, dataset, data)) for study in found]
    pages += own if len(own) < 2 else [overview(found, own)]
    page = pages[0] if len(pages) == 1 else together("Report", "", pages)
    written = write(page, out)
    result(
        f"{written[0]}"
        + (f", and {len(written) - 1} pictures in {out.with_suffix('')}/" if written[1:] else "")
    )


def _images(study: Study, dataset: str | None, folder: Path | None) -> Split | None:
    """The images that scored a study, if they are at hand and are still the same."""
    from netlet.data import NAMES, load

    name = dataset or study.data["name"]
    if dataset is None and name not in NAMES:
        say(
            f"{study.name}: without pictures of mistakes; name the images it was scored on with --dataset PATH"
        )
        return None
    try:
        images = load(name, folder, download=False).with_channels(study.data["shape"][0])
        if images.digest != study.data["digest"]:
            raise DataError(f"{name}: is not what {study.name} was scored on")
        if study.split == "val" and images.held_out.name != "val":
            images = images.hold_out(study.total)
        return images.held_out
    except DataError as error:
        say(f"{study.name}: without pictures of mistakes ({' '.join(str(error).split())})")
        return None
