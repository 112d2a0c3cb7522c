"""The chat answerer, score floor and follow-ups, over a real client and a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest

from generation.abstention import ScoreFloor
from generation.base import adapted, streamed
from generation.chat.answerer import ChatAnswerer
from generation.chat.checking import Check
from generation.chat.client import OpenAIChat
from generation.chat.prompts import Prompter
from generation.chat.templating import Templates
from generation.followup import ChatRewriter, JoinedRewriter, Rewrite, Turn
from storage.errors import ChatError
from storage.records import Candidate, Generation
from tests.support.endpoint import Endpoint, Response, events, said, status

PASSAGES = [Candidate.from_text(f"Fact number {n}.", id=f"c{n}") for n in (1, 2, 3)]
QUESTION = "Which facts are there?"


def run(endpoint: Endpoint, action: Callable[[OpenAIChat], Awaitable[Any]]) -> Any:
    async def running() -> Any:
        chat = OpenAIChat.load(model="m", base_url=endpoint.url, max_retries=0, timeout_s=5)
        try:
            return await action(chat)
        finally:
            await chat.aclose()

    return anyio.run(running)


def answer(
    endpoint: Endpoint, question: str = QUESTION, passages: Sequence[Candidate] = PASSAGES, **options: Any
) -> Generation:
    result = run(endpoint, lambda chat: ChatAnswerer(chat, **options).generate(question, passages))
    assert isinstance(result, Generation)
    return result


def pieces(
    endpoint: Endpoint,
    question: str = QUESTION,
    passages: Sequence[Candidate] = PASSAGES,
    check: Check = "flag",
) -> tuple[list[str], Generation]:
    async def action(chat: OpenAIChat) -> list[str | Generation]:
        return [item async for item in ChatAnswerer(chat, check=check).stream(question, passages)]

    *texts, last = run(endpoint, action)
    assert isinstance(last, Generation)
    return [str(text) for text in texts], last


def test_an_answer_has_citations_usage_and_its_prompt(endpoint: Endpoint) -> None:
    """A Generation holds everything the log needs, and its prompt is the one that was sent."""
    endpoint.enqueue("Two [1], and three [3].")
    generation = answer(endpoint)
    assert (generation.text, generation.answered) == ("Two [1], and three [3].", True)
    assert [citation.chunk_id for citation in generation.citations] == ["c1", "c3"]
    assert generation.answerer == "served-model"
    assert (generation.outcome.status, generation.outcome.usage.prompt_tokens) == ("ok", 11)
    sent = endpoint.requests[0].body["messages"]
    assert generation.prompt == "\n\n".join(f"<{m['role']}>\n{m['content']}" for m in sent)
    assert "Fact number 2." in sent[1]["content"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("Two.", "the answer cites no passage"),
        ("Two [7].", "the answer cites [7], but 3 passages were given"),
        (said("Two [1]", finish_reason="length"), "the answer was cut off after 1024 tokens"),
        ("Two\ud800 [1]", "1 character of the answer came broken and is shown as \ufffd"),
    ],
)
def test_an_answer_with_something_wrong_is_flagged(
    endpoint: Endpoint, reply: str | Response, reason: str
) -> None:
    """The text is kept, the outcome is partial and says why."""
    endpoint.enqueue(reply)
    generation = answer(endpoint)
    assert (generation.outcome.status, generation.outcome.reason) == ("partial", reason)
    assert (generation.text[:3], generation.answered) == ("Two", True)


def test_passages_left_out_for_the_budget_are_said_and_cannot_be_cited(endpoint: Endpoint) -> None:
    """The outcome reports passages dropped for the budget, and citing one of them is flagged."""
    endpoint.enqueue("All of it [1][3].")
    long = [Candidate.from_text("word " * 300, id=f"c{n}") for n in (1, 2, 3)]
    generation = answer(endpoint, passages=long, prompter=Prompter(Templates.load(), tokens=1500))
    assert "1 of 3 passages were not sent" in generation.outcome.reason
    assert "cites [3], but 2 passages were given" in generation.outcome.reason


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("NO_ANSWER\nThe price is missing.", "The price is missing."),
        ("**NO_ANSWER**: The price is missing [1].", "The price is missing [1]."),
        ("NO_ANSWER", "The retrieved passages do not answer this question."),
        ("<think>NO_ANSWER?</think>NO_ANSWER.\n\nNothing.", "Nothing."),
    ],
)
def test_the_model_can_say_that_there_is_no_answer(endpoint: Endpoint, reply: str, text: str) -> None:
    """The marker NO_ANSWER is removed, `answered` is False, and the outcome is not degraded."""
    endpoint.enqueue(reply)
    generation = answer(endpoint)
    assert (generation.text, generation.answered, generation.outcome.status) == (text, False, "ok")


def test_a_word_that_only_begins_like_it_is_an_answer(endpoint: Endpoint) -> None:
    """A word such as NO_ANSWERS does not count as NO_ANSWER."""
    endpoint.enqueue("NO_ANSWERS is a constant [1].")
    assert answer(endpoint).answered is True


def test_a_refusal_is_shown_and_flagged(endpoint: Endpoint) -> None:
    """A structured refusal becomes the text of an unanswered Generation."""
    endpoint.enqueue(said(None, refusal="I cannot help."), said(None, finish_reason="content_filter"))
    refused, filtered = answer(endpoint), answer(endpoint, "这是什么？")
    assert (refused.text, refused.answered) == ("I cannot help.", False)
    assert filtered.text == "检索到的资料无法回答这个问题。"
    assert refused.outcome.reason == filtered.outcome.reason == "the model refused to answer"


def test_an_empty_reply_is_an_error_with_a_hint(endpoint: Endpoint) -> None:
    """A reasoning model that used up its tokens gives no answer, and the way out says what to raise."""
    endpoint.enqueue(said("<think>and so on", finish_reason="length"))
    with pytest.raises(ChatError, match=r"only reasoning .*\(finish_reason: length\)") as caught:
        answer(endpoint)
    assert "higher limit" in caught.value.way_out


def test_without_passages_no_model_is_asked(endpoint: Endpoint) -> None:
    """Without passages no call is made, and the reply is in the question's language."""
    generation = answer(endpoint, "这是什么？", [])
    assert (generation.text, generation.answered) == ("没有检索到与这个问题有关的资料。", False)
    assert pieces(endpoint, passages=[])[1].answered is False
    assert endpoint.requests == []


