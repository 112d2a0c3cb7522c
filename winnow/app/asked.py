"""A question with everything that may be chosen for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypedDict, Unpack

from generation.followup import Turn
from rerank.base import Reranker
from storage.errors import BadInputError
from storage.log.records import EVERYBODY, LogReader
from storage.reasons import Reason
from storage.records import Answer
from winnow.app.setting_defaults import TOP_K_RERANK, TOP_K_RETRIEVE
from winnow.app.visibility import Visibility


class SearchWishes(TypedDict, total=False):
    """The wishes that `RAGPipeline.search` takes by name; see `Asked`."""

    rerank: str | Reranker | None
    collection: str | None
    where: str | None
    min_score: float | None
    exact: bool | None
    expand: int | None
    parts: str | None


class AskWishes(SearchWishes, total=False):
    """The wishes that `RAGPipeline.ask` takes by name; see `Asked`."""

    answerer: str | None
    history: Sequence[Turn | Answer] | None
    follow_up: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its wishes; None leaves a choice to the settings.

    `rerank`: a spec such as `"late-interaction"` or `"cross-encoder:20,listwise:5"`, or a ready reranker.
    `where`: a filter on the passages' metadata (docs/qdrant.md). `min_score`: the cosine that a candidate
    must reach. `exact`: scan all dense vectors instead of using their graph. `expand`: how many passages
    before and after each final one are joined to it. `parts`: how a question that asks several is divided
    (`"clauses"`, `"decompose"`, `"multi-query"`, `"hyde"`, `"off"`).

    The rest concerns answers alone. `answerer`: `"extractive"` or `"openai"`. A follow-up takes either the
    `history` (earlier turns or answers, oldest first) or `follow_up`, the id of a logged answer or `"last"`
    (the asker's newest from this collection).

    `within` is what the asker may see, which holds whatever the wishes are; None: everything. `noted` becomes
    a warning of the answer: what could not be taken over from the one before.
    """

    question: str
    top_k_retrieve: int | None = None
    top_k_rerank: int | None = None
    rerank: str | Reranker | None = None
    collection: str | None = None
    where: str | None = None
    min_score: float | None = None
    exact: bool | None = None
    expand: int | None = None
    parts: str | None = None
    answerer: str | None = None
    history: Sequence[Turn | Answer] | None = None
    follow_up: str | None = None
    within: Visibility | None = None
    noted: Reason | None = None

    @classmethod
    def of(
        cls,
        question: str | Asked,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **wishes: Unpack[AskWishes],
    ) -> Asked:
        """The question with these wishes; those of a ready `Asked` hold where none is given here."""
        asked = question if isinstance(question, Asked) else cls(question)
        given: dict[str, Any] = {"top_k_retrieve": top_k_retrieve, "top_k_rerank": top_k_rerank, **wishes}
        return replace(asked, **{name: wish for name, wish in given.items() if wish is not None})

    @property
    def given(self) -> dict[str, Any]:
        """The values that are not left to the settings, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def wishes(self) -> set[str]:
        """The names of what is chosen, limits aside."""
        return self.given.keys() - {"question", "top_k_retrieve", "top_k_rerank", "within", "noted"}

    @property
    def reader(self) -> LogReader:
        """Return the asker, for the log."""
        return EVERYBODY if self.within is None else self.within.reader

    @property
    def limits(self) -> tuple[int, int]:
        """The numbers of candidates to retrieve (50) and to keep (5)."""
        retrieve, keep = self.top_k_retrieve, self.top_k_rerank
        return TOP_K_RETRIEVE if retrieve is None else retrieve, TOP_K_RERANK if keep is None else keep

    def check(self) -> None:
        """Raise BadInputError for an empty question, a limit below 1, or bytes that are no text."""
        for name, value in self.given.items():
            if isinstance(value, str) and (part := _no_text(value)):
                raise BadInputError(f"the {name} holds what is no text: {part}", way_out="Write it in UTF-8.")
        if not self.question.strip():
            raise BadInputError("the question is empty", way_out="Ask something.")
        if min(self.limits) < 1:
            retrieve, keep = self.limits
            raise BadInputError(
                f"top_k_retrieve={retrieve} and top_k_rerank={keep} must be 1 or more",
                way_out=f"The defaults are {TOP_K_RETRIEVE} and {TOP_K_RERANK}.",
            )


def _no_text(value: str) -> str:
    """Show what in a value cannot be encoded: half of a character, or a byte of the command line."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return repr(value[error.start : error.end][:20])
    return ""
