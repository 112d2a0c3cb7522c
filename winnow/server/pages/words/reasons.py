"""Reasons that stages give in fixed words, in Chinese. What a model or an endpoint said stays as it came."""

from __future__ import annotations

from collections.abc import Mapping

from storage.records import UNREADABLE_QUESTION

REASONS: Mapping[str, str] = {
    UNREADABLE_QUESTION: "编码器读不懂这个问题（配置 `multilingual` 可以）",
}
