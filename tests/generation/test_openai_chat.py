"""The chat client against a real HTTP server: replies, faults, wishes, streams, credentials."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import openai
import pytest

from generation.chat.client import OpenAIChat
from storage.chat import Completion, Message, Price
from storage.errors import ChatError
from storage.openai_client import REASONS, OpenAIEndpoint
from tests.support.endpoint import Endpoint, Request, Response, completion, events, said, status

QUESTION = [Message("system", "Be brief."), Message("user", "重排序是什么？")]
HOST = OpenAIEndpoint("m", "http://host/v1", ChatError, "llm", "llm.model", "chat completions")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@asynccontextmanager
async def open_chat(endpoint: Endpoint, **options: Any) -> AsyncIterator[OpenAIChat]:
    chat = OpenAIChat.load(**{"model": "m", "base_url": endpoint.url, "max_retries": 0, **options})
    try:
        yield chat
    finally:
        await chat.aclose()


def run(endpoint: Endpoint, action: Callable[[OpenAIChat], Awaitable[Any]], **options: Any) -> Any:
    """Return the result of `action` for a chat model at the endpoint."""

    async def running() -> Any:
        async with open_chat(endpoint, **options) as chat:
            return await action(chat)

    return anyio.run(running)


def ask(endpoint: Endpoint, *, times: int = 1, **options: Any) -> Completion:
    """The reply to the question (to the last, where it is asked several times)."""
    wishes = {key: options.pop(key) for key in ("schema", "top_logprobs") if key in options}

    async def action(chat: OpenAIChat) -> Completion:
        replies = [await chat.complete(QUESTION, max_tokens=64, **wishes) for _ in range(times)]
        return replies[-1]

    result = run(endpoint, action, **options)
    assert isinstance(result, Completion)
    return result


def stream(endpoint: Endpoint, **options: Any) -> list[str | Completion]:
    async def action(chat: OpenAIChat) -> list[str | Completion]:
        return [item async for item in chat.stream(QUESTION, max_tokens=64)]

    return list(run(endpoint, action, **options))


def test_a_reply_comes_with_its_usage_cost_and_model(endpoint: Endpoint) -> None:
    """Text, tokens, cost by the price table and the served model's name are in the Completion."""
    endpoint.enqueue("Reranking [1].")
    reply = ask(endpoint, prices={"m": Price(prompt=1.0, completion=2.0)})
    assert (reply.text, reply.model, reply.finish_reason) == ("Reranking [1].", "served-model", "stop")
    assert (reply.usage.calls, reply.usage.prompt_tokens, reply.usage.completion_tokens) == (1, 11, 7)
    assert reply.usage.cost == pytest.approx((11 * 1.0 + 7 * 2.0) / 1_000_000)


def test_the_request_says_what_was_asked_for(endpoint: Endpoint) -> None:
    """Model, messages, temperature 0 and the limit are sent; optional parameters only on request."""
    ask(endpoint)
    body = endpoint.requests[0].body
    assert body["model"] == "m"
    assert body["messages"] == [{"role": m.role, "content": m.content} for m in QUESTION]
    assert (body["temperature"], body["max_tokens"]) == (0, 64)
    assert not {"response_format", "logprobs", "top_logprobs", "stream"} & body.keys()


