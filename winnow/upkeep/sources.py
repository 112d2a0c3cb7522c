"""The files that a collection was made from, and how each was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.discover import Discovery, discover, owners
from ingest.loaders.base import Columns
from storage.manifest.manifest import DocumentRow


@dataclass(frozen=True, slots=True)
class Sources:
    """Files to read, grouped by the columns to read them by (None: as whole documents).

    `read` holds the sources of all of them. `covers` tells whether a source belongs to the given paths; where
    there are none, every source does.
    """

    groups: Mapping[Columns | None, Sequence[Path]]
    read: frozenset[str]
    skipped: Mapping[str, int]
    _given: Discovery | None

    @classmethod
    def of(
        cls,
        rows: Iterable[DocumentRow],
        paths: Sequence[str | Path],
        columns: Columns | None,
        *,
        accepted: Sequence[Path] = (),
    ) -> Sources:
        """Collect the files that rows of a manifest name and that still exist, those below the paths, and
        uploads that are `accepted` and in no manifest yet.

        `columns` holds for files below the paths; a file that was read by columns is read by them again.
        Raises NotFoundError for a path that does not exist.
        """
        given = discover(paths) if paths else None
        recorded = {row.source: Columns.read(row.parser) for row in rows if Path(row.source).is_file()}
        files = {path.as_posix(): None for path in accepted} | recorded
        for file in given.files if given else ():
            files[file.source] = columns or recorded.get(file.source)
        groups: dict[Columns | None, list[Path]] = {}
        for source, how in sorted(files.items()):
            groups.setdefault(how, []).append(Path(source))
        return cls(groups, frozenset(files), dict(given.skipped) if given else {}, given)

    def covers(self, source: str) -> bool:
        return self._given is None or self._given.covers(source)

    def reads(self, source: str) -> bool:
        """Return whether the file is read that this source names, or that it is a record of."""
        return any(owner in self.read for owner in owners(source))
