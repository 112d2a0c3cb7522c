"""What was said before a question: turns that are handed in, or answers that the log has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from generation.followup import TURNS, Turn
from storage.errors import BadInputError, NotFoundError
from storage.log.records import AnswerFilter
from storage.records import Answer

if TYPE_CHECKING:
    from storage.log.answer_log import AnswerLog

LAST = "last"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Earlier turns, oldest first, and the id of the answer that a question follows, where it is known."""

    turns: tuple[Turn, ...]
    answer_id: str = ""


def conversation(
    history: Sequence[Turn | Answer] | None,
    follow_up: str | None,
    log: Callable[[], AnswerLog],
    collection: str,
) -> Conversation | None:
    """What a question to `collection` follows; None where it is the first.

    `follow_up` is an answer's id, its beginning, or `last`: the newest from that collection. Raises
    BadInputError where both are given, NotFoundError where the log has no such answer, LogError where it is
    off.
    """
    if history and follow_up:
        raise BadInputError("a question follows a history or a logged answer, not both")
    said = logged(follow_up, log(), collection) if follow_up else history
    if not said:
        return None
    last = said[-1]
    return Conversation(tuple(map(_turn, said)), last.id if isinstance(last, Answer) else "")


def logged(answer_id: str, log: AnswerLog, collection: str) -> list[Answer]:
    """The answer of that id (or `last` from a collection) behind those that it follows, oldest first, four
    at most."""
    answer = log.get(_newest(log, collection) if answer_id == LAST else answer_id)
    found = [answer]
    while len(found) < TURNS and answer.follow_up and answer.follow_up.answer_id:
        answer = log.get(answer.follow_up.answer_id)
        found.append(answer)
    return found[::-1]


def _turn(said: Turn | Answer) -> Turn:
    return Turn(said.question, said.text) if isinstance(said, Answer) else said


def _newest(log: AnswerLog, collection: str) -> str:
    newest = log.list(1, AnswerFilter(collection=collection, replays=False))
    if not newest:
        raise NotFoundError(
            f"there is no answer to follow: the log has none from the collection {collection!r}",
            way_out="Ask something first, or name an answer by its id (winnow log list).",
        )
    return newest[0].id