def test_exchanges_are_kept_where_asked_for(endpoint: Endpoint) -> None:
    """The outcome holds messages and reply only when exchanges are to be kept."""
    endpoint.enqueue("Two [1].", "Two [1].")
    (exchange,) = answer(endpoint, keep_exchanges=True).outcome.exchanges
    assert (exchange.reply, exchange.messages[0][0], exchange.usage.calls) == ("Two [1].", "system", 1)
    assert answer(endpoint).outcome.exchanges == ()


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (["Two", " [1", "]."], "Two [1]."),
        (["No", ", two [1]."], "No, two [1]."),
        (["NO", "_ANS", "WER", "\n", "The ", "price."], "The price."),
        (["NO_ANSWER"], "The retrieved passages do not answer this question."),
        (["**", "Two", "** [1]"], "**Two** [1]"),
        (["<think>hm", "</think>", "Two [1]"], "Two [1]"),
    ],
)
def test_a_stream_shows_exactly_the_answer(endpoint: Endpoint, reply: list[str], shown: str) -> None:
    """The pieces add up to the final text, and the word for "no answer" is never among them."""
    endpoint.enqueue(Response(lines=events(reply)))
    texts, generation = pieces(endpoint)
    assert "".join(texts) == generation.text == shown
    assert generation.answered is (shown[:3] not in ("The",))


