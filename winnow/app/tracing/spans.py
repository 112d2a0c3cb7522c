"""OpenTelemetry spans for questions; off unless the settings ask for them (the extra `otel`).

A question is one span. Below it are retrieval, every rerank stage and generation; calls of chat models are
below the stage that makes them. Spans go to the TracerProvider that the program has set or, where it has set
none (the shell), over OTLP/HTTP to the configured endpoint.

Importing OpenTelemetry's API takes about 20 ms after everything else, so it is imported only with tracing on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from generation.base import closing
from rerank.base import Reranker
from storage.chat import ChatModel, Completion, Message
from storage.errors import MissingDependencyError, SpecError
from storage.records import Answer, Candidate, Ranking
from winnow.app.stages import SearchResult, Stages
from winnow.app.tracing import attributes

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider as OwnProvider
    from opentelemetry.trace import Span, Tracer

    from winnow.app.setting_defaults import TracingSettings

T = TypeVar("T")
# Attributes of a step; True includes what people wrote.
Describe = Callable[[bool], attributes.Attributes]

# A collector that does not answer must not keep a person waiting at the end of a command.
_EXPORT_TIMEOUT_S = 3
# Fifty passages with text are more attributes than the usual limit (128) allows.
_MOST_ATTRIBUTES = 4_096


@dataclass(frozen=True, slots=True)
class TracedQuestion:
    """A question under way: the stages to run, and what to call with the result."""

    stages: Stages
    done: Callable[[Answer | SearchResult], None]


class Tracing:
    """Makes spans; without a tracer everything passes unchanged.

    `content` includes what people wrote. `own` is a provider that `close` may shut down.
    """

    def __init__(
        self, tracer: Tracer | None = None, *, content: bool = False, own: OwnProvider | None = None
    ) -> None:
        self._tracer = tracer
        self._content = content
        self._own = own

    @classmethod
    def load(cls, settings: TracingSettings) -> Tracing:
        """Tracing as configured. Raises MissingDependencyError where the extra `otel` is missing."""
        if not settings.enabled:
            return cls()
        from winnow.version import __version__

        try:
            from opentelemetry import trace
            from opentelemetry.trace import ProxyTracerProvider

            unset = isinstance(trace.get_tracer_provider(), ProxyTracerProvider)
            own = _exporting(settings.endpoint) if unset else None
        except ImportError as error:
            raise MissingDependencyError(
                f"tracing needs OpenTelemetry: {error}", way_out="pip install 'winnow-rag[otel]'"
            ) from error
        provider = own or trace.get_tracer_provider()
        return cls(provider.get_tracer("winnow", __version__), content=settings.content, own=own)

    @contextmanager
    def question(self, name: str, question: str, stages: Stages) -> Iterator[TracedQuestion]:
        """The span of a question, current while it is answered: `name` is `ask`, `search` or `replay`."""
        token = _CURRENT.set(self)
        try:
            with self.span(name, partial(attributes.asked, question, stages)) as end:
                yield TracedQuestion(
                    self._watched(stages), lambda result: end(partial(attributes.answered, result))
                )
        finally:
            _CURRENT.reset(token)

    @contextmanager
    def span(
        self, name: str, describe: Describe, *, client: bool = False
    ) -> Iterator[Callable[[Describe], None]]:
        """A span below the current one. Gives the function that adds the result's attributes.

        An error ends the span and is raised again.
        """
        if self._tracer is None:
            yield lambda _: None
            return
        span = self._start(name, describe, client)
        try:
            with self._current(span):
                yield partial(self._end, span)
        finally:
            span.end()

    def stream(
        self,
        items: AsyncIterator[str | T],
        name: str,
        describe: Describe,
        describe_last: Callable[[Any, bool], attributes.Attributes],
        *,
        client: bool = False,
    ) -> AsyncIterator[str | T]:
        """The pieces of a text and its last item, in one span.

        It is current while an item is fetched; between items the reader's own span is.
        """
        return items if self._tracer is None else self._spanned(items, name, describe, describe_last, client)

    def chat(self, chat: ChatModel) -> ChatModel:
        """The chat model with a span for each call."""
        return chat if self._tracer is None else TracedChat(chat, self)

    def close(self) -> None:
        """Send what is still waiting."""
        if self._own is not None:
            self._own.shutdown()

    def _start(self, name: str, describe: Describe, client: bool) -> Span:
        from opentelemetry.trace import SpanKind

        kind = SpanKind.CLIENT if client else SpanKind.INTERNAL
        return cast("Tracer", self._tracer).start_span(name, kind=kind, attributes=describe(self._content))

    @contextmanager
    def _current(self, span: Span) -> Iterator[None]:
        """Makes a span the current one. Notes an error's kind, and its message only with content."""
        from opentelemetry.trace import Status, StatusCode, use_span

        with use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR, str(error) if self._content else None))
                raise

    def _end(self, span: Span, describe: Describe) -> None:
        """Add the result's attributes; a stage that fell back is an error in the trace."""
        from opentelemetry.trace import Status, StatusCode

        found = describe(self._content)
        span.set_attributes(found)
        if found.get("winnow.status") == "fallback":
            span.set_status(Status(StatusCode.ERROR, "fallback"))

    async def _spanned(
        self,
        items: AsyncIterator[str | T],
        name: str,
        describe: Describe,
        describe_last: Callable[[Any, bool], attributes.Attributes],
        client: bool,
    ) -> AsyncIterator[str | T]:
        span = self._start(name, describe, client)
        try:
            async with closing(items):
                while True:
                    with self._current(span):
                        item = await anext(items, None)
                    if item is None:
                        return
                    if not isinstance(item, str):
                        self._end(span, partial(describe_last, item))
                    yield item
        finally:
            span.end()

    def _watched(self, stages: Stages) -> Stages:
        """The stages with a span around each rerank stage; the others have theirs where they are run."""
        if self._tracer is None:
            return stages
        from rerank.chain import Chain

        models, chain = _models(stages), stages.reranker

        def watch(reranker: Reranker) -> Reranker:
            return TracedReranker(reranker, models.get(reranker.name, reranker.name), self)

        return replace(stages, reranker=chain.watched(watch) if isinstance(chain, Chain) else watch(chain))


