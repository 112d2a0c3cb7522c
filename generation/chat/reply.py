"""Replies of OpenAI-compatible endpoints, whole or in chunks, as one plain record; reasoning taken out.

The client does not validate what it parses, and servers leave out much: everything here may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.error_bodies import error_text
from storage.reasoning import has_reasoning

# Fields that hold reasoning apart from the text.
_REASONING = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks")
_SPACES = " \t\r\n\u0120\u010a\u2581"  # also as tokenizers write a space or a line break
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
        self._usage(chunk)
        choices = getattr(chunk, "choices", None)
        if not choices:  # the last chunk may hold the usage alone
            return ""
        message = getattr(choices[0], "delta", None)
        if message is None:  # a filter's verdict, or a finish reason alone
            message = getattr(choices[0], "message", None)
        return self._choice(choices[0], message)

    def _usage(self, reply: Any) -> None:
        usage = getattr(reply, "usage", None)
        if usage is not None:
            cached = _count(usage, "cache_read_input_tokens")  # some gateways count these apart
            self.tokens = (_count(usage, "prompt_tokens") + cached, _count(usage, "completion_tokens"))
            details = getattr(usage, "completion_tokens_details", None)
            self.reasoned = self.reasoned or _count(details, "reasoning_tokens") > 0
        self.model = _whole(str(getattr(reply, "model", None) or self.model))

    def _choice(self, choice: Any, message: Any) -> str:
        self.finish_reason = _whole(str(getattr(choice, "finish_reason", None) or self.finish_reason))
        if message is None:
            return ""
        content = getattr(message, "content", None)
        piece = self._half + _content(content)
        self._half = piece[-1:] if "\ud800" <= piece[-1:] < "\udc00" else ""
        piece = _whole(piece.removesuffix(self._half))
        self.text += piece
        self.refusal += _whole(_content(getattr(message, "refusal", None)))
        self.reasoned = self.reasoned or _reasons(message, content)
        self.arguments += _whole("".join(_arguments(message)))
        return piece


def read(reply: Any, model: str) -> Reply:
    """Read a whole reply. Raises ValueError if it is not one."""
    if isinstance(reply, str):
        raise ValueError(f"it is not JSON: {reply[:80]!r}" if reply.strip() else "it is empty")
    choices = getattr(reply, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise ValueError(_complaint(reply) or "it has no choices")
    result = Reply(model, finish_reason="stop")
    result._usage(reply)
    message = getattr(choices[0], "message", None)
    if message is None:
        raise ValueError("it has a choice without a message")
    result._choice(choices[0], message)
    if not result.reasoned and not has_reasoning(result.text):
        result.first_token = _first_token(choices[0], result.text)
    return result


def _whole(text: str) -> str:
    """Halves of a character joined; a half alone, which JSON allows and no log takes, is replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _content(content: Any) -> str:
    """The text of a message, or the joined texts of its parts, which some servers send."""
    if isinstance(content, str):
        return content
    parts: Iterable[Any] = content if isinstance(content, list) else ()
    texts = (part.get("text") if isinstance(part, dict) else getattr(part, "text", None) for part in parts)
    return "".join(text for text in texts if isinstance(text, str))


def _count(usage: Any, name: str) -> int:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) else 0


def _reasons(message: Any, content: Any) -> bool:
    """True where reasoning comes in a field, or a part of the content, of its own."""
    parts: Iterable[Any] = content if isinstance(content, list) else ()
    kinds = [part.get("type") if isinstance(part, dict) else getattr(part, "type", None) for part in parts]
    return any(getattr(message, name, None) for name in _REASONING) or any(
        "think" in str(kind) or "reason" in str(kind) for kind in kinds
    )


def _arguments(message: Any) -> Iterator[str]:
    """The arguments of the tools that a message calls."""
    calls = getattr(message, "tool_calls", None)
    functions = [getattr(call, "function", None) for call in calls] if isinstance(calls, list) else []
    for function in (*functions, getattr(message, "function_call", None)):
        arguments = getattr(function, "arguments", None)
        if isinstance(arguments, str):
            yield arguments


def _first_token(choice: Any, text: str) -> Mapping[str, float] | None:
    """The candidates for the first token, where it is the text's own: a server may count a trace's, too."""
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    if not content or not _begins(text, [str(entry.token) for entry in content]):
        return None
    found: dict[str, float] = {}
    for entry in (*(getattr(content[0], "top_logprobs", None) or ()), content[0]):
        found.setdefault(entry.token, entry.logprob)
    return found


def _begins(text: str, tokens: list[str]) -> bool:
    """True where the tokens write the text: the first begins it, and nothing but marks follows it."""
    text = text.strip()
    if not text.startswith(tokens[0].strip(_SPACES)):
        return False
    written = "".join(tokens).strip(_SPACES)
    return not written.startswith(text) or bool(_MARKS.fullmatch(written[len(text) :]))


def _complaint(reply: Any) -> str:
    """The message of an error that a server reported with status 200."""
    fields = (
        {**vars(reply), **(getattr(reply, "model_extra", None) or {})} if hasattr(reply, "__dict__") else {}
    )
    message = error_text({key: value for key, value in fields.items() if not key.startswith("_")})
    return f"it reports an error: {message}" if message else ""
