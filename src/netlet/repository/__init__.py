"""A course repository: its ``netlet.toml``, and the files that ``netlet init`` writes into it."""

from netlet.repository.settings import (
    FILE_NAME,
    RepositorySettings,
    find_settings,
    find_settings_file,
    load_settings,
    repository_root,
)

__all__ = [
    "FILE_NAME",
    "RepositorySettings",
    "find_settings",
    "find_settings_file",
    "load_settings",
    "repository_root",
]
