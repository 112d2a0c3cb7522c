"""The Unigram tokenizer of a vocabulary of pieces, with XLM-RoBERTa's normaliser."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer


# The ids of the special tokens, which are the first of every vocabulary.
BEGIN, _PAD, END, UNKNOWN = 0, 1, 2, 3
SPACE = "▁"
# Unicode's compatibility form folds this character, the model's own normaliser does not.
_WAVE, _PRIVATE = "\uff5e", "\ue000"


@cache
def normaliser() -> Normalizer:
    """Return the model's normaliser; it is not NFKC in one character."""
    from tokenizers import Regex, normalizers

    return normalizers.Sequence(
        [
            normalizers.Replace(_WAVE, _PRIVATE),
            normalizers.Nmt(),
            normalizers.NFKC(),
            normalizers.Replace(_PRIVATE, _WAVE),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )


def unigram_tokenizer(vocabulary: list[tuple[str, float]]) -> Tokenizer:
    """The library's tokenizer of pieces and scores; the first four are begin, padding, end and unknown."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(vocabulary, UNKNOWN, False))
    tokenizer.normalizer = normaliser()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", BEGIN), ("</s>", END)],
    )
    return tokenizer
