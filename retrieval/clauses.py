"""Divides a question into the questions that it asks, by its clauses, in English and Chinese; no model.

Conservative: a question is only divided where each part asks, or is a side of a comparison. Whatever else is
asked comes back whole, so that an ordinary question costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

MOST = 4
# What is longer (characters) is a text and no question.
_LONGEST = 400

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")

# English: words that begin a question, and what tells that an inner clause is one.
_AUX = r"(?:is|are|was|were|do|does|did|can|could|should|will|would|has|have|had|may|might|must)"
_WH = r"(?:what|who|whom|whose|which|when|where|why|how)"
_BEFORE_WH = r"(?:at|in|on|from|for|by|to|of|with|under|about)"
_ASKS = re.compile(
    rf"(?:^|[,:;.]\s*)(?:(?:and|then|also) )*(?:(?:{_WH}|{_AUX})\b|{_BEFORE_WH} {_WH}\b)", re.I
)
_BEGIN = (
    rf"(?:{_BEFORE_WH} )?{_WH}(?:[ ][\w'’-]+){{0,4}}?[ ]{_AUX}\b"
    r"|how[ ](?:many|much|long|often|far|large)\b"
    rf"|(?:who|what|which [\w'’-]+)[ ](?:[\w'’-]+(?:s|ed)|won|wrote|made|built|led|found|took|gave|began)[ ]"
    rf"|{_AUX}[ ](?:it|they|he|she|i|we|you|there)\b"
    rf"|(?:do|does|did|can|should|will|must)[ ](?:the|a|an|this|these|my)\b"
)
_JOINT = re.compile(rf"\s*[,;]?\s+(?:and|then)\s+(?:(?:also|then)\s+)?(?={_BEGIN})|\s*;\s*(?={_BEGIN})", re.I)
# The fewest words of a question; the most words of one that takes its subject for granted.
_FEWEST_WORDS, _BRIEF = 3, 6

# The sides of a comparison.
_SIDES = tuple(
    re.compile(form, re.I)
    for form in (
        r"\bdifferences?\s+between\s+(?P<a>.+?)\s+and\s+(?P<b>.+)$",
        r"^\W*(?:please\s+)?(?:compare|contrast)\s+(?P<a>.+?)\s+(?:and|with|to|against)\s+(?P<b>.+)$",
        r"^\W*how\s+(?:do|does|is|are)\s+(?P<a>.+?)\s+differ(?:ent)?\s+from\s+(?P<b>.+)$",
        r"^\W*(?P<a>(?:[\w-]+\s+){1,4}?)(?:vs\.?|versus)\s+(?P<b>[\w-]+(?:\s+[\w-]+){0,3})$",
        r"^(?:请问)?请?(?:比较|对比)(?:一下)?(?P<a>.+?)[和与跟同及](?P<b>.+)$",
        r"^(?:请问)?(?P<a>.+?)[和与跟同](?P<b>.+?)(?:之间)?[的有在]?(?:什么|哪些|何|主要)?的?"
        r"(?:区别|不同|差别|差异)(?:是什么|有哪些|在哪里?|吗|呢)?$",
    )
)
_LONGEST_SIDE = 60

# Chinese.
_ZH_ASKS = re.compile(
    r"什么|怎[么样办]|如何|为何|多[少久长大高远快]|几(?![内乎何率净])|哪|谁|吗|呢|[是能可]否"
    r"|会不会|能不能|可不可以|是不是|有没有|要不要|该不该"
)
_ZH_ALSO = "并且|而且|以及|还有|另外|此外|同时|然后|那么|又|并(?![列行发非购])"
_ZH_JOINT = re.compile(rf"[？?；;]+\s*|[，,]\s*(?:{_ZH_ALSO})?|以及|并且|还有|另外|[和与及]")
_ZH_CONDITION = re.compile(r"^(?:如果|要是|假如|若|当|无论|不管|不论|除了|由于|因为|对于|关于|根据)")
_ZH_CIRCUMSTANCE = re.compile(r"(?:[下后前中里间上时]|时候|方面)$")
_ZH_ASKS_AT_END = re.compile(rf"(?:{_ZH_ASKS.pattern}).{{0,4}}$")
_ZH_NOUN_ASKED = re.compile(r"什么|哪|谁|几|多少")
_ZH_LEADS = re.compile(rf"^(?:{_ZH_ALSO}|请问)+[，,]?")
_FEWEST_HAN = 4

# Words of a later part that point to what the first one was about.
_POINTS = re.compile(r"\b(?:it|they|them|this|that|these|those)\b", re.I)
_POSSESSIVE = re.compile(r"\b(?:its|their)\b", re.I)
_ZH_POINTS = re.compile(
    r"(?<![“\"「])它们?|(?<![尤])其(?![中他它实])|前者|该(?:方法|模型|设备|机器|系统|公司)"
)
_ZH_SUBJECT = re.compile(
    r"^(?:请问|请)?(?P<subject>.{1,24}?)"
    rf"(?:的(?=.{{1,10}}[是有要])|[是有在用由要能会为]|可以|应该|{_ZH_ASKS.pattern})"
)
_WHAT_IS = re.compile(
    r"^\W*(?:what|who|where)\s+(?:is|are|was|were|does|do)\s+"
    r"(?P<subject>.+?)(?:\s+(?:mean|do|stand for))?\W*$",
    re.I,
)
_NAME = re.compile(r"(?<=[\w,;:] )(?:the )?[A-Z][\w-]*(?: [A-Z0-9][\w-]*)*")
_NOT_NAMES = {"I", "LLM", "API", "CPU", "GPU"}


def clauses(question: str) -> tuple[str, ...]:
    """The questions that a question asks, at most four; the question alone where it asks one."""
    whole = " ".join(question.split())
    if len(whole) > _LONGEST:
        return (question,)
    is_chinese = len(_HAN.findall(whole)) > len(_WORD.findall(_HAN.sub(" ", whole)))
    divide = _chinese if is_chinese else _english
    parts = list(dict.fromkeys(divide(whole)))
    if len(parts) == 1:
        parts = [question, *_sides(whole, "{}" if is_chinese else "What about {}?")]
    return tuple(parts) if 1 < len(parts) <= MOST else (question,)


def _english(question: str) -> list[str]:
    first, *others = list(_joined(_english_pieces(question), _is_english_question, " ")) or [""]
    return [first, *(_with_subject(other, first) for other in others)]


def _english_pieces(question: str) -> Iterator[str]:
    for sentence in re.split(r"(?<=\?)\s+(?=[\w\"'(])", question):
        mark = "?" if sentence.rstrip().endswith("?") else ""
        pieces = _joined(_JOINT.split(sentence), _is_english_question, " and ")
        for piece in pieces:
            yield f"{piece.strip().rstrip('?.,; ')}{mark}"


def _is_english_question(text: str) -> bool:
    return bool(_ASKS.search(text)) and len(_WORD.findall(text)) >= _FEWEST_WORDS


def _joined(pieces: list[str] | Iterator[str], asks: Callable[[str], bool], between: str) -> Iterator[str]:
    """The pieces, one that does not ask by itself joined to its neighbour."""
    held = ""
    for piece in filter(None, pieces):
        if held and asks(held) and asks(piece):
            yield held
            held = piece
        else:
            held = f"{held}{between}{piece}" if held else piece
    if held:
        yield held


def _with_subject(part: str, first: str) -> str:
    """A later part with what the first is about, where it points there or names nothing itself."""
    told = _WHAT_IS.match(first)
    subject = told["subject"] if told and len(_WORD.findall(told["subject"])) <= _FEWEST_WORDS + 1 else ""
    if subject and _POINTS.search(part):
        return _POINTS.sub(lambda _: subject, part, count=1)
    if subject and _POSSESSIVE.search(part):
        return _POSSESSIVE.sub(lambda _: f"{subject}'s", part, count=1)
    if _POINTS.search(part) or _POSSESSIVE.search(part):
        return f"{part} ({first.rstrip('?. ')})"
    names = [name for name in _NAME.findall(first) if name not in _NOT_NAMES]
    own = re.search(r"\d|[A-Z]{2}", part) or _NAME.search(part) or len(_WORD.findall(part)) > _BRIEF
    return f"{part} ({', '.join(names)})" if names and not own else part


def _chinese(question: str) -> list[str]:
    first, *others = _chinese_pieces(question)
    return [first, *(_about(other, first) for other in others)]


def _chinese_pieces(question: str) -> list[str]:
    """The clauses that ask, each with what comes before it and does not ask."""
    found, start = list[str](), 0
    for joint in _ZH_JOINT.finditer(question):
        left, right = question[start : joint.start()], question[joint.end() :]
        if not _asks(left) or not _asks(right) or not _joins(joint[0], left, right):
            continue
        found.append(left)
        start = joint.end()
    return [_ZH_LEADS.sub("", piece).strip("，,。；;？? ") for piece in (*found, question[start:])]


def _joins(joint: str, left: str, right: str) -> bool:
    """False where `和` joins two nouns, or a comma ends what only says when or where."""
    if joint in ("和", "与", "及", "以及"):
        return bool(_ZH_ASKS_AT_END.search(left)) and not _ZH_NOUN_ASKED.match(right)
    return not _ZH_CIRCUMSTANCE.search(left)


def _asks(text: str) -> bool:
    if _ZH_CONDITION.match(text) and "，" not in text:
        return False
    return bool(_ZH_ASKS.search(text)) and len(_HAN.findall(text)) >= _FEWEST_HAN


def _about(piece: str, first: str) -> str:
    """A later clause with the subject of the first, where it points there or begins by asking."""
    told = _ZH_SUBJECT.match(first)
    subject = told["subject"] if told and not _ZH_ASKS.search(told["subject"]) else ""
    if not subject:
        return piece
    if _ZH_POINTS.search(piece):
        return _ZH_POINTS.sub(lambda found: f"{subject}的" if found[0] == "其" else subject, piece, count=1)
    return f"{subject}{piece}" if _ZH_ASKS.match(piece) else piece


def _sides(question: str, form: str) -> list[str]:
    """A question for each side of a comparison; none of anything else."""
    bare = question.strip().rstrip("?？.。")
    for pattern in _SIDES:
        if found := pattern.search(bare):
            a, b = (re.sub(r"^(?:the|a|an)\s+", "", found[side].strip(), flags=re.I) for side in "ab")
            named = all(_is_named(side) for side in (a, b))
            return [form.format(a), form.format(b)] if named else []
    return []


def _is_named(side: str) -> bool:
    """True if a side of a comparison names something, and asks nothing."""
    asks = re.search(rf"\b{_WH}\b", side, re.I) or _ZH_ASKS.search(side)
    return bool(re.search(r"[^\W\d]", side)) and len(side) <= _LONGEST_SIDE and not asks
