"""A course repository: netlet.toml gives what no option says, and netlet init replaces nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import ROOT, Netlet, write_notebook
from PIL import Image

from netlet.cli.app import build_command
from netlet.cli.repository import FIELDS_OF_TRAINING, Choice, apply_repository, default_records
from netlet.errors import NetletError, RepositoryError
from netlet.report.readme import KNOWN_BLOCKS
from netlet.report.readme_markers import MarkedText
from netlet.repository import find_settings, load_settings
from netlet.repository.workflow import workflow_name, workflow_text

MODEL = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10))


print("training would start here")
"""
TOML = """\
net = "model.py:Net"
budget = "eight_k"
recipe = "quick"
epochs = 3
seeds = 2
records = ["studies/a", "mnistnet_1"]

[settings]
batch_size = 64
augment.rotate_deg = 5.0
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a git repository with a net; it is the working directory."""
    folder = tmp_path / "My net & I"
    (folder / ".git").mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(netlet: Netlet, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Netlet:
    """Run the command line in the repository."""
    monkeypatch.chdir(repository)
    return netlet


def test_options_win_over_the_file_and_the_file_over_defaults(repository: Path) -> None:
    (repository / "netlet.toml").write_text(TOML)
    settings = ["batch_size=64", "augment.rotate_deg=5.0"]
    choice = apply_repository(Choice(), *FIELDS_OF_TRAINING, "seeds")
    assert choice == Choice("model.py:Net", "eight_k", "quick", 3, settings, None, 2)
    assert choice.planned_recipe is not None
    assert choice.planned_recipe.epochs == 3
    given = Choice("8 P 16", "twenty_k", None, 1, ["peak_lr=0.1"], "scribble", 7)
    changed = apply_repository(given, *FIELDS_OF_TRAINING, "seeds")
    assert changed == Choice(
        "8 P 16", "twenty_k", "quick", 1, [*settings, "peak_lr=0.1"], "scribble", 7
    )
    # Settings and epochs belong to the file's recipe, and not to another one.
    other = apply_repository(Choice(recipe="plain"), *FIELDS_OF_TRAINING)
    assert (other.recipe, other.epochs, other.settings) == ("plain", None, None)
    # An experiment of netlet's keeps its own.
    assert apply_repository(Choice("swift"), *FIELDS_OF_TRAINING) == Choice("swift")
    assert apply_repository(Choice(), "net", "budget") == Choice("model.py:Net", "eight_k")


def test_the_file_of_the_repository_is_found_from_folders_in_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "netlet.toml").write_text(
        TOML + "[budget]\nparams_below = 9\n".replace("[", "#[")
    )
    deep = repository / "notes" / "week 1"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    found = find_settings()
    assert found is not None
    assert found.net == "../../model.py:Net"
    assert found.records == ("../../studies/a", "mnistnet_1")
    (repository.parent / "netlet.toml").write_text("nonsense")  # above the repository
    (repository / "netlet.toml").unlink()
    assert find_settings() is None
    # Without git, only the working directory counts.
    (repository / ".git").rmdir()
    (repository / "netlet.toml").write_text("nonsense")
    assert find_settings() is None
    monkeypatch.chdir(repository)
    with pytest.raises(RepositoryError, match=r"netlet\.toml: is not valid TOML"):
        find_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "netz = 1",
            "line 1: 'netz' is not a key of netlet.toml; did you mean 'net'? the keys are: net, bud",
        ),
        ("net = 3", 'net = 3; write net = "..."'),
        ("net = ''", "net = ''; write net = "),
        ("seeds = 0", "seeds = 0; give a whole number from 1 to 10,000"),
        ("seeds = true", "seeds = True; give a whole number"),
        ("epochs = 1e3", "epochs = 1000.0; give a whole number from 1 to 100,000"),
        ("records = 'a'", "records = 'a'; write a list of folders"),
        ("records = [1]", "records = [1]; write a list of folders"),
        ("settings = 1", "settings = 1; write them as a table"),
        ("[settings]\na = [1]", "the setting a = [1]; give a number, a text, or true or false"),
        ("[budget]\nparams = 1", "toml, line 2: [budget]: 'params' is not a key of a budget; did"),
        ("[budget]\nparams_below = 'x'", "toml, line 2: [budget]: params_below is 'x'; write a"),
        ("[budget]\nname = 3", "netlet.toml, line 2: [budget]: name is 3"),
        ("[budget]", "toml, line 1: [budget]: the budget limits nothing; add a limit"),
        ("net = 'a'\nnet = 'b'", "is not valid TOML: Cannot overwrite a value"),
        ("x" + ".x" * 200 + " = 1", "line 1 has too many dots; shorten it"),
        ("seeds = 1" + "0" * 9_999, "is not valid TOML: a number is too long; repair that place"),
        ("net = '" + "x" * 400 + "'", "net has 400 characters; give at most 300"),
        (b"net = '\xff'", "is not UTF-8 text; save it as UTF-8"),
        ("#" * 70_000, "such files have at most 65,536; name another file"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    repository: Path, text: str | bytes, message: str
) -> None:
    path = repository / "netlet.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(NetletError) as caught:
        load_settings(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


ANY_SIZE = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, in_channels=1, classes=6):
        layers = nn.Conv2d(in_channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        super().__init__(*layers, nn.Linear(8, classes))
"""


@pytest.mark.parametrize("as_folder", [False, True])
def test_check_and_show_take_the_images_of_the_file(
    run: Netlet, repository: Path, as_folder: bool
) -> None:
    """The verdict of a net for other images was that of MNIST's, and training came to another."""
    images = np.full((16, 20, 24, 3), (90, 0, 0), np.uint8)
    labels = np.arange(16) % 4
    (repository / "model.py").write_text(ANY_SIZE)
    if as_folder:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            place = repository / "parts" / f"class {label}" / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place)
    else:
        np.savez(repository / "parts", images=images, labels=labels)
    name = "parts" if as_folder else "parts.npz"
    (repository / "netlet.toml").write_text(
        f'net = "model.py"\ndataset = "{name}"\n[budget]\nparams_below = 260\n'
        "macs_below = 80_000\naccuracy_at_least = 50\n"
    )
    # 3x3 weights for 3 channels and 8 biases, 4 classes; 18x22 places of the map.
    parameters, macs = 8 * 27 + 8 + 4 * 9, 8 * 27 * 18 * 22 + 32
    code, out, err = run("check", "--json")
    assert f"dataset {name}" in err
    rules = {rule["rule"]: rule for rule in json.loads(out)["rules"]}
    found = {key: (rules[key]["found"], rules[key]["state"]) for key in ("parameters", "MACs")}
    assert found == {"parameters": (parameters, "FAIL"), "MACs": (macs, "FAIL")}
    assert (code, "outputs" in rules) == (1, False)
    for command in (("show", "--json"), ("show", "model.py:Net", "--json")):
        shown = json.loads(run(*command)[1])
        assert (shown["parameters"], shown["macs"]) == (parameters, macs)
        assert shown["input"] == [3, 20, 24]
    several = json.loads(run("check", "model.py:Net", "swift", "--json")[1])["nets"]
    assert [net["parameters"] for net in several] == [parameters, 18_952]
    # Options win, one by one.
    for options, expected in (
        (("--input", "1,28,28"), 8 * 9 + 8 + 4 * 9),
        (("--classes", "5"), 8 * 27 + 8 + 5 * 9),
        (("--input", "1,28,28", "--classes", "5"), 8 * 9 + 8 + 5 * 9),
    ):
        assert json.loads(run("show", "--json", *options)[1])["parameters"] == expected
    (repository / name).rename(repository / "elsewhere")
    for command in (("check",), ("show", "--classes", "4")):
        code, _, err = run(*command)
        assert code == 2
        assert "which netlet.toml names, pass --input C,H,W and --classes K" in err
    assert run("show", "--input", "3,20,24", "--classes", "4")[0] == 0


