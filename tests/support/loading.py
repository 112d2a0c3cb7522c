"""Files as a loader reads them, and its reasons against them."""

from __future__ import annotations

import pytest

from ingest.loaders import Loaded, Source, load
from ingest.loaders.base import Limits
from storage.errors import DocumentRefusedError


def read(name: str, data: str | bytes, **limits: int) -> Loaded:
    """Load a file of that name."""
    content = data if isinstance(data, bytes) else data.encode("utf-8")
    return load(Source(f"/docs/{name}", content, Limits(**limits)))  # type: ignore[arg-type]


def reason(name: str, data: str | bytes, **limits: int) -> str:
    """Return the kind of the refusal of a file of that name."""
    with pytest.raises(DocumentRefusedError) as refused:
        read(name, data, **limits)
    return refused.value.kind.removeprefix("ingest.")
