"""A chat model that fills in forms: within a budget, counted, and never paid twice for the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from rerank.llm.calls import Caller, Reading, Request
from rerank.llm.templates import clipped, fenced
from rerank.training.forms import Form, Templates

T = TypeVar("T")

# Words of a passage that a prompt shows (Chinese characters).
WORDS = 300


class Scribe:
    """Fills in forms."""

    def __init__(self, caller: Caller, templates: Templates) -> None:
        self._caller = caller
        self._templates = templates

    async def fill(
        self, form: Form[T], language: str, n: int, *, question: str = "", passages: Sequence[str] = ()
    ) -> Reading[T]:
        """What the model gives; `n` is how many things are asked for, or how many passages are graded."""
        request = requested(self._templates, form, language, n, question=question, passages=passages)
        return await self._caller.asked(
            request, lambda completion: form.read(completion, n), again=self._templates.again(language)
        )


def requested(
    templates: Templates,
    form: Form[Any],
    language: str,
    n: int,
    *,
    question: str = "",
    passages: Sequence[str] = (),
) -> Request:
    """The request that fills in a form."""
    labels = [str(i) for i in range(1, len(passages) + 1)]
    messages = templates.messages(
        form,
        language,
        question=" ".join(question.split()),
        passages=fenced(labels, [clipped(text, WORDS) for text in passages]),
        count=str(n),
    )
    return Request(messages, form.max_tokens(n), form.schema)
