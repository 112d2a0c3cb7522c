"""The differences between rerank APIs: paths, field names, limits. Everything else is in one client."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

from rerank.api.replies import read_decision, read_scores

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

    @property
    def optional(self) -> frozenset[str]:
        """The fields that a server may refuse and still rank."""
        return frozenset(name for name in (self.top, *self.extra) if name)

    def body(
        self,
        model: str,
        query: str,
        texts: Sequence[str],
        instruction: str | None = None,
        left_out: Collection[str] = (),
    ) -> dict[str, object]:
        """The request for all of the texts, without the fields `left_out`; they are not returned."""
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
        others = {name: value for name, value in others.items() if name not in left_out}
        return {**named, **_within(self.input, given), **_within(self.parameters, others)}

    def scores(self, reply: Any, count: int) -> list[float | None]:
        """The scores in a reply. Raises UnusableRerankReplyError."""
        return [read_decision(reply, _RELEVANT)] if self.form == "decisions" else read_scores(reply, count)


def _within(name: str, fields: Mapping[str, object]) -> dict[str, object]:
    return {name: dict(fields)} if name else dict(fields)


def _loaded() -> Mapping[str, Profile]:
    text = files("rerank.api").joinpath("profiles.toml").read_text(encoding="utf-8")
    return {name: Profile(**values) for name, values in tomllib.loads(text).items()}


PROFILES: Mapping[str, Profile] = _loaded()
