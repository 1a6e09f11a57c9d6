"""The notebooks under examples/ run from the first cell to the last, and say where they live."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import netlet
from netlet import experiments, nets
from netlet.data import Dataset
from netlet.errors import NetError
from netlet.nets import weights_digest
from tools.notebooks import NOTEBOOKS, PLACEHOLDER, complete_notebook, find_repository

ROOT = Path(__file__).parent.parent
(STORY,) = NOTEBOOKS


def cells(path: Path, kind: str = "code") -> list[str]:
    notebook = json.loads(path.read_text())
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_valid_and_stored_without_outputs(path: Path) -> None:
    import nbformat

    assert path.read_text() == complete_notebook(path, find_repository()), "run python -m tools"
    nbformat.validate(nbformat.read(path, as_version=nbformat.NO_CONVERT))  # type: ignore[no-untyped-call]
    assert "](https://colab.research.google.com/github/" in cells(path, "markdown")[0]
    assert cells(path)[0].startswith("%pip install ")


def test_the_address_of_the_repository_stands_in_one_place(tmp_path: Path) -> None:
    known = tmp_path / "pyproject.toml"
    known.write_text(
        '[project]\nname = "x"\nurls = { Repository = "https://github.com/me/x.git" }\n'
    )
    assert find_repository(known) == "https://github.com/me/x"
    text = complete_notebook(STORY, "https://github.com/me/x")
    assert f"colab.research.google.com/github/me/x/blob/main/examples/{STORY.name})" in text
    assert (
        '%pip install --quiet \\"netlet[report] @ git+https://github.com/me/x\\" ipywidgets' in text
    )
    known.write_text('[project]\nname = "x"\n')
    assert find_repository(known) is None
    place = PLACEHOLDER.removeprefix("https://github.com/")
    for address in (None, "https://example.org/me/x"):  # Colab opens GitHub's only
        assert f"/github/{place}/blob/main/examples/" in complete_notebook(STORY, address)
    assert '%pip install --quiet \\"..[report]\\" ipywidgets' in complete_notebook(STORY, None)


def test_saved_outputs_are_removed(tmp_path: Path) -> None:
    notebook = json.loads(STORY.read_text())
    for cell in notebook["cells"]:
        cell["metadata"] = {"scrolled": True}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [{"output_type": "stream"}], "execution_count": 7}
    notebook["metadata"]["widgets"] = {"state": {}}
    (tmp_path / "examples").mkdir()
    copy = tmp_path / "examples" / STORY.name
    copy.write_text(json.dumps(notebook))
    assert complete_notebook(copy, find_repository()) == STORY.read_text()


def test_the_story_runs_on_a_few_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    # Imported before the function is replaced, since these modules keep what they have imported.
    for name in ("netlet.export.image_selection", "netlet.report.study_page"):
        importlib.import_module(name)
    few = netlet.data.make_scribble(120, 60)
    monkeypatch.setattr(netlet.data, "make_scribble", lambda **sizes: few)
    monkeypatch.setattr(netlet.export, "export_c", lambda *values, **options: None)  # compiles
    quick = netlet.recipes.QUICK.replace(backend="eager", precision="float32")
    monkeypatch.setattr(netlet.recipes, "QUICK", quick)
    monkeypatch.setattr(netlet.report, "study_page", lambda *values: None)  # draws for seconds
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells(STORY)[1:]:
        exec(compile(ast.parse(cell), STORY.name, "exec"), names)
    pyplot.close("all")
    assert names["run"].last_epoch.total == 60
    assert (tmp_path / "net.html").read_text(encoding="utf-8") == names["page"]


@pytest.mark.slow
def test_the_story_runs_in_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.delenv("CI", raising=False)  # where no bar is shown
    notebook = nbformat.read(STORY, as_version=4)  # type: ignore[no-untyped-call]
    notebook.cells = [c for c in notebook.cells if not c.source.startswith("%pip")]
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    outputs = [(cell.source, cell.outputs) for cell in notebook.cells if "outputs" in cell]
    kinds = [{kind for o in shown for kind in o.get("data", {})} for _, shown in outputs]
    text = "".join(o.get("text", "") for _, shown in outputs for o in shown)
    assert text.count("trained Net for 4 epochs in ") == 2
    assert text.count("budget my budget: PASS") == 2
    assert "application/vnd.jupyter.widget-view+json" in set().union(*kinds)
    for (source, _), shown in zip(outputs, kinds, strict=True):
        if "plot(" in source:
            assert "image/png" in shown, source
        else:
            assert "text/html" in shown, source
    plain = [o["data"]["text/plain"] for _, shown in outputs for o in shown if "data" in o]
    assert max(map(len, plain)) <= 500
    assert (tmp_path / "net.html").is_file()
    assert (tmp_path / "net-c" / "netlet.c").is_file()


def test_examples_of_the_page_on_notebooks_run() -> None:
    text = (ROOT / "docs" / "notebooks.md").read_text()
    blocks = re.findall(r"^```pycon\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    parser = doctest.DocTestParser()
    examples = parser.get_doctest("\n".join(blocks), {"netlet": netlet}, "notebooks", None, 0)
    assert examples.examples
    failures: list[str] = []
    doctest.DocTestRunner().run(examples, out=failures.append)
    assert not failures, "".join(failures)


def test_a_trained_net_is_made_of_its_run_and_of_no_other(blob_data: Dataset) -> None:
    recipe = netlet.Recipe(epochs=1, batch_size=60, mean=0.2, std=0.4, backend="eager")
    net = netlet.build(nets.swift, 0)
    run = netlet.fit(net, blob_data, recipe, budget=netlet.Budget(params_below=9))
    trained = experiments.TrainedNet.from_run(run, net)
    assert (trained.mean, trained.std, trained.shape) == (0.2, 0.4, blob_data.shape)
    assert trained.class_names == blob_data.class_names
    assert trained.budget == netlet.Budget(params_below=9)
    assert not trained.net.training
    netlet.fit(net, blob_data, recipe)  # trains the same net further
    assert weights_digest(trained.net) == run.weights_digest
    with pytest.raises(NetError, match="its weights are not those of the run Net, seed 0"):
        experiments.TrainedNet.from_run(run, net)
