"""Refuse to start workers from a script that each of them would run again."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import FrameType
from typing import TypeGuard

from netlet.errors import NetletError


def refuse_unguarded_script() -> None:
    """Refuse to start workers outside of ``if __name__ == "__main__"``.

    Worker processes import the main script, as all of ``multiprocessing`` does. Without the guard
    they would start workers themselves.

    Raises:
        NetletError: The statement of the main script that runs now is not below the guard.
    """
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    # Notebooks and "python -c" have no file; of "python -m", the package decides.
    if path is None or getattr(main, "__spec__", None) is not None:
        return
    line = _find_line(sys._getframe(), path)
    if line is None:
        return
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):  # not a script of Python, such as a zip file
        return
    guards = (node for node in ast.walk(tree) if _is_guard(node))
    if not any(one.lineno <= line <= (one.end_lineno or 0) for one in guards):
        raise NetletError(
            f"{path}, line {line}: this starts worker processes, which import the script, so each "
            'would start others; put it below the line if __name__ == "__main__":'
        )


def _find_line(frame: FrameType | None, path: str) -> int | None:
    """Return the line of a script whose statement runs now, if this thread runs the script."""
    while frame is not None:
        # Code that a script makes from text, as for cProfile.run, has its own lines.
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename == path:
            return frame.f_lineno
        frame = frame.f_back
    return None


def _is_guard(node: ast.AST) -> TypeGuard[ast.If]:
    """Return whether a statement asks for ``__name__`` and ``"__main__"``, in whatever form."""
    if not isinstance(node, ast.If):
        return False
    words = [part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)]
    texts = [part.value for part in ast.walk(node.test) if isinstance(part, ast.Constant)]
    return "__name__" in words and "__main__" in texts
