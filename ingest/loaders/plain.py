"""Plain text."""

from __future__ import annotations

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import Decoded, decode
from ingest.loaders.text import clean
from storage.records import Scalar


def load(source: Source) -> Loaded:
    """The text as it stands, but for line ends and characters that mean nothing to a reader."""
    decoded = decode(source.data)
    return Loaded(
        text=clean(decoded.text).strip("\n"), metadata=encoding_of(decoded), warnings=decoded.warnings
    )


def encoding_of(decoded: Decoded) -> dict[str, Scalar]:
    """The encoding as metadata, and whether it is a guess."""
    return {"encoding": decoded.encoding, **({"encoding_guessed": True} if decoded.guessed else {})}
