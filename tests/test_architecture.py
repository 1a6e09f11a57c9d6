"""Imports follow the layers in docs/architecture.md, and the command line starts without torch."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "netlet"
FILES = sorted(PACKAGE.rglob("*.py"))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def positions() -> dict[str, tuple[int, int]]:
    """Return (layer, position from the left) of each package in the table of docs/architecture.md."""
    rows = re.findall(
        r"^\| (\d) [\w ]+ \| (.+?) \|",
        (ROOT / "docs" / "architecture.md").read_text(),
        re.MULTILINE,
    )
    return {
        package: (int(layer), position)
        for layer, packages in rows
        for position, package in enumerate(re.findall(r"`([\w.]+)`", packages))
    }


def package_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.name


@functools.cache
def imported(path: Path) -> set[str]:
    """Return the full names of the netlet modules that a file imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            whole = {alias.name for alias in node.names}
            assert "netlet" not in whole, (
                f"{path}: import the package itself; an import of netlet hides which package is used"
            )
            names |= whole
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports in full"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("netlet.")}


def packages_imported(path: Path) -> set[str]:
    known = positions()
    firsts = {name.split(".")[1] for name in imported(path)} - {"__version__"}
    unknown = firsts - {package.removesuffix(".py") for package in known}
    assert not unknown, f"{path}: {unknown} are not packages"
    return {package for package in known if package.removesuffix(".py") in firsts}


def test_table_lists_exactly_the_existing_packages() -> None:
    packages = {package_of(path) for path in FILES} - {"__init__.py", "__main__.py"}
    assert packages == set(positions())


def diagram() -> tuple[dict[int, list[str]], list[tuple[str, str]]]:
    """Return the diagram of docs/architecture.md: layer -> packages, and the arrows."""
    found = re.search(
        r"^```mermaid\n(.*?)^```",
        (ROOT / "docs" / "architecture.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert found is not None
    layers = re.findall(r"subgraph layer(\d) \[.*?\]\n(.*?)\n  end", found[1], re.DOTALL)
    packages = {int(layer): names.split() for layer, names in layers}
    return packages, re.findall(r"^  (\w+) --> (\w+)$", found[1], re.MULTILINE)


def test_diagram_has_the_layers_and_packages_of_the_table() -> None:
    table: dict[int, list[str]] = {}
    for package, (layer, _) in positions().items():
        table.setdefault(layer, []).append(package.removesuffix(".py"))
    packages, arrows = diagram()
    assert packages == table
    assert {name for arrow in arrows for name in arrow} == {p for ps in table.values() for p in ps}


def test_every_arrow_of_the_diagram_is_an_import_from_a_lower_layer() -> None:
    known = {package.removesuffix(".py"): position for package, position in positions().items()}
    imports: dict[str, set[str]] = {}
    for path in FILES:
        here = package_of(path).removesuffix(".py")
        if here not in ("__init__", "__main__"):
            reached = {package.removesuffix(".py") for package in packages_imported(path)}
            imports.setdefault(here, set()).update(reached)
    for above, below in diagram()[1]:
        assert below in imports[above], f"{above} does not import {below}"
        assert known[below] < known[above], f"{above} --> {below} does not point to a lower layer"


@pytest.mark.parametrize(
    "path",
    [f for f in FILES if f.parent != PACKAGE or f.name not in ("__init__.py", "__main__.py")],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_packages_import_only_from_lower_layers(path: Path) -> None:
    known, here = positions(), package_of(path)
    for package in packages_imported(path) - {here}:
        assert known[package] < known[here], (
            f"{path.relative_to(PACKAGE)} at {known[here]} imports {package} at {known[package]}"
        )


def test_only_what_shows_values_imports_a_package_by_its_name() -> None:
    packages = {package.removesuffix(".py") for package in positions()}
    named = {
        str(path.relative_to(PACKAGE)): node.value.split(".")[1]
        for path in FILES
        if path.parent != PACKAGE or path.name != "__init__.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant)
        and re.fullmatch(r"netlet(\.[a-z_0-9]+)+", str(node.value))
        and node.value.split(".")[1] in packages
    }
    known = {package.removesuffix(".py"): position for package, position in positions().items()}
    upward = {
        file
        for file, package in named.items()
        if known[package] > known[file.partition("/")[0].removesuffix(".py")]
    }
    assert upward == {"display.py"}


def test_init_files_only_import_and_assign() -> None:
    for path in FILES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            kinds = {type(node) for node in tree_of(path).body}
            assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.Assign}, path


def test_files_have_at_most_350_lines_and_a_name_that_says_something() -> None:
    for path in FILES:
        assert path.stem not in {"utils", "helpers", "common", "misc", "manager"}
        assert len(path.read_text().splitlines()) <= 350, path


def test_help_imports_no_command_and_no_command_imports_torch_before_it_is_called() -> None:
    code = (
        "import sys\nfrom netlet.cli import app\n"
        "try:\n    app.main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert not {'netlet.cli.train', 'netlet.budgets', 'netlet.records'} & set(sys.modules)\n"
        "assert len(list(app.build_command().commands.values())) > 20\n"
        "assert 'netlet.cli.train' in sys.modules\n"
        "slow = {'torch', 'numpy', 'tqdm'} & set(sys.modules)\nassert not slow, slow\n"
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
        "publish",
        "export",
        "play",
        "predict",
        "frontier",
        "search",
        "init",
        "lr",
        "explain",
        "grade",
        "budget",
    ):
        assert verb in done.stdout


def test_reading_records_never_imports_torch() -> None:
    code = "import sys\nfrom netlet import records, stats\nimport netlet.cli.locate\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_netlet_is_lazy_and_every_public_name_exists() -> None:
    code = (
        "import sys, netlet\nassert 'torch' not in sys.modules\n"
        "for name in netlet.__all__:\n    getattr(netlet, name)\nassert 'torch' in sys.modules\n"
        "assert sorted(netlet.__all__) == sorted(['__version__', *netlet._MODULES, *netlet._SOURCES])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_classes_have_docstrings() -> None:
    bare = [
        f"{path.relative_to(PACKAGE)}:{node.name}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not bare
