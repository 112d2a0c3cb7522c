"""The routers of all pages; the navigation is in `rendering`."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from winnow.server.pages import (
    answers,
    ask,
    collections,
    compare,
    login,
    reference,
    settings,
    static,
    threads,
)

ROUTERS: Sequence[APIRouter] = (
    static.router,
    login.router,
    ask.router,
    answers.router,
    threads.router,
    reference.router,
    compare.router,
    collections.router,
    settings.router,
)
UPLOADS: APIRouter = collections.upload_router
