"""Optimisers as a recipe asks for them."""

import torch

from netlet.recipes import Recipe
from netlet.training.flat import Flat


def optimiser(flat: Flat, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD or AdamW over a net's trainable parameters.

    Weight decay falls on weights of two and more dimensions only, unless the recipe asks for all: norms and biases
    have one, and shrinking them limits what the net can express without making it simpler.
    """
    groups = [
        {"params": flat.matrices, "weight_decay": recipe.weight_decay},
        {"params": flat.vectors, "weight_decay": recipe.weight_decay if recipe.decay_norms_and_biases else 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    # One call over all parameters instead of several passes: tiny tensors cost their overhead, not their arithmetic.
    fused = all(p.device.type in ("cpu", "cuda") for p in (*flat.matrices, *flat.vectors))
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(
            groups, lr=recipe.peak_lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused
        )
    return torch.optim.AdamW(groups, lr=recipe.peak_lr, betas=(recipe.momentum, recipe.beta2), fused=fused)
