"""Fusion: combines the legs of retrieval and other rerankers, so that no single one decides.

By default late interaction with both legs (a little of the lexical one where the question is Chinese), as
standardised scores (docs/evaluation.md has the figures). `rerank.fused_lists` has the arithmetic.

A passage that alone holds a code or name of the question comes first (`rerank.identifiers`).

With `read`, the cross-encoder then reads that many of the best, as far as it can read them, and orders them.
It is the better judge of what it reads, so that mixing the others in would cost. Chinese questions are for
winnow's own (`rerank.cross.chinese`), which is no better than the others, and with them better than either.
What it cannot read, such as passages in another language, keeps its place among those that it read. Where
none can read the question, the others decide alone: that is how such a question is judged, and no failure.
While many questions wait for it, it reads only where the others hesitate, and the outcome says so.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Annotated, Protocol

from pydantic import Field

from rerank.base import Reranker, by_score, check_top_k, flagged, gathered, in_order, probability, unchanged
from rerank.fused_lists import FusionMethod, ScoreList, fused, list_of, member_list, standardised
from rerank.identifiers import only_holders, without_spaces
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.spec import Spec, Value
from storage.errors import SpecError
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking

_LEGS = ("dense", "lexical")
# Characters and their pairs, which stand for words in a Chinese question, tell less than words.
_CHARACTERS = 0.15
# The weight of a standard deviation of the others' scores against the cross-encoder's log-odds, and against
# those of winnow's own: docs/evaluation.md.
_OTHERS, _OTHERS_CHINESE = 0.3, 4.0
# From this many scores on a standard deviation of them is worth its weight.
_MANY = 16
# Below this weight of the others the cross-encoder may do without them.
_DECIDES_ALONE = 1.0
# This many of the best are judged by their nearest part, too, unless the cross-encoder is sure.
_CLOSER = 3
# By this many standard deviations of the best scores the first is clearly ahead of the second.
_CLEAR = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionOptions:
    """`of`: specs, separated by `;`, each with weight 1. `dense`, `lexical`: the weights of the legs; a leg
    that searched alone counts half.

    `retrieval`: the weight of the incoming order (`rrf`), or of retrieval's scores (`max`, `zscore`).
    `k`: the constant of `rrf`. `read`: how many of the best the cross-encoder reads; with `sure`, no more
    once one of them has these log-odds.
    """

    of: str = "late-interaction"
    read: Annotated[int, Field(ge=0)] = 0
    sure: float | None = None
    method: FusionMethod = "zscore"
    dense: Annotated[float, Field(ge=0)] = 1.0
    lexical: Annotated[float, Field(ge=0)] = 1.0
    retrieval: Annotated[float, Field(ge=0)] = 0.0
    k: Annotated[int, Field(ge=1)] = 60

    @property
    def specs(self) -> list[Spec]:
        """The members' specs. Raises SpecError."""
        return [Spec.parse(text) for text in self.of.split(";")]


class Reader(Reranker, Protocol):
    """A reranker that knows what it can read; its scores are log-odds.

    `crowd` is how many questions wait for it, where these are too many for each to read all; or 0.
    """

    @property
    def crowd(self) -> int: ...

    def reads(self, text: str) -> bool:
        """True if its score of the text would mean something."""
        ...


