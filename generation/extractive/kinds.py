"""The kind of thing that a question asks for, and whether a text holds one: a duration, date, number …

Told by the words of the question and by the form of the text, in English and Chinese, without a model. It is
evidence beside a judge's score, never a decision: many questions ask for nothing of the five.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from generation.language import language_of
from storage.reasons import Language

Kind = Literal["duration", "date", "number", "person", "place"]

MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
SHORT_MONTHS = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"

# In this order: "what year did the city …" asks for a date.
_ASKS: dict[Language, dict[Kind, re.Pattern[str]]] = {
    "en": {
        "duration": re.compile(
            r"\bhow many (?:seconds|minutes|hours|(?:\w+ )?days|weeks|months|years|decades)\b", re.IGNORECASE
        ),
        "date": re.compile(
            r"\bwhen\b|\b(?:what|which|whose)\b(?: \w+)? (?:year|date|day|month|decade|century|time)\b"
            r"|\b(?:date|year) (?:of|did|was|is)\b",
            re.IGNORECASE,
        ),
        "number": re.compile(
            r"\bhow (?:many|much|long|old|far|high|tall|big|large|often|fast|deep|wide|heavy|hot|cold)\b"
            r"|\b(?:phone number|(?:what|which)(?: \w+){0,2} (?:percent(?:age)?|number|age|port|version|size"
            r"|rate|amount|population|price|cost|revenue|height|length|score))\b",
            re.IGNORECASE,
        ),
        "person": re.compile(r"\b(?:who|whom|whose)\b|\b(?:what|which) \w+ name\b", re.IGNORECASE),
        "place": re.compile(
            r"\bwhere\b|\b(?:what|which)(?: \w+)? (?:country|city|state|town|continent|county|place|location"
            r"|region|province|river|island|village|street|nation)\b|\blocation\Z",
            re.IGNORECASE,
        ),
    },
    "zh": {
        "duration": re.compile(
            r"多久|多[长長][时時][间間]|(?:[几幾]|多少)[个個]?(?:年|星期|周|[个個]月|工作日|天|小[时時]|分[钟鐘]|秒)"
            r"|(?:期限|[时時]效|[时時][长長]|有效期|保[质修]期|保質期)(?:是|为|為|有?多|\Z|？|\?)"
        ),
        "date": re.compile(
            r"[何几幾]时|何時|什[么麼][时時][候间間]|哪[一个個]?[年天月日]|几[月号號日点點]|幾[月日點]|年份|日期|生日"
            r"|(?:时间|時間)(?:是|为|為|\Z|？|\?)|哪[一个個]+(?:年代|世[纪紀]|朝代)"
        ),
        "number": re.compile(
            r"多[少长長大高远遠重快深]|第?[几幾]|(?:人数|人數|数量|數量|比例|百分比|[^频]率|总额|總額|产量|產量|票房|营收|销量|銷量"
            r"|面积|面積|长度|長度|高度|人口|金额|费用|价格|價格|奖金|预算|规模|席位|得分|比分|端口)(?:是|为|達|达|\Z|？|\?)"
        ),
        "person": re.compile(
            r"[谁誰]|哪[一几些]?位|何人|什[么麼]人|(?:主演|导演|導演|作者|得主|冠军|冠軍|火炬手|教练|创始人)(?:是|有|\Z|？|\?)"
        ),
        "place": re.compile(
            r"哪[里裡裏儿兒]|何[地处處]|什[么麼]地[方点]|在哪|(?:地点|地點|位置|举办地)(?:是|在|\Z|？|\?)"
            r"|哪[一个個]*(?:国家|國家|城市|省|市|县|縣|地区|地區|洲|州|镇|村|国|國)"
        ),
    },
}
_YEAR = re.compile(r"(?<!\d)(?:1\d{3}|20\d\d)s?(?!\d)")
_DATE_EN = re.compile(
    rf"\b(?:{MONTHS}|(?:{SHORT_MONTHS})\b\.?(?= ?\d)|{DAYS}|centur(?:y|ies)|AD|BC|B\.C\.|noon|midnight)\b"
    r"|\b\d{1,2}(?::\d\d)? ?[ap]\.?m\b|\b\d{1,2}:\d\d\b|\b(?:spring|summer|autumn|winter)\b"
)
_DATE_ZH = re.compile(
    r"(?:\d{1,4}|[〇零一二三四五六七八九十]{1,4})\s*(?:年|月|日|号|號|世[纪紀]|[点點時时])|年[间間代]|初年|末年|[時时]期|世[纪紀]|\d{1,2}[:：]\d\d"
)
_DURATION_EN = re.compile(
    r"\b(?:\d[\d.,]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:-\w+)?|hundreds?|thousands?|several|few|half|an?)[ -]"
    r"(?:\w+ )?(?:second|minute|hour|day|week|month|year|decade)s?\b",
    re.IGNORECASE,
)
# neither 2005年 nor 六月 nor 五日: these are dates
_DURATION_ZH = re.compile(
    r"(?:(?<!\d)\d{1,3}(?:\.\d+)?|[一二两兩三四五六七八九十百半]+)\s*[多余餘]?\s*"
    r"(?:年(?![代间間度级級])|[个個]半?(?:月|星期|小[时時]|工作日)|周|天|小[时時]|分[钟鐘]|秒|日[之以]?[内內])"
)
_MONTH = re.compile(rf"\b(?:{MONTHS}|{SHORT_MONTHS})\b|\d\s*月|(?<!\d)\d{{4}}[-/]\d")
_DAY = re.compile(
    rf"(?:{MONTHS}|{SHORT_MONTHS})\.? \d|\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{MONTHS}|{SHORT_MONTHS})\b"
    r"|\d\s*[日号號]"
)
# what a search engine puts in front of a snippet: the day of the page
_STAMP = re.compile(
    rf"\A(?:{SHORT_MONTHS}|May) \d{{1,2}}, \d{{4}} \.\.\. |\A\d{{4}}年\d{{1,2}}月\d{{1,2}}日 \.\.\. "
)
# The stamp that search engines and mail put in front, or a bare year: no amount of anything.
_DATES = re.compile(
    rf"(?:{MONTHS}|{SHORT_MONTHS})\.? \d{{1,2}}(?:st|nd|rd|th)?(?:, \d{{4}})?"
    r"|\d{2,4}\s*年(?:\s*\d{1,2}\s*月(?:\s*\d{1,2}\s*日)?)?"
    rf"|\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{MONTHS}|{SHORT_MONTHS})\b(?:,? \d{{4}})?"
    r"|\d{1,2}\s*月\s*\d{1,2}\s*[日号號]|(?<!\d)\d{4}[-/]\d{1,2}[-/]\d{1,2}(?!\d)"
)
_NUMBER = re.compile(r"\d[\d.,:]*")
_NUMBER_WORDS = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozens?|hundreds?|thousands?|millions?|billions?"
    r"|twenty|thirty|forty|fifty|half|thirds?|quarters?|twice|once|none|single|both|several)\b",
    re.IGNORECASE,
)
_NUMBER_ZH = re.compile(r"[零〇一二三四五六七八九十百千万萬亿億两兩半]")
# Words that are written with a numeral and count nothing.
_NO_NUMBER_ZH = re.compile(
    r"[统統唯惟单單同逐专專之这這那另每某任万萬]一|进一步|進一步"
    r"|一(?:[些般样樣直定旦切致律向再贯貫并併同共经經味带帶流举舉概如边邊时時下会會点點心一]|个劲|個勁|系列|口[气氣])"
    r"|一起(?!.{0,6}(?:案|事[故件]))|一度(?![电電])"
    r"|十(?:分(?![钟鐘之])|足|字)|百(?:姓|[货貨]|科|度|合|般)|千[万萬](?:[别別](?!墅)|[不要记記])|[万萬](?:能|物|里[长長]城|[岁歲])"
    r"|半(?:[导導]|[岛島]|[径徑]|[决決]|球|途|夜)|零(?:售|件|食|[钱錢]|部|散)|三(?:明治|角|星|[峡峽]|[亚亞])|四川|[两兩][岸栖棲]"
)
# That something happened for the first time answers "which time", and not "how many".
_FIRST_ZH = re.compile(r"第一(?:次|[时時][间間刻]|手)")
_CAPITAL = re.compile(r"(?<![\w@#./-])[A-ZÀ-Þ][\w’'.-]*\w|(?<!\w)[A-Z]\b")
# English words that begin with a capital where a sentence begins, and name nothing.
FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    a an the this that these those it he she they we you i in on at by for from to of with as
    and or but if when while after before during since until although however then there here
    his her its their our your my who what where which how why some many most all each every any
    both such also only another other later today according under over between through because so
    than into about
        """,
    )
)
_NO_NAME = (
    FUNCTION_WORDS
    | {"yes", "no", "not", "one", "two", "three", "first", "second"}
    | frozenset(re.findall(r"\w+", f"{MONTHS} {SHORT_MONTHS} {DAYS}".casefold()))
)
_SURNAMES = (
    "王李张張刘劉陈陳杨楊赵趙黄黃周吴吳徐孙孫胡朱高林何郭马馬罗羅梁宋郑鄭谢謝韩韓唐冯馮于董萧蕭程曹袁邓鄧许許傅沈曾彭吕呂苏蘇卢盧"
    "蒋蔣蔡贾賈丁魏薛叶葉阎閻余潘杜戴夏钟鐘汪田任姜范方石姚谭譚廖邹鄒熊金陆陸郝孔白崔康毛邱秦江史顾顧侯邵孟龙龍万萬段雷钱錢汤湯尹黎易常武乔喬贺賀赖賴龚龔文"
)
_PERSON_ZH = re.compile(rf"[\u4e00-\u9fff]+[·・•][\u4e00-\u9fff]+|[{_SURNAMES}][\u4e00-\u9fff]{{1,2}}")
_PLACE_ZH = re.compile(
    r"[国國省市县縣区區州镇鎮村乡鄉岛島山港湾灣路街洲河江湖海][^\u4e00-\u9fff]?|广场|大学|大學|体育[场馆]|中心|会展|会议|北京|上海|天津|重庆"
    r"|广州|深圳|成都|杭州|武汉|南京|西安|香港|澳门|台北|臺北|东京|東京|纽约|巴黎|伦敦|曼谷"
)


