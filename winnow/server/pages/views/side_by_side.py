"""A replay next to its original: how their final passages and their texts differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.errors import BadInputError
from storage.log.records import AnswerFilter, StrategyStats
from storage.records import Answer
from winnow.app.replay import Replay, beside
from winnow.log import Log
from winnow.server.pages.views.answer import AnswerView
from winnow.server.pages.views.differences import TextDifference, difference
from winnow.server.pages.views.passages import CandidateView, candidates_of


@dataclass(frozen=True)
class AnswerSide(AnswerView):
    """One of the two answers; `other` is the other one."""

    other: Answer = field(kw_only=True)

    @property
    def kept(self) -> Sequence[tuple[CandidateView, int | None]]:
        """The final passages, each with its final rank in the other answer, None where it is not final."""
        places = {one.id: one.ranks["final"] for one in self.other.final}
        return [
            (view, places.get(view.candidate.id))
            for view in candidates_of(self.answer)
            if view.place is not None
        ]


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Both answers, and how similar they are.

    `asked` are the times of questions that were asked with the new chain; None where none was. The replay's
    own times are of work without the store, and of no question.
    """

    replay: Replay
    asked: StrategyStats | None
    old: AnswerSide
    new: AnswerSide
    text: TextDifference

    @property
    def came(self) -> int:
        """The number of new final passages that were not final before."""
        return sum(place is None for _, place in self.new.kept)


def read(log: Log, answer_id: str) -> SideBySide:
    """Read a logged replay and its original. Raises NotFoundError, and BadInputError for any other answer."""
    summary = log.summary(answer_id)
    if summary.replay_of is None:
        raise BadInputError(f"the answer {summary.id} is not a replay", way_out="Replay it first.")
    old, new = log.get(summary.replay_of), log.get(summary.id)
    stats = log.stats(AnswerFilter(strategy=new.rerank, replays=False))
    return SideBySide(
        beside(old, new),
        next((row for row in stats if row.rerank == new.rerank), None),
        AnswerSide(old, "old-", other=new),
        AnswerSide(new, "new-", other=old),
        difference(old.text, new.text),
    )
