"""Chinese questions: answered by meaning or words, and held to their subject."""

from __future__ import annotations

import pytest

from generation.extractive.answerer import E5, WHOLE
from generation.extractive.scoring import subject_share
from retrieval.encoders.encoder import Encoder
from retrieval.lexical import LexicalEncoder
from tests.support.extractive import BRIDGE, OIL, RERANK, answer, passage, quotes

pytestmark = pytest.mark.heavy


def test_chinese_is_answered_by_meaning_where_the_encoder_reads_it(
    encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """Token vectors choose Chinese sentences as they choose English ones."""
    candidates = [passage(OIL, 1), passage(RERANK, 2)]
    generation = answer(encoder, lexical, "哪一步挑出五十段候选文字？", candidates)
    assert quotes(generation)[0] == "向量检索负责召回五十个候选段落。"
    assert "weak match" in generation.outcome.reason  # hardly a word in common


def test_chinese_that_the_encoder_cannot_read_is_answered_by_words(
    minilm: Encoder, lexical: LexicalEncoder
) -> None:
    """The outcome is partial and names the reason."""
    candidates = [passage(OIL, 1), passage(RERANK, 2)]
    generation = answer(minilm, lexical, "交叉编码器为什么慢？", candidates, scale=WHOLE)
    assert quotes(generation)[0] == "交叉编码器比双编码器慢，但更准确。"
    assert generation.text.startswith("交叉编码器比双编码器慢，但更准确。 [2]")
    assert generation.outcome.status == "partial"
    assert "cannot read the question" in generation.outcome.reason


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Who painted the Mona Lisa?", "The retrieved passages do not answer this question."),
        ("谁画了蒙娜丽莎？", "检索到的资料无法回答这个问题。"),
    ],
)
def test_what_has_nothing_to_do_with_the_question_is_no_answer(
    encoder: Encoder, lexical: LexicalEncoder, question: str, text: str
) -> None:
    """`answered` is False and the text says so, in the question's language."""
    generation = answer(encoder, lexical, question, [passage(OIL, 1), passage(BRIDGE, 2)])
    assert (generation.answered, generation.citations) == (False, ())
    assert generation.text.startswith(text)
    assert "Document 1" in generation.text


@pytest.mark.parametrize("reader", ["encoder", "minilm"])
def test_a_chinese_question_about_something_else_is_not_answered_by_its_common_words(
    request: pytest.FixtureRequest, lexical: LexicalEncoder, reader: str
) -> None:
    """The subject of a question decides, not its function words: 为什么, 是, 的 occur in every text."""
    encoder: Encoder = request.getfixturevalue(reader)
    scale = E5 if reader == "encoder" else WHOLE
    candidates = [passage(RERANK, 1), passage("为什么说段落的长度是重要的？因为模型是有限的。", 2)]
    for question, answered in (
        ("高铁的时速是多少？为什么是有限的？", False),
        ("重排序把什么放在前面？", True),
        ("段落是什么？", True),
    ):
        assert answer(encoder, lexical, question, candidates, scale=scale).answered == answered, question


def test_the_subject_of_a_chinese_question_is_what_it_does_not_ask_with(lexical: LexicalEncoder) -> None:
    """Simplified and traditional characters match; a question of function words alone has no subject."""
    passages = ["BM25 很快。", "重排序更慢。"]
    assert subject_share("重排序哪里更慢？", passages, lexical) == 1
    assert subject_share("重排序為什麼更慢？", ["重排序更快。", "重排序更慢。"], lexical) == 1
    assert subject_share("气候变暖的原因是什么？", ["氣候變暖的原因很多。"], lexical) == 1
    assert subject_share("向量检索有多少段落？", passages, lexical) == 0
    assert subject_share("为什么？", passages, lexical) is None
    assert subject_share("猫是什么？", passages, lexical) is None
    assert subject_share("重排序是什么？", [], lexical) == 0
