"""Parts of a chat request that an endpoint may refuse: left out one by one once it does, and remembered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Optional parts of a request: their keys, and how a refusal names them. A role is named by words of its own.
_OPTIONAL: dict[str, tuple[tuple[str, ...], re.Pattern[str]]] = {
    "schema": (
        ("response_format",),
        re.compile(
            r"response_?format|json[ _]?(?:schema|mode|object)|schema|structured|guided|grammar|outlines"
            r"|additional_?properties|constrained (?:decod|generat)|output format"
            r"|结构化|json\s*(?:模式|输出|格式)|输出格式"
        ),
    ),
    "logprobs": (("logprobs", "top_logprobs"), re.compile(r"log[ _-]?prob|对数概率")),
    "temperature": (("temperature",), re.compile(r"temperature|\btemp\b|sampling param|温度|采样")),
    "usage in streams": (("stream_options",), re.compile(r"stream_options|include_usage")),
}
_SYSTEM = "system role"
_NAMES_SYSTEM = re.compile(
    r"system[\s_-]*(?:role|message|prompt|instruction)|developer[\s_-]*(?:role|message|instruction)"
    r"|['\"`]system['\"`]|roles? must|must alternate|\brole\b[^.]{0,60}\b(?:system|user|assistant)\b"
    r"|\broles? (?:of|in|for) [^.]{0,30}message|unknown role|invalid role"
    r"|\b(?:user|assistant)\b[^.]{0,30}\broles\b"
    r"|(?:first message|messages) must (?:be|start|begin)|第一条消息"
    r"|(?<![a-z])role(?![a-z]).{0,12}(?:不合法|非法|错误|无效|不支持)"
    r"|系统(?:角色|消息|提示)|system\s*(?:角色|消息)|(?:角色|role).{0,12}(?:system|user|交替)"
)
# What a refusal without a name may mean, in the order in which it is tried; the last two only for one that
# says nothing but that something is wrong.
_UNNAMED = ("schema", "logprobs", "usage in streams", "temperature", _SYSTEM)
_SAYS_NOTHING = re.compile(
    r"\b(?:the|an?|is|has|contains|some|or|error|code|bad|request|invalid|illegal|malformed|unprocessable"
    r"|entity|content|message|detail|input|arguments?|parameters?|values?|api|type|\d{3})\b|\W"
    r"|请求|参数|调用|错误|有误|无效|不合法|非法|异常|请|检查|查看|文档"
)
_OTHER_LIMIT = "other limit"
_LIMITS = ("max_tokens", "max_completion_tokens")
_UNKNOWN = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|extra|not (?:permitted|allowed)|deprecated"
    r"|no longer|\binvalid (?:parameter|argument|field)|use 'max|use max|不支持"
)
# A router without a server that takes all of a request says neither which part it is, nor 400.
_ANY_PART = re.compile(r"requested parameters|all parameters")
_MOST_LOGPROBS = re.compile(
    r"top_?logprobs\D[^{}]{0,120}?(?:<=|less than or equal to|at most|between 0 and|maximum \D{0,12})\s*(\d+)"
)
_FEWEST = 16  # a reply of fewer tokens is of no use
_SHORTER = (
    # 'max_tokens' is too large: 4096. This model's maximum context length is 2048 tokens and your request has
    # 1500 input tokens; the first number is the context, the second the prompt
    re.compile(
        r"context length (?:is|of) (?:only )?(\d+)\D.{0,80}?(?:has|have|\(|:) ?(\d+) (?:tokens from the )?"
        r"(?:input|prompt|in the m)"
    ),
    re.compile(
        r"(?:at most|less than or equal to|<=|no more than|not (?:be greater than|exceed)|cannot exceed"
        r"|(?:maximum|max|limit) ?(?:value |tokens )?(?:is|of|:)?|up to|between 1 and|\d+ >"
        r"|(?:不能|不得|不可)?(?:超过|大于)|最大值?(?:为|是)?|小于(?:等于)?|不高于)\D{0,3}?(\d+)"
    ),
    re.compile(r"\[\s*1\s*,\s*(\d+)\s*\]"),
)


@dataclass(slots=True)
class Wishes:
    """The parts that one endpoint refuses.

    The limit of a reply is called `max_tokens`, or `max_completion_tokens` for OpenAI's newer models;
    whichever is refused is replaced by the other. Without a system role its text goes before the user's.
    """

    new_limit_name: bool = False
    most_logprobs: int | None = None
    refused: set[str] = field(default_factory=set)

    def applied(self, body: Mapping[str, Any], refused: set[str]) -> dict[str, Any]:
        """The request without the refused parts."""
        left_out = {key for wish in refused & _OPTIONAL.keys() for key in _OPTIONAL[wish][0]}
        wanted = {key: value for key, value in body.items() if key not in left_out}
        if self.most_logprobs is not None and "top_logprobs" in wanted:
            wanted["top_logprobs"] = min(wanted["top_logprobs"], self.most_logprobs)
        if self.new_limit_name != (_OTHER_LIMIT in refused):
            wanted["max_completion_tokens"] = wanted.pop("max_tokens")
        if _SYSTEM in refused:
            wanted["messages"] = _without_system(wanted["messages"])
        return wanted

    def remember(self, refused: set[str]) -> None:
        """Remember refusals once a request succeeded without these parts, which proves them the cause."""
        self.refused |= refused


def refused_by(message: str, wanted: Mapping[str, Any], refused: set[str], *, named_only: bool) -> set[str]:
    """The parts to leave out of `wanted` next, judging by the endpoint's message; empty if none is left.

    A message that names none of them costs the next one that it may mean, unless `named_only`.
    """
    said = message.lower()
    named_only = named_only and not _ANY_PART.search(said)
    here = {wish for wish, (keys, _) in _OPTIONAL.items() if any(key in wanted for key in keys)}
    named = {wish for wish in here if _OPTIONAL[wish][1].search(said)}
    limit_unknown = any(limit in said for limit in _LIMITS) and _UNKNOWN.search(said)
    if limit_unknown and _OTHER_LIMIT not in refused:
        named.add(_OTHER_LIMIT)
    if not named and _SYSTEM not in refused and _NAMES_SYSTEM.search(said) and _has_system(wanted):
        named.add(_SYSTEM)
    if named or named_only:
        return named
    if _SYSTEM not in refused and _has_system(wanted):
        here.add(_SYSTEM)
    unnamed = _UNNAMED if not _SAYS_NOTHING.sub("", said.replace("_", " ")) else _UNNAMED[:3]
    return set([wish for wish in unnamed if wish in here][:1])


def fewer_logprobs(message: str, wanted: Mapping[str, Any]) -> int | None:
    """The number of log-probabilities that an endpoint gives, where it refuses more; otherwise None."""
    found = _MOST_LOGPROBS.search(message.lower())
    most = int(found[1]) if found else 0
    return most if 1 < most < wanted.get("top_logprobs", 0) else None


def shorter_limit(message: str, limit: int) -> int | None:
    """A limit of the reply that fits what the endpoint says about `limit`; None where it says nothing."""
    said = re.sub(r"[`']|(?<=\d),(?=\d{3}\b)(?![^\[]*\])", "", message.lower())
    if not any(word in said for word in (*_LIMITS, "max_new_tokens", "completion", "input tokens")):
        return None
    for number, form in enumerate(_SHORTER):
        if found := form.search(said):
            fits = int(found[1]) - int(found[2]) - 1 if number == 0 else int(found[1])
            return fits if _FEWEST <= fits < limit else None
    return None


def _has_system(wanted: Mapping[str, Any]) -> bool:
    return any(message["role"] == "system" for message in wanted["messages"])


def _without_system(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the system's text before the first of the user's."""
    told = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    rest = [dict(message) for message in messages if message["role"] != "system"]
    if told and rest:
        rest[0]["content"] = f"{told}\n\n{rest[0]['content']}"
    return rest