def test_no_credential_of_the_environment_is_sent(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key, organisation, header or address from the environment is never sent."""
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "leaked")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leak: leaked\nAuthorization: Bearer leaked")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/leaked")
    ask(endpoint)
    run(endpoint, lambda chat: chat.models())
    assert [request.path for request in endpoint.requests] == ["/v1/chat/completions", "/v1/models"]
    for request in endpoint.requests:
        assert "authorization" not in request.headers
        assert not [value for value in request.headers.values() if "leaked" in value]


def test_the_key_that_is_handed_in_is_sent(endpoint: Endpoint) -> None:
    """Exactly the given key goes to the endpoint, as a bearer token."""
    ask(endpoint, api_key="given")
    assert endpoint.requests[0].headers["authorization"] == "Bearer given"


def test_a_server_without_usage_gives_no_invented_numbers(endpoint: Endpoint) -> None:
    """Without usage data the call is counted with 0 tokens and no cost."""
    endpoint.enqueue(said("Yes.", usage=None))
    usage = ask(endpoint, prices={"m": Price(1.0, 1.0)}).usage
    assert (usage.calls, usage.prompt_tokens, usage.cost) == (1, 0, None)


@pytest.mark.parametrize("code", [408, 409, 429, 500, 503])
def test_passing_faults_are_retried_and_counted(endpoint: Endpoint, code: int) -> None:
    """A transient fault costs a retry, which the usage shows."""
    endpoint.enqueue(status(code, retry_after=0.01), "Well.")
    reply = ask(endpoint, max_retries=1)
    assert reply.text == "Well."
    assert (reply.usage.calls, reply.usage.retries, len(endpoint.requests)) == (2, 1, 2)


def test_the_time_that_the_server_asks_for_is_waited(endpoint: Endpoint) -> None:
    """`Retry-After` is honoured: a wait longer than the whole call may take ends it after one request."""
    endpoint.reply = status(429, retry_after=60)
    with pytest.raises(ChatError, match="429, to be tried again in 60 s"):
        ask(endpoint, max_retries=1, timeout_s=5)
    assert len(endpoint.requests) == 1


def test_a_lost_connection_is_retried(endpoint: Endpoint) -> None:
    """A reset connection costs a retry, not the answer."""
    endpoint.enqueue(Response(reset=True), "Back.")
    assert ask(endpoint, max_retries=1).text == "Back."


FAULTS = {
    "401": (status(401, "bad key sk-x"), "API key.*401.*bad key sk-x", "llm.api_key"),
    "403": (status(403), "may not use this model", "llm.model"),
    "404": (status(404, "no model m"), "no model m", "llm.base_url"),
    "400": (status(400, "context length is 10 tokens"), "context length is 10 tokens", "fewer passages"),
    "422": (status(422), "did not understand", "chat completions"),
    "429": (status(429), "rate limit or quota", "quota"),
    "500": (status(500), "failed inside", "log"),
    "reset": (Response(reset=True), "cannot be reached", "llm.base_url"),
    "truncated": (Response(body=completion("Text"), cut=40), "cannot be reached", "llm.base_url"),
    "half JSON": (Response(body=b'{"choices": [{"mess'), "does not follow the chat completions API", "/v1"),
    "HTML": (
        Response(body=b"<html>Hello</html>", headers={"content-type": "text/html"}),
        "does not follow the chat completions API.*<html>",
        "/v1",
    ),
    "other JSON": (
        Response(body={"hello": 1}),
        "does not follow the chat completions API.*no choices",
        "/v1",
    ),
    "JSON list": (Response(body=[1, 2]), "does not follow the chat completions API", "/v1"),
    "no choice": (Response(body=completion("x") | {"choices": []}), "no choices", "/v1"),
    "no message": (Response(body=completion("x") | {"choices": [{"index": 0}]}), "without a message", "/v1"),
    "error in a 200": (
        Response(body={"error": {"message": "out of memory"}}),
        "reported.*out of memory",
        "log",
    ),
    "silence": (Response(body=completion("x"), delay=30), "in time", "llm.timeout_s"),
    "drip": (Response(body=completion("x"), drip=0.05), "in time", "llm.timeout_s"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_names_the_reason_and_the_way_out(endpoint: Endpoint, fault: str) -> None:
    """Each fault is a ChatError that names model and endpoint, the reason, and what to do."""
    reply, reason, way_out = FAULTS[fault]
    endpoint.reply = reply
    with pytest.raises(ChatError, match=f"^m at {endpoint.url}: .*{reason}") as caught:
        ask(endpoint, timeout_s=0.5)
    assert way_out in caught.value.way_out


def test_an_address_where_nobody_listens_is_a_chat_error() -> None:
    """A refused connection names the address."""
    with Endpoint() as endpoint:
        pass
    with pytest.raises(ChatError, match="cannot be reached"):
        ask(endpoint)


@pytest.mark.parametrize("base_url", ["not a url", "ftp://example.invalid/v1", "http://[::1"])
def test_an_address_that_is_none_is_a_chat_error(base_url: str) -> None:
    """An invalid base_url is refused with the setting's name."""

    async def running() -> None:
        chat = OpenAIChat.load(model="m", base_url=base_url, max_retries=0)
        try:
            await chat.complete(QUESTION, max_tokens=8)
        finally:
            await chat.aclose()

    with pytest.raises(ChatError) as caught:
        anyio.run(running)
    assert "llm.base_url" in caught.value.way_out


def test_an_endpoints_own_words_cannot_reach_the_terminal_raw(endpoint: Endpoint) -> None:
    """Control characters in an error message are taken out, and its length is bounded."""
    endpoint.reply = status(400, "\x1b[31mred\x07 " + "x" * 5000)
    with pytest.raises(ChatError) as caught:
        ask(endpoint)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def exception_classes() -> list[type[Exception]]:
    """Return every exception class that the openai package defines, exported or not."""
    from openai import _exceptions

    members = [*vars(openai).values(), *vars(_exceptions).values()]
    found = {one for one in members if inspect.isclass(one) and issubclass(one, Exception)}
    ours = [one for one in found if one.__module__.startswith("openai") and not one.__name__.startswith("_")]
    return sorted(ours, key=lambda one: one.__name__)


@pytest.mark.parametrize("kind", exception_classes(), ids=lambda kind: kind.__name__)
def test_every_exception_of_the_package_is_mapped(kind: type[Exception]) -> None:
    """Every exception of the package has a reason and a way out; one added by a new release fails here."""
    assert kind.__name__ in REASONS
    error = kind.__new__(kind)
    error.args = ("in its own words",)
    translated = HOST.translated(error)
    reason, way_out = REASONS[kind.__name__]
    assert str(translated).startswith(f"m at http://host/v1: {reason.format(api=HOST.api)}")
    assert str(translated).endswith(": in its own words")
    assert translated.way_out == way_out.format(section="llm", request="llm.model", api="chat completions")


def test_the_status_is_in_the_message() -> None:
    """An HTTP status that the client raises keeps its number."""
    response = httpx2.Response(418, request=httpx2.Request("POST", "http://host/v1"))
    error = openai.APIStatusError("teapot", response=response, body=None)
    assert "(HTTP 418): teapot" in str(HOST.translated(error))


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
    reply = ask(endpoint, schema=SCHEMA, top_logprobs=5, times=2)
    assert reply.text == "Fine."
    assert reply.usage.calls == 1
    assert len(endpoint.requests) == len(words) + 2
    wishes = {"response_format", "logprobs", "temperature"}
    assert wishes & endpoint.requests[-1].body.keys() == wishes - set(words)


def test_the_limit_goes_by_its_other_name_where_the_first_is_refused(endpoint: Endpoint) -> None:
    """Newer models want max_completion_tokens; the limit itself is never dropped."""
    endpoint.reply = refuses("max_tokens", message="{} is not supported, use max_completion_tokens instead")
    assert ask(endpoint).text == "Fine."
    assert endpoint.requests[-1].body["max_completion_tokens"] == 64
    assert "max_tokens" not in endpoint.requests[-1].body


def test_a_refusal_that_names_nothing_costs_all_wishes_but_only_if_that_helps(endpoint: Endpoint) -> None:
    """A 400 for another reason is reported as it is, and no optional parameter is given up for it."""
    endpoint.enqueue(status(400, "too long"), status(400, "too long"))

    async def action(chat: OpenAIChat) -> None:
        with pytest.raises(ChatError, match="too long"):
            await chat.complete(QUESTION, max_tokens=8, schema=SCHEMA)
        await chat.complete(QUESTION, max_tokens=8, schema=SCHEMA)

    run(endpoint, action)
    assert ["response_format" in request.body for request in endpoint.requests] == [True, False, True]


def test_the_first_tokens_candidates_come_with_their_probabilities(endpoint: Endpoint) -> None:
    """`top_logprobs` gives log-probabilities by token; a server without them gives None."""
    endpoint.enqueue(said("Yes", first_token={"Yes": 0.75, " yes": 0.2}), "Yes")
    first = ask(endpoint, top_logprobs=5).first_token
    assert first is not None
    assert {token: round(2.718281828**value, 3) for token, value in first.items()} == {
        "Yes": 0.75,
        " yes": 0.2,
    }
    assert ask(endpoint, top_logprobs=5).first_token is None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("<think>Hm, [3]?</think>\n\nFour [1].", "Four [1]."),
        ("Hm, the template opened it.</think>Four.", "Four."),
        ("<think>cut off before", ""),
        ("<think>a</think>Four<think>b</think>.", "Four."),
        ("No trace, 1 < 2.", "No trace, 1 < 2."),
    ],
)
def test_reasoning_traces_are_taken_out(endpoint: Endpoint, sent: str, kept: str) -> None:
    """The reasoning of a model is not part of its reply."""
    endpoint.enqueue(said(sent, reasoning_content="also thinking"))
    assert ask(endpoint).text == kept


