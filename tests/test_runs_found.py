"""What ``netlet runs`` finds: the nearest folders of a whole disk, and the sound seeds of a study."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
from helpers import ROOT, Netlet, linux_only

from netlet import records
from netlet.records import RECORD, STUDY, folder_search

REAL = records.load_study(ROOT / "results" / "studies" / "swift")


def rows_of(out: str) -> list[str]:
    return [line for line in out.splitlines() if " finished " in line]


def write_seeds(path: Path, *numbers: int) -> None:
    """Write a study whose seeds have these numbers and are sound."""
    path.parent.mkdir(parents=True)
    seeds = [dataclasses.replace(REAL.seeds[i], seed=n) for i, n in enumerate(numbers)]
    records.save_study(dataclasses.replace(REAL, seeds=tuple(seeds)), path)


@pytest.mark.parametrize(
    ("damage", "good", "words"),
    [
        ({1: {"correct": 3}}, [0, 2], ["seed 1 "]),
        ({0: {"correct": "many"}, 2: {"mistakes": None}}, [1], ["correct", "mistakes"]),
        ({1: {"seed": 0}}, [2], ["contains seed 0 twice"]),
        ({0: None}, [1, 2], ["seeds"]),
    ],
)
def test_sound_seeds_of_a_damaged_study_are_listed(
    netlet: Netlet,
    tmp_path: Path,
    damage: dict[int, dict[str, object] | None],
    good: list[int],
    words: list[str],
) -> None:
    path = tmp_path / "s" / STUDY
    write_seeds(path, 0, 1, 2)
    record = json.loads(path.read_text())
    for place, values in damage.items():
        record["seeds"][place] = None if values is None else record["seeds"][place] | values
    path.write_text(json.dumps(record))
    write_seeds(tmp_path / "other" / STUDY, 7)
    code, out, err = netlet("runs", ".", "--json")
    assert code == 1
    assert [run["seed"] for run in json.loads(out)["runs"]] == [7, *good]
    lines = err.splitlines()
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert line.startswith(f"netlet: s/{STUDY}: ")
        assert word in line


@pytest.mark.parametrize(
    "change", [{"total": 3}, {"seeds": []}, {"seeds": {}}, {"schema": 99}, {"data": None}]
)
def test_a_study_that_is_damaged_as_a_whole_is_named_once(
    netlet: Netlet, tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "s" / STUDY
    write_seeds(path, 0, 1, 2)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    code, out, err = netlet("runs", ".")
    assert code == 1
    assert not rows_of(out)
    assert len(err.splitlines()) == 1
    assert err.startswith(f"netlet: s/{STUDY}: ")


def test_seeds_in_another_order_are_listed_and_the_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s" / STUDY
    write_seeds(path, 0, 1)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"seeds": record["seeds"][::-1]}))
    study, problems = records.load_sound_seeds(path)
    assert study is not None
    assert [seed.seed for seed in study.seeds] == [0, 1]
    assert len(problems) == 1
    assert "increasing order" in problems[0]
    sound, problems = records.load_sound_seeds(write_sound(tmp_path))
    assert sound is not None
    assert not problems


def write_sound(folder: Path) -> Path:
    write_seeds(folder / "sound" / STUDY, 4)
    return folder / "sound" / STUDY


def test_only_the_nearest_folders_of_a_large_one_are_searched(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_seeds(tmp_path / "z" / STUDY, 1)
    write_seeds(tmp_path / "a" / "b" / "c" / STUDY, 2)
    found, note = records.search_folder(tmp_path, [STUDY, RECORD])
    assert found == {STUDY: [tmp_path / "a/b/c" / STUDY, tmp_path / "z" / STUDY], RECORD: []}
    assert not note
    monkeypatch.setattr(folder_search, "MAX_FOLDERS", 3)  # the folder itself, a and z
    code, out, err = netlet("runs", ".")
    assert code == 1
    assert len(rows_of(out)) == 1
    assert "z" in rows_of(out)[0].split()[-1]
    assert err == (
        "netlet: .: only the 3 nearest folders below it were searched; name a folder closer to "
        "your runs\n"
    )


@linux_only
def test_links_virtual_and_unreadable_folders_are_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_seeds(tmp_path / "real" / STUDY, 1)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone").mkdir()
    shutil.rmtree(tmp_path / "gone")
    assert records.search_folder(tmp_path, [STUDY])[0][STUDY] == [tmp_path / "real" / STUDY]
    monkeypatch.setattr(folder_search, "MAX_FOLDERS", 500)
    below = records.search_folder("/", ["status"])[0]["status"]
    assert not [path for path in below if os.fspath(path).startswith("/proc/")]


def test_damage_in_one_study_does_not_change_another(tmp_path: Path) -> None:
    path = tmp_path / "s" / STUDY
    write_seeds(path, 0, 1)
    sound, _ = records.load_sound_seeds(path)
    assert sound is not None
    assert dataclasses.asdict(sound) == dataclasses.asdict(records.load_study(path))
