"""What a net's own code does never changes the exit code, the output or the verdict of netlet."""

from __future__ import annotations

import copyreg
import cProfile
import importlib
import inspect
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
import torch
from fixtures import hostile_nets
from helpers import FIXTURES, Netlet, few_fast
from torch import nn

from netlet.budgets import Budget, Verdict
from netlet.data import Dataset
from netlet.errors import NetError
from netlet.nets.code_state import CodeState, _Names
from netlet.nets.isolation import Isolation
from netlet.recipes import Recipe
from netlet.training import fit

FILE = FIXTURES / "hostile_nets.py"
evaluate = importlib.import_module("netlet.evaluation.evaluate")
OUTLIVE = ("LeavesAThread", "LeavesAnExitHandler")  # the command; only a process can show it
REFUSED = (
    "ExitsWhenBuilt",
    "ExitsInForward",
    "EndsTheProcess",
    "EndsTheProcessInForward",
    "Interrupts",
    "ClosesAGenerator",
    "RaisesItsOwn",
    "LeavesLikeACommand",
    "ClosesThePipe",
    "ReplacesNetletInForward",
)
JUDGED = [
    name
    for name, value in inspect.getmembers(hostile_nets, inspect.isclass)
    if issubclass(value, hostile_nets.Plain) and name not in (*REFUSED, *OUTLIVE)
]


def describe_process() -> object:
    """Return what a net must not change, as far as it can be compared."""
    return (
        [sys.stdout, sys.stderr, os.getcwd(), dict(os.environ), os._exit],
        [sys.getrecursionlimit(), list(warnings.filters), sys.path[0]],
        [signal.getsignal(signal.SIGINT), signal.getitimer(signal.ITIMER_REAL)],
        [torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()],
        [torch.get_default_device(), torch._C._len_torch_function_stack()],
        [nn.Module.parameters, torch.Tensor.numel, sum, len, print],
        [Budget.judge, Verdict.state, Verdict.failed, threading.active_count()],
    )


@pytest.mark.parametrize("name", few_fast(REFUSED, 5))
def test_a_net_that_ends_the_process_is_refused_in_one_line(netlet: Netlet, name: str) -> None:
    before = describe_process()
    code, out, err = netlet("check", f"{FILE}:{name}", "--params-below", "80")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert describe_process() == before


@pytest.mark.parametrize("name", few_fast(JUDGED, 4))
def test_a_net_that_meddles_is_judged_like_any_other(netlet: Netlet, name: str) -> None:
    before = describe_process()
    code, out, _ = netlet("check", f"{FILE}:{name}", "--params-below", "80", "--json")
    verdict = json.loads(out[out.index("{") :])
    assert (code, verdict["state"]) == (1, "FAIL")
    assert verdict["rules"][0]["found"] == 7_850
    assert describe_process() == before


@pytest.mark.parametrize(
    "name", ["Prints", *(pytest.param(name, marks=pytest.mark.slow) for name in OUTLIVE)]
)
def test_a_process_ends_at_once_with_its_own_code_and_only_its_own_output(name: str) -> None:
    command = [sys.executable, "-m", "netlet", "check", f"{FILE}:{name}", "--params-below", "80"]
    done = subprocess.run([*command, "--json"], capture_output=True, timeout=100, check=False)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "FAIL")


class Linear(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 10))


