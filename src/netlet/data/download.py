"""Fetching public data sets: several mirrors, time-outs, retries; a file appears whole and verified, or not at all."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from netlet.data.idx import read_file
from netlet.data.source_files import find_file, verify_checksum
from netlet.data.sources import File, Source
from netlet.errors import DataError, MissingDataError
from netlet.files import write_whole

_TRIES = 3  # of each mirror, where trying again may help
_PAUSE_S = 0.5  # before the second try; twice as long before each further one
_CONNECT_S, _SILENCE_S = 5.0, 15.0  # to be connected; without a byte
_SLOWEST = 5_000  # bytes a second, on average, after a first _SILENCE_S
_CHUNK = 64 * 1024
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class DownloadProgress:
    """Where a download stands."""

    file: str
    mirror: str
    received: int  # bytes
    total: int | None  # bytes, where the server says
    trouble: str = ""  # why this try failed, once it has


OnProgress = Callable[[DownloadProgress], None]


class _PermanentError(Exception):
    """This mirror will not give the file, however often it is asked."""


class _TransientError(Exception):
    """This try failed; the next may not."""


def fetch(source: Source, into: Path, on_progress: OnProgress = lambda _: None) -> Path:
    """Download those files of a data set that ``into`` does not hold whole.

    Any number of processes may do so at once: each file is renamed into its place in one step.
    ``NETLET_OFFLINE``, set to anything, forbids every download; proxies are taken from the
    environment (``HTTPS_PROXY``).

    Args:
        source: What to fetch.
        into: The folder, made if need be.
        on_progress: Hears how each file comes along.

    Returns:
        ``into``.

    Raises:
        MissingDataError: No mirror gave a file, each is named and why; or the folder cannot be
            written to.
    """
    for file in source.files:
        if not _is_whole(into, file):
            _fetch_file(source, file, into, on_progress)
    return into


def _is_whole(folder: Path, file: File) -> bool:
    path = find_file(folder, file)
    if path is None:
        return False
    try:
        verify_checksum(file, read_file(path), path)
    except DataError:
        return False
    return True


def _fetch_file(source: Source, file: File, into: Path, on_progress: OnProgress) -> None:
    remedy = (
        f"put its four IDX files into {into}, or name their folder with --data DIR or NETLET_DATA"
    )
    if os.environ.get("NETLET_OFFLINE"):
        raise MissingDataError(
            f"{source.name}: {file.name} is not here, and NETLET_OFFLINE forbids downloads; unset it, or {remedy}"
        )
    troubles: dict[str, list[str]] = {}  # each trouble once, and who had it
    for mirror in source.mirrors:
        try:
            content = _from_mirror(mirror, file, on_progress)
        except _PermanentError as trouble:
            troubles.setdefault(str(trouble), []).append(mirror)
            continue
        # A server may have unpacked it on the way.
        name = f"{file.name}.gz" if content[:2] == _GZIP else file.name
        try:
            write_whole(into / name, content)
        except OSError as error:
            raise MissingDataError(
                f"{source.name} cannot be kept in {into} ({error.strerror}); get it into another folder with "
                f"'netlet data get {source.name} --to DIR' and name that with --data DIR or NETLET_DATA"
            ) from error
        return
    told = "; ".join(f"{', '.join(mirrors)}: {trouble}" for trouble, mirrors in troubles.items())
    raise MissingDataError(
        f"{source.name}: {file.name} could not be downloaded ({told}); try again later, or {remedy}"
    )


def _from_mirror(mirror: str, file: File, on_progress: OnProgress) -> bytes:
    for i in range(_TRIES):
        if i:
            time.sleep(_PAUSE_S * 2 ** (i - 1))
        try:
            content = _get(mirror, file, on_progress)
            if not _is_the_file(file, content):
                raise _TransientError("another file, or a damaged one")
            return content
        except _TransientError as failure:
            trouble = str(failure)
        except _PermanentError as refusal:
            on_progress(DownloadProgress(file.name, mirror, 0, None, str(refusal)))
            raise
        on_progress(DownloadProgress(file.name, mirror, 0, None, trouble))
    raise _PermanentError(f"{trouble}, {_TRIES} times")


def _is_the_file(file: File, content: bytes) -> bool:
    if content[:2] == _GZIP:
        # A small file may unpack to any size: no more than promised, and one byte, is unpacked
        # here.
        unpacking = zlib.decompressobj(wbits=31)
        try:
            if len(unpacking.decompress(content, file.bytes + 1)) > file.bytes:
                return False
        except zlib.error:
            return False
    try:
        verify_checksum(file, content, Path(file.name))
    except DataError:
        return False
    return True


def _get(mirror: str, file: File, on_progress: OnProgress) -> bytes:
    """What the mirror sends, bounded in size and time."""
    # Here, since no other command needs them.
    import requests
    import urllib3

    most = file.bytes + 65_536  # packed random bytes would grow by less
    began = time.monotonic()
    content = bytearray()
    try:
        with requests.get(
            f"{mirror}{file.name}.gz",
            stream=True,
            timeout=(_CONNECT_S, _SILENCE_S),
            headers={
                "Accept-Encoding": "identity"
            },  # the bytes as they are stored: their checksum is known
        ) as answer:
            if answer.status_code >= 500 or answer.status_code in (408, 429):
                raise _TransientError(f"HTTP {answer.status_code}")
            if answer.status_code != 200:
                raise _PermanentError(f"HTTP {answer.status_code}")
            length = answer.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            # What has come so far, not a full chunk: a server that drips must not go unnoticed.
            while chunk := answer.raw.read1(_CHUNK, decode_content=False):
                content += chunk
                seconds = time.monotonic() - began
                if len(content) > most:
                    raise _PermanentError(f"more than {most:,} bytes")
                if seconds > _SILENCE_S and len(content) / seconds < _SLOWEST:
                    raise _TransientError(f"{len(content):,} bytes in {seconds:.0f} s are too slow")
                on_progress(DownloadProgress(file.name, mirror, len(content), total))
            if total is not None and len(content) < total:
                raise _TransientError(f"cut short after {len(content):,} of {total:,} bytes")
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        if isinstance(error, requests.ConnectTimeout):
            raise _PermanentError(f"no connection within {_CONNECT_S:g} s") from error
        raise _TransientError(f"silent for {_SILENCE_S:g} s") from error
    except urllib3.exceptions.HTTPError as error:
        raise _TransientError(f"cut short after {len(content):,} bytes") from error
    except requests.ConnectionError as error:
        raise _connection_trouble(error) from error
    except requests.RequestException as error:
        raise _PermanentError(type(error).__name__) from error
    return bytes(content)


def _connection_trouble(error: Exception) -> Exception:
    # Which of the many layers knows the reason differs; its words are the same.
    text = str(error)
    if "resolve" in text or "Name or service" in text or "nodename" in text:
        return _PermanentError("its name cannot be resolved; is there a network?")
    if "refused" in text:
        return _PermanentError("connection refused")
    if "certificate" in text.lower():
        return _PermanentError(
            "its certificate is not trusted here; a proxy's own is named with REQUESTS_CA_BUNDLE"
        )
    if "proxy" in text.lower():
        return _PermanentError("the proxy does not let it through")
    return _TransientError("the connection broke")
