"""Neighbour expansion: joins to the final passages those before and after them in their documents.

A passage is cut to what an encoder reads, and its answer may begin in the one before. The joined text is one
piece of the document: it contains text that two passages share once, and its offsets are the document's own.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

import anyio.to_thread

from storage.errors import StoreError
from storage.qdrant.contract import Neighbourhood
from storage.reasons import Reason
from storage.records import Candidate, Chunk, Outcome

STAGE = "expand"
# White space between passages is not stored. A longer gap means that text was left out.
_LONGEST_GAP = 80

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Expansion:
    """The final candidates in their order, widened by their neighbours, for the answerer."""

    candidates: tuple[Candidate, ...]
    neighbours: tuple[Chunk, ...]
    outcome: Outcome


class Expands(Protocol):
    """Joins neighbours to the final candidates."""

    async def expand(self, final: Sequence[Candidate]) -> Expansion: ...


@dataclass(frozen=True, slots=True)
class Expander:
    """Joins the `reach` passages before and after each final one to it, with one read of the store."""

    source: Neighbourhood
    reach: int

    async def expand(self, final: Sequence[Candidate]) -> Expansion:
        """The same candidates, widened. If the store fails, none is, and the outcome is a `fallback`."""
        return await anyio.to_thread.run_sync(self._expand, tuple(final))

    def _expand(self, final: tuple[Candidate, ...]) -> Expansion:
        started = time.perf_counter()
        try:
            found = self.source.neighbours([candidate.chunk for candidate in final], self.reach)
        except StoreError as error:
            reason = Reason("retrieval.no-neighbours", error=str(error))
            return Expansion(final, (), Outcome(STAGE, "fallback", reason, ms=_since(started)))
        grown = _grown(final, found, self.reach)
        neighbours = tuple(part for run in grown.runs for part in run.parts if part is not run.core)
        added = Reason("retrieval.neighbours-added", n=len(neighbours), passages=len(final))
        complaints = list(grown.complaints())
        return Expansion(
            tuple(_wider(one, run) for one, run in zip(final, grown.runs, strict=True)),
            neighbours,
            Outcome(
                STAGE,
                "partial" if complaints else "ok",
                Reason.all([added, *complaints]),
                ms=_since(started),
            ),
        )


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


@dataclass(slots=True)
class _PassageRun:
    """A final passage and the neighbours joined to it so far, in the document's order.

    `open` are the sides that may still grow. `start` and `end` are the characters of the document that it
    covers, once shared text has been assigned to one of two adjacent runs.
    """

    core: Chunk
    parts: list[Chunk]
    open: set[int] = field(default_factory=lambda: {-1, 1})
    start: int = 0
    end: int = 0


@dataclass(slots=True)
class _Grown:
    """The runs of all final passages, and the number of those with contradictory neighbours."""

    runs: list[_PassageRun]
    unordered: int = 0
    misfits: int = 0

    def complaints(self) -> Iterator[Reason]:
        if self.unordered:
            yield Reason("retrieval.unordered-passages", n=self.unordered, of=len(self.runs))
        if self.misfits:
            yield Reason("retrieval.misfit-neighbours", n=self.misfits)


def _grown(final: Sequence[Candidate], found: Sequence[Chunk], reach: int) -> _Grown:
    grown = _Grown([_PassageRun(candidate.chunk, [candidate.chunk]) for candidate in final])
    places = _places([*found, *(run.core for run in grown.runs)])
    taken = {run.core.id for run in grown.runs}
    crowded = [run for run in grown.runs if _is_crowded(run.core, places, reach)]
    if crowded and len(found) >= len(final) * (2 * reach + 1):
        crowded = grown.runs  # the surplus passages kept others from being read
    for run in crowded:
        run.open.clear()
    grown.unordered = len(crowded)
    # the nearest first, so that no passage takes one that is nearer to another
    for distance in range(1, reach + 1):
        for run in grown.runs:
            for side in sorted(run.open):
                beside = places.get((run.core.document_id, run.core.ordinal + side * distance), {})
                chunk = next(iter(beside.values()), None)
                if chunk is None or chunk.id in taken:
                    run.open.discard(side)
                elif not _joins(*((chunk, run.parts[0]) if side < 0 else (run.parts[-1], chunk))):
                    run.open.discard(side)
                    grown.misfits += 1
                else:
                    taken.add(chunk.id)
                    run.parts.insert(0 if side < 0 else len(run.parts), chunk)
    _share_out(grown.runs)
    return grown


def _places(chunks: Iterable[Chunk]) -> Mapping[Place, Mapping[str, Chunk]]:
    places: dict[Place, dict[str, Chunk]] = defaultdict(dict)
    for chunk in chunks:
        places[chunk.document_id, chunk.ordinal][chunk.id] = chunk
    return places


def _is_crowded(core: Chunk, places: Mapping[Place, Mapping[str, Chunk]], reach: int) -> bool:
    """True if several passages claim one place within reach."""
    reached = range(core.ordinal - reach, core.ordinal + reach + 1)
    return any(len(places.get((core.document_id, ordinal), ())) > 1 for ordinal in reached)


def _joins(before: Chunk, after: Chunk) -> bool:
    """True if the second passage continues the text of the first, or overlaps its end."""
    if any(len(one.text) != one.end - one.start for one in (before, after)):
        return False
    shared = before.end - after.start
    if shared <= 0:
        return -shared <= _LONGEST_GAP
    return (
        before.start < after.start and before.end < after.end and before.text[-shared:] == after.text[:shared]
    )


def _share_out(runs: Sequence[_PassageRun]) -> None:
    """Assign text that two runs share to one of them: to a final passage rather than a neighbour."""
    for run in runs:
        run.start, run.end = run.parts[0].start, run.parts[-1].end
    in_order = sorted(runs, key=lambda run: (run.core.document_id, run.core.start))
    for one, other in pairwise(in_order):
        if one.core.document_id != other.core.document_id or one.end <= other.start:
            continue
        if not _joins(one.parts[-1], other.parts[0]):
            continue
        one.end = max(one.core.end, other.start)
        other.start = max(other.start, one.end)


def _wider(candidate: Candidate, run: _PassageRun) -> Candidate:
    """The candidate with the run's text; the candidate itself if the run adds nothing."""
    if (run.start, run.end) == (candidate.chunk.start, candidate.chunk.end):
        return candidate
    text = _text(run)
    chunk = replace(candidate.chunk, text=text, start=run.start, end=run.start + len(text))
    return replace(candidate, chunk=chunk, parts=tuple(run.parts), evidence={})


def _text(run: _PassageRun) -> str:
    pieces: list[str] = []
    at = run.start
    for part in run.parts:
        if part.start > at:
            pieces.append(_blank(part.start - at))
            at = part.start
        piece = part.text[at - part.start : run.end - part.start]
        pieces.append(piece)
        at += len(piece)
    return "".join(pieces)


def _blank(length: int) -> str:
    """White space of the same length as the document's own, so that offsets stay right."""
    return "\n" * min(length, 2) + " " * (length - 2)
