"""Three recipes that turn a passage or a question into training records.

Each has `make`, and `requests`: the most that `make` may ask, with placeholders where a request contains
replies.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rerank.llm.calls import Request
from rerank.llm.templates import language_of
from rerank.training.duplicates import Duplicates, folded
from rerank.training.forms import ANSWERING, GRADES, MISLEADING, QUERIES
from rerank.training.records import TOP_GRADE, LabelledPassage, TrainingRecord
from storage.records import Candidate, Chunk, Usage
from winnow.lab.datasets.dataset import Question
from winnow.lab.synthesis.context import LATER, Made, RunTools
from winnow.lab.synthesis.false_negatives import Checked
from winnow.lab.synthesis.plans import LabelPlan, PassagePlan, QueryPlan

# Longer texts are not questions.
_LONGEST = 500
# Takes the place of a written text in an estimate.
_SOME_WORDS = "word " * 150


@dataclass(frozen=True, slots=True)
class QuestionRecipe:
    """Questions for a passage: written, found again by retrieval, checked."""

    plan: QueryPlan
    tools: RunTools

    async def make(self, unit: Chunk) -> Made:
        reading = await self.tools.filler.fill(
            QUERIES, language_of(unit.text), self.plan.per_passage, passages=[unit.encoded_text]
        )
        if reading.value is None:
            return Made.lost(reading.lost)
        cost = reading.usage.cost
        share = Usage(cost=None if cost is None else cost / len(reading.value))
        made = Made()
        for question in reading.value:
            made += await self._one(question, unit, share)
        return made

    async def requests(self, unit: Chunk) -> Sequence[Request]:
        language, text = language_of(unit.text), unit.encoded_text
        first = self.tools.request(QUERIES, language, self.plan.per_passage, passages=[text])
        check = self.tools.check_requests(text[:80], [text] * (1 + self._considered))
        return [first, *check * self.plan.per_passage]

    @property
    def _considered(self) -> int:
        """More than are wanted, as a few will turn out to answer."""
        return self.plan.negatives + (self.plan.negatives + 1) // 2

    async def _one(self, question: str, chunk: Chunk, share: Usage) -> Made:
        if reason := _objection(question, chunk.text):
            return Made.rejected_for(reason)
        wanted = self.plan.checks.round_trip
        depth = max(wanted, self._considered + 1)
        found = await self.tools.retrieved(question, depth)
        own = folded(chunk.text)
        same = [candidate.id == chunk.id or folded(candidate.text) == own for candidate in found]
        if not any(same[:wanted]):
            return Made.rejected_for(f"its own passage is not among the first {wanted} retrieved")
        others = [candidate for candidate, equal in zip(found, same, strict=True) if not equal]
        return await self._checked(question, Candidate(chunk), others[: self._considered], share)

    async def _checked(
        self, question: str, positive: Candidate, others: Sequence[Candidate], share: Usage
    ) -> Made:
        verdict = await self.tools.check(question, [positive, *others])
        if rejected := _rejected(verdict, "its own passage does not answer it"):
            return rejected
        passages = [positive, *others]
        kept = [i for i in range(1, len(passages)) if i in verdict.fine][: self.plan.negatives]
        scores = verdict.scores or [None] * len(passages)
        record = TrainingRecord(
            query=question,
            passages=tuple(LabelledPassage.of(passages[i], int(i == 0), scores[i]) for i in (0, *kept)),
            language=language_of(question),
            provenance=self.tools.provenance(
                "queries",
                self.tools.fingerprint(QUERIES),
                positive.chunk.source,
                (share + verdict.usage).cost,
                question,
                positive.id,
            ),
        )
        return Made((record,), dropped=_false_negatives(len(passages) - len(verdict.fine)))


@dataclass(frozen=True, slots=True)
class PassageRecipe:
    """Passages for a question: one that answers, others that only seem to; checked."""

    plan: PassagePlan
    tools: RunTools

    async def make(self, unit: Question) -> Made:
        language, filler = language_of(unit.text), self.tools.filler
        answering = await filler.fill(ANSWERING, language, 1, question=unit.text)
        if answering.value is None:
            return Made.lost(answering.lost)
        misleading = await filler.fill(
            MISLEADING, language, self.plan.negatives, question=unit.text, passages=[answering.value]
        )
        if misleading.value is None:
            return Made.lost(misleading.lost)
        known = Duplicates()
        written = [text for text in (answering.value, *misleading.value) if not known.seen(text)]
        repeated = 1 + len(misleading.value) - len(written)
        verdict = await self.tools.check(
            unit.text, [Candidate.from_text(text, id=f"written-{i}") for i, text in enumerate(written)]
        )
        if rejected := _rejected(verdict, "the passage that was to answer does not"):
            return rejected
        dropped = _false_negatives(len(written) - len(verdict.fine)) + Counter({"says the same": repeated})
        if len(verdict.fine) == 1:
            return Made(rejected=Counter({"no negative is left": 1}), dropped=+dropped)
        scores = verdict.scores or [None] * len(written)
        cost = (answering.usage + misleading.usage + verdict.usage).cost
        record = TrainingRecord(
            query=unit.text,
            passages=tuple(
                LabelledPassage(text=written[i], label=int(i == 0), score=scores[i])
                for i in sorted(verdict.fine)
            ),
            id=unit.id,
            language=language,
            provenance=self.tools.provenance(
                "passages",
                self.tools.fingerprint(ANSWERING, MISLEADING),
                self.plan.questions.name,
                cost,
                unit.text,
                *written,
            ),
        )
        return Made((record,), dropped=+dropped)

    async def requests(self, unit: Question) -> Sequence[Request]:
        language, n, tools = language_of(unit.text), self.plan.negatives, self.tools
        return [
            tools.request(ANSWERING, language, 1, unit.text),
            tools.request(MISLEADING, language, n, unit.text, [_SOME_WORDS]),
            *tools.check_requests(unit.text, [_SOME_WORDS] * (1 + n)),
        ]


@dataclass(frozen=True, slots=True)
class LabelRecipe:
    """Grades for the passages that retrieval finds for a question.

    The passages are shuffled first, so that no grade depends on a place.
    """

    plan: LabelPlan
    tools: RunTools

    async def make(self, unit: Question) -> Made:
        windows = await self._windows(unit)
        if not windows:
            return Made.rejected_for("nothing was retrieved")
        graded: list[LabelledPassage] = []
        usage, dropped = Usage(), Counter[str]()
        for window in windows:
            reading = await self.tools.filler.fill(
                GRADES,
                language_of(unit.text),
                len(window),
                question=unit.text,
                passages=[candidate.chunk.encoded_text for candidate in window],
            )
            if reading.lost in LATER:
                return Made(left=1)
            usage += reading.usage
            if reading.value is None:
                dropped["the reply could not be used"] += len(window)
                continue
            graded += map(LabelledPassage.of, window, reading.value)
        if not graded:
            return Made.rejected_for("no reply could be used")
        record = TrainingRecord(
            query=unit.text,
            passages=tuple(sorted(graded, key=lambda passage: -passage.label)),
            top_label=TOP_GRADE,
            id=unit.id,
            language=language_of(unit.text),
            provenance=self.tools.provenance(
                "labels",
                self.tools.fingerprint(GRADES, checked=False),
                self.plan.questions.name,
                usage.cost,
                unit.text,
                *(passage.id for passage in graded),
            ),
        )
        return Made((record,), dropped=dropped)

    async def requests(self, unit: Question) -> Sequence[Request]:
        language = language_of(unit.text)
        return [
            self.tools.request(
                GRADES, language, len(window), unit.text, [c.chunk.encoded_text for c in window]
            )
            for window in await self._windows(unit)
        ]

    async def _windows(self, unit: Question) -> list[list[Candidate]]:
        found = list(await self.tools.retrieved(unit.text, self.plan.depth))
        random.Random(f"{self.plan.seed}/{unit.text}").shuffle(found)
        size = self.plan.window
        return [found[start : start + size] for start in range(0, len(found), size)]


def _objection(question: str, passage: str) -> str:
    """The reason to reject a written question; empty where there is none."""
    letters = folded(question)
    if len(letters) < 4:
        return "too short for a question"
    if len(question) > _LONGEST:
        return "too long for a question"
    return "copied from the passage" if letters in folded(passage) else ""


def _rejected(verdict: Checked, unanswered: str) -> Made | None:
    """The result without a record where the check gave no verdict, or the positive is none."""
    if verdict.lost:
        return Made.lost(verdict.lost)
    if verdict.trouble:
        return Made.rejected_for(f"not checked: {verdict.trouble}")
    return None if 0 in verdict.fine else Made.rejected_for(unanswered)


def _false_negatives(count: int) -> Counter[str]:
    return +Counter({"answers the question too": count})