@lru_cache(maxsize=256)
def asked(question: str) -> Kind | None:
    """The kind of thing that a question asks for; None for anything else."""
    kinds = _ASKS[language_of(question)]
    return next((kind for kind, asks in kinds.items() if asks.search(question)), None)


def fit(question: str, text: str) -> float:
    """Return how well a text fits the kind of thing asked for: 0 if it holds none, 1 if it does or none is.

    A date is worth more the more of year, month and day it says beyond the question. For a duration a bare
    number may do: a table has its unit elsewhere.
    """
    kind = asked(question)
    if kind is None:
        return 1.0
    if kind == "date":
        return _fit_of_date(question, text)
    if kind == "duration":
        return float(bool(values(kind, text, question) or values("number", text, question)))
    return float(bool(values(kind, text, question)) or (kind == "number" and _in_words(text, question)))


def _fit_of_date(question: str, text: str) -> float:
    found = values("date", text, question)
    if not found:
        return 0.0
    plain = _STAMP.sub("", text)
    known = f"{question} {plain}"
    parts = (_YEAR.search(known), _MONTH.search(known), _DAY.search(known))
    return 0.4 + 0.2 * sum(part is not None for part in parts)


def values(kind: Kind, text: str, question: str) -> frozenset[str]:
    """The things of a kind in a text that are not in the question, case-folded."""
    chinese = language_of(text) == "zh"
    text = _STAMP.sub("", text)
    if kind == "duration":
        found = {match[0] for match in (_DURATION_ZH if chinese else _DURATION_EN).finditer(text)}
    elif kind == "date":
        found = {match[0] for match in _YEAR.finditer(text)}
        found |= {match[0] for match in (_DATE_ZH if chinese else _DATE_EN).finditer(text)}
    elif kind == "number":
        found = {match[0].rstrip(".,:") for match in _NUMBER.finditer(_DATES.sub(" ", text))}
    elif not chinese:
        found = {name for match in _CAPITAL.finditer(text) if (name := match[0]).casefold() not in _NO_NAME}
    else:
        found = {match[0] for match in (_PERSON_ZH if kind == "person" else _PLACE_ZH).finditer(text)}
    there = question.casefold()
    folded = {value.casefold() for value in found}
    return frozenset(value for value in folded if not is_named(value, there))


def is_named(value: str, there: str) -> bool:
    """True if a text holds a value; a number as a whole."""
    if not value.isdigit():
        return value in there
    return re.search(rf"(?<!\d){value}(?!\d)", there) is not None


def _in_words(text: str, question: str) -> bool:
    """True for numbers that are spelt out."""
    if language_of(text) != "zh":
        return _NUMBER_WORDS.search(text) is not None
    text = _NO_NUMBER_ZH.sub(" ", text if re.search("第[几幾]", question) else _FIRST_ZH.sub(" ", text))
    return _NUMBER_ZH.search(text) is not None
