"""Stages that repeat what the log holds of an answer, so that a replay needs no vector store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from generation.followup import STAGE as REWRITE
from generation.followup import Rewrite, Turn
from rerank.base import in_order
from retrieval.expansion import STAGE as EXPAND
from retrieval.expansion import Expander, Expansion
from storage.reasons import Reason
from storage.records import Answer, Candidate, Chunk, Outcome, Ranking, Retrieval, part_name, worst
from storage.vectors import Floats, TokenEncoder, max_sim
from winnow.app.in_parts.dividing import Division
from winnow.app.in_parts.ranking import seen_by

T = TypeVar("T")

# the names of what retrieval adds, those of sub-questions included
_LEG = re.compile(r"dense|lexical|retrieval|code|part-\d+(?:\.(?:dense|lexical|code))?")


def retrieved(answer: Answer) -> tuple[Candidate, ...]:
    """Return the candidates as retrieval did, with its order, ranks and scores alone."""
    bare = (
        replace(
            candidate,
            ranks={leg: rank for leg, rank in candidate.ranks.items() if _LEG.fullmatch(leg)},
            scores={leg: score for leg, score in candidate.scores.items() if _LEG.fullmatch(leg)},
            evidence={},
        )
        for candidate in answer.candidates
    )
    return tuple(sorted(bare, key=lambda candidate: candidate.ranks.get("retrieval", len(answer.candidates))))


class LoggedRetriever:
    """A Retriever that repeats the logged candidates, those of a sub-question where it is asked one."""

    def __init__(self, candidates: Sequence[Candidate], parts: Sequence[str] = ()) -> None:
        self._candidates = tuple(candidates)
        self._parts = {part: seen_by(n, candidates) for n, part in enumerate(parts, start=1)}

    async def search(self, query: str, top_k: int) -> Retrieval:
        return Retrieval(tuple(self._parts.get(query, self._candidates))[:top_k])


class LoggedDivider:
    """A Divider that repeats the logged division, at no cost."""

    def __init__(self, division: Division | None) -> None:
        self._division = division

    async def divide(self, question: str) -> Division | None:  # noqa: ARG002
        return self._division


def part_of(answer: Answer, n: int, question: str) -> Answer:
    """Return what an answer holds of its n-th sub-question, as if that had been asked alone."""
    prefix = f"{part_name(n)}."
    stages = (
        replace(stage, name=stage.name.removeprefix(prefix))
        for stage in answer.stages
        if stage.name.startswith(prefix)
    )
    return replace(
        answer, question=question, candidates=tuple(seen_by(n, answer.candidates)), stages=tuple(stages)
    )


class EncodedPassages:
    """Vectors of given passages, encoded on first use, in place of a store's."""

    def __init__(self, encoder: TokenEncoder, candidates: Sequence[Candidate]) -> None:
        self._encoder = encoder
        self._texts = {c.id: c.chunk.encoded_text for c in candidates if c.chunk.legible}
        self._tokens: dict[str, Floats] = {}
        self._dense: dict[str, Floats] = {}

    def max_sim(self, query: Floats, chunk_ids: Sequence[str]) -> dict[str, float]:
        """See `storage.qdrant.contract.TokenScorer`."""
        return {id_: max_sim(query, tokens) for id_, tokens in self.token_vectors(chunk_ids).items()}

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        """See `storage.qdrant.contract.TokenScorer`."""
        self._encode([id_ for id_ in chunk_ids if id_ not in self._tokens], tokens=True)
        return {id_: self._tokens[id_] for id_ in chunk_ids if id_ in self._tokens}

    def dense_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        """See `storage.qdrant.contract.TokenScorer`."""
        self._encode([id_ for id_ in chunk_ids if id_ not in self._dense], tokens=False)
        return {id_: self._dense[id_] for id_ in chunk_ids if id_ in self._dense}

    def _encode(self, chunk_ids: Sequence[str], *, tokens: bool) -> None:
        missing = [id_ for id_ in chunk_ids if id_ in self._texts]
        encodings = self._encoder.encode_passages([self._texts[id_] for id_ in missing], tokens=tokens)
        for id_, encoding in zip(missing, encodings, strict=True):
            if encoding.tokens is not None:
                self._tokens[id_] = encoding.tokens
            self._dense[id_] = encoding.dense


