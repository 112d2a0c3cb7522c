"""The report of a run, document by document and in total."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from storage.reasons import Reason, storable
from storage.records import Outcome, Status, Usage

DocumentStatus = Literal["ingested", "unchanged", "replaced", "duplicate", "removed", "refused"]
STATUSES: tuple[DocumentStatus, ...] = get_args(DocumentStatus)


def cut_warning(cut: int, of: int) -> tuple[Reason, ...]:
    """The warning of a document of which `cut` passages are longer than the encoder reads."""
    return (Reason("ingest.cut-passages", n=cut, of=of),) if cut else ()


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """The result of one file. `chunks` counts its passages in the collection after the run.

    A refused one's reason has the kind of refusal as its code: `ingest.damaged`, `ingest.empty`, …
    """

    path: str
    status: DocumentStatus
    reason: str = ""
    chunks: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a run in passages to embed, seconds and bytes on disk."""

    passages: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of a run. Sizes in bytes; rates per second; None where not yet known."""

    documents: int
    documents_total: int
    bytes_done: int
    bytes_total: int
    passages: int
    passages_per_second: float
    seconds_left: float | None
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """A finished run.

    `skipped` counts files of a tree whose format no parser knows, by suffix; `unsupported` lists them.
    `illegible` counts passages that the encoder cannot read, `embedded` those that it encoded in this run;
    `usage` is what an embeddings endpoint was paid for them, `context` how the chat model's lines about
    passages went, where it was to write them. A dry run embeds nothing but a sample, which
    is not counted: `estimate` says how many it would.
    """

    documents: tuple[DocumentResult, ...]
    seconds: float = 0.0
    embedded: int = 0
    illegible: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    unsupported: Sequence[str] = ()
    dry_run: bool = False
    estimate: Estimate | None = None
    usage: Usage = field(default_factory=Usage)
    context: Outcome | None = None

    @property
    def totals(self) -> dict[str, int | float]:
        counts = Counter(result.status for result in self.documents)
        return {
            "documents": len(self.documents),
            **{status: counts[status] for status in STATUSES},
            "skipped": sum(self.skipped.values()),
            "chunks": sum(result.chunks for result in self.documents),
            "embedded": self.embedded,
            "illegible": self.illegible,
            "warnings": sum(len(result.warnings) for result in self.documents),
            "seconds": round(self.seconds, 3),
        }

    @property
    def refused(self) -> Sequence[DocumentResult]:
        return [result for result in self.documents if result.status == "refused"]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values: `documents`, `totals`, `skipped`, `unsupported`.

        For a dry run also `estimate`, `usage` where an endpoint was asked, and `context` where a chat model
        was to write lines about passages.
        """
        values: dict[str, Any] = {
            "documents": [
                {**asdict(result), "reason": str(result.reason), "warnings": list(map(str, result.warnings))}
                for result in self.documents
            ],
            "totals": self.totals,
            "skipped": dict(self.skipped),
            "unsupported": list(self.unsupported),
        }
        if self.dry_run:
            values["dry_run"] = True
        if self.estimate:
            values["estimate"] = {**asdict(self.estimate), "seconds": round(self.estimate.seconds, 1)}
        if self.usage.calls:
            values["usage"] = asdict(self.usage)
        if self.context:
            values["context"] = {
                "model": self.context.name,
                "status": self.context.status,
                "reason": str(self.context.reason),
                **asdict(self.context.usage),
            }
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> IngestReport:
        """The report that `to_dict` or `to_json` gave."""
        totals = values["totals"]
        return cls(
            documents=tuple(
                DocumentResult(
                    result["path"],
                    result["status"],
                    result["reason"] and Reason.from_json(result["reason"]),
                    result["chunks"],
                    tuple(map(Reason.from_json, result["warnings"])),
                )
                for result in values["documents"]
            ),
            seconds=totals["seconds"],
            embedded=totals["embedded"],
            illegible=totals["illegible"],
            skipped=values["skipped"],
            unsupported=tuple(values.get("unsupported", ())),
            dry_run=values.get("dry_run", False),
            estimate=Estimate(**values["estimate"]) if "estimate" in values else None,
            usage=Usage(**values.get("usage", {})),
            context=_outcome(**values["context"]) if "context" in values else None,
        )

    def to_json(self) -> str:
        """The report for the manifest: as `to_dict`, with codes and values of reasons and warnings."""
        values = self.to_dict()
        for entry, result in zip(values["documents"], self.documents, strict=True):
            entry["reason"] = result.reason and storable(result.reason)
            entry["warnings"] = list(map(storable, result.warnings))
        if self.context and self.context.reason:
            values["context"]["reason"] = storable(self.context.reason)
        return json.dumps(values, ensure_ascii=False)


def _outcome(model: str, status: Status, reason: Any, **usage: Any) -> Outcome:
    return Outcome(model, status, reason and Reason.from_json(reason), usage=Usage(**usage))
