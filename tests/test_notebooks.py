"""Nets in notebooks: naming one, what is run for it, and messages that name the cell."""

from __future__ import annotations

import ast
import contextlib
import re
import sys
import warnings
from pathlib import Path
from random import Random

import nbformat
import pytest
import torch
from helpers import FIXTURES, Netlet, few_fast, needs_sandbox, write_notebook
from IPython.core.inputtransformer2 import TransformerManager

import netlet
from netlet.classroom.net_search import find_net as find_submitted_net
from netlet.errors import NetError, NetletWarning
from netlet.nets import build, complete_address, find_code, find_net, sources
from netlet.nets.cell_reading import parse_source
from netlet.nets.cells import Source
from netlet.nets.device_moves import leave_out_missing_devices
from netlet.nets.ipython_syntax import to_python
from netlet.nets.net_code import list_code_files
from netlet.nets.notebook_files import parse_notebook
from netlet.nets.script import names_bound, names_used
from netlet.nets.written_modules import imports_of_cells, name_modules

NOTEBOOKS = FIXTURES / "notebooks"
SMALL = 72 + 8 + 16 + 80 + 10  # parameters of the net of most fixtures


def count(address: str) -> int:
    """Return the parameters of a net in a fixture, after it has been traced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetletWarning)
        net = build(find_net(f"{NOTEBOOKS}/{address}").builder)
    total = netlet.summary(net).parameters
    assert total == sum(parameter.numel() for parameter in net.parameters())
    return total


@pytest.mark.parametrize(
    ("address", "parameters", "cell"),
    few_fast(
        [
            ("colab_course.ipynb", SMALL, 6),
            ("colab_course.ipynb:model", SMALL, 9),
            ("jupyter_strings.ipynb", SMALL, 3),
            ("jupyter_strings.ipynb:net", SMALL, 3),
            ("vscode_languages.ipynb", SMALL, 3),
            ("worksheets_v3.ipynb", SMALL, 4),
            ("three_definitions.ipynb", 16 * 26 + 170, 11),
            ("three_definitions.ipynb:Net[1]", 40 + 50, 5),
            ("three_definitions.ipynb:Net[2]", 80 + 90, 8),
            ("three_definitions.ipynb:Net[3]", 16 * 26 + 170, 11),
            ("two_nets.ipynb:student", SMALL, 4),
            ("sequential.ipynb", 40 + 50, 2),
            ("builder.ipynb", 785 * 6 + 70, 2),
            ("needs_arguments.ipynb", 7850, 4),
            ("subclass.ipynb:Wide", 785 * 9 + 100, 3),
            ("later_block.ipynb:First", 36 + 27050, 3),
            ("later_block.ipynb:Second", 104 + 23050, 6),
            ("written_module.ipynb:Net", 7850, 4),
            ("written_module.ipynb:Mine", 7850, 5),
            ("magics.ipynb", 785 * 12 + 130, 4),
            ("broken_cell.ipynb:Net", SMALL, 4),
            ("broken_cell.ipynb:Twice[1]", SMALL, 7),
            ("hand_made.ipynb", 7850, 1),
            ("percent.py", SMALL, 3),
            ("exported.py", 142, 3),
            ("exported.py:Net[1]", SMALL, 2),
        ],
        14,
    ),
)
def test_nets_of_notebooks_load(address: str, parameters: int, cell: int) -> None:
    assert count(address) == parameters
    code = find_code(complete_address(f"{NOTEBOOKS}/{address}"))
    assert code is not None
    assert (Path(code.path).name, code.cell) == (address.partition(":")[0], cell)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "three_definitions.ipynb:Net[4]",
            "defines 'Net' in cell 5 (In [3]), cell 8 (In [5]), cell 11 (In [7]): write Net[1], Net",
        ),
        ("three_definitions.ipynb:Nets", "it defines: block (cell 4 (In [2]), cell 11 (In [7])"),
        (
            "two_nets.ipynb",
            "it has 2 nets: Teacher (cell 2 (In [2])), Student (cell 3 (In [3]))",
        ),
        (
            "needs_arguments.ipynb:Net",
            "Net in cell 3 (In [2]): has required arguments (width, dropout)",
        ),
        (
            "broken_cell.ipynb:Other",
            "cell 3 (In [2]), which defines 'Other', is not valid Python (line 4: invalid syntax)",
        ),
        (
            "broken_cell.ipynb:Uses",
            "failed in cell 5 (In [4]), line 3: 'Other' is defined in cell 3 (In [2]) of broken_ce",
        ),
        ("broken_cell.ipynb:Twice", "repair it, or name another definition: Twice[1]"),
        (
            "not_installed.ipynb",
            "failed in cell 2 (In [7]), line 1: ModuleNotFoundError: No module named 'fancy_blocks",
        ),
        (
            "needs_commands.ipynb:Net",
            "cell 2 (In [2]), line 1: the net needs the output of '!nproc'",
        ),
        (
            "needs_commands.ipynb:Online",
            "cell 3 (In [3]), line 1: the net needs the value of an 'await'",
        ),
        (
            "fails.ipynb:Building",
            "building it failed in cell 2 (In [2]), line 4: IndexError: list index out of range",
        ),
        (
            "fails.ipynb:Running",
            "cell 3 (In [3]), line 8: fc (Linear) with input 784: it gets 784 features but expects "
            "100;",
        ),
        (
            "fails.ipynb:Undefined",
            "cell 4 (In [4]), line 3: Undefined: 'nowhere' is not defined in",
        ),
        ("fails.ipynb:number", "number in cell 5 (In [5]): is a int; name a class"),
        ("in_r.ipynb", "in_r.ipynb: is a notebook in R; netlet reads those in Python"),
        ("percent.py:other", "cell 5 is not valid Python (line 37: invalid syntax)"),
    ],
)
def test_nets_that_cannot_load_are_refused_with_their_cell(address: str, message: str) -> None:
    with pytest.raises(NetError) as caught:
        count(address)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_several_definitions_the_last_one_counts_and_a_note_lists_them(netlet: Netlet) -> None:
    code, out, err = netlet("show", f"{NOTEBOOKS}/three_definitions.ipynb")
    assert code == 0
    assert "586" in out
    note = (
        "'Net' is defined 3 times; the last one counts, in cell 11 (In [7]); write Net[1] for the "
        "one in cell 5 (In [3]), Net[2] for the one in cell 8 (In [5])"
    )
    assert note in err
    code, out, err = netlet("check", f"{NOTEBOOKS}/three_definitions.ipynb:Net[2]")
    assert (code, err) == (0, "")


@needs_sandbox
@pytest.mark.slow
def test_a_notebook_is_checked_in_a_sandbox_too(netlet: Netlet, tmp_path: Path) -> None:
    code, _, err = netlet("check", f"{NOTEBOOKS}/three_definitions.ipynb", "--sandbox")
    assert code == 0
    assert "'Net' is defined 3 times" in err
    assert netlet("check", f"{NOTEBOOKS}/written_module.ipynb:Mine", "--sandbox")[0] == 0
    (tmp_path / "lib").mkdir()
    write_notebook(tmp_path / "lib" / "blocks.ipynb", IMPORT, HEAD)
    write_notebook(tmp_path / "a.ipynb", "%run lib/blocks.ipynb", FLAT.format("head(10)"))
    code, out, err = netlet("check", "a.ipynb", "--params-below", "8000", "--sandbox")
    assert (code, err) == (0, "checked a.ipynb:Net\n")
    assert "7,850" in out


def test_the_numbers_of_definitions_work_in_scripts_too(tmp_path: Path) -> None:
    path = tmp_path / "two.py"
    text = "from torch import nn\ndef block(): return nn.Linear(784, 10)\nNet = block\nx = Net()\n"
    path.write_text(f"{text}def block(): return nn.Linear(784, 20)\nNet = block\n")
    totals = [
        sum(p.numel() for p in find_net(f"{path}:{name}").builder().parameters())
        for name in ("Net", "Net[1]", "Net[2]")
    ]
    assert totals == [15_700, 7_850, 15_700]
    with pytest.raises(NetError, match=r"it defines 'Net' in line 3, line 6: write Net\[1\], Net"):
        find_net(f"{path}:Net[3]")


FLAT = "class Net(nn.Sequential):\n    def __init__(self):\n        super().__init__({})\n"
IMPORT = "from torch import nn\n"


def digest(path: Path, name: str = "Net") -> str:
    code = find_code(f"{path}:{name}")
    assert code is not None
    return code.digest


def test_the_digest_of_a_net_is_that_of_its_code_and_not_of_outputs(tmp_path: Path) -> None:
    flat, path = FLAT.format("nn.Linear(4, 2)"), tmp_path / "a.ipynb"
    first = digest(write_notebook(path, IMPORT, flat, "print(1)"))
    again = write_notebook(path, IMPORT, flat, "!ls", "print(2)", outputs="2" * 99, count=8)
    assert digest(again) == first
    assert digest(write_notebook(path, IMPORT, FLAT.format("nn.Linear(4, 3)"))) != first
    written = "%%writefile kit.py\nfrom torch import nn\nclass Net(nn.Linear): pass\n"
    imported = digest(write_notebook(path, written, "from kit import Net"))
    changed = write_notebook(path, f"{written}width = 3\n", "from kit import Net")
    assert digest(changed) != imported


def test_the_digest_has_what_a_written_module_imports_and_no_earlier_copy_of_it(
    tmp_path: Path,
) -> None:
    written = "%%writefile kit.py\nimport parts\nfrom torch import nn\nclass Net(nn.Linear): pass\n"
    path = write_notebook(tmp_path / "a.ipynb", written, "from kit import Net")
    (tmp_path / "parts.py").write_text("width = 3\n")
    first = digest(path)
    (tmp_path / "kit.py").write_text("an earlier = run")
    assert digest(path) == first
    (tmp_path / "parts.py").write_text("width = 4\n")
    assert digest(path) != first


def test_the_digest_has_the_written_modules_that_a_file_beside_the_notebook_imports(
    tmp_path: Path,
) -> None:
    written = "%%writefile kit.py\nfrom torch import nn\nclass Net(nn.Linear): pass\n"
    (tmp_path / "helper.py").write_text("from kit import Net\n")
    path = write_notebook(tmp_path / "a.ipynb", written, "from helper import Net")
    first = digest(path)
    assert digest(write_notebook(path, f"{written}width = 3\n", "from helper import Net")) != first


def test_code_of_a_notebook_that_no_net_needs_does_not_run(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "a.ipynb",
        f"open({str(tmp_path / 'RAN')!r}, 'w')\nimport sys, module_of_nobody\n",
        "!touch RAN\nfrom torch import nn, nothing_of_this_name\n",
        FLAT.format("nn.Flatten(), nn.Linear(784, 10)"),
    )
    assert sum(p.numel() for p in find_net(str(path)).builder().parameters()) == 7_850
    assert not (tmp_path / "RAN").exists()
    with pytest.raises(NetError, match=r"a\.ipynb:Net: loading this net would run the code"):
        find_net(str(path), trusted=False)


def test_a_future_import_counts_in_all_cells(tmp_path: Path) -> None:
    net = FLAT.format("nn.Linear(4, 2)") + "\n    def act(self, x: Nothing): ...\n"
    path = write_notebook(
        tmp_path / "a.ipynb", "from __future__ import annotations", f"{IMPORT}width = 3", net
    )
    assert find_net(str(path)).builder()[0].in_features == 4


def test_modules_of_cells_are_forgotten_with_the_notebook(tmp_path: Path) -> None:
    for width in (3, 5):
        path = write_notebook(
            tmp_path / f"{width}.ipynb",
            f"%%writefile kit_of_cells.py\nfrom torch import nn\nclass Head(nn.Linear):\n"
            f"    def __init__(self):\n        super().__init__({width}, 1)\n",
            f"{IMPORT}class Net(nn.Sequential):\n    def __init__(self):\n"
            "        from kit_of_cells import Head\n        super().__init__(Head())\n",
        )
        assert find_net(str(path)).builder()[0].in_features == width


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            (IMPORT, "%run -i lib/blocks.py", FLAT.format("head(10)")),
            "cell 3, line 3: 'head' is not defined in a.ipynb, and netlet does not follow the '%run "
            "lib/blocks.py' of cell 2, line 1: there is no such file; put it there",
        ),
        (
            (IMPORT, "x = 1\n%run 'my blocks.ipynb'", FLAT.format("head(10)")),
            "the '%run my blocks.ipynb' of cell 2, line 2: there is no such file",
        ),
        (
            (IMPORT, "%run -n ./lib/blocks", FLAT.format("head(10)")),
            "the '%run ./lib/blocks.py' of cell 2, line 1: there is no such file",
        ),
        (
            (IMPORT, "%run /etc/blocks.py", FLAT.format("head(10)")),
            "it lies outside of the repository; copy what the net needs into a cell",
        ),
        (
            (IMPORT, "%run $name", FLAT.format("head(10)")),
            "the '%run' of cell 2, line 1: its name is computed; write the path itself",
        ),
        (
            (IMPORT, "if IMPORT:\n    %run blocks.py", FLAT.format("head(10)")),
            "of cell 2, line 2: it is inside another statement; move it out",
        ),
        (
            (f"{IMPORT}x = (", FLAT.format("nn.Flatten()")),
            "'nn' is defined in cell 1 of a.ipynb, which is not valid Python (line 2: '(' was never",
        ),
        (
            (f"{IMPORT}def set():\n    global width\n    width = 3", FLAT.format("width")),
            "'width' is not defined by a statement of its own; define it outside of functions",
        ),
    ],
)
def test_a_name_that_is_missing_is_explained_by_the_cells(
    cells: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path = write_notebook(tmp_path / "a.ipynb", *cells)
    with pytest.raises(NetError) as caught:
        build(find_net(str(path)).builder)
    assert message in str(caught.value)


# --- %run

HEAD = "def head(n):\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, n))\n"
MAIN = f"{IMPORT}{HEAD}if __name__ == '__main__':\n    width = 12\n"


def parameters(address: str) -> int:
    return sum(p.numel() for p in find_net(address).builder().parameters())


@pytest.mark.parametrize(
    "command", ["%run blocks.ipynb", "%run -i ./blocks.ipynb", "run blocks.ipynb"]
)
def test_a_notebook_that_a_cell_runs_counts_as_its_cells(command: str, tmp_path: Path) -> None:
    write_notebook(tmp_path / "blocks.ipynb", IMPORT, HEAD, "open('RAN', 'w')")
    path = write_notebook(
        tmp_path / "a.ipynb", f"x = 1\n{command}\nwidth = 10", FLAT.format("head(width)")
    )
    assert parameters(f"{path}:Net") == parameters(str(path)) == 7_850
    assert not (tmp_path / "RAN").exists()
    code = find_code(f"{path}:head")
    assert code is not None
    assert (Path(code.path).name, code.cell) == ("a.ipynb", 1)


@pytest.mark.parametrize(
    ("command", "width"),
    few_fast(
        [
            ("%run lib/blocks.py", 12),
            ("%run lib/blocks", 12),
            ('%run -i "lib/blocks.py" --epochs 3', 12),
            ("%run -t -N 2 \\\n lib/blocks.py", 12),
            ("%%time\n%run lib/blocks.py", 12),
            ("get_ipython().run_line_magic('run', 'lib/blocks.py')", 12),
            ("get_ipython().magic('run lib/blocks.py')", 12),
            ("%run -n lib/blocks.py", 10),
        ],
        4,
    ),
)
@pytest.mark.parametrize("suffix", [".ipynb", ".py"])
def test_a_script_that_a_cell_runs_counts_as_a_cell(
    command: str, width: int, suffix: str, tmp_path: Path
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "blocks.py").write_text(f"{MAIN}from sizes import pixels\n")
    (tmp_path / "lib" / "sizes.py").write_text("pixels = 784\n")
    cells = ("width = 10", command, FLAT.format("nn.Flatten(), nn.Linear(pixels, width)"))
    path = tmp_path / f"a{suffix}"
    if suffix == ".py":
        path.write_text("".join(f"# %%\n{cell}\n" for cell in cells))
    else:
        write_notebook(path, *cells)
    assert parameters(f"{path}:Net") == 785 * width
    sizes = tmp_path / "lib" / "sizes.py"
    assert {sizes, tmp_path / "lib" / "blocks.py"} <= set(list_code_files(f"{path}:Net"))
    before = digest(path)
    sizes.write_text("pixels = 28 * 28\n")
    assert digest(path) != before


def test_a_file_that_a_cell_writes_and_another_one_runs_is_not_read_from_the_disk(
    tmp_path: Path,
) -> None:
    (tmp_path / "blocks.py").write_text("an earlier = run")
    written = f"%%writefile ./blocks.py\n{IMPORT}{HEAD}"
    path = write_notebook(tmp_path / "a.ipynb", written, "%run blocks.py", FLAT.format("head(10)"))
    assert parameters(f"{path}:Net") == 7_850
    before = digest(path)
    assert list_code_files(f"{path}:Net") == [path, tmp_path / "blocks.py"]
    (tmp_path / "blocks.py").unlink()
    assert list_code_files(f"{path}:Net") == [path]
    assert digest(path) == before


def test_files_run_in_the_order_of_the_commands_and_each_once(tmp_path: Path) -> None:
    write_notebook(tmp_path / "c.ipynb", f"{IMPORT}width = 3", "%run a.ipynb", "%run b.ipynb")
    write_notebook(tmp_path / "b.ipynb", "%run c.ipynb", "width = width + 1", "%run c.ipynb")
    path = write_notebook(
        tmp_path / "a.ipynb",
        "width = 1\n%run b.ipynb\nwidth = 2 * width\n%run c.ipynb",
        FLAT.format("nn.Linear(width, 1)"),
    )
    assert find_net(f"{path}:Net").builder()[0].in_features == 8


def test_errors_and_definitions_name_the_cell_of_the_file(tmp_path: Path) -> None:
    nets = (IMPORT, FLAT.format("nn.Linear(1, 1)"), "nets = [][0]", "x = (")
    write_notebook(tmp_path / "nets.ipynb", *nets, count=7)
    (tmp_path / "more.py").write_text(FLAT.format("nn.Linear(2, 1)"))
    last = FLAT.format("nn.Linear(3, 1)")
    path = write_notebook(tmp_path / "a.ipynb", "%run nets.ipynb\n%run more.py", last)
    with pytest.warns(NetletWarning) as noted:
        found = [find_net(f"{path}:{name}") for name in ("Net", "Net[1]", "Net[2]", "Net[3]")]
    assert [entry.builder()[0].in_features for entry in found] == [3, 1, 2, 3]
    assert str(noted[0].message).endswith(
        "the last one counts, in cell 2; write Net[1] for the one in cell 2 (In [7]) of nets.ipynb, "
        "Net[2] for the one in line 1 of more.py"
    )
    with pytest.raises(NetError, match=r"in cell 3 \(In \[7\]\) of nets.ipynb, line 1: IndexError"):
        find_net(f"{path}:nets")
    with pytest.raises(NetError, match=r"cell 4 \(In \[7\]\) of nets.ipynb, which defines 'x'"):
        find_net(f"{path}:x")


def test_a_file_that_cannot_be_followed_costs_only_its_names(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "empty.ipynb").write_text("")
    runs = "%run broken.py\n%run empty.ipynb\n%run ../../../../../../etc/passwd.py"
    path = write_notebook(
        tmp_path / "a.ipynb", IMPORT, runs, FLAT.format("nn.Linear(4, 2)"), "x = f()"
    )
    assert parameters(f"{path}:Net") == 10
    with pytest.raises(NetError, match=r"'%run broken.py' of cell 2, line 1: it is not valid Pyt"):
        find_net(f"{path}:x")


def test_a_class_with_a_notebook_that_runs_the_net_has_one_net(tmp_path: Path) -> None:
    write_notebook(tmp_path / "net.ipynb", IMPORT, FLAT.format("nn.Flatten(), nn.Linear(784, 10)"))
    write_notebook(tmp_path / "train.ipynb", "%run net.ipynb", "fit(Net())")
    assert complete_address(str(tmp_path / "train.ipynb")).endswith("train.ipynb:Net")
    address = find_submitted_net(tmp_path, None, (1, 28, 28), 10).address
    assert address == f"{tmp_path}/net.ipynb:Net"


def test_a_notebook_is_parsed_once_for_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, netlet: Netlet
) -> None:
    parsed: list[Path] = []

    def count_parsed(path: Path, content: bytes) -> Source:
        parsed.append(path)
        return parse_source(path, content)

    monkeypatch.setattr(sources, "parse_source", count_parsed)
    width = 4 + len(tmp_path.name)  # content that no other test has
    net = FLAT.format(f"nn.Flatten(), nn.Linear(784, {width})")
    path = write_notebook(tmp_path / "a.ipynb", IMPORT, net, f"'{tmp_path}'")
    assert netlet("check", str(path), "--params-below", "9")[0] == 1
    assert len(parsed) == 1
    write_notebook(path, IMPORT, net.replace("784", "28 * 28"), f"'{tmp_path}'")
    assert netlet("show", f"{path}:Net")[0] == 0
    assert len(parsed) == 2
    other = tmp_path / "b.ipynb"
    other.write_bytes(path.read_bytes())
    meant = r"did you mean 'Net'\? it defines: Net \(cell 2\)"
    with pytest.raises(NetError, match=rf"no 'Nets' in \S*b\.ipynb; {meant}"):
        find_net(f"{other}:Nets")
    assert len(parsed) == 2


@pytest.mark.parametrize(
    "move",
    [
        "model = Net().cuda()",
        "model = Net().to('cuda:0').eval()",
        "device = 'cuda'\nmodel = Net()\nmodel = model.to(device)",
        "device: str = 'cuda'\nmodel = Net().to(device)",
        "device = torch.device('cuda', 0)\nmodel = Net().to(device=device)",
        "def make(device='cuda'):\n    return Net().to(device)\nmodel = make()",
        "model = nn.Sequential(Net(), nn.Identity()).to(device='cuda')",
    ],
)
@pytest.mark.parametrize("suffix", [".ipynb", ".py"])
def test_moves_to_a_gpu_that_is_not_there_are_left_out(
    move: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tmp_path / f"a{suffix}"
    cells = (f"import torch\n{IMPORT}", FLAT.format("nn.Flatten(), nn.Linear(784, 10)"), move)
    path.write_text("\n".join(cells)) if suffix == ".py" else write_notebook(path, *cells)
    net = find_net(f"{path}:model").builder()
    assert {p.device.type for p in net.parameters()} == {"cpu"}
    for text in ("x = 'cuda' == name", "print('cuda')", "names = ['cuda']"):
        (statement,) = ast.parse(text).body
        assert ast.unparse(leave_out_missing_devices(statement)) == text
    (moved,) = ast.parse("net.cuda()").body
    assert ast.unparse(leave_out_missing_devices(moved)) == "net"
    assert ast.unparse(moved) == "net.cuda()"  # what a file has is shared


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; save it again as a notebook"),
        (b'{"cells": [', "is not a notebook: its JSON ends or breaks in line 1 (Expecting value)"),
        (b"<<<<<<< HEAD\n{}", "is not a notebook: its JSON ends or breaks in line 1"),
        (b"[" * 100_000 + b"]" * 100_000, "its JSON cannot be read (RecursionError)"),
        (b"[1, 2]", "is not a notebook: it has no list of cells"),
        (b'{"cells": {"a": 1}}', "is not a notebook: it has no list of cells"),
        (b'{"cells": [{"cell_type": "code", "source": [1]}]}', "cell 1 has no text"),
        (b'{"cells": [1, null, {"cell_type": ["code"]}]}', "defines no class or function"),
        (b"\xff\xfe\x00", "is saved as UTF-16; save it as UTF-8"),
        (b"\xff\xff\x00", "is not a notebook"),
        (
            b'{"cells": [{"cell_type": "code", "source": "x=\\ud800"}]}',
            "cell 1 is not valid Python",
        ),
        (
            b'{"cells": [{"cell_type": "code", "source": "%s"}]}' % (b"(" * 9_999),
            "cell 1 is not valid Python",
        ),
        (
            b'{"cells": [{"cell_type": "code", "source": "%s"}]}' % (b"%%time\\n" * 99_999),
            "defines no class or function",
        ),
    ],
)
def test_files_that_are_no_notebooks_get_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "odd.ipynb"
    path.write_bytes(content)
    with pytest.raises(NetError) as caught:
        complete_address(str(path))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600
    assert find_code(f"{path}:Net") is None


def test_code_cells_are_those_that_nbformat_reads() -> None:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if path.stem in ("hand_made", "in_r", "vscode_languages"):
            continue  # no valid notebook, other languages
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = nbformat.read(path, as_version=4).cells
        code = [(i, c) for i, c in enumerate(expected, start=1) if c.cell_type == "code"]
        assert [
            (cell.number, cell.count, cell.text) for cell in parse_notebook(path.read_bytes(), path)
        ] == [(i, c.execution_count, c.source) for i, c in code]


@pytest.mark.parametrize(
    "text",
    [
        "files = !ls -l\nname = %env HOME\n",
        "a, b = %magic x\nd['k'] = !ls\nx.y = %pwd\n",
        "names = !ls \\\n    -l\nz = 1\n",
        "  x = 1\n  y = 2\n",
        ">>> x = 1\n>>> y = 2\n",
        "x = ('%d'\n     % 3)\ns = '''\n!no\n'''\nz = !yes\n",
        "if x:\n    y = !ls\nx != y\n",
    ],
)
def test_assignments_of_commands_mean_what_ipython_makes_of_them(text: str) -> None:
    expected = TransformerManager().transform_cell(text)
    assert to_python(text).text.replace(" \n", "\n").split() == expected.split()


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_cell_that_appends_to_a_file_begins_a_line(tmp_path: Path, end: str) -> None:
    first = f"%%writefile blocks.py\nfrom torch import nn\nWIDTH = 7{end}"
    more = f"%%writefile -a blocks.py\ndef head():\n    return nn.Linear(784, WIDTH){end}"
    net = "from blocks import head, nn\nnet = nn.Sequential(nn.Flatten(), head())"
    path = write_notebook(tmp_path / "a.ipynb", first, more, net)
    assert find_net(f"{path}:net").builder()[1].out_features == 7  # type: ignore[index, union-attr]


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("!pip install x\nx = 1\n", "pass\nx = 1\n"),
        ("if x:\n    !ls 'it\n    y = 1", "if x:\n    pass\n    y = 1"),
        ("!a \\\n b\nx = 1", "pass\n\nx = 1"),
        ("pip install x\nls = 1\nls -l", "pass\nls = 1\nls -l"),
        ("%time x = f()\n%time x = f(\nx?\nf.g??\n?x", "x = f()\npass\npass\npass\npass"),
        ("x = '?'\ny = 1  # why?\n!z", "x = '?'\ny = 1  # why?\npass"),
        ("%%time\n%%capture out\nx = 1\n!z", "\n\nx = 1\npass"),
        ("#@title A\n%%time\nx = 1", "\n\nx = 1"),
        ("%%bash\nx = 1", ""),
        ("%%timeit\nx = 1", ""),
        ("%%unknown\nx = 1", "\nx = 1"),
        ("%%unknown\nselect *", ""),
        ("x = 1;", "x = 1;"),
        ("%env\n%env W\n%set_env\n%env a b = 3", "pass\npass\npass\npass"),
        ("if x:\n  %env W=3\n", "if x:\n  get_ipython().run_line_magic('env', 'W=3')\n"),
        ("env W \\\n 3\ny = 1", "get_ipython().run_line_magic('env', 'W   3')\n\ny = 1"),
    ],
)
def test_commands_are_left_out_and_lines_stay(text: str, python: str) -> None:
    assert to_python(text).text == python


LINES = """x = 1|!ls -l|z = !ls|w = %pwd|def f(a,|      b):|    return a|    !ls|if x:|    y = (1|  % 2)|s = '''
!no|'''|# comment|net?|x.y??|for i in [1,|  2]:|    pass|u = x \\| + 2|?x|d['k'] = !ls|a, b = %x|class A:
    z = '%d' \\|        % 3|%matplotlib inline||g = f'{x!r}'|h = x != 2|k = {'a': 1,|  '!b': 2}|r = r'\\'|q = 2;"""


class _WithoutCommands(ast.NodeTransformer):
    """Leaves out statements that do nothing: commands, and what netlet has in their place."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for name in ("body", "orelse"):
            if isinstance(inner := getattr(node, name, None), list):
                kept = [s for s in inner if not re.match(r"get_ipython\(\)|pass", ast.unparse(s))]
                setattr(node, name, kept)
        return node