def test_check_gives_a_net_the_classes_of_the_budget(run: Netlet, repository: Path) -> None:
    """Training gives them, whatever number is the default of the net."""
    (repository / "model.py").write_text(ANY_SIZE)
    code, out, _ = run("check", "model.py:Net", "--budget", "twenty_k", "--json")
    rules = {rule["rule"]: rule["found"] for rule in json.loads(out)["rules"]}
    assert code == 0
    assert rules["parameters"] == 8 * 9 + 8 + 10 * 9
    assert "outputs" not in rules
    own = run("check", "model.py:Net", "--params-below", "200", "--json")[1]
    assert json.loads(own)["rules"][0]["found"] == 8 * 9 + 8 + 6 * 9


def test_check_uses_the_file_and_says_so(run: Netlet, repository: Path) -> None:
    code, out, err = run("check")
    assert (code, out) == (2, "")
    assert "no NET is named; name one, like model.py:Net, or write netlet.toml with" in err
    (repository / "netlet.toml").write_text(
        'net = "model.py:Net"\nepochs = 20\n[budget]\nparams_below = 9000\nepochs_at_most = 15\n'
    )
    code, out, err = run("check")
    assert code == 1
    assert err.startswith("netlet.toml: net model.py:Net, budget of its own, epochs 20\n")
    assert "20 planned" in out
    code, out, err = run("check", "--budget", "document_000", "--json")
    assert json.loads(out)["budget"] == "document_000"
    code, _, err = run("check", "swift")
    assert (code, err) == (0, "")


