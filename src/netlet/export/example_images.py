"""The images that examples of exported programs classify, as C."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from netlet.data import Split
from netlet.export import reference
from netlet.export.c_interface import comment_safe
from netlet.export.inference_graph import InferenceGraph
from netlet.export.input_words import describe_pixels, is_bright_on_dark
from netlet.export.verification import STAND_IN
from netlet.outputs import TEXT_MARK

_MAX_IMAGES = 10
_LINE = 100  # characters in a line of numbers


def choose_images(split: Split) -> Split:
    """Choose the first image of each class, of the first ten classes that have one.

    Args:
        split: Images of the net's shape.
    """
    found = split.labels.unique()[:_MAX_IMAGES].tolist()
    numbers = [int(torch.nonzero(split.labels == k)[0]) for k in found]
    return split.take(torch.tensor(numbers, dtype=torch.int64))


def describe_left_out(chosen: Split, classes: int) -> list[str]:
    """Return a line if the images of an example are not of all classes.

    Args:
        chosen: The images, one of a class.
        classes: The number of classes.
    """
    if len(chosen) == classes:
        return []
    return [f"the example has one image each of {len(chosen)} of the {classes:,} classes"]


def label_by_net(graph: InferenceGraph, split: Split) -> Split:
    """Return images with the classes that a net finds in PyTorch.

    Args:
        graph: The net.
        split: Images of its shape.
    """
    return Split(split.name, split.images, reference.compute_logits(graph, split.images).argmax(1))


def write_images_header(image_set: str, split: Split) -> str:
    """Return the header ``images.h`` of an example.

    Args:
        image_set: The name of the images.
        split: The images and their classes.
    """
    bright = is_bright_on_dark(image_set.partition(" ")[0])  # after the name comes the split
    pixels = describe_pixels(split.images.shape[1], bright=bright)
    classes = ", ".join(str(label) for label in split.labels.tolist())
    labels = "their classes"
    if split.name == STAND_IN:
        labels = "the classes that the net finds in PyTorch"
    return (
        f"/* Images of {comment_safe(image_set)}, {TEXT_MARK.decode()}:\n"
        f"   {pixels};\n   then the numbers of {labels}. */\n"
        "#ifndef IMAGES_H\n#define IMAGES_H\n\n#include <stdint.h>\n\n"
        f"{format_images(split.images.numpy())}"
        f"static const int16_t image_classes[IMAGES] = {{{classes}}};\n\n#endif\n"
    )


def format_images(images: NDArray[np.uint8]) -> str:
    """Return a C array of images, with macros for its size.

    Args:
        images: ``N C H W``, or any shape that begins with ``N``.
    """
    flat = images.reshape(len(images), -1)
    rows = "".join(f"    {{\n{_wrap(image)}    }},\n" for image in flat)
    return (
        f"#define IMAGES {len(flat)}\n"
        f"static const uint8_t images[IMAGES][{flat.shape[1]}] = {{\n{rows}}};\n"
    )


def _wrap(image: NDArray[np.uint8]) -> str:
    lines, line = [], ""
    for value in image.tolist():
        if len(line) + 5 > _LINE:
            lines.append(line.rstrip())
            line = ""
        line += f"{value}, "
    return "".join(f"        {line}\n" for line in [*lines, line.rstrip()])
