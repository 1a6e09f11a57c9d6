"""Trains the digit detector and puts its weights into the package.

    python -m tools.digit_detector

The detector tells handwritten digits from other images, so that a net of digits is unsure about
these. It is trained on MNIST's train images, without the 5,000 that are held out to calibrate, on
digits of ``scribble``, and on the non-digits of ``netlet.data.non_digits``; needs MNIST.
"""

from __future__ import annotations

import torch

from netlet import data, nets, training
from netlet.catalog import RECIPES
from netlet.data import Dataset, Split
from netlet.data.non_digits import draw_non_digits
from netlet.data.scribble import draw_digits
from netlet.evaluation.digit_detector import CLASSES, NET, WEIGHTS
from netlet.experiments.confidence import HELD_OUT_IMAGES

MNIST_DIGITS, SCRIBBLE_DIGITS = 28_000, 12_000
NON_DIGITS = {
    "letters": 12_000,
    "scribbles": 12_000,
    "moved parts of digits": 4_000,
    "two digits that touch": 8_000,
    "noise": 2_000,
}
CHECKED = 4_000  # images that are held out of all these
EPOCHS = 8
SEED = 20


def make_images() -> Dataset:
    """Return digits (class 1) and other images (class 0)."""
    train = data.load("mnist").hold_out(HELD_OUT_IMAGES).train.images[:, 0]
    random = torch.Generator().manual_seed(SEED)
    drawn = draw_non_digits(max(NON_DIGITS.values()), SEED, train)
    others = [_sample(drawn[kind], number, random) for kind, number in NON_DIGITS.items()]
    digits = [
        _sample(train, MNIST_DIGITS, random),
        draw_digits(SCRIBBLE_DIGITS, SEED)[0][:, 0],
    ]
    images = torch.cat([*others, *digits]).unsqueeze(1)
    labels = (torch.arange(len(images)) >= sum(map(len, others))).long()
    order = torch.randperm(len(images), generator=random)
    splits = (("train", order[CHECKED:]), ("test", order[:CHECKED]))
    train_split, test = (Split(name, images[part], labels[part]) for name, part in splits)
    return Dataset("digits and others", train_split, test, CLASSES)


def _sample(images: torch.Tensor, number: int, random: torch.Generator) -> torch.Tensor:
    return images[torch.randperm(len(images), generator=random)[:number]]


def main() -> None:
    """Train the detector and write its weights."""
    images = make_images()
    net = nets.build(nets.find_net(NET).builder, SEED, images.shape, images.classes)
    run = training.fit(
        net, images, RECIPES["steady"].replace(epochs=EPOCHS), seed=SEED, name="digit detector"
    )
    nets.save_weights(net, WEIGHTS, {"net": NET, "digest": nets.weights_digest(net)})
    print(f"{WEIGHTS}: {run.last_epoch.score}")


if __name__ == "__main__":
    main()
