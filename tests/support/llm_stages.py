"""Helpers for tests of strategies that call a language model: graded passages, models, a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import anyio

from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.chat import Completion, Message
from storage.records import Candidate, Ranking, Usage

LLM = {
    "pointwise": "pointwise",
    "yes-no": "pointwise(scale=yes-no)",
    "listwise": "listwise",
    "self-consistency": "listwise(permutations=3)",
    "pairwise heap": "pairwise",
    "pairwise sliding": "pairwise(method=sliding)",
    "pairwise all": "pairwise(method=all)",
    "setwise": "setwise",
    "tournament": "tournament",
}


def passages(n: int, *, seed: int = 3) -> tuple[list[Candidate], dict[str, float], list[str]]:
    """n passages in a random order, their grades, and their ids from best to worst."""
    grades = [float(i) for i in range(n)]
    Random(seed).shuffle(grades)
    texts = [f"This passage is worth {grade:.0f} points." for grade in grades]
    candidates = [
        Candidate.from_text(text, id=f"p{grade:.0f}") for text, grade in zip(texts, grades, strict=True)
    ]
    return candidates, dict(zip(texts, grades, strict=True)), [f"p{i}" for i in reversed(range(n))]


class Scripted:
    """A ChatModel whose replies come from a function of the messages; it counts its calls."""

    model = "scripted"

    def __init__(self, reply: Callable[[Sequence[Message]], Completion | str]) -> None:
        self.calls: list[Sequence[Message]] = []
        self.limits: list[int] = []
        self._reply = reply

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, object] | None = None,
        top_logprobs: int = 0,
    ) -> Completion:
        self.calls.append(messages)
        self.limits.append(max_tokens)
        await anyio.lowlevel.checkpoint()
        reply = self._reply(messages)
        return reply if isinstance(reply, Completion) else Completion(reply, Usage(1, 100, 5), self.model)

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> Any:
        raise AssertionError("what ranks and grades asks for whole replies")


def run(spec: str, chat: Any, candidates: Sequence[Candidate], k: int = 5, **parts: Any) -> Ranking:
    chain = Chain.load(Spec.parse(spec), RerankParts(chat=lambda _model: chat, **parts))
    return anyio.run(chain.rerank, "Which passage is worth most?", candidates, k)


def ids(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.id for candidate in candidates]


class MemoryCache:
    """A ScoreCache in a dict."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str], float] = {}

    def get_many(self, fingerprint: str, question: str, passage_hashes: Sequence[str]) -> dict[str, float]:
        keys = {h: (fingerprint, question, h) for h in passage_hashes}
        return {h: self.kept[key] for h, key in keys.items() if key in self.kept}

    def put_many(self, fingerprint: str, question: str, scores: Mapping[str, float]) -> None:
        self.kept |= {(fingerprint, question, h): score for h, score in scores.items()}
