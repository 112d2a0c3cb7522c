"""The cross-encoder of winnow's own, for Chinese: docs/training.md has its data, and how it was trained.

It is multilingual-e5-small, trained on. Tokenizer and embeddings, four fifths of that model, are the packaged
encoder's, so that the file holds the layers above them alone, in int8 as `retrieval.encoders.bert_graph`
writes them. Every pair is read by itself, as in `rerank.cross.onnx`: a score does not depend on the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from rerank.cross.models import PairModel
from storage.cores import available_cores
from storage.errors import ModelError
from storage.memory import give_back
from storage.vectors import Floats

if TYPE_CHECKING:
    import onnxruntime

    from storage.legibility import Tokens

# Another file has another name: scores of one are not those of another.
WEIGHTS = "winnow/chinese 1"
FILE = Path(__file__).with_name("chinese.onnx")
_LONGEST = 512
_TOKENS_A_CORE = 2_048
_HAN, _KANA = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"), re.compile("[\u3041-\u30ff]")
_LATIN_WORD = re.compile("[A-Za-z]+")
# With this many Chinese characters a text is Chinese, whatever code and names are in it.
_PLENTY = 20


def is_chinese(text: str) -> bool:
    """True where Chinese characters carry a text. Of other languages little is known of the model."""
    han = len(_HAN.findall(text))
    return (han >= _PLENTY or han > len(_LATIN_WORD.findall(text))) and not _KANA.search(text)


class TokenEmbeddings(Protocol):
    """The packaged encoder below its layers."""

    @property
    def tokenizer(self) -> Any: ...

    def embedded(self, ids: Sequence[int]) -> Floats:
        """Embed tokens: float32 of shape (1, tokens, dim)."""
        ...


def load_chinese(encoder: TokenEmbeddings, layers: Callable[[], onnxruntime.InferenceSession]) -> PairModel:
    """The model above the packaged encoder's embeddings. `layers` gives `opened()`, once it is needed."""
    cores = available_cores()
    return PairModel(
        "winnow/chinese",
        _Layers(encoder, layers, ThreadPoolExecutor(cores)),
        cast("Any", _PairTokenizer(encoder.tokenizer)),
        _LONGEST,
        4,
        0,
        cores * _TOKENS_A_CORE,
        precision="int8",
        only=is_chinese,
    )


def opened(file: Path = FILE) -> onnxruntime.InferenceSession:
    """Load the layers, which takes 60 ms. Raises ModelError."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the rows run side by side
    options.enable_cpu_mem_arena = False  # it would keep the most that any pair has needed
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors have no common class
        raise ModelError(
            f"the Chinese cross-encoder in {file} cannot be loaded: {error}",
            way_out="Install winnow again: the file comes with it.",
        ) from error
    give_back()
    return session


class _Layers:
    """A Forward that embeds every row and reads it alone, without its padding."""

    def __init__(
        self,
        encoder: TokenEmbeddings,
        layers: Callable[[], onnxruntime.InferenceSession],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._encoder = encoder
        self._layers = layers
        self._pool = pool

    def __call__(self, ids: Any, mask: Any, types: Any) -> Floats:  # noqa: ARG002 - it has only one type
        lengths, session = mask.sum(axis=1), self._layers()

        def log_odds(row: int) -> float:
            embedded = self._encoder.embedded(ids[row, : lengths[row]])
            given = {"embedded": embedded, "lengths": lengths[row : row + 1].astype(np.int32)}
            found: Floats = session.run(["log_odds"], given)[0]
            return float(found.item())

        return np.array(list(self._pool.map(log_odds, range(len(ids)))), np.float32)


@dataclass(frozen=True, slots=True)
class _PairTokens:
    """Tokens of a pair, as far as `PairModel` reads the library's; special ones belong to neither text."""

    ids: list[int]
    type_ids: list[int]
    sequence_ids: list[int | None]


class _PairTokenizer:
    """The packaged encoder's tokenizer with the part of the library's interface that `PairModel` uses."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def token_to_id(self, token: str) -> int | None:
        return self._own.unknown if token == "<unk>" else None

    def encode(self, text: str, add_special_tokens: bool = True) -> Tokens:
        found: Tokens = self._own.encode(text, add_special_tokens)
        return found

    def encode_batch(self, texts: Sequence[Any], add_special_tokens: bool = True) -> list[Any]:
        """The tokens of texts, or of pairs of texts, joined as XLM-RoBERTa joins them."""
        if not texts or isinstance(texts[0], str):
            return [self.encode(text, add_special_tokens) for text in texts]
        [asked] = self._own.encode_ids([texts[0][0]])
        return [_pair(asked, told) for told in self._own.encode_ids([text for _, text in texts])]


def _pair(asked: list[int], told: list[int]) -> _PairTokens:
    # both begin with one special token and end with another
    ids = [*asked, asked[-1], *told[1:]]
    own: list[int | None] = [None, *[0] * (len(asked) - 2), None, None, *[1] * (len(told) - 2), None]
    return _PairTokens(ids, [0] * len(ids), own)
