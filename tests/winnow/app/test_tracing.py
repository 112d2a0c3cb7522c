"""Tracing: the spans of a question, their names, and no content unless it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from generation.chat.answerer import ChatAnswerer
from rerank.chain import Chain, ChainStage
from storage.chat import Completion, Message
from storage.errors import StageError
from storage.records import Answer, Candidate, Outcome, Ranking, Retrieval, Usage
from winnow.app import asking
from winnow.app.asked import Asked
from winnow.app.stages import Stages
from winnow.app.tracing.spans import Tracing

pytestmark = pytest.mark.heavy

QUESTION = "一个秘密的问题 secret question"
SECRETS = ("秘密", "secret", "Passage", "答案")


class Found:
    """A retriever that finds three passages."""

    async def search(self, query: str, top_k: int) -> Retrieval:
        found = [Candidate.from_text(f"Passage {n}", id=f"p{n}") for n in range(1, 4)]
        ranked = tuple(one.ranked("retrieval", n, 1 / n) for n, one in enumerate(found, start=1))
        return Retrieval(ranked, Outcome("retrieval", ms=1.0))


class Reversed:
    """A reranker that reverses the order."""

    name = "reversed"

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        turned = [one.ranked(self.name, n, 9.0 - n) for n, one in enumerate(reversed(candidates), start=1)]
        return Ranking(tuple(turned[:top_k]), (Outcome(self.name),), tuple(turned[top_k:]))


class Broken:
    """A reranker that fails."""

    name = "broken"

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        raise StageError("a secret of the server")


class Scripted:
    """A chat model with one answer, which it streams in two pieces."""

    model = "tiny-1"
    reply = Completion("答案 secret [1].", Usage(1, 70, 7, 0.25), "tiny-1-2026", ms=2.0)

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, object] | None = None,
        top_logprobs: int = 0,
    ) -> Completion:
        return self.reply

    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int
    ) -> AsyncIterator[str | Completion]:
        yield "答案 "
        yield "secret [1]."
        yield self.reply


@contextmanager
def spans(*, content: bool) -> Iterator[tuple[Tracing, InMemorySpanExporter]]:
    """Spans that are kept in memory by the SDK's own exporter."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Tracing(provider.get_tracer("test"), content=content), exporter
    provider.shutdown()


def asked(traced: Tracing, *rerankers: object) -> None:
    """Ask one question through all stages."""
    stages = Stages(
        Found(),
        Chain([ChainStage(reranker) for reranker in rerankers or [Reversed()]]),  # type: ignore[arg-type]
        ChatAnswerer(traced.chat(Scripted())),
        "docs",
        "reversed",
    )

    async def ask() -> None:
        with traced.question("ask", QUESTION, stages) as question:
            question.done(await asking.ask(Asked(QUESTION, 50, 2), question.stages))

    anyio.run(ask)


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def attributes(span: ReadableSpan) -> Mapping[str, object]:
    return dict(span.attributes or {})


def test_every_stage_and_call_is_a_span_below_its_caller() -> None:
    """The stages are spans below the question's, and the model call is below generation."""
    with spans(content=False) as (traced, exporter):
        asked(traced)
        found = by_name(exporter)
    assert set(found) == {"ask", "retrieval docs", "rerank reversed", "generation", "chat tiny-1"}
    parents = {name: span.parent.span_id if span.parent else None for name, span in found.items()}
    root = found["ask"].context.span_id
    assert parents["ask"] is None
    assert {parents[name] for name in ("retrieval docs", "rerank reversed", "generation")} == {root}
    assert parents["chat tiny-1"] == found["generation"].context.span_id
    assert found["chat tiny-1"].kind is SpanKind.CLIENT


