"""The result of an export, and the checks before its files are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from netlet.data import Dataset
from netlet.data.recorded_data import hold_out_as_recorded
from netlet.display import Displayed
from netlet.errors import ExportError
from netlet.evaluation import evaluate, is_of_another_net
from netlet.export.traced_model import TracedModel
from netlet.export.verification import Verification
from netlet.outputs import write_outputs
from netlet.text import escape_controls, quote_shell

MAX_ACCURACY_DROP = 0.1  # that int8 may cost by default, in percentage points


@dataclass(frozen=True)
class ExportResult(Displayed):
    """The files of an export, and how they were verified."""

    files: tuple[Path, ...]
    size_bytes: int  # of all files together
    verification: Verification | None  # None: this machine cannot run the export
    notes: tuple[str, ...] = ()  # further lines for the user
    # Of C: flash_bytes, ram_bytes and stack_bytes, for which target and flags, and instructions.
    memory: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        files = " and ".join(map(str, self.files))
        if len(self.files) > 2:
            files = f"{os.path.commonpath(self.files)}: {len(self.files)} files"
        verification = (str(self.verification),) if self.verification else ()
        separator = "," if len(self.files) > 2 else ":"
        lines = (f"{files}{separator} {self.size_bytes:,} bytes", *verification, *self.notes)
        return "\n".join(map(escape_controls, lines))

    def to_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        verification = None
        if self.verification:
            verification = asdict(self.verification) | {
                "accuracy_drop": self.verification.accuracy_drop
            }
        return {
            "files": [str(path) for path in self.files],
            "size_bytes": self.size_bytes,
            "verification": verification,
            "notes": list(self.notes),
            **self.memory,
        }


def check_recorded_score(
    model: TracedModel, dataset: Dataset | None, verification: Verification
) -> None:
    """Check that the net scores what the record of its training says, where it is the same images.

    Code that builds the net with other arguments gives another one, which the weights fit.

    Args:
        model: The model.
        dataset: The data set that the export was verified on, if any.
        verification: The verification of the export.

    Raises:
        ExportError: It does not.
    """
    source, run = model.source, model.source.run
    if dataset is None or run is None:
        return
    own, found = hold_out_as_recorded(run.data, dataset) or dataset, verification.pytorch
    recorded = source.find_recorded_score(own, own.held_out)
    if recorded is None:
        return
    if own is not dataset:
        found = evaluate(source.net, own.held_out, source.recipe, dataset.classes).score
    if not is_of_another_net(recorded, found):
        return
    weights = quote_shell(source.file or "FILE")
    raise ExportError(
        f"{source.name}: the record says {recorded.percent:.2f}% on {dataset.name} "
        f"{own.held_out.name}, and the net has {found.percent:.2f}%: the net that {run.net} gives "
        "now is not the one that was trained; nothing was written; name a function that builds "
        f"that one, with its arguments: FILE:FUNCTION --weights {weights}"
    )


def check_float32(verification: Verification, target: str) -> None:
    """Check that a float32 export is the same function as the PyTorch model.

    Args:
        verification: The verification of the export.
        target: What was exported, for the message: ``C program``, ``ONNX model``.

    Raises:
        ExportError: It differs by more than rounding.
    """
    if not verification.matches:
        wrong = verification.images - verification.same_predictions
        raise ExportError(
            f"verification failed: the exported {target} differs from the PyTorch model by "
            f"{verification.max_logit_diff:.2g} (limit {verification.limit:.2g}), and in {wrong:,} "
            f"of {verification.images:,} predictions on {verification.image_set}; nothing was "
            "written; please report this net as a bug"
        )


def check_int8(
    verification: Verification,
    max_accuracy_drop: float | None = None,
    describe_loss: Callable[[], str] = str,
) -> None:
    """Check that an int8 export does not lose too much accuracy.

    Args:
        verification: The verification of the export.
        max_accuracy_drop: In percentage points; infinite accepts any loss. None: 0.1, or a single
            image if that is more.
        describe_loss: Called if it loses more; returns where, for the message.

    Raises:
        ExportError: It loses more.
    """
    limit, one = max_accuracy_drop, ""
    if limit is None:
        total = verification.pytorch.total
        limit = max(MAX_ACCURACY_DROP, round(100 / total, 6))
        one = f" (one of {total:,} images)" if limit > MAX_ACCURACY_DROP else ""
    if verification.accuracy_drop > limit:
        where = f"{text}; " if (text := describe_loss()) else ""
        raise ExportError(
            f"int8 loses {verification.accuracy_drop:.2f} points of accuracy on "
            f"{verification.scored_set} ({verification.pytorch.percent:.2f}% before, "
            f"{verification.export.percent:.2f}% after), more than {limit:.3g}{one}; {where}"
            "nothing was written; raise --max-loss or pass --force (max_accuracy_drop in Python)"
        )


def write_files(contents: dict[Path, bytes | str], named: str = "file") -> int:
    """Write files, all of them or none.

    Args:
        contents: Content of each file by path.
        named: What the user named, ``file`` or ``folder``, for the error message.

    Returns:
        Their size in bytes.

    Raises:
        OutputError: A file cannot be written.
    """
    data = {
        path: content.encode() if isinstance(content, str) else content
        for path, content in contents.items()
    }
    write_outputs(data, what=named)
    return sum(map(len, data.values()))
