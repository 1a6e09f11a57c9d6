"""Choose images by their labels: in the proportions of the classes, or as one of several folds."""

from __future__ import annotations

import torch


def choose_stratified(labels: torch.Tensor, images: int, seed: int) -> torch.Tensor:
    """Return the indices of some images, in the proportions of the classes.

    Args:
        labels: The labels of all images, int64 ``N``.
        images: How many to choose.
        seed: The seed of the choice.
    """
    shuffled = _shuffle(labels, seed)
    labels = labels.cpu()[shuffled]
    shares = _allocate_shares(torch.bincount(labels), images)
    return torch.cat([shuffled[labels == k][:share] for k, share in enumerate(shares.tolist())])


def choose_fold(labels: torch.Tensor, fold: int, folds: int, seed: int) -> torch.Tensor:
    """Return the indices of one of several disjoint parts of all images.

    Args:
        labels: The labels of all images, int64 ``N``.
        fold: The part, from 0 to ``folds - 1``.
        folds: The number of parts.
        seed: The seed of the parts.
    """
    shuffled = _shuffle(labels, seed)
    # Dealt class by class, like cards.
    return shuffled[labels.cpu()[shuffled].argsort(stable=True)][fold::folds]


def fewest_images(labels: torch.Tensor) -> int:
    """Return the number of images of the smallest class that has any; 0 without images."""
    counts = torch.bincount(labels)
    return min(counts[counts > 0].tolist(), default=0)


def _shuffle(labels: torch.Tensor, seed: int) -> torch.Tensor:
    """Return the indices of all images in a random order."""
    return torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))


def _allocate_shares(counts: torch.Tensor, images: int) -> torch.Tensor:
    """Divide ``images`` among classes in proportion to their counts, by largest remainders.

    Single images then move between classes until no share is empty and none is a whole class. A
    class without images gets none.
    """
    exact = counts.double() * images / counts.sum()
    shares = exact.floor().long()
    left = images - int(shares.sum())
    for k in (exact - shares).argsort(descending=True, stable=True)[:left]:
        shares[k] += 1
    for k in range(len(shares)):
        if shares[k] == 0 and counts[k]:
            shares[k] += 1
            shares[(shares - 1).clamp(min=0).argmax()] -= 1
        if shares[k] == counts[k] and counts[k] > 1:
            shares[k] -= 1
            shares[(counts - shares).argmax()] += 1
    return shares
