"""Folders for the Hugging Face Hub: cards, code that runs without netlet, Spaces, uploads."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Netlet, few_fast, set_options
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from netlet import nets, publishing, records, stats
from netlet.errors import ExportError
from netlet.experiments import load_trained_net
from netlet.export import write_source
from netlet.export.card_html import card_to_html
from netlet.nets import weights_digest
from netlet.nets.weights import load_weights
from netlet.publishing.card_head import space_head

FAST = set_options(epochs=1, batch_size=100, mean=0.25, std=0.5)
FILES = {"README.md", "config.json", "model.safetensors", "modeling.py"}
# Runs modeling.py where netlet cannot be imported; prints its outputs and predictions.
READER = """
import json, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "netlet":
            raise ImportError("netlet is not installed here")
sys.meta_path.insert(0, Refuse())
import torch
from modeling import load
net = load()
images = torch.randint(256, (8, *net.config["shape"]), dtype=torch.uint8, generator=torch.manual_seed(0))
with torch.inference_mode():
    logits = net(net.prepare(images))
print(json.dumps([logits.tolist(), net.predict(images)]))
assert "netlet" not in sys.modules
"""


def run_modeling(folder: Path) -> tuple[torch.Tensor, list[list[Any]]]:
    """Return the outputs and predictions of a folder's modeling.py for eight images."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", READER]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    logits, predictions = json.loads(done.stdout)
    return torch.tensor(logits), predictions


def images_of(net: nn.Module) -> torch.Tensor:
    shape = (8, *net.input_format.shape)
    noise = torch.randint(256, shape, dtype=torch.uint8, generator=torch.manual_seed(0))
    prepared: torch.Tensor = net.input_format.prepare(noise)
    return prepared


