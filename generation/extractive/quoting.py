"""Chooses what is quoted of the judged units, and writes it down with its markers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from generation.citations import cite
from generation.extractive.comparing import contradicts, repeats
from generation.extractive.confidence import CROSS_ENCODER, Signs, Weights
from generation.extractive.judging import Found
from generation.extractive.kinds import asked, values
from generation.extractive.shown import is_block, shown
from storage.reasons import Reason
from storage.records import Candidate, Citation

QUOTES = 3
CHARACTERS = 1_000

# A further unit is quoted where it is nearly as good as the best: from the same passage; from another, if it
# holds another thing of the kind that is asked for; from another; from another although the best is sure.
# In log-odds, and on the scale of vectors and words. Chosen on SQuAD's training set, DRCD and CMRC's trial.
WITHIN_LOG_ODDS = (9.0, 3.0, 2.0, 1.0)
WITHIN_SCORE = (0.2, 0.06, 0.06, 0.03)
# What the cross-encoder finds less likely than this has nothing to do with the question.
LEAST_LOG_ODDS = -2.0


@dataclass(frozen=True, slots=True)
class JudgedUnits:
    """The units that may be quoted, best first; the signs that the first answers (None: nobody can tell).

    `weights` say from which confidence on there is an answer, and one unit is enough.
    """

    question: str = ""
    ranked: Sequence[Found] = ()
    by_cross_encoder: bool = False
    signs: Signs | None = None
    weights: Weights = CROSS_ENCODER
    complaint: Reason | None = None

    @property
    def confidence(self) -> float | None:
        """Return the probability that the first answers."""
        return None if self.signs is None else self.weights.probability(self.signs)

    @property
    def answers(self) -> bool:
        """True where the first may be quoted."""
        return bool(self.ranked) and (self.confidence is None or self.confidence >= self.weights.abstains)

    @property
    def is_weak(self) -> bool:
        """True where the first may well not answer."""
        return self.answers and self.confidence is not None and self.confidence < self.weights.doubts


def chosen(judgement: JudgedUnits) -> list[Found]:
    """The best unit, and those nearly as good that fit and add to it: what contradicts it comes next.

    If the best is sure, only one more follows, of another passage that says as much, or the opposite.
    """
    if not judgement.ranked:
        return []
    first, *others = judgement.ranked
    opposite = contradicted(judgement)
    sure = judgement.confidence is not None and judgement.confidence >= judgement.weights.suffices
    best = [first]
    room = CHARACTERS - len(first.shown)
    for one in [*opposite, *others]:
        if len(best) == (2 if sure and not opposite else QUOTES):
            break
        fits = len(one.shown) <= room and (one in opposite or _near(one, best, judgement, sure=sure))
        if fits and not any(repeats(one, other) for other in best):
            best.append(one)
            room -= len(one.shown)
    return best


def contradicted(judgement: JudgedUnits) -> list[Found]:
    """The best unit of another passage, if any, that is the first but for a name or number."""
    first = judgement.ranked[0]
    within = WITHIN_LOG_ODDS if judgement.by_cross_encoder else WITHIN_SCORE
    others = (one for one in judgement.ranked[1:] if one.score >= first.score - within[0])
    return list(islice((one for one in others if contradicts(first, one)), 1))


def _near(one: Found, chosen: Sequence[Found], judgement: JudgedUnits, *, sure: bool) -> bool:
    best = chosen[0]
    within = WITHIN_LOG_ODDS if judgement.by_cross_encoder else WITHIN_SCORE
    here, other, elsewhere, tied = within
    if judgement.by_cross_encoder and one.score < LEAST_LOG_ODDS:
        return False
    if one.passage == best.passage:
        return not sure and one.score >= best.score - here
    if one.score >= best.score - other and _adds(one, chosen, judgement.question):
        return True
    # where the best is in the best passage, two judges agree
    return one.score >= best.score - (tied if sure or best.passage == 0 else elsewhere)


def _adds(one: Found, chosen: Sequence[Found], question: str) -> bool:
    """True if a unit holds a thing of the kind that the question asks for, and none that was quoted."""
    kind = asked(question)
    if kind is None:
        return False
    held = values(kind, one.shown, question)
    return bool(held) and all(held.isdisjoint(values(kind, other.shown, question)) for other in chosen)


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
