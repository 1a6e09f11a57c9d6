"""A file whose cells train a net is loaded without training it."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlet.errors import NetError
from netlet.nets import build, find_net

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(784, WIDTH)
    def forward(self, x):
        return self.f(x.flatten(1))
"""
SWEEP = "for WIDTH in (20, 30):\n    TRAINED.append(Net())\n    open('TRAINED', 'w')\n"
FIT = """
import netlet
for WIDTH in (20, 30):
    netlet.fit(Net(), netlet.data.load("scribble"), netlet.recipes.QUICK)
"""


def load(tmp_path: Path, text: str) -> int:
    """Return the width of the net in a file."""
    (tmp_path / "mine.py").write_text(f"from torch import nn\n{text}")
    net = build(find_net(f"{tmp_path / 'mine.py'}:Net").builder, 0)
    return int(net.get_submodule("f").out_features)  # type: ignore[arg-type]


def test_a_loop_that_uses_the_net_does_not_set_what_the_net_is_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path, f"TRAINED = []\nWIDTH = 10\n{NET}{SWEEP}") == 10
    assert not Path("TRAINED").exists()
    assert load(tmp_path, f"WIDTH = 10\n{NET}best = WIDTH = Net().f.out_features + 1\n") == 10
    # A loop that does not use the net may well set it.
    assert load(tmp_path, f"WIDTH = 10\nfor _ in range(2):\n    WIDTH += 1\n{NET}") == 12
    assert load(tmp_path, f"WIDTH = 10\n{NET}for WIDTH in (20, 30):\n    print(WIDTH)\n") == 30


def test_a_training_that_a_net_depends_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetError, match=r"line 12: this trains a net, but a net is only loaded"):
        load(tmp_path, f"{NET}{FIT}")


def test_a_counter_of_nets_is_a_value_that_the_net_needs(tmp_path: Path) -> None:
    counting = NET.replace(
        "        super().__init__()\n",
        "        super().__init__()\n        global COUNT\n        COUNT += 1\n",
    )
    assert load(tmp_path, f"COUNT, WIDTH = 0, 10\n{counting}") == 10
