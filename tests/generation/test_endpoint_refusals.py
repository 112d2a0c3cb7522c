"""Parts of a request that a chat endpoint refuses are left out, renamed or lowered, and remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from generation.chat.client import OpenAIChat
from storage.errors import ChatError
from tests.support.chat_client import QUESTION, SCHEMA, asked, running
from tests.support.endpoint import Endpoint, Request, Response, status


def refuses(*words: str, message: str = "Unsupported parameter: {}") -> Callable[[Request], str | Response]:
    """A server that answers 400 to any request with one of these parameters."""

    def reply(request: Request) -> str | Response:
        refused = next((word for word in words if word in request.body), None)
        return status(400, message.format(refused)) if refused else "Fine."

    return reply


@pytest.mark.parametrize(
    "words",
    [
        ("response_format",),
        ("logprobs",),
        ("temperature",),
        ("response_format", "logprobs", "temperature", "max_tokens"),
    ],
)
def test_a_wish_that_is_refused_is_given_up_and_remembered(
    endpoint: Endpoint, words: tuple[str, ...]
) -> None:
    """A refused optional parameter is dropped, and not sent to that endpoint again."""
    endpoint.reply = refuses(*words)
    reply = asked(endpoint, schema=SCHEMA, top_logprobs=5, times=2)
    assert reply.text == "Fine."
    assert reply.usage.calls == 1
    assert len(endpoint.requests) == len(words) + 2
    wishes = {"response_format", "logprobs", "temperature"}
    assert wishes & endpoint.requests[-1].body.keys() == wishes - set(words)


def test_the_limit_goes_by_its_other_name_where_the_first_is_refused(endpoint: Endpoint) -> None:
    """Newer models want max_completion_tokens; the limit itself is never dropped."""
    endpoint.reply = refuses("max_tokens", message="{} is not supported, use max_completion_tokens instead")
    assert asked(endpoint).text == "Fine."
    assert endpoint.requests[-1].body["max_completion_tokens"] == 64
    assert "max_tokens" not in endpoint.requests[-1].body


def test_a_refusal_that_names_nothing_costs_all_wishes_but_only_if_that_helps(endpoint: Endpoint) -> None:
    """A 400 for another reason is reported as it is, and no optional parameter is given up for it."""
    endpoint.enqueue(status(400, "too long"), status(400, "too long"))

    async def action(chat: OpenAIChat) -> None:
        with pytest.raises(ChatError, match="too long"):
            await chat.complete(QUESTION, max_tokens=8, schema=SCHEMA)
        await chat.complete(QUESTION, max_tokens=8, schema=SCHEMA)

    running(endpoint, action)
    assert ["response_format" in request.body for request in endpoint.requests] == [True, False, True]


def refusing(
    part: str, code: int, said_so: Any, *, within: Callable[[Request], bool] | None = None
) -> Callable[[Request], str | Response]:
    """A server that refuses requests that have a part."""

    def reply(request: Request) -> str | Response:
        refused = within(request) if within else part in request.body
        return Response(status=code, body=said_so) if refused else "Fine."

    return reply


REFUSALS = {
    "403": ("logprobs", 403, {"error": {"message": "Log probabilities are not for you: logprobs"}}),
    "500": ("logprobs", 500, {"error": "top_logprobs: index out of range"}),
    "501": ("response_format", 501, "structured output is not implemented"),
    "FastAPI": ("temperature", 422, {"detail": [{"loc": ["body", "temperature"], "msg": "Extra inputs"}]}),
    "nested": ("temperature", 422, {"message": {"detail": [{"loc": ["body", "temperature"], "msg": "no"}]}}),
    "a gateway's 200": ("logprobs", 200, {"object": "error", "message": "logprobs: not supported"}),
    "Google's list": ("response_format", 400, [{"error": {"message": "response_format unknown"}}]),
    "param only": ("logprobs", 400, {"error": {"message": "Not supported.", "param": "logprobs"}}),
    "a text": ("temperature", 400, "temperature is deprecated for this model"),
    "words apart": ("logprobs", 400, {"message": "This model does not support log probs."}),
    "Chinese": ("temperature", 400, {"error": {"message": "温度参数不合法"}}),
    "a gateway": (
        "logprobs",
        400,
        {"error": {"message": "Provider returned error", "metadata": {"raw": '{"detail": "no log-probs"}'}}},
    ),
    "a backend": ("response_format", 500, {"error": {"message": "outlines: constrained decoding failed"}}),
    "a mode": ("response_format", 501, {"message": "该模型不支持JSON输出"}),
    "a grammar": ("response_format", 500, {"error": {"message": "failed to compile grammar"}}),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_the_part_that_a_refusal_names_is_given_up_and_remembered(endpoint: Endpoint, case: str) -> None:
    """At whatever status and in whatever shape, one part is left out, and the others are still sent."""
    part, code, body = REFUSALS[case]
    endpoint.reply = refusing(part, code, body)
    assert asked(endpoint, schema=SCHEMA, top_logprobs=5, times=2).text == "Fine."
    assert len(endpoint.requests) == 3
    sent = endpoint.requests[-1].body.keys()
    assert {"response_format", "logprobs", "temperature"} - sent == {part}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (400, "System role not supported"),
        (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
        (400, "Developer instruction is not enabled for models/gemma"),
        (500, "Jinja exception: 'system' is no role of this template"),
        (422, "messages.0.role: Input should be 'user' or 'assistant'"),
        (400, "不支持 system 角色"),
        (400, "messages参数非法。role只支持user和assistant"),
        (400, "messages: first message must be a user message"),
        (400, "messages must start with a user message"),
        (400, "messages[0].role 参数不合法"),
        (422, "role参数错误"),
        (400, "第一条消息必须为user"),
    ],
)
def test_without_a_system_role_its_text_goes_before_the_users(
    endpoint: Endpoint, code: int, message: str
) -> None:
    """The instructions are not lost, and the endpoint is not asked with that role again."""
    has_system = lambda request: request.body["messages"][0]["role"] == "system"  # noqa: E731
    endpoint.reply = refusing("", code, {"error": {"message": message}}, within=has_system)
    assert asked(endpoint, times=2).text == "Fine."
    assert len(endpoint.requests) == 3
    [only] = endpoint.requests[-1].body["messages"]
    assert only == {"role": "user", "content": f"Be brief.\n\n{QUESTION[1].content}"}


def test_fewer_log_probabilities_are_asked_for_where_a_server_gives_fewer(endpoint: Endpoint) -> None:
    """They are not given up, and the number is remembered."""
    too_many = status(400, "Invalid 'top_logprobs': expected a value <= 5, but got 20 instead.")
    endpoint.reply = lambda request: too_many if request.body["top_logprobs"] > 5 else "Fine."
    assert asked(endpoint, top_logprobs=20, times=2).text == "Fine."
    assert [request.body["top_logprobs"] for request in endpoint.requests] == [20, 5, 5]


def test_a_router_without_a_server_for_all_of_a_request_is_asked_for_less(endpoint: Endpoint) -> None:
    """Its 404 does not say which part nobody takes."""
    said_so = {"error": {"message": "No endpoints found that can handle the requested parameters."}}
    endpoint.reply = refusing("logprobs", 404, said_so)
    assert asked(endpoint, schema=SCHEMA, top_logprobs=5).text == "Fine."


@pytest.mark.parametrize("part", ["temperature", "messages"])
@pytest.mark.parametrize(
    "message",
    ["Request contains an invalid argument.", "400 Bad Request", "API 调用参数有误，请检查文档。", ""],
)
def test_a_refusal_that_says_nothing_may_mean_any_part(endpoint: Endpoint, part: str, message: str) -> None:
    """Each is left out in turn, the temperature and the system's role at last, until the server takes it."""
    has_part = lambda request: (  # noqa: E731
        "temperature" in request.body if part == "temperature" else len(request.body["messages"]) > 1
    )
    endpoint.reply = refusing("", 400, {"error": {"message": message}}, within=has_part)
    assert asked(endpoint, schema=SCHEMA, top_logprobs=5, times=2).text == "Fine."
    assert len(endpoint.requests) == (5 if part == "temperature" else 6)


