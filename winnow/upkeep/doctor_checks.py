"""The checks behind `winnow doctor`. Each looks at one thing and says what to do about it."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal

from storage.errors import WinnowError
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring

if TYPE_CHECKING:
    from winnow.upkeep.integrity import Examined, Progress

_VERSIONS = (
    "winnow-rag",
    "qdrant-edge-py",
    "qdrant-client",
    "torch",
    "sentence-transformers",
    "sqlalchemy",
    "openai",
)
_ROOMY_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `bad` means that something will not work; `note` that it is worth knowing."""

    name: str
    state: Literal["ok", "note", "bad"]
    finding: str
    advice: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def run(settings: Settings, progress: Progress | None = None) -> list[Check]:
    """All checks. Nothing is sent anywhere but to a Qdrant server or chat endpoint that was chosen.

    `progress` hears how much of the collection is read.
    """
    with Wiring(settings) as wiring:
        return [
            _versions(),
            _guarded("encoder", lambda: _encoder(wiring)),
            store := _guarded("store", lambda: _store(wiring)),
            *(_several("collection", lambda: _collections(wiring, progress)) if store.state != "bad" else ()),
            _guarded("log", lambda: _log(wiring)),
            _guarded("chat model", lambda: _chat(settings)),
            _disk(settings),
            *_keys(settings),
        ]


def quick(wiring: Wiring) -> list[Check]:
    """Those checks that read no collection, for a process that has everything open."""
    settings = wiring.settings
    return [
        _versions(),
        _guarded("encoder", lambda: _encoder(wiring)),
        _guarded("store", lambda: _store(wiring)),
        _guarded("log", lambda: _log(wiring)),
        _guarded("chat model", lambda: _chat(settings)),
        _disk(settings),
        *_keys(settings),
    ]


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except WinnowError as error:
        return Check(name, "bad", str(error), error.way_out)


def _several(name: str, check: Callable[[], Iterable[Check]]) -> list[Check]:
    try:
        return list(check())
    except WinnowError as error:
        return [Check(name, "bad", str(error), error.way_out)]


def _versions() -> Check:
    found = ", ".join(f"{name} {_version(name)}" for name in _VERSIONS)
    return Check("versions", "ok", f"Python {platform.python_version()}, {found}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _encoder(wiring: Wiring) -> Check:
    from retrieval.encoders.encoder import LEGIBLE

    encoder = wiring.encoder
    chinese = encoder.legibility("重排序让最相关的段落排在最前面。")
    finding = f"{encoder.id}, {encoder.dim} dimensions, reads {encoder.max_tokens} tokens"
    if chinese >= LEGIBLE:
        return Check("encoder", "ok", f"{finding}, English and Chinese")
    return Check(
        "encoder",
        "note",
        f"{finding}; of Chinese it reads {chinese:.0%}, so Chinese is searched lexically only",
        "The profile `multilingual` reads both: WINNOW_PROFILE=multilingual (its models are fetched once).",
    )


def _store(wiring: Wiring) -> Check:
    url = wiring.settings.store.url
    names = wiring.stores.names()
    place = url or f"embedded, in {wiring.settings.collections_dir}"
    if not names:
        return Check("store", "note", f"{place}; no collection yet", "winnow ingest PATH makes one.")
    finding = f"{place}; collections: {', '.join(names)}"
    chosen = wiring.settings.collection
    if chosen not in names:
        return Check(
            "store", "note", f"{finding}; none is called {chosen!r}", "Choose one with --collection."
        )
    return Check("store", "ok", finding)


def _collections(wiring: Wiring, progress: Progress | None) -> Iterator[Check]:
    """The chosen collection, read to its end, and what others left behind."""
    from winnow.upkeep.integrity import examine

    chosen = wiring.settings.collection
    found = examine(wiring, chosen, progress)
    for damage in found.damages:
        yield Check(
            f"collection {chosen}", "note" if damage.harmless else "bad", damage.finding, damage.advice
        )
    if chosen in wiring.stores.names() and not any(damage.remedy != "tidy" for damage in found.damages):
        yield _guarded(f"collection {chosen}", lambda: _fits(wiring, found))
    for name, left in wiring.stores.leftovers().items():
        if name != chosen:
            advice = f"winnow doctor --repair -c {name} removes it."
            yield Check(f"collection {name}", "note", f"left behind: {'; '.join(left)}", advice)


def _fits(wiring: Wiring, found: Examined) -> Check:
    """Opening it as a question does shows whether it was built with these settings."""
    wiring.collection(found.name)
    finding = f"{found.stored.passages} passages of {len(found.stored.ids)} documents"
    return Check(f"collection {found.name}", "ok", finding)


def _log(wiring: Wiring) -> Check:
    if not wiring.settings.log.enabled:
        return Check("log", "note", "switched off", "log.enabled = true keeps every answer.")
    if not wiring.settings.logging:
        return Check("log", "note", "switched off by `winnow log off`", "`winnow log on` keeps every answer.")
    answers = wiring.answers.list(limit=1)
    newest = f"newest answer {answers[0].id}" if answers else "no answer yet"
    return Check("log", "ok", f"{wiring.database.shown}; {newest}")


def _chat(settings: Settings) -> Check:
    llm = settings.llm
    if settings.answer.answerer == "extractive" and not _rerank_asks_chat(settings):
        return Check("chat model", "ok", "none is used: answers are quoted from the passages")
    if settings.chat_api_key() is None and "api.openai.com" in llm.base_url:
        return Check("chat model", "bad", f"{llm.model} at {llm.base_url} needs a key", "Set OPENAI_API_KEY.")
    return Check("chat model", "ok", f"{llm.model} at {llm.base_url} (not asked by this check)")


def _rerank_asks_chat(settings: Settings) -> bool:
    from rerank.registry import describe
    from rerank.spec import Spec

    needs = {strategy.name: strategy.needs for strategy in describe()}
    return any("chat model" in needs.get(stage.name, "") for stage in Spec.parse(settings.rerank.spec).stages)


def _disk(settings: Settings) -> Check:
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    finding = f"{free / 1024**3:.0f} GB free for {settings.data_dir}"
    if free < _ROOMY_BYTES:
        return Check("disk", "note", finding, "A passage with token vectors takes about 60 KB.")
    return Check("disk", "ok", finding)


def _keys(settings: Settings) -> Iterator[Check]:
    if keys := settings.unused_keys():
        yield Check("keys", "note", f"{', '.join(keys)} is set; nothing is sent there unless you choose it")