class LoggedStage:
    """A Reranker that repeats a stage's logged ranking, and those of its members (for a fusion)."""

    def __init__(self, name: str, answer: Answer) -> None:
        self.name = name
        self._logged = {candidate.id: candidate for candidate in answer.candidates}
        members = [outcome for outcome in answer.stages if outcome.name.startswith(f"{name}.")]
        own = [outcome for outcome in answer.stages if outcome.name == name]
        # their cost was paid then; their status and reason still hold
        self._outcomes = tuple(Outcome(then.name, then.status, then.reason) for then in [*members, *own])
        scored = any(name in candidate.scores for candidate in answer.candidates)
        # one that was skipped, its gate being open, would have scored (rerank.chain)
        self._reasons = Reason.of(self._outcomes[-1].reason).parts
        self.scores = scored or any(part.code == "rerank.skipped" for part in self._reasons)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:  # noqa: ARG002
        known = [self._as_logged(candidate) for candidate in candidates]
        known.sort(key=lambda candidate: candidate.ranks.get(self.name, len(candidates) + 1))
        scored = [(candidate, candidate.scores.get(self.name)) for candidate in known]
        # passages that said the same as others were dropped then
        twins = sum(part.values["count"] for part in self._reasons if part.code == "rerank.twins-folded")
        ranking = in_order(self.name, scored, max(1, min(top_k, len(known) - twins)), self._outcomes[-1])
        return replace(ranking, outcomes=self._outcomes)

    def _as_logged(self, candidate: Candidate) -> Candidate:
        then = self._logged.get(candidate.id)
        if then is None:
            return candidate
        names = [outcome.name for outcome in self._outcomes]
        return replace(
            candidate,
            ranks={**candidate.ranks, **_of(names, then.ranks)},
            scores={**candidate.scores, **_of(names, then.scores)},
            evidence={**candidate.evidence, **_of(names, then.evidence)},
        )


def _of(names: Sequence[str], logged: Mapping[str, T]) -> dict[str, T]:
    return {name: logged[name] for name in names if name in logged}


class LoggedStages:
    """A Reranker that repeats what a stage gave each sub-question."""

    def __init__(self, name: str, parts: Sequence[Answer]) -> None:
        self.name = name
        self._parts = {part.question: LoggedStage(name, part) for part in parts}
        self.scores = any(stage.scores for stage in self._parts.values())

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        return await self._parts[query].rerank(query, candidates, top_k)


class LoggedRewriter:
    """A Rewriter that repeats the logged rewrite, at no cost."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def rewrite(self, question: str, turns: Sequence[Turn]) -> Rewrite:  # noqa: ARG002
        then = next((stage for stage in self._answer.stages if stage.name == REWRITE), Outcome(REWRITE))
        prompt = self._answer.follow_up.prompt if self._answer.follow_up else ""
        return Rewrite(self._answer.understood, Outcome(REWRITE, then.status, then.reason), prompt)


class LoggedExpander:
    """An Expander over the logged passages alone."""

    def __init__(self, original: Answer, reach: int) -> None:
        self._final = {candidate.id for candidate in original.final}
        self._then = next((stage for stage in original.stages if stage.name == EXPAND), None)
        self._expander = Expander(_LoggedPassages(original), reach)

    async def expand(self, final: Sequence[Candidate]) -> Expansion:
        """See `Expander.expand`. Passages that were not final then have no neighbours in the log."""
        expansion = await self._expander.expand(final)
        others = sum(candidate.id not in self._final for candidate in final)
        outcome = expansion.outcome
        if self._then is not None and self._then.status != "ok":
            # its problems then still show in what was logged
            outcome = replace(outcome, status=self._then.status, reason=self._then.reason)
        if others:
            lost = Reason("winnow.app.no-logged-neighbours", n=others, of=len(final))
            status = worst((outcome.status, "partial"))
            outcome = replace(outcome, status=status, reason=Reason.all([outcome.reason, lost]))
        return replace(expansion, outcome=outcome)


class _LoggedPassages:
    def __init__(self, original: Answer) -> None:
        self._chunks = [*original.neighbours, *(candidate.chunk for candidate in original.final)]

    def neighbours(self, chunks: Sequence[Chunk], reach: int) -> list[Chunk]:
        """See `storage.qdrant.contract.Neighbourhood`."""
        wanted = {
            (chunk.document_id, chunk.ordinal + step) for chunk in chunks for step in range(-reach, reach + 1)
        }
        return [chunk for chunk in self._chunks if (chunk.document_id, chunk.ordinal) in wanted]
