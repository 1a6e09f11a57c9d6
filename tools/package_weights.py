"""Put the weights of a study's median seed into the package.

    python -m search.ship mnistnet_2

The study's runs must lie in results/studies/NAME; `python -m tools` draws the card beside the
weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

from netlet import nets, records, stats
from netlet.nets.shipped_weights import WEIGHTS_FOLDER

STUDIES = Path(__file__).parents[1] / "results" / "studies"


def package_weights(name: str) -> Path:
    """Copy the weights, with what they are in the file's own metadata; where they are now."""
    study = records.load_study(STUDIES / name)
    seed = stats.median_seed(study)
    net = nets.build(
        nets.find_net(study.net).builder, 0, study.data["shape"], study.data["classes"]
    )
    nets.load_weights(net, STUDIES / name / f"seed-{seed}" / records.WEIGHTS)
    (result,) = study.select_seeds([seed]).seeds
    if nets.weights_digest(net) != result.weights_digest:
        raise SystemExit(f"{name}: the weights of seed {seed} are not those that its study records")
    told = {
        "experiment": name,
        "net": study.net,
        "seed": str(seed),
        "digest": result.weights_digest,
        "license": "MIT",
    }
    WEIGHTS_FOLDER.mkdir(exist_ok=True)
    nets.save_weights(net, WEIGHTS_FOLDER / f"{name}.safetensors", told)
    return WEIGHTS_FOLDER / f"{name}.safetensors"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(package_weights(name))
