"""Read the rules of a budget from words like ``Conv2d >= 3``."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Sequence

from netlet.budgets.families import BY_WORD, FAMILIES, Family
from netlet.budgets.layer_names import find_kind, suggest_kind
from netlet.budgets.rules import (
    AfterRule,
    CountRule,
    DistanceRule,
    EndRule,
    FieldRule,
    HiddenRule,
    Place,
    Rule,
    Strictness,
    Term,
)
from netlet.errors import BudgetError

MAX_RULE_LENGTH = 200
_KERNEL = re.compile(
    r"(\d{1,3}(?:x\d{1,3}){0,2})(?: (?:convolutions?|convolutional|convs?|conv\dd|kernels?))?"
)
_CONVOLUTION_FIRST = re.compile(r"(?:convolutions?|convs?|conv\dd) (\d{1,3}(?:x\d{1,3}){1,2})")
# What may follow the word for a kind of layer.
_NOUN = re.compile(
    r"(.+)[\s_-](?:layers?|(?:activation )?functions?|activations?|operations?)", re.I
)
_EXACT = re.compile(r"(?:nn\.|torch\.nn\.|=)\s*([A-Za-z_]\w*)")
_WORD = re.compile(r"[A-Za-z_]\w*")
_HIDDEN = re.compile(
    r"hidden (.+)|(.+?) (?:before|except|but|other than) (?:in |as |the )*(?:last|final)\b.*", re.I
)
_AT_LEAST_ONE = re.compile(r"^(?:at least (?:1|one|an?)|>= ?1) ", re.I)
_SEPARATOR = re.compile(r"\s*\|\s*|\s*/\s*|\s*,\s*(?:or\s+)?|\s+or\s+", re.I)
_ENDS_WITH_OR = re.compile(r"[\s,]or\s[^,|/]*$", re.I)  # a list like 'Dropout, BatchNorm or GAP'
_COMPARISONS: tuple[tuple[str, Strictness, int], ...] = (
    # As written, what it means, and what is to be added to the number.
    (">=", "at least", 0),
    ("<=", "at most", 0),
    ("==", "exactly", 0),
    (">", "at least", 1),
    ("<", "at most", -1),
    ("=", "exactly", 0),
    ("at least", "at least", 0),
    ("at most", "at most", 0),
    ("exactly", "exactly", 0),
    ("more than", "at least", 1),
    ("above", "at least", 1),
    ("fewer than", "at most", -1),
    ("less than", "at most", -1),
    ("below", "at most", -1),
)
_COMPARISON = "|".join(re.escape(words) for words, _, _ in _COMPARISONS)
_NUMBER_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LIMIT_IN_WORDS = re.compile(
    rf"\b({'|'.join(words for words, _, _ in _COMPARISONS if words[0].isalpha())})"
    rf" ({'|'.join(_NUMBER_WORDS)})\b",
    re.I,
)
# A rule of this form, as far as its words say, and one that can be read.
_EXAMPLES = (
    (
        r"^(?:an? |the )?(?:receptive field|RF)\b",
        "receptive field at least 28 before the last layer",
    ),
    (r" before | away from ", "pooling at least 2 layers before the prediction"),
    (r" after ", "BatchNorm after each convolution"),
)
_SPACED_KERNEL = re.compile(r"(?<=\d) ?[x×] ?(?=\d)", re.I)
_NUMBER = r"(?P<number>\d{1,9})"
_LIMIT = rf"(?P<comparison>{_COMPARISON}) ?{_NUMBER}"


@functools.cache
def parse_rule(text: str) -> Rule:
    """Return a rule from its words; upper and lower case are alike.

    Raises:
        BudgetError: The words are not a rule; the message says which would be.
    """
    words = " ".join(text.split())
    if not words or len(words) > MAX_RULE_LENGTH:
        what = f"has {len(words)} characters" if words else "is empty"
        raise BudgetError(f"a rule {what}; write one like 'BatchNorm' or 'Conv2d >= 3'")
    if turned := re.search(r"=([<>])", words):
        meant = words.replace(turned[0], f"{turned[1]}=")
        raise BudgetError(f"rule {words!r}: {turned[0]!r} is not a comparison; write {meant!r}")
    read = _SPACED_KERNEL.sub("x", _LIMIT_IN_WORDS.sub(_write_digits, words))
    for form, parse in _FORMS:
        match = re.fullmatch(form, read, re.I)
        if match is not None:
            return parse(words, match)
    limits = re.search(rf"(?:{_COMPARISON})", re.sub(r"(?:^|[|/,] ?)=", "", words), re.I)
    for clue, example in _EXAMPLES:
        if re.search(clue, words, re.I):
            written = "a limit is written like" if limits else "write it like"
            raise BudgetError(f"rule {words!r}: {written} {example!r}")
    if limits:
        raise BudgetError(
            f"rule {words!r}: a limit is written like 'Conv2d >= 3', 'at most 1 Linear' or "
            "'receptive field at least 28 before the last layer'"
        )
    if re.search(r"\band\b|&|\+", words, re.I):
        raise BudgetError(f"rule {words!r} joins two rules; write them as two")
    return CountRule(words, parse_terms(read), "at least", 1)


def _write_digits(match: re.Match[str]) -> str:
    return f"{match[1]} {_NUMBER_WORDS.index(match[2].lower()) + 1}"


def forbid(text: str) -> CountRule:
    """Return the rule that forbids a kind of layer.

    Raises:
        BudgetError: The words are not a kind of layer.
    """
    return CountRule(f"no {text}", parse_terms(text, negated=True), "at most", 0)


@functools.cache
def parse_terms(text: str, *, negated: bool = False) -> tuple[Term, ...]:
    """Return the words of a rule of which any will do: ``GAP | Linear``.

    Args:
        text: The words.
        negated: Whether the rule forbids them, so that a comma has only one meaning.

    Raises:
        BudgetError: A word is empty, or is not a word; or commas may mean all of them or any.
    """
    parts = [part.strip() for part in _SEPARATOR.split(text.strip())]
    terms = tuple(_parse_term(part, text) for part in parts)
    if "," in text and not negated and not _ENDS_WITH_OR.search(text):
        raise BudgetError(
            f"rule {text!r}: a comma may mean all of them or any; to require all, write a rule "
            "for each (a --require for each on the command line); to require any, write "
            f"{' | '.join(parts)!r}"
        )
    return terms


def is_layer_name(words: str) -> bool:
    """Return whether words are the name of a layer of torch.nn, perhaps of a family, too."""
    family = BY_WORD.get(words.lower())
    return words.isidentifier() and (family is None or family.layer)


def _parse_term(word: str, text: str) -> Term:
    word = re.sub(r"^(?:an?|any|the|one)\s+", "", word, flags=re.I)
    if not word:
        raise BudgetError(f"rule {text!r}: a word is missing; write one like 'GAP | Linear'")
    if exact := _EXACT.fullmatch(word):
        own = word.startswith("=")
        return Term(f"{'=' if own else 'nn.'}{exact[1]}", kind=exact[1], own=own)
    kernel = _KERNEL.fullmatch(_CONVOLUTION_FIRST.sub(r"\1", word.lower().replace("×", "x")))
    if kernel and "x" in kernel[1]:
        sizes = tuple(map(int, kernel[1].split("x")))
        return Term(f"{kernel[1]} convolution", kernel=sizes)
    kind = find_kind(word)
    if isinstance(kind, Family):
        return Term(kind.name, kind)
    if kind is not None:
        return Term(kind, kind=kind)
    if noun := _NOUN.fullmatch(word):
        return _parse_term(noun[1], text)
    if _WORD.fullmatch(word):
        return Term(word, kind=word)
    if re.search(r"\bparam", text, re.I):
        raise BudgetError(
            f"rule {text!r}: no rule limits the size of a single layer; forbid the layer, or limit "
            "the parameters of the whole net with params_below"
        )
    if hidden := _HIDDEN.fullmatch(word):
        kind = hidden[1] or hidden[2]
        raise BudgetError(
            f"rule {text!r}: a place is not a kind of layer; write 'no hidden {kind}' in requires"
        )
    names = ", ".join(family.name for family in FAMILIES)
    raise BudgetError(
        f"rule {text!r}: {word!r} is not a kind of layer; {suggest_kind(word)}"
        f"write a layer of torch.nn, such as 'Conv2d', or one of {names}"
    )


def _limit(match: re.Match[str], text: str) -> tuple[Strictness, int]:
    written = match["comparison"].lower()
    strictness, added = next((s, a) for words, s, a in _COMPARISONS if words == written)
    number = int(match["number"]) + added
    if number < 0:
        raise BudgetError(f"rule {text!r} can never hold; give a number of 1 or more")
    return strictness, number


def _parse_no(text: str, match: re.Match[str]) -> Rule:
    return CountRule(text, parse_terms(match["terms"], negated=True), "at most", 0)


def refuse_contradictions(rules: Sequence[Rule]) -> None:
    """Check that rules about the same kinds of layers or the same place can hold together.

    Raises:
        BudgetError: Two of them cannot, or all alternatives of one are forbidden.
    """
    limits = [rule for rule in rules if isinstance(rule, CountRule | FieldRule | DistanceRule)]
    for one, other in itertools.permutations(limits, 2):
        lower, upper = one.strictness != "at most", other.strictness != "at least"
        if _subject(one) == _subject(other) and lower and upper and one.number > other.number:
            raise BudgetError(f"{one.text!r} and {other.text!r} contradict each other; drop one")
    counts = [rule for rule in limits if isinstance(rule, CountRule)]
    forbidden = {term for rule in counts if _is_none(rule) for term in rule.terms}
    for rule in counts:
        if rule.strictness != "at most" and rule.number and forbidden.issuperset(rule.terms):
            raise BudgetError(f"all that would satisfy {rule.text!r} is forbidden; drop one")


def _subject(rule: CountRule | FieldRule | DistanceRule) -> object:
    """Return what a rule limits, so that rules on the same are equal."""
    return type(rule), rule.place if isinstance(rule, FieldRule) else frozenset(rule.terms)


def _is_none(rule: CountRule) -> bool:
    return rule.strictness != "at least" and rule.number == 0


def _parse_count(text: str, match: re.Match[str]) -> Rule:
    return CountRule(text, parse_terms(match["terms"]), *_limit(match, text))


def _parse_end(text: str, match: re.Match[str]) -> Rule:
    return EndRule(text, parse_terms(match["terms"], negated=True))


def _parse_hidden(text: str, match: re.Match[str]) -> Rule:
    return HiddenRule(text, parse_terms(match["terms"], negated=True))


def _parse_after(text: str, match: re.Match[str]) -> Rule:
    terms = _AT_LEAST_ONE.sub("", match["terms"])
    return AfterRule(text, parse_terms(terms), parse_terms(match["each"]))


def _parse_distance(text: str, match: re.Match[str]) -> Rule:
    return DistanceRule(text, parse_terms(match["terms"]), *_limit(match, text))


def _parse_field(text: str, match: re.Match[str]) -> Rule:
    place: Place = "at the output"
    if written := (match["place"] or "").lower():
        place = "before the last layer" if re.search("last|final", written) else "before GAP"
    strictness, number = _limit(match, text)
    return FieldRule(text, place, strictness, number)


_PREDICTION = r"(?:the )?(?:prediction|output|predictions)"
_LAST = r"(?:the )?(?:last|final) layer"
_GAP = r"(?:the )?(?:GAP|global[ -](?:average[ -]|avg[ -])?pool(?:ing)?)(?: layer)?"
# Patterns, which are compiled when the first rule is parsed, and what parses a rule of the form.
_FORMS: tuple[tuple[str, Callable[[str, re.Match[str]], Rule]], ...] = (
    (
        rf"(?:receptive field|RF)(?: of)?:? {_LIMIT}(?:x\d+)?(?: pixels| px)?"
        rf"(?P<place> before (?:{_LAST}|{_GAP})| at the output)?",
        _parse_field,
    ),
    (
        rf"(?P<terms>.+?),? {_LIMIT} layers? (?:before|from|away from) {_PREDICTION}",
        _parse_distance,
    ),
    (
        rf"(?:no|not|without) (?P<terms>.+) (?:right|directly|just) before {_PREDICTION}",
        _parse_end,
    ),
    (r"(?:no|not|without) hidden (?P<terms>.+)", _parse_hidden),
    (rf"(?:no|not|without) (?P<terms>.+) before {_LAST}", _parse_hidden),
    (r"(?P<terms>.+) after (?:each|every) (?P<each>.+)", _parse_after),
    (r"(?:no|not|without) (?P<terms>.+)", _parse_no),
    (rf"{_LIMIT} (?P<terms>.+)", _parse_count),
    (rf"(?P<terms>.+?) ?{_LIMIT}", _parse_count),
)
