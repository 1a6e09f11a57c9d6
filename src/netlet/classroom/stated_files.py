"""Find and read what a student says of the net: claims, and netlet's own small files."""

from __future__ import annotations

import codecs
import filecmp
from pathlib import Path

from netlet.classroom.file_kinds import CLAIMS, RECORD
from netlet.errors import GradingError
from netlet.files import read_regular


def read_text(path: Path, max_bytes: int, folder: Path) -> str:
    """Return the text of a small file of a student; Windows may write a byte order mark.

    Args:
        path: The file.
        max_bytes: The largest size to accept.
        folder: The folder of the submission, which messages leave out.

    Raises:
        GradingError: It is too large, or is not UTF-8.
    """
    remedy = "write only the keys that netlet reads into it"
    if path.name == RECORD:
        remedy = "copy it from the folder of the run again"
    try:
        content = read_regular(path, max_bytes, GradingError, remedy)
    except GradingError as error:
        raise GradingError(leave_out_folder(str(error), folder)) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = path.relative_to(folder).as_posix()
        raise GradingError(f"{name}: is saved as UTF-16; save it as UTF-8")
    return content.decode("utf-8-sig", "replace")


def leave_out_folder(message: str, *folders: Path) -> str:
    """Return a message in which the files of some folders are named relative to these."""
    for folder in folders:
        if folder.name:  # not of "." and "/"
            message = message.replace(f"{folder}/", "").replace(f"'{folder}'", "the submission")
    return message


def find_claim(folder: Path) -> tuple[Path | None, str]:
    """Return the claim of a submission, None without one, and what is wrong with its choice.

    That of the topmost folder counts, and ``claim.toml`` before ``claim.json``.

    Args:
        folder: The folder of the submission.
    """
    files = [file for name in CLAIMS for file in folder.rglob(name) if file.is_file()]
    files.sort(key=lambda file: (len(file.parts), CLAIMS.index(file.name), file))
    beside = [file for file in files if len(file.parts) == len(files[0].parts)]
    if all(filecmp.cmp(files[0], file, shallow=False) for file in beside[1:]):
        return (files[0] if files else None), ""
    names = [file.relative_to(folder).as_posix() for file in beside]
    return files[0], (
        f"{len(names)} claims that differ ({', '.join(names[:5])}), of which {names[0]} counts; "
        "keep only one"
    )
