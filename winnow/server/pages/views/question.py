"""The question form: its choices, and the request that it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from storage.errors import LogError, WinnowError
from storage.log.records import AnswerFilter, AnswerSummary
from winnow.server.api.schemas import AskRequest
from winnow.server.pages.forms import texts
from winnow.server.pages.views.specs import OfferedSpec, offered
from winnow.server.shared_state import Served

_RECENT, _LOOKED_AT = 5, 25


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionChoices:
    """The choices of the form.

    `passages` counts those of the chosen collection; None where it does not exist or cannot be used, and
    then `problem` says why.
    """

    collections: Sequence[str]
    default: str
    collection: str
    passages: int | None
    problem: Mapping[str, Any] | None
    specs: Sequence[OfferedSpec]
    retrieve: int
    keep: int
    recent: Sequence[AnswerSummary]


def choices(served: Served, collection: str | None) -> QuestionChoices:
    """Return the choices with `collection` (default: the settings' one) selected. Blocking."""
    wiring, settings = served.pipeline.wiring, served.pipeline.settings
    names = wiring.stores.names()
    chosen = collection or settings.collection
    passages, problem = None, None
    if chosen in names:
        try:
            passages = wiring.collection(chosen).count()
        except WinnowError as error:  # another one can be chosen instead
            problem = served.problems.of(error)
    return QuestionChoices(
        collections=names if chosen in names else [chosen, *names],
        default=settings.collection,
        collection=chosen,
        passages=passages,
        problem=problem,
        specs=[spec for spec in offered(settings, served.policy) if not spec.refused],
        retrieve=settings.retrieval.top_k,
        keep=settings.rerank.top_k,
        recent=_recent(served, chosen),
    )


def request_of(form: Mapping[str, object]) -> AskRequest:
    """Return the request that a form describes; empty fields count as left out."""
    try:
        return AskRequest.model_validate({name: value for name, value in texts(form).items() if value})
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _recent(served: Served, collection: str) -> Sequence[AnswerSummary]:
    try:
        answers = served.pipeline.log.list(_LOOKED_AT, AnswerFilter(collection=collection, replays=False))
    except LogError:  # a log that is off has no questions
        return ()
    newest: dict[str, AnswerSummary] = {}
    for answer in answers:
        newest.setdefault(answer.question, answer)
    return [*newest.values()][:_RECENT]
