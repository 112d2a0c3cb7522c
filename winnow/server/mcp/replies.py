"""Replies of the tools: the names of the wire model, cut to what an agent's context has room for.

The whole of an answer, with all its candidates, is the resource at its `uri`.
"""

from __future__ import annotations

from typing import Self
from urllib.parse import quote

from pydantic import BaseModel, Field

from ingest.report import STATUSES, IngestReport
from storage.manifest.manifest import DocumentRow
from storage.records import Answer, Candidate, Status
from winnow.app.json_model.base import Moment, Ms, Object, Text, Wire
from winnow.app.json_model.passages import CitationJson, PlaceJson
from winnow.app.stages import SearchResult
from winnow.server.api.schemas import Name


def answer_uri(identifier: str) -> str:
    """Return the address of a logged answer."""
    return f"winnow://answers/{identifier}"


def document_uri(collection: str, document_id: str) -> str:
    """Return the address of a document."""
    return f"winnow://documents/{quote(collection, safe='')}/{document_id}"


class FoundPassage(PlaceJson):
    """A final passage. `ranks` say where each stage put it, from 1; null where a stage did not see it."""

    about: Text
    text: Text
    metadata: Object
    ranks: dict[str, int | None]
    uri: str = ""

    @classmethod
    def in_collection(cls, collection: str, candidate: Candidate) -> Self:
        """The passage with the address of its document in the collection."""
        found = cls.of(candidate)
        return found.model_copy(update={"uri": document_uri(collection, found.document_id)})


class FoundPassages(BaseModel):
    """The best passages for a question, best first. `warnings` say what did not go as asked."""

    collection: str
    passages: list[FoundPassage]
    retrieved: int = Field(description="How many candidates these are the best of.")
    warnings: list[str]

    @classmethod
    def found_by(cls, result: SearchResult) -> Self:
        """The reply of a search."""
        name = result.collection
        return cls(
            collection=name,
            passages=[FoundPassage.in_collection(name, one) for one in result.passages],
            retrieved=len(result.candidates),
            warnings=list(result.warnings),
        )


class CitedAnswer(Wire):
    """An answer with its citations; `citations[].marker` is the number in the text.

    Without a sufficient passage `answered` is false. `warnings` say what did not go as asked.
    """

    id: str
    question: Text
    text: Text
    answered: bool
    citations: list[CitationJson]
    warnings: list[Text]
    collection: str
    rerank: Text
    answerer: str


class StageBrief(Wire):
    """The status of a stage, and the reason where that is not `ok`."""

    name: str
    status: Status
    reason: Text
    ms: Ms


class LoggedAnswer(CitedAnswer):
    """A logged answer, how its stages went, and the final passages with every stage's rank."""

    created_at: Moment
    stages: list[StageBrief]
    passages: list[FoundPassage]
    uri: str

    @classmethod
    def logged(cls, answer: Answer) -> Self:
        """The reply about an answer of the log."""
        return cls.model_construct(
            **dict(CitedAnswer.of(answer)),
            created_at=answer.created_at.isoformat(),
            stages=[StageBrief.of(stage) for stage in answer.stages],
            passages=[FoundPassage.in_collection(answer.collection, one) for one in answer.final],
            uri=answer_uri(answer.id),
        )


class CollectionBrief(BaseModel):
    """A collection: how many documents have each status, and a note where it should be moved on."""

    name: Name
    default: bool
    documents: dict[str, int]
    note: str | None


class CollectionsFound(BaseModel):
    """All collections."""

    collections: list[CollectionBrief]


class DocumentBrief(BaseModel):
    """A document; `reason` says why it was refused. Its text is the resource at `uri`."""

    id: str
    uri: str
    title: str
    source: str
    status: str
    reason: str
    passages: int

    @classmethod
    def of_row(cls, collection: str, row: DocumentRow) -> Self:
        """The reply about a document of the manifest."""
        return cls(
            id=row.id,
            uri=document_uri(collection, row.id),
            title=row.title,
            source=row.source,
            status=row.status,
            reason=row.reason,
            passages=len(row.chunk_ids),
        )


class DocumentsFound(BaseModel):
    """A page of a collection's documents, by path; `total` counts all that match."""

    collection: str
    total: int
    offset: int
    documents: list[DocumentBrief]


class RefusedDocument(BaseModel):
    """A document that could not be ingested, and why."""

    source: str
    reason: str


class Ingested(BaseModel):
    """The result of an ingest: documents by their fate, and those that were refused."""

    collection: str
    totals: dict[str, int]
    passages: int
    refused: list[RefusedDocument]

    @classmethod
    def by(cls, collection: str, report: IngestReport) -> Self:
        """The reply of a run."""
        refused = [RefusedDocument(source=one.path, reason=one.reason) for one in report.refused]
        totals: dict[str, int] = {status: int(report.totals[status]) for status in STATUSES}
        passages = int(report.totals["chunks"])
        return cls(collection=collection, totals=totals, passages=passages, refused=refused)
