"""The pipeline as one client may see it. Routes reach passages, documents and answers through this alone.

What is hidden is not there: a hidden collection, document or answer is reported like one that never was.
So every list, count and suggestion is made of what may be seen. `tests/winnow/server/visibility` tries
to get round it, and holds that no route asks, or reads log, manifest or store, by another way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from storage.errors import NotFoundError
from storage.manifest.manifest import PENDING, DocumentCounts, DocumentFilter
from winnow.app.conversation import LAST, another_chain
from winnow.app.setting_defaults import CHAT_PARTS
from winnow.app.visibility import Visibility, VisiblePassages
from winnow.server.errors import NotAllowedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from storage.manifest.manifest import DocumentRow
    from storage.qdrant.contract import CollectionStore
    from storage.records import Answer
    from winnow.app.asked import Asked
    from winnow.app.stages import SearchResult
    from winnow.app.wiring import Wiring
    from winnow.log import Log
    from winnow.pipeline import RAGPipeline
    from winnow.server.policy import Policy


@dataclass(frozen=True, slots=True)
class Visible:
    """A pipeline within the rights of a token."""

    pipeline: RAGPipeline
    rights: Visibility

    @property
    def log(self) -> Log:
        """The answers that may be seen. Raises LogError if the log is off."""
        return self.pipeline.log_of(self.rights.reader)

    @property
    def wiring(self) -> Wiring:
        return self.pipeline.wiring

    @property
    def default(self) -> str:
        """The collection of a request that names none: the settings', or the first that may be seen."""
        own, seen = self.pipeline.settings.collection, self.rights.collections
        return own if seen is None or own in seen or not seen else seen[0]

    def asked(self, asked: Asked, policy: Policy) -> Asked:
        """Return a question held to the rights; a follow-up with the choices that it inherits. Blocking.

        A chain or division that a request may not choose is not inherited: the settings' own takes its place,
        and of a chain the answer says so. Raises NotFoundError for an answer that is not there.
        """
        # the settings' own collection stays unnamed: a pipeline of ready parts takes no name
        default = self.default if self.rights.restricted else None
        name = asked.collection or (default if asked.follow_up in (None, LAST) else None)
        held = replace(asked, collection=name, within=self.rights)
        chosen = self.pipeline.continued(held)
        if asked.rerank is None and isinstance(chosen.rerank, str) and not policy.allows(chosen.rerank):
            own = self.pipeline.settings.rerank.spec
            chosen = replace(chosen, rerank=own, noted=another_chain(chosen.rerank))
        if asked.parts is None and chosen.parts in CHAT_PARTS and not policy.asks_chat:
            chosen = replace(chosen, parts=None)
        return replace(chosen, collection=chosen.collection or default)

    async def ask(self, asked: Asked) -> Answer:
        """Answer a question within the rights, whatever it says itself."""
        return await self.pipeline.aask(replace(asked, within=self.rights))

    async def search(self, asked: Asked) -> SearchResult:
        """Find passages within the rights."""
        return await self.pipeline.asearch(replace(asked, within=self.rights))

    def stream(self, asked: Asked) -> AsyncGenerator[str | Answer]:
        """Answer within the rights, in pieces: see `RAGPipeline.astream`."""
        return self.pipeline.astream(replace(asked, within=self.rights))

    def names(self) -> list[str]:
        """Return the collections that may be seen."""
        return self.rights.seen(self.wiring.stores.names())

    def existing(self, name: str | None) -> str:
        """Return a collection's name (default: `default`). Raises NotFoundError.

        Only names of existing collections ever become paths.
        """
        name = name or self.default
        if name not in self.rights.seen([name]) or not self.wiring.stores.exists(name):
            self.rights.check(name, self.wiring.stores.names())
        return name

    def passages(self, name: str) -> CollectionStore | VisiblePassages:
        """Open a collection that exists. Raises FingerprintMismatchError, StoreError."""
        return self.rights.narrowed(self.wiring.collection(name))

    def counts(self, name: str) -> DocumentCounts:
        """Count a collection's documents and passages."""
        counts, seen = self.wiring.manifest(name).counts(), self._seen(name)
        if seen is None:
            return counts
        return DocumentCounts({"ingested": len(seen)} if seen else {}, 0, sum(seen.values()))

    def last_run(self, name: str) -> str | None:
        """Return the report of the latest ingest run (JSON); None for who sees a part: it names all files."""
        return self.wiring.manifest(name).last_run() if self.rights.where is None else None

    def documents(
        self, name: str, where: DocumentFilter, *, offset: int, limit: int
    ) -> tuple[int, list[DocumentRow]]:
        """Return how many documents match, and a page of them, by path."""
        manifest, seen = self.wiring.manifest(name), self._seen(name)
        if seen is None:
            return manifest.count(where), manifest.listed(where, limit=limit, offset=offset)
        matching = [one for one in manifest.ids(where) if one in seen]
        if where.warned:  # of a document that is seen in part, a warning may be about the rest
            warned = self._narrowed(name, [*manifest.get_many(matching).values()])
            matching = [row.id for row in warned if row.warnings]
        page = matching[offset : offset + limit]
        rows = manifest.get_many(page)
        return len(matching), self._narrowed(name, [rows[one] for one in page if one in rows])

    def document(self, name: str, document_id: str) -> DocumentRow:
        """Return a document. Raises NotFoundError."""
        row = self.wiring.manifest(name).get(document_id)
        [row] = self._narrowed(name, [row]) if row is not None and row.status != PENDING else [None]
        if row is None or not (row.chunk_ids or self.rights.where is None):
            raise NotFoundError(
                f"there is no document {document_id!r} in {name!r}", way_out="See /v1/documents."
            )
        return row

    def whole(self, name: str, row: DocumentRow) -> bool:
        """Tell whether every passage of a document may be seen."""
        stored = self.wiring.manifest(name).get(row.id)
        return stored is not None and len(stored.chunk_ids) == len(row.chunk_ids)

    def check_may_write(self, name: str) -> None:
        """Raise for changes to a collection that is hidden, or seen in part: they would show or hit the rest.

        Raises NotFoundError, NotAllowedError.
        """
        if self.rights.collections is not None and name not in self.rights.collections:
            raise NotAllowedError(
                f"the token may not change the collection {name!r}",
                way_out=f"It may change: {', '.join(self.rights.collections) or 'none'}.",
            )
        if self.rights.where is not None:
            raise NotAllowedError(
                "the token sees a part of the collection, so it may not change it",
                way_out="Use one without a filter.",
            )

    def check_sees_all(self) -> None:
        """Raise NotAllowedError for who sees a part: what follows is about the whole server."""
        if self.rights.restricted:
            raise NotAllowedError(
                "this is about the whole server, of which the token sees a part",
                way_out="Use one without collections and filter.",
            )

    def _seen(self, name: str) -> Mapping[str, int] | None:
        """Return the number of visible passages by document; None where all may be seen."""
        passages = self.passages(name) if self.rights.where is not None else None
        return passages.by_document if isinstance(passages, VisiblePassages) else None

    def _narrowed(self, name: str, rows: Sequence[DocumentRow]) -> list[DocumentRow]:
        """Return documents with those of their passages alone that may be seen.

        Where some are hidden, so is what is said of the whole file: its warnings, and its hash, by which a
        guess at the rest could be checked.
        """
        if self.rights.where is None:
            return list(rows)
        ids = [one for row in rows for one in row.chunk_ids]
        seen = {chunk.id for chunk in self.passages(name).passages(ids)}
        return [_narrowed(row, tuple(one for one in row.chunk_ids if one in seen)) for row in rows]


def _narrowed(row: DocumentRow, seen: tuple[str, ...]) -> DocumentRow:
    return row if seen == row.chunk_ids else replace(row, chunk_ids=seen, content_hash="", warnings=())
