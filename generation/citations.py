"""Finds markers such as `[1]` in an answer, checks them and resolves them to places in passages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from storage.reasons import Reason
from storage.records import Candidate, Citation, Outcome, worst

# [1]  [1, 2]  [1-3]  [1、2]  【1】  ［１］  【1†source】; not [2024], not [^1]
_NUMBER = r"[0-9０-９]{1,3}"
_BETWEEN = r"\s*(?:[,，、;；]|[-–—~～])\s*"
_MARKER = re.compile(rf"[\[【［]\s*({_NUMBER}(?:{_BETWEEN}{_NUMBER})*)\s*(?:†[^\]】］\n]{{0,80}})?[\]】］]")
_RANGE = re.compile(rf"({_NUMBER})\s*[-–—~～]\s*({_NUMBER})")
_DIGITS = re.compile(_NUMBER)
# Code: `scores[1]` in a program does not cite.
_CODE = re.compile(r"(?P<fence>```|~~~).*?(?:(?P=fence)|\Z)|`[^`\n]+`", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The citations of an answer. `unknown` are markers without a passage, `given` counts the passages."""

    citations: tuple[Citation, ...]
    unknown: tuple[int, ...]
    given: int

    @property
    def complaint(self) -> Reason | None:
        """The fault of the citations, None if there is none."""
        if self.unknown:
            unknown = [f"[{marker}]" for marker in self.unknown]
            return Reason("generation.unknown-citations", markers=unknown, given=self.given)
        return None if self.citations else Reason("generation.no-citation")


def markers(text: str) -> list[int]:
    """The distinct numbers that a text cites, in order of appearance; code is left alone."""
    return list(dict.fromkeys(number for _, _, numbers in located(text) for number in numbers))


def located(text: str) -> list[tuple[int, int, tuple[int, ...]]]:
    """The places where a text cites (characters from, to) and the numbers cited there."""
    prose = _CODE.sub(lambda code: " " * len(code[0]), text)
    return [(found.start(), found.end(), tuple(_numbers(found[1]))) for found in _MARKER.finditer(prose)]


def places(text: str, citations: Sequence[Citation]) -> list[tuple[int, int, tuple[int, ...]]]:
    """`located`; in an answer that quotes, only after quotations: a source may have its own `[3]`."""
    if not citations or not all(citation.quote for citation in citations):
        return located(text)
    found: list[tuple[int, int, tuple[int, ...]]] = []
    at = 0
    for citation in citations:
        if mark := _after(citation, text, at):
            at = mark[1]
            found.append((*mark, (citation.marker,)))
    return found


# As many characters of a quotation, white space and marks left out, tell its end.
_TAIL = 24
# What may stand between them, and before the marker: a quotation is shown without emphasis, code in a fence.
_LOOSE = r"[\s*_>]*"


def _after(citation: Citation, text: str, at: int) -> tuple[int, int] | None:
    """The characters of the marker that follows a quotation."""
    tail = [letter for letter in citation.quote if not re.match(r"[\s*_>]", letter)][-_TAIL:]
    pattern = _LOOSE.join(map(re.escape, tail)) + rf"{_LOOSE}(?:`{{3,}}|~{{3,}})?\s*(\[{citation.marker}\])"
    match = re.compile(pattern).search(text, at)
    return match.span(1) if match else None


def _numbers(inside: str) -> Iterator[int]:
    """The numbers between two brackets; a short ascending range `1-3` counts as 1, 2, 3."""
    position = 0
    for match in _RANGE.finditer(inside):
        yield from map(int, _DIGITS.findall(inside[position : match.start()]))
        first, last = int(match[1]), int(match[2])
        yield from range(first, last + 1) if 0 <= last - first < 20 else (first, last)
        position = match.end()
    yield from map(int, _DIGITS.findall(inside[position:]))


def resolve(text: str, candidates: Sequence[Candidate], given: Collection[int] | None = None) -> Resolved:
    """Resolve every marker of a text to its passage: the n-th candidate, counted from 1.

    `given` are the numbers of the passages that the answerer was shown, if these are not all.
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


def flagged(outcome: Outcome, *complaints: Reason | None) -> Outcome:
    """The outcome with further reasons, at best `partial`; unchanged without any."""
    reasons = [complaint for complaint in complaints if complaint]
    if not reasons:
        return outcome
    reason = Reason.all([*Reason.of(outcome.reason).parts, *reasons])
    return replace(outcome, status=worst((outcome.status, "partial")), reason=reason)
