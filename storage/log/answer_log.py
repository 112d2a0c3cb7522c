"""The log of answers. Every answer is one tree of rows, and is read back as an equal `Answer`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from storage.database import Database
from storage.log import export as log_export
from storage.log import feedback as log_feedback
from storage.log import query as log_query
from storage.log import stats as log_stats
from storage.log import upkeep
from storage.log.read import number_of, read_answer
from storage.log.records import (
    EVERY,
    AnswerFilter,
    AnswerSummary,
    ExportFormat,
    Feedback,
    Pruned,
    StrategyStats,
)
from storage.log.redaction import Redactor
from storage.log.tables import AnswerRow
from storage.log.write import insert_answer, passage_rows
from storage.records import Answer

Summaries = list[AnswerSummary]

# Answers read at a time.
_PAGE = 100


class AnswerLog:
    """Answers in a database. Every method raises LogError where the database fails.

    Where a method takes an answer's id, a prefix will do if only one answer has it; otherwise it raises
    NotFoundError, which lists similar ids. `redact` are regular expressions: what they match is never
    written; raises SettingsError where one is not valid.
    """

    def __init__(self, database: Database, *, redact: Sequence[str] = ()) -> None:
        self._database = database
        self._redactor = Redactor.of(redact)

    def save(self, answer: Answer, *, replay_of: str | None = None) -> None:
        """Write an answer, all of it or nothing. An answer that is in the log already is not changed.

        `replay_of` is the id of the answer that this one replays.
        """
        passages = passage_rows(answer, self._redactor)
        with self._database.writing() as connection:
            original = None if replay_of is None else number_of(connection, replay_of)
            insert_answer(connection, answer, passages, self._redactor, original)
            connection.commit()

    def get(self, id_or_prefix: str) -> Answer:
        """Return the answer, equal to what was saved."""
        with self._database.reading() as connection:
            return read_answer(connection, number_of(connection, id_or_prefix))

    def summary(self, id_or_prefix: str) -> AnswerSummary:
        """Return the answer in one line, with its feedback and the id of the answer that it replays."""
        with self._database.reading() as connection:
            [found] = log_query.summaries_of(connection, [number_of(connection, id_or_prefix)])
        return found

    def answers(self, where: AnswerFilter = EVERY) -> Iterator[Answer]:
        """Yield the selected answers whole, newest first. No transaction is held open between them."""
        return (answer for answer, _, _ in self._entries(where))

    def search(self, text: str, limit: int = 20) -> Summaries:
        """Find answers in whose question and text all words occur, newest first. Chinese needs no spaces."""
        return self.list(limit, AnswerFilter(text=text))

    def count(self, where: AnswerFilter = EVERY) -> int:
        with self._database.reading() as connection:
            return log_query.count(connection, where)

    def replays(self, id_or_prefix: str) -> Summaries:
        """List the replays of an answer, oldest first."""
        with self._database.reading() as connection:
            original = number_of(connection, id_or_prefix)
            query = select(AnswerRow.number).where(AnswerRow.replay_of == original).order_by(AnswerRow.number)
            return log_query.summaries_of(connection, connection.execute(query).scalars().all())

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
            number = number_of(connection, id_or_prefix)
            log_feedback.add(connection, number, good, note, grades or {}, self._redactor)
            connection.commit()
            return log_feedback.of(connection, number)

    def feedback_of(self, id_or_prefix: str) -> Feedback:
        """Return all feedback on an answer, put together."""
        with self._database.reading() as connection:
            return log_feedback.of(connection, number_of(connection, id_or_prefix))

    def grades(self, answer: Answer) -> dict[str, int]:
        """Return the grades (0 to 3) that people gave an answer's passages, by chunk id."""
        places = self.feedback_of(answer.id).grades
        return {answer.candidates[place - 1].id: grade for place, grade in places.items()}

    def stats(self, where: AnswerFilter = EVERY) -> tuple[StrategyStats, ...]:
        """Return statistics of each rerank spec, the most used first."""
        with self._database.reading() as connection:
            return tuple(log_stats.stats(connection, where))

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
            page = log_query.numbers(connection, where).limit(limit).offset(offset)
            return log_query.summaries_of(connection, connection.execute(page).scalars().all())

    def _entries(self, where: AnswerFilter) -> Iterator[log_export.Entry]:
        with self._database.reading() as connection:
            meant = connection.execute(log_query.numbers(connection, where)).scalars().all()
        for start in range(0, len(meant), _PAGE):
            with self._database.reading() as connection:
                page = [
                    (read_answer(connection, number), log_feedback.of(connection, number), summary)
                    for number, summary in log_query.existing(connection, meant[start : start + _PAGE])
                ]
            yield from page
