"""The log of answers. Every answer is one tree of rows, and is read back as an equal `Answer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select

from storage.database import Database
from storage.errors import BadInputError
from storage.log import export as log_export
from storage.log import feedback as log_feedback
from storage.log import query as log_query
from storage.log import stats as log_stats
from storage.log import threads as log_threads
from storage.log import upkeep
from storage.log.read import number_of, read_answer
from storage.log.records import (
    EVERY,
    EVERYBODY,
    AnswerFilter,
    AnswerSummary,
    Conversed,
    ExportFormat,
    Feedback,
    LogReader,
    Pruned,
    StrategyStats,
)
from storage.log.redaction import Redactor
from storage.log.tables import AnswerRow, ThreadRow
from storage.log.write import insert_answer, passage_rows
from storage.records import Answer

Summaries = list[AnswerSummary]

# Answers read at a time.
_PAGE = 100


class AnswerLog:
    """Answers in a database. Every method raises LogError where the database fails.

    Where a method takes an answer's id, a prefix will do if only one answer has it; otherwise it raises
    NotFoundError, which lists similar ids. `redact` are regular expressions: what they match is never
    written; raises SettingsError where one is not valid. For a `reader` there are only the answers that it
    may see; `prune`, `redact`, `vacuum` and `backup` concern the whole log.
    """

    def __init__(
        self, database: Database, *, redact: Sequence[str] = (), reader: LogReader = EVERYBODY
    ) -> None:
        self._database = database
        self._redactor = Redactor.of(redact)
        self.reader = reader

    def save(self, answer: Answer, *, replay_of: str | None = None, reader: LogReader | None = None) -> None:
        """Write an answer, all of it or nothing. An answer that is in the log already is not changed.

        `replay_of` is the id of the answer that this one replays, `reader` is who asked (default: who uses
        this log).
        """
        asked = reader or self.reader
        passages = passage_rows(answer, self._redactor)
        with self._database.writing() as connection:
            more = {
                "replay_of": None if replay_of is None else self._number(connection, replay_of),
                "asker": asked.asker,
                "scope": asked.scope,
            }
            insert_answer(connection, answer, passages, self._redactor, more)
            connection.commit()

    def get(self, id_or_prefix: str) -> Answer:
        """Return the answer, equal to what was saved."""
        with self._database.reading() as connection:
            return read_answer(connection, self._number(connection, id_or_prefix))

    def summary(self, id_or_prefix: str) -> AnswerSummary:
        """Return the answer in one line, with its feedback and the id of the answer that it replays."""
        with self._database.reading() as connection:
            [found] = log_query.summaries_of(connection, [self._number(connection, id_or_prefix)])
        return found

    def answers(self, where: AnswerFilter = EVERY) -> Iterator[Answer]:
        """Yield the selected answers whole, newest first. No transaction is held open between them."""
        return (answer for answer, _, _ in self._entries(where))

    def search(self, text: str, limit: int = 20) -> Summaries:
        """Find answers in whose question and text all words occur, newest first. Chinese needs no spaces."""
        return self.list(limit, AnswerFilter(text=text))

    def last(self, collection: str) -> AnswerSummary | None:
        """Return the newest answer of the reader's own from a collection, replays left out."""
        own = AnswerLog(self._database, reader=replace(self.reader, own=True))
        return next(iter(own.list(1, AnswerFilter(collection=collection, replays=False))), None)

    def count(self, where: AnswerFilter = EVERY) -> int:
        with self._database.reading() as connection:
            return log_query.count(connection, where, self.reader)

    def replays(self, id_or_prefix: str) -> Summaries:
        """List the replays of an answer, oldest first."""
        with self._database.reading() as connection:
            original = self._number(connection, id_or_prefix)
            seen = (AnswerRow.replay_of == original, *log_query.visible(self.reader))
            query = select(AnswerRow.number).where(*seen).order_by(AnswerRow.number)
            return log_query.summaries_of(connection, connection.execute(query).scalars().all())

    def thread(self, id_or_prefix: str) -> Conversed:
        """Return the conversation that ends with an answer."""
        with self._database.reading() as connection:
            return self._threads(connection, [self._number(connection, id_or_prefix)])[0]

    def threads(self, limit: int = 20, *, offset: int = 0) -> list[Conversed]:
        """Return the newest conversations, whole; where one forks, each end is one."""
        with self._database.reading() as connection:
            ends = log_threads.latest(connection, self.reader, limit, offset)
            return self._threads(connection, ends)

    def rename_thread(self, id_or_prefix: str, name: str) -> None:
        """Name the conversation of an answer; without a name it has that of its first question again."""
        with self._database.writing() as connection:
            first = self._turns(connection, self._number(connection, id_or_prefix))[0]
            row = self._redactor.row(ThreadRow, {"name": " ".join(name.split())[:200]})
            log_threads.rename(connection, first, row["name"])
            connection.commit()

    def delete_thread(self, id_or_prefix: str) -> int:
        """Delete the conversation of an answer and return the number of answers: see `answers_of_thread`."""
        going = self._going(id_or_prefix)
        upkeep.delete(self._database, going)
        return len(going)

    def answers_of_thread(self, id_or_prefix: str) -> int:
        """Return how many answers go where the conversation of an answer is deleted.

        These are the turns before, those after, and their replays, with all feedback; what another end of a
        forked conversation follows stays. Raises BadInputError where nothing could go.
        """
        return len(self._going(id_or_prefix))

    def _going(self, id_or_prefix: str) -> Sequence[int]:
        with self._database.reading() as connection:
            end = self._number(connection, id_or_prefix)
            going = log_threads.going(connection, self._turns(connection, end), self.reader)
        if not going:
            raise BadInputError(
                "others have asked on from this conversation, so it stays",
                way_out="Who may see their answers can delete it.",
            )
        return going

    def _threads(self, connection: Connection, ends: Sequence[int]) -> list[Conversed]:
        walks = [self._turns(connection, end) for end in ends]
        names = log_threads.names(connection, [walk[0] for walk in walks])
        found = (log_query.summaries_of(connection, walk) for walk in walks)
        return [
            Conversed(names.get(walk[0], turns[0].question), tuple(turns))
            for walk, turns in zip(walks, found, strict=True)
        ]

    def _turns(self, connection: Connection, end: int) -> list[int]:
        """Return the answers of a conversation that may be seen, up to `end`, from the last hidden one on."""
        walk = log_threads.turns(connection, end)
        seen = select(AnswerRow.number).where(AnswerRow.number.in_(walk), *log_query.visible(self.reader))
        visible = set(connection.execute(seen).scalars())
        hidden = [place for place, number in enumerate(walk) if number not in visible]
        return walk[hidden[-1] + 1 :] if hidden else walk

    def feedback(
        self,
        id_or_prefix: str,
        *,
        good: bool | None = None,
        note: str = "",
        grades: Mapping[int, int] | None = None,
    ) -> Feedback:
        """Add feedback on an answer; return all of it.

        `grades` maps a candidate's place (from 1, in the order of `Answer.candidates`) to 0 (not relevant) to
        3 (answers the question). Raises BadInputError where nothing is given, or no such place exists.
        """
        with self._database.writing() as connection:
            number = self._number(connection, id_or_prefix)
            log_feedback.add(connection, number, good, note, grades or {}, self._redactor)
            connection.commit()
            return log_feedback.of(connection, number)

    def feedback_of(self, id_or_prefix: str) -> Feedback:
        """Return all feedback on an answer, put together."""
        with self._database.reading() as connection:
            return log_feedback.of(connection, self._number(connection, id_or_prefix))

    def grades(self, answer: Answer) -> dict[str, int]:
        """Return the grades (0 to 3) that people gave an answer's passages, by chunk id."""
        places = self.feedback_of(answer.id).grades
        return {answer.candidates[place - 1].id: grade for place, grade in places.items()}

    def stats(self, where: AnswerFilter = EVERY) -> tuple[StrategyStats, ...]:
        """Return statistics of each rerank spec, the most used first."""
        with self._database.reading() as connection:
            return tuple(log_stats.stats(connection, where, self.reader))

    def export(
        self,
        form: ExportFormat,
        target: Path,
        where: AnswerFilter = EVERY,
        *,
        shape: log_export.Shape,
    ) -> int:
        """Write answers to a file (`jsonl`, `csv`) or a folder (`beir`: questions with judged passages).

        `shape` makes a JSON object of an answer, its feedback and its summary, for `jsonl`. Returns how many
        answers or questions were written.
        Raises BadInputError where `target` cannot be written.
        """
        if form == "beir":
            return log_export.write_beir(self._entries(where), target)
        if form == "csv":
            return log_export.write_csv(self._entries(where), target)
        return log_export.write_jsonl(self._entries(where), target, shape)

    def prune(self, older_than: datetime, *, judged: bool = False) -> Pruned:
        """Delete answers from before `older_than`; those with feedback only where `judged` is set."""
        return upkeep.prune(self._database, older_than, judged=judged)

    def redact(self, patterns: Sequence[str]) -> int:
        """Redact everything that is logged already; return how many rows changed.

        The old text stays in the file's free space until `vacuum`.
        """
        return upkeep.redact(self._database, Redactor.of(patterns))

    def vacuum(self) -> int:
        """Free unused space and leave no trace of what was deleted; return how many bytes that saved."""
        return upkeep.vacuum(self._database)

    def backup(self, target: Path) -> None:
        """Copy the database to a new file while others write. Raises BadInputError where it exists."""
        upkeep.backup(self._database, target)

    def list(self, limit: int = 20, where: AnswerFilter = EVERY, *, offset: int = 0) -> Summaries:
        """List the selected answers, newest first, at most `limit` after the first `offset`."""
        with self._database.reading() as connection:
            page = log_query.numbers(connection, where, self.reader).limit(limit).offset(offset)
            return log_query.summaries_of(connection, connection.execute(page).scalars().all())

    def _number(self, connection: Connection, id_or_prefix: str) -> int:
        return number_of(connection, id_or_prefix, log_query.visible(self.reader))

    def _entries(self, where: AnswerFilter) -> Iterator[log_export.Entry]:
        with self._database.reading() as connection:
            meant = connection.execute(log_query.numbers(connection, where, self.reader)).scalars().all()
        for start in range(0, len(meant), _PAGE):
            with self._database.reading() as connection:
                page = [
                    (read_answer(connection, number), log_feedback.of(connection, number), summary)
                    for number, summary in log_query.existing(connection, meant[start : start + _PAGE])
                ]
            yield from page
