"""The check of compiled code notices small mistakes in the C program, one at a time."""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from c_mutations import AUGMENTATION, STEP, Mutation
from fault_counts import FaultCounts
from fixtures import compiled_nets
from helpers import linux_only
from torch import nn

from netlet.backends.cpu import CompilationError, CompiledStep, augmentation, library
from netlet.backends.cpu import compiled_step as compiled
from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.c_source import generate_c_source
from netlet.backends.cpu.compiler import compile_file, find_compiler
from netlet.backends.cpu.loader import load_library

pytestmark = [pytest.mark.faults, linux_only]

IMAGES = 25
THREADS = 2  # of the compiled programs; PyTorch has one, which is faster for such small nets
NETS = (*STEP, "without_norms")


@dataclass(frozen=True)
class Subject:
    """A net, the program that is compiled for it, and what the right one computes."""

    net: nn.Module
    shape: tuple[int, int, int]
    source: str
    honest: list[torch.Tensor]


def train(step: CompiledStep, net: nn.Module, shape: Sequence[int]) -> list[torch.Tensor]:
    """Train a few steps; return all tensors of the net, its losses and its logits."""
    generator = torch.Generator().manual_seed(1)
    losses = []
    for number, n in enumerate((25, 24, 9, 2)):
        images = torch.randn(n, *shape, generator=generator)
        labels = torch.randint(3, (n,), generator=generator)
        losses.append(step.compute_gradients(images, labels, 0.1, 12345 + (number << 40))[0])
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 0.05 * parameter.grad  # type: ignore[operator]
    scores = step.compute_logits(torch.randn(25, *shape, generator=generator))
    tensors = [t.detach().clone().double() for t in (*net.parameters(), *net.buffers())]
    return [*tensors, torch.tensor(losses), scores]


