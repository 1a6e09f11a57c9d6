"""``netlet evaluate``, its output, and weights from other programs."""

from __future__ import annotations

import argparse
import collections
import datetime
import json
import os
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import FIXTURES, Netlet, set_options
from safetensors.torch import save_file
from torch import nn

import netlet as package
from netlet import nets
from netlet.budgets import Score
from netlet.cli import main
from netlet.data import SOURCES, Dataset, Source, disputed_labels, load
from netlet.data.disputed_labels import DISPUTED_LABELS, DisputedLabel
from netlet.errors import NetError
from netlet.evaluation import Evaluation, evaluate, evaluation_to_dict, format_evaluation, predict
from netlet.evaluation.evaluate import compute_logits
from netlet.nets.tensor_files import load_as_data
from netlet.nets.weights import load_weights, weights_digest
from netlet.recipes import Recipe
from netlet.records import Mistake
from netlet.training import Recorder, fit


@pytest.fixture(autouse=True)
def _blobs(blobs_for_mnist: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (9_940, 10_000, 99.2285, 99.5335),
        (0, 10, 0.0, 27.7533),
        (10, 10, 72.2467, 100.0),
        (1, 2, 9.4531, 90.5469),
    ],
)
def test_score_intervals_match_statsmodels(
    correct: int, total: int, low: float, high: float
) -> None:
    """Against statsmodels' proportion_confint(..., method='wilson')."""
    assert Score("test", correct, total).interval() == pytest.approx((low, high), abs=1e-4)


class Fixed(nn.Module):
    """Predicts class 1 for every image, with higher confidence for brighter ones."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sure = x.mean((1, 2, 3))
        return torch.stack([torch.zeros_like(sure), 3 + sure, torch.zeros_like(sure)], 1)


def test_evaluation_text_and_values_match_manual_computation() -> None:
    from netlet.data import Split

    images = (
        torch.arange(6, dtype=torch.uint8).mul(40).view(6, 1, 1, 1).expand(6, 1, 2, 2).contiguous()
    )
    split = Split("test", images, torch.tensor([0, 1, 1, 0, 0, 1]))
    found = evaluate(Fixed(), split, Recipe(), 3)
    text = format_evaluation(found, ("ant", "bee", "cow"), worst=2)
    lines = text.splitlines()
    assert lines[0].startswith("3 of 6 test images (50.00%), 95% interval 18.76% to 81.24%; loss ")
    assert "ant         3        0    0.00    0.00% to 56.15%  bee (3)" in lines
    assert "bee         3        3  100.00  43.85% to 100.00%  -" in lines
    assert "cow         0        0       -                  -  -" in lines
    assert "ant    .    3    ." in lines
    assert "2 of 3 mistakes, highest confidence first" in lines
    assert [line.split()[0] for line in lines[-2:]] == [
        "4",
        "3",
    ]  # the brightest wrong images first
    values = evaluation_to_dict(found, ("ant", "bee", "cow"), worst=2)
    interval = Score("test", 3, 6).interval()
    assert values["score"]["interval_percent"] == [round(end, 4) for end in interval]
    assert [row["correct"] for row in values["classes"]] == [0, 3, 0]
    assert values["classes"][2]["percent"] is None
    assert [m["image"] for m in values["mistakes"]] == [4, 3]
    assert values["confusion"] == [[0, 3, 0], [0, 3, 0], [0, 0, 0]]
    json.dumps(values)


def test_mistakes_whose_label_annotators_reject_are_marked() -> None:
    mistakes = tuple(Mistake(image, 8, 9, 0.9) for image in (947, 17, 3520))
    confusion = tuple(tuple(int(i == j) for j in range(10)) for i in range(10))
    found = Evaluation(Score("test", 9_997, 10_000), 0.1, confusion, (), mistakes)
    names = list("0123456789")
    text = format_evaluation(found, names, 2, DISPUTED_LABELS)
    rows = [line.split() for line in text.splitlines() if line.split()[:1] in (["17"], ["947"])]
    assert rows == [["17", "8", "9", "0.9000"], ["947", "8", "9", "0.9000", "by", "5", "of", "5"]]
    assert text.endswith(
        "2 of the 3 mistakes have labels that most annotators reject (arXiv:2103.14749)"
    )
    values = evaluation_to_dict(found, names, 3, DISPUTED_LABELS)
    assert [one["label_rejected_by"] for one in values["mistakes"]] == [None, 5, 3]
    for disputed in (None, {}, {5: DISPUTED_LABELS[947]}):
        assert "reject" not in format_evaluation(found, names, 2, disputed)


def test_confusion_matrix_is_omitted_for_many_classes() -> None:
    from netlet.data import Split

    split = Split("test", torch.zeros(2, 1, 5, 6, dtype=torch.uint8), torch.tensor([0, 29]))
    found = evaluate(nn.Flatten(), split, Recipe(), 30)
    assert "confusion matrix" not in format_evaluation(found, [str(k) for k in range(30)])


FAST = set_options(epochs=2, batch_size=60, precision="float32", ema_decay=0.5)


@pytest.fixture(scope="module")
def once(blob_source: Source, blob_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a net in a folder of its own."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setitem(SOURCES, "mnist", blob_source)
        patch.setenv("NETLET_DATA", str(blob_folder))
        with pytest.raises(SystemExit):
            main(["train", "code_3", *FAST])
    return folder / "runs"


@pytest.fixture
def trained(netlet: Netlet, once: Path, tmp_path: Path) -> str:
    """Return the folder of that run in this test's own folder, to be changed."""
    shutil.copytree(once, tmp_path / "runs")
    return "runs/code_3-seed0"


