"""The support matrix: which operations each reader of the graph supports, from their registries."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Set
from dataclasses import dataclass

from netlet.analysis.field_rules import RULES
from netlet.analysis.multiply_adds import COUNTS
from netlet.backends.cpu import build_program
from netlet.backends.cpu.lowering import LOWERINGS
from netlet.backends.cpu.parts.functions import FUNCTIONS
from netlet.export import build_graph, lowering
from netlet.export.c_functions import C_FUNCTIONS
from netlet.export.lower_arithmetic import ARITHMETIC
from netlet.export.lower_layers import FUNCTIONS as EXPORTED
from netlet.graph import operations, rare_operations
from netlet.graph.operations import Activation, Elementwise, Opaque, Operation, Softmax
from netlet.report.markdown import markdown_table

Kind = type[Operation]
# Each of their functions has a row of its own.
BY_FUNCTION: tuple[Kind, ...] = (Activation, Elementwise)


@dataclass(frozen=True)
class Reader:
    """A column of the matrix.

    Attributes:
        title: Of the column.
        kinds: Returns the operations that it supports.
        functions: Returns the element-wise functions that it supports; None: all of those kinds.
    """

    title: str
    kinds: Callable[[], Set[Kind]]
    functions: Callable[[], Set[str]] | None = None


def compiled_kinds() -> Set[Kind]:
    """Return the operations that the compiled backend trains."""
    assert build_program.READERS  # whose import registers them
    return {*LOWERINGS, Softmax}  # build_program itself reads a softmax at the end


def exported_kinds() -> Set[Kind]:
    """Return the operations that can be exported."""
    assert build_graph.READERS  # whose import registers them
    return lowering.LOWERINGS.keys()


def exported_functions() -> Set[str]:
    """Return the element-wise functions that can be exported."""
    return EXPORTED.keys() | ARITHMETIC.keys()


def functions_in_c() -> Set[str]:
    """Return the element-wise functions that are exported to C in float32."""
    in_tables = {name for name, function in EXPORTED.items() if function in C_FUNCTIONS}
    return in_tables | ARITHMETIC.keys()


READERS = (
    Reader("multiply-adds", COUNTS.keys),
    Reader("receptive field", RULES.keys),
    Reader("compiled training", compiled_kinds, FUNCTIONS.keys),
    # Every export is written from the layers of an inference graph.
    Reader("ONNX", exported_kinds, exported_functions),
    Reader("C", exported_kinds, functions_in_c),
    Reader("int8 C and ONNX", exported_kinds, exported_functions),
    Reader("page", exported_kinds, exported_functions),
)


def operation_kinds() -> list[Kind]:
    """Return the operations of the vocabulary, in the order of their definition."""
    values = [*vars(operations).values(), *vars(rare_operations).values()]
    kinds = [value for value in values if isinstance(value, type)]
    found = [kind for kind in kinds if issubclass(kind, Operation) and not kind.__subclasses__()]
    return [kind for kind in dict.fromkeys(found) if kind is not Opaque]


def draw_operations() -> str:
    """Return the matrix of all operations but element-wise functions."""
    rows = [
        [_describe(kind), *(_cell(kind in r.kinds()) for r in READERS)]
        for kind in operation_kinds()
        if kind not in BY_FUNCTION
    ]
    return _table("operation", rows)


def draw_functions() -> str:
    """Return the matrix of element-wise functions that some reader knows by name."""
    named = [reader.functions() for reader in READERS if reader.functions]
    rows = [
        [f"`{name}`", *(_cell(r.functions is None or name in r.functions()) for r in READERS)]
        for name in sorted(set().union(*named))
    ]
    rows.append(["all others", *(_cell(reader.functions is None) for reader in READERS)])
    return _table("function", rows)


def _table(what: str, rows: list[list[str]]) -> str:
    """Return a table with a column for each reader that does not support all rows."""
    partial = [i for i, cells in enumerate(zip(*rows, strict=True)) if set(cells) != {_cell(True)}]
    heads = (what, *(reader.title for reader in READERS))
    whole = [head for i, head in enumerate(heads) if i not in partial]
    table = markdown_table([heads[i] for i in partial], [[row[i] for i in partial] for row in rows])
    return f"{table}\n\nSupported for all of them: {', '.join(whole)}." if whole else table


def _cell(supported: bool) -> str:
    return "yes" if supported else "-"


def words(kind: Kind) -> str:
    """Return the name of a class in words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()


def _describe(kind: Kind) -> str:
    """Return the name of a class and the first sentence of its docstring, in Markdown."""
    text = " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())
    text = text.replace("``", "`").rstrip(".")
    name = words(kind)
    return f"**{name}**" if text.lower() == name else f"**{name}**: {text}"


TABLES: dict[str, Callable[[], str]] = {
    "operations": draw_operations,
    "functions": draw_functions,
}