def test_random_cells_mean_what_ipython_makes_of_them() -> None:
    random, lines = Random(19), re.split(r"\||\n", LINES)
    manager, compared = TransformerManager(), 0
    while compared < 300:
        text = "\n".join(random.choice(lines) for _ in range(random.randint(1, 7)))
        if "\\\n" in text and "?" in text:
            continue  # IPython takes the lines above a question for a part of it
        try:
            expected = ast.parse(manager.transform_cell(text))
        except SyntaxError:
            continue
        found = ast.parse(to_python(text).text)
        clean = _WithoutCommands()
        assert ast.dump(clean.visit(found)) == ast.dump(clean.visit(expected)), text
        compared += 1


def test_damaged_notebooks_raise_no_other_error(tmp_path: Path) -> None:
    random, path = Random(19), tmp_path / "a.ipynb"
    originals = [file.read_bytes() for file in sorted(NOTEBOOKS.glob("*.ipynb"))]
    pieces = (b"[", b"{", b'"', rb"\n", b"null", b"!", b"%", b"(", rb"\ud800", b'"source": 3,')
    for _ in range(150):
        content = bytearray(random.choice(originals))
        for _ in range(random.randint(1, 5)):
            at, length = random.randrange(len(content)), random.randint(0, 40)
            content[at : at + length] = random.choice(pieces)
        path.write_bytes(content)
        find_code(f"{path}:Net")
        with contextlib.suppress(NetError):
            complete_address(str(path))


