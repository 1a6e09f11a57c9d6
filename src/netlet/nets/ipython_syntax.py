"""Turn a cell of a notebook into Python: commands of the shell and of IPython are left out.

Line numbers stay. A statement that needs the result of a command keeps its name, and running it is
an error: ``files = !ls`` becomes ``files = get_ipython().getoutput('ls')``, as IPython has it.
"""

from __future__ import annotations

import ast
import getopt
import re
import shlex
from dataclasses import dataclass, replace

# Cell magics that run the cell in the notebook itself, and those that do anything else with it.
# A cell with an unknown one is kept if it is Python.
_RUN_HERE = {"time", "capture", "prun"}
_RUN_ELSEWHERE = {
    *("!", "sx", "system", "bash", "sh", "cmd", "script", "python", "python2", "python3", "pypy"),
    *("perl", "ruby", "R", "julia", "javascript", "js", "html", "HTML", "svg", "SVG"),
    *("latex", "markdown", "sql", "bigquery", "cython", "timeit", "skip"),
}
_WRITE_FILE = {"writefile", "file"}
# Line magics that people write without the percent sign.
_AUTOMATIC = (
    "pip|conda|mamba|uv|cd|ls|ll|cp|mv|rm|mkdir|rmdir|cat|man|more|less|matplotlib|load_ext|"
    "reload_ext|run|time|timeit|env|bash|wget|git"
)

_CELL_MAGIC = re.compile(
    r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*%%(?P<name>!|\w+)(?P<line>[^\n]*)(?:\n|$)"
)
_PROMPT = re.compile(r"^(>>>|\.\.\.|In \[\d+\]:|[ ]*\.\.\.+:)(?: |$)", re.MULTILINE)
_ESCAPE = re.compile(r"[ \t]*(?:[!%?,;/]|\$)")
_AUTOMAGIC = re.compile(rf"[ \t]*(?:{_AUTOMATIC})[ \t]+[^=\s(+*/%<>!&|^.,:\[][^\n]*")
_TIMED = re.compile(r"(?P<indent>[ \t]*)%time[ \t]+(?P<statement>\S.*)")
_ENV = re.compile(r"[ \t]*%?(?P<name>env|set_env)[ \t]+(?P<words>[^\n]*)")
_RUN = re.compile(r"[ \t]*%?run[ \t]+(?P<words>.*)", re.DOTALL)
_RUN_OPTIONS = "nidtN:b:pD:l:rs:T:em:G"  # of IPython's %run, as for getopt
_ASSIGNMENT = re.compile(
    r"(?P<target>[ \t]*[A-Za-z_][\w., \t*]*(?:\[[^\]\n]*\][ \t]*)*=)"
    r"[ \t]*(?P<kind>[!%])(?P<command>[^\n=].*)",
    re.DOTALL,
)
# What decides where a logical line ends: brackets, strings, comments and backslashes.
_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<long>\"{3}(?:\\.|(?!\"{3}).)*(?:\"{3}|\Z)|'{3}(?:\\.|(?!'{3}).)*(?:'{3}|\Z))
    |(?P<short>"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)
    |(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<joined>\\\n)|(?P<newline>\n)|(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class WrittenFile:
    """A file that a cell writes by ``%%writefile``.

    Attributes:
        path: As the cell has it.
        text: The content.
        appends: Whether it goes behind what the file holds already.
    """

    path: str
    text: str
    appends: bool


@dataclass(frozen=True)
class RunCommand:
    """A command ``%run FILE``.

    Attributes:
        line: Where it is, counted as in the statements of its cell.
        file: The path that it names; empty if the name is computed.
        as_main: Whether ``__name__`` is ``"__main__"`` in the file.
        problem: Why the file is not followed, and the remedy; empty if it is.
    """

    line: int
    file: str
    as_main: bool = True
    problem: str = ""


@dataclass(frozen=True)
class PythonCell:
    """What a cell means to Python.

    Attributes:
        text: Its Python code; each line is at its place in the cell.
        file: The file that the cell writes instead of running; None if it writes none.
        runs: Its ``%run`` commands; ``pass`` is in the place of each.
    """

    text: str
    file: WrittenFile | None = None
    runs: tuple[RunCommand, ...] = ()


def to_python(text: str) -> PythonCell:
    r"""Return what a cell means to Python.

    Args:
        text: The cell, with ``\n`` between its lines. Text that is Python already is not changed.
    """
    start, is_known = 0, True
    while magic := _CELL_MAGIC.match(text, start):
        name, words, start = magic["name"], magic["line"].split(), magic.end()
        if name in _WRITE_FILE and words:
            path = words[-1].strip("'\"")
            return PythonCell("", WrittenFile(path, text[start:], "-a" in words[:-1]))
        if name in _RUN_ELSEWHERE | _WRITE_FILE:
            return PythonCell("")
        is_known = is_known and name in _RUN_HERE
    body, above = text[start:], text.count("\n", 0, start)
    runs: list[RunCommand] = []
    if not _is_python(body):
        body, runs = _replace_commands(_unindent(body))
    if not is_known and not _is_python(body):
        return PythonCell("")
    moved = tuple(replace(run, line=run.line + above) for run in runs)
    return PythonCell("\n" * above + body, runs=moved)


def has_commands(text: str) -> bool:
    """Return whether a script has lines for IPython, as exports of notebooks have."""
    return any(_ESCAPE.match(line) for line in text.split("\n"))


def find_run_call(node: ast.stmt) -> RunCommand | None:
    """Return the ``%run`` command that a statement is in a script exported from a notebook.

    Args:
        node: A statement like ``get_ipython().run_line_magic('run', 'blocks.py')``.
    """
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    words = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    text = " ".join(word for word in words if isinstance(word, str))
    if call.func.attr not in ("run_line_magic", "magic") or not (match := _RUN.match(text)):
        return None
    return _parse_run(match["words"], node.lineno)


def parse_env(words: str) -> tuple[str, str] | None:
    """Return the variable that ``%env`` sets, and its value; None if it sets none.

    Args:
        words: What follows the command: ``NAME=value`` or ``NAME value``.
    """
    name, mark, value = words.strip().partition("=" if "=" in words else " ")
    name = name.strip()
    return (name, value.strip()) if mark and name and not re.search(r"\s", name) else None


def sets_environment(call: ast.Call) -> bool:
    """Return whether a call is ``get_ipython().run_line_magic("env", "NAME=value")``."""
    match call:
        case ast.Call(
            func=ast.Attribute(attr="run_line_magic"),
            args=[ast.Constant(value="env" | "set_env"), ast.Constant(value=str(words))],
        ):
            return parse_env(words) is not None
    return False


def _parse_run(words: str, line: int) -> RunCommand | None:
    """Return the ``%run`` command with these words; None if it runs no file."""
    try:
        options, files = getopt.getopt(shlex.split(words), _RUN_OPTIONS)
    except (ValueError, getopt.GetoptError):
        return None
    names = [name for name, _ in options]
    if not files or "-m" in names:
        return None
    file = files[0] if files[0].endswith((".py", ".ipynb")) else f"{files[0]}.py"
    is_computed = any(mark in file for mark in "${}*?")
    return RunCommand(line, "" if is_computed else file, "-n" not in names)


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _unindent(text: str) -> str:
    """Take away prompts and the indentation of the first line, as IPython does."""
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), "")
    if _PROMPT.match(first):
        return _PROMPT.sub("", text)
    indentation = first[: len(first) - len(first.lstrip(" \t"))]
    return "\n".join(line.removeprefix(indentation) for line in lines)


