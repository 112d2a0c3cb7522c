"""What may be chosen for one question, instead of what the settings say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from generation.followup import Turn
from rerank.base import Reranker
from storage.records import Answer


class SearchChoices(TypedDict, total=False):
    """Choices for retrieving and reranking. None, or nothing, leaves a choice to the settings.

    `rerank`: a spec such as `"late-interaction"` or `"cross-encoder:20,listwise:5"`, or a ready reranker.
    `collection`: its name. `where`: a filter on the passages' metadata (docs/qdrant.md). `min_score`: the
    cosine that a candidate must reach. `exact`: scan the dense vectors instead of using their graph.
    `expand`: so many passages before and after each final one are joined to it.
    """

    rerank: str | Reranker | None
    collection: str | None
    where: str | None
    min_score: float | None
    exact: bool | None
    expand: int | None


class AskChoices(SearchChoices, total=False):
    """Choices for a question that is answered.

    `answerer`: `"extractive"` or `"openai"`. A question that follows others takes either the `history`
    (earlier turns or answers, oldest first) or `follow_up`, the id of a logged answer or `"last"`
    (the newest from this collection).
    """

    answerer: str | None
    history: Sequence[Turn | Answer] | None
    follow_up: str | None