_OFF = Tracing()
_CURRENT: ContextVar[Tracing] = ContextVar("tracing", default=_OFF)


def current() -> Tracing:
    """The tracing of the question under way; outside of one, no spans are made."""
    return _CURRENT.get()


class TracedReranker:
    """A Reranker with a span for each ranking."""

    def __init__(self, reranker: Reranker, model: str, tracing: Tracing) -> None:
        self.name = reranker.name
        self._reranker = reranker
        self._model = model
        self._tracing = tracing

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        given = partial(attributes.reranking, query, candidates, top_k, self._model)
        with self._tracing.span(f"rerank {self.name}", given) as end:
            ranking = await self._reranker.rerank(query, candidates, top_k)
            end(partial(attributes.reranked, self.name, ranking))
            return ranking


class TracedChat:
    """A ChatModel with a span for each call."""

    def __init__(self, chat: ChatModel, tracing: Tracing) -> None:
        self._chat = chat
        self._tracing = tracing

    @property
    def model(self) -> str:
        return self._chat.model

    async def complete(self, messages: Sequence[Message], *, max_tokens: int, **wishes: Any) -> Completion:
        given = partial(attributes.calling, self.model, messages, max_tokens)
        with self._tracing.span(f"chat {self.model}", given, client=True) as end:
            completion = await self._chat.complete(messages, max_tokens=max_tokens, **wishes)
            end(partial(attributes.called, completion))
            return completion

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> AsyncIterator[str | Completion]:
        pieces = self._chat.stream(messages, max_tokens=max_tokens)
        given = partial(attributes.calling, self.model, messages, max_tokens)
        return self._tracing.stream(pieces, f"chat {self.model}", given, attributes.called, client=True)


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
    """A provider that sends spans over OTLP/HTTP; without an endpoint, to where OTEL_EXPORTER_OTLP_* says."""
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
