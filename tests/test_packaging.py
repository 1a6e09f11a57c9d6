"""The sdist and the wheel are built, installed and used in a folder without the sources."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import netlet
from netlet.installation import find_commit, write_stamp

pytest.importorskip("hatchling", reason="needs hatchling: pip install -e '.[test]'")

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "src"


@dataclass(frozen=True)
class Built:
    sdist: Path
    wheel: Path
    site: Path  # the folder that the wheel is installed into

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command that finds the installed wheel instead of the sources."""
        return subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(self.site)},
            capture_output=True,
            text=True,
            check=False,
        )


def hatchling(target: str, sources: Path, folder: Path) -> Path:
    """Build ``sdist`` or ``wheel`` from a source folder into another folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.tar.gz" if target == "sdist" else "*.whl")
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist, the wheel from the sdist as pip does, and install the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    sdist = hatchling("sdist", ROOT, folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    wheel = hatchling("wheel", unpacked, folder)
    site = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run(
        [*install, "--target", str(site), str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Built(sdist, wheel, site)


def test_ci_runs_on_every_python_version_that_pyproject_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    workflow = (ROOT / ".github" / "workflows" / "checks.yml").read_text()
    assert versions[0] == project["requires-python"].removeprefix(">=")
    assert f"python: {json.dumps(versions)}" in workflow


def test_wheel_has_every_file_of_the_package(built: Built) -> None:
    expected = {
        str(path.relative_to(SOURCES))
        for path in (SOURCES / "netlet").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    }
    assert {Path(name).suffix for name in expected} >= {".c", ".html", ".safetensors", ".toml"}
    with zipfile.ZipFile(built.wheel) as archive:
        assert expected <= set(archive.namelist())


def test_an_installed_package_knows_the_commit_that_it_was_built_from(tmp_path: Path) -> None:
    package, repository = tmp_path / "site" / "netlet", tmp_path / "sources" / "src" / "netlet"
    for folder in (package, repository):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("x = 1\n")
    assert not write_stamp(repository, package / "commit.txt")
    assert find_commit(package) == ""
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q", "../.."], ["add", "."], ["commit", "-q", "-m", "First"]):
        subprocess.run([*git, *words], check=True)
    assert write_stamp(repository, package / "commit.txt")
    commit = find_commit(repository)
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert find_commit(package) == commit
    (package / "__init__.py").write_text("x = 2\n")
    assert find_commit(package) == f"{commit}+"


def test_wheel_has_the_recorded_studies_without_their_runs(built: Built) -> None:
    expected = {path.parent.name for path in (ROOT / "results" / "studies").glob("*/study.json")}
    with zipfile.ZipFile(built.wheel) as archive:
        files = [name for name in archive.namelist() if name.startswith("netlet/records/studies/")]
    assert {"swift", "crest"} <= expected
    assert sorted(files) == sorted(f"netlet/records/studies/{name}/study.json" for name in expected)


def test_wheel_has_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"netlet", f"netlet-{netlet.__version__}.dist-info"}


def test_sdist_can_run_its_own_tests(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "README.md", "tests/conftest.py", "tests/golden/README.md"}
    assert needed | {"results/race.json", "tools/__main__.py", "benchmarks/race.py"} <= names


def test_installed_version_is_that_of_the_sources(built: Built, tmp_path: Path) -> None:
    program = "import netlet; print(netlet.__version__); print(netlet.__file__)"
    done = built.run(sys.executable, "-c", program, cwd=tmp_path)
    version, file = done.stdout.splitlines()
    assert version == netlet.__version__
    assert Path(file).is_relative_to(built.site)


def test_train_works_from_the_wheel(built: Built, tmp_path: Path, digits_file: Path) -> None:
    command = (str(built.site / "bin" / "netlet"), "train", "--dataset", str(digits_file))
    done = built.run(*command, "--set", "epochs=1", "--out", "run", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr  # 1: the budget asks for more accuracy
    assert len(list(tmp_path.rglob("run.json"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "card mnistnet_2",
        "compare crest mnistnet_2",
        "export speck --to page -o page.html --dataset {digits}",
        "evaluate speck --dataset {digits}",
    ],
    ids=lambda words: words.split()[0],
)
def test_package_data_is_found_from_the_wheel(
    built: Built, tmp_path: Path, digits_file: Path, words: str
) -> None:
    arguments = words.format(digits=digits_file).split()
    done = built.run(sys.executable, "-m", "netlet", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
