"""The encoders of a collection: those of the settings, or of a default that the settings had before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.models.hub import MINILM
from storage.qdrant.contract import Fingerprint
from storage.reasons import Reason
from winnow.app.setting_defaults import EncoderSettings

if TYPE_CHECKING:
    from retrieval.encoders.encoder import Encoder
    from retrieval.lexical import LexicalEncoder
    from winnow.app.settings import Settings

# What was the default once, by the encoder's name in a collection's fingerprint.
_FORMER: Mapping[str, EncoderSettings] = {
    MINILM: EncoderSettings(model=MINILM, token_dim=384),
    f"{MINILM} token_dim=128": EncoderSettings(model=MINILM, token_dim=128),
}


@dataclass(frozen=True, slots=True)
class Encoders:
    """The encoders of a collection: passages and questions become vectors and terms.

    `note` says how to move the collection on where a former default made it.
    """

    dense: Encoder
    lexical: LexicalEncoder
    note: Reason | None = None


def former_default(settings: Settings, built: Fingerprint | None) -> EncoderSettings | None:
    """Return the former default that made a collection; None for any other.

    Whoever chooses an encoder is not served by another one: then a collection that does not fit is refused.
    """
    if built is None or not settings.encoder.model_fields_set <= {"device"}:
        return None
    former = _FORMER.get(built.encoder)
    return former and former.model_copy(update={"device": settings.encoder.device})


def way_on(settings: Settings, name: str, built: Fingerprint | None) -> Reason | None:
    """Say how to move a collection from a former default to the present one; None for any other."""
    former = former_default(settings, built)
    if former is None:
        return None
    now = settings.encoder.model
    return Reason("winnow.app.former-encoder", collection=name, before=former.model, now=now)


def make_encoder(settings: Settings) -> Encoder:
    """Make the encoder of `[encoder]`: a local model, or an embeddings endpoint. Raises ModelError."""
    chosen = settings.encoder
    if chosen.provider == "local":
        from retrieval.encoders.encoder import load_encoder

        return load_encoder(
            chosen.model,
            device=chosen.device,
            dim=chosen.dim,
            token_dim=chosen.token_dim,
            query_prompt=chosen.query_prompt,
            passage_prompt=chosen.passage_prompt,
            cache=settings.models_dir,
        )
    from retrieval.encoders.endpoint import load_openai_encoder

    return load_openai_encoder(
        chosen.model,
        base_url=chosen.base_url,
        api_key=settings.encoder_api_key(),
        dim=chosen.dim,
        max_tokens=chosen.max_tokens,
        query_prompt=chosen.query_prompt,
        passage_prompt=chosen.passage_prompt,
        timeout_s=chosen.timeout_s,
        max_retries=chosen.max_retries,
        price=settings.llm.prices.get(chosen.model),
    )
