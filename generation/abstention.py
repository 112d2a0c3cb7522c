"""Abstention: the sentences that take the place of an answer, and the score below which there is none.

`ABSTENTIONS` holds the texts in both languages. Answerers abstain through `abstention`; `ScoreFloor` abstains
before an answerer is asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace

from generation.base import STAGE, Generator, closing, streamed
from generation.citations import flagged
from generation.language import language_of
from storage.reasons import Language, Reason
from storage.records import Candidate, Generation, Outcome

# Without passages, and with some: these are named, the nearest first.
ABSTENTIONS: Mapping[str, Mapping[Language, str]] = {
    "passages": {
        "en": "The retrieved passages do not answer this question.",
        "zh": "检索到的资料无法回答这个问题。",
    },
    "nearest": {
        "en": " The nearest passage is “{nearest}”.",
        "zh": "最接近的段落是“{nearest}”。",
    },
    "about": {
        "en": " What was found is about: {titles}.",
        "zh": "检索到的内容是关于：{titles}。",
    },
    "no passages": {
        "en": "No passages were found for this question.",
        "zh": "没有检索到与这个问题有关的资料。",
    },
}
_TITLES = 3
_LONGEST_TITLE = 60


def abstention(question: str, candidates: Sequence[Candidate]) -> str:
    """The sentence in place of an answer, in the question's language, with what was found instead."""
    language = language_of(question)
    if not candidates:
        return ABSTENTIONS["no passages"][language]
    text = ABSTENTIONS["passages"][language]
    nearest = _short(candidates[0].chunk.context)
    if nearest:
        text += ABSTENTIONS["nearest"][language].format(nearest=nearest)
    titles = list(dict.fromkeys(title for one in candidates if (title := _short(one.chunk.title))))
    if len(titles) > 1:
        listed = ("；" if language == "zh" else "; ").join(titles[:_TITLES])
        text += ABSTENTIONS["about"][language].format(titles=listed)
    return text


def _short(title: str) -> str:
    """A title in one line, which holds nothing that looks like a citation."""
    line = " ".join(title.replace("[", "(").replace("]", ")").split())
    return line if len(line) <= _LONGEST_TITLE else f"{line[: _LONGEST_TITLE - 1]}…"


def abstained(question: str, candidates: Sequence[Candidate], answerer: str) -> Generation:
    """An abstention as a Generation, made without asking a model."""
    text = abstention(question, candidates)
    return Generation(text=text, outcome=Outcome(STAGE), answerer=answerer, answered=False)


@dataclass(frozen=True, slots=True)
class ScoreFloor:
    """A Generator that answers only if some candidate's score reaches `at_least`.

    The score is that of `stage`, or of the last stage that scored a candidate; its scale is that stage's own.
    Candidates without such a score decide nothing: if none has one (the stage fell back, say), the question
    is passed on, and the outcome is `partial`.
    """

    generator: Generator
    _: KW_ONLY
    at_least: float
    stage: str | None = None

    @property
    def fingerprint(self) -> str:
        """The answerer's fingerprint, if it has one, and the floor."""
        stage = f" of {self.stage}" if self.stage else ""
        return f"{getattr(self.generator, 'fingerprint', '')} from {self.at_least}{stage}".strip()

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        if self._passes(candidates):
            return self._noted(await self.generator.generate(question, candidates), candidates)
        return abstained(question, candidates, "score-floor")

    async def stream(self, question: str, candidates: Sequence[Candidate]) -> AsyncIterator[str | Generation]:
        """Like `generate`, in pieces if the answerer streams."""
        if self._passes(candidates):
            async with closing(streamed(self.generator, question, candidates)) as items:
                async for item in items:
                    yield self._noted(item, candidates) if isinstance(item, Generation) else item
            return
        generation = abstained(question, candidates, "score-floor")
        yield generation.text
        yield generation

    def _passes(self, candidates: Sequence[Candidate]) -> bool:
        scores = [score for one in candidates if (score := self._score(one)) is not None]
        return not scores or max(scores) >= self.at_least

    def _noted(self, generation: Generation, candidates: Sequence[Candidate]) -> Generation:
        """The answer, flagged if no candidate had a score to compare with the floor."""
        if not candidates or any(self._score(one) is not None for one in candidates):
            return generation
        reason = (
            Reason("generation.floor-without-scores-of", stage=self.stage)
            if self.stage
            else Reason("generation.floor-without-scores")
        )
        return replace(generation, outcome=flagged(generation.outcome, reason))

    def _score(self, candidate: Candidate) -> float | None:
        stage = self.stage or next(reversed(list(candidate.scores)), None)
        return None if stage is None else candidate.scores.get(stage)
