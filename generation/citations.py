"""Markers such as `[1]` in an answer: found, checked against the passages, resolved to places."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from storage.records import Candidate, Citation, Outcome, worst

# [1]  [1, 2]  [1-3]  [1、2]  【1】  ［１］  【1†source】; not [2024], not [^1]
_NUMBER = r"[0-9０-９]{1,3}"
_BETWEEN = r"\s*(?:[,，、;；]|[-–—~～])\s*"
_MARKER = re.compile(rf"[\[【［]\s*({_NUMBER}(?:{_BETWEEN}{_NUMBER})*)\s*(?:†[^\]】］\n]{{0,80}})?[\]】］]")
_RANGE = re.compile(rf"({_NUMBER})\s*[-–—~～]\s*({_NUMBER})")
_DIGITS = re.compile(_NUMBER)
# `scores[1]` in a program is no citation
_CODE = re.compile(r"(?P<fence>```|~~~).*?(?:(?P=fence)|\Z)|`[^`\n]+`", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The citations of an answer. `unknown` are markers that point at no passage."""

    citations: tuple[Citation, ...]
    unknown: tuple[int, ...]
    given: int

    @property
    def complaint(self) -> str:
        """What is wrong with the citing, or nothing."""
        if self.unknown:
            markers = ", ".join(f"[{marker}]" for marker in self.unknown)
            given = "1 passage was" if self.given == 1 else f"{self.given} passages were"
            return f"the answer cites {markers}, but {given} given"
        return "" if self.citations else "the answer cites no passage"


def markers(text: str) -> list[int]:
    """The distinct numbers that a text cites, in order of appearance; code is left alone."""
    return list(dict.fromkeys(number for _, _, numbers in located(text) for number in numbers))


def located(text: str) -> list[tuple[int, int, tuple[int, ...]]]:
    """Where a text cites (characters from, to) and which numbers there."""
    prose = _CODE.sub(lambda code: " " * len(code[0]), text)
    return [(found.start(), found.end(), tuple(_numbers(found[1]))) for found in _MARKER.finditer(prose)]


def _numbers(inside: str) -> Iterator[int]:
    """The numbers between two brackets; `1-3` counts as 1, 2, 3, where it runs upwards and is short."""
    position = 0
    for match in _RANGE.finditer(inside):
        yield from map(int, _DIGITS.findall(inside[position : match.start()]))
        first, last = int(match[1]), int(match[2])
        yield from range(first, last + 1) if 0 <= last - first < 20 else (first, last)
        position = match.end()
    yield from map(int, _DIGITS.findall(inside[position:]))


def resolve(text: str, candidates: Sequence[Candidate], given: Collection[int] | None = None) -> Resolved:
    """Every marker of a text, as the passage that it points at: the n-th candidate, counted from 1.

    `given` are the numbers that the answerer was shown, where these are not all.
    """
    numbers = markers(text)
    shown = range(1, len(candidates) + 1) if given is None else given
    known = tuple(cite(n, candidates[n - 1]) for n in numbers if n in shown)
    return Resolved(known, tuple(n for n in numbers if n not in shown), len(shown))


def cite(marker: int, candidate: Candidate, span: tuple[int, int] | None = None) -> Citation:
    """A citation of a passage, or of a `span` (characters in the passage) that is quoted from it.

    A quotation from a neighbour that was joined to the passage has the neighbour's page and headings.
    """
    chunk = candidate.chunk
    start, end = span or (0, len(chunk.text))
    quoted = (part for part in candidate.parts if span and part.start <= chunk.start + start < part.end)
    place = next(quoted, chunk)
    return Citation(
        marker=marker,
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        source=chunk.source,
        title=chunk.title,
        start=chunk.start + start,
        end=chunk.start + end,
        headings=place.headings,
        page=place.page,
        quote=chunk.text[start:end] if span else "",
    )


def flagged(outcome: Outcome, complaint: str) -> Outcome:
    """The outcome with one more thing that was not as it should be; unchanged where there is none."""
    if not complaint:
        return outcome
    reasons = "; ".join(part for part in (outcome.reason, complaint) if part)
    return replace(outcome, status=worst((outcome.status, "partial")), reason=reasons)
