"""Copies the objects below a prefix of a store that fsspec knows: `s3://bucket/prefix`."""

from __future__ import annotations

from typing import Any

from ingest.loaders.registry import supported
from ingest.sources.mirror import MOST_BYTES, Mirror, Origin, Unfetched, folder_name
from storage.errors import BadInputError, MissingDependencyError
from storage.reasons import Reason

SCHEME = "s3"


def copy(address: str, mirrors: Mirror, filesystem: Any = None) -> tuple[str, list[Unfetched]]:
    """Bring a folder of copies up to date and return its name, and what could not be copied.

    Only objects whose ETag is another are read. `filesystem` is one of fsspec; without it S3's, with the keys
    and the endpoint that AWS's own tools would take (AWS_ENDPOINT_URL for stores that are compatible). Raises
    BadInputError where it cannot be listed, MissingDependencyError without the extra.
    """
    filesystem = filesystem or _s3()
    scheme, _, place = address.partition("://")
    prefix = place.strip("/")
    folder = folder_name(address)
    mirror, left, kept = Mirror(mirrors.path(folder)), list[Unfetched](), list[str]()
    for path, facts in sorted(_listed(filesystem, address, prefix).items()):
        name = path.strip("/").removeprefix(prefix).strip("/") or path.rpartition("/")[2]
        if not supported(name):
            continue
        url = f"{scheme}://{path.strip('/')}"
        version, size = str(facts.get("ETag") or ""), int(facts.get("size") or 0)
        if size > MOST_BYTES:
            left.append(Unfetched(url, Reason("ingest.too-many-bytes", size=size, limit=MOST_BYTES)))
            continue
        try:
            known = mirror.origin(name)
            if known is None or not version or known.version != version:
                mirror.keep(name, bytes(filesystem.cat_file(path)), Origin(url, version))
        except Exception as error:  # noqa: BLE001 - one object never stops a run; its old copy stays
            left.append(Unfetched(url, Reason("ingest.no-reply", error=str(error) or type(error).__name__)))
        else:
            known = mirror.origin(name)
        if known is not None:
            kept.append(name)
    mirror.drop_all_but(kept)
    return folder, left


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
