"""Passages for tests of the stores: four documents, two languages, metadata of every type."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from storage.qdrant.contract import DENSE, LEXICAL, Fingerprint, chunk_id
from storage.records import Chunk
from storage.vectors import Leg, Point, SparseVector, normalised

DIM = 32
FINGERPRINT = Fingerprint("test/encoder@1", DIM, "sections:256", "bm25(avg_len=40)", token_dim=DIM)


def points(count: int = 40) -> list[Point]:
    """Passages of four documents; every eighth cannot be read by the encoder."""
    random = np.random.default_rng(7)
    return [_point(i, random) for i in range(count)]


def _point(i: int, random: np.random.Generator) -> Point:
    legible = i % 8 != 7
    chunk = Chunk(
        id=chunk_id(f"doc-{i % 4}", f"passage {i}", 0),
        document_id=f"doc-{i % 4}",
        source=f"notes/{i % 4}.md",
        title=f"Document {i % 4}",
        text=f"passage {i}: 重排序把最好的放在前面 \U0001f600",
        start=i * 100,
        end=i * 100 + 90,
        ordinal=i,
        headings=("Guide", f"Part {i % 3}"),
        page=i % 5 or None,
        legible=legible,
        metadata={
            "lang": "zh" if i % 2 else "en",
            "year": 2015 + i % 10,
            "score": i / 8,
            "draft": i % 3 == 0,
            "author": None if i % 5 else "Wang",
            "mixed": (7, 2.5, "x", True, "2024-03-01")[i % 5],
            "published": f"2024-{i % 12 + 1:02d}-15",
        },
    )
    terms = sorted({int(term) for term in random.integers(0, 50, size=6)})
    lexical = SparseVector(tuple(terms), tuple(float(w) for w in random.uniform(0.5, 2, size=len(terms))))
    dense = normalised(random.normal(size=DIM).astype(np.float32))
    tokens = normalised(random.normal(size=(3 + i % 5, DIM)).astype(np.float32))
    return Point(chunk, lexical, dense if legible else None, tokens if legible else None)


def legs() -> list[Leg]:
    random = np.random.default_rng(11)
    dense = normalised(random.normal(size=DIM).astype(np.float32))
    return [Leg(DENSE, dense), Leg(LEXICAL, SparseVector((3, 17, 40, 44), (1.0, 0.7, 1.3, 0.2)))]


def graded_query() -> npt.NDArray[np.float32]:
    return normalised(np.random.default_rng(23).normal(size=(5, DIM)).astype(np.float32))


def graded_points() -> list[Point]:
    """Return passages with tokens ever nearer to the graded query: an order beyond storage error."""
    noise = np.random.default_rng(29).normal(size=(8, 5, DIM)).astype(np.float32)
    tokens = [normalised(graded_query() + 0.25 * (8 - i) * normalised(noise[i])) for i in range(8)]
    return [
        Point(point.chunk, point.lexical, point.dense, tokens[i]) for i, point in enumerate(points(60)[40:48])
    ]
