"""General recipes and augmentations by name; recipes derive from one another.

The catalog adds the recipes that only one experiment uses.
"""

from __future__ import annotations

from netlet.recipes.recipe import CatalogRate, Recipe
from netlet.recipes.warp import Warp

AUGMENTS: dict[str, tuple[Warp, ...]] = {
    "none": (),
    # A quarter, a half and seven tenths of (10 degrees, 2 px, 10%, a shear of 0.1): the more
    # epochs, the stronger the augmentation should be.
    "light": (Warp(rotate_deg=2.5, shift_px=0.5, scale=0.025, shear_deg=1.4),),
    "medium": (Warp(rotate_deg=5, shift_px=1, scale=0.05, shear_deg=2.8),),
    "full": (Warp(rotate_deg=7, shift_px=1.4, scale=0.07, shear_deg=4),),
    # Medium with an elastic deformation: for nets that overfit.
    "elastic": (Warp(rotate_deg=5, shift_px=1, scale=0.05, shear_deg=2.8, elastic_px=0.5),),
    "elastic_light": (Warp(rotate_deg=5, shift_px=1, scale=0.05, shear_deg=2.8, elastic_px=0.3),),
    # Write-up 001's RandomRotation and, independent of it, RandomAffine.
    "document_001": (
        Warp(rotate_deg=7, fill=1, interpolation="nearest"),
        Warp(rotate_deg=10, scale=0.05, interpolation="nearest"),
    ),
}

QUICK = Recipe(
    name="quick",
    about="a good net in 5 epochs, for trying things out",
    epochs=5,
    batch_size=128,
    peak_lr=0.01,
    label_smoothing=0.1,
    dropout=CatalogRate(0.0),
    augment=AUGMENTS["medium"],
    averaging="ema",
)
SPRINT = QUICK.replace(
    name="sprint",
    about="99.4% in as little time as possible: 3 epochs at a high learning rate",
    epochs=3,
    batch_size=96,
    peak_lr=0.03,
)
STEADY = QUICK.replace(
    name="steady",
    about="the default recipe for nets without one of their own: 15 epochs, strong augmentation",
    epochs=15,
    peak_lr=0.02,
    label_smoothing=0.05,
    augment=AUGMENTS["full"],
)
STEADY_14 = STEADY.replace(
    name="steady_14", about="steady with 14 epochs, for budgets that allow fewer than 15", epochs=14
)
FRONTIER = Recipe(
    name="frontier",
    about="the highest accuracy: SOAP, elastic augmentation, average of the last weights",
    epochs=15,
    batch_size=64,
    optimizer="soap",
    peak_lr=0.01,
    weight_decay=0.05,
    label_smoothing=0.05,
    dropout=CatalogRate(0.0),
    augment=AUGMENTS["elastic"],
    averaging="tail",
    tail_share=0.15,
)
FRONTIER_TINY = FRONTIER.replace(
    name="frontier_tiny",
    about="frontier for fewer than about 4,000 parameters: less regularization, 20 epochs",
    epochs=20,
    weight_decay=0.0,
    label_smoothing=0.0,
    augment=AUGMENTS["elastic_light"],
)
PLAIN = Recipe(
    name="plain",
    about="a baseline: SGD at a constant learning rate, no augmentation",
    epochs=15,
    batch_size=64,
    optimizer="sgd",
    peak_lr=0.01,
    momentum=0.9,
    schedule="constant",
    label_smoothing=0.0,
    augment=(),
    averaging="none",
)

GENERAL_RECIPES = (QUICK, SPRINT, STEADY, STEADY_14, FRONTIER, FRONTIER_TINY, PLAIN)
