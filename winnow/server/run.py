"""Runs the application in uvicorn: one process, one port, and a shutdown that finishes running work."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from storage.errors import SettingsError
from winnow.server.app import create_app
from winnow.server.security import Access
from winnow.server.tokens import TokenBook

if TYPE_CHECKING:
    from types import FrameType

    from winnow.app.settings import Settings
    from winnow.pipeline import RAGPipeline
    from winnow.server.upload_jobs import Jobs

# How long a shutdown waits for requests, in addition to the time that a question may take.
_GRACE_S = 10


def serve(
    pipeline: RAGPipeline,
    listening: Callable[[str], None],
    say: Callable[[str], None],
    *,
    for_agents: bool = False,
) -> None:
    """Serve until a signal ends it; `listening` gets the address when the port is open.

    The first SIGINT or SIGTERM finishes running work (`say` reports what it waits for), the second ends at
    once. Raises SettingsError where the address is not available, or where other machines reach it and there
    is no token; SpecError for a rerank spec in the settings that cannot be used.
    """
    chosen = pipeline.settings.server
    _check_tokens(pipeline.settings)
    app = create_app(pipeline, for_agents=for_agents)
    with bound(chosen.host, chosen.port) as listener:
        listening(address(listener))
        server(app, int(chosen.timeout_s) + _GRACE_S).run(sockets=[listener])
    jobs: Jobs = app.state.served.jobs
    if waiting := [path.name for job in jobs.all() if job.status == "queued" for path in job.paths]:
        shown = ", ".join(waiting[:3]) + (" …" if len(waiting) > 3 else "")
        say(f"{len(waiting)} uploaded files wait for the next start of the server: {shown}")
    if jobs.running:
        say("finishing an ingest job; Ctrl-C stops it, and the next ingest continues from there")
    jobs.finish()


def _check_tokens(settings: Settings) -> None:
    chosen, book = settings.server, TokenBook(settings.tokens_file)
    if Access.of(chosen.host, chosen.names, book).tokens is not None and not book.tokens():
        raise SettingsError(
            f"other machines can reach {chosen.host}, and there is no token to protect it",
            way_out="Make one first: winnow token create NAME. Or serve this machine alone (127.0.0.1).",
        )


def server(app: object, grace_s: int) -> uvicorn.Server:
    """Return a uvicorn that does not announce itself and trusts no proxy's headers."""
    return _Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]  # uvicorn's own name for an ASGI application is wider
            log_level="warning",
            access_log=False,
            log_config=None,  # its warnings go where winnow's own do
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=grace_s,
        )
    )


class _Server(uvicorn.Server):
    """A uvicorn that returns after a signal, so that the pipeline can be closed.

    The original raises the signal again, and a SIGTERM would end the process at once.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        self.force_exit = self.should_exit
        self.should_exit = True


def bound(host: str, port: int) -> socket.socket:
    """Open a listening socket. Raises SettingsError where the address or port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            way_out="Choose another port (--port) or address (--host); another server may be running.",
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
