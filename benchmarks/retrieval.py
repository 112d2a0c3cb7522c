"""Retrieval speed, side by side: the embedded store, qdrant-client's local mode, FAISS and Milvus Lite.

    python benchmarks/retrieval.py                        # 20,000 points, realistic vectors
    python benchmarks/retrieval.py --points 20000 100000 --vectors real.npy --texts real.json

Each engine runs in its own process over the same data, so that memory is measured per engine. `--vectors` is
a float32 array of shape (n, dim), L2-normalised, `--texts` a JSON list of n passages; without them the
vectors lie around topics in a space whose variance falls off as real embeddings' does. Times are medians
over the queries, without the query's own embedding. FAISS and Milvus Lite are used if they are installed
(`pip install faiss-cpu milvus-lite pymilvus`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from storage.qdrant.conditions import Condition
from storage.qdrant.contract import DENSE, LEXICAL, Fingerprint
from storage.qdrant.edge.stores import EdgeCollection, EdgeStores
from storage.qdrant.filters import parse_filter
from storage.qdrant.tuning import Tuning
from storage.records import Chunk
from storage.vectors import Leg, Point, SparseVector, normalised

Floats = npt.NDArray[np.float32]
Report = dict[str, float]

DIM, LIMIT, BATCH, THREADS = 384, 50, 256, 16
TERMS, VOCABULARY, TEXT_LENGTH = 60, 50_000, 650
TOKENS_PER_PASSAGE, TOKEN_PASSAGES, QUERY_TOKENS = 150, 2_000, 20
WHERE = parse_filter('lang = "zh" and year >= 2020')
FINGERPRINT = Fingerprint("benchmark", DIM, "none", "zipf", token_dim=None)
ENGINES = ("edge", "local", "faiss", "milvus")

# The goals at 100,000 points: an upper bound, or a multiple of the client's local mode.
GOALS = {
    "hybrid p50 ms": "≤ 25",
    "hybrid filtered p50 ms": "≤ 30, 50×",
    "dense p50 ms": "8×",
    "dense filtered p50 ms": "50×",
    "upsert points/s": "25×",
    "reopen s": "≤ 1, 50×",
    "recall@50 of the index": "≥ 0.98",
    "MaxSim of 50, warm p50 ms": "≤ 25",
}


@dataclass(frozen=True)
class Data:
    """The passages and the questions, the same for every engine."""

    vectors: Floats
    texts: Sequence[str]
    queries: Floats

    @classmethod
    def load(cls, count: int, queries: int, vectors: Path | None, texts: Path | None) -> Data:
        have = np.load(vectors, mmap_mode="r") if vectors else realistic(count + queries)
        if len(have) < count + queries:
            raise SystemExit(f"{vectors} has {len(have)} vectors; {count + queries} are needed")
        words = json.loads(texts.read_text(encoding="utf-8")) if texts else [""]
        # the last ones ask: neither stored nor seen
        return cls(np.asarray(have[:count]), words, np.asarray(have[-queries:]))

    def points(self) -> Iterable[list[Point]]:
        random = np.random.default_rng(5)
        for start in range(0, len(self.vectors), BATCH):
            rows = range(start, min(start + BATCH, len(self.vectors)))
            yield [Point(self.chunk(row), terms(random), self.vectors[row]) for row in rows]

    def chunk(self, row: int) -> Chunk:
        text = (self.texts[row % len(self.texts)] + " lorem ipsum dolor sit amet" * 25)[:TEXT_LENGTH]
        metadata = {"lang": "zh" if row % 3 == 0 else "en", "year": 2015 + row % 10}
        name = f"doc-{row // 20}"
        return Chunk(
            id=str(UUID(int=row + 1)),
            document_id=name,
            source=f"{name}.md",
            title=name,
            text=text,
            start=0,
            end=len(text),
            ordinal=row % 20,
            metadata=metadata,
        )


def realistic(count: int) -> Floats:
    """Unit vectors around 1,000 topics; the variance of the i-th direction falls off as 1/(i+1)."""
    random = np.random.default_rng(3)
    spread = (1 / np.sqrt(np.arange(1, DIM + 1))).astype(np.float32)
    topics = random.normal(size=(1_000, DIM)).astype(np.float32) * spread
    noise = random.normal(size=(count, DIM)).astype(np.float32) * spread
    return normalised(topics[random.integers(0, len(topics), count)] + 0.7 * noise)


def terms(random: np.random.Generator, count: int = TERMS) -> SparseVector:
    """Terms of a passage, as often as words are (Zipf)."""
    found = np.unique(random.zipf(1.3, size=count) % VOCABULARY)
    weights = random.uniform(0.5, 2, len(found))
    return SparseVector(tuple(int(term) for term in found), tuple(float(weight) for weight in weights))


# --- engines ------------------------------------------------------------------------------------------


def edge(data: Data, folder: Path) -> Report:
    """The embedded store as winnow uses it: dense and lexical leg, filter, reopening, index, threads."""
    stores = EdgeStores(folder)
    before = resident()
    report = stored(stores.create("bench", FINGERPRINT), data)
    started = time.perf_counter()
    collection = stores.open("bench")
    report["reopen s"] = time.perf_counter() - started
    report |= asked(collection, data)
    report["memory bytes a passage"] = (resident() - before) / len(data.vectors)
    report |= concurrent(collection, data)
    final = [data.chunk(int(row)) for row in np.random.default_rng(19).integers(0, len(data.vectors), 5)]
    report["neighbours of 5, p50 ms"] = median_ms(lambda _: collection.neighbours(final, 1), range(50))
    collection.close()
    return report | indexed(folder, data)


def local(data: Data, folder: Path) -> Report:
    """qdrant-client's local mode on disk, through the same adapter."""
    import warnings

    from qdrant_client import QdrantClient

    from storage.qdrant.server.link import Node, ServerLink
    from storage.qdrant.server.stores import ServerStores

    warnings.simplefilter("ignore")
    before = resident()

    def opened() -> ServerStores:
        return ServerStores(
            ServerLink([Node(QdrantClient(path=str(folder / "local")))], "local", 0, attempts=1)
        )

    stores = opened()
    report = stored(stores.create("bench", FINGERPRINT), data)
    stores.close()
    started = time.perf_counter()
    stores = opened()
    collection = stores.open("bench")
    collection.count()
    report["reopen s"] = time.perf_counter() - started
    few = Data(data.vectors, data.texts, data.queries[:10])
    report |= asked(collection, few)
    report["memory bytes a passage"] = (resident() - before) / len(data.vectors)
    stores.close()
    return report | {"disk bytes a passage": size(folder) / len(data.vectors)}


