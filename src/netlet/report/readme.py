"""Fill the blocks of somebody's README from records, and leave everything else as it is."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from netlet.errors import ReportError
from netlet.outputs import TEXT_MARK, check_output, write_outputs
from netlet.report.markdown import escape_tags
from netlet.report.page import Page
from netlet.report.readme_blocks import BLOCKS, Material, NotFilledError, draw_block
from netlet.report.readme_markers import MarkedText, encode_marked, read_marked, split_lines

# Blocks that 'netlet init' fills once and no report changes.
FIXED_BLOCKS = ("badge",)
KNOWN_BLOCKS = (*BLOCKS, *FIXED_BLOCKS)


@dataclass(frozen=True)
class FilledReadme:
    """A README with its blocks filled, not written yet.

    Attributes:
        path: The path of the README.
        before: The text of the README as it is.
        after: The text with the blocks filled.
        pictures: The content of each picture by its path.
        left: Why a block stays as it is: the line of its marker, its name, and the reason.
    """

    path: Path
    before: str
    after: str
    pictures: Mapping[Path, str]
    left: Sequence[tuple[int, str, str]] = field(default=())

    @property
    def changed(self) -> dict[Path, bytes]:
        """The content of the files that are new or differ from what is on disk."""
        files = {path: svg.encode() for path, svg in self.pictures.items()}
        files |= {self.path: encode_marked(self.after)}
        return {path: content for path, content in files.items() if not _holds(path, content)}

    def diff(self) -> str:
        """Return the change of the text as a unified diff, empty if there is none."""
        return diff_texts(self.before, self.after, self.path)

    def write(self) -> list[Path]:
        """Write the files that change, the README last.

        Returns:
            Their paths.

        Raises:
            OutputError: One of them cannot be written; all stay as they were.
        """
        changed = self.changed
        write_outputs(changed, "--into")
        return list(changed)


def pictures_folder(readme: Path) -> Path:
    """Return the folder for a README's pictures, beside it."""
    return readme.with_name(f"{readme.stem}-pictures")


def open_readme(path: Path) -> MarkedText:
    """Return the text of a README and its blocks, which can be written.

    Raises:
        ReportError: It has no blocks, or damaged ones.
        OutputError: It cannot be written.
    """
    if not path.exists():
        raise ReportError(f"{path}: no such file; check its name, or write one with 'netlet init'")
    check_output(path, "--into")
    text = read_marked(path, KNOWN_BLOCKS)
    if not any(block.name in BLOCKS for block in text.blocks):
        code = f" (those in line {text.in_code[0]} are in code)" if text.in_code else ""
        raise ReportError(
            f"{path}: has no blocks to fill{code}; write <!-- netlet:summary --> and "
            f"<!-- /netlet --> into it, each on a line of its own, or let 'netlet init' add them"
        )
    return text


def fill_readme(path: Path, text: MarkedText, material: Material) -> FilledReadme:
    """Return a README with its blocks filled.

    Args:
        path: The path of the README.
        text: The text and the blocks of the README.
        material: The records and images to fill them from.

    Raises:
        ReportError: A picture would replace a file that netlet did not write, or matplotlib is not
            installed.
        RecordError: The studies cannot be compared.
    """
    contents: dict[str, str] = {}
    pictures: dict[Path, str] = {}
    left = []
    for block in text.blocks:
        if block.name not in BLOCKS:
            continue
        try:
            page = draw_block(block.name, material)
            content = _link_pictures(page, pictures_folder(path).name)
            _check_closed(content)
        except NotFilledError as reason:
            left.append((block.begin + 1, block.name, str(reason)))
            continue
        folder = pictures_folder(path)
        contents[block.name] = content
        pictures |= {folder / name: svg for name, svg in page.pictures.items()}
    for picture in pictures:
        _refuse_others_file(picture)
    return FilledReadme(path, text.text, text.fill(contents), pictures, left)


def diff_texts(before: str, after: str, path: Path, *, new: bool = False) -> str:
    """Return a unified diff of a file, empty if nothing changes.

    Args:
        before: The text as it is.
        after: The text as it will be.
        path: The path of the file.
        new: Whether the file does not exist yet.
    """
    old_name = "/dev/null" if new else f"a/{path}"
    old, now = split_lines(before), split_lines(after)
    lines = [
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(old, now, old_name, f"b/{path}")
    ]
    return "".join(lines)


def _link_pictures(page: Page, folder: str) -> str:
    """Return the text of a block, without raw HTML, whose pictures lie in a folder beside it."""
    text = escape_tags(page.text)
    for name in page.figures:
        at = f"{quote(folder, errors='surrogateescape')}/{name}.svg"
        text = text.replace(f"]({name}.svg)", f"]({at})")
    return text


def _check_closed(content: str) -> None:
    """Check that a content does not hide the marker below it, as code that is not closed would.

    Raises:
        NotFilledError: It does.
    """
    whole = f"<!-- netlet:summary -->\n\n{content.strip()}\n\n<!-- /netlet -->\n"
    try:
        MarkedText(whole, Path(), KNOWN_BLOCKS)
    except ReportError as error:
        raise NotFilledError(
            "code in it is not closed; close it in the remarks of the ladder"
        ) from error


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _refuse_others_file(path: Path) -> None:
    """Refuse to replace a picture that netlet did not write.

    Raises:
        ReportError: There is one.
    """
    if not os.path.lexists(path):
        return
    check_output(path, "--into")
    with path.open("rb") as file:
        if TEXT_MARK not in file.read(4096):
            raise ReportError(f"{path}: exists, and netlet did not write it; move it elsewhere")
