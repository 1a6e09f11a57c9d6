"""A net with its weights in one call: by name, from the folder of a run or study, or a hub."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from helpers import ROOT, Netlet, few_fast, set_options

from netlet import nets, records
from netlet.data import Dataset
from netlet.errors import NetError, RecipeError, RecordError
from netlet.evaluation import compute_logits
from netlet.experiments import load_trained_net

FAST = set_options(epochs=1, batch_size=100, mean=0.25, std=0.5)


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    return torch.randint(256, (8, 1, 28, 28), dtype=torch.uint8, generator=torch.manual_seed(0))


@pytest.mark.parametrize("name", few_fast(nets.list_shipped_weights(), 4))
def test_shipped_nets_load_with_their_weights(name: str, digits: torch.Tensor) -> None:
    net, trained = nets.load(name), load_trained_net(name)
    assert nets.weights_digest(net) == nets.weights_digest(trained.net)
    assert not net.training
    with torch.inference_mode():
        images = net.input_format.prepare(digits)
        assert net(images).equal(trained.net((digits.float() / 255 - 0.1307) / 0.3081))


@pytest.mark.parametrize("page", ["export.md", "hubs.md"])
def test_the_documentation_names_all_nets_with_weights(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    lists = re.findall(r"(?:`\w+`(?:, | and )){3,}`\w+`", text.replace("\n", " "))
    assert {*re.findall(r"\w+", lists[0].replace(" and ", ""))} == {*nets.list_shipped_weights()}


def test_a_net_of_gray_levels_normalizes_them_itself(digits: torch.Tensor) -> None:
    net, gray = nets.load("crest"), nets.load("crest", gray_levels=True)
    assert gray.input_format.gray_levels
    with torch.inference_mode():
        expected = net(net.input_format.prepare(digits))
        for images in (digits, digits.float() / 255, gray.input_format.prepare(digits)):
            assert gray(images).equal(expected)


def test_weights_of_a_file_can_have_another_normalization(tmp_path: Path) -> None:
    file, levels = tmp_path / "own.pt", torch.rand(2, 1, 28, 28)
    torch.save(nets.load("speck").state_dict(), file)
    own = nets.load("speck", file, mean=0, std=1)
    assert (own.input_format.mean, own.input_format.std) == (0, 1)
    assert own.input_format.prepare(levels).equal(levels)
    gray = nets.load("speck", file, mean=0.5, std=0.5, gray_levels=True)
    with torch.inference_mode():
        assert gray(levels).equal(own((levels - 0.5) / 0.5))
    assert nets.load("speck", mean=0.1307, std=0.3081).input_format.mean == 0.1307
    with pytest.raises(NetError, match=r"speck: was trained with mean 0\.1307, std 0\.3081, not "):
        nets.load("speck", mean=0, std=1)
    with pytest.raises(RecipeError, match="std"):
        nets.load("speck", file, std=0)


def test_the_input_format_says_what_a_net_takes() -> None:
    net, gray = nets.load("speck"), nets.load("speck", gray_levels=True)
    classes = "10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    levels = "float32 N 1x28x28: gray levels from 0 (background) to 1"
    assert str(net.input_format) == f"{levels}, minus 0.1307, divided by 0.3081; {classes}"
    assert str(gray.input_format) == f"{levels}; {classes}"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 28, 28), "have the shape 1x28x28, expected N and 1x28x28"),
        (torch.zeros(2, 3, 28, 28), "have the shape 2x3x28x28, expected N and 1x28x28"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.int64), "of the type int64; pass gray levels"),
    ],
)
def test_images_of_another_form_are_refused(images: torch.Tensor, message: str) -> None:
    with pytest.raises(NetError, match=message):
        nets.load("speck").input_format.prepare(images)


def test_runs_and_studies_load_with_their_own_normalization(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "from torch import nn\ndef net(classes=10):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, classes))\n"
    )
    for seed in ("0", "1"):
        words = ("own.py:net", *FAST, "--seed", seed, "-o", f"both/seed-{seed}")
        code, _, err = netlet("train", *words)
        assert code in (0, 1), err
    with pytest.raises(NetError, match=r"own\.py:net: loading this net would run the code in"):
        nets.load("both/seed-0")
    for place in ("both", Path("both"), "both/seed-1"):
        net = nets.load(place, trust=True)
        assert (net.input_format.mean, net.input_format.std) == (0.25, 0.5)
        run = records.load_run(records.locate_weights(str(place)))
        assert nets.weights_digest(net) == run.weights_digest
    other = nets.load("own.py:net", "both/seed-1/weights.safetensors")
    assert nets.weights_digest(other) == run.weights_digest
    assert other.input_format.mean == 0.1307  # a file of weights does not say it
    Path(records.locate_weights("both"), records.WEIGHTS).unlink()
    with pytest.raises(RecordError, match=r"the weights of its median seed, \d, are missing"):
        nets.load("both")


def test_a_loaded_net_can_be_evaluated_and_trained_further(blob_data: Dataset) -> None:
    from netlet.recipes import Recipe
    from netlet.training import fit

    net = nets.load("speck")
    before = compute_logits(net, blob_data.held_out, Recipe())
    assert before.shape == (len(blob_data.held_out), 10)
    run = fit(net, blob_data, Recipe(epochs=1, batch_size=200, backend="eager"), progress=False)
    assert run.weights_digest == nets.weights_digest(net)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crust", r"no net 'crust'; did you mean 'crest'\?"),
        ("sprint", "sprint: netlet has no trained weights for it; pass --weights FILE"),
        ("docs", r"docs: holds no run\.json; pass the folder of a finished run"),
    ],
)
def test_names_without_weights_are_refused(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(NetError, match=message):
        nets.load(name)
    with pytest.raises(TypeError, match="name like 'crest' or the folder of a run"):
        nets.load(3)  # type: ignore[arg-type]


@pytest.mark.slow
def test_torch_hub_loads_nets_from_a_folder_where_netlet_is_not_installed(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path[:] = [path for path in sys.path if not path.endswith("src")]
import torch
repository = {str(ROOT)!r}
sys.path.append(repository)
import hubconf  # torch.hub lists what is callable and has no underscore
names = [name for name in dir(hubconf) if callable(getattr(hubconf, name)) and name[0] != "_"]
net = torch.hub.load(repository, "crest", source="local")
gray = torch.hub.load(repository, "crest", source="local", gray_levels=True)
one, two = (torch.hub.load(repository, "speck", source="local", pretrained=False) for _ in "ab")
import netlet
from netlet.nets import load, weights_digest
assert netlet.__file__.startswith(repository), netlet.__file__
assert names == netlet.nets.list_shipped_weights(), names
assert weights_digest(net) == weights_digest(load("crest")) == weights_digest(gray.net)
assert weights_digest(one) == weights_digest(two) != weights_digest(load("speck"))
assert one.input_format == load("speck").input_format and not one.training
assert "Whether the net has its trained weights" in hubconf.crest.__doc__
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_torch_hub_checks_for_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {name.partition(">")[0].replace("-", "_") for name in project["dependencies"]}
    text = (ROOT / "hubconf.py").read_text()
    listed = set(text.partition("dependencies = [\n")[2].partition("\n]")[0].split('"')[1::2])
    assert listed == needed - {"pillow"} | {"PIL"}
