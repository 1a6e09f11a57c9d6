"""Find submissions, and copy the files that grading needs: plain files, within limits."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from netlet.errors import GradingError

SOURCES = (".py", ".ipynb")
WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
CLAIMS = ("claim.toml", "claim.json")
_KINDS = (*SOURCES, ".zip")
_LEFT_OUT = ("__pycache__", "__MACOSX", "node_modules", "venv", "env", "site-packages")
_MAX_FILES = 2_000
_MAX_FILE_BYTES = 64 << 20
_MAX_BYTES = 256 << 20
_MAX_DEPTH = 12
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Submission:
    """What one student has handed in.

    Attributes:
        name: The name of the file without its ending, or of the folder.
        path: A Python file, a notebook, a folder or a zip file.
    """

    name: str
    path: Path


def list_submissions(folder: Path, *, single: bool = False) -> list[Submission]:
    """Return the submissions in a folder, sorted by name.

    Args:
        folder: A folder with a Python file, notebook, folder or zip file for each student.
        single: Whether ``folder`` is itself one submission, which may be a file, too.

    Raises:
        GradingError: There is no such folder, or it has no submissions.
    """
    if single:
        if not folder.exists():
            raise GradingError(f"{folder}: no such submission; check its path")
        name = folder.resolve().stem if folder.is_file() else folder.resolve().name
        return [Submission(name or "submission", folder)]
    if not folder.is_dir():
        what = "is a file; pass --single to grade it alone" if folder.exists() else "no such folder"
        raise GradingError(f"{folder}: {what}; name the folder with the submissions")
    paths = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and path.name not in _LEFT_OUT
        and (path.is_dir() or path.suffix.lower() in _KINDS)
    ]
    if not paths:
        raise GradingError(
            f"{folder}: has no submissions; put a .py file, notebook, folder or .zip for each "
            "student into it"
        )
    stems = Counter(_stem(path) for path in paths)
    return [Submission(_stem(p) if stems[_stem(p)] == 1 else p.name, p) for p in paths]


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def copy_submission(submission: Submission, target: Path) -> None:
    """Copy the files of a submission that grading needs into an empty folder.

    These are its Python files, notebooks, weights and claims. Links, devices, hidden folders and
    all other files are left out.

    Raises:
        GradingError: It is too large or too deep, or its zip file is damaged or encrypted.
    """
    copied = _Copier(target)
    path = submission.path
    try:
        if path.is_symlink():
            raise GradingError("is a link, which could lead anywhere; hand in the file itself")
        if path.is_dir():
            for file, inside in _walk(path):
                with open(file, "rb") as content:
                    copied.add(inside, content)
        elif path.suffix.lower() == ".zip":
            _extract(path, copied)
        else:
            with open(path, "rb") as content:
                copied.add(PurePosixPath(path.name), content)
    except (OSError, RuntimeError, NotImplementedError, ValueError, EOFError) as error:
        raise GradingError(f"cannot be read ({error}); ask for it again") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise GradingError(f"is a damaged zip file ({error}); ask for it again") from error


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
        self._target, self._bytes, self._files = target, 0, 0

    def add(self, inside: PurePosixPath, content: IO[bytes]) -> None:
        """Write one file, if it is of a kind that grading needs."""
        if not _is_wanted(inside):
            return
        self._files += 1
        if self._files > _MAX_FILES:
            raise GradingError(f"has more than {_MAX_FILES:,} files; hand in only the net's")
        path = self._target.joinpath(*inside.parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            written = 0
            while chunk := content.read(_CHUNK):
                written += len(chunk)
                self._bytes += len(chunk)
                if written > _MAX_FILE_BYTES or self._bytes > _MAX_BYTES:
                    raise GradingError(
                        f"is too large: at most {_MAX_FILE_BYTES >> 20} MiB a file and "
                        f"{_MAX_BYTES >> 20} MiB in all; hand in only the net's files"
                    )
                file.write(chunk)
        # The user in the sandbox is another one.
        path.chmod(0o644)
        for folder in path.relative_to(self._target).parents:
            (self._target / folder).chmod(0o755)


def _is_wanted(inside: PurePosixPath) -> bool:
    if inside.is_absolute() or ".." in inside.parts or len(inside.parts) > _MAX_DEPTH:
        return False
    if any(part.startswith(".") or part in _LEFT_OUT for part in inside.parts):
        return False
    return inside.suffix.lower() in (*SOURCES, *WEIGHTS) or inside.name in CLAIMS


def _walk(folder: Path) -> Iterator[tuple[Path, PurePosixPath]]:
    """Yield the regular files in a folder, and their paths in it; links are not followed."""
    for place, folders, files in os.walk(folder, followlinks=False):
        inside = PurePosixPath(os.path.relpath(place, folder))
        kept = [name for name in folders if name not in _LEFT_OUT and not name.startswith(".")]
        folders[:] = sorted(kept) if len(inside.parts) < _MAX_DEPTH else []
        for name in sorted(files):
            path = Path(place) / name
            if stat.S_ISREG(path.lstat().st_mode):
                yield path, inside / name


def _extract(path: Path, copied: _Copier) -> None:
    """Copy what a zip file holds; its own words on sizes are not believed."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > 10 * _MAX_FILES:
            raise GradingError(f"has {len(entries):,} files; hand in only the net's")
        seen = set()
        for entry in entries:
            inside = PurePosixPath(entry.filename.replace("\\", "/"))
            mode = entry.external_attr >> 16
            is_link = stat.S_IFMT(mode) not in (0, stat.S_IFREG)
            if entry.is_dir() or is_link or inside in seen or not _is_wanted(inside):
                continue
            seen.add(inside)
            with archive.open(entry) as content:
                copied.add(inside, content)


def remove_copy(target: Path) -> None:
    """Remove a copied submission."""
    shutil.rmtree(target, ignore_errors=True)