def test_a_server_error_about_something_else_costs_no_part(endpoint: Endpoint) -> None:
    """A 500 that names no part of the request is reported after one call."""
    endpoint.reply = status(500, "CUDA out of memory")
    with pytest.raises(ChatError, match="CUDA out of memory"):
        asked(endpoint, schema=SCHEMA, top_logprobs=5)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("message", "fits"),
    [
        ("max_tokens is too large: 4000. This model supports at most 512 completion tokens", 512),
        ("`max_tokens` must be less than or equal to `256`", 256),
        ("Range of max_tokens should be [1, 300]", 300),
        (
            "'max_tokens' is too large: 4000. This model's maximum context length is 2048 tokens and your "
            "request has 1500 input tokens",
            547,
        ),
        (
            "The request exceeds the model's maximum context length of 2048 tokens: 1500 tokens from the "
            "input messages and 4000 tokens for the completion",
            547,
        ),
        ("max_tokens cannot exceed 512", 512),
        ("max_tokens: 4000 > 512, the most output tokens of this model", 512),
        ("max_tokens must be between 1 and 512", 512),
        ("max_tokens 不能超过 512", 512),
        ("max_tokens参数不合法，最大值为512", 512),
    ],
)
def test_a_limit_that_the_context_refuses_is_lowered_once(
    endpoint: Endpoint, message: str, fits: int
) -> None:
    """The reply gets the room that the server says there is."""
    endpoint.enqueue(status(400, message), "Fine.")
    assert asked(endpoint, max_tokens=4000).text == "Fine."
    assert [request.body["max_tokens"] for request in endpoint.requests] == [4000, fits]


@pytest.mark.parametrize(
    "told",
    [
        "the request exceeds the available context size",
        "The input token count (32000) exceeds the maximum number of tokens allowed (30720).",
        "Range of input length should be [1, 30720]",
        "请求的token数超过模型最大长度",
    ],
)
def test_a_prompt_beyond_the_context_names_the_settings_that_help(endpoint: Endpoint, told: str) -> None:
    """The way out of a context that is too small is a setting, not a guess."""
    endpoint.reply = status(400, told)
    with pytest.raises(ChatError, match="longer than the model's context") as caught:
        asked(endpoint)
    assert "answer.prompt_tokens" in caught.value.way_out
