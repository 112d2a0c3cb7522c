"""Judges units for a question: by a cross-encoder where it reads both, else by vectors and words.

Only the best by stored token vectors and shared words are judged closely, each under its heading and with
what leads to it. A sentence and the one before it may be judged, and quoted, as one where that says clearly
more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from generation.extractive.lines import Span
from generation.extractive.shown import plain, shown
from generation.extractive.units import Unit

# This many units are judged closely, by a cross-encoder and by their own vectors; of the first, this many
# with the sentences around them.
BY_PAIRS, BY_COSINE, JOINED = 12, 8, 3
# Where other questions wait for the cross-encoder: at most this many, alone, and none whose cheap score is so
# much lower than the best.
BY_PAIRS_UNDER_LOAD, CHEAP_UNDER_LOAD = 6, 0.15
# What a sentence more must be worth, in log-odds.
PAIR_LOG_ODDS = 0.7
# What each place of its passage costs a unit: reranking has judged the passages, too.
PLACE_LOG_ODDS = 0.3
# What it is worth to hold all words of the question: the rare ones tell neighbours apart.
WORDS_LOG_ODDS = 1.5
# What it is worth to hold what is asked for, a date say.
FIT_LOG_ODDS = 2.0
# Where vectors judge: what a unit's own cosine, stored token vectors, words beyond its headings and the kind
# of thing asked for are worth, and what each place of its passage costs; docs/answers.md.
COSINE_WEIGHT, TOKENS_WEIGHT, BEYOND_WEIGHT, FIT_WEIGHT, PLACE_SCORE = 2.0, 0.4, 0.25, 0.04, 0.01
# Neighbours whose scores are no further apart are quoted as one.
TIED = 0.03
# A list as a whole must be worth more than its best item.
LIST_LOG_ODDS = 1.5
LIST_SCORE = 0.03
# An entry of a change log names what it changed with the words of many questions, and answers few.
CHANGE_LOG_ODDS = 4.0
CHANGE_SCORE = 0.1
# Characters of heading and lead that are read with a unit.
_HEADING, _LEAD = 90, 200
# Begins with a word for something in the sentence before.
_POINTS_BACK = re.compile(
    r"(?:It|He|She|They|This|These|Those|That|His|Her|Its|Their|Such|The (?:latter|former)|Here|Then|Both)\b"
    r"|[其该此这那它他她]|[同]时|前者|后者|該|這|牠|祂|後者"
)


class PairJudge(Protocol):
    """Reads a question and a short text together. `busy`: other questions wait for it."""

    @property
    def busy(self) -> bool: ...

    def reads(self, text: str) -> bool:
        """True if it can represent the text."""
        ...

    def log_odds(self, question: str, texts: Sequence[str]) -> list[float]:
        """The log-odds that each text answers the question."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A unit of the `passage`-th candidate (from 0), its text, and what is known of it so far.

    `before` ends where the unit begins; `heading` is its title and path. `by_words` is the share of the
    question's words in it, `beyond` the same without those of its headings, `similarity` that of stored token
    vectors, `cheap` words and these together, `cosine` that of the unit's own vector. `fit` is 0 where it
    holds nothing of the kind that is asked for (`kinds.fit`).
    `joined`: it is quoted with the sentence before it.
    """

    passage: int
    unit: Unit
    text: str
    lead: str
    before: str
    heading: str
    terms: frozenset[int]
    by_words: float = 0.0
    beyond: float = 0.0
    similarity: float | None = None
    cheap: float = 0.0
    cosine: float | None = None
    fit: float = 1.0
    score: float = 0.0
    joined: bool = False

    @property
    def span(self) -> Span:
        """The characters in the passage that are quoted."""
        before = self.unit.before
        return (before[0], self.unit.span[1]) if self.joined and before else self.unit.span

    @property
    def quoted(self) -> str:
        """The quoted text, as the passage has it."""
        return f"{self.before}{self.text}" if self.joined else self.text

    @property
    def shown(self) -> str:
        """The unit as a reader sees it; a row with its column names."""
        if self.unit.kind == "row" and self.lead:
            return f"{shown(self.lead, 'row')}\n{shown(self.text, 'row')}"
        return shown(self.quoted, self.unit.kind)

    def read(self) -> str:
        """The text that a judge reads: heading, lead, and what would be quoted."""
        lead = f"{plain(self.lead)[-_LEAD:]} " if self.lead else ""
        heading = f"{self.heading[-_HEADING:]}: " if self.heading else ""
        return f"{heading}{lead}{plain(self.quoted)}"


# The cosines of texts with the question; costs a pass of the encoder.
Cosines = Callable[[Sequence[str]], Sequence[float]]


def judged(
    question: str,
    found: Sequence[Found],
    judge: PairJudge | None,
    cosines: Cosines | None = None,
    *,
    under_load: bool = False,
) -> tuple[list[Found], bool]:
    """The most promising units, best first, and True if the cross-encoder judged them.

    `under_load`: it reads few of them, and none with a sentence around it.
    """
    ordered = sorted(found, key=lambda one: -one.cheap)
    if judge is not None and ordered and judge.reads(question):
        nearest = _nearly_best(ordered) if under_load else ordered[:BY_PAIRS]
        legible = [one for one in nearest if judge.reads(one.text)]
        if len(legible) * 2 > len(nearest):
            around = () if under_load else ordered
            return _by_cross_encoder(question, legible, around, judge), True
    nearest = ordered[:BY_COSINE]
    if cosines is not None:
        near = cosines([one.read() for one in nearest])
        nearest = [replace(one, cosine=value) for one, value in zip(nearest, near, strict=True)]
    return _with_neighbour(sorted(map(_by_meaning, nearest), key=lambda one: -one.score)), False


def _nearly_best(ordered: Sequence[Found]) -> list[Found]:
    """The units that may still turn out the best, by their cheap scores."""
    least = ordered[0].cheap - CHEAP_UNDER_LOAD
    return [one for one in ordered[:BY_PAIRS_UNDER_LOAD] if one.cheap >= least]


def _with_neighbour(ranked: list[Found]) -> list[Found]:
    """The best joined with a sentence next to it that is as good: one of them takes up the question's words,
    the other one answers."""
    best = ranked[0]
    for one in ranked[1:]:
        if one.score < best.score - TIED or best.joined:
            break
        for first, second in ((best, one), (one, best)):
            if first.passage == second.passage and second.unit.before == first.unit.span:
                both = replace(second, score=best.score, joined=True)
                return [both, *(other for other in ranked if other not in (best, one))]
    return ranked


def _by_cross_encoder(
    question: str, legible: Sequence[Found], found: Sequence[Found], judge: PairJudge
) -> list[Found]:
    """The units alone, then the best of them with the sentence before, and with the one after.

    The pairs are made of `found`.
    """
    odds = judge.log_odds(question, [one.read() for one in legible])
    alone = [replace(one, score=score + _handicap(one)) for one, score in zip(legible, odds, strict=True)]
    best = {(one.passage, one.unit.span) for one in sorted(alone, key=lambda one: -one.score)[:JOINED]}
    pairs = [
        one
        for one in found
        if one.unit.before
        and not best.isdisjoint({(one.passage, one.unit.span), (one.passage, one.unit.before)})
    ]
    words = {(one.passage, one.unit.span): one.by_words for one in found}
    pairs = [
        replace(one, by_words=max(one.by_words, words.get((one.passage, before), 0.0)), joined=True)
        for one in pairs
        if (before := one.unit.before)
    ]
    scores = judge.log_odds(question, [one.read() for one in pairs]) if pairs else []
    joined = [
        replace(one, score=score - PAIR_LOG_ODDS + _handicap(one))
        for one, score in zip(pairs, scores, strict=True)
    ]
    return sorted([*alone, *joined], key=lambda one: -one.score)


def _handicap(one: Found) -> float:
    """In log-odds: what the question's words and kind add, less what lists and later passages cost."""
    against = PLACE_LOG_ODDS * one.passage + (LIST_LOG_ODDS if one.unit.kind == "list" else 0.0)
    against += CHANGE_LOG_ODDS if one.unit.of_change else 0.0
    return WORDS_LOG_ODDS * one.by_words + FIT_LOG_ODDS * one.fit - against


def _by_meaning(one: Found) -> Found:
    """A unit as vectors and words see it; one that points back is quoted with the sentence before it."""
    joined = one.unit.before is not None and _POINTS_BACK.match(one.text) is not None
    score = one.cheap
    if one.cosine is not None:
        tokens = one.cosine if one.similarity is None else one.similarity
        score = COSINE_WEIGHT * one.cosine + TOKENS_WEIGHT * tokens + BEYOND_WEIGHT * one.beyond
        score += FIT_WEIGHT * one.fit - PLACE_SCORE * one.passage
    score -= LIST_SCORE if one.unit.kind == "list" else 0.0
    score -= CHANGE_SCORE if one.unit.of_change else 0.0
    return replace(one, score=score, joined=joined)
