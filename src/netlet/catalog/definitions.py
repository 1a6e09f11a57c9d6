"""The experiments that netlet knows by name; adding one is one entry in ``DEFINITIONS``.

An entry defines its recipe and its budget in place where no other experiment uses them. To ship
trained weights with it, run ``python -m tools.package_weights NAME`` after its study.
"""

from __future__ import annotations

from netlet.budgets import (
    DOCUMENT_000,
    DOCUMENT_003,
    DOCUMENT_004,
    EIGHT_K,
    TWENTY_K,
    Budget,
)
from netlet.catalog.definition import Claim, Definition
from netlet.recipes import (
    AUGMENTS,
    FRONTIER,
    FRONTIER_TINY,
    PLAIN,
    QUICK,
    SPRINT,
    STEADY,
    STEADY_14,
    Recipe,
    Warp,
)

# Nets with shift average that learn without it, at the cost of a net without.
_SHIFTED = FRONTIER.replace(train_as="strided", augment_end=0.3)

_OURS = (
    Definition(name="swift", net="swift", recipe=QUICK, budget=TWENTY_K),
    Definition(name="sprint", net="sprint", recipe=SPRINT, budget=TWENTY_K),
    Definition(
        name="sprint8k",
        net="sprint8k",
        recipe=SPRINT.replace(
            name="sprint8k",
            about="for sprint8k: the fastest training of fewer than 8,000 parameters above 99.4%",
            epochs=10,
            batch_size=64,
            label_smoothing=0.05,
        ),
        budget=EIGHT_K,
    ),
    Definition(
        name="dash",
        net="dash",
        recipe=SPRINT.replace(
            name="dash",
            about="for dash: one epoch without augmentation",
            epochs=1,
            batch_size=64,
            augment=(),
        ),
        budget=TWENTY_K.replace(
            name="ninety_nine",
            about="for dash, which trains for a single epoch",
            accuracy_at_least=99,
        ),
    ),
    Definition(name="summit", net="summit", recipe=STEADY_14, budget=DOCUMENT_004),
    # The frontier: as much accuracy as possible for a number of parameters. docs/frontier.md says
    # how these nets and recipes were found. Nothing is padded: of nets of equal size, those whose
    # feature maps shrink with depth overfit less.
    Definition(
        name="mnistnet_2",
        net="15 d26 d30 P d36 d42 d45",
        about="Fewer than 8,000 parameters: the net that write-up 001 announces but leaves empty.",
        recipe=FRONTIER,
        budget=EIGHT_K.replace(
            name="mnistnet_2",
            about="for mnistnet_2: as accurate as possible with fewer than 8,000 parameters",
            accuracy_above=None,
            accuracy_at_least=99.55,
        ),
    ),
    Definition(
        name="mnistnet_3",
        net="9 d15 d18 P d21 d24 d27",
        about="A small net for 99.4%, which write-up 001 announces but leaves empty.",
        recipe=FRONTIER_TINY,
        budget=DOCUMENT_000.replace(
            name="mnistnet_3",
            about="for mnistnet_3: as small as possible at 99.4%",
            params_below=3_701,
        ),
    ),
    Definition(
        name="crest",
        net="13 13 P 20 22 26 27",
        about="Nearly 20,000 parameters in standard convolutions, small and fast when exported.",
        recipe=FRONTIER.replace(
            name="frontier_19", about="frontier with 19 epochs, for 20,000 parameters", epochs=19
        ),
        budget=TWENTY_K.replace(
            name="crest",
            about="for crest: standard convolutions with fewer than 20,000 parameters",
            accuracy_at_least=99.62,
        ),
    ),
    Definition(
        name="speck",
        net="5 d8 d10 P d11 d13 d14",
        about="A small net for 99%.",
        recipe=FRONTIER_TINY,
        budget=DOCUMENT_000.replace(
            name="speck",
            about="for speck: as small as possible at 99%",
            params_below=1_901,
            accuracy_at_least=99,
        ),
    ),
    # The frontier above 8,000 parameters: separable convolutions and shift average, which these
    # nets learn without, and augmentation that is ramped down. docs/techniques.md has the
    # comparisons that led to them.
    Definition(
        name="massif",
        net="60b d103b d121b P d145b d169b d182b S",
        about="Nearly 100,000 parameters.",
        recipe=_SHIFTED.replace(
            name="massif",
            about="for massif: frontier with stronger augmentation, ramped down, 20 epochs",
            epochs=20,
            augment=(Warp(rotate_deg=8, shift_px=1.5, scale=0.08, shear_deg=4, elastic_px=0.8),),
        ),
        budget=DOCUMENT_000.replace(
            name="massif",
            about="for massif: as accurate as possible with fewer than 100,000 parameters",
            params_below=100_000,
            accuracy_at_least=99.7,
        ),
    ),
    Definition(
        name="spire",
        net="26b d43b d51b P d61b d72b d77b S",
        about="Nearly 20,000 parameters: the most accurate net below that limit.",
        recipe=_SHIFTED.replace(
            name="spire",
            about="for spire: frontier with augmentation ramped down, 19 epochs",
            epochs=19,
        ),
        budget=TWENTY_K.replace(
            name="spire",
            about="for spire: the most accurate net with fewer than 20,000 parameters",
            accuracy_at_least=99.65,
        ),
    ),
    Definition(
        name="ridge",
        net="17b d30b d34b P d41b d49b d53b S",
        about="At most 9,994 parameters, the size of a published net; trained with its shifts.",
        recipe=_SHIFTED.replace(
            name="ridge",
            about="for ridge: frontier with augmentation ramped down, 20 epochs",
            epochs=20,
            train_as="net",
        ),
        budget=DOCUMENT_000.replace(
            name="ridge",
            about="for ridge: as accurate as possible with at most 9,994 parameters",
            params_below=9_995,
            accuracy_at_least=99.6,
        ),
    ),
    Definition(
        name="cairn",
        net="15b d26b d31b P d36b d43b d46b S",
        about="Nearly 8,000 parameters, with shift average; it misses the 99.6% of its budget.",
        recipe=_SHIFTED.replace(
            name="cairn", about="for cairn: frontier with augmentation ramped down, 15 epochs"
        ),
        budget=EIGHT_K.replace(
            name="cairn",
            about="for cairn: as accurate as possible with fewer than 8,000 parameters",
            accuracy_above=None,
            accuracy_at_least=99.6,
        ),
    ),
    # The frontier below 4,000 parameters: norms without scale, weighted pooling, and shift average
    # in training, too. docs/techniques.md has the comparisons that led to them.
    Definition(
        name="pebble",
        net="10b d16b d19b P d23b d28b d29b W S",
        about="At most 3,762 parameters, the size of a published net.",
        recipe=FRONTIER_TINY,
        budget=DOCUMENT_000.replace(
            name="pebble",
            about="for pebble: as accurate as possible with at most 3,762 parameters",
            params_below=3_763,
            accuracy_at_least=99.5,
        ),
    ),
    Definition(
        name="grain",
        net="6b d11b d13b P d15b d18b d19b W S",
        about="At most 1,936 parameters, the size of a published net.",
        recipe=FRONTIER_TINY,
        budget=DOCUMENT_000.replace(
            name="grain",
            about="for grain: as accurate as possible with at most 1,936 parameters",
            params_below=1_937,
            accuracy_at_least=99.25,
        ),
    ),
    Definition(
        name="mote",
        net="4bm d6bm d7bm P d8bm d9bm d10bm W S",
        about="The smallest net: fewer than 800 parameters.",
        recipe=FRONTIER_TINY.replace(
            name="mote",
            about="for mote: Muon, 40 epochs without augmentation",
            epochs=40,
            optimizer="muon",
            peak_lr=0.02,
            augment=(),
        ),
        budget=DOCUMENT_000.replace(
            name="mote",
            about="for mote: as accurate as possible with fewer than 800 parameters",
            params_below=800,
            epochs_at_most=40,
            accuracy_at_least=98.9,
        ),
    ),
)


