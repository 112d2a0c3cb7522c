"""OpenTelemetry spans for questions, off unless the settings ask for them (the extra `otel`).

One span for the question, below it retrieval, every rerank stage and generation; a call of a chat model is a
span below the stage that made it. Spans go to the TracerProvider that the program has set, or, where it has
set none (the shell), over OTLP/HTTP to the configured endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from rerank.base import Reranker
from storage.chat import ChatModel
from storage.errors import MissingDependencyError, SpecError
from storage.records import Answer
from winnow.app.stages import SearchResult, Stages
from winnow.app.tracing import attributes as says
from winnow.app.tracing.parts import TracedChat, TracedGenerator, TracedReranker, TracedRetriever

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider as OwnProvider
    from opentelemetry.trace import Span, Tracer

    from winnow.app.sections import TracingSettings

# A collector that does not answer shall not keep a person waiting at the end of a command.
_EXPORT_TIMEOUT_S = 3
# Fifty passages with text are more attributes than the usual limit (128) allows.
_MOST_ATTRIBUTES = 4_096


@dataclass(frozen=True, slots=True)
class Question:
    """A question under way: its stages, watched, and what is to be told of its end."""

    stages: Stages
    done: Callable[[Answer | SearchResult], None]


class Tracing(Protocol):
    """What watches questions: `Spans`, or `Untraced`."""

    def question(self, name: str, question: str, stages: Stages) -> AbstractContextManager[Question]:
        """The span of a question: `name` is `ask`, `search` or `replay`."""
        ...

    def chat(self, chat: ChatModel) -> ChatModel:
        """The chat model, each call a span."""
        ...

    def close(self) -> None:
        """Send what is still to be sent."""
        ...


class Untraced:
    """No spans: everything passes as it is."""

    @contextmanager
    def question(self, name: str, question: str, stages: Stages) -> Iterator[Question]:  # noqa: ARG002
        yield Question(stages, lambda _: None)

    def chat(self, chat: ChatModel) -> ChatModel:
        return chat

    def close(self) -> None:
        pass


class Spans:
    """Questions as spans. `own` is a provider that nobody else uses: it is shut down at the end."""

    def __init__(self, tracer: Tracer, *, content: bool, own: OwnProvider | None = None) -> None:
        self._tracer = tracer
        self._content = content
        self._own = own

    @classmethod
    def load(cls, settings: TracingSettings) -> Spans:
        """Spans as the settings want them. Raises MissingDependencyError without the extra `otel`."""
        from winnow.version import __version__

        try:
            from opentelemetry import trace
            from opentelemetry.trace import ProxyTracerProvider

            nobodys = isinstance(trace.get_tracer_provider(), ProxyTracerProvider)
            own = _exporting(settings.endpoint) if nobodys else None
        except ImportError as error:
            raise MissingDependencyError(
                f"tracing needs OpenTelemetry: {error}", way_out="pip install 'winnow-rag[otel]'"
            ) from error
        provider = own or trace.get_tracer_provider()
        return cls(provider.get_tracer("winnow", __version__), content=settings.content, own=own)

    @contextmanager
    def question(self, name: str, question: str, stages: Stages) -> Iterator[Question]:
        given = says.asked(question, stages.collection, stages.rerank, self._content)
        with self.span(name, given) as span:
            yield Question(self._watched(stages), lambda found: span.set_attributes(self._end(found)))

    def chat(self, chat: ChatModel) -> ChatModel:
        return TracedChat(chat, self)

    def close(self) -> None:
        if self._own is not None:
            self._own.shutdown()

    @property
    def content(self) -> bool:
        """Whether what people wrote goes into spans."""
        return self._content

    @contextmanager
    def span(self, name: str, attributes: says.Attributes, *, client: bool = False) -> Iterator[Span]:
        """A span below the one that is under way; an error ends it and goes on."""
        from opentelemetry.trace import use_span

        span = self.begun(name, attributes, client=client)
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False), self.failing(span):
                yield span
        finally:
            span.end()

    def begun(self, name: str, attributes: says.Attributes, *, client: bool = False) -> Span:
        """A span that its caller ends."""
        from opentelemetry.trace import SpanKind

        kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
        return self._tracer.start_span(name, kind=kind, attributes=attributes)

    @contextmanager
    def failing(self, span: Span) -> Iterator[None]:
        """Notes an error on the span: its kind, and its message only where content is wanted."""
        from opentelemetry.trace import Status, StatusCode

        try:
            yield
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR, str(error) if self._content else None))
            raise

    def ended(self, span: Span, status: str, attributes: says.Attributes) -> None:
        """What a stage gave; a stage that fell back is an error to whoever watches."""
        from opentelemetry.trace import Status, StatusCode

        span.set_attributes(attributes)
        if status == "fallback":
            span.set_status(Status(StatusCode.ERROR, "fallback"))

    def _watched(self, stages: Stages) -> Stages:
        from rerank.chain import Chain

        models = _models(stages)

        def watch(reranker: Reranker) -> Reranker:
            return TracedReranker(reranker, models.get(reranker.name, reranker.name), self)

        chain = stages.reranker
        return replace(
            stages,
            retriever=TracedRetriever(stages.retriever, stages.collection, self),
            reranker=chain.watched(watch) if isinstance(chain, Chain) else watch(chain),
            generator=TracedGenerator(stages.generator, self),
        )

    def _end(self, found: Answer | SearchResult) -> says.Attributes:
        if isinstance(found, Answer):
            return says.answered(found, self._content)
        return says.searched(found)


def _models(stages: Stages) -> dict[str, str]:
    """The model behind each rerank stage, as far as spec and settings tell."""
    from rerank.registry import STRATEGIES, strategy
    from rerank.spec import Spec

    try:
        spec = Spec.parse(stages.rerank)
    except SpecError:  # a user's own reranker
        return {}
    known, found = stages.fingerprints, dict[str, str]()
    usual = {
        "a chat model": known.get("llm", "").partition(" at ")[0],
        "a cross-encoder model": known.get("cross_encoder", ""),
        "the collection's encoder": known.get("encoder", ""),
    }
    for name, stage in zip(spec.names, spec.stages, strict=True):
        needs = strategy(stage.name).needs if stage.name in STRATEGIES else ""
        found[name] = str(dict(stage.options).get("model") or usual.get(needs) or name)
    return found


def _exporting(endpoint: str | None) -> OwnProvider:
    """A provider that sends spans over OTLP/HTTP; without an endpoint to where OTEL_EXPORTER_OTLP_* says."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    traces = None if endpoint is None else f"{endpoint.rstrip('/').removesuffix('/v1/traces')}/v1/traces"
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over the name that we give ourselves
    resource = (
        Resource.create().merge(Resource({"service.name": "winnow"})).merge(OTELResourceDetector().detect())
    )
    provider = TracerProvider(resource=resource, span_limits=SpanLimits(max_span_attributes=_MOST_ATTRIBUTES))
    exporter = OTLPSpanExporter(endpoint=traces, timeout=_EXPORT_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
