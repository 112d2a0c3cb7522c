"""TourRank (Chen et al. 2024, arXiv 2406.11678): groups send their best on, level by level: 50 → 20 → 10 → 5.

Groups mix strong and weak (i, i + G, …) and are shuffled inside, so that the incoming order weighs little. A
passage gets a point for every level that it reaches; several tournaments add up. All run concurrently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import anyio

from rerank.base import by_score, check_top_k, in_order, unchanged
from rerank.llm.judge import Court, Form, Judge, ModelOptions, Verdict
from rerank.llm.replies import read_permutation
from rerank.options import at_least, read_options
from rerank.parts import RerankParts
from rerank.spec import Value
from rerank.strategies.listwise import SCHEMA
from storage.chat import Completion
from storage.records import Candidate, Outcome, Ranking

_LARGEST = 20  # one prompt holds so many; more are split into groups of half as many
_SHARE = 0.4  # of the groups' members reach the next level
_FINAL = 5  # a tournament goes on until so few are left


@dataclass(frozen=True, slots=True, kw_only=True)
class TournamentOptions(ModelOptions):
    """`rounds`: how many tournaments are played; `seed` chooses their shuffles."""

    rounds: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        ModelOptions.__post_init__(self)
        at_least(1, rounds=self.rounds)


class Tournament:
    """Scores are points: the levels reached, summed over the tournaments."""

    needs = "a chat model"

    def __init__(self, court: Court, options: TournamentOptions) -> None:
        self.name = court.name
        self._court = court
        self._options = options

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Tournament:
        chosen = read_options(TournamentOptions, name, options)
        form = Form("tournament", _advancing, lambda n: 16 + 6 * n, schema=SCHEMA)
        return cls(Court.of(parts, name, chosen, form), chosen)

    @staticmethod
    def calls(n: int, k: int) -> int:
        return TournamentOptions().rounds * sum(len(groups) for groups in schedule(n, k))

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if len(candidates) < 2:
            return in_order(self.name, [(c, None) for c in candidates], top_k, Outcome(self.name))
        points = [0.0] * len(candidates)
        async with self._court.judge(query, candidates) as judge, anyio.create_task_group() as tasks:
            for number in range(self._options.rounds):
                tasks.start_soon(self._play, judge, number, points, top_k)
        outcome = judge.outcome()
        if outcome.status == "fallback":
            return unchanged(candidates, top_k, outcome)
        return by_score(self.name, candidates, points, top_k, outcome)

    async def _play(self, judge: Judge, number: int, points: list[float], top_k: int) -> None:
        random = Random(f"{self._options.seed}/{number}")
        players = list(range(len(points)))
        for level in schedule(len(points), top_k):
            groups = [players[start :: len(level)] for start in range(len(level))]
            for group in groups:
                random.shuffle(group)
            winners = [*_flat(await _level(judge, groups, [advance for _, advance in level]))]
            for winner in winners:
                points[winner] += 1
            players = sorted(winners)


async def _level(judge: Judge, groups: Sequence[list[int]], advance: Sequence[int]) -> list[list[int]]:
    """Each group's winners, asked for concurrently; without an answer, those first in the incoming order."""
    winners: list[list[int]] = [[] for _ in groups]

    async def ask(place: int) -> None:
        group, count = groups[place], advance[place]
        scores = await judge.verdict(tuple(group), count)
        if scores is None:
            winners[place] = sorted(group)[:count]
        else:
            winners[place] = [i for i, score in zip(group, scores, strict=True) if score > 0]

    async with anyio.create_task_group() as tasks:
        for place in range(len(groups)):
            tasks.start_soon(ask, place)
    return winners


def schedule(n: int, k: int) -> list[list[tuple[int, int]]]:
    """The levels of a tournament of `n`; each a list of groups as (size, how many advance)."""
    final, levels = (min(k, _FINAL) if n > _FINAL else max(1, n // 2)), []
    while n > final:
        count = 1 if n <= _LARGEST else math.ceil(n / (_LARGEST // 2))
        target = max(final, math.ceil(_SHARE * n) if count > 1 else n // 2)
        sizes = [len(range(start, n, count)) for start in range(count)]
        shares = [len(range(start, target, count)) for start in range(count)]
        levels.append(list(zip(sizes, shares, strict=True)))
        n = target
    return levels


def _flat(groups: Sequence[Sequence[int]]) -> list[int]:
    return [i for group in groups for i in group]


def _advancing(completion: Completion, n: int, top: int) -> Verdict | None:
    found = read_permutation(completion.text, n, top)
    if found is None:
        return None
    chosen = set(found.order[:top])
    return Verdict(tuple(float(i in chosen) for i in range(n)), found.mended)
