"""The tables of the log, as typed mappings. docs/log.md draws them.

Rows are written and read through SQLAlchemy's Core, in bulk. What is small and never searched (warnings,
timings, headings) is JSON in one column; times are ISO 8601 in UTC, so that text order is time order.
"""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import KEY_ONLY, TableBase

Key = Annotated[int, mapped_column(primary_key=True, autoincrement=False)]
AnswerKey = Annotated[
    int,
    mapped_column(ForeignKey("answers.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
]


def _belongs_to(table: str, position: str) -> ForeignKeyConstraint:
    """Return the link to an answer's row of another table, with which this row goes."""
    theirs = [f"{table}.answer_number", f"{table}.position"]
    return ForeignKeyConstraint(["answer_number", position], theirs, ondelete="CASCADE")


class _UsageColumns:
    """The fields of `storage.records.Usage`."""

    calls: Mapped[int]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    cost: Mapped[float | None]
    retries: Mapped[int]
    cached: Mapped[int]


class _PartOfAnswer:
    """The key of rows that belong to an answer; `position` counts from 0."""

    answer_number: Mapped[AnswerKey]
    position: Mapped[Key]


class _SourceColumns:
    """The source of a passage; `headings` is JSON, the others are as in `storage.records`."""

    chunk_id: Mapped[str]
    document_id: Mapped[str]
    source: Mapped[str]
    title: Mapped[str]
    start_char: Mapped[int]
    end_char: Mapped[int]
    headings: Mapped[str]
    page: Mapped[int | None]


class AnswerRow(_UsageColumns, TableBase):
    """One answer. `number` is for joins; `status` is that of the worst stage.

    `feedback` is the latest verdict, `judged` counts judged passages, `replay_of` is the original's number.
    `warnings_data` is JSON: for each of `warnings` its code and values, null for plain text. `asker` is the
    id of the token that asked, `scope` the filter that it is held to.
    """

    __tablename__ = "answers"
    __table_args__ = (
        # Everything that a list filters by, so that one pass over this index answers any combination.
        Index(
            "ix_answers_list",
            *("created_at", "number", "collection", "rerank", "answerer", "status", "answered"),
            *("feedback", "judged", "replay_of", "ms", "cost"),
        ),
        Index("ix_answers_replay_of", "replay_of"),
        Index("ix_answers_asker", "asker", "created_at", "number"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[str]
    collection: Mapped[str]
    rerank: Mapped[str]
    answerer: Mapped[str]
    status: Mapped[str]
    answered: Mapped[bool]
    ms: Mapped[float]
    top_k_retrieve: Mapped[int]
    top_k_rerank: Mapped[int]
    question: Mapped[str]
    text: Mapped[str]
    timings_ms: Mapped[str]
    warnings: Mapped[str]
    fingerprints: Mapped[str]
    feedback: Mapped[str | None]
    judged: Mapped[int] = mapped_column(server_default="0")
    replay_of: Mapped[int | None] = mapped_column(ForeignKey("answers.number", ondelete="SET NULL"))
    warnings_data: Mapped[str | None]
    asker: Mapped[str] = mapped_column(server_default="")
    scope: Mapped[str] = mapped_column(server_default="")


class FollowUpRow(TableBase):
    """The rewritten question of an answer that followed earlier ones.

    `prompt` is what a model was sent to write it; `follows` is the number of the answer before.
    """

    __tablename__ = "follow_ups"
    __table_args__ = (Index("ix_follow_ups_follows", "follows"),)

    answer_number: Mapped[AnswerKey]
    question: Mapped[str]
    prompt: Mapped[str]
    follows: Mapped[int | None] = mapped_column(ForeignKey("answers.number", ondelete="SET NULL"))


class ThreadRow(TableBase):
    """The name that somebody gave a conversation, by its first answer."""

    __tablename__ = "threads"

    answer_number: Mapped[AnswerKey]
    name: Mapped[str]


class PromptRow(TableBase):
    """The prompt of the chat model; apart from `answers`, so that lists need not read past it."""

    __tablename__ = "prompts"

    answer_number: Mapped[AnswerKey]
    text: Mapped[str]


class StageRow(_PartOfAnswer, _UsageColumns, TableBase):
    """The outcome of one stage of an answer; `position` counts from 0 in the order of the stages.

    `reason_data` is JSON: the code and values of the `reason`, null for plain text.
    """

    __tablename__ = "stages"
    __table_args__ = KEY_ONLY

    name: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str]
    ms: Mapped[float]
    reason_data: Mapped[str | None]


class CallRow(_UsageColumns, TableBase):
    """One call of a language model by a stage; `messages` is JSON: `[[role, content], …]`."""

    __tablename__ = "llm_calls"
    __table_args__ = (_belongs_to("stages", "stage_position"), KEY_ONLY)

    answer_number: Mapped[Key]
    stage_position: Mapped[Key]
    position: Mapped[Key]
    model: Mapped[str]
    messages: Mapped[str]
    reply: Mapped[str]
    error: Mapped[str]
    ms: Mapped[float]


class PassageRow(_SourceColumns, TableBase):
    """A passage as an answer saw it. `hash` is over all other columns, so that equal ones are kept once."""

    __tablename__ = "passages"
    __table_args__ = (Index("ix_passages_chunk_id", "chunk_id"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(unique=True)
    text: Mapped[str]
    ordinal: Mapped[int]
    legible: Mapped[bool]
    about: Mapped[str] = mapped_column(server_default="")
    metadata_: Mapped[str] = mapped_column("metadata")


class CandidateRow(_PartOfAnswer, TableBase):
    """One of the passages that retrieval found; `position` counts from 0, the final ones first.

    `slot` is its number in the prompt (from 1; null where the answerer did not get it).
    """

    __tablename__ = "candidates"
    __table_args__ = (Index("ix_candidates_passage", "passage_number"), KEY_ONLY)

    passage_number: Mapped[int] = mapped_column(ForeignKey("passages.number"))
    slot: Mapped[int | None]
    cited: Mapped[bool]


class NeighbourRow(_PartOfAnswer, TableBase):
    """A passage that was joined to a final one for the answerer, in the order of `Answer.neighbours`."""

    __tablename__ = "neighbours"
    __table_args__ = (Index("ix_neighbours_passage", "passage_number"), KEY_ONLY)

    passage_number: Mapped[int] = mapped_column(ForeignKey("passages.number"))


class RankRow(TableBase):
    """A candidate's rank (from 1) and score in one stage; `step` keeps the stages in their order.

    The evidence is where in the passage's text (characters) the stage found its score.
    """

    __tablename__ = "ranks"
    __table_args__ = (_belongs_to("candidates", "position"), KEY_ONLY)

    answer_number: Mapped[Key]
    position: Mapped[Key]
    step: Mapped[Key]
    stage: Mapped[str]
    rank: Mapped[int | None]
    score: Mapped[float | None]
    evidence_start: Mapped[int | None]
    evidence_end: Mapped[int | None]


class CitationRow(_PartOfAnswer, _SourceColumns, TableBase):
    """A citation in an answer's text, in the order of `Answer.citations`."""

    __tablename__ = "citations"
    __table_args__ = KEY_ONLY

    marker: Mapped[int]
    quote: Mapped[str]


class FeedbackRow(TableBase):
    """Feedback on an answer: a verdict, a note, or both. Rows are added, never changed."""

    __tablename__ = "feedback"
    __table_args__ = (Index("ix_feedback_answer", "answer_number"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    answer_number: Mapped[int] = mapped_column(ForeignKey("answers.number", ondelete="CASCADE"))
    created_at: Mapped[str]
    good: Mapped[bool | None]
    note: Mapped[str]


class JudgementRow(TableBase):
    """A person's grade of a candidate: 0 (not relevant) to 3 (answers the question)."""

    __tablename__ = "judgements"
    __table_args__ = (_belongs_to("candidates", "position"), KEY_ONLY)

    answer_number: Mapped[Key]
    position: Mapped[Key]
    grade: Mapped[int]
    created_at: Mapped[str]


class ScoreRow(TableBase):
    """A cached score. `question` hashes the strategy's fingerprint and the question; older rows go first."""

    __tablename__ = "scores"
    __table_args__ = (UniqueConstraint("question", "passage"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    question: Mapped[str]
    passage: Mapped[str]
    score: Mapped[float]
