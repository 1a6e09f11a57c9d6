"""What show, check and train say of somebody's net: slips, idle layers, warnings, failures."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fixtures import course_nets, honest_nets, slips
from helpers import FIXTURES, Netlet, few_fast
from torch import nn

import netlet as package
from netlet.analysis import check, summary
from netlet.budgets import TWENTY_K, Budget
from netlet.cli.check import verdict_to_dict
from netlet.data import Dataset
from netlet.errors import NetError
from netlet.nets import NETS, find_net
from netlet.recipes import STEADY, Recipe
from netlet.training import fit

SLIPS = f"{FIXTURES}/slips.py"
LEARNS_SLOWLY = "but the cross-entropy of training expects logits, so the net learns slowly; "
TRAINS_BADLY = f"{LEARNS_SLOWLY}leave the softmax out, or use log_softmax"


def notes(net: nn.Module | type[nn.Module]) -> list[str]:
    return list(summary(net() if isinstance(net, type) else net).notes)


@pytest.mark.parametrize(
    ("net", "expected"),
    few_fast(
        [
            (slips.SoftmaxEnd, [f"note: the net ends in layer softmax (Softmax), {TRAINS_BADLY}"]),
            (slips.ViewedSoftmax, [f"note: the net ends in softmax, {TRAINS_BADLY}"]),
            (slips.ClampedProbabilities, [f"note: the net ends in softmax, {TRAINS_BADLY}"]),
            (
                slips.SoftmaxTwice,
                [
                    "note: softmax comes before log_softmax, which already contains a softmax, so the "
                    "net learns slowly; leave softmax out"
                ],
            ),
            (
                slips.ExpOfLogSoftmax,
                [f"note: the net ends in exp of log_softmax, {LEARNS_SLOWLY}leave exp out"],
            ),
            (
                slips.SoftmaxOverImages,
                [
                    "note: log_softmax normalizes over the images of a batch; use dim=1, the classes",
                ],
            ),
            (
                slips.SoftmaxOfOne,
                ["note: log_softmax normalizes over a dimension of size 1; use dim=1, the classes"],
            ),
            (slips.ReluOnLogits, ["note: layer act (ReLU) acts on the logits; leave it out"]),
            (slips.ReluBeforeLogSoftmax, ["note: relu acts on the logits; leave it out"]),
            (
                slips.ReluBeforeNoAverage,
                ["note: layer head.1 (ReLU) acts on the logits; leave it out"],
            ),
            (slips.TanhOnLogits, ["note: tanh acts on the logits; leave it out"]),
            (slips.SigmoidOnLogits, ["note: sigmoid acts on the logits; leave it out"]),
            (slips.Relu6OnLogits, ["note: relu6 acts on the logits; leave it out"]),
            (
                slips.DropoutOnLogits,
                [
                    "note: layer drop (Dropout) is applied to the logits; remove it, or move it before the last layer with weights"
                ],
            ),
            (
                slips.DropoutBeforeAverage,
                [
                    "note: layer drop (Dropout2d) is applied to the maps that are pooled to the logits; "
                    "remove it, or move it before the last layer with weights"
                ],
            ),
            (
                slips.UnusedNorm,
                [
                    "note: layer norm (BatchNorm2d) has 16 parameters and never ran",
                    "note: without it the net would have 810 parameters",
                ],
            ),
            (
                slips.UnusedLayers,
                [
                    "note: layer spare (Sequential) has 440 parameters and never ran",
                    "note: layer norm (BatchNorm2d) has 8 parameters and never ran",
                    "note: without them the net would have 810 parameters",
                ],
            ),
            (
                slips.UnusedPooling,
                [
                    "note: layer pool (MaxPool2d) is built and never used",
                    "note: layer plain_norm (BatchNorm2d) is built and never used",
                ],
            ),
            (
                slips.AuxiliaryHead,
                ["note: layer second (Linear) has 90 parameters and runs in training only"],
            ),
            (
                slips.SharedRelu,
                ["note: layer b (Conv2d) runs 2 times; its parameters are counted once"],
            ),
            (
                slips.SqueezesTheBatch,
                [
                    "note: for a single image, the net returns 10 instead of 1x10, which training and "
                    "scoring refuse; squeeze() also removes the batch dimension of one image: use "
                    "flatten(1)"
                ],
            ),
            (
                slips.NormMadeInForward,
                [
                    "note: batch_norm normalizes by the batch in evaluation too, so the scores of "
                    "an image depend on the other images; create an nn.BatchNorm2d in __init__, "
                    "with running statistics"
                ],
            ),
            (
                slips.LayerMadeInForward,
                [
                    "note: random numbers made in forward: not a parameter of the net, neither "
                    "trained nor saved; create their layer in __init__, or use nn.Parameter"
                ],
            ),
            (
                slips.DropsInEvaluation,
                [
                    "note: dropout is active in evaluation too, so results vary; create an "
                    "nn.Dropout in __init__, or pass training=self.training to F.dropout"
                ],
            ),
        ],
        12,
    ),
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_slips_are_noted(net: type[nn.Module], expected: list[str]) -> None:
    assert notes(net) == expected


@pytest.mark.parametrize(
    ("net", "place"),
    [
        (slips.ScaledByChance, "ScaledByChance"),
        (slips.ScaledByPython, "ScaledByPython"),
        (slips.SamplesItsFeatures, "SamplesItsFeatures"),
        (slips.SeldomSkips, "SeldomSkips"),
        (slips.ShiftsByItsOwnGenerator, ""),
    ],
)
def test_scores_that_are_random_in_evaluation_are_noted(net: type[nn.Module], place: str) -> None:
    draws = f"note: {place} draws random numbers in evaluation too, so results vary; draw them only"
    differs = (
        "note: the net gives the same images other scores in a second run, so results vary; draw "
        "random numbers, and change what forward reads, only"
    )
    assert notes(net) == [f"{draws if place else differs} if self.training"]


@pytest.mark.parametrize("net", [slips.NoiseOfTrainedStrength, slips.NoiseBehindAZeroLayer])
def test_noise_that_a_parameter_hides_before_training_is_noted(net: type[nn.Module]) -> None:
    made = net()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    said = (
        f"note: {net.__name__} draws random numbers in evaluation too, so results vary once a "
        "parameter that is zero now has been trained; draw them only if self.training"
    )
    assert said in check(made, TWENTY_K).notes
    assert all(torch.equal(before[name], tensor) for name, tensor in made.state_dict().items())


@pytest.mark.parametrize(
    "net", [slips.NoiseInTraining, slips.DrawsTheSameEachTime, slips.NoiseOfNoStrength]
)
def test_random_numbers_that_change_no_score_in_evaluation_are_not_noted(
    net: type[nn.Module],
) -> None:
    assert notes(net) == []


def test_an_attribute_that_cannot_be_copied_is_named_by_check_and_training(
    blob_data: Dataset,
) -> None:
    said = (
        "the attribute generator (SystemRandom) cannot be copied, and training copies the net; "
        "create it in forward, or make it a global name of the file"
    )
    net = slips.DrawsFromTheSystem()
    assert check(net, TWENTY_K).notes == (f"note: {said}",)
    with pytest.raises(NetError, match=f"^{re.escape(said)}$"):
        fit(net, blob_data, STEADY.replace(epochs=1))


@pytest.mark.parametrize(
    "net",
    few_fast(
        [
            slips.Sound,
            slips.InstanceNormInside,
            slips.LogSoftmaxEnd,
            slips.LogOfSoftmax,
            slips.CappedLogits,
            slips.BoundedLogits,
            slips.NormBeforeAverage,
            slips.ReluBeforeAverage,
            slips.DroppedFeatures,
            slips.ProbabilitiesInEvaluation,
            slips.SoftmaxInPredict,
            slips.RateOfAModule,
            slips.Choices,
            slips.Attends,
            honest_nets.Attention,
            honest_nets.LearnedPositions,
            honest_nets.Spectral,
            honest_nets.Norms,
        ],
        9,
    ),
)
def test_sound_nets_get_no_notes(net: type[nn.Module]) -> None:
    assert notes(net) == []


@pytest.mark.parametrize(
    "name", few_fast([name for name in NETS if name != "expand_squeeze"], fast=6)
)
def test_nets_of_the_catalog_get_no_notes(name: str) -> None:
    assert notes(package.build(NETS[name].builder, 0)) == []


def test_the_write_up_that_drops_its_logits_is_told_so() -> None:
    cut_off, note = notes(package.build(NETS["expand_squeeze"].builder, 0))
    assert "layer 27 (MaxPool2d) leaves out the last row and column" in cut_off
    assert note.endswith(
        "is applied to the maps that are pooled to the logits; remove it, or move it before the last layer with weights"
    )


@pytest.mark.parametrize("name", few_fast(list(course_nets.COURSE_NETS), fast=6))
def test_course_nets_get_no_notes_on_their_end(name: str) -> None:
    found = [note for note in notes(course_nets.COURSE_NETS[name]()) if "logits" in note]
    slip = "note: dropout is applied to the logits; remove it, or move it before the last layer with weights"
    assert found == [slip] * (name == "dropout_everywhere")


def test_the_parameters_without_unused_layers_follow_those_layers() -> None:
    net = slips.UnusedNorm()
    net.drop = nn.Dropout()
    assert notes(net) == [
        "note: layer norm (BatchNorm2d) has 16 parameters and never ran",
        "note: without it the net would have 810 parameters",
        "note: layer drop (Dropout) is built and never used",
    ]


def test_check_prints_the_notes_below_its_verdict(netlet: Netlet) -> None:
    code, out, _ = netlet("check", f"{SLIPS}:UnusedLayers", "--params-below", "1000")
    assert code == 1
    assert out.splitlines()[-3:] == [
        "note: layer spare (Sequential) has 440 parameters and never ran",
        "note: layer norm (BatchNorm2d) has 8 parameters and never ran",
        "note: without them the net would have 810 parameters",
    ]
    found = json.loads(netlet("check", f"{SLIPS}:UnusedLayers", "--json")[1])
    assert found["notes"] == out.splitlines()[-3:]
    assert netlet("show", f"{SLIPS}:UnusedLayers")[1].splitlines()[-3:] == found["notes"]


@pytest.mark.slow
@pytest.mark.parametrize(("net", "outputs"), [("WideHead", 32), ("NarrowHead", 5)])
def test_outputs_that_do_not_match_the_classes_are_told(
    netlet: Netlet, net: str, outputs: int
) -> None:
    note = (
        f"note: the net has {outputs} outputs, but mnist has 10 classes; give its last layer 10 "
        "outputs"
    )
    for command in (["check", "--params-below", "9"], ["show"]):
        out = netlet(command[0], f"{SLIPS}:{net}", *command[1:])[1]
        assert out.splitlines()[-1] == note
    for command in (["check"], ["check", "--sandbox"]):  # by a budget with an accuracy
        code, out, _ = netlet(command[0], f"{SLIPS}:{net}", *command[1:])
        assert (code, out.splitlines()[-1]) == (1, "outputs: give its last layer 10 outputs")
        row = next(line.split() for line in out.splitlines() if line.startswith("outputs "))
        assert row == ["outputs", "exactly", "10", str(outputs), "-", "FAIL"]
    told = netlet("check", f"{SLIPS}:{net}", "--classes", str(outputs))[1]
    assert "outputs" not in told
    out = netlet("check", f"{SLIPS}:{net}", "--classes", "7")[1]
    assert out.splitlines()[-1] == "outputs: give its last layer 7 outputs"


def test_images_of_another_size_are_not_compared_with_mnist() -> None:
    net = nn.Sequential(nn.Conv2d(3, 32, 32), nn.Flatten())
    assert check(net, TWENTY_K, (3, 32, 32)).notes == ()
    assert check(slips.WideHead(), Budget(dataset="fashion_mnist")).notes == (
        "note: the net has 32 outputs, but fashion_mnist has 10 classes; give its last layer 10 "
        "outputs",
    )


def test_warnings_of_pytorch_become_notes(netlet: Netlet) -> None:
    expected = (
        "note: (net): Implicit dimension choice for log_softmax has been deprecated. Change the "
        "call to include dim=X as an argument."
    )
    for _ in range(2):
        code, out, err = netlet("show", f"{SLIPS}:ImplicitDimension")
        assert (code, err) == (0, "")
        assert out.splitlines()[-1] == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert notes(slips.ImplicitDimension) == [expected]


@pytest.mark.parametrize(
    ("net", "message"),
    few_fast(
        [
            (
                "TwoArguments",
                "TwoArguments: its forward() takes images and size; a net must take images alone",
            ),
            (
                "KeywordOnly",
                "KeywordOnly: its forward() takes images and channels; a net must take images alone",
            ),
            ("NoImages", "NoImages: its forward() takes no images; a net must take images alone"),
            (
                "ShapeNet",
                "ShapeNet: has no forward(); define one, and a net must take images alone",
            ),
            (
                "UndefinedScale",
                "UndefinedScale: 'scale_of_nothing' is not defined in the file slips.py; define or "
                "import it there",
            ),
            ("CallsAList", "ModuleList has no forward(); define one"),
            ("LabelsToo", "its forward() gets no labels, since a net must take images alone"),
        ],
        4,
    ),
)
def test_arguments_and_missing_forwards_are_told(netlet: Netlet, net: str, message: str) -> None:
    for command in ("show", "check"):
        code, out, err = netlet(command, f"{SLIPS}:{net}")
        assert (code, out) == (2, "")
        assert message in err
        assert "--input" not in err


def test_the_shape_hint_remains_where_shapes_are_the_fault(netlet: Netlet) -> None:
    assert "set another with --input C,H,W" in netlet("show", f"{SLIPS}:WrongShapes")[2]


def test_a_scripted_forward_that_wants_more_is_told() -> None:
    class Wants(nn.Module):
        def forward(self, x: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
            return x + size

    with pytest.raises(NetError, match=r"takes images and size; a net must take images alone"):
        summary(torch.jit.script(Wants()))


HEAD = "from torch import nn\n"
NET = "class Net(nn.Flatten):\n    def __init__(self):\n        super().__init__(rate)\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{HEAD}{NET}",
            "building it failed in line 4: 'rate' is not defined in the file mine.py; define or import it there",
        ),
        (
            f"{HEAD}class Net(base): pass\n",
            "importing it failed in line 2: 'base' is not defined in the file mine.py; define or import it there",
        ),
        (
            f"{HEAD}{NET}if __name__ == '__main__':\n    rate = 1\n",
            "'rate' is defined only where mine.py runs as a script (in its if __name__ block); "
            "define it above",
        ),
        (
            f"{HEAD}{NET}def prepare():\n    global rate\n    rate = fit(1)\nprepare()\n",
            "name 'rate' is not defined by the statements that the net depends on",
        ),
        (
            f"{HEAD}class Net(nn.Flatten):\n    def __init__(self):\n        rate += 1\n",
            "building it failed in line 4: UnboundLocalError: ",
        ),
    ],
    ids=["nothing", "base", "guarded", "global", "local"],
)
def test_names_that_are_not_defined_are_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(NetError) as caught:
        package.build(find_net(f"{tmp_path}/mine.py:Net").builder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_another_file_lacks_is_told(tmp_path: Path) -> None:
    (tmp_path / "parts_of_mine.py").write_text("width = undefined_width\n")
    (tmp_path / "mine.py").write_text("import parts_of_mine\nNet = parts_of_mine.Net\n")
    message = r"'undefined_width' is not defined in the file parts_of_mine.py; define or import it"
    with pytest.raises(NetError, match=message):
        find_net(f"{tmp_path}/mine.py:Net")


@pytest.mark.parametrize("kind", [slips.Sound, slips.SoftmaxEnd])
def test_noting_leaves_the_net_as_it_was(kind: Callable[[], nn.Module]) -> None:
    net = kind().train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    summary(net)
    assert torch.equal(torch.rand(3), expected)
    assert net.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_a_name_that_is_used_too_early_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "too_early.py").write_text(f"{HEAD}Net = nn.Flatten(first)\nfirst = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = r"name 'first' is not defined where too_early.py uses it; define it above"
    with pytest.raises(NetError, match=message):
        find_net("too_early:Net")


def test_training_names_no_file_of_netlet_or_pytorch(netlet: Netlet, blobs_for_mnist: Path) -> None:
    _, _, err = netlet(
        "train", f"{SLIPS}:WarnsInTraining", "--epochs", "1", "--set", "batch_size=60"
    )
    assert [line for line in err.splitlines() if "Implicit dimension" in line] == [
        "note: layer end (Softmax): Implicit dimension choice for softmax has been deprecated. "
        "Change the call to include dim=X as an argument."
    ]
    assert "warning" not in err.lower()
    assert "note: the net ends in layer end (Softmax), but " in err
    assert ".py:" not in err.replace("slips.py:", "")


def test_a_net_that_drops_the_batch_of_one_image_is_not_within_a_budget(netlet: Netlet) -> None:
    verdict = check(slips.SqueezesTheBatch(), Budget(params_below=80_000))
    result = verdict.results[-1]
    assert (result.rule, result.limit, result.state) == (
        *("output for one image", "exactly 1 row"),
        "FAIL",
    )
    assert result.found == "0 rows: 10 instead of 1x10"
    assert verdict.notes == ()  # the rule says it
    code, out, _ = netlet("check", f"{SLIPS}:SqueezesTheBatch")
    assert code == 1
    remedy = "squeeze() also removes the batch dimension of one image: use flatten(1)"
    assert out.splitlines()[-1] == f"output for one image: {remedy}"
    rule = verdict_to_dict(verdict)["rules"][-1]
    assert (rule["strictness"], rule["limit"], rule["found"]) == ("exactly", 1, 0)
    assert check(slips.Sound(), Budget(params_below=80_000)).state == "PASS"


class Maps(nn.Sequential):
    """Returns a map ``N 10 5 5``."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 4, 3, stride=4), nn.ReLU(), nn.Conv2d(4, 10, 3))


