"""``netlet data``: get, verify, list, show and make data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet import recipes
from netlet.cli.images import Bar, DataFolder, chosen_images
from netlet.cli.options import Json
from netlet.cli.results import only_results, result, result_json, say
from netlet.errors import DataError, MissingDataError, did_you_mean
from netlet.text import table

if TYPE_CHECKING:
    from netlet.data import Source

app = typer.Typer(
    help="Get, verify, list, show and make data sets.", no_args_is_help=True, rich_markup_mode=None
)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME...]", help="Data sets; all public ones if none is named."),
]


@app.command("get", short_help="Download public data sets, verified.")
@only_results
def get(
    names: Names = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="DIR", help="Into DIR/NAME; the user's cache folder if not given."
        ),
    ] = None,
) -> None:
    """Download public data sets; what is there already and whole is not fetched again."""
    from netlet.data import SOURCES, cache_folder, fetch

    sources = [_source(name) for name in names or SOURCES]
    for source in sources:
        into = (to or cache_folder()) / source.name
        bar = Bar()
        try:
            fetch(source, into, bar)
        finally:
            bar.close()
        result(f"{source.name}: whole and verified in {into}")


@app.command("list", short_help="List the data sets and where they lie.")
@only_results
def list_(json: Json = False) -> None:
    """List the data sets that netlet knows by name, and where they lie on this machine."""
    from netlet.data import SOURCES, find

    rows = []
    for source in SOURCES.values():
        try:
            place = str(find(source))
        except DataError:
            place = None
        rows.append(
            {
                "name": source.name,
                "title": source.title,
                "train": source.train.count,
                "test": source.test.count - source.test.first,
                "split": source.test.name,
                "place": place,
                "terms": source.terms,
                "mirrors": list(source.mirrors),
            }
        )
    rows.append(
        {
            "name": "scribble",
            "title": "digits drawn by a program",
            "train": 60_000,
            "test": 10_000,
            "split": "test",
            "place": "made when needed",
            "terms": "of this project; MIT",
            "mirrors": [],
        }
    )
    if json:
        result_json(rows)
        return
    cells = [
        [
            str(row["name"]),
            f"{row['train']:,}",
            f"{row['test']:,} {row['split']}",
            str(row["title"]),
            str(row["place"] or "not here"),
            str(row["terms"]),
        ]
        for row in rows
    ]
    result(table(("name", "train", "held out", "what", "where", "by, license"), cells, "lrrlll"))


@app.command("verify", short_help="Check data sets on the disk, byte by byte.")
@only_results
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|PATH...]", help="All that are here, if none is named."),
    ] = None,
    data: DataFolder = None,
) -> None:
    """Read data sets whole and check their checksums; exit code 1 if one is damaged or missing."""
    from netlet.data import SOURCES, load

    broken = 0
    for name in names or SOURCES:
        try:
            found = load(name, data, download=False)
        except MissingDataError as error:
            if names:
                say(f"netlet: {error}")
                broken += 1
            else:
                result(f"{name}: not here")
            continue
        except DataError as error:
            say(f"netlet: {error}")
            broken += 1
            continue
        sizes = " and ".join(
            f"{len(split):,} {split.name}" for split in (found.train, found.held_out)
        )
        c, h, w = found.shape
        result(
            f"{name}: whole, {sizes} images of {c}x{h}x{w}, {found.classes} classes, SHA-256 {found.digest}"
        )
    raise typer.Exit(1 if broken else 0)


@app.command("show", short_help="Write a contact sheet, so that a person sees what a net sees.")
@only_results
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A data set, or your own.")
    ] = "mnist",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The PNG to write; NAME.png if not given."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", metavar="NAME", help="Beside each row, as this recipe augments it."
        ),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="train, or the held-out one.")
    ] = "train",
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Of the choice of images.")
    ] = 0,
    data: DataFolder = None,
) -> None:
    """Write a contact sheet: a row for each class, ten images, and with --recipe the same ten augmented."""
    from netlet.data import contact_sheet

    augment = recipes.find_recipe(recipe).augment if recipe else None
    found = chosen_images(name, data)
    sheet = contact_sheet(
        found.split(split),
        found.class_names,
        augment,
        seed,
        (f"{found.name} {split}", f"as {recipe} augments it"),
    )
    path = out or Path(f"{found.name.strip('/')}.png")
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be written ({reason}); name a file like sheet.png with --out"
        ) from error
    beside = f", and as {recipe} augments it" if recipe else ""
    result(f"{path}: {sheet.width}x{sheet.height}, {found.name} {split}{beside}")


@app.command("make", short_help="Draw scribble, the built-in data set.")
@only_results
def make(
    what: Annotated[str, typer.Argument(metavar="[scribble]")] = "scribble",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="An .npz; the cache folder if not given."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Of what is drawn; needs --out.")
    ] = 0,
    train: Annotated[
        int, typer.Option("--train", metavar="N", help="Images to train on; needs --out.")
    ] = 60_000,
    test: Annotated[
        int, typer.Option("--test", metavar="N", help="Images to test on; needs --out.")
    ] = 10_000,
) -> None:
    """Draw scribble: into the cache, where '--dataset scribble' finds it, or any of it into an .npz of your own."""
    import time

    from netlet.data import SCRIBBLE, cache_folder, cached_scribble, make_scribble, save_npz

    if what != SCRIBBLE:
        raise DataError(
            f"only {SCRIBBLE} can be made; {what!r} can be got with 'netlet data get {what}'"
        )
    began = time.perf_counter()
    if out is None:
        if (seed, train, test) != (0, 60_000, 10_000):
            raise DataError(
                "the cache holds seed 0, 60,000 and 10,000 images; give --out FILE.npz for others"
            )
        made, place = cached_scribble(cache_folder()), cache_folder()
    else:
        made, place = make_scribble(train, test, seed), out
        save_npz(made, out)
    result(
        f"scribble: {len(made.train):,} train and {len(made.held_out):,} test images in {place}, "
        f"{time.perf_counter() - began:.1f} s, SHA-256 {made.digest}"
    )


def _source(name: str) -> Source:
    from netlet.data import SCRIBBLE, SOURCES

    if name not in SOURCES:
        made = f"; {SCRIBBLE} is made, not downloaded" if name == SCRIBBLE else ""
        hint = did_you_mean(name, SOURCES)
        raise DataError(f"no public data set {name!r}{made}; {hint}there are: {', '.join(SOURCES)}")
    return SOURCES[name]
