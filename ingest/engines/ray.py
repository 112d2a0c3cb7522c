"""The engine on Ray Data: workers of a cluster parse files, encode passages and store them.

The driver finds the files, decides what changed and keeps the manifest. Workers parse (in child processes, as
everywhere), encode, and write to a Qdrant server or cluster; only ids and flags return to the driver. Chunk
ids derive from document and content, so they equal those of a local run. Every node must see the files under
the same path.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ingest.batches import Embedder, Encoded, pending
from ingest.engines.local import ParserPool
from ingest.engines.tasks import Done, Encodes, Parsed, Parses, Refused, Reply, Setup, Task
from ingest.report import cut_warning
from storage.errors import MissingDependencyError, StoreError, WinnowError
from storage.manifest.manifest import Manifest
from storage.qdrant.contract import Writer, document_id
from storage.records import Chunk
from storage.vectors import TermEncoder, TextEncoder

# Files per dataset; the manifest is written between two datasets.
_WINDOW = 10_000
_DOCUMENTS_A_BATCH = 16
_PASSAGES_A_BATCH = 128

Item = tuple[Task, Reply]
Travelling = tuple[Task, "Parsed | _FileEnd"]
Batch = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RayParts:
    """A worker's encoders and the store that it writes to."""

    encoder: TextEncoder
    lexical: TermEncoder
    store: Writer


class RayEngine:
    """Parses, encodes and stores on Ray. `make` is called once in each worker and builds its parts there.

    `workers` parse, and as many encode, `gpus` each of a GPU. Connects to the running cluster, or starts Ray
    on this machine. Raises MissingDependencyError without Ray.
    """

    def __init__(
        self,
        manifest: Manifest,
        make: Callable[[], RayParts],
        *,
        tokens: bool,
        workers: int,
        gpus: float = 0.0,
    ) -> None:
        _ray()
        self.encodes: Encodes = _Written()
        self._manifest = manifest
        self._make = make
        self._tokens = tokens
        self._workers = workers
        self._gpus = gpus

    def parses(self, setup: Setup) -> AbstractContextManager[Parses]:
        return nullcontext(_RayParser(partial(self._results, setup)))

    def _results(self, setup: Setup, tasks: Sequence[Task]) -> Iterator[Travelling]:
        self._open(tasks)
        ray = _quiet(_ray())
        pool = ray.data.ActorPoolStrategy(size=self._workers)
        data = ray.data.from_items(
            [{"item": pickle.dumps(task)} for task in tasks],
            override_num_blocks=max(1, min(len(tasks), 4 * self._workers)),
        )
        data = data.flat_map(_ParserActor, fn_constructor_args=(setup,), compute=pool)
        data = data.map_batches(
            _WriterActor,
            fn_constructor_args=(self._make, self._tokens),
            batch_size=_DOCUMENTS_A_BATCH,
            compute=pool,
            num_gpus=self._gpus,
        )
        with _translated():
            for row in data.iter_rows():
                yield pickle.loads(row["item"])

    def _open(self, tasks: Sequence[Task]) -> None:
        """Note new documents as pending before any passage of theirs is stored: see `ingest.batches`."""
        ids = [document_id(task.source) for task in tasks]
        known = self._manifest.get_many(ids)
        rows = [pending(id_, task.source) for id_, task in zip(ids, tasks, strict=True) if id_ not in known]
        self._manifest.put_many(rows)


def installed() -> None:
    """Raises MissingDependencyError, which gives the install command, where Ray is missing."""
    _ray()


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError(
            "the engine `ray` needs Ray", way_out="pip install 'winnow-rag[distributed]'"
        ) from error
    return ray


