"""Lays out a collection of winnow on a Qdrant server, and recognises one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdrant_client import models

from storage.errors import StoreCorruptError
from storage.qdrant.contract import DENSE, LEXICAL, TOKENS, Fingerprint
from storage.qdrant.payload_indexes import IndexKind
from storage.qdrant.tuning import Tuning

# The key of the fingerprint in the collection's own metadata. It is written by the request that makes the
# collection, so that none ever exists without it.
OURS = "winnow"

SCHEMAS: Mapping[IndexKind, models.PayloadSchemaType] = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "flag": models.PayloadSchemaType.BOOL,
    "date": models.PayloadSchemaType.DATETIME,
}

_QUANTIZATION: Mapping[str, models.QuantizationConfig] = {
    "scalar": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    ),
    "turbo": models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig(always_ram=True)),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
}


def layout(fingerprint: Fingerprint, tuning: Tuning, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `create_collection`; `notes` join the fingerprint in its metadata."""
    return {
        "vectors_config": _vectors(fingerprint, tuning),
        "sparse_vectors_config": {LEXICAL: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        "metadata": {OURS: fingerprint.to_dict(), **notes},
        "optimizers_config": None
        if tuning.indexing_threshold_kb is None
        else models.OptimizersConfigDiff(indexing_threshold=tuning.indexing_threshold_kb),
        "on_disk_payload": tuning.payload_on_disk,
        "shard_number": tuning.shard_number,
        "replication_factor": tuning.replication_factor,
        "write_consistency_factor": tuning.write_consistency_factor,
    }


def _vectors(fingerprint: Fingerprint, tuning: Tuning) -> dict[str, models.VectorParams]:
    dense = models.VectorParams(
        size=fingerprint.dim,
        distance=models.Distance.COSINE,
        hnsw_config=_graph(tuning),
        quantization_config=_QUANTIZATION.get(tuning.quantization),
        on_disk=tuning.on_disk,
    )
    if fingerprint.token_dim is None:
        return {DENSE: dense}
    tokens = models.VectorParams(
        size=fingerprint.token_dim,
        distance=models.Distance.COSINE,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        datatype=models.Datatype(tuning.token_datatype),
        # m = 0: only ever scored for given passages, never searched through a graph
        hnsw_config=models.HnswConfigDiff(m=0),
        on_disk=True,
    )
    return {DENSE: dense, TOKENS: tokens}


def _graph(tuning: Tuning) -> models.HnswConfigDiff | None:
    """Return the settings of the graph; None without any: a cluster waits for empty ones in vain."""
    if tuning.hnsw_m is None and tuning.hnsw_ef_construct is None:
        return None
    return models.HnswConfigDiff(m=tuning.hnsw_m, ef_construct=tuning.hnsw_ef_construct)


def metadata_of(info: models.CollectionInfo) -> Mapping[str, Any] | None:
    """Return the metadata that winnow wrote on a collection; None where winnow did not make it."""
    written = (info.config.metadata or {}).get(OURS)
    return written if isinstance(written, dict) else None


def read_fingerprint(name: str, where: str, info: models.CollectionInfo) -> Fingerprint:
    """Return the fingerprint of a collection that is whole. Raises StoreCorruptError."""
    written = metadata_of(info)
    if written is None:
        raise StoreCorruptError(
            f"the collection {name!r} at {where} was not made by winnow, or by a server older than 1.16",
            way_out="Choose another collection name.",
        )
    try:
        fingerprint = Fingerprint.from_dict(written)
    except (TypeError, ValueError) as error:
        raise StoreCorruptError(
            f"the collection {name!r} at {where} was made by another version of winnow",
            way_out=f"Rebuild it from the documents: winnow doctor --repair -c {name}",
        ) from error
    missing = _missing(fingerprint, info)
    if missing:
        raise StoreCorruptError(
            f"the collection {name!r} at {where} is half made: it has no {', no '.join(missing)}",
            way_out=f"Rebuild it from the documents: winnow doctor --repair -c {name}",
        )
    return fingerprint


def _missing(fingerprint: Fingerprint, info: models.CollectionInfo) -> list[str]:
    params = info.config.params
    dense = params.vectors if isinstance(params.vectors, dict) else {}
    wanted = [DENSE] if fingerprint.token_dim is None else [DENSE, TOKENS]
    absent = [f"vector {vector!r}" for vector in wanted if vector not in dense]
    return absent + ([] if LEXICAL in (params.sparse_vectors or {}) else [f"vector {LEXICAL!r}"])
