"""Subtitles (SRT, WebVTT) through pysubs2: what is said, with the time at which it is said as its heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pysubs2

from ingest.loaders.base import Loaded, Source
from ingest.loaders.decoding import decode
from ingest.loaders.office.openxml import damaged
from ingest.loaders.text import TextBuilder, clean, one_line
from storage.records import Heading

# What is said within so much time is one paragraph, which a citation gives the time of.
_TOGETHER_MS = 20_000
_CUE_NAME = re.compile(r"(?<!\n)\n\n++[^\n]++\n(?=[^\n]*-->)")
# The moment of a word within a cue.
_CUE_TIME = re.compile(r"<\d[\d:.]*>")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*+)?\s++([^<>]++)>")


def load(source: Source) -> Loaded:
    """Paragraphs of twenty seconds. Raises DocumentRefusedError (damaged)."""
    decoded = decode(source.data)
    try:
        subtitles = pysubs2.SSAFile.from_string(_plain(clean(decoded.text)) + "\n")
    except (pysubs2.Pysubs2Error, ValueError) as error:
        raise damaged("pysubs2", error) from error
    builder, headings, last = TextBuilder(), [], 0
    for start, text in _paragraphs(subtitles):
        headings.append(Heading(builder.block(text), 1, _clock(start)))
    last = max((event.end for event in subtitles), default=0)
    return Loaded(
        text=builder.text,
        headings=tuple(headings),
        metadata={**decoded.metadata, "seconds": round(last / 1000)},
        warnings=decoded.warnings,
    )


def _plain(text: str) -> str:
    """WebVTT without the names of its cues, and with those of its speakers as words."""
    if not text.startswith("WEBVTT"):
        return text
    return _CUE_TIME.sub("", _VOICE.sub(r"\1: ", _CUE_NAME.sub("\n\n", text)))


def _paragraphs(subtitles: pysubs2.SSAFile) -> Iterator[tuple[int, str]]:
    """The start in milliseconds and the words of what is said together; a line repeated at once is one."""
    start, words = 0, list[str]()
    for event in sorted(subtitles, key=lambda event: event.start):
        text = one_line(unescape(event.plaintext))
        if not text or (words and text == words[-1]):
            continue
        if words and event.start - start >= _TOGETHER_MS:
            yield start, "\n".join(words)
            words = []
        if not words:
            start = event.start
        words.append(text)
    if words:
        yield start, "\n".join(words)


def _clock(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
