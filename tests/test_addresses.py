"""How nets in files are named, and what their files may import."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from helpers import Netlet, write_notebook

from netlet.cli.locate import input_files
from netlet.errors import NetError
from netlet.experiments import find_experiment
from netlet.nets import complete_address, explain_path, find_net
from netlet.text import split_address

HEAD = "import torch\nfrom torch import nn\n"
ONE = """
class Block(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv = nn.Conv2d(a, b, 3)

    def forward(self, x):
        return torch.relu(self.conv(x))

class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.body = nn.Sequential(Block(1, 4), Swish())
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))

def train(model=None, epochs=1):
    return epochs

model = Net()
criterion = nn.CrossEntropyLoss()
if __name__ == "__main__":
    other = nn.Sequential(nn.Flatten())
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (ONE, "Net"),
        ("def small():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n", "small"),
        ("net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n", "net"),
        (f"{ONE.replace('num_classes=10', 'width, num_classes=10')}\nmine = Net(3)\n", None),
        ("class Net(nn.Sequential):\n    pass\n", "Net"),
        (
            "class Base(nn.Module):\n    pass\nclass Net(Base):\n    def forward(self, x): return x\n",
            "Net",
        ),
        ("try:\n    import x\nexcept ImportError:\n    x = 1\nclass A(nn.Flatten): pass\n", "A"),
        # A function with arguments builds the net, of parts that need arguments, too.
        (
            "class Part(nn.Module):\n    def __init__(self, c): super().__init__()\n"
            "    def forward(self, x): return x\n"
            "def body(c): return nn.Sequential(Part(c))\ndef small(): return body(3)\n",
            "small",
        ),
        # Loading one of these says why it is not a net.
        ("class Meter: pass\nclass A(nn.Module): pass\n", "A"),
        ("class Data(list): pass\nclass A(keras.Model): pass\n", "A"),
    ],
)
def test_a_file_alone_means_the_only_net_in_it(tmp_path: Path, text: str, name: str | None) -> None:
    path = tmp_path / "file.py"
    path.write_text(HEAD + text)
    if name is None:
        with pytest.raises(NetError, match="it has 2 nets: model, mine"):
            complete_address(str(path))
    else:
        assert complete_address(str(path)) == f"{path}:{name}"


def test_several_nets_in_a_file_are_listed_with_the_form_to_name_one(
    tmp_path: Path, netlet: Netlet
) -> None:
    Path("two.py").write_text(
        f"{HEAD}class A(nn.Flatten): pass\nclass B(nn.Flatten): pass\nopen('RAN', 'w')\n"
    )
    code, _, err = netlet("show", "two.py")
    assert code == 2
    assert "two.py: name the net in this file, for example two.py:A; it has 2 nets: A, B" in err
    assert not Path("RAN").exists()


def test_an_expression_that_is_nested_too_deep_is_an_error_of_the_net(tmp_path: Path) -> None:
    path = tmp_path / "deep.py"
    path.write_text(f"{HEAD}TABLE = {' + '.join(['1'] * 50_000)}\n{ONE}")
    with pytest.raises(NetError, match=r"deep\.py:Net: importing it failed: RecursionError: "):
        find_net(f"{path}:Net")


def test_a_file_with_private_names_only_says_that_these_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from torch import nn\nclass _Net(nn.Flatten): pass\n")
    with pytest.raises(NetError, match=r"an underscore are not taken .*, for example .*py:_Net$"):
        complete_address(str(tmp_path / "mine.py"))
    assert find_net(f"{tmp_path / 'mine.py'}:_Net")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("def create(p=0.1):\n    net = _Net()\n    return net\n", "create"),
        ("model = _Net().to('cpu')\n", "model"),
        ("def _make(): return nn.Sequential()\ndef create(): return _make()\n", "create"),
        ("def opt(): return torch.optim.SGD([])\ndef create(): return _Net()\n", "create"),
        ("def body(): return _Net()\nclass _All(_Net): a = body()\nnet = _All()\n", "net"),
        # Several, or none that is sure to be a net.
        ("def small(): return _Net()\ndef large(): return _Net()\n", None),
        ("def create(width): return _Net()\n", None),
        ("class _L(nn.Module):\n    def forward(self, x, t): ...\ndef loss(): return _L()\n", None),
        ("def main():\n    n = _Net()\n    n(x).backward()\n    return n\n", None),
    ],
)
def test_the_only_net_of_a_private_class_is_that_of_the_file(
    tmp_path: Path, text: str, name: str | None
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"{HEAD}class _Net(nn.Flatten): pass\n{text}")
    if name is None:
        with pytest.raises(NetError):
            complete_address(str(path))
    else:
        assert complete_address(str(path)) == f"{path}:{name}"
    path.write_text(f"{HEAD}class _Net(nn.Flatten): pass\n{text}class Own(nn.Flatten): pass\n")
    assert complete_address(str(path)) == f"{path}:Own"


