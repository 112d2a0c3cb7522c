"""The options that `winnow log` picks answers by."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Option

from storage.errors import BadInputError
from winnow.cli.options import Options

if TYPE_CHECKING:
    from storage.log.records import AnswerFilter

Since = Annotated[str | None, Option("--since", help="A date (2026-05-01), or an age: 7d, 12h, 30m.")]
InCollection = Annotated[str | None, Option("--collection", "-c", help="Only of this collection.")]

_AGE = re.compile(r"(\d+)([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PickOptions(Options):
    """The options that pick answers for a comparison or an export."""

    text: Annotated[
        str, Option("--text", "-t", help="Words of question or answer; Chinese needs no spaces.")
    ] = ""
    collection: InCollection = None
    feedback: Annotated[
        Literal["good", "bad", "judged", "any", "none"] | None,
        Option("--feedback", help="What people thought of it."),
    ] = None
    since: Since = None

    def where(self) -> AnswerFilter:
        """The filter that the options describe. Raises BadInputError."""
        from storage.log.records import AnswerFilter

        return AnswerFilter(
            text=self.text,
            collection=self.collection,
            feedback=self.feedback,
            since=moment(self.since) if self.since else None,
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ListOptions(PickOptions):
    """All options that pick answers."""

    strategy: Annotated[str | None, Option("--strategy", help="The rerank spec, or a part of it.")] = None
    status: Annotated[
        Literal["ok", "repaired", "partial", "fallback"] | None,
        Option("--status", help="The worst stage's status."),
    ] = None
    until: Annotated[str | None, Option("--until", help="A date, or an age.")] = None
    slow: Annotated[
        float | None, Option("--slow", metavar="MS", help="Took at least this many milliseconds.")
    ] = None
    costly: Annotated[float | None, Option("--costly", metavar="COST", help="Cost at least this much.")] = (
        None
    )

    def where(self) -> AnswerFilter:
        """See `PickOptions.where`."""
        return replace(
            super().where(),
            strategy=self.strategy,
            status=self.status,
            until=moment(self.until) if self.until else None,
            min_ms=self.slow,
            min_cost=self.costly,
        )


def moment(text: str) -> datetime:
    """Parse a date in this machine's time zone, or an age counted back from now. Raises BadInputError."""
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
    """Parse `["1=3", "4=0"]` as grades by place. Raises BadInputError."""
    by_place: dict[int, int] = {}
    for item in given:
        place, _, grade = item.partition("=")
        if not (place.isdecimal() and grade.isdecimal()):
            raise BadInputError(
                f"{item!r} grades no passage", way_out="Write --passage 1=3 (place=grade, 0 to 3)."
            )
        by_place[int(place)] = int(grade)
    return by_place