def faiss(data: Data, _folder: Path) -> Report:
    """IndexFlatIP: no payload, no filter, no lexical leg, no durability. The floor."""
    index = import_module("faiss").IndexFlatIP(DIM)
    started = time.perf_counter()
    index.add(data.vectors)
    rate = len(data.vectors) / (time.perf_counter() - started)
    searched = median_ms(lambda query: index.search(query[None], LIMIT), data.queries)
    return {"upsert points/s": rate, "dense p50 ms": searched}


def milvus(data: Data, folder: Path) -> Report:
    """Milvus Lite with its defaults (FLAT on disk), the same payload."""
    client = import_module("pymilvus").MilvusClient(str(folder / "milvus.db"))
    client.create_collection("bench", dimension=DIM, metric_type="IP", auto_id=False)
    started = time.perf_counter()
    for start in range(0, len(data.vectors), BATCH):
        rows = range(start, min(start + BATCH, len(data.vectors)))
        client.insert("bench", [_milvus_row(data, row) for row in rows])
    rate = len(data.vectors) / (time.perf_counter() - started)
    fields = ["text", "lang", "year"]

    def search(query: Floats, where: str = "") -> Any:
        return client.search("bench", [query.tolist()], limit=LIMIT, filter=where, output_fields=fields)

    report = {
        "upsert points/s": rate,
        "dense p50 ms": median_ms(search, data.queries),
        "dense filtered p50 ms": median_ms(
            lambda query: search(query, 'lang == "zh" and year >= 2020'), data.queries
        ),
    }
    client.close()
    return report


