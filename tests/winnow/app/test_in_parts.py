"""Questions in parts: each is searched, ranked and answered by itself, logged, shown and replayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.errors import BadInputError
from storage.reasons import Reason
from storage.records import WEAK_MATCH, WEAK_PARTS, Answer, Candidate, Generation, Outcome, Retrieval
from tests.support.endpoint import Endpoint, Response, status
from tests.support.serving import serving
from winnow import RAGPipeline, Settings
from winnow.app.chat_divider import questions_of
from winnow.app.in_parts import AnswerInParts, ranked, retrieved, seen_by
from winnow.app.json_model.answers import AnswerJson
from winnow.app.stages import warnings_of
from winnow.cli.ask import not_said_above
from winnow.server.pages.views.movement import ranking_stages

pytestmark = pytest.mark.heavy

DOCUMENTS = {
    "machine.md": "# Kestrel espresso machine\n\nThe Kestrel must be descaled after every 300 cups.\n",
    "queue.md": "# Tallow queue\n\nA message in Tallow may be 4 MiB large at most.\n",
    "fruit.md": "# Fruit\n\nBananas are rich in potassium. Apples keep well in a cool cellar.\n",
    "gym.md": "# 健身中心\n\n泳池长 25 米，有六条泳道。\n",
    "database.md": "# 星图数据库\n\n单条记录最大 64 KB，更大的记录会被拒绝。\n",
}
TWO = "How often must the Kestrel be descaled and how large may a message in Tallow be?"
PARTS = ["How often must the Kestrel be descaled?", "how large may a message in Tallow be?"]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    (root / "docs").mkdir()
    for name, text in DOCUMENTS.items():
        (root / "docs" / name).write_text(text, encoding="utf-8")
    with RAGPipeline.from_settings(Settings.load(data_dir=root / "data")) as pipeline:
        pipeline.ingest(root / "docs")
    return root / "data"


@pytest.fixture
def pipeline(ingested: Path) -> Iterator[RAGPipeline]:
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested)) as opened:
        yield opened


@pytest.fixture
def chatting(ingested: Path, endpoint: Endpoint) -> Iterator[RAGPipeline]:
    """A pipeline with a chat model, which answers nothing by default."""
    llm = {"base_url": endpoint.url, "model": "m", "max_retries": 0}
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested, llm=llm)) as opened:
        yield opened


def sources(answer: Answer) -> list[str]:
    return [candidate.chunk.source.rpartition("/")[2] for candidate in answer.final]


def ranks(answer: Answer) -> list[tuple[str, dict[str, int]]]:
    return [(candidate.id, dict(candidate.ranks)) for candidate in answer.candidates]


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


def test_a_chat_model_lists_the_sub_questions(chatting: RAGPipeline, endpoint: Endpoint) -> None:
    endpoint.enqueue(
        '{"questions": ["When is the Kestrel descaled?", "What is the largest Tallow message?"]}'
    )
    answer = chatting.ask("Kestrel descaling, Tallow limits", parts="decompose", top_k_rerank=2)
    assert sources(answer) == ["machine.md", "queue.md"]
    assert answer.stages[0].usage.calls == 1
    assert len(endpoint.requests) == 1
    assert chatting.log.replay(answer.id).answer.text == answer.text
    assert len(endpoint.requests) == 1


def test_other_words_of_a_chat_model_are_searched_and_the_question_is_ranked(
    chatting: RAGPipeline, endpoint: Endpoint
) -> None:
    """The paraphrases only add candidates: one chain ranks them for the question."""
    endpoint.enqueue('```json\n{"questions": ["Which mineral is in bananas?"]}\n```')
    answer = chatting.ask("What are bananas rich in?", parts="multi-query")
    names = [stage.name for stage in answer.stages]
    assert names[:2] == ["parts", "retrieval"]
    assert "fusion" in names
    assert answer.final[0].ranks["part-2"] == 1
    assert ranks(chatting.log.replay(answer.id).answer) == ranks(answer)


def test_a_passage_of_a_chat_model_is_searched_with(chatting: RAGPipeline, endpoint: Endpoint) -> None:
    """The dense leg finds what is like it, the lexical leg keeps the question, and a replay asks nobody."""
    endpoint.enqueue("A message in Tallow may be 4 MiB large at most.")
    found = chatting.search("bananas", parts="hyde", rerank="none")
    best = {
        leg: min(found.candidates, key=lambda one: one.ranks.get(leg, 99)) for leg in ("dense", "lexical")
    }
    assert best["dense"].chunk.source.endswith("queue.md")
    assert best["lexical"].chunk.source.endswith("fruit.md")
    endpoint.enqueue("Bananas hold potassium.")
    answer = chatting.ask("What are bananas rich in?", parts="hyde")
    assert "searched like this passage" in answer.stages[0].reason
    assert ranks(chatting.log.replay(answer.id).answer) == ranks(answer)
    assert len(endpoint.requests) == 2


def test_a_chat_model_that_writes_no_passage_leaves_the_question_whole(
    chatting: RAGPipeline, endpoint: Endpoint
) -> None:
    endpoint.reply = "   "
    answer = chatting.ask("What are bananas rich in?", parts="hyde")
    assert "potassium" in answer.text
    assert len(answer.warnings) == 1


@pytest.mark.parametrize(
    "reply", [status(500), "I cannot do that.", '{"questions": [1, 2]}', '{"questions": []}']
)
def test_a_chat_model_that_fails_leaves_the_question_whole(
    chatting: RAGPipeline, endpoint: Endpoint, reply: str
) -> None:
    """The question is answered all the same, and one warning says why it was not divided."""
    endpoint.reply = reply
    answer = chatting.ask("What are bananas rich in?", parts="decompose")
    assert "potassium" in answer.text
    assert len(answer.warnings) == 1
    assert "searched as it is" in answer.warnings[0]


def test_the_parts_share_the_budget_of_one_question(ingested: Path, endpoint: Endpoint) -> None:
    endpoint.reply = "3"
    llm = {"base_url": endpoint.url, "model": "m", "max_retries": 0}
    rerank = {"spec": "pointwise", "budget": {"max_calls": 4}, "cache": False}
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested, llm=llm, rerank=rerank)) as pipeline:
        answer = pipeline.ask(TWO)
    assert len(endpoint.requests) == 4
    assert answer.warnings


SAME = (
    "The Kestrel must be descaled after every 300 cups, with lukewarm water. "
    "A message in Tallow may be 4 MiB large at most, headers included{}.\n"
)


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


def dividing(ingested: Path, endpoint: Endpoint, **budget: float) -> RAGPipeline:
    """A pipeline whose chat model divides and judges, within a budget; its calls are kept in the log."""
    llm = {"base_url": endpoint.url, "model": "m", "max_retries": 0, "prices": {"m": {"call": 0.5}}}
    rerank = {"spec": "pointwise", "budget": budget, "cache": False}
    settings = Settings.load(
        data_dir=ingested, llm=llm, rerank=rerank, log={"llm_calls": True}, retrieval={"parts": "decompose"}
    )
    return RAGPipeline.from_settings(settings)


LISTED = '{"questions": ["When is the Kestrel descaled?", "What is the largest Tallow message?"]}'


@pytest.mark.parametrize("budget", [{"max_calls": 4}, {"max_cost": 2.0}])
def test_dividing_is_paid_from_the_budget_of_the_question(
    ingested: Path, endpoint: Endpoint, budget: dict[str, float]
) -> None:
    """Four calls are one that divides and three that judge, all of them in the log."""
    endpoint.reply = "3"
    endpoint.enqueue(LISTED)
    with dividing(ingested, endpoint, **budget) as pipeline:
        answer = pipeline.ask("Kestrel descaling, Tallow limits")
        logged = pipeline.log.get(answer.id)
    assert len(endpoint.requests) == 4
    assert [len(stage.exchanges) for stage in logged.stages if stage.exchanges] == [1, 3]
    assert logged.stages[0].name == "parts"
    assert logged.usage.calls == 4
    assert logged.usage.cost == 2.0


@pytest.mark.parametrize(
    ("budget", "said"), [({"max_calls": 0}, "max_calls=0 is reached"), ({"max_tokens": 9}, "max_tokens=9")]
)
def test_a_question_whose_division_would_pass_the_budget_is_searched_whole(
    ingested: Path, endpoint: Endpoint, budget: dict[str, float], said: str
) -> None:
    with dividing(ingested, endpoint, **budget) as pipeline:
        answer = pipeline.ask("What are bananas rich in?")
    assert endpoint.requests == []
    assert said in answer.stages[0].reason
    assert "potassium" in answer.text


def test_a_division_that_meets_the_deadline_leaves_no_time_to_judge(
    ingested: Path, endpoint: Endpoint
) -> None:
    """It is cut off, which the log shows as a failed call, and the question is searched as it is."""
    endpoint.enqueue(Response(body={}, delay=2))
    with dividing(ingested, endpoint, deadline_ms=200) as pipeline:
        answer = pipeline.ask("What are bananas rich in?")
    assert len(endpoint.requests) == 1
    divided, judged = answer.stages[0], next(stage for stage in answer.stages if stage.name == "pointwise")
    assert "cut off at the deadline" in divided.reason
    assert [exchange.error for exchange in divided.exchanges] == ["cut off at the deadline"]
    assert divided.usage.calls == 1
    assert "deadline_ms=200 has passed" in judged.reason


def test_the_best_of_each_part_is_never_cut() -> None:
    """The best of one part stays, though passages far down in both have higher fused scores."""
    shared = [f"shared {n}" for n in range(50)]

    async def search(question: str) -> Retrieval:
        found = [Candidate.from_text(text, id=text) for text in (f"best of {question}", *shared)]
        return Retrieval(tuple(one.ranked("retrieval", rank) for rank, one in enumerate(found, start=1)))

    found = anyio.run(retrieved, ("one", "two"), search, 20).candidates
    assert len(found) == 20
    assert {"best of one", "best of two"} < {candidate.id for candidate in found}
    assert [candidate.ranks["retrieval"] for candidate in found] == [*range(1, 21)]


def of_parts(text: str, source: str, date: str = "", **ranks: int) -> Candidate:
    """A passage with its places in the retrieval of each part."""
    found = Candidate.from_text(text, id=source, source=source)
    found = replace(found, chunk=replace(found.chunk, metadata={"date": date} if date else {}))
    return replace(found, ranks={name.replace("_", "-"): rank for name, rank in ranks.items()})


OTHERS = [of_parts(f"{n} bottles of beer.", f"{n}.md", part_1=n, part_2=n) for n in range(3, 9)]


@pytest.mark.parametrize(
    ("spec", "dates", "final"),
    [
        ("diversity(weight=0)", ("", ""), ["a.md", "3.md"]),
        ("diversity(weight=0)", ("2024-01-01", "2025-01-01"), ["b.md", "3.md"]),
        ("diversity(weight=0,alike=1)", ("", ""), ["a.md", "b.md"]),
        ("none", ("", ""), ["a.md", "b.md"]),
    ],
)
def test_of_twins_from_two_parts_one_stays_for_both(
    spec: str, dates: tuple[str, str], final: list[str]
) -> None:
    """The newer, or else the first, though only one part found it; where the chain folds none, both."""
    twins = [
        of_parts(SAME.format(""), "a.md", dates[0], part_1=1),
        of_parts(SAME.format(" in it"), "b.md", dates[1], part_2=1),
    ]
    chain = Chain.load(Spec.parse(spec), RerankParts(drop_twins=True))
    ranking, remark = anyio.run(ranked, ("one", "two"), [*twins, *OTHERS], chain, 2)
    assert [candidate.id for candidate in ranking.candidates] == final
    first, second = (seen_by(n, ranking.candidates, "final")[0].id for n in (1, 2))
    assert (first, second) == ((final[0],) * 2 if "3.md" in final else ("a.md", "b.md"))
    assert bool(remark) is ("3.md" in final)


class Doubtful:
    """An answerer that is not sure of any answer, and has none about gulls."""

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        remark = Reason(WEAK_MATCH, percent=len(question))
        return Generation(
            text="It may be.",
            outcome=Outcome("generation", "partial", remark),
            answerer="doubtful",
            answered="gulls" not in question,
        )


def test_weak_matches_of_several_parts_are_told_once_with_the_parts() -> None:
    """One remark names the parts, in both languages, and keeps how sure each is; another is told apart."""
    answerer = AnswerInParts(Doubtful(), ("Who repairs boats?", "灯塔有多高？", "What do gulls eat?"))
    outcome = anyio.run(answerer.generate, "all of it", ()).outcome
    weak, missing = Reason.of(outcome.reason).parts
    assert str(weak) == "weak match: what is quoted may not answer 1. Who repairs boats?; 2. 灯塔有多高？"
    assert weak.render("zh").count("匹配较弱") == 1
    assert list(weak.values["percents"]) == [18, 6]
    assert "gulls" in missing


def test_a_shell_tells_of_weak_parts_above_the_answer_alone() -> None:
    """Warnings below the answer leave out the weak match, which is shown above it."""
    weak = Reason(WEAK_PARTS, parts=[Reason("winnow.app.part", n=1, question="How high?")], percents=[40])
    missing = Reason("winnow.app.part-unanswered", question="How deep?")
    both = Outcome("generation", "partial", Reason.all([weak, missing]))
    alone = Outcome("generation", "partial", weak)
    assert [not_said_above(one) for one in warnings_of([alone])] == [""]
    [left] = [not_said_above(one) for one in warnings_of([both])]
    assert left == "generation partial: the passages do not answer: How deep?"


def test_questions_are_read_from_lists_of_any_kind() -> None:
    assert questions_of('["one?", "two?"]') == ["one?", "two?"]
    assert questions_of("Here they are:\n1. one?\n2) two?") == ["one?", "two?"]
    assert questions_of("no list") == []


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
