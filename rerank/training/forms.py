"""Requests for training data: four forms, their templates, how replies are read, and who fills them in.

Templates are files in `rerank/training/prompts/en` and `zh`; a user's folder replaces them file by file. A
reply without the expected content is None: nothing is ever guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rerank.llm.calls import Caller, Reading, Request
from rerank.llm.replies import json_values
from rerank.llm.templates import RerankPrompts, clipped, fenced, language_of
from rerank.training.records import TOP_GRADE, TrainingRecord, read_records
from storage.chat import Completion, Message
from storage.records import whole

T = TypeVar("T")

_HOME = Path(__file__).parent / "prompts"
# As many examples as Promptagator shows (Dai et al. 2022, arXiv 2209.11755).
MOST_EXAMPLES = 8
# Words of a passage that a prompt shows (Chinese characters).
PASSAGE_WORDS = 300


@dataclass(frozen=True, slots=True)
class PromptForm(Generic[T]):
    """A kind of request. `n`: how many things are asked for, or how many passages are graded."""

    name: str
    needed: tuple[str, ...]
    schema: Mapping[str, Any]
    max_tokens: Callable[[int], int]
    read: Callable[[Completion, int], T | None]


def _texts(field: str) -> Callable[[Completion, int], tuple[str, ...] | None]:
    def read(completion: Completion, n: int) -> tuple[str, ...] | None:
        listed = _field(completion, field)
        if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
            return None
        texts = [cleaned for text in listed if (cleaned := _cleaned(text))]
        return tuple(texts[:n]) or None

    return read


def _text(completion: Completion, n: int) -> str | None:  # noqa: ARG001 - there is one
    found = _field(completion, "passage")
    return _cleaned(found) or None if isinstance(found, str) else None


def _grades(completion: Completion, n: int) -> tuple[int, ...] | None:
    listed = _field(completion, "grades")
    if not isinstance(listed, list) or len(listed) != n:
        return None
    numbers = [int(item) if isinstance(item, str) and item.isdecimal() else item for item in listed]
    whole = [item for item in numbers if isinstance(item, int) and not isinstance(item, bool)]
    return tuple(whole) if len(whole) == n and all(0 <= grade <= TOP_GRADE for grade in whole) else None


def _field(completion: Completion, name: str) -> Any:
    """The field of the last JSON object that has it: what comes before may be a draft."""
    objects = [value for value in json_values(completion.text) if isinstance(value, dict) and name in value]
    return objects[-1][name] if objects else None


def _cleaned(text: str) -> str:
    """The text in one line, without halves of characters."""
    return " ".join(whole(text).split())


def _schema(field: str, kind: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {field: kind},
        "required": [field],
        "additionalProperties": False,
    }


_LIST = {"type": "array", "items": {"type": "string"}}

# Questions that a passage answers; n are wanted.
QUERIES = PromptForm(
    "queries",
    ("examples", "passages"),
    _schema("questions", _LIST),
    lambda n: 64 + 96 * n,
    _texts("questions"),
)
# A passage that answers a question.
ANSWERING = PromptForm(
    "answering", ("question",), _schema("passage", {"type": "string"}), lambda _n: 800, _text
)
# Passages that look relevant and do not answer; n are wanted.
MISLEADING = PromptForm(
    "misleading", ("question", "passages"), _schema("passages", _LIST), lambda n: 800 * n, _texts("passages")
)
# A grade for each of n passages.
GRADES = PromptForm(
    "grades",
    ("question", "passages"),
    _schema("grades", {"type": "array", "items": {"type": "integer"}}),
    lambda n: 32 + 8 * n,
    _grades,
)
FORMS: tuple[PromptForm[Any], ...] = (QUERIES, ANSWERING, MISLEADING, GRADES)


class SynthesisTemplates:
    """The templates of all forms, and the few-shot examples.

    `examples` are records with positives; languages without any get winnow's own. Raises SettingsError for a
    template that cannot be used.
    """

    def __init__(self, folder: Path | None = None, examples: Sequence[TrainingRecord] = ()) -> None:
        self._prompts = {form.name: RerankPrompts(folder, home=_HOME, needed=form.needed) for form in FORMS}
        self._again = RerankPrompts(folder)
        self._examples = {language: _few_shots(examples, language) for language in ("en", "zh")}
        fields = dict.fromkeys(("question", "passages", "count", "examples"), "")
        for form in FORMS:
            for language in ("en", "zh"):
                self._prompts[form.name].messages(form.name, language, **fields)

    def messages(self, form: PromptForm[Any], language: str, **fields: str) -> tuple[Message, ...]:
        """A form with its fields filled in; `examples` are added."""
        every = {"question": "", "passages": "", "count": "", "examples": self._examples[language]}
        return self._prompts[form.name].messages(form.name, language, **{**every, **fields})

    def request(
        self,
        form: PromptForm[Any],
        language: str,
        n: int,
        *,
        question: str = "",
        passages: Sequence[str] = (),
    ) -> Request:
        """The request that has a model fill in a form; long passages are clipped."""
        messages = self.messages(
            form,
            language,
            question=" ".join(question.split()),
            passages=fenced(
                [str(i) for i in range(1, len(passages) + 1)],
                [clipped(text, PASSAGE_WORDS) for text in passages],
            ),
            count=str(n),
        )
        return Request(messages, form.max_tokens(n), form.schema)

    def again(self, language: str) -> str:
        """The reply to an answer that cannot be read."""
        return self._again.text("again", language).strip()

    def fingerprint(self, *forms: PromptForm[Any]) -> str:
        """A hash of the forms' wording in both languages, and of the examples."""
        texts = [
            self._prompts[form.name].text(form.name, language) for form in forms for language in ("en", "zh")
        ]
        shown = list(self._examples.values()) if QUERIES in forms else []
        return hashlib.sha256("\0".join([*texts, *shown]).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class FormFiller:
    """Has a chat model fill in forms: within a budget, counted, never paying twice for the same request."""

    caller: Caller
    templates: SynthesisTemplates

    async def fill(
        self, form: PromptForm[T], language: str, n: int, *, question: str = "", passages: Sequence[str] = ()
    ) -> Reading[T]:
        """The model's reply, read; `n` is how many things are asked for, or how many passages are graded."""
        request = self.templates.request(form, language, n, question=question, passages=passages)
        return await self.caller.asked(
            request, lambda completion: form.read(completion, n), again=self.templates.again(language)
        )


def _few_shots(examples: Sequence[TrainingRecord], language: str) -> str:
    fitting = [record for record in examples if record.positives and language_of(record.query) == language]
    chosen = fitting or list(read_records(_HOME / language / "examples.jsonl"))
    word = "问题：" if language == "zh" else "Question: "
    return "\n\n".join(
        f"{fenced([f'example-{i}'], [record.positives[0].text])}\n{word}{' '.join(record.query.split())}"
        for i, record in enumerate(chosen[:MOST_EXAMPLES], start=1)
    )
