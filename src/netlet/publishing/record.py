"""The record of a net that is to be published: its accuracy is stated from it, never measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netlet import records
from netlet.display import Displayed
from netlet.errors import NetError
from netlet.experiments import TrainedNet
from netlet.nets import find_shipped_weights, weights_digest
from netlet.nets.shipped_weights import WEIGHTS_LICENSE
from netlet.records import Study
from netlet.text import quote_shell


@dataclass(frozen=True)
class NetRecord(Displayed):
    """A study, and the seed of it that trained the weights.

    Attributes:
        study: The study; of one seed if only a run is known.
        seed: The seed.
        license: The license of weights that come with netlet, in words; empty for others.
    """

    study: Study
    seed: int
    license: str = ""


def find_record(net: str, trained: TrainedNet) -> NetRecord:
    """Return the record of a net's training.

    Args:
        net: What the user named: the folder of a run or study, or a name.
        trained: The net with its weights.

    Raises:
        NetError: The net has no weights, or there is no record of their training.
        RecordError: A record is broken.
    """
    if not trained.net.state_dict():
        raise NetError(f"{net}: has no weights to publish; train a net with parameters")
    shipped = find_shipped_weights(net) if trained.run is None else None
    if trained.run is None and (shipped is None or net not in records.list_studies()):
        raise NetError(
            f"{net}: has no record of its training, so its accuracy is not known; name the folder"
            " of a run or study ('netlet train', 'netlet study')"
        )
    if shipped is not None:
        study = records.load_study(records.shipped_studies_folder() / net)
    elif trained.run is not None and trained.file is None:  # trained in this process
        study = Study.from_runs([trained.run])
    else:
        study = records.find_study(net)
    digest = weights_digest(trained.net)
    seed = next((one.seed for one in study.seeds if one.weights_digest == digest), None)
    if seed is None:
        again = quote_shell("netlet", "study", "--out", Path(net))
        raise NetError(
            f"{net}: no seed of its record has these weights (digest {digest[:16]}...); restore the"
            f" files, or train again ({again})"
        )
    return NetRecord(study, seed, WEIGHTS_LICENSE if shipped else "")
