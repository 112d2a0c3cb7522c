"""A run that writes nothing: it parses everything, encodes a sample and estimates the whole."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ingest.batches import Batch, Encoded
from ingest.engines.tasks import Encodes
from ingest.report import Estimate
from storage.records import Chunk, Usage
from storage.vectors import Point

_SAMPLE = 32
# Bytes on disk for payload and indexes, without vectors, as a multiple of the text's bytes; measured.
_TEXT_FACTOR = 3
# Bits per dimension on disk, rounded up as a store does: token vectors take 4, the dense vector 32.
_TOKEN_BITS, _DENSE_BITS = 5, 40


class DryRun:
    """Takes the place of both the embedder and the sink."""

    def __init__(self, encodes: Encodes) -> None:
        self._encodes = encodes
        self._passages = 0
        self._text_bytes = 0
        self._sampled = 0
        self._sample_seconds = 0.0
        self._sample_bits = 0

    def encode(self, chunks: Sequence[Chunk]) -> Encoded:
        """Encode until the sample is full; count the other passages."""
        self._passages += len(chunks)
        self._text_bytes += sum(len(chunk.text.encode("utf-8", "replace")) for chunk in chunks)
        sample = chunks[: max(0, _SAMPLE - self._sampled)]
        usage = Usage()
        if sample:
            started = time.monotonic()
            encoded = self._encodes.encode(sample)
            self._sample_seconds += time.monotonic() - started
            self._sampled += len(sample)
            self._sample_bits += sum(_bits(point) for point in encoded.points)
            usage = encoded.usage  # an endpoint is paid for the sample too
        return Encoded([], [True] * len(chunks), usage=usage)

    def put(self, batch: Batch) -> None: ...

    def wait(self) -> None: ...

    def close(self) -> None: ...

    def estimate(self) -> Estimate:
        """From the sample's speed and size."""
        share = self._passages / self._sampled if self._sampled else 0.0
        vectors = share * self._sample_bits / 8
        return Estimate(
            self._passages, share * self._sample_seconds, int(vectors + _TEXT_FACTOR * self._text_bytes)
        )


def _bits(point: Point) -> int:
    dense = 0 if point.dense is None else point.dense.size * _DENSE_BITS
    return dense + (0 if point.tokens is None else point.tokens.size * _TOKEN_BITS)
