"""One written form for orders: the numbers, brackets and signs of a reply, however a model writes them.

Models count in Chinese characters, in words and in circled digits, put an arrow, a TeX command or an HTML
entity for "better than", and number the places of a list in a dozen ways.
"""

from __future__ import annotations

import re
import unicodedata
from html import unescape

from storage.reasoning import without_reasoning

# What models call a passage before its number.
NAMES = (
    r"(?:passage|document|doc|chunk|paragraph)[ _-]?(?:ids?|numbers?|no\.?|index)|doc_?ids?|pids?"
    r"|passages?|documents?|docs?|texts?|items?|ids?|identifier|no\.?|numbers?|index|chunks?|paragraphs?|sources?"
    r"|results?|snippets?|candidates?|options?|contexts?|articles?|entry|entries|segments?|p|d"
    r"|dokumente?|passagen|документ|문서|文書"
    r"|段落|文档|文章|编号|片段|资料|材料|内容|候选|条目|文本|选项|结果"
)
# An id as models write it: 2, [2], (2), #2, Passage 2, [ID: 2], doc_2, 第2段.
ID_NAMES = rf"{NAMES}|第"
_AROUND = r"[\[\](){}<#*`\"']"
ID = (
    rf"(?<![A-Za-z0-9_.]){_AROUND}{{0,4}}[ ]?(?:(?:{ID_NAMES})[ :#_=-]{{0,3}}[\[(]?)?[ ]?(NUMBER)"
    r"(?!\d|\.\d|%)[ ]?(?:段落|段|篇|号|个|条|份)?[\])}*`\"']{0,4}(?:>(?=[ ]?(?:[>,\n]|\Z)))?"
)
_CIRCLES = ((0x2460, 1, 20), (0x24EA, 0, 1), (0x24EB, 11, 10), (0x24F5, 1, 10), (0x24FF, 0, 1),
            (0x2776, 1, 10), (0x2780, 1, 10), (0x278A, 1, 10), (0x3251, 21, 15),
            (0x32B1, 36, 15))  # fmt: skip
_CIRCLED = {start + i: f"[{first + i}]" for start, first, count in _CIRCLES for i in range(count)}

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
          "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
          "nineteen", "twenty")  # fmt: skip
PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_HAN = "零一二三四五六七八九"
_HAN_NUMBER = rf"[{_HAN}十]{{1,3}}"
_NUMBER_WORD = rf"(?:{'|'.join(_WORDS)})\b|{_HAN_NUMBER}"
_NAMED_WORD = re.compile(
    rf"((?<![A-Za-z])(?:{NAMES})[ #:_-]{{0,3}})({_NUMBER_WORD})|([\[(])({_NUMBER_WORD})(?=[\])])",
    re.IGNORECASE,
)
_HAN_PLACE = re.compile(rf"(第\s*|^\s*)({_HAN_NUMBER})(?=\s*[段篇号个条份名位]|、)", re.MULTILINE)
_ONLY_WORDS = re.compile(rf"(?:(?:{_NUMBER_WORD})|[\s\d>,;、.。\[\]()-])+", re.IGNORECASE)
_LAST_PLACE = 999

_QUOTED = re.compile(r"[「『《〈〔〖«⟨]\s*(-?\d+)\s*[」』》〉〕〗»⟩]")
_TAG = re.compile(
    r"<(?:passage|document|doc|item)\s+(?:id|index)\s*=\s*[\"'\\]{0,2}(\d+)[\"'\\]{0,2}\s*/?>", re.IGNORECASE
)
_BETTER = re.compile(
    r"\s*(?:[-=]{1,2}>|[→⇒⟶⟹➜➔➡➝▶►⮕≫≻≽≥⟩〉»›]\ufe0f?|\\(?:succ|gt|geq?|to|(?:long)?rightarrow)(?:eq)?(?![a-z]))\s*",
    re.IGNORECASE,
)
_WORSE = re.compile(r"\s*(?:[←≺≼≤]|\\(?:prec|lt|leq?)(?:eq)?(?![a-z]))\s*", re.IGNORECASE)
# A place that begins a line, or an item within one: "Rank 1:", "second:", "第2名：".
_PLACE_WORD = re.compile(
    rf"^([ *`]*)(?:(?P<place>{'|'.join(PLACES)})(?: place| most relevant| best)?|(?P<best>most relevant|best)"
    r"|(?P<last>least relevant|last|worst))[ *]*[:：–-]",
    re.IGNORECASE | re.MULTILINE,
)
_ITEM = re.compile(
    r"[,;，；]\s*(?:and )?(?=(?:(?:rank|top|place|position)\s*#?\d+|第\s*\d+\s*[名位]"
    rf"|{'|'.join(PLACES)})\s*[:：=])",
    re.IGNORECASE,
)


