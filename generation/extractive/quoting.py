"""Chooses what is quoted of the judged units, and writes it down with its markers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generation.citations import cite
from generation.extractive.confidence import CROSS_ENCODER, WEAK, Weights
from generation.extractive.judging import Found
from generation.extractive.shown import is_block, shown
from storage.reasons import Reason
from storage.records import Candidate, Citation

QUOTES = 3
CHARACTERS = 1_000

# A further unit is quoted where it is nearly as good as the best: from the same passage, from another, from
# another although the best is sure. In log-odds, and on the scale of vectors and words. Chosen on SQuAD's
# training set, DRCD and CMRC's trial.
WITHIN_LOG_ODDS = (9.0, 2.0, 1.0)
WITHIN_SCORE = (0.2, 0.03, 0.01)
# What the cross-encoder finds less likely than this has nothing to do with the question.
LEAST_LOG_ODDS = -2.0
# Two units that share this much of their terms say the same thing.
SAME = 0.75


@dataclass(frozen=True, slots=True)
class JudgedUnits:
    """The units that may be quoted, best first; how likely the first answers (None: nobody can tell).

    `weights` say from which confidence on there is an answer, and one unit is enough.
    """

    ranked: Sequence[Found] = ()
    by_cross_encoder: bool = False
    confidence: float | None = None
    weights: Weights = CROSS_ENCODER
    complaint: Reason | None = None

    @property
    def answers(self) -> bool:
        """True where the first may be quoted."""
        return bool(self.ranked) and (self.confidence is None or self.confidence >= self.weights.abstains)

    @property
    def is_weak(self) -> bool:
        """True where the first may well not answer."""
        return self.answers and self.confidence is not None and self.confidence < WEAK


def chosen(judgement: JudgedUnits) -> list[Found]:
    """The best unit, and those nearly as good that fit and do not repeat it.

    If the best is sure, only another passage that says as much, or the opposite, follows.
    """
    sure = judgement.confidence is not None and judgement.confidence >= judgement.weights.suffices
    best: list[Found] = []
    room = CHARACTERS
    for one in judgement.ranked:
        if len(best) == (2 if sure else QUOTES):
            break
        fits = not best or (len(one.shown) <= room and _near(one, best[0], judgement, sure=sure))
        if fits and not any(_same(one, other) for other in best):
            best.append(one)
            room -= len(one.shown)
    return best


def _near(one: Found, best: Found, judgement: JudgedUnits, *, sure: bool) -> bool:
    here, elsewhere, tied = WITHIN_LOG_ODDS if judgement.by_cross_encoder else WITHIN_SCORE
    if judgement.by_cross_encoder and one.score < LEAST_LOG_ODDS:
        return False
    if one.passage == best.passage:
        return not sure and one.score >= best.score - here
    # where the best stands in the best passage, two judges agree
    return one.score >= best.score - (tied if sure or best.passage == 0 else elsewhere)


def _same(one: Found, other: Found) -> bool:
    if one.passage == other.passage and one.span[0] < other.span[1] and other.span[0] < one.span[1]:
        return True
    if one.shown in other.shown or other.shown in one.shown:
        return True
    either = len(one.terms | other.terms)
    return bool(either) and len(one.terms & other.terms) / either >= SAME


def grouped(chosen: Sequence[Found]) -> list[list[Found]]:
    """The quotes, rows of one table together."""
    groups: dict[object, list[Found]] = {}
    for at, one in enumerate(chosen):
        is_row = one.unit.kind == "row" and one.unit.lead is not None
        groups.setdefault((one.passage, one.unit.lead) if is_row else at, []).append(one)
    return list(groups.values())


def citations(group: Sequence[Found], candidates: Sequence[Candidate]) -> list[Citation]:
    """The places that are quoted: of rows, their column names, too."""
    first = group[0]
    names = [first.unit.lead] if first.unit.kind == "row" and first.unit.lead else []
    spans = (*names, *(one.span for one in group))
    return [cite(first.passage + 1, candidates[first.passage], span) for span in spans]


def text(groups: Sequence[Sequence[Found]]) -> str:
    """The quotes with their markers: sentences in one paragraph, anything else in lines of its own."""
    written = ""
    block_before = False
    for first, *more in groups:
        block = is_block(first.unit.kind)
        between = "" if not written else "\n\n" if block or block_before else " "
        mark = f"\n[{first.passage + 1}]" if first.unit.kind in ("code", "row") else f" [{first.passage + 1}]"
        rows = "".join(f"\n{shown(one.text, 'row')}" for one in more)
        written += f"{between}{first.shown}{rows}{mark}"
        block_before = block
    return written
