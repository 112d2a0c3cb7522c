"""Each sub-question is retrieved and ranked by itself, and the rankings take turns.

A candidate keeps its place in the retrieval of the n-th sub-question as `part-n`, that of each leg as
`part-n.dense`, and that of a rerank stage as `part-n.STAGE`; `part-n.final` counts the final ones that the
chain kept for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TypeVar

from rerank.base import Reranker, gathered
from rerank.chain import Chain
from rerank.twins import folded, without_twins
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking, Retrieval, Usage, worst
from storage.records import part_name as name_of
from winnow.app.in_parts.dividing import Division

T = TypeVar("T")

_RETRIEVAL = "retrieval"
_LEGS = ("dense", "lexical", _RETRIEVAL)
# What reciprocal rank fusion adds to a rank; the usual value.
_RANK_CONSTANT = 60

Search = Callable[[str], Awaitable[Retrieval]]


async def retrieved(questions: Sequence[str], search: Search, top_k: int) -> Retrieval:
    """The candidates of all sub-questions, which are searched at once, by reciprocal rank fusion."""
    found = await gathered([partial(search, question) for question in questions])
    fused: dict[str, Candidate] = {}
    shares: dict[str, float] = {}
    for n, retrieval in enumerate(found, start=1):
        for candidate in retrieval.candidates:
            known = fused.get(candidate.id) or replace(candidate, ranks={}, scores={})
            fused[candidate.id] = _with_part(known, n, candidate)
            share = 1 / (_RANK_CONSTANT + candidate.ranks[_RETRIEVAL])
            shares[candidate.id] = shares.get(candidate.id, 0.0) + share
    order = sorted(fused, key=lambda id_: (-shares[id_], min(fused[id_].ranks.values()), id_))
    # what is in several retrievals outweighs the best of one, which must not be cut
    first = {one.id for retrieval in found for one in retrieval.candidates[: top_k // len(found)]}
    kept = set(sorted(order, key=lambda id_: id_ not in first)[:top_k])
    order = [id_ for id_ in order if id_ in kept]
    outcomes = [retrieval.outcome for retrieval in found]
    return Retrieval(
        tuple(fused[id_].ranked(_RETRIEVAL, n, shares[id_]) for n, id_ in enumerate(order, start=1)),
        Outcome(
            _RETRIEVAL,
            worst(outcome.status for outcome in outcomes),
            Reason.all([reason for outcome in outcomes for reason in Reason.of(outcome.reason).parts])
            if any(outcome.reason for outcome in outcomes)
            else "",
            ms=max(outcome.ms for outcome in outcomes),
            usage=sum((outcome.usage for outcome in outcomes), Usage()),
        ),
    )


def one_budget(reranker: Reranker, division: Division | None) -> AbstractContextManager[None]:
    """Within it, the rankings of a divided question share one budget, from which dividing it was paid."""
    if division is None or not isinstance(reranker, Chain):
        return nullcontext()
    return reranker.one_question(division.outcome)


async def ranked(
    questions: Sequence[str], candidates: Sequence[Candidate], reranker: Reranker, top_k: int
) -> tuple[Ranking, str]:
    """The best of the first part, the best of the second, …, and a remark on what says the same.

    No passage is taken twice, nor, where the chain folds twins, two that say the same: one stays for all the
    parts that had either.
    """
    rankings = [
        await reranker.rerank(question, seen_by(n, candidates), top_k)
        for n, question in enumerate(questions, start=1)
    ]
    merged = {candidate.id: candidate for candidate in candidates}
    for n, ranking in enumerate(rankings, start=1):
        for candidate in ranking.everything:
            merged[candidate.id] = _with_stages(merged[candidate.id], n, candidate)
    turns = [merged[id_] for id_ in _in_turns([ranking.candidates for ranking in rankings])]
    alike = reranker.folds if isinstance(reranker, Chain) else None
    places, twins = (range(len(turns)), {}) if alike is None else without_twins(turns, top_k, alike)
    final = [turns[place].id for place in places][:top_k]
    instead = {turns[one].id: turns[own].id for one, own in twins.items()}
    for n, ranking in enumerate(rankings, start=1):
        own = dict.fromkeys(instead.get(candidate.id, candidate.id) for candidate in ranking.candidates)
        for place, id_ in enumerate((id_ for id_ in own if id_ in final), start=1):
            merged[id_] = merged[id_].ranked(f"{name_of(n)}.final", place)
    following = _in_turns([ranking.everything for ranking in rankings])
    ranking = Ranking(
        tuple(merged[id_] for id_ in final),
        tuple(
            replace(outcome, name=f"{name_of(n)}.{outcome.name}")
            for n, ranking in enumerate(rankings, start=1)
            for outcome in ranking.outcomes
        ),
        tuple(merged[id_] for id_ in following if id_ not in final),
    )
    return ranking, folded(turns, twins) if twins else ""


def seen_by(n: int, candidates: Iterable[Candidate], stage: str = _RETRIEVAL) -> list[Candidate]:
    """The candidates that the n-th sub-question's retrieval found, or a stage kept, as it saw them."""
    name = name_of(n)
    own = [
        replace(
            candidate,
            ranks=_own(candidate.ranks, name),
            scores=_own(candidate.scores, name),
            evidence=_own(candidate.evidence, name),
        )
        for candidate in candidates
    ]
    own = [candidate for candidate in own if stage in candidate.ranks]
    return sorted(own, key=lambda candidate: candidate.ranks[stage])


