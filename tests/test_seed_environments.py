"""A study whose seeds were trained in different environments says so, wherever it is shown."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from helpers import make_seed_result, make_study

from netlet import stats
from netlet.cli.run_rows import comparison_cells, comparison_rows
from netlet.errors import DamagedRecordError, NetletWarning
from netlet.experiments import unlike_seeds
from netlet.records import Study, load_study, save_study
from netlet.records.environments import find_differences
from netlet.report import study_page
from netlet.stats import SeedRecord

ROOT = Path(__file__).parent.parent
OURS: dict[str, Any] = {"sources": "a" * 12, "commit": "a" * 40, "threads": 1, "cores": 2}
OTHER = {"sources": "b" * 12, "commit": "b" * 40, "threads": 1, "cores": 4}


def make(seed: int, backend: str = "eager", **environment: Any) -> Study:
    """Return the study of one seed that was trained in some environment."""
    study = make_study(make_seed_result(seed, 990 + seed))
    own: Any = {**study.environment, **environment}
    return dataclasses.replace(study, environment=own, backend=backend)


def test_each_seed_has_in_what_its_environment_differs() -> None:
    parts = [make(0, **OURS), make(1, **OURS | {"cores": 8}), make(2, **OTHER)]
    study = parts[0].merge(parts[1]).merge(parts[2])
    assert study.environment == parts[0].environment
    changes = {"sources": "b" * 12, "commit": "b" * 40, "cores": 4}
    assert [seed.environment for seed in study.seeds] == [{}, {"cores": 8}, changes]
    for order in ((2, 1, 0), (1, 2, 0), (2, 0, 1)):
        first, *others = (parts[number] for number in order)
        for other in others:
            first = first.merge(other)
        assert first == study
    one, *others = (study.select_seeds([number]) for number in (2, 1, 0))
    assert one.environment["sources"] == "b" * 12
    assert one.seeds[0].environment == {}
    for other in others:
        one = one.merge(other)
    assert one.seeds == study.seeds


def test_how_threads_wait_is_no_difference() -> None:
    now = {"settings": {"GOMP_SPINCOUNT": "1000", "OMP_NUM_THREADS": "1", "MKL_CBWR": "AVX2"}}
    assert find_differences({"settings": {}}, now) == ["MKL_CBWR AVX2 instead of unset"]


def test_seeds_that_do_not_tell_the_background_are_of_the_same_study() -> None:
    before, now = make(0), make(1)
    now = dataclasses.replace(now, data={**now.data, "light_background": True})
    assert now.find_difference(before) is None
    assert before.merge(now).seeds == now.merge(before).seeds


def test_what_one_environment_lacks_is_kept_in_any_order() -> None:
    parts = [make(0, "compiled", compiler="cc"), make(1), make(2, "compiled", compiler="clang")]
    studies = []
    for order in ((0, 1, 2), (1, 2, 0), (2, 1, 0)):
        first, *others = (parts[number] for number in order)
        for other in others:
            first = first.merge(other)
        studies.append(first)
    assert studies[0] == studies[1] == studies[2]
    assert studies[0].seeds[1].environment == {"backend": "eager", "compiler": None}
    for number, part in enumerate(parts):
        assert studies[0].select_seeds([number]) == part
    assert stats.summarize_environments(studies[0]) == [
        "not trained alike: seed 1 with the eager backend instead of the compiled one",
        "not trained alike: seed 2 with compiler clang instead of cc",
    ]


def test_backend_and_precision_of_a_seed_are_kept() -> None:
    study = make(0, "compiled").merge(make(1, "eager"))
    assert (study.backend, study.seeds[1].environment) == ("compiled", {"backend": "eager"})
    assert study.select_seeds([1]).backend == "eager"
    assert stats.summarize_environments(study) == [
        "not trained alike: seed 1 with the eager backend instead of the compiled one"
    ]


def test_a_record_keeps_the_environments(tmp_path: Path) -> None:
    whole = load_study(ROOT / "results" / "studies" / "speck")
    assert '"environment": {}' not in whole.to_json()
    low, high = (seed.seed for seed in whole.seeds[:2])
    other: Any = {**whole.environment, "threads": 5}
    moved = dataclasses.replace(whole.select_seeds([high]), environment=other)
    study = whole.select_seeds([low]).merge(moved)
    save_study(study, tmp_path / "study.json")
    assert load_study(tmp_path) == study
    assert study.seeds[1].environment == {"threads": 5}
    for name, value in (
        ("threads", whole.environment["threads"]),
        ("threads", "many"),
        ("threads", None),
        ("numpy", 5),
        ("weather", None),
    ):
        values = json.loads(study.to_json())
        values["seeds"][1]["environment"] = {name: value}
        (tmp_path / "study.json").write_text(json.dumps(values))
        with pytest.raises(DamagedRecordError, match=rf"seed {high} has (no )?environment\.{name}"):
            load_study(tmp_path)


@pytest.mark.parametrize("name", ["node", "compiler", "cuda_fp32_precision", "sources", "cores"])
def test_a_record_of_seeds_of_which_one_lacks_something_is_read(tmp_path: Path, name: str) -> None:
    whole = load_study(ROOT / "results" / "studies" / "speck")
    first, second = (whole.select_seeds([seed.seed]) for seed in whole.seeds[:2])
    rest: Any = {key: value for key, value in whole.environment.items() if key != name}
    if name == "cores":  # the system may not know their number
        rest[name] = None
    value = ["tf32"] if name == "cuda_fp32_precision" else 4 if name == "cores" else "there"
    with_it: Any = {**rest, name: value}
    for one, other in ((with_it, rest), (rest, with_it)):
        study = dataclasses.replace(first, environment=one).merge(
            dataclasses.replace(second, environment=other)
        )
        save_study(study, tmp_path / "study.json")
        assert load_study(tmp_path) == study
        alone = study.select_seeds([second.seeds[0].seed])
        save_study(alone, tmp_path / "study.json")
        assert load_study(tmp_path).environment == other


def test_a_summary_a_page_and_a_comparison_say_what_differs() -> None:
    parts = [make(0, **OURS), make(1, **OTHER), make(2, **OTHER)]
    parts.append(make(3, **OURS | {"threads": 2}))
    study = parts[0].merge(parts[1]).merge(parts[2]).merge(parts[3])
    lines = [
        "not trained alike: seeds 1, 2 with another version of netlet's sources",
        "not trained alike: seed 3 with 2 threads instead of 1",
    ]
    text = stats.study_text(study).splitlines()
    assert text[-2:] == lines
    assert text[-3].endswith(" with 1 or 2 threads for each seed")
    page = study_page(study).markdown
    assert "1 or 2 threads for each run" in page
    assert all(line.replace("not ", "Not ", 1) + "." in page for line in lines)
    alike = dataclasses.replace(
        make_study(*study.seeds), seeds=tuple(make_seed_result(n, 990 + n) for n in range(4))
    )
    note = stats.compare(study, dataclasses.replace(alike, name="b", net="b")).training_note
    assert note == "trained differently (swift / b): environments of the seeds 3 / 1"


def test_data_sets_of_one_name_are_told_apart_by_their_digests() -> None:
    study = make(0)
    other = dataclasses.replace(study, data=study.data | {"digest": "e" * 64})
    mnist, digest = study.data["name"], study.data["digest"][:8]
    checksums = study.data["checksums"] | {"held out": "fold 0 of 5"}
    fold = dataclasses.replace(other, data=other.data | {"checksums": checksums})
    for studies, names in (
        ([study], [mnist]),
        ([study, other], [f"{mnist} ({digest})", f"{mnist} (eeeeeeee)"]),
        ([study, fold], [mnist, f"{mnist}, fold 0 of 5"]),
    ):
        rows, problems = comparison_rows([SeedRecord(Path("a"), one) for one in studies])
        assert not problems
        assert [row["outcome"] for row in rows] == ["best"] * len(studies)
        assert [cells[2] for cells in comparison_cells(rows)[1]] == names
        assert [row["data_digest"][:8] for row in rows] == [digest, "eeeeeeee"][: len(rows)]


def test_a_study_that_goes_on_elsewhere_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    finished = {0: make(0, **OURS), 1: make(1, **OURS), 2: make(2, **OTHER)}
    now = {**finished[0].environment, **OURS, "settings": {"OMP_NUM_THREADS": "1"}}
    monkeypatch.setattr(unlike_seeds, "describe_environment", lambda _: now)
    other = "study: the other seeds train with 2 threads instead of 1"
    with pytest.warns(NetletWarning) as caught:
        unlike_seeds.warn_of_other_environment(2, finished, Path("study"), here=True)
    said = [str(one.message) for one in caught]
    assert [text.partition("; to train all")[0] for text in said] == [
        f"{other}, unlike seeds 0, 1, as the record will say",
        f"{other}, another version of netlet's sources, unlike seed 2, as the record will say",
    ]
    del finished[2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unlike_seeds.warn_of_other_environment(2, finished, Path("study"), here=False)
