"""Read JSON strictly: bounded in size and depth, each key once, every number finite."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netlet.errors import DamagedRecordError
from netlet.files import read_regular
from netlet.text import escape_controls

MAX_BYTES = 32 * 2**20  # 1,000 seeds with 1,000 mistakes each
MAX_CONTAINERS = 2_000_000  # lists and objects; more of them would need gigabytes of memory
MAX_DEPTH = 20
_MAX_DIGITS = 25  # of a whole number
_RESTORE = "restore the file from a copy, or delete it and run the command again"


def load_json(path: Path, what: str = "the JSON of a record") -> Any:
    """Return the value in a JSON file.

    Args:
        path: The path of the file.
        what: The kind of record that is expected, for the error message.

    Raises:
        DamagedRecordError: There is no such file, it is not a regular file, it is too large, or
            :func:`parse_json` refuses its content.
    """
    return parse_json(read_text(path), path, what)


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a record's file.

    Raises:
        DamagedRecordError: There is no such file, it is not a regular file, it is too large, or it
            is not UTF-8.
    """
    content = read_regular(path, max_bytes, DamagedRecordError)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedRecordError(
            f"{path}: expected UTF-8 text, found byte {content[error.start]} at position"
            f" {error.start}; {_RESTORE}"
        ) from error


def parse_json(text: str, path: Path | str, what: str = "the JSON of a record") -> Any:
    """Return the value of a JSON text.

    Args:
        text: The content of the file.
        path: The path of the file, for error messages.
        what: The kind of record that is expected, for error messages.

    Raises:
        DamagedRecordError: The text is not JSON, is too large or too deep, has a key twice in an
            object, or a number that is not finite or too long.
    """
    if len(text) > MAX_BYTES or text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise DamagedRecordError(
            f"{path}: expected {what}, found more than netlet ever writes"
            f" ({len(text):,} characters); {_RESTORE}"
        )
    try:
        value = json.loads(
            text,
            object_pairs_hook=_make_object,
            parse_constant=_refuse_constant,
            parse_float=_parse_float,
            parse_int=_parse_int,
        )
    except json.JSONDecodeError as error:
        if str(path).endswith(".py"):
            name = Path(path).name
            raise DamagedRecordError(
                f"{path}: is Python code, not {what}; name the folder of a study or a run, such as "
                f"studies/{name}_Net or runs/{name}_Net-seed0"
            ) from error
        raise DamagedRecordError(
            f"{path}: expected {what}, found broken JSON (line {error.lineno}, column"
            f" {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}); {_RESTORE}"
        ) from error
    except _RefusedError as error:
        raise DamagedRecordError(f"{path}: expected {what}, found {error}; {_RESTORE}") from error
    except RecursionError as error:
        raise _too_deep(path, what) from error
    if any(depth > MAX_DEPTH for depth, _ in _walk(value)):
        raise _too_deep(path, what)
    if isinstance(value, dict) and {"schema", "kind"} <= value.keys():
        raise DamagedRecordError(
            f"{path}: is output of --json, not {what}; name the folder of a study or a run, or the "
            "record in it"
        )
    return value


class _RefusedError(Exception):
    """What a JSON text holds that a record must not."""


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _RefusedError(f"the key {shorten(twice)} twice in one object")
    return made


def _refuse_constant(name: str) -> None:
    raise _RefusedError(f"{name}, which is not a finite number")


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _RefusedError(f"{text[:40]}, which is not a finite number")
    return value


def _parse_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise _RefusedError(f"a number of {len(text):,} digits")
    return int(text)


def _too_deep(path: Path | str, what: str) -> DamagedRecordError:
    return DamagedRecordError(
        f"{path}: expected {what}, found values nested more than {MAX_DEPTH} deep; {_RESTORE}"
    )


def _walk(value: Any) -> Iterator[tuple[int, Any]]:
    """Yield all values inside a value with their depths."""
    left = [(0, value)]
    while left:
        depth, one = left.pop()
        yield depth, one
        if depth <= MAX_DEPTH and isinstance(one, dict | list):
            inner = one.values() if isinstance(one, dict) else one
            left += [(depth + 1, item) for item in inner if isinstance(item, dict | list)]


def shorten(value: Any) -> str:
    """Return a value from a file for an error message: as JSON, in one short line."""
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = escape_controls(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 60 else f"{text[:57]}..."
