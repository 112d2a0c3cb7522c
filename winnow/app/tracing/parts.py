"""The parts of a question, watched: each does what it did before, within a span."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from generation.base import Generator, closing, streamed
from rerank.base import Reranker
from retrieval.base import Retriever
from storage.chat import ChatModel, Completion, Message
from storage.records import Candidate, Generation, Ranking, Retrieval
from winnow.app.tracing import attributes as says

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from winnow.app.tracing.spans import Spans

T = TypeVar("T")


class TracedRetriever:
    """A Retriever, each search a span."""

    def __init__(self, retriever: Retriever, collection: str, spans: Spans) -> None:
        self._retriever = retriever
        self._collection = collection
        self._spans = spans

    async def search(self, query: str, top_k: int) -> Retrieval:
        content = self._spans.content
        given = says.retrieving(query, self._collection, top_k, content)
        with self._spans.span(f"retrieval {self._collection}", given) as span:
            found = await self._retriever.search(query, top_k)
            self._spans.ended(span, found.outcome.status, says.retrieved(found, content))
            return found


class TracedReranker:
    """A Reranker, each ranking a span."""

    def __init__(self, reranker: Reranker, model: str, spans: Spans) -> None:
        self.name = reranker.name
        self._reranker = reranker
        self._model = model
        self._spans = spans

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        content = self._spans.content
        given = says.reranking(query, candidates, top_k, self._model, content)
        with self._spans.span(f"rerank {self.name}", given) as span:
            ranking = await self._reranker.rerank(query, candidates, top_k)
            self._spans.ended(span, ranking.outcome.status, says.reranked(self.name, ranking, content))
            return ranking


class TracedGenerator:
    """A StreamingGenerator, each answer a span."""

    def __init__(self, generator: Generator, spans: Spans) -> None:
        self._generator = generator
        self._spans = spans
        self.fingerprint = getattr(generator, "fingerprint", None)  # of its prompt, where it has one

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        with self._spans.span(
            "generation", says.generating(question, candidates, self._spans.content)
        ) as span:
            found = await self._generator.generate(question, candidates)
            self._spans.ended(span, found.outcome.status, says.generated(found, self._spans.content))
            return found

    async def stream(self, question: str, candidates: Sequence[Candidate]) -> AsyncIterator[str | Generation]:
        content = self._spans.content
        span = self._spans.begun("generation", says.generating(question, candidates, content))
        pieces = streamed(self._generator, question, candidates)
        async with closing(_within(pieces, span, self._spans)) as items:
            async for item in items:
                if isinstance(item, Generation):
                    self._spans.ended(span, item.outcome.status, says.generated(item, content))
                yield item


class TracedChat:
    """A ChatModel, each of its calls a span."""

    def __init__(self, chat: ChatModel, spans: Spans) -> None:
        self._chat = chat
        self._spans = spans

    @property
    def model(self) -> str:
        return self._chat.model

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        schema: Mapping[str, object] | None = None,
        top_logprobs: int = 0,
    ) -> Completion:
        content = self._spans.content
        given = says.calling(self.model, messages, max_tokens, content)
        with self._spans.span(f"chat {self.model}", given, client=True) as span:
            completion = await self._chat.complete(
                messages, max_tokens=max_tokens, schema=schema, top_logprobs=top_logprobs
            )
            span.set_attributes(says.called(completion, content))
            return completion

    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int
    ) -> AsyncIterator[str | Completion]:
        content = self._spans.content
        given = says.calling(self.model, messages, max_tokens, content)
        span = self._spans.begun(f"chat {self.model}", given, client=True)
        pieces = self._chat.stream(messages, max_tokens=max_tokens)
        async with closing(_within(pieces, span, self._spans)) as items:
            async for item in items:
                if isinstance(item, Completion):
                    span.set_attributes(says.called(item, content))
                yield item


async def _within(items: AsyncIterator[T], span: Span, spans: Spans) -> AsyncIterator[T]:
    """The items of a stream, each fetched with the span under way; between them the reader's own span is.

    The span ends with the stream.
    """
    from opentelemetry.trace import use_span

    try:
        async with closing(items):
            while True:
                with (
                    use_span(span, record_exception=False, set_status_on_exception=False),
                    spans.failing(span),
                ):
                    try:
                        item = await anext(items)
                    except StopAsyncIteration:
                        return
                yield item
    finally:
        span.end()
