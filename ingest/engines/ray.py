"""The same plan on Ray Data: files are parsed, passages encoded and stored wherever Ray has room.

The driver keeps what must be in one place: which files there are, what changed, and the manifest. Workers
parse (in contained processes, as everywhere), encode, and write straight to a Qdrant server or cluster; what
comes back to the driver is ids and verdicts. Chunk ids derive from document and content, so they are those of
a local run. Files must be visible to every node under the same path.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from ingest.batches import Embedder, Encoded, pending
from ingest.encoding import LexicalEncoder, PassageEncoder
from ingest.engines.local import Encodes, Parses
from ingest.engines.processes import Pool
from ingest.engines.tasks import Done, Parsed, Refused, Reply, Setup, Task
from ingest.report import cut_warning
from storage.errors import MissingDependencyError, StoreError, WinnowError
from storage.manifest.manifest import Manifest
from storage.qdrant.contract import Writer, document_id
from storage.records import Chunk

# Files that one dataset covers; between two, what is done reaches the manifest.
_WINDOW = 10_000
_DOCUMENTS_A_BATCH = 16
_PASSAGES_A_BATCH = 128

Item = tuple[Task, Reply]
Travelling = tuple[Task, "Parsed | _End"]
Batch = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker encodes with and writes to."""

    encoder: PassageEncoder
    lexical: LexicalEncoder
    store: Writer


class RayEngine:
    """Parses, encodes and stores on Ray. `make` is called once in each worker and builds its parts there.

    `workers` parse, and as many encode, `gpus` each of a GPU. Connects to the running cluster, or starts Ray
    on this machine. Raises MissingDependencyError without Ray.
    """

    def __init__(
        self, manifest: Manifest, make: Callable[[], Parts], *, tokens: bool, workers: int, gpus: float = 0.0
    ) -> None:
        _ray()
        self.encodes: Encodes = _Written()
        self._manifest = manifest
        self._make = make
        self._tokens = tokens
        self._workers = workers
        self._gpus = gpus

    def parses(self, setup: Setup) -> AbstractContextManager[Parses]:
        return nullcontext(_RayParses(self._results(setup)))

    def _results(self, setup: Setup) -> Callable[[Sequence[Task]], Iterator[Travelling]]:
        def results(tasks: Sequence[Task]) -> Iterator[Travelling]:
            self._open(tasks)
            ray = _quiet(_ray())
            pool = ray.data.ActorPoolStrategy(size=self._workers)
            data = ray.data.from_items(
                [{"item": pickle.dumps(task)} for task in tasks],
                override_num_blocks=max(1, min(len(tasks), 4 * self._workers)),
            )
            data = data.flat_map(_Parsing, fn_constructor_args=(setup,), compute=pool)
            data = data.map_batches(
                _Storing,
                fn_constructor_args=(self._make, self._tokens),
                batch_size=_DOCUMENTS_A_BATCH,
                compute=pool,
                num_gpus=self._gpus,
            )
            with _translated():
                for row in data.iter_rows():
                    yield pickle.loads(row["item"])

        return results

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
    """Ray, connected, without its own account of every ten seconds: the run has a bar and a report."""
    if not ray.is_initialized():
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def _translated() -> Iterator[None]:
    """What a worker raised, as our own error where it was one."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, WinnowError):
            raise cause from error
        last = str(error).strip().rpartition("\n")[2]
        raise StoreError(
            f"a Ray worker failed: {last}", way_out="Run it again: it goes on where it stopped."
        ) from error


class _Written:
    """Stands where the embedder stands: the workers have encoded and written already."""

    def encode(self, chunks: Sequence[Chunk]) -> Encoded:
        return Encoded([], [chunk.legible for chunk in chunks])


class _RayParses:
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
    """Each file's documents, then its end: Ray gives them in any order. An end knows how many there are."""
    parsed: dict[str, list[Item]] = {}
    ends: dict[str, tuple[Item, int]] = {}
    for task, reply in items:
        source = task.source
        if isinstance(reply, _End):
            ends[source] = ((task, reply.reply), reply.documents)
        else:
            parsed.setdefault(source, []).append((task, reply))
        if source in ends and len(parsed.get(source, ())) == ends[source][1]:
            yield from parsed.pop(source, ())
            yield ends.pop(source)[0]


@dataclass(frozen=True, slots=True)
class _End:
    """The last reply to a file, and how many documents there were before it."""

    reply: Done | Refused
    documents: int


class _Parsing:
    """A parser process in a Ray worker."""

    def __init__(self, setup: Setup) -> None:
        self._pool = Pool(setup, 1)

    def __call__(self, row: Mapping[str, bytes]) -> Iterator[dict[str, bytes]]:
        self._pool.submit(pickle.loads(row["item"]))
        documents = 0
        while not self._pool.idle:
            task, reply = self._pool.next_reply()
            travelling = reply if isinstance(reply, Parsed) else _End(reply, documents)
            documents += 1
            yield {"item": pickle.dumps((task, travelling))}


class _Storing:
    """Encodes documents and writes their passages; gives them back without their texts."""

    def __init__(self, make: Callable[[], Parts], tokens: bool) -> None:
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


def _without_text(reply: Parsed | _End, legible: Mapping[str, bool], cut: Container[str]) -> Parsed | _End:
    if not isinstance(reply, Parsed):
        return reply
    light = (replace(chunk, text="", metadata={}, legible=legible[chunk.id]) for chunk in reply.chunks)
    warnings = cut_warning(sum(chunk.id in cut for chunk in reply.chunks), len(reply.chunks))
    return replace(reply, chunks=tuple(light), warnings=(*reply.warnings, *warnings))
