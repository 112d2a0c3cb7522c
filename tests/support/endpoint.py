"""A real HTTP server on the loopback with the part of OpenAI's API that winnow uses.

    with Endpoint() as endpoint:
        endpoint.enqueue("Forty-two [1].")                  # the next reply
        endpoint.enqueue(status(429, retry_after=0.01))     # the one after it: a fault
        endpoint.reply = lambda request: "for every other request"
        ... OpenAIChat.load(model="m", base_url=endpoint.url) ...
        endpoint.requests[0].body["messages"]

A reply is a text, a `Response`, or a function of the request that gives either. To speak another API, add
a path: `endpoint.routes["/v1/rerank"] = function of the request`.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A client's request. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response of the server, and the faults to send it with.

    `body` is sent as JSON unless it is bytes; `lines` are sent as a stream of events instead. `reset` cuts
    the connection before a byte, `cut` after that many bytes (or events) of the body. `delay` (seconds) comes
    before the headers, `drip` after each byte (or event).
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[str] | None = None
    reset: bool = False
    cut: int | None = None
    delay: float = 0.0
    drip: float = 0.0


Reply = str | Response
Replies = Reply | Callable[[Request], Reply]


def status(code: int, message: str = "made up for the test", *, retry_after: float | None = None) -> Response:
    """An error in the shape of OpenAI's."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    error = {"message": message, "type": "test", "param": None, "code": None}
    return Response(body={"error": error}, status=code, headers=headers)


def completion(
    text: str | None,
    *,
    finish_reason: str | None = "stop",
    refusal: str | None = None,
    usage: tuple[int, int] | None = (11, 7),
    first_token: Mapping[str, float] | None = None,
    model: str = "served-model",
    **message: Any,
) -> dict[str, Any]:
    """The body of a chat completion. `first_token` maps tokens to probabilities (not their logarithms)."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": refusal, **message},
        "finish_reason": finish_reason,
        "logprobs": None if first_token is None else {"content": [_logprobs(first_token)]},
    }
    body: dict[str, Any] = {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [choice],
    }
    return body if usage is None else body | {"usage": _usage(*usage)}


def said(text: str | None, **more: Any) -> Response:
    """A chat completion as a response; takes what `completion` takes."""
    return Response(body=completion(text, **more))


def events(
    pieces: Sequence[str],
    *,
    finish_reason: str | None = "stop",
    usage: tuple[int, int] | None = None,
    done: bool = True,
) -> list[str]:
    """The events of a streamed chat completion."""
    head: dict[str, Any] = {
        "id": "chat-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "served-model",
    }
    deltas: list[dict[str, Any]] = [
        {"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces
    ]
    if finish_reason:
        deltas.append({"index": 0, "delta": {}, "finish_reason": finish_reason})
    chunks = [head | {"choices": [delta]} for delta in deltas]
    if usage:
        chunks.append(head | {"choices": [], "usage": _usage(*usage)})
    return [json.dumps(chunk) for chunk in chunks] + (["[DONE]"] if done else [])


def _usage(prompt: int, completed: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completed, "total_tokens": prompt + completed}


def _logprobs(probabilities: Mapping[str, float]) -> dict[str, Any]:
    best = max(probabilities, key=lambda token: probabilities[token])
    top = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in probabilities.items()]
    return {"token": best, "logprob": math.log(probabilities[best]), "bytes": None, "top_logprobs": top}


class Endpoint:
    """The server, in a thread. `requests` holds the requests in order; `url` ends in /v1."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reply: Replies = "Nothing was scripted."
        self.models: list[str] = ["served-model"]
        self.dim = 8
        self.routes: dict[str, Callable[[Request], Reply]] = {
            "/v1/chat/completions": self._chat,
            "/v1/models": self._models,
            "/v1/embeddings": self._embeddings,
        }
        self.otherwise: Response | None = None  # the reply for any other path
        self._queue: deque[Replies] = deque()
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def root(self) -> str:
        """The address without a path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def enqueue(self, *replies: Replies) -> None:
        """Queue the next chat replies, in this order; once they are used up, `reply` answers."""
        with self._lock:
            self._queue.extend(replies)

    def next_reply(self, request: Request) -> Reply:
        """The scripted reply to a request."""
        with self._lock:
            reply = self._queue.popleft() if self._queue else self.reply
        return reply(request) if callable(reply) else reply

    def respond(self, request: Request) -> Response:
        """Records a request and answers it."""
        with self._lock:
            self.requests.append(request)
        route = self.routes.get(request.path)
        if route is None:
            return self.otherwise or status(404, f"no such path: {request.path}")
        reply = route(request)
        return reply if isinstance(reply, Response) else said(reply)

    def __enter__(self) -> Endpoint:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _chat(self, request: Request) -> Reply:
        reply = self.next_reply(request)
        if not isinstance(reply, str) or not request.body.get("stream"):
            return reply
        words = [word if n == 0 else f" {word}" for n, word in enumerate(reply.split(" "))]
        wants_usage = (request.body.get("stream_options") or {}).get("include_usage")
        return Response(lines=events(words, usage=(11, 7) if wants_usage else None))

    def _models(self, request: Request) -> Reply:
        data = [{"id": model, "object": "model", "created": 1, "owned_by": "test"} for model in self.models]
        return Response(body={"object": "list", "data": data})

    def _embeddings(self, request: Request) -> Reply:
        """Return vectors that depend only on the text."""
        texts = request.body["input"] if isinstance(request.body["input"], list) else [request.body["input"]]
        data = [
            {
                "object": "embedding",
                "index": n,
                "embedding": [float(ord(c) % 7) for c in f"{text:{self.dim}.{self.dim}}"],
            }
            for n, text in enumerate(texts)
        ]
        tokens = {"prompt_tokens": sum(map(len, texts)), "total_tokens": sum(map(len, texts))}
        return Response(
            body={"object": "list", "model": request.body["model"], "data": data, "usage": tokens}
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], endpoint: Endpoint) -> None:
        super().__init__(address, _Handler)
        self.endpoint = endpoint

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no matter for the test's output."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def log_message(self, *args: Any) -> None:
        """Print nothing: requests are in `Endpoint.requests`."""

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.endpoint.respond(
            Request(self.command, self.path, headers, json.loads(raw) if raw else {})
        )
        self._wait(response.delay)
        if response.reset:
            # no lingering: the client sees a connection reset, not an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._stream(response) if response.lines is not None else self._whole(response)

    def _whole(self, response: Response) -> None:
        body = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
        self._head(response, {"content-type": "application/json", "content-length": str(len(body))})
        sent = body if response.cut is None else body[: response.cut]
        if not response.drip:
            self.wfile.write(sent)
        for byte in sent if response.drip else b"":
            self._wait(response.drip)
            self.wfile.write(bytes([byte]))
        self.close_connection = self.close_connection or response.cut is not None

    def _stream(self, response: Response) -> None:
        self._head(response, {"content-type": "text/event-stream", "connection": "close"})
        for line in (response.lines or ())[: response.cut]:
            self.wfile.write(f"data: {line}\n\n".encode())
            self.wfile.flush()
            self._wait(response.drip)
        self.close_connection = True

    def _head(self, response: Response, defaults: Mapping[str, str]) -> None:
        self.send_response(response.status)
        for name, value in {**defaults, **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _wait(self, seconds: float) -> None:
        """Sleep, but never beyond the end of the test."""
        if seconds:
            self.server.endpoint.closing.wait(seconds)