def test_a_published_net_runs_where_netlet_is_not_installed(netlet: Netlet, tmp_path: Path) -> None:
    code, out, err = netlet("publish", "crest", "--to", "crest-model")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "crest-model: README.md, config.json, model.safetensors, modeling.py",
        "verified on random images: the outputs of modeling.py equal the net's",
        "nothing was uploaded",
    ]
    folder = tmp_path / "crest-model"
    assert {path.name for path in folder.iterdir()} == FILES
    net = nets.load("crest")
    with torch.inference_mode():
        expected = net(images_of(net))
    outputs, predictions = run_modeling(folder)
    assert outputs.equal(expected)
    values, classes = expected.softmax(1).max(1)
    assert [name for name, _ in predictions] == [str(number) for number in classes.tolist()]
    assert [value for _, value in predictions] == pytest.approx(values.tolist())
    again = nets.build(nets.NETS["crest"].builder, 3)
    load_weights(again, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    assert weights_digest(again) == weights_digest(net) == config["weights_digest"]
    assert (config["mean"], config["std"], config["shape"]) == (0.1307, 0.3081, [1, 28, 28])
    code, out, err = netlet("publish", "crest", "--to", "crest-model")  # its own files
    assert (code, err) == (0, "")
    card = folder / "README.md"
    card.write_text(f"{card.read_text()}\n## My words\n")
    own = card.read_text()
    code, out, err = netlet("publish", "crest", "--to", "crest-model")
    assert (code, err.startswith("netlet: kept README.md, as you have changed it; ")) == (0, True)
    assert card.read_text() == own


class Deceptive(nn.Module):
    """A net that its code does not repeat: it computes in 16 bits, or counts what it has seen."""

    def __init__(self, *, half: bool) -> None:
        super().__init__()
        self.head, self.half, self.seen = nn.Linear(784, 10), half, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            self.seen += 1
            return self.head(x.flatten(1)).float() * (1 if self.half else self.seen)


@pytest.mark.parametrize(
    ("half", "what"),
    [(True, r"fails \(.* dtype.*\)"), (False, r"differs from the net by \d.* \(lim")],
)
def test_a_net_that_its_code_does_not_repeat_is_refused(half: bool, what: str) -> None:
    trained = load_trained_net("speck")
    record = publishing.find_record("speck", trained)
    trained = dataclasses.replace(trained, net=Deceptive(half=half).eval())
    message = rf"^speck: verification failed: modeling\.py {what}.*; take out of forward what "
    with pytest.raises(ExportError, match=message):
        publishing.build_model_folder(trained, record)


@pytest.mark.parametrize("name", few_fast(nets.list_shipped_weights(), 1))
def test_the_card_states_the_mean_of_the_study_as_the_hub_reads_it(
    netlet: Netlet, tmp_path: Path, name: str
) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")
    assert netlet("publish", name, "--to", name)[0] == 0
    card = hub.ModelCard.load(tmp_path / name / "README.md")  # raises for a wrong model-index
    data, study = card.data, records.find_study(name)
    assert data.to_dict()["license"] == "mit"
    assert (data.library_name, data.pipeline_tag) == ("netlet", "image-classification")
    assert (data.datasets, data.metrics) == (["ylecun/mnist"], ["accuracy"])
    (result,) = data.eval_results
    low, high = stats.interval_over_seeds(study)
    assert result.metric_value == pytest.approx(stats.mean_percent(study) / 100, abs=1e-5)
    assert max(seed.correct for seed in study.seeds) > result.metric_value * study.total
    assert result.metric_args["interval_95"] == pytest.approx([low / 100, high / 100], abs=1e-5)
    assert result.metric_args["seeds"] == len(study.seeds)
    assert (
        result.metric_name == f"test accuracy, mean of {len(study.seeds)} seeds, 95% interval "
        f"{low:.3f}% to {high:.3f}%{', averages nine shifts' * stats.averages_shifts(study)}"
    )
    assert (result.dataset_type, result.dataset_split) == ("ylecun/mnist", "test")
    assert f"# {name}" in card.text
    assert "These weights are the median seed's, not the best seed's." in card.text
    assert data.to_dict() == hub.ModelCardData(**data.to_dict()).to_dict()


def test_a_space_is_the_page_with_a_head(netlet: Netlet, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="needs pyyaml: pip install -e '.[test]'")
    code, out, _ = netlet("publish", "speck", "--to", "page", "--space")
    assert code == 0
    assert out.splitlines()[0] == "page: README.md, index.html"
    text = (tmp_path / "page" / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["sdk"], head["app_file"], head["license"]) == ("static", "index.html", "mit")
    assert head["title"] == "speck: draw a digit"
    page = (tmp_path / "page" / "index.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<title>speck" in page
    assert card_to_html(netlet("card", "speck")[1]) in page


def test_a_space_of_a_net_for_other_classes_does_not_speak_of_digits() -> None:
    study = records.load_study(records.shipped_studies_folder() / "speck")
    assert space_head(study, None)["title"] == "speck: draw a digit"
    clothes = dataclasses.replace(study, data={**study.data, "class_names": ["shoe", "shirt"]})
    assert space_head(clothes, None)["title"] == "speck: draw"


def test_the_readme_says_what_the_images_of_the_net_are() -> None:
    speck = load_trained_net("speck")
    record = publishing.find_record("speck", speck)
    color = nn.Sequential(nn.Flatten(), nn.Linear(48, 10)).eval()
    for trained, words in (
        (speck, "gray levels 0 to 255, bright on dark"),
        (dataclasses.replace(speck, class_names=tuple("abcdefghij")), "gray levels 0 to 255, row"),
        (dataclasses.replace(speck, net=color, shape=(3, 4, 4)), "of red, then green, then blue"),
    ):
        readme = publishing.build_model_folder(trained, record).files["README.md"]
        (line,) = (one for one in str(readme).splitlines() if "# uint8, N C H W" in one)
        assert words in line


HOSTILE = "x\n---\nlicense: evil\n\"'\\u202e\x1b${title}"


@pytest.mark.slow
def test_a_study_of_own_code_is_published_from_its_median_seed(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    yaml = pytest.importorskip("yaml", reason="needs pyyaml: pip install -e '.[test]'")
    (tmp_path / "own.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.add_module('a b\\nc', nn.Conv2d(1, 10, 28))\n"
        "        self.scale = torch.full((1, 10), 0.5)\n"
        "    def forward(self, x):\n"
        "        return (self._modules['a b\\nc'](x).flatten(1) * self.scale).log_softmax(1)\n"
    )
    for seed in ("0", "1"):
        words = ("own.py:Net", *FAST, "--seed", seed, "-o", f"both/seed-{seed}")
        code, _, err = netlet("train", *words)
        assert code in (0, 1), err
    code, _, err = netlet("publish", "both", "--to", "model")
    assert code == 2
    assert "if you trust it, pass --trust" in err
    code, _, err = netlet("publish", "both", "--to", "model", "--trust", "--license", "cc0-1.0")
    assert code == 0, err
    study = records.find_study("both")
    net = nets.load("both", trust=True)
    with torch.inference_mode():
        expected = net(images_of(net))
    outputs, predictions = run_modeling(tmp_path / "model")
    code_of_model = (tmp_path / "model" / "modeling.py").read_text()
    assert "``N 1 28 28``, like those that the net was trained on:" in code_of_model
    assert outputs.equal(expected)
    assert [value for _, value in predictions] == pytest.approx(expected.exp().amax(1).tolist())
    head = yaml.safe_load((tmp_path / "model" / "README.md").read_text().split("---\n")[1])
    assert head["license"] == "cc0-1.0"
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"][0]["args"]["seeds"] == 2
    assert result["metrics"][0]["value"] == pytest.approx(stats.mean_percent(study) / 100)
    # The constant of the net, which is not a parameter, is in the file as well.
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    assert tensors["constant_0"].equal(torch.full((1, 10), 0.5))
    code, _, err = netlet("publish", "both/seed-0", "--to", "one", "--trust")
    assert code == 0
    assert "no license is stated; --license ID states one" in err
    assert "test accuracy, of 1 seed" in (tmp_path / "one" / "README.md").read_text()


def test_names_in_a_card_and_in_code_cannot_break_out() -> None:
    yaml = pytest.importorskip("yaml", reason="needs pyyaml: pip install -e '.[test]'")
    import dataclasses

    from helpers import make_seed_result, make_study

    from netlet.publishing.card_head import model_head, write_head

    study = make_study(make_seed_result(0, 900), make_seed_result(1, 910))
    data = {**study.data, "name": HOSTILE}
    study = dataclasses.replace(study, name=HOSTILE, data=data)
    for make in (model_head, space_head):
        text = write_head(make(study, "mit"))
        head = yaml.safe_load(text.split("---\n")[1])
        assert head["license"] == "mit"
        assert text.count("\n---\n") == 1
        assert "\x1b" not in text


class Operations(nn.Module):
    """Uses every kind of operation that can be written."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.slope = nn.PReLU(8)
        self.up = nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.low = nn.Parameter(torch.full((6, 1, 1), -0.5))
        self.head = nn.Linear(6, 10)
        self.group, self.layer = nn.GroupNorm(2, 6), nn.LayerNorm(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.slope(self.norm(self.stem(x)))  # 8 14 14
        x = F.dropout(x, training=self.training)
        x = torch.cat([x[:, :4], F.glu(x, 1)], 1) - 0.25 * x
        x = 1 - F.avg_pool2d(F.pad(x, (1, 1, 1, 1), value=0.5), 3, 1)
        x = x + F.interpolate(F.max_pool2d(x, 2), scale_factor=2.0, mode="bilinear")
        x = torch.clamp(self.up(F.selu(x)), min=self.low)  # 6 28 28
        x = F.pad(x, (2, 1, 0, 3), mode="reflect") / 2
        for function in (F.hardswish, F.elu, F.silu, F.mish, torch.tanh):
            x = function(x)
        x = F.adaptive_avg_pool2d(F.leaky_relu(F.gelu(x), 0.2), (5, 3))
        x = torch.maximum(x, x.abs().sqrt()).permute(0, 1, 3, 2).cumsum(2)
        x = torch.stack([x, -x, x.exp()], 1).amax(1)
        x = F.celu(F.softplus(self.group(x), 2.0), 0.5).flip(2) ** 2.0
        x = F.threshold(x, 0.1, 0.0)
        x = F.adaptive_max_pool2d(x.clamp(max=4.0), 2).reshape(-1, 6, 4)
        x = self.layer(F.pixel_shuffle(x.reshape(-1, 24, 1, 1), 2).reshape(-1, 6, 4))
        x = torch.sub(x.mean(2, keepdim=True), x, alpha=0.5)[:, :, 1]
        return F.softmax(self.head(F.hardsigmoid(x)), 1)


def run_source(net: nn.Module, shape: tuple[int, ...], images: torch.Tensor) -> torch.Tensor:
    source = write_source(net, shape)
    names = {"torch": torch, "F": F, "x0": images, "w": {**net.state_dict(), **source.constants}}
    with torch.inference_mode():
        exec("\n".join(source.lines), names)
    result: torch.Tensor = names[source.result]  # type: ignore[assignment]
    return result


def test_every_operation_is_written_as_pytorch_computes_it() -> None:
    torch.manual_seed(0)
    net = Operations()
    with torch.no_grad():
        net(torch.randn(64, 1, 28, 28))  # statistics of the norm
        for weights in (net.slope.weight, net.group.weight, net.layer.bias):
            nn.init.uniform_(weights)
    net.eval()
    images = torch.randn(5, 1, 28, 28)
    with torch.inference_mode():
        expected = net(images)
    assert write_source(net, (1, 28, 28)).output == "softmax"
    torch.testing.assert_close(run_source(net, (1, 28, 28), images), expected)


class Attention(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.adaptive_avg_pool2d(x, (10, 3)).flatten(1, 2)
        return (x @ x.transpose(1, 2)).sum(2)


class Random(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :10] + torch.rand(10)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            Attention(),
            r"matmul cannot be exported; use convolutions, .* activations \(docs/hubs\.md\)$",
        ),
        (Random(), "Random: an operation that is random in evaluation mode"),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), "its output is not logits"),
        (
            nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten()),
            r"^0 \(BatchNorm2d\): batch norm by each batch's own statistics cannot be exported",
        ),
    ],
    ids=["attention", "random", "map", "norm"],
)
def test_what_cannot_be_written_is_refused_by_name(net: nn.Module, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        write_source(net, (1, 28, 28))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sprint", "--to", "a"), "sprint: no weights come with netlet for it; name the folder"),
        (("mine.py:Net", "--to", "a"), "mine.py:Net: no weights come with netlet for it; name"),
        (("speck", "--to", "a", "--private"), "--private is for a repository that --push creates"),
        (("speck", "--to", "a", "--push", "speck"), "--push speck: write OWNER/NAME, like ada/"),
        (("speck", "--to", "a", "--license", "My own!"), "is not an identifier of the Hub"),
        (("speck", "--to", "taken"), "taken/config.json: exists, and netlet did not write it"),
        (("speck", "--to", "file"), "file: is a file; name a folder with --to"),
    ],
)
def test_a_refusal_is_one_line_and_writes_nothing(
    netlet: Netlet, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "config.json").write_text("{}")
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = netlet("publish", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "taken" / "config.json").read_text() == "{}"


def test_weights_without_a_record_are_refused(tmp_path: Path) -> None:
    from netlet.errors import NetError
    from netlet.experiments import load_trained_net

    trained = load_trained_net("sprint", save_weights_of_sprint(tmp_path))
    with pytest.raises(NetError, match="sprint: has no record of its training, so its accuracy"):
        publishing.find_record("sprint", trained)


def save_weights_of_sprint(folder: Path) -> Path:
    path = folder / "w.pt"
    torch.save(nets.build(nets.sprint, 0).state_dict(), path)
    return path


class Hub:
    """Takes the calls of an upload."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.error = error

    def create_repo(self, repo_id: str, **options: Any) -> None:
        self.calls.append((repo_id, options))

    def upload_folder(self, **options: Any) -> None:
        if self.error:
            raise self.error
        self.calls.append(("upload", options))


def test_an_upload_sends_the_files_and_nothing_else(tmp_path: Path) -> None:
    hub = Hub()
    files = ["README.md", "config.json"]
    address = publishing.upload(tmp_path, files, "ada/crest", private=True, hub=hub)
    assert address == "https://huggingface.co/ada/crest"
    assert hub.calls == [
        ("ada/crest", {"repo_type": "model", "private": True, "exist_ok": True}),
        (
            "upload",
            {
                "repo_id": "ada/crest",
                "repo_type": "model",
                "folder_path": str(tmp_path),
                "allow_patterns": files,
                "commit_message": "Publish a model with netlet",
            },
        ),
    ]
    hub = Hub()
    address = publishing.upload(tmp_path, ["index.html"], "ada/page", space=True, hub=hub)
    assert address == "https://huggingface.co/spaces/ada/page"
    assert hub.calls[0][1]["space_sdk"] == "static"
    assert hub.calls[1][1]["repo_type"] == "space"
    with pytest.raises(ExportError, match=r"the upload failed \(403 Forbidden\); .* is complete"):
        publishing.upload(
            tmp_path, files, "ada/crest", hub=Hub(RuntimeError("403 Forbidden\nmore"))
        )


def test_a_push_goes_to_the_hub_with_the_persons_token(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(real, "get_token", lambda: None)
    code, out, err = netlet("publish", "speck", "--to", "model", "--push", "ada/speck")
    assert (code, out) == (2, "")
    assert "there is no token of the Hugging Face Hub; run 'hf auth login', or set HF_TOKEN" in err
    assert not (tmp_path / "model").exists()
    hub, tokens = Hub(), []
    monkeypatch.setattr(real, "get_token", lambda: "hf_secret")
    monkeypatch.setattr(real, "HfApi", lambda token: tokens.append(token) or hub)
    code, out, err = netlet("publish", "speck", "--to", "model", "--push", "ada/speck")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "uploaded to https://huggingface.co/ada/speck"
    assert "hf_secret" not in out
    assert tokens == ["hf_secret"]
    assert set(hub.calls[1][1]["allow_patterns"]) == FILES
    for name in ("create_repo", "upload_folder"):  # the real ones take these arguments
        import inspect

        taken = inspect.signature(getattr(_real_api(real), name)).parameters
        wanted = hub.calls[0][1] if name == "create_repo" else hub.calls[1][1]
        assert set(wanted) <= set(taken)


def _real_api(real: Any) -> Any:
    from huggingface_hub.hf_api import HfApi

    return HfApi


def test_a_push_without_the_extra_says_how_to_install_it(
    netlet: Netlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "huggingface_hub" else found(name, *rest),
    )
    code, out, err = netlet("publish", "speck", "--to", "model", "--push", "ada/speck")
    assert (code, out) == (2, "")
    assert "huggingface_hub is not installed; run pip install '.[hub]' in a checkout" in err
