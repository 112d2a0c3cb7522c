"""The turns before a question: handed in, or read from the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generation.followup import TURNS, Turn
from rerank.spec import Spec
from storage.errors import BadInputError, NotFoundError, SpecError
from storage.reasons import Reason
from storage.records import Answer
from storage.secrets import MASK
from winnow.app.asked import Asked

if TYPE_CHECKING:
    from storage.log.answer_log import AnswerLog

LAST = "last"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Earlier turns, oldest first, and the id of the answer that a question follows, if it has one."""

    turns: tuple[Turn, ...]
    answer_id: str = ""


def conversation(asked: Asked, log: Callable[[], AnswerLog], collection: str) -> Conversation | None:
    """The conversation that a question to `collection` continues, or None for a first question.

    Raises BadInputError for both a history and a logged answer, NotFoundError for an answer that is not in
    the log, LogError for a log that is off.
    """
    if asked.history and asked.follow_up:
        raise BadInputError("a question follows a history or a logged answer, not both")
    earlier = logged(asked.follow_up, log(), collection) if asked.follow_up else asked.history
    if not earlier:
        return None
    last = earlier[-1]
    return Conversation(tuple(map(_turn, earlier)), last.id if isinstance(last, Answer) else "")


def continued(asked: Asked, log: AnswerLog, collection: str) -> Asked:
    """A follow-up with the filter, chain and limits of the answer that it follows, where it chooses none.

    An answer of another collection gives chain and limits alone: its filter is about other passages. Raises
    NotFoundError for an answer that is not in the log.
    """
    if not asked.follow_up:
        return asked
    before = log.get(_newest(log, collection) if asked.follow_up == LAST else asked.follow_up)
    spec = _spec(before.rerank)
    kept: dict[str, Any] = {
        "top_k_retrieve": before.top_k_retrieve,
        "top_k_rerank": before.top_k_rerank,
        "rerank": spec,
        "noted": another_chain(before.rerank) if spec is None and asked.rerank is None else None,
    }
    if before.collection == (asked.collection or before.collection):
        kept |= {"collection": before.collection, **searched_with(before)}
    chosen = {name: value for name, value in kept.items() if value is not None} | asked.given
    return Asked(**{**chosen, "follow_up": before.id})


def another_chain(before: str) -> Reason:
    """Return what is said of a follow-up that is not reranked like the answer before it."""
    return Reason("winnow.app.another-chain", before=before)


def searched_with(answer: Answer) -> dict[str, Any]:
    """The wishes about passages that a logged answer was asked with, by their names in `Asked`."""
    kept = answer.fingerprints
    read = {"where": str, "min_score": float, "expand": int, "exact": bool, "parts": str}
    return {name: convert(kept[name]) for name, convert in read.items() if name in kept}


def _spec(logged: str) -> str | None:
    """The logged chain, where it can be asked for: no user's own reranker, and nothing that was masked."""
    try:
        Spec.parse(logged)
    except SpecError:
        return None
    return None if MASK in logged else logged


def logged(answer_id: str, log: AnswerLog, collection: str) -> list[Answer]:
    """Return a logged answer after those that it follows, oldest first, at most four.

    `answer_id` may be the beginning of an id, or `last`: the asker's newest from the collection.
    """
    answer = log.get(_newest(log, collection) if answer_id == LAST else answer_id)
    answers = [answer]
    while len(answers) < TURNS and answer.follow_up and answer.follow_up.answer_id:
        answer = log.get(answer.follow_up.answer_id)
        answers.append(answer)
    return answers[::-1]


def _turn(earlier: Turn | Answer) -> Turn:
    return Turn(earlier.question, earlier.text) if isinstance(earlier, Answer) else earlier


def _newest(log: AnswerLog, collection: str) -> str:
    newest = log.last(collection)
    if newest is None:
        raise NotFoundError(
            f"there is no answer to follow: the log has none of yours from the collection {collection!r}",
            way_out="Ask something first, or name an answer by its id (winnow log list).",
        )
    return newest.id
