"""The contract of an answerer, and the adapter for a user's own object."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar, cast

from anyio import to_thread

from generation.citations import flagged, resolve
from storage.errors import BadInputError, StageError
from storage.records import Candidate, Generation, Outcome

T = TypeVar("T")

STAGE = "generation"


class Generator(Protocol):
    """Answers a question from passages.

    One that can stream has a method `stream` of the same parameters, an async generator of pieces of the text
    with the whole Generation as its last item.
    """

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        """An answer from the candidates (best first); its markers `[n]` count them from 1.

        Raises WinnowError where no answer is possible, `ChatError` where a model's endpoint failed.
        """
        ...


async def streamed(
    generator: Generator, question: str, candidates: Sequence[Candidate]
) -> AsyncIterator[str | Generation]:
    """Stream any answerer; one that cannot stream gives its whole text as one piece."""
    stream = getattr(generator, "stream", None)
    if stream is None:
        generation = await generator.generate(question, candidates)
        yield generation.text
        yield generation
        return
    async with closing(stream(question, candidates)) as items:
        async for item in items:
            yield item


@asynccontextmanager
async def closing(items: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close a stream that is left early, so that a model's server can stop at once."""
    try:
        yield items
    finally:
        if aclose := getattr(items, "aclose", None):
            await aclose()


def adapted(generator: Any) -> Generator:
    """Adapt a user's object with `generate(question, candidates)`, plain or async.

    The method returns a Generation, or the answer's text with markers `[n]`, which are then resolved. A plain
    one runs in a worker thread. An object that streams is one of winnow's own and stays as it is.
    """
    streams = inspect.isasyncgenfunction(getattr(generator, "stream", None))
    is_ours = streams or isinstance(generator, AdaptedGenerator)
    return cast("Generator", generator) if is_ours else AdaptedGenerator(generator)


class AdaptedGenerator:
    """A user's answerer, whose results are checked."""

    def __init__(self, generator: Any) -> None:
        if not callable(getattr(generator, "generate", None)):
            raise BadInputError(
                f"{type(generator).__name__} is no generator: it has no method generate(question, candidates)"
            )
        self.name: str = str(getattr(generator, "name", "") or type(generator).__name__)
        self._generate = cast("Callable[[str, Sequence[Candidate]], object]", generator.generate)

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        started = time.perf_counter()
        # a list of its own, which the user's object may change in place
        if inspect.iscoroutinefunction(self._generate):
            result = await self._generate(question, list(candidates))
        else:
            result = await to_thread.run_sync(self._generate, question, list(candidates))
            if inspect.isawaitable(result):
                result = await result
        if isinstance(result, Generation):
            return result
        if isinstance(result, str):
            return self._cited(result, candidates, (time.perf_counter() - started) * 1000)
        raise StageError(
            f"the generator {self.name} gave back a {type(result).__name__}",
            way_out="generate() must return a Generation, or the answer's text.",
        )

    def _cited(self, text: str, candidates: Sequence[Candidate], ms: float) -> Generation:
        resolved = resolve(text, candidates)
        return Generation(
            text=text,
            outcome=flagged(Outcome(STAGE, ms=ms), resolved.complaint),
            answerer=self.name,
            citations=resolved.citations,
            answered=bool(text.strip()),
        )
