"""Replaying a logged answer: its own candidates through another chain, with no vector store at all.

A stage that the new chain shares with the logged one, under the same conditions, takes its logged ranks and
scores, and so gives the same ranking at no cost. Any other stage is computed anew, and the replay says why.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from generation.followup import STAGE as REWRITE
from generation.followup import Rewrite, Turn
from rerank.base import in_order
from rerank.spec import Spec
from storage.errors import BadInputError, SpecError
from storage.reasons import Reason
from storage.records import Answer, Candidate, Outcome, Ranking, Retrieval
from storage.vectors import Floats, max_sim
from winnow.app import asking
from winnow.app.asked import Asked
from winnow.app.conversation import Conversation
from winnow.app.logged_neighbours import LoggedExpander
from winnow.app.similarity import overlap, rank_biased_overlap
from winnow.app.stages import Stages

if TYPE_CHECKING:
    from rerank.base import Reranker
    from rerank.parts import TokenEncoder
    from winnow.app.wiring import Wiring

T = TypeVar("T")

_LEGS = ("dense", "lexical", "retrieval")


@dataclass(frozen=True, slots=True)
class Replay:
    """An answer and its replay. `recomputed` says of each stage that was computed anew, why."""

    original: Answer
    answer: Answer
    recomputed: Mapping[str, str]

    @property
    def overlap(self) -> float:
        """The share (0 to 1) of the final passages that both have."""
        return overlap(_ids(self.original), _ids(self.answer))

    @property
    def rbo(self) -> float:
        """Rank-biased overlap (0 to 1) of the two final rankings."""
        return rank_biased_overlap(_ids(self.original), _ids(self.answer))


async def replay(
    original: Answer,
    wiring: Wiring,
    *,
    rerank: str | None = None,
    answerer: str | None = None,
    top_k: int | None = None,
) -> Replay:
    """Run the logged candidates through a chain (default: the logged one) and an answerer.

    The answer has a new id and is not logged here. Raises SpecError where the spec does not parse, or the
    logged one was a reranker of the user's own.
    """
    keep = top_k or original.top_k_rerank
    spec = _spec(rerank or original.rerank, keep)
    conditions = wiring.conditions()
    recomputed, logged = _split(original, spec, conditions)
    candidates = retrieved(original)
    vectors = EncodedPassages(wiring.encoder, [*candidates, *map(Candidate, original.neighbours)])
    reach = int(original.fingerprints.get("expand", 0))
    chain = wiring.chain(spec, vectors, ready=logged)
    stages = Stages(
        retriever=_Logged(candidates),
        reranker=chain,
        generator=wiring.generator(vectors, answerer or _answerer(original), scored_by=chain.scored_by),
        collection=original.collection,
        rerank=rerank or original.rerank,
        fingerprints={**original.fingerprints, **conditions},
        rewriter=_LoggedRewriter(original),
        expander=LoggedExpander(original, reach) if reach else None,
    )
    asked = Asked(original.question, max(1, len(candidates)), keep, rerank=rerank, answerer=answerer)
    with wiring.tracing.question("replay", asked.question, stages) as traced:
        answer = await asking.ask(asked, traced.stages, _followed(original))
        traced.done(answer)
    return Replay(original, replace(answer, top_k_retrieve=original.top_k_retrieve), recomputed)


def beside(original: Answer, answer: Answer) -> Replay:
    """A logged replay beside its original: what `replay` gave when it was made."""
    try:
        spec = Spec.parse(answer.rerank)
    except SpecError:  # of a package that is gone
        return Replay(original, answer, {})
    # its fingerprints hold the conditions under which it ran
    recomputed, _ = _split(original, spec, answer.fingerprints)
    return Replay(original, answer, recomputed)


def retrieved(answer: Answer) -> tuple[Candidate, ...]:
    """The candidates as retrieval gave them: its order, its ranks and scores alone."""
    bare = (
        replace(
            candidate,
            ranks={leg: rank for leg, rank in candidate.ranks.items() if leg in _LEGS},
            scores={leg: score for leg, score in candidate.scores.items() if leg in _LEGS},
            evidence={},
        )
        for candidate in answer.candidates
    )
    return tuple(sorted(bare, key=lambda candidate: candidate.ranks.get("retrieval", len(answer.candidates))))


class EncodedPassages:
    """Token vectors of given passages, encoded when first asked for: what a store would have kept."""

    def __init__(self, encoder: TokenEncoder, candidates: Sequence[Candidate]) -> None:
        self._encoder = encoder
        self._texts = {c.id: c.chunk.encoded_text for c in candidates if c.chunk.legible}
        self._tokens: dict[str, Floats] = {}

    def max_sim(self, query: Floats, chunk_ids: Sequence[str]) -> dict[str, float]:
        """See `storage.qdrant.contract.TokenScorer`."""
        return {id_: max_sim(query, tokens) for id_, tokens in self.token_vectors(chunk_ids).items()}

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        """See `storage.qdrant.contract.TokenScorer`."""
        missing = [id_ for id_ in chunk_ids if id_ in self._texts and id_ not in self._tokens]
        encodings = self._encoder.encode_passages([self._texts[id_] for id_ in missing], tokens=True)
        for id_, encoding in zip(missing, encodings, strict=True):
            if encoding.tokens is not None:
                self._tokens[id_] = encoding.tokens
        return {id_: self._tokens[id_] for id_ in chunk_ids if id_ in self._tokens}


class LoggedStage:
    """A Reranker that gives a stage's logged ranking again, and those of its members (a fusion's)."""

    def __init__(self, name: str, answer: Answer) -> None:
        self.name = name
        self._logged = {candidate.id: candidate for candidate in answer.candidates}
        members = [outcome for outcome in answer.stages if outcome.name.startswith(f"{name}.")]
        own = [outcome for outcome in answer.stages if outcome.name == name]
        # what they cost was paid then; their status and reason still hold
        self._outcomes = tuple(Outcome(then.name, then.status, then.reason) for then in [*members, *own])
        scored = any(name in candidate.scores for candidate in answer.candidates)
        # one that was skipped, its gate being open, would have scored (rerank.chain)
        self.scores = scored or any(
            part.code == "rerank.skipped" for part in Reason.of(self._outcomes[-1].reason).parts
        )

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:  # noqa: ARG002
        known = [self._as_logged(candidate) for candidate in candidates]
        known.sort(key=lambda candidate: candidate.ranks.get(self.name, len(candidates) + 1))
        scored = [(candidate, candidate.scores.get(self.name)) for candidate in known]
        ranking = in_order(self.name, scored, top_k, self._outcomes[-1])
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


class _Logged:
    """A Retriever that gives the logged candidates again."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = tuple(candidates)

    async def search(self, query: str, top_k: int) -> Retrieval:  # noqa: ARG002
        started = time.perf_counter()
        return Retrieval(
            self._candidates[:top_k], Outcome("retrieval", ms=(time.perf_counter() - started) * 1000)
        )


