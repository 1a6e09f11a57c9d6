"""Analyze a net from a user's file in this process, or in a sandbox.

Everything that ``netlet check`` and ``netlet show`` need of a net passes through a ``Sandbox``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from netlet.analysis import (
    TABLE_STYLES,
    ReceptiveField,
    Summary,
    cost_from_trace,
    receptive_field_from_trace,
    summary_from_trace,
    trace,
)
from netlet.budgets import ModelCost
from netlet.errors import NetError, SandboxError
from netlet.experiments.named import find_experiment
from netlet.files import read_regular
from netlet.nets import (
    build,
    complete_address,
    full_address,
    is_user_code,
    note_other_definitions,
)
from netlet.nets.net_code import list_code_files
from netlet.nets.notebook_files import MAX_NOTEBOOK_BYTES, NOTEBOOK
from netlet.nets.user_imports import MAX_SOURCE_BYTES
from netlet.sandbox import Exchange, Limits, SandboxTask, find_program, run_task
from netlet.scratch import scratch_folder


@dataclass(frozen=True)
class NetAnalysis:
    """What is known of a net without training it, as plain values."""

    cost: ModelCost
    summary: Summary
    receptive_field: ReceptiveField
    outputs: int | None  # number of logits; None if it returns none
    styled: str | None = None  # the table in another program's style, if one was asked for


class Sandbox(Protocol):
    """Something that loads, builds and runs a net, and returns plain values."""

    def analyze(
        self, net: str, shape: tuple[int, ...], classes: int | None, style: str | None = None
    ) -> NetAnalysis:
        """Return what is known of a net.

        Args:
            net: The name of the net, as the user typed it.
            shape: The shape of one image, ``C H W``.
            classes: The number of classes; None: the net's default.
            style: The program in whose style to print a table, of ``TABLE_STYLES``; None: of none.

        Raises:
            NetError: There is no such net, or it cannot be built or run.
        """


class SameProcess:
    """Runs the net's code here, with the user's rights."""

    def analyze(
        self, net: str, shape: tuple[int, ...], classes: int | None, style: str | None = None
    ) -> NetAnalysis:
        """Return what is known of a net; see :class:`Sandbox`."""
        entry = find_experiment(net).net
        module = build(entry.builder, None, shape, classes)
        traced = trace(module, shape)
        return NetAnalysis(
            cost_from_trace(traced),
            replace(summary_from_trace(traced), net=entry.name),
            receptive_field_from_trace(traced),
            traced.outputs,
            TABLE_STYLES[style](module, shape) if style else None,
        )


class InSandbox:
    """Runs the net's code under bubblewrap, Podman or Docker, and only reads its answer.

    The code sees the Python files around the net and the files that these import, read-only, and
    nothing else of the user's. It can give wrong numbers.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def analyze(
        self, net: str, shape: tuple[int, ...], classes: int | None, style: str | None = None
    ) -> NetAnalysis:
        """Return what is known of a net; see :class:`Sandbox`.

        Raises:
            NetError: There is no such net, or it cannot be built or run.
            SandboxError: There is no sandbox program.
        """
        address = full_address(net)
        request = {
            "net": address,
            "shape": shape,
            "classes": classes,
            "style": style,
            "path": [os.path.abspath(folder) for folder in (*sys.path, "")],
        }
        if is_user_code(net):
            note_other_definitions(complete_address(net))
        find_program()  # says how to install one
        files = list_code_files(address) if is_user_code(net) else []
        with scratch_folder() as folder:
            inputs = _copy_readable(files, folder)
            task = SandboxTask(
                function=ANALYZE, request=request, inputs=inputs, limits=self._limits
            )
            try:
                content = run_task(task).values
            except SandboxError as error:
                text = str(error)
                about = text if text.startswith(f"{address}: ") else f"{net}: {text}"
                raise NetError(about) from error
        found = parse_analysis(content, net)
        shown = complete_address(net) if is_user_code(net) else found.summary.net
        return replace(found, summary=replace(found.summary, net=shown))


ANALYZE = f"{__name__}:answer_request"


def parse_analysis(values: dict[str, Any], net: str) -> NetAnalysis:
    """Return an analysis from the values that untrusted code may have made up.

    Args:
        values: The values of :func:`dataclasses.asdict`, after JSON.
        net: The name of the net, for the error message.

    Raises:
        NetError: They have another form.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(NetAnalysis).validate_json(json.dumps(values), strict=True)
    except (ValueError, ValidationError, RecursionError, TypeError) as error:
        raise NetError(
            f"{net}: the code interfered with the result of the sandbox; inspect the code"
        ) from error


def answer_request(request: dict[str, Any], exchange: Exchange) -> tuple[dict[str, Any], bytes]:
    """Analyze a net inside of the sandbox.

    Args:
        request: The net's address, the shape of an image, the number of classes, the style of a
            table, and the folders of modules.
        exchange: Not needed: the answer has no parts.

    Returns:
        The analysis as plain values, and no bytes.

    Raises:
        NetError: There is no such net, or it cannot be built or run.
    """
    sys.path += [folder for folder in request["path"] if folder not in sys.path]
    shape = tuple(request["shape"])
    found = SameProcess().analyze(request["net"], shape, request["classes"], request["style"])
    return analysis_to_json(found), b""


def analysis_to_json(found: NetAnalysis) -> dict[str, Any]:
    """Return an analysis as plain values, from which :func:`parse_analysis` makes it again."""
    cost = replace(found.cost, structure=found.cost.describe())
    return asdict(replace(found, cost=cost))


def _copy_readable(files: Iterable[Path], folder: Path) -> dict[str, Path]:
    """Copy files to where the user inside may read them.

    Returns:
        The copies by the absolute paths of the originals.
    """
    copies = {}
    for number, file in enumerate(files):
        copy = folder / str(number)
        limit = MAX_NOTEBOOK_BYTES if file.suffix == NOTEBOOK else MAX_SOURCE_BYTES
        copy.write_bytes(read_regular(file, limit, NetError))
        copy.chmod(0o644)
        copies[str(file)] = copy
    return copies
