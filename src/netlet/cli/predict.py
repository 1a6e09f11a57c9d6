"""``netlet predict``."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.cli.locate import locate_weights
from netlet.cli.options import NET_WITH_WEIGHTS, Json, Trust, Weights
from netlet.cli.results import print_json, print_result, say
from netlet.errors import DataError, NetError
from netlet.outputs import check_output, write_output
from netlet.text import format_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netlet.evaluation import Prediction

_SIZE = (28, 28)


def predict(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE", help="Pictures: PNG, JPEG, WebP, BMP, GIF or TIFF files."),
    ],
    net: Annotated[str, typer.Option("--net", metavar="NET", help=NET_WITH_WEIGHTS)] = "crest",
    weights: Weights = None,
    trust: Trust = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Use the images as they are: 28x28 pixels, light ink on black, as MNIST."
        ),
    ] = False,
    show: Annotated[
        Path | None,
        typer.Option(
            "--show", metavar="FILE", help="PNG file to write, with what the net saw of each image."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Classify pictures of digits, drawn or photographed.

    Exit code 1 if a picture cannot be read.
    """
    from netlet.experiments import load_trained_net

    _check_show(show, files)
    trained = load_trained_net(locate_weights(net), weights, trust=trust)
    if tuple(trained.shape[1:]) != _SIZE:
        c, h, w = trained.shape
        raise NetError(
            f"{net}: takes images of {c}x{h}x{w}, but pictures are prepared as 28x28; "
            "name a net for these"
        )
    images, errors = _read(files, raw=raw)
    answers = _classify(images, trained)
    if json:
        entries = [
            answers[i].to_dict(file) if i in answers else {"file": str(file), "error": errors[i]}
            for i, file in enumerate(files)
        ]
        print_json("predictions", {"net": net, "predictions": entries})
    elif answers:
        head = ("file", "digit", "confidence", "runner-up", "its confidence")
        rows = [[str(files[i]), *answer.cells()] for i, answer in answers.items()]
        print_result(format_table(head, rows, "llrlr"), lines=True)
    # Last, so that a file that cannot be written costs no answer.
    if show and answers:
        captions = [answer.caption(files[i]) for i, answer in answers.items()]
        _write_sheet(show, list(images.values()), captions)
    raise typer.Exit(1 if errors else 0)


@dataclass(frozen=True)
class Answer:
    """A net's answer for one image, with the names of the classes."""

    prediction: Prediction
    names: tuple[str, ...]

    def cells(self) -> list[str]:
        """Return the answer as a row of the table."""
        answer = self.prediction
        return [
            self.names[answer.best],
            _percent(answer.confidence),
            self.names[answer.runner_up],
            _percent(answer.runner_up_confidence),
        ]

    def caption(self, file: Path) -> list[str]:
        """Return the two lines below the image on the sheet."""
        answer = self.prediction
        return [file.name, f"{self.names[answer.best]}  {_percent(answer.confidence)}"]

    def to_dict(self, file: Path) -> dict[str, Any]:
        """Return the answer as plain values."""
        answer = self.prediction
        return {
            "file": str(file),
            "digit": self.names[answer.best],
            "confidence": answer.confidence,
            "runner_up": self.names[answer.runner_up],
            "runner_up_confidence": answer.runner_up_confidence,
            "probabilities": dict(zip(self.names, answer.probabilities, strict=True)),
        }


def _check_show(show: Path | None, files: Sequence[Path]) -> None:
    if show and (show.suffix.lower() != ".png" or show.is_dir()):
        raise DataError(f"{show}: the sheet is a PNG file; name it like seen.png")
    if show and show.resolve() in {file.resolve() for file in files}:
        raise DataError(
            f"{show}: is one of the pictures and would be overwritten; name another with --show"
        )
    if show:
        check_output(show, "--show", files)


def _read(
    files: Sequence[Path], *, raw: bool
) -> tuple[dict[int, NDArray[np.uint8]], dict[int, str]]:
    """Read pictures; return the images by position, and the errors of those that cannot be read."""
    from netlet.data import prepare_digit, read_picture, read_raw_picture

    images: dict[int, NDArray[np.uint8]] = {}
    errors: dict[int, str] = {}
    for i, file in enumerate(files):
        try:
            images[i] = read_raw_picture(file) if raw else prepare_digit(read_picture(file))
        except DataError as error:
            errors[i] = " ".join(str(error).split())
            say(f"netlet: {errors[i]}")
    return images, errors


def _classify(images: Mapping[int, NDArray[np.uint8]], trained: Any) -> dict[int, Answer]:
    from netlet import evaluation

    predictions = evaluation.predict(
        trained.net, list(images.values()), trained.recipe, trained.shape[0]
    )
    classes = len(predictions[0].probabilities) if predictions else 0
    # Somebody's net may have more or fewer classes than there are names: numbers, then.
    known = trained.class_names
    names = known if len(known) == classes else tuple(map(str, range(classes)))
    return {i: Answer(prediction, names) for i, prediction in zip(images, predictions, strict=True)}


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _write_sheet(path: Path, images: list[NDArray[np.uint8]], captions: list[list[str]]) -> None:
    from netlet.data import draw_captioned_sheet

    content = io.BytesIO()
    draw_captioned_sheet(images, captions).save(content, "PNG")
    write_output(path, content.getvalue(), "--show")