def test_the_first_token_of_a_trace_is_not_taken_for_the_replys(endpoint: Endpoint) -> None:
    """With a trace before the reply, no label probabilities are given."""
    endpoint.enqueue(said("<think>x</think>Yes", first_token={"<think>": 0.9}))
    assert ask(endpoint, top_logprobs=5).first_token is None


def test_a_structured_refusal_is_kept_apart_from_the_text(endpoint: Endpoint) -> None:
    """A refusal is no reply and no error."""
    endpoint.enqueue(said(None, refusal="I cannot help with that."))
    reply = ask(endpoint)
    assert (reply.text, reply.refusal) == ("", "I cannot help with that.")


def test_content_in_parts_is_joined_without_its_thinking(endpoint: Endpoint) -> None:
    """Content sent as a list of parts is joined, without its reasoning."""
    parts = [{"type": "thinking", "thinking": [{"text": "no"}]}, {"type": "text", "text": "Four."}]
    endpoint.enqueue(Response(body=completion(None, content=parts)))
    assert ask(endpoint).text == "Four."


def test_a_stream_gives_pieces_then_the_whole(endpoint: Endpoint) -> None:
    """The pieces add up to the Completion, which comes last and has the usage."""
    endpoint.enqueue("It keeps the best five [1].")
    *pieces, last = stream(endpoint)
    assert len(pieces) > 2
    assert isinstance(last, Completion)
    assert "".join(str(piece) for piece in pieces) == last.text == "It keeps the best five [1]."
    assert (last.usage.prompt_tokens, last.finish_reason) == (11, "stop")


