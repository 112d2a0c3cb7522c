"""Copies the objects below a prefix of a store that fsspec knows: `s3://bucket/prefix`."""

from __future__ import annotations

import posixpath
from functools import partial
from typing import Any

from ingest.loaders.registry import supported
from ingest.sources.mirror import Mirror, Origin, Round, Unfetched, flat_name, folder_name
from storage.errors import BadInputError, MissingDependencyError

SCHEME = "s3"


def copy(address: str, mirrors: Mirror, filesystem: Any = None) -> tuple[str, list[Unfetched]]:
    """Bring a folder of copies up to date and return its name, and what could not be copied.

    Only objects whose ETag is another are read. `filesystem` is one of fsspec; without it S3's, with the keys
    and the endpoint that AWS's own tools would take (AWS_ENDPOINT_URL for stores that are compatible). Raises
    BadInputError where it cannot be listed, MissingDependencyError without the extra.
    """
    scheme, _, place = address.partition("://")
    prefix = place.rstrip("/")
    if not prefix or prefix.startswith("/"):
        raise BadInputError(f"{address} names no bucket", way_out="Name one: s3://bucket/prefix")
    filesystem = filesystem or _s3()
    folder = folder_name(address)
    copies = Round(Mirror(mirrors.path(folder)))
    for path, facts in sorted(_listed(filesystem, address, prefix).items()):
        name = path.removeprefix("/").removeprefix(prefix).removeprefix("/") or path.rpartition("/")[2]
        if posixpath.normpath(name) != name or name.startswith(("/", "..")):
            name = flat_name(name, marked=True)  # a//b.md and a/../b.md are keys of their own
        if supported(name):
            origin = Origin(f"{scheme}://{path.removeprefix('/')}", str(facts.get("ETag") or ""))
            read = partial(filesystem.cat_file, path)
            copies.bring(name, origin, int(facts.get("size") or 0), read)
    return folder, copies.end()


def _listed(filesystem: Any, address: str, prefix: str) -> dict[str, dict[str, Any]]:
    way_out = "Check its name, its keys and the endpoint (AWS_ENDPOINT_URL)."
    try:
        objects: dict[str, dict[str, Any]] = filesystem.find(prefix, detail=True)
    except Exception as error:  # each file system has errors of its own
        raise BadInputError(f"{address} cannot be listed: {error}", way_out=way_out) from error
    if not objects:
        raise BadInputError(f"there is nothing below {address}", way_out=way_out)
    return objects


def _s3() -> Any:
    try:
        import s3fs
    except ImportError as error:
        raise MissingDependencyError(
            "objects of S3 need the extra s3", way_out="pip install 'winnow-rag[s3]'"
        ) from error
    return s3fs.S3FileSystem(skip_instance_cache=True)