def test_the_main_block_of_a_notebook_counts_and_of_a_script_does_not(tmp_path: Path) -> None:
    text = f"{IMPORT}if __name__ == '__main__':\n    net = nn.Sequential(nn.Flatten())\n"
    book = write_notebook(tmp_path / "a.ipynb", text)
    assert complete_address(str(book)) == f"{book}:net"
    assert len(find_net(str(book)).builder()) == 1
    script = tmp_path / "a.py"
    script.write_text(text)
    with pytest.raises(NetError, match="no 'net' in"):
        find_net(f"{script}:net")


def test_cells_that_databricks_exports_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    rule = "# COMMAND ----------"
    net = FLAT.format("nn.Flatten()")
    path.write_text(
        f"# Databricks notebook source\n# MAGIC %pip install x\n\n{rule}\n{IMPORT}\n{rule}\n{net}"
    )
    code = find_code(f"{path}:Net")
    assert code is not None
    assert code.cell == 2


def test_files_that_cells_write_are_modules_by_their_paths() -> None:
    paths = ["model.py", "./a/b.py", "/content/kit/__init__.py", "../up.py", "x.txt", "no-name.py"]
    assert list(name_modules(dict.fromkeys(paths, ""))) == ["model", "a.b", "kit.__init__", "up"]