@pytest.mark.parametrize("above", ["", "def train():\n    pass\n"])
def test_a_net_below_the_guard_of_a_script_is_found_by_nobody(tmp_path: Path, above: str) -> None:
    path = tmp_path / "mine.py"
    net = "if __name__ == '__main__':\n    class Net(nn.Flatten): pass\n    def main(): pass\n"
    path.write_text(f"from torch import nn\n{above}{net}")
    below = 'is below if __name__ == "__main__", which is not run; move it above that line$'
    with pytest.raises(NetError, match=rf"mine\.py: Net {below}"):
        complete_address(str(path))
    with pytest.raises(NetError, match=rf"no 'Net' in .*mine\.py: it {below}"):
        find_net(f"{path}:Net")
    path.write_text(f"from torch import nn\nclass Mine(nn.Flatten): pass\n{net}")
    assert complete_address(str(path)) == f"{path}:Mine"


def test_a_method_that_makes_a_net_is_told_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from torch import nn\nclass Net(nn.Flatten): pass\n")
    with pytest.raises(
        NetError, match=r"write a function, def small\(\): return Net.small\(\), an"
    ):
        find_net(f"{tmp_path / 'mine.py'}:Net.small")


def test_the_net_of_a_notebook_may_be_in_a_file_that_a_cell_writes(tmp_path: Path) -> None:
    model = "%%writefile model.py\nfrom torch import nn\nclass Part(nn.Flatten): pass\n"
    model += (
        "class Net(nn.Sequential):\n    def __init__(self):\n        super().__init__(Part())\n"
    )
    book = str(tmp_path / "a.ipynb")
    write_notebook(Path(book), model, "from model import Net as Mine, Part")
    assert complete_address(book) == f"{book}:Mine"
    assert find_net(book)
    write_notebook(Path(book), model, "import torch")
    with pytest.raises(NetError, match="defines no class or function"):
        complete_address(book)


def test_a_script_that_builds_an_imported_net_says_how_to_name_it(netlet: Netlet) -> None:
    Path("model.py").write_text(HEAD + ONE)
    Path("train.py").write_text("from model import Net\nmodel = Net().to('cpu')\n")
    _, _, err = netlet("check", "train.py")
    assert "builds a net of another file; name it, for example train.py:model" in err
    assert netlet("check", "train.py:model")[0] == 0


def test_commands_take_a_file_alone(netlet: Netlet) -> None:
    Path("mine.py").write_text(HEAD + ONE)
    code, out, _ = netlet("show", "mine.py")
    assert code == 0
    assert "mine.py:Net" in out
    code, _, err = netlet("check", "mine.py", "--params-below", "100")
    assert (code, err) == (0, "checked mine.py:Net\n")
    assert netlet("check", "mine.py:Net", "--params-below", "100")[2] == ""
    assert netlet("check", "mine.py", "--params-below", "100", "--sandbox")[0] == 0


def test_a_file_alone_is_code_that_a_record_may_not_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"open({str(tmp_path / 'RAN')!r}, 'w')\n{HEAD}{ONE}")
    with pytest.raises(NetError, match=r"mine\.py:Net: loading this net would run the code"):
        find_net(str(path), trusted=False)
    assert not (tmp_path / "RAN").exists()


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


BODY = (
    f"{HEAD}class Net(nn.Sequential):\n    def __init__(self):\n        super().__init__(block())\n"
)
BLOCK = f"{HEAD}def block():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"


@pytest.mark.parametrize(
    ("files", "net"),
    [
        # next to it, as a package or not; the folder's name is not a name of a package
        (
            {"kit/net.py": f"from .blocks import block\n{BODY}", "kit/blocks.py": BLOCK},
            "kit/net.py",
        ),
        (
            {
                "my-kit.v2/net.py": f"from . import blocks\nblock = blocks.block\n{BODY}",
                "my-kit.v2/blocks.py": BLOCK,
            },
            "my-kit.v2/net.py",
        ),
        (
            {
                "kit/__init__.py": "raise SystemExit",
                "kit/net.py": f"from .blocks import block\n{BODY}",
                "kit/blocks.py": BLOCK,
            },
            "kit/net.py",
        ),
        (
            {
                "kit/__init__.py": "from .blocks import block as made",
                "kit/net.py": f"from . import made as block\n{BODY}",
                "kit/blocks.py": BLOCK,
            },
            "kit/net.py",
        ),
        # above it
        (
            {
                "kit/nets/net.py": f"from ..parts.blocks import block\n{BODY}",
                "kit/parts/blocks.py": BLOCK,
            },
            "kit/nets/net.py",
        ),
        (
            {"src/nets/net.py": f"from src.blocks import block\n{BODY}", "src/blocks.py": BLOCK},
            "src/nets/net.py",
        ),
        (
            {
                "a/b/c/d/e/net.py": f"from tool_kit import block\n{BODY}",
                "tool_kit/__init__.py": "from .x import block",
                "tool_kit/x.py": BLOCK,
                "pyproject.toml": "",
            },
            "a/b/c/d/e/net.py",
        ),
        # what a neighbor imports, and inside the net
        (
            {
                "lib/__init__.py": "",
                "lib/deep.py": BLOCK,
                "src/more.py": "from lib.deep import block\n",
                "src/net.py": f"from more import block\n{BODY}",
            },
            "src/net.py",
        ),
        (
            {
                "src/net.py": BODY.replace("super()", "from .late import block; super()"),
                "src/late.py": BLOCK,
            },
            "src/net.py",
        ),
    ],
)
def test_a_file_imports_from_its_folder_its_package_and_the_folders_above(
    files: dict[str, str], net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, files)
    for name in (net, f"{net}:Net", str(tmp_path / net)):
        assert sum(p.numel() for p in find_net(name).builder().parameters()) == 7_850


