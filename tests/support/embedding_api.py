"""An embeddings API on `tests.endpoint.Endpoint`: limits as real servers have them, and faults on demand.

endpoint.routes["/v1/embeddings"] = api = EmbeddingApi(dim=8, most_texts=32)
api.faults.append(status(429, retry_after=0.01))        # the next reply
api.faults.append(lambda body: body | {"data": []})     # what becomes of the reply after it
"""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.support.endpoint import Reply, Request, Response, status

TEXTS = ["Late interaction compares token vectors.", "重排序让最相关的段落排在最前面。", "A fox jumps."]

Mangled = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class EmbeddingApi:
    """Vectors that depend on the text's words; a token is a word. `texts` holds every embedded text."""

    dim: int = 8
    most_texts: int = 2_048
    most_tokens: int = 8_192
    most_tokens_a_request: int = 300_000
    formats: tuple[str, ...] = ("base64", "float")
    knows_dimensions: bool = True
    said_too_many: str = "batch size {count} > maximum allowed batch size {most}"
    said_too_long: str = "maximum context length is {most} tokens, however you requested {count} tokens"
    faults: deque[Response | Mangled] = field(default_factory=deque)
    texts: list[str] = field(default_factory=list)
    asked: int = 0

    def __call__(self, request: Request) -> Reply:
        self.asked += 1
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, Response):
            return fault
        body, texts = request.body, request.body["input"]
        if refusal := self._refusal(body, texts):
            return refusal
        self.texts += texts
        wanted = body.get("dimensions") or self.dim
        data = [
            {"object": "embedding", "index": n, "embedding": self._vector(text, wanted, body)}
            for n, text in enumerate(texts)
        ]
        tokens = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        reply = {"object": "list", "model": body["model"], "data": data, "usage": usage}
        return Response(body=fault(reply) if fault else reply)

    def _refusal(self, body: dict[str, Any], texts: list[str]) -> Response | None:
        counts = [len(text.split()) for text in texts]
        if body.get("encoding_format", "float") not in self.formats:
            return status(400, f"encoding_format {body['encoding_format']!r} is not supported")
        if "dimensions" in body and not self.knows_dimensions:
            return status(400, "This model does not support specifying dimensions.")
        if not all(text.strip() for text in texts):
            return status(400, "'$.input' is invalid: empty string")
        if len(texts) > self.most_texts:
            return status(422, self.said_too_many.format(count=len(texts), most=self.most_texts))
        if max(counts) > self.most_tokens:
            return status(400, self.said_too_long.format(count=max(counts), most=self.most_tokens))
        if sum(counts) > self.most_tokens_a_request:
            return status(413, "payload too large")
        return None

    def _vector(self, text: str, dim: int, body: dict[str, Any]) -> str | list[float]:
        vector = vector_of(text, self.dim)[:dim]
        if body.get("encoding_format") == "base64":
            return base64.b64encode(vector.astype("<f4").tobytes()).decode()
        return [float(number) for number in vector]


def vector_of(text: str, dim: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The sum of a random vector for every word: texts that share words are near each other."""
    total = np.zeros(dim)
    for word in text.lower().split():
        seed = int.from_bytes(hashlib.sha256(word.strip(".,?!:").encode()).digest()[:8], "big")
        total += np.random.default_rng(seed).standard_normal(dim)
    return total


def unit(vector: Any) -> Any:
    """Return the vector of that direction whose length is 1."""
    return vector / np.linalg.norm(vector)