def test_what_the_passages_lack_is_flagged_or_dropped_from_a_stream_too(endpoint: Endpoint) -> None:
    """Flagged, it is shown as it came; where it may be dropped, nothing is shown before the check."""
    reply = ["Fact number 1", " [1]. It was found in 1987 [2]."]
    endpoint.enqueue(Response(lines=events(reply)), Response(lines=events(reply)))
    texts, flagged = pieces(endpoint)
    assert "".join(texts) == flagged.text == "".join(reply)
    assert flagged.outcome.reason == "the cited passages do not hold: 1987"
    texts, dropped = pieces(endpoint, check="drop")
    assert texts == [dropped.text] == ["Fact number 1 [1]."]
    assert [citation.marker for citation in dropped.citations] == [1]
    assert "1 sentence was dropped" in dropped.outcome.reason


def test_a_stream_that_breaks_raises_after_its_pieces(endpoint: Endpoint) -> None:
    """The pieces received are yielded before the error; a half answer never becomes a Generation."""
    endpoint.enqueue(Response(lines=events(["Two ", "and a long piece "], finish_reason=None, done=False)))
    came: list[object] = []

    async def action(chat: OpenAIChat) -> None:
        async for item in ChatAnswerer(chat).stream(QUESTION, PASSAGES):
            came.append(item)  # noqa: PERF401 - what came before the error is the point

    with pytest.raises(ChatError, match="broke off"):
        run(endpoint, action)
    assert came == ["Two ", "and a long piece "]


class Whole:
    """A Generator without streaming."""

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        from storage.records import Outcome

        return Generation(text="whole", outcome=Outcome("generation"), answerer="whole")


def collected(items: AsyncIterator[str | Generation]) -> list[str | Generation]:
    async def action() -> list[str | Generation]:
        return [item async for item in items]

    return anyio.run(action)


def test_what_cannot_stream_gives_one_piece() -> None:
    """An answerer without streaming gives its text as one piece."""
    text, generation = collected(streamed(Whole(), "?", PASSAGES))
    assert text == "whole"
    assert isinstance(generation, Generation)


def test_what_streams_already_is_not_wrapped(endpoint: Endpoint) -> None:
    """A streaming answerer that a user passes in is used as it is."""

    async def action(chat: OpenAIChat) -> bool:
        own = ChatAnswerer(chat)
        return adapted(own) is own

    assert run(endpoint, action) is True


def scored(*scores: float) -> list[Candidate]:
    return [
        one.ranked("lexical", 1, 99.0).ranked("ce", 1, s) for one, s in zip(PASSAGES, scores, strict=False)
    ]


@pytest.mark.parametrize(
    ("candidates", "stage", "passes"),
    [
        (scored(0.1, 0.6), None, True),
        (scored(0.1, 0.4), None, False),
        (scored(0.1, 0.4), "lexical", True),
        (scored(0.1, 0.4), "dense", True),
        (PASSAGES, None, True),
        ([], None, True),
        (scored(0.1, 0.4), "another", True),
    ],
)
def test_a_score_floor_abstains_below_it(
    candidates: list[Candidate], stage: str | None, passes: bool
) -> None:
    """The best score of the last stage, or of a named stage, decides; without scores nothing is withheld,
    and the outcome says so."""
    floor = ScoreFloor(Whole(), at_least=0.5, stage=stage)
    generation = anyio.run(floor.generate, "这是什么？", candidates)
    assert (generation.text == "whole") is passes
    assert generation.answered is passes
    decided = any((stage or "ce") in candidate.scores for candidate in candidates) or not candidates
    assert ("min_score did not decide" in generation.outcome.reason) is not decided
    assert (generation.outcome.status == "ok") is decided
    text, last = collected(floor.stream("这是什么？", candidates))
    assert isinstance(last, Generation)
    assert text == last.text == generation.text
    assert last.outcome == generation.outcome


TURNS = [Turn("What is MaxSim?", "A score [1]."), Turn("Who made it?", "Khattab\nand Zaharia " + "x" * 2000)]


def rewritten(endpoint: Endpoint, question: str, turns: Sequence[Turn]) -> Rewrite:
    result = run(endpoint, lambda chat: ChatRewriter(chat).rewrite(question, turns))
    assert isinstance(result, Rewrite)
    return result