class Fusion:
    """Runs its members concurrently over all candidates. A member that falls back is left out and flagged."""

    needs = "what its members need"
    declares = FusionOptions

    def __init__(
        self,
        name: str,
        members: Sequence[Reranker],
        options: FusionOptions,
        readers: Sequence[tuple[Reader, float]] = (),
    ) -> None:
        """`readers`, each with the weight of the others: the first that can read a question is asked."""
        self.name = name
        self._members = members
        self._options = options
        self._readers = readers

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Fusion:
        from rerank.chain import Chain  # a chain may hold a fusion, which holds chains

        chosen = read_options(FusionOptions, name, options)
        readers = _readers(parts, f"{name}.cross-encoder", chosen) if chosen.read else ()
        specs = chosen.specs
        if len({spec.stages[-1].name for spec in specs}) < len(specs):
            raise SpecError(f"{name}: two members of `of` end in the same strategy")
        members = [Chain.load(spec, parts, prefix=f"{name}.") for spec in specs]
        return cls(name, members, chosen, readers)

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - its default member asks nothing over the network
        return 0

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if not candidates:
            return Ranking((), (Outcome(self.name),))
        given, blank = candidates, [one for one in candidates if not one.chunk.encoded_text.strip()]
        candidates = [one for one in given if one not in blank]
        if not candidates:
            return unchanged(given, top_k, Outcome(self.name, "fallback", _illegible(blank, given)))
        ranking = await self._judged(query, candidates)
        if first := set(only_holders(query, [candidate.text for candidate in ranking.candidates])):
            order = sorted(range(len(candidates)), key=lambda place: place not in first)
            ordered = [(one, one.scores.get(self.name)) for one in map(ranking.candidates.__getitem__, order)]
            ranking = self._ranked(ranking.outcomes, ordered)
        if blank:  # says nothing, so that nobody can judge it
            *others, own = ranking.outcomes
            ordered = [(one, one.scores.get(self.name)) for one in ranking.candidates]
            ordered += [(one, None) for one in blank]
            own = flagged(own, "partial", _illegible(blank, given))
            ranking = self._ranked((*others, own), ordered)
        return Ranking(ranking.candidates[:top_k], ranking.outcomes, ranking.candidates[top_k:])

    async def _judged(self, query: str, candidates: Sequence[Candidate]) -> Ranking:
        """All candidates, ranked by all judges that can read the question."""
        reader, weight = next((one for one in self._readers if one[0].reads(query)), (None, 0.0))
        if reader is None:
            return await self._by_members(query, candidates)
        searched = any(leg in c.ranks for leg in _LEGS for c in candidates)
        few = len(candidates) <= self._options.read
        alone = weight < _DECIDES_ALONE and few and not searched
        if alone and all(reader.reads(c.chunk.encoded_text) for c in candidates):
            # texts that no search brought have no vectors: to encode them costs as much as to read them
            ranking = Ranking(tuple(candidates), (Outcome(self.name),))
        else:
            ranking = await self._by_members(query, candidates)
        return await self._read(reader, weight, query, ranking)

    async def _by_members(self, query: str, candidates: Sequence[Candidate]) -> Ranking:
        """All candidates, ranked by the members and the legs."""
        n = len(candidates)
        rankings = await gathered([partial(one.rerank, query, candidates, n) for one in self._members])
        useful = [ranking for ranking in rankings if ranking.outcome.status != "fallback"]
        outcome = Outcome(self.name)
        members = tuple(o for ranking in rankings for o in ranking.outcomes)
        if not useful:
            reasons = Reason.all(ranking.outcomes[-1].reason for ranking in rankings)
            ranking = unchanged(candidates, n, Outcome(self.name, "fallback", reasons))
        else:
            if lost := len(rankings) - len(useful):
                outcome = flagged(outcome, "partial", Reason("rerank.members-fell-back", count=lost))
            scores, outcome = self._fused(query, candidates, useful, outcome)
            ranking = by_score(self.name, _merged(candidates, useful), scores, n, outcome)
        return Ranking(ranking.candidates, (*members, *ranking.outcomes))

    async def _read(self, reader: Reader, weight: float, query: str, ranking: Ranking) -> Ranking:
        """Let the cross-encoder order the first of the candidates, as far as it can read them.

        Those that it cannot read keep their places. `weight` is that of the others' judgement.
        """
        best = ranking.candidates[: self._options.read]
        if (waiting := reader.crowd) and self._is_clear(best):
            *others, own = ranking.outcomes
            skipped = Outcome(reader.name, "partial", Reason("rerank.clear-without", count=waiting))
            return Ranking(ranking.candidates, (*others, skipped, own))
        places = [place for place, one in enumerate(best) if reader.reads(one.chunk.encoded_text)]
        if not places:
            return ranking
        started = time.perf_counter()
        read = await reader.rerank(query, [best[place] for place in places], len(places))
        ms = (time.perf_counter() - started) * 1000
        *others, own = ranking.outcomes
        outcomes = (*others, replace(read.outcomes[-1], ms=ms), own)
        if read.outcome.status == "fallback":
            lost = flagged(own, "partial", Reason("rerank.members-fell-back", count=1))
            return Ranking(ranking.candidates, (*outcomes[:-1], lost))
        if own.status == "fallback":  # the cross-encoder judged alone
            outcomes = (*outcomes[:-1], replace(own, status="partial"))
        judged = standardised(
            {c.id: c.scores[self.name] for c in ranking.candidates if self.name in c.scores}
        )
        weight *= min(1.0, len(judged) / _MANY)  # of few scores any difference is large
        scores = {
            one.id: probability(one.scores[reader.name] + weight * judged.get(one.id, 0.0))
            for one in read.candidates
            if reader.name in one.scores
        }
        order = sorted(read.candidates, key=lambda one: -scores.get(one.id, -1.0))
        at = dict(zip(places, order, strict=True))
        ordered = [at.get(place, one) for place, one in enumerate(ranking.candidates)]
        return self._ranked(outcomes, [(one, scores.get(one.id)) for one in ordered])

    def _is_clear(self, best: Sequence[Candidate]) -> bool:
        """True where the others put the first of these clearly before the second."""
        scores = [one.scores[self.name] for one in best if self.name in one.scores]
        # of two or three any difference is as large
        return len(scores) > 3 and scores[0] - scores[1] > _CLEAR * statistics.pstdev(scores)

    def _ranked(
        self, outcomes: Sequence[Outcome], ordered: Sequence[tuple[Candidate, float | None]]
    ) -> Ranking:
        return Ranking(in_order(self.name, ordered, len(ordered), outcomes[-1]).candidates, tuple(outcomes))

    def _fused(
        self, query: str, candidates: Sequence[Candidate], rankings: Sequence[Ranking], outcome: Outcome
    ) -> tuple[list[float], Outcome]:
        lists = [member_list(ranking) for ranking in rankings] + self._incoming(query, candidates)
        if len(lists) == 1:
            outcome = flagged(outcome, "ok", Reason("rerank.nothing-to-fuse"))
        scores, unused = fused(candidates, lists, self._options.method, self._options.k)
        for one in unused:
            outcome = flagged(outcome, "partial", Reason("rerank.list-without-scores", list=one.name))
        return scores, outcome

    def _incoming(self, query: str, candidates: Sequence[Candidate]) -> list[ScoreList]:
        """The candidates' own lists. Where only one leg searched, that one counts half."""
        share = _CHARACTERS if without_spaces(query) else 1.0
        weights = {"dense": self._options.dense, "lexical": self._options.lexical * share}
        legs = [list_of(candidates, leg, weights[leg]) for leg in _LEGS]
        found = [one for one in legs if one.ranks]
        if len(found) == 1:  # docs/evaluation.md
            found = [replace(found[0], weight=found[0].weight / 2)]
        places = {candidate.id: place for place, candidate in enumerate(candidates, start=1)}
        scores = list_of(candidates, "retrieval", 1).scores
        found.append(ScoreList("retrieval", self._options.retrieval, places, scores))
        return [one for one in found if one.weight and one.ranks]


