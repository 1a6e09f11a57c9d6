"""``netlet predict``."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.cli.confidence import calibrate_if_enough, find_confidence
from netlet.cli.datasets import load_net
from netlet.cli.option_groups import OWN_WEIGHTS, WeightOptions
from netlet.cli.options import NET_WITH_WEIGHTS, DataDir, Json, Raw
from netlet.cli.picture_files import check_pictures_fit, read_picture, sees_characters
from netlet.cli.results import print_json, print_result, say
from netlet.errors import DataError
from netlet.outputs import check_output, write_output
from netlet.text import count_noun, format_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netlet.evaluation import Prediction
    from netlet.experiments import TrainedNet
    from netlet.records import Confidence

    Images = list[NDArray[np.uint8]]  # of a picture's digits, H W, left to right; or one, C H W


def predict(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE", help="Pictures: PNG, JPEG, WebP, BMP, GIF, TIFF or PPM files."
        ),
    ],
    net: Annotated[str, typer.Option("--net", metavar="NET", help=NET_WITH_WEIGHTS)] = "crest",
    using: WeightOptions = OWN_WEIGHTS,
    raw: Raw = False,
    show: Annotated[
        Path | None,
        typer.Option(
            "--show", metavar="FILE", help="PNG file to write, with what the net saw of each image."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME|PATH",
            help="Data set to calibrate the confidence with; the one NET was trained on if not "
            "given.",
        ),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Classify pictures of digits, one or several in a row.

    With a net for other classes, pictures of these; a net for color or for another size than 28x28
    sees the middle of each picture. Below a calibrated confidence the answer is 'unsure', with the
    most likely class. Exit code 1 if a picture cannot be read.
    """
    _check_show(show, files)
    trained = load_net(net, using, dataset, data_dir)
    check_pictures_fit(trained, raw=raw)
    pictures, errors = _read(files, trained, raw=raw)
    confidence = None
    if pictures:
        named = dataset or data_dir
        confidence = (
            calibrate_if_enough(trained, dataset, data_dir) if named else find_confidence(trained)
        )
    answers = _classify(pictures, trained, confidence)
    if json:
        entries = [
            entry
            for i, file in enumerate(files)
            for entry in (
                [{"file": str(file), "error": errors[i]}]
                if i in errors
                else [answer.to_dict(file) for answer in answers[i]]
            )
        ]
        head: dict[str, Any] = {"net": net, "mean": trained.mean, "std": trained.std}
        head["calibration"] = confidence.to_dict() if confidence else None
        print_json("predictions", head | {"predictions": entries})
    elif answers:
        kind = "digit" if _are_digits(trained) else "class"
        titles = ("file", kind, "confidence", "runner-up", "its confidence")
        rows = [answer.cells(files[i]) for i in answers for answer in answers[i]]
        # Of weights that come with netlet it is known, and the table alone is easier to read.
        own = trained.run or using.given
        used = (
            f"\nimages normalized with {trained.normalization} (change with --mean and --std)"
            if own
            else ""
        )
        print_result(format_table(titles, rows, "llrlr") + used, lines=True)
    # Last, so that a file that cannot be written costs no answer.
    if show and answers:
        captions = [answer.caption(files[i]) for i in answers for answer in answers[i]]
        _write_sheet(show, [image for images in pictures.values() for image in images], captions)
    raise typer.Exit(1 if errors else 0)


@dataclass(frozen=True)
class Answer:
    """A net's answer for one digit of a picture, with the names of the classes."""

    prediction: Prediction
    names: tuple[str, ...]
    position: int  # of the digit in its picture, from 1 at the left
    digits: int  # in the picture

    def cells(self, file: Path) -> list[str]:
        """Return the answer as a row of the table."""
        answer = self.prediction
        return [
            f"{file}{self._place}",
            self._digit,
            _percent(answer.confidence),
            self.names[answer.runner_up],
            _percent(answer.runner_up_confidence),
        ]

    def caption(self, file: Path) -> list[str]:
        """Return the two lines below the image on the sheet."""
        answer = self.prediction
        text = self._digit if answer.unsure else f"{self._digit}  {_percent(answer.confidence)}"
        return [f"{file.name}{self._place}", text]

    def to_dict(self, file: Path) -> dict[str, Any]:
        """Return the answer as plain values."""
        answer = self.prediction
        return {
            "file": str(file),
            "position": self.position,
            "digits": self.digits,
            "digit": self.names[answer.best],
            "unsure": answer.unsure,
            "confidence": answer.confidence,
            "runner_up": self.names[answer.runner_up],
            "runner_up_confidence": answer.runner_up_confidence,
            "probabilities": dict(zip(self.names, answer.probabilities, strict=True)),
        }

    @property
    def _place(self) -> str:
        return f", {self.position} of {self.digits}" if self.digits > 1 else ""

    @property
    def _digit(self) -> str:
        answer = self.prediction
        name = self.names[answer.best]
        return f"unsure ({name} at {100 * answer.confidence:.0f}%)" if answer.unsure else name


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
    files: Sequence[Path], trained: TrainedNet, *, raw: bool
) -> tuple[dict[int, Images], dict[int, str]]:
    """Read pictures for a net.

    Returns:
        The images of the digits by the picture's position, and the errors of those pictures that
        cannot be read.
    """
    pictures: dict[int, Images] = {}
    errors: dict[int, str] = {}
    for i, file in enumerate(files):
        try:
            pictures[i] = read_picture(file, trained, raw=raw)
        except DataError as error:
            errors[i] = " ".join(str(error).split())
            say(f"netlet: {errors[i]}")
    if not raw and sees_characters(trained):
        odd = [i for i in range(len(files)) if len(pictures.get(i, ())) != 1]
        _suggest_raw([files[i] for i in odd])
    return pictures, errors


def _suggest_raw(files: Sequence[Path]) -> None:
    """Name ``--raw`` if pictures that were refused or divided need not be prepared."""
    from netlet.data import read_raw_picture

    ready = 0
    for file in files:
        with contextlib.suppress(DataError):
            read_raw_picture(file)
            ready += 1
    if ready:
        say(
            f"netlet: {count_noun(ready, 'picture')} of 28x28 pixels refused or divided; pass "
            "--raw if they look like the images that the net was trained on"
        )


def _are_digits(trained: TrainedNet) -> bool:
    return sees_characters(trained) and set(trained.class_names) <= set("0123456789")


def _classify(
    pictures: Mapping[int, Images], trained: TrainedNet, confidence: Confidence | None
) -> dict[int, list[Answer]]:
    from netlet import evaluation

    images = [image for digits in pictures.values() for image in digits]
    predictions = evaluation.predict(
        trained.net, images, trained.recipe, trained.shape[0], confidence
    )
    classes = len(predictions[0].probabilities) if predictions else 0
    # Somebody's net may have more or fewer classes than there are names: numbers, then.
    known = trained.class_names
    names = known if len(known) == classes else tuple(map(str, range(classes)))
    left = iter(predictions)
    return {
        i: [Answer(next(left), names, n, len(digits)) for n in range(1, len(digits) + 1)]
        for i, digits in pictures.items()
    }


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _write_sheet(path: Path, images: Images, captions: list[list[str]]) -> None:
    from netlet.data import draw_captioned_sheet

    content = io.BytesIO()
    draw_captioned_sheet(images, captions).save(content, "PNG")
    write_output(path, content.getvalue(), "--show")
