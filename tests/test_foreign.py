"""Other people's nets, the hard ones: each is found, explained, trained and scored as it is, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import nn

import netlet
from netlet.data import Dataset
from netlet.errors import NetError, TrainingError
from netlet.evaluation import evaluate
from netlet.nets import find_net
from netlet.recipes import Recipe
from netlet.training import fit

FAST = Recipe(epochs=1, batch_size=60, peak_lr=0.01)

SCRIPT = '''
from __future__ import annotations
import no_such_package_at_all
import torch
import torch.nn as nn
import torch.nn.functional as F
from no_such_package_at_all import loaders

print("hello from the import")
torch.manual_seed(1)
dropout_value = 0.1
width = int("4")
epochs = 3
x = "not the argument of forward"

def block(i, o):
    """Uses a value and a library of the module."""
    return nn.Sequential(nn.Conv2d(i, o, 3), nn.ReLU(), nn.Dropout(dropout_value))

class Net(nn.Module):
    """A student's net."""
    def __init__(self, num_classes=10):
        super().__init__()
        self.a = block(1, width)
        self.b = nn.Linear(width, num_classes)
    def forward(self, x):
        out = F.adaptive_avg_pool2d(self.a(x), 1).flatten(1)
        return F.log_softmax(self.b(out), dim=1)

model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(epochs):
    for x, out in loaders():
        raise RuntimeError("trained at import")
