"""The sample nets of courses: every one maps images to ten logits, and two forms are one net."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from fixtures.course_nets import BOTH_FORMS, COURSE_NETS
from helpers import few_fast
from torch import nn
from torch.nn import functional as F

Builder = Callable[[], nn.Module]
PARAMETERS = {
    "pytorch_example": 1_199_882,
    "residual_20k": 18_938,
    "mobile_20k": 18_482,
    "lenet5": 61_706,
}


def build(builder: Builder) -> nn.Module:
    """Return the net with the weights of seed 1, in float64, so that tolerances can be tight."""
    torch.manual_seed(1)
    return builder().double()


def images(n: int) -> torch.Tensor:
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(2)).double()


def disable_dropout(net: nn.Module) -> None:
    """Set the rates of dropout modules, and of functions that read attributes named rate, to 0."""
    for module in net.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
        for name in vars(module):
            if name.startswith("rate"):
                setattr(module, name, 0.0)


def gradients(net: nn.Module) -> list[torch.Tensor]:
    torch.manual_seed(3)  # of the dropout masks
    x = images(6)
    F.cross_entropy(net.train()(x), torch.arange(6)).backward()
    return [parameter.grad for parameter in net.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("name", COURSE_NETS)
def test_images_become_ten_logits(name: str) -> None:
    net = COURSE_NETS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "same" padding of an even kernel copies
        for mode in (True, False):
            logits = net.train(mode)(torch.rand(2, 1, 28, 28))
            assert logits.shape == (2, 10)
            assert logits.isfinite().all()


@pytest.mark.parametrize("name", PARAMETERS)
def test_nets_of_the_benchmark_have_the_stated_size(name: str) -> None:
    net = COURSE_NETS[name]()
    assert sum(parameter.numel() for parameter in net.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", few_fast(BOTH_FORMS, 10))
def test_both_forms_have_the_same_weights_and_logits(name: str) -> None:
    module, functional = (build(form).eval() for form in BOTH_FORMS[name])
    torch.testing.assert_close(
        list(module.parameters()), list(functional.parameters()), rtol=0, atol=0
    )
    torch.testing.assert_close(module(images(4)), functional(images(4)))


@pytest.mark.parametrize("name", few_fast(BOTH_FORMS, 10))
@pytest.mark.parametrize("dropout", [False, True])
def test_both_forms_have_the_same_gradients_and_statistics(name: str, dropout: bool) -> None:
    nets = [build(form) for form in BOTH_FORMS[name]]
    if not dropout:
        for net in nets:
            disable_dropout(net)
    expected, actual = map(gradients, nets)
    assert len(expected) == len(list(nets[0].parameters()))
    torch.testing.assert_close(expected, actual)
    torch.testing.assert_close(*(list(net.buffers()) for net in nets))


@pytest.mark.parametrize("name", BOTH_FORMS)
def test_both_forms_drop_at_the_same_rates(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, functional = (build(form) for form in BOTH_FORMS[name])
    for training in (True, False):
        expected, actual = (
            dropout_calls(net.train(training), monkeypatch) for net in (module, functional)
        )
        assert expected == actual
        assert all(call[2] is training for call in expected)


def dropout_calls(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float, bool]]:
    """Return the function, the rate and the mode of each dropout, also of those in modules."""
    calls = []
    with monkeypatch.context() as patch:
        for kind in ("dropout", "dropout2d"):

            def record(
                x: torch.Tensor,
                p: float = 0.5,
                training: bool = True,
                inplace: bool = False,
                kind: str = kind,
            ) -> torch.Tensor:
                calls.append((kind, p, training))
                return x

            patch.setattr(F, kind, record)
        net(images(2))
    return calls
