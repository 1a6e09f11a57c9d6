"""Tables of a net's layers as torchsummary and torchinfo print them, which the documents use.

They are the same to the character, except for ``STYLE_DIFFERENCES``. If the program itself raises
an error, lines below the table say so, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from netlet.analysis.summary import summary
from netlet.analysis.table_lines import Table
from netlet.analysis.torchinfo_table import torchinfo_table
from netlet.analysis.torchsummary_table import torchsummary_table
from netlet.errors import NetError, first_line
from netlet.text import escape_controls


def format_torchsummary(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> str:
    """Return the table that torchsummary 1.5.1 prints.

    Args:
        net: Any module. It runs in the mode that it is in, and is left unchanged, except that lazy
            layers take their shapes from this run.
        shape: The shape of one image, ``C H W``.

    Returns:
        The table, and below it a note if torchsummary raises an error on the net. If the net does
        not even run as torchsummary runs it, the table is that of ``str(summary(net))``.

    Raises:
        NetError: The net does not run on such an image.
    """
    return _format("torchsummary 1.5.1", torchsummary_table, net, shape)


def format_torchinfo(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> str:
    """Return the table that torchinfo 1.8.0 prints for a batch of one.

    Args:
        net: Any module. It runs in evaluation mode, and is left unchanged, except that lazy layers
            take their shapes from this run.
        shape: The shape of one image, ``C H W``.

    Returns:
        The table, and below it a note if torchinfo raises an error on the net. If the net does not
        even run as torchinfo runs it, the table is that of ``str(summary(net))``.

    Raises:
        NetError: The net does not run on such an image.
    """
    return _format("torchinfo 1.8.0", torchinfo_table, net, shape)


# Where a table is not what the program prints.
STYLE_DIFFERENCES = {
    "torchinfo": "torchinfo itself writes (Units.MEGABYTES) for (M) on Python 3.11 and later",
}
TABLE_STYLES: dict[str, Callable[[nn.Module, Sequence[int]], str]] = {
    "torchsummary": format_torchsummary,
    "torchinfo": format_torchinfo,
}


def _format(
    program: str,
    make_table: Callable[[nn.Module, Sequence[int]], Table],
    net: nn.Module,
    shape: Sequence[int],
) -> str:
    try:
        table = make_table(net, shape)
    except NetError:
        raise
    except Exception as error:
        own = str(summary(net, shape))  # names the layer and the shape if the net never runs
        reason = first_line(error)
        note = f"note: {program} raises an error on this net: {reason}; this is netlet's own table"
        return f"{own}\n{escape_controls(note)}"
    notes = [
        f"note: {program} raises an error on this net: {problem}" for problem in table.problems
    ]
    return "\n".join([*table.lines, *map(escape_controls, notes)])
