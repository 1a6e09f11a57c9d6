"""The architecture: imports run downwards as docs/architecture.md says, and the command line starts without torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "netlet"
FILES = sorted(PACKAGE.rglob("*.py"))


def positions() -> dict[str, tuple[int, int]]:
    """Return (floor, position from the left) of each room in the table of docs/architecture.md."""
    rows = re.findall(
        r"^\| (\d) [\w ']+ \| (.+?) \|",
        (ROOT / "docs" / "architecture.md").read_text(),
        re.MULTILINE,
    )
    return {
        room: (int(floor), position)
        for floor, rooms in rows
        for position, room in enumerate(re.findall(r"`([\w.]+)`", rooms))
    }


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.name


def imported(path: Path) -> set[str]:
    """Return the full names of the netlet modules that a file imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            whole = {alias.name for alias in node.names}
            assert "netlet" not in whole, (
                f"{path}: import the room itself; an import of netlet hides which room is meant"
            )
            names |= whole
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports in full"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("netlet.")}


def rooms_imported(path: Path) -> set[str]:
    known = positions()
    firsts = {name.split(".")[1] for name in imported(path)} - {"__version__"}
    unknown = firsts - {room.removesuffix(".py") for room in known}
    assert not unknown, f"{path}: {unknown} are not rooms"
    return {room for room in known if room.removesuffix(".py") in firsts}


def test_the_plan_lists_exactly_the_rooms_that_exist() -> None:
    rooms = {room_of(path) for path in FILES} - {"__init__.py", "__main__.py"}
    assert rooms == set(positions())


def picture() -> tuple[dict[int, list[str]], list[tuple[str, str]]]:
    """The diagram in docs/architecture.md: floor -> rooms, and the arrows."""
    found = re.search(
        r"^```mermaid\n(.*?)^```",
        (ROOT / "docs" / "architecture.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert found is not None
    floors = re.findall(r"subgraph floor(\d) \[.*?\]\n(.*?)\n  end", found[1], re.DOTALL)
    rooms = {int(floor): names.split() for floor, names in floors}
    return rooms, re.findall(r"^  (\w+) --> (\w+)$", found[1], re.MULTILINE)


def test_picture_has_the_floors_and_rooms_of_the_table() -> None:
    plan: dict[int, list[str]] = {}
    for room, (floor, _) in positions().items():
        plan.setdefault(floor, []).append(room.removesuffix(".py"))
    rooms, arrows = picture()
    assert rooms == plan
    assert {name for arrow in arrows for name in arrow} == {r for rs in plan.values() for r in rs}


def test_every_arrow_of_the_picture_is_an_import_that_runs_downwards() -> None:
    known = {room.removesuffix(".py"): position for room, position in positions().items()}
    imports: dict[str, set[str]] = {}
    for path in FILES:
        here = room_of(path).removesuffix(".py")
        if here not in ("__init__", "__main__"):
            reached = {room.removesuffix(".py") for room in rooms_imported(path)}
            imports.setdefault(here, set()).update(reached)
    for above, below in picture()[1]:
        assert below in imports[above], f"{above} does not import {below}"
        assert known[below] < known[above], f"{above} --> {below} does not run downwards"


@pytest.mark.parametrize(
    "path",
    [f for f in FILES if f.parent != PACKAGE or f.name not in ("__init__.py", "__main__.py")],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_imports_run_downwards(path: Path) -> None:
    known, here = positions(), room_of(path)
    for room in rooms_imported(path) - {here}:
        assert known[room] < known[here], (
            f"{path.relative_to(PACKAGE)} at {known[here]} imports {room} at {known[room]}"
        )


def test_init_files_only_import_and_assign() -> None:
    for path in FILES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            kinds = {type(node) for node in ast.parse(path.read_text()).body}
            assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.Assign}, path


def test_files_have_at_most_350_lines_and_a_name_that_says_something() -> None:
    for path in FILES:
        assert path.stem not in {"utils", "helpers", "common", "misc", "manager"}
        assert len(path.read_text().splitlines()) <= 350, path


def test_help_never_imports_torch() -> None:
    code = (
        "import sys\nfrom netlet.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\nassert 'numpy' not in sys.modules, 'numpy was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for verb in (
        "list",
        "show",
        "check",
        "train",
        "study",
        "compare",
        "climb",
        "report",
        "evaluate",
        "runs",
        "data",
        "card",
        "export",
        "play",
        "predict",
        "frontier",
        "search",
        "search",
    ):
        assert verb in done.stdout


def test_reading_records_never_imports_torch() -> None:
    code = "import sys\nfrom netlet import records, stats\nimport netlet.cli.locate\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_netlet_is_lazy_and_every_public_name_exists() -> None:
    code = (
        "import sys, netlet\nassert 'torch' not in sys.modules\n"
        "for name in netlet.__all__:\n    getattr(netlet, name)\nassert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_classes_have_docstrings() -> None:
    bare = [
        f"{path.relative_to(PACKAGE)}:{node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not bare
