"""What strategies are made of: the parts that winnow/pipeline hands in.

Each part is a small Protocol; a strategy that needs one that is missing says which, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from storage.chat import ChatModel
from storage.errors import SettingsError
from storage.store import TokenScorer
from storage.vectors import Encoding


class TokenEncoder(Protocol):
    """A text encoder that also gives one vector a token, for late interaction."""

    def reads(self, text: str) -> bool:
        """Whether the encoder can represent the text well enough for its vectors to mean something."""
        ...

    def encode_query(self, text: str) -> Encoding:
        """A question; `Encoding.tokens` has shape (n, token_dim)."""
        ...

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        """Passages in the order given, with token vectors if asked."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankParts:
    """What a chain is built from. Every part may be missing: only the strategies that need it complain.

    `scorer` knows the stored token vectors of one collection. `chat` gives the chat model of a name, or
    the configured one for None. `on_failure` says whether a failing stage
    is stepped over (and flagged) or raises.
    """

    encoder: TokenEncoder | None = None
    scorer: TokenScorer | None = None
    chat: Callable[[str | None], ChatModel] | None = None
    on_failure: Literal["fallback", "raise"] = "fallback"

    def needed_encoder(self, stage: str) -> TokenEncoder:
        """The encoder. Raises SettingsError where there is none."""
        if self.encoder is None:
            raise SettingsError(f"{stage} needs an encoder with token vectors, and none is configured")
        return self.encoder

    def needed_chat(self, stage: str, model: str | None) -> ChatModel:
        """The chat model of that name. Raises SettingsError where none is configured."""
        if self.chat is None:
            raise SettingsError(
                f"{stage} asks a language model, and none is configured",
                way_out="Set base_url and model under [llm] in winnow.toml.",
            )
        return self.chat(model)
