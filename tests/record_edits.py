"""Single edits of records: seeded, so that a number gives the same edit again."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

Place = tuple[str | int, ...]

# What nothing else in the record determines: free text, times, and measurements that stand alone.
# An edit there may be accepted; what is shown then comes from the record as edited.
FREE_IN_ALL = (
    *("name", "net", "seed", "initial_weights_digest", "recipe.*", "data.name", "chosen_by*"),
    *("cost.weight_bytes", "cost.kinds*", "summary.net", "summary.notes*"),
    # Fields of layers that slide no window, and what only describes a layer.
    *("summary.rows.*.field*", "summary.rows.*.jump*", "summary.rows.*.shared"),
    *("summary.rows.*.kind", "summary.rows.*.name", "summary.rows.*.output*"),
    "receptive_field.rows.*.name",
    *("receptive_field.rows.*.p*", "receptive_field.rows.*.n_in*"),  # of rows without a layer
)
FREE_IN_RUN = (
    *FREE_IN_ALL,
    *("epochs.*.lr", "epochs.*.train_loss", "epochs.*.held_out_loss", "epochs.*.train.correct"),
    *("epochs.[0-3].held_out.correct", "train_score.correct", "times.total_s", "weights_digest"),
    *("mistakes.*.0", "mistakes.*.3", "calibration.*.4", "started_at", "resumed_after*"),
)
FREE_IN_STUDY = (
    *FREE_IN_ALL,
    *("environment*", "budget*", "lr_by_epoch*", "precision", "backend", "class_sizes*"),
    *("seeds.*.seed", "seeds.*.correct_by_epoch.[0-3]", "seeds.*.correct_by_epoch"),
    *("seeds.*.train_correct*", "seeds.*.train_losses*", "seeds.*.held_out_losses*"),
    *("seeds.*.train_s", "seeds.*.total_s", "seeds.*.weights_digest"),
    *("seeds.*.mistakes.*.?", "seeds.*.calibration.*.4"),
    *("summary.rows.?", "summary.rows.??"),  # those without parameters
)
# Two of them may change places: only the sum of seconds is determined, and nothing tells the order
# of layers that slide no window or cost the same.
FREE_SWAPS = (
    *("epochs.*.train_s", "epochs.*.score_s", "cost.spending.*", "summary.rows.?"),
    "summary.rows.??",
)
TEXTS = ("\x1b[31m", "\u202e", "\ud800", "é" * 3, "", "x" * 100_000, "<b>|`$(x)", "-1", "nan")


@dataclass(frozen=True)
class Edit:
    """A record with one edit.

    Attributes:
        what: The edit, in words.
        places: The fields that it changes.
        text: The new content of the file.
        same_number: Whether a number is only written otherwise: ``99.0`` for ``99``, as programs do
            that have one type of numbers.
        keeps_confusion: Whether two mistakes only exchange their labels or predictions, and agree
            in the other one. It is as if their images changed places.
    """

    what: str
    places: tuple[Place, ...]
    text: str
    same_number: bool = False
    keeps_confusion: bool = False

    def is_free(self, free: tuple[str, ...]) -> bool:
        """Return whether nothing else in the record determines what was edited."""
        if self.keeps_confusion:
            return True
        patterns = free if len(self.places) == 1 else (*free, *FREE_SWAPS)
        return bool(self.places) and all(
            any(fnmatchcase(".".join(map(str, place)), one) for one in patterns)
            for place in self.places
        )


def make_edits(record: dict[str, Any], number: int, seed: int) -> Iterator[Edit]:
    """Yield edits of a record, each of which changes it."""
    choose = random.Random(seed)
    leaves, containers = _list_places(record)
    whole, made = json.dumps(record), 0
    while made < number:
        kind = choose.choice(_KINDS)
        edit = kind(choose, copy.deepcopy(record), leaves, containers)
        if edit is not None and not _is_same(edit.text, whole):
            made += 1
            yield edit


def _is_same(text: str, other: str) -> bool:
    """Return whether two texts are equal as JSON, numbers as they are written."""
    return json.dumps(_normal(text)) == json.dumps(_normal(other))


def _normal(text: str) -> Any:
    try:
        pairs: Callable[[Any], Any] = lambda found: ["object", *map(list, found)]  # noqa: E731
        return json.loads(text, object_pairs_hook=pairs)
    except ValueError:
        return text


def _list_places(record: Any) -> tuple[list[Place], list[Place]]:
    leaves, containers = [], []
    left: list[tuple[Place, Any]] = [((), record)]
    while left:
        place, value = left.pop()
        if isinstance(value, dict | list):
            containers.append(place)
            items = value.items() if isinstance(value, dict) else enumerate(value)
            left += [((*place, key), inner) for key, inner in items]
        else:
            leaves.append(place)
    return leaves, containers


def _get(record: Any, place: Place) -> Any:
    for key in place:
        record = record[key]
    return record


def _pick(choose: random.Random, places: list[Place]) -> Place:
    """Choose the field first, so that long tables do not take all edits."""
    fields = sorted({place[0] for place in places if place}, key=str)
    field = choose.choice(fields)
    return choose.choice([place for place in places if place and place[0] == field])


def _set(record: Any, place: Place, value: Any, what: str) -> Edit:
    _get(record, place[:-1])[place[-1]] = value
    return Edit(f"{what} {'.'.join(map(str, place))} = {value!r:.60}", (place,), json.dumps(record))


def _retype(choose: random.Random, record: Any, leaves: list[Place], _: Any) -> Edit | None:
    place = _pick(choose, leaves)
    old = _get(record, place)
    others = [True, 0, 1, 1.5, "1", None, [], {}, [[]], str(old)]
    if isinstance(old, int):
        others.append(float(old))
    elif isinstance(old, float) and old.is_integer():
        others.append(int(old))
    new = choose.choice(others)
    edit = _set(record, place, new, "another type:")
    numbers = {type(old), type(new)} == {int, float}
    return replace(edit, same_number=numbers and old == new)


def _extreme(choose: random.Random, record: Any, leaves: list[Place], _: Any) -> Edit | None:
    place = _pick(choose, leaves)
    if not isinstance(_get(record, place), int | float):
        return None
    values = (float("nan"), float("inf"), -1, -0.5, 10**18, 10**30, 2**63, 1e300, -(10**9))
    return _set(record, place, choose.choice(values), "extreme:")


def _neighbor(choose: random.Random, record: Any, leaves: list[Place], _: Any) -> Edit | None:
    place = _pick(choose, leaves)
    old = _get(record, place)
    if isinstance(old, bool):
        return _set(record, place, not old, "neighbor:")
    if isinstance(old, int):
        return _set(record, place, old + choose.choice((-1, 1)), "neighbor:")
    if isinstance(old, float):
        return _set(record, place, old * choose.choice((0.99, 1.01)) + 0.001, "neighbor:")
    return None


def _text(choose: random.Random, record: Any, leaves: list[Place], _: Any) -> Edit | None:
    place = _pick(choose, leaves)
    old = _get(record, place)
    if not isinstance(old, str):
        return None
    return _set(record, place, choose.choice(("", old)) + choose.choice(TEXTS), "text:")


def _delete(
    choose: random.Random, record: Any, leaves: list[Place], containers: Any
) -> Edit | None:
    place = _pick(choose, leaves + containers)
    owner = _get(record, place[:-1])
    del owner[place[-1]]
    return Edit(f"deleted {place}", (place,), json.dumps(record))


def _add(choose: random.Random, record: Any, leaves: Any, containers: list[Place]) -> Edit | None:
    place = choose.choice(containers)
    owner, new = _get(record, place), choose.choice(("x", 0, None, [], [0, 0, 0, 0]))
    if isinstance(owner, dict):
        owner["extra"] = new
        return Edit(f"added a key to {place}", ((*place, "extra"),), json.dumps(record))
    owner.append(copy.deepcopy(owner[-1]) if owner and choose.random() < 0.5 else new)
    return Edit(f"added an item to {place}", ((*place, len(owner) - 1),), json.dumps(record))


def _double(choose: random.Random, record: Any, leaves: list[Place], _: Any) -> Edit | None:
    place = _pick(choose, leaves)
    key = place[-1]
    if not isinstance(key, str):
        return None
    owner = _get(record, place[:-1])
    value = json.dumps(owner[key])
    owner[key] = "DOUBLE"
    text = json.dumps(record).replace('"DOUBLE"', f"{value}, {json.dumps(key)}: {value}")
    return Edit(f"the key of {place} twice", (), text)


def _swap(choose: random.Random, record: Any, leaves: list[Place], _: Any) -> Edit | None:
    one, other = _pick(choose, leaves), _pick(choose, leaves)
    if choose.random() < 0.5:  # two numbers of one table
        other = choose.choice([place for place in leaves if place[0] == one[0]])
    a, b = _get(record, one), _get(record, other)
    if a == b:
        return None
    _get(record, one[:-1])[one[-1]], _get(record, other[:-1])[other[-1]] = b, a
    keeps = _is_of_mistake(one) and _is_of_mistake(other) and one[-1] == other[-1]
    if keeps:
        partner = 3 - int(one[-1])
        keeps = _get(record, (*one[:-1], partner)) == _get(record, (*other[:-1], partner))
    text = json.dumps(record)
    return Edit(f"swapped {one} and {other}", (one, other), text, keeps_confusion=keeps)


def _is_of_mistake(place: Place) -> bool:
    """Return whether a place of a run is the label or the prediction of a mistake."""
    return len(place) == 3 and place[0] == "mistakes" and place[-1] in (1, 2)


def _reorder(
    choose: random.Random, record: Any, leaves: Any, containers: list[Place]
) -> Edit | None:
    place = _pick(choose, containers)
    owner = _get(record, place)
    if not isinstance(owner, list) or len(owner) < 2:
        return None
    a, b = choose.sample(range(len(owner)), 2)
    if owner[a] == owner[b]:
        return None
    owner[a], owner[b] = owner[b], owner[a]
    return Edit(
        f"swapped items {a} and {b} of {place}", ((*place, a), (*place, b)), json.dumps(record)
    )


def _cut(choose: random.Random, record: Any, *_: Any) -> Edit | None:
    text = json.dumps(record)
    return Edit("cut short", (), text[: choose.randrange(len(text))])


_KINDS = (
    *(_retype, _extreme, _neighbor, _neighbor, _neighbor, _text, _delete, _add, _double),
    *(_swap, _swap, _reorder, _cut),
)
