"""TourRank (Chen et al. 2024, arXiv 2406.11678): the best of each group advance a level: 50 → 20 → 10 → 5.

Groups mix strong and weak (i, i + G, …) and are shuffled inside, so that the incoming order weighs little. A
passage gets a point for every level that it reaches, summed over several tournaments, which run concurrently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from random import Random

import anyio

from rerank.base import check_top_k
from rerank.llm.judge import Judgement, JudgementPrompt, LLMStage, ModelOptions, PassageJudge
from rerank.llm.replies import read_permutation
from rerank.options import at_least, read_options
from rerank.parts import RerankParts
from rerank.spec import Value
from rerank.strategies.listwise import SCHEMA
from storage.chat import Completion
from storage.records import Candidate, Ranking

_LARGEST = 20  # passages in one prompt; more are split into groups of half as many
_SHARE = 0.4  # of the groups' members reach the next level
_FINAL = 5  # passages that end a tournament


@dataclass(frozen=True, slots=True, kw_only=True)
class TournamentOptions(ModelOptions):
    """`rounds`: the number of tournaments; `seed` chooses their shuffles."""

    rounds: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        ModelOptions.__post_init__(self)
        at_least(1, rounds=self.rounds)


class Tournament:
    """Scores are points: the levels reached, summed over the tournaments."""

    needs = "a chat model"

    def __init__(self, stage: LLMStage, options: TournamentOptions) -> None:
        self.name = stage.name
        self._stage = stage
        self._options = options

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Tournament:
        chosen = read_options(TournamentOptions, name, options)
        prompt = JudgementPrompt("tournament", _advancing, lambda n: 16 + 6 * n, schema=SCHEMA)
        return cls(LLMStage.of(parts, name, chosen, prompt), chosen)

    @staticmethod
    def calls(n: int, k: int) -> int:
        return TournamentOptions().rounds * sum(len(groups) for groups in schedule(n, k))

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if len(candidates) < 2:
            return self._stage.unjudged(candidates, top_k)
        points = [0.0] * len(candidates)
        async with self._stage.judge(query, candidates) as judge, anyio.create_task_group() as tasks:
            for number in range(self._options.rounds):
                tasks.start_soon(self._play, judge, number, points, top_k)
        return judge.by_score(points, top_k)

    async def _play(self, judge: PassageJudge, number: int, points: list[float], top_k: int) -> None:
        random = Random(f"{self._options.seed}/{number}")
        players = list(range(len(points)))
        for level in schedule(len(points), top_k):
            groups = [players[start :: len(level)] for start in range(len(level))]
            for group in groups:
                random.shuffle(group)
            winners = await _winners(judge, groups, [advance for _, advance in level])
            players = sorted(chain.from_iterable(winners))
            for player in players:
                points[player] += 1


async def _winners(
    judge: PassageJudge, groups: Sequence[list[int]], advance: Sequence[int]
) -> list[list[int]]:
    """Each group's winners, judged concurrently; without an answer, the first in the incoming order."""
    winners: list[list[int]] = [[] for _ in groups]

    async def judge_group(place: int) -> None:
        group, count = groups[place], advance[place]
        scores = await judge.scores_of(tuple(group), count)
        if scores is None:
            winners[place] = sorted(group)[:count]
        else:
            winners[place] = [i for i, score in zip(group, scores, strict=True) if score > 0]

    async with anyio.create_task_group() as tasks:
        for place in range(len(groups)):
            tasks.start_soon(judge_group, place)
    return winners


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
    found = read_permutation(completion.text, n, top)
    if found is None:
        return None
    chosen = set(found.order[:top])
    return Judgement(tuple(float(i in chosen) for i in range(n)), found.defects)
