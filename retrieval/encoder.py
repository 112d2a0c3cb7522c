"""The dense encoder: one forward pass gives a passage's vector and its token vectors.

An `Encoder` pairs a tokenizer (legibility, spans, counting) with a forward model. `load_encoder` picks the
lightest forward model that computes what the model's files describe.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from retrieval.models import DEFAULT_MODEL, LocatedModel, locate
from storage.vectors import Encoding

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Below this share of readable characters a text means nothing to the encoder. English text measured 0.91 and
# more (the lowest of 10,000 passages), Chinese text under MiniLM 0.46 (median) to 0.89 (99th percentile).
LEGIBLE = 0.9

_REMEMBERED_QUERIES = 256


class ForwardModel(Protocol):
    """The neural part: texts in, vectors out."""

    @property
    def dim(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...

    def encode(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        """L2-normalised dense vectors, and token vectors if asked, in the order of the texts."""
        ...


class Encoder:
    """A tokenizer and a forward model. Safe to call from several threads.

    `id` names model and revision for the collection's fingerprint; `max_tokens` counts special tokens.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - the fingerprint's own word
        model: ForwardModel,
        tokenizer: Tokenizer,
        *,
        query_prompt: str = "",
        passage_prompt: str = "",
    ) -> None:
        self.id = id
        self.dim = model.dim
        self.token_dim = model.dim
        self.max_tokens = model.max_tokens
        self._model = model
        self._tokenizer = tokenizer
        self._unknown = _unknown_token(tokenizer)
        self._query_prompt = query_prompt
        self._passage_prompt = passage_prompt
        # retrieval and rerank ask for the same question one after the other
        self._encode_query = lru_cache(_REMEMBERED_QUERIES)(self._encode_one)

    def tokenizer_json(self) -> str:
        """The tokenizer in Hugging Face's JSON form, without truncation and padding."""
        return self._tokenizer.to_str()

    def legibility(self, text: str) -> float:
        """The share (0 to 1) of the text's visible characters that the tokenizer can represent."""
        visible = sum(not character.isspace() for character in text)
        if visible == 0 or self._unknown is None:
            return 1.0
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        lost = sum(
            end - start
            for token, (start, end) in zip(encoded.ids, encoded.offsets, strict=True)
            if token == self._unknown
        )
        return 1 - lost / visible

    def reads(self, text: str) -> bool:
        """Whether the text is legible enough for its vectors to mean something."""
        return self.legibility(text) >= LEGIBLE

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """The character span of each token vector of `encode_passages([text])`; (0, 0) for special tokens."""
        encoded = self._tokenizer.encode(self._passage_prompt + text)
        shift = len(self._passage_prompt)
        spans = [(max(0, start - shift), max(0, end - shift)) for start, end in encoded.offsets]
        return spans[: self.max_tokens]

    def encode_query(self, text: str) -> Encoding:
        """A question's dense vector, shape (dim,), and token vectors, shape (n, token_dim)."""
        return self._encode_query(self._query_prompt + text)

    def forget_queries(self) -> None:
        """Encode every question anew from here on: a remembered one would hide what encoding costs."""
        self._encode_query.cache_clear()

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        """Passages in the order given; token vectors only if asked for."""
        return self._model.encode([self._passage_prompt + text for text in texts], tokens=tokens)

    def _encode_one(self, text: str) -> Encoding:
        return self._model.encode([text], tokens=True)[0]


def load_encoder(model: str = DEFAULT_MODEL, *, device: str = "auto", download: bool = False) -> Encoder:
    """The encoder of a local path or hub id.

    A plain BERT with mean pooling (the embedded default is one) runs without importing transformers, which
    costs seconds; everything else goes through sentence-transformers. Raises ModelError.
    """
    located = locate(model, download=download)
    return _load_bert(located, device) or _load_sentence_transformer(located, device)


def _load_bert(located: LocatedModel, device: str) -> Encoder | None:
    from retrieval.bert import BertModel, is_plain_bert, load_tokenizer

    if not is_plain_bert(located.folder):
        return None
    tokenizer = load_tokenizer(located.folder)
    return Encoder(located.name, BertModel.load(located.folder, tokenizer, device=device), tokenizer)


def _load_sentence_transformer(located: LocatedModel, device: str) -> Encoder:
    from retrieval.sentence_transformer import SentenceTransformerModel

    model = SentenceTransformerModel.load(located.folder, device=device)
    return Encoder(
        located.name,
        model,
        model.tokenizer,
        query_prompt=model.query_prompt,
        passage_prompt=model.passage_prompt,
    )


def _unknown_token(tokenizer: Tokenizer) -> int | None:
    for name in ("[UNK]", "<unk>"):
        token = tokenizer.token_to_id(name)
        if token is not None:
            return int(token)
    return None
