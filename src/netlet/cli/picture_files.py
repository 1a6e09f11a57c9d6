"""Read picture files as the input of a net, for the commands that classify them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from netlet.errors import NetError
from netlet.text import format_shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from netlet.experiments import TrainedNet


def sees_characters(trained: TrainedNet) -> bool:
    """Return whether a net reads characters in MNIST's frame; if not, it sees whole pictures."""
    from netlet.data import frames_characters

    if trained.run is None:
        return frames_characters(trained.shape, None)
    data = trained.run.data
    light = data.get("light_background", False)
    return frames_characters(trained.shape, data["name"], light_background=light)


def check_pictures_fit(trained: TrainedNet, *, raw: bool) -> None:
    """Check that pictures can be prepared for a net.

    Args:
        trained: The net.
        raw: Whether pictures are to be used unchanged.

    Raises:
        NetError: The net has neither 1 nor 3 channels, or does not take images like MNIST's, which
            alone can be used unchanged.
    """
    takes = f"{trained.name}: takes images of {format_shape(trained.shape)}"
    if trained.shape[0] not in (1, 3):
        raise NetError(f"{takes}, but pictures have 1 or 3 channels; name a net for these")
    if raw and not sees_characters(trained):
        raise NetError(
            f"{takes}, but --raw is for images like MNIST's; leave it out, and the middle of "
            "each picture is averaged to that size"
        )


def read_picture(path: Path, trained: TrainedNet, *, raw: bool) -> list[NDArray[np.uint8]]:
    """Read a picture for a net that :func:`check_pictures_fit` has accepted.

    Args:
        path: The file.
        trained: The net.
        raw: Whether to use the picture unchanged.

    Returns:
        The digits in the picture from left to right, ``28 28`` each; for a net that sees whole
        pictures only one image, ``C H W``.

    Raises:
        DataError: The file cannot be read, or there is nothing drawn on it.
    """
    from netlet.data import prepare_digit, read_digits, read_raw_picture, read_whole_picture

    if raw:
        return [read_raw_picture(path)]
    if sees_characters(trained):
        return [prepare_digit(ink) for ink in read_digits(path)]
    return [read_whole_picture(path, trained.shape)]
