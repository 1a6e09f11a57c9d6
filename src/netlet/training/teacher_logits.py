"""The logits of a teacher for the images that a student sees, as they are augmented.

They are kept in netlet's cache folder, a file for each epoch, in half precision: 1 MB for 50,000
images of 10 classes. Another training with the same seed, images and augmentation reads them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import torch

from netlet.backends import Backend, SoftTarget
from netlet.data import Split, cache_folder
from netlet.errors import TrainingError
from netlet.evaluation.evaluate import to_log_scores
from netlet.files import read_regular, write_atomic
from netlet.nets.outputs import extract_logits
from netlet.recipes import Recipe
from netlet.records import to_json_value
from netlet.training.bounded_folder import make_room
from netlet.training.teacher import Teacher

MAX_BYTES = 1 << 30  # of all logits that are kept; those that were used least recently go first
# What the images of an epoch depend on, besides the training images and the seed.
_OF_THE_IMAGES = (
    *("epochs", "batch_size", "augment", "augment_end", "augment_ramp_share", "mean", "std"),
)


class TeacherLogits:
    """Yields what a teacher says of the batches of a training, in order.

    Logits that were kept are used only if those of the first batch of the epoch have the same bits
    as now; so a change of the software or of the machine does not go unnoticed.

    Args:
        teacher: The teacher, on the device of the images.
        train: The training images.
        recipe: The recipe of the student.
        seed: The seed of the training.
        backend: The backend of the training, which may run the teacher faster, too.
        augmentation: How images are augmented, as records name it.
    """

    def __init__(
        self,
        teacher: Teacher,
        train: Split,
        recipe: Recipe,
        seed: int,
        backend: Backend,
        augmentation: str,
    ) -> None:
        self._net = backend.evaluation_net(teacher.net)
        self._recipe, self._images = recipe, len(train)
        stored = to_json_value(recipe)
        of_images = {name: stored.get(name) for name in _OF_THE_IMAGES}
        parts = [teacher.digest, teacher.images, seed, of_images, augmentation, backend.name]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        self._root = cache_folder() / "teacher_logits"
        self._folder = self._root / key
        self._path = self._folder
        self._kept: torch.Tensor | None = None
        self._computed: list[torch.Tensor] = []
        self._seen = 0

    def start_epoch(self, number: int) -> None:
        """Begin an epoch, counted from 1."""
        self._path = self._folder / f"{number}.npy"
        self._kept = _read(self._path, self._images)
        self._computed, self._seen = [], 0

    def read(self, images: torch.Tensor) -> SoftTarget:
        """Return what the teacher says of the next batch.

        Args:
            images: float32 ``N C H W``, as the student gets them.
        """
        logits = self._find(images)
        self._seen += len(images)
        if self._computed and self._seen == self._images:
            self._keep(torch.cat(self._computed))
        recipe = self._recipe
        soft = logits.to(images.device).float()
        return SoftTarget(soft, recipe.distill_weight, recipe.distill_temperature)

    def _find(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch in half precision, as they are kept."""
        if self._kept is not None:
            kept = self._kept[self._seen : self._seen + len(images)]
            if self._seen or torch.equal(kept, self._compute(images)):
                return kept
            self._kept = None
        computed = self._compute(images)
        self._computed.append(computed)
        return computed

    @torch.no_grad()
    def _compute(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of images, on the CPU in half precision.

        Raises:
            TrainingError: They are too large for it.
        """
        logits = to_log_scores(extract_logits(self._net(images)).float())
        half = (logits - logits.mean(1, keepdim=True)).half().cpu()
        if not bool(half.isfinite().all()):
            raise TrainingError(
                f"the teacher's logits are not finite in half precision: {self._recipe.teacher} "
                "has diverged; choose another teacher_recipe"
            )
        return half

    def _keep(self, logits: torch.Tensor) -> None:
        """Write the logits of an epoch, if there is room."""
        content = io.BytesIO()
        np.save(content, logits.numpy(), allow_pickle=False)
        if content.tell() * self._recipe.epochs > MAX_BYTES:
            return
        with contextlib.suppress(OSError):
            write_atomic(self._path, content.getvalue())
        make_room(self._root, MAX_BYTES, keep=self._folder)


def _read(path: Path, images: int) -> torch.Tensor | None:
    """Return the logits of an epoch, float16 ``images K``; None if they are not there whole."""
    try:
        size = path.stat().st_size
        content = read_regular(path, min(size + 1, MAX_BYTES), TrainingError)
        found = np.load(io.BytesIO(content), allow_pickle=False)
        os.utime(path.parent)  # they have been used
    except (TrainingError, OSError, ValueError, EOFError):
        return None
    if found.dtype != np.float16 or found.ndim != 2 or len(found) != images:
        return None
    return torch.from_numpy(found)
