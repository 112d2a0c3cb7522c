"""`RAGPipeline`: what people import. Ingest, ask, search, look at the log.

There is one implementation, async, in `winnow.app.asking`; the synchronous methods hop to the portal's loop
and wait, the `a…` methods hop there and are awaited.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

import anyio.to_thread

from generation.base import closing
from storage.errors import BadInputError, LogError, NotFoundError, WinnowError
from storage.records import Answer
from winnow.app import asking, portal
from winnow.app.choices import AskChoices, SearchChoices
from winnow.app.conversation import Conversation, conversation
from winnow.app.sections import EngineName
from winnow.app.settings import Settings
from winnow.app.stages import SearchResult, Stages
from winnow.app.wiring import Wiring, ready_chain

if TYPE_CHECKING:
    from generation.base import Generator as Answerer
    from ingest.loaders.base import Columns
    from ingest.report import IngestReport, Progress
    from rerank.base import Reranker
    from retrieval.base import Retriever
    from retrieval.encoders.encoder import ForwardModel
    from winnow.log import Log


# What can be chosen for a question whatever the pipeline is made of.
_OF_ANY = ("rerank", "history", "follow_up")


class RAGPipeline:
    """Questions in, cited answers out, everything logged.

    `RAGPipeline.from_settings()` wires the default. From ready parts it takes a retriever
    (`search(query, top_k)`), a reranker (`rerank(query, candidates, top_k)`) and a generator
    (`generate(question, candidates)`): see the Protocols in `retrieval.base`, `rerank.base` and
    `generation.base`; synchronous objects work too. Use it as a context manager, or call `close()`.
    """

    _ready: Stages | None

    def __init__(
        self,
        retriever: Retriever | Any,
        reranker: Reranker | Any,
        generator: Answerer | Any,
        *,
        collection: str = "custom",
        settings: Settings | None = None,
    ) -> None:
        from generation.base import adapted as adapted_generator
        from retrieval.base import adapted as adapted_retriever

        self._assign(settings or Settings.load())
        chain = ready_chain(reranker, self.settings)
        self._ready = Stages(
            adapted_retriever(retriever), chain, adapted_generator(generator), collection, chain.name
        )

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> Self:
        """The pipeline that `settings` describe; without them those of this folder and environment."""
        pipeline = cls.__new__(cls)
        pipeline._assign(settings or Settings.load())
        return pipeline

    def _assign(self, settings: Settings) -> None:
        self.settings = settings
        self._wiring = Wiring(settings)
        self._ready = None
        self._closed = False

    def ask(
        self,
        question: str,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **choices: Unpack[AskChoices],
    ) -> Answer:
        """Retrieve (50), rerank (to 5), answer, log.

        `choices` are those of `AskChoices`: `rerank`, `collection`, `where`, `answerer`, and `history` or
        `follow_up` for a question that follows others. Raises WinnowError where no answer is possible; what
        merely degraded is in `Answer.stages` and `Answer.warnings`.
        """
        return portal.call(self._ask, question, top_k_retrieve, top_k_rerank, choices)

    async def aask(
        self,
        question: str,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **choices: Unpack[AskChoices],
    ) -> Answer:
        """`ask`, awaited."""
        return await portal.acall(self._ask, question, top_k_retrieve, top_k_rerank, choices)

    def stream(
        self,
        question: str,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **choices: Unpack[AskChoices],
    ) -> Generator[str | Answer]:
        """As `ask`: pieces of the text while they come, then the whole, logged Answer as the last item.

        The text of an answerer that cannot stream (the extractive one) is one piece. Nothing happens before
        the first item is asked for. Leaving early (`close()`, or letting go of it) closes the connection to
        the model; an answer that was cut short so is not logged.
        """
        return portal.stream(self._stream, question, top_k_retrieve, top_k_rerank, choices)

    def astream(
        self,
        question: str,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **choices: Unpack[AskChoices],
    ) -> AsyncGenerator[str | Answer]:
        """`stream`, for `async for`. Left early, it is closed by `aclose()` (`contextlib.aclosing`)."""
        return portal.astream(self._stream, question, top_k_retrieve, top_k_rerank, choices)

    def __call__(self, question: str, **options: Any) -> str:
        """The answer's text alone; takes what `ask` takes."""
        return self.ask(question, **options).text

    def search(
        self,
        question: str,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **choices: Unpack[SearchChoices],
    ) -> SearchResult:
        """Retrieve and rerank, without an answer and without a log entry."""
        return portal.call(self._search, question, top_k_retrieve, top_k_rerank, choices)

    async def asearch(
        self,
        question: str,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **choices: Unpack[SearchChoices],
    ) -> SearchResult:
        """`search`, awaited."""
        return await portal.acall(self._search, question, top_k_retrieve, top_k_rerank, choices)

    def ingest(
        self,
        paths: str | Path | Sequence[str | Path] = (),
        *,
        collection: str | None = None,
        progress: Callable[[Progress], None] | None = None,
        prune: bool = False,
        reindex: bool = False,
        dry_run: bool = False,
        columns: Columns | None = None,
        engine: EngineName | None = None,
    ) -> IngestReport:
        """Bring files and trees into a collection; unchanged ones cost nothing.

        One bad document never stops the run: the report says which were refused and why. `prune` removes
        documents below the paths whose files are gone; `dry_run` only estimates. `reindex` reads and encodes
        everything again, without paths all that the manifest knows: beside the old collection, which answers
        until the new one takes its place. With `columns` each line of a CSV, TSV or JSONL is a document of
        its own. `engine="ray"` works on a Ray cluster and writes to a Qdrant server.
        """
        from winnow.upkeep.ingesting import ingest as run
        from winnow.upkeep.rebuild import IngestChoices

        several = [paths] if isinstance(paths, str | Path) else list(paths)
        choices = IngestChoices(
            prune=prune, reindex=reindex, dry_run=dry_run, columns=columns, engine=engine, progress=progress
        )
        return run(self._wiring, collection or self.settings.collection, several, choices)

    @property
    def log(self) -> Log:
        """The log: get, list, search, feedback, replay, compare, export … Raises LogError where it is off."""
        from winnow.log import Log

        if not self.settings.log.enabled:
            raise LogError("the log is switched off", way_out="Set log.enabled = true.")
        return Log(self._wiring)

    @property
    def wiring(self) -> Wiring:
        """The parts behind this pipeline, for tools that need one of them."""
        return self._wiring

    def warm(self, *, through: Callable[[ForwardModel], ForwardModel] | None = None) -> None:
        """Load models and open the collection now, so that the first question need not wait for them.

        `through` wraps the encoder's model. A collection that does not exist yet is none to open. Raises
        ModelError, StoreError.
        """
        if self._ready is None:
            if through is not None:
                self._wiring.encoder.through(through)
            self._wiring.encoder.encode_query("warm")
            with suppress(NotFoundError):
                self._wiring.stages({})

    def close(self) -> None:
        """Flush and let go of collections and log. Called twice, it does nothing."""
        self._closed = True
        self._wiring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _ask(
        self, question: str, retrieve: int | None, keep: int | None, choices: AskChoices
    ) -> Answer:
        retrieve, keep = self._limits(retrieve, keep)
        follows = await self._conversation(choices)
        stages = await self._stages(choices, keep)
        with self._wiring.tracing.question("ask", question, stages) as traced:
            answer = await asking.ask(
                question, traced.stages, top_k_retrieve=retrieve, top_k_rerank=keep, conversation=follows
            )
            traced.done(answer)
        return await self._logged(answer)

    async def _stream(
        self, question: str, retrieve: int | None, keep: int | None, choices: AskChoices
    ) -> AsyncIterator[str | Answer]:
        retrieve, keep = self._limits(retrieve, keep)
        follows = await self._conversation(choices)
        stages = await self._stages(choices, keep)
        with self._wiring.tracing.question("ask", question, stages) as traced:
            items = asking.stream(
                question, traced.stages, top_k_retrieve=retrieve, top_k_rerank=keep, conversation=follows
            )
            async with closing(items):
                async for item in items:
                    if isinstance(item, Answer):
                        traced.done(item)
                        item = await self._logged(item)
                    yield item

    async def _conversation(self, choices: AskChoices) -> Conversation | None:
        """What the question follows, read from the log where it is named by an id."""
        self._check_open()  # reading the log would open it again
        history, follow_up = choices.get("history"), choices.get("follow_up")
        if not (history or follow_up):
            return None
        own = self._ready.collection if self._ready else self.settings.collection
        asked = choices.get("collection") or own
        return await anyio.to_thread.run_sync(
            lambda: conversation(history, follow_up, lambda: self.log, asked)
        )

    async def _search(
        self, question: str, retrieve: int | None, keep: int | None, choices: SearchChoices
    ) -> SearchResult:
        retrieve, keep = self._limits(retrieve, keep)
        stages = await self._stages(cast("AskChoices", choices), keep)  # those of ask, but for the answerer
        with self._wiring.tracing.question("search", question, stages) as traced:
            found = await asking.search(question, traced.stages, top_k_retrieve=retrieve, top_k_rerank=keep)
            traced.done(found)
        return found

    def _limits(self, retrieve: int | None, keep: int | None) -> tuple[int, int]:
        return (
            self.settings.retrieval.top_k if retrieve is None else retrieve,
            self.settings.rerank.top_k if keep is None else keep,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise BadInputError("this pipeline is closed", way_out="Make a new one.")

    async def _stages(self, choices: AskChoices, keep: int) -> Stages:
        self._check_open()
        if self._ready is None:
            # models load on first use, which blocks
            return await anyio.to_thread.run_sync(lambda: self._wiring.stages(choices, top_k=keep))
        rerank = choices.get("rerank")
        others = [name for name, given in choices.items() if given is not None and name not in _OF_ANY]
        if others or isinstance(rerank, str):
            raise BadInputError(
                "this pipeline has ready parts: there is no collection, spec, answerer or filter to choose",
                way_out="Give rerank= a ready reranker, or use RAGPipeline.from_settings().",
            )
        if rerank is None:
            return self._ready
        chain = ready_chain(rerank, self.settings)
        return replace(self._ready, reranker=chain, rerank=chain.name)

    async def _logged(self, answer: Answer) -> Answer:
        """The answer, saved; a log that cannot be written is a warning on the answer, not a lost answer."""
        if not self.settings.logging:
            return answer
        try:
            await anyio.to_thread.run_sync(lambda: self._wiring.answers.save(answer))
        except WinnowError as error:
            return replace(answer, warnings=(*answer.warnings, f"this answer is not in the log: {error}"))
        return answer
