"""Repairs what examining a collection found: `winnow doctor --repair`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from ingest.report import IngestReport, Progress
from storage.database import file_of
from storage.sqlite.damage import damage_of
from storage.sqlite.errors import translated
from storage.sqlite.recover import recover
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.upkeep import rebuild
from winnow.upkeep.copy_forward import unlisted_row
from winnow.upkeep.integrity import ExaminedCollection, stale_passages


@dataclass(frozen=True, slots=True)
class Repaired:
    """The repairs, one sentence each; `report` where the collection was built again.

    Documents that could not be built again are in the report as `refused`.
    """

    done: tuple[str, ...] = ()
    report: IngestReport | None = None


def repair(
    wiring: Wiring, found: ExaminedCollection, progress: Callable[[Progress], None] | None = None
) -> Repaired:
    """Repair the damages of a collection, as far as files, passages and the manifest allow.

    Raises StoreLockedError and StoreUnavailableError where it cannot be reached.
    """
    done = tuple(_tidied(wiring, found)) if found.needs("tidy") else ()
    if not found.needs("rebuild"):
        return Repaired(done)
    report = rebuild.reindex(wiring, found.name, (), rebuild.IngestChoices(progress=progress))
    return Repaired((*done, f"{found.name!r} was rebuilt"), report)


def repair_database(settings: Settings) -> tuple[str, ...]:
    """Repair the database of log and manifest where it is damaged; return what was done.

    Nothing may have it open. Raises LogError.
    """
    path = file_of(settings.database)
    if path is None:
        return ()
    with translated(str(path)):
        if damage_of(path) is None:
            return ()
    found = recover(path)
    saved = ", ".join(f"{count} {name}" for name, count in sorted(found.rows.items()) if count)
    done = [
        f"{path} was damaged; saved from it: {saved or 'nothing'}",
        f"the old file is kept as {found.aside}",
    ]
    if found.incomplete:
        done.append(f"not all could be read of: {', '.join(found.incomplete)}")
    return tuple(done)


def _tidied(wiring: Wiring, found: ExaminedCollection) -> list[str]:
    done = []
    if any(damage.kind == "deletion" for damage in found.damages):
        rebuild.finish_deletions(wiring, found.name)
        done.append("finished what was being deleted")
    if any(damage.kind == "leftovers" for damage in found.damages):
        wiring.stores.sweep(found.name)
        if not found.needs("rebuild"):
            wiring.manifest(found.name).forget_others()
        done.append("removed what was left behind")
    if found.needs("rebuild") or not found.stored.ids:
        return done  # a rebuild leaves nothing stale, and lists everything
    with closing(wiring.stores.open(found.name)) as store:
        # others may have ingested between the look and this lock: what they did is not undone
        now = rebuild.known_documents(wiring, found.name)
        same = [row for row in stale_passages(found.known, found.stored) if now.get(row.id) == row]
        unlisted = [
            unlisted_row(found.stored.first[document], sorted(ids))
            for document, ids in found.stored.ids.items()
            if document not in found.known
        ]
        new = [row for row in unlisted if row.id not in now]
        for row in same:
            store.delete_document(row.id, keep=set(row.chunk_ids))
        wiring.manifest(found.name).put_many(new)
    if same:
        done.append(f"removed passages of {len(same)} documents that the manifest does not know of")
    if new:
        done.append(f"entered {len(new)} documents into the manifest")
    return done