def test_a_teachers_file_is_the_budget_of_the_repository(run: Netlet, repository: Path) -> None:
    limits = 'params_below = 9_000\nrequires = ["Conv2d >= 2"]\n'
    (repository / "class.toml").write_text(limits)
    (repository.parent / "outside.toml").write_text(limits)
    code, _, err = run("init", "--budget", "../outside.toml")
    assert code == 2
    assert "../outside.toml: lies outside of the repository, so GitHub cannot read it" in err
    assert run("init", str(repository / "model.py"), "--budget", "class.toml")[0] == 0
    assert load_settings(Path("netlet.toml")).net == "model.py:Net"
    week = repository / "week"
    week.mkdir()
    with contextlib.chdir(week):
        code, out, err = run("check")
    assert code == 1
    assert "budget ../class.toml" in err
    assert "Conv2d" in out
    (repository / "netlet.toml").write_text(f'net = "model.py"\n[budget]\n{limits}')
    assert run("check")[1].replace("netlet.toml", "class") == out


def test_report_finds_the_study_of_the_repository(repository: Path) -> None:
    with pytest.raises(
        NetletError, match="no RECORD is named; name the folder of a run, study or ladder"
    ):
        default_records()
    (repository / "netlet.toml").write_text('net = "model.py"\n')
    with pytest.raises(NetletError, match=r"model\.py is not trained yet; run 'netlet study', or"):
        default_records()
    for number, name in enumerate(("model.py_Net-seed0", "model.py_Net-seed3")):
        record = repository / "runs" / name / "run.json"
        record.parent.mkdir(parents=True)
        record.write_text("{}")
        os.utime(record, (number, number))
    assert default_records() == ["runs/model.py_Net-seed3"]
    study = repository / "studies" / "model.py_Net" / "study.json"
    study.parent.mkdir(parents=True)
    study.write_text("{}")
    assert default_records() == ["studies/model.py_Net"]
    (repository / "notes").mkdir()
    with contextlib.chdir(repository / "notes"):
        assert default_records() == ["../studies/model.py_Net"]
    (repository / "netlet.toml").write_text('records = ["swift", "ladders/own"]\n')
    assert default_records() == ["swift", "ladders/own"]


def test_records_go_beside_the_file_of_the_repository_from_any_folder(
    run: Netlet, repository: Path, digits_file: Path
) -> None:
    (repository / "netlet.toml").write_text(
        'net = "hw/model.py:Net"\nrecipe = "plain"\nepochs = 1\nseeds = 1\n'
        f"dataset = {json.dumps(str(digits_file))}\nsettings = {{ batch_size = 60 }}\n"
    )
    home = repository / "hw"
    home.mkdir()
    (repository / "model.py").rename(home / "model.py")
    with contextlib.chdir(home):
        out = run("study", "--workers", "1")[1]
        assert "hw/model.py:Net on" in out
        assert f"recorded in ../studies/hw_model.py_Net-{digits_file.name}/study.json" in out
        study = default_records()
        assert study == [f"../studies/hw_model.py_Net-{digits_file.name}"]
        err = run("report", study[0], "-o", "first.md")[2]
        assert "earlier version" not in err
        assert "without pictures" not in err
        assert run("train", "--seed", "1")[0] in (0, 1)
        assert not list(home.glob("*/*/*.json"))
        listed = json.loads(run("runs", "--json")[1])["runs"]
        assert [(one["net"], one["path"]) for one in listed] == [
            ("hw/model.py:Net", f"../runs/hw_model.py_Net-{digits_file.name}-seed1")
        ]
        shutil.copytree(listed[0]["path"], "runs/mine")  # as a notebook records it
        both = [one["path"] for one in json.loads(run("runs", "--json")[1])["runs"]]
        assert both == [listed[0]["path"], "runs/mine"]
        shutil.rmtree("runs")
        assert run("evaluate", listed[0]["path"], "--dataset", str(digits_file), "--trust")[0] == 0
        # Another file of this name here is not the one that the records mean.
        shutil.copytree(home, home / "hw", ignore=shutil.ignore_patterns("hw"))
        Path("hw/model.py").write_text(MODEL.replace("nn.Flatten()", "nn.Flatten(1)"))
        assert run("evaluate", listed[0]["path"], "--dataset", str(digits_file), "--trust")[0] == 0
        assert "earlier version" not in run("report", "-o", "first.md")[2]
        shutil.rmtree("hw")
    # From the root, it is the same study: nothing is trained again.
    out = run("study", "--workers", "1")[1]
    assert f"recorded in studies/hw_model.py_Net-{digits_file.name}/study.json" in out
    assert len(list(repository.glob("studies/*/seed-*/run.json"))) == 1
    assert default_records() == [str(Path(study[0]).relative_to(".."))]
    with contextlib.chdir(home):
        Path("model.py").write_text(MODEL.replace("nn.Flatten()", "nn.Flatten(1)"))
        err = run("report", "-o", "second.md")[2]
        assert "model.py has changed since" in err
        assert "run 'netlet study model.py:Net --out" in err


