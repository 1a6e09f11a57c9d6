"""Measure how often a net is unsure about MNIST's test digits and about images of other things.

    python -m benchmarks.unsure --out results/unsure.json     crest, swift and speck
    python -m benchmarks.unsure --nets swift RUN              other nets, or the folders of runs

The confidence is calibrated on training images and on the non-digits of ``netlet.data.non_digits``,
with which the digit detector was trained, too. What is measured here is of other kinds
(``benchmarks/non_digits.py``): other letters, printed letters and signs, shapes, and pairs of test
digits. For comparison, "softmax" is the net's own highest probability, with a threshold that calls
1% of the same calibration images unsure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.harness import make_parser, write_record
from benchmarks.non_digits import draw_other_non_digits
from netlet.data import Dataset

IMAGES, SEED = 1_000, 2  # of each kind
NETS = ("crest", "swift", "speck")


def measure(name: str, mnist: Dataset, kinds: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return how often a net is unsure about test digits and about each kind of image."""
    from netlet import evaluation
    from netlet.experiments import calibrate_confidence, load_confidence, load_trained_net
    from netlet.experiments.confidence import HELD_OUT_IMAGES

    trained = load_trained_net(name, trust=True)
    confidence = load_confidence(trained) or calibrate_confidence(trained, mnist)

    def answers(images: torch.Tensor) -> tuple[list[evaluation.Prediction], torch.Tensor]:
        """Return the calibrated answers, and the highest softmax probabilities."""
        arrays = list(images.numpy())
        plain = evaluation.predict(trained.net, arrays, trained.recipe)
        softmax = torch.tensor([answer.confidence for answer in plain])
        judged = evaluation.predict(trained.net, arrays, trained.recipe, confidence=confidence)
        return judged, softmax

    train = mnist.hold_out(HELD_OUT_IMAGES).held_out.images[:, 0]
    threshold = evaluation.choose_threshold(answers(train)[1], torch.empty(0))
    test = mnist.held_out
    judged, softmax = answers(test.images[:, 0])
    pairs = list(zip(judged, test.labels.tolist(), strict=True))
    row: dict[str, Any] = {
        "net": trained.name,
        "calibration": confidence.to_dict(),
        "test": {
            "images": len(test),
            "correct": sum(answer.best == label for answer, label in pairs),
            "unsure": sum(bool(answer.unsure) for answer in judged),
            "sure_and_correct": sum(
                answer.best == label and not answer.unsure for answer, label in pairs
            ),
            "unsure_by_softmax": int((softmax < threshold).sum()),
        },
        "kinds": {},
    }
    for kind, images in kinds.items():
        judged, softmax = answers(images)
        row["kinds"][kind] = {
            "images": len(images),
            "unsure": sum(bool(answer.unsure) for answer in judged),
            "unsure_by_softmax": int((softmax < threshold).sum()),
        }
        print(trained.name, kind, row["kinds"][kind], flush=True)
    return row


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--nets", nargs="+", default=list(NETS), metavar="NET")
    given = parser.parse_args()

    from netlet import data

    mnist = data.load("mnist")
    kinds = draw_other_non_digits(IMAGES, SEED, mnist.held_out.images[:, 0])
    write_record(given.out, {"nets": [measure(name, mnist, kinds) for name in given.nets]})


if __name__ == "__main__":
    main()