def differ(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    """Return whether the results differ by more than rounding."""
    return any(
        not float((a - b).norm()) <= 1e-4 * float(b.norm()) + 1e-7
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture
def quick_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile with less optimization, since nothing is timed."""
    flags = tuple("-O0" if flag == "-O3" else flag for flag in library._FLAGS)
    monkeypatch.setattr(library, "_FLAGS", flags)
    monkeypatch.setattr(library, "_cache_folder", lambda: tmp_path / "native")


@pytest.fixture
def ahead(quick_compiler: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[CompilesAhead]:
    with ThreadPoolExecutor(2) as pool:
        compiles = CompilesAhead(pool)
        monkeypatch.setattr(library, "compile_file", compiles.compile_file)
        yield compiles
        pool.shutdown(cancel_futures=True)


class CompilesAhead:
    """Compiles many programs at once, each of them only once.

    The programs run after all are compiled: their threads wait for each other, which takes many
    times as long on processors that compile meanwhile. What fails in bfloat16 is tried in float32,
    here with the same program.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._begun: dict[str, Future[tuple[str, bytes]]] = {}

    def begin(self, source: str) -> None:
        arguments = [*library._FLAGS, "netlet.c", "-lm"]
        self._begun[source] = self._pool.submit(
            compile_file, find_compiler(), {"netlet.c": source}, arguments, "netlet.so"
        )

    def finish(self) -> None:
        wait(self._begun.values())

    def compile_file(self, *arguments: object) -> tuple[str, bytes]:
        files = arguments[1]
        assert isinstance(files, dict)
        begun = self._begun.get(files["netlet.c"])
        return begun.result() if begun else compile_file(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_check_notices_mistakes_in_the_training_step(
    half: bool, ahead: CompilesAhead, monkeypatch: pytest.MonkeyPatch, fault_counts: FaultCounts
) -> None:
    if half and not getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)():
        pytest.skip("this processor does not multiply bfloat16")
    subjects = {name: make_subject(name, half) for name in NETS}
    cases = [
        (mutation, list(apply_to_all(mutation, name, subjects).items()))
        for name, mutations in STEP.items()
        for mutation in mutations
    ]
    for _, programs in cases:
        ahead.begin(programs[0][1])
    ahead.finish()
    outcomes: dict[str, list[str]] = {"caught": [], "harmless": [], "missed": []}
    for mutation, programs in cases:
        found = "harmless"
        for name, source in programs:
            found = try_program(subjects[name], source, half, monkeypatch)
            if found != "harmless":
                break
        outcomes[found].append(mutation.what)
    _report(
        outcomes, f"mistakes in a training step, {'bfloat16' if half else 'float32'}", fault_counts
    )


def make_subject(name: str, half: bool) -> Subject:
    torch.manual_seed(3)
    net = getattr(compiled_nets, name)()
    shape = compiled_nets.SHAPES[name]
    registers = 30 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 6
    source = generate_c_source(
        read_program(net, shape), half=half, training=True, images=IMAGES, registers=registers
    )
    twin = copy.deepcopy(net)
    step = CompiledStep(twin, shape, IMAGES, half=half, threads=THREADS)
    return Subject(net, shape, source, train(step, twin, shape))


def apply_to_all(mutation: Mutation, first: str, subjects: dict[str, Subject]) -> dict[str, str]:
    """Return the program with the mistake for each net whose program has the text.

    That of the net that comes first has to.
    """
    programs = {first: mutation.apply(subjects[first].source)}
    for name in NETS:
        if subjects[name].source.count(mutation.old) > mutation.nth:
            programs.setdefault(name, mutation.apply(subjects[name].source))
    return programs


def try_program(subject: Subject, source: str, half: bool, patch: pytest.MonkeyPatch) -> str:
    """Return whether a wrong program is caught by the check, harmless or missed."""
    twin = copy.deepcopy(subject.net)
    with patch.context() as context:
        context.setattr(compiled, "generate_c_source", lambda *args, **more: source)
        # What the C program is generated from was checked when the subject was made.
        context.setattr(compiled, "check_program", lambda *args: None)
        try:
            step = CompiledStep(twin, subject.shape, IMAGES, half=half, threads=THREADS)
        except CompilationError as reason:
            if "failed: " in str(reason):  # the compiler: it is not a C program
                raise
            return "caught"
    return "missed" if differ(train(step, twin, subject.shape), subject.honest) else "harmless"


@pytest.mark.usefixtures("quick_compiler")
def test_check_notices_mistakes_in_the_augmentation(fault_counts: FaultCounts) -> None:
    honest = augmentation.read_source()
    outcomes: dict[str, list[str]] = {"caught": [], "harmless": [], "missed": []}
    augmentation._check(_compile(honest))
    for mutation in AUGMENTATION:
        try:
            augmentation._check(_compile(mutation.apply(honest)))
        except CompilationError:
            outcomes["caught"].append(mutation.what)
        else:
            outcomes["missed"].append(mutation.what)
    _report(outcomes, "mistakes in the augmentation", fault_counts)


def _compile(source: str) -> ctypes.CDLL:
    arguments = [*library._FLAGS, "netlet.c", "-lm"]
    return load_library(
        compile_file(find_compiler(), {"netlet.c": source}, arguments, "netlet.so")[1]
    )


def _report(outcomes: dict[str, list[str]], what: str, fault_counts: FaultCounts) -> None:
    caught, missed = len(outcomes["caught"]), len(outcomes["missed"])
    fault_counts.add(
        "compiled",
        what,
        sum(map(len, outcomes.values())),
        caught=caught,
        harmless=len(outcomes["harmless"]),
        failed=missed,
    )
    assert caught >= 30 or what.endswith("augmentation")
    assert caught >= 0.95 * (caught + missed), outcomes["missed"]


def test_a_mutation_of_a_text_that_is_gone_is_an_error() -> None:
    with pytest.raises(ValueError, match="the program has no 'x' number 0"):
        Mutation("gone", "x", "y").apply("z")