def test_spans_bear_the_names_that_tools_know() -> None:
    """Spans carry OpenInference kinds, GenAI operations, ids with scores, models, tokens and cost."""
    with spans(content=False) as (traced, exporter):
        asked(traced)
        found = {name: attributes(span) for name, span in by_name(exporter).items()}
    kinds = {name: each["openinference.span.kind"] for name, each in found.items()}
    assert kinds == {
        "ask": "CHAIN",
        "retrieval docs": "RETRIEVER",
        "rerank reversed": "RERANKER",
        "generation": "CHAIN",
        "chat tiny-1": "LLM",
    }
    retrieval, rerank, call = found["retrieval docs"], found["rerank reversed"], found["chat tiny-1"]
    assert retrieval["gen_ai.operation.name"] == "retrieval"
    assert retrieval["gen_ai.data_source.id"] == "docs"
    assert retrieval["gen_ai.request.top_k"] == 50
    assert json.loads(str(retrieval["gen_ai.retrieval.documents"]))[0] == {"id": "p1", "score": 1.0}
    assert rerank["gen_ai.operation.name"] == "rerank"
    assert rerank["gen_ai.rerank.candidate.count"] == 3
    assert rerank["gen_ai.rerank.scores"] == (8.0, 7.0)
    assert rerank["reranker.top_k"] == 2
    assert rerank["reranker.input_documents.0.document.id"] == "p1"
    assert rerank["reranker.output_documents.0.document.id"] == "p3"
    assert rerank["reranker.output_documents.0.document.score"] == 8.0
    assert call["gen_ai.operation.name"] == "chat"
    assert (call["gen_ai.request.model"], call["gen_ai.response.model"]) == ("tiny-1", "tiny-1-2026")
    assert (call["gen_ai.usage.input_tokens"], call["gen_ai.usage.output_tokens"]) == (70, 7)
    assert call["llm.cost.total"] == 0.25
    assert len(str(found["ask"]["winnow.answer.id"])) == 16


def test_nothing_that_people_wrote_is_sent_unasked() -> None:
    """By default questions, passages, prompts, answers and error messages are not sent."""
    with spans(content=False) as (traced, exporter):
        asked(traced, Broken(), Reversed())
        sent = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert not [secret for secret in SECRETS if secret in sent.encode().decode("unicode_escape")]
    assert "error.type" in sent


def test_content_is_sent_where_it_is_asked_for() -> None:
    """With `content` a trace shows the question, the passages, the messages and the answer."""
    with spans(content=True) as (traced, exporter):
        asked(traced)
        found = {name: attributes(span) for name, span in by_name(exporter).items()}
    assert found["ask"]["input.value"] == QUESTION
    assert found["ask"]["output.value"] == "答案 secret [1]."
    assert found["retrieval docs"]["gen_ai.retrieval.query.text"] == QUESTION
    assert found["rerank reversed"]["reranker.query"] == QUESTION
    assert found["rerank reversed"]["reranker.output_documents.0.document.content"] == "Passage 3"
    assert "Passage 3" in str(found["chat tiny-1"]["llm.input_messages.1.message.content"])
    assert found["chat tiny-1"]["llm.output_messages.0.message.content"] == "答案 secret [1]."


def test_a_stage_that_fails_is_an_error_in_the_trace() -> None:
    """A failing stage's span has an error status; those of the other stages do not."""
    with spans(content=True) as (traced, exporter):
        asked(traced, Broken(), Reversed())
        found = by_name(exporter)
    assert found["rerank broken"].status.status_code is StatusCode.ERROR
    assert found["rerank broken"].status.description == "a secret of the server"
    assert attributes(found["rerank broken"])["error.type"] == "StageError"
    assert found["rerank reversed"].status.status_code is not StatusCode.ERROR
    assert found["ask"].status.status_code is not StatusCode.ERROR


def test_a_full_span_forgets_the_last_passages_first() -> None:
    """A span over the attribute limit drops the last passages first and keeps the other attributes."""

    class Many(Found):
        async def search(self, query: str, top_k: int) -> Retrieval:
            found = [
                Candidate.from_text("text", id=f"p{n}").ranked("retrieval", n, 1 / n) for n in range(1, 201)
            ]
            return Retrieval(tuple(found))

    with spans(content=True) as (traced, exporter):
        stages = Stages(Many(), Reversed(), ChatAnswerer(traced.chat(Scripted())), "docs", "reversed")

        async def search() -> None:
            with traced.question("search", QUESTION, stages) as question:
                question.done(await asking.search(Asked(QUESTION, 200, 5), question.stages))

        anyio.run(search)
        found = attributes(by_name(exporter)["rerank reversed"])
    assert found["openinference.span.kind"] == "RERANKER"
    assert found["reranker.output_documents.0.document.id"] == "p200"
    assert found["reranker.input_documents.0.document.id"] == "p1"
    assert "reranker.input_documents.199.document.id" not in found


