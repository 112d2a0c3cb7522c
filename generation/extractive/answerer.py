"""The default answerer: quotes what answers in the passages' own words, without a language model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from anyio import to_thread

from generation.abstention import abstention
from generation.base import STAGE
from generation.citations import flagged
from generation.extractive.comparing import contradicts
from generation.extractive.confidence import Signs, Verifier, signs, weights_for
from generation.extractive.judging import Cosines, Found, PairJudge, judged
from generation.extractive.kinds import fit
from generation.extractive.lines import is_run_together
from generation.extractive.quoting import JudgedUnits, chosen, citations, grouped, text
from generation.extractive.scoring import lexical_scores, subject_share
from generation.extractive.units import Unit, units
from generation.language import HAN, language_of
from storage.errors import ModelError
from storage.qdrant.contract import TokenScorer
from storage.qdrant.similarities import parts_of, similarities
from storage.reasons import Reason
from storage.records import Candidate, Generation, Outcome, unreadable_question
from storage.vectors import TermEncoder, TextEncoder

NAME = "extractive"

# The weight of the token vectors against the shared words, and of the passage's rank on top.
# Chosen on 150 questions of SQuAD dev, confirmed on 150 others: docs/answers.md has the numbers.
NEURAL_WEIGHT = 0.7
RANK_WEIGHT = 0.15
# A long unit has some match for every word; what 100 characters beyond these cost, and as how many hundreds
# the run-together cells of a table count.
LONG, LONGER_WEIGHT, RUN_TOGETHER = 120, 0.05, 6
# Where no unit is similar enough (`Scale`) and no passage has this share of the question's words, the
# passages are about something else. docs/answers.md says how often right and wrong passages reach both.
MANY_WORDS = 0.5
# The same without token vectors; in Chinese the share of the question's subject in one passage.
WORDS_FLOOR = 0.17
SUBJECT_FLOOR = 0.36
# This many of the best units the verifier reads.
VERIFIED = 3


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of an encoder's similarities of token vectors, whose height and spread are its own.

    The best sentence reaches `floor` (of Chinese passages `chinese_floor`, by default the same) where the
    passages are about the subject; None: any shared word is enough. `low` and `high`, the similarities of
    unrelated and of matching texts, become 0 and 1 in a unit's score. `calibrated`: the weights of
    `confidence.MEANING` hold for these scores.
    """

    floor: float | None
    chinese_floor: float | None = None
    low: float = 0.0
    high: float = 1.0
    calibrated: bool = False

    def floor_for(self, question: str) -> float | None:
        """The floor for a question in its language."""
        return self.chinese_floor or self.floor if language_of(question) == "zh" else self.floor

    def score(self, similarity: float) -> float:
        """A similarity on the scale of shared words."""
        return max(0.0, (similarity - self.low) / (self.high - self.low))


# Chosen as docs/answers.md tells, for MiniLM's token vectors, the same projected, multilingual-e5-small's.
WHOLE = Scale(0.36)
PROJECTED = Scale(0.45)
E5 = Scale(0.78, 0.82, low=0.65, high=0.9, calibrated=True)


