"""The chat client against endpoints as they are: refusals, error bodies, traces, limits, addresses."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from generation.chat.answerer import ChatAnswerer
from generation.chat.client import OpenAIChat
from storage.chat import Completion, Message, cut_prompt
from storage.errors import ChatError, MissingDependencyError
from storage.records import Candidate, Generation, Usage
from tests.support.endpoint import Endpoint, Request, Response, completion, events, said, status

QUESTION = [Message("system", "Be brief."), Message("user", "Which tide is highest?")]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
KEY = "tidal-secret-4711-abcdef"


def run(action: Callable[[OpenAIChat], Awaitable[Any]], **options: Any) -> Any:
    async def running() -> Any:
        chat = OpenAIChat.load(**{"model": "m", "max_retries": 0, **options})
        try:
            return await action(chat)
        finally:
            await chat.aclose()

    return anyio.run(running)


def ask(endpoint: Endpoint, *, times: int = 1, max_tokens: int = 64, **options: Any) -> Completion:
    """The last of the replies to the question."""
    wishes = {key: options.pop(key) for key in ("schema", "top_logprobs") if key in options}

    async def action(chat: OpenAIChat) -> Completion:
        replies = [await chat.complete(QUESTION, max_tokens=max_tokens, **wishes) for _ in range(times)]
        return replies[-1]

    result = run(action, **{"base_url": endpoint.url, **options})
    assert isinstance(result, Completion)
    return result


def stream(endpoint: Endpoint, **options: Any) -> list[str | Completion]:
    async def action(chat: OpenAIChat) -> list[str | Completion]:
        return [item async for item in chat.stream(QUESTION, max_tokens=64)]

    return list(run(action, **{"base_url": endpoint.url, **options}))


def answer(endpoint: Endpoint, text: str = "Spring tides are the highest.") -> Generation:
    async def action(chat: OpenAIChat) -> Generation:
        return await ChatAnswerer(chat).generate(
            "Which tide is highest?", [Candidate.from_text(text, id="t")]
        )

    result = run(action, base_url=endpoint.url)
    assert isinstance(result, Generation)
    return result


# Secrets.


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": f"Incorrect API key provided: {KEY}"}},
        {"message": f"invalid token Bearer {KEY}"},
        {"detail": "x" * 290 + KEY},
        [{"error": {"message": f"key={KEY}"}}],
        f"<html><body>Denied: {KEY}</body></html>".encode(),
    ],
    ids=["openai", "bearer", "at the cut", "list", "html"],
)
def test_a_key_that_an_endpoint_echoes_is_masked(endpoint: Endpoint, body: Any) -> None:
    """Not the key, and no half of it, is in the error."""
    endpoint.reply = Response(status=401, body=body)
    with pytest.raises(ChatError) as caught:
        ask(endpoint, api_key=KEY)
    assert "tidal-secret" not in str(caught.value) + caught.value.way_out


def test_a_key_in_the_address_is_not_shown(endpoint: Endpoint) -> None:
    """The error names the address without the credential in its query."""
    with pytest.raises(ChatError, match="404") as caught:
        ask(endpoint, base_url=f"{endpoint.url}?api-key=quite-private-9&api-version=7")
    assert "quite-private" not in str(caught.value)
    assert "api-version=7" in str(caught.value)


# What an endpoint refuses.


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
    "Google's list": ("response_format", 400, [{"error": {"message": "response_format unknown"}}]),
    "param only": ("logprobs", 400, {"error": {"message": "Not supported.", "param": "logprobs"}}),
    "a text": ("temperature", 400, "temperature is deprecated for this model"),
    "words apart": ("logprobs", 400, {"message": "This model does not support log probs."}),
    "Chinese": ("temperature", 400, {"error": {"message": "温度参数不合法"}}),
    "a grammar": ("response_format", 500, {"error": {"message": "failed to compile grammar"}}),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_the_part_that_a_refusal_names_is_given_up_and_remembered(endpoint: Endpoint, case: str) -> None:
    """At whatever status and in whatever shape, one part is left out, and the others are still sent."""
    part, code, body = REFUSALS[case]
    endpoint.reply = refusing(part, code, body)
    assert ask(endpoint, schema=SCHEMA, top_logprobs=5, times=2).text == "Fine."
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
    ],
)
def test_without_a_system_role_its_text_goes_before_the_users(
    endpoint: Endpoint, code: int, message: str
) -> None:
    """The instructions are not lost, and the endpoint is not asked with that role again."""
    has_system = lambda request: request.body["messages"][0]["role"] == "system"  # noqa: E731
    endpoint.reply = refusing("", code, {"error": {"message": message}}, within=has_system)
    assert ask(endpoint, times=2).text == "Fine."
    assert len(endpoint.requests) == 3
    [only] = endpoint.requests[-1].body["messages"]
    assert only == {"role": "user", "content": "Be brief.\n\nWhich tide is highest?"}


def test_fewer_log_probabilities_are_asked_for_where_a_server_gives_fewer(endpoint: Endpoint) -> None:
    """They are not given up, and the number is remembered."""
    too_many = status(400, "Invalid 'top_logprobs': expected a value <= 5, but got 20 instead.")
    endpoint.reply = lambda request: too_many if request.body["top_logprobs"] > 5 else "Fine."
    assert ask(endpoint, top_logprobs=20, times=2).text == "Fine."
    assert [request.body["top_logprobs"] for request in endpoint.requests] == [20, 5, 5]


def test_a_router_without_a_server_for_all_of_a_request_is_asked_for_less(endpoint: Endpoint) -> None:
    """Its 404 does not say which part nobody takes."""
    said_so = {"error": {"message": "No endpoints found that can handle the requested parameters."}}
    endpoint.reply = refusing("logprobs", 404, said_so)
    assert ask(endpoint, schema=SCHEMA, top_logprobs=5).text == "Fine."


def test_a_server_error_about_something_else_costs_no_part(endpoint: Endpoint) -> None:
    """A 500 that names no part of the request is reported after one call."""
    endpoint.reply = status(500, "CUDA out of memory")
    with pytest.raises(ChatError, match="CUDA out of memory"):
        ask(endpoint, schema=SCHEMA, top_logprobs=5)
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
    ],
)
def test_a_limit_that_the_context_refuses_is_lowered_once(
    endpoint: Endpoint, message: str, fits: int
) -> None:
    """The reply gets the room that the server says there is."""
    endpoint.enqueue(status(400, message), "Fine.")
    assert ask(endpoint, max_tokens=4000).text == "Fine."
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
        ask(endpoint)
    assert "answer.prompt_tokens" in caught.value.way_out


# Reasoning.

TRACES = [
    "<thinking>No. 3?</thinking>Yes",
    "<Thought>1</Thought>Yes",
    "[THINK]No[/THINK]Yes",
    "◁think▷No◁/think▷Yes",
    "<seed:think>No</seed:think>Yes",
    "<|begin_of_thought|>No<|end_of_thought|>\n<|begin_of_solution|>Yes<|end_of_solution|>",
    "<|channel|>analysis<|message|>No<|end|><|start|>assistant<|channel|>final<|message|>Yes<|return|>",
    "<reasoning>cites [3]</reasoning>\nYes",
    '<think time="3">No</think >\nYes',
    "<|thinking|>No<|/thinking|>Yes",
    "<|START_THINKING|>No<|END_THINKING|><|START_RESPONSE|>Yes<|END_RESPONSE|>",
    "<|channel>thought\nNo<channel|>Yes",
    "[REASONING]No[/REASONING]Yes",
    "<思考>否</思考>Yes",
    "<thinking>No</thinking>\n<answer>Yes</answer>",
    "<think>No</think>Yes<think>or No?</think>",
    "No wait, says the template.\n</think>\n\nYes",
]


@pytest.mark.parametrize("sent", TRACES)
def test_no_trace_is_an_answer_or_a_label(endpoint: Endpoint, sent: str) -> None:
    """A trace in any usual tag is taken out, and its first token says nothing about the reply's."""
    endpoint.reply = said(sent, first_token={"No": 0.9, "Yes": 0.1})
    reply = ask(endpoint, top_logprobs=5)
    assert (reply.text, reply.first_token) == ("Yes", None)