# More digits than any number has that means something, and than may become an integer.
_ENDLESS = re.compile(r"\d{400,}")
# What a server left of a chat format's end of turn.
_ENDS = re.compile(r"(?:\s*(?:</?s>|<(?:end_of_turn|eos)>|<\|\w{1,30}\|>|<｜[^｜<>]{1,30}｜>))+\s*\Z")


def plain(reply: str) -> str:
    """The reply without reasoning, with full-width, circled and superscript digits as plain ones.

    A thought that never ends swallows the rest, which holds no answer.
    """
    text = unicodedata.normalize("NFKC", _ENDS.sub("", without_reasoning(reply))).strip()
    return _ENDLESS.sub("9" * 20, text)


def in_digits(text: str) -> str:
    """A text that is nothing but number words, in digits: seven, 七分."""
    if not _ONLY_WORDS.fullmatch(text.removesuffix("分")):
        return text
    return re.sub(_NUMBER_WORD, lambda found: _digits(found[0]), text, flags=re.IGNORECASE)


def form(pattern: str, *, ids: str = r"-?\d+", flags: int = 0) -> re.Pattern[str]:
    """A pattern with `NUMBER` for an id."""
    return re.compile(pattern.replace("NUMBER", ids), re.IGNORECASE | flags)


def plainly_written(reply: str) -> str:
    """A reply without reasoning, whose orders are in digits, ASCII brackets, `>` and `<`; lines are kept."""
    text = unescape(plain(reply.translate(_CIRCLED))).replace("【", "[").replace("】", "]")
    text = _TAG.sub(r"[\1]", _QUOTED.sub(r"[\1]", text))
    text = _WORSE.sub(" < ", _BETTER.sub(" > ", text))
    text = _NAMED_WORD.sub(lambda found: (found[1] or found[3]) + _digits(found[2] or found[4]), text)
    text = _HAN_PLACE.sub(lambda found: found[1] + _digits(found[2]), text)
    text = _ITEM.sub("\n", in_digits(text))
    if len(_PLACE_WORD.findall(text)) > 1:
        text = _PLACE_WORD.sub(_place, text)
    text = re.sub(r",(?=\s*[\]}])", "", re.sub(r"[ \t]+", " ", text))
    return _once(re.sub(r" ?\n ?", "\n", text))


def _digits(word: str) -> str:
    """A number word in digits: `twelve`, 十二."""
    if word.lower() in _WORDS:
        return str(_WORDS.index(word.lower()))
    tens, ten, ones = word.rpartition("十")
    if not ten:
        return "".join(str(_HAN.index(character)) for character in word)
    return str((_HAN.index(tens[-1]) if tens else 1) * 10 + (_HAN.index(ones[0]) if ones else 0))


def _place(found: re.Match[str]) -> str:
    """A place in words as the mark of a list."""
    number = (
        _LAST_PLACE if found["last"] else PLACES.index(found["place"].lower()) + 1 if found["place"] else 1
    )
    return f"{found[1]}{number}."


def _once(text: str) -> str:
    """The text with each line of several numbers once: some models say an order twice."""
    seen: set[str] = set()
    kept = []
    for line in text.split("\n"):
        if line in seen and len(re.findall(r"\d+", line)) > 1:
            continue
        seen.add(line)
        kept.append(line)
    return "\n".join(kept)
