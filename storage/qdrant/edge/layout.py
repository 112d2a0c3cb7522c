"""What a collection of winnow looks like in Qdrant Edge, and points on their way in and out."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as qdrant

from storage.qdrant.contract import DENSE, LEXICAL, TOKENS, Fingerprint
from storage.qdrant.payload import from_payload, to_payload
from storage.qdrant.payload_indexes import OWN, IndexKind
from storage.qdrant.tuning import Tuning
from storage.vectors import Floats, Point, SparseVector

# The engine's own defaults, which its config does not let one leave out singly.
_M, _EF_CONSTRUCT, _FULL_SCAN_KB = 16, 100, 10_000

# 100,000 vectors of 384 dimensions: from there on a scan takes twice a search in the graph (docs/qdrant.md),
# and before that neither takes long enough for the minutes of building to matter.
GRAPH_PAYS_KB = 150_000

# Fewer would have optimize() merge all that it moved to disk before, which takes memory for the whole.
_SEGMENTS = 64

_SCHEMAS: Mapping[IndexKind, qdrant.PayloadSchemaType] = {
    "keyword": qdrant.PayloadSchemaType.Keyword,
    "number": qdrant.PayloadSchemaType.Float,
    "flag": qdrant.PayloadSchemaType.Bool,
    "date": qdrant.PayloadSchemaType.Datetime,
}
_QUANTIZATION: Mapping[str, Any] = {
    "scalar": qdrant.ScalarQuantizationConfig(qdrant.ScalarType.Int8, always_ram=True),
    "turbo": qdrant.TurboQuantQuantizationConfig(always_ram=True),
    "binary": qdrant.BinaryQuantizationConfig(always_ram=True),
}


def layout(fingerprint: Fingerprint, tuning: Tuning) -> qdrant.EdgeConfig:
    """The engine's configuration of a new collection."""
    vectors = {DENSE: _dense(fingerprint.dim, tuning)}
    if fingerprint.token_dim is not None:
        vectors[TOKENS] = _tokens(fingerprint.token_dim, tuning)
    return qdrant.EdgeConfig(
        vectors=vectors,
        sparse_vectors={
            # on disk once optimize() has seen them, and read through the system's cache
            LEXICAL: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf, memory=qdrant.Memory.Cold)
        },
        on_disk_payload=tuning.payload_on_disk,
        optimizers=qdrant.EdgeOptimizersConfig(
            indexing_threshold=tuning.indexing_threshold_kb, default_segment_number=_SEGMENTS
        ),
        wal_enabled=True,
    )


def new_shard(path: Path, fingerprint: Fingerprint, tuning: Tuning) -> qdrant.EdgeShard:
    """An empty shard, in place of what a crash may have left there."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    shard = qdrant.EdgeShard.create(str(path), layout(fingerprint, tuning))
    for field, kind in OWN.items():
        shard.update(field_index(field, kind))
    shard.flush()
    return shard


def _dense(dim: int, tuning: Tuning) -> qdrant.EdgeVectorParams:
    return qdrant.EdgeVectorParams(
        size=dim,
        distance=qdrant.Distance.Cosine,
        hnsw_config=_hnsw(tuning.hnsw_m, tuning.hnsw_ef_construct),
        quantization_config=_QUANTIZATION.get(tuning.quantization),
        on_disk=tuning.on_disk,
    )


def _tokens(dim: int, tuning: Tuning) -> qdrant.EdgeVectorParams:
    return qdrant.EdgeVectorParams(
        size=dim,
        distance=qdrant.Distance.Cosine,
        multivector_config=qdrant.MultiVectorConfig(qdrant.MultiVectorComparator.MaxSim),
        # the Turbo types are missing from the package's stub, hence by name
        datatype=getattr(qdrant.VectorStorageDatatype, tuning.token_datatype.capitalize()),
        # m = 0: only ever scored for given passages, never searched through a graph
        hnsw_config=_hnsw(0, None),
        memory=qdrant.Memory.Cold,
    )


def _hnsw(m: int | None, ef_construct: int | None) -> qdrant.HnswIndexConfig:
    return qdrant.HnswIndexConfig(
        m=_M if m is None else m,
        ef_construct=_EF_CONSTRUCT if ef_construct is None else ef_construct,
        full_scan_threshold=_FULL_SCAN_KB,
    )


def field_index(path: str, kind: IndexKind) -> qdrant.UpdateOperation:
    """An index over a field of the payload."""
    return qdrant.UpdateOperation.create_field_index(path, _SCHEMAS[kind])


def index_kinds(info: qdrant.ShardInfo) -> dict[str, IndexKind]:
    """The paths that have an index of ours."""
    kinds = {schema: kind for kind, schema in _SCHEMAS.items()}
    schemas = ((path, index.data_type) for path, index in info.payload_schema.items())
    return {path: kinds[schema] for path, schema in schemas if schema in kinds}


def to_struct(point: Point) -> qdrant.Point:
    """A point as the engine takes it."""
    vectors: dict[str, Any] = {LEXICAL: _sparse(point.lexical)}
    if point.dense is not None:
        vectors[DENSE] = point.dense.tolist()
    if point.tokens is not None:
        vectors[TOKENS] = point.tokens.tolist()
    return qdrant.Point(point.chunk.id, vectors, to_payload(point.chunk))


def from_record(record: qdrant.Record) -> Point:
    """A point as the engine gives it back."""
    lexical = named(record.vector, LEXICAL)
    terms = (tuple(lexical.indices), tuple(lexical.values)) if lexical else ((), ())
    return Point(
        chunk=from_payload(str(record.id), record.payload),
        lexical=SparseVector(*terms),
        dense=floats(named(record.vector, DENSE)),
        tokens=floats(named(record.vector, TOKENS)),
    )


def nearest(query: Floats | SparseVector, using: str) -> Any:
    """The query of one leg."""
    vector = _sparse(query) if isinstance(query, SparseVector) else query.tolist()
    return qdrant.Query.Nearest(vector, using=using)


def named(vector: Any, name: str) -> Any:
    """One of a point's vectors; None where it has none of that name."""
    return vector.get(name) if isinstance(vector, dict) else None


def floats(vector: Any) -> Floats | None:
    """A vector or the rows of a multivector; None where there is none."""
    if not vector:
        return None
    if not isinstance(vector[0], list):
        return np.asarray(vector, dtype=np.float32)
    # an answer reads some 300,000 numbers: this takes a third of the time of np.asarray over nested lists
    packed = struct.Struct(f"={len(vector[0])}f").pack
    rows = bytearray().join(packed(*row) for row in vector)
    return np.frombuffer(rows, dtype=np.float32).reshape(len(vector), -1)


def _sparse(vector: SparseVector) -> qdrant.SparseVector:
    return qdrant.SparseVector(list(vector.indices), list(vector.values))