def _replace_commands(text: str) -> tuple[str, list[RunCommand]]:
    """Replace the logical lines that are commands; return the ``%run`` commands, too."""
    made, runs, position = list[str](), list[RunCommand](), 0
    while position < len(text):
        line = text[position:].partition("\n")[0]
        if _ESCAPE.match(line) or (_AUTOMAGIC.fullmatch(line) and not _is_python(line.strip())):
            end = _end_of_command(text, position)
            command = text[position:end]
            made.append(_replace_command(command))
            if run := _RUN.match(command.replace("\\\n", " ")):
                found = _parse_run(run["words"], text.count("\n", 0, position) + 1)
                runs += [found] if found else []
        elif _ASSIGNMENT.match(line):
            end = _end_of_command(text, position)
            made.append(_replace_assignment(text[position:end]))
        else:
            end, asks = _end_of_statement(text, position)
            statement = text[position:end]
            made.append(_blank(statement) if asks else statement)
        position = end
    return "".join(made), runs


def _end_of_command(text: str, start: int) -> int:
    """Return where a command ends: at the end of a line without a backslash."""
    while True:
        end = text.find("\n", start)
        if end < 0:
            return len(text)
        if not text[start:end].rstrip(" \t").endswith("\\"):
            return end + 1
        start = end + 1


def _end_of_statement(text: str, start: int) -> tuple[int, bool]:
    """Return where a logical line of Python ends, and whether it asks for help (``net?``)."""
    depth, last = 0, ""
    for token in _TOKEN.finditer(text, start):
        kind = token.lastgroup
        if kind == "newline" and depth <= 0:
            return token.end(), last == "?"
        depth += (kind == "open") - (kind == "close")
        if kind not in ("comment", "newline", "joined") and not token[0].isspace():
            last = token[0]
    return len(text), last == "?"


def _replace_command(command: str) -> str:
    """Return a command as a statement that does nothing; of ``%time``, the statement itself.

    What sets a variable of the environment is called as in an exported script.
    """
    timed = _TIMED.match(command)
    if timed and _is_python(timed["statement"]):
        return timed["indent"] + command[timed.start("statement") :]
    if (env := _ENV.match(command.replace("\\\n", " "))) and parse_env(env["words"]):
        call = f"get_ipython().run_line_magic({env['name']!r}, {env['words'].strip()!r})"
        return _blank(command).replace("pass", call, 1)
    return _blank(command)


def _replace_assignment(command: str) -> str:
    match = _ASSIGNMENT.match(command)
    assert match is not None
    words = re.sub(r"[ \t]*\\\n[ \t]*", " ", match["command"]).strip()
    if match["kind"] == "!":
        call = f"get_ipython().getoutput({words!r})"
    else:
        name, _, rest = words.partition(" ")
        call = f"get_ipython().run_line_magic({name!r}, {rest.strip()!r})"
    return f"{match['target']} {call}{_line_ends(command)}"


def _blank(command: str) -> str:
    """Return a statement that does nothing, at the place of a command."""
    indentation = command[: len(command) - len(command.lstrip(" \t"))]
    return f"{indentation}pass{_line_ends(command)}"


def _line_ends(text: str) -> str:
    return "\n" * text.count("\n")
