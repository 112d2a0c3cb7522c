"""Codes and names of a question, and the texts that alone hold them."""

from __future__ import annotations

import random

import pytest

from rerank.identifiers import identifiers, only_holders


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("What does error E4711 mean?", ["e4711"]),
        ("什么是 LoRA", ["lora"]),
        ("LoRA 是什么", ["lora"]),
        ("Ｅ４７１１是什么意思", ["e4711"]),
        ("XR-2000 与 v2.3.1 有什么区别", ["xr-2000", "v2.3.1"]),
        ("ERR_CONN_RESET_2 in retrieval/fusion.py", ["err_conn_reset_2"]),
        ("How do I declare a request body?", []),
        ("重排序有什么用？", []),
        ("", []),
    ],
)
def test_words_that_name_one_thing(question: str, found: list[str]) -> None:
    """Words with a digit, and every Latin word among Chinese ones."""
    assert identifiers(question) == found


def test_the_only_text_that_holds_a_code() -> None:
    """A code inside a longer one is another code; Chinese characters beside it end it."""
    texts = ["Fault E4711 of the fan", "Fault E47112 of the fan", "故障代码E4712表示过热", "no code at all"]
    assert only_holders("What does E4711 mean?", texts) == [0]
    assert only_holders("E4712 是什么意思", texts) == [2]
    assert only_holders("E9999?", texts) == []
    assert only_holders("fault", texts) == []


def test_a_code_that_several_hold_decides_nothing() -> None:
    """Nor does a single text: it has nobody to be before."""
    assert only_holders("E1", ["E1 one", "E1 two"]) == []
    assert only_holders("E1", ["E1 one"]) == []
    assert only_holders("E1 and E2", ["E1 one", "E2 two", "E2 again"]) == [0]


def test_every_random_code_is_found_among_its_neighbours() -> None:
    """Forty codes that differ in a digit, in either language."""
    random_ = random.Random(4)
    codes = [f"{random_.choice('EFX')}-{number}" for number in random_.sample(range(1000, 9999), 40)]
    texts = [f"Part {code} was checked.\n部件{code}已检查。" for code in codes]
    for place, code in enumerate(codes):
        assert only_holders(f"{code} 用多大扭矩", texts) == [place]
