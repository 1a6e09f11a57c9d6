"""The files of a course repository: planned, shown and written without replacing anybody's work."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from netlet import records
from netlet.errors import OutputError, RepositoryError
from netlet.files import read_regular
from netlet.outputs import check_output, write_outputs
from netlet.report.markdown import escape_markdown, inline_code
from netlet.report.readme import KNOWN_BLOCKS, diff_texts
from netlet.report.readme_markers import MarkedText, encode_marked, read_marked
from netlet.repository.settings import FILE_NAME, load_settings, repository_root
from netlet.repository.workflow import workflow_name, workflow_text
from netlet.text import quote_shell

State = Literal["new", "changed", "unchanged", "left"]
_MAX_BYTES = 1 << 20
# Weights and checkpoints; the records of studies are small, and a report needs them.
_IGNORED = ("runs/", "studies/*/seed-*/")
_HEADINGS = {
    "summary": "Summary",
    "receptive-field": "Receptive field",
    "verdict": "Verdict",
    "curves": "Curves",
    "confusion": "Confusion",
    "mistakes": "Mistakes",
    "augmentation": "Augmentation",
    "ladder": "Ladder",
}


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What ``netlet.toml`` will say; ``epochs`` None: those of the recipe."""

    net: str
    budget: str
    recipe: str
    seeds: int
    dataset: str
    epochs: int | None = None


@dataclass(frozen=True)
class PlannedFile:
    """A file that is to be there.

    Attributes:
        path: The path of the file.
        state: Whether it is new, will be changed, is as it would be written, or is left as it is.
        before: The content of the file as it is; empty if it is new.
        after: The content of the file as it will be.
        note: Why it is left as it is.
    """

    path: Path
    state: State
    before: str = ""
    after: str = ""
    note: str = ""

    def diff(self) -> str:
        """Return the change as a unified diff; empty if nothing changes."""
        return diff_texts(self.before, self.after, self.path, new=self.state == "new")


def plan_files(
    folder: Path, assignment: Assignment | None, requirement: str | None, readme: Path | None
) -> list[PlannedFile]:
    """Return the files of a course repository, none of them written yet.

    Args:
        folder: The folder of the repository, or one in it.
        assignment: What ``netlet.toml`` is to say; None if there is one already.
        requirement: What pip installs in the workflow.
        readme: The README; the one in the folder if None.

    Raises:
        RepositoryError: A file cannot be read, or ``netlet.toml`` is not valid.
        ReportError: The README's blocks are damaged.
        OutputError: A file cannot be written.
    """
    root = repository_root(folder.resolve())
    below = PurePosixPath(folder.resolve().relative_to(root).as_posix()) if root else None
    place = below or PurePosixPath()
    workflow = Path(os.path.relpath(root or folder, Path.cwd())) / ".github" / "workflows"
    name = f"{workflow_name(place)}.yml"
    files = [
        _plan_settings(folder / FILE_NAME, assignment),
        _plan_file(workflow / name, workflow_text(place, requirement)),
        _plan_gitignore(folder / ".gitignore"),
        _plan_readme(readme or _find_readme(folder), name, root, has_ladder=_has_ladder(folder)),
    ]
    for file in files:
        if file.state in ("new", "changed"):
            _check_writable(file.path)
    return files


def write_files(files: Sequence[PlannedFile]) -> None:
    """Write what is new or changes; if one file cannot be written, all stay as they were.

    Raises:
        OutputError: A file cannot be written.
    """
    write_outputs(
        {file.path: encode_marked(file.after) for file in files if file.state in ("new", "changed")}
    )


def _check_writable(path: Path) -> None:
    """Check that a file can be written.

    Raises:
        OutputError: It cannot.
    """
    try:
        check_output(path)
    except OutputError as error:
        reason = str(error).rpartition(";")[0]
        raise OutputError(
            f"{reason}; move away what is in the way, or change its permissions"
        ) from error


