"""BM25's terms: words of both languages, codes as a whole, ways of writing, question words."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.lexical import MOST_CODES, UNJOINED, LexicalEncoder
from storage.qdrant.contract import LEXICAL, Fingerprint, chunk_id, document_id
from storage.qdrant.edge.stores import EdgeStores
from storage.records import Chunk
from storage.vectors import Leg, Point


def _chunk(text: str) -> Chunk:
    document = document_id(f"/{text[:4]}")
    return Chunk(
        id=chunk_id(document, text, 0), document_id=document, source="/x.md", title="", text=text, start=0,
        end=len(text),
    )  # fmt: skip


def test_lexical_terms_are_words_in_both_languages(lexical: LexicalEncoder) -> None:
    """English is stemmed and loses its stop words; a Chinese sentence becomes words, not one token."""
    assert lexical.terms("running the rankers") == lexical.terms("Run ranker")
    assert len(lexical.terms("重排序是检索增强生成中的精排机制")) > 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("檢索與資料庫", "检索与资料库"),  # traditional, simplified
        ("ＢＭ２５　ｓｅａｒｃｈ", "BM25 search"),  # full width, half width
        ("ﾊﾟｿｺﾝ", "パソコン"),
        ("Zürich café", "zurich cafe"),
    ],
)
def test_ways_of_writing_make_no_difference(lexical: LexicalEncoder, one: str, other: str) -> None:
    """Spelling variants of the same text match, in question and passage alike."""
    assert lexical.encode_query(one) == lexical.encode_query(other)
    assert lexical.encode_passage(one) == lexical.encode_passage(other)


def test_traditional_and_simplified_characters_find_each_other(
    tmp_path: Path, lexical: LexicalEncoder
) -> None:
    """檢索 finds a passage on 检索, and the other way round, in a collection that holds both."""
    texts = ["全文检索很快。", "向量檢索很慢。", "天气很好。"]
    store = EdgeStores(tmp_path).create("both", Fingerprint("encoder", 4, "none", lexical.id, None))
    store.upsert([Point(_chunk(text), lexical.encode_passage(text)) for text in texts])
    for question in ("檢索", "检索"):
        (hits,) = store.search([Leg(LEXICAL, lexical.encode_query(question))], 10)
        assert {hit.chunk.text for hit in hits} == set(texts[:2]), question
    store.close()


def test_a_part_of_a_chinese_word_is_found(lexical: LexicalEncoder) -> None:
    """Any part of a Chinese word finds it (诉讼时效期间 holds 时效), down to one character."""
    passage = set(lexical.encode_passage("诉讼时效期间为三年").indices)
    assert set(lexical.encode_query("时效").indices) <= passage
    assert set(lexical.encode_query("年").indices) <= passage
    assert not set(lexical.encode_query("效时").indices) <= passage


def test_mixed_text_keeps_both_languages_apart(lexical: LexicalEncoder) -> None:
    """English within Chinese is stemmed like English elsewhere, spaces or not."""
    assert lexical.terms("用Rankers重排") == lexical.terms("ranker 用 重排")


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("XR-2000", "用XR-2000型号"),
        ("xr2000", "Model XR-2000."),
        ("XR-2000", "Model XR2000."),
        ("ＸＲ－２０００", "Model XR-2000."),
        ("E4711", "故障代码E4711表示电机过热"),
        ("err_conn_reset", "It says ERR_CONN_RESET."),
        ("v2.3.1", "Since v2.3.1 it works."),
        ("10.0.0.1", "Ping 10.0.0.1 first."),
        ("KB/22-B", "See KB/22-B."),
        ("fusion.py", "Fusion is in retrieval/fusion.py."),
        ("FlashRouter", "A FlashRouter is needed."),
    ],
)
def test_a_code_is_found_as_a_whole(lexical: LexicalEncoder, question: str, passage: str) -> None:
    """A code is one term, whatever signs tear it apart, case or width it is written in."""
    (code,) = lexical.codes(question)
    assert code in lexical.encode_passage(passage).indices
    assert code in lexical.encode_query(question).indices


@pytest.mark.parametrize(
    ("code", "other"),
    [("XR-2000", "XR-1000 and ZT-2000"), ("1.23", "12.3"), ("10.0.0.1", "1.0.0.10"), ("A_B", "B_A")],
)
def test_parts_of_a_code_are_not_the_code(lexical: LexicalEncoder, code: str, other: str) -> None:
    """A text that holds the parts elsewhere does not hold the code."""
    assert not set(lexical.codes(code)) & set(lexical.encode_passage(other).indices)


def test_hyphenated_words_are_no_codes(lexical: LexicalEncoder) -> None:
    """Plain words with a hyphen are their parts, as always."""
    assert lexical.codes("What is a well-known and/or state-of-the-art pump?") == ()
    assert lexical.encode_passage("well-known") == lexical.encode_passage("well known")


@pytest.mark.parametrize(
    ("question", "codes"),
    [
        (
            "Does ERR_CONN_RESET of 2019 still happen to getUser in NASA?",
            ["ERR_CONN_RESET", "2019", "getUser", "NASA"],
        ),
        ("What does Kestrel do?", ["Kestrel"]),
        ("Kestrel: what does it do?", []),  # every first word is capitalised
        ("the 20 songs of the 20th century and the 1990s", []),
        ("什么是 lora", ["LoRA"]),  # among Chinese characters
        ("用 kestrel 的 20 个理由", ["kestrel"]),
        ("lora", []),
    ],
)
def test_the_codes_of_a_question(lexical: LexicalEncoder, question: str, codes: list[str]) -> None:
    """Codes, names and years; of a Chinese question every other script's word."""
    whole = [code.replace("_", "") for code in codes]
    assert set(lexical.codes(question)) == set(lexical.encode_query(" ".join(whole)).indices)


