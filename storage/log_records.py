"""What the log gives back besides whole answers. Importing this loads no database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.records import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSummary:
    """One answer in a list.

    `status` is that of its worst stage, `ms` the whole time in milliseconds, `cost` None where unknown.
    """

    id: str
    created_at: datetime
    question: str
    collection: str
    rerank: str
    answerer: str
    status: Status
    ms: float
    answered: bool
    cost: float | None = None
