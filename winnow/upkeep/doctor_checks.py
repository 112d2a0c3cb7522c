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
from storage.reasons import Reason
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
    """A finding. `bad`: something will not work. `note`: worth knowing.

    Finding and advice are reasons: they read as English, and the page words them in its reader's language.
    """

    name: str
    state: Literal["ok", "note", "bad"]
    finding: str
    advice: str = ""

    def __post_init__(self) -> None:
        for field in ("finding", "advice"):
            object.__setattr__(self, field, Reason.of(getattr(self, field)))

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
    found = {name: _version(name) for name in _VERSIONS}
    return Check("versions", "ok", Reason("winnow.upkeep.versions", found, python=platform.python_version()))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return Reason("winnow.upkeep.package-missing")


def _encoder(wiring: Wiring) -> Iterator[Check]:
    from retrieval.models.hub import DEFAULT_MODEL
    from storage.legibility import LEGIBLE

    encoder = wiring.encoder
    chinese = encoder.legibility("重排序让最相关的段落排在最前面。")
    known = {"encoder": encoder.id, "dimensions": encoder.dim, "tokens": encoder.max_tokens}
    if chinese >= LEGIBLE:
        yield Check("encoder", "ok", Reason("winnow.upkeep.encoder-reads-both", known))
        return
    finding = Reason("winnow.upkeep.encoder-reads-no-chinese", known, share=f"{chinese:.0%}")
    yield Check("encoder", "note", finding, Reason("winnow.upkeep.default-encoder", model=DEFAULT_MODEL))


def _store(wiring: Wiring) -> Iterator[Check]:
    url, chosen = wiring.settings.store.url, wiring.settings.collection
    names = wiring.stores.names()
    place = url or Reason("winnow.upkeep.embedded", folder=str(wiring.settings.collections_dir))
    if not names:
        finding = Reason("winnow.upkeep.no-collection", place=place)
        yield Check("store", "note", finding, Reason("winnow.upkeep.ingest-makes-collection"))
    elif chosen not in names:
        finding = Reason("winnow.upkeep.another-collection", place=place, names=names, chosen=repr(chosen))
        yield Check("store", "note", finding, Reason("winnow.upkeep.choose-collection"))
    else:
        yield Check("store", "ok", Reason("winnow.upkeep.collections", place=place, names=names))
    yield from _server(wiring)


def _server(wiring: Wiring) -> Iterator[Check]:
    """Describe the Qdrant server, and how the chosen collection lies on it."""
    from storage.qdrant.server.stores import ServerStores

    stores, chosen = wiring.stores, wiring.settings.collection
    if not isinstance(stores, ServerStores):
        return
    cluster = stores.cluster()
    if cluster.is_older:
        finding = Reason("winnow.upkeep.older-server", server=cluster.described)
        yield Check("server", "note", finding, Reason("winnow.upkeep.newer-server"))
    else:
        yield Check("server", "ok", cluster.described)
    try:
        state = stores.state(chosen)
    except NotFoundError:
        return
    finding = Reason("winnow.upkeep.state", collection=chosen, state=state.described)
    if state.stale:
        yield Check("server", "note", finding, Reason("winnow.upkeep.ingest-again"))
    else:
        yield Check("server", "ok", finding)
    if state.lacking:
        finding = Reason("winnow.upkeep.no-index", collection=chosen, fields=state.lacking)
        yield Check("server", "note", finding, Reason("winnow.upkeep.ingest-makes-index"))


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
            finding = Reason("winnow.upkeep.left-behind", left=left)
            yield Check(f"collection {other}", "note", finding, Reason("winnow.upkeep.removes", name=other))


def _fits(wiring: Wiring, found: ExaminedCollection) -> Iterator[Check]:
    """Open the collection as a question does, which fails where other settings built it."""
    store = wiring.collection(found.name)
    stored = found.stored
    finding = Reason("winnow.upkeep.whole", passages=stored.passages, documents=len(stored.ids))
    yield Check(f"collection {found.name}", "ok", finding)
    if note := way_on(wiring.settings, found.name, store.fingerprint):
        yield Check(f"collection {found.name}", "note", note)


