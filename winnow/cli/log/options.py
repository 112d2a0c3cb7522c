"""The options by which `winnow log` picks answers, and what they mean."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from winnow.cli.options import settings

if TYPE_CHECKING:
    from storage.log.records import AnswerFilter
    from winnow.pipeline import RAGPipeline

StatusWord = Literal["ok", "repaired", "partial", "fallback"]
FeedbackWord = Literal["good", "bad", "judged", "any", "none"]

Text = Annotated[
    str, typer.Option("--text", "-t", help="Words of question or answer; Chinese needs no spaces.")
]
InCollection = Annotated[str | None, typer.Option("--collection", "-c", help="Only of this collection.")]
Strategy = Annotated[str | None, typer.Option("--strategy", help="The rerank spec, or a part of it.")]
StatusIs = Annotated[StatusWord | None, typer.Option("--status", help="The worst stage's status.")]
FeedbackIs = Annotated[FeedbackWord | None, typer.Option("--feedback", help="What people thought of it.")]
Since = Annotated[str | None, typer.Option("--since", help="A date (2026-05-01), or an age: 7d, 12h, 30m.")]
Until = Annotated[str | None, typer.Option("--until", help="A date, or an age.")]
Slow = Annotated[
    float | None, typer.Option("--slow", metavar="MS", help="Took at least so many milliseconds.")
]
Cost = Annotated[float | None, typer.Option("--costly", metavar="COST", help="Cost at least so much.")]
AnswererName = Annotated[
    str | None,
    typer.Option("--answerer", metavar="NAME", help="`extractive` or `openai` (default: the logged one)."),
]

_AGE = re.compile(r"(\d+)([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def opened(data_dir: Path | None) -> RAGPipeline:
    """The pipeline whose log a command is about."""
    from winnow.pipeline import RAGPipeline

    return RAGPipeline.from_settings(settings(data_dir))


def answer_filter(
    text: str,
    collection: str | None,
    strategy: str | None,
    status: StatusWord | None,
    feedback: FeedbackWord | None,
    since: str | None,
    until: str | None,
    slow: float | None,
    costly: float | None,
) -> AnswerFilter:
    """The answers that a command's options mean."""
    from storage.log.records import AnswerFilter

    return AnswerFilter(
        text=text,
        collection=collection,
        strategy=strategy,
        status=status,
        feedback=feedback,
        since=moment(since) if since else None,
        until=moment(until) if until else None,
        min_ms=slow,
        min_cost=costly,
    )


def moment(text: str) -> datetime:
    """A date as people write it, in this machine's time zone, or an age counted back from now."""
    from storage.errors import BadInputError

    try:
        if age := _AGE.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadInputError(
            f"{text!r} is neither a date nor an age",
            way_out="Write 2026-05-01, 2026-05-01T12:00, 7d, 12h or 30m.",
        ) from error


def grades(given: list[str]) -> dict[int, int]:
    """`["1=3", "4=0"]` as places and grades."""
    from storage.errors import BadInputError

    found: dict[int, int] = {}
    for item in given:
        place, _, grade = item.partition("=")
        if not (place.isdecimal() and grade.isdecimal()):
            raise BadInputError(
                f"{item!r} grades no passage", way_out="Write --passage 1=3 (place=grade, 0 to 3)."
            )
        found[int(place)] = int(grade)
    return found
