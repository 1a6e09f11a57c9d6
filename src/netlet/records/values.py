"""The parts of records that are kept as mappings, exactly as JSON stores them.

The schema (``schema.py``) checks them on loading: keys, types and shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired  # pydantic needs this one before Python 3.12

from typing_extensions import TypedDict

from netlet.budgets.structure import Structure

Sizes = Sequence[int]  # a size for each axis


class DataSource(TypedDict):
    """What identifies the images; all that the checkpoints of version 0.1 hold of a data set."""

    name: str
    digest: str  # SHA-256 over the checksums; the same for the same data
    shape: Sizes  # of one image, C H W
    images: Mapping[str, int]  # split -> number of its images


class DataDescription(DataSource):
    """What records store about a data set."""

    classes: int
    class_names: Sequence[str]  # in the order of the labels
    checksums: Mapping[str, str]
    light_background: NotRequired[bool]  # if most training images have one; else it is missing


def shared_value(record: object, name: str) -> object:
    """Return what the seeds of one study have in common in a field of their records.

    They may name their recipe in two ways, and earlier versions do not tell the background.
    """
    value = getattr(record, name)
    left_out = {"recipe": "name", "data": "light_background"}.get(name)
    return {key: one for key, one in value.items() if key != left_out} if left_out else value


class TeacherValues(TypedDict):
    """A net whose logits another one was trained on."""

    net: str
    epochs: int
    parameters: int


class CostValues(TypedDict):
    """The fields of ``ModelCost``, and what is used for the training alone."""

    parameters: int
    macs: int | None
    weight_bytes: int
    activation_bytes: int | None
    kinds: Mapping[str, Sequence[str]]  # kind of layer -> its layers
    spending: NotRequired[Mapping[str, Sequence[tuple[str, int]]]]  # not in studies
    epochs: int | None
    structure: NotRequired[Structure]  # if the budget has rules on it
    training_parameters: NotRequired[int]  # if the net is trained in another form
    teacher: NotRequired[TeacherValues]


class SummaryRow(TypedDict):
    """A layer or function in a net's summary."""

    name: str
    kind: str
    output: Sizes
    parameters: int
    macs: int | None
    field: Sizes | None
    jump: Sizes | None
    kernel: Sizes | None
    stride: Sizes | None
    padding: Sizes | None
    dilation: Sizes | None
    shared: bool


class SummaryValues(TypedDict):
    """A net's summary: its rows, totals and notes."""

    net: str
    input: Sizes
    rows: Sequence[SummaryRow]
    parameters: int
    trainable: int
    macs: int | None
    field: Sizes | None
    input_bytes: int
    forward_backward_bytes: int
    parameter_bytes: int
    activation_bytes: int | None
    notes: Sequence[str]
    non_trainable: int
    total_bytes: int


class FieldRowValues(TypedDict):
    """A window in the table of receptive fields; ``FieldRow`` explains the columns."""

    name: str
    kind: str
    n_in: Sizes
    k: Sizes
    s: Sizes
    p: Sizes
    d: Sizes
    n_out: Sizes
    r_in: Sizes | None
    j_in: Sizes | None
    r_out: Sizes | None
    j_out: Sizes | None


class FieldTable(TypedDict):
    """The table of a net's receptive fields."""

    size: Sizes | None
    rows: Sequence[FieldRowValues]
    why_unknown: str


class Environment(TypedDict):
    """The machine and the software of a run; ``training/environment.py`` writes it.

    What is not required was not recorded by earlier versions, or only exists on some machines.
    """

    netlet: str
    python: str
    torch: str
    numpy: str
    system: str
    cpu: str
    cores: int | None
    threads: int
    device: str
    commit: NotRequired[str | None]
    sources: NotRequired[str]
    torch_build: NotRequired[str]
    blas: NotRequired[str]
    onednn: NotRequired[str]
    libc: NotRequired[str]
    cpu_features: NotRequired[str]
    cpu_capability: NotRequired[str]
    settings: NotRequired[Mapping[str, str | bool]]  # version 0.1 wrote switches as true or false
    cuda: NotRequired[str | None]
    cudnn: NotRequired[int | None]
    cuda_fp32_precision: NotRequired[Sequence[str]]
    augmentation: NotRequired[str]
    compiler: NotRequired[str]
    compiler_flags: NotRequired[str]
    compiled_step: NotRequired[str]
    compiled_augmentation: NotRequired[str]
    node: NotRequired[str]  # of a cluster, if one trained the run
    teacher: NotRequired[str]  # digest of its weights


class UnknownEnvironment(TypedDict):
    """What earlier versions recorded of epochs before a resume: nothing."""


class Machine(TypedDict):
    """Where a seed was trained, from the environment of its run."""

    node: str  # of a cluster; empty otherwise
    cpu: str


class Times(TypedDict):
    """Seconds that a run took: for training, for scoring, and for everything."""

    train_s: float
    score_s: float
    total_s: float


class TrialsValues(TypedDict):
    """The trials by which a study's net and recipe were chosen."""

    file: str
    number: int
    sha256: str
