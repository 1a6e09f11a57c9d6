"""Ship the recorded studies inside the wheel, as netlet/records/studies/NAME/study.json.

Only these files: a checkout may hold the runs of a study beside its record, with their weights.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StudiesHook(BuildHookInterface):
    """Adds the files; an editable install reads them from the checkout instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add each study to the files of the wheel."""
        if version == "editable":
            return
        root = Path(self.root)
        for path in sorted((root / "results" / "studies").glob("*/study.json")):
            target = f"netlet/records/studies/{path.parent.name}/study.json"
            build_data["force_include"][str(path)] = target