class RowOfEachPlace(Maps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).view(-1, 10)


class PredictedClass(Maps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).mean((2, 3)).argmax(1)


class OneNumber(Maps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).mean()


class KeptDimensions(Maps):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).mean((2, 3), keepdim=True)


@pytest.mark.parametrize(
    ("net", "found", "remedy"),
    [
        (
            Maps,
            "0 rows: 1x10x5x5",
            "average the map, as in x.mean((2, 3)); if forward returns several values, return "
            "the scores first",
        ),
        (
            RowOfEachPlace,
            "25 rows: 25x10",
            "average the map first, as in x.mean((2, 3)); view(-1, K) turns each of its positions "
            "into a row",
        ),
        (PredictedClass, "0 rows: 1", "return the scores of all classes, not the predicted class"),
        (
            OneNumber,
            "0 rows: a number",
            "return a row of scores for each image, as in x.mean((2, 3)): x.mean() averages the "
            "images and the classes, too",
        ),
    ],
)
def test_a_net_that_returns_no_row_of_scores_fails_where_it_is_scored(
    blob_data: Dataset, net: type[nn.Module], found: str, remedy: str
) -> None:
    scored = check(net(), Budget(params_below=8_000, accuracy_above=99.4, dataset="mnist"))
    result = next(one for one in scored.results if one.rule == "output for one image")
    assert (result.state, result.found, result.remedy) == ("FAIL", found, remedy)
    assert scored.state == "FAIL"
    assert scored.notes == ()
    counted = check(net(), Budget(params_below=8_000))  # it may have another purpose
    assert counted.state == "PASS"
    shape = found.split(": ")[1]
    assert counted.notes == (
        f"note: for a single image, the net returns {shape}, not the row of class scores that "
        f"training and scoring need; to classify, {remedy}",
    )
    with pytest.raises(NetError, match=re.escape(f"returns {shape} for 1 image of 10 classes")):
        fit(net(), blob_data, Recipe(epochs=1))


def test_a_row_of_scores_may_keep_the_dimensions_of_the_map() -> None:
    verdict = check(KeptDimensions(), Budget(params_below=8_000, accuracy_above=99.4))
    assert (verdict.state, verdict.notes) == ("NOT YET", ())


class TurnsTheBatch(slips.Sound):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        return logits.T if len(x) == 1 else logits


def test_an_output_that_only_looks_like_a_table_is_no_row_for_one_image() -> None:
    verdict = check(TurnsTheBatch(), Budget(params_below=80_000))
    assert verdict.results[-1].found == "0 rows: 10x1 instead of 1x10"
