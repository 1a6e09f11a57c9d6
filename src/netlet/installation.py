"""Which netlet is installed: its version, its commit and a digest of its sources.

Workers on other machines compare theirs with the driver's. They may have another netlet or none,
so this file is sent to them by value: it needs nothing but the standard library, and its functions
nothing but each other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
from pathlib import Path


def describe_installation() -> dict[str, str]:
    """Return version, commit and digest of the netlet that ``import netlet`` finds.

    Returns:
        ``version``, ``commit`` (empty if it is neither run nor installed from its repository) and
        ``sources``; empty texts without netlet.
    """
    found = importlib.util.find_spec("netlet")  # which does not import it
    if found is None or not found.origin:
        return {"version": "", "commit": "", "sources": ""}
    package = Path(found.origin).resolve().parent
    version = re.search(r'^__version__ = "(.+)"', Path(found.origin).read_text(), re.MULTILINE)
    return {
        "version": version[1] if version else "",
        "commit": find_commit(package),
        "sources": digest_sources(package),
    }


def digest_sources(package: Path) -> str:
    """Return a digest of the files that netlet runs, whatever its commit says.

    Args:
        package: The folder of the package.
    """
    digest = hashlib.sha256()
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.c")]):
        digest.update(f"{path.relative_to(package)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def find_commit(package: Path) -> str:
    """Return the commit of netlet's repository, with ``+`` if its sources were changed.

    Args:
        package: The folder of the package.

    Returns:
        The commit; empty if the package is neither run from its repository nor installed from it,
        or git is missing.
    """
    if not (package.parents[1] / ".git").exists():
        return _read_stamp(package)  # installed; a repository around it is not netlet's
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", package, *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "."))
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+" if changes else "")


def write_stamp(package: Path, file: Path) -> bool:
    """Write the file by which an installed package knows its commit; see ``hatch_build.py``.

    Args:
        package: The folder of the package in its repository.
        file: The file to write.

    Returns:
        Whether there is a commit to write.
    """
    if commit := find_commit(package):
        file.write_text(f"{commit} {digest_sources(package)}\n")
    return bool(commit)


def _read_stamp(package: Path) -> str:
    """Return the commit that a package was installed from, with ``+`` if it was changed since."""
    try:
        commit, sources = (package / "commit.txt").read_text().split()
    except (OSError, ValueError):
        return ""
    changed = digest_sources(package) != sources and not commit.endswith("+")
    return commit + ("+" if changed else "")
