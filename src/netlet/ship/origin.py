"""The net that an export is written from, and what a person is to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netlet.anatomy import facts
from netlet.budgets import Facts, Verdict
from netlet.experiments import TrainedNet
from netlet.nets import weights_digest
from netlet.ship.capture import capture
from netlet.ship.fold import folded
from netlet.ship.graph import Graph


@dataclass(frozen=True)
class Origin:
    """A trained net, and the graph that is shipped in its stead."""

    trained: TrainedNet
    graph: Graph  # folded; grey levels 0..255 to logits
    facts: Facts  # of the net as it was trained, before folding
    digest: str  # of its weights

    @property
    def stem(self) -> str:
        """A file's name for it: what a person called it, without what no file's name can hold."""
        name = self.trained.name.rpartition(":")[2]
        return "".join(c if c.isalnum() or c in "._-" else "_" for c in name).strip("._-") or "net"

    @property
    def verdict(self) -> Verdict | None:
        """What its budget says of its size; None if it has none."""
        budget = self.trained.budget
        return budget.judge(self.facts) if budget else None

    @property
    def described(self) -> dict[str, str]:
        """What an export says of itself."""
        trained = self.trained
        budget = {"budget": trained.budget.name} if trained.budget else {}
        return {
            "net": Path(trained.name).name,  # of somebody's file not the folder
            **budget,
            "parameters": str(self.facts.parameters),
            "digest": self.digest,
            "labels": ",".join(trained.class_names),
            "input": "x".join(map(str, trained.shape)) + ", grey levels 0 to 255; normalisation is inside",
            "output": f"{self.graph.classes} logits"
            + (f", before the net's {self.graph.ending}" * bool(self.graph.ending)),
        }


def origin(trained: TrainedNet) -> Origin:
    """What exports of a net are written from.

    Raises:
        ShipError: It does something that no export knows; names the layer and what would work.
    """
    graph = folded(capture(trained.net, trained.shape, trained.mean, trained.std))
    return Origin(trained, graph, facts(trained.net, trained.shape), weights_digest(trained.net))