def _quiet(ray: Any) -> Any:
    """Connect Ray, without its own progress output: the run has a bar and a report."""
    if not ray.is_initialized():
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def _translated() -> Iterator[None]:
    """Raise a worker's error as itself if it is a WinnowError, otherwise as a StoreError."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, WinnowError):
            raise cause from error
        last = str(error).strip().rpartition("\n")[2]
        raise StoreError(
            f"a Ray worker failed: {last}", way_out="Run it again: it continues where it stopped."
        ) from error


class _Written:
    """Takes the place of the embedder: the workers have already encoded and written."""

    def encode(self, chunks: Sequence[Chunk]) -> Encoded:
        return Encoded([], [chunk.legible for chunk in chunks])


class _RayParser:
    """Collects a window of files, runs a dataset over it, and gives each file's replies together."""

    def __init__(self, results: Callable[[Sequence[Task]], Iterator[Travelling]]) -> None:
        self._results = results
        self._collected: list[Task] = []
        self._replies: Iterator[Item] | None = None
        self._open = 0

    @property
    def has_room(self) -> bool:
        return self._replies is None and len(self._collected) < _WINDOW

    @property
    def idle(self) -> bool:
        return self._open == 0

    def submit(self, task: Task) -> None:
        self._open += 1
        self._collected.append(task)

    def next_reply(self) -> Item:
        if self._replies is None:
            tasks, self._collected = self._collected, []
            self._replies = _in_order(self._results(tasks))
        item = next(self._replies)
        if isinstance(item[1], Done | Refused):
            self._open -= 1
            if self._open == 0:
                self._replies = None
        return item


def _in_order(items: Iterator[Travelling]) -> Iterator[Item]:
    """Each file's documents, then its end, which has their number: Ray gives them in any order."""
    parsed: dict[str, list[Item]] = {}
    ends: dict[str, tuple[Item, int]] = {}
    for task, reply in items:
        source = task.source
        if isinstance(reply, _FileEnd):
            ends[source] = ((task, reply.reply), reply.documents)
        else:
            parsed.setdefault(source, []).append((task, reply))
        if source in ends and len(parsed.get(source, ())) == ends[source][1]:
            yield from parsed.pop(source, ())
            yield ends.pop(source)[0]


@dataclass(frozen=True, slots=True)
class _FileEnd:
    """The last reply to a file, and the number of documents before it."""

    reply: Done | Refused
    documents: int


class _ParserActor:
    """A parser process in a Ray worker."""

    def __init__(self, setup: Setup) -> None:
        self._pool = ParserPool(setup, 1)

    def __call__(self, row: Mapping[str, bytes]) -> Iterator[dict[str, bytes]]:
        self._pool.submit(pickle.loads(row["item"]))
        documents = 0
        while not self._pool.idle:
            task, reply = self._pool.next_reply()
            travelling = reply if isinstance(reply, Parsed) else _FileEnd(reply, documents)
            documents += 1
            yield {"item": pickle.dumps((task, travelling))}


class _WriterActor:
    """Encodes documents and writes their passages; returns the documents without their texts."""

    def __init__(self, make: Callable[[], RayParts], tokens: bool) -> None:
        parts = make()
        self._store = parts.store
        self._embedder = Embedder(parts.encoder, parts.lexical, tokens=tokens)

    def __call__(self, batch: Batch) -> Batch:
        items: list[Travelling] = [pickle.loads(item) for item in batch["item"]]
        chunks = [chunk for _, reply in items if isinstance(reply, Parsed) for chunk in reply.chunks]
        legible: dict[str, bool] = {}
        cut: set[str] = set()
        for start in range(0, len(chunks), _PASSAGES_A_BATCH):
            encoded = self._embedder.encode(chunks[start : start + _PASSAGES_A_BATCH])
            self._store.upsert(encoded.points)
            legible |= {point.chunk.id: point.chunk.legible for point in encoded.points}
            cut |= {encoded.points[place].chunk.id for place in encoded.cut}
        return {"item": [pickle.dumps((task, _without_text(reply, legible, cut))) for task, reply in items]}


def _without_text(
    reply: Parsed | _FileEnd, legible: Mapping[str, bool], cut: Container[str]
) -> Parsed | _FileEnd:
    if not isinstance(reply, Parsed):
        return reply
    light = (replace(chunk, text="", metadata={}, legible=legible[chunk.id]) for chunk in reply.chunks)
    warnings = cut_warning(sum(chunk.id in cut for chunk in reply.chunks), len(reply.chunks))
    return replace(reply, chunks=tuple(light), warnings=(*reply.warnings, *warnings))
