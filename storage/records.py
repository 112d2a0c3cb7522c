"""The nouns of winnow: the records that cross folder boundaries.

All are frozen and slotted. This module imports nothing heavy, and of ours only other nouns. Vectors are in
`storage.vectors`, so that reading a log needs no numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from storage.reasons import Reason

Scalar = str | int | float | bool | None
# A value of a document's metadata; a filter holds for a list where it holds for one of its values.
Meta = Scalar | tuple[Scalar, ...]
Status = Literal["ok", "repaired", "partial", "fallback"]


def with_tuples(metadata: Mapping[str, Any]) -> dict[str, Meta]:
    """Metadata that was JSON, whose lists are tuples again."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in metadata.items()}


def whole(text: str) -> str:
    """The text with two halves of a character joined; one alone, which no encoding takes, becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# From best to worst: a chain has the status of its worst stage.
STATUS_ORDER: tuple[Status, ...] = ("ok", "repaired", "partial", "fallback")

# The codes of the remark that what was found may not answer: of a question, and of some parts of one.
WEAK_MATCH, WEAK_PARTS = "generation.weak-match", "winnow.app.weak-parts"

# The stages of an answer other than rerank stages, by name.
AROUND_RERANK = ("rewrite", "parts", "retrieval", "expand", "generation")


def part_name(n: int) -> str:
    """Return what a candidate's place in the retrieval of the n-th sub-question (from 1) is called."""
    return f"part-{n}"


def retrieval_stages(candidates: Iterable[Candidate]) -> list[str]:
    """The names of what retrieval ranked candidates by, the places for sub-questions before the fused one."""
    count, names = 0, frozenset(name for candidate in candidates for name in candidate.ranks)
    while part_name(count + 1) in names:
        count += 1
    return ["dense", "lexical", *(part_name(n) for n in range(1, count + 1)), "retrieval"]


def unreadable_question() -> Reason:
    """Return the reason that several stages share, so that a person reads it once."""
    return Reason("storage.unreadable-question")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document, in force from `offset` (characters) on; `level` counts from 1."""

    offset: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class PageStart:
    """The start of a page (or slide, sheet) at `offset` (characters); `page` counts from 1."""

    offset: int
    page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One parsed source: its text and what is known about it.

    `id` derives from `source`, `content_hash` (SHA-256, hex) from the bytes of the source. `structured`:
    the text is Markdown, so that the chunker may honour its structure.
    """

    id: str
    source: str
    title: str
    text: str
    mime: str
    content_hash: str
    structured: bool = False
    headings: tuple[Heading, ...] = ()
    pages: tuple[PageStart, ...] = ()
    metadata: Mapping[str, Meta] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage of a document: `text == document.text[start:end]`, spans in characters.

    `id` (a UUIDv5) derives from the document and the content, so that a second ingest finds it again.
    `headings` is the heading path, outermost first. `about` is a line that situates the passage in its
    document and is none of its text: the document's summary, or a chat model's words; empty where there is
    none. `legible`: the encoder could read it; an illegible passage has neither a dense nor token vectors.
    """

    id: str
    document_id: str
    source: str
    title: str
    text: str
    start: int
    end: int
    ordinal: int = 0
    headings: tuple[str, ...] = ()
    page: int | None = None
    about: str = ""
    legible: bool = True
    metadata: Mapping[str, Meta] = field(default_factory=dict)

    @property
    def context(self) -> str:
        """Title and heading path in one line, which precedes the text when it is encoded."""
        parts = [self.title, *(heading for heading in self.headings if heading != self.title)]
        return " › ".join(part for part in parts if part)

    @property
    def encoded_text(self) -> str:
        """The text as every encoder and reranker sees it: context line, line about the passage, passage."""
        return "\n".join([*(line for line in (self.context, self.about) if line), self.text])


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage on its way from retrieval to the answer, with every stage's rank and score.

    Ranks count from 1; a stage that did not see the passage has no entry. Retrieval adds `dense`,
    `lexical` (each leg) and `retrieval` (fused); a rerank stage adds its own name. `evidence` holds, for a
    stage that read a long passage in windows, the characters of its text that scored highest.

    An answerer may be given a wider text than was retrieved: `parts` are then the passages it was joined
    from, in the document's order, the retrieved one (`core`) among them.
    """

    chunk: Chunk
    ranks: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    evidence: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    parts: tuple[Chunk, ...] = ()

    @property
    def id(self) -> str:
        return self.chunk.id

    @property
    def text(self) -> str:
        return self.chunk.text

    @property
    def core(self) -> Candidate:
        """The candidate as it was retrieved, without its neighbours."""
        own = (part for part in self.parts if part.id == self.id)
        return replace(self, chunk=next(own, self.chunk), parts=())

    def ranked(self, stage: str, rank: int, score: float | None = None) -> Candidate:
        """Return the candidate with `stage`'s rank (from 1) and score added."""
        scores = self.scores if score is None else {**self.scores, stage: score}
        return replace(self, ranks={**self.ranks, stage: rank}, scores=scores)

    @classmethod
    def from_text(cls, text: str, *, id: str, source: str = "") -> Candidate:  # noqa: A002 - the field's own name
        """Make a candidate from bare text, for people who bring their own retrieval."""
        chunk = Chunk(id=id, document_id=id, source=source or id, title="", text=text, start=0, end=len(text))
        return cls(chunk)


