"""Judgements name documents as people do; a collection knows them by source and id."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from storage.records import Chunk


@dataclass(frozen=True, slots=True)
class SourceNames:
    """The name by which the judgements know a document: its id, its source, or the end of its source's path.

    `docs/guide.md` in the judgements is `/home/me/docs/guide.md` in the collection. A document that nobody
    judged goes by its source.
    """

    judged: AbstractSet[str]

    def __call__(self, chunk: Chunk) -> str:
        return self.name(chunk.document_id, chunk.source)

    def name(self, document_id: str, source: str) -> str:
        """The name of a document with that id and source."""
        return next((name for name in _candidates(document_id, source) if name in self.judged), source)


def _candidates(document_id: str, source: str) -> Iterator[str]:
    yield document_id
    yield source
    rest = source.replace("\\", "/")
    while "/" in rest:
        rest = rest.partition("/")[2]
        yield rest
    # a row of a JSONL file or table: `file.jsonl#key`
    if "#" in rest:
        yield rest.partition("#")[2]
