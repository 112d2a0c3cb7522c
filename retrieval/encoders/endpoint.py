"""An encoder behind an OpenAI-compatible `/v1/embeddings`. It has dense vectors only.

It is used only if the settings name it: texts leave the machine, and may cost money.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retrieval.encoders.encoder import Encoder
from retrieval.encoders.endpoint_reply import read_tokens, read_vectors
from retrieval.encoders.prompts import chosen_prompts
from retrieval.encoders.tokenizer import WholeTokenizer
from storage.cancellation import stop_if_cancelled
from storage.chat import Price, sendable
from storage.errors import ModelError, SettingsError
from storage.openai_client import OPENAI, OpenAIEndpoint, key_headers, sealed, words
from storage.records import Usage
from storage.vectors import Encoding

if TYPE_CHECKING:
    from openai import OpenAI
    from tokenizers import Tokenizer

# Known widths, which need no call.
_DIMS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
# OpenAI takes 2,048 texts and 300,000 tokens a request; the tokens here are estimated. The vectors of 512
# texts, of 4,096 numbers each and written out, are some 45 MB.
_MOST_TEXTS, _MOST_TOKENS = 512, 200_000
_MOST_BYTES = 64 << 20
_TOO_MUCH = re.compile(
    r"too (long|large|many|big)|context length|maximum|max_|exceed|longer than|limit", re.I
)
_TOO_MANY = re.compile(r"batch|inputs|items|too many|array", re.I)
_FORMAT = re.compile(r"encoding_format|base64", re.I)
_CUTS = 12


@dataclass(frozen=True, slots=True)
class _Sent:
    """A text to send; `cut` says that its end was left out."""

    text: str
    cut: bool = False


class OpenAIEmbeddings:
    """A ForwardModel that asks an endpoint.

    The client retries by itself (connection errors, 408, 409, 429, 5xx) and honours `Retry-After`. A request
    that is too large for the server is split; a text that is too long for it is cut, and flagged.
    """

    token_dim = None

    def __init__(
        self,
        client: OpenAI,
        model: str,
        tokenizer: WholeTokenizer,
        *,
        dim: int | None = None,
        max_tokens: int = 8_191,
        price: Price | None = None,
    ) -> None:
        self.max_tokens = max_tokens
        self._client = client
        self._model = model
        self._endpoint = _endpoint(model, str(client.base_url).rstrip("/"))
        self._tokenizer = tokenizer
        self._asked_dim = dim
        self._dim = dim or _DIMS.get(model)
        self._price = price
        self._most_texts = _MOST_TEXTS
        self._format = "base64"  # a quarter of the bytes

    @property
    def dim(self) -> int:
        """The width of the vectors; if it was not given, one call asks the endpoint."""
        if self._dim is None:
            self._embedded([_Sent("dimension")])
        assert self._dim is not None  # a reply that was accepted has set it
        return self._dim

    def encode(self, texts: Sequence[str], *, tokens: bool, prompt: str = "") -> list[Encoding]:  # noqa: ARG002 - has none
        """See `ForwardModel.encode`. A text without a visible character is refused."""
        if blank := sum(not text.strip() for text in texts):
            raise ModelError(
                f"{blank} of {len(texts)} texts are empty, and an endpoint has no vector for an empty text",
                way_out="Leave them out: Encoder.reads(text) is False for them.",
            )
        sent = [self._fitted(sendable(prompt + text)) for text in texts]
        found: list[Encoding] = []
        for group in self._groups(sent):
            stop_if_cancelled()
            found += self._embedded(group)
        return found

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _fitted(self, text: str) -> _Sent:
        """The text, cut if it is longer than `max_tokens`."""
        if len(text) <= self.max_tokens:  # no estimate is more than a token a character
            return _Sent(text)
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        if len(offsets) <= self.max_tokens:
            return _Sent(text)
        return _Sent(text[: offsets[self.max_tokens - 1][1]], cut=True)

    def _groups(self, sent: Sequence[_Sent]) -> Iterator[list[_Sent]]:
        """Split the texts into requests within the limits of texts and tokens."""
        counted = self._tokenizer.encode_ids([one.text for one in sent])
        group: list[_Sent] = []
        tokens = 0
        for one, found in zip(sent, counted, strict=True):
            if group and (len(group) >= self._most_texts or tokens + len(found) > _MOST_TOKENS):
                yield group
                group, tokens = [], 0
            group.append(one)
            tokens += len(found)
        if group:
            yield group

    def _embedded(self, group: list[_Sent], cuts: int = 0) -> list[Encoding]:
        """Vectors of one group, in one request if the endpoint accepts it, otherwise in several."""
        from openai import APIStatusError

        form = self._format
        try:
            with self._endpoint.translating():
                return self._request(group, form)
        except ModelError as refused:
            error = refused.__cause__
            if not isinstance(error, APIStatusError) or error.status_code not in (400, 413, 422):
                raise
            said = words(error)
            if form == "base64" and _FORMAT.search(said):
                self._format = "float"
                return self._embedded(group, cuts)
            if error.status_code != 413 and ("dimension" in said or not _TOO_MUCH.search(said)):
                raise
            if len(group) == 1:
                if cuts == _CUTS or len(group[0].text) < 2:
                    raise
                return self._embedded([_shorter(group[0], said)], cuts + 1)
            half = (len(group) + 1) // 2
            if _TOO_MANY.search(said):
                self._most_texts = min(self._most_texts, half)
        return [*self._embedded(group[:half]), *self._embedded(group[half:])]

    def _request(self, group: Sequence[_Sent], form: str) -> list[Encoding]:
        body: dict[str, Any] = {"dimensions": self._asked_dim} if self._asked_dim else {}
        raw = self._client.embeddings.with_raw_response.create(
            model=self._model,
            input=[one.text for one in group],
            encoding_format=form,  # type: ignore[arg-type]  # one of the two that there are
            extra_headers=key_headers(self._client),
            **body,
        )
        reply = raw.http_response.json()
        vectors = read_vectors(reply, len(group), self._dim)
        self._dim = len(vectors[0])
        usage = self._usage(read_tokens(reply), raw.retries_taken)
        return [
            Encoding(vector, None, truncated=one.cut, usage=usage if n == 0 else Usage())
            for n, (one, vector) in enumerate(zip(group, vectors, strict=True))
        ]

    def _usage(self, tokens: int | None, retries: int) -> Usage:
        usage = Usage(calls=1 + retries, prompt_tokens=tokens or 0, retries=retries)
        return replace(usage, cost=self._price.of(usage)) if self._price and tokens is not None else usage


def load_openai_encoder(
    model: str,
    *,
    base_url: str = OPENAI,
    api_key: str | None = None,
    dim: int | None = None,
    max_tokens: int = 8_191,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    timeout_s: float = 60,
    max_retries: int = 5,
    price: Price | None = None,
) -> Encoder:
    """Make the encoder of a model at an endpoint. Nothing is sent before the first text.

    `dim` is sent to the endpoint, which shortens the vectors itself. Only the given key is sent: no
    credential, organisation or header is taken from the environment. Raises SettingsError for OpenAI's own
    endpoint without a key, ModelError if `base_url` is not a URL.
    """
    from openai import OpenAI

    if not api_key and "api.openai.com" in base_url:
        raise SettingsError(
            f"the encoder {model} at {base_url} needs an API key",
            way_out="Set encoder.api_key or OPENAI_API_KEY, or another encoder.base_url.",
        )
    with _endpoint(model, base_url).translating():
        client = sealed(
            OpenAI,
            base_url=base_url,
            api_key=api_key,
            timeout_s=timeout_s,
            max_retries=max_retries,
            max_reply_bytes=_MOST_BYTES,
        )
    tokenizer = WholeTokenizer(estimating_tokenizer())
    forward = OpenAIEmbeddings(client, model, tokenizer, dim=dim, max_tokens=max_tokens, price=price)
    prompts = chosen_prompts(model, None, query=query_prompt, passage=passage_prompt)
    return Encoder(f"openai:{model}" + (f" dim={dim}" if dim else ""), forward, tokenizer, prompts=prompts)


def estimating_tokenizer() -> Tokenizer:
    """A tokenizer that knows every character and counts slightly more than the usual byte-pair encodings.

    The endpoint's own tokenizer is not available; passages are far shorter than such models read.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"piece": 0}, unk_token="piece"))
    pieces = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]|[\p{L}\p{M}]{1,6}|\p{N}{1,3}|[^\s\p{L}\p{M}\p{N}]"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(pieces), "isolated")]
    )
    return tokenizer


def _endpoint(model: str, base_url: str) -> OpenAIEndpoint:
    request = "encoder.model and encoder.dim"
    return OpenAIEndpoint(model, base_url, ModelError, "encoder", request, "embeddings")


def _shorter(sent: _Sent, said: str) -> _Sent:
    """The text without its end: shortened by the excess that the endpoint reports, otherwise by half."""
    numbers = sorted({int(number) for number in re.findall(r"\d{2,7}", said)})
    share = numbers[0] / numbers[-1] * 0.95 if len(numbers) > 1 else 0.5
    return _Sent(sent.text[: max(1, int(len(sent.text) * min(0.9, max(0.25, share))))], cut=True)
