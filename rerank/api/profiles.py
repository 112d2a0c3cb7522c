"""The differences between rerank APIs: paths, field names, limits. Everything else is in one client."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

from storage.error_bodies import reported_error, snippet

_RELEVANT = "relevant"
_QUESTION = "Does the document help to answer the query?"
_CRITERIA = {
    "true": "The document holds information that answers the query, or a part of it.",
    "false": "The document is about something else, or only shares words or a topic with the query.",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """One API; `profiles.toml` says what each field means. Only what is named there is ever sent."""

    path: str
    url: str = ""
    model: str = ""
    documents: str = "documents"
    top: str = "top_n"
    limit: int = 1_000
    instruction: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)
    input: str = ""
    parameters: str = ""
    form: Literal["scores", "decisions"] = "scores"
    price: float | None = None

    def body(
        self, model: str, query: str, texts: Sequence[str], instruction: str | None = None
    ) -> dict[str, object]:
        """The request for all of the texts; they are not returned."""
        named = {"model": model} if model else {}
        if self.form == "decisions":
            asked = {"type": "noul", self.instruction: instruction or _QUESTION}
            if not instruction:
                asked["criteria"] = _CRITERIA  # type: ignore[assignment]  # a table, among texts
            return {**named, "state": {"query": query, "document": texts[0]}, "questions": {_RELEVANT: asked}}
        if instruction and self.instruction == "query":
            query = f"{instruction}\n{query}"
        given: dict[str, object] = {"query": query, self.documents: list(texts)}
        others: dict[str, object] = dict(self.extra)
        if self.top:
            others[self.top] = len(texts)
        if instruction and self.instruction not in ("", "query"):
            others[self.instruction] = instruction
        return {**named, **_within(self.input, given), **_within(self.parameters, others)}

    def scores(self, reply: Any, count: int) -> list[float | None]:
        """The scores in a reply. Raises UnusableRerankReplyError."""
        return [_decision(reply)] if self.form == "decisions" else read_scores(reply, count)


def _within(name: str, fields: Mapping[str, object]) -> dict[str, object]:
    return {name: dict(fields)} if name else dict(fields)


def _loaded() -> Mapping[str, Profile]:
    text = files("rerank.api").joinpath("profiles.toml").read_text(encoding="utf-8")
    return {name: Profile(**values) for name, values in tomllib.loads(text).items()}


PROFILES: Mapping[str, Profile] = _loaded()


class UnusableRerankReplyError(Exception):
    """A reply that is not a list of scores by index."""


def read_scores(reply: Any, count: int) -> list[float | None]:
    """The scores of `count` texts, in their order; None for a text that the reply leaves out.

    Takes a bare list or one under `results` or `data`, also within `output`; scores as `relevance_score` or
    `score`. Raises UnusableRerankReplyError for an index that is out of range or occurs twice: such a reply
    is misaligned.
    """
    whole = reply
    if isinstance(reply, dict) and isinstance(reply.get("output"), dict):
        reply = reply["output"]
    items = reply.get("results", reply.get("data")) if isinstance(reply, dict) else reply
    if not isinstance(items, list):
        said = snippet(reported_error(whole)) if reported_error(whole) else ""
        raise UnusableRerankReplyError(f"the reply holds no list of results{f': {said}' if said else ''}")
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
        scores[index] = _number(item.get("relevance_score", item.get("score")))
    return scores


def _decision(reply: Any) -> float | None:
    """The probability of yes in a reply of System One's form."""
    answers = reply.get("answers") if isinstance(reply, dict) else None
    answer = answers.get(_RELEVANT) if isinstance(answers, dict) else None
    if not isinstance(answer, dict) or "noul" not in answer:
        raise UnusableRerankReplyError("the reply holds no decision")
    found = _number(answer["noul"])
    if found is not None and not 0 <= found <= 1:
        raise UnusableRerankReplyError(f"a probability is not from 0 to 1: {found}")
    return found


def _number(score: Any) -> float | None:
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
    tokens = (
        _count(usage, "total_tokens")
        or _count(usage, "input_tokens") + _count(usage, "output_tokens")
        or _count(reply, "total_tokens")
        or _count(billed, "input_tokens")
    )
    return tokens, _count(billed, "search_units")


def _count(values: Any, key: str) -> int:
    value = values.get(key) if isinstance(values, dict) else None
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0
