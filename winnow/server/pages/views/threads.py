"""Conversations as the pages show them: what was said before an answer, and a text to copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.records import Answer
from winnow.server.pages.views.cited import cited
from winnow.server.pages.views.markdown import ShownBlock
from winnow.server.visible import Visible

# Earlier turns that are shown whole; of a longer conversation the others are links.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class EarlierTurn:
    """A turn before the one shown; `blocks` is None where only its question is."""

    id: str
    question: str
    blocks: Sequence[ShownBlock] | None


@dataclass(frozen=True, slots=True)
class ThreadView:
    """The conversation of an answer: its name, and the turns before, oldest first."""

    name: str
    earlier: Sequence[EarlierTurn]


def thread_of(seen: Visible, answer: Answer) -> ThreadView:
    """Return the conversation that ends with a logged answer. Raises NotFoundError."""
    found = seen.log.thread(answer.id)
    before = found.turns[:-1]
    short = max(0, len(before) - _SHOWN)
    earlier = [EarlierTurn(one.id, one.question, None) for one in before[:short]]
    whole = [(one, cited(seen.log.get(one.id)).blocks) for one in before[short:]]
    earlier += [EarlierTurn(one.id, one.question, blocks) for one, blocks in whole]
    return ThreadView(found.name, earlier)


def as_markdown(seen: Visible, answer_id: str) -> str:
    """Return a conversation as a text to keep elsewhere, every answer with its sources."""
    found = seen.log.thread(answer_id)
    parts = [f"# {found.name}"]
    for one in found.turns:
        answer = seen.log.get(one.id)
        sources = {
            citation.marker: f"[{citation.marker}] {citation.title or citation.source}, {citation.location}"
            for citation in answer.citations
        }
        parts += [f"## {answer.question}", answer.text, *sources.values()]
    return "\n\n".join(parts) + "\n"
