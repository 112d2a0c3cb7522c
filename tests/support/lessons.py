"""Training records with a rule that a tiny model learns in a few steps: texts with a fox are relevant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

GOOD = ("the quick brown fox jumps over the lazy dog", "the lazy fox, quick and brown")
BAD = ("late interaction compares token vectors with MaxSim", "token vectors, late interaction", "MaxSim")
GOOD_ZH = ("重排序模型同时阅读问题和文档",)
BAD_ZH = ("然后给出相关性分数。", "分数分数相关性")


# Words and letters that the tiny models know: what a model cannot read, it does not judge.
_WORDS = ["judge", "whether", "document", "meets", "requirements", "based", "query", "provided"]


def name(number: int, *, chinese: bool = False) -> str:
    """A number below 512 as three words, or letters."""
    digits = [int(digit) for digit in f"{number:03o}"]
    return "".join("abcdefgh"[digit] for digit in digits) if chinese else " ".join(_WORDS[d] for d in digits)


def record(number: int, *, chinese: bool = False, scores: bool = False) -> dict[str, Any]:
    good, bad = (GOOD_ZH, BAD_ZH) if chinese else (GOOD, BAD)
    called = name(number, chinese=chinese)
    texts = [(f"{text} {called}", 1) for text in good[: 1 + number % 2]]
    texts += [(f"{text} {called}", 0) for text in bad]
    return {
        "id": f"q{number}",
        "query": f"问题 {called}" if chinese else f"question {called} and the passage",
        "passages": [
            {"text": text, "label": label, **({"score": 0.2 + 0.6 * label} if scores else {})}
            for text, label in texts
        ],
        "provenance": {"method": "queries", "model": "some-model"},
    }


def write(path: Path, numbers: Sequence[int], **how: bool) -> Path:
    lines = [json.dumps(record(number, **how), ensure_ascii=False) for number in numbers]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
