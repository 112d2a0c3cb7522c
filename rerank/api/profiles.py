"""The differences between rerank APIs: paths, field names, limits. Everything else is in one client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Profile:
    """One API. Only the fields named here are ever sent: some servers refuse unknown ones.

    `url` is empty for self-hosted servers. `top` is the name of the field for the number of results; `limit`
    is the most documents in one request.
    """

    path: str
    url: str = ""
    model: str = ""
    documents: str = "documents"
    top: str = "top_n"
    limit: int = 1_000
    extra: Mapping[str, object] = field(default_factory=dict)

    def body(self, model: str, query: str, texts: Sequence[str]) -> dict[str, object]:
        """The request for all of the texts; they are not returned."""
        body: dict[str, object] = {"query": query, self.documents: list(texts), **self.extra}
        if self.top:
            body[self.top] = len(texts)
        return {"model": model, **body} if model else body


PROFILES: Mapping[str, Profile] = {
    "cohere": Profile("/v2/rerank", "https://api.cohere.com", "rerank-v3.5"),
    "jina": Profile(
        "/v1/rerank", "https://api.jina.ai", "jina-reranker-v3", extra={"return_documents": False}
    ),
    "voyage": Profile(
        "/v1/rerank", "https://api.voyageai.com", "rerank-2.5", top="top_k", extra={"truncation": True}
    ),
    "mixedbread": Profile(
        "/v1/reranking",
        "https://api.mixedbread.com",
        "mixedbread-ai/mxbai-rerank-large-v2",
        documents="input",
        top="top_k",
        extra={"return_input": False},
    ),
    "tei": Profile("/rerank", documents="texts", top="", limit=32, extra={"truncate": True}),
    "vllm": Profile("/v1/rerank"),
    "infinity": Profile("/rerank", limit=2_048, extra={"return_documents": False}),
    # any other server of Cohere's shape: LiteLLM, OpenVINO, Xinference, SiliconFlow …
    "custom": Profile("/v1/rerank"),
}


class UnusableRerankReplyError(Exception):
    """A reply that is not a list of scores by index."""


def read_scores(reply: Any, count: int) -> list[float | None]:
    """The scores of `count` texts, in their order; None for a text that the reply leaves out.

    Takes a bare list or one under `results` or `data`; scores as `relevance_score` or `score`. Raises
    UnusableRerankReplyError for an index that is out of range or occurs twice: such a reply is misaligned.
    """
    items = reply.get("results", reply.get("data")) if isinstance(reply, dict) else reply
    if not isinstance(items, list):
        raise UnusableRerankReplyError("the reply holds no list of results")
    scores: list[float | None] = [None] * count
    seen: set[int] = set()
    for item in items:
        index = item.get("index") if isinstance(item, dict) else None
        if not isinstance(index, int) or isinstance(index, bool):
            raise UnusableRerankReplyError("a result has no index")
        if not 0 <= index < count:
            raise UnusableRerankReplyError(f"index {index} is out of range, {count} texts were sent")
        if index in seen:
            raise UnusableRerankReplyError(f"index {index} occurs twice")
        seen.add(index)
        scores[index] = _score(item)
    return scores


def _score(item: Mapping[str, Any]) -> float | None:
    score = item.get("relevance_score", item.get("score"))
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        raise UnusableRerankReplyError(f"a score is not a number: {score!r}")
    return float(score)


def read_usage(reply: Any) -> tuple[int, int]:
    """Tokens and billed searches, 0 where the reply does not tell."""
    if not isinstance(reply, dict):
        return 0, 0
    usage, meta = reply.get("usage"), reply.get("meta")
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    return _count(usage, "total_tokens"), _count(billed, "search_units")


def _count(values: Any, key: str) -> int:
    value = values.get(key) if isinstance(values, dict) else None
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0
