"""What the first page shows: the form with its choices, and an answer, just given or from the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from storage.errors import LogError, WinnowError
from storage.log.records import AnswerFilter, AnswerSummary
from storage.records import Answer, Outcome
from winnow.server.api.schemas import AskRequest
from winnow.server.pages.views.answer import StageLine, stages, total_ms
from winnow.server.pages.views.cited import CitedText, cited
from winnow.server.pages.views.rank_chart import Bump, bump
from winnow.server.pages.views.specs import Offered, offered
from winnow.server.served import Served

_RECENT, _LOOKED_AT = 5, 25


@dataclass(frozen=True, slots=True)
class Complaint:
    """What did not go as asked: one reason, and the stages that gave it, if any did."""

    reason: str
    stages: Sequence[Outcome] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An answer as the first page shows it. Without `logged` there is no address to come back to."""

    answer: Answer
    complaints: Sequence[Complaint]
    text: CitedText
    picture: Bump
    stages: Sequence[StageLine]
    total_ms: float
    logged: bool
    good: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the form offers.

    `passages` counts those of the chosen collection: None where there is no such one, or where it cannot be
    used, and `problem` says why.
    """

    collections: Sequence[str]
    default: str
    collection: str
    passages: int | None
    problem: Mapping[str, Any] | None
    specs: Sequence[Offered]
    retrieve: int
    keep: int
    recent: Sequence[AnswerSummary]


def shown(answer: Answer, *, logged: bool, good: bool | None = None) -> Shown:
    """The view of an answer."""
    return Shown(
        answer=answer,
        complaints=complaints(answer),
        text=cited(answer),
        picture=bump(answer),
        stages=stages(answer),
        total_ms=total_ms(answer),
        logged=logged,
        good=good,
    )


def complaints(answer: Answer) -> list[Complaint]:
    """Everything that did not go as asked, each reason once."""
    by_reason: dict[str, list[Outcome]] = {}
    for stage in answer.stages:
        if stage.status != "ok":
            by_reason.setdefault(stage.reason, []).append(stage)
    others = [text for text in answer.warnings if not text.endswith(tuple(f": {why}" for why in by_reason))]
    return [*(Complaint(why, found) for why, found in by_reason.items()), *map(Complaint, others)]


def from_log(served: Served, answer_id: str) -> Shown:
    """The view of a logged answer. Blocking. Raises NotFoundError, LogError."""
    log = served.pipeline.log
    answer = log.get(answer_id)
    return shown(answer, logged=True, good=log.feedback_of(answer.id).good)


def is_logged(served: Served, answer: Answer) -> bool:
    """Whether an answer that was just given can be found again. Blocking."""
    try:
        served.pipeline.log.summary(answer.id)
    except WinnowError:
        return False
    return True


def choices(served: Served, collection: str | None) -> Choices:
    """What may be chosen, with `collection` (the settings' one, if None) in front. Blocking."""
    wiring, settings = served.pipeline.wiring, served.pipeline.settings
    names = wiring.stores.names()
    chosen = collection or settings.collection
    passages, problem = None, None
    if chosen in names:
        try:
            passages = wiring.collection(chosen).count()
        except WinnowError as error:  # another may be chosen instead
            problem = served.problems.of(error)
    return Choices(
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
    """The request that a form describes; an empty field is one that was left out."""
    given = {name: value.strip() for name, value in form.items() if isinstance(value, str) and value.strip()}
    try:
        return AskRequest.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _recent(served: Served, collection: str) -> Sequence[AnswerSummary]:
    try:
        found = served.pipeline.log.list(_LOOKED_AT, AnswerFilter(collection=collection, replays=False))
    except LogError:  # a log that is off has no questions
        return ()
    newest: dict[str, AnswerSummary] = {}
    for one in found:
        newest.setdefault(one.question, one)
    return [*newest.values()][:_RECENT]
