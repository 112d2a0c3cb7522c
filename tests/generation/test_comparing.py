"""Units that say the same, and units that say it with another name or number."""

from __future__ import annotations

import pytest

from generation.extractive.comparing import contradicts, repeats
from generation.extractive.judging import Found
from generation.extractive.units import Unit
from retrieval.lexical import LexicalEncoder


@pytest.fixture(scope="module")
def lexical() -> LexicalEncoder:
    return LexicalEncoder.load()


def unit(text: str, passage: int, lexical: LexicalEncoder) -> Found:
    return Found(passage, Unit((0, len(text))), text, "", "", "", lexical.terms(text))


# Pairs of lines, two versions of one sentence.
OPPOSITE = """
The bridge was opened in May 1937 by the mayor.
The bridge was opened in May 1973 by the mayor.
Simona Halep won the title of 2019 in London in a final of two short sets.
Angelique Kerber won the title of 2019 in London in a final of two short sets.
Date: May 8, to be held on May 18
Date: May 18, to be held on May 18
The warranty lasts 24 months from the date of purchase.
This warranty lasts 36 months from the date of purchase.
The plant employs 5,000 people in two shifts.
The plant employs 50,000 people in two shifts.
The company earned 1.5 million euros last year.
The company earned 1.5 billion euros last year.
The contract ends on 31 Dec of the second year.
The contract ends on 31 October of the second year.
Paris hosts the next summer games of the league.
London hosts the next summer games of the league.
The order must be sent to Dr. Meyer in Hamburg.
The order must be sent to Dr. Meyer in Bremen.
The proxy listens on port 8080 of each machine by default.
The proxy listens on port 8088 of each machine by default.
The film was directed by Ana Lee and shot in the south of Spain within a month.
The film was directed by Tom Ray and shot in the south of Spain within a month.
Tickets cost 12.50 at the door of the museum, and half for children.
Tickets cost 15.20 at the door of the museum, and half for children.
The meeting is on Tuesday in the large hall.
The meeting is on Thursday in the large hall.
退货期限为收到商品后30天。
退货期限为收到商品后15天。
该公司成立于2005年，总部设在深圳市南山区。
该企业成立于2015年，总部设在深圳市南山区。
本次大会将于明年五月在北京的国家会议中心举行。
本次大会将于明年五月在上海的国家会议中心举行。
这部电影的导演是张艺谋，于当年春节在全国上映。
这部电影的导演是陈凯歌，于当年春节在全国上映。
该工厂共有员工三千人，分为两个班次生产。
该工厂共有员工五千人，分为两个班次生产。
合同金额为1.5万元，签字后十日内付清全部款项。
合同金额为1.5亿元，签字后十日内付清全部款项。
大桥于一九三七年五月由市长宣布正式通车。
大桥于一九七三年五月由市长宣布正式通车。
仓库内允许携带手机，但不得拍摄货架上的商品。
仓库内禁止携带手机，但不得拍摄货架上的商品。
报销申请由财务部审核，三个工作日内答复申请人。
报销申请由人事部审核，三个工作日内答复申请人。
水泵的额定扭矩为二十五牛米，安装时不得超过。
水泵的额定扭矩为30牛米，安装时不得超过。
臺灣的總人口約為兩千三百萬，多數住在西部平原。
台湾的总人口约为两千五百万，多数住在西部平原。
服务热线的开放时间为每天上午8点到晚上10点。
服务热线的开放时间为每天上午9点到晚上10点。
"""

