"""`/v1/collections` and `/v1/documents`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from storage.manifest.manifest import DocumentFilter
from winnow.server.api import inventory
from winnow.server.api.schemas import (
    CollectionFactsJson,
    CollectionList,
    Deleted,
    DocumentPage,
    DocumentWithPassages,
)
from winnow.server.documented import READING
from winnow.server.shared_state import Seen, Served, State, in_thread
from winnow.server.visible import Visible

router = APIRouter(tags=["collections"], responses=READING)

InCollection = Annotated[str | None, Query(max_length=100, description="The settings' one, if left out.")]
DocumentStatus = Literal["ingested", "refused", "duplicate"]
DocumentId = Annotated[str, Path(max_length=100)]


@router.get("/v1/collections", response_model=CollectionList)
async def collections(seen: Seen) -> Any:
    """All collections, and the settings that each was built with."""
    return {"collections": await in_thread(lambda: inventory.collections(seen))}


@router.get("/v1/collections/{name}", response_model=CollectionFactsJson)
async def collection(name: Annotated[str, Path(max_length=100)], seen: Seen) -> Any:
    """One collection: its size, its documents by status, its last ingest run."""
    return await in_thread(lambda: inventory.facts(seen, name))


@router.get("/v1/documents", response_model=DocumentPage)
async def documents(
    seen: Seen,
    collection: InCollection = None,
    text: Annotated[str, Query(max_length=1_000, description="Words in path or title.")] = "",
    status: Annotated[DocumentStatus | None, Query()] = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> Any:
    """The documents of a collection, the refused ones too, by path."""
    where = DocumentFilter(text, status)
    return await in_thread(lambda: inventory.documents(seen, collection, where, offset, limit))


@router.get("/v1/documents/{document_id}", response_model=DocumentWithPassages)
async def document(document_id: DocumentId, seen: Seen, collection: InCollection = None) -> Any:
    """One document with its passages."""
    return await in_thread(lambda: inventory.document(seen, collection, document_id))


@router.delete("/v1/documents/{document_id}", response_model=Deleted)
async def delete(document_id: DocumentId, served: State, seen: Seen, collection: InCollection = None) -> Any:
    """Take a document out of the collection. Its file stays where it is, unless it was uploaded."""

    return {"deleted": await in_thread(lambda: taken_out(served, seen, collection, document_id))}


def taken_out(served: Served, seen: Visible, collection: str | None, document_id: str) -> str:
    """Delete a document between two jobs, and its file if it was uploaded; return its path. Blocking.

    Raises NotFoundError, NotAllowedError, and BusyError after the time that a question may take.
    """
    with served.jobs.alone(served.settings.timeout_s):
        return inventory.delete(seen, collection, document_id)