@pytest.mark.parametrize("sent", TRACES[:-1])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_no_trace_is_shown_while_it_streams(endpoint: Endpoint, sent: str, size: int) -> None:
    """However its marks are cut into pieces."""
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    endpoint.enqueue(Response(lines=events(pieces)))
    *shown, last = stream(endpoint)
    assert isinstance(last, Completion)
    assert "".join(str(piece) for piece in shown).strip() == last.text == "Yes"


def test_a_trace_that_a_template_opened_is_shown_once_at_most(endpoint: Endpoint) -> None:
    """Its beginning cannot be told from an answer's; from then on, streams wait for its end."""
    endpoint.reply = Response(lines=events(["No wait, ", "says it.\n</thi", "nk>\n\n", "Yes"]))

    async def action(chat: OpenAIChat) -> list[str]:
        shown = []
        for _ in range(2):
            *pieces, last = [item async for item in chat.stream(QUESTION, max_tokens=64)]
            assert last.text == "Yes"  # type: ignore[union-attr]
            shown.append("".join(map(str, pieces)))
        endpoint.reply = "No trace this time."
        return [*shown, "".join([str(one) async for one in chat.stream(QUESTION, max_tokens=64)][:-1])]

    first, second, third = run(action, base_url=endpoint.url)
    assert "</think>" not in first
    assert (second, third) == ("Yes", "No trace this time.")


