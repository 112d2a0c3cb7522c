"""Which passages stand beside given ones in their documents: one condition for every store."""

from __future__ import annotations

from collections.abc import Sequence

from storage.qdrant.conditions import All, AnyOf, Condition, Equals, Ordered
from storage.records import Chunk


def around(chunks: Sequence[Chunk], reach: int) -> Condition:
    """What holds for the passages at most `reach` places before or after one of `chunks`, these included."""
    return AnyOf(
        tuple(
            All(
                (
                    Equals("document_id", chunk.document_id),
                    Ordered("ordinal", ">=", chunk.ordinal - reach),
                    Ordered("ordinal", "<=", chunk.ordinal + reach),
                )
            )
            for chunk in chunks
        )
    )


def most_around(chunks: Sequence[Chunk], reach: int) -> int:
    """How many passages that can be, each place in a document being taken once."""
    return len(chunks) * (2 * reach + 1)
