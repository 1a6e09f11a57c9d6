"""TOML files that a person writes: read within limits, and refused in one line with the place."""

from netlet.toml_files.reading import TomlFile, parse_toml, read_toml
from netlet.toml_files.values import WrongValueError, check_keys, fail, show_value

__all__ = [
    "TomlFile",
    "WrongValueError",
    "check_keys",
    "fail",
    "parse_toml",
    "read_toml",
    "show_value",
]