@pytest.mark.parametrize(
    "apart",
    [
        {"reasoning_content": "No, let me see"},
        {"reasoning": "No"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "No"}]},
        {"thinking": "No"},
    ],
    ids=lambda apart: next(iter(apart)),
)
def test_reasoning_in_a_field_takes_the_first_token_with_it(
    endpoint: Endpoint, apart: dict[str, Any]
) -> None:
    """A server that counts all tokens gives the trace's first, which is no label."""
    endpoint.reply = said("Yes", first_token={"No": 0.99}, **apart)
    assert ask(endpoint, top_logprobs=5).first_token is None


def test_a_first_token_that_does_not_begin_the_text_is_not_its_own(endpoint: Endpoint) -> None:
    """Also where a server hides the trace altogether; a token with its space counts."""
    endpoint.enqueue(said("9", first_token={"1": 0.99}), said("Yes", first_token={"▁Yes": 0.9}))
    assert ask(endpoint, top_logprobs=5).first_token is None
    assert ask(endpoint, top_logprobs=5).first_token is not None


def test_a_reply_of_reasoning_alone_or_of_a_tool_call_says_so(endpoint: Endpoint) -> None:
    """The error names what came instead of an answer."""
    call = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    endpoint.enqueue(
        said(None, reasoning_content="Spring tides, says [1]."),
        said(None, finish_reason="tool_calls", tool_calls=[call]),
    )
    with pytest.raises(ChatError, match="only reasoning"):
        answer(endpoint)
    with pytest.raises(ChatError, match="a tool call and no text"):
        answer(endpoint)


# Streams and ends.


