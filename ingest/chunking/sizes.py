"""The sizes of passages, and what identifies the chunker that cut by them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal, get_args

from storage.vectors import TokenCounter

# Grows where ordinary text would be cut otherwise.
VERSION = 2
# Where the line about a passage comes from.
AboutName = Literal["off", "summary", "chat"]
# The most tokens of that line.
ABOUT_TOKENS: dict[AboutName, int] = {"off": 0, "summary": 40, "chat": 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSizes:
    """In tokens of the encoder. `total` includes the context line and special tokens, and is at most what
    the encoder reads. `context` is the most of title and heading path, `overlap` of shared sentences. `about`
    says whose line about each passage has to fit in, too (`ABOUT_TOKENS`)."""

    total: int = 256
    context: int = 48
    overlap: int = 24
    about: AboutName = "off"


def chunker_fingerprint(max_tokens: int, sizes: ChunkSizes | None = None) -> str:
    """Identifies everything that decides the cuts, except the tokenizer, which the encoder identifies."""
    sizes = sizes or ChunkSizes()
    splitter = version("semantic-text-splitter")
    total = min(sizes.total, max_tokens)
    about = "" if sizes.about == "off" else f"/{sizes.about}-{ABOUT_TOKENS[sizes.about]}"
    return (
        f"winnow-{VERSION}/semantic-text-splitter-{splitter}/{total}-{sizes.context}-{sizes.overlap}{about}"
    )


def tokens_about(counter: TokenCounter, max_tokens: int, sizes: ChunkSizes) -> int:
    """The most tokens of the line about a passage: it is never more than a quarter of what there is."""
    return min(ABOUT_TOKENS[sizes.about], (min(sizes.total, max_tokens) - counter.special - 1) // 4)


def about_of(fingerprint: str) -> AboutName:
    """Whose lines the passages of a chunker with that fingerprint have."""
    last = fingerprint.rpartition("/")[2].partition("-")[0]
    return next((name for name in get_args(AboutName) if name == last), "off")
