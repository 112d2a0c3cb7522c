"""Lays out a collection of winnow in Qdrant Edge."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qdrant_edge as qdrant

from storage.qdrant.contract import DENSE, LEXICAL, TOKENS, Fingerprint
from storage.qdrant.payload_indexes import OWN, IndexKind
from storage.qdrant.tuning import Tuning

# The engine's own defaults, which its config does not let one leave out singly.
_M, _EF_CONSTRUCT, _FULL_SCAN_KB = 16, 100, 10_000

# 100,000 vectors of 384 dimensions: from there on a scan takes twice a search in the graph (docs/qdrant.md),
# and before that neither takes long enough for the minutes of building to matter.
GRAPH_PAYS_KB = 150_000

# Fewer would have optimize() merge all that it moved to disk before, which takes memory for the whole.
_SEGMENTS = 64

SCHEMAS: Mapping[IndexKind, qdrant.PayloadSchemaType] = {
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
    """Return the engine's configuration of a new collection."""
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
    """Make an empty shard, in place of what a crash may have left there."""
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
    """Return the operation that makes an index over a field of the payload."""
    return qdrant.UpdateOperation.create_field_index(path, SCHEMAS[kind])
