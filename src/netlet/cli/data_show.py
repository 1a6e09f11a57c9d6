"""``netlet data show``."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from netlet import catalog
from netlet.cli.datasets import load_dataset
from netlet.cli.locate import input_files
from netlet.cli.options import MAX_SEED, DataDir, DataSplit, Json, dataset_names, recipe_names
from netlet.cli.results import print_json, print_result
from netlet.errors import OutputError
from netlet.outputs import PNG_MARK, check_output, write_output

_SHEET_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".gif": "GIF"}


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="A data set: a name from 'netlet data list', a folder, or an .npz file.",
            autocompletion=dataset_names,
        ),
    ] = "mnist",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="File to write: .png, .jpg, .webp or .gif; NAME.png if not given.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="NAME",
            help="Show each row again, augmented as this recipe does while training.",
            autocompletion=recipe_names,
        ),
    ] = None,
    split: Annotated[
        DataSplit,
        typer.Option("--split", metavar="SPLIT", help="Split to show: train, val or test."),
    ] = DataSplit.TRAIN,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, max=MAX_SEED, help="Seed of the choice of images."
        ),
    ] = 0,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Draw a contact sheet of a data set: ten images per class."""
    from PIL.PngImagePlugin import PngInfo

    from netlet.data import draw_contact_sheet

    if out:
        _check_sheet(out, name, named=True)
    augment = catalog.find_recipe(recipe).augment if recipe else None
    found = load_dataset(name, data_dir)
    captions = (f"{found.name} {split}", f"as {recipe} augments it")
    path = out or Path(f"{found.name.strip('/')}.png")
    _check_sheet(path, name, named=out is not None)
    sheet = draw_contact_sheet(found.split(split.value), found.class_names, augment, seed, captions)
    content = io.BytesIO()
    kind = _SHEET_FORMATS[path.suffix.lower()]
    about = PngInfo()
    about.add_text("Software", "netlet")
    sheet.save(content, kind, **({"pnginfo": about} if kind == "PNG" else {}))
    write_output(path, content.getvalue())
    if json:
        size = {"width": sheet.width, "height": sheet.height}
        shown = {"file": str(path), "name": found.name, "split": split.value}
        print_json("data_show", shown | size)
        return
    augmented = f", and as {recipe} augments it" if recipe else ""
    print_result(f"{path}: {sheet.width}x{sheet.height}, {found.name} {split}{augmented}")


def _check_sheet(path: Path, dataset: str, *, named: bool) -> None:
    """Check that a contact sheet can be written there, before the images are loaded.

    Raises:
        OutputError: It cannot, or its suffix is of no format.
    """
    if path.suffix.lower() not in _SHEET_FORMATS:
        raise OutputError(
            f"{path}: cannot write this format; name a file like sheet.png with --out"
        )
    check_output(path, inputs=input_files(dataset), mark=None if named else PNG_MARK)
