"""What an answerer is: winnow's own, or a user's object."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar, cast

from anyio import to_thread

from generation.citations import flagged, resolve
from storage.errors import BadInputError, StageError
from storage.records import Candidate, Generation, Outcome

T = TypeVar("T")

STAGE = "generation"


class Generator(Protocol):
    """Anything that answers a question from passages."""

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        """An answer from the candidates (best first), which its markers `[n]` count from 1.

        Raises WinnowError where there can be no answer, `ChatError` where a model's endpoint failed.
        """
        ...


class StreamingGenerator(Generator, Protocol):
    """An answerer that can show its text while it comes."""

    def stream(self, question: str, candidates: Sequence[Candidate]) -> AsyncIterator[str | Generation]:
        """Pieces of the text, then the whole Generation as the last item."""
        ...


async def streamed(
    generator: Generator, question: str, candidates: Sequence[Candidate]
) -> AsyncIterator[str | Generation]:
    """The stream of any answerer: one that cannot stream gives its whole text as one piece."""
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
    """Closes a stream when it is left early, so that a model's server can stop at once."""
    try:
        yield items
    finally:
        if aclose := getattr(items, "aclose", None):
            await aclose()


class UserGenerator(Protocol):
    """A user's own answerer: `generate(question, candidates)`, plain or async.

    It gives back a Generation, or the answer's text with markers `[n]`.
    """

    def generate(
        self, question: str, candidates: Sequence[Candidate], /
    ) -> Generation | str | Awaitable[Generation | str]: ...


def adapted(generator: Generator | UserGenerator) -> Generator:
    """A user's object as a Generator: a plain method runs in a worker thread, a text gets its citations.

    What streams already is one of winnow's own kind and stays as it is.
    """
    if isinstance(generator, Adapted) or inspect.isasyncgenfunction(getattr(generator, "stream", None)):
        return cast("Generator", generator)
    return Adapted(generator)


class Adapted:
    """A user's answerer behind the checks that winnow's own do not need."""

    def __init__(self, generator: Generator | UserGenerator) -> None:
        if not callable(getattr(generator, "generate", None)):
            raise BadInputError(
                f"{type(generator).__name__} is no generator: it has no method generate(question, candidates)"
            )
        self.name: str = str(getattr(generator, "name", "") or type(generator).__name__)
        self._generate = cast("Callable[[str, Sequence[Candidate]], object]", generator.generate)

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        started = time.perf_counter()
        # the user's object gets its own list: changing it in place must not disturb anybody else
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
