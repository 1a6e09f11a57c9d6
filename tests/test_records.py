"""Records of earlier versions are read with exactly the values that they meant."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, make_seed_result, make_study

from netlet import budgets, catalog, nets, records
from netlet.errors import DamagedRecordError, RecordError
from netlet.recipes import Recipe, recipe_from_json
from netlet.records import CalibrationBin, Mistake, RunConfig, find_difference
from netlet.records.upgrade import (
    OLD_LAYER_NAMES,
    upgrade_config,
    upgrade_run,
    upgrade_study,
    upgrade_trial,
)

OLD = Path(__file__).parent / "fixtures" / "records"


def read(name: str) -> Any:
    return json.loads((OLD / name).read_text())


def rename_layers(table: Any) -> Any:
    """Return a table of swift in version 0.1 with today's layer names."""
    text = json.dumps(table)
    for old, new in OLD_LAYER_NAMES["swift"].items():
        text = text.replace(f'"{old}', f'"{new}')
    return json.loads(text)


def test_the_old_layer_names_lead_to_todays_nets() -> None:
    for name, renamed in OLD_LAYER_NAMES.items():
        layers = [layer for layer, _ in nets.build(nets.NETS[name].builder, 0).named_children()]
        assert [layer for layer in layers if layer != "head"] == list(renamed.values())


def test_a_run_with_schema_1_is_read() -> None:
    old, run = read("run_schema_1.json"), records.load_run(OLD / "run_schema_1.json")
    assert (old["schema"], run.schema) == (1, 5)
    assert run.cost == rename_layers(old["facts"])
    assert run.backend == old["step"] == "compiled"
    assert run.train_score.correct == old["train_clean"]["correct"]
    assert run.started_at == old["started"]
    assert run.initial_weights_digest == ""
    assert run.recipe["optimizer"] == old["recipe"]["optimiser"]
    assert run.recipe["batch_size"] == old["recipe"]["batch"]
    assert run.recipe["backend"] == old["recipe"]["step"]
    assert run.recipe["augment"] == [
        {**old["recipe"]["augment"][0], "elastic_px": 0.0, "elastic_points": 5}
    ]
    first = old["mistakes"][0]
    assert run.mistakes[0] == Mistake(
        first["index"], first["label"], first["predicted"], first["confidence"]
    )
    assert len(run.mistakes) == len(old["mistakes"])
    assert run.calibration[9] == CalibrationBin(*old["calibration"][9].values())
    assert run.verdict is not None
    assert [vars(rule) for rule in run.verdict.results] == [
        {key: value for key, value in rule.items() if key != "spenders"}
        | {"largest_layers": tuple(rule["spenders"]), "remedy": "", "message": "", "words": ""}
        for rule in old["verdict"]["rulings"]
    ]
    assert run.verdict.state == old["verdict"]["state"]
    unchanged = ("name", "net", "seed", "data", "weights_digest")
    assert all(getattr(run, name) == old[name] for name in unchanged)
    tables = ("summary", "receptive_field")
    assert all(getattr(run, name) == rename_layers(old[name]) for name in tables)
    assert [row["name"] for row in run.summary["rows"]][:5] == [
        "conv1.0",
        "conv1.1",
        "conv1.2",
        "pool1",
        "conv2.0",
    ]
    assert records.Run.from_json(run.to_json()) == run


def test_a_study_with_schema_2_is_read() -> None:
    old, found = read("study_schema_2.json"), records.load_study(OLD / "study_schema_2.json")
    (seed,), (old_seed,) = found.seeds, old["seeds"]
    assert (old["schema"], found.schema) == (2, 4)
    assert found.lr_by_epoch == tuple(old["lr"])
    assert found.budget == old["budget"] | {"name": "eight_k", "judged_on": "test"}
    assert seed.correct_by_epoch == tuple(old_seed["by_epoch"])
    assert seed.train_correct == old_seed["train_clean"]
    assert seed.train_correct_by_epoch == tuple(old_seed["train_by_epoch"])
    assert seed.train_losses == tuple(old_seed["train_loss"])
    assert seed.held_out_losses == tuple(old_seed["held_out_loss"])
    assert seed.mistakes == tuple(Mistake(*values) for values in old_seed["mistakes"])
    assert seed.calibration[9] == CalibrationBin(0.9, 1.0, *old_seed["calibration"][9])
    assert seed.weights_digest == old_seed["weights_digest"]


