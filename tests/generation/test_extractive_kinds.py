"""Kinds of things that questions ask for: recognised in questions and texts."""

from __future__ import annotations

import pytest

from generation.extractive.kinds import Kind, asked, fit, values


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When was the bridge opened?", "date"),
        ("What year did the war end?", "date"),
        ("What is the premiere date of the third season?", "date"),
        ("How many towers does it have?", "number"),
        ("Which port does the proxy listen on?", "number"),
        ("Who designed the bridge?", "person"),
        ("Where was the treaty signed?", "place"),
        ("Which country won the most medals?", "place"),
        ("Why is it painted orange?", None),
        ("大桥是什么时候通车的？", "date"),
        ("電影首映日期是哪一天？", "date"),
        ("首播时间", "date"),
        ("事故死亡人数", "number"),
        ("退货期限是多少天？", "duration"),
        ("试用期最长多久？", "duration"),
        ("几年以后可以申请？", "duration"),
        ("几月几日开幕？", "date"),
        ("How many business days does it take?", "duration"),
        ("这部电影的导演是谁？", "person"),
        ("大会在哪里举行？", "place"),
        ("如何安装？", None),
    ],
)
def test_the_words_of_a_question_say_what_it_asks_for(question: str, kind: Kind | None) -> None:
    """In either language and either script; many questions ask for nothing of the kind."""
    assert asked(question) == kind


@pytest.mark.parametrize(
    ("question", "better", "worse"),
    [
        ("When was it released?", "It came out on 3 March 2017.", "It came out in 2017."),
        ("When was it released?", "It came out in 2017.", "It was released by Nintendo."),
        ("When was it released?", "It came out in May 2017.", "Jul 7, 2018 ... It was released."),
        (
            "How many towers does it have?",
            "Its twelve towers are new.",
            "It is a bridge with no second deck.",
        ),
        ("How many people live there?", "About 4,200 live there.", "On 7 May 2019 people lived there."),
        ("Who won in 2019?", "In the final, Ana Lee won in 2019.", "The final of 2019 was played in May."),
        ("Where is it?", "It is in Tampa.", "It is large."),
        ("试用期最长多久？", "试用期不得超过六个月。", "试用期包含在2012年签订的合同期限内。"),
        ("几天内可以退货？", "自收到商品之日起七日内退货。", "六月五日起接受退货。"),
        ("How many years did it take?", "It took thirty years.", "It took place in spring."),
        ("How many days may I wait?", "You may wait thirty-one or two days.", "You may wait until 5 May."),
        ("默认保留多少天？", "| retention_days | 45 |", "| retention_days | 可调 |"),
        ("哪一年通车？", "大桥于1937年通车。", "大桥已经通车。"),
        ("有多少人参加？", "共有三百人参加。", "很多人参加。"),
        ("2022年大会在哪里举行？", "大会在成都市举行。", "大会如期举行。"),
    ],
)
def test_a_text_that_holds_what_is_asked_for_fits_better(question: str, better: str, worse: str) -> None:
    """The more of a date the better; the day of a snippet's page and a date for a number do not count."""
    assert fit(question, better) > fit(question, worse)


NO_NUMBERS = """
一些人参加 一般不开放 人数一样多 大家一直在等 不一定举行 一旦下雨 一个劲地说 一起参加 统一安排 唯一的入口
进一步扩大 最大的城市之一 每一位都重要 十分热闹 老百姓参加 千万不要迟到 万一下雨 半导体展览 零售商参加
四川人参加 第一次参加 會場統一佈置
"""
NUMBERS = """
一个人参加 共一年 一百人参加 一共三人 十分钟 二十分 五千万人 三分之一的人 百分之五 一半的人 两者都参加
一起交通事故 一度电 三万一千人 統一安排兩百人 这一次有五人
"""


@pytest.mark.parametrize("text", NO_NUMBERS.split())
def test_a_chinese_word_written_with_a_numeral_is_no_number(text: str) -> None:
    """Words such as 一些 and 统一 count nothing, in either script."""
    assert fit("有多少人参加？", text) == 0


@pytest.mark.parametrize("text", NUMBERS.split())
def test_a_chinese_number_in_words_is_one(text: str) -> None:
    assert fit("有多少人参加？", text) == 1


def test_the_first_time_answers_which_time_it_is() -> None:
    assert fit("这是第几次举办？", "大会第一次举办。") > fit("有多少人参加？", "大会第一次举办。")


def test_what_the_question_says_itself_is_no_answer() -> None:
    """A year or name of the question stands in most passages about it."""
    question = "Who beat Serena Williams in 2019?"
    assert values("person", "In 2019 Serena Williams lost to Simona Halep.", question) == {"simona", "halep"}
    assert values("date", "In 2019 and in 2021.", question) == {"2021"}