ALIKE = """
By March the price of a barrel of oil had risen to nearly $12.
By March the price of a barrel of oil had risen to almost $12.
The bridge was opened in 1937 by the mayor.
The old bridge was opened in 1937 by the mayor.
The warranty lasts 24 months from the date of purchase.
This warranty lasts 24 months from the date of purchase.
Our office in Berlin is closed on public holidays.
Their office in Berlin is closed on public holidays.
The plant employs 5,000 people in two shifts.
The plant employs 5000 people in two shifts.
The plant employs 1.5 million people in two shifts.
The plant employs 1,500,000 people in two shifts.
The contract ends on 31 Dec of the second year.
The contract ends on 31 December of the second year.
The meeting is on Wednesday, 8 Sept in the large hall.
The meeting is on Wednesday, 8 September in the large hall.
The rules for COVID-19 hold in all offices of the bank.
The rules for Covid 19 hold in all offices of the bank.
Every customer may return goods within 30 days of purchase.
Any customer may return goods within 30 days of purchase.
Apple's phone was shown to the press in June.
The Apple phone was shown to the press in June.
Google was founded in a garage by two students of Stanford.
It was founded in a garage by two students of Stanford.
Tickets cost 12.50 at the door of the museum.
Tickets cost 12.5 at the door of the museum.
U.S. exports of grain rose by a tenth in the spring.
US exports of grain rose by a tenth in the spring.
该公司成立于2005年，总部设在深圳市南山区。
该企业成立于2005年，总部设在深圳市南山区。
在高温环境下检查密封圈的状态非常重要。
在高温环境下检查密封圈的状态十分关键。
退货期限为收到商品后30天。
退货期限为收到商品后三十天。
该工厂共有员工5,000人，分为两个班次生产。
该工厂共有员工五千人，分为两个班次生产。
合同金额为15000元，签字后十日内付清全部款项。
合同金额为1.5万元，签字后10日内付清全部款项。
大桥于1937年5月由市长宣布正式通车。
大桥于一九三七年五月由市长宣布正式通车。
臺灣的總人口約為兩千三百萬，多數住在西部平原。
台湾的总人口约为2300万，多数住在西部平原。
用户需要在七天内提供发票，才能办理退款手续。
客户必须在七天内提供发票，才能办理退款手续。
大会目前在成都市举行，共有两百名代表参加会议。
大会现在在成都市召开，共有200名代表参加会议。
华为成立于1987年，总部设在深圳市龙岗区坂田街道。
该公司成立于1987年，总部设在深圳市龙岗区坂田街道。
服务热线的开放时间为每天上午８点到晚上１０点。
服务热线的开放时间为每天上午8点到晚上10点。
本产品采用不锈钢外壳，可以在户外长期使用。
本商品使用不锈钢外壳，能够在户外长期使用。
"""


def pairs(text: str) -> list[tuple[str, str]]:
    lines = text.strip().splitlines()
    return list(zip(lines[::2], lines[1::2], strict=True))


@pytest.mark.parametrize(("one", "other"), pairs(OPPOSITE))
def test_versions_of_a_sentence_that_state_different_things_contradict(
    one: str, other: str, lexical: LexicalEncoder
) -> None:
    """They share nearly all words, and are no repetition of each other."""
    assert contradicts(unit(one, 0, lexical), unit(other, 1, lexical))
    assert not repeats(unit(one, 0, lexical), unit(other, 1, lexical))


@pytest.mark.parametrize(("one", "other"), pairs(ALIKE))
def test_a_sentence_in_other_words_contradicts_nothing(one: str, other: str, lexical: LexicalEncoder) -> None:
    """A word more, another that states nothing, or another way to write a number, date or name."""
    assert not contradicts(unit(one, 0, lexical), unit(other, 1, lexical))
    assert not contradicts(unit(other, 0, lexical), unit(one, 1, lexical))


def test_a_sentence_in_other_words_repeats(lexical: LexicalEncoder) -> None:
    """It is quoted once."""
    one, other = pairs(ALIKE)[0]
    assert repeats(unit(one, 0, lexical), unit(other, 1, lexical))


def test_numbers_of_any_length_are_compared(lexical: LexicalEncoder) -> None:
    """A text of nothing but numerals ends in no error."""
    for numerals in ("万" * 5000, "一" * 5000, "9" * 5000, "0" * 50, "1," * 5000):
        assert not contradicts(unit(f"数字 {numerals}", 0, lexical), unit(f"数字 {numerals}", 1, lexical))


def test_one_passage_does_not_contradict_itself(lexical: LexicalEncoder) -> None:
    """Lists and tables repeat a sentence with other names in it."""
    one, other = (
        unit(f"The port of the {name} is 80{n} by default.", 0, lexical)
        for n, name in enumerate(("API", "GUI"))
    )
    assert not contradicts(one, other)
