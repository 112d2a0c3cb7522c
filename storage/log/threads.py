"""Conversations: an answer, those that it follows, and the name that somebody gave them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, aliased

from storage.log.query import visible
from storage.log.records import EVERYBODY, LogReader
from storage.log.tables import AnswerRow, FollowUpRow, ThreadRow

# Deeper conversations than anybody has are cut, so that no walk is endless.
DEEPEST = 200


def turns(connection: sa.Connection, number: int) -> list[int]:
    """Return the numbers of a conversation's answers up to this one, the first first."""
    walked = sa.select(sa.literal(number).label("number"), sa.literal(0).label("depth")).cte(
        "walked", recursive=True
    )
    before = sa.select(FollowUpRow.follows, walked.c.depth + 1).where(
        FollowUpRow.answer_number == walked.c.number,
        FollowUpRow.follows.is_not(None),
        walked.c.depth < DEEPEST,
    )
    walked = walked.union_all(before)
    query = sa.select(walked.c.number).order_by(walked.c.depth.desc())
    return list(connection.execute(query).scalars())


def latest(connection: sa.Connection, reader: LogReader, limit: int, offset: int = 0) -> list[int]:
    """Return the last answers of the newest conversations: replays left out, and those that one follows.

    What the reader may not see follows nothing.
    """
    row, later, link = AnswerRow, aliased(AnswerRow), aliased(FollowUpRow)
    goes_on = sa.exists().where(
        link.follows == row.number,
        later.number == link.answer_number,
        later.replay_of.is_(None),
        *visible(reader, later),
    )
    ends = (row.replay_of.is_(None), ~goes_on, *visible(reader))
    newest = (row.created_at.desc(), row.number.desc())
    query = sa.select(row.number).where(*ends).order_by(*newest).limit(limit).offset(offset)
    return list(connection.execute(query).scalars())


def going(connection: sa.Connection, walk: Sequence[int], reader: LogReader) -> list[int]:
    """Return what a deletion takes: a conversation, what goes on from its end, and the replays of both.

    What an answer that stays follows stays, too: another end of a fork, or what the reader may not see.
    """
    own = {*walk, *_closure(connection, FollowUpRow.answer_number, FollowUpRow.follows, walk[-1:], reader)}
    replays = set(with_replays(connection, [*own])) - own
    found = own | replays
    after = sa.select(FollowUpRow.follows, FollowUpRow.answer_number).where(FollowUpRow.follows.in_(found))
    links = [tuple(row) for row in connection.execute(after)]
    original = sa.select(AnswerRow.replay_of, AnswerRow.number).where(AnswerRow.number.in_(replays))
    origins = [tuple(row) for row in connection.execute(original)]
    while True:
        staying = {before for before, later in links if later not in found}
        staying |= {replay for of, replay in origins if of not in found}
        if found.isdisjoint(staying):
            return sorted(found)
        found -= staying


def with_replays(connection: sa.Connection, numbers: Sequence[int]) -> list[int]:
    """Return the numbers of answers, of their replays, and of replays of those."""
    return _closure(connection, AnswerRow.number, AnswerRow.replay_of, numbers)


def _closure(
    connection: sa.Connection,
    child: InstrumentedAttribute[int],
    parent: InstrumentedAttribute[int | None],
    numbers: Sequence[int],
    reader: LogReader = EVERYBODY,
) -> list[int]:
    """Return the answers that the reader may see and that a chain of links leads to from `numbers`."""
    reached = sa.select(AnswerRow.number).where(AnswerRow.number.in_(numbers)).cte("reached", recursive=True)
    step = sa.select(child).where(parent == reached.c.number)
    seen = visible(reader)
    step = step.where(AnswerRow.number == child, *seen) if seen else step
    return list(connection.execute(sa.select(reached.union(step).c.number)).scalars())


def names(connection: sa.Connection, firsts: Sequence[int]) -> dict[int, str]:
    """Return the names that were given, by the number of a conversation's first answer."""
    query = sa.select(ThreadRow.answer_number, ThreadRow.name).where(ThreadRow.answer_number.in_(firsts))
    return {row.answer_number: row.name for row in connection.execute(query)}


def rename(connection: sa.Connection, first: int, name: str) -> None:
    """Give a conversation a name; an empty one takes it away."""
    connection.execute(sa.delete(ThreadRow).where(ThreadRow.answer_number == first))
    if name:
        connection.execute(sa.insert(ThreadRow).values(answer_number=first, name=name))
