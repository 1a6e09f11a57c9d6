"""Test images of MNIST whose label most annotators reject.

Northcutt, Athalye and Mueller, "Pervasive Label Errors in Test Sets Destabilize Machine Learning
Benchmarks" (NeurIPS 2021, arXiv:2103.14749), showed suspicious test images to five annotators each.
An annotator chose the label, the digit that a net had predicted instead, both or neither. Their
answers for MNIST are ``mturk/mnist_mturk.json`` of https://github.com/cleanlab/label-errors. Of
these images, the ones here have a label that at most two of the five annotators chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from netlet.data.sources import MNIST

ANNOTATORS = 5  # of each image


class DisputedLabel(NamedTuple):
    """What the annotators said of an image: its label, the other digit, and neither of them."""

    label: int
    other: int
    chose_label: int  # annotators
    chose_other: int
    chose_neither: int

    @property
    def rejected(self) -> int:
        """The number of annotators who did not choose the label."""
        return ANNOTATORS - self.chose_label

    def __str__(self) -> str:
        """How many annotators reject the label: ``by 5 of 5``."""
        return f"by {self.rejected} of {ANNOTATORS}"


# By the index of the image in MNIST's test set.
DISPUTED_LABELS: Mapping[int, DisputedLabel] = {
    947: DisputedLabel(8, 9, 0, 5, 0),
    1621: DisputedLabel(0, 6, 2, 3, 0),
    1901: DisputedLabel(9, 4, 2, 3, 0),
    2130: DisputedLabel(4, 9, 2, 2, 1),
    2462: DisputedLabel(2, 0, 0, 4, 1),
    2597: DisputedLabel(5, 3, 0, 4, 1),
    2654: DisputedLabel(6, 1, 0, 2, 3),
    3520: DisputedLabel(6, 4, 2, 0, 3),
    3558: DisputedLabel(5, 0, 1, 4, 0),
    5937: DisputedLabel(5, 3, 1, 3, 1),
    6651: DisputedLabel(0, 6, 0, 5, 0),
    6783: DisputedLabel(1, 6, 2, 3, 0),
    8527: DisputedLabel(4, 9, 2, 2, 1),
    9679: DisputedLabel(6, 3, 2, 0, 3),
    9729: DisputedLabel(5, 6, 2, 3, 0),
}


def disputed_labels(checksums: Mapping[str, str], split: str) -> Mapping[int, DisputedLabel]:
    """Return the disputed labels of a split, by the index of the image; none if it is another one.

    Args:
        checksums: The checksums of the data set's files, as a record has them.
        split: The name of the split; only MNIST's ``test`` has disputed labels.
    """
    own = {file.name: file.md5 for file in (MNIST.test.images, MNIST.test.labels)}
    same = split == "test" and all(checksums.get(name) == md5 for name, md5 in own.items())
    return DISPUTED_LABELS if same else {}