def test_a_moved_repository_is_used_with_its_own_net(
    run: Netlet, repository: Path, digits_file: Path
) -> None:
    (repository / "hw").mkdir()
    (repository / "model.py").rename("hw/model.py")
    assert run("init", "hw/model.py:Net")[0] == 0
    options = ("--dataset", str(digits_file), "--epochs", "1", "--set", "batch_size=60")
    with contextlib.chdir("hw"):
        assert run("train", *options, "--out", "../runs/own")[0] in (0, 1)
    moved = repository.parent / "moved"
    repository.rename(moved)
    test = ("evaluate", "../runs/own", "--dataset", str(digits_file), "--trust")
    with contextlib.chdir(moved / "hw"):
        assert run(*test)[0] == 0
        # The place where it was is a copy now, and the net of this folder is changed.
        shutil.copytree(moved, repository)
        Path("model.py").write_text(MODEL.replace("nn.Flatten()", "nn.Flatten(1)"))
        code, _, err = run(*test)
        assert code == 2
        assert "model.py is another net of the same name" in err
        assert "model.py has changed since" in run("report", "../runs/own", "-o", "own.md")[2]


@pytest.mark.slow
def test_study_and_report_do_all_that_the_file_says(
    run: Netlet, repository: Path, digits_file: Path
) -> None:
    shutil.copy(digits_file, repository / "digits.npz")
    (repository / "netlet.toml").write_text(
        'net = "model.py"\ndataset = "digits.npz"\nrecipe = "plain"\nepochs = 1\nseeds = 1\n'
        'settings = { batch_size = 60, precision = "float32", backend = "eager" }\n'
    )
    code, out, err = run("study", "--workers", "1")
    assert "settings batch_size=60 precision=float32 backend=eager, epochs 1, dataset" in err
    assert "recorded in studies/model.py_Net-digits.npz/study.json" in out, err
    (repository / "README.md").write_text("<!-- netlet:augmentation -->\n<!-- /netlet -->\n")
    code, out, err = run("report", "--into", "README.md")
    assert (code, out) == (0, "README.md: filled\n"), err
    assert "The recipe does not augment" in (repository / "README.md").read_text()
    code, out, err = run("train", "--seed", "4")
    assert "recorded in runs/model.py_Net-digits.npz-seed4" in out, err


def test_report_without_a_record_fills_the_readme(run: Netlet, repository: Path) -> None:
    (repository / "netlet.toml").write_text('records = ["speck"]\n')
    (repository / "README.md").write_text("<!-- netlet:verdict -->\n<!-- /netlet -->")
    code, out, err = run("report", "--into", "README.md")
    assert (code, out) == (0, "README.md: filled\n")
    assert "netlet.toml: records speck" in err
    assert "Budget speck" in (repository / "README.md").read_text()


# netlet init


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_init_sets_up_a_repository_and_again_changes_nothing(run: Netlet, repository: Path) -> None:
    before = content(repository)
    code, out, err = run("init", "--budget", "eight_k", "--dry-run")
    assert code == 0
    for line in ("+++ b/netlet.toml", "+++ b/.github/workflows/netlet.yml", "+++ b/README.md"):
        assert line in out
    assert '+net = "model.py:Net"' in out
    assert content(repository) == before

    code, out, err = run("init", "--budget", "eight_k")
    assert code == 0
    assert out == (
        "netlet.toml: new\n.github/workflows/netlet.yml: new\n.gitignore: new\nREADME.md: new\n"
    )
    assert err.splitlines()[-6:] == [
        "next: netlet study  # train and judge; 'netlet train' trains one seed only",
        "next: netlet report --into README.md  # fill the README",
        "next: git add studies/*/study.json  # after 'netlet study': a clone fills its README from "
        "it",
        "next: git add netlet.toml .github/workflows/netlet.yml .gitignore README.md model.py "
        "README-pictures  # then commit",
        "next: netlet train --out hand-in  # if you hand in weights",
        "next: git add hand-in  # the run and its weights",
    ]
    assert (repository / ".gitignore").read_text() == "runs/\nstudies/*/seed-*/\n"
    assert "training would start here" not in out + err
    assert tomllib.loads((repository / "netlet.toml").read_text()) == {
        "net": "model.py:Net",
        "budget": "eight_k",
        "recipe": "steady",
        "dataset": "mnist",
        "seeds": 3,
    }
    text = (repository / "README.md").read_text()
    assert text.startswith("# My net \\& I\n\n<!-- netlet:badge -->\n[![netlet](../../actions/")
    blocks = MarkedText(text, Path("README.md"), KNOWN_BLOCKS).blocks
    assert {block.name for block in blocks} == {*KNOWN_BLOCKS} - {"ladder"}
    assert "Ladder" not in text

    (repository / "other.py").write_text(MODEL)
    made = content(repository)
    assert "next:" not in run("init")[2]
    code, out, err = run("init", "other.py:Net", "--json")
    assert 'has net = "model.py:Net", not "other.py:Net", and is left as it is' in err
    states = {row["file"]: row["state"] for row in json.loads(out)["files"]}
    assert states == {
        "netlet.toml": "left",
        ".github/workflows/netlet.yml": "unchanged",
        ".gitignore": "unchanged",
        "README.md": "left",
    }
    assert content(repository) == made


