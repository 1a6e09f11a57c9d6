"""The recipes and augmentations that netlet knows by name; recipes derive from one another."""

from __future__ import annotations

from netlet.errors import RecipeError, did_you_mean
from netlet.recipes.recipe import Recipe, Warp

AUGMENTS: dict[str, tuple[Warp, ...]] = {
    "none": (),
    # A quarter, a half and seven tenths of (10 degrees, 2 px, 10 %, a shear of 0.1): the more
    # epochs, the more of it.
    "light": (Warp(rotate_deg=2.5, shift_px=0.5, scale=0.025, shear_deg=1.4),),
    "medium": (Warp(rotate_deg=5, shift_px=1, scale=0.05, shear_deg=2.8),),
    "full": (Warp(rotate_deg=7, shift_px=1.4, scale=0.07, shear_deg=4),),
    # Half of it, and bent: for nets that learn their training images by heart.
    "elastic": (Warp(rotate_deg=5, shift_px=1, scale=0.05, shear_deg=2.8, elastic_px=0.5),),
    "elastic_light": (Warp(rotate_deg=5, shift_px=1, scale=0.05, shear_deg=2.8, elastic_px=0.3),),
    # Document 001's RandomRotation and, independent of it, RandomAffine.
    "document_001": (
        Warp(rotate_deg=7, fill=1, interpolation="nearest"),
        Warp(rotate_deg=10, scale=0.05, interpolation="nearest"),
    ),
}

# Ours. QUICK reaches its bar in a few epochs, STEADY uses the epochs that the documents allow.
QUICK = Recipe(
    name="quick",
    epochs=5,
    batch_size=128,
    peak_lr=0.01,
    label_smoothing=0.1,
    dropout=0.0,
    augment=AUGMENTS["medium"],
    averaging="ema",
)
SPRINT = QUICK.replace(name="sprint", epochs=3, batch_size=96, peak_lr=0.03)
DASH = SPRINT.replace(name="dash", epochs=1, batch_size=64, augment=())
SPRINT_8K = SPRINT.replace(name="sprint8k", epochs=10, batch_size=64, label_smoothing=0.05)
STEADY = QUICK.replace(
    name="steady", epochs=15, peak_lr=0.02, label_smoothing=0.05, augment=AUGMENTS["full"]
)
STEADY_14 = STEADY.replace(name="steady_14", epochs=14)  # document 004 asks for fewer than 15

# For the frontier: matrices step as by SOAP, images bend, the last weights are averaged evenly.
FRONTIER = Recipe(
    name="frontier",
    epochs=15,
    batch_size=64,
    optimizer="soap",
    peak_lr=0.01,
    weight_decay=0.05,
    label_smoothing=0.05,
    dropout=0.0,
    augment=AUGMENTS["elastic"],
    averaging="tail",
    tail_share=0.15,
)
FRONTIER_19 = FRONTIER.replace(name="frontier_19", epochs=19)
# Nets that small cannot learn their images by heart: less holds them back.
FRONTIER_TINY = FRONTIER.replace(
    name="frontier_tiny",
    epochs=20,
    weight_decay=0.0,
    label_smoothing=0.0,
    augment=AUGMENTS["elastic_light"],
)

# The documents'. What a document leaves open is chosen here and said: see
# docs/documents-as-written.md.
PLAIN = Recipe(
    name="plain",
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
DOCUMENT_001 = PLAIN.replace(
    name="document_001",
    epochs=20,
    batch_size=128,
    optimizer="adamw",
    beta2=0.999,
    peak_lr=0.015,  # no decay: Adam
    schedule="step",
    step_epochs=7,
    step_factor=0.4,
    augment=AUGMENTS["document_001"],
)
DOCUMENT_000 = PLAIN.replace(name="document_000", epochs=20)
DOCUMENT_002 = PLAIN.replace(name="document_002", epochs=19)
DOCUMENT_003 = PLAIN.replace(name="document_003", epochs=19)
DOCUMENT_004 = PLAIN.replace(name="document_004", epochs=14)
DOCUMENT_004_CODE_5 = DOCUMENT_004.replace(
    name="document_004_code_5", augment=(Warp(rotate_deg=7, fill=1),)
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        QUICK,
        SPRINT,
        DASH,
        SPRINT_8K,
        STEADY,
        STEADY_14,
        FRONTIER,
        FRONTIER_19,
        FRONTIER_TINY,
        PLAIN,
        DOCUMENT_000,
        DOCUMENT_001,
        DOCUMENT_002,
        DOCUMENT_003,
        DOCUMENT_004,
        DOCUMENT_004_CODE_5,
    )
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        RecipeError: There is none; the message lists those there are.
    """
    if name in RECIPES:
        return RECIPES[name]
    raise RecipeError(
        f"no recipe {name!r}; {did_you_mean(name, RECIPES)}there are: {', '.join(RECIPES)}"
    )
