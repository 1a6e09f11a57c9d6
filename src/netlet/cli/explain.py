"""``netlet explain``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet.cli.datasets import load_dataset, load_net
from netlet.cli.evaluate import load_images_of_run
from netlet.cli.option_groups import OWN_WEIGHTS, WeightOptions
from netlet.cli.options import (
    FORMATS,
    DataDir,
    DatasetOfNet,
    Json,
    Raw,
    TrainedNet,
)
from netlet.cli.picture_files import check_pictures_fit, read_picture
from netlet.cli.progress import show_phases
from netlet.cli.results import print_files, print_json
from netlet.errors import DataError, NetError
from netlet.outputs import HTML_MARK, check_output, check_output_folder

if TYPE_CHECKING:
    import torch

    from netlet.data import Dataset
    from netlet.data.disputed_labels import DisputedLabel
    from netlet.evaluation import Explanation
    from netlet.experiments import TrainedNet as NetWithWeights

MOST_IMAGES = 12
_NUMBERED = re.compile(r"(?:\w+:)?(\d{1,9})")  # 17, and other splits than these
_OF_DATASET = re.compile(r"(train|val|test(?:50k)?):(\d{1,9})")  # test:17


def explain(
    net: TrainedNet,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE",
            help="Up to 12 picture files or images of the data set, counted from 0: test:17 is the "
            "18th.",
        ),
    ],
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="CLASS",
            help="Class to explain beside the prediction, by name; the runner-up if not given.",
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="NAME",
            help="Layer for Grad-CAM, like conv3; the last one with feature maps if not given.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help=f"File to write, {FORMATS}; explain.html if not given.",
        ),
    ] = None,
    using: WeightOptions = OWN_WEIGHTS,
    raw: Raw = False,
    dataset: DatasetOfNet = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what a net sees in images: Grad-CAM and feature maps.

    Grad-CAM shows where in an image the net finds a class: the predicted class, and the runner-up
    or the class of --class. The page also has the feature maps of every layer. It needs the extra
    'report' (pip install '.[report]' in a checkout).
    """
    from netlet.report.page import check_suffix

    mark = HTML_MARK if out is None else None
    out = out or Path("explain.html")
    check_suffix(out)
    files = [Path(name) for name in images if not _is_of_dataset(name)]
    check_output(out, inputs=files, mark=mark)
    if out.suffix == ".md":
        check_output_folder(out.with_suffix(""))  # of its figures

    from netlet.report import explain_page, write

    trained = load_net(net, using, dataset, data_dir)
    chosen = _read(images, trained, dataset, data_dir, raw=raw)
    if len(chosen) > MOST_IMAGES:
        raise DataError(
            f"{len(chosen)} images are too many for one page; name at most {MOST_IMAGES}"
        )
    with show_phases() as on_progress:
        on_progress("drawing the page")
        found, names = _explain(trained, _stack(chosen), class_, layer)
        classes = len(names)
        title = f"{trained.name}: what it sees"
        # Of a class that the net does not have, there is no name.
        chosen = [
            replace(one, label=None, disputed=None) if (one.label or 0) >= classes else one
            for one in chosen
        ]
        labels = [one.label for one in chosen]
        disputed = [one.disputed for one in chosen]
        page = explain_page(found, title, [one.name for one in chosen], names, labels, disputed)
        written = write(page, out)
    if json:
        entries = _to_entries(chosen, found, names)
        values = {"net": net, "layer": found.layer, "files": [str(file) for file in written]}
        print_json("explanation", {**values, "images": entries})
    else:
        print_files(written, out)


@dataclass(frozen=True)
class Chosen:
    """An image that is explained."""

    name: str
    image: torch.Tensor  # uint8 C H W
    label: int | None
    disputed: DisputedLabel | None = None  # if most annotators reject the label


def _is_of_dataset(name: str) -> bool:
    return bool(_OF_DATASET.fullmatch(name)) and not Path(name).exists()


