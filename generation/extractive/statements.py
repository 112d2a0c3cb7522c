"""Breaks a text into names, numbers and the rest, so that ways of writing them make no difference.

5,000 is 5000 and 五千, Dec is December, and 十分关键 says what 非常重要 says.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Literal

from generation.extractive.kinds import DAYS, FUNCTION_WORDS, MONTHS, SHORT_MONTHS
from generation.language import HAN

if TYPE_CHECKING:
    from opencc import OpenCC

_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9} | _UNITS
_CHINESE = "".join([*_DIGITS, *_UNITS])
_TOKEN = re.compile(
    rf"(?P<digits>\d[\d,]*(?:\.\d+)?)(?:\s?(?P<scale>{'|'.join(_SCALES)})(?![a-z]))?"
    rf"|(?P<chinese>[{_CHINESE}]{{1,20}})|(?P<han>{HAN.pattern})"
    rf"|(?P<word>[^\W\d_](?:(?!{HAN.pattern})[\w’'])*)|[$€£¥%]"
)
_CALENDAR = re.compile(rf"(?:{MONTHS}|{SHORT_MONTHS}|{DAYS})\Z")
_POINTERS = frozenset("该此这那它她们")
# Words of one line are one: each is common where two people write the same thing. None is a name.
_SYNONYMS = """
    公司 企业 单位 机构
    非常 十分 极其 极为 相当 特别 尤其 格外
    重要 关键 主要 首要
    使用 采用 运用 利用
    需要 必须 务必
    应当 应该
    可以 能够
    因此 所以 因而 故而
    但是 然而 不过 可是
    目前 现在 当前 如今 现今
    客户 用户 顾客 消费者
    员工 职工 雇员 职员
    购买 购入 采购 选购
    位于 坐落于 地处
    成立 创立 创办 建立 创建 设立 组建
    开始 启动 着手
    提供 给予 供给
    大约 大概 约为 将近 接近
    超过 多于 大于 逾越
    少于 低于 小于 不足
    全部 所有 一切
    立即 马上 立刻 即刻 及时
    进行 开展 实施 执行
    以及 并且 而且
    由于 因为 鉴于
    如果 假如 倘若 若是
    按照 根据 依据 依照
    获得 取得 得到 赢得
    举行 举办 召开
    发布 公布 发表 宣布
    项目 工程
    期限 时限
    商品 产品 货品
    费用 花费 开支
    帮助 协助 援助
    位置 地点 地址
"""
_CANONICAL = {word: line.split()[0] for line in _SYNONYMS.strip().splitlines() for word in line.split()}
_SYNONYM = re.compile("|".join(sorted(_CANONICAL, key=len, reverse=True)))


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A part of a text: `key` is the same for all ways of writing it.

    `pointer`: a Chinese character that makes a name of the words around it, as in 该公司, stand for another.
    """

    key: str
    kind: Literal["number", "name", "han", "pointer", "word"]


def lexemes(text: str) -> list[Lexeme]:
    """The parts of a text, in order; signs are left out."""
    plain = _SYNONYM.sub(
        lambda found: _CANONICAL[found[0]], _simplified().convert(unicodedata.normalize("NFKC", text))
    )
    return [_token(found) for found in _TOKEN.finditer(plain)]


def _token(found: re.Match[str]) -> Lexeme:
    if digits := found["digits"]:
        return Lexeme(_amount(digits.replace(",", ""), found["scale"]), "number")
    if chinese := found["chinese"]:
        return Lexeme(_value(chinese), "number")
    if han := found["han"]:
        return Lexeme(han, "pointer" if han in _POINTERS else "han")
    if word := found["word"]:
        own = re.sub("[’']s?\\Z", "", word)
        key = own[:3].casefold() if _CALENDAR.match(own) else own.casefold()
        return Lexeme(key, "name" if own[0].isupper() and key not in FUNCTION_WORDS else "word")
    return Lexeme(found[0], "word")


def _amount(digits: str, scale: str | None) -> str:
    value = f"{Decimal(digits) * _SCALES[scale]:f}" if scale else digits
    if "." in value:
        value = value.rstrip("0").rstrip(".")
    return value.lstrip("0") or "0"


def _value(chinese: str) -> str:
    """A Chinese numeral in digits: 二〇〇五 is 2005, 一万二千 is 12000."""
    if not any(one in _UNITS for one in chinese):
        return "".join(str(_DIGITS[one]) for one in chinese)
    total = section = digit = 0
    for one in chinese:
        unit = _UNITS.get(one)
        if unit is None:
            digit = _DIGITS[one]
        elif unit < _UNITS["万"]:
            section, digit = section + (digit or 1) * unit, 0
        else:
            part, section, digit = section + digit, 0, 0
            total = total + part * unit if part else max(total, 1) * unit
    return str(total + section + digit)


@cache
def _simplified() -> OpenCC:
    from opencc import OpenCC

    return OpenCC("t2s")
