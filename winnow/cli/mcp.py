"""`winnow mcp`: the Model Context Protocol, for agents."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from storage.errors import BadInputError
from winnow.cli.options import CollectionOptions
from winnow.cli.serve import Host, Port, check_installed
from winnow.cli.terminal import note

if TYPE_CHECKING:
    from winnow.pipeline import RAGPipeline


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class McpOptions(CollectionOptions):
    """The options of `winnow mcp`."""

    http: Annotated[
        bool,
        Option("--http", help="Serve over HTTP, at /mcp beside pages and API, not stdio."),
    ] = False
    host: Host = None
    port: Port = None
    allow_ingest: Annotated[
        list[Path] | None,
        Option(help="Agents may ingest what lies below this folder; repeatable.", metavar="FOLDER"),
    ] = None


def mcp(options: McpOptions) -> None:
    """Give agents the tools search, ask, rerank … over the Model Context Protocol. See docs/mcp.md."""
    check_installed("mcp", "mcp")
    if not options.http and (options.host or options.port is not None):
        raise BadInputError("--host and --port are for HTTP", way_out="Add --http.")
    from winnow.pipeline import RAGPipeline

    folders = options.allow_ingest or []
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise BadInputError(f"{missing[0]} is no folder", way_out="Name a folder that exists.")
    chosen = options.settings(
        server={"host": options.host, "port": options.port},
        mcp={"ingest": [folder.absolute() for folder in folders] or None},
    )
    with RAGPipeline.from_settings(chosen) as pipeline:
        if options.http:
            _over_http(pipeline, options)
        else:
            _over_stdio(pipeline)


def _over_http(pipeline: RAGPipeline, options: McpOptions) -> None:
    from winnow.server import run

    def listening(url: str) -> None:
        address = f"{url}/mcp"
        options.done({"url": address}, f"agents connect to {address}; Ctrl-C ends it")

    run.serve(pipeline, listening, note, for_agents=True)


def _over_stdio(pipeline: RAGPipeline) -> None:
    from winnow.server.app import served_by
    from winnow.server.mcp import doors
    from winnow.server.security import Access
    from winnow.server.tokens import TokenBook

    # The thread that reads standard input cannot be woken, so Ctrl-C ends the process as a kill would: what
    # was finished is kept.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.stdin.isatty():
        note("This speaks MCP with an agent that starts it, see docs/mcp.md. Ctrl-C ends it.")
    settings = pipeline.settings
    served = served_by(pipeline, Access.of("localhost", (), TokenBook(settings.tokens_file)))
    doors.serve_stdio(served)
    served.jobs.finish()
