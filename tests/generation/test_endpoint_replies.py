"""Whole replies of a chat endpoint: text, usage, labels, ends, sizes, and their odd forms."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from storage.chat import Message, Price, cut_prompt
from storage.errors import ChatError
from storage.records import Usage
from tests.support.chat_client import CHUNKS, QUESTION, answered, asked, data
from tests.support.endpoint import Endpoint, Response, completion, said


def test_a_reply_comes_with_its_usage_cost_and_model(endpoint: Endpoint) -> None:
    """Text, tokens, cost by the price table and the served model's name are in the Completion."""
    endpoint.enqueue("Reranking [1].")
    reply = asked(endpoint, prices={"m": Price(prompt=1.0, completion=2.0)})
    assert (reply.text, reply.model, reply.finish_reason) == ("Reranking [1].", "served-model", "stop")
    assert (reply.usage.calls, reply.usage.prompt_tokens, reply.usage.completion_tokens) == (1, 11, 7)
    assert reply.usage.cost == pytest.approx((11 * 1.0 + 7 * 2.0) / 1_000_000)


def test_the_request_says_what_was_asked_for(endpoint: Endpoint) -> None:
    """Model, messages, temperature 0 and the limit are sent; optional parameters only on request."""
    asked(endpoint)
    body = endpoint.requests[0].body
    assert body["model"] == "m"
    assert body["messages"] == [{"role": m.role, "content": m.content} for m in QUESTION]
    assert (body["temperature"], body["max_tokens"]) == (0, 64)
    assert not {"response_format", "logprobs", "top_logprobs", "stream"} & body.keys()


def test_a_server_without_usage_gives_no_invented_numbers(endpoint: Endpoint) -> None:
    """Without usage data the call is counted with 0 tokens and no cost."""
    endpoint.enqueue(said("Yes.", usage=None))
    usage = asked(endpoint, prices={"m": Price(1.0, 1.0)}).usage
    assert (usage.calls, usage.prompt_tokens, usage.cost) == (1, 0, None)


def test_the_first_tokens_candidates_come_with_their_probabilities(endpoint: Endpoint) -> None:
    """`top_logprobs` gives log-probabilities by token; a server without them gives None."""
    endpoint.enqueue(said("Yes", first_token={"Yes": 0.75, " yes": 0.2}), "Yes")
    first = asked(endpoint, top_logprobs=5).first_token
    assert first is not None
    assert {token: round(2.718281828**value, 3) for token, value in first.items()} == {
        "Yes": 0.75,
        " yes": 0.2,
    }
    assert asked(endpoint, top_logprobs=5).first_token is None


def test_a_structured_refusal_is_kept_apart_from_the_text(endpoint: Endpoint) -> None:
    """A refusal is no reply and no error."""
    endpoint.enqueue(said(None, refusal="I cannot help with that."))
    reply = asked(endpoint)
    assert (reply.text, reply.refusal) == ("", "I cannot help with that.")


def test_content_in_parts_is_joined_without_its_thinking(endpoint: Endpoint) -> None:
    """Content sent as a list of parts is joined, without its reasoning."""
    parts = [{"type": "thinking", "thinking": [{"text": "no"}]}, {"type": "text", "text": "Four."}]
    endpoint.enqueue(Response(body=completion(None, content=parts)))
    assert asked(endpoint).text == "Four."


@pytest.mark.parametrize(
    "word",
    ["MAX_TOKENS", "model_length", "content_filter", "SAFETY", "insufficient_system_resource", "error"],
)
def test_every_end_that_is_none_makes_an_answer_partial(endpoint: Endpoint, word: str) -> None:
    """Whatever a server calls it."""
    endpoint.reply = said("Spring tides [1]", finish_reason=word)
    assert answered(endpoint).outcome.status == "partial"


@pytest.mark.parametrize("word", ["stop", "end_turn", "STOP", "eos", "COMPLETE"])
def test_a_whole_reply_is_whole_by_any_name(endpoint: Endpoint, word: str) -> None:
    """The usual words for an end are no complaint."""
    endpoint.reply = said("Spring tides [1].", finish_reason=word)
    assert answered(endpoint).outcome.status == "ok"


def test_a_prompt_that_the_server_cut_is_noticed() -> None:
    """By a count of tokens far below any tokenizer's, in English and Chinese."""
    english, chinese = Message("user", "spring tide " * 1000), Message("user", "大潮" * 1000)
    for message in (english, chinese):
        assert cut_prompt([message], Usage(1, 40, 5)) is not None
        assert cut_prompt([message], Usage(1, 2000, 5)) is None
    assert cut_prompt([Message("user", "short")], Usage(1, 1, 5)) is None
    assert cut_prompt([english], Usage(1, 0, 5)) is None


