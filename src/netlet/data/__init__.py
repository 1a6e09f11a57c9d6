"""Images and labels: read, downloaded, made or brought along; checked, kept as uint8, cut into augmented batches."""

from netlet.data.augment import augmented
from netlet.data.batches import Preparation, epoch_of_batches, prepare_eagerly, steps_of
from netlet.data.captioned import captioned_sheet
from netlet.data.dataset import Dataset, Split
from netlet.data.download import Fetching, fetch
from netlet.data.idx import read_idx, write_idx
from netlet.data.loading import NAMES, SCRIBBLE, load
from netlet.data.on_disk import cache_folder, find
from netlet.data.own import load_own, save_npz
from netlet.data.pictures import raw_picture, read_picture
from netlet.data.prepare import prepared
from netlet.data.scribble import cached_scribble, make_scribble
from netlet.data.sheet import contact_sheet
from netlet.data.sources import MNIST, SOURCES, Source

__all__ = [
    "MNIST",
    "NAMES",
    "SCRIBBLE",
    "SOURCES",
    "Dataset",
    "Fetching",
    "Preparation",
    "Source",
    "Split",
    "augmented",
    "cache_folder",
    "cached_scribble",
    "captioned_sheet",
    "contact_sheet",
    "epoch_of_batches",
    "fetch",
    "find",
    "load",
    "load_own",
    "make_scribble",
    "prepare_eagerly",
    "prepared",
    "raw_picture",
    "read_idx",
    "read_picture",
    "save_npz",
    "steps_of",
    "write_idx",
]
