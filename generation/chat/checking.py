"""Checks a model's answer against the passages that it cites, without another model.

A quotation is in a cited passage, numbers and names of a cited sentence are too (or in the question), and
a cited passage shares some word with the sentence, unless that says little. Words and English names are not
looked for in passages of another language. This finds what was made up; it does not prove the rest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from generation.citations import located
from generation.extractive.sentences import sentence_spans
from generation.language import HAN, language_of
from storage.reasons import Reason
from storage.records import Candidate

Check = Literal["flag", "drop", "off"]

_QUOTED = re.compile(r"[“\"「『«]([^”\"」』»\n]{2,300})[”\"」』»]")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<![\w])[A-Z][\w'’.+#-]*[\w+#]")
_LATIN = re.compile(r"[A-Za-z][\w.+#-]*[\w+#]")
_PAIR = re.compile(rf"(?=({HAN.pattern}{HAN.pattern}))")
_WORD = re.compile(r"[a-z0-9]{3,}")
_STOP = frozenset(
    re.findall(
        r"\w+",
        """
        and are but can did does for from had has have how into its not that the their them then there these
        they this was were what when where which who why will with you your
        """,
    )
)
# Shorter quotations are words in quotation marks.
_QUOTE_WORDS, _QUOTE_HAN = 3, 5
# A sentence of fewer words may share none with its passage ("Yes, it is.").
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class CitedSentence:
    """A sentence of an answer with the passages that it cites; `end` is behind its markers."""

    start: int
    end: int
    text: str
    cited: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """An answer after the check; `complaints` say what its passages do not hold."""

    text: str
    complaints: tuple[Reason, ...] = ()


def checked(
    question: str, text: str, passages: Sequence[Candidate], given: Collection[int], check: Check
) -> CheckedAnswer:
    """The answer with what its cited passages do not hold flagged, or without those sentences (`drop`)."""
    if check == "off":
        return CheckedAnswer(text)
    known = {number: passages[number - 1] for number in given}
    faults: list[str] = []
    kept: list[str] = []
    at = 0
    dropped = 0
    for claim in claims(text):
        missing = list(_missing(question, claim, [known[n] for n in claim.cited if n in known]))
        faults += missing
        if missing and check == "drop":
            kept.append(text[at : claim.start])
            at = claim.end
            dropped += 1
    left = ("".join(kept) + text[at:]).strip() if dropped else text
    if not faults:
        return CheckedAnswer(text)
    found = list(dict.fromkeys(faults))
    reason = Reason("generation.not-in-passages", what=found)
    if not dropped:
        return CheckedAnswer(text, (reason,))
    return CheckedAnswer(left, (Reason("generation.sentences-dropped", n=dropped, what=found),))


def claims(text: str) -> Iterator[CitedSentence]:
    """The sentences that cite; a marker behind a full stop belongs to the sentence before it."""
    marks = located(text)
    spans = list(sentence_spans(text, (0, len(text))))
    for at, (start, end) in enumerate(spans):
        leading = _behind(text, start, marks)  # the markers of the sentence before
        stop = spans[at + 1][0] if at + 1 < len(spans) else end
        behind = _behind(text, stop, marks) if at + 1 < len(spans) else stop
        own = [mark for mark in marks if max(start, leading) <= mark[0] < max(end, behind)]
        numbers = tuple(dict.fromkeys(number for mark in own for number in mark[2]))
        if numbers:
            last = max(end, behind)
            yield CitedSentence(
                max(start, leading), last, _without(text, max(start, leading), last, own), numbers
            )


def _behind(text: str, at: int, marks: Sequence[tuple[int, int, tuple[int, ...]]]) -> int:
    """The end of the markers that begin at a place, the place itself without any."""
    for start, end, _ in marks:
        if start >= at and not text[at:start].strip():
            at = end
    return at


def _without(text: str, start: int, end: int, marks: Sequence[tuple[int, int, tuple[int, ...]]]) -> str:
    said, at = "", start
    for first, last, _ in marks:
        said, at = said + text[at:first], last
    return said + text[at:end]


def _missing(question: str, claim: CitedSentence, cited: Sequence[Candidate]) -> Iterator[str]:
    """Yield the quotations, numbers, names and passage markers of a claim that its passages do not hold."""
    if not cited:
        return  # unknown markers have a complaint of their own
    texts = [_folded(f"{one.chunk.context}\n{one.text}") for one in cited]
    asked = _folded(question)
    squeezed = [_squeezed(text) for text in texts]
    for quote in _quotes(claim.text):
        if not any(_squeezed(_folded(quote)) in text for text in squeezed):
            yield f"“{quote}”"
    for number in dict.fromkeys(_NUMBER.findall(claim.text)):
        own = _plain_number(number)
        if not any(own in _numbers(text) for text in (*texts, asked)):
            yield number
    spoken = language_of(claim.text)
    alike = [language_of(text) == spoken for text in texts]
    if any(alike) or spoken == "zh":
        for name in dict.fromkeys(_names(claim.text)):
            if not any(name.casefold() in text for text in (*texts, asked)):
                yield name
    words = _words(claim.text)
    for number, text, same in zip(claim.cited, texts, alike, strict=False):
        if same and len(words) >= _ENOUGH and not any(word in text for word in words):
            yield f"[{number}]"


def _quotes(text: str) -> Iterator[str]:
    for match in _QUOTED.finditer(text):
        quote = match[1].strip(" .,;:。，；：…")
        if len(quote.split()) >= _QUOTE_WORDS or len(HAN.findall(quote)) >= _QUOTE_HAN:
            yield quote


def _names(text: str) -> list[str]:
    """Names: capitalised words that begin no sentence; all Latin words of a Chinese sentence."""
    bare = text.strip(" \t\n*_-•")
    if HAN.search(bare):
        return _LATIN.findall(bare)
    return [match[0] for match in _NAME.finditer(bare) if match.start() > 0]


def _words(text: str) -> set[str]:
    folded = _folded(text)
    return {match[1] for match in _PAIR.finditer(folded)} | (set(_WORD.findall(folded)) - _STOP)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _squeezed(text: str) -> str:
    """Without white space, quotation marks and emphasis, in which a quotation may differ."""
    return re.sub(r"[\s*_`\"'“”‘’「」『』]+", "", text)


def _numbers(text: str) -> set[str]:
    return {_plain_number(number) for number in _NUMBER.findall(text)}


def _plain_number(number: str) -> str:
    """`1,000` and `1000` are one number, `3.50` and `3.5` too."""
    own = re.sub(r",(?=\d{3}(?!\d))", "", unicodedata.normalize("NFKC", number))
    return re.sub(r"(\.\d*?)0+\Z", r"\1", own).rstrip(".") if "." in own else own