def test_a_pasted_log_has_eight_codes_at_most(lexical: LexicalEncoder) -> None:
    """Each is a search of its own."""
    assert len(lexical.codes(" ".join(f"E{n}" for n in range(100)))) == MOST_CODES


@pytest.mark.parametrize(
    ("question", "asking", "subject"),
    [
        ("什么是 LoRA", "什么是", "LoRA"),
        ("LoRA是什么？", "是什么", "LoRA"),
        ("E4711 是什么意思", "是什么意思", "E4711"),
        ("请问水泵如何更换", "请问 如何", "水泵 更换"),
        ("保修期有多久呢？", "有多久 呢", "保修期"),
        ("電機為什麼過熱", "为什么", "电机 过热"),  # traditional
        ("谁是法人", "谁是", "法人"),
    ],
)
def test_chinese_question_words_are_not_searched_for(
    lexical: LexicalEncoder, question: str, asking: str, subject: str
) -> None:
    """They are left out as English ones are, in either script, and nothing else is."""
    terms = set(lexical.encode_query(question).indices)
    assert not terms & set(lexical.encode_passage(asking).indices)
    assert terms >= set(lexical.encode_query(subject).indices)


def test_words_that_a_question_word_overlaps_stay(lexical: LexicalEncoder) -> None:
    """申请问题 is about 申请 and 问题, though 请问 is in it."""
    assert lexical.terms("申请") | lexical.terms("问题") <= set(lexical.encode_query("申请问题").indices)


@pytest.mark.parametrize("question", ["是什么", "多少？", "谁", "What is 什么?"])
def test_a_question_of_question_words_alone_keeps_them(lexical: LexicalEncoder, question: str) -> None:
    """There is nothing else to search for."""
    assert lexical.encode_query(question).indices


def test_an_older_collection_gets_the_terms_it_was_built_with(lexical: LexicalEncoder) -> None:
    """A passage's terms for it are those without joined codes; any other text's are the same as today."""
    old = lexical.for_collection(UNJOINED)
    assert old.encode_passage("Model XR-2000") == lexical.encode_passage("Model XR 2000")
    assert old.encode_passage("重排序 with BM25") == lexical.encode_passage("重排序 with BM25")
