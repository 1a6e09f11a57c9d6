"""The net that an export is written from, and what a person is to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from netlet.analysis import cost
from netlet.budgets import ModelCost, Verdict
from netlet.data.batches import normalized
from netlet.errors import ShipError
from netlet.experiments import TrainedNet
from netlet.export import reference
from netlet.export.capture import capture
from netlet.export.fold import folded
from netlet.export.graph import Ending, Graph
from netlet.nets import weights_digest
from netlet.nets.outputs import logits_of

_NOISE = 16  # images


@dataclass(frozen=True)
class TrainedModel:
    """A trained net, and the graph that is shipped in its stead."""

    trained: TrainedNet
    graph: Graph  # folded; gray levels 0..255 to logits
    cost: ModelCost  # of the net as it was trained, before folding
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
        return budget.judge(self.cost) if budget else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the logits; numbers where somebody's net has more or fewer of them than its images have classes."""
        names, classes = self.trained.class_names, self.graph.classes
        return names if len(names) == classes else tuple(map(str, range(classes)))

    @property
    def described(self) -> dict[str, str]:
        """What an export says of itself."""
        trained = self.trained
        budget = {"budget": trained.budget.name} if trained.budget else {}
        return {
            "net": Path(trained.name).name,  # of somebody's file not the folder
            **budget,
            "parameters": str(self.cost.parameters),
            "digest": self.digest,
            "labels": ",".join(self.labels),
            "input": "x".join(map(str, trained.shape))
            + ", gray levels 0 to 255; normalization is inside",
            "output": f"{self.graph.classes} logits"
            + (f", before the net's {self.graph.ending}" * bool(self.graph.ending)),
        }


def origin(trained: TrainedNet) -> TrainedModel:
    """What exports of a net are written from.

    Raises:
        ShipError: It does something that no export knows (names the layer and what would work), or
            has weights that are not numbers.
    """
    broken = [
        key for key, value in trained.net.state_dict().items() if not bool(value.isfinite().all())
    ]
    if broken:
        raise ShipError(
            f"{trained.name}: {broken[0]} holds what is no number; such a net has diverged, train it again"
        )
    graph = folded(capture(trained.net, trained.shape, trained.mean, trained.std))
    _hold_against(graph, trained)
    return TrainedModel(
        trained, graph, cost(trained.net, trained.shape), weights_digest(trained.net)
    )


def _hold_against(graph: Graph, trained: TrainedNet) -> None:
    """Some images of noise, so that what one run cannot show, as a path chosen by a value, shows here.

    Raises:
        ShipError: The graph is not the net.
    """
    noise = torch.randint(
        256, (_NOISE, *graph.shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    noise[::2] *= (noise[::2, :, :1] > 127).to(torch.uint8)  # half of them with dark columns
    with torch.inference_mode():
        wanted = comparable(logits_of(trained.net(normalized(noise, trained.recipe))), graph.ending)
    found = reference.logits(graph, noise)
    found = found.log_softmax(1) if graph.ending else found
    if not bool(((wanted - found).abs() <= 1e-3 * wanted.abs().max().clamp(min=1)).all()):
        raise ShipError(
            f"{trained.name}: does not do the same to every image, or changes a map that it goes on using, and cannot "
            "be exported; a net without such turns would"
        )


def comparable(scores: torch.Tensor, ending: Ending) -> torch.Tensor:
    """What a net gives, as log-probabilities if it ends in a softmax: logits less one number for each image."""
    return scores.clamp(min=1e-30).log() if ending == "softmax" else scores
