"""Images that a net is trained on and scored on as well."""

from __future__ import annotations

import hashlib
from collections import Counter

from netlet.data.dataset import Dataset
from netlet.data.split import Split
from netlet.text import count_noun

_DIGEST_BYTES = 16


def count_repeated(data: Dataset, split: Split | None = None) -> int:
    """Return how many images of a split are training images as well, pixel by pixel.

    Args:
        data: The data set.
        split: The split of it; None: the one that gives the score.
    """
    split = data.held_out if split is None else split
    if split is data.train or not len(split):
        return 0
    known = set(_digests(data.train))
    return sum(digest in known for digest in _digests(split))


def count_repeated_in_folds(data: Dataset, folds: int) -> int:
    """Return how many training images are in another fold as well, pixel by pixel.

    Args:
        data: The data set.
        folds: The number of folds, each of which is held out once.

    Raises:
        DataError: There are too few images for the folds.
    """
    digests = [_digests(data.hold_out_fold(fold, folds).held_out) for fold in range(folds)]
    holders = Counter(digest for own in digests for digest in set(own))
    return sum(holders[digest] > 1 for own in digests for digest in own)


def describe_repeated(repeated: int, split: str, total: int) -> str:
    """Return that images of a split are training images as well, and what to do about it.

    Args:
        repeated: How many, at least one.
        split: The name of the split.
        total: How many images it has.
    """
    verb = "is also a training image" if repeated == 1 else "are also training images"
    return (
        f"{repeated:,} of {count_noun(total, f'{split} image')} {verb}; keep each image in one "
        "split, or the score does not tell how well a net classifies new images"
    )


def _digests(split: Split) -> list[bytes]:
    pixels = split.images.cpu().contiguous().numpy().reshape(len(split), -1)
    return [hashlib.blake2b(one.tobytes(), digest_size=_DIGEST_BYTES).digest() for one in pixels]