def _plan_settings(path: Path, assignment: Assignment | None) -> PlannedFile:
    if assignment is None:
        load_settings(path)  # raises if it is not valid
        return PlannedFile(path, "left", note="exists; change it there")
    epochs = f"epochs = {assignment.epochs} # of the budget; the recipe has more"
    lines = [
        "# What netlet uses in this repository where no option says otherwise.",
        f"net = {_quote(assignment.net)}",
        f"budget = {_quote(assignment.budget)} # a name of 'netlet list --budgets', or a TOML file",
        f"recipe = {_quote(assignment.recipe)} # a name of 'netlet list --recipes'",
        *([epochs] if assignment.epochs else []),
        f"dataset = {_quote(assignment.dataset)}",
        f"seeds = {assignment.seeds} # of 'netlet study'",
    ]
    return PlannedFile(path, "new", after="\n".join(lines) + "\n")


def _plan_file(path: Path, content: str) -> PlannedFile:
    if not os.path.lexists(path):
        return PlannedFile(path, "new", after=content)
    if read_regular(path, _MAX_BYTES, RepositoryError) == content.encode():
        return PlannedFile(path, "unchanged")
    return PlannedFile(path, "left", note="exists; move it elsewhere to get netlet's")


def _plan_gitignore(path: Path) -> PlannedFile:
    if not os.path.lexists(path):
        return PlannedFile(path, "new", after="\n".join(_IGNORED) + "\n")
    lines = read_regular(path, _MAX_BYTES, RepositoryError).decode(errors="replace").splitlines()
    known = {line.strip().strip("/") for line in lines}
    missing = [line for line in _IGNORED if line.strip("/") not in known]
    if not missing:
        return PlannedFile(path, "unchanged")
    return PlannedFile(path, "left", note=f"exists; add {' and '.join(missing)}, which are large")


def _plan_readme(path: Path, workflow: str, root: Path | None, *, has_ladder: bool) -> PlannedFile:
    place = path.resolve().parent
    inside = root and place.is_relative_to(root)
    depth = len(place.relative_to(root).parts) if root and inside else 0
    badge, results = _badge_block(workflow, depth), _results(path, has_ladder=has_ladder)
    if not os.path.lexists(path):
        if path.suffix.lower() not in (".md", ".markdown"):
            return PlannedFile(path, "left", note="is not Markdown; name a .md file with --readme")
        title = escape_markdown(path.resolve().parent.name) or "Net"
        return PlannedFile(path, "new", after=f"# {title}\n\n{badge}\n{results}")
    if path.suffix.lower() not in (".md", ".markdown"):
        return PlannedFile(path, "left", note="is not Markdown; name a .md file with --readme")
    text = read_marked(path, KNOWN_BLOCKS)
    if text.blocks:
        return PlannedFile(path, "left", note="has blocks already; add others by hand")
    heading = text.first_heading()
    section = results if heading is not None else f"{badge}\n{results}"
    gap = "" if not text.text.strip() else "\n"
    after = text.insert(text.line_count, f"{gap}{section}")
    if heading is not None:
        after = MarkedText(after, path, KNOWN_BLOCKS).insert(heading, f"\n{badge}")
    return PlannedFile(path, "changed", text.text, after)


def _has_ladder(folder: Path) -> bool:
    """Return whether 'netlet climb' has recorded a ladder in a folder."""
    return any(folder.glob(f"ladders/*/{records.LADDER}"))


def _find_readme(folder: Path) -> Path:
    """Return the README of a folder: its Markdown file if there is one."""
    found = sorted(path for path in folder.iterdir() if path.stem.lower() == "readme")
    markdown = [path for path in found if path.suffix.lower() in (".md", ".markdown")]
    files = [path for path in found if path.is_file()]
    return (markdown or files or [folder / "README.md"])[0]


def _badge_block(workflow: str, depth: int) -> str:
    """Return the badge of the workflow, whose address is relative to the README's on GitHub.

    Args:
        workflow: The name of the workflow's file.
        depth: The number of folders between the repository's root and the README.
    """
    page = f"{'../' * (2 + depth)}actions/workflows/{workflow}"
    return f"<!-- netlet:badge -->\n[![netlet]({page}/badge.svg)]({page})\n<!-- /netlet -->\n"


def _results(readme: Path, *, has_ladder: bool) -> str:
    sections = [
        f"### {title}\n\n<!-- netlet:{name} -->\n<!-- /netlet -->\n"
        for name, title in _HEADINGS.items()
        if name != "ladder" or has_ladder
    ]
    command = inline_code(f"netlet report --into {quote_shell(readme)}")
    return f"## Results\n\nFilled by {command}.\n\n" + "\n".join(sections)


def _quote(text: str) -> str:
    """Return a string of TOML, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)
