"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

import logging
from typing import Any

import anyio
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import generate_latest

from storage.errors import WinnowError
from winnow.server.api.schemas import Health, Readiness
from winnow.server.documented import GUARDED, problems
from winnow.server.errors import NotReadyError
from winnow.server.shared_state import Seen, Served, State
from winnow.version import __version__

# An orchestrator's own patience is a few seconds.
_PATIENCE_S = 2

_log = logging.getLogger(__name__)
router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=Health, responses=problems(403))
async def healthz() -> Any:
    """The process answers."""
    return {"status": "ok", "version": __version__}


@router.get("/readyz", response_model=Readiness, responses=problems(403, 500, 503))
async def readyz(served: State) -> Any:
    """Models are loaded and the store answers, both within two seconds.

    Anybody may ask, so a server that needs tokens tells neither how many collections there are nor what is
    wrong with one: its log does.
    """
    if served.sessions is None:
        return {"status": "ready", "collections": await _checked(served)}
    try:
        await _checked(served)
    except WinnowError as error:
        if served.warm_up.loading:
            raise
        _log.warning("not ready: %s", served.problems.sentence(error))
        raise NotReadyError(
            f"the server is not ready ({error.code})", way_out="The server's log says why."
        ) from error
    return {"status": "ready", "collections": None}


async def _checked(served: Served) -> int:
    """Return the number of collections. Raises NotReadyError, StoreError, LogError."""
    with anyio.move_on_after(_PATIENCE_S):
        # left to itself where it takes longer: a store that hangs is asked as long as store.timeout_s
        return await anyio.to_thread.run_sync(served.warm_up.check, abandon_on_cancel=True)
    raise NotReadyError(
        f"the store did not answer within {_PATIENCE_S} s", way_out="Ask again in a few seconds."
    )


@router.get("/metrics", response_class=PlainTextResponse, responses=GUARDED)
async def metrics(served: State, seen: Seen) -> PlainTextResponse:
    """Counters in Prometheus' text format, of everybody's questions."""
    seen.check_sees_all()
    text = generate_latest(served.metrics.registry).decode()
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