@pytest.mark.parametrize(
    ("limits", "epochs"),
    [
        ("epochs_at_most = 5", 5),
        ("epochs_below = 6", 5),
        ("epochs_at_most = 15", None),  # as many as the recipe
        ("params_below = 9000", None),
    ],
)
def test_init_takes_the_epochs_that_the_budget_allows(
    run: Netlet, repository: Path, limits: str, epochs: int | None
) -> None:
    (repository / "class.toml").write_text(f"{limits}\n")
    assert run("init", "--budget", "class.toml")[0] == 0
    assert load_settings(Path("netlet.toml")).epochs == epochs
    code, out, _ = run("check", "--json")
    found = {row["rule"]: row["state"] for row in json.loads(out)["rules"]}
    assert (code, "FAIL" in found.values()) == (0, False)


def test_init_adds_a_ladder_where_one_was_climbed(run: Netlet, repository: Path) -> None:
    (repository / "ladders" / "own").mkdir(parents=True)
    (repository / "ladders" / "own" / "ladder.toml").write_text("")
    assert run("init")[0] == 0
    assert "### Ladder\n\n<!-- netlet:ladder -->\n" in (repository / "README.md").read_text()


def test_a_clone_of_what_init_says_to_add_has_all_of_the_net(
    run: Netlet, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "blocks/__init__.py": "from .deep import act\n",
        "blocks/deep.py": "from torch import nn\n\nact = nn.ReLU\n",
        "joining.py": "import blocks\n\nact = blocks.act\n",
        "cells.py": "from outside import width\n",
        "scratch.py": "print('not a part of the net')\n",
    }
    for name, text in files.items():
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(text)
    (repository.parent / "outside.py").write_text("width = 4\n")
    imports = "from joining import act\n%run cells.py\n"
    text = imports + MODEL.replace("nn.ReLU()", "act()").replace("(1, 4,", "(1, width,")
    write_notebook(Path("hw.ipynb"), text)
    (repository / ".git").rmdir()
    monkeypatch.syspath_prepend(repository.parent)
    monkeypatch.setenv("PYTHONPATH", str(repository.parent))
    subprocess.run(["git", "init", "-q"], check=True)

    err = run("init", "hw.ipynb:Net")[2]
    assert f"the net needs {repository.parent / 'outside.py'}, which lies outside" in err
    added = shlex.split(err.rpartition("git add netlet.toml")[2].partition("#")[0])
    needed = ["hw.ipynb", "blocks/__init__.py", "blocks/deep.py", "cells.py", "joining.py"]
    assert added[3:-1] == needed

    subprocess.run(["git", "add", "netlet.toml", *added[:-1]], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    subprocess.run(["git", *author, "commit", "-q", "-m", "Net"], check=True)
    subprocess.run(["git", "clone", "-q", ".", "../clone"], check=True)
    monkeypatch.chdir("../clone")
    out, err = run("check", "--budget", "twenty_k")[1:]
    assert "PASS" in out, err


def test_init_adds_the_package_of_a_net(run: Netlet, repository: Path) -> None:
    (repository / "pkg").mkdir()
    (repository / "pkg" / "model.py").write_text(MODEL)
    (repository / "pkg" / "__init__.py").write_text("from .blocks import act\n")
    (repository / "pkg" / "blocks.py").write_text("from torch import nn\n\nact = nn.ReLU\n")
    err = run("init", "pkg.model:Net")[2]
    assert "README.md pkg/model.py pkg/__init__.py pkg/blocks.py README-pictures" in err
    # What cannot be read is not in the way.
    (repository / "netlet.toml").write_text('net = "model.py:Missing"\n')
    (repository / "README.md").unlink()
    assert ".gitignore README.md model.py README-pictures" in run("init")[2]


def test_init_says_what_a_gitignore_lacks(run: Netlet, repository: Path) -> None:
    path = repository / ".gitignore"
    path.write_bytes(b"# caf\xe9\n/runs\n")
    code, out, err = run("init")
    assert code == 0
    assert (
        ".gitignore: left as it is, because it exists; add studies/*/seed-*/, which are large\n"
        in out
    )
    assert "git add netlet.toml .github/workflows/netlet.yml README.md model.py" in err
    path.write_bytes(path.read_bytes() + b"studies/*/seed-*\n")
    assert ".gitignore: unchanged\n" in run("init")[1]


@pytest.mark.parametrize(
    ("before", "badge_after"),
    [
        (b"# Title\r\n\r\nText\r\n", b"# Title\r\n"),
        (b"Title\n=====\nText without a last line break", b"Title\n=====\n"),
        (b"no heading\n\n```\n# code\n```\n", None),
        (b"\xef\xbb\xbf# Title\n<!-- a comment -->\ncaf\xe9\n", b"\xef\xbb\xbf# Title\n"),
        (b"", None),
    ],
)
def test_init_only_adds_to_a_readme(
    run: Netlet, repository: Path, before: bytes, badge_after: bytes | None
) -> None:
    path = repository / "README.md"
    path.write_bytes(before)
    assert run("init")[0] == 0
    after = path.read_bytes()
    end = b"\r\n" if b"\r\n" in before else b"\n"
    assert after.count(b"netlet:badge") == 1
    assert after.endswith(end) == (before.endswith(end) or not before)
    if badge_after is None:
        assert after.startswith(before)
    else:
        badge = after.index(b"<!-- netlet:badge -->")
        assert after[:badge] == badge_after + end
        rest = after[after.index(b"<!-- /netlet -->") + len(b"<!-- /netlet -->" + end) :]
        assert rest.startswith(before[len(badge_after) :])
    assert b"\n" not in after.replace(b"\r\n", b"") or end == b"\n"


def test_init_leaves_what_somebody_else_wrote(run: Netlet, repository: Path) -> None:
    theirs = {
        "netlet.toml": 'net = "model.py:Net"\nseeds = 1\n',
        ".github/workflows/netlet.yml": "name: mine\n",
        "README.md": "<!-- netlet:summary -->\nmy text\n<!-- /netlet -->\n",
        ".gitignore": "*.pyc\n",
    }
    for name, text in theirs.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    before = content(repository)
    code, out, _ = run("init")
    assert code == 0
    assert "netlet.toml: left as it is, because it exists; change it there" in out
    assert "netlet.yml: left as it is, because it exists; move it elsewhere to get netlet's" in out
    assert "README.md: left as it is, because it has blocks already; add others by hand" in out
    assert (
        ".gitignore: left as it is, because it exists; add runs/ and studies/*/seed-*/, which are "
        "large" in out
    )
    assert content(repository) == before
    (repository / "README.md").rename(repository / "README.rst")
    code, out, _ = run("init")
    assert (
        "README.rst: left as it is, because it is not Markdown; name a .md file with --readme"
        in out
    )


def test_init_of_a_folder_in_a_repository(
    run: Netlet, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    week = repository / "Session 6"
    week.mkdir()
    (week / "model.py").write_text(MODEL)
    monkeypatch.chdir(week)
    code, out, _ = run("init")
    assert code == 0
    assert "../.github/workflows/netlet-Session_6.yml: new" in out
    job = yaml.safe_load((repository / ".github/workflows/netlet-Session_6.yml").read_text())
    assert job["jobs"]["netlet"]["defaults"]["run"]["working-directory"] == "Session 6"
    assert job[True]["push"]["paths"][0] == "Session 6/**"
    badge = "../../../actions/workflows/netlet-Session_6.yml/badge.svg"
    assert badge in (week / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.py:Net",), "nowhere.py: no such file; check its path"),
        (("nowhere.py",), "nowhere.py: no such file"),
        (("model.py:Nett",), "no 'Nett' in model.py; did you mean 'Net'? it defines: Net"),
        (("modle.py:Net",), "modle.py: no such file"),
        (
            ("model.pyy:Net",),
            "model.pyy: is not a Python file or notebook; did you mean 'model.py'?",
        ),
        (("swfit",), "did you mean 'swift'?"),
        (("--budget", "eight"), "no budget 'eight'; did you mean 'eight_k'?"),
        (("--recipe", "stedy"), "no recipe 'stedy'; did you mean 'steady'?"),
        (
            ("--install", "a\nb"),
            "--install: give what pip installs as at most 500 ASCII characters",
        ),
        (("--install", "netlet }}"), "cannot be written into a workflow; leave out '}}'"),
        (("--readme", "bad.md"), "bad.md, line 1: this end belongs to no block"),
    ],
)
def test_init_refuses_in_one_line_and_writes_nothing(
    run: Netlet, repository: Path, arguments: tuple[str, ...], message: str
) -> None:
    (repository / "bad.md").write_text("<!-- /netlet -->\n")
    before = content(repository)
    code, out, err = run("init", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert content(repository) == before


def test_init_writes_nothing_if_one_file_cannot_be_written(run: Netlet, repository: Path) -> None:
    (repository / ".github").write_text("in the way")
    before = content(repository)
    code, out, err = run("init")
    assert (code, out) == (2, "")
    assert err.startswith("netlet: .github/workflows/netlet.yml: cannot be written (")
    assert err.endswith(" is a file); move away what is in the way, or change its permissions\n")
    assert content(repository) == before


def test_init_finds_the_net_of_a_notebook(run: Netlet, repository: Path) -> None:
    (repository / "model.py").unlink()
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**cell, "source": "!pip install torch\n" + MODEL}]
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}
    (repository / "s5.ipynb").write_text(json.dumps(notebook))
    assert run("init")[0] == 0
    _, out, err = run("check", "--json")
    assert json.loads(out)["name"] == "s5.ipynb:Net", err