def _milvus_row(data: Data, row: int) -> dict[str, Any]:
    chunk = data.chunk(row)
    return {"id": row, "vector": data.vectors[row].tolist(), "text": chunk.text, **chunk.metadata}


# --- what is measured of both Qdrants -----------------------------------------------------------------


def stored(collection: Any, data: Data) -> Report:
    spent = 0.0
    for points in data.points():
        started = time.perf_counter()
        collection.upsert(points)
        spent += time.perf_counter() - started
    started = time.perf_counter()
    collection.close()
    spent += time.perf_counter() - started
    return {"upsert points/s": len(data.vectors) / spent}


def asked(collection: Any, data: Data) -> Report:
    random = np.random.default_rng(13)
    sparse = terms(random, 12)
    legs: Mapping[str, Callable[[Floats], list[Leg]]] = {
        "dense": lambda query: [Leg(DENSE, query)],
        "lexical": lambda _: [Leg(LEXICAL, sparse)],
        "hybrid": lambda query: [Leg(DENSE, query), Leg(LEXICAL, sparse)],
    }
    report: Report = {}
    for name, made in legs.items():
        for where, note in ((None, ""), (WHERE, " filtered")):

            def search(query: Floats, made: Any = made, where: Condition | None = where) -> object:
                return collection.search(made(query), LIMIT, where)

            report[f"{name}{note} p50 ms"] = median_ms(search, data.queries)
    return report


def concurrent(collection: EdgeCollection, data: Data) -> Report:
    """Search from sixteen threads at once; an error would end the run."""
    sparse = terms(np.random.default_rng(13), 12)

    def ask(query: Floats) -> int:
        return len(collection.search([Leg(DENSE, query), Leg(LEXICAL, sparse)], LIMIT)[0])

    queries = list(data.queries) * 4
    with ThreadPoolExecutor(THREADS) as pool:
        started = time.perf_counter()
        found = list(pool.map(ask, queries))
        spent = time.perf_counter() - started
    assert min(found) == LIMIT
    return {f"hybrid queries/s, {THREADS} threads": len(queries) / spent}


def indexed(folder: Path, data: Data) -> Report:
    """The graph: how long it takes to build, what it gives, and how much of the exact Top-50 it finds."""
    report = {"disk bytes a passage": size(folder) / len(data.vectors)}
    stores = EdgeStores(folder)
    collection = stores.open("bench")
    started = time.perf_counter()
    with ThreadPoolExecutor(1) as aside:
        building, waited = aside.submit(collection.build_graph), []
        while not building.done():
            waited.append(
                median_ms(lambda query: collection.search([Leg(DENSE, query)], LIMIT), data.queries[:1])
            )
    report["index build s"] = time.perf_counter() - started
    report["dense p50 ms while it is built"] = float(np.median(waited))
    report["the longest of them, ms"] = max(waited)
    report["indexed dense p50 ms"] = median_ms(
        lambda query: collection.search([Leg(DENSE, query)], LIMIT), data.queries
    )
    approximate = [top(collection, query) for query in data.queries]
    collection.close()
    exact = EdgeStores(folder, tuning=Tuning(exact=True)).open("bench")
    right = [top(exact, query) for query in data.queries]
    report["exact dense p50 ms"] = median_ms(lambda q: exact.search([Leg(DENSE, q)], LIMIT), data.queries)
    exact.close()
    shares = [len(found & true) / LIMIT for found, true in zip(approximate, right, strict=True)]
    report["recall@50 of the index"] = float(np.mean(shares))
    return report


def top(collection: EdgeCollection, query: Floats) -> set[str]:
    [hits] = collection.search([Leg(DENSE, query)], LIMIT)
    return {hit.chunk.id for hit in hits}