def test_a_follow_up_is_rewritten_with_the_earlier_turns(endpoint: Endpoint) -> None:
    """The model sees the turns with long answers cut; its question is used, prompt and usage are kept."""
    endpoint.enqueue('"When was MaxSim\nmade?"')
    rewrite = rewritten(endpoint, "When?", TURNS)
    assert rewrite.question == "When was MaxSim made?"
    assert (rewrite.outcome.name, rewrite.outcome.status, rewrite.outcome.usage.calls) == ("rewrite", "ok", 1)
    sent = endpoint.requests[0].body["messages"][0]["content"]
    assert sent == rewrite.prompt
    assert "Q: What is MaxSim?\nA: A score [1].\nQ: Who made it?\nA: Khattab and Zaharia xxx" in sent
    assert len(sent) < 2000


def test_a_chinese_follow_up_gets_a_chinese_prompt(endpoint: Endpoint) -> None:
    """The template follows the question's script."""
    endpoint.enqueue("MaxSim 是什么时候提出的？")
    assert "最后一个问题：什么时候？" in rewritten(endpoint, "什么时候？", TURNS).prompt


def test_a_first_question_is_left_alone(endpoint: Endpoint) -> None:
    """Without earlier turns no model is called and the question stays as it is."""
    assert rewritten(endpoint, "When?", []).question == "When?"
    assert endpoint.requests == []
    assert anyio.run(JoinedRewriter().rewrite, "When?", []).question == "When?"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (status(500), "failed inside"),
        ("", "not a question"),
        ("x " * 3000, "not a question"),
        (said("When was MaxSim made, and by", finish_reason="length"), "not a question"),
    ],
)
def test_a_rewrite_that_fails_is_a_flagged_join(
    endpoint: Endpoint, reply: str | Response, reason: str
) -> None:
    """The question is joined to the one before it, and the outcome says why."""
    endpoint.enqueue(reply)
    rewrite = rewritten(endpoint, "When?", TURNS)
    assert rewrite.question == "What is MaxSim? Who made it? When?"
    assert rewrite.outcome.status == "fallback"
    assert reason in rewrite.outcome.reason
    assert anyio.run(JoinedRewriter().rewrite, "When?", TURNS).question == rewrite.question


@pytest.mark.parametrize(
    ("question", "leans"),
    [
        ("And in Chinese?", True),
        ("Who made it?", True),
        ("What does that mean?", True),
        ("How is this different?", True),
        ("Which one is faster?", True),
        ("When exactly?", True),
        ("那中文呢？", True),
        ("它是谁提出的？", True),
        ("为什么？", True),
        ("What is reranking?", False),
        ("Which passages does a reranker see that retrieval missed?", False),
        ("What should this reranker strategy return?", False),
        ("什么是重排序？", False),
        ("应该怎么选择召回数量？", False),
        ("BM25 是什么？", False),
        ("BM25是什么？", False),
    ],
)
def test_without_a_model_only_a_question_that_points_back_is_joined(question: str, leans: bool) -> None:
    """A question that is complete on its own is not joined to the one before."""
    turns = [Turn("What is MaxSim?", "A score."), Turn("What is BM25 good for?", "Words.")]
    rewrite = anyio.run(JoinedRewriter().rewrite, question, turns)
    assert rewrite.question == (f"What is BM25 good for? {question}" if leans else question)
    assert rewrite.outcome.status == "ok"


def test_the_exchange_of_a_rewrite_is_kept_where_asked_for(endpoint: Endpoint) -> None:
    """With `log.llm_calls` the rewrite's exchange is recorded like any other call."""
    endpoint.enqueue("When was MaxSim made?")
    rewrite = run(endpoint, lambda chat: ChatRewriter(chat, keep_exchanges=True).rewrite("When?", TURNS))
    [exchange] = rewrite.outcome.exchanges
    assert exchange.messages == (("user", rewrite.prompt),)
    assert exchange.reply == "When was MaxSim made?"
