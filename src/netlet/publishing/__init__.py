"""Folders for the Hugging Face Hub: a model with its card, and a Space with the page to draw on."""

from netlet.publishing.model_folder import Published, build_model_folder
from netlet.publishing.record import NetRecord, find_record
from netlet.publishing.space_folder import build_space_folder
from netlet.publishing.upload import check_upload, upload

__all__ = [
    "NetRecord",
    "Published",
    "build_model_folder",
    "build_space_folder",
    "check_upload",
    "find_record",
    "upload",
]
