"""Data sets: load, download, generate, check and augment them, and cut them into batches."""

from netlet.data.augment import augment_images
from netlet.data.batches import Preparation, count_steps, eager_preparation, iterate_epoch
from netlet.data.captioned_sheet import draw_captioned_sheet
from netlet.data.contact_sheet import draw_contact_sheet
from netlet.data.dataset import Dataset
from netlet.data.download import DownloadProgress, fetch
from netlet.data.idx import read_idx, write_idx
from netlet.data.loading import DATASET_NAMES, SCRIBBLE, check_name, load, public_name
from netlet.data.mnist_frame import prepare_digit
from netlet.data.npz import save_npz
from netlet.data.pictures import read_digits, read_raw_picture
from netlet.data.recorded_data import prepare_for_record
from netlet.data.repeated_images import count_repeated, describe_repeated
from netlet.data.scribble import load_scribble, make_scribble
from netlet.data.source_files import cache_folder, find_source
from netlet.data.sources import MNIST, SOURCES, Source
from netlet.data.split import Split
from netlet.data.user_images import load_user_images
from netlet.data.whole_picture import frames_characters, read_whole_picture

__all__ = [
    "DATASET_NAMES",
    "MNIST",
    "SCRIBBLE",
    "SOURCES",
    "Dataset",
    "DownloadProgress",
    "Preparation",
    "Source",
    "Split",
    "augment_images",
    "cache_folder",
    "check_name",
    "count_repeated",
    "count_steps",
    "describe_repeated",
    "draw_captioned_sheet",
    "draw_contact_sheet",
    "eager_preparation",
    "fetch",
    "find_source",
    "frames_characters",
    "iterate_epoch",
    "load",
    "load_scribble",
    "load_user_images",
    "make_scribble",
    "prepare_digit",
    "prepare_for_record",
    "public_name",
    "read_digits",
    "read_idx",
    "read_raw_picture",
    "read_whole_picture",
    "save_npz",
    "write_idx",
]
