"""Stand-ins for language models and rerank APIs in rerank tests and benchmarks.

An `Oracle` knows each passage's relevance and answers winnow's prompts like a model, with a given amount of
noise and of preference for early places. It answers as a reply of `tests.endpoint.Endpoint`, or, without a
socket, as an `OracleChat`. `rerank_route` speaks the rerank APIs' shapes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from storage.chat import Completion, Message
from storage.records import Usage
from tests.support.endpoint import Request, Response

_PASSAGE = re.compile(r'<passage id="(\w+)">\n(.*?)\n</passage>', re.DOTALL)


@dataclass
class Oracle:
    """Answers by `grades` (passage text → relevance), as a model that errs.

    `noise` is the standard deviation of the noise added to a grade, drawn per prompt but the same for the
    same prompt; `bias` is added to the first place, less and less to the others.
    """

    grades: Mapping[str, float]
    noise: float = 0.0
    bias: float = 0.0
    top: float = 3.0
    prompts: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> str:
        """The reply to a request of OpenAI's shape."""
        return self.reply(request.body["messages"][-1]["content"])

    def reply(self, prompt: str) -> str:
        """The reply to a prompt of winnow's."""
        self.prompts.append(prompt)
        found = _PASSAGE.findall(prompt)
        labels = [label for label, _ in found]
        worth = self._worth(prompt, [text for _, text in found])
        order = sorted(range(len(found)), key=lambda i: -worth[i])
        if '"ranking"' in prompt:
            wanted = re.search(r"(?:Select the|相关的) (\d+)", prompt)
            return json.dumps(
                {"ranking": [int(labels[i]) for i in order[: int(wanted[1]) if wanted else None]]}
            )
        if '"yes"' in prompt or "“是”" in prompt:
            yes, no = ("是", "否") if "“是”" in prompt else ("yes", "no")
            return yes if worth[0] > self.top / 2 else no
        if len(found) == 1:
            return str(round(10 * min(max(worth[0] / self.top, 0), 1)))
        return labels[order[0]]

    def _worth(self, prompt: str, texts: Sequence[str]) -> list[float]:
        random = Random(prompt)
        behind = len(texts) - 1
        return [
            self._grade(text)
            + random.gauss(0, self.noise)
            + (self.bias * (1 - place / behind) if behind else 0.0)
            for place, text in enumerate(texts)
        ]

    def _grade(self, text: str) -> float:
        return next((grade for known, grade in self.grades.items() if known.startswith(text[:200])), 0.0)