def test_init_again_says_what_the_file_has_instead(run: Netlet, repository: Path) -> None:
    (repository / "other.py").write_text(MODEL)
    assert run("init", "model.py", "--seeds", "2")[0] == 0
    before = content(repository)
    code, _, err = run(
        "init", "other.py", "--budget", "eight_k", "--recipe", "quick", "--seeds", "4"
    )
    assert code == 0
    assert err.splitlines() == [
        f"netlet: netlet.toml has {line}, and is left as it is; change it there"
        for line in (
            'net = "model.py:Net", not "other.py:Net"',
            'budget = "twenty_k", not "eight_k"',
            'recipe = "steady", not "quick"',
            "seeds = 2, not 4",
        )
    ]
    assert run("init", "model.py:Net", "--seeds", "2")[2] == ""
    code, _, err = run("init", "model.py:Nett")
    assert (code, "did you mean 'Net'?" in err) == (2, True)
    assert content(repository) == before


def test_a_report_says_if_the_net_has_changed_since(
    run: Netlet, repository: Path, digits_file: Path
) -> None:
    options = ("--dataset", str(digits_file), "--epochs", "1", "--set", "batch_size=60")
    assert run("train", "model.py:Net", "--out", "first", *options)[0] in (0, 1)
    (repository / "README.md").write_text("<!-- netlet:summary -->\n<!-- /netlet -->\n")
    assert "earlier version" not in run("report", "first", "--into", "README.md")[2]
    (repository / "model.py").write_text(MODEL.replace("nn.Flatten()", "nn.Flatten(1)"))
    code, _, err = run("report", "first", "--into", "README.md")
    assert code == 0
    assert (
        "model.py:Net: is about an earlier version of its net: model.py has changed since; to train "
        "the net as it is now, run 'netlet study model.py:Net --out FOLDER' with a new folder"
    ) in err
    (repository / "model.py").write_text(MODEL.replace("Net", "Other"))
    assert (
        "an earlier version of its net: model.py, in which Net cannot be found now, has changed since"
    ) in run("report", "first", "--into", "README.md")[2]