def test_evaluate_reproduces_the_score_of_a_run(
    netlet: Netlet, trained: str, tmp_path: Path
) -> None:
    record = json.loads((tmp_path / trained / "run.json").read_text())
    code, out, _ = netlet("evaluate", trained, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["data"] == "mnist"
    assert found["digest"] == record["data"]["digest"]
    assert found["score"]["correct"] == record["last_epoch"]["correct"]
    assert found["confusion"] == record["confusion"]
    assert sum(row["images"] for row in found["classes"]) == 100
    code, out, _ = netlet("evaluate", trained, "--split", "train", "--worst", "3")
    assert code == 0
    assert f"{record['train_score']['correct']:,} of 600 train images" in out
    assert "confusion matrix: labels in rows, predictions in columns" in out
    for weights in ("weights.safetensors", "w.pt"):
        if weights == "w.pt":
            net = nets.code_3()
            load_weights(net, tmp_path / trained / "weights.safetensors")
            torch.save({"epoch": 3, "state_dict": net.state_dict()}, tmp_path / trained / weights)
        code, out, _ = netlet("evaluate", "code_3", "--weights", f"{trained}/{weights}", "--json")
        assert json.loads(out)["score"] == found["score"]
    other = json.loads(netlet("evaluate", trained, "--mean", "0", "--std", "1", "--json")[1])
    assert other["loss"] != found["loss"]
    _, out, _ = netlet("evaluate", trained, "--mean", "0", "--std", "1")
    assert "normalized with mean 0, std 1 instead of the run's mean 0.1307, std 0.3081" in out
    assert "instead of" not in netlet("evaluate", trained)[1]


def test_evaluate_marks_disputed_labels(
    netlet: Netlet, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("evaluate", trained, "--worst", "100", "--json")
    mistakes = json.loads(netlet(*words)[1])["mistakes"]
    assert {one["label_rejected_by"] for one in mistakes} == {None}  # these are not MNIST's images
    asked: list[str] = []

    def all_disputed(checksums: object, split: str) -> dict[int, DisputedLabel]:
        asked.append(split)
        return dict.fromkeys(range(100), DISPUTED_LABELS[3520])

    monkeypatch.setattr(disputed_labels, "disputed_labels", all_disputed)
    found = json.loads(netlet(*words)[1])["mistakes"]
    assert found == [one | {"label_rejected_by": 3} for one in mistakes]
    out = netlet(*words[:-1])[1]
    assert out.count("by 3 of 5") == len(mistakes)
    assert asked == ["test", "test"]


def test_evaluate_rejects_wrong_arguments_with_one_line(
    netlet: Netlet, trained: str, tmp_path: Path
) -> None:
    for place in ("empty", "published"):
        (tmp_path / place).mkdir()
    for file in ("modeling.py", "model.safetensors"):
        (tmp_path / "published" / file).touch()
    module = runpy.run_path(f"{FIXTURES}/small_nets.py")
    torch.save(module["flat_7"]().state_dict(), "seven.pt")
    torch.save(module["color_28x28"]().state_dict(), "color.pt")
    seven, color = (f"{FIXTURES}/small_nets.py:{name}" for name in ("flat_7", "color_28x28"))
    for arguments, message in (
        (
            ("code_3",),
            "code_3: netlet has no trained weights for it; pass --weights FILE (weights in Python)",
        ),
        (("empty",), "empty: holds no run.json; pass the folder of a finished run"),
        (
            ("published",),
            "published: holds no run.json, but a published model; pass published/modeling.py, or "
            "its net, and --weights published/model.safetensors (weights in Python)",
        ),
        (
            ("code_2", "--weights", f"{trained}/weights.safetensors"),
            "these weights belong to another net; ",
        ),
        (("code_3", "--weights", "nothing.pt"), "nothing.pt: no such weights file"),
        (("nope", "--weights", "x.pt"), "no experiment or net 'nope'"),
        ((trained, "--split", "val"), "mnist has no split 'val'; it has train and test"),
        ((trained, "--dataset", "minst"), "no data set 'minst'; did you mean 'mnist'?"),
        (
            (seven, "--weights", "seven.pt"),
            "the net returns 100x7 for 100 images of 10 classes; it must return 100x10",
        ),
        ((color, "--weights", "color.pt"), "--channels 3"),
    ):
        code, out, err = netlet("evaluate", *arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err
        assert len(err.splitlines()) == 1
    assert netlet("evaluate", color, "--weights", "color.pt", "--channels", "3")[0] == 0


# --- weights from other programs


def test_weights_in_half_precision_are_evaluated(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = nets.load("grain")
    torch.save(net.half().state_dict(), "half.pt")
    torch.save(net.float().state_dict(), "float.pt")
    code, out, err = netlet("evaluate", "grain", "--weights", "half.pt", "--json")
    assert code == 0, err
    assert "half.pt: its weights were converted from float16 to float32" in err
    code, expected, err = netlet("evaluate", "grain", "--weights", "float.pt", "--json")
    assert (code, "converted" in err) == (0, False)
    assert json.loads(out)["score"] == json.loads(expected)["score"]


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nets.code_3()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "net.", "module.net.", "_orig_mod.", "model."])
def test_weights_with_a_prefix_can_be_loaded(tmp_path: Path, prefix: str, suffix: str) -> None:
    original, net, wrapped = nets.code_3(), nets.code_3(), Wrapped()
    state = {prefix + key: value for key, value in original.state_dict().items()}
    path = tmp_path / f"w{suffix}"
    torch.save(state, path) if suffix == ".pt" else save_file(state, path)
    for loaded, inside in ((net, net), (wrapped, wrapped.net)):
        load_weights(loaded, path)
        assert weights_digest(inside) == weights_digest(original)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_checkpoints_of_training_scripts_can_be_loaded(tmp_path: Path, key: str) -> None:
    original, net = nets.code_3(), nets.code_3()
    torch.save(
        {"epoch": 3, "loss": 0.1, key: original.state_dict(), "optimizer": {"lr": 1}},
        tmp_path / "w.pt",
    )
    load_weights(net, tmp_path / "w.pt")
    assert weights_digest(net) == weights_digest(original)


class Checkpoint:
    """A class of a training script, which only this script can load."""

    def __init__(self, value: object) -> None:
        self.value = value


BESIDE = {
    "a NumPy number": np.float64(0.991),
    "a NumPy integer": np.int64(3),
    "a big-endian number": np.array([2.5], ">f4")[0],
    "a NumPy truth value": np.bool_(True),
    "a NumPy text": np.str_("best"),
    "a dtype": np.dtype("float32"),
    "a NumPy type": np.float32,
    "an array": np.arange(3.0),
    "a history": {"loss": [np.float32(0.5), np.float32(0.25)], "epoch": np.int32(2)},
    "options": argparse.Namespace(lr=0.1, out=Path("runs")),
    "a path": Path("data"),
    "a time": datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC),
    "a default dict": collections.defaultdict(list, {"loss": [1.0]}),
    "a counter": collections.Counter("abc"),
    "a tensor": torch.zeros(3),
    "a dtype of PyTorch": torch.float32,
    "a device": torch.device("cpu"),
    # As Adam's state_dict(): to make one imports PyTorch's compiler, which takes seconds.
    "an optimizer": {
        "state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(1, 1)}},
        "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "foreach": None, "params": [0, 1]}],
    },
}


@pytest.mark.parametrize("what", BESIDE)
def test_what_scripts_save_beside_the_weights_does_not_matter(tmp_path: Path, what: str) -> None:
    original, net = nets.code_3(), nets.code_3()
    path = tmp_path / "w.pt"
    for content in (
        {"state_dict": original.state_dict(), "beside": BESIDE[what]},
        {"beside": [{"deep": BESIDE[what]}], "model": {"state_dict": original.state_dict()}},
    ):
        torch.save(content, path)
        load_weights(net, path)
        assert weights_digest(net) == weights_digest(original)


def test_numbers_of_numpy_are_read_as_numbers(tmp_path: Path) -> None:
    torch.save({name: BESIDE[name] for name in list(BESIDE)[:5]}, tmp_path / "w.pt")
    found = load_as_data((tmp_path / "w.pt").read_bytes())
    assert [type(value) for value in found.values()] == [float, int, float, bool, type(None)]
    assert list(found.values()) == [0.991, 3, 2.5, True, None]
    assert not any(isinstance(one, tuple) for one in torch.serialization.get_safe_globals())


@pytest.mark.parametrize("key", ["weights", "net_state_dict", "network", "lenet5"])
def test_weights_under_other_keys_are_found(tmp_path: Path, key: str) -> None:
    original, net = nets.code_3(), nets.code_3()
    torch.save({"epoch": 3, key: original.state_dict()}, tmp_path / "w.pt")
    load_weights(net, tmp_path / "w.pt")
    assert weights_digest(net) == weights_digest(original)


def test_the_weights_of_several_nets_are_not_guessed(tmp_path: Path) -> None:
    state = nets.code_3().state_dict()
    torch.save({"generator": state, "discriminator": state}, tmp_path / "w.pt")
    with pytest.raises(
        NetError, match=r"the weights of several nets \('generator', 'discriminator'\); save the"
    ):
        load_weights(nets.code_3(), tmp_path / "w.pt")


@pytest.mark.parametrize("prefix", ["model.", "net.", "module.", "module.model.", "_orig_mod."])
def test_what_lies_beside_a_wrapped_net_is_left_out(tmp_path: Path, prefix: str) -> None:
    """As in checkpoints of Lightning, whose module has a loss and metrics, or of averaged weights."""
    original, net, wrapped = nets.code_3(), nets.code_3(), Wrapped()
    state = {prefix + key: value for key, value in original.state_dict().items()}
    state |= {"criterion.weight": torch.ones(10), "n_averaged": torch.tensor(3)}
    hyper_parameters = {"lr": 0.1, "optimizer": "adam", "width": np.int64(8)}
    lightning = {"epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.5.0"}
    lightning |= {"loops": {"fit_loop": {"state_dict": {}}}, "callbacks": {}, "lr_schedulers": []}
    lightning |= {"state_dict": state, "optimizer_states": [], "hyper_parameters": hyper_parameters}
    torch.save(lightning, tmp_path / "w.ckpt")
    loads = [(net, net)] if prefix == "net." else [(net, net), (wrapped, wrapped.net)]
    for loaded, inside in loads:
        load_weights(loaded, tmp_path / "w.ckpt")
        assert weights_digest(inside) == weights_digest(original)
    del state[prefix + next(iter(original.state_dict()))]
    torch.save(lightning, tmp_path / "w.ckpt")
    with pytest.raises(NetError, match="these weights belong to another net; missing: "):
        load_weights(net, tmp_path / "w.ckpt")


def test_weights_of_compiled_layers_can_be_loaded(tmp_path: Path) -> None:
    original, net = nets.code_3(), nets.code_3()
    state = {
        key.replace(".", "._orig_mod.", 1): value for key, value in original.state_dict().items()
    }
    torch.save(state, tmp_path / "w.pt")
    load_weights(net, tmp_path / "w.pt")
    assert weights_digest(net) == weights_digest(original)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (nn.Sequential(nn.Linear(1, 1)), r"torch\.nn\.modules\.container\.Sequential"),
        (Checkpoint(1), r"[\w.]*Checkpoint"),
        ({"model": nn.Linear(1, 1)}, r"torch\.nn\.modules\.linear\.Linear"),
        (
            {"state_dict": nn.Linear(1, 1).state_dict(), "config": Checkpoint(1)},
            r"[\w.]*Checkpoint",
        ),
        ({"state_dict": nn.Linear(1, 1).state_dict(), "run": os.system}, r"posix\.system"),
        ({"state_dict": nn.Linear(1, 1).state_dict(), "run": eval}, "eval"),
    ],
)
def test_what_would_run_code_is_refused_by_its_name(
    tmp_path: Path, content: object, named: str
) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(
        NetError,
        match=rf"w\.pt: refused, since loading it would run code stored in the file \(it names {named}\); "
        r"save net\.state_dict\(\) alone",
    ):
        load_weights(nn.Linear(1, 1), tmp_path / "w.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_program_is_refused_as_such(tmp_path: Path) -> None:
    traced = torch.jit.trace(nn.Linear(1, 1), torch.zeros(1, 1))
    for number, program in enumerate((torch.jit.script(nn.Linear(1, 1)), traced)):
        program.save(str(tmp_path / f"{number}.pt"))
        message = rf"{number}\.pt: is a TorchScript program, not weights; save net\.state_dict\(\)"
        with pytest.raises(NetError, match=message):
            load_weights(nn.Linear(1, 1), tmp_path / f"{number}.pt")


def test_numpy_arrays_are_refused_as_such(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", weight=np.zeros((1, 1), np.float32))
    with pytest.raises(NetError, match=r"w\.npz: is an \.npz of NumPy arrays, not weights; load"):
        load_weights(nn.Linear(1, 1), tmp_path / "w.npz")


def test_weights_without_batch_norm_counters_can_be_loaded(tmp_path: Path) -> None:
    original, net = nets.code_3(), nets.code_3()
    state = {
        key: value
        for key, value in original.state_dict().items()
        if "num_batches_tracked" not in key
    }
    torch.save(state, tmp_path / "w.pt")
    load_weights(net, tmp_path / "w.pt")
    assert weights_digest(net) == weights_digest(original)


def test_missing_and_unexpected_weights_are_named_without_the_prefix(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3))
    state = {f"module.{key}": value for key, value in net.state_dict().items()}
    del state["module.1.bias"]
    state["module.2.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(
        NetError,
        match=r"these weights belong to another net; missing: 1\.bias; unexpected: 2\.weight",
    ):
        load_weights(net, tmp_path / "w.pt")


@pytest.mark.parametrize("scale", [1, 25])  # 25: some probabilities are below 1e-12
def test_logits_log_probabilities_and_probabilities_score_equally(
    blob_data: Dataset, scale: int
) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    nn.init.uniform_(plain[1].weight, -scale / 28, scale / 28)
    logits = evaluate(plain, blob_data.held_out, Recipe(), 10)
    smallest = compute_logits(plain, blob_data.held_out, Recipe()).softmax(1).min()
    assert (smallest < 1e-12) == (scale == 25)
    for ending in (nn.LogSoftmax(1), nn.Softmax(1)):
        found = evaluate(nn.Sequential(plain, ending), blob_data.held_out, Recipe(), 10)
        assert found.score == logits.score
        assert found.loss == pytest.approx(logits.loss, rel=1e-4)
        assert [m.confidence for m in found.mistakes] == pytest.approx(
            [m.confidence for m in logits.mistakes], rel=1e-4
        )


def test_nan_loss_is_null_in_json(blob_data: Dataset) -> None:
    class Lost(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:, :10] * float("nan")

    found = evaluate(Lost(), blob_data.held_out, Recipe(), 10)
    assert (
        json.loads(json.dumps(evaluation_to_dict(found, blob_data.class_names), allow_nan=False))[
            "loss"
        ]
        is None
    )
    assert "loss nan" in format_evaluation(found, blob_data.class_names)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_outputs_that_are_not_finite_are_no_correct_predictions(
    blob_data: Dataset, value: str
) -> None:
    class Lost(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = x.flatten(1)[:, :10].clone()
            scores[::2, 0] = float(value)
            scores[1, 1] = -float("inf")  # the probability is 0
            return scores

    split = blob_data.held_out
    found = evaluate(Lost(), split, Recipe(), 10)
    lost = set(range(0, len(split), 2))
    assert found.not_finite == len(lost)
    by_image = {one.image: one for one in found.mistakes}
    assert lost <= set(by_image)
    assert {by_image[i].confidence for i in lost} == {0}
    assert all(one.label != one.predicted for one in found.mistakes)
    assert sum(map(sum, found.confusion)) == len(split)
    said = f"the outputs for {len(lost):,} of {len(split):,} images are not finite"
    assert said in format_evaluation(found, blob_data.class_names)
    with pytest.raises(NetError, match="returns NaN or infinite numbers"):
        predict(Lost(), list(split.images[:3].numpy()))


def test_evaluate_warns_of_outputs_that_are_not_finite(
    netlet: Netlet, tmp_path: Path, blob_data: Dataset
) -> None:
    net = "class Net(nn.Sequential):\n    def __init__(self):\n"
    net += "        super().__init__(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(784, 10))\n"
    Path("mine.py").write_text(f"from torch import nn\n{net}")
    built = nets.build(nets.find_net("mine.py:Net").builder, seed=0)
    torch.save(built.state_dict() | {"0.running_var": torch.tensor([-1.0])}, "w.pt")
    images, labels = blob_data.held_out.images.numpy(), blob_data.held_out.labels.numpy()
    np.savez("d.npz", images=images, labels=labels)
    words = ("mine.py:Net", "--weights", "w.pt", "--dataset", "d.npz", "--mean", "0", "--std", "1")
    code, out, err = netlet("evaluate", *words)
    assert code == 0
    assert re.match(r"mine.py:Net on d.npz: 0 of \d+ ", out)
    assert re.search(r"warning: mine.py:Net: the outputs for (\d+) of \1 images are not", err)
    code, _, err = netlet("export", *words, "--to", "c", "-o", "c")
    assert (code, err) == (
        2,
        "netlet: mine.py:Net: returns NaN or infinite numbers, first in the layer 0 (BatchNorm2d): "
        "its training has diverged, or its weights are damaged; train it again\n",
    )


@pytest.mark.slow
def test_evaluate_uses_the_validation_split_of_a_run(netlet: Netlet, tmp_path: Path) -> None:
    netlet("train", "code_3", *FAST, "--val", "60")
    record = json.loads((tmp_path / "runs/code_3-seed0/run.json").read_text())
    found = json.loads(netlet("evaluate", "runs/code_3-seed0", "--json")[1])
    assert (found["score"]["split"], found["score"]["correct"]) == (
        "val",
        record["last_epoch"]["correct"],
    )
    assert (
        json.loads(netlet("evaluate", "runs/code_3-seed0", "--split", "test", "--json")[1])[
            "score"
        ]["total"]
        == 100
    )


def test_a_run_on_few_images_is_scored_on_the_test_images_of_the_whole(
    netlet: Netlet, tmp_path: Path
) -> None:
    few = load("mnist").take(300)
    recipe = Recipe(epochs=1, backend="eager")
    words = {"net_name": "code_3", "callbacks": [Recorder(tmp_path / "few")]}
    run = package.fit(package.build(nets.code_3, 0), few, recipe, **words)
    code, out, err = netlet("evaluate", "few", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["data"], found["score"]["correct"]) == ("mnist", run.last_epoch.correct)
    words["callbacks"] = [Recorder(tmp_path / "val")]
    package.fit(package.build(nets.code_3, 0), few, recipe, val=30, **words)
    code, _, err = netlet("evaluate", "val")
    assert (code, err.count("\n")) == (2, 1)
    assert "held images out of mnist, 300 training images, which is not a public data set" in err
    assert err.endswith("pass --dataset mnist\n")


def test_an_unfinished_run_is_named_as_such(netlet: Netlet, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"")
    for command in (("evaluate", "run"), ("report", "run"), ("compare", "run", "run")):
        code, _, err = netlet(*command)
        assert (code, err) == (
            2,
            "netlet: run: the run is not finished; 'netlet runs run' shows how to resume it\n",
        )


def test_net_name_takes_precedence_over_a_folder(
    netlet: Netlet, trained: str, tmp_path: Path
) -> None:
    (tmp_path / "code_3").mkdir()
    assert netlet("evaluate", "code_3", "--weights", f"{trained}/weights.safetensors")[0] == 0
    assert "has no trained weights" in netlet("evaluate", "code_3")[2]
    # The net and its weights are resolved before a data set is looked for.
    nowhere = ("--data-dir", str(tmp_path / "nowhere"))
    assert "has no trained weights" in netlet("evaluate", "code_3", *nowhere)[2]
    missing = netlet("evaluate", "code_3", "--weights", "missing.pt", *nowhere)
    assert missing[0] == 2
    assert "missing.pt: no such weights file" in missing[2]


def test_damaged_weights_and_other_files_are_rejected(tmp_path: Path) -> None:
    net = nn.Linear(1, 1)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    (tmp_path / "w.pt").write_bytes((tmp_path / "w.pt").read_bytes()[:300])
    with pytest.raises(
        NetError,
        match=r"w\.pt: (cannot be read as weights|expected a state_dict that torch\.save wrote)",
    ):
        load_weights(net, tmp_path / "w.pt")
    (tmp_path / "w.pt").write_bytes(b"\x80\x02}q\x00PK rubbish")
    with pytest.raises(NetError) as caught:
        load_weights(net, tmp_path / "w.pt")
    assert "would run code" not in str(caught.value)
    torch.save({**net.state_dict(), "epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(
        NetError, match=r"expected a state_dict \(names and tensors\), found int under 'epoch'"
    ):
        load_weights(net, tmp_path / "w.pt")


class Energy(nn.Module):
    """Its logits are the gradient of an energy, which forward computes."""

    def __init__(self) -> None:
        super().__init__()
        self.images, self.scores = nn.Linear(784, 16), nn.Linear(10, 16)
        self.energy = nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.images(x.flatten(1))
        with torch.enable_grad():
            scores = torch.zeros(len(x), 10, requires_grad=True)
            energy = self.energy(torch.tanh(hidden + self.scores(scores))).sum()
            (gradient,) = torch.autograd.grad(energy, scores, create_graph=self.training)
        return -gradient


def test_a_net_may_compute_gradients_in_forward(few: Dataset) -> None:
    net = package.build(Energy, 0)
    assert package.summary(net).notes == ()
    run = fit(net, few, Recipe(epochs=20, batch_size=50, precision="float32"))
    assert run.accuracy > 20
    images = list(few.train.images[:3, 0].numpy())
    assert len(predict(net, images)) == 3
