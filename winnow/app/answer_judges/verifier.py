"""Tells how likely a Chinese quotation answers its question: a small cross-encoder of winnow's own.

multilingual-e5-small, trained on to tell the sentence that answers from those around it; docs/training.md has
the data and the command. Its tokenizer and embeddings are the packaged encoder's, so that the file holds only
the layers above them, in int8 as `retrieval.encoders.bert_graph` writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storage.errors import ModelError
from storage.vectors import Floats

if TYPE_CHECKING:
    import onnxruntime

    from retrieval.encoders.bert import BertModel
    from retrieval.encoders.tokenizer import TextTokenizer

FILE = Path(__file__).with_name("verifier.onnx")
# Tokens of question and quotation together; it was trained on fewer.
LONGEST = 192


class AnswerVerifier:
    """Reads a question and a quotation together. `encoder` is the packaged multilingual-e5-small.

    `layers` gives `opened()`, or what was opened before.
    """

    def __init__(self, encoder: BertModel, layers: Callable[[], onnxruntime.InferenceSession]) -> None:
        self._encoder = encoder
        self._layers = layers

    def log_odds(self, question: str, text: str) -> float:
        """Return how likely the text answers the question, in log-odds."""
        ids = pair_ids(self._encoder.tokenizer, question, text)
        given = {"embedded": self._encoder.embedded(ids), "lengths": np.array([len(ids)], np.int32)}
        found: Floats = self._layers().run(["log_odds"], given)[0]
        return float(found.item())


def opened(file: Path = FILE) -> onnxruntime.InferenceSession:
    """Load the layers, which takes 60 ms. Raises ModelError."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the most that any pair has needed
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors have no common class
        raise ModelError(
            f"the verifier of Chinese answers in {file} cannot be loaded: {error}",
            way_out="Install winnow again: the file comes with it.",
        ) from error


def pair_ids(tokenizer: TextTokenizer, question: str, text: str) -> list[int]:
    """The tokens of both, joined as XLM-RoBERTa joins two texts; the end of what is too long is left out."""
    asked, told = tokenizer.encode_ids([question, text])
    # both begin with one special token and end with another
    ids = [*asked, asked[-1], *told[1:]]
    return ids if len(ids) <= LONGEST else [*ids[: LONGEST - 1], ids[-1]]
