"""`winnow watch`: keeps a collection as its folders are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

from storage.errors import BadInputError, MissingDependencyError, WinnowError
from winnow.cli.ingest import run_with_progress
from winnow.cli.options import CollectionOptions
from winnow.cli.terminal import note, out, print_json, report, safe, shortened

if TYPE_CHECKING:
    from ingest.report import DocumentResult, IngestReport
    from winnow.pipeline import RAGPipeline

# Milliseconds: a run begins when nothing has changed for _CALM, and at the latest after _LONGEST. Without
# changes the watcher looks around every _TURN, the first time when it has begun to watch.
_CALM, _LONGEST, _TURN = 300, 3_000, 500


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class WatchOptions(CollectionOptions):
    """The options of `winnow watch`."""

    folders: Annotated[list[Path], Argument(help="Folders.", metavar="FOLDER...", show_default=False)]


def watch(options: WatchOptions) -> None:
    """Ingest folders, then what changes below them; what is deleted there goes, too. Until Ctrl-C."""
    try:
        import watchfiles
    except ImportError as error:
        raise MissingDependencyError(
            "watching needs watchfiles", way_out="pip install 'watchfiles>=1.3,<2'"
        ) from error
    from winnow.pipeline import RAGPipeline

    roots = [folder.absolute() for folder in options.folders]
    if wrong := [root for root in roots if not root.is_dir()]:
        raise BadInputError(f"{wrong[0]} is no folder", way_out="Watch a folder; files are ingested once.")
    chosen = options.settings()
    turns = watchfiles.watch(
        *roots,
        watch_filter=_matters(roots, chosen.data_dir.absolute()),
        debounce=_LONGEST,
        step=_CALM,
        rust_timeout=_TURN,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    told: dict[str, DocumentResult] = {}
    begun = False
    with RAGPipeline.from_settings(chosen) as pipeline:
        try:
            for changes in turns:
                if changes or not begun:
                    _follow(pipeline, roots, told, options.as_json, first=not begun)
                    begun = True
        except KeyboardInterrupt:
            note("no longer watching; what was finished is kept")


def _follow(
    pipeline: RAGPipeline, roots: list[Path], told: dict[str, DocumentResult], as_json: bool, *, first: bool
) -> None:
    """Bring the collection up to date and print what changed. An error is reported, and watching goes on.

    `told` are the documents' last results: every run refuses a bad one again, which is no change.
    """
    run: Callable[..., IngestReport] = partial(pipeline.ingest, roots, prune=True)
    try:
        shown = first and not as_json
        results = (run_with_progress(run) if shown else run()).documents
        for result in results:
            if not shown and result.status != "unchanged" and result != told.get(result.path):
                _print(result, as_json)
        told.clear()
        told.update((one.path, one) for one in results if one.status in ("refused", "duplicate"))
        if shown:
            note("watching; Ctrl-C ends it")
    except WinnowError as error:
        report(error, as_json)
    finally:
        pipeline.wiring.collections.close()  # others may use it until something changes
        sys.stdout.flush()


def _print(result: DocumentResult, as_json: bool) -> None:
    if as_json:
        print_json({"status": result.status, "path": result.path, "reason": result.reason})
    else:
        reason = f"  {result.reason}" if result.reason else ""
        out().print(safe(f"{result.status}  {shortened(result.path)}{reason}"))


def _matters(roots: list[Path], data_dir: Path) -> Callable[[object, str], bool]:
    """Return the filter of changes: no hidden folder, as in an ingest, and nothing of winnow's own."""

    def matters(_: object, changed: str) -> bool:
        path = Path(changed)
        below = [path.relative_to(root).parts[:-1] for root in roots if path.is_relative_to(root)]
        shown = any(not any(part.startswith(".") for part in folders) for folders in below)
        return shown and not path.is_relative_to(data_dir)

    return matters