def as_taken(candidates: Iterable[Candidate], parts: int) -> list[Candidate]:
    """Final candidates with the scores of the part that placed them best, under the stages' usual names."""
    return [_as_taken(candidate, parts) for candidate in candidates]


def _as_taken(candidate: Candidate, parts: int) -> Candidate:
    n = min(
        range(1, parts + 1), key=lambda n: candidate.ranks.get(f"{name_of(n)}.final", len(candidate.ranks))
    )
    return replace(candidate, scores={**candidate.scores, **_own(candidate.scores, name_of(n))})


def _with_part(known: Candidate, n: int, candidate: Candidate) -> Candidate:
    """A candidate with its place in the retrieval of one more sub-question; a leg's own is the best one."""
    name = name_of(n)
    ranks, scores = {**known.ranks}, {**known.scores}
    for leg, rank in candidate.ranks.items():
        ranks[name if leg == _RETRIEVAL else f"{name}.{leg}"] = rank
        if leg != _RETRIEVAL and rank < ranks.get(leg, rank + 1):
            ranks[leg] = rank
            if leg in candidate.scores:
                scores[leg] = candidate.scores[leg]
    for leg, score in candidate.scores.items():
        scores[name if leg == _RETRIEVAL else f"{name}.{leg}"] = score
    return replace(known, ranks=ranks, scores=scores)


def _with_stages(known: Candidate, n: int, candidate: Candidate) -> Candidate:
    """A candidate with what the chain of one sub-question added to it."""

    def added(before: Mapping[str, T], now: Mapping[str, T]) -> dict[str, T]:
        new = {f"{name_of(n)}.{stage}": value for stage, value in now.items() if stage not in _LEGS}
        return {**before, **new}

    return replace(
        known,
        ranks=added(known.ranks, candidate.ranks),
        scores=added(known.scores, candidate.scores),
        evidence=added(known.evidence, candidate.evidence),
    )


def _own(values: Mapping[str, T], name: str) -> dict[str, T]:
    own = {key.removeprefix(f"{name}."): value for key, value in values.items() if key.startswith(f"{name}.")}
    return {**({_RETRIEVAL: values[name]} if name in values else {}), **own}


def _in_turns(rankings: Sequence[Sequence[Candidate]]) -> list[str]:
    """The ids of several rankings, one from each at a time; whichever is next and not yet taken."""
    taken: dict[str, None] = {}
    rest = [[candidate.id for candidate in reversed(ranking)] for ranking in rankings]
    while any(rest):
        for ids in rest:
            while ids and ids[-1] in taken:
                ids.pop()
            if ids:
                taken[ids.pop()] = None
    return list(taken)
