"""All records below a folder, seed by seed; there is no index on disk that could go stale, each call reads anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from netlet import records
from netlet.errors import RecordError
from netlet.records.study import STUDY, Study


@dataclass(frozen=True)
class SeedRecord:
    """One seed, as a line of a list has it."""

    path: Path  # the run's folder, or that of the study whose record has the seed
    study: Study  # of this seed alone

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Plain values, the same for a run and for a seed of a study."""
        study, seed = self.study, self.study.seeds[0]
        return {
            "name": study.name,
            "net": study.net,
            "data": study.data["name"],
            "seed": seed.seed,
            "parameters": study.cost["parameters"],
            "epochs": study.epochs,
            "recipe": study.recipe["name"],
            "split": study.split,
            "last_percent": 100 * seed.correct / study.total,
            "best_percent": 100 * max(seed.correct_by_epoch) / study.total,
            "train_percent": 100 * seed.train_correct / study.train_total,
            "train_s": seed.train_s,
            "weights_digest": seed.weights_digest,
            "verdict": seed.verdict or None,
            "budget": study.budget["name"] if study.budget else None,
            "path": str(self.path),
        }


def collect_seed_records(root: Path) -> tuple[list[SeedRecord], list[str]]:
    """The seeds of all runs and studies below a folder, by path; and what is wrong with records that cannot be read.

    A study's seed whose run lies beside its record is listed once, as the run.

    Raises:
        RecordError: There is no such folder.
    """
    entries, troubles = [], []
    listed: set[tuple[Path, int]] = set()
    for path in records.find_runs(root):
        try:
            study = Study.from_runs([records.load_run(path)])
        except RecordError as error:  # one bad record must not hide the others
            troubles.append(str(error))
            continue
        entries.append(SeedRecord(path.parent, study))
        listed.add((path.parent.parent, study.seeds[0].seed))
    for path in sorted(root.rglob(STUDY)):
        try:
            study = records.load_study(path)
        except RecordError as error:
            troubles.append(str(error))
            continue
        entries += [
            SeedRecord(path.parent, study.select_seeds([seed.seed]))
            for seed in study.seeds
            if (path.parent, seed.seed) not in listed
        ]
    return sorted(entries, key=lambda entry: (str(entry.path), entry.study.seeds[0].seed)), troubles


def group_into_studies(entries: Iterable[SeedRecord]) -> tuple[list[Study], list[str]]:
    """Seeds of one experiment on the same images as one study; and why some could not be joined."""
    found: dict[tuple[str, ...], Study] = {}
    troubles = []
    for entry in entries:
        study = entry.study
        images = (study.data["digest"], study.split, str(study.total))
        key = (
            study.name,
            study.net_digest,
            str(sorted(study.recipe.items(), key=str)),
            str(study.budget),
            *images,
        )
        try:
            found[key] = found[key].merge(study) if key in found else study
        except RecordError as error:
            troubles.append(f"{entry.path}: {error}")
    return list(found.values()), troubles
