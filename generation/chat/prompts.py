"""Prompts for a chat model: passages within a budget, fenced so that they cannot pass for instructions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from generation.chat.templating import Templates
from generation.chat.tokens import EstimatedTokens, TokenCounter
from generation.language import language_of
from storage.chat import Message
from storage.control_tokens import harmless
from storage.errors import BadInputError
from storage.reasons import Reason
from storage.records import Candidate

Order = Literal["best-first", "both-ends"]

# Room for five long passages; well within the context of any chat model in use.
PROMPT_TOKENS = 6000
# Tokens that servers add around each message.
_PER_MESSAGE = 8
_TITLE = 200


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages to send. `given` are the numbers of the passages in them, in their order there.

    `shown` are the candidates, with the text that was sent of those in the prompt. `complaints` say what was
    left out to keep the budget.
    """

    messages: tuple[Message, ...]
    given: tuple[int, ...]
    shown: tuple[Candidate, ...] = ()
    complaints: tuple[Reason, ...] = ()

    @property
    def text(self) -> str:
        """All messages as one text, for the log."""
        return "\n\n".join(f"<{message.role}>\n{message.content}" for message in self.messages)


@dataclass(frozen=True, slots=True)
class Prompter:
    """Makes prompts of at most `tokens` tokens, counted by `counter`.

    `order` is the order of the passages: `best-first`, or `both-ends` (the best first, the second last, so
    on inwards), since long contexts are read worst in their middle (Liu et al. 2023, "Lost in the Middle").
    A passage keeps the number of its rank in either order.
    """

    templates: Templates
    tokens: int = PROMPT_TOKENS
    counter: TokenCounter = field(default_factory=EstimatedTokens)
    order: Order = "best-first"

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides about a prompt, except question and passages."""
        parts = (self.templates.fingerprint, self.tokens, self.counter.exact, self.order)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def prompt(self, question: str, candidates: Sequence[Candidate]) -> Prompt:
        """The prompt for a question. Passages that do not fit are left out, the worst first.

        Neighbours are left out before any passage is. If not even the best passage
        fits, it is cut. Raises BadInputError if there is no room for it.
        """
        fence = _fence(question, candidates)
        room = self.tokens - self._size(self._messages(question, "", fence))
        shown = self._with_neighbours(candidates, fence, room)
        passages = [_passage(n, one, fence) for n, one in enumerate(shown, start=1)]
        fitting = self._fitting(passages, room)
        is_cut = bool(passages) and not fitting
        sent = [self._cut(passages[0], room)] if is_cut else fitting
        complaints = (
            self._left_out(len(sent), passages, is_cut),
            self._bare(candidates, shown[: len(sent)]),
        )
        given = _ordered(range(1, len(sent) + 1), self.order)
        text = "\n\n".join(sent[number - 1] for number in given)
        messages = tuple(self._messages(question, text, fence))
        return Prompt(messages, tuple(given), shown, tuple(filter(None, complaints)))

    def _messages(self, question: str, passages: str, fence: str) -> list[Message]:
        language, asked = language_of(question), question.strip()
        user = self.templates.filled("user", language, fence=fence, passages=passages, question=asked)
        return [Message("system", self.templates.filled("system", language)), Message("user", user)]

    def _size(self, messages: Sequence[Message]) -> int:
        return sum(self.counter.count(message.content) + _PER_MESSAGE for message in messages)

    def _with_neighbours(
        self, candidates: Sequence[Candidate], fence: str, room: int
    ) -> tuple[Candidate, ...]:
        """The candidates, the best of them with neighbours as far as there is room."""
        if not any(one.parts for one in candidates):
            return tuple(candidates)
        shown = [one.core for one in candidates]
        sizes = [self.counter.count(_passage(n, one, fence)) for n, one in enumerate(shown, start=1)]
        left = room - sum(sizes) - len(sizes)
        for place, one in enumerate(candidates):
            if not one.parts:
                continue
            more = self.counter.count(_passage(place + 1, one, fence)) - sizes[place]
            if more <= left:
                shown[place], left = one, left - more
        return tuple(shown)

    def _bare(self, candidates: Sequence[Candidate], sent: Sequence[Candidate]) -> Reason | None:
        """The complaint that passages were sent without their neighbours."""
        bare = sum(
            bool(one.parts and not as_sent.parts) for one, as_sent in zip(candidates, sent, strict=False)
        )
        if not bare:
            return None
        if len(sent) == 1:
            return Reason("generation.sent-without-neighbours", limit=self._limit)
        return Reason("generation.some-without-neighbours", n=bare, of=len(sent), limit=self._limit)

    def _left_out(self, sent: int, passages: Sequence[str], cut: bool) -> Reason | None:
        """The complaint that passages were left out, or that the only one was cut."""
        if cut:
            return Reason("generation.best-passage-cut", limit=self._limit)
        if sent == len(passages):
            return None
        left_out = len(passages) - sent
        return Reason("generation.passages-not-sent", n=left_out, of=len(passages), limit=self._limit)

    @property
    def _limit(self) -> Reason:
        if self.counter.exact:
            return Reason("generation.prompt-limit", tokens=self.tokens)
        return Reason("generation.estimated-prompt-limit", tokens=self.tokens)

    def _fitting(self, passages: Sequence[str], room: int) -> list[str]:
        """The passages that fit, the best first; none if even the best must be cut."""
        used, fitting = 0, list[str]()
        for passage in passages:
            used += self.counter.count(passage) + 1
            if used > room:
                break
            fitting.append(passage)
        return fitting

    def _cut(self, passage: str, room: int) -> str:
        """As much of a passage as fits with its label and both fences, found by bisection."""
        number, fence, label, rest = passage.split("\n", 3)
        text = rest.removesuffix(fence)

        def cut(length: int) -> str:
            return f"{number}\n{fence}\n{label}\n{text[:length]} …\n{fence}"

        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.counter.count(cut(middle)) <= room else (low, middle - 1)
        if low == 0:
            raise BadInputError(
                f"the question leaves no room for a passage in a prompt of {self.tokens:,} tokens",
                way_out="Ask a shorter question, or raise the limit for prompts.",
            )
        return cut(low)


def _ordered(numbers: Sequence[int], order: Order) -> list[int]:
    if order == "best-first":
        return list(numbers)
    return [*numbers[::2], *reversed(numbers[1::2])]


def _fence(question: str, candidates: Sequence[Candidate]) -> str:
    """A line that no passage can contain: it is a hash of all of them, which no author can know.

    It is the same for the same question and passages, so that a prompt can be replayed.
    """
    passages = ((_label(candidate), candidate.text) for candidate in candidates)
    texts = "\0".join((question, *(text for passage in passages for text in passage)))
    return f"======{hashlib.sha256(texts.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}======"


def _passage(number: int, candidate: Candidate, fence: str) -> str:
    # the label is within: title and headings are the author's words as the text is
    return f"[{number}]\n{fence}\n{_label(candidate)}\n{harmless(candidate.text.strip())}\n{fence}"


def _label(candidate: Candidate) -> str:
    """Title, heading path, page and the line about the passage, which is none of its text, in one line."""
    chunk = candidate.chunk
    parts = [chunk.title or chunk.source, *(heading for heading in chunk.headings if heading != chunk.title)]
    if chunk.page is not None:
        parts.append(f"p. {chunk.page}")
    line = " › ".join(" ".join(part.split()) for part in parts if part.strip())
    shown = "".join(character for character in line if character.isprintable())[:_TITLE]
    about = "".join(character for character in chunk.about if character.isprintable())
    return harmless(
        f"{shown} (context, from elsewhere in the document or written by a model: {about})"
        if about
        else shown
    )
