"""How a passage or a question becomes training records: three recipes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rerank.llm.calls import Request
from rerank.llm.templates import language_of
from rerank.training.duplicates import Duplicates, folded
from rerank.training.forms import ANSWERING, GRADES, MISLEADING, QUERIES, Form
from rerank.training.records import TOP_GRADE, LabelledPassage, TrainingRecord
from storage.records import Candidate, Chunk, Usage
from winnow.lab.synthesis.plans import LabelPlan, PassagePlan, QueryPlan
from winnow.lab.synthesis.questions import AskedQuestion
from winnow.lab.synthesis.tools import LATER, Made, Tools, divided, false, labelled, lost, rejected

# A question longer than this is no question any more.
_LONGEST = 500
# What stands for a written text in an estimate.
_SOME_WORDS = "word " * 150


class Queries:
    """Questions for a passage: written, found again by retrieval, checked."""

    def __init__(self, plan: QueryPlan, tools: Tools) -> None:
        self._plan = plan
        self._tools = tools
        self._prompt = tools.bench.templates.fingerprint(QUERIES, *([GRADES] * tools.check.calls))

    async def make(self, unit: Chunk) -> Made:
        reading = await self._tools.scribe.fill(
            QUERIES, language_of(unit.text), self._plan.per_passage, passages=[unit.encoded_text]
        )
        if reading.value is None:
            return lost(reading.lost)
        share = divided(reading.usage, len(reading.value))
        made = Made()
        for question in reading.value:
            made += await self._one(question, unit, share)
        return made

    async def requests(self, unit: Chunk) -> Sequence[Request]:
        language, text = language_of(unit.text), unit.encoded_text
        first = self._tools.request(QUERIES, language, self._plan.per_passage, passages=[text])
        check = self._tools.check_requests(text[:80], [text] * (1 + self._looked_at))
        return [first, *check * self._plan.per_passage]

    @property
    def _looked_at(self) -> int:
        """Some more than are wanted: a few will turn out to answer."""
        return self._plan.negatives + (self._plan.negatives + 1) // 2

    async def _one(self, question: str, chunk: Chunk, share: Usage) -> Made:
        if reason := _objection(question, chunk.text):
            return rejected(reason)
        wanted = self._plan.checks.round_trip
        depth = max(wanted, self._looked_at + 1)
        found = (await self._tools.bench.found_in().search(question, depth)).candidates
        own = folded(chunk.text)
        same = [candidate.id == chunk.id or folded(candidate.text) == own for candidate in found]
        if not any(same[:wanted]):
            return rejected(f"its own passage is not among the first {wanted} retrieved")
        others = [candidate for candidate, equal in zip(found, same, strict=True) if not equal]
        return await self._checked(question, Candidate(chunk), others[: self._looked_at], share)

    async def _checked(
        self, question: str, positive: Candidate, others: Sequence[Candidate], share: Usage
    ) -> Made:
        verdict = await self._tools.check(question, [positive, *others])
        if verdict.lost:
            return lost(verdict.lost)
        if verdict.trouble:
            return rejected(f"not checked: {verdict.trouble}")
        if 0 not in verdict.fine:
            return rejected("its own passage does not answer it")
        passages = [positive, *others]
        kept = [i for i in range(1, len(passages)) if i in verdict.fine][: self._plan.negatives]
        scores = verdict.scores or [None] * len(passages)
        record = TrainingRecord(
            query=question,
            passages=tuple(labelled(passages[i], int(i == 0), scores[i]) for i in (0, *kept)),
            language=language_of(question),
            provenance=self._tools.provenance(
                "queries",
                self._prompt,
                positive.chunk.source,
                (share + verdict.usage).cost,
                question,
                positive.id,
            ),
        )
        return Made((record,), dropped=false(len(passages) - len(verdict.fine)))


class Passages:
    """Passages for a question: one that answers, others that only look so; checked."""

    def __init__(self, plan: PassagePlan, tools: Tools) -> None:
        self._plan = plan
        self._tools = tools
        forms: list[Form[Any]] = [ANSWERING, MISLEADING, *([GRADES] * tools.check.calls)]
        self._prompt = tools.bench.templates.fingerprint(*forms)

    async def make(self, unit: AskedQuestion) -> Made:
        language, scribe = language_of(unit.text), self._tools.scribe
        answering = await scribe.fill(ANSWERING, language, 1, question=unit.text)
        if answering.value is None:
            return lost(answering.lost)
        misleading = await scribe.fill(
            MISLEADING, language, self._plan.negatives, question=unit.text, passages=[answering.value]
        )
        if misleading.value is None:
            return lost(misleading.lost)
        known = Duplicates()
        written = [text for text in (answering.value, *misleading.value) if not known.seen(text)]
        repeated = 1 + len(misleading.value) - len(written)
        verdict = await self._tools.check(
            unit.text, [Candidate.from_text(text, id=f"written-{i}") for i, text in enumerate(written)]
        )
        if verdict.lost:
            return lost(verdict.lost)
        if verdict.trouble:
            return rejected(f"not checked: {verdict.trouble}")
        dropped = false(len(written) - len(verdict.fine)) + Counter({"says the same": repeated})
        if 0 not in verdict.fine:
            return rejected("the passage that was to answer does not")
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
            provenance=self._tools.provenance(
                "passages", self._prompt, self._plan.questions.name, cost, unit.text, *written
            ),
        )
        return Made((record,), dropped=+dropped)

    async def requests(self, unit: AskedQuestion) -> Sequence[Request]:
        language, n, tools = language_of(unit.text), self._plan.negatives, self._tools
        return [
            tools.request(ANSWERING, language, 1, unit.text),
            tools.request(MISLEADING, language, n, unit.text, [_SOME_WORDS]),
            *tools.check_requests(unit.text, [_SOME_WORDS] * (1 + n)),
        ]


class Labels:
    """Grades for the passages that retrieval finds for a question.

    Before they are shown the passages are shuffled, so that no grade follows from a place.
    """

    def __init__(self, plan: LabelPlan, tools: Tools) -> None:
        self._plan = plan
        self._tools = tools
        self._prompt = tools.bench.templates.fingerprint(GRADES)

    async def make(self, unit: AskedQuestion) -> Made:
        windows = await self._windows(unit)
        if not windows:
            return rejected("nothing was retrieved")
        graded: list[LabelledPassage] = []
        usage, dropped = Usage(), Counter[str]()
        for window in windows:
            reading = await self._tools.scribe.fill(
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
            graded += [labelled(c, grade) for c, grade in zip(window, reading.value, strict=True)]
        if not graded:
            return rejected("no reply could be used")
        record = TrainingRecord(
            query=unit.text,
            passages=tuple(sorted(graded, key=lambda passage: -passage.label)),
            top_label=TOP_GRADE,
            id=unit.id,
            language=language_of(unit.text),
            provenance=self._tools.provenance(
                "labels",
                self._prompt,
                self._plan.questions.name,
                usage.cost,
                unit.text,
                *(passage.id for passage in graded),
            ),
        )
        return Made((record,), dropped=dropped)

    async def requests(self, unit: AskedQuestion) -> Sequence[Request]:
        language = language_of(unit.text)
        return [
            self._tools.request(
                GRADES, language, len(window), unit.text, [c.chunk.encoded_text for c in window]
            )
            for window in await self._windows(unit)
        ]

    async def _windows(self, unit: AskedQuestion) -> list[list[Candidate]]:
        found = list((await self._tools.bench.found_in().search(unit.text, self._plan.depth)).candidates)
        random.Random(f"{self._plan.seed}/{unit.text}").shuffle(found)
        size = self._plan.window
        return [found[start : start + size] for start in range(0, len(found), size)]


def _objection(question: str, passage: str) -> str:
    """Why a written question is none worth asking; empty where it is."""
    letters = folded(question)
    if len(letters) < 4:
        return "too short for a question"
    if len(question) > _LONGEST:
        return "too long for a question"
    return "copied from the passage" if letters in folded(passage) else ""