def test_a_report_names_changed_code_from_any_folder(
    run: Netlet, repository: Path, digits_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "notebooks").mkdir()
    monkeypatch.chdir(repository / "notebooks")
    Path("parts.py").write_text("from torch import nn\n\nACTIVATION = nn.ReLU\n")
    Path("own.py").write_text(
        "from torch import nn\n\nfrom parts import ACTIVATION\n\n\ndef own():\n"
        "    conv, head = nn.Conv2d(1, 4, 3, stride=8), nn.Linear(64, 10)\n"
        "    return nn.Sequential(conv, ACTIVATION(), nn.Flatten(), head)\n"
    )
    options = ("--dataset", str(digits_file), "--epochs", "1", "--set", "batch_size=60")
    assert run("train", "own.py:own", "--out", "runs/own", *options)[0] in (0, 1)
    assert run("study", "own.py:own", "--out", "whole", "--seeds", "2", *options)[0] in (0, 1)
    monkeypatch.chdir(repository)
    records = ("notebooks/runs/own", "notebooks/whole")
    for record in records:
        assert "earlier version" not in run("report", record, "-o", "first.md")[2]
    (repository / "notebooks" / "parts.py").write_text("from torch.nn import Tanh as ACTIVATION\n")
    for record in records:
        code, _, err = run("report", record, "-o", f"{Path(record).name}.md")
        assert code == 0
        assert (
            "own.py:own: is about an earlier version of its net: notebooks/own.py, or "
            "notebooks/parts.py, which it imports, has changed since; to train the net as it is "
            "now, run 'netlet study notebooks/own.py:own --out FOLDER' with a new folder"
        ) in err


