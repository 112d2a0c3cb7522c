"""Questions in parts: each is searched, ranked and answered by itself, logged, shown and replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import BadInputError
from tests.support.questions_in_parts import DOCUMENTS, PARTS, SAME, TWO, ranks, sources
from tests.support.serving import serving
from winnow import RAGPipeline, Settings
from winnow.app.json_model.answers import AnswerJson
from winnow.server.pages.views.movement import ranking_stages

pytestmark = pytest.mark.heavy


def test_each_part_has_its_passages_in_turn_and_its_answer(pipeline: RAGPipeline) -> None:
    """The first two passages are the best of the parts, and the answer cites both by their final places."""
    answer = pipeline.ask(TWO, top_k_rerank=2)
    assert sources(answer) == ["machine.md", "queue.md"]
    assert "300 cups. [1]" in answer.text
    assert "4 MiB large at most. [2]" in answer.text
    assert [(one.marker, one.source.rpartition("/")[2]) for one in answer.citations] == [
        (1, "machine.md"),
        (2, "queue.md"),
    ]
    parts = next(stage for stage in answer.stages if stage.name == "parts")
    assert [part.values["question"] for part in parts.reason.values["parts"]] == PARTS  # type: ignore[attr-defined]
    assert answer.final[1].ranks["part-2"] == 1
    assert answer.final[1].ranks["part-2.fusion"] == 1
    assert not answer.warnings


def test_a_chinese_question_in_parts_is_answered_in_both(pipeline: RAGPipeline) -> None:
    answer = pipeline.ask("泳池有多长，单条记录最大能有多大？")
    assert sources(answer)[:2] == ["gym.md", "database.md"]
    assert "25 米" in answer.text
    assert "64 KB" in answer.text


def test_a_passage_that_answers_both_parts_is_taken_once(pipeline: RAGPipeline) -> None:
    answer = pipeline.ask("What are bananas rich in and how do apples keep well?")
    assert len(set(sources(answer))) == len(sources(answer)) == 5
    assert "potassium" in answer.text
    assert "cool cellar" in answer.text


def test_a_part_without_an_answer_is_named(pipeline: RAGPipeline) -> None:
    answer = pipeline.ask("How often must the Kestrel be descaled and who won the world cup of 1954?")
    assert answer.answered
    assert "300 cups" in answer.text
    assert any("who won the world cup" in warning for warning in answer.warnings)


@pytest.mark.parametrize("asked", [("What are bananas rich in?", None), (TWO, "off")])
def test_an_ordinary_question_and_one_that_wishes_so_stay_whole(
    pipeline: RAGPipeline, asked: tuple[str, str | None]
) -> None:
    """Nothing tells of parts then."""
    answer = pipeline.ask(asked[0], parts=asked[1])
    assert "parts" not in [stage.name for stage in answer.stages]
    assert not any("part-1" in candidate.ranks for candidate in answer.candidates)


def test_parts_are_logged_shown_and_replayed(pipeline: RAGPipeline) -> None:
    """The log gives the same answer back, the table has columns for the parts, a replay changes nothing."""
    answer = pipeline.ask(TWO)
    logged = pipeline.log.get(answer.id)
    assert ranks(logged) == ranks(answer)
    assert ranking_stages(logged)[2:5] == ["part-1", "part-2", "retrieval"]
    written = AnswerJson.of(logged).model_dump()
    assert written["candidates"][0]["ranks"]["part-1.fusion"] == 1
    replay = pipeline.log.replay(answer.id)
    assert replay.recomputed == {}
    assert replay.answer.text == answer.text
    assert ranks(replay.answer) == ranks(answer)


def test_a_replay_through_another_chain_ranks_each_part_again(pipeline: RAGPipeline) -> None:
    answer = pipeline.ask(TWO, top_k_rerank=2)
    replay = pipeline.log.replay(answer.id, "late-interaction")
    assert {*replay.recomputed} == {"part-1.late-interaction", "part-2.late-interaction"}
    assert sources(replay.answer) == ["machine.md", "queue.md"]


def test_a_follow_up_does_not_ask_again_what_stands_before_it(pipeline: RAGPipeline) -> None:
    """Joined with the earlier question it reads like two; only the last is asked."""
    first = pipeline.ask("How large may a message in Tallow be?")
    answer = pipeline.ask("And what are bananas rich in?", history=[first])
    assert answer.understood.startswith("How large may")
    assert "parts" not in [stage.name for stage in answer.stages]


def test_a_search_takes_turns_too(pipeline: RAGPipeline) -> None:
    found = pipeline.search(TWO, top_k_rerank=2)
    assert found.parts == tuple(PARTS)
    assert [candidate.ranks["final"] for candidate in found.final] == [1, 2]


def test_an_unknown_way_of_dividing_is_refused(pipeline: RAGPipeline) -> None:
    with pytest.raises(BadInputError, match="parts"):
        pipeline.ask(TWO, parts="thirds")


def test_passages_that_say_the_same_take_one_place_of_a_question_in_parts(tmp_path: Path) -> None:
    """Each part prefers another file: one of them stays and answers both, in a replay, too."""
    documents = {
        **{name: DOCUMENTS[name] for name in ("fruit.md", "gym.md", "database.md")},
        "descaling the Kestrel.txt": SAME.format(""),
        "messages in Tallow.txt": SAME.format(" in it"),
    }
    (tmp_path / "docs").mkdir()
    for name, text in documents.items():
        (tmp_path / "docs" / name).write_text(text, encoding="utf-8")
    with RAGPipeline.from_settings(Settings.load(data_dir=tmp_path / "data")) as pipeline:
        pipeline.ingest(tmp_path / "docs")
        kept = pipeline.ask(TWO, rerank="late-interaction")
        answer = pipeline.ask(TWO)
        replay = pipeline.log.replay(answer.id)
    assert sources(kept)[:2] == ["descaling the Kestrel.txt", "messages in Tallow.txt"]
    assert sorted(sources(answer)) == ["database.md", "descaling the Kestrel.txt", "fruit.md", "gym.md"]
    assert answer.final[0].ranks["part-1.final"] == answer.final[0].ranks["part-2.final"] == 1
    assert "300 cups, with lukewarm water. [1]" in answer.text
    assert "4 MiB large at most, headers included. [1]" in answer.text
    assert "descaling the Kestrel.txt: messages in Tallow.txt" in answer.stages[0].reason
    assert ranks(replay.answer) == ranks(answer)
    assert replay.answer.stages[0].reason == answer.stages[0].reason


def test_an_answers_page_shows_the_parts_and_a_request_may_choose_them(ingested: Path) -> None:
    """The sub-questions, and a column for each part's retrieval and stages; `parts: off` leaves all whole."""
    with serving(Settings.load(data_dir=ingested)) as server:
        answer = server.post("/v1/ask", json={"question": TWO}).json()
        page = server.get(f"/answers/{answer['id']}").text
        whole = server.post("/v1/ask", json={"question": TWO, "parts": "off"}).json()
    assert answer["stages"][0]["reason_code"] == "winnow.app.asked-in-parts"
    assert PARTS[1] in page
    assert "part-2.fusion" in page
    assert whole["stages"][0]["name"] == "retrieval"