def test_the_configuration_in_an_old_checkpoint_is_read() -> None:
    old = read("checkpoint_config.json")
    config = RunConfig.from_dict(old, "checkpoint.pt")
    assert (config.net_source, config.data_folder) == (old["net_from"], old["folder"])
    assert config.data == {
        "name": "mnist",
        "digest": old["digest"],
        "shape": [1],
        "images": {"val": 5_000},
    }
    assert config.initial_weights_digest == "abc"
    assert recipe_from_json(config.recipe).batch_size == old["recipe"]["batch"]
    assert config.budget is not None
    assert budgets.budget_from_json(config.budget) == catalog.find_budget("document_001")
    assert RunConfig.from_dict(config.to_dict(), "checkpoint.pt") == config
    with pytest.raises(
        RecordError, match=r"checkpoint.pt: configuration: expected a value for 'recipe'"
    ):
        RunConfig.from_dict({"name": "x"}, "checkpoint.pt")


def test_old_trials_are_read() -> None:
    lines = [json.loads(line) for line in (OLD / "trials.jsonl").read_text().splitlines()]
    frontier, clock = map(upgrade_trial, lines)
    assert frontier["changes"]["batch_size"] == lines[0]["changes"]["batch"]
    assert (frontier["total"], frontier["train_correct"]) == (10_000, lines[0]["train_clean"])
    assert (frontier["backend"], clock["backend"]) == ("compiled", "eager")
    assert clock["batch_size"] == lines[1]["batch"]
    assert [line["state"] for line in (frontier, clock)] == ["finished"] * 2


@pytest.mark.parametrize(
    ("upgrade", "name"),
    [
        (upgrade_run, "run_schema_1.json"),
        (upgrade_study, "study_schema_2.json"),
        (upgrade_config, "checkpoint_config.json"),
    ],
)
def test_upgrading_twice_changes_nothing(upgrade: Any, name: str) -> None:
    once = upgrade(read(name))
    assert upgrade(once) == once


def test_every_record_in_results_is_of_this_release() -> None:
    root = Path(__file__).parents[1] / "results"
    for name in ("run.json", "study.json"):
        found = {json.loads(path.read_text())["schema"] for path in root.rglob(name)}
        assert found <= {3, 4, 5}, name


def test_a_record_with_schema_3_is_read_and_says_nothing_of_the_source_of_its_net() -> None:
    paths = (Path(__file__).parents[1] / "results").rglob("run.json")
    path, record = next(
        (path, record) for path in paths if (record := json.loads(path.read_text()))["schema"] == 3
    )
    assert not {"source_path", "source_digest"} & record.keys()
    run = records.load_run(path)
    assert (run.schema, run.source_path, run.source_digest) == (5, "", "")
    assert run.source_cell == 0
    newer = record | {"schema": 4, "source_cell": 1}
    with pytest.raises(DamagedRecordError, match="source_cell came with a later one"):
        records.Run.from_json(json.dumps(newer), "run.json")
    newer = record | {"schema": 3, "source_path": "", "source_digest": "0" * 64}
    with pytest.raises(DamagedRecordError, match="source_path came with a later one"):
        records.Run.from_json(json.dumps(newer), "run.json")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"name": "other"}, "name"),
        ({"net": "other"}, "net"),
        ({"recipe": records.to_json_value(Recipe(epochs=3))}, "recipe"),
        ({"budget": records.to_json_value(budgets.EIGHT_K)}, "budget"),
        ({"initial_weights_digest": "a"}, "initial weights"),
    ],
)
def test_two_configurations_differ_in(change: dict[str, object], what: str) -> None:
    assert (
        find_difference(
            make_study(make_seed_result(0, 990)), make_study(make_seed_result(1, 980), **change)
        )
        == what
    )
    one, other = make_study(make_seed_result(0, 990)), make_study(make_seed_result(1, 980))
    assert find_difference(one, other) is None
    renamed = {**other.recipe, "name": "quick (changed)"}  # as version 0.1 wrote it
    assert find_difference(one, dataclasses.replace(other, recipe=renamed)) is None


