"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import generate_latest

from winnow.server.api.schemas import Health, Readiness
from winnow.server.documented import GUARDED, problems
from winnow.server.shared_state import Seen, State, in_thread
from winnow.version import __version__

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=Health, responses=problems(403))
async def healthz() -> Any:
    """The process answers."""
    return {"status": "ok", "version": __version__}


@router.get("/readyz", response_model=Readiness, responses=problems(403, 500, 503))
async def readyz(served: State) -> Any:
    """Models are loaded and the store answers."""
    return {"status": "ready", "collections": await in_thread(served.warm_up.check)}


@router.get("/metrics", response_class=PlainTextResponse, responses=GUARDED)
async def metrics(served: State, seen: Seen) -> PlainTextResponse:
    """Counters in Prometheus' text format, of everybody's questions."""
    seen.check_sees_all()
    text = generate_latest(served.metrics.registry).decode()
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