def test_a_stream_hides_a_reasoning_trace_however_it_is_cut(endpoint: Endpoint) -> None:
    """Tags that come in halves are recognised, and text that only looks like one is shown."""
    sent = ["<th", "ink>secret", " </thi", "nk>", "\n1 <", " 2 and ", "<t", "hat>", " [1]", "<thi"]
    endpoint.enqueue(Response(lines=events(sent)))
    *pieces, last = stream(endpoint)
    assert "".join(str(piece) for piece in pieces) == "1 < 2 and <that> [1]<thi"
    assert isinstance(last, Completion)


def test_a_server_without_usage_in_streams_is_asked_without(endpoint: Endpoint) -> None:
    """A server that refuses `stream_options` is asked again without it."""
    endpoint.enqueue(status(400, "Unknown parameter: stream_options"), "Fine.")
    *_, last = stream(endpoint)
    assert isinstance(last, Completion)
    assert (last.text, last.usage.calls, last.usage.prompt_tokens) == ("Fine.", 2, 0)


@pytest.mark.parametrize(
    ("lines", "options", "reason"),
    [
        (events(["a", "b"], finish_reason=None, done=False), {}, "broke off"),
        ([*events(["a"])[:1], '{"choices": [{"del'], {}, "does not follow the chat completions API"),
        ([*events(["a"])[:1], '{"error": {"message": "GPU lost"}}'], {}, "GPU lost"),
        (events(["a"] * 100), {"drip": 0.05}, "in time"),
    ],
)
def test_a_stream_that_breaks_is_a_chat_error(
    endpoint: Endpoint, lines: list[str], options: dict[str, Any], reason: str
) -> None:
    """Half an answer is never taken for a whole one."""
    endpoint.enqueue(Response(lines=lines, **options))
    with pytest.raises(ChatError, match=reason):
        stream(endpoint, timeout_s=0.5)


def test_leaving_a_stream_closes_the_connection(endpoint: Endpoint) -> None:
    """A reader who stops early leaves no open connection behind, and the client goes on working."""
    endpoint.enqueue(Response(lines=events(["a"] * 1000), drip=0.01), "Next.")

    async def action(chat: OpenAIChat) -> str:
        pieces = chat.stream(QUESTION, max_tokens=8)
        assert await anext(pieces) == "a"
        await pieces.aclose()  # type: ignore[attr-defined]  # an async generator
        return (await chat.complete(QUESTION, max_tokens=8)).text

    assert run(endpoint, action) == "Next."


def test_a_call_can_be_cancelled(endpoint: Endpoint) -> None:
    """Cancelling from outside is not turned into an error of the endpoint."""
    endpoint.reply = Response(body=completion("x"), delay=30)

    async def action(chat: OpenAIChat) -> bool:
        with anyio.move_on_after(0.1) as scope:
            await chat.complete(QUESTION, max_tokens=8)
        return scope.cancelled_caught

    assert run(endpoint, action) is True


def test_the_models_of_an_endpoint_are_listed(endpoint: Endpoint) -> None:
    """Names, sorted."""
    endpoint.models = ["b", "a"]
    assert run(endpoint, lambda chat: chat.models()) == ["a", "b"]
