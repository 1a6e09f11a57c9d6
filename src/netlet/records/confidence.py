"""How a net's confidence was calibrated, and the file that keeps it beside the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from netlet.display import Displayed
from netlet.errors import DamagedRecordError
from netlet.records.json_file import load_json, shorten
from netlet.records.schema import STRICT, check_values, refuse_contradictions
from netlet.text import dump_json

CONFIDENCE = "confidence.json"
CONFIDENCE_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Confidence(Displayed):
    """The calibration of one net's confidence, for exactly these weights and this normalization."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = STRICT

    weights_digest: str
    mean: float  # of gray levels 0..1; subtracted from the input
    std: float
    detector_digest: str  # of the weights of the digit detector; empty: it is not used
    data: str  # the data set that the images are from
    data_digest: str
    split: str  # "val", or "train" if nothing was held out of the images that the net has seen
    images: int
    unsure_images: int
    non_digits: int
    unsure_non_digits: int
    temperature: float  # the logits are divided by it
    threshold: float  # the net is unsure below this confidence
    schema: int = CONFIDENCE_SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as JSON stores it."""
        values = dataclasses.asdict(self)
        return {"schema": values.pop("schema"), **values}

    def to_json(self) -> str:
        """Return one JSON object; :func:`load_confidence` restores an equal calibration from it."""
        return dump_json(self.to_dict(), indent=1) + "\n"

    @property
    def source(self) -> str:
        """The images it was calibrated on, in words."""
        others = f" and {self.non_digits:,} non-digits" if self.non_digits else ""
        return f"{self.images:,} images of {self.data} {self.split}{others}"


def load_confidence(path: Path) -> Confidence:
    """Load the calibration in a file.

    Raises:
        DamagedRecordError: The file is missing or broken, or another version wrote it.
    """
    values = load_json(path, "the calibration of a net's confidence")
    if not isinstance(values, dict) or values.get("schema") != CONFIDENCE_SCHEMA:
        found = values.get("schema") if isinstance(values, dict) else values
        raise DamagedRecordError(
            f"{path}: expected schema {CONFIDENCE_SCHEMA}, found {shorten(found)}; delete the file"
        )
    confidence: Confidence = check_values(Confidence, values, path)
    refuse_contradictions(_find_contradictions(confidence), path)
    return confidence


def _find_contradictions(confidence: Confidence) -> Iterator[str]:
    if not (confidence.temperature > 0 and confidence.std > 0):
        yield "temperature and std must be above 0"
    if confidence.threshold > 1:
        yield f"the threshold is {confidence.threshold}, but a confidence at most 1"
    if confidence.unsure_images > confidence.images:
        yield "more images are unsure than there are"
    if confidence.unsure_non_digits > confidence.non_digits:
        yield "more non-digits are unsure than there are"
