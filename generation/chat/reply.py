"""Replies of OpenAI-compatible endpoints, whole or in chunks, as one plain record; reasoning taken out.

They are read as plain JSON, which servers write as they like: everything may be missing, or of another type.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.error_bodies import ReportedError, reported_error, snippet
from storage.reasoning import has_reasoning
from storage.records import whole

# Fields that hold reasoning apart from the text.
_REASONING = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks")
_SPACES = " \t\r\n\u0120\u010a\u2581"  # also as tokenizers write a space or a line break
# The log of a probability; a hundred times less likely than another token is none that a model would write.
_CERTAIN, _UNLIKELY = 1e-6, math.log(100)
_MARKS = re.compile(r"(?:\s|<[^<>\s]{1,40}>|\[/?[A-Z_]{2,20}\])*")


@dataclass(slots=True)
class Reply:
    """A reply as far as it was read. `tokens` are (prompt, completion), None if the server does not say.

    `reasoned` says that reasoning came apart from the text; `arguments` are those of a tool call.
    """

    model: str
    text: str = ""
    refusal: str = ""
    finish_reason: str = ""
    tokens: tuple[int, int] | None = None
    first_token: Mapping[str, float] | None = None
    reasoned: bool = False
    arguments: str = ""
    _half: str = field(default="", init=False)  # of a character, at the end of a piece

    def add(self, chunk: Any) -> str:
        """Add a chunk of a stream; return its piece of the text. Raises ValueError."""
        if chunk is None:
            return ""
        choices = _of(chunk, "choices")
        if not isinstance(chunk, dict) or not isinstance(choices, list | None):
            raise ValueError(f"a chunk is not one: {snippet(json.dumps(chunk))}")
        if _of(chunk, "error") or not choices:
            _raise_reported(chunk)
        self._usage(chunk)
        pieces = [self._choice(one) for one in choices or () if not _of(one, "index")]
        return "".join(pieces)

    def end(self) -> str:
        """End the text; return the replacement of half a character whose other half never came."""
        piece, self._half = whole(self._half), ""
        self.text += piece
        return piece

    def _usage(self, reply: Any) -> None:
        usage = _of(reply, "usage") or _of(_of(reply, "x_groq"), "usage")
        if isinstance(usage, dict):
            cached = _count(usage, "cache_read_input_tokens")  # some gateways count these apart
            self.tokens = (_count(usage, "prompt_tokens") + cached, _count(usage, "completion_tokens"))
            details = _of(usage, "completion_tokens_details")
            self.reasoned = self.reasoned or _count(details, "reasoning_tokens") > 0
        self.model = whole(str(_of(reply, "model") or self.model))

    def _choice(self, choice: Any) -> str:
        """Add a choice, whose text is in a `delta`, a `message`, or its own."""
        self.finish_reason = whole(str(_of(choice, "finish_reason") or self.finish_reason))
        message = _of(choice, "delta")
        if not message and not (self.text and isinstance(message, dict)):  # an end may hold the whole again
            message = _of(choice, "message") or {"content": _of(choice, "text")}
        content = _of(message, "content")
        piece = self._half + _content(content)
        self._half = piece[-1:] if "\ud800" <= piece[-1:] < "\udc00" else ""
        piece = whole(piece.removesuffix(self._half))
        self.text += piece
        self.refusal += whole(_content(_of(message, "refusal")))
        self.reasoned = self.reasoned or _reasons(message, content)
        self.arguments += whole("".join(_arguments(message)))
        return piece


def read(reply: Any, model: str) -> Reply:
    """Read a whole reply. Raises ValueError if it is not one."""
    choices = _of(reply, "choices")
    if not isinstance(choices, list) or not choices:
        inner = [_of(reply, name) for name in ("data", "output", "result", "response")]
        if wrapped := next((one for one in inner if _of(one, "choices")), None):
            return read(wrapped, model)
        _raise_reported(reply)
        raise ValueError("it has no choices")
    result = Reply(model, finish_reason="stop")
    result._usage(reply)
    choices.sort(key=lambda one: bool(_of(one, "index")))  # the first may come later
    if not any(_of(choices[0], name) is not None for name in ("message", "delta", "text")):
        raise ValueError("it has a choice without a message")
    result._choice(choices[0])
    result.end()
    if not result.text and _of(choices[0], "error"):
        _raise_reported(choices[0])
    if not result.reasoned and not has_reasoning(result.text):
        result.first_token = _first_token(choices[0], result.text)
    return result


def _raise_reported(reply: Any) -> None:
    """Raise ReportedError where a reply reports an error."""
    if said := reported_error(reply):
        raise ReportedError(said)


def _of(value: Any, name: str) -> Any:
    """A field of a JSON object; None of anything else."""
    return value.get(name) if isinstance(value, dict) else None


def _content(content: Any) -> str:
    """The text of a message, or the joined texts of its parts, which some servers send."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_content(part) for part in content if not isinstance(part, list))
    if isinstance(content, int | float) and not isinstance(content, bool):
        return json.dumps(content)
    if _is_thought(content):
        return ""
    text = _of(content, "text")
    text = _of(text, "value") if isinstance(text, dict) else text
    return text if isinstance(text, str) else ""


def _count(usage: Any, name: str) -> int:
    """A count of tokens, 0 where it is none that can be."""
    value = _of(usage, name)
    value = int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value) else value
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    return int(value) if known else 0


def _reasons(message: Any, content: Any) -> bool:
    """True where reasoning comes in a field, or a part of the content, of its own."""
    parts: Iterable[Any] = content if isinstance(content, list) else ()
    return any(_of(message, name) for name in _REASONING) or any(map(_is_thought, parts))


def _is_thought(part: Any) -> bool:
    """True for a part of a content that holds reasoning."""
    kind = str(_of(part, "type")).lower()
    return "think" in kind or "reason" in kind


def _arguments(message: Any) -> Iterator[str]:
    """The arguments of the tools that a message calls."""
    calls = _of(message, "tool_calls")
    functions = [_of(call, "function") for call in calls] if isinstance(calls, list) else []
    for function in (*functions, _of(message, "function_call")):
        arguments = _of(function, "arguments")
        if arguments is not None:
            yield arguments if isinstance(arguments, str) else json.dumps(arguments)


def _first_token(choice: Any, text: str) -> Mapping[str, float] | None:
    """The candidates for the first token, where it is the text's own: a server may count a trace's, too."""
    entries = _of(_of(choice, "logprobs"), "content")
    tokens = [_of(entry, "token") for entry in entries] if isinstance(entries, list) else []
    if not tokens or not all(isinstance(token, str) for token in tokens) or not _begins(text, tokens):
        return None
    top = _of(entries[0], "top_logprobs")
    found: dict[str, float] = {}
    for entry in (*(top if isinstance(top, list) else ()), entries[0]):
        token, value = _of(entry, "token"), _of(entry, "logprob")
        if isinstance(token, str) and isinstance(value, int | float) and not math.isnan(value):
            found.setdefault(token, float(value))
    written = found.get(tokens[0])
    if written is None or not max(found.values()) - _UNLIKELY <= written or max(found.values()) > _CERTAIN:
        return None  # of another place than the text's beginning, or probabilities without their logarithm
    return found


def _begins(text: str, tokens: list[str]) -> bool:
    """True where the tokens write the text: the first begins it, and nothing but marks follows it."""
    text = text.strip()
    if not text.startswith(tokens[0].strip(_SPACES)):
        return False
    written = "".join(tokens).strip(_SPACES)
    return not written.startswith(text) or bool(_MARKS.fullmatch(written[len(text) :]))