def _readers(parts: RerankParts, name: str, chosen: FusionOptions) -> list[tuple[Reader, float]]:
    from rerank.strategies.cross_encoder import CHINESE, CrossEncoder

    sure = {} if chosen.sure is None else {"sure": chosen.sure}
    load = partial(CrossEncoder.load, parts, name, scale="logit", closer=_CLOSER, **sure)
    if parts.chinese is None:
        return [(load(), _OTHERS)]
    # never sure, so that it reads all; under load a few at a time
    own = CrossEncoder.load(parts, name, model=CHINESE, scale="logit", sure=math.inf)
    parts.needed_folder(name, parts.cross_encoder)  # one that is missing is an error here, not at a question
    return [(own, _OTHERS_CHINESE), (_Later(name, load), _OTHERS)]


class _Later:
    """A reader that is loaded for the first question that another does not read."""

    def __init__(self, name: str, load: Callable[[], Reader]) -> None:
        self.name = name
        self._load = load

    @cached_property
    def _reader(self) -> Reader:
        return self._load()

    @property
    def crowd(self) -> int:
        return self._reader.crowd

    def reads(self, text: str) -> bool:
        return self._reader.reads(text)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        return await self._reader.rerank(query, candidates, top_k)


def _illegible(some: Sequence[Candidate], of: Sequence[Candidate]) -> Reason:
    return Reason("rerank.passages-illegible", count=len(some), total=len(of))


def _merged(candidates: Sequence[Candidate], rankings: Sequence[Ranking]) -> list[Candidate]:
    """The candidates in their own order, with every member's ranks and scores."""
    merged = list(candidates)
    for ranking in rankings:
        ranked = {candidate.id: candidate for candidate in ranking.everything}
        merged = [_joined(candidate, ranked[candidate.id]) for candidate in merged]
    return merged


def _joined(one: Candidate, other: Candidate) -> Candidate:
    return replace(
        one,
        ranks={**one.ranks, **other.ranks},
        scores={**one.scores, **other.scores},
        evidence={**one.evidence, **other.evidence},
    )
