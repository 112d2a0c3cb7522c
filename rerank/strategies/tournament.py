"""TourRank (Chen et al. 2024, arXiv 2406.11678): the best of each group advance a level: 50 → 20 → 10 → 5.

Groups mix strong and weak (i, i + G, …) and are shuffled inside, so that the incoming order weighs little. A
passage gets a point for every level that it reaches, summed over several tournaments, which run concurrently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import chain
from random import Random
from typing import Annotated

import anyio
from pydantic import Field

from rerank.base import gathered
from rerank.llm.judge import Judgement, JudgementPrompt, LLMStage, ModelOptions, PassageJudge
from rerank.llm.permutations import read_permutation
from rerank.strategies.listwise import SCHEMA
from storage.chat import Completion
from storage.records import Ranking

_LARGEST = 20  # passages in one prompt; more are split into groups of half as many
_SHARE = 0.4  # of the groups' members reach the next level
_FINAL = 5  # passages that end a tournament


@dataclass(frozen=True, slots=True, kw_only=True)
class TournamentOptions(ModelOptions):
    """`rounds`: the number of tournaments; `seed` chooses their shuffles."""

    rounds: Annotated[int, Field(ge=1)] = 2
    seed: int = 0


class Tournament(LLMStage[TournamentOptions]):
    """Scores are points: the levels reached, summed over the tournaments."""

    declares = TournamentOptions

    def asks(self) -> JudgementPrompt:
        return JudgementPrompt("tournament", _advancing, lambda n: 16 + 6 * n, schema=SCHEMA)

    @staticmethod
    def calls(n: int, k: int) -> int:
        return TournamentOptions().rounds * sum(len(groups) for groups in schedule(n, k))

    async def rank(self, judge: PassageJudge, n: int, top_k: int) -> Ranking:
        points = [0.0] * n
        async with anyio.create_task_group() as tasks:
            for number in range(self.options.rounds):
                tasks.start_soon(self._play, judge, number, points, top_k)
        return await judge.by_score(points, top_k)

    async def _play(self, judge: PassageJudge, number: int, points: list[float], top_k: int) -> None:
        random = Random(f"{self.options.seed}/{number}")
        players = list(range(len(points)))
        for level in schedule(len(points), top_k):
            groups = [players[start :: len(level)] for start in range(len(level))]
            for group in groups:
                random.shuffle(group)
            games = [partial(_winners, judge, g, count) for g, (_, count) in zip(groups, level, strict=True)]
            players = sorted(chain.from_iterable(await gathered(games)))
            for player in players:
                points[player] += 1


async def _winners(judge: PassageJudge, group: list[int], count: int) -> list[int]:
    """The winners of a group; without an answer, the first `count` in the incoming order."""
    scores = await judge.scores_of(tuple(group), count)
    if scores is None:
        return sorted(group)[:count]
    return [i for i, score in zip(group, scores, strict=True) if score > 0]


def schedule(n: int, k: int) -> list[list[tuple[int, int]]]:
    """The levels of a tournament of `n`; each a list of groups as (size, number that advances)."""
    final, levels = (min(k, _FINAL) if n > _FINAL else max(1, n // 2)), []
    while n > final:
        count = 1 if n <= _LARGEST else math.ceil(n / (_LARGEST // 2))
        target = max(final, math.ceil(_SHARE * n) if count > 1 else n // 2)
        sizes = [len(range(start, n, count)) for start in range(count)]
        shares = [len(range(start, target, count)) for start in range(count)]
        levels.append(list(zip(sizes, shares, strict=True)))
        n = target
    return levels


def _advancing(completion: Completion, n: int, top: int) -> Judgement | None:
    found = read_permutation(completion.text, n, top, cut=bool(completion.cut))
    if found is None:
        return None
    chosen = set(found.order[:top])
    return Judgement(tuple(float(i in chosen) for i in range(n)), found.defects)
