"""``netlet predict``."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.cli.options import Json
from netlet.cli.results import result, result_json, say
from netlet.errors import DataError, NetError
from netlet.text import table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netlet.evaluation import Prediction

_SIDES = (28, 28)


def predict(
    files: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="PNG, JPEG, WebP, BMP, GIF or TIFF.")
    ],
    net: Annotated[
        str,
        typer.Option(
            "--net",
            metavar="NET|RUN",
            help="An experiment or net, file.py:Name, or a run's folder.",
        ),
    ] = "crest",
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", metavar="FILE", help="A safetensors file, or a .pt of a state_dict."
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="The images are 28x28, light on dark, as MNIST's are.")
    ] = False,
    show: Annotated[
        Path | None,
        typer.Option(
            "--show", metavar="FILE", help="Write a PNG of what the net saw of each image."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say which digit is on each picture, how surely, and what else it might be; exit code 1 if one cannot be read."""
    from netlet import evaluation
    from netlet.data import prepared, raw_picture, read_picture
    from netlet.experiments import trained_net

    if show and (show.suffix.lower() != ".png" or show.is_dir()):
        raise DataError(f"{show}: what the net saw is written as PNG; name it like seen.png")
    if show and show.resolve() in {file.resolve() for file in files}:
        raise DataError(
            f"{show}: is one of the pictures, and would be written over; name another with --show"
        )
    trained = trained_net(net, weights)
    if tuple(trained.shape[1:]) != _SIDES:
        c, h, w = trained.shape
        raise NetError(
            f"{net}: looks at images of {c}x{h}x{w}; pictures are prepared as 28x28, name a net for these"
        )
    seen: dict[int, NDArray[np.uint8]] = {}
    errors: dict[int, str] = {}
    for i, file in enumerate(files):
        try:
            seen[i] = raw_picture(file) if raw else prepared(read_picture(file))
        except DataError as error:
            errors[i] = " ".join(str(error).split())
            say(f"netlet: {errors[i]}")
    answers = dict(
        zip(
            seen,
            evaluation.predict(trained.net, list(seen.values()), trained.recipe, trained.shape[0]),
            strict=True,
        )
    )
    names = _names(
        trained.class_names, next((len(answer.probabilities) for answer in answers.values()), 0)
    )
    if json:
        result_json(
            [
                _entry(file, answers[i], names)
                if i in answers
                else {"file": str(file), "error": errors[i]}
                for i, file in enumerate(files)
            ]
        )
    elif answers:
        rows = [
            [
                str(files[i]),
                names[a.best],
                _percent(a.confidence),
                names[a.runner_up],
                _percent(a.runner_up_confidence),
            ]
            for i, a in answers.items()
        ]
        result(table(("file", "digit", "confidence", "runner-up", "its confidence"), rows, "llrlr"))
    # Last, so that a place that cannot be written to costs no answer.
    if show and answers:
        _write_sheet(
            show, list(seen.values()), [_caption(files[i], answers[i], names) for i in answers]
        )
    raise typer.Exit(1 if errors else 0)


def _names(known: tuple[str, ...], classes: int) -> tuple[str, ...]:
    """Numbers where somebody's net tells more or fewer classes than there are names."""
    return known if len(known) == classes else tuple(map(str, range(classes)))


def _entry(file: Path, answer: Prediction, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "file": str(file),
        "digit": names[answer.best],
        "confidence": answer.confidence,
        "runner_up": names[answer.runner_up],
        "runner_up_confidence": answer.runner_up_confidence,
        "probabilities": dict(zip(names, answer.probabilities, strict=True)),
    }


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _caption(file: Path, answer: Prediction, names: tuple[str, ...]) -> list[str]:
    return [file.name, f"{names[answer.best]}  {_percent(answer.confidence)}"]


def _write_sheet(path: Path, images: list[NDArray[np.uint8]], captions: list[list[str]]) -> None:
    from netlet.data import captioned_sheet
    from netlet.files import write_whole

    content = io.BytesIO()
    captioned_sheet(images, captions).save(content, "PNG")
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); name another with --show"
        ) from error
