"""Cross-encoders: the parts that all kinds share. Importing this loads neither torch nor transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from rerank.cross.passes import Found, Passes, Row
from storage.errors import ModelError
from storage.legibility import least_legible, legibility, share_read, unknown_token
from storage.vectors import Floats

if TYPE_CHECKING:
    from tokenizers import Encoding as Tokens

# Models that read thousands of tokens were trained on hundreds; longer passages are read in windows.
_LONGEST = 1_024


# Token ids, mask and token types, all int64 of shape (rows, tokens), to log-odds: float32 of shape (rows,).
Forward = Callable[[Any, Any, Any], Floats]


# Takes the place of a passage where the text around it is looked for; no text holds it.
_PASSAGE = "\ue000passage\ue000"


@dataclass(frozen=True, slots=True)
class Template:
    """Writes an input by the model's own chat template: `render(instruction, question, passage)`.

    `instruction` None, or empty, leaves the model's own where it has one.
    """

    render: Callable[[str | None, str, str], str]
    takes_instruction: bool

    def after(self, instruction: str | None, query: str) -> int:
        """The number of characters after the passage. Raises ModelError where it does not appear."""
        written = self.render(instruction, query, _PASSAGE)
        place = written.rfind(_PASSAGE)
        if place < 0:
            raise ModelError("its chat template does not write the passage")
        return len(written) - place - len(_PASSAGE)


@dataclass(frozen=True, slots=True)
class PairModel:
    """A cross-encoder, ready to score. Safe to use from several threads, which share its passes.

    `overhead` counts the tokens of an input that are neither question nor passage. `precision` names how the
    weights are run: scores of one are not those of another. `activation` is the model's own last function,
    where that is not the logistic one or none. `instruction` says what relevance means: it goes into the
    template, or before the question where the model was trained with such a prompt (`prompted`). `together`:
    a score depends on the passages that are read with it. `only` tells which texts are read at all.
    """

    name: str
    forward: Forward
    tokenizer: Tokenizer
    max_tokens: int
    overhead: int
    pad: int
    batch_tokens: int
    template: Template | None = None
    precision: str = "torch"
    activation: Callable[[float], float] | None = None
    instruction: str | None = None
    prompted: bool = False
    together: bool = False
    only: Callable[[str], bool] | None = None
    passes: Passes = field(init=False, default_factory=Passes)

    def instructed(self, instruction: str) -> PairModel:
        """The same model, its passes too, with another instruction. Raises ModelError where it takes none."""
        if not (self.prompted if self.template is None else self.template.takes_instruction):
            raise ModelError(
                f"{self.name} takes no instruction: it was trained without",
                way_out="Leave it out, or choose a model that takes one, such as Qwen3-Reranker.",
            )
        copy = replace(
            self,
            instruction=instruction,
            overhead=self.overhead_of(self.template, self.tokenizer, instruction),
        )
        object.__setattr__(copy, "passes", self.passes)
        return copy

    @staticmethod
    def overhead_of(template: Template | None, tokenizer: Tokenizer, instruction: str | None) -> int:
        """`overhead` with this instruction."""
        if template is not None:
            return len(tokenizer.encode(template.render(instruction, "", ""), add_special_tokens=False).ids)
        return len(tokenizer.encode(instruction or "", "").ids)

    def reads(self, text: str) -> bool:
        """True if the tokenizer represents enough of a text for its scores to mean something."""
        return self.legible([text], self.tokenized([text]))[0]

    def tokenized(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text, without special ones."""
        return self.tokenizer.encode_batch(list(texts), add_special_tokens=False)

    def legible(self, texts: Sequence[str], tokens: Sequence[Tokens]) -> list[bool]:
        """`reads` of texts that are tokenized already."""
        unknown = unknown_token(self.tokenizer)
        least = least_legible(partial(legibility, self.tokenizer))
        pairs = zip(texts, tokens, strict=True)
        return [self._takes(text) and share_read(text, encoded, unknown) >= least for text, encoded in pairs]

    def _takes(self, text: str) -> bool:
        return self.only is None or self.only(text)

    def scored(self, query: str, texts: Sequence[str]) -> Generator[Found]:
        """(number of the text, log-odds) of each pass; see `Passes.scored`."""
        return self.passes.scored(self._rows(query, texts), self._logits, self.batch_tokens)

    def _logits(self, rows: Sequence[Row]) -> list[float]:
        return list(map(float, self.forward(*self._padded(rows))))

    def _rows(self, query: str, texts: Sequence[str]) -> list[Row]:
        if self.template is None:
            asked = f"{self.instruction or ''}{query}"
            encoded = self.tokenizer.encode_batch([(asked, text) for text in texts])
            return [self._fitting(tokens) for tokens in encoded]
        after = self.template.after(self.instruction, query)
        written = [self.template.render(self.instruction, query, text) for text in texts]
        encoded = self.tokenizer.encode_batch(written, add_special_tokens=False)
        return [
            self._shortened(tokens, len(whole) - after)
            for tokens, whole in zip(encoded, written, strict=True)
        ]

    def _shortened(self, tokens: Tokens, passage_end: int) -> Row:
        """The row of a written input. One too long loses the passage's end, never what follows it."""
        ids, extra = list(tokens.ids), len(tokens.ids) - self.max_tokens
        if extra > 0:
            end = sum(start < passage_end for start, _ in tokens.offsets)
            ids = ids[: max(0, end - extra)] + ids[end:]
        return ids, [0] * len(ids)

    def _fitting(self, tokens: Tokens) -> Row:
        """The row of a pair. A window may be a token or two too long: the passage then loses its end."""
        ids, types, extra = list(tokens.ids), list(tokens.type_ids), len(tokens.ids) - self.max_tokens
        if extra > 0:
            end = max(i for i, sequence in enumerate(tokens.sequence_ids) if sequence == 1) + 1
            ids, types = ids[: end - extra] + ids[end:], types[: end - extra] + types[end:]
        return ids, types

    def _padded(self, rows: Sequence[Row]) -> tuple[Any, Any, Any]:
        longest = max(len(ids) for ids, _ in rows)
        padded = np.full((len(rows), longest), self.pad, dtype=np.int64)
        mask, types = np.zeros_like(padded), np.zeros_like(padded)
        for row, (ids, kinds) in enumerate(rows):
            padded[row, : len(ids)], mask[row, : len(ids)], types[row, : len(ids)] = ids, 1, kinds
        return padded, mask, types


def as_log_odds(logits: Floats) -> Floats:
    """One log-odds a row, from logits of shape (rows, 1), or (rows, 2) with the relevant class last."""
    odds = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
    return np.asarray(odds, dtype=np.float32)


def read_config(folder: Path) -> dict[str, Any]:
    """The model's config.json. Raises ModelError."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder} holds no model: config.json cannot be read ({error})") from error
    if not isinstance(config, dict):
        raise ModelError(f"{folder} holds no model: config.json is not an object")
    return config


def longest_input(folder: Path, config: dict[str, Any], max_length: int | None) -> int:
    """The most tokens of one input: the model's own limit, at most 1,024 by default.

    RoBERTa models number their positions from the padding token's id, and so lose those places.
    """
    places = int(config.get("max_position_embeddings") or 512)
    if "roberta" in str(config.get("model_type")) or config.get("model_type") == "camembert":
        places -= int(config.get("pad_token_id") or 0) + 1
    if max_length is not None and max_length > places:
        raise ModelError(f"{folder.name} reads {places} tokens at most, not max_length={max_length}")
    return min(places, _LONGEST) if max_length is None else max_length
