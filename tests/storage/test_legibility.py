"""Legibility: the share of a text that a tokenizer can represent."""

from __future__ import annotations

from functools import partial

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from retrieval.encoders.encoder import Encoder
from storage.legibility import LEGIBLE, least_legible, legibility, share_read, unknown_token


@pytest.fixture(scope="module")
def english() -> Tokenizer:
    """A WordPiece tokenizer of Latin letters, of one Chinese character and a full stop."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[UNK]", *letters, *(f"##{letter}" for letter in letters), "的", "."]
    tokenizer = Tokenizer(models.WordPiece(vocab={p: n for n, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Plain English.", 1),
        ("相关的段落", 0.2),  # one character of five is in the vocabulary
        ("three 段", 5 / 6),
        ("", 0),
        (" \n", 0),
    ],
)
def test_legibility_counts_visible_characters(english: Tokenizer, text: str, share: float) -> None:
    """What becomes the unknown token is lost; white space counts for nothing."""
    assert legibility(english, text) == pytest.approx(share)
    tokens = english.encode(text, add_special_tokens=False)
    assert share_read(text, tokens, unknown_token(english)) == pytest.approx(share)


def test_the_packaged_models_read_no_chinese() -> None:
    """BERT's English vocabulary holds some Chinese characters, and too few to read a sentence."""
    from retrieval.models.locate import locate

    for model in ("sentence-transformers/all-MiniLM-L6-v2", "cross-encoder/ms-marco-MiniLM-L12-v2"):
        tokenizer = Tokenizer.from_file(str(locate(model).folder / "tokenizer.json"))
        for chinese in ("重排序让最相关的段落排在最前面。", "中国的首都是什么？"):
            assert legibility(tokenizer, chinese) < LEGIBLE
        assert legibility(tokenizer, "Who wrote “Hamlet”, café owner?") == 1


def test_a_tokenizer_of_bytes_reads_everything() -> None:
    """Without an unknown token nothing is lost."""
    tokenizer = Tokenizer(models.BPE())
    assert unknown_token(tokenizer) is None
    assert legibility(tokenizer, "任何文字") == 1


def test_a_tokenizer_of_common_chinese_reads_a_question_with_a_rare_character() -> None:
    """A text of which only rare characters are lost is legible with seven tenths of it."""
    common = "的一是不了人在有我他这中大来上国"
    pieces = ["[UNK]", *common, "谁", "？", "a"]
    tokenizer = Tokenizer(models.WordPiece(vocab={p: n for n, p in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    assert legibility(tokenizer, "鸲鹟是谁？") < least_legible(partial(legibility, tokenizer))  # names alone
    assert legibility(tokenizer, "我国的鸲在上中国有谁？") > least_legible(partial(legibility, tokenizer))
    assert least_legible(lambda text: 0.94) == LEGIBLE


def test_the_default_encoder_reads_names_with_rare_characters(encoder: Encoder) -> None:
    for question in ("新西兰鸲鹟分布在什么地方？", "司马繇是谁的儿子？", "朱厚熜於何年登基?"):
        assert encoder.legibility(question) < LEGIBLE
        assert encoder.reads(question)
    assert not encoder.reads("鸲鹟繇倢")
