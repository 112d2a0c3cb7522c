"""Cross-encoder: question and passage go through the model together (Nogueira & Cho 2019).

Any sequence-classification reranker of the hub or a local folder, and causal ones of Qwen3's kind. Scores are
probabilities from 0 to 1 (the logistic function of the model's log-odds, in double precision, so that they do
not saturate into ties), or with `scale=logit` the log-odds themselves.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from anyio import from_thread, to_thread

from rerank.base import by_score, check_top_k, flagged, unchanged
from rerank.cross.windows import Window, cut, shortened_to
from rerank.llm.budget import Meter, current_meter
from rerank.memory import Memory
from rerank.options import at_least, read_options
from rerank.parts import RerankParts, ScoreCache
from rerank.spec import Value
from storage.records import Candidate, Outcome, Ranking, Status, Usage

if TYPE_CHECKING:
    from rerank.cross.models import PairModel

# A question longer than this share of the model's input would leave no room for the passage.
_QUESTION_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderOptions:
    """`model`: hub id or folder. `max_length`: tokens of one input. `windows`: of a long passage, at most so
    many parts are read. `backend=onnx`: int8 on a CPU. `trust_remote_code`: run code that the model brings.
    """

    model: str | None = None
    max_length: int | None = None
    windows: int = 8
    scale: Literal["probability", "logit"] = "probability"
    backend: Literal["torch", "onnx"] = "torch"
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        at_least(1, windows=self.windows)
        at_least(32, max_length=self.max_length or 32)


@dataclass(slots=True)
class _Scored:
    """Log-odds by candidate, the best window of each, and what did not go as asked."""

    logits: list[float | None]
    spans: dict[int, tuple[int, int]]
    shortened: int = 0
    question_cut: bool = False
    stopped: str = ""
    cached: int = 0
    memory: Memory | None = None


class CrossEncoder:
    """Long passages are read in windows and score as their best one, which is kept as evidence."""

    needs = "a cross-encoder model"

    def __init__(
        self,
        name: str,
        model: PairModel,
        *,
        windows: int = 8,
        scale: str = "probability",
        cache: ScoreCache | None = None,
        fingerprint: str = "",
    ) -> None:
        self.name = name
        self._model = model
        self._windows = windows
        self._scale = scale
        self._cache = cache
        self._fingerprint = fingerprint

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> CrossEncoder:
        chosen = read_options(CrossEncoderOptions, name, options)
        wanted = chosen.model or parts.cross_encoder
        folder = parts.needed_folder(name, wanted)
        if chosen.backend == "onnx":
            from rerank.cross.onnx import load_onnx_model

            model = load_onnx_model(folder, parts.exported, max_length=chosen.max_length)
        else:
            from rerank.cross.loading import load_pair_model

            model = load_pair_model(
                folder,
                device=parts.device,
                max_length=chosen.max_length,
                trust_remote_code=chosen.trust_remote_code,
            )
        fingerprint = (
            f"cross-encoder:{wanted}@{_state(folder)}:{chosen.backend}:{model.max_tokens}:{chosen.windows}"
        )
        return cls(
            name,
            model,
            windows=chosen.windows,
            scale=chosen.scale,
            cache=parts.cache,
            fingerprint=fingerprint,
        )

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - the model runs here
        return 0

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if not candidates:
            return Ranking((), (Outcome(self.name),))
        found = await to_thread.run_sync(self._scored, query, candidates, current_meter())
        outcome = self._outcome(found, len(candidates))
        if outcome.status == "fallback":
            return unchanged(candidates, top_k, outcome)
        with_evidence = [_with_span(c, self.name, found.spans.get(i)) for i, c in enumerate(candidates)]
        scores = [self._scaled(logit) for logit in found.logits]
        return by_score(self.name, with_evidence, scores, top_k, outcome)

    def _scaled(self, logit: float | None) -> float | None:
        if logit is None or self._scale == "logit" or not math.isfinite(logit):
            return logit
        return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))

    def _outcome(self, found: _Scored, count: int) -> Outcome:
        outcome = Outcome(self.name, usage=Usage(cached=found.cached))
        unscored = found.logits.count(None)
        if found.stopped:
            status: Status = "fallback" if unscored == count else "partial"
            outcome = flagged(outcome, status, f"{unscored} of {count} passages not read: {found.stopped}")
        if found.question_cut:
            outcome = flagged(outcome, "partial", "the question is longer than the model reads, and was cut")
        if found.shortened:
            reason = (
                f"{found.shortened} passages have more than {self._windows} windows; the rest was not read"
            )
            outcome = flagged(outcome, "partial", reason)
        if found.cached:
            outcome = flagged(outcome, "ok", f"{found.cached} scores from the cache")
        return found.memory.told(outcome) if found.memory else outcome

    def _scored(self, query: str, candidates: Sequence[Candidate], meter: Meter) -> _Scored:
        """All candidates' log-odds. Runs in a worker thread."""
        model = self._model
        available = model.max_tokens - model.overhead
        query, question_cut = shortened_to(model.tokenizer, query, int(available * _QUESTION_SHARE))
        room = available - len(model.tokenizer.encode(query, add_special_tokens=False).ids)
        texts = [candidate.chunk.encoded_text for candidate in candidates]
        parts = cut(model.tokenizer, texts, room, self._windows)
        pieces = [texts[window.passage][window.start : window.end] for window in parts.windows]
        found = _Scored([], {}, len(parts.shortened), question_cut)
        logits = self._logits(query, pieces, meter, found)
        for i, candidate in enumerate(candidates):
            own = [w for w in range(len(pieces)) if parts.windows[w].passage == i]
            best = _best([logits[w] for w in own])
            found.logits.append(None if best is None else logits[own[best]])
            if best is not None and len(own) > 1:
                found.spans[i] = _in_passage(parts.windows[own[best]], candidate)
        return found

    def _logits(self, query: str, pieces: Sequence[str], meter: Meter, found: _Scored) -> list[float | None]:
        """A log-odds a piece, from the cache or the model; None where the deadline came first.

        Equal pieces are read once: in different places of a batch they would differ in the last digit.
        """
        keys = [hashlib.sha256(piece.encode("utf-8", "surrogatepass")).hexdigest() for piece in pieces]
        memory = Memory(self._cache, self._fingerprint, query)
        known = memory.known(list(dict.fromkeys(keys)))
        found.cached = sum(key in known for key in keys)
        missing = {key: piece for key, piece in zip(keys, pieces, strict=True) if key not in known}
        new: dict[str, float] = {}
        places = list(missing)
        with closing(self._model.scored(query, list(missing.values()))) as passes:
            for scores in passes:
                new.update((places[place], logit) for place, logit in scores)
                if meter.remaining_s <= 0:
                    found.stopped = "the deadline has passed"
                    break
                _check_cancelled()
        memory.keep(new)
        found.memory = memory
        return [known.get(key, new.get(key)) for key in keys]


def _state(folder: Path) -> str:
    """Changes when other weights come into the folder: scores of the ones before are not theirs."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".bin"))
    found = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12]


def _best(logits: Sequence[float | None]) -> int | None:
    """The place of the highest; None where one is missing. What is no number is never the highest."""
    numbers = [logit for logit in logits if logit is not None]
    if len(numbers) < len(logits):
        return None
    return max(range(len(numbers)), key=lambda i: -math.inf if math.isnan(numbers[i]) else numbers[i])


def _check_cancelled() -> None:
    """Between passes: a cancelled question stops here. Outside of a worker thread nobody can cancel."""
    try:
        from_thread.check_cancelled()
    except RuntimeError:
        return


def _in_passage(window: Window, candidate: Candidate) -> tuple[int, int]:
    """A window of the encoded text as characters of the passage's own text."""
    before = len(candidate.chunk.encoded_text) - len(candidate.text)
    return max(0, window.start - before), max(0, window.end - before)


def _with_span(candidate: Candidate, stage: str, span: tuple[int, int] | None) -> Candidate:
    if span is None:
        return candidate
    return replace(candidate, evidence={**candidate.evidence, stage: span})
