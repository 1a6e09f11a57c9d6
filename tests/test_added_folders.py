"""Folders that code puts on the path: part of the net's code, wherever a command runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import write_notebook

from netlet.nets import find_code
from netlet.nets.added_folders import find_added_folders
from netlet.nets.net_code import list_code_files

NET = "from torch import nn\nfrom blocks import width\ndef net(): return nn.Linear(784, width)\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in (".git", "notebooks/lib", "src/deep"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "src" / "blocks.py").write_text("width = 10\n")
    return tmp_path


@pytest.mark.parametrize(
    ("code", "folders"),
    [
        ("sys.path.append('../src')", ["src"]),
        ("sys.path.insert(0, '../src')", ["src"]),
        ("sys.path += ['../src', 'lib']", ["src", "notebooks/lib"]),
        ("sys.path.extend(('../src', 'lib'))", ["src", "notebooks/lib"]),
        ("site.addsitedir('lib')", ["notebooks/lib"]),
        ("if '../src' not in sys.path:\n    sys.path.append('../src')", ["src"]),
        ("try:\n    import blocks\nexcept ImportError:\n    sys.path.append('../src')", ["src"]),
        ("p = os.path.abspath(os.path.join('..', 'src'))\nsys.path.append(p)", ["src"]),
        ("p: str = '../src'\nsys.path.append(p)", ["src"]),
        ("sys.path.append(str(Path('..').resolve() / 'src'))", ["src"]),
        ("sys.path.append(str(Path.cwd().parent / 'src' / 'deep'))", ["src/deep"]),
        ("sys.path.append(os.path.dirname(os.path.dirname(__file__)) + '/src')", ["src"]),
        ("sys.path.append(str(Path(__file__).resolve().parents[1] / 'src'))", ["src"]),
        ("sys.path.append(os.getcwd() + '/../src')", ["src"]),
        ("up = '..'\nsys.path.append(f'{up}/src')", ["src"]),
        ("sys.path.append(os.path.join(os.pardir, 'src'))", ["src"]),
        ("sys.path.append('..' + os.sep + 'src')", ["src"]),
        ("sys.path.append(abspath(join('..', 'src')))", ["src"]),
        ("sys.path.append(osp.join(osp.dirname(osp.abspath('')), 'src'))", ["src"]),
        ("sys.path.append(str(Path('..', 'src')))", ["src"]),
        ("sys.path.append(Path('..').joinpath('src').as_posix())", ["src"]),
        ("p = Path()\nsys.path.append(str(p.absolute().parent / 'src'))", ["src"]),
        # The last folder that is inserted comes first.
        ("sys.path.append('lib')\nsys.path.insert(0, '../src')", ["src", "notebooks/lib"]),
        ("sys.path.insert(0, '../src')\nsys.path.insert(0, 'lib')", ["notebooks/lib", "src"]),
        ("sys.path.append('src')", ["src"]),  # as in a script that runs in the folder above
        ("sys.path.append('../no_such_folder')", []),
        ("sys.path.append('../src/blocks.py')", []),
        ("sys.path.append('.')", []),
        ("sys.path.append('/')", []),
        ("sys.path.append('../..')", []),
        ("sys.path.append(find_folder())", []),
        ("sys.path.append(os.environ['LIB'])", []),
        ("sys.path.append(','.join('../src'))", []),
        ("sys.path.append(Path(folder))\nsys.path.append(str())\nsys.path.append(join())", []),
        ("p = '..'\np = p + '/src'\nsys.path.append(p)", ["src"]),
        ("p = p + '/src'\nsys.path.append(p)", []),
        ("p = '..'\n" + "p = p + p\n" * 80 + "sys.path.append(p)", []),
        ("p = '" + "' + '".join("x" * 600) + "'\nsys.path.append(p)", []),
        ("sys.path.append(" + "p.joinpath(" * 40 + "p" + ")" * 41, []),  # does not take long
        ("sys.path.append('..\\0/src')\nsys.path.append('" + "x" * 300 + "')", []),
        ("sys.path.append()\nsys.path.append(3)\nsys.path += other\nPath().parents['a']", []),
        ("def later():\n    sys.path.append('../src')", []),
    ],
)
def test_folders_are_read_from_constants(code: str, folders: list[str], project: Path) -> None:
    path = project / "notebooks" / "mine.py"
    found = find_added_folders(path, ast.parse(code).body)
    assert found == [project / folder for folder in folders]


def test_folders_outside_of_the_project_do_not_count(project: Path) -> None:
    outside = project.parent / f"{project.name}_outside"
    outside.mkdir()
    (project / "link").symlink_to(outside)
    body = ast.parse(f"sys.path += [{str(outside)!r}, '../link']").body
    assert find_added_folders(project / "notebooks" / "mine.py", body) == []


@pytest.mark.parametrize("name", ["mine.ipynb", "mine.py"])
def test_a_helper_is_found_and_counts_wherever_a_command_runs(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project / "notebooks" / name
    adding = "import sys\nif '../src' not in sys.path:\n    sys.path.append('../src')\n"
    if path.suffix == ".py":
        path.write_text(adding + NET)
    else:
        write_notebook(path, adding, NET)
    found = []
    for folder in (path.parent, project, project / "src", project.parent):
        monkeypatch.chdir(folder)
        found.append(find_code(f"{path}:net"))
        monkeypatch.setattr(sys, "path", [*sys.path, str(project / "src")])
        found.append(find_code(f"{path}:net"))
    assert found[0]
    assert found == [found[0]] * len(found)
    for folder in (path.parent, project):
        load = (
            f"from netlet.nets import find_net; print(find_net({str(path)!r} + ':net').builder())"
        )
        shown = subprocess.run(
            [sys.executable, "-c", load], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        assert "out_features=10" in shown
    (project / "src" / "blocks.py").write_text("width = 11\n")
    changed = find_code(f"{path}:net")
    assert changed
    assert changed.digest != found[0].digest


def test_the_sandbox_gets_the_helper_that_the_net_imports(project: Path) -> None:
    (project / "blocks.py").write_text("width = 11\n")  # in a folder above: of less importance
    path = project / "notebooks" / "mine.py"
    for adding, folder in (("['../src']", "src"), ("['..', '../src']", "")):
        path.write_text(f"import sys\nsys.path += {adding}\n" + NET)
        assert list_code_files(f"{path}:net") == sorted([path, project / folder / "blocks.py"])


def test_folders_that_helpers_add_are_followed(project: Path) -> None:
    lib, path = project / "src" / "deep", project / "notebooks" / "mine.py"
    adding = "import os, sys\nsys.path.append(os.path.join(os.path.dirname(__file__), 'deep'))\n"
    (project / "src" / "blocks.py").write_text(adding + "from sizes import width\n")
    (lib / "sizes.py").write_text("width = 10\n")
    path.write_text("import sys\nsys.path.append('../src')\n" + NET)
    before = find_code(f"{path}:net")
    assert lib / "sizes.py" in list_code_files(f"{path}:net")
    (lib / "sizes.py").write_text("width = 11\n")
    after = find_code(f"{path}:net")
    assert before
    assert after
    assert after.digest != before.digest