def bomb(size: int) -> bytes:
    return gzip.compress(b" " * size)


@pytest.mark.parametrize(
    "reply",
    [
        Response(body=b'{"choices": [' + b" " * 400_000),
        Response(body=bomb(50_000_000), headers={"content-encoding": "gzip"}),
        Response(status=400, body=b"x" * 400_000),
        Response(body=b"x", headers={"content-encoding": "zstd"}),
    ],
    ids=["whole", "gzip bomb", "error", "an encoding not asked for"],
)
def test_no_reply_is_read_beyond_its_limit(endpoint: Endpoint, reply: Response) -> None:
    """The error says so at once: such a reply is not asked for again."""
    endpoint.reply = reply
    with pytest.raises(ChatError, match=r"larger than 100,000 bytes|not asked for"):
        asked(endpoint, max_reply_bytes=100_000, max_retries=2)
    assert len(endpoint.requests) == 1


def test_packed_replies_are_read(endpoint: Endpoint) -> None:
    """gzip, as most servers pack."""
    packed = gzip.compress(json.dumps(completion("Packed.")).encode())
    endpoint.reply = Response(body=packed, headers={"content-encoding": "gzip"})
    assert asked(endpoint).text == "Packed."


def test_half_a_character_in_a_prompt_costs_nothing_else(endpoint: Endpoint) -> None:
    """A lone surrogate cannot be sent, and is replaced."""
    endpoint.reply = "Spring tides [1]."
    assert answered(endpoint, "high\ud800 tide").outcome.status == "ok"


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"text": "High tide"}]},
        {"code": 0, "data": completion("High tide")},
        {"output": completion("High tide")},
        completion(None, content={"type": "text", "text": "High tide"}),
        completion(None, content=["High ", {"type": "output_text", "text": "tide"}]),
        completion(None, content=[{"type": "text", "text": {"value": "High tide", "annotations": []}}]),
        completion(
            None, content=[{"type": "reasoning", "text": "Low?"}, {"type": "text", "text": "High tide"}]
        ),
        {"choices": [{"index": 1, "message": {"content": "Low"}}, *completion("High tide")["choices"]]},
        "\n".join(data(*CHUNKS, "[DONE]")).encode(),
    ],
)
def test_a_whole_reply_is_read_in_every_usual_form(endpoint: Endpoint, body: Any) -> None:
    """As a text, in parts, wrapped, or as a stream that nobody asked for."""
    endpoint.reply = Response(body=body)
    assert asked(endpoint).text == "High tide"


@pytest.mark.parametrize(
    "usage", [[], "many", {"prompt_tokens": 10**30, "completion_tokens": -1}, {"prompt_tokens": None}]
)
def test_a_count_of_tokens_that_cannot_be_is_none(endpoint: Endpoint, usage: Any) -> None:
    """No such number reaches a budget or the log."""
    endpoint.reply = Response(body=completion("Fine.") | {"usage": usage})
    assert asked(endpoint).usage == Usage(1, 0, 0)


@pytest.mark.parametrize(
    "logprobs",
    [
        {"content": [{"token": "Yes", "logprob": None}]},
        {"content": [{"token": "Yes", "logprob": "-0.1"}]},
        {"content": [{"token": None, "logprob": -0.1}]},
        {"content": {"token": "Yes"}},
        {"tokens": ["Yes"], "token_logprobs": [-0.1]},
        [{"token": "Yes", "logprob": -0.1}],
        "none",
        {"content": [{"token": "Yes", "logprob": 0.9, "top_logprobs": [{"token": "No", "logprob": 0.1}]}]},
        {
            "content": [
                {"token": "Yes", "logprob": -9999.0, "top_logprobs": [{"token": "No", "logprob": -0.1}]}
            ]
        },
    ],
)
def test_log_probabilities_in_an_odd_form_are_none(endpoint: Endpoint, logprobs: Any) -> None:
    """The text still counts."""
    body = completion("Yes")
    body["choices"][0]["logprobs"] = logprobs
    endpoint.reply = Response(body=body)
    assert (asked(endpoint, top_logprobs=5).text, asked(endpoint, top_logprobs=5).first_token) == (
        "Yes",
        None,
    )