def test_a_report_of_a_committed_study_names_changed_code_from_below_the_repository(
    run: Netlet, repository: Path, digits_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("init", "model.py:Net")[0] == 0
    options = ("--dataset", str(digits_file), "--epochs", "1", "--set", "batch_size=60")
    assert run("study", "model.py:Net", "--out", "own", "--seeds", "2", *options)[0] in (0, 1)
    for run_of_seed in (repository / "own").glob("*/run.json"):
        run_of_seed.unlink()  # only study.json is committed
    (repository / "notebooks").mkdir()
    monkeypatch.chdir(repository / "notebooks")
    assert "earlier version" not in run("report", "../own", "-o", "first.md")[2]
    (repository / "model.py").write_text(MODEL.replace("nn.Flatten()", "nn.Flatten(1)"))
    assert (
        f"model.py:Net: is about an earlier version of its net: {repository}/model.py has changed "
        "since; to train the net as it is now, run 'netlet study ../model.py:Net --out FOLDER'"
    ) in run("report", "../own", "-o", "second.md")[2]


def test_init_names_the_files_to_choose_from(run: Netlet, repository: Path) -> None:
    private = MODEL.replace("class Net", "class _Net")
    (repository / "other.py").write_text(f"{private}\n\ndef part():\n    return _Net()\n")
    assert run("init", "--dry-run")[0] == 0
    (repository / "other.py").write_text(MODEL)
    code, _, err = run("init")
    assert code == 2
    assert "this folder has several nets; name one of model.py:Net, other.py:Net" in err
    (repository / "model.py").unlink()
    (repository / "other.py").write_text(f"{MODEL}\n\nclass Deep(Net): ...\n")
    assert "this folder has several nets; name one of other.py:" in run("init")[2]
    (repository / "model.py").write_text("")
    for name in ("other.py", "model.py"):
        (repository / name).unlink()
    assert "no Python file or notebook in this folder has a net; name one, like" in run("init")[2]


# The workflow


def steps_of(text: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = yaml.safe_load(text)["jobs"]["netlet"]["steps"]
    return steps


@pytest.mark.parametrize("folder", ["", "week 6", 'a"b/#c: d'])
@pytest.mark.parametrize(
    "requirement", [None, "netlet[report] @ git+https://host/netlet@abc", "./it's.whl"]
)
def test_the_workflow_is_valid_and_its_commands_parse(folder: str, requirement: str | None) -> None:
    text = workflow_text(PurePosixPath(folder), requirement)
    job = yaml.safe_load(text)["jobs"]["netlet"]
    quoted = (requirement or "").replace("'", "''")
    default = f" || '{quoted}'" if requirement else ""
    assert job["env"]["NETLET"] == f"${{{{ vars.NETLET{default} }}}}"
    assert job["env"]["PIP_EXTRA_INDEX_URL"] == "https://download.pytorch.org/whl/cpu"
    if folder:
        assert job["defaults"]["run"]["working-directory"] == folder
    root = build_command()
    found = []
    for step in steps_of(text):
        for line in step.get("run", "").splitlines():
            words = shlex.split(line)
            if words[0] == "netlet":
                command = root.commands[words[1]]  # type: ignore[attr-defined]
                command.make_context(words[1], words[2:])  # raises if it does not parse
                found.append(words[1])
    assert found == ["check", "study", "report"]


def test_the_workflow_uses_current_actions_and_python() -> None:
    steps = steps_of(workflow_text(PurePosixPath(), None))
    used = [step["uses"] for step in steps if "uses" in step]
    assert used == [
        "actions/checkout@v7",
        "actions/setup-python@v7",
        "actions/cache@v6",
        "actions/upload-artifact@v7",
    ]
    python = next(step["with"] for step in steps if "setup-python" in step.get("uses", ""))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = [
        line.rpartition(" ")[2]
        for line in project["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    ][-1]
    assert python["python-version"] == newest
    assert python["cache"] == "pip"


def test_the_workflow_of_this_repository_uses_the_same_actions() -> None:
    own = (ROOT / ".github" / "workflows" / "checks.yml").read_text()
    written = {
        step["uses"] for step in steps_of(workflow_text(PurePosixPath(), None)) if "uses" in step
    }
    used = re.findall(r"uses: (\S+)", own)
    assert used
    assert set(used) <= written


def test_workflows_of_two_folders_have_two_names() -> None:
    assert workflow_name(PurePosixPath()) == "netlet"
    assert workflow_name(PurePosixPath("week 6/cnn")) == "netlet-week_6-cnn"
