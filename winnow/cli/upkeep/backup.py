"""`winnow backup` and `winnow restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from winnow.cli.options import Options
from winnow.cli.terminal import note, progress_bars, safe

if TYPE_CHECKING:
    from winnow.upkeep.backup_contents import BackupContents

Folder = Annotated[Path, Argument(help="The folder of the backup.", file_okay=False, show_default=False)]


def backup(folder: Folder, options: Options) -> None:
    """Back up collections, log and files while they are in use. Run again, it brings FOLDER up to date."""
    from winnow.upkeep import backup as work

    with progress_bars(shown=not options.as_json) as bars:
        done = work.backup(options.settings(), folder, bars)
    if done.changed and not options.as_json:
        changed = ", ".join(done.changed[:3])
        note(f"{len(done.changed)} documents were being written meanwhile ({safe(changed)}): run it again")
    value = {**_counts(done.contents), "changed": list(done.changed)}
    options.done(value, f"{_sentence(done.contents)} are in {folder}")


def restore(folder: Folder, options: Options) -> None:
    """Restore a backup into a new data folder and the store of the settings. Run again, it goes on."""
    from winnow.upkeep import restore as work

    chosen = options.settings()
    with progress_bars(shown=not options.as_json) as bars:
        contents = work.restore(chosen, folder, bars)
    options.done(_counts(contents), f"{_sentence(contents)} are in {chosen.data_dir}")


def _counts(contents: BackupContents) -> dict[str, object]:
    return {
        "created_at": contents.created_at,
        "collections": {name: one.passages for name, one in contents.collections.items()},
        "files": len(contents.files),
    }


def _sentence(contents: BackupContents) -> str:
    passages = sum(one.passages for one in contents.collections.values())
    return f"{len(contents.collections)} collections, {passages} passages, {len(contents.files)} files"