def _explain(
    trained: NetWithWeights, images: torch.Tensor, class_: str | None, layer: str | None
) -> tuple[Explanation, Sequence[str]]:
    """Return the explanation of some images, and the names of the net's classes.

    Raises:
        NetError: The net has no such class or layer, or cannot be explained.
    """
    from netlet import evaluation

    found = evaluation.explain(trained.net, images, trained.recipe, layer=layer)
    # Somebody's net may have more or fewer classes than there are names: numbers, then.
    classes = found.probabilities.shape[1]
    known = trained.class_names
    names = known if len(known) == classes else tuple(map(str, range(classes)))
    if class_ is not None:
        target = _find_class(class_, names)
        found = evaluation.explain(trained.net, images, trained.recipe, target=target, layer=layer)
    return found, names


def _find_class(name: str, names: Sequence[str]) -> int:
    """Return the number of a class.

    Raises:
        NetError: There is no class of this name.
    """
    if name not in names:
        raise NetError(f"no class {name!r}; the classes are {', '.join(names)}")
    return names.index(name)


def _read(
    names: Sequence[str],
    trained: NetWithWeights,
    dataset: str | None,
    data_dir: Path | None,
    *,
    raw: bool,
) -> list[Chosen]:
    """Read images of files and of the data set, in the order in which they were named."""
    loaded: Dataset | None = None
    if any(map(_is_of_dataset, names)):
        if trained.run:
            loaded = load_images_of_run(trained.run, dataset, data_dir, None, None)
        else:
            loaded = load_dataset(dataset or "mnist", data_dir, trained.shape[0])
        if loaded.shape != trained.shape:
            c, h, w = trained.shape
            raise NetError(
                f"{trained.name} takes images of {c}x{h}x{w}, and {loaded.name} has others; name "
                "its own data set with --dataset"
            )
    chosen: list[Chosen] = []
    for name in names:
        if loaded and _is_of_dataset(name):
            chosen.append(_choose(name, loaded))
        elif (number := _NUMBERED.fullmatch(name)) and not Path(name).exists():
            raise DataError(
                f"{name}: no such file; for an image of the data set, write test:{number[1]}"
            )
        else:
            chosen += _read_file(Path(name), trained, raw=raw)
    return chosen


def _choose(name: str, images: Dataset) -> Chosen:
    """Return an image of a data set.

    Raises:
        DataError: There is no such split or image.
    """
    from netlet.data.disputed_labels import disputed_labels

    split_name, _, text = name.partition(":")
    split, number = images.split(split_name), int(text)
    if number >= len(split):
        raise DataError(
            f"{name}: {images.name} has {len(split):,} {split_name} images; name one from "
            f"{split_name}:0 to {split_name}:{len(split) - 1}"
        )
    disputed = disputed_labels(images.checksums, split.name).get(number)
    return Chosen(name, split.images[number], int(split.labels[number]), disputed)


def _read_file(path: Path, trained: NetWithWeights, *, raw: bool) -> list[Chosen]:
    """Return the images of a net in a picture.

    Raises:
        DataError: The picture cannot be read.
        NetError: Pictures cannot be prepared for the net.
    """
    import torch

    check_pictures_fit(trained, raw=raw)
    found = read_picture(path, trained, raw=raw)
    return [
        Chosen(
            path.name if len(found) == 1 else f"{path.name}, {n} of {len(found)}",
            torch.from_numpy(image).expand(*trained.shape),
            None,
        )
        for n, image in enumerate(found, start=1)
    ]


def _stack(chosen: Sequence[Chosen]) -> torch.Tensor:
    import torch

    return torch.stack([one.image for one in chosen])


def _to_entries(
    chosen: Sequence[Chosen], found: Explanation, names: Sequence[str]
) -> list[dict[str, object]]:
    """Return the answer for each image as plain values."""
    return [
        {
            "image": one.name,
            "label": None if one.label is None else names[one.label],
            "label_rejected_by": None if one.disputed is None else one.disputed.rejected,
            "predicted": names[int(found.predicted.classes[i])],
            "explained": names[int(found.other.classes[i])],
            "probabilities": dict(zip(names, found.probabilities[i].tolist(), strict=True)),
        }
        for i, one in enumerate(chosen)
    ]
