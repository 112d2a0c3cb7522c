"""Cross-encoder: question and passage go through the model together (Nogueira & Cho 2019).

Any reranker that sentence-transformers' CrossEncoder loads, from the hub's cache or a folder. Scores are
probabilities from 0 to 1 (the logistic function of the model's log-odds, in double precision, so that they do
not saturate into ties, or the model's own last function where it has another), or with `scale=logit` what the
model gives before that. A question that the model cannot read is a `fallback`; passages that it cannot read
follow the others, and the outcome is `partial`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from anyio import to_thread
from pydantic import Field

from rerank.base import by_score, check_top_k, flagged, probability, unchanged
from rerank.cross.loading import Backend, load_pair_model
from rerank.cross.windows import Window, cut, shortened_to
from rerank.llm.budget import Meter, current_meter
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.score_memory import ScoreMemory, text_key
from rerank.spec import Value
from storage.cancellation import stop_if_cancelled
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking, Status, Usage

if TYPE_CHECKING:
    from rerank.cross.models import PairModel
    from storage.log.score_cache import SqlScoreCache

# Files whose change makes another model of a folder.
_DECISIVE = (".json", ".jinja", ".safetensors", ".bin", ".onnx", ".py")
# Passages that are read before the model is asked whether it is sure.
_AT_ONCE = 4
# A question longer than this share of the model's input would leave no room for the passage.
_QUESTION_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderOptions:
    """`model`: hub id or folder. `max_length`: tokens of one input. `windows`: the most parts of a long
    passage that are read. `sure`: the log-odds of a passage after which no more are read. `backend`: what
    runs the model, by default what its folder holds; onnx converts weights for torch to int8 on a CPU.
    `instruction`: what relevance means, for models that take one.
    """

    model: str | None = None
    max_length: Annotated[int, Field(ge=32)] | None = None
    windows: Annotated[int, Field(ge=1)] = 8
    scale: Literal["probability", "logit"] = "probability"
    sure: float | None = None
    backend: Backend = "auto"
    instruction: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CrossEncoder:
    """Reads long passages in windows; the best window gives the score and is kept as evidence.

    A passage is as relevant as its best part (MaxP: Dai & Callan 2019).
    """

    needs = "a cross-encoder model"
    declares = CrossEncoderOptions

    name: str
    model: PairModel
    windows: int = 8
    scale: str = "probability"
    cache: SqlScoreCache | None = None
    fingerprint: str = ""
    sure: float | None = None

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> CrossEncoder:
        chosen = read_options(CrossEncoderOptions, name, options)
        wanted = chosen.model or parts.cross_encoder
        folder = parts.needed_folder(name, wanted)
        model = load_pair_model(
            folder,
            backend=chosen.backend,
            device=parts.device,
            max_length=chosen.max_length,
            exported=parts.exported,
            trust_remote_code=parts.trust_remote_code,
        )
        if instruction := chosen.instruction or parts.instruction:
            model = model.instructed(instruction)
        told = text_key(model.instruction or "")[:12]
        state = f"{_state(folder)}:{model.precision}:{model.max_tokens}:{chosen.windows}:{told}"
        fingerprint = f"cross-encoder:{wanted}@{state}"
        cache = None if model.together else parts.cache
        return cls(name, model, chosen.windows, chosen.scale, cache, fingerprint, chosen.sure)

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - the model runs here
        return 0

    def reads(self, text: str) -> bool:
        """True if the model represents enough of a text for its score to mean something."""
        return self.model.reads(text)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if not candidates:
            return Ranking((), (Outcome(self.name),))
        memory = ScoreMemory(self.cache, self.fingerprint, query)
        reading = _Reading(self.model, memory, current_meter(), self.sure)
        logits = await to_thread.run_sync(reading.logits, query, candidates, self.windows)
        outcome = reading.outcome(self.name, logits, self.windows)
        if outcome.status == "fallback":
            return unchanged(candidates, top_k, outcome)
        with_evidence = [_with_span(c, self.name, reading.spans.get(i)) for i, c in enumerate(candidates)]
        own = self.model.activation or probability
        scores = [logit if self.scale == "logit" else _activated(own, logit) for logit in logits]
        return by_score(self.name, with_evidence, scores, top_k, outcome)


class _Reading:
    """One question's passages going through the model: the best windows, and what did not go as requested.

    `spans` has the best window of each candidate (by position) that was read in several.
    """

    def __init__(self, model: PairModel, memory: ScoreMemory, meter: Meter, sure: float | None) -> None:
        self.spans: dict[int, tuple[int, int]] = {}
        self._model = model
        self._memory = memory
        self._meter = meter
        self._sure = sure
        self._illegible = 0
        self._illegible_question = False
        self._cut_passages = 0
        self._cut_question = False
        self._out_of_time = False
        self._cached = 0
        self._not_needed = 0
        self._waiting = 0

    def logits(self, query: str, candidates: Sequence[Candidate], windows: int) -> list[float | None]:
        """All candidates' log-odds. Runs in a worker thread."""
        model = self._model
        if not model.reads(query):
            self._illegible_question = True
            return [None] * len(candidates)
        available = model.max_tokens - model.overhead
        query, self._cut_question = shortened_to(model.tokenizer, query, int(available * _QUESTION_SHARE))
        room = available - len(model.tokenizer.encode(query, add_special_tokens=False).ids)
        texts = [candidate.chunk.encoded_text for candidate in candidates]
        parts = self._legible_parts(texts, room, windows)
        own = [[n for n, part in enumerate(parts) if part.passage == i] for i in range(len(candidates))]
        by_part = self._read(query, [texts[part.passage][part.start : part.end] for part in parts], own)
        logits: list[float | None] = []
        for i, candidate in enumerate(candidates):
            best = _best([by_part[number] for number in own[i]])
            logits.append(None if best is None else by_part[own[i][best]])
            if best is not None and len(own[i]) > 1:
                self.spans[i] = _in_passage(parts[own[i][best]], candidate)
        return logits

    def _legible_parts(self, texts: Sequence[str], room: int, most: int) -> list[Window]:
        """The windows of the texts that the model can read."""
        tokens = self._model.tokenized(texts)
        legible = self._model.legible(texts, tokens)
        parts, shortened = cut(texts, tokens, room, most)
        self._illegible = legible.count(False)
        self._cut_passages = sum(legible[number] for number in shortened)
        return [part for part in parts if legible[part.passage]]

    def _read(self, query: str, pieces: Sequence[str], own: Sequence[Sequence[int]]) -> list[float | None]:
        """One log-odds per piece, from the cache or the model; None where it was not read.

        `own` has the numbers of each passage's pieces.
        """
        keys = [text_key(piece) for piece in pieces]
        kept = self._memory.known(list(dict.fromkeys(keys)))
        known, needed = dict(kept), [numbers for numbers in own if numbers]
        size = len(needed) if self._sure is None or self._model.together else _AT_ONCE
        read: set[int] = set()
        while needed and not self._out_of_time:
            now, needed = [number for numbers in needed[:size] for number in numbers], needed[size:]
            self._pass(query, {keys[number]: pieces[number] for number in now}, known)
            read |= set(now)
            if self._sure is not None and any(known.get(keys[n], -math.inf) >= self._sure for n in now):
                self._not_needed, needed = len(needed), []
            elif self._sure is not None and needed and self._model.passes.crowded:
                self._waiting, self._not_needed, needed = self._model.passes.waiting, len(needed), []
        self._cached = sum(keys[number] in kept for number in read)
        self._memory.keep({key: score for key, score in known.items() if key not in kept})
        return [known.get(keys[number]) if number in read else None for number in range(len(keys))]

    def _pass(self, query: str, pieces: Mapping[str, str], known: dict[str, float]) -> None:
        """Add the log-odds of the pieces, by key, that are not known yet.

        Equal pieces are read once: in different places of a batch they would differ in the last digit.
        """
        missing = {key: piece for key, piece in pieces.items() if key not in known}
        if not missing:
            return
        places = list(missing)
        with closing(self._model.scored(query, list(missing.values()))) as passes:
            for scores in passes:
                known.update((places[place], logit) for place, logit in scores)
                if self._meter.remaining_s <= 0:
                    self._out_of_time = True
                    break
                stop_if_cancelled()

    def outcome(self, name: str, logits: Sequence[float | None], windows: int) -> Outcome:
        """The outcome of the stage, once the passages are read."""
        outcome, total = Outcome(name, usage=Usage(cached=self._cached)), len(logits)
        if self._illegible_question:
            return flagged(outcome, "fallback", Reason("rerank.question-illegible"))
        status: Status = "fallback" if logits.count(None) == total else "partial"
        if self._illegible:
            reason = Reason("rerank.passages-illegible", count=self._illegible, total=total)
            outcome = flagged(outcome, status, reason)
        if self._out_of_time:
            unread, why = logits.count(None) - self._illegible - self._not_needed, Reason("rerank.time-is-up")
            reason = Reason("rerank.passages-not-read", count=unread, total=total, reason=why)
            outcome = flagged(outcome, status, reason)
        if self._waiting:
            why = Reason("rerank.many-wait", count=self._waiting)
            reason = Reason("rerank.passages-not-read", count=self._not_needed, total=total, reason=why)
            outcome = flagged(outcome, "partial", reason)
        if self._cut_question:
            outcome = flagged(outcome, "partial", Reason("rerank.question-cut"))
        if self._cut_passages:
            reason = Reason("rerank.windows-not-read", count=self._cut_passages, windows=windows)
            outcome = flagged(outcome, "partial", reason)
        if self._cached:
            outcome = flagged(outcome, "ok", Reason("rerank.scores-cached", count=self._cached))
        return self._memory.flagged(outcome)


def _state(folder: Path) -> str:
    """Changes with the weights in the folder: scores of earlier ones are not theirs."""
    here = (*folder.iterdir(), *folder.glob("*/*"))  # a folder for each module
    files = sorted(path for path in here if path.suffix in _DECISIVE)
    found = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12]


def _activated(function: Callable[[float], float], logit: float | None) -> float | None:
    return logit if logit is None or not math.isfinite(logit) else function(logit)


def _best(logits: Sequence[float | None]) -> int | None:
    """The position of the highest, NaN being the lowest; None where one is missing or there is none."""
    numbers = [logit for logit in logits if logit is not None]
    if not numbers or len(numbers) < len(logits):
        return None
    return max(range(len(numbers)), key=lambda i: -math.inf if math.isnan(numbers[i]) else numbers[i])


def _in_passage(window: Window, candidate: Candidate) -> tuple[int, int]:
    """A window of the encoded text as characters of the passage's own text."""
    before = len(candidate.chunk.encoded_text) - len(candidate.text)
    return max(0, window.start - before), max(0, window.end - before)


def _with_span(candidate: Candidate, stage: str, span: tuple[int, int] | None) -> Candidate:
    if span is None:
        return candidate
    return replace(candidate, evidence={**candidate.evidence, stage: span})
