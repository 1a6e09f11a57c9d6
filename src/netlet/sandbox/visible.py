"""What a sandbox shows of the machine: the system's libraries, Python and netlet, read-only."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import netlet.errors

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
# Of /etc only what finds libraries: its other files say much about the machine.
_SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime")
_PROCESSORS = "/sys/devices/system/cpu"  # PyTorch reads how many there are
_INSTALLED = ("site-packages", "dist-packages")
_WEIGHTS = ("netlet", "nets", "trained")  # in the folder that netlet is imported from


@dataclass(frozen=True)
class View:
    """What is visible inside.

    Attributes:
        folders: Files and folders that have the same path inside.
        links: Links by their path, and where each leads to.
    """

    folders: tuple[str, ...]
    links: dict[str, str]


def view_of_system() -> View:
    """Return what Python and netlet need of this machine; no home, no data, no other program's."""
    folders = [path for path in _SYSTEM if os.path.isdir(path) and not os.path.islink(path)]
    links = {path: os.readlink(path) for path in _SYSTEM if os.path.islink(path)}
    folders += [f"/etc/{name}" for name in _SETTINGS if os.path.exists(f"/etc/{name}")]
    if os.path.isdir(_PROCESSORS):
        folders.append(_PROCESSORS)
    folders += [path for path in _python_folders() if _is_harmless(path)]
    return View(tuple(_drop_nested(folders)), links)


def find_trained_weights(view: View) -> list[str]:
    """Return where the folder of netlet's trained weights is in a view.

    No code inside needs it, and a submission could score with the weights of another net.
    """
    weights = os.path.join(package_folder(), *_WEIGHTS)
    if not os.path.isdir(weights):
        return []
    found = set()
    for path in view.folders:
        real = os.path.realpath(path)
        if weights.startswith(f"{real}/"):
            found.add(path + weights.removeprefix(real))
    return sorted(found)


def package_folder() -> str:
    """Return the folder that netlet is imported from."""
    return str(Path(netlet.errors.__file__).resolve().parent.parent)


def _python_folders() -> list[str]:
    """Return the folders of Python, of the installed packages, and of netlet itself."""
    places = [sys.prefix, sys.base_prefix, sys.exec_prefix]
    places += [path for path in sys.path if os.path.basename(path) in _INSTALLED]
    resolved = [os.path.realpath(path) for path in places]
    return [*places, *resolved, os.path.join(package_folder(), "netlet")]


def _is_harmless(path: str) -> bool:
    """Return whether a folder exists and holds neither the home folder nor the whole system."""
    home = os.path.realpath(os.path.expanduser("~"))
    real = os.path.realpath(path)
    return os.path.isdir(real) and real != "/" and not f"{home}/".startswith(f"{real}/")


def _drop_nested(folders: list[str]) -> list[str]:
    """Return the folders without those inside of others, outer ones first."""
    kept: list[str] = []
    for path in sorted(set(folders)):
        if not any(path.startswith(f"{outer}/") for outer in kept):
            kept.append(path)
    return kept
