"""Budgets in TOML files, so that a teacher writes one file for a class.

The keys are the names of the limits in :class:`~netlet.budgets.Budget`, and ``title``, ``judge``,
``requires``, ``forbids`` and ``messages``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from netlet.budgets.budget import COUNTS, PERCENTAGES, Budget
from netlet.budgets.dataset_names import explain_dataset
from netlet.budgets.kind_checks import describe_unknown_kind, may_be_class, unknown_kinds
from netlet.budgets.messages import check_text
from netlet.budgets.rule_parser import forbid, parse_rule
from netlet.errors import BudgetError
from netlet.files import safe_name
from netlet.toml_files import WrongValueError, check_keys, fail, read_toml, show_value

MAX_BYTES = 1 << 16
MAX_RULES = 200
_TEXTS = ("name", "title", "dataset", "judge")
_LISTS = ("requires", "forbids")
_LIMITS = (*COUNTS, *PERCENTAGES)
# "grade" is a table for the options of netlet grade, which class_file.py reads.
_KEYS = (*_TEXTS, *_LIMITS, *_LISTS, "messages", "grade")
EXAMPLE = "see 'netlet budget --template' for an example"
# What people write for a key, where spelling alone does not lead to it.
_MEANT = {
    "judged_on": "judge",
    "split": "judge",
    "require": "requires",
    "forbid": "forbids",
    "rules": "requires",
    "parameters": "params_below",
    "max_params": "params_below",
    "params": "params_below",
    **dict.fromkeys(("params_at_most", "parameters_at_most", "parameters_below"), "params_below"),
    "epochs": "epochs_at_most",
    "max_epochs": "epochs_at_most",
    "accuracy": "accuracy_at_least",
    "min_accuracy": "accuracy_at_least",
    "batch": "batch_size",
    "batchsize": "batch_size",
    "flash_below": "weight_bytes_below",
    "flash": "weight_bytes_below",
    "ram_below": "activation_bytes_below",
    "ram": "activation_bytes_below",
    "message": "messages",
    "about": "title",
}

TEMPLATE = """\
# A budget: limits on a net's cost, its accuracy and its layers. Leave out what you do not need.
# netlet check net.py:Net --budget class.toml

# name = "assignment-1"     # in verdicts; if left out, the name of this file
title = "Assignment: a small net for MNIST"
dataset = "mnist"           # that the accuracy is for
judge = "test"              # "val": judge images held out of the training split

params_below = 8_000        # fewer than 8,000 parameters
epochs_at_most = 15         # or epochs_below
accuracy_at_least = 99.4    # percent, after the last epoch; or accuracy_above
# batch_size = 128          # the recipe must use exactly this
# held_for_last = 3         # the accuracy after each of the last 3 epochs
# macs_below = 500_000      # multiply-adds for one image
# weight_bytes_below = 40_000
# activation_bytes_below = 65_536

# Rules on what the net consists of, however it is written.
requires = [
    "BatchNorm",
    "Dropout",
    "GAP | Linear",
    "Conv2d >= 3",
    "receptive field at least 20 before the last layer",
    "pooling at least 2 layers before the prediction",
    "no activation/norm/dropout right before the prediction",
]
forbids = ["bias"]

# What a student reads where a limit or a rule is missed.
[messages]
params_below = "Use fewer channels; a 1x1 convolution reduces the number of channels."
"GAP | Linear" = "End with a global average pooling, or with a linear layer."

# Options of netlet grade; other commands do not use them.
[grade]
points = 100                # for meeting every limit and rule; each is worth the same
# time_limit = 120          # seconds for each submission and seed
# net = "model.py:Net"      # where the net is in each submission; searched for if left out
# weights = "*.pt"          # which file holds the weights; the only such file if left out
# retrain = "quick"         # train every net by this recipe, instead of scoring its weights
# seeds = 3                 # to retrain with; the run of median accuracy counts; of two, the lower
# first_seed = 0            # the first of them

