"""`RAGPipeline`, the class that people import: ingest, ask, search, look at the log.

There is one implementation, async, in `winnow.app.asking`. It runs in the portal's loop: the synchronous
methods wait for it, the `a…` methods are awaited.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import anyio.to_thread

from generation.base import closing
from storage.errors import BadInputError, LogError, NotFoundError, WinnowError
from storage.log.records import EVERYBODY, LogReader
from storage.reasons import Reason
from storage.records import Answer
from winnow.app import asking, portal
from winnow.app.asked import Asked, AskWishes, SearchWishes
from winnow.app.conversation import Conversation, continued, conversation
from winnow.app.setting_defaults import EngineName
from winnow.app.settings import Settings
from winnow.app.stages import SearchResult, Stages
from winnow.app.wiring import Wiring, ready_chain

if TYPE_CHECKING:
    from generation.base import Generator as Answerer
    from ingest.loaders.base import Columns
    from ingest.report import IngestReport, Progress
    from rerank.base import Reranker
    from retrieval.base import Retriever
    from winnow.log import Log


# Wishes that a pipeline made of ready parts can fulfil.
_OF_ANY = {"rerank", "history", "follow_up"}


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
        """Make the pipeline that `settings` (default: those of this folder and environment) describe."""
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
        question: str | Asked,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **wishes: Unpack[AskWishes],
    ) -> Answer:
        """Retrieve (50), rerank (to 5), answer, log.

        The wishes are those of `winnow.Asked`, which may also be given ready in place of the question:
        `rerank`, `collection`, `where`, `answerer`, and `history` or `follow_up` for a follow-up. Raises
        WinnowError if no answer is possible; what merely degraded is in `Answer.stages` and `.warnings`.
        """
        return portal.call(self._ask, Asked.of(question, top_k_retrieve, top_k_rerank, **wishes))

    async def aask(
        self,
        question: str | Asked,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **wishes: Unpack[AskWishes],
    ) -> Answer:
        """`ask`, awaited."""
        return await portal.acall(self._ask, Asked.of(question, top_k_retrieve, top_k_rerank, **wishes))

    def stream(
        self,
        question: str | Asked,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **wishes: Unpack[AskWishes],
    ) -> Generator[str | Answer]:
        """Like `ask`, but yields pieces of the text as they come, then the whole, logged Answer.

        The text of an answerer that cannot stream (the extractive one) is one piece. Nothing happens before
        the first item is requested. Leaving early (`close()`, or dropping the generator) closes the
        connection to the model; an answer cut short this way is not logged.
        """
        return portal.stream(self._stream, Asked.of(question, top_k_retrieve, top_k_rerank, **wishes))

    def astream(
        self,
        question: str | Asked,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **wishes: Unpack[AskWishes],
    ) -> AsyncGenerator[str | Answer]:
        """`stream`, for `async for`. Close it with `aclose()` (`contextlib.aclosing`) when leaving early."""
        return portal.astream(self._stream, Asked.of(question, top_k_retrieve, top_k_rerank, **wishes))

    def __call__(self, question: str | Asked, **wishes: Any) -> str:
        """The answer's text alone; takes the arguments of `ask`."""
        return self.ask(question, **wishes).text

    def search(
        self,
        question: str | Asked,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **wishes: Unpack[SearchWishes],
    ) -> SearchResult:
        """Retrieve and rerank, without an answer and without a log entry."""
        return portal.call(self._search, Asked.of(question, top_k_retrieve, top_k_rerank, **wishes))

    async def asearch(
        self,
        question: str | Asked,
        top_k_retrieve: int | None = None,
        top_k_rerank: int | None = None,
        **wishes: Unpack[SearchWishes],
    ) -> SearchResult:
        """`search`, awaited."""
        return await portal.acall(self._search, Asked.of(question, top_k_retrieve, top_k_rerank, **wishes))

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
        everything again (without paths: all that the manifest knows), while the old collection answers until
        the new one takes its place. With `columns` each line of a CSV, TSV or JSONL is a document.
        `engine="ray"` works on a Ray cluster and writes to a Qdrant server.
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
        """The log: get, list, search, feedback, replay, compare, export … Raises LogError if it is off."""
        return self.log_of(EVERYBODY)

    def log_of(self, reader: LogReader) -> Log:
        """The log as a reader may see it."""
        from winnow.log import Log

        if not self.settings.log.enabled:
            raise LogError("the log is switched off", way_out="Set log.enabled = true.")
        return Log(self._wiring, reader=reader)

    @property
    def wiring(self) -> Wiring:
        """The parts behind this pipeline, for tools that need one of them."""
        return self._wiring

    def continued(self, asked: Asked) -> Asked:
        """Return a follow-up with the filter, chain and limits of the answer that it follows. Blocking.

        What it chooses itself holds. Raises NotFoundError, LogError.
        """
        if not asked.follow_up or asked.history or self._ready is not None:
            return asked
        return continued(asked, self.log_of(asked.reader), asked.collection or self.settings.collection)

    def warm(self) -> None:
        """Load models and open the collection now, so that the first question need not wait for them.

        A collection that does not exist yet is no error. Raises ModelError, StoreError.
        """
        if self._ready is None:
            self._wiring.present_encoders(self.settings.collection).dense.encode_query("warm")
            with suppress(NotFoundError):
                self._wiring.stages(Asked("warm"))
            self._wiring.load_readers(self.settings.rerank.spec)

    def close(self) -> None:
        """Flush and close collections and log. A second call does nothing."""
        self._closed = True
        self._wiring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _ask(self, asked: Asked) -> Answer:
        asked, follows, stages = await self._prepared(asked)
        with self._wiring.tracing.question("ask", asked.question, stages) as traced:
            answer = await asking.ask(asked, traced.stages, follows)
            traced.done(answer)
        return await self._logged(answer, asked.reader)

    async def _stream(self, asked: Asked) -> AsyncIterator[str | Answer]:
        asked, follows, stages = await self._prepared(asked)
        with self._wiring.tracing.question("ask", asked.question, stages) as traced:
            async with closing(asking.stream(asked, traced.stages, follows)) as items:
                async for item in items:
                    if isinstance(item, Answer):
                        traced.done(item)
                        item = await self._logged(item, asked.reader)
                    yield item

    async def _search(self, asked: Asked) -> SearchResult:
        if unused := sorted(asked.wishes & {"answerer", "history", "follow_up"}):
            raise BadInputError(
                f"a search gives no answer, so it takes no {' and no '.join(unused)}", way_out="Use ask()."
            )
        asked, _, stages = await self._prepared(asked)
        with self._wiring.tracing.question("search", asked.question, stages) as traced:
            result = await asking.search(asked, traced.stages)
            traced.done(result)
        return result

    async def _prepared(self, asked: Asked) -> tuple[Asked, Conversation | None, Stages]:
        """The question with the settings' limits, the conversation that it continues, and its stages."""
        if self._closed:  # reading the log would open it again
            raise BadInputError("this pipeline is closed", way_out="Make a new one.")
        if asked.follow_up:
            asked = await anyio.to_thread.run_sync(self.continued, asked)
        limits = self.settings.retrieval.top_k, self.settings.rerank.top_k
        asked = replace(Asked(asked.question, *limits), **asked.given)
        follows = None
        if asked.history or asked.follow_up:
            own = self._ready.collection if self._ready else self.settings.collection
            follows = await anyio.to_thread.run_sync(
                lambda: conversation(asked, lambda: self.log_of(asked.reader), asked.collection or own)
            )
        if self._ready is None:
            # models load on first use, which blocks
            return asked, follows, await anyio.to_thread.run_sync(lambda: self._wiring.stages(asked))
        return asked, follows, self._ready_stages(self._ready, asked)

    def _ready_stages(self, ready: Stages, asked: Asked) -> Stages:
        hidden = asked.within is not None and asked.within.restricted
        if hidden or asked.wishes - _OF_ANY or isinstance(asked.rerank, str):
            raise BadInputError(
                "this pipeline has ready parts: there is no collection, spec, answerer or filter to choose",
                way_out="Give rerank= a ready reranker, or use RAGPipeline.from_settings().",
            )
        if asked.rerank is None:
            return ready
        chain = ready_chain(asked.rerank, self.settings)
        return replace(ready, reranker=chain, rerank=chain.name)

    async def _logged(self, answer: Answer, reader: LogReader) -> Answer:
        """Save the answer; a log that cannot be written is a warning on the answer, not a lost answer."""
        if not self.settings.logging:
            return answer
        try:
            await anyio.to_thread.run_sync(lambda: self._wiring.answers.save(answer, reader=reader))
        except WinnowError as error:
            why = f"{error}. {error.way_out}" if error.way_out else str(error)
            unlogged = Reason("winnow.app.not-logged", error=why)
            return replace(answer, warnings=(*answer.warnings, unlogged))
        return answer