class OracleChat:
    """A ChatModel over an Oracle, without a socket."""

    model = "oracle"

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, object] | None = None,
        top_logprobs: int = 0,
    ) -> Completion:
        text = self.oracle.reply(messages[-1].content)
        return Completion(
            text, Usage(1, sum(len(m.content) for m in messages) // 4, len(text) // 4 + 1), self.model
        )

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> Any:
        raise AssertionError("what ranks and grades asks for whole replies")


@dataclass(frozen=True)
class Shape:
    """A rerank API's request and reply, as its documentation gives them."""

    path: str
    fields: frozenset[str]
    documents: str = "documents"
    results: str | None = "results"
    score: str = "relevance_score"
    top: str = "top_n"
    limit: int = 1_000
    usage: Mapping[str, Any] = field(default_factory=dict)
    inside: tuple[str, str] | None = None
    within: str | None = None


_COMMON = frozenset({"model", "query"})
SHAPES: Mapping[str, Shape] = {
    "cohere": Shape(
        "/v2/rerank",
        _COMMON | {"documents", "top_n", "max_tokens_per_doc", "priority"},
        usage={"meta": {"billed_units": {"search_units": 1}}},
    ),
    "jina": Shape(
        "/v1/rerank",
        _COMMON | {"documents", "top_n", "return_documents"},
        usage={"usage": {"total_tokens": 123}},
    ),
    "voyage": Shape(
        "/v1/rerank",
        _COMMON | {"documents", "top_k", "return_documents", "truncation"},
        results="data",
        top="top_k",
        usage={"usage": {"total_tokens": 123}},
    ),
    "mixedbread": Shape(
        "/v1/reranking",
        _COMMON | {"input", "top_k", "return_input", "rank_fields"},
        documents="input",
        results="data",
        score="score",
        top="top_k",
        usage={"usage": {"prompt_tokens": 100, "total_tokens": 123}},
    ),
    "tei": Shape(
        "/rerank",
        frozenset({"query", "texts", "raw_scores", "return_text", "truncate", "truncation_direction"}),
        documents="texts",
        results=None,
        score="score",
        limit=32,
    ),
    "vllm": Shape(
        "/v1/rerank",
        _COMMON | {"documents", "top_n", "truncate_prompt_tokens", "use_activation", "instruction"},
        usage={"usage": {"total_tokens": 123}},
    ),
    "llamacpp": Shape("/v1/rerank", _COMMON | {"documents", "top_n"}, usage={"usage": {"total_tokens": 123}}),
    "localai": Shape("/v1/rerank", _COMMON | {"documents", "top_n"}, usage={"usage": {"total_tokens": 123}}),
    "xinference": Shape(
        "/v1/rerank",
        _COMMON | {"documents", "top_n", "return_documents", "max_chunks_per_doc", "return_len"},
        usage={"meta": {"tokens": {"input_tokens": 1}}},
    ),
    "litellm": Shape(
        "/v1/rerank",
        _COMMON | {"documents", "top_n", "return_documents", "rank_fields", "max_chunks_per_doc"},
        usage={"meta": {"billed_units": {"search_units": 1}}},
    ),
    "zeroentropy": Shape(
        "/v1/models/rerank",
        _COMMON | {"documents", "top_n", "latency"},
        usage={"total_bytes": 1_000, "total_tokens": 123},
    ),
    "contextual": Shape("/v1/rerank", _COMMON | {"documents", "top_n", "instruction", "metadata"}),
    "siliconflow": Shape(
        "/v1/rerank",
        _COMMON | {"documents", "top_n", "instruction", "return_documents", "max_chunks_per_doc"},
        usage={"meta": {"billed_units": {"input_tokens": 123}}},
    ),
    "dashscope": Shape(
        "/api/v1/services/rerank/text-rerank/text-rerank",
        frozenset({"query", "documents", "model", "top_n", "return_documents", "instruct"}),
        limit=500,
        usage={"usage": {"total_tokens": 123}, "request_id": "x"},
        inside=("input", "parameters"),
        within="output",
    ),
    "infinity": Shape(
        "/rerank",
        _COMMON | {"documents", "top_n", "return_documents", "raw_scores"},
        limit=2_048,
        usage={"usage": {"prompt_tokens": 100, "total_tokens": 123}},
    ),
}


def rerank_route(shape: Shape, scorer: Callable[[str, str], float | None]) -> Callable[[Request], Response]:
    """Return a route of that shape: strict about fields and limit; results best first, cut to `top_n`."""

    def route(request: Request) -> Response:
        body = request.body
        for part in shape.inside or ():
            body = {**{name: value for name, value in body.items() if name != part}, **request.body[part]}
        if unknown := body.keys() - shape.fields:
            return Response(status=422, body={"message": f"unknown field {sorted(unknown)[0]}"})
        texts = body[shape.documents]
        if len(texts) > shape.limit:
            error = f"batch size {len(texts)} > maximum allowed batch size {shape.limit}"
            return Response(status=422, body={"error": error, "error_type": "Validation"})
        scored = [(i, scorer(body["query"], text)) for i, text in enumerate(texts)]
        scored.sort(key=lambda pair: -(pair[1] if pair[1] is not None and not math.isnan(pair[1]) else -9.0))
        items = [{"index": i, shape.score: score} for i, score in scored][: body.get(shape.top) or None]
        if shape.results is None:
            return Response(body=items)
        found: dict[str, Any] = {shape.results: items}
        return Response(body={**({shape.within: found} if shape.within else found), **shape.usage})

    return route


def systemone_route(decide: Callable[[str, str], float]) -> Callable[[Request], Response]:
    """A server of System One's form, as TypeSafe's reference gives it: typed questions about one state."""

    def route(request: Request) -> Response:
        body = request.body
        if unknown := body.keys() - {"model", "state", "questions"}:
            return Response(status=422, body={"error": f"unknown field {sorted(unknown)[0]}"})
        [(name, asked)] = body["questions"].items()
        if asked["type"] != "noul" or asked.keys() - {"type", "instructions", "criteria"}:
            return Response(status=422, body={"error": "not a noul question"})
        answer = {"type": "noul", "noul": decide(body["state"]["query"], body["state"]["document"])}
        usage = {"input_tokens": 100, "output_tokens": 8}
        return Response(body={"model": "jev-1.14.0", "answers": {name: answer}, "usage": usage})

    return route


# The text that tells which form of `rerank/training/prompts` a prompt is.
_HOW_MANY = re.compile(r"(?:Write|撰写|请写) (\d+)")
_ASKED = re.compile(r"(?:Question: |问题：)(.*)")


class Author(Oracle):
    """An Oracle that also answers the prompts by which training data is made.

    `grade` says how well a passage (its text, as the prompt shows it) answers a question, from 0 to 3. The
    questions that it writes are made of a passage's own words: `ask(text, n)` gives the n-th.
    """

    def __init__(self, grade: Callable[[str, str], int], ask: Callable[[str, int], str]) -> None:
        super().__init__({})
        self._graded = grade
        self._ask = ask

    def __call__(self, request: Request) -> str:
        """Return the reply to a request, or to a correction of an earlier reply."""
        return self.reply(request.body["messages"][1]["content"])

    def reply(self, prompt: str) -> str:
        """The reply to a prompt of winnow's."""
        texts = [text for _, text in _PASSAGE.findall(prompt)]
        wanted = _HOW_MANY.search(prompt)
        n = int(wanted[1]) if wanted else 1
        question = _ASKED.search(prompt)
        asked = question[1] if question else ""
        if '"questions"' in prompt:
            reply: dict[str, Any] = {"questions": [self._ask(texts[-1], i) for i in range(n)]}
        elif '"grades"' in prompt:
            reply = {"grades": [self._graded(asked, text) for text in texts]}
        elif '"passages"' in prompt:
            reply = {"passages": [f"Beside the point: {_noise(asked, i)}" for i in range(n)]}
        elif '"passage"' in prompt:
            reply = {"passage": f"This answers it: {asked}"}
        else:
            return super().reply(prompt)
        self.prompts.append(prompt)
        return json.dumps(reply, ensure_ascii=False)


def _noise(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
