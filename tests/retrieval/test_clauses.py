"""Questions divided by their clauses: what asks several is found, what asks one is left whole."""

from __future__ import annotations

import pytest

from retrieval.clauses import clauses

DIVIDED = {
    "What is MaxSim and how does it differ from cosine?": (
        "What is MaxSim?",
        "how does MaxSim differ from cosine?",
    ),
    "How do I descale the Kestrel, and how long is the warranty?": (
        "How do I descale the Kestrel?",
        "how long is the warranty? (the Kestrel)",
    ),
    "Which port does Tallow use? And who wrote Rust?": ("Which port does Tallow use?", "And who wrote Rust?"),
    "How large may a message be; what language is it written in?": (
        "How large may a message be?",
        "what language is it written in? (How large may a message be)",
    ),
    "I get error E7. What does it mean? How long is the warranty of the K2?": (
        "I get error E7. What does it mean?",
        "How long is the warranty of the K2?",
    ),
    "Compare BM25 and dense retrieval.": (
        "Compare BM25 and dense retrieval.",
        "What about BM25?",
        "What about dense retrieval?",
    ),
    "Which port does Tallow use and who won the cup of 1954?": (
        "Which port does Tallow use?",
        "who won the cup of 1954?",
    ),
    "MMR vs MaxP": ("MMR vs MaxP", "What about MMR?", "What about MaxP?"),
    "晚期交互是什么，怎么打分？": ("晚期交互是什么", "晚期交互怎么打分"),
    "星图的监控端口是多少以及怎样启动它？": ("星图的监控端口是多少", "怎样启动星图"),
    "泳池有多长？单条记录最大能有多大？": ("泳池有多长", "单条记录最大能有多大"),
    "怎样一级一级降级，并列的分数又该怎么排先后？": ("怎样一级一级降级", "并列的分数又该怎么排先后"),
    "RRF 和 DBSF 有什么区别？": ("RRF 和 DBSF 有什么区别？", "RRF", "DBSF"),
}

WHOLE = [
    "Where and when was Mozart born?",
    "What lies in Africa and is the capital of Kenya?",
    "Would opportunities be the same in each subject, or would they vary?",
    "What did the treaty change, and how?",
    "Who are members who were baptized and who later left?",
    "What is the difference between what higher and lower paid professionals earn?",
    "How did the treatment of Chinese versus Mongols in the Yuan make the dynasty seem?",
    "What is the difference between 1990 and 2000?",
    "Is bread and butter pudding sweet?",
    "reranking",
    "",
    "如果没有什么候选，怎么办？",
    "他在什么时候和什么地点出生？",
    "1965年几内亚和法国断交后，采用新的货币叫什么？",
    "相关组织在什么情况下，会判断该物种归入哪一个组别？",
    "为什么批处理反而比逐对运行慢？",
]


@pytest.mark.parametrize("question", DIVIDED)
def test_a_question_that_asks_several_is_divided(question: str) -> None:
    assert clauses(question) == DIVIDED[question]


@pytest.mark.parametrize("question", WHOLE)
def test_an_ordinary_question_stays_as_it_is(question: str) -> None:
    assert clauses(question) == (question,)


def test_more_questions_than_are_worth_a_search_each_stay_together() -> None:
    many = " ".join(f"What is the meaning of term {n}?" for n in range(9))
    assert clauses(many) == (many,)