def late_interaction(folder: Path, passages: int) -> Report:
    """MaxSim over 50 stored passages, inside the engine: the first touch, and warm."""
    random = np.random.default_rng(17)
    data = Data.load(passages, 1, None, None)
    stores = EdgeStores(folder)
    collection = stores.create("tokens", Fingerprint("benchmark", DIM, "none", "zipf", token_dim=DIM))
    for points in data.points():
        collection.upsert([Point(p.chunk, p.lexical, p.dense, _tokens(random)) for p in points])
    collection.close()
    collection = stores.open("tokens")
    query = _tokens(random, QUERY_TOKENS)
    ids = [data.chunk(int(row)).id for row in random.choice(passages, LIMIT, replace=False)]
    started = time.perf_counter()
    collection.max_sim(query, ids)
    first = (time.perf_counter() - started) * 1000
    warm = median_ms(lambda _: collection.max_sim(query, ids), range(30))
    collection.close()
    return {
        "MaxSim of 50, first touch ms": first,
        "MaxSim of 50, warm p50 ms": warm,
        "disk bytes a passage, with tokens": size(folder) / passages,
    }


def _tokens(random: np.random.Generator, count: int = TOKENS_PER_PASSAGE) -> Floats:
    return normalised(random.normal(size=(count, DIM)).astype(np.float32))


def median_ms(call: Callable[[Any], object], arguments: Iterable[Any]) -> float:
    times = []
    for argument in arguments:
        started = time.perf_counter()
        call(argument)
        times.append((time.perf_counter() - started) * 1000)
    return float(np.median(times))


def resident() -> int:
    """Return the memory of this process in bytes (Linux); 0 elsewhere."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def size(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


# --- the run ------------------------------------------------------------------------------------------


def run_one(engine: str, count: int, arguments: argparse.Namespace) -> Report:
    """Run one engine in this process."""
    with tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder:
        if engine == "tokens":
            return late_interaction(Path(folder), count)
        data = Data.load(count, arguments.queries, arguments.vectors, arguments.texts)
        measured: Mapping[str, Callable[[Data, Path], Report]] = {
            "edge": edge,
            "local": local,
            "faiss": faiss,
            "milvus": milvus,
        }
        return measured[engine](data, Path(folder))


def run_apart(engine: str, count: int) -> Report | None:
    """Run one engine in its own process; return None if it is not installed."""
    command = [sys.executable, __file__, *sys.argv[1:], "--only", engine, "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise SystemExit(f"{engine} failed:\n{done.stderr}")
    report: Report = json.loads(done.stdout.splitlines()[-1])
    return report


def table(reports: Mapping[str, Report | None]) -> None:
    names = [name for name, report in reports.items() if report is not None]
    rows = list(dict.fromkeys(row for name in names for row in reports[name] or {}))
    print("| | " + " | ".join(names) + " | local : edge | goal |")
    print("|---" * (len(names) + 3) + "|")
    for row in rows:
        values = [(reports[name] or {}).get(row) for name in names]
        cells = ["" if value is None else f"{value:,.4g}" for value in values]
        print(f"| {row} | " + " | ".join(cells) + f" | {ratio(row, reports)} | {GOALS.get(row, '')} |")
    for name in reports.keys() - set(names):
        print(f"\n{name} is not installed.")


def ratio(row: str, reports: Mapping[str, Report | None]) -> str:
    """Return how many times better the embedded store does than the client's local mode."""
    mine, theirs = ((reports.get(name) or {}).get(row) for name in ("edge", "local"))
    if not mine or not theirs:
        return ""
    return f"{mine / theirs if row.endswith('/s') else theirs / mine:.1f}×"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, nargs="+", default=[20_000])
    parser.add_argument("--token-points", type=int, default=TOKEN_PASSAGES, help="for late interaction")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(run_one(arguments.only, arguments.count, arguments)))
        return
    for count in arguments.points:
        print(f"\n## {count:,} points, {os.cpu_count()} cores\n")
        table({engine: run_apart(engine, count) for engine in arguments.engines})
    print("\n## Late interaction\n")
    table({"edge": run_apart("tokens", arguments.token_points)})


if __name__ == "__main__":
    main()
