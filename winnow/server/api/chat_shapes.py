"""An answer in the shape of OpenAI's chat completions: text with its sources below, and annotations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from storage.records import Answer, Citation

# What stands between the answer and its sources; a client sends it back with the next question.
_HEADS = {"en": "Sources:", "zh": "来源："}
_SOURCES = re.compile(r"\n\n(?:Sources:|来源：)\n\[\d.*\Z", re.DOTALL)
_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class ReplyFrame:
    """What every part of a reply repeats: the model that was asked, and where this server is."""

    model: str
    base_url: str


def completion(answer: Answer, reply: ReplyFrame) -> dict[str, Any]:
    """The whole answer."""
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
        "winnow": _beside(answer),
    }


def chunk(reply: ReplyFrame, created: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A part of a streamed answer."""
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
    """What follows the text: its sources with the annotations, the end, and what it cost."""
    below = sources(answer)
    delta = {"content": below, "annotations": cited(answer, answer.text + below, reply)}
    end = chunk(reply, created, {}, winnow=_beside(answer))
    end["choices"][0]["finish_reason"] = "stop"
    spent = [{**chunk(reply, created, {}), "choices": [], "usage": _usage(answer)}] if usage else []
    return [chunk(reply, created, delta), end, *spent]


def sources(answer: Answer) -> str:
    """The places that the text cites, a line each; nothing where it cites none."""
    lines = {citation.marker: _line(citation) for citation in answer.citations}
    if not lines:
        return ""
    head = _HEADS["zh" if _HAN.search(answer.question) else "en"]
    return "\n\n" + "\n".join([head, *(lines[marker] for marker in sorted(lines))])


def without_sources(text: str) -> str:
    """An answer as it was given, when a client sends it back."""
    return _SOURCES.sub("", text)


def cited(answer: Answer, content: str, reply: ReplyFrame) -> list[dict[str, Any]]:
    """Each citation as a `url_citation`: where its marker stands, and where its passage is to be had."""
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
    """Where a marker stands in the answer's own text; where it stands in a group, the sources' line."""
    body = content[: len(answer.text)]
    found = [match.span() for match in re.finditer(rf"[\[【［]{marker}[\]】］]", body)]
    return found[:1] or [match.span() for match in re.finditer(rf"\[{marker}\]", content)][-1:]


def _line(citation: Citation) -> str:
    return f"[{citation.marker}] {_title(citation)}"


def _title(citation: Citation) -> str:
    name = citation.title or citation.source.rpartition("/")[2]
    place = citation.location
    shown = f"{name} ({place})" if place and place != name else name
    return " ".join(shown.split())  # a title of a document may hold anything, lines too


def _url(citation: Citation, collection: str, base: str) -> str:
    """The document on this server; the fragment names the characters (RFC 5147)."""
    path = f"{base.rstrip('/')}/v1/documents/{quote(citation.document_id)}?collection={quote(collection)}"
    return f"{path}#char={citation.start},{citation.end}"


def _usage(answer: Answer) -> dict[str, int]:
    spent = answer.usage
    return {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "total_tokens": spent.prompt_tokens + spent.completion_tokens,
    }


def _beside(answer: Answer) -> dict[str, Any]:
    return {"answer_id": answer.id, "answered": answer.answered, "warnings": list(answer.warnings)}
