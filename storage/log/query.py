"""Translates filters of the log to SQL, and lists answers."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from storage.log import full_text
from storage.log.records import AnswerFilter, AnswerSummary, LogReader
from storage.log.rows import RecordColumns, iso
from storage.log.tables import AnswerRow, FollowUpRow

_SUMMARY = RecordColumns(AnswerSummary, renamed={"replay_of": "original"})
# The search index. The column of its own name means all of its columns.
_FTS = sa.table("answers_fts", sa.column("rowid", sa.Integer), sa.column("answers_fts", sa.Text))


def numbers(connection: sa.Connection, where: AnswerFilter, reader: LogReader) -> sa.Select[int]:
    """Return the query for the numbers of the selected answers that the reader may see, newest first.

    All columns but the text are in one index, which is read in the order of the list. Where only the text
    matters, the search index is read instead, from the answer that was logged last: both end at the limit.
    """
    seen = visible(reader)
    text_alone = where == AnswerFilter(text=where.text) and not seen
    if text_alone and (matching := _matching(connection, where.text)) is not None:
        return matching
    newest = (AnswerRow.created_at.desc(), AnswerRow.number.desc())
    return sa.select(AnswerRow.number).where(*conditions(connection, where), *seen).order_by(*newest)


def summaries_of(connection: sa.Connection, page: Sequence[int]) -> list[AnswerSummary]:
    """Return the summaries of the answers of these numbers, in their order."""
    return [summary for _, summary in existing(connection, page)]


def existing(connection: sa.Connection, page: Sequence[int]) -> list[tuple[int, AnswerSummary]]:
    """Return those of these numbers that are still in the log, in order, each with its summary."""
    original = aliased(AnswerRow)
    query = (
        sa.select(AnswerRow, original.id.label("original"))
        .outerjoin(original, original.number == AnswerRow.replay_of)
        .where(AnswerRow.number.in_(page))
    )
    found = {row.number: AnswerSummary(**_SUMMARY.fields(row)) for row in connection.execute(query)}
    return [(number, found[number]) for number in page if number in found]


def count(connection: sa.Connection, where: AnswerFilter, reader: LogReader) -> int:
    meant = (*conditions(connection, where), *visible(reader))
    return connection.execute(sa.select(sa.func.count()).select_from(AnswerRow).where(*meant)).scalar_one()


def visible(reader: LogReader, row: type[AnswerRow] = AnswerRow) -> list[sa.ColumnElement[bool]]:
    """Return the conditions on a row of `answers` that the reader may see; none where all may be seen."""
    found = list[sa.ColumnElement[bool]]()
    if reader.collections is not None:
        found.append(row.collection.in_(reader.collections))
    if reader.scope:
        found.append(row.scope == reader.scope)
    if reader.own:
        found.append(row.asker == reader.asker)
    elif found:  # a follow-up of others repeats what they asked elsewhere
        link = aliased(FollowUpRow)  # never the one of a query around it
        follows = sa.exists().where(link.answer_number == row.number)
        found.append(sa.or_(row.asker == reader.asker, ~follows))
    return found


def conditions(connection: sa.Connection, where: AnswerFilter) -> list[sa.ColumnElement[bool]]:
    """Return the conditions on a row of `answers`."""
    row = AnswerRow
    plain = ("collection", "answerer", "status", "answered")
    found = [getattr(row, name) == value for name in plain if (value := getattr(where, name)) is not None]
    if where.text.strip():
        found.append(_contains(connection, where.text))
    if where.since is not None:
        found.append(row.created_at >= iso(where.since))
    if where.until is not None:
        found.append(row.created_at < iso(where.until))
    if where.strategy is not None:
        found.append(row.rerank.contains(where.strategy, autoescape=True))
    if where.feedback is not None:
        found.append(_feedback(where.feedback))
    if where.min_ms is not None:
        found.append(row.ms >= where.min_ms)
    if where.min_cost is not None:
        found.append(row.cost >= where.min_cost)
    if where.replays is not None:
        # Wrapped, so that SQLite does not take the index of this column alone: most answers are no replays.
        original = sa.func.coalesce(row.replay_of, 0)
        found.append(original > 0 if where.replays else original == 0)
    return found


def _feedback(wanted: str) -> sa.ColumnElement[bool]:
    given = sa.or_(AnswerRow.feedback.is_not(None), AnswerRow.judged > 0)
    match wanted:
        case "judged":
            return AnswerRow.judged > 0
        case "any":
            return given
        case "none":
            return sa.and_(AnswerRow.feedback.is_(None), AnswerRow.judged == 0)
    return AnswerRow.feedback == wanted


def _contains(connection: sa.Connection, words: str) -> sa.ColumnElement[bool]:
    """Match all words in question or answer: by the index of SQLite, elsewhere by reading the texts."""
    if connection.dialect.name != "sqlite":
        return sa.and_(
            *(
                sa.or_(
                    AnswerRow.question.icontains(word, autoescape=True),
                    AnswerRow.text.icontains(word, autoescape=True),
                )
                for word in words.split()
            )
        )
    matching = _matching(connection, words)
    return sa.false() if matching is None else AnswerRow.number.in_(matching.order_by(None))


def _matching(connection: sa.Connection, words: str) -> sa.Select[int] | None:
    """Return the query of the search index, latest answers first; None where the index cannot be used."""
    query = full_text.query(words)
    if not query or connection.dialect.name != "sqlite":
        return None
    return sa.select(_FTS.c.rowid).where(_FTS.c.answers_fts.match(query)).order_by(_FTS.c.rowid.desc())
