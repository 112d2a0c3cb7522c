"""The cross-encoder that judges what an extractive answer quotes; loaded when the first question needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from storage.errors import ModelError

if TYPE_CHECKING:
    from rerank.cross.models import PairModel

# The answerer's thresholds are this model's log-odds, whatever reranks.
MODEL = "cross-encoder/ms-marco-MiniLM-L12-v2"
# Tokens of one text; what is judged is short, and what is not may cost no more.
_LONGEST = 192


class AnswerJudge:
    """Reads a question and short texts together. Without the model on this machine it reads nothing."""

    def __init__(self, load: Callable[[], PairModel]) -> None:
        self._load = load

    @cached_property
    def _model(self) -> PairModel | None:
        try:
            return self._load()
        except ModelError:  # `winnow doctor` and the default rerank spec say that it is missing
            return None

    def reads(self, text: str) -> bool:
        """True if the model is here and represents enough of the text."""
        return self._model is not None and self._model.reads(text)

    @property
    def busy(self) -> bool:
        """True if many questions wait for the model."""
        return self._model is not None and self._model.passes.crowded

    def log_odds(self, question: str, texts: Sequence[str]) -> list[float]:
        """The log-odds that each text answers the question."""
        model = self._model
        if model is None:
            return [0.0] * len(texts)
        ends = [tokens.offsets for tokens in model.tokenized(texts)]
        short = [
            text if len(spans) <= _LONGEST else text[: spans[_LONGEST - 1][1]]
            for text, spans in zip(texts, ends, strict=True)
        ]
        found: dict[int, float] = {}
        for scores in model.scored(question, short):
            found.update(scores)
        return [found[number] for number in range(len(texts))]


def load() -> PairModel:
    """Load the model from where it is on this machine. Raises ModelError."""
    from rerank.cross.loading import load_pair_model
    from retrieval.models.locate import checked_folder

    return load_pair_model(checked_folder(MODEL))