@dataclass(frozen=True, slots=True)
class ExtractiveAnswerer:
    """A Generator that quotes one to three units, the best first, each with its marker `[n]`.

    `vectors` are the passages' stored token vectors, made by `encoder` from `Chunk.encoded_text`. Where they
    are missing, or the encoder cannot read the question, shared words alone decide: the outcome is `partial`.
    `judge`, if any, judges the most promising units where it can read them; of others `verifier` reads the
    best few, and the one that most probably answers comes first.

    The answerer abstains where the best unit probably does not answer, and flags a weak match.
    """

    name = NAME
    fingerprint = f"{NAME}/6"

    encoder: TextEncoder
    vectors: TokenScorer
    terms: TermEncoder
    scale: Scale = field(default=WHOLE, kw_only=True)
    judge: PairJudge | None = field(default=None, kw_only=True)
    verifier: Verifier | None = field(default=None, kw_only=True)

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        """An answer in the passages' own words; `answered` is False if nothing in them answers."""
        return await to_thread.run_sync(self._answer, question, tuple(candidates))

    def _answer(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        started = time.perf_counter()
        judgement = self.judgement(question, candidates)
        best = chosen(judgement) if judgement.answers else []
        groups = grouped(best)
        percent = round(100 * (judgement.confidence or 0))
        against = [one for one in best[1:] if contradicts(best[0], one)]
        outcome = flagged(
            Outcome(STAGE, ms=(time.perf_counter() - started) * 1000),
            judgement.complaint,
            Reason("generation.contradiction", first=best[0].passage + 1, second=against[0].passage + 1)
            if against
            else None,
            Reason("generation.weak-match", percent=percent) if judgement.is_weak else None,
        )
        return Generation(
            text=text(groups) if best else abstention(question, candidates),
            outcome=outcome,
            answerer=NAME,
            citations=tuple(citation for group in groups for citation in citations(group, candidates)),
            answered=bool(best),
        )

    def judgement(self, question: str, candidates: Sequence[Candidate]) -> JudgedUnits:
        """The units of the passages, judged, with the signs that the first answers."""
        found = self._found(candidates)
        if not found:
            return JudgedUnits()
        asked = self.terms.terms(question)
        sentences = [one.terms for one in found]
        lexical = lexical_scores(asked, sentences)
        headings = {one.heading: self.terms.terms(one.heading) for one in found}
        beyond = lexical_scores(asked, sentences, [headings[one.heading] for one in found])
        neural, complaint = self._neural(question, candidates, found)
        # a unit that the encoder could not read scores no better than the worst that it could
        lowest = min((score for score in neural if score is not None), default=None)
        scored = [
            replace(
                one,
                by_words=words,
                beyond=more,
                similarity=near,
                fit=fit(question, one.shown),
                cheap=self._cheap(words, near, lowest, one, len(candidates)),
            )
            for one, words, more, near in zip(found, lexical, beyond, neural, strict=True)
        ]
        # to ask the judge whether it reads Chinese would load it
        judge = None if self.verifier is not None and language_of(question) == "zh" else self.judge
        busy = judge is not None and judge.busy
        ranked, closely = judged(question, scored, judge, self._cosines(question), under_load=busy)
        if closely and busy:
            complaint = complaint or Reason("generation.few-units-read", n=len(ranked))
        ranked, seen = self._most_probable(question, candidates, ranked, closely)
        if seen is None and not self._related(question, candidates, found, neural):
            ranked = []
        weights = weights_for(question, closely, verified=seen is not None and seen.verified is not None)
        return JudgedUnits(question, ranked, closely, seen, weights, complaint)

    def _cosines(self, question: str) -> Cosines | None:
        """The encoder's own judgement of short texts, where it is worth its time: it runs here."""
        if not self.scale.calibrated or not self.encoder.reads(question):
            return None

        def near(texts: Sequence[str]) -> list[float]:
            asked = self.encoder.encode_query(question).dense
            return [float(one.dense @ asked) for one in self.encoder.encode_passages(texts, tokens=False)]

        return near

    def _found(self, candidates: Sequence[Candidate]) -> list[Found]:
        return [
            Found(
                n,
                unit,
                candidate.text[slice(*unit.span)],
                candidate.text[slice(*unit.lead)] if unit.lead else "",
                candidate.text[unit.before[0] : unit.span[0]] if unit.before else "",
                _heading(candidate, unit),
                self.terms.terms(candidate.text[slice(*unit.span)]),
            )
            for n, candidate in enumerate(candidates)
            for unit in _units(candidate)
        ]

    def _cheap(
        self, by_words: float, near: float | None, lowest: float | None, one: Found, passages: int
    ) -> float:
        similarity = lowest if near is None else near
        neural = by_words if similarity is None else self.scale.score(similarity)
        place = 1 - one.passage / passages
        longer = max(0, len(one.text) * (1 if HAN.search(one.text) else 0.4) - LONG) / 100
        longer += RUN_TOGETHER if is_run_together(one.text) else 0
        words = (1 - NEURAL_WEIGHT) * by_words
        return NEURAL_WEIGHT * neural + words + RANK_WEIGHT * place - LONGER_WEIGHT * longer

    def _most_probable(
        self, question: str, candidates: Sequence[Candidate], ranked: list[Found], closely: bool
    ) -> tuple[list[Found], Signs | None]:
        """The units, of which the most probable answer among those that the verifier reads comes first.

        With them the signs of the first.
        """
        seen = self._signs(question, candidates, ranked, closely)
        verifier = self.verifier
        if seen is None or closely or verifier is None or language_of(question) != "zh":
            return ranked, seen
        if not verifier.reads(question):
            return ranked, seen
        best = [one for one in ranked[:VERIFIED] if one.similarity is not None]
        orders = [[one, *(other for other in ranked if other is not one)] for one in best]
        verified = verifier.log_odds(question, [one.read() for one in best])
        found = [
            (order, replace(own, verified=log_odds))
            for order, log_odds in zip(orders, verified, strict=True)
            if (own := self._signs(question, candidates, order, closely)) is not None
        ]
        weights = weights_for(question, closely, verified=True)
        return max(found, key=lambda one: weights.probability(one[1]))

    def _signs(
        self, question: str, candidates: Sequence[Candidate], ranked: Sequence[Found], closely: bool
    ) -> Signs | None:
        best = ranked[0]
        if not closely and (not self.scale.calibrated or best.similarity is None):
            return None
        candidate = candidates[best.passage]
        around = f"{candidate.chunk.context} {candidate.text}"
        score = best.score if closely else self.scale.score(best.similarity or 0.0)
        return signs(question, ranked, around, score=score, by_cross_encoder=closely)

    def _related(
        self,
        question: str,
        candidates: Sequence[Candidate],
        found: Sequence[Found],
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
        for one in found:
            passages[one.passage] = passages.get(one.passage, frozenset()) | one.terms
        shared = max(lexical_scores(self.terms.terms(question), list(passages.values())))
        if similarity is None:
            return shared >= WORDS_FLOOR
        return similarity >= floor or shared >= MANY_WORDS

    def _neural(
        self, question: str, candidates: Sequence[Candidate], found: Sequence[Found]
    ) -> tuple[list[float | None], Reason | None]:
        """Scores by token vectors, and the reason why some are missing."""
        if not self.encoder.reads(question):
            return [None] * len(found), unreadable_question()
        places = [(one.passage, one.unit.span) for one in found]
        try:
            scores = similarities(question, candidates, places, self.encoder, self.vectors)
        except ModelError as error:  # an endpoint may be down: words can still be compared
            return [None] * len(found), Reason("generation.judged-by-words", error=str(error))
        missing = scores.count(None)
        if missing == 0:
            return scores, None
        return scores, Reason("generation.sentences-without-vectors", n=missing, of=len(found))


def _units(candidate: Candidate) -> list[Unit]:
    """The units of each passage that the text was joined from; the gaps between them were not stored."""
    found: dict[tuple[int, int], Unit] = {}
    for part in parts_of(candidate):
        offset = part.start - candidate.chunk.start
        for unit in units(part.text, {part.title, *part.headings}):
            moved = _moved(unit, offset)
            if moved.span[0] >= 0 and moved.span[1] <= len(candidate.text):
                found.setdefault(moved.span, moved)
    return list(found.values())


def _moved(unit: Unit, by: int) -> Unit:
    if not by:
        return unit
    span, lead, before = (
        None if one is None else (one[0] + by, one[1] + by) for one in (unit.span, unit.lead, unit.before)
    )
    return replace(unit, span=span or unit.span, lead=lead, before=before)


def _heading(candidate: Candidate, unit: Unit) -> str:
    """Title and headings over a unit."""
    context = candidate.chunk.context
    return f"{context} › {unit.heading}" if unit.heading and unit.heading not in context else context
