"""Arguments of the Python API of another type: the message says how to get a right one."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import netlet
from netlet.analysis.gradient_check import gradient_support
from netlet.data import Split


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))


def make_net():
    return Net()


BUDGET = netlet.Budget(params_below=8000)
RECIPE = netlet.recipes.QUICK
IMAGES = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
SPLIT = Split("test", IMAGES, torch.zeros(2, dtype=torch.int64))

TAKE_A_NET = {
    "check": lambda net: netlet.check(net, BUDGET),
    "cost": netlet.cost,
    "summary": netlet.summary,
    "receptive_field": netlet.receptive_field,
    "fit": lambda net: netlet.fit(net, None, RECIPE),
    "weights_digest": netlet.nets.weights_digest,
    "save_weights": lambda net: netlet.nets.save_weights(net, Path("never.safetensors")),
    "gradient_support": lambda net: gradient_support(net, (1, 28, 28)),
    "range_test": lambda net: netlet.training.run_range_test(net, None, RECIPE),
    "evaluate": lambda net: netlet.evaluate(net, SPLIT, RECIPE, 10),
    "predict": lambda net: netlet.evaluation.predict(net, [IMAGES[0, 0].numpy()]),
    "explain": lambda net: netlet.evaluation.explain(net, IMAGES),
}


@pytest.mark.parametrize("take", TAKE_A_NET.values(), ids=TAKE_A_NET)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Net, "the net is the class Net; pass netlet.build(Net, seed=0)"),
        (make_net, "the net is the function make_net; pass netlet.build(make_net, seed=0)"),
        (
            "mine.py:Net",
            "the net is of the type str; pass "
            "netlet.build(netlet.nets.find_net('mine.py:Net').builder, seed=0)",
        ),
        (None, "the net is of the type NoneType; pass a net, like netlet.build(Net, seed=0)"),
    ],
)
def test_what_is_no_net_is_refused_with_what_to_pass(take, value, message):
    with pytest.raises(TypeError) as error:
        take(value)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (
            "8 8 P 12",
            "the builder is of the type str; pass a class or function, or "
            "netlet.nets.find_net('8 8 P 12').builder",
        ),
        (
            netlet.nets.find_net("crest"),
            "the builder is of the type NetEntry; pass a class or function, or "
            "netlet.nets.find_net('crest').builder",
        ),
        (
            Net(),
            "the builder is a net already; pass its class Net or a function that builds it",
        ),
    ],
)
def test_what_builds_no_net_is_refused_with_what_to_pass(builder, message):
    with pytest.raises(TypeError) as error:
        netlet.build(builder, seed=0)
    assert str(error.value) == message


LISTED = (
    "pass a list of uint8 arrays of one size, for example [prepare_digit(ink) for ink in "
    "read_digits(PATH)], both of netlet.data, or list(split.images[:4].numpy())"
)


def test_names_in_place_of_values_are_refused_with_how_to_get_the_value():
    data = netlet.data.Dataset("two", SPLIT, SPLIT, tuple("0123456789"))
    for call, message in (
        (
            lambda: netlet.fit(Net(), "mnist", RECIPE),
            "the data set is of the type str; pass netlet.data.load('mnist')",
        ),
        (
            lambda: netlet.fit(Net(), TensorDataset(SPLIT.images, SPLIT.labels), RECIPE),
            "the data set is of the type TensorDataset; pass a data set, like "
            "netlet.data.load('mnist'), or your own tensors as netlet.data.Dataset(name, "
            "Split('train', images, labels), Split('test', images, labels), class_names)",
        ),
        (
            lambda: netlet.fit(Net(), data, "steady"),
            "the recipe is of the type str; pass netlet.find_recipe('steady')",
        ),
        (
            lambda: netlet.evaluate(Net(), SPLIT, RECIPE.to_dict(), 10),
            "the recipe is of the type dict; pass netlet.recipes.recipe_from_json(run.recipe)",
        ),
        (
            lambda: netlet.evaluation.explain(Net(), SPLIT.images[0]),
            "images has the shape 1x28x28; pass a tensor of uint8 images N C H W, like "
            "netlet.data.load('mnist').held_out.images[:4]",
        ),
        (
            lambda: netlet.evaluation.explain(Net(), "seven.png"),
            "the argument images is of the type str; pass a tensor of uint8 images N C H W, like "
            "netlet.data.load('mnist').held_out.images[:4]",
        ),
        (
            lambda: netlet.evaluation.predict(Net(), SPLIT.images),
            f"the argument images is of the type Tensor; {LISTED}",
        ),
        (
            lambda: netlet.evaluation.predict(Net(), [SPLIT.images[0].float().numpy()]),
            f"an image is an array of 1x28x28 of float32; {LISTED}",
        ),
        (
            lambda: netlet.evaluation.explain(Net(), SPLIT.images / 255),
            "images has the type torch.float32; pass a tensor of uint8 images N C H W, like "
            "netlet.data.load('mnist').held_out.images[:4]",
        ),
        (
            lambda: netlet.fit(Net(), data, RECIPE, budget="class.toml"),
            "the budget is of the type str; pass netlet.find_budget('class.toml')",
        ),
        (
            lambda: netlet.check(Net(), "class.toml"),
            "the budget is of the type str; pass netlet.find_budget('class.toml')",
        ),
        (
            lambda: netlet.check(Net(), netlet.Budget),
            "the budget is the class Budget; pass a netlet.Budget, like Budget(params_below=8000)",
        ),
        (
            lambda: netlet.evaluate(Net(), data, RECIPE, 10),
            "the split is of the type Dataset; pass a split, "
            "like netlet.data.load('mnist').held_out",
        ),
        (
            lambda: netlet.Experiment(name="x", net=Net, recipe=RECIPE, budget=netlet.Budget()),
            "the net of an experiment is of the type type; pass "
            "netlet.nets.find_net('mine.py:Net'), or begin with "
            "netlet.find_experiment('mine.py:Net')",
        ),
        (
            lambda: netlet.experiments.run_study("swift", range(2), Path("never"), None),
            "the configuration is of the type str; pass what "
            "netlet.experiments.configure_run(experiment, data) returns",
        ),
        (
            lambda: netlet.evaluate(Net(), SPLIT, RECIPE, "10"),
            "the number of classes is of the type str; pass a whole number like 10",
        ),
        (
            lambda: netlet.compare("swift", "dash"),
            "the study is of the type str; pass netlet.find_study('swift')",
        ),
        (
            lambda: netlet.export.trace_model(Net()),
            "the net is of the type Net; pass a trained net, "
            "like netlet.experiments.TrainedNet.from_run(run, net)",
        ),
    ):
        with pytest.raises(TypeError) as error:
            call()
        assert str(error.value) == message


def test_a_call_with_arguments_missing_or_in_another_order_is_answered_with_the_right_one():
    right = "write netlet.evaluate(net, data.held_out, recipe, data.classes)"
    for arguments, what in (
        ((Net(), SPLIT, RECIPE), "evaluate(): missing a required argument: 'classes'"),
        ((Net(), SPLIT), "evaluate(): missing a required argument: 'recipe'"),
        ((SPLIT, Net(), RECIPE, 10), "the arguments are in another order"),
        ((Net(), SPLIT, 10, RECIPE), "the arguments are in another order"),
    ):
        with pytest.raises(TypeError) as error:
            netlet.evaluate(*arguments)
        assert str(error.value) == f"{what}; {right}"
    assert netlet.evaluate(Net(), SPLIT, RECIPE, 10).score.total == 2
