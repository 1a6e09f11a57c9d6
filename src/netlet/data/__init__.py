"""Images and labels: read, downloaded, made or brought along; checked, kept as uint8, cut into augmented batches."""

from netlet.data.augment import augment_images
from netlet.data.batches import Preparation, iterate_epoch, eager_preparation, count_steps
from netlet.data.captioned_sheet import draw_captioned_sheet
from netlet.data.dataset import Dataset, Split
from netlet.data.download import DownloadProgress, fetch
from netlet.data.idx import read_idx, write_idx
from netlet.data.loading import DATASET_NAMES, SCRIBBLE, load
from netlet.data.source_files import cache_folder, find_source
from netlet.data.user_images import load_user_images, save_npz
from netlet.data.pictures import read_raw_picture, read_picture
from netlet.data.mnist_frame import prepare_digit
from netlet.data.scribble import load_scribble, make_scribble
from netlet.data.contact_sheet import draw_contact_sheet
from netlet.data.sources import MNIST, SOURCES, Source

__all__ = [
    "MNIST",
    "DATASET_NAMES",
    "SCRIBBLE",
    "SOURCES",
    "Dataset",
    "DownloadProgress",
    "Preparation",
    "Source",
    "Split",
    "augment_images",
    "cache_folder",
    "load_scribble",
    "draw_captioned_sheet",
    "draw_contact_sheet",
    "iterate_epoch",
    "fetch",
    "find_source",
    "load",
    "load_user_images",
    "make_scribble",
    "eager_preparation",
    "prepare_digit",
    "read_raw_picture",
    "read_idx",
    "read_picture",
    "save_npz",
    "count_steps",
    "write_idx",
]