def test_chunks_without_a_delta_are_skipped(endpoint: Endpoint) -> None:
    """A filter's verdict amid a stream is no end of it."""
    lines = events(["Spring ", "tides [1]."])
    verdict = {"choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}}]}
    lines[1:1] = [json.dumps(verdict), json.dumps({"choices": [], "prompt_filter_results": []})]
    endpoint.enqueue(Response(lines=lines))
    *_, last = stream(endpoint)
    assert isinstance(last, Completion)
    assert last.text == "Spring tides [1]."


@pytest.mark.parametrize("chunk", ['{"choices": 5}', '{"choices": {"a": 1}}', "[1]", '"text"', "{}x"])
def test_nothing_but_a_chat_error_leaves_a_stream(endpoint: Endpoint, chunk: str) -> None:
    """Whatever a server sends as a chunk."""
    endpoint.enqueue(Response(lines=[events(["a"])[0], chunk, "[DONE]"]))
    with pytest.raises(ChatError):
        stream(endpoint)


@pytest.mark.parametrize(
    "word",
    ["MAX_TOKENS", "model_length", "content_filter", "SAFETY", "insufficient_system_resource", "error"],
)
def test_every_end_that_is_none_makes_an_answer_partial(endpoint: Endpoint, word: str) -> None:
    """Whatever a server calls it."""
    endpoint.reply = said("Spring tides [1]", finish_reason=word)
    assert answer(endpoint).outcome.status == "partial"


@pytest.mark.parametrize("word", ["stop", "end_turn", "STOP", "eos", "COMPLETE"])
def test_a_whole_reply_is_whole_by_any_name(endpoint: Endpoint, word: str) -> None:
    """The usual words for an end are no complaint."""
    endpoint.reply = said("Spring tides [1].", finish_reason=word)
    assert answer(endpoint).outcome.status == "ok"


def test_a_prompt_that_the_server_cut_is_noticed() -> None:
    """By a count of tokens far below any tokenizer's, in English and Chinese."""
    english, chinese = Message("user", "spring tide " * 1000), Message("user", "大潮" * 1000)
    for message in (english, chinese):
        assert cut_prompt([message], Usage(1, 40, 5)) is not None
        assert cut_prompt([message], Usage(1, 2000, 5)) is None
    assert cut_prompt([Message("user", "short")], Usage(1, 1, 5)) is None
    assert cut_prompt([english], Usage(1, 0, 5)) is None


# Sizes.


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
        ask(endpoint, max_reply_bytes=100_000, max_retries=2)
    assert len(endpoint.requests) == 1


def test_a_stream_without_end_is_not_read_beyond_its_limit(endpoint: Endpoint) -> None:
    """However small its pieces are."""
    endpoint.enqueue(Response(lines=events(["tide "] * 5000)))
    with pytest.raises(ChatError, match="larger than 50,000 bytes") as caught:
        stream(endpoint, max_reply_bytes=50_000)
    assert "llm.max_reply_bytes" in caught.value.way_out


def test_packed_replies_are_read(endpoint: Endpoint) -> None:
    """gzip, as most servers pack."""
    packed = gzip.compress(json.dumps(completion("Packed.")).encode())
    endpoint.reply = Response(body=packed, headers={"content-encoding": "gzip"})
    assert ask(endpoint).text == "Packed."


# Addresses, headers, proxies.


@pytest.mark.parametrize("typed", ["/v1", "/v1/", "/v1/chat/completions", "", "/"])
def test_an_address_is_taken_as_people_type_it(endpoint: Endpoint, typed: str) -> None:
    """With or without /v1 and the path of the API; what answered is remembered."""
    endpoint.reply = "Fine."
    assert ask(endpoint, base_url=endpoint.root + typed, times=2).text == "Fine."
    assert [request.path for request in endpoint.requests[-2:]] == ["/v1/chat/completions"] * 2
    assert len(endpoint.requests) <= 3


def test_a_path_that_is_not_there_is_named(endpoint: Endpoint) -> None:
    """The 404 says which address was asked."""
    with pytest.raises(ChatError, match=r"/proxy/v3/chat/completions"):
        ask(endpoint, base_url=f"{endpoint.root}/proxy/v3")


def test_headers_query_and_body_go_with_every_request(endpoint: Endpoint) -> None:
    """As Azure and thinking models want them; a query of the address survives."""
    path = "/openai/deployments/m/chat/completions"
    asked: list[Request] = []

    def route(request: Request) -> str:
        asked.append(request)
        return "Fine."

    for query in ("?api-version=2024-06-01&x=1", "?x=1&api-version=2024-06-01"):
        endpoint.routes[path + query] = route
    reply = ask(
        endpoint,
        base_url=f"{endpoint.root}/openai/deployments/m?api-version=2024-06-01",
        headers={"api-key": "azure-secret-key"},
        query={"x": "1"},
        body={"reasoning_effort": "low", "temperature": 1},
    )
    assert reply.text == "Fine."
    assert asked[0].headers["api-key"] == "azure-secret-key"
    assert "authorization" not in asked[0].headers
    assert (asked[0].body["reasoning_effort"], asked[0].body["temperature"]) == ("low", 1)


def test_a_redirection_is_followed_to_the_same_host_only(endpoint: Endpoint) -> None:
    """Passages go to no other host than the settings name."""
    moved = {"location": "http://elsewhere.invalid/v1/chat/completions"}
    endpoint.reply = Response(status=307, body={}, headers=moved)
    with pytest.raises(ChatError, match="307"):
        ask(endpoint)


def test_a_proxy_of_the_environment_is_not_for_the_loopback(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SOCKS proxy beside a local server does no harm; elsewhere its missing package is named."""
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    endpoint.reply = "Fine."
    assert ask(endpoint).text == "Fine."
    try:
        import socksio  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError) as caught:
            OpenAIChat.load(model="m", base_url="https://chat.invalid/v1")
        assert "winnow-rag[socks]" in caught.value.way_out


def test_half_a_character_in_a_prompt_costs_nothing_else(endpoint: Endpoint) -> None:
    """A lone surrogate cannot be sent, and is replaced."""
    endpoint.reply = "Spring tides [1]."
    assert answer(endpoint, "high\ud800 tide").outcome.status == "ok"


def test_half_a_character_in_a_reply_is_joined_or_replaced(endpoint: Endpoint) -> None:
    """Servers stream halves of a character apart; a lone one can be neither logged nor sent."""
    endpoint.enqueue(Response(lines=events(["spring \ud83c", "\udf0a tide \udc00", " ebb \ud800"])))
    *pieces, last = stream(endpoint)
    assert "".join(map(str, pieces)) == "spring 🌊 tide \ufffd ebb "
    assert isinstance(last, Completion)
    assert last.text == "spring 🌊 tide \ufffd ebb"
    endpoint.enqueue(
        Response(body=completion("\ud83c\udf0a \ud800 [1]", model="m\udfff", finish_reason="st\ud800op"))
    )
    whole = ask(endpoint)
    assert whole.text == "🌊 \ufffd [1]"
    assert (whole.model + whole.finish_reason).encode()
    endpoint.enqueue(Response(body=completion("The tide \ud800 is high [1].")))
    assert answer(endpoint).text.encode()


# Streams and replies in other people's forms.

CHUNKS = events(["High ", "tide"], done=False)


def sent(*lines: str, kind: str = "text/event-stream") -> Response:
    """A reply of exactly these lines."""
    return Response(body="\n".join(lines).encode() + b"\n", headers={"content-type": kind})


def data(*chunks: str) -> list[str]:
    """Events of a stream, with the empty lines that end them."""
    return [line for chunk in chunks for line in (f"data: {chunk}", "")]


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
    "no stream": said("High tide"),
    "the whole as one event": sent(*data(json.dumps(completion("High tide")), "[DONE]")),
}


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_is_read_however_a_server_writes_it(endpoint: Endpoint, case: str) -> None:
    """Keep-alives, line ends and ends of streams differ."""
    endpoint.enqueue(STREAMS[case])
    *pieces, last = stream(endpoint)
    assert isinstance(last, Completion)
    assert ("".join(map(str, pieces)), last.text, last.finish_reason) == ("High tide", "High tide", "stop")


@pytest.mark.parametrize(
    "lines",
    [
        data('{"detail": "out of memory"}', "[DONE]"),
        data('{"object": "error", "message": "out of memory", "code": 500}'),
        data('{"choices": [{"delta": {}, "finish_reason": "error"}], "error": {"message": "out of memory"}}'),
        ["event: error", "data: out of memory", ""],
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
        run(action, base_url=endpoint.url)
    assert came == (["High "] if "html" not in lines[0] else [])


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"text": "High tide"}]},
        {"code": 0, "data": completion("High tide")},
        {"output": completion("High tide")},
        completion(None, content={"type": "text", "text": "High tide"}),
        completion(None, content=["High ", {"type": "output_text", "text": "tide"}]),
        "\n".join(data(*CHUNKS, "[DONE]")).encode(),
    ],
)
def test_a_whole_reply_is_read_in_every_usual_form(endpoint: Endpoint, body: Any) -> None:
    """As a text, in parts, wrapped, or as a stream that nobody asked for."""
    endpoint.reply = Response(body=body)
    assert ask(endpoint).text == "High tide"


@pytest.mark.parametrize(
    "usage", [[], "many", {"prompt_tokens": 10**30, "completion_tokens": -1}, {"prompt_tokens": None}]
)
def test_a_count_of_tokens_that_cannot_be_is_none(endpoint: Endpoint, usage: Any) -> None:
    """No such number reaches a budget or the log."""
    endpoint.reply = Response(body=completion("Fine.") | {"usage": usage})
    assert ask(endpoint).usage == Usage(1, 0, 0)


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
    ],
)
def test_log_probabilities_in_an_odd_form_are_none(endpoint: Endpoint, logprobs: Any) -> None:
    """The text still counts."""
    body = completion("Yes")
    body["choices"][0]["logprobs"] = logprobs
    endpoint.reply = Response(body=body)
    assert (ask(endpoint, top_logprobs=5).text, ask(endpoint, top_logprobs=5).first_token) == ("Yes", None)
