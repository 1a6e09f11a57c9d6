"""If a net cannot be loaded, the message names the nets of its file that can."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import write_notebook

from netlet.errors import NetError
from netlet.nets import find_net

NET = """from torch import nn
class {}({}):
    def forward(self, x):
        return x
"""


def test_a_net_that_is_defined_again_in_an_invalid_cell_is_not_named(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    first, other = NET.format("Net", "nn.Module"), NET.format("Other", "nn.Module")
    last = NET.format("Last", "nowhere.Module")
    write_notebook(path, "import nowhere", first, other, "class Net(nn.Module)", last)
    with pytest.raises(NetError, match="importing it failed") as raised:
        find_net(f"{path}:Last")
    assert str(raised.value).endswith(f"; or name another net of this file: {path}:Other")
