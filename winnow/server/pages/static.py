"""`/static/…`: style sheets, scripts and pictures of the pages, held in memory.

A name is looked up among the package's files; it is never made into a path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from storage.errors import NotFoundError
from winnow.server.pages.compression import encoding, gzipped, takes_gzip

router = APIRouter(include_in_schema=False)

_MEDIA = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
# A browser revalidates its copy each time, which costs a 304 without a body.
_CACHING = "private, no-cache"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent, plain or compressed."""

    content: bytes
    packed: bytes
    media_type: str
    etag: str


@cache
def listing() -> Mapping[str, StaticFile]:
    """Return every static file of the package by its name."""
    found = {}
    for entry in files("winnow.server.pages").joinpath("static").iterdir():
        media = _MEDIA.get(entry.name.rpartition(".")[2])
        if media is not None:
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            found[entry.name] = StaticFile(content, gzipped(content), f"{media}; charset=utf-8", etag)
    return found


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """Send the icon to those who ask for it by its old name."""
    return await static("icon.svg", request)


@router.get("/static/{name}")
async def static(name: str, request: Request) -> Response:
    """Send a static file, or 304 where the browser has it."""
    file = listing().get(name)
    if file is None:
        raise NotFoundError("no such file")
    packed = takes_gzip(request)
    headers = {"etag": file.etag, "cache-control": _CACHING, **encoding(packed=packed)}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.packed if packed else file.content, headers=headers, media_type=file.media_type)