def test_find_study_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = records.find_study("swift")
    assert shipped.name == "swift"
    assert set(records.list_studies()) >= {"swift", "crest", "mnistnet_1"}
    records.save_study(
        make_study(make_seed_result(0, 990, verdict="")), tmp_path / "mine" / "study.json"
    )
    assert records.find_study(tmp_path / "mine") == records.find_study(
        tmp_path / "mine" / "study.json"
    )
    with pytest.raises(
        RecordError, match=r"no study 'swfit'; did you mean 'swift'\? name a folder"
    ):
        records.find_study("swfit")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match=r"holds neither study\.json nor run\.json"):
        records.find_study(tmp_path / "empty")
    # A folder of a study's name that holds no records is not meant.
    (tmp_path / "swift").mkdir()
    monkeypatch.chdir(tmp_path)
    assert records.find_study("swift") == shipped


def test_a_study_says_on_which_nodes_each_seed_was_trained(tmp_path: Path) -> None:
    run = records.load_run(ROOT / "results" / "swift-scribble-seed0")
    (stretch,) = run.stretches
    ends = ((2, "one"), (3, "two"), (5, "one"))  # the node of the epochs up to this one
    stretches = [
        dataclasses.replace(
            stretch,
            first_epoch=first,
            last_epoch=last,
            environment={**run.environment, "node": node, "cpu": "AMD EPYC"},
        )
        for first, (last, node) in zip((1, 3, 4), ends, strict=True)
    ]
    moved = dataclasses.replace(
        run,
        environment=stretches[-1].environment,
        stretches=tuple(stretches),
        resumed_after=(2, 3),
    )
    assert records.Run.from_json(moved.to_json(), "run") == moved
    study = records.Study.from_runs([moved])
    assert study.seeds[0].trained_on == (
        {"node": "one", "cpu": "AMD EPYC"},
        {"node": "two", "cpu": "AMD EPYC"},
    )
    records.save_study(study, tmp_path / "study.json")
    assert records.load_study(tmp_path) == study
    records.refuse_other_results(study, moved, tmp_path / "study.json", tmp_path / "run.json")
    with pytest.raises(DamagedRecordError, match="in trained_on of seed 0"):
        records.refuse_other_results(study, run, tmp_path / "study.json", tmp_path / "run.json")
    twice = json.loads(study.to_json())
    twice["seeds"][0]["trained_on"] *= 2
    (tmp_path / "study.json").write_text(json.dumps(twice))
    with pytest.raises(DamagedRecordError, match="has a machine twice in trained_on"):
        records.load_study(tmp_path)
    (local,) = records.Study.from_runs([run]).seeds
    assert local.trained_on == ({"node": "", "cpu": run.environment["cpu"]},)


def test_a_study_of_an_earlier_version_does_not_know_where_it_was_trained(tmp_path: Path) -> None:
    run = records.load_run(ROOT / "results" / "swift-scribble-seed0")
    known = records.Study.from_runs([run])
    (seed,) = known.seeds
    old = dataclasses.replace(known, seeds=(dataclasses.replace(seed, trained_on=()),))
    assert "trained_on" not in old.to_json()
    records.save_study(old, tmp_path / "study.json")
    assert records.load_study(tmp_path) == old
    records.refuse_other_results(old, run, tmp_path / "study.json", tmp_path / "run.json")
