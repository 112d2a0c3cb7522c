"""Streams of a chat endpoint: pieces, ends, breaks, and the forms that servers write them in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from generation.chat.client import OpenAIChat
from storage.chat import Completion
from storage.errors import ChatError
from tests.support.chat_client import CHUNKS, QUESTION, answered, asked, data, running, streamed
from tests.support.endpoint import Endpoint, Response, completion, events, said, status


def test_a_stream_gives_pieces_then_the_whole(endpoint: Endpoint) -> None:
    """The pieces add up to the Completion, which comes last and has the usage."""
    endpoint.enqueue("It keeps the best five [1].")
    *pieces, last = streamed(endpoint)
    assert len(pieces) > 2
    assert isinstance(last, Completion)
    assert "".join(str(piece) for piece in pieces) == last.text == "It keeps the best five [1]."
    assert (last.usage.prompt_tokens, last.finish_reason) == (11, "stop")


def test_a_server_without_usage_in_streams_is_asked_without(endpoint: Endpoint) -> None:
    """A server that refuses `stream_options` is asked again without it."""
    endpoint.enqueue(status(400, "Unknown parameter: stream_options"), "Fine.")
    *_, last = streamed(endpoint)
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
        streamed(endpoint, timeout_s=0.5)


def test_leaving_a_stream_closes_the_connection(endpoint: Endpoint) -> None:
    """A reader who stops early leaves no open connection behind, and the client goes on working."""
    endpoint.enqueue(Response(lines=events(["a"] * 1000), drip=0.01), "Next.")

    async def action(chat: OpenAIChat) -> str:
        pieces = chat.stream(QUESTION, max_tokens=8)
        assert await anext(pieces) == "a"
        await pieces.aclose()  # type: ignore[attr-defined]  # an async generator
        return (await chat.complete(QUESTION, max_tokens=8)).text

    assert running(endpoint, action) == "Next."


def test_a_stream_without_end_is_not_read_beyond_its_limit(endpoint: Endpoint) -> None:
    """However small its pieces are."""
    endpoint.enqueue(Response(lines=events(["tide "] * 5000)))
    with pytest.raises(ChatError, match="larger than 50,000 bytes") as caught:
        streamed(endpoint, max_reply_bytes=50_000)
    assert "llm.max_reply_bytes" in caught.value.way_out


def test_chunks_without_a_delta_are_skipped(endpoint: Endpoint) -> None:
    """A filter's verdict amid a stream is no end of it."""
    lines = events(["Spring ", "tides [1]."])
    verdict = {"choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}}]}
    lines[1:1] = [json.dumps(verdict), json.dumps({"choices": [], "prompt_filter_results": []})]
    endpoint.enqueue(Response(lines=lines))
    *_, last = streamed(endpoint)
    assert isinstance(last, Completion)
    assert last.text == "Spring tides [1]."


@pytest.mark.parametrize("chunk", ['{"choices": 5}', '{"choices": {"a": 1}}', "[1]", '"text"', "{}x"])
def test_nothing_but_a_chat_error_leaves_a_stream(endpoint: Endpoint, chunk: str) -> None:
    """Whatever a server sends as a chunk."""
    endpoint.enqueue(Response(lines=[events(["a"])[0], chunk, "[DONE]"]))
    with pytest.raises(ChatError):
        streamed(endpoint)


def test_half_a_character_in_a_reply_is_joined_or_replaced(endpoint: Endpoint) -> None:
    """Servers stream halves of a character apart; a lone one can be neither logged nor sent."""
    endpoint.enqueue(Response(lines=events(["spring \ud83c", "\udf0a tide \udc00", " ebb \ud800"])))
    *pieces, last = streamed(endpoint)
    assert "".join(map(str, pieces)) == "spring 🌊 tide \ufffd ebb \ufffd"
    assert isinstance(last, Completion)
    assert last.text == "spring 🌊 tide \ufffd ebb \ufffd"
    endpoint.enqueue(
        Response(body=completion("\ud83c\udf0a \ud800 [1]", model="m\udfff", finish_reason="st\ud800op"))
    )
    whole = asked(endpoint)
    assert whole.text == "🌊 \ufffd [1]"
    assert (whole.model + whole.finish_reason).encode()
    endpoint.enqueue(Response(body=completion("The tide \ud800 is high [1].")))
    assert answered(endpoint).text.encode()


def sent(*lines: str, kind: str = "text/event-stream") -> Response:
    """A reply of exactly these lines."""
    return Response(body="\n".join(lines).encode() + b"\n", headers={"content-type": kind})


STREAMS = {
    "comments and empty events": sent(": ping", "", "event: ping", "data: ", "", *data(*CHUNKS, "[DONE]")),
    "lines without an empty one between": sent(*(f"data:{chunk}" for chunk in CHUNKS), "data:[DONE]"),
    "old line ends": Response(
        body="\r".join(data(*CHUNKS)).encode(), headers={"content-type": "text/event-stream"}
    ),
    "bare lines of JSON": sent(*CHUNKS, kind="application/x-ndjson"),
    "null": sent(*data("null", *CHUNKS, "[DONE]")),
    "a lower-case end": sent(*data(*CHUNKS[:-1], "[done]")),
    "an end without a reason": sent(*data(*CHUNKS[:-1], "[DONE]")),
    "a byte order mark": sent("\ufeff" + "\n".join(data(*CHUNKS))),
    "a second choice": sent(
        *data('{"choices": [{"index": 1, "delta": {"content": "Low"}}]}', *CHUNKS, "[DONE]")
    ),
    "texts": sent(
        *data('{"choices": [{"text": "High tide"}]}', '{"choices": [{"text": "", "finish_reason": "stop"}]}')
    ),
    "pulses": sent("event: ping", "data: still here", "", *data("heartbeat", *CHUNKS, '"[DONE]"')),
    "the whole again at the end": sent(
        *data(
            CHUNKS[0],
            CHUNKS[1],
            '{"choices": [{"delta": {}, "message": {"content": "High tide"}, "finish_reason": "stop"}]}',
        )
    ),
    "a thought among parts": sent(
        *data('{"choices": [{"delta": {"content": [{"type": "reasoning", "text": "Low?"}]}}]}', *CHUNKS)
    ),
    "no stream": said("High tide"),
    "the whole as one event": sent(*data(json.dumps(completion("High tide")), "[DONE]")),
}


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_is_read_however_a_server_writes_it(endpoint: Endpoint, case: str) -> None:
    """Keep-alives, line ends and ends of streams differ."""
    endpoint.enqueue(STREAMS[case])
    *pieces, last = streamed(endpoint)
    assert isinstance(last, Completion)
    assert ("".join(map(str, pieces)), last.text, last.finish_reason) == ("High tide", "High tide", "stop")


@pytest.mark.parametrize(
    "lines",
    [
        data('{"detail": "out of memory"}', "[DONE]"),
        data('{"object": "error", "message": "out of memory", "code": 500}'),
        data('{"choices": [{"delta": {}, "finish_reason": "error"}], "error": {"message": "out of memory"}}'),
        ["event: error", "data: out of memory", ""],
        ['error: {"message": "out of memory", "code": 500}', ""],
        [*data("Internal error: out of memory"), ""],
        ["<html><body>out of memory</body></html>"],
    ],
)
def test_an_error_amid_a_stream_is_told_in_its_own_words(endpoint: Endpoint, lines: list[str]) -> None:
    """After what was said before it."""
    came: list[object] = []
    endpoint.enqueue(sent(*(data(CHUNKS[0]) if "html" not in lines[0] else []), *lines))

    async def action(chat: OpenAIChat) -> None:
        async for item in chat.stream(QUESTION, max_tokens=64):
            came.append(item)  # noqa: PERF401 - what came before the error is the point

    with pytest.raises(ChatError, match="out of memory"):
        running(endpoint, action)
    assert came == (["High "] if "html" not in lines[0] else [])
