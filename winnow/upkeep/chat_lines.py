"""A chat model's line about each passage, which says where in its document it is.

Contextual retrieval (Anthropic, September 2024): the model is shown a document and a passage of it, and
writes a sentence or two to be indexed with the passage. The document comes first in each prompt, and its
first passage is asked alone, so that an endpoint that caches the beginnings of prompts is paid for a document
once. Replies are kept in a journal for each document, so that nothing is paid for twice.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from generation.chat.templating import Templates
from generation.language import language_of
from ingest.chunking.context import shortened
from ingest.chunking.sizes import ChunkSizes, about_of, tokens_about
from rerank.llm.budget import Meter, estimated_tokens
from rerank.llm.calls import CallCounts, Caller, Request
from rerank.training.journal import DamagedLinesError, Journal
from storage.chat import Completion, Message
from storage.control_tokens import harmless
from storage.errors import BadInputError, SettingsError
from storage.reasons import Reason
from storage.records import Chunk, Outcome
from storage.secrets import masked
from winnow.app import portal
from winnow.app.deleting import line_journals

if TYPE_CHECKING:
    from rerank.parts import RerankParts
    from storage.chat import ChatModel
    from storage.qdrant.contract import CollectionStore
    from winnow.app.settings import Settings
    from winnow.app.wiring import Wiring

_log = logging.getLogger(__name__)

# Of a reply; a sentence or two have a third of it.
_REPLY_TOKENS = 200
# Of a document that a prompt shows: a longer one is shown in parts, each with its own passages.
_DOCUMENT_TOKENS = 24_000
# Of everything else in a prompt: instructions and a passage.
_REST_TOKENS = 1_000
_DOCUMENTS_AT_ONCE = 8
_CHARACTERS_PER_TOKEN = 12
_AGAIN = {"en": "Write one or two sentences, and nothing else.", "zh": "请只写一两句话，不要写别的。"}


@dataclass(slots=True)
class ChatLines:
    """The lines of one run; `folder` has the journals, a line has at most `tokens`, as `count` counts."""

    chat: ChatModel
    place: str
    parts: RerankParts
    templates: Templates
    folder: Path
    count: Callable[[str], int]
    tokens: int
    meter: Meter
    counts: CallCounts = field(default_factory=CallCounts)
    asked: int = 0

    @staticmethod
    def check(settings: Settings, chat: Callable[[], object]) -> None:
        """Raise SettingsError for settings with which no line can be written; `chat` makes the model."""
        if settings.ingest.context == "chat":
            chat()
            Templates.load(settings.answer.templates)

    @classmethod
    def of(cls, wiring: Wiring, store: CollectionStore) -> ChatLines | None:
        """The writer for a collection; None for one whose passages have no line of a chat model.

        Raises SettingsError where the chat model cannot be asked, and where the settings do not name it for
        this: documents go to no endpoint because a collection was once made with another.
        """
        if about_of(store.fingerprint.chunker) != "chat":
            return None
        if wiring.settings.ingest.context != "chat":
            raise SettingsError(
                f"{store.name!r} has lines of context by a chat model, and the settings name none",
                way_out="Add --context chat, or rebuild it without: "
                f"winnow ingest --reindex --context summary -c {store.name}",
            )
        settings, dense = wiring.settings, wiring.encoders_of(store.name, store.fingerprint).dense
        return cls(
            chat=wiring.traced_chat(),
            place=masked(settings.llm.place),
            parts=replace(wiring.rerank_parts(None, dense), keep_exchanges=False),
            templates=Templates.load(settings.answer.templates),
            folder=settings.lines_dir / store.name,
            count=lambda text: dense.counter.counting(text)(text),
            tokens=tokens_about(dense.counter, dense.max_tokens, ChunkSizes(about="chat")),
            meter=Meter(settings.ingest.context_budget),
        )

    def lines(self, documents: Sequence[Sequence[Chunk]]) -> Mapping[str, str]:
        """See `ingest.batches.Situates`. Raises BadInputError where a journal cannot be used.

        A damaged one is set aside, and its replies are asked for again.
        """
        found: dict[str, str] = {}
        with ExitStack() as journals:
            cut = [
                (chunks, self._opened(journals, chunks[0].document_id))
                for chunks in documents
                if len(chunks) > 1  # a passage that is a document has no place in it
            ]
            self.asked += sum(len(chunks) for chunks, _ in cut)
            portal.call(self._written, cut, found)
        return found

    @property
    def outcome(self) -> Outcome:
        """The outcome: what is missing and why, and the usage; replies of the journal are its `cached`.

        Its name is the model's, with the endpoint.
        """
        outcome = replace(self.counts, cached=0).outcome(self._model)
        if not (missing := self.asked - self.counts.judged):
            return outcome
        reason = Reason("ingest.no-lines", n=missing, of=self.asked, why=Reason.of(outcome.reason))
        return replace(outcome, reason=reason)

    @property
    def _model(self) -> str:
        return f"{self.chat.model} at {self.place}"

    def _opened(self, journals: ExitStack, document: str) -> Journal:
        path, aside = line_journals(self.folder, document)
        try:
            return journals.enter_context(Journal(path, self._model))
        except DamagedLinesError as error:
            path.replace(aside)
            _log.warning("%s: it is %s now, and its replies are asked for again", error, aside.name)
            return journals.enter_context(Journal(path, self._model))
        except BadInputError as error:
            error.way_out = f"Make {self.folder} a folder that can be read and written."
            raise

    async def _written(
        self, documents: Sequence[tuple[Sequence[Chunk], Journal]], found: dict[str, str]
    ) -> None:
        places = anyio.CapacityLimiter(_DOCUMENTS_AT_ONCE)
        async with anyio.create_task_group() as tasks:
            for chunks, journal in documents:
                tasks.start_soon(self._document, places, chunks, journal, found)

    async def _document(
        self, places: anyio.CapacityLimiter, chunks: Sequence[Chunk], journal: Journal, found: dict[str, str]
    ) -> None:
        def keep(request: Request, completion: Completion) -> None:
            if self._read(completion) is not None:  # any other is asked for again by the next run
                journal.keep(request, completion)

        async with places:
            caller = Caller(
                self.chat,
                self.parts,
                self.counts,
                recall=journal.recalled,
                keep=keep,
                meter=self.meter,
            )
            for part in self._parts_of(chunks):
                shown = _shown(part)
                await self._line(caller, shown, part[0], found)
                async with anyio.create_task_group() as tasks:
                    for chunk in part[1:]:
                        tasks.start_soon(self._line, caller, shown, chunk, found)

    async def _line(
        self, caller: Caller, shown: Mapping[str, str], chunk: Chunk, found: dict[str, str]
    ) -> None:
        language = language_of(shown["document"])
        prompt = self.templates.filled("situate", language, **shown, passage=harmless(chunk.text))
        request = Request((Message("user", prompt),), _REPLY_TOKENS)
        reading = await caller.asked(request, self._read, again=_AGAIN[language])
        if reading.value is not None:
            self.counts.judged += 1
            found[chunk.id] = reading.value

    def _read(self, completion: Completion) -> str | None:
        line = "" if completion.refusal else _one_line(completion.text)
        return shortened(line, self.tokens, self.count, _CHARACTERS_PER_TOKEN) if line else None

    def _parts_of(self, chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
        """The passages in the order of the document, as many together as a prompt can show."""
        held = self.parts.context
        room = (
            _DOCUMENT_TOKENS if held is None else min(_DOCUMENT_TOKENS, held - _REPLY_TOKENS - _REST_TOKENS)
        )
        part: list[Chunk] = []
        used = 0
        for chunk in chunks:
            tokens = estimated_tokens(chunk.text)
            if part and used + tokens > room:
                yield part
                part, used = [], 0
            part.append(chunk)
            used += tokens
        if part:
            yield part


def _shown(part: Sequence[Chunk]) -> dict[str, str]:
    """The document in a prompt: the same for all its passages, so that their prompts begin alike."""
    title, document = _one_line(part[0].title or part[0].source), _joined(part)
    fence = _fence(title, document, *(chunk.text for chunk in part))
    return {"fence": fence, "title": title, "document": harmless(document)}


def _joined(chunks: Sequence[Chunk]) -> str:
    """The text of passages that follow one another, what two of them share once."""
    pieces, end = [chunks[0].text], chunks[0].end
    for chunk in chunks[1:]:
        pieces.append("\n\n" if chunk.start > end else "")
        pieces.append(chunk.text[max(0, end - chunk.start) :])
        end = max(end, chunk.end)
    return "".join(pieces)


def _fence(*texts: str) -> str:
    """A line that none of the texts can contain: a hash of all, too long for an author to find by trying."""
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"======{digest[:24]}======"


def _one_line(text: str) -> str:
    """A text in one line without what cannot be seen."""
    line = " ".join(text.split())
    return harmless("".join(character for character in line if character.isprintable()))