def test_a_stream_is_one_span_and_leaves_its_reader_alone() -> None:
    """A streamed call is one span below generation, which ends with the stream."""
    from opentelemetry import trace

    with spans(content=False) as (traced, exporter):
        stages = Stages(Found(), Reversed(), ChatAnswerer(traced.chat(Scripted())), "docs", "reversed")

        async def stream() -> list[object]:
            with traced.question("ask", QUESTION, stages) as question:
                before, seen = trace.get_current_span(), list[object]()
                async for item in asking.stream(Asked(QUESTION, 3, 1), question.stages):
                    assert trace.get_current_span() is before
                    seen.append(item)
                return seen

        *_, last = anyio.run(stream)
        found = by_name(exporter)
    assert isinstance(last, Answer)
    assert found["chat tiny-1"].parent == found["generation"].context
    assert attributes(found["chat tiny-1"])["gen_ai.usage.output_tokens"] == 7
    assert attributes(found["generation"])["winnow.citations"] == 1


class Collector(BaseHTTPRequestHandler):
    """A receiver of OTLP over HTTP."""

    received: list[tuple[str, ExportTraceServiceRequest]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting() -> Iterator[tuple[str, list[tuple[str, ExportTraceServiceRequest]]]]:
    """Yield a collector's address and the spans it received."""
    handler = type("OneCollector", (Collector,), {"received": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler.received
        finally:
            server.shutdown()


_READY = """
import sys
from storage.records import Candidate
from winnow import RAGPipeline
from winnow.app.settings import Settings

class Parts:
    def search(self, query, top_k): return ["a passage"]
    def rerank(self, query, candidates, top_k): return candidates
    def generate(self, question, candidates): return "an answer [1]"

{before}
settings = Settings.load(tracing={{"enabled": True, "endpoint": sys.argv[1]}})
with RAGPipeline(Parts(), Parts(), Parts(), settings=settings) as pipeline:
    {ask}
{after}
"""


def program(address: str, *, before: str = "", ask: str = "pipeline.ask('why?')", after: str = "") -> str:
    """Return the output of a user's program, run in its own process: the tracer provider is global."""
    code = _READY.format(before=before, ask=ask, after=after)
    done = subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_provider_spans_go_to_the_endpoint() -> None:
    """Without a provider, spans are exported as OTLP over HTTP, all of them before the process ends."""
    with collecting() as (address, received):
        program(address)
    [(path, request)] = received
    assert path == "/v1/traces"
    [resource] = request.resource_spans
    assert "winnow" in [each.value.string_value for each in resource.resource.attributes]
    names = {span.name for scope in resource.scope_spans for span in scope.spans}
    assert names == {"ask", "retrieval custom", "rerank Parts", "generation"}


def test_the_programs_own_provider_is_used() -> None:
    """Spans go to the program's own provider, as children of the caller's current span."""
    before = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
"""
    ask = "\n    ".join(
        ["with trace.get_tracer('mine').start_as_current_span('mine') as mine:", "    pipeline.ask('why?')"]
    )
    after = """
spans = {span.name: span for span in exporter.get_finished_spans()}
print(sorted(spans), spans['ask'].parent.span_id == mine.get_span_context().span_id)
"""
    with collecting() as (address, received):
        printed = program(address, before=before, ask=ask, after=after)
    assert printed.strip() == "['ask', 'generation', 'mine', 'rerank Parts', 'retrieval custom'] True"
    assert received == []


def test_a_collector_that_is_not_there_costs_no_answer() -> None:
    """An unreachable collector costs no answer; the SDK reports it on standard error."""
    printed = program("http://127.0.0.1:9", ask="print(pipeline.ask('why?').text)")
    assert printed.strip() == "an answer [1]"


def test_tracing_is_off_by_default() -> None:
    """Tracing is off by default, and OpenTelemetry is not imported."""
    after = "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    code = _READY.format(before="", ask="pipeline.ask('why?')", after=after).replace('"enabled": True, ', "")
    done = subprocess.run(
        [sys.executable, "-c", code, "http://x"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("hidden", ["opentelemetry", "opentelemetry.exporter"])
def test_a_missing_extra_is_named(hidden: str) -> None:
    """Tracing without its extra installed is an error with the install command."""
    before = f"sys.modules[{hidden!r}] = None"
    ask = "\n    ".join(
        ["try: pipeline.ask('why?')", "except Exception as error: print(type(error).__name__, error.way_out)"]
    )
    printed = program("http://x", before=before, ask=ask)
    assert printed.strip() == "MissingDependencyError pip install 'winnow-rag[otel]'"
