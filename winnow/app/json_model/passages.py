"""The JSON of documents, passages and the places that citations point to."""

from __future__ import annotations

from pydantic import AliasChoices, AliasPath, ConfigDict, Field

from winnow.app.json_model.base import (
    Object,
    ReasonCode,
    ReasonData,
    ReasonValues,
    Text,
    Texts,
    Wire,
    inside,
    renamed,
)


class PlaceJson(Wire):
    """Characters `start` to `end` of a document's text; `headings` is the heading path, outermost first."""

    chunk_id: str = Field(validation_alias=AliasChoices(AliasPath("chunk", "id"), "chunk_id", "id"))
    source: Text
    document: Text = renamed(AliasPath("chunk", "source"), "source")
    document_id: str
    title: Text
    headings: Texts
    page: int | None
    start: int
    end: int

    model_config = ConfigDict(alias_generator=inside("chunk"))


class PassageJson(PlaceJson):
    """A passage of a document; one that is not `legible` to the encoder has no vectors.

    `about` is the line that was indexed with it and is none of its text: its document's summary, or a chat
    model's words; empty where there is none.
    """

    about: Text
    legible: bool
    text: Text
    metadata: Object


class CandidateJson(PassageJson):
    """A passage with every stage's rank (from 1) and score; null where a stage did not see it."""

    ranks: dict[str, int | None]
    scores: dict[str, float | None]


class CitationJson(PlaceJson):
    """The place that a marker such as `[1]` cites; `quote` is empty if a passage is cited whole."""

    marker: int
    quote: Text


class ShownJson(Wire):
    """A final passage as an answerer sees it, with its neighbours where they were joined."""

    chunk_id: str = Field(validation_alias="id")
    start: int
    end: int
    text: Text

    model_config = ConfigDict(alias_generator=inside("chunk"))


class DocumentJson(Wire):
    """A document of a collection; `reason` says why it was refused."""

    id: str
    source: Text
    path: Text = renamed("source")
    status: str
    reason: Text
    reason_code: ReasonCode = Field(validation_alias="reason")
    reason_values: ReasonValues = Field(validation_alias="reason")
    title: Text
    mime: str
    content_hash: str
    duplicate_of: str | None
    warnings: list[Text]
    warning_reasons: list[ReasonData] = Field(validation_alias="warnings")
    chunks: list[str] = Field(validation_alias="chunk_ids")