@pytest.mark.slow
def test_a_module_is_found_in_the_working_directory(netlet: Netlet, tmp_path: Path) -> None:
    write(
        tmp_path,
        {"some_kit/net.py": f"from .blocks import block\n{BODY}", "some_kit/blocks.py": BLOCK},
    )
    write(tmp_path, {"plain_net.py": f"from some_kit.blocks import block\n{BODY}"})
    for name in ("some_kit.net:Net", "plain_net:Net"):
        code, out, err = netlet("show", name)
        assert code == 0, err
        assert "7,850" in out
        assert netlet("check", name, "--params-below", "8000", "--sandbox")[0] == 0
    code, _, err = netlet("show", "no_such_kit.net:Net")
    assert code == 2
    assert "write file.py:Name, or the name of a module that can be imported" in err


def test_no_module_is_taken_from_a_folder_that_everybody_can_write_to(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "open/planted_kit.py": BLOCK,
            "open/mine/net.py": f"from planted_kit import block\n{BODY}",
        },
    )
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(NetError, match="No module named 'planted_kit'"):
        find_net(str(tmp_path / "open" / "mine" / "net.py"))


def test_a_block_that_runs_on_import_is_no_main_block(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(f"{HEAD}if __name__ != '__main__':\n    net = nn.Sequential(nn.Flatten())\n")
    assert len(find_net(f"{path}:net").builder()) == 1


def test_code_that_forgets_its_own_module_has_its_own_error(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    lines = "    del sys.modules[__name__]\n    raise ValueError('mine')\n"
    path.write_text(f"import sys\n{HEAD}class Net(nn.Flatten):\n{lines}")
    with pytest.raises(NetError, match="ValueError: mine"):
        find_net(f"{path}:Net")


def test_a_submission_that_is_no_file_is_told_what_takes_it(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b b" / "src").mkdir(parents=True)
    (tmp_path / "b b" / "src" / "model.py").write_text("x = 1")
    with zipfile.ZipFile("erin.zip", "w") as archive:
        archive.writestr("model.py", "x = 1")
    (tmp_path / "b b" / ".venv").mkdir()
    (tmp_path / "b b" / ".venv" / "a.py").write_text("x = 1")
    (tmp_path / "data").mkdir()
    (tmp_path / "w.pt").write_bytes((tmp_path / "erin.zip").read_bytes())
    for name, message in (
        (
            "b b",
            "b b: is a folder, not a net; name one from 'netlet list', or b b/src/model.py:Name",
        ),
        ("b b", "; 'netlet grade 'b b' --single --budget NAME' takes all of it as a submission"),
        (
            "erin.zip",
            "erin.zip: is a zip file, not a net; name one from 'netlet list', or file.py:",
        ),
        ("erin.zip", "'netlet grade erin.zip --single --budget NAME' takes all of it as a submis"),
    ):
        with pytest.raises(NetError) as raised:
            find_experiment(name)
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)
    for name in ("./data", "./w.pt"):
        assert "grade" not in str(explain_path(name))
    code, out, err = netlet("check", "erin.zip")
    assert (code, out) == (2, "")
    assert err.startswith("netlet: erin.zip: is a zip file, not a net; ")


def test_a_loss_is_no_second_net_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "n.py"
    net = "from torch import nn\nclass Net(nn.Module):\n    def forward(self, x): return x\n"
    file.write_text(net + net.replace("Net", "LabelSmooth").replace("(self, x)", "(self, x, t)"))
    assert complete_address(str(file)) == f"{file}:Net"
    file.write_text(net.replace("(self, x)", "(self, x, t)"))  # loading it says what is wrong
    assert complete_address(str(file)) == f"{file}:Net"


@pytest.mark.parametrize("place", ["session 6: mnist.py", "week 1: mnist/net.py"])
def test_the_path_of_a_file_may_have_a_colon(tmp_path: Path, place: str) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_text("from torch import nn\nnet = nn.Sequential(nn.Linear(2, 2))\n")
    assert complete_address(str(file)) == f"{file}:net"
    assert split_address(str(file)) == (str(file), "")
    assert split_address(f"{file}:net") == (str(file), "net")
    assert find_net(str(file)).name == f"{file}:net"
    assert input_files(str(file)) == input_files(f"{file}:net") == [file]
