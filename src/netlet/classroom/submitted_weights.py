"""Which weights of a submission are scored, and which normalization fits them."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import torch

from netlet.budgets import Score
from netlet.classroom.file_kinds import (
    RECORD,
    WEIGHTS_END,
    find_usual_name,
    is_pickle,
    is_weights,
)
from netlet.classroom.roster import Claim
from netlet.classroom.submitted_files import HAND_IN
from netlet.data import Split
from netlet.errors import GradingError
from netlet.evaluation import score_logits
from netlet.evaluation.normalization import COMMON, GOOD_PERCENT, TRAINED_PERCENT
from netlet.recipes import Recipe

# Enough to tell a normalization that fits from one that does not; all images would take as long
# again for each. Their order is random, so these are a random sample.
TRIED_IMAGES = 2_000
# The number with which torch.save began before it wrote zip files, in the pickle of it.
_OLD_FORMAT = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")


def find_weights(folder: Path, pattern: str | None) -> str | None:
    """Return the path of the submitted weights in the submission; None if there are none.

    Args:
        folder: The folder of the submission.
        pattern: A path, or a pattern of it like ``*.pt``; None: any. The only such file counts, of
            which there may be copies, or the only one in a folder ``hand-in``.

    Raises:
        GradingError: None matches the pattern, or nothing says which of several is meant.
    """
    files = [p for p in folder.rglob("*") if is_weights(p.name) and p.is_file()]
    if not pattern and not all(is_pickle(file.name) for file in files):
        files = [file for file in files if not is_pickle(file.name)]  # which may be other data
    elif not pattern and (saved := [file for file in files if _is_of_torch(file)]):
        files = saved
    # Of copies, the one beside the record of its run counts, which says how it was trained.
    files.sort(key=lambda file: (not (file.parent / RECORD).exists(), len(file.parts), file))
    names = [file.relative_to(folder).as_posix() for file in files]
    if pattern and (exact := _find_exact(names, pattern)):
        return exact
    if pattern:
        names = _match(names, pattern)
    if len(chosen := [name for name in names if Path(name).parent.name == HAND_IN]) == 1:
        return chosen[0]
    if not _are_copies([folder / name for name in names]):
        raise GradingError(
            f"{len(names)} files of weights ({', '.join(names[:5])}); name one in claim.toml, "
            f'like weights = "{names[0]}", or with --weights'
        )
    return names[0] if names else None


def _match(names: Sequence[str], pattern: str) -> list[str]:
    """Return the paths that match a pattern, in a folder inside, too.

    Raises:
        GradingError: There is none.
    """
    try:
        found = [
            name for name in names if Path(name).match(pattern) or Path(name).match(f"*/{pattern}")
        ]
    except ValueError:  # of "."
        found = []
    if not found:
        there = f"there are: {', '.join(names[:5])}" if names else "there are none"
        endings = "" if is_weights(pattern) else f"; {WEIGHTS_END}"
        raise GradingError(f"no weights {pattern[:200]!r}; {there}{endings}")
    return found


def _is_of_torch(file: Path) -> bool:
    """Return whether ``torch.save`` has written a file, and not ``pickle.dump``."""
    with file.open("rb") as stream:
        begin = stream.read(64)
    return begin.startswith(b"PK") or _OLD_FORMAT in begin


def _find_exact(names: Sequence[str], written: str) -> str | None:
    """Return the path that a student has written, whose ending may have had capitals."""
    path = PurePosixPath(written.removeprefix("./"))
    lower = path.with_name(find_usual_name(path.name)).as_posix() if path.name else ""
    return lower if lower in names else None


def _are_copies(files: Sequence[Path]) -> bool:
    """Return whether files have the same content."""
    return all(filecmp.cmp(files[0], file, shallow=False) for file in files[1:])


def choose_normalization(claim: Claim) -> Recipe:
    """Return a recipe with the mean and std of a claim, or the default where it has none."""
    used = Recipe()
    return Recipe(
        mean=used.mean if claim.mean is None else claim.mean,
        std=used.std if claim.std is None else claim.std,
    )


def list_other_normalizations(used: Recipe) -> list[tuple[float, float]]:
    """Return mean and std of each common normalization but the one that is used."""
    return [pair for pair in COMMON if pair != (used.mean, used.std)]


def suggest_normalization(
    score: Score,
    claim: Claim,
    tried: Sequence[torch.Tensor],
    split: Split,
    order: torch.Tensor,
) -> str:
    """Return in a sentence which normalization gives a net with a poor score clearly more.

    Args:
        score: The score that counts.
        claim: What the student says of the net, or netlet's own files in the submission.
        tried: The logits for the first images, ``N K`` for each normalization of
            :func:`list_other_normalizations`.
        split: The test images.
        order: The numbers of these images, int64, in the order of the logits.

    Returns:
        The sentence; empty if the score is good, no other normalization fits better, or the net
        is hardly trained.
    """
    used = choose_normalization(claim)
    if score.percent >= GOOD_PERCENT or not tried:
        return ""
    chosen = order[: len(tried[0])]
    images = Split(split.name, split.images[chosen], split.labels[chosen])
    scores = [score_logits(one, images, one.shape[1]).score for one in tried]
    found = zip(scores, list_other_normalizations(used), strict=True)
    best, (mean, std) = max(found, key=lambda pair: pair[0].correct)
    if best.interval()[0] <= score.interval()[1] or best.percent < TRAINED_PERCENT:
        return ""
    origin = "the default; none are claimed"
    if claim.mean is not None or claim.std is not None:
        origin = "as claimed or recorded"
    share = f" of {best.total:,} test images" if best.total < score.total else ""
    return (
        f"accuracy is {score.percent:.2f}% with mean {used.mean:g}, std {used.std:g} ({origin}), "
        f"but {best.percent:.2f}%{share} with mean {mean:g}, std {std:g}; if the net was trained "
        f"with these, write mean = {mean:g} and std = {std:g} in claim.toml"
    )
