"""Copy the files of a submission that grading needs: plain files, within limits."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from netlet.classroom.file_kinds import (
    STATING,
    WEIGHTS_END,
    describe_without_code,
    find_other_weights,
    find_usual_name,
    is_archive,
    is_pickle,
    is_source,
    is_weights,
    refuse_unread,
)
from netlet.classroom.stated_files import leave_out_folder
from netlet.classroom.zip_files import read_zip
from netlet.display import Displayed
from netlet.errors import GradingError
from netlet.text import escape_controls

if TYPE_CHECKING:
    from netlet.classroom.submissions import Submission

HAND_IN = "hand-in"  # the folder of what a student has chosen, as ``netlet init`` names it
LEFT_OUT_FOLDERS = ("__pycache__", "__MACOSX", "node_modules", "venv", "env", "site-packages")
_MAX_FILES = 2_000
_MAX_FILE_BYTES = 64 << 20
_MAX_BYTES = 256 << 20
_MAX_DEPTH = 12
_CHUNK = 1 << 20
_MOST_NAMES = 5  # in one sentence


@dataclass(frozen=True)
class LeftOut(Displayed):
    """What of a submission is not read, for its report.

    Attributes:
        weights: A sentence on weights of another kind, if there are no others; else empty.
        archive: A sentence on a zip file that is not unpacked, since code lies beside it.
        twins: A sentence each on files in the place of which another one counts.
    """

    weights: str = ""
    archive: str = ""
    twins: tuple[str, ...] = ()


def copy_submission(submission: Submission, target: Path) -> LeftOut:
    """Copy the files of a submission that grading needs into an empty folder.

    These are its Python files, notebooks, weights, claims, ``netlet.toml`` and records of
    runs. Links, devices, hidden files and folders, and all other files are left out. Of a folder
    without code, the files of its only zip file are copied, too; those beside it take precedence,
    since a student or teacher has added them.

    Returns:
        What is not read.

    Raises:
        GradingError: It is a link or a pipe, has too many or too large files, or its zip file is
            damaged, encrypted or compressed in a rare way.
    """
    copied = _Copier(target)
    path, archive = submission.path, ""
    try:
        if path.is_symlink():
            raise GradingError("a link, which could lead anywhere; hand in the file itself")
        if path.is_dir():
            if not any(path.iterdir()):
                raise GradingError("the folder is empty; hand in the files")
            files = list(_walk(path))
            for file, inside in files:
                with open(file, "rb") as content:
                    copied.add(inside, content, file.stat().st_size)
            if any(is_source(inside.name) for _, inside in files):
                archive = next((file.name for file, _ in files if is_archive(file.name)), "")
            else:
                _extract_only_zip([file for file, _ in files], copied)
        elif not path.is_file():  # opening a pipe would wait
            raise GradingError("not a regular file; hand in a file, a folder or a zip file")
        elif is_archive(path.name):
            _extract(path, copied)
        elif not is_source(path.name):
            raise GradingError(refuse_unread(path.name))
        else:
            with open(path, "rb") as content:
                copied.add(PurePosixPath(path.name), content, path.stat().st_size)
    except (OSError, RuntimeError, NotImplementedError, ValueError, EOFError) as error:
        reason = leave_out_folder(str(error), target, path, path.parent)
        raise GradingError(f"the files cannot be read ({reason}); hand them in again") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise GradingError(f"the zip file is damaged ({error}); hand it in again") from error
    if copied.has_only_others():
        raise GradingError(describe_without_code(copied.names))
    weights = copied.describe_weights()
    archive = escape_controls(archive)
    if archive and not weights.startswith(archive):
        archive += (
            " is not unpacked, since code lies beside it; put its files beside it if they belong "
            "to the submission"
        )
    else:
        archive = ""
    return LeftOut(weights, archive, copied.describe_twins())


def digest_files(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of the files in a folder."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{name!r} {content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


class _Copier:
    """Writes files into a folder, within limits."""

    def __init__(self, target: Path) -> None:
        self._target, self._files = target, 0
        self._bytes, self._largest = 0, (0, "")  # in all; of the largest file, with its name
        self.names: dict[str, None] = {}  # of all files but hidden ones
        self._has_weights, self._too_large = False, ""  # the name of a pickle that was left out
        self._written: dict[PurePosixPath, PurePosixPath] = {}  # the path that was given for each
        self._twins: list[tuple[str, str]] = []  # the path that counts, and the other one
        self._archive, self._beside = "", frozenset[PurePosixPath]()
        self._in_archive: list[str] = []  # what differs from the file beside it

    def wants(self, inside: PurePosixPath) -> bool:
        """Return whether a file is of a kind that grading needs; its name is kept."""
        if not _is_hidden(inside):
            self.names[find_usual_name(inside.name)] = None
        return _is_wanted(inside)

    def has_only_others(self) -> bool:
        """Return whether there is no code, and something that is not read."""
        unread = [name for name in self.names if not is_weights(name) and name not in STATING]
        return bool(unread) and not any(map(is_source, unread))

    def describe_weights(self) -> str:
        """Return a sentence on weights that are not read, if there are no others."""
        if self._has_weights:
            return ""
        if self._too_large:
            return (
                f"{self._too_large} is larger than {_MAX_FILE_BYTES >> 20} MiB and is not read; if "
                "it has the weights, hand in net.state_dict() alone"
            )
        other = find_other_weights(self.names)
        return f"{other} is not read; {WEIGHTS_END}: hand in one of these" if other else ""

    def describe_twins(self) -> tuple[str, ...]:
        """Return a sentence each on files in the place of which another one counts."""
        found = [
            f"{counts} and {other} differ, of which {counts} counts; keep only one"
            for counts, other in self._twins[:_MOST_NAMES]
        ]
        names, more = ", ".join(self._in_archive[:_MOST_NAMES]), len(self._in_archive) > 1
        if names:
            which = "those beside it, which count" if more else "the one beside it, which counts"
            found.append(
                f"{names} in {self._archive} {'differ' if more else 'differs'} from {which}; keep "
                "only one"
            )
        return tuple(map(escape_controls, found))

    def open_archive(self, name: str) -> None:
        """Keep all files so far, whatever a zip file beside them holds."""
        self.names.pop(name, None)  # what it holds is there instead
        self._archive, self._beside = name, frozenset(self._written)

    def add(self, inside: PurePosixPath, content: IO[bytes], size: int) -> None:
        """Write one file, if it is of a kind that grading needs, and no other has its place.

        Args:
            inside: Its path in the submission.
            content: What it holds.
            size: The number of bytes that it is said to have. A large pickle is left out by this
                number alone: it is data, such as a set of images, and takes long to read.
        """
        if not self.wants(inside):
            return
        if is_pickle(inside.name) and size > _MAX_FILE_BYTES:
            self._too_large = escape_controls(inside.name)
            return
        self._files += 1
        if self._files > _MAX_FILES:
            raise GradingError(f"more than {_MAX_FILES:,} files; hand in only the net's")
        # What grades a submission knows ".py", and a student may hand in NET.PY or Claim.toml.
        given = inside
        inside = inside.with_name(find_usual_name(given.name))
        path = self._target.joinpath(*inside.parts)
        chunks = self._read(given, content, size)
        if inside in self._written:
            other = b"".join(chunks)
            if other == path.read_bytes() or not self._replaces(inside, given):
                return
            chunks = iter([other])
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.writelines(chunks)
        self._written[inside] = given
        self._has_weights |= is_weights(inside.name)
        # The user in the sandbox is another one.
        path.chmod(0o644)
        for folder in path.relative_to(self._target).parents:
            (self._target / folder).chmod(0o755)

    def _read(self, given: PurePosixPath, content: IO[bytes], stated: int) -> Iterator[bytes]:
        """Yield what a file holds, within the limits.

        Args:
            given: Its path in the submission.
            content: What it holds.
            stated: The number of bytes that it is said to have.

        Raises:
            GradingError: It is too large, or all files are.
        """
        size, before = 0, self._largest
        while chunk := content.read(_CHUNK):
            size += len(chunk)
            self._bytes += len(chunk)
            self._largest = max(before, (size, given.as_posix()))
            if size > _MAX_FILE_BYTES:
                raise _refuse_size("{}", given.as_posix(), max(size, stated))
            if self._bytes > _MAX_BYTES:
                largest, name = max(self._largest, (stated, given.as_posix()))
                raise _refuse_size("the largest, {},", name, largest)
            yield chunk

    def _replaces(self, inside: PurePosixPath, given: PurePosixPath) -> bool:
        """Return whether a file takes the place of another one that differs; both are kept in mind.

        Args:
            inside: The path of both, as grading knows it.
            given: How the new one is called: the usual name takes precedence over others.
        """
        if inside in self._beside:
            self._in_archive.append(given.as_posix())
            return False
        both = (self._written[inside].as_posix(), given.as_posix())
        replaces = given == inside
        self._twins.append(both[::-1] if replaces else both)
        return replaces


def _refuse_size(what: str, name: str, size: int) -> GradingError:
    """Return an error that names a file and its size.

    Args:
        what: How the message calls the file; ``{}`` is its name.
        name: Its path in the submission.
        size: Its number of bytes.
    """
    remedy = "the net's files"
    if is_weights(name):
        remedy += ", and of a checkpoint net.state_dict() alone"
    return GradingError(
        f"the files are too large: at most {_MAX_FILE_BYTES >> 20} MiB a file and "
        f"{_MAX_BYTES >> 20} MiB in all, but {what.replace('{}', escape_controls(name))} has "
        f"{size / (1 << 20):,.1f} MiB; hand in only {remedy}"
    )


def _is_wanted(inside: PurePosixPath) -> bool:
    if inside.is_absolute() or ".." in inside.parts or len(inside.parts) > _MAX_DEPTH:
        return False
    name = find_usual_name(inside.name)
    return not _is_hidden(inside) and (is_source(name) or is_weights(name) or name in STATING)


def _is_hidden(inside: PurePosixPath) -> bool:
    return any(part.startswith(".") or part in LEFT_OUT_FOLDERS for part in inside.parts)


def _walk(folder: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield the regular files in a folder, and their paths in it; links are not followed."""
    for place, folders, files in os.walk(folder, followlinks=False):
        inside = PurePosixPath(os.path.relpath(place, folder))
        kept = [
            name for name in folders if name not in LEFT_OUT_FOLDERS and not name.startswith(".")
        ]
        folders[:] = sorted(kept) if len(inside.parts) < _MAX_DEPTH else []
        for name in sorted(name for name in files if not name.startswith(".")):
            path = Path(place) / name
            if stat.S_ISREG(path.lstat().st_mode):
                yield path, inside / name


def _extract_only_zip(files: Sequence[Path], copied: _Copier) -> None:
    """Copy what the only zip file of a folder without code holds, as in a download of Moodle."""
    archives = [file for file in files if is_archive(file.name)]
    if len(archives) > 1:
        names = ", ".join(file.name for file in archives[:5])
        raise GradingError(
            f"{len(archives)} zip files ({names}) and no Python file or notebook beside them; "
            "hand in one zip file"
        )
    for archive in archives:
        copied.open_archive(archive.name)
        _extract(archive, copied)


def _extract(path: Path, copied: _Copier) -> None:
    """Copy what a zip file holds."""
    for inside, content, size in read_zip(path, copied.wants, 10 * _MAX_FILES):
        copied.add(inside, content, size)


def remove_copy(target: Path) -> None:
    """Remove a copied submission."""
    shutil.rmtree(target, ignore_errors=True)
