"""The default answerer: quotes the best sentences of the passages, without a language model."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from anyio import to_thread

from generation.abstention import abstention
from generation.base import STAGE
from generation.citations import cite, flagged
from generation.extractive.scoring import (
    Sentence,
    lexical_scores,
    neural_scores,
    parts_of,
    subject_share,
)
from generation.extractive.sentences import plain, sentences
from generation.language import language_of
from storage.errors import ModelError
from storage.qdrant.contract import TokenScorer
from storage.reasons import Reason
from storage.records import Candidate, Generation, Outcome, unreadable_question
from storage.vectors import TermEncoder, TextEncoder

NAME = "extractive"
SENTENCES = 3
CHARACTERS = 700

# The weight of the token vectors against the shared words, and of the passage's rank on top.
# Chosen on 150 questions of SQuAD dev, confirmed on 150 others: docs/answers.md has the numbers.
NEURAL_WEIGHT = 0.7
RANK_WEIGHT = 0.15
# A sentence that is much worse than the best one adds words, but (on the same questions) no answers.
SHARE_OF_BEST = 0.65
# Where no sentence is similar enough (`Scale`) and no passage has this share of the question's words, the
# passages are about something else. docs/answers.md says how often right and wrong passages reach both.
MANY_WORDS = 0.5
# The same without token vectors; in Chinese the share of the question's subject in one passage.
WORDS_FLOOR = 0.17
SUBJECT_FLOOR = 0.36
# Without a floor, the similarity of a sentence that is quoted although it shares no word.
_ANY_FLOOR = 0.36
# Two sentences that share this much of their terms say the same thing.
SAME = 0.75

_QUESTION = re.compile(r"[?？][\s*_\"'”’」』)）]*\Z")


@dataclass(frozen=True, slots=True)
class Scale:
    """How to read the similarities of an encoder's token vectors, whose height and spread are its own.

    The best sentence reaches `floor` (of Chinese passages `chinese_floor`, by default the same) where the
    passages are about the subject; None: any shared word is enough. `low` and `high`, the similarities of
    unrelated and of matching texts, become 0 and 1 in a sentence's score.
    """

    floor: float | None
    chinese_floor: float | None = None
    low: float = 0.0
    high: float = 1.0

    def floor_for(self, question: str) -> float | None:
        """The floor for a question in its language."""
        return self.chinese_floor or self.floor if language_of(question) == "zh" else self.floor

    def score(self, similarity: float) -> float:
        """A similarity on the scale of shared words."""
        return max(0.0, (similarity - self.low) / (self.high - self.low))


# Chosen as docs/answers.md tells, for MiniLM's token vectors, the same projected, multilingual-e5-small's.
WHOLE = Scale(0.36)
PROJECTED = Scale(0.45)
E5 = Scale(0.78, 0.82, low=0.65, high=0.9)


@dataclass(frozen=True, slots=True)
class _ScoredSentence:
    sentence: Sentence
    shown: str
    terms: frozenset[int]
    score: float


@dataclass(frozen=True, slots=True)
class ExtractiveAnswerer:
    """A Generator that quotes up to three sentences, about 700 characters, each with its marker `[n]`.

    `vectors` are the passages' stored token vectors, made by `encoder` from `Chunk.encoded_text`. Where they
    are missing, or the encoder cannot read the question, shared words alone decide: the outcome is `partial`.

    The answerer abstains if no sentence reaches the floor of `scale` and no passage shares most of the
    question's words.
    """

    name = NAME
    fingerprint = f"{NAME}/3"

    encoder: TextEncoder
    vectors: TokenScorer
    terms: TermEncoder
    scale: Scale = field(default=WHOLE, kw_only=True)

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        """An answer in the passages' own words; `answered` is False if no sentence is related enough."""
        return await to_thread.run_sync(self._answer, question, tuple(candidates))

    def _answer(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        started = time.perf_counter()
        scored, complaint = self._score(question, candidates)
        chosen = _readable(_best(scored))
        outcome = flagged(Outcome(STAGE, ms=(time.perf_counter() - started) * 1000), complaint)
        return Generation(
            text=_text(chosen) if chosen else abstention(question, passages=len(candidates)),
            outcome=outcome,
            answerer=NAME,
            citations=tuple(
                cite(one.passage + 1, candidates[one.passage], one.span)
                for one in (scored.sentence for scored in chosen)
            ),
            answered=bool(chosen),
        )

    def _score(
        self, question: str, candidates: Sequence[Candidate]
    ) -> tuple[list[_ScoredSentence], Reason | None]:
        """The sentences related to the question with their scores, and a complaint if there is one."""
        found = _sentences(candidates)
        if not found:
            return [], None
        asked = self.terms.terms(question)
        terms = [self.terms.terms(sentence.text) for sentence in found]
        neural, complaint = self._neural(question, candidates, found)
        if not self._related(question, candidates, found, terms, neural):
            return [], complaint
        lexical = lexical_scores(asked, terms)
        enough = self.scale.floor_for(question) or _ANY_FLOOR
        # a sentence that the encoder could not read scores no better than the worst that it could
        lowest = min((score for score in neural if score is not None), default=None)
        return [
            _ScoredSentence(
                one,
                plain(one.text),
                words,
                self._blend(by_words, lowest if by_vectors is None else by_vectors, one, len(candidates)),
            )
            for one, words, by_words, by_vectors in zip(found, terms, lexical, neural, strict=True)
            if by_words > 0 or (by_vectors or 0) >= enough
        ], complaint

    def _blend(self, by_words: float, by_vectors: float | None, one: Sentence, passages: int) -> float:
        neural = by_words if by_vectors is None else self.scale.score(by_vectors)
        place = 1 - one.passage / passages
        return NEURAL_WEIGHT * neural + (1 - NEURAL_WEIGHT) * by_words + RANK_WEIGHT * place

    def _related(
        self,
        question: str,
        candidates: Sequence[Candidate],
        found: Sequence[Sentence],
        terms: Sequence[frozenset[int]],
        neural: Sequence[float | None],
    ) -> bool:
        """True if the passages are about the subject of the question at all."""
        floor = self.scale.floor_for(question)
        if floor is None:
            return True
        similarity = max((score for score in neural if score is not None), default=None)
        if similarity is None and language_of(question) == "zh":
            share = subject_share(question, [candidate.text for candidate in candidates], self.terms)
            if share is not None:
                return share >= SUBJECT_FLOOR
        passages: dict[int, frozenset[int]] = {}
        for sentence, words in zip(found, terms, strict=True):
            passages[sentence.passage] = passages.get(sentence.passage, frozenset()) | words
        shared = max(lexical_scores(self.terms.terms(question), list(passages.values())))
        if similarity is None:
            return shared >= WORDS_FLOOR
        return similarity >= floor or shared >= MANY_WORDS

    def _neural(
        self, question: str, candidates: Sequence[Candidate], found: Sequence[Sentence]
    ) -> tuple[list[float | None], Reason | None]:
        """Scores by token vectors, and the reason why some are missing."""
        if not self.encoder.reads(question):
            return [None] * len(found), unreadable_question()
        try:
            scores = neural_scores(question, candidates, found, self.encoder, self.vectors)
        except ModelError as error:  # an endpoint may be down: words can still be compared
            return [None] * len(found), Reason("generation.judged-by-words", error=str(error))
        missing = scores.count(None)
        if missing == 0:
            return scores, None
        return scores, Reason("generation.sentences-without-vectors", n=missing, of=len(found))


def _sentences(candidates: Sequence[Candidate]) -> list[Sentence]:
    return [
        Sentence(n, span, candidate.text[slice(*span)])
        for n, candidate in enumerate(candidates)
        for span in _spans(candidate)
        # a question in a passage repeats the words of the user's, and answers nothing
        if not _QUESTION.search(candidate.text, *span)
    ]


def _spans(candidate: Candidate) -> list[tuple[int, int]]:
    """The sentences of each passage that the text was joined from; the gaps between them were not stored."""
    found: dict[tuple[int, int], None] = {}
    for part in parts_of(candidate):
        offset = part.start - candidate.chunk.start
        for start, end in sentences(part.text, {part.title, *part.headings}):
            span = start + offset, end + offset
            if span[0] >= 0 and span[1] <= len(candidate.text):
                found[span] = None
    return list(found)


def _best(scored: Sequence[_ScoredSentence]) -> list[_ScoredSentence]:
    """The best sentences, best first, that fit and do not repeat each other."""
    chosen: list[_ScoredSentence] = []
    room = CHARACTERS
    for one in sorted(scored, key=lambda one: -one.score):
        if len(chosen) == SENTENCES or (chosen and one.score < SHARE_OF_BEST * chosen[0].score):
            break
        if len(one.shown) <= room and not any(_same(one, other) for other in chosen):
            chosen.append(one)
            room -= len(one.shown)
    return chosen


def _same(one: _ScoredSentence, other: _ScoredSentence) -> bool:
    if one.shown in other.shown or other.shown in one.shown:
        return True
    either = len(one.terms | other.terms)
    return bool(either) and len(one.terms & other.terms) / either >= SAME


def _readable(chosen: Sequence[_ScoredSentence]) -> list[_ScoredSentence]:
    """Passage by passage, that of the best sentence first, each in its own order."""
    order = list(dict.fromkeys(one.sentence.passage for one in chosen))
    return sorted(chosen, key=lambda one: (order.index(one.sentence.passage), one.sentence.span))


def _text(chosen: Sequence[_ScoredSentence]) -> str:
    return " ".join(f"{one.shown} [{one.sentence.passage + 1}]" for one in chosen)
