"""`winnow serve`: the HTTP API."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from storage.errors import MissingDependencyError
from winnow.cli.options import CollectionOptions
from winnow.cli.terminal import note

Host = Annotated[
    str | None,
    Option("--host", help="The address to listen on (127.0.0.1); any other asks for tokens."),
]
Port = Annotated[int | None, Option("--port", "-p", help="The port (8765); 0 takes a free one.")]

_NEEDED = ("fastapi", "uvicorn", "prometheus_client", "python_multipart", "jinja2")


def check_installed(extra: str, *more: str) -> None:
    """Raise MissingDependencyError where the server, or a further module, needs this extra first."""
    from importlib.util import find_spec

    if missing := [name for name in (*_NEEDED, *more) if find_spec(name) is None]:
        raise MissingDependencyError(
            f"the server needs {' and '.join(missing)}",
            way_out=f"Install the extra: pip install 'winnow-rag[{extra}]'",
        )


def serve(options: CollectionOptions, host: Host = None, port: Port = None) -> None:
    """Serve collections over HTTP until Ctrl-C, which finishes what began. See docs/server.md."""
    check_installed("server")
    from winnow.pipeline import RAGPipeline
    from winnow.server import run

    def listening(url: str) -> None:
        options.done({"url": url}, f"winnow listens on {url}; Ctrl-C ends it")

    chosen = options.settings(server={"host": host, "port": port})
    with RAGPipeline.from_settings(chosen) as pipeline:
        run.serve(pipeline, listening, note)
