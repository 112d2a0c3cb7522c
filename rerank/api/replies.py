"""Replies of rerank APIs: scores by index, in every form that servers in use write; the tokens they count."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from storage.error_bodies import reported_error, snippet

# Names of fields, in lower case and without marks between words.
_LISTS = (
    "results",
    "data",
    "rankings",
    "rerankedresults",
    "reranked",
    "ranks",
    "rerank",
    "scores",
    "predictions",
)
_AROUND = ("output", "data", "result", "response")
_INDEX = ("index", "documentindex", "corpusid", "docindex", "idx", "id")
_SCORE = ("relevancescore", "score", "rerankscore", "logit", "similarity", "relevance")
_DEEPEST = 3
_MOST_COUNTED = 10**9


class UnusableRerankReplyError(Exception):
    """A reply that is not a list of scores by index."""


def read_scores(reply: Any, count: int) -> list[float | None]:
    """The scores of `count` texts, in their order; None for a text that the reply leaves out.

    Takes a bare list or one under a usual name, also within `output` and the like; a plain list of numbers
    only if it has one for each text. Raises UnusableRerankReplyError for an index that is missing, out of
    range or occurs twice: such a reply is misaligned.
    """
    items = _items(reply, 0)
    if items is None or (not items and _reported(reply)):
        raise UnusableRerankReplyError(f"the reply holds no list of results{_reported(reply)}")
    if items and all(_is_number(item) for item in items):
        if len(items) != count:
            raise UnusableRerankReplyError(f"{len(items)} scores came, {count} texts were sent")
        return [_number(item) for item in items]
    scores: list[float | None] = [None] * count
    seen: set[int] = set()
    named = False
    for item in items:
        fields = _fields(item)
        index = _index(next((fields[name] for name in _INDEX if name in fields), None))
        if index is None:
            raise UnusableRerankReplyError("a result has no index")
        if not 0 <= index < count:
            raise UnusableRerankReplyError(f"index {index} is out of range, {count} texts were sent")
        if index in seen:
            raise UnusableRerankReplyError(f"index {index} occurs twice")
        seen.add(index)
        name = next((name for name in _SCORE if name in fields), "")
        named = named or bool(name)
        scores[index] = _number(fields.get(name))
    if seen and not named:
        raise UnusableRerankReplyError("no result has a score")
    return scores


def read_decision(reply: Any, question: str) -> float | None:
    """The probability of yes in a reply of System One's form. Raises UnusableRerankReplyError."""
    answers = reply.get("answers") if isinstance(reply, dict) else None
    answer = answers.get(question) if isinstance(answers, dict) else None
    if not isinstance(answer, dict) or "noul" not in answer:
        raise UnusableRerankReplyError(f"the reply holds no decision{_reported(reply)}")
    found = _number(answer["noul"])
    if found is not None and not 0 <= found <= 1:
        raise UnusableRerankReplyError(f"a probability is not from 0 to 1: {found}")
    return found


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


def _items(reply: Any, depth: int) -> Sequence[Any] | None:
    """The list of results, None without one; one list within a list is that of a batch."""
    if isinstance(reply, list):
        batch = (
            len(reply) == 1 and isinstance(reply[0], list) and all(isinstance(one, dict) for one in reply[0])
        )
        return reply[0] if batch and reply[0] else reply
    fields = _fields(reply)
    found = next((fields[name] for name in _LISTS if isinstance(fields.get(name), list)), None)
    if found is not None or depth >= _DEEPEST:
        return None if found is None else _items(found, depth + 1)
    deeper = (_items(fields[name], depth + 1) for name in _AROUND if name in fields)
    return next((items for items in deeper if items is not None), None)


def _reported(reply: Any) -> str:
    """The error that a reply reports instead."""
    said = reported_error(reply)
    return f": {snippet(said)}" if said else ""


def _fields(item: Any) -> Mapping[str, Any]:
    """The fields of an object by their plain names: `relevanceScore` is `relevancescore`."""
    return (
        {re.sub(r"[ _-]", "", str(key).lower()): value for key, value in item.items()}
        if isinstance(item, dict)
        else {}
    )


def _index(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
        return int(value)
    whole = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -1e9 < value < 1e9
        and value == int(value)
    )
    return int(value) if whole else None


def _is_number(value: Any) -> bool:
    alone = value[0] if isinstance(value, list) and len(value) == 1 else value
    return isinstance(alone, int | float) and not isinstance(alone, bool)


def _number(score: Any) -> float | None:
    """A score, also as a text or alone within something. A NaN stays one: it is counted as such later."""
    within = list(score.values()) if isinstance(score, dict) else score
    alone = within[0] if isinstance(within, list) and len(within) == 1 else score
    if alone is None:
        return None
    try:
        if isinstance(alone, str) and alone.endswith("%"):
            return float(alone[:-1]) / 100
        if isinstance(alone, int | float | str) and not isinstance(alone, bool):
            return float(alone)
    except (ValueError, OverflowError):
        pass
    raise UnusableRerankReplyError(f"a score is not a number: {snippet(repr(score))}")


def _count(values: Any, key: str) -> int:
    value = values.get(key) if isinstance(values, dict) else None
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST_COUNTED
    return int(value) if known else 0  # type: ignore[arg-type]  # a number, as just seen
