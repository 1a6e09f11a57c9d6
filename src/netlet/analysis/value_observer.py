"""Show a run of a net to the provenance of its values."""

from __future__ import annotations

from typing import Any

import torch

from netlet.analysis.module_rows import name_run, shown_name
from netlet.analysis.provenance import Provenance
from netlet.graph import ModuleRun, Observer
from netlet.graph.aten_names import BULK_READS


class ValueObserver(Observer):
    """Shows a run to the provenance of its values.

    Attributes:
        provenance: The provenance of the values.
        taken: Name of the module that first took values out of PyTorch; None if none did.
    """

    def __init__(self, provenance: Provenance) -> None:
        self.provenance = provenance
        self.taken: str | None = None

    def dispatching(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], run: ModuleRun
    ) -> None:
        """Note what the arguments hold before the operation runs."""
        self.provenance.prepare(func, args, kwargs, shown_name(run))

    def dispatched(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, run: ModuleRun
    ) -> None:
        """Note what the result holds."""
        self.provenance.observe(func, args, kwargs, out, shown_name(run))

    def called(self, name: str, args: tuple[Any, ...], out: Any, run: ModuleRun) -> None:
        """Note values that the net takes out of PyTorch."""
        if name in BULK_READS and args and isinstance(args[0], torch.Tensor):
            active = self.provenance.note_bulk_read(args[0], name, shown_name(run))
            if active:
                self.taken = self.taken or name_run(run)
            if active and hasattr(out, "flags"):
                out.flags.writeable = False  # it shares the tensor's memory
