"""The notebooks under examples/: stored without outputs, and with the address of the repository.

The address stands in one place, ``[project.urls] Repository`` of pyproject.toml. As long as there
is none, a placeholder takes its place, and the first cell installs the checkout.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from tools.records import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"
_COLAB = "https://colab.research.google.com/github/"
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def find_repository(pyproject: Path = ROOT / "pyproject.toml") -> str | None:
    """Return the address of the repository, or None if the project has no public one."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    address: str | None = project.get("urls", {}).get("Repository")
    return address.removesuffix("/").removesuffix(".git") if address else None


def complete_notebook(path: Path, repository: str | None) -> str:
    """Return the text of a notebook as it should be stored.

    Args:
        path: Of the notebook; its badge and its cell ``%pip install`` get the address.
        repository: The address of the repository, if it has a public one.
    """
    notebook = json.loads(path.read_text("utf-8"))
    place = (repository or PLACEHOLDER).removeprefix("https://github.com/")
    # Colab opens what is on GitHub only.
    place = PLACEHOLDER.removeprefix("https://github.com/") if ":" in place else place
    colab = f"{_COLAB}{place}/blob/main/{path.parent.name}/{path.name}"
    cells = [_complete_cell(cell, colab, repository) for cell in notebook["cells"]]
    notebook |= {"cells": cells, "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5}
    for number, cell in enumerate(cells, start=1):
        cell["id"] = f"cell-{number}"
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _complete_cell(cell: dict[str, Any], colab: str, repository: str | None) -> dict[str, Any]:
    text = "".join(cell["source"])
    text = re.sub(rf"\({re.escape(_COLAB)}[^)]*\)", f"({colab})", text)
    if text.startswith("%pip install"):
        what = f"netlet[report] @ git+{repository}" if repository else "..[report]"
        text = f'%pip install --quiet "{what}" ipywidgets'
    kept = {"cell_type": cell["cell_type"], "metadata": {}, "source": text.splitlines(True)}
    if cell["cell_type"] == "code":
        kept |= {"execution_count": None, "outputs": []}
    return kept
