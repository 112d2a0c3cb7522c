"""Answers as OpenAI's chat completions: text with its sources below, and annotations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from storage.records import Answer, Citation

# The heading between answer and sources; clients send it back with the next question.
_HEADS = {"en": "Sources:", "zh": "来源："}
_SOURCES = re.compile(r"\n\n(?:Sources:|来源：)\n\[\d.*\Z", re.DOTALL)
_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class ReplyFrame:
    """The parts that every chunk of a reply repeats: the requested model and this server's URL."""

    model: str
    base_url: str


def completion(answer: Answer, reply: ReplyFrame) -> dict[str, Any]:
    """Make the reply for a whole answer."""
    content = answer.text + sources(answer)
    message = {
        "role": "assistant",
        "content": content,
        "refusal": None,
        "annotations": cited(answer, content, reply),
    }
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": "chat.completion",
        "created": int(answer.created_at.timestamp()),
        "model": reply.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": _usage(answer),
        "winnow": _extension(answer),
    }


def chunk(reply: ReplyFrame, created: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make a chunk of a streamed answer."""
    return {
        # the answer's own id is known only at its end
        "id": "chatcmpl-winnow",
        "object": "chat.completion.chunk",
        "created": created,
        "model": reply.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}],
        **more,
    }


def last_chunks(answer: Answer, reply: ReplyFrame, created: int, *, usage: bool) -> list[dict[str, Any]]:
    """Make the chunks after the text: sources with annotations, the end, the usage."""
    below = sources(answer)
    delta = {"content": below, "annotations": cited(answer, answer.text + below, reply)}
    end = chunk(reply, created, {}, winnow=_extension(answer))
    end["choices"][0]["finish_reason"] = "stop"
    spent = [{**chunk(reply, created, {}), "choices": [], "usage": _usage(answer)}] if usage else []
    return [chunk(reply, created, delta), end, *spent]


def sources(answer: Answer) -> str:
    """Return the places that the text cites, a line each; empty if it cites none."""
    lines = {citation.marker: _line(citation) for citation in answer.citations}
    if not lines:
        return ""
    head = _HEADS["zh" if _HAN.search(answer.question) else "en"]
    return "\n\n" + "\n".join([head, *(lines[marker] for marker in sorted(lines))])


def without_sources(text: str) -> str:
    """Return the text of an answer that a client sent back with its sources."""
    return _SOURCES.sub("", text)


def cited(answer: Answer, content: str, reply: ReplyFrame) -> list[dict[str, Any]]:
    """Make a `url_citation` of each citation: the place of its marker and the URL of its passage."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": start,
                "end_index": end,
                "title": _title(citation),
                "url": _url(citation, answer.collection, reply.base_url),
            },
        }
        for citation in answer.citations
        for start, end in _places(content, citation.marker, answer)
    ]


def _places(content: str, marker: int, answer: Answer) -> Sequence[tuple[int, int]]:
    """Find a marker in the answer's own text, or in the sources if it is part of a group there."""
    body = content[: len(answer.text)]
    found = [match.span() for match in re.finditer(rf"[\[【［]{marker}[\]】］]", body)]
    return found[:1] or [match.span() for match in re.finditer(rf"\[{marker}\]", content)][-1:]


def _line(citation: Citation) -> str:
    return f"[{citation.marker}] {_title(citation)}"


def _title(citation: Citation) -> str:
    name = citation.title or citation.source.rpartition("/")[2]
    place = citation.location
    shown = f"{name} ({place})" if place and place != name else name
    return " ".join(shown.split())  # a document's title may contain anything, even line breaks


def _url(citation: Citation, collection: str, base: str) -> str:
    """Return the document's URL on this server; the fragment names the characters (RFC 5147)."""
    path = f"{base.rstrip('/')}/v1/documents/{quote(citation.document_id)}?collection={quote(collection)}"
    return f"{path}#char={citation.start},{citation.end}"


def _usage(answer: Answer) -> dict[str, int]:
    spent = answer.usage
    return {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "total_tokens": spent.prompt_tokens + spent.completion_tokens,
    }


def _extension(answer: Answer) -> dict[str, Any]:
    return {"answer_id": answer.id, "answered": answer.answered, "warnings": list(answer.warnings)}