@dataclass(frozen=True, slots=True)
class Usage:
    """The calls, tokens and cost of a stage. `cost` is in the price table's currency; None where unknown.

    `retries` counts the `calls` that were repeated; `cached` counts verdicts that came from the cache.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    retries: int = 0
    cached: int = 0

    def __add__(self, other: Usage) -> Usage:
        costs = [cost for cost in (self.cost, other.cost) if cost is not None]
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            sum(costs) if costs else None,
            self.retries + other.retries,
            self.cached + other.cached,
        )


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call of a language model by a stage: the messages sent (role and content each) and the reply.

    `error` tells why there is no usable reply; otherwise it is empty.
    """

    model: str
    messages: tuple[tuple[str, str], ...]
    reply: str
    usage: Usage = Usage()
    ms: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one stage. Anything but `ok` has a `reason`, which is shown and logged.

    `ok`: as asked. `repaired`: the model's reply needed repair, nothing is missing. `partial`: part of the
    work was not done. `fallback`: the stage returned its input. `exchanges` are a model's calls, where the
    settings keep them.
    """

    name: str
    status: Status = "ok"
    reason: str = ""
    ms: float = 0.0
    usage: Usage = Usage()
    exchanges: tuple[Exchange, ...] = ()

    def __post_init__(self) -> None:
        if self.status != "ok" and not self.reason:
            raise ValueError(f"the outcome {self.status!r} of stage {self.name!r} needs a reason")
        if self.reason:  # a user's own stage gives plain text
            object.__setattr__(self, "reason", Reason.of(self.reason))


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of several statuses; `ok` of none."""
    return max(statuses, key=STATUS_ORDER.index, default="ok")


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The candidates of a question, best first, and the outcome of retrieving them."""

    candidates: tuple[Candidate, ...]
    outcome: Outcome = Outcome("retrieval")


@dataclass(frozen=True, slots=True)
class Ranking:
    """The result of a rerank strategy.

    `candidates` are kept, best first, at most `top_k`; `dropped` are the others that it was given, in the
    order in which they would have followed. A chain has one outcome a stage.
    """

    candidates: tuple[Candidate, ...]
    outcomes: tuple[Outcome, ...]
    dropped: tuple[Candidate, ...] = ()

    @property
    def everything(self) -> tuple[Candidate, ...]:
        """All candidates that were given, best first."""
        return self.candidates + self.dropped

    @property
    def outcome(self) -> Outcome:
        """One outcome for the whole: the worst status, all reasons, the sums."""
        reasons = [
            Reason("storage.of-stage", stage=stage.name, reason=stage.reason)
            for stage in self.outcomes
            if stage.reason
        ]
        return Outcome(
            name="rerank",
            status=worst(outcome.status for outcome in self.outcomes),
            reason=Reason.all(reasons) if reasons else "",
            ms=sum(outcome.ms for outcome in self.outcomes),
            usage=sum((outcome.usage for outcome in self.outcomes), Usage()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """The source that a marker such as `[1]` in an answer cites.

    `start` and `end` are characters in the document's text; `quote` is the sentence where the answerer
    quoted one, otherwise empty.
    """

    marker: int
    chunk_id: str
    document_id: str
    source: str
    title: str
    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int | None = None
    quote: str = ""

    @property
    def location(self) -> str:
        """Page or heading path, for people."""
        if self.page is not None:
            return f"p. {self.page}"
        return " › ".join(self.headings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The result of an answerer. `answered` is False where nothing retrieved supports an answer.

    `answerer` names the answerer (`extractive`, or the chat model's name); `prompt` is what was sent,
    empty where no model was asked.
    """

    text: str
    outcome: Outcome
    answerer: str
    citations: tuple[Citation, ...] = ()
    answered: bool = True
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """The rewriting of a question that depends on earlier ones.

    `question` is self-contained: it was searched and answered. `prompt` is what a model was sent to write it,
    empty where none was asked; `answer_id` is the logged answer before, empty where that is not in the log.
    """

    question: str
    prompt: str = ""
    answer_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A question, its answer, and everything that happened on the way.

    `candidates` holds all that retrieval found: the final ones first, then the others in the order in
    which they would have followed; `ranks["final"]` counts the final ones. `fingerprints` maps
    `settings`, `prompt` and `collection` to hashes that tell whether a replay meets the same conditions.
    `question` is as it was typed; `follow_up` is its rewriting where it followed earlier ones.
    `neighbours` are passages that were joined to the final ones for the answerer; they have no rank.
    """

    id: str
    question: str
    text: str
    collection: str
    created_at: datetime
    rerank: str
    answerer: str
    top_k_retrieve: int
    top_k_rerank: int
    answered: bool = True
    citations: tuple[Citation, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    stages: tuple[Outcome, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    prompt: str = ""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    follow_up: FollowUp | None = None
    neighbours: tuple[Chunk, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "warnings", tuple(map(Reason.of, self.warnings)))

    @property
    def understood(self) -> str:
        """The question that was searched and answered: as typed, or rewritten with the earlier turns."""
        return self.follow_up.question if self.follow_up else self.question

    @property
    def weak_match(self) -> Reason | None:
        """The remark that the answer may well not answer the question, if its answerer made one."""
        parts = (part for stage in self.stages for part in Reason.of(stage.reason).parts)
        return next((part for part in parts if part.code in (WEAK_MATCH, WEAK_PARTS)), None)

    @property
    def usage(self) -> Usage:
        """The usage of all stages together."""
        return sum((stage.usage for stage in self.stages), Usage())

    @property
    def final(self) -> Sequence[Candidate]:
        """The candidates that reached the answerer, best first."""
        return [candidate for candidate in self.candidates if "final" in candidate.ranks]
