"""`winnow mine`: hard negatives from a collection or a corpus, and from what people judged in the log.

Positive-aware (NV-Retriever, TopK-PercPos: Moreira et al. 2024, arXiv 2407.15831): a negative scores at least
a share of the positive's score below it, so that what scores like the positive, and may well answer, is left
out. The same input gives the same file, byte for byte.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rerank.chain import Chain
from rerank.llm.templates import language_of
from rerank.spec import Spec
from rerank.training.duplicates import folded
from rerank.training.records import LabelledPassage, Provenance, RecordWriter, TrainingRecord
from storage.qdrant.contract import DENSE, LEXICAL
from storage.records import Candidate
from winnow.app import portal
from winnow.lab.datasets.matching import contains
from winnow.lab.mining.pools import MiningPool, MiningPools, pools
from winnow.lab.progress import Progress, silent
from winnow.lab.synthesis.false_negatives import below, scored
from winnow.lab.synthesis.plans import MiningPlan, MiningReport

if TYPE_CHECKING:
    from rerank.base import Reranker
    from winnow.app.wiring import Wiring

# The legs that may have scored a positive, the most telling first.
_LEGS = (DENSE, LEXICAL)


def mine(plan: MiningPlan, wiring: Wiring, progress: Progress = silent) -> MiningReport:
    """Write records with positives and hard negatives to `plan.out`; the report says what was left out.

    Raises BadInputError for a source that cannot be read (with its line), NotFoundError for a missing
    collection, and what loading a reranker raises.
    """
    started = time.perf_counter()
    with pools(plan, wiring, progress) as found, RecordWriter(plan.out) as writer:
        reranker = _reranker(plan, wiring, found)
        miner = _Miner(plan, reranker, Counter(), Counter())
        for done, pool in enumerate(found.each(), start=1):
            record = miner.record(pool)
            if record is not None:
                writer.write(record)
                miner.count(record)
            progress("mining", done, found.total)
    return MiningReport(
        out=plan.out,
        questions=found.total,
        records=writer.count,
        negatives=miner.negatives,
        short=miner.short,
        skipped=dict(miner.skipped),
        dropped=dict(miner.dropped),
        notes=tuple(found.notes),
        seconds=round(time.perf_counter() - started, 3),
    )


def _reranker(plan: MiningPlan, wiring: Wiring, found: MiningPools) -> Reranker | None:
    if plan.rerank is None:
        return None
    parts = replace(wiring.rerank_parts(found.scorer, found.encoder), on_failure="fallback")
    return Chain.load(Spec.parse(plan.rerank), parts)


@dataclass(slots=True)
class _Miner:
    plan: MiningPlan
    reranker: Reranker | None
    skipped: Counter[str]
    dropped: Counter[str]
    negatives: int = 0
    short: int = 0

    def record(self, pool: MiningPool) -> TrainingRecord | None:
        """The record of a question, or None, counted with its reason."""
        if pool.skipped:
            self.skipped[pool.skipped] += 1
            return None
        scores, trouble = self._scores(pool)
        if trouble:
            self.skipped[f"not scored: {trouble}"] += 1
            return None
        teacher = scores if self.reranker is not None else {}
        if not pool.labelled:
            pool = _labelled_by(pool, scores)
        mined = list(self._mined(pool, scores))
        if not pool.given and not mined:
            self.skipped["no candidate is a safe negative"] += 1
            return None
        return TrainingRecord(
            query=pool.question,
            passages=tuple(
                LabelledPassage.of(candidate, label, teacher.get(candidate.id))
                for candidate, label in (*pool.labelled, *((candidate, 0) for candidate in mined))
            ),
            top_label=pool.top_label,
            id=pool.id,
            language=language_of(pool.question),
            provenance=Provenance(
                method=pool.method,
                model=self.plan.rerank or "",
                collection=pool.collection,
                origin=pool.origin,
                created_at=pool.created_at,
            ),
        )

    def count(self, record: TrainingRecord) -> None:
        found = len(record.negatives)
        self.negatives += found
        self.short += found < self.plan.negatives

    def _scores(self, pool: MiningPool) -> tuple[dict[str, float], str]:
        """Scores by passage id, on one scale: the reranker's, or those of a leg that found a positive.

        The text is the reranker's reason where it gave none.
        """
        if self.reranker is not None:
            every = [*(candidate for candidate, _ in pool.labelled), *pool.others]
            found, outcome = portal.call(scored, self.reranker, pool.question, every)
            scores = {c.id: score for c, score in zip(every, found, strict=True) if score is not None}
            return scores, "" if scores else outcome.reason or "it gives no scores"
        known = {stage for positive in pool.positives for stage in positive.scores}
        stage = next((stage for stage in (*pool.stages, *_LEGS) if stage in known), _LEGS[0])
        return _bounded(pool, stage), ""

    def _mined(self, pool: MiningPool, scores: dict[str, float]) -> Iterator[Candidate]:
        """Passages that are safe negatives, the hardest first."""
        found = 0
        positive = max((scores[one.id] for one in pool.positives if one.id in scores), default=None)
        taken = {folded(candidate.text) for candidate, _ in pool.labelled}
        ordered = pool.others
        if self.reranker is not None:
            ordered = sorted(ordered, key=lambda c: -scores.get(c.id, float("-inf")))
        for candidate in ordered[self.plan.range_min : self.plan.range_max]:
            if found == self.plan.negatives:
                return
            reason = self._objection(candidate, pool, scores.get(candidate.id), positive)
            if not reason and folded(candidate.text) in taken:
                reason = "a passage of the same text"
            if reason:
                self.dropped[reason] += 1
                continue
            taken.add(folded(candidate.text))
            found += 1
            yield candidate

    def _objection(
        self, candidate: Candidate, pool: MiningPool, score: float | None, positive: float | None
    ) -> str:
        margin, most = self.plan.relative_margin, self.plan.max_score
        if contains(candidate.text, pool.answers):
            return "holds the answer"
        if most is not None and (score is None or score > most):
            return f"scores above {most:g}"
        if margin is None:
            return ""
        if positive is None:
            return "the positive was not found: nothing is known to score below it"
        if score is None:
            return "has no score to hold against the positive's"
        if score > below(positive, margin):
            return "scores too near the positive"
        return ""


def _labelled_by(pool: MiningPool, scores: dict[str, float]) -> MiningPool:
    """The pool whose best candidate, by the reranker's scores, counts as relevant."""
    best = max(pool.others, key=lambda candidate: scores.get(candidate.id, float("-inf")))
    others = [candidate for candidate in pool.others if candidate is not best]
    return replace(pool, labelled=((best, 1),), others=others)


def _bounded(pool: MiningPool, stage: str) -> dict[str, float]:
    """A leg's scores. A candidate that it did not find scores no higher than the last that it did.

    Of what the encoder cannot read nothing is known: it may be the answer in another language.
    """
    labelled = {c.id: c.scores[stage] for c, _ in pool.labelled if stage in c.scores}
    found = {c.id: c.scores[stage] for c in pool.others if stage in c.scores}
    lowest = min([*labelled.values(), *found.values()], default=0.0)
    looked_at = (c for c in pool.others if c.chunk.legible or stage != DENSE)
    return {**{c.id: found.get(c.id, lowest) for c in looked_at}, **labelled}
