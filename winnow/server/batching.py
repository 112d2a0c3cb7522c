"""Concurrent questions share the encoder's passes: texts that arrive during one share the next.

A question that is alone runs at once, exactly as without this. Cross-encoders batch by themselves, see
`rerank.cross.passes`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.encoders.encoder import ForwardModel
    from storage.vectors import Encoding

# Texts in one shared pass. A larger request, as of ingestion, is a batch already and runs by itself, so that
# no question waits behind it.
_MOST = 64


@dataclass(slots=True, eq=False)
class _PendingTexts:
    texts: Sequence[str]
    tokens: bool
    prompt: str
    # None where a shared pass failed
    encodings: Future[list[Encoding] | None] = field(default_factory=Future)


class SharedForward:
    """A ForwardModel that runs one pass at a time, over all texts that arrived meanwhile."""

    def __init__(self, model: ForwardModel) -> None:
        self._model = model
        self._running = threading.Lock()
        self._listing = threading.Lock()
        self._waiting: list[_PendingTexts] = []
        self.passes = 0

    @property
    def dim(self) -> int:
        return self._model.dim

    @property
    def token_dim(self) -> int | None:
        return self._model.token_dim

    @property
    def max_tokens(self) -> int:
        return self._model.max_tokens

    def encode(self, texts: Sequence[str], *, tokens: bool, prompt: str = "") -> list[Encoding]:
        """See `retrieval.encoders.encoder.ForwardModel.encode`.

        Where a shared pass fails, each question's texts are encoded separately: only one of them is at fault.
        """
        if not 0 < len(texts) < _MOST:
            return self._model.encode(texts, tokens=tokens, prompt=prompt)
        pending = _PendingTexts(texts, tokens, prompt)
        with self._listing:
            self._waiting.append(pending)
        with self._running:
            if not pending.encodings.done():  # the pass before may have included it
                self._run(self._batch(pending))
        encodings = pending.encodings.result()
        if encodings is None:
            return self._model.encode(texts, tokens=tokens, prompt=prompt)
        return encodings

    def close(self) -> None:
        self._model.close()

    def _batch(self, first: _PendingTexts) -> list[_PendingTexts]:
        """Take `first` and those waiting texts that fit into a pass with it."""
        with self._listing:
            batch, count = [first], len(first.texts)
            for other in self._waiting:
                alike = (other.tokens, other.prompt) == (first.tokens, first.prompt)
                if other is not first and alike and count + len(other.texts) <= _MOST:
                    batch.append(other)
                    count += len(other.texts)
            self._waiting = [other for other in self._waiting if other not in batch]
        return batch

    def _run(self, batch: Sequence[_PendingTexts]) -> None:
        self.passes += 1
        texts = [text for pending in batch for text in pending.texts]
        try:
            encodings = self._model.encode(texts, tokens=batch[0].tokens, prompt=batch[0].prompt)
        except BaseException as error:  # noqa: BLE001 - raised where the pass is waited for
            if len(batch) == 1:
                batch[0].encodings.set_exception(error)
            else:
                for pending in batch:
                    pending.encodings.set_result(None)
            return
        start = 0
        for pending in batch:
            pending.encodings.set_result(encodings[start : start + len(pending.texts)])
            start += len(pending.texts)


def shared(model: ForwardModel) -> ForwardModel:
    """Wrap a model so that its passes are shared; one that is shared already stays as it is."""
    return model if isinstance(model, SharedForward) else SharedForward(model)
