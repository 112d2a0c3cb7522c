"""A replay beside its original: where every final passage stood on the other side, and what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.errors import BadInputError
from storage.records import Answer, Chunk, Status, worst
from winnow.app.replay import Replay, beside
from winnow.log import Log
from winnow.server.pages.views.answer import StageLine, stages, total_ms
from winnow.server.pages.views.differences import Difference, difference
from winnow.server.pages.views.passages import label_of
from winnow.server.pages.views.rank_chart import Bump, bump


@dataclass(frozen=True, slots=True)
class Kept:
    """A final passage of one side: its `place` there, and on the `other` side, None where it is not final."""

    chunk: Chunk
    name: str
    place: int
    other: int | None
    cited: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two answers."""

    answer: Answer
    status: Status
    picture: Bump
    kept: Sequence[Kept]
    stages: Sequence[StageLine]
    total_ms: float


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Both, and how alike they are."""

    replay: Replay
    old: Side
    new: Side
    text: Difference

    @property
    def came(self) -> int:
        """How many of the new final passages were not final before."""
        return sum(one.other is None for one in self.new.kept)


def read(log: Log, answer_id: str) -> SideBySide:
    """A logged replay beside its original. Raises NotFoundError, and BadInputError for what is no replay."""
    summary = log.summary(answer_id)
    if summary.replay_of is None:
        raise BadInputError(
            f"the answer {summary.id} replays no other", way_out="Open it, and choose “Replay with…”."
        )
    old, new = log.get(summary.replay_of), log.get(summary.id)
    return SideBySide(
        beside(old, new), _side(old, new, "old-"), _side(new, old, "new-"), difference(old.text, new.text)
    )


def _side(answer: Answer, other: Answer, prefix: str) -> Side:
    places = {one.id: one.ranks["final"] for one in other.final}
    cited = {citation.chunk_id for citation in answer.citations}
    kept = [
        Kept(one.chunk, label_of(one.chunk), one.ranks["final"], places.get(one.id), one.id in cited)
        for one in answer.final
    ]
    return Side(
        answer=answer,
        status=worst(stage.status for stage in answer.stages),
        picture=bump(answer, prefix=prefix),
        kept=kept,
        stages=stages(answer),
        total_ms=total_ms(answer),
    )
