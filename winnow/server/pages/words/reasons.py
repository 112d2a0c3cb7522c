"""Reasons that stages give in winnow's own words, in Chinese. What a model said stays as it came."""

from __future__ import annotations

import re
from collections.abc import Sequence

from storage.records import UNREADABLE_QUESTION

# What a stage says, as a regular expression, and the same in Chinese.
REASONS: Sequence[tuple[str, str]] = (
    (re.escape(UNREADABLE_QUESTION), "编码器读不懂这个问题（配置 `multilingual` 可以）"),
    (r"the encoder cannot read (\d+) of (\d+) passages", r"\2 个段落中有 \1 个编码器读不懂"),
    (r"(\d+) passages encoded on the fly", r"临时编码了 \1 个段落"),
    (r"the question is longer than the (?:encoder|model) reads, and was cut", "问题太长，被截短了"),
    (
        r"(\d+) passages are longer than the encoder reads; their ends were not read",
        r"\1 个段落太长，末尾没有读到",
    ),
    (r"every member fell back: ", "所有成员都退回了："),
    (r"(\d+) members fell back", r"\1 个成员退回了"),
    (r"judged by shared words alone: ", "只按共有的字词判断："),
    (r"(\d+) neighbours were added to (\d+) passages", r"给 \2 个段落连上了 \1 个相邻段落"),
    (r"(\d+) (?:scores|verdicts) from the cache", r"\1 个结果取自缓存"),
    (r"nothing to rank", "没有可排序的段落"),
    (r"the answer cites no passage", "回答没有引用任何段落"),
    (r"(\d+) replies mended: ", r"修补了 \1 个回复："),
    (r"the answer was cut off after (\d+) tokens", r"回答在 \1 个词元后被截断"),
)


def in_chinese(text: str) -> str:
    """The text with every part that is winnow's own wording in Chinese."""
    for english, chinese in REASONS:
        text = re.sub(english, chinese, text)
    return text
