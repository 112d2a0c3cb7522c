"""A chat model divides a question, paraphrases it or writes a passage to search with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint, Response, status
from tests.support.questions_in_parts import TWO, ranks, sources
from winnow import RAGPipeline, Settings
from winnow.app.in_parts.chat_divider import questions_of

pytestmark = pytest.mark.heavy


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


def test_questions_are_read_from_lists_of_any_kind() -> None:
    assert questions_of('["one?", "two?"]') == ["one?", "two?"]
    assert questions_of("Here they are:\n1. one?\n2) two?") == ["one?", "two?"]
    assert questions_of("no list") == []
