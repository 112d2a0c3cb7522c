"""Brings what addresses name (pages, repositories, objects) into a folder of copies, for ingestion."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from ingest.sources.mirror import Mirror, Unfetched
from storage.errors import BadInputError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_address(given: object) -> bool:
    """True for text such as `https://…`; never for a Path, which names a file."""
    return isinstance(given, str) and _ADDRESS.match(given) is not None


def fetch(
    addresses: Iterable[str], folder: Path, *, private: bool, prune: bool = False
) -> tuple[list[Path], list[Unfetched]]:
    """Fetch into `folder` and return the copies, files and folders, and what could not be fetched.

    `private`: sites on addresses of this machine and its network are allowed. `prune`: in place of a page
    the folder of its site is returned, where copies of pages that are gone are missing. Raises BadInputError
    for an address of another kind, MissingDependencyError without what its kind needs.
    """
    from ingest.sources import git, objects
    from ingest.sources.addresses import is_public
    from ingest.sources.web import Site, folder_of

    mirrors = Mirror(folder)
    found: list[Path] = []
    left: list[Unfetched] = []
    with closing(Site(mirrors, (lambda _: True) if private else is_public)) as site:
        for address in dict.fromkeys(addresses):
            scheme = address.partition("://")[0].lower()
            if scheme in ("http", "https"):
                names = site.fetch(_checked(address))
                if prune:
                    names = [folder_of(address), *(name.partition("/")[0] for name in names)]
                found += map(mirrors.path, names)
                continue
            if scheme == git.SCHEME:
                name, unfetched = git.copy(git.Revision.parse(address), mirrors)
            elif scheme == objects.SCHEME:
                name, unfetched = objects.copy(address, mirrors)
            else:
                raise BadInputError(
                    f"{address} cannot be fetched", way_out="Give https://, git+file:// or s3://."
                )
            found.append(mirrors.path(name))
            left += unfetched
        left += site.unfetched
    return [path for path in dict.fromkeys(found) if path.exists()], left


def _checked(address: str) -> str:
    import httpx2

    try:
        url = httpx2.URL(address)
    except httpx2.InvalidURL as error:
        raise BadInputError(f"{address} is no address: {error}") from error
    if not url.host or url.userinfo:
        raise BadInputError(
            f"{url.host or address} is no address of a page", way_out="Leave out the user's name."
        )
    return str(url)
