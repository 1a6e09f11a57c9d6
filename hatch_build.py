"""Ship what lies outside of the package: the recorded studies, and the commit of the sources.

A study becomes netlet/records/studies/NAME/study.json, without the runs and weights that a checkout
may hold beside it. The commit becomes netlet/commit.txt, so that records of an installed netlet
name it.
"""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RepositoryHook(BuildHookInterface):
    """Adds the files; an editable install reads them from the checkout instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add each study and the commit to the files of the wheel."""
        if version == "editable":
            return
        root = Path(self.root)
        for path in sorted((root / "results" / "studies").glob("*/study.json")):
            target = f"netlet/records/studies/{path.parent.name}/study.json"
            build_data["force_include"][str(path)] = target
        self._folder = tempfile.TemporaryDirectory()
        stamp = Path(self._folder.name) / "commit.txt"
        if _load_installation(root).write_stamp(root / "src" / "netlet", stamp):
            build_data["force_include"][str(stamp)] = "netlet/commit.txt"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary file."""
        if version != "editable":
            self._folder.cleanup()


def _load_installation(root: Path) -> Any:
    """Return the module of netlet that reads commits; it needs nothing else of netlet."""
    path = root / "src" / "netlet" / "installation.py"
    spec = importlib.util.spec_from_file_location("netlet_installation", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