# Points for single limits, by their keys, and for single rules; instead of points above.
# [grade.points]
# total = 100               # the others share what is left of it
# accuracy_at_least = 50
# "GAP | Linear" = 10
"""


def is_budget_file(name: str) -> bool:
    """Return whether the name of a budget is the path of a file."""
    return name.lower().endswith(".toml")


def load_budget(path: Path | str) -> Budget:
    """Return the budget in a TOML file.

    Args:
        path: The path of the file. Without the key ``name``, its stem names the budget.

    Raises:
        BudgetError: There is no such file, it is not TOML, a key is unknown, a value is invalid, or
            two of them contradict each other. The message names the line.
    """
    path = Path(path)
    file = read_toml(path, MAX_BYTES, BudgetError, EXAMPLE)
    with file.naming_lines():
        return read_budget_table(file.values, safe_name(path.stem) or "budget")


def _explain_heading(values: Mapping[str, Any]) -> Callable[[str], str]:
    """Return what explains an unknown key, if it is the heading of a table of limits."""

    def explain(key: str) -> str:
        table = values[key]
        is_heading = isinstance(table, dict) and not table.keys().isdisjoint(_KEYS)
        return f"leave out the line [{key}], limits have no heading; " if is_heading else ""

    return explain


def read_budget_table(values: Mapping[str, Any], name: str) -> Budget:
    """Return the budget in a table of TOML.

    Args:
        values: The keys of a budget's file.
        name: The name of the budget, unless the table has one.

    Raises:
        WrongValueError: A key is unknown, a value is not valid, or two of them contradict each
            other.
    """
    check_keys(values, _KEYS, "a budget", meant=_MEANT, explain=_explain_heading(values))
    for key in _TEXTS:
        if key in values:
            _check_text(key, values[key])
    for key in _LISTS:
        _check_list(key, values.get(key, []))
    messages = values.get("messages", {})
    if not isinstance(messages, dict):
        fail(
            f"messages is {show_value(messages)}; write a table [messages] with a line like "
            'params_below = "Use fewer channels."',
            "messages",
        )
    if not isinstance(values.get("grade", {}), dict):
        fail(
            f"grade is {show_value(values['grade'])}; write a table [grade] with a line like "
            "points = 20",
            "grade",
        )
    for key in values.get("grade", {}):
        if key in _KEYS:  # TOML counts every line below [grade] to it, also a forgotten limit
            fail(f"{key} is below [grade]; move its line above the first [table]", "grade", key)
    if wrong := explain_dataset(values.get("dataset")):
        fail(wrong, "dataset")
    fields = {key: values[key] for key in _LIMITS if key in values}
    for key, value in fields.items():
        _check_number(key, value)
    split = _read_split(values.get("judge", "test"))
    try:
        budget = Budget(
            name=values.get("name", name),
            title=values.get("title", ""),
            dataset=values.get("dataset"),
            requires=tuple(values.get("requires", [])),
            forbids=tuple(values.get("forbids", [])),
            judged_on=split,  # type: ignore[arg-type]
            messages=messages,
            **fields,
        )
    except BudgetError as error:
        message = re.sub(r"^budget .*?: ", "", str(error), count=1)
        raise _locate(message, values) from error
    _refuse_slips(budget)
    if not fields and not budget.rules():
        fail("the budget limits nothing; add a limit such as params_below = 8_000")
    return budget


def _refuse_slips(budget: Budget) -> None:
    """Refuse words for layers that do not exist, unless they may be classes of somebody's net."""
    for key, parse in (("forbids", forbid), ("requires", parse_rule)):
        for words in getattr(budget, key):
            for term in unknown_kinds([parse(words)]):
                if not may_be_class(term):
                    fail(describe_unknown_kind(term.kind), key, quoted=words)


def _locate(message: str, values: Mapping[str, Any]) -> WrongValueError:
    """Return the error of a budget as one of the key or the rule that its message names."""
    quoted = re.findall(r"'([^']+)'", message)[:1]
    words = quoted + re.findall(r"\b(\w+)(?==| is | and | has )", message)
    messages = values.get("messages", {})
    if "message" in message.partition("'")[0]:
        for word in words:
            if word in messages:
                return WrongValueError(message, "messages", word)
    for word in words:
        if word in values:
            return WrongValueError(message, word)
    rules = [(key, rule) for key in _LISTS for rule in values.get(key, [])]
    for clean in (str, lambda text: " ".join(text.split()).lower()):
        for word in words:
            for key, rule in rules:
                if clean(word) == clean(rule):
                    return WrongValueError(message, key, quoted=rule)
    return WrongValueError(message)


def _read_split(split: str) -> str:
    if split not in ("test", "val"):
        fail(f'judge is {split!r}; write "test" or "val"', "judge")
    return split


def _check_text(key: str, text: object) -> None:
    try:
        check_text(key, text)
    except BudgetError as error:
        fail(str(error), key)
    if not str(text).strip():
        fail(f"{key} is empty; write a text, or leave the key out", key)


def _check_number(key: str, value: object) -> None:
    expected = "a whole number like 8_000" if key in COUNTS else "a percentage like 99.4"
    if isinstance(value, bool) or not isinstance(value, int | float):
        fail(f"{key} is {show_value(value)}; write {expected}", key)
    if value != value or abs(value) >= 2**63:
        fail(f"{key} is {value}; write {expected}", key)


def _check_list(key: str, rules: object) -> None:
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        fail(f'{key} is {show_value(rules)}; write a list of texts like ["BatchNorm"]', key)
    if len(rules) > MAX_RULES:
        fail(f"{key} has {len(rules):,} rules; write at most {MAX_RULES}", key)
    if twice := [rule for at, rule in enumerate(rules) if rule in rules[:at]]:
        fail(f"{key} has {twice[0]!r} twice; drop one", key, quoted=twice[0])


def to_toml(budget: Budget) -> str:
    """Return a budget as the content of a TOML file, which :func:`load_budget` reads back."""
    lines = [f"name = {quote_toml(budget.name)}"]
    texts = {"title": budget.title or budget.about, "dataset": budget.dataset}
    lines += [f"{key} = {quote_toml(value)}" for key, value in texts.items() if value]
    lines.append(f"judge = {quote_toml(budget.judged_on)}")
    limits = ((key, getattr(budget, key)) for key in _LIMITS)
    lines += [f"{key} = {value:_}" for key, value in limits if value is not None]
    for key in _LISTS:
        if rules := getattr(budget, key):
            lines += [f"{key} = [", *(f"    {quote_toml(rule)}," for rule in rules), "]"]
    if messages := dict(budget.messages):
        lines += ["", "[messages]"]
        lines += [f"{quote_toml(rule)} = {quote_toml(text)}" for rule, text in messages.items()]
    return "\n".join(lines) + "\n"


def quote_toml(text: str) -> str:
    """Return a text as a string of TOML."""
    # The escapes of JSON are among those of TOML, except for characters beyond 16 bits.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