class _LoggedRewriter:
    """A Rewriter that gives the logged rewrite again, at no cost."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def rewrite(self, question: str, turns: Sequence[Turn]) -> Rewrite:  # noqa: ARG002
        then = next((stage for stage in self._answer.stages if stage.name == REWRITE), Outcome(REWRITE))
        prompt = self._answer.follow_up.prompt if self._answer.follow_up else ""
        return Rewrite(self._answer.understood, Outcome(REWRITE, then.status, then.reason), prompt)


def _followed(original: Answer) -> Conversation | None:
    """A follow-up stays one: its question is understood as it was then."""
    return None if original.follow_up is None else Conversation((), original.follow_up.answer_id)


def _split(
    original: Answer, spec: Spec, conditions: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, Reranker]]:
    """Stages to compute anew, with the reason, and those that the log can give."""
    try:
        before = Spec.parse(original.rerank)
    except SpecError:  # a user's own reranker
        before = Spec(())
    outcomes = {outcome.name: outcome for outcome in original.stages}
    recomputed: dict[str, str] = {}
    logged: dict[str, Reranker] = {}
    for place, (name, stage) in enumerate(zip(spec.names, spec.stages, strict=True)):
        changed = [
            f"{what}: {original.fingerprints[what]} → {now}"
            for what, now in conditions.items()
            if original.fingerprints.get(what, now) != now
        ]
        if recomputed:
            recomputed[name] = "an earlier stage is computed anew"
        elif place >= len(before.stages) or before.stages[place].name != stage.name:
            recomputed[name] = "it was not in the logged chain"
        elif before.stages[place].options != stage.options:
            recomputed[name] = f"its options changed: {before.stages[place]} → {stage}"
        elif name not in outcomes or outcomes[name].status == "fallback":
            recomputed[name] = "it fell back then"
        elif changed:
            recomputed[name] = f"changed since: {'; '.join(changed)}"
        else:
            logged[name] = LoggedStage(name, original)
    return recomputed, logged


def _spec(text: str, top_k: int) -> Spec:
    try:
        return Spec.parse(text, top_k=top_k)
    except SpecError as error:
        raise SpecError(str(error), way_out=error.way_out or "Name the chain: --rerank SPEC") from error


def _answerer(original: Answer) -> str:
    if original.answerer == "extractive":
        return "extractive"
    if not original.prompt:  # no chat model of ours answered: nothing may be sent to one unasked
        raise BadInputError(
            f"answer {original.id} was given by {original.answerer!r}, which cannot be asked again",
            way_out="Choose who answers the replay: --answerer extractive, or --answerer openai.",
        )
    return "openai"


def _ids(answer: Answer) -> list[str]:
    return [candidate.id for candidate in answer.final]
