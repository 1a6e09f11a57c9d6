"""Nets that the exports are tested on: three of ours and two from a user's file.

All are trained briefly: batch norm statistics are no longer zero and one, and predictions are mostly
right, so that a missing layer or a wrong number shows.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from netlet.data import Dataset, make_scribble
from netlet.data.batches import normalize
from netlet.experiments import TrainedNet, load_trained_net
from netlet.nets import build, find_net
from netlet.nets.outputs import extract_logits
from netlet.recipes import Recipe

USER_NETS = Path(__file__).parent / "fixtures" / "nets_to_export.py"
STEPS = 50  # of training
BATCH = 32


@functools.cache
def digits() -> Dataset:
    """Return synthetic digits, enough to learn something from."""
    return make_scribble(STEPS * BATCH // 2, 400)


@functools.cache
def net_named(name: str) -> TrainedNet:
    """Return a net: mnistnet_1, pyramid, speck, or braid and smooth of the user's file."""
    if name == "speck":
        return load_trained_net("speck")
    users = {"braid": f"{USER_NETS}:Braid", "smooth": f"{USER_NETS}:Smooth"}
    return _train_briefly(users.get(name, name))


def _train_briefly(name: str) -> TrainedNet:
    recipe = Recipe()
    net = build(find_net(name).builder, 0, (1, 28, 28), 10)
    net.train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # too short a training for regularization
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.set_num_threads(1)  # with such small batches a second thread slows it down
        descent = torch.optim.Adam(net.parameters())
        images, labels = digits().train.images, digits().train.labels
        for step in range(STEPS):
            # The decay lets batch norm's averages catch up.
            descent.param_groups[0]["lr"] = 0.02 * (1 - step / STEPS)
            chosen = torch.randint(len(labels), (BATCH,))
            descent.zero_grad()
            F.cross_entropy(
                extract_logits(net(normalize(images[chosen], recipe))), labels[chosen]
            ).backward()
            descent.step()
    torch.set_num_threads(threads)
    return TrainedNet(
        name,
        net.eval(),
        (1, 28, 28),
        tuple("0123456789"),
        recipe.mean,
        recipe.std,
        file=None,
        budget=None,
    )
