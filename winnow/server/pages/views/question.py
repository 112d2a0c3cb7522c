"""The question form: its choices, and the request that it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, get_args

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from storage.errors import LogError, WinnowError
from storage.log.records import AnswerFilter, AnswerSummary
from storage.records import Answer, Chunk
from winnow.app.conversation import searched_with
from winnow.app.setting_defaults import PartsName
from winnow.server.api.schemas import AskRequest
from winnow.server.pages.forms import texts
from winnow.server.pages.views.fields import literal
from winnow.server.pages.views.specs import OfferedSpec, offered, refusal
from winnow.server.shared_state import Served
from winnow.server.visible import Visible

_RECENT, _LOOKED_AT = 5, 25


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionChoices:
    """The choices of the form.

    `passages` counts those of the chosen collection; None where it does not exist or cannot be used, and
    then `problem` says why. `filter` is one that finds something there. `parts` are the ways of dividing a
    question, each with why a request may not choose it.
    """

    collections: Sequence[str]
    default: str
    collection: str
    passages: int | None
    problem: Mapping[str, Any] | None
    filter: str
    specs: Sequence[OfferedSpec]
    retrieve: int
    keep: int
    parts: Mapping[str, str]
    recent: Sequence[AnswerSummary]


def choices(served: Served, seen: Visible, collection: str | None) -> QuestionChoices:
    """Return the choices with `collection` (default: the settings' one) selected. Blocking."""
    settings, names = served.pipeline.settings, seen.names()
    chosen = collection or seen.default
    passages, problem, example = None, None, ""
    if chosen in names:
        try:
            store = seen.passages(chosen)
            passages, example = store.count(), _filter(next(iter(store.first(1)), None))
        except WinnowError as error:  # another one can be chosen instead
            problem = served.problems.of(error)
    return QuestionChoices(
        collections=names if chosen in names else [chosen, *names],
        default=seen.default,
        collection=chosen,
        passages=passages,
        problem=problem,
        filter=example,
        specs=offered(settings, served.policy),
        retrieve=settings.retrieval.top_k,
        keep=settings.rerank.top_k,
        parts={name: refusal(served.policy.check_parts, name) for name in get_args(PartsName)},
        recent=_recent(seen, chosen),
    )


def _filter(passage: Chunk | None) -> str:
    """A filter that finds a passage by something that people would look for."""
    if passage is None:
        return ""
    for name in ("lang", "tags", "author", "folders"):
        value = passage.metadata.get(name)
        value = value[0] if isinstance(value, tuple) and value else value
        if isinstance(value, str):
            return f"{name} = {literal(value)}"
    return f"source contains {literal(PurePosixPath(passage.source).name)}"


def asked_with(answer: Answer) -> Mapping[str, object]:
    """Return the choices that an answer was asked with and that the settings would not make, by field."""
    chosen = searched_with(answer)
    return {name: chosen[name] for name in ("where", "expand", "parts") if name in chosen}


def request_of(form: Mapping[str, object]) -> AskRequest:
    """Return the request that a form describes; empty fields count as left out."""
    try:
        typed = texts(form)
        given = {name: value for name, value in typed.items() if value}
        if other := given.pop("other", None):
            given["rerank"] = other
        return AskRequest.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _recent(seen: Visible, collection: str) -> Sequence[AnswerSummary]:
    try:
        answers = seen.log.list(_LOOKED_AT, AnswerFilter(collection=collection, replays=False))
    except LogError:  # a log that is off has no questions
        return ()
    newest: dict[str, AnswerSummary] = {}
    for answer in answers:
        newest.setdefault(answer.question, answer)
    return [*newest.values()][:_RECENT]
