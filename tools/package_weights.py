"""Copies the weights of a study's median seed into the package.

    python -m tools.package_weights mnistnet_2

Needs the study's runs in results/studies/NAME. `python -m tools` writes the model card beside the
weights afterwards.
"""

from __future__ import annotations

import sys
from pathlib import Path

from netlet import nets, records, stats
from netlet.nets.shipped_weights import WEIGHTS_FOLDER

STUDIES = Path(__file__).parents[1] / "results" / "studies"


def package_weights(name: str) -> Path:
    """Copy the weights, describe them in the file's metadata, and return the new path."""
    study = records.load_study(STUDIES / name)
    seed = stats.median_seed(study)
    net = nets.build(
        nets.find_net(study.net, trusted=False).builder,
        0,
        study.data["shape"],
        study.data["classes"],
    )
    nets.load_weights(net, STUDIES / name / f"seed-{seed}" / records.WEIGHTS)
    (result,) = study.select_seeds([seed]).seeds
    if nets.weights_digest(net) != result.weights_digest:
        raise SystemExit(
            f"{name}: the weights of seed {seed} differ from those in the study's record; run the "
            "study again"
        )
    metadata = {
        "experiment": name,
        "net": study.net,
        "seed": str(seed),
        "digest": result.weights_digest,
        "license": "MIT",
    }
    WEIGHTS_FOLDER.mkdir(exist_ok=True)
    nets.save_weights(net, WEIGHTS_FOLDER / f"{name}.safetensors", metadata)
    return WEIGHTS_FOLDER / f"{name}.safetensors"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(package_weights(name))
