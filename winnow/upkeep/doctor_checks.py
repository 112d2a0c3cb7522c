"""The checks of `winnow doctor`. Each examines one thing and says what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from storage.database import file_of
from storage.errors import NotFoundError, WinnowError
from storage.private_files import is_open_to_others
from storage.secrets import masked
from storage.sqlite.damage import damage_of, set_aside
from storage.sqlite.errors import translated
from winnow.app.encoders import way_on
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.upkeep.integrity import ExaminedCollection, Progress, examine

_VERSIONS = (
    *("winnow-rag", "qdrant-edge-py", "qdrant-client", "onnxruntime", "torch"),
    *("sentence-transformers", "sqlalchemy", "openai"),
)
_ROOMY_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Check:
    """A finding. `bad`: something will not work. `note`: worth knowing. Secrets in it are masked."""

    name: str
    state: Literal["ok", "note", "bad"]
    finding: str
    advice: str = ""

    def __post_init__(self) -> None:
        for field in ("finding", "advice"):
            object.__setattr__(self, field, masked(getattr(self, field)))

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def run(settings: Settings, progress: Progress | None = None) -> list[Check]:
    """Run all checks. Nothing is sent anywhere but to a Qdrant server that was chosen.

    `progress` hears how much of the collection is read.
    """
    with Wiring(settings) as wiring:
        first, last = _before_collections(wiring), _after_collections(wiring)
        readable = all(check.state != "bad" for check in first if check.name == "store")
        collections = _guarded("collection", _collections(wiring, progress)) if readable else ()
        return [*first, *collections, *last]


def quick(wiring: Wiring) -> list[Check]:
    """Run the checks that read no collection, for a process that has everything open."""
    return [*_before_collections(wiring), *_after_collections(wiring)]


def _before_collections(wiring: Wiring) -> list[Check]:
    return [_versions(), *_guarded("encoder", _encoder(wiring)), *_guarded("store", _store(wiring))]


def _after_collections(wiring: Wiring) -> Iterator[Check]:
    yield from _guarded("database", _database(wiring.settings))
    yield from _guarded("uploads", _uploads(wiring))
    yield from _guarded("log", _log(wiring))
    yield from _guarded("chat model", _chat(wiring.settings))
    yield _disk(wiring.settings)
    yield from _privacy(wiring.settings)
    yield from _keys(wiring.settings)


def _guarded(name: str, checks: Iterable[Check]) -> Iterator[Check]:
    """Yield checks; an error of ours becomes the last of them."""
    try:
        yield from checks
    except WinnowError as error:
        yield Check(name, "bad", str(error), error.way_out)


def _versions() -> Check:
    found = ", ".join(f"{name} {_version(name)}" for name in _VERSIONS)
    return Check("versions", "ok", f"Python {platform.python_version()}, {found}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _encoder(wiring: Wiring) -> Iterator[Check]:
    from retrieval.models.hub import DEFAULT_MODEL
    from storage.legibility import LEGIBLE

    encoder = wiring.encoder
    chinese = encoder.legibility("重排序让最相关的段落排在最前面。")
    finding = f"{encoder.id}, {encoder.dim} dimensions, reads {encoder.max_tokens} tokens"
    if chinese >= LEGIBLE:
        yield Check("encoder", "ok", f"{finding}, English and Chinese")
        return
    yield Check(
        "encoder",
        "note",
        f"{finding}; of Chinese it reads {chinese:.0%}, so Chinese is searched lexically only",
        f"The default, {DEFAULT_MODEL}, reads both: leave encoder.model out.",
    )


def _store(wiring: Wiring) -> Iterator[Check]:
    url, chosen = wiring.settings.store.url, wiring.settings.collection
    names = wiring.stores.names()
    place = url or f"embedded, in {wiring.settings.collections_dir}"
    finding = f"{place}; collections: {', '.join(names)}"
    if not names:
        yield Check("store", "note", f"{place}; no collection yet", "winnow ingest PATH makes one.")
    elif chosen not in names:
        yield Check("store", "note", f"{finding}; none is called {chosen!r}", "Choose one with --collection.")
    else:
        yield Check("store", "ok", finding)
    yield from _server(wiring)


def _server(wiring: Wiring) -> Iterator[Check]:
    """Describe the Qdrant server, and how the chosen collection lies on it."""
    from storage.qdrant.server.stores import ServerStores

    stores, chosen = wiring.stores, wiring.settings.collection
    if not isinstance(stores, ServerStores):
        return
    cluster = stores.cluster()
    if cluster.is_older:
        advice = "There `contains` works on fields with an index of text only; a newer server does the rest."
        yield Check("server", "note", f"{cluster}; winnow is written for Qdrant 1.20", advice)
    else:
        yield Check("server", "ok", str(cluster))
    try:
        state = stores.state(chosen)
    except NotFoundError:
        return
    if state.stale:
        advice = "Run the last ingest again once its nodes are back: they may lack what was written then."
        yield Check("server", "note", f"{chosen}: {state}", advice)
    else:
        yield Check("server", "ok", f"{chosen}: {state}")
    if state.lacking:
        finding = f"{chosen} has no payload index over {', '.join(state.lacking)}"
        yield Check("server", "note", finding, "The next winnow ingest makes it.")


def _collections(wiring: Wiring, progress: Progress | None) -> Iterator[Check]:
    """Check the chosen collection by reading all of it, and look for leftovers of the others."""
    chosen = wiring.settings.collection
    name = f"collection {chosen}"
    found = examine(wiring, chosen, progress)
    for damage in found.damages:
        yield Check(name, "note" if damage.harmless else "bad", damage.finding, damage.advice)
    blocked = any(damage.remedy != "tidy" or damage.kind == "deletion" for damage in found.damages)
    if wiring.stores.exists(chosen) and not blocked:
        yield from _guarded(name, _fits(wiring, found))
    for other, left in wiring.stores.leftovers().items():
        if other != chosen:
            advice = f"winnow doctor --repair -c {other} removes it."
            yield Check(f"collection {other}", "note", f"left behind: {'; '.join(left)}", advice)


def _fits(wiring: Wiring, found: ExaminedCollection) -> Iterator[Check]:
    """Open the collection as a question does, which fails where other settings built it."""
    store = wiring.collection(found.name)
    finding = f"{found.stored.passages} passages of {len(found.stored.ids)} documents"
    yield Check(f"collection {found.name}", "ok", finding)
    if note := way_on(wiring.settings, found.name, store.fingerprint):
        yield Check(f"collection {found.name}", "note", note)


def _uploads(wiring: Wiring) -> Iterator[Check]:
    for upload in wiring.uploads.all() if wiring.has_database else ():
        names = ", ".join(path.name for path in upload.paths)
        yield Check(
            f"collection {upload.collection}",
            "note",
            f"accepted {upload.created_at:%Y-%m-%d %H:%M} and not ingested yet: {names}",
            "winnow serve goes on with it when it starts.",
        )


def _database(settings: Settings) -> Iterator[Check]:
    """Look for damage that SQLite finds, and for what repairs have set aside."""
    path = file_of(settings.database)
    if path is None:
        return
    with translated(str(path)):
        damage = damage_of(path)
    if damage is not None:
        advice = "winnow doctor --repair saves what can be read and sets the file aside."
        yield Check("database", "bad", f"{path} is damaged: {damage}", advice)
    for aside in set_aside(path):
        advice = f"Delete it when nothing in it is missed any more: rm -r '{aside}'*"
        yield Check("database", "note", f"{aside} was damaged, and is kept", advice)


def _log(wiring: Wiring) -> Iterator[Check]:
    if not wiring.settings.log.enabled:
        yield Check("log", "note", "switched off", "log.enabled = true keeps every answer.")
    elif not wiring.settings.logging:
        advice = "`winnow log on` keeps every answer."
        yield Check("log", "note", "switched off by `winnow log off`", advice)
    else:
        with wiring.database.writing():
            pass  # a log that can be read only keeps nothing
        answers = wiring.answers.list(limit=1)
        newest = f"newest answer {answers[0].id}" if answers else "no answer yet"
        yield Check("log", "ok", f"{wiring.database.shown}; {newest}")


def _chat(settings: Settings) -> Iterator[Check]:
    model, file = f"{settings.llm.name} at {settings.llm.place}", settings.llm.gguf
    lacks_key = settings.chat_api_key() is None and "api.openai.com" in settings.llm.base_url
    if settings.answer.answerer == "extractive" and not _rerank_asks_chat(settings):
        yield Check("chat model", "ok", "none is used: answers are quoted from the passages")
    elif file and not file.expanduser().is_file():
        yield Check("chat model", "bad", f"{file} is no file", "Set llm.gguf to a GGUF file.")
    elif not file and lacks_key:
        yield Check("chat model", "bad", f"{model} needs a key", "Set OPENAI_API_KEY.")
    else:
        yield Check("chat model", "ok", f"{model} (not asked by this check)")


def _rerank_asks_chat(settings: Settings) -> bool:
    from rerank.registry import describe
    from rerank.spec import Spec

    needs = {strategy.name: strategy.needs for strategy in describe()}
    return any("chat model" in needs.get(stage.name, "") for stage in Spec.parse(settings.rerank.spec).stages)


def _disk(settings: Settings) -> Check:
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        advice = "Nothing can be ingested or logged there: let this user write, or choose another --data-dir."
        return Check("disk", "bad", f"{settings.data_dir} is read-only", advice)
    free = shutil.disk_usage(folder).free
    finding = f"{free / 1024**3:.0f} GB free for {settings.data_dir}"
    if free < _ROOMY_BYTES:
        return Check("disk", "note", finding, "A passage with token vectors takes about 60 KB.")
    return Check("disk", "ok", finding)


def _privacy(settings: Settings) -> Iterator[Check]:
    if is_open_to_others(settings.data_dir):
        finding = f"other users of this machine can read {settings.data_dir}"
        yield Check("privacy", "note", finding, f"chmod -R go= {settings.data_dir} keeps it to you.")


def _keys(settings: Settings) -> Iterator[Check]:
    if keys := settings.unused_keys():
        yield Check("keys", "note", f"{', '.join(keys)} is set; nothing is sent there unless you choose it")
