"""Conversations of the log: what is listed, for whom, and what a deletion takes with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.database import Database
from storage.errors import BadInputError
from storage.log.answer_log import AnswerLog
from storage.log.records import EVERYBODY, LogReader
from storage.records import FollowUp
from tests.support.log_samples import DATABASES, a_database, a_plain_answer

ANN = LogReader(asker="ann", own=True)
BEN = LogReader(asker="ben", own=True)
# who may see what others asked of one collection
ALL = LogReader(asker="cy", collections=("default",))


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with a_database(request.param, tmp_path) as database:
        yield database


class Talk:
    """Questions, answered in a log one after the other; the ids are their numbers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._asked = 0

    def ask(self, reader: LogReader = EVERYBODY, after: str = "", replay_of: str = "") -> str:
        self._asked += 1
        answer = replace(a_plain_answer(self._asked), collection="default")
        if after:
            answer = replace(answer, follow_up=FollowUp("and then?", "", after))
        AnswerLog(self.database).save(answer, replay_of=replay_of or None, reader=reader)
        return answer.id

    def seen_by(self, reader: LogReader) -> AnswerLog:
        return AnswerLog(self.database, reader=reader)

    def ends(self, reader: LogReader = EVERYBODY) -> list[str]:
        return [one.turns[-1].id for one in self.seen_by(reader).threads()]

    def ids(self) -> set[str]:
        return {one.id for one in self.seen_by(EVERYBODY).list(100)}


@pytest.fixture
def talk(database: Database) -> Talk:
    return Talk(database)


def test_a_deleted_conversation_does_not_return_in_its_replays(talk: Talk) -> None:
    """Replays of its answers, and replays of these, go with a conversation; others stay."""
    first = talk.ask()
    second = talk.ask(after=first)
    again = talk.ask(after=first, replay_of=second)
    talk.ask(after=first, replay_of=again)
    talk.ask(replay_of=first)
    other = talk.ask()
    kept = talk.ask(replay_of=other)
    log = talk.seen_by(EVERYBODY)
    assert log.answers_of_thread(second) == 5
    assert log.delete_thread(second) == 5
    assert talk.ids() == {other, kept}
    assert talk.ends() == [other]


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_a_conversation_is_deleted_from_any_of_its_turns(talk: Talk, turn: int) -> None:
    """Whichever turn is looked at, the turns before and after go."""
    turns = [first := talk.ask(), second := talk.ask(after=first), talk.ask(after=second)]
    assert talk.seen_by(EVERYBODY).delete_thread(turns[turn]) == 3
    assert talk.ids() == set()


def test_what_another_end_follows_stays(talk: Talk) -> None:
    """Of a forked conversation one end goes back to the fork, be it at a turn or at the replay of one."""
    first = talk.ask()
    second, aside = talk.ask(after=first), talk.ask(after=first)
    assert talk.seen_by(EVERYBODY).delete_thread(second) == 1
    replay = talk.ask(after=first, replay_of=aside)
    on = talk.ask(after=replay)
    assert talk.seen_by(EVERYBODY).delete_thread(aside) == 1
    assert talk.ids() == {first, replay, on}
    assert [one.id for one in talk.seen_by(EVERYBODY).thread(on).turns] == [first, replay, on]


def test_what_others_follow_is_not_deleted_in_silence(talk: Talk) -> None:
    """A turn that another person goes on from stays, with an error; their replays of it go."""
    mine = talk.ask(ANN)
    replay = talk.ask(BEN, replay_of=mine)
    theirs = talk.ask(BEN, after=mine)
    for call in (talk.seen_by(ANN).delete_thread, talk.seen_by(ANN).answers_of_thread):
        with pytest.raises(BadInputError, match="others have asked on"):
            call(mine)
    assert talk.ids() == {mine, replay, theirs}
    talk.seen_by(BEN).delete_thread(theirs)
    assert talk.seen_by(ANN).delete_thread(mine) == 2
    assert talk.ids() == set()


def test_a_hidden_follow_up_hides_no_conversation(talk: Talk) -> None:
    """The list has each reader's own ends, whatever others asked on from them."""
    mine = talk.ask(ANN)
    theirs = talk.ask(BEN, after=mine)
    on = talk.ask(BEN, after=theirs)
    assert talk.ends(ANN) == [mine]
    assert talk.ends(BEN) == [on]
    assert talk.ends() == [on]
    assert talk.ends(ALL) == [mine]  # follow-ups of others may repeat what came from elsewhere
    talk.ask(BEN, after=theirs, replay_of=on)
    assert talk.ends(BEN) == talk.ends() == [on]


def test_the_last_answer_is_the_readers_own(talk: Talk) -> None:
    """Who may see the answers of others goes on from their own all the same."""
    assert talk.seen_by(ALL).last("default") is None
    mine = talk.ask(ALL)
    talk.ask(BEN)
    talk.ask(ALL, replay_of=mine)
    talk.ask()
    for reader, wanted in ((ALL, mine), (replace(ALL, collections=None), mine)):
        found = talk.seen_by(reader).last("default")
        assert found is not None
        assert found.id == wanted
    assert talk.seen_by(ALL).last("another") is None
