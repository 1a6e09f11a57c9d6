"""Find the net of a submission: the one that was named, or the only one with the right outputs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from netlet.classroom.candidates import (
    Candidates,
    file_of,
    leave_out_copies,
    list_candidates,
    list_parts,
)
from netlet.classroom.code_uses import CodeUses
from netlet.classroom.failed_nets import describe_others, explain_parts
from netlet.classroom.file_kinds import HAND_IN_CODE, NO_SOURCES
from netlet.classroom.fitting_nets import FittingNets
from netlet.classroom.named_net import find_named_net, list_sources
from netlet.classroom.net_families import Families, read_families
from netlet.classroom.same_code import leave_out_same
from netlet.classroom.working_folder import working_folder
from netlet.errors import NetError
from netlet.experiments.sandbox import NetAnalysis, SameProcess
from netlet.nets.addresses import ALL_NEED_ARGUMENTS, list_other_definitions
from netlet.nets.code_imports import UNREADABLE
from netlet.nets.net_names import list_inner_nets
from netlet.nets.sources import read_source
from netlet.nets.unaffected_nets import drop_remedy

MOST_CANDIDATES = 40  # nets of a submission that are tried
_NAME_IT = "name it in claim.toml, or with --net"


@dataclass(frozen=True)
class FoundNet:
    """The net of a submission.

    Attributes:
        address: Its address, absolute.
        analysis: What is known of it.
        fitting: Which nets of the submission the weights fit.
        note: Why it is graded, and not the net that it is a part of, one that is the same or one
            that does not run; empty if there is none.
        has_variants: Whether the code builds nets of its class with other arguments.
    """

    address: str
    analysis: NetAnalysis
    fitting: FittingNets
    note: str = ""
    has_variants: bool = False


def find_net(
    folder: Path,
    pattern: str | None,
    shape: tuple[int, ...],
    classes: int,
    weights: str | None = None,
) -> FoundNet:
    """Return the net of a submission.

    If no net of a file runs, those that it is made of are tried, the outermost first.

    Args:
        folder: The folder of the submission.
        pattern: What student or teacher has named; None: any net.
        shape: The shape of one image, ``C H W``.
        classes: The number of classes.
        weights: The path of the weights in the submission; None if there are none.

    Raises:
        NetError: There is none or there are several, or it does not run.
    """
    search = _Search(folder, shape, classes, weights)
    if not pattern:
        files = list_sources(folder)
        if not files:
            raise NetError(NO_SOURCES + HAND_IN_CODE)
        search.read = list_candidates(folder)
        search.families = read_families(files, folder)
        return search.run(search.read.addresses)
    address = find_named_net(folder, pattern)
    name = address.rpartition(":")[2]
    if pattern == name or pattern.endswith(f":{name}"):
        search.families = read_families(list_sources(folder), folder)
        return search.analyze_named(address)
    return search.run([address])  # the file alone was named


@dataclass
class _Search:
    """A search for the net, and why others are not the one.

    Attributes:
        folder: The folder of the submission, which messages leave out.
        shape: The shape of one image, ``C H W``.
        classes: The number of classes.
        weights: The path of the weights in the submission; None if there are none.
        read: What may be the net, and what may not, by the text of the files.
        families: Which nets are built of which classes, by the text of the files.
        failed: Why nets do not run, by their addresses.
        problems: Of nets with other outputs, by their addresses.
        left_out: The addresses of nets that are not tried, since there are too many.
    """

    folder: Path
    shape: tuple[int, ...]
    classes: int
    weights: str | None
    read: Candidates = field(default_factory=Candidates)
    families: Families = field(default_factory=Families)
    failed: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def analyze_named(self, address: str) -> FoundNet:
        """Return the net with this address.

        Raises:
            NetError: It does not run, or has other outputs.
        """
        analysis = self._analyze(address)
        if analysis.outputs != self.classes:
            raise NetError(self._describe_outputs(address, analysis))
        variants = self.families.list_variants(address, weights=bool(self.weights))
        return FoundNet(address, analysis, self._fitting, has_variants=bool(variants))

    def run(self, candidates: Sequence[str]) -> FoundNet:
        """Return the only one of some nets that has the right outputs, or of their parts.

        Raises:
            NetError: There is none or there are several.
        """
        found, failed, why = self._try(self._limit(candidates)), self.failed, ""
        if not (found := found or self._try(self._limit(self.read.fallbacks))):
            found, failed, why = self._try_others()
        parts = list_parts(found)
        found = {address: found[address] for address in found if address not in parts}
        different = leave_out_same(
            found, self.families.holders, self.folder, self.shape, self.classes
        )
        chosen, variants = "", {}
        if len(different) == 1:
            (graded,) = different
            if meant := self._find_meant(graded):
                address, analysis, reason = meant
                found, different = {address: analysis, **found}, {address: []}
                chosen = f"{self._show(graded)} is not ({reason}); if it is the net, {_NAME_IT}"
            else:
                variants = self._list_variants(graded)
        address, *more = found
        others = describe_others(
            {**failed, **self.read.hidden},
            {**self.read.untried, **variants},
            address,
            [*more, *self.problems],
            self.folder,
        )
        if len(different) > 1:
            raise NetError(self._describe_several(list(different), why, others))
        ((address, copies),) = different.items()
        shown, same = self._show(address), ", ".join(map(self._show, copies))
        remarks = [chosen, others, self._say_left_out(), same and f"{same} has the same code"]
        notes = [f"{shown} is graded alone: {why}"] if why else []
        notes += [f"{shown} is graded; {remark}" for remark in remarks if remark]
        return FoundNet(address, found[address], self._fitting, "; ".join(notes), bool(variants))

    def _try_others(self) -> tuple[dict[str, NetAnalysis], dict[str, str], str]:
        """Try the parts of nets that do not run, derived classes, and what gives arguments.

        Returns:
            Those with the right outputs, why nets of other files do not run, and why a part is
            graded, if one is.

        Raises:
            NetError: There is none.
        """
        found: dict[str, NetAnalysis] = {}
        reason, wholes = self._explain(), dict(self.failed)
        while not found and (candidates := self._list_parts()):
            found = self._try(candidates)
        if not found:
            derived = [one for one in self.families.derived if not CodeUses(one).trains()]
            found = self._try(self._limit([one for one in derived if one not in wholes]))
        for last in (self.read.builders, self.families.list_given(self.read.needing)):
            if not found and (found := self._try(self._limit(last))):
                return found, self.failed, ""
        if not found:
            left_out = self._say_left_out()
            raise NetError(f"{reason} ({left_out})" if left_out else reason)
        file, why = file_of(next(iter(found))), ""
        if not found.keys() & {*self.families.derived}:
            why = explain_parts([wholes[one] for one in wholes if file_of(one) == file])
        return found, {one: self.failed[one] for one in self.failed if file_of(one) != file}, why

    def _describe_several(self, different: Sequence[str], why: str, others: str) -> str:
        """Return that there are several different nets, and which of them the weights fit."""
        names = [self._show(address) for address in different]
        remarks = "".join(f" ({one})" for one in (why, others, self._say_left_out()) if one)
        fitting = self._find_fitting(different)
        example = self._show(fitting) if fitting else names[0]
        only = f", and {self.weights} fits only {example}" if fitting else ""
        return (
            f"{len(names)} nets return {self.classes} classes: {', '.join(names)}{only}; name "
            f'one in claim.toml, like net = "{example}", or with --net{remarks}'
        )

    def _find_meant(self, graded: str) -> tuple[str, NetAnalysis, str] | None:
        """Return a net that is meant instead of one that was found, with the reason.

        It is the only one that the weights fit if they do not fit the other: one that is built with
        other arguments, or a class derived from one of another file. If they fit it with tensors
        left out, and no code builds it, it is one with other arguments that has them all. Without
        weights, such a class is meant if code uses it alone. None if there is no such net.
        """
        others = self._list_others()
        address, reason = None, f"{self.weights} fits "
        if not self.weights:
            address, reason = self.families.find_used(graded), "the code builds only "
        elif not self._fitting.list_fitting([graded]):
            address = self._fitting.find_only(others)
        elif not (self._fitting.fits_exactly(graded) or graded in self.families.by_default):
            named = [one for one in others if one in self.families.named]
            address = self._fitting.find_only(filter(self._fitting.fits_exactly, named))
        if address not in others or CodeUses(address).trains():
            return None
        found = self._try([address])
        return (address, found[address], reason + self._show(address)) if found else None

    def _find_fitting(self, different: Iterable[str]) -> str | None:
        """Return the only net that the weights fit; None if there is none or there are several.

        - It is one of several different nets, or what this one wraps, such as that of an average.
        - If none of these has exactly the tensors of the weights, it may be one that the code
          builds with other arguments, or an earlier definition.
        """
        fitting, others = self._fitting.list_fitting(different), self._list_others()
        if len(fitting) > 1:
            return None
        if not (fitting and self._fitting.fits_exactly(fitting[0])):
            earlier = [more for one in different for more in list_other_definitions(one)]
            only = self._fitting.find_only([*others, *earlier][:MOST_CANDIDATES])
            if not fitting or (only and self._fitting.fits_exactly(only)):
                return only
        wrapper = fitting[0]
        inside = [*filter(CodeUses(wrapper).has, others)]
        return (inside and self._fitting.find_only([*inside, wrapper])) or wrapper

    def _list_others(self) -> list[str]:
        """Return nets that are tried only for the weights: others of their kind are tried first."""
        named = dict.fromkeys([*self.families.named, *self.families.derived, *self.read.fallbacks])
        return [one for one in named if one not in self.read.addresses][:MOST_CANDIDATES]

    def _list_variants(self, graded: str) -> dict[str, str]:
        """Return why nets of the class that is graded are not tried, by what builds them.

        If the code builds what is graded, too, and the weights have all of its tensors and no
        others, there is no doubt which net is meant.
        """
        variants = self.families.list_variants(graded, weights=bool(self.weights))
        is_sure = self.families.is_built(graded) and variants
        return {} if is_sure and self._fitting.fits_exactly(graded) else variants

    @cached_property
    def _fitting(self) -> FittingNets:
        return FittingNets(self.folder, self.weights, self.shape, self.classes)

    def _show(self, address: str) -> str:
        return os.path.relpath(address, self.folder)

    def _limit(self, candidates: Sequence[str]) -> list[str]:
        """Return those of some nets that are tried, and keep the others as left out."""
        room = max(0, MOST_CANDIDATES - len(self.failed) - len(self.problems))
        self.left_out += candidates[room:]
        return list(candidates[:room])

    def _say_left_out(self) -> str:
        """Return that there are too many nets to try all; empty if there are not."""
        if not self.left_out:
            return ""
        return (
            f"only {MOST_CANDIDATES} nets of a submission are tried, and {len(self.left_out)} more "
            f"were not, the first of them {self._show(self.left_out[0])}; if it is the net, "
            f"{_NAME_IT}"
        )

    def _try(self, candidates: Iterable[str]) -> dict[str, NetAnalysis]:
        """Return those of some nets that have the right outputs."""
        found: dict[str, NetAnalysis] = {}
        for address in candidates:
            try:
                analysis = self._analyze(address)
            except NetError as error:
                self.failed[address] = self._shorten(drop_remedy(str(error)))
                continue
            if analysis.outputs == self.classes:
                found[address] = analysis
            else:
                self.problems[address] = self._describe_outputs(address, analysis)
        return found

    def _analyze(self, address: str) -> NetAnalysis:
        with working_folder(self.folder, address):
            return SameProcess().analyze(address, self.shape, self.classes)

    def _list_parts(self) -> list[str]:
        """Return the addresses of nets that are not tried yet, for they are parts of others.

        These others do not run, or cannot be built without arguments.
        """
        tried = {*self.failed, *self.problems, *self.left_out}
        parts: list[str] = []
        for file in dict.fromkeys([*map(file_of, self.failed), *map(str, self.read.unclear)]):
            with contextlib.suppress(*UNREADABLE):
                names = list_inner_nets(
                    read_source(Path(file)).tree,
                    [one.rpartition(":")[2] for one in self.failed if file_of(one) == file],
                )
                parts += [f"{file}:{name}" for name in names]
        return self._limit([one for one in leave_out_copies(parts) if one not in tried])

    def _explain(self) -> str:
        """Return why there is no net, with the advice to name one only where that could help."""
        if self.failed:
            reason, *more = self.failed.values()
            others = f" (nor does any of {len(more)} more)" if more else ""
            return f"no net runs: {reason}{others}"
        if self.problems:
            reason = next(iter(self.problems.values()))
            return f"no net returns {self.classes} classes ({reason}); {_NAME_IT}"
        if self.read.unclear:
            reason = self._shorten(next(iter(self.read.unclear.values())))
            remedy = "" if ALL_NEED_ARGUMENTS in reason else f"; {_NAME_IT}"
            return f"no net was found ({reason}){remedy}"
        reason, *more = self.read.broken
        others = f" (and {len(more)} more)" if more else ""
        return f"no net: {self._shorten(reason)}{others}"

    def _describe_outputs(self, address: str, found: NetAnalysis) -> str:
        outputs = "no logits" if found.outputs is None else f"{found.outputs} numbers"
        return f"{self._show(address)} returns {outputs}, not {self.classes}"

    def _shorten(self, text: str) -> str:
        return text.replace(f"{self.folder}/", "")
