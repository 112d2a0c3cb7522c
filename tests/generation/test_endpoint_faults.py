"""Faults of a chat endpoint: tried again, or an error that names the reason and the way out."""

from __future__ import annotations

import inspect

import anyio
import httpx2
import openai
import pytest

from generation.chat.client import OpenAIChat
from storage.errors import ChatError
from storage.openai_client import REASONS, OpenAIEndpoint
from tests.support.chat_client import QUESTION, asked, running
from tests.support.endpoint import Endpoint, Response, completion, status

HOST = OpenAIEndpoint("m", "http://host/v1", ChatError, "llm", "llm.model", "chat completions")


@pytest.mark.parametrize("code", [408, 409, 429, 500, 503])
def test_passing_faults_are_retried_and_counted(endpoint: Endpoint, code: int) -> None:
    """A transient fault costs a retry, which the usage shows."""
    endpoint.enqueue(status(code, retry_after=0.01), "Well.")
    reply = asked(endpoint, max_retries=1)
    assert reply.text == "Well."
    assert (reply.usage.calls, reply.usage.retries, len(endpoint.requests)) == (2, 1, 2)


def test_the_time_that_the_server_asks_for_is_waited(endpoint: Endpoint) -> None:
    """`Retry-After` is honoured: a wait longer than the whole call may take ends it after one request."""
    endpoint.reply = status(429, retry_after=60)
    with pytest.raises(ChatError, match="429, to be tried again in 60 s"):
        asked(endpoint, max_retries=1, timeout_s=5)
    assert len(endpoint.requests) == 1


def test_a_lost_connection_is_retried(endpoint: Endpoint) -> None:
    """A reset connection costs a retry, not the answer."""
    endpoint.enqueue(Response(reset=True), "Back.")
    assert asked(endpoint, max_retries=1).text == "Back."


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
        asked(endpoint, timeout_s=0.5)
    assert way_out in caught.value.way_out


def test_an_address_where_nobody_listens_is_a_chat_error() -> None:
    """A refused connection names the address."""
    with Endpoint() as endpoint:
        pass
    with pytest.raises(ChatError, match="cannot be reached"):
        asked(endpoint)


def test_an_endpoints_own_words_cannot_reach_the_terminal_raw(endpoint: Endpoint) -> None:
    """Control characters in an error message are taken out, and its length is bounded."""
    endpoint.reply = status(400, "\x1b[31mred\x07 " + "x" * 5000)
    with pytest.raises(ChatError) as caught:
        asked(endpoint)
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


def test_a_call_can_be_cancelled(endpoint: Endpoint) -> None:
    """Cancelling from outside is not turned into an error of the endpoint."""
    endpoint.reply = Response(body=completion("x"), delay=30)

    async def action(chat: OpenAIChat) -> bool:
        with anyio.move_on_after(0.1) as scope:
            await chat.complete(QUESTION, max_tokens=8)
        return scope.cancelled_caught

    assert running(endpoint, action) is True
