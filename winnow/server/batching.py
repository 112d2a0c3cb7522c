"""Concurrent questions share the encoder's passes: who comes while one runs waits, the next takes them all.

Nobody waits for company: a question that is alone runs at once, exactly as without this. Cross-encoders do
the like by themselves, see `rerank.cross.passes`.
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

# Texts in one shared pass. A larger request is a batch already (ingestion's are), and runs by itself, so that
# no question waits behind it.
_MOST = 64


@dataclass(slots=True, eq=False)
class _Asked:
    texts: Sequence[str]
    tokens: bool
    prompt: str
    # None where the pass failed and was shared
    encodings: Future[list[Encoding] | None] = field(default_factory=Future)


class SharedForward:
    """A ForwardModel that runs one pass at a time, over all that was asked for meanwhile."""

    def __init__(self, model: ForwardModel) -> None:
        self._model = model
        self._running = threading.Lock()
        self._listing = threading.Lock()
        self._waiting: list[_Asked] = []
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

        Where a shared pass fails, everybody's texts are encoded by themselves: the fault is one question's.
        """
        if not 0 < len(texts) < _MOST:
            return self._model.encode(texts, tokens=tokens, prompt=prompt)
        asked = _Asked(texts, tokens, prompt)
        with self._listing:
            self._waiting.append(asked)
        with self._running:
            if not asked.encodings.done():  # whoever ran before may have taken it along
                self._run(self._taken(asked))
        encodings = asked.encodings.result()
        if encodings is None:
            return self._model.encode(texts, tokens=tokens, prompt=prompt)
        return encodings

    def close(self) -> None:
        self._model.close()

    def _taken(self, asked: _Asked) -> list[_Asked]:
        """What waits and goes with `asked`, which is among them."""
        with self._listing:
            batch, count = [asked], len(asked.texts)
            for other in self._waiting:
                alike = (other.tokens, other.prompt) == (asked.tokens, asked.prompt)
                if other is not asked and alike and count + len(other.texts) <= _MOST:
                    batch.append(other)
                    count += len(other.texts)
            self._waiting = [other for other in self._waiting if other not in batch]
        return batch

    def _run(self, batch: Sequence[_Asked]) -> None:
        self.passes += 1
        texts = [text for asked in batch for text in asked.texts]
        try:
            found = self._model.encode(texts, tokens=batch[0].tokens, prompt=batch[0].prompt)
        except BaseException as error:  # noqa: BLE001 - who waits for the pass raises it
            if len(batch) == 1:
                batch[0].encodings.set_exception(error)
            else:
                for asked in batch:
                    asked.encodings.set_result(None)
            return
        start = 0
        for asked in batch:
            asked.encodings.set_result(found[start : start + len(asked.texts)])
            start += len(asked.texts)


def shared(model: ForwardModel) -> ForwardModel:
    """The model, its passes shared; one that is shared already stays as it is."""
    return model if isinstance(model, SharedForward) else SharedForward(model)
