"""Images and labels: read from IDX files, checked, kept as uint8, cut into augmented batches."""

from netlet.data.augment import affine
from netlet.data.batches import epoch_of_batches
from netlet.data.dataset import Dataset, Split
from netlet.data.idx import read_idx, write_idx
from netlet.data.sources import MNIST, SOURCES, Source, load

__all__ = [
    "MNIST",
    "SOURCES",
    "Dataset",
    "Source",
    "Split",
    "affine",
    "epoch_of_batches",
    "load",
    "read_idx",
    "write_idx",
]
