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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from anyio import to_thread
from pydantic import Field

from rerank.base import LocalStrategy, by_score, check_top_k, probability, unchanged
from rerank.cross.loading import Backend, load_pair_model
from rerank.llm.budget import current_meter
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.score_memory import ScoreMemory, text_key
from rerank.spec import Value
from rerank.window_reading import Near, WindowReading
from storage.errors import ModelError, SettingsError, StoreError
from storage.records import Candidate, Outcome, Ranking

if TYPE_CHECKING:
    from rerank.cross.models import PairModel
    from storage.log.score_cache import SqlScoreCache
    from storage.qdrant.contract import TokenScorer
    from storage.vectors import TextEncoder

# The name of winnow's own: `rerank.cross.chinese`.
CHINESE = "winnow/chinese"
# Files whose change makes another model of a folder.
_DECISIVE = (".json", ".jinja", ".safetensors", ".bin", ".onnx", ".py")


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderOptions:
    """`model`: hub id or folder; `winnow/chinese` is winnow's own. `max_length`: tokens of one input.
    `windows`: the most parts of a long passage that are read. `window`: the tokens of one, by default what
    the model reads at once; those that are nearest to the question by stored token vectors are read, else the
    first. `sure`: the log-odds of a passage after which no more are read. `closer`: this many of the best are
    read once more, in their nearest part, unless one is sure; the mean of both scores counts. `backend`: what
    runs the model, by default what its folder holds; onnx converts weights for torch to int8 on a CPU.
    `instruction`: what relevance means, for models that take one.
    """

    model: str | None = None
    max_length: Annotated[int, Field(ge=32)] | None = None
    windows: Annotated[int, Field(ge=1)] = 8
    window: Annotated[int, Field(ge=16)] | None = None
    scale: Literal["probability", "logit"] = "probability"
    sure: float | None = None
    closer: Annotated[int, Field(ge=0)] = 0
    backend: Backend = "auto"
    instruction: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CrossEncoder(LocalStrategy):
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
    window: int | None = None
    near: Near | None = None
    closer: int = 0

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> CrossEncoder:
        chosen = read_options(CrossEncoderOptions, name, options)
        wanted = chosen.model or parts.cross_encoder
        model, version = _chinese(parts, name) if wanted == CHINESE else _located(parts, name, wanted, chosen)
        if instruction := chosen.instruction or parts.instruction:
            model = model.instructed(instruction)
        told = text_key(model.instruction or "")[:12]
        size = f"{chosen.windows}x{chosen.window}" if chosen.window else f"{chosen.windows}"
        state = f"{version}:{model.precision}:{model.max_tokens}:{size}:{told}"
        fingerprint = f"cross-encoder:{wanted}@{state}"
        cache = None if model.together else parts.cache
        near = None
        if parts.scorer is not None and parts.encoder is not None:
            near = partial(_near, encoder=parts.encoder, vectors=parts.scorer)
        return cls(
            name,
            model,
            chosen.windows,
            chosen.scale,
            cache,
            fingerprint,
            chosen.sure,
            chosen.window,
            near,
            chosen.closer,
        )

    @property
    def crowd(self) -> int:
        """The number of questions that wait for the model, where each should read less; otherwise 0."""
        return self.model.passes.waiting if self.sure is not None and self.model.passes.crowded else 0

    def reads(self, text: str) -> bool:
        """True if the model represents enough of a text for its score to mean something."""
        return self.model.reads(text)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if not candidates:
            return Ranking((), (Outcome(self.name),))
        memory = ScoreMemory(self.cache, self.fingerprint, query)
        reading = WindowReading(
            self.model,
            memory,
            current_meter(),
            windows=self.windows,
            size=self.window,
            near=self.near,
            sure=self.sure,
            closer=self.closer,
        )
        logits = await to_thread.run_sync(reading.logits, query, candidates)
        outcome = reading.outcome(self.name, logits)
        if outcome.status == "fallback":
            return unchanged(candidates, top_k, outcome)
        with_evidence = [_with_span(c, self.name, reading.spans.get(i)) for i, c in enumerate(candidates)]
        own = self.model.activation or probability
        scores = [logit if self.scale == "logit" else _activated(own, logit) for logit in logits]
        return by_score(self.name, with_evidence, scores, top_k, outcome)


def _located(
    parts: RerankParts, name: str, wanted: str, chosen: CrossEncoderOptions
) -> tuple[PairModel, str]:
    """The model of that name or folder, and what changes with its weights."""
    folder = parts.needed_folder(name, wanted)
    model = load_pair_model(
        folder,
        backend=chosen.backend,
        device=parts.device,
        max_length=chosen.max_length,
        exported=parts.exported,
        trust_remote_code=parts.trust_remote_code,
    )
    return model, _state(folder)


def _chinese(parts: RerankParts, name: str) -> tuple[PairModel, str]:
    """winnow's own model, and the name of its weights."""
    from rerank.cross.chinese import WEIGHTS

    if parts.chinese is None:
        raise SettingsError(
            f"{name}: {CHINESE} builds upon the default encoder, and this collection has another",
            way_out="Leave encoder.model out and run winnow ingest --reindex, or choose another model.",
        )
    return parts.chinese(), WEIGHTS


def _near(
    query: str,
    candidates: Sequence[Candidate],
    places: Sequence[tuple[int, tuple[int, int]]],
    *,
    encoder: TextEncoder,
    vectors: TokenScorer,
) -> Sequence[float | None]:
    """Score places of stored passages by their nearness to the question; None where it is illegible."""
    from storage.qdrant.similarities import similarities

    if encoder.reads(query):
        with suppress(ModelError, StoreError):  # late interaction asks the same of both, and says so
            return similarities(query, candidates, places, encoder, vectors)
    return [None] * len(places)


def _state(folder: Path) -> str:
    """Changes with the weights in the folder: scores of earlier ones are not theirs."""
    here = (*folder.iterdir(), *folder.glob("*/*"))  # a folder for each module
    files = sorted(path for path in here if path.suffix in _DECISIVE)
    found = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(found).encode()).hexdigest()[:12]


def _activated(function: Callable[[float], float], logit: float | None) -> float | None:
    return logit if logit is None or not math.isfinite(logit) else function(logit)


def _with_span(candidate: Candidate, stage: str, span: tuple[int, int] | None) -> Candidate:
    if span is None:
        return candidate
    return replace(candidate, evidence={**candidate.evidence, stage: span})