def _uploads(wiring: Wiring) -> Iterator[Check]:
    for upload in wiring.uploads.all() if wiring.has_database else ():
        when, names = f"{upload.created_at:%Y-%m-%d %H:%M}", [path.name for path in upload.paths]
        finding = Reason("winnow.upkeep.upload-waits", when=when, names=names)
        yield Check(f"collection {upload.collection}", "note", finding, Reason("winnow.upkeep.serve-goes-on"))


def _database(settings: Settings) -> Iterator[Check]:
    """Look for damage that SQLite finds, and for what repairs have set aside."""
    path = file_of(settings.database)
    if path is None:
        return
    with translated(str(path)):
        damage = damage_of(path)
    if damage is not None:
        finding = Reason("winnow.upkeep.database-damaged", path=str(path), damage=damage)
        yield Check("database", "bad", finding, Reason("winnow.upkeep.repair-saves"))
    for aside in map(str, set_aside(path)):
        finding = Reason("winnow.upkeep.set-aside", path=aside)
        yield Check("database", "note", finding, Reason("winnow.upkeep.delete-aside", path=aside))


def _log(wiring: Wiring) -> Iterator[Check]:
    if not wiring.settings.log.enabled:
        yield Check("log", "note", Reason("winnow.upkeep.log-disabled"), Reason("winnow.upkeep.log-enabled"))
    elif not wiring.settings.logging:
        yield Check("log", "note", Reason("winnow.upkeep.log-off"), Reason("winnow.upkeep.log-on"))
    else:
        with wiring.database.writing():
            pass  # a log that can be read only keeps nothing
        finding = Reason("winnow.upkeep.no-answer", log=wiring.database.shown)
        for newest in wiring.answers.list(limit=1):
            finding = Reason("winnow.upkeep.newest-answer", log=wiring.database.shown, id=newest.id)
        yield Check("log", "ok", finding)


def _chat(settings: Settings) -> Iterator[Check]:
    model, file = {"model": settings.llm.name, "place": settings.llm.place}, settings.llm.gguf
    lacks_key = settings.chat_api_key() is None and "api.openai.com" in settings.llm.base_url
    if settings.answer.answerer == "extractive" and not _rerank_asks_chat(settings):
        yield Check("chat model", "ok", Reason("winnow.upkeep.chat-unused"))
    elif file and not file.expanduser().is_file():
        finding = Reason("winnow.upkeep.chat-no-file", file=str(file))
        yield Check("chat model", "bad", finding, Reason("winnow.upkeep.set-gguf"))
    elif not file and lacks_key:
        finding = Reason("winnow.upkeep.chat-no-key", model)
        yield Check("chat model", "bad", finding, Reason("winnow.upkeep.set-key"))
    else:
        yield Check("chat model", "ok", Reason("winnow.upkeep.chat-not-asked", model))


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
        finding = Reason("winnow.upkeep.disk-read-only", folder=str(settings.data_dir))
        return Check("disk", "bad", finding, Reason("winnow.upkeep.let-write"))
    free = shutil.disk_usage(folder).free
    finding = Reason("winnow.upkeep.disk-free", free=f"{free / 1024**3:.0f}", folder=str(settings.data_dir))
    if free < _ROOMY_BYTES:
        return Check("disk", "note", finding, Reason("winnow.upkeep.disk-need"))
    return Check("disk", "ok", finding)


def _privacy(settings: Settings) -> Iterator[Check]:
    if is_open_to_others(folder := settings.data_dir):
        finding = Reason("winnow.upkeep.open-to-others", folder=str(folder))
        yield Check("privacy", "note", finding, Reason("winnow.upkeep.keep-to-you", folder=str(folder)))


def _keys(settings: Settings) -> Iterator[Check]:
    if keys := settings.unused_keys():
        yield Check("keys", "note", Reason("winnow.upkeep.keys-unused", keys=keys))
