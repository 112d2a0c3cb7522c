"""Conversations: an answer, those that it follows, and the name that somebody gave them."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import aliased

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


def latest(connection: sa.Connection, seen: Sequence[sa.ColumnElement[bool]], limit: int) -> list[int]:
    """Return the last answers of the newest conversations: those that nothing follows, replays left out."""
    row, later = AnswerRow, aliased(FollowUpRow)
    ends = (row.replay_of.is_(None), ~sa.exists().where(later.follows == row.number), *seen)
    query = sa.select(row.number).where(*ends).order_by(row.created_at.desc(), row.number.desc()).limit(limit)
    return list(connection.execute(query).scalars())


def going(connection: sa.Connection, walk: Sequence[int]) -> list[int]:
    """Return the answers of a conversation from its end to the last fork: no other conversation has them."""
    found: list[int] = []
    for number in reversed(walk):
        after = sa.select(FollowUpRow.answer_number).where(FollowUpRow.follows == number)
        if set(connection.execute(after).scalars()) - set(found):
            break
        found.append(number)
    return found


def names(connection: sa.Connection, firsts: Sequence[int]) -> dict[int, str]:
    """Return the names that were given, by the number of a conversation's first answer."""
    query = sa.select(ThreadRow.answer_number, ThreadRow.name).where(ThreadRow.answer_number.in_(firsts))
    return {row.answer_number: row.name for row in connection.execute(query)}


def rename(connection: sa.Connection, first: int, name: str) -> None:
    """Give a conversation a name; an empty one takes it away."""
    connection.execute(sa.delete(ThreadRow).where(ThreadRow.answer_number == first))
    if name:
        connection.execute(sa.insert(ThreadRow).values(answer_number=first, name=name))
