"""The cells that a kernel has run tell which definitions and values it has."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable

import pytest

from netlet.nets.cell_history import find_never_run, find_ran

Run = Callable[..., dict[str, object]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a cell, which Python knows by a file name, and its names."""

    def run(cell: str, file: str = "<cell 1 of a kernel>") -> dict[str, object]:
        lines = cell.splitlines(keepends=True)
        monkeypatch.setitem(linecache.cache, file, (len(cell), None, lines, file))
        names: dict[str, object] = {"get_ipython": lambda: Shell}
        exec(compile(cell, file, "exec"), names)
        return names

    return run


class Shell:
    """What ``get_ipython()`` returns."""

    @staticmethod
    def run_cell_magic(name: str, line: str, cell: str) -> None:
        """Run a cell with a magic command."""


def find(saved: str) -> str | None:
    return find_never_run(ast.parse(saved).body, {"act"}, {})


@pytest.mark.parametrize("magic", [False, True])
def test_a_value_that_no_cell_has_had_was_never_run(run: Run, magic: bool) -> None:
    cell = "act = [len]\n"
    run(f"get_ipython().run_cell_magic('time', '', {cell!r})" if magic else cell)
    assert find(cell) is None
    assert find("act = [abs]") == "act"


def test_constants_are_not_compared_by_their_text(run: Run) -> None:
    run("act = 0.1")
    assert find("act = 1 / 10") is None


def test_what_netlet_has_loaded_from_a_notebook_was_not_run_by_a_cell(run: Run) -> None:
    run("act = [len]")
    run("act = [abs]", "a.ipynb, cell 1")
    assert find("act = [abs]") == "act"


@pytest.mark.parametrize("cell", ["", "@str\n@staticmethod\n", "@staticmethod\n"])
def test_a_definition_is_found_by_its_first_line_which_decorators_have(run: Run, cell: str) -> None:
    names = run(f"staticmethod = str = lambda f: f\n{cell}def act():\n    return 1\n")
    assert [one.name for one in find_ran(names["act"], "act") if isinstance(one, ast.FunctionDef)]