def _define_pair(
    net: str, ours: Recipe, documented: Recipe, budget: Budget, claim: Claim, name: str = ""
) -> tuple[Definition, Definition]:
    """Return a write-up's net with our recipe, and with the write-up's own."""
    name = name or net
    return (
        Definition(name=name, net=net, recipe=ours, budget=budget, claim=claim),
        Definition(
            name=f"{name}.documented", net=net, recipe=documented, budget=budget, claim=claim
        ),
    )


# The write-ups' recipes. What a write-up leaves open is chosen here; docs/documents-as-written.md
# lists these choices.
_DOCUMENT_000 = PLAIN.replace(name="document_000", about="as write-up 000 trains", epochs=20)
_DOCUMENT_001 = PLAIN.replace(
    name="document_001",
    about="as write-up 001 trains",
    epochs=20,
    batch_size=128,
    optimizer="adamw",
    beta2=0.999,
    peak_lr=0.015,  # without weight decay this is Adam
    schedule="step",
    step_epochs=7,
    step_factor=0.4,
    augment=AUGMENTS["document_001"],
)
_DOCUMENT_002 = PLAIN.replace(name="document_002", about="as write-up 002 trains", epochs=19)
_DOCUMENT_003 = PLAIN.replace(name="document_003", about="as write-up 003 trains", epochs=19)
_DOCUMENT_004 = PLAIN.replace(name="document_004", about="as write-up 004 trains", epochs=14)
_DOCUMENT_004_CODE_5 = _DOCUMENT_004.replace(
    name="document_004_code_5",
    about="as write-up 004 trains its fifth net, with rotation",
    augment=(Warp(rotate_deg=7, fill=1),),
)


def _code(net: str, parameters: int, correct: int) -> tuple[Definition, Definition]:
    claim = Claim(document="004", parameters=parameters, correct=correct)
    return _define_pair(net, STEADY_14, _DOCUMENT_004, DOCUMENT_004, claim)


_WRITE_UPS = (
    *_define_pair(
        "pyramid", STEADY, _DOCUMENT_000, DOCUMENT_000, Claim(document="000", parameters=18_530)
    ),
    *_define_pair(
        "mnistnet_1",
        STEADY,
        _DOCUMENT_001,
        EIGHT_K,
        Claim(document="001", parameters=7_416, correct=9_944, last_correct=9_936),
    ),
    *_define_pair(
        "expand_squeeze",
        STEADY,
        _DOCUMENT_002,
        TWENTY_K,
        Claim(document="002", parameters=18_666),
    ),
    *_define_pair(
        "week4", STEADY, _DOCUMENT_003, DOCUMENT_003, Claim(document="003", parameters=19_642)
    ),
    *_define_pair(
        "week4_conv", STEADY, _DOCUMENT_003, DOCUMENT_003, Claim(document="003", parameters=19_642)
    ),
    *_code("code_1", 119_392, 9_851),
    *_code("code_2", 4_990, 9_716),
    *_code("code_3", 5_150, 9_807),
    *_code("code_4", 7_904, 9_939),
    *_define_pair(
        "code_4",
        STEADY_14,
        _DOCUMENT_004_CODE_5,
        DOCUMENT_004,
        Claim(document="004", parameters=7_904, correct=9_941),
        name="code_5",
    ),
)

DEFINITIONS: tuple[Definition, ...] = (*_OURS, *_WRITE_UPS)
