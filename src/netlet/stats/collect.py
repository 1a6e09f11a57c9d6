"""All runs and studies below a folder, one entry for each seed.

Each call reads the records anew; there is no index on disk that could become stale.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from netlet import records
from netlet.display import Displayed
from netlet.errors import RecordError
from netlet.records.other_results import refuse_other_results
from netlet.records.run import RECORD, Run
from netlet.records.study import STUDY, Study
from netlet.stats.frontier import PUBLISHED_POINTS, Frontier, measured_points, sort_by_size


@dataclass(frozen=True)
class LocatedStudy(Displayed):
    """A study, and where the records of its seeds are."""

    study: Study
    places: tuple[Path, ...]  # folders of runs, or of studies


@dataclass(frozen=True)
class SeedRecord(Displayed):
    """One seed of a run or study."""

    path: Path  # the run's folder, or the folder of the study that records the seed
    study: Study  # with this seed only

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Return values for JSON, the same for a run and for a seed of a study."""
        study, seed = self.study, self.study.seeds[0]
        return {
            "name": study.name,
            "net": study.net,
            "data": study.data["name"],
            "seed": seed.seed,
            "parameters": study.cost["parameters"],
            "epochs": study.total_epochs,
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
    """Read the seeds of all runs and studies below a folder.

    A seed that has a run folder beside its study's record is listed once, as the run.

    Returns:
        The seeds, sorted by path, and an error message for each record, or seed of a study, that
        cannot be read, and if the folder is too large to be searched.

    Raises:
        RecordError: The folder does not exist.
    """
    entries: list[SeedRecord] = []
    problems: list[str] = []
    listed: dict[tuple[Path, int], tuple[Run, Path]] = {}
    paths, note = records.search_folder(root, [RECORD, STUDY])
    problems += [note] if note else []
    for path in paths[RECORD]:
        try:
            run = records.load_run(path)
            study = Study.from_runs([run])
        except RecordError as error:  # one damaged record must not hide the others
            problems.append(str(error))
            continue
        entries.append(SeedRecord(path.parent, study))
        listed[path.parent.parent, run.seed] = run, path
    for path in paths[STUDY]:
        sound, more = records.load_sound_seeds(path)
        problems += more
        if sound is None:
            continue
        for (folder, _), (run, place) in listed.items():
            if folder == path.parent:
                problems += _compare_with_run(sound, run, path, place)
        entries += [
            SeedRecord(path.parent, sound.select_seeds([seed.seed]))
            for seed in sound.seeds
            if (path.parent, seed.seed) not in listed
        ]
    return sorted(entries, key=lambda entry: (str(entry.path), entry.study.seeds[0].seed)), problems


def load_frontier(*folders: Path | str, published: bool = True) -> Frontier:
    """Return the frontier: recorded studies, and nets that others have published.

    Args:
        folders: Folders with studies; without any, the studies that come with netlet.
        published: Whether published nets are among the points.

    Raises:
        RecordError: A folder does not exist, or a record is damaged.
    """
    found = [collect_seed_records(Path(f)) for f in folders or [records.shipped_studies_folder()]]
    studies, others = group_into_studies(seed for seeds, _ in found for seed in seeds)
    for problem in [*(problem for _, problems in found for problem in problems), *others]:
        raise RecordError(problem)
    measured = measured_points(*split_places(studies))
    return sort_by_size([*measured, *(PUBLISHED_POINTS if published else ())])


def _compare_with_run(study: Study, run: Run, path: Path, place: Path) -> list[str]:
    """Return an error message if a study and one of its runs contradict each other."""
    try:
        refuse_other_results(study, run, path, place)
    except RecordError as error:
        return [str(error)]
    return []


def group_into_studies(
    entries: Iterable[SeedRecord],
) -> tuple[list[LocatedStudy], list[str]]:
    """Merge the seeds of each experiment into one study.

    Args:
        entries: Single seeds, or studies of several.

    Returns:
        The studies, and an error message for each seed that contradicts the others.
    """
    found: list[LocatedStudy] = []
    by_key: dict[tuple[str, ...], list[int]] = {}  # numbers of studies that may be the same one
    problems = []
    for entry in entries:
        study = entry.study
        # Recipes of two names are told apart here, even if they train alike.
        key = (study.name, study.net_digest, study.recipe["name"], study.data["digest"])
        numbers = by_key.setdefault(key, [])
        same = next((n for n in numbers if not found[n].study.find_difference(study)), None)
        if same is None:
            numbers.append(len(found))
            found.append(LocatedStudy(study, (entry.path,)))
            continue
        try:
            merged = found[same].study.merge(study)
        except RecordError as error:
            problems.append(f"{entry.path}: {error}")
        else:
            places = dict.fromkeys([*found[same].places, entry.path])
            found[same] = LocatedStudy(merged, tuple(places))
    return found, problems


def split_places(found: Iterable[LocatedStudy]) -> tuple[list[Study], list[tuple[Path, ...]]]:
    """Return studies, and the places of each."""
    pairs = [(one.study, one.places) for one in found]
    return [study for study, _ in pairs], [places for _, places in pairs]
