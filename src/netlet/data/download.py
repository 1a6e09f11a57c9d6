"""Download public data sets from mirrors; a file appears complete and verified or not at all."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netlet.data.source_files import find_file, read_stored, verify_checksum
from netlet.data.sources import File, Source
from netlet.errors import DataError, MissingDataError, OutputError
from netlet.files import remove_unfinished, write_atomic
from netlet.locks import LOCK, find_holder, lock_folder

if TYPE_CHECKING:
    import requests

_LOCK_WAIT_S = 30.0  # for another process that downloads into the same folder
_ATTEMPTS = 3  # per mirror, for errors that may be temporary
_PAUSE_S = 0.5  # before the second attempt; doubled before each further one
_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 5.0, 15.0
_MIN_BYTES_PER_S = 5_000  # on average, once _READ_TIMEOUT_S has passed
_CHUNK_BYTES = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class DownloadProgress:
    """The state of a download.

    Attributes:
        file: The name of the file.
        mirror: The URL it is downloaded from.
        received: Bytes so far.
        total: Bytes in all, if the server announces them.
        error: The reason why this attempt failed; empty while it runs.
    """

    file: str
    mirror: str
    received: int
    total: int | None
    error: str = ""


OnProgress = Callable[[DownloadProgress], None]


class _PermanentError(Exception):
    """The mirror does not serve the file; another attempt would not help."""


class _TransientError(Exception):
    """This attempt failed; the next may succeed."""


def fetch(source: Source, into: Path, on_progress: OnProgress = lambda _: None) -> Path:
    """Download the files of a data set that are missing or damaged in a folder.

    Of several processes, one downloads the files and the others wait for it.
    Setting ``NETLET_OFFLINE`` to any value forbids downloads. Proxies are read from the environment
    (``HTTPS_PROXY``).

    Args:
        source: The data set.
        into: The folder; created if it does not exist.
        on_progress: A function called with the state of the download, and with each failed attempt.

    Returns:
        ``into``.

    Raises:
        MissingDataError: A file could not be downloaded from any mirror (each is named, with the
            reason), or the folder cannot be written to.
    """
    missing = [file for file in source.files if not _is_valid(into, file)]
    if not missing:
        find_holder(into / LOCK)  # removes the lock of a process that died after the last file
        return into
    if os.environ.get("NETLET_OFFLINE"):
        raise MissingDataError(
            f"{source.name}: {missing[0].name} is missing, and NETLET_OFFLINE forbids downloads; "
            f"unset it, or {_remedy(into)}"
        )
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock_folder(into, "netlet data get", _LOCK_WAIT_S))
        except OutputError as error:
            reason = getattr(error.__cause__, "strerror", error)
            raise _not_saved(source, into, reason) from error
        remove_unfinished(into, older_than_s=0)  # nobody else writes there
        for file in missing:
            if not _is_valid(into, file):  # another process may have downloaded it
                _fetch_file(source, file, into, on_progress)
    return into


def _remedy(into: Path) -> str:
    return (
        f"put its four IDX files into {into}, or name their folder with --data-dir DIR "
        "(in Python folder=DIR) or NETLET_DATA"
    )


def _not_saved(source: Source, into: Path, reason: object) -> MissingDataError:
    return MissingDataError(
        f"{source.name} cannot be saved in {into} ({reason}); "
        f"download it elsewhere with 'netlet data get {source.name} --out DIR' and name "
        "that folder with --data-dir DIR (in Python folder=DIR) or NETLET_DATA"
    )


def _is_valid(folder: Path, file: File) -> bool:
    path = find_file(folder, file)
    if path is None:
        return False
    try:
        verify_checksum(file, read_stored(file, path), path)
    except DataError:
        return False
    return True


def _fetch_file(source: Source, file: File, into: Path, on_progress: OnProgress) -> None:
    failures: dict[str, list[str]] = {}  # the mirrors that failed, by reason
    for mirror in source.mirrors:
        try:
            content = _download_with_retries(mirror, file, on_progress)
        except _PermanentError as error:
            failures.setdefault(str(error), []).append(mirror)
            continue
        # A server may have decompressed the file.
        name = f"{file.name}.gz" if content[:2] == _GZIP_MAGIC else file.name
        try:
            write_atomic(into / name, content)
        except OSError as error:
            raise _not_saved(source, into, error.strerror) from error
        return
    reasons = "; ".join(f"{', '.join(mirrors)}: {reason}" for reason, mirrors in failures.items())
    raise MissingDataError(
        f"{source.name}: {file.name} could not be downloaded ({reasons}); "
        f"try again later, or {_remedy(into)}"
    )


def _download_with_retries(mirror: str, file: File, on_progress: OnProgress) -> bytes:
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_S * 2 ** (attempt - 1))
        try:
            content = _download(mirror, file, on_progress)
            if not _has_right_checksum(file, content):
                raise _TransientError("a wrong or damaged file")
            return content
        except _TransientError as error:
            reason = str(error)
        except _PermanentError as error:
            on_progress(DownloadProgress(file.name, mirror, 0, None, str(error)))
            raise
        on_progress(DownloadProgress(file.name, mirror, 0, None, reason))
    raise _PermanentError(f"{reason}, {_ATTEMPTS} times")


def _has_right_checksum(file: File, content: bytes) -> bool:
    try:
        verify_checksum(file, content, Path(file.name))
    except DataError:
        return False
    return True


def _download(mirror: str, file: File, on_progress: OnProgress) -> bytes:
    """Return what a mirror sends, limited in size and time."""
    # Imported here, since no other command needs them.
    import requests
    import urllib3

    content = bytearray()
    try:
        with requests.get(
            f"{mirror}{file.name}.gz",
            stream=True,
            timeout=(_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S),
            # The bytes as they are stored, since the checksum is that of the .gz.
            headers={"Accept-Encoding": "identity"},
        ) as response:
            _receive(response, file, mirror, content, on_progress)
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        if isinstance(error, requests.ConnectTimeout):
            raise _PermanentError(f"no connection within {_CONNECT_TIMEOUT_S:g} s") from error
        raise _TransientError(f"no data for {_READ_TIMEOUT_S:g} s") from error
    except urllib3.exceptions.HTTPError as error:
        raise _TransientError(f"cut short after {len(content):,} bytes") from error
    except requests.ConnectionError as error:
        raise _classify_connection_error(error) from error
    except requests.RequestException as error:
        raise _PermanentError(type(error).__name__) from error
    return bytes(content)


def _receive(
    response: requests.Response,
    file: File,
    mirror: str,
    content: bytearray,
    on_progress: OnProgress,
) -> None:
    """Append the body of a response to ``content``."""
    if response.status_code >= 500 or response.status_code in (408, 429):
        raise _TransientError(f"HTTP {response.status_code}")
    if response.status_code != 200:
        raise _PermanentError(f"HTTP {response.status_code}")
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    max_bytes = file.bytes + 65_536  # gzip makes random bytes longer, but by less than this
    start = time.monotonic()
    # read1 returns what has arrived instead of waiting for a full chunk, so that a server that
    # sends a few bytes at a time is noticed.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        content += chunk
        seconds = time.monotonic() - start
        if len(content) > max_bytes:
            raise _PermanentError(f"more than {max_bytes:,} bytes")
        if seconds > _READ_TIMEOUT_S and len(content) / seconds < _MIN_BYTES_PER_S:
            raise _TransientError(f"too slow, {len(content):,} bytes in {seconds:.0f} s")
        on_progress(DownloadProgress(file.name, mirror, len(content), total))
    if total is not None and len(content) < total:
        raise _TransientError(f"cut short after {len(content):,} of {total:,} bytes")


def _classify_connection_error(error: Exception) -> Exception:
    # The exception that holds the reason lies at varying depth; the text always contains it.
    text = str(error)
    if "resolve" in text or "Name or service" in text or "nodename" in text:
        return _PermanentError("cannot resolve the host name; is there a network?")
    if "refused" in text:
        return _PermanentError("connection refused")
    if "certificate" in text.lower():
        return _PermanentError(
            "its certificate is not trusted; name a proxy's own certificate with REQUESTS_CA_BUNDLE"
        )
    if "proxy" in text.lower():
        return _PermanentError("the proxy rejects the connection")
    return _TransientError("the connection broke")
