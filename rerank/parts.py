"""The parts that strategies are built from, handed in by `winnow/app/wiring.py`.

A strategy that needs a missing part raises an error that names it and says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio

from rerank.llm.budget import Budget
from storage.chat import MAX_REPLY_BYTES, ChatModel, Price
from storage.errors import SettingsError
from storage.qdrant.contract import TokenScorer
from storage.vectors import TextEncoder

if TYPE_CHECKING:
    from rerank.cross.models import PairModel
    from storage.log.score_cache import SqlScoreCache

# How many calls of a language model or an API may be in flight at once.
_IN_FLIGHT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankParts:
    """The parts of a chain. Every part may be missing: only the strategies that need it complain.

    - `encoder`, and `scorer`, which knows the stored vectors of one collection
    - `drop_twins`: of passages that say the same keep one alone; without, the others come last
    - `chat`: maps a name to its chat model, None to the configured one
    - `limiter`: shared by all calls over the network; `budget`: the limits of one question
    - `prices`: by model name; without a price, costs are not known
    - `cache`: scores paid for before; `prompts`: a folder of templates that replace winnow's
    - `context`: the tokens that the chat model holds, where that is known
    - `constrained`: the chat model takes a schema, and labels are held to one from the first reply on
    - `keep_exchanges`: keep every call of a language model in the outcome
    - `locate`: maps a model's hub id or path to its folder; `cross_encoder`: the default model
    - `chinese`: loads winnow's own cross-encoder for Chinese, if the encoder is the one that it builds upon
    - `trust_remote_code`: run code that a model's folder brings along
    - `instruction`: what relevance means, for the stages that take a model's or an API's instruction
    - `device`: auto, cpu, cuda or mps; `exported`: a folder for models that are converted to run faster
    - `api_key`: maps a rerank API's profile to its key, or None
    - `max_reply_bytes`: the most that is read of a rerank API's reply
    - `on_failure`: skip a failing stage (and flag it), or raise
    """

    encoder: TextEncoder | None = None
    scorer: TokenScorer | None = None
    drop_twins: bool = False
    chat: Callable[[str | None], ChatModel] | None = None
    limiter: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_IN_FLIGHT))
    budget: Budget = field(default_factory=Budget)
    prices: Mapping[str, Price] = field(default_factory=dict)
    cache: SqlScoreCache | None = None
    prompts: Path | None = None
    keep_exchanges: bool = False
    context: int | None = None
    constrained: bool = False
    locate: Callable[[str], Path] | None = None
    cross_encoder: str = "cross-encoder/ms-marco-MiniLM-L12-v2"
    chinese: Callable[[], PairModel] | None = None
    trust_remote_code: bool = False
    instruction: str | None = None
    device: str = "auto"
    exported: Path | None = None
    api_key: Callable[[str], str | None] = lambda _profile: None
    max_reply_bytes: int = MAX_REPLY_BYTES
    on_failure: Literal["fallback", "raise"] = "fallback"

    def needed_encoder(self, stage: str) -> TextEncoder:
        """The encoder. Raises SettingsError where there is none."""
        if self.encoder is None:
            raise SettingsError(f"{stage} needs an encoder with token vectors, and none is configured")
        return self.encoder

    def needed_folder(self, stage: str, model: str) -> Path:
        """The folder of a model. Raises SettingsError, or ModelError where the model is missing."""
        if self.locate is None:
            raise SettingsError(f"{stage} loads a model, and no location of models is configured")
        return self.locate(model)

    def needed_chat(self, stage: str, model: str | None) -> ChatModel:
        """The chat model of that name. Raises SettingsError where none is configured."""
        if self.chat is None:
            raise SettingsError(
                f"{stage} asks a language model, and none is configured",
                way_out="Set base_url and model under [llm] in winnow.toml.",
            )
        return self.chat(model)