Net.extra = property(lambda self: width)
model.eval()
print(model)
'''


def write(folder: Path, name: str, body: str) -> str:
    text = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n" + body
    (folder / f"{name}.py").write_text(text)
    return f"{folder / name}.py"


def net_of(address: str, shape: tuple[int, ...] = (1, 28, 28)) -> nn.Module:
    return netlet.build(find_net(address).builder, 0, shape, 10)


def whole_way(net: nn.Module, data: Dataset) -> netlet.Run:
    """Summary, field, cost, training, score: everything that a net goes through."""
    assert str(netlet.summary(net))
    assert str(netlet.receptive_field(net))
    run = fit(net, data, FAST, budget=netlet.budgets.TWENTY_K)
    assert evaluate(net, data.held_out, FAST, 10).score == run.last_epoch.score
    return run


@pytest.mark.parametrize("name", ["Net", "model"])
def test_a_script_that_prints_trains_and_imports_what_is_not_there(
    tmp_path: Path, blob_data: Dataset, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    net = net_of(f"{tmp_path}/script.py:{name}")
    assert netlet.summary(net).parameters == 40 + 50
    assert net.extra == 4
    whole_way(net, blob_data)
    assert capfd.readouterr() == ("", "")


def test_what_a_needed_import_says(tmp_path: Path) -> None:
    path = write(
        tmp_path, "needs", "import no_such_package_at_all as lib\nclass Net(lib.Module): pass\n"
    )
    with pytest.raises(
        NetError,
        match=r"importing it failed: ModuleNotFoundError: No module named 'no_such_package_a",
    ):
        find_net(f"{path}:Net")


def test_a_name_that_only_running_the_whole_file_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "globals()['hidden'] = 10\nclass Net(nn.Sequential):\n    def __init__(self):\n        super().__init__(nn.Flatten(), nn.Linear(784, 10))\nother = hidden\nmade = Net() if other else None\n"
    path = write(tmp_path, "hidden_makes", body)
    with pytest.raises(
        NetError,
        match=r"name 'hidden' is not defined by what the net needs of the file; as module:Name",
    ):
        find_net(f"{path}:made")
    monkeypatch.syspath_prepend(tmp_path)
    assert netlet.summary(net_of("hidden_makes:made")).parameters == 7_850


CHANGED = {
    "appended in a loop": (
        "layers = [nn.Flatten()]\nfor i in range(2):\n    layers.append(nn.Linear(784, 784))\nmodel = nn.Sequential(*layers)\n",
        2,
    ),
    "added to": (
        "model = nn.Sequential()\nmodel.add_module('flat', nn.Flatten())\nmodel.add_module('head', nn.Linear(784, 784))\n",
        1,
    ),
    "set by condition": (
        "cfg = {'n': 1}\nif True:\n    cfg['n'] = 3\nmodel = nn.Sequential(nn.Flatten(), *(nn.Linear(784, 784) for _ in range(cfg['n'])))\n",
        3,
    ),
    "set by tuple": (
        "class C: pass\nC.a, C.b = 1, 2\nmodel = nn.Sequential(nn.Flatten(), *(nn.Linear(784, 784) for _ in range(C.b)))\n",
        2,
    ),
    "replaced": (
        "model = nn.Sequential(nn.Flatten(), nn.Identity())\nmodel[1] = nn.Linear(784, 784)\n",
        1,
    ),
}
TRAINING = """
for i in range(3):
    raise RuntimeError('trained')
def train(model): raise RuntimeError('trained')
if __name__ == '__main__':
    model = train(model)
torch.save(model.state_dict(), '/proc/nowhere')
model.train()
train(model)
"""


@pytest.mark.parametrize("how", CHANGED)
def test_what_changes_a_net_after_it_was_made_is_part_of_it(tmp_path: Path, how: str) -> None:
    body, layers = CHANGED[how]
    training = TRAINING.replace("for i", "for step")
    net = net_of(write(tmp_path, "changed", body + training) + ":model")
    assert netlet.summary(net).parameters == layers * (784 * 784 + 784)


def test_names_of_its_own_do_not_drag_training_in(tmp_path: Path) -> None:
    body = (
        "widths = [8 * i for i in range(1, 3)]\n"
        "class Net(nn.Module):\n    x = 3\n    def __init__(self, n=x):\n        super().__init__()\n"
        "        self.layers = nn.ModuleList(nn.Linear(784, w) for w in widths)\n        self.key = lambda loss: loss\n"
        "    def forward(self, x):\n        out = [layer(x.flatten(1)) for layer in self.layers]\n"
        "        for i, y in enumerate(out):\n            x = y\n        with torch.no_grad() as scope:\n            pass\n"
        "        return x[:, :10]\n"
        "for w in range(3):\n    i = y = out = loss = scope = layer = x = raise_it()\n"
    )
    net = net_of(write(tmp_path, "scopes", body) + ":Net")
    assert netlet.summary(net).parameters == 785 * 24


def test_what_is_only_made_when_the_file_is_run(tmp_path: Path) -> None:
    body = "def make(): return nn.Flatten()\nif __name__ == '__main__':\n    model = make()\n"
    path = write(tmp_path, "guarded", body)
    with pytest.raises(NetError, match=r"no 'model' in .*guarded\.py; it defines: make"):
        find_net(f"{path}:model")


def test_annotations_stay_what_they_are(tmp_path: Path) -> None:
    body = "class Net(nn.Flatten):\n    size: int = 3\n"
    assert type(net_of(write(tmp_path, "annotated", body) + ":Net")).__annotations__ == {
        "size": int
    }


def test_neighbours_and_imports_of_everything(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "parts_of_it.py").write_text("from torch.nn import *\nWIDTH = 3\n")
    path = tmp_path / "deep" / "star.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom parts_of_it import *\n"
        "def make():\n    return Sequential(Conv2d(1, WIDTH, 3), Flatten(), LazyLinear(10))\n"
    )
    assert netlet.summary(net_of(f"{path}:make")).parameters == 30 + 3 * 26 * 26 * 10 + 10


def test_constructor_arguments_are_named_or_known(tmp_path: Path) -> None:
    body = (
        "class Needy(nn.Module):\n    def __init__(self, width, *, depth): super().__init__()\n"
        "class Told(nn.Module):\n    def __init__(self, in_channels, num_classes):\n"
        "        super().__init__()\n        self.head = nn.Linear(in_channels, num_classes)\n"
        "    def forward(self, x): return self.head(x.mean((2, 3)))\n"
    )
    path = write(tmp_path, "args", body)
    with pytest.raises(
        NetError, match=r"Needy: needs arguments \(width, depth\); give them defaults"
    ):
        find_net(f"{path}:Needy")
    assert netlet.summary(net_of(f"{path}:Told", (3, 9, 9)), (3, 9, 9)).parameters == 40
    assert netlet.build(find_net(f"{path}:Told").builder, 0, (2, 9, 9), 7).head.out_features == 7  # type: ignore[union-attr]


TUPLE = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    def forward(self, x):
        logits = self.body(x)
        return {what}
"""


@pytest.mark.parametrize(
    "what",
    [
        "(logits, x)",
        "[logits]",
        "{'features': x, 'logits': logits}",
        "{'aux': None, 'y': (logits, 3)}",
        "F.log_softmax(logits, 1)",
        "logits[:, :, None, None]",
    ],
)
def test_tuples_dicts_log_probabilities_and_unflattened_logits(
    tmp_path: Path, blob_data: Dataset, what: str
) -> None:
    net = net_of(write(tmp_path, "gives", TUPLE.format(what=what)) + ":Net")
    assert netlet.receptive_field(net).size == (
        26,
        26,
    )  # of the logits, not of what comes with them
    run = whole_way(net, blob_data)
    plain = whole_way(
        net_of(write(tmp_path, "plain", TUPLE.format(what="logits")) + ":Net"), blob_data
    )
    assert run.epochs[-1].train_loss == pytest.approx(plain.epochs[-1].train_loss, rel=1e-3)


def test_what_has_no_logits_in_it(tmp_path: Path, blob_data: Dataset) -> None:
    net = net_of(write(tmp_path, "none", TUPLE.format(what="{'a': None}")) + ":Net")
    with pytest.raises(NetError, match=r"gives a dict without a tensor; it must give logits N K"):
        fit(net, blob_data, FAST)


HARD = {
    "dead layers": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.used = nn.Linear(784, 10)
        self.never = nn.Linear(1000, 10)
        self.norm = nn.BatchNorm2d(7)
    def forward(self, x):
        return self.used(x.flatten(1))
""",
    "non-square pooling": """
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, (3, 5), padding=(0, 2)), nn.MaxPool2d((2, 4), stride=(2, 3)), nn.AvgPool2d((13, 1)),
                         nn.Flatten(), nn.Linear(36, 10))
""",
    "in-place operations": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.drop, self.head = nn.ReLU(inplace=True), nn.Dropout(0.1, inplace=True), nn.Linear(4, 10)
    def forward(self, x):
        x.sub_(0.1).mul_(2)
        y = self.act(self.a(x))
        z = self.drop(self.b(y))
        z += y
        z[:, :, 0] = 0
        return self.head(F.relu_(z).mean((2, 3)))
""",
    "control flow": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = nn.ModuleList(nn.Conv2d(1 if i == 0 else 4, 4, 3, padding=1) for i in range(3))
        self.head = nn.Linear(4, 10)
        self.calls = 0
    def forward(self, x):
        self.calls += 1
        for i, step in enumerate(self.steps):
            x = F.relu(step(x))
            while x.shape[-1] > 14 and i:
                x = F.max_pool2d(x, 2)
        if x.mean() > 1e9:
            return self.head(-x.mean((2, 3)))
        try:
            return self.head(x.amax((2, 3)))
        finally:
            del x
""",
}


@pytest.mark.parametrize("kind", HARD)
def test_hard_nets_go_the_whole_way(tmp_path: Path, blob_data: Dataset, kind: str) -> None:
    net = net_of(write(tmp_path, "hard", HARD[kind]) + ":Net")
    run = whole_way(net, blob_data)
    assert run.cost["parameters"] == sum(p.numel() for p in net.parameters())
    if kind == "dead layers":
        assert "never" in str(netlet.summary(net))
    if kind == "control flow":
        assert run.cost["macs"] is None  # the path hangs on a value


def test_a_net_without_parameters(tmp_path: Path, blob_data: Dataset) -> None:
    body = "class Net(nn.Module):\n    def forward(self, x):\n        return x[:, 0, 1:28:2, 4:24].mean(2)[:, :10]\n"
    net = net_of(write(tmp_path, "bare", body) + ":Net")
    assert netlet.summary(net).parameters == 0
    assert netlet.check(net, netlet.budgets.TWENTY_K, epochs=5).state == "NOT YET"
    assert 0 <= evaluate(net, blob_data.held_out, FAST, 10).score.correct <= 100
    with pytest.raises(TrainingError, match="no trainable parameters; nothing to fit"):
        fit(net, blob_data, FAST)


def test_three_channels_on_grey_images(tmp_path: Path, blob_data: Dataset) -> None:
    body = "class Net(nn.Sequential):\n    def __init__(self):\n        super().__init__(nn.Conv2d(3, 4, 5, stride=3), nn.Flatten(), nn.Linear(256, 10))\n"
    net = net_of(write(tmp_path, "color", body) + ":Net")
    with pytest.raises(NetError, match=r"0 \(Conv2d\) got 1x28x28"):
        fit(net, blob_data, FAST)
    coloured = blob_data.with_channels(3)
    assert coloured.shape == (3, 28, 28)
    assert fit(net, coloured, FAST).data["shape"] == [3, 28, 28]


def test_json_stays_json_whatever_a_net_prints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from netlet.cli import main

    body = "print('imported')\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        print('built')\n    def forward(self, x):\n        print('forward', x.shape)\n        return x.flatten(1)[:, :10]\n"
    path = write(tmp_path, "loud", body)
    with pytest.raises(SystemExit) as stop:
        main(["show", f"{path}:Net", "--json"])
    assert not stop.value.code
    out, err = capfd.readouterr()
    assert json.loads(out)["parameters"] == 0
    assert "built" in err
    assert "forward" in err


def test_the_chance_of_a_noisy_net(tmp_path: Path, blob_data: Dataset) -> None:
    """Noise from Python's, numpy's and torch's own generators repeats too."""
    body = (
        "import random\nimport numpy as np\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 10))\n    def forward(self, x):\n"
        "        return super().forward(x * (1 + random.random() + float(np.random.rand()) + torch.rand(())))\n"
    )
    path = write(tmp_path, "noisy", body)
    digests = {
        fit(net_of(f"{path}:Net"), blob_data, FAST.replace(precision="float32")).weights_digest
        for _ in range(2)
    }
    assert len(digests) == 1
