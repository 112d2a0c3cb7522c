"""Orders in every usual written form: read as they were meant, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank.llm.permutations import Permutation, read_permutation

MEANT = Permutation((2, 0, 1))
FORMS = [
    "第3段最相关，其次是第1段，最后是第2段",
    "[3] is the best, followed by [1], then [2]",
    "[3] 9/10; [1] 6/10; [2] 1/10",
    "[3] > [1] > [2]",
    "3 > 1 > 2",
    "Ranking: 3, 1, 2",
    "3 1 2",
    "(3) > (1) > (2)",
    "Passage 3 > Passage 1 > Passage 2",
    "[Document 3] > [Document 1] > [Document 2]",
    "[ID: 3] > [ID: 1] > [ID: 2]",
    "#3 > #1 > #2",
    "3 → 1 → 2",
    "3 -> 1 -> 2",
    "[3] >= [1] = [2]",
    "【3】>【1】>【2】",
    "第3段 > 第1段 > 第2段",
    "段落3、段落1、段落2",
    "顺序：3、1、2",
    "1. [3]\n2. [1]\n3. [2]",
    "1. Passage 3\n2. Passage 1\n3. Passage 2",
    "1) 3\n2) 1\n3) 2",
    "- [3]\n- [1]\n- [2]",
    "* Document 3: tides, as [2] has it\n* Document 1: no\n* Document 2",
    "Rank 1: [3]\nRank 2: [1]\nRank 3: [2]",
    "1st: 3\n2nd: 1\n3rd: 2",
    "3\n1\n2",
    "| Rank | Passage |\n|---|---|\n| 1 | 3 |\n| 2 | 1 |\n| 3 | 2 |",
    '{"ranking": [3, 1, 2]}\n\nPassage [3] names 2 tides, so it is [1]st.',
    "[3] > [1] > [2]\n\n[3] names the tide, [1] does not.",
    "At first [1] > [2] > [3]. But then: [3] > [1] > [2]",
    "Best is [3], then [1], and finally [2].",
    "最好的是[3]，其次是[1]，最后是[2]。",
    "[2, 0, 1]",
    "[2] > [0] > [1]",
    '{"ranking": [2, 0, 1]}',
    '[{"id": 1, "score": 5}, {"id": 2, "score": 0}, {"id": 3, "score": 8}]',
    '{"1": 0.4, "2": 0.1, "3": 0.7}',
    '{"scores": {"1": 5, "2": 0, "3": 8}}',
    '{"order": [{"passage_id": 3}, {"passage_id": 1}, {"passage_id": 2}]}',
    '{"ranking": ["Passage 3", "Passage 1", "Passage 2"]}',
    '{"ranking": "[3] > [1] > [2]"}',
    "[[3], [1], [2]]",
    "[[1, 0.4], [2, 0.1], [3, 0.7]]",
    '{"ranking": [{"id": 1, "rank": 2}, {"id": 2, "rank": 3}, {"id": 3, "rank": 1}]}',
    "Passage 1: 5/10\nPassage 2: 0/10\nPassage 3: 8/10",
    "[1]: 0.4, [2]: 0.1, [3]: 0.7",
    "[2] < [1] < [3]",
    "**[3]** > **[1]** > **[2]**",
    "<3> > <1> > <2>",
    "[3]>[1]>[2]",
    "[3] [1] [2]",
    "[3]\n[1]\n[2]",
    "doc_3 > doc_1 > doc_2",
    "D3 > D1 > D2",
    "<ranking>3,1,2</ranking>",
    "\\boxed{3, 1, 2}",
    "['3', '1', '2']",
    "The order is [3] > [1] > [2], I think.",
    # numbers
    "三 > 一 > 二",
    "第三段、第一段、第二段",
    "最相关的是第三段，其次是第一段，最后是第二段。",
    "③①②",
    "❸ > ❶ > ❷",
    "［３］＞［１］＞［２］",
    "03 > 01 > 02",
    "three, one, two",
    "Passage three, passage one, passage two",
    "[three] > [one] > [two]",
    "3/1/2",
    "[1] 5\n[2] 1\n[3] 9",
    '{"scores": [5, 1, 9]}',
    '{"relevance_scores": [0.5, 0.1, 0.9]}',
    '{"passages_by_score": [3, 1, 2]}',
    "Ranking: 3 (most relevant) > 1 > 2 (least relevant)",
    "[3] (the tide itself) > [1] (its cause) > [2] (no tide)",
    "Position 1: 3; Position 2: 1; Position 3: 2",
    '{"ranking": ["<passage id=\\"3\\">", "<passage id=\\"1\\">", "<passage id=\\"2\\">"]}',
    "Dokument 3 ≫ Dokument 1 ≫ Dokument 2",
    "문서 3 > 문서 1 > 문서 2",
    "3-1-2",
    # brackets, names and signs
    "《3》>《1》>《2》",
    "『3』『1』『2』",
    '<passage id="3"> > <passage id="1"> > <passage id="2">',
    "passage-3 > passage-1 > passage-2",
    "资料3 > 资料1 > 资料2",
    "Source 3, Source 1, Source 2",
    "chunk 3 > chunk 1 > chunk 2",
    "[3] \\succ [1] \\succ [2]",
    "$\\boxed{3 \\to 1 \\to 2}$",
    "[3] &gt; [1] &gt; [2]",
    "3 ⇒ 1 ⇒ 2",
    "[3]➡[1]➡[2]",
    "[3] > [1] > [2]<|im_end|>",
    "3 first, then 1, then 2",
    # lists
    "(1) [3]\n(2) [1]\n(3) [2]",
    "① [3]\n② [1]\n③ [2]",
    "1、第3段\n2、第1段\n3、第2段",
    "一、第三段\n二、第一段\n三、第二段",
    "1. passage_id: 3\n2. passage_id: 1\n3. passage_id: 2",
    "First: 3\nSecond: 1\nThird: 2",
    "Least relevant: [2]\nMost relevant: [3]\nSecond: [1]",
    "Rank 2: [1]\nRank 1: [3]\nRank 3: [2]",
    "Rank 1: 3, Rank 2: 1, Rank 3: 2",
    "#1: [3]\n#2: [1]\n#3: [2]",
    "1. [3]\n   - 2 tides\n2. [1]\n   - 3 days\n3. [2]",
    "| Passage | Rank |\n|---|---|\n| 3 | 1 |\n| 1 | 2 |\n| 2 | 3 |",
    "| Passage | Rank |\n|---|---|\n| 1 | 2 |\n| 2 | 3 |\n| 3 | 1 |",
    # said twice, explained, turned round
    "[3] > [1] > [2]\n[3] > [1] > [2]",
    "[3] > [1] > [2]\n\nWhy: passage 3 names them; passage 1 (5/10) hardly; passage 2 (1/10).",
    "First [1, 2, 3], on second thoughts [3, 1, 2]",
    "From least to most relevant: 2, 1, 3",
    "从最不相关到最相关：2、1、3",
    # grades
    "[1] 5\n[2] 0\n[3] 9.5",
    "[1] score: 5, [2] score: 0, [3] score: 9",
    "第1段：5分\n第2段：0分\n第3段：9分",
    "Passage 3: 3, Passage 1: 2, Passage 2: 1",  # grades or ranks: the same, as they stand
    # JSON
    '{"ranking": [3, 1, 2,]}',
    '{"reasoning": "1 > 2, or 2 > 1?", "ranking": [3, 1, 2]}',
    '{"first": 3, "second": 1, "third": 2}',
    '{"rank_1": "[3]", "rank_2": "[1]", "rank_3": "[2]"}',
    '{"ranking": {"1": "Passage 3", "2": "Passage 1", "3": "Passage 2"}}',
    '{"ranks": {"1": 2, "2": 3, "3": 1}}',
    '{"ranking": [{"passageId": "3"}, {"passageId": "1"}, {"passageId": "2"}]}',
    '{"results": [{"index": 2, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.5}, '
    '{"index": 1, "relevance_score": 0.1}]}',
]
UNCLEAR = [
    "Passage 3 comes before all; passage 1, passage 2",  # its best would be lost
    "Passage 3 beats passage 1.",
    "Passage 1: 2\nPassage 2: 3\nPassage 3: 1",  # ranks, or grades
    '{"1": 2, "2": 3, "3": 1}',
    "There were 3 tides in 2 days, 1 of them high.",
    "The passages are: 1. Neap tides 2. Spring tides",
    "[[[[[[[[[[",
    '{"ranking": {"1": 3, "2": 1, "3": 2}}',  # passages by rank, or ranks by passage
    "1 - 3\n2 - 1\n3 - 2",
    "rank,id\n1,3\n2,1\n3,2",  # or an id and a grade
    "id,score\n1,5\n2,0\n3,9",
    "1 5\n2 0\n3 9",
    "Relevant: 3\nNot relevant: 1, 2",
    "相关：3\n不相关：1、2",
    "In 2019 tides were high; see [1], [2].",  # mentioned, not ordered
    "Passages 3 and 1 are relevant.",
    '{"error": {"code": 429, "message": "at most 3"}}',
    '{"ranking": [1e999, NaN]}',
    "9" * 5000,
    "[" + "9" * 5000 + "]",
]


@pytest.mark.parametrize("reply", FORMS)
def test_an_order_is_read_in_every_usual_form(reply: str) -> None:
    """With no defect: nothing in these replies needs mending."""
    assert read_permutation(reply, 3) == MEANT


@pytest.mark.parametrize("reply", UNCLEAR)
def test_what_may_mean_two_things_is_no_order(reply: str) -> None:
    """The model is asked again instead."""
    assert read_permutation(reply, 3) is None


@pytest.mark.parametrize(
    ("reply", "order"),
    [("3, 1, 1", (2, 0, 1)), ("[3] > [1] > [1", (2, 0, 1)), ("3 > 11 > 1", (2, 10, 0))],
)
def test_the_last_number_of_a_reply_that_was_cut_does_not_count(reply: str, order: tuple[int, ...]) -> None:
    """It may be half of one."""
    found = read_permutation(reply, 12, cut=True)
    assert found is not None
    assert found.order[:2] == order[:2]
    assert found.missing == 12 - 2


@pytest.mark.parametrize(
    "reply", ["[2] > [0] > [1]", "P2, P0, P1", '{"0": 5, "1": 1, "2": 9}', "[0]: 5%, [1]: 1%, [2]: 9%"]
)
def test_an_order_that_counts_from_zero_is_read_as_such(reply: str) -> None:
    """Where a zero is among the ids, and no id is out of range for it."""
    assert read_permutation(reply, 3) == MEANT


@given(st.permutations(range(1, 7)), st.sampled_from(["[{}]", "Passage {}", "({})", "{}"]))
def test_any_chain_is_read_in_its_order(order: list[int], form: str) -> None:
    """Whatever the ids look like, between signs for "better than"."""
    found = read_permutation(" > ".join(form.format(i) for i in order), 6)
    assert found == Permutation(tuple(i - 1 for i in order))


@given(st.text("[](){}<>,:;0123 \n-|.#*passge第段", max_size=400), st.integers(1, 30))
def test_any_reply_gives_a_whole_order_or_none(reply: str, n: int) -> None:
    """No reply loses, repeats or invents a passage."""
    found = read_permutation(reply, n)
    assert found is None or sorted(found.order) == list(range(n))