class ExitsInTraining(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise SystemExit(0)
        return super().forward(x)  # type: ignore[no-any-return]


class EndsTheProcessInTraining(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            os._exit(0)
        return super().forward(x)  # type: ignore[no-any-return]


class RaisesItsOwnInTraining(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise hostile_nets.RaisesItsOwn.Nothing
        return super().forward(x)  # type: ignore[no-any-return]


class JudgesItself(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            Budget.judge = lambda self, *_: Verdict("mine", ())  # type: ignore[assignment]
        return super().forward(x)  # type: ignore[no-any-return]


class CountsItsOwnMistakes(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 1:
            evaluate._list_mistakes = lambda *_: ()
        return super().forward(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("net", "problem"),
    [
        (ExitsInTraining, r"ExitsInTraining: its code calls sys\.exit\(0\); remove that call"),
        (EndsTheProcessInTraining, r"its code calls os\._exit\(0\); remove that call"),
        (RaisesItsOwnInTraining, "its code raises Nothing; remove that"),
        (JudgesItself, r"replaces netlet\.budgets\.budget\.Budget\.judge while it runs"),
        (CountsItsOwnMistakes, r"replaces netlet\.evaluation\.evaluate\._list_mistakes while it"),
    ],
)
def test_a_net_neither_ends_nor_judges_its_own_training(
    blob_data: Dataset, net: type[nn.Module], problem: str
) -> None:
    before = describe_process()
    with pytest.raises(NetError, match=problem):
        fit(net(), blob_data, Recipe(epochs=1, batch_size=60, peak_lr=0.01))
    assert describe_process() == before


def test_a_net_does_not_judge_itself_while_it_is_scored(blob_data: Dataset) -> None:
    with pytest.raises(NetError, match=r"replaces .*_list_mistakes while it runs"):
        evaluate.evaluate(CountsItsOwnMistakes(), blob_data.held_out, Recipe(epochs=1), 10)
    assert evaluate._list_mistakes.__module__ == "netlet.evaluation.evaluate"


def test_every_replaced_function_is_put_back_and_named() -> None:
    sums, judge = math.fsum, Budget.judge
    state = CodeState()
    assert state.restore() == []
    math.fsum = lambda _: 0.0
    del Budget.judge
    Budget.judges = judge  # type: ignore[attr-defined]  # as many names as before
    assert state.restore() == ["math.fsum", "netlet.budgets.budget.Budget.judge"]
    assert (math.fsum, Budget.judge) == (sums, judge)
    del Budget.judges  # type: ignore[attr-defined]


def test_several_runs_of_a_net_may_share_what_is_restored() -> None:
    code = CodeState()
    for _ in range(2):
        with (
            pytest.raises(NetError, match=r"replaces math\.fsum"),
            Isolation(strict=True, code=code),
        ):
            math.fsum = lambda _: 0.0
        assert math.fsum([1]) == 1


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_no_context_of_a_device_is_left_behind(device: str) -> None:
    before = torch._C._len_torch_function_stack()
    with Isolation():
        torch.set_default_device(device)
    assert torch._C._len_torch_function_stack() == before
    assert torch.get_default_device() == torch.device("cpu")


@pytest.mark.slow
def test_the_deterministic_mode_is_restored_without_importing_the_compiler() -> None:
    code = (
        "import sys, torch; from netlet.nets.isolation import Isolation\n"
        "with Isolation(): pass\n"
        "print('torch._inductor.config' in sys.modules)\n"
        "with Isolation(): torch.use_deterministic_algorithms(True)\n"
        "print(torch.are_deterministic_algorithms_enabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.programs
def test_what_the_compiler_of_pytorch_replaces_is_not_held_against_a_net() -> None:
    # It replaces methods of nn.Module once in a process, here while the net runs.
    code = """
import torch, netlet
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(784, 10)
    def forward(self, x):
        return torch.compiler.disable(self.layer)(x.flatten(1))
before = torch.nn.Module.__init__
print(netlet.summary(Net()).parameters, torch.nn.Module.__init__ is before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "7850 False\n"


def test_a_profiler_goes_on_after_a_net() -> None:
    profiler = cProfile.Profile()
    with profiler:
        with Isolation(strict=True):
            hostile_nets.Plain()
        statistics.median([1, 2, 3])
    names = {getattr(entry.code, "co_name", "") for entry in profiler.getstats()}
    assert "median" in names


def test_a_profiler_of_a_net_is_removed() -> None:
    seen: list[str] = []
    with Isolation(strict=True):
        sys.setprofile(lambda frame, event, _: seen.append(event))
    seen.clear()
    statistics.median([1, 2, 3])
    assert not seen


def test_help_says_that_a_file_is_run(netlet: Netlet) -> None:
    for command in ("check", "show", "train"):
        assert "file.py:Name runs that file's code with your" in " ".join(
            netlet(command, "--help")[1].split()
        )
    assert "no network, none of your files but the Python files around it" in " ".join(
        netlet("check", "--help")[1].split()
    )


class _Growing(dict[str, object]):
    """A namespace that another thread adds a name to while it is read."""

    reads = 0

    def __iter__(self) -> Iterator[str]:
        self.reads += 1
        names = [*super().__iter__()]
        if self.reads == 1:
            self["added"] = 1
        return iter(names)


class _Owner:
    """Has a namespace of its own kind."""

    def __init__(self, namespace: dict[str, object]) -> None:
        self.__dict__ = namespace


def test_names_that_are_added_while_they_are_read_shift_no_others() -> None:
    owners = (_Owner(_Growing(a=1)), _Owner({"__name__": "second", "b": 2}))
    found = dict(_Names(owners).split(owners))
    assert found[owners[0]] == {"a": 1, "added": 1}
    assert found[owners[1]] == {"__name__": "second", "b": 2}


def test_what_python_notes_of_a_class_when_it_copies_is_not_held_against_a_net() -> None:
    copyreg._slotnames(torch.Tensor)  # type: ignore[attr-defined]
    if "__slotnames__" in vars(nn.Parameter):
        del nn.Parameter.__slotnames__  # type: ignore[attr-defined]
    with warnings.catch_warnings(action="error"), Isolation(strict=True):
        copyreg._slotnames(nn.Parameter)  # type: ignore[attr-defined]
    assert "__slotnames__" in vars(nn.Parameter)