def test_names_of_a_deep_expression_are_found() -> None:
    tree = ast.parse(f"rate = {' + '.join(['one'] * 600)}")
    assert names_used(tree) == {"one"}
    assert list(names_bound(tree)) == ["rate"]


def test_code_may_remove_what_finds_the_modules_of_its_cells(tmp_path: Path) -> None:
    before = sys.meta_path.copy()
    try:
        with imports_of_cells(tmp_path / "a.ipynb", {}):
            del sys.meta_path[0]
    finally:
        sys.meta_path[:] = before


def test_several_classes_of_one_name_in_a_script_are_noted_too(tmp_path: Path) -> None:
    net = "class Net(nn.Sequential):\n    def __init__(self):\n        super().__init__(nn.Conv2d(1, 10, {}))\n"
    file = tmp_path / "nets.py"
    file.write_text(f"from torch import nn\n{net.format(3)}\n\n{net.format(5)}")
    note = r"'Net' is defined 2 times; the last one counts, in line 7; write Net\[1\] for the one"
    with pytest.warns(NetletWarning, match=note):
        assert find_net(f"{file}:Net").builder()[0].kernel_size == (5, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_net(f"{file}:Net[1]").builder()[0].kernel_size == (3, 3)
        file.write_text("from torch import nn\nnet = nn.Flatten()\nnet = nn.ReLU()\n")
        find_net(f"{file}:net")  # a variable is assigned anew in passing
