"""One question's passages going through a cross-encoder: windows, scores kept, and what was not read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from rerank.base import flagged
from rerank.cross.windows import Window, cut, read, shortened_to
from rerank.llm.budget import Meter
from rerank.score_memory import ScoreMemory, text_key
from storage.cancellation import stop_if_cancelled
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Status, Usage

if TYPE_CHECKING:
    from rerank.cross.models import PairModel

# Passages that are read before the model is asked whether it is sure.
_AT_ONCE = 4
# Tokens of the part in which a passage is read once more: about what passages of MS MARCO have at most, of
# which most cross-encoders learned.
_CLOSE = 96
# Where many questions wait, this many passages are read, and of each one part of this many tokens.
_FEW, _PART = 2, 64
# A question longer than this share of the model's input would leave no room for the passage.
_QUESTION_SHARE = 0.5

# How near places (number of the candidate, characters of its text) are to a question; None where not known.
Near = Callable[[str, Sequence[Candidate], Sequence[tuple[int, tuple[int, int]]]], Sequence[float | None]]


class WindowReading:
    """The best windows of one question's passages, and what did not go as requested.

    At most `windows` of a passage are read, of `size` tokens at most: those that `near` puts first, or the
    first. `spans` has the best window of each candidate (by position) that has several, or was read closer.
    """

    def __init__(
        self,
        model: PairModel,
        memory: ScoreMemory,
        meter: Meter,
        *,
        windows: int,
        size: int | None = None,
        near: Near | None = None,
        sure: float | None = None,
        closer: int = 0,
    ) -> None:
        self.spans: dict[int, tuple[int, int]] = {}
        self._model = model
        self._memory = memory
        self._meter = meter
        self._windows = windows
        self._size = size
        self._near = near
        self._sure = sure
        self._closer = closer
        self._illegible = 0
        self._illegible_question = False
        self._cut_passages = 0
        self._cut_question = False
        self._out_of_time = False
        self._cached = 0
        self._not_needed = 0
        self._waiting = 0
        self._in_part = 0

    def logits(self, query: str, candidates: Sequence[Candidate]) -> list[float | None]:
        """All candidates' log-odds. Runs in a worker thread."""
        model = self._model
        if not model.reads(query):
            self._illegible_question = True
            return [None] * len(candidates)
        if self._sure is not None and self._near is not None and model.passes.crowded:
            self._in_part, self._size, self._windows = model.passes.waiting, _PART, 1
        available = model.max_tokens - model.overhead
        query, self._cut_question = shortened_to(model.tokenizer, query, int(available * _QUESTION_SHARE))
        room = available - len(model.tokenizer.encode(query, add_special_tokens=False).ids)
        own = self._legible_windows(candidates, room)
        found = self._read(query, candidates, own)
        logits: list[float | None] = []
        for number, candidate in enumerate(candidates):
            scores = found.get(number, {})
            best = _best(list(scores.values()))
            logits.append(best)
            if best is not None and len(own[number]) > 1:
                window = next(window for window, score in scores.items() if score is best)
                self.spans[number] = _in_passage(window, candidate)
        settled = self._out_of_time or self._waiting or self._in_part or self._is_sure(logits)
        if self._closer and not model.together and not settled:
            self._read_closer(query, candidates, own, logits, room)
        return logits

    def _read_closer(
        self,
        query: str,
        candidates: Sequence[Candidate],
        own: Sequence[Sequence[Window]],
        logits: list[float | None],
        room: int,
    ) -> None:
        """Replace the log-odds of the best by the mean with those of their nearest part.

        A model that learned from short passages overlooks the one sentence that answers in a long one.
        """
        ranked = sorted((-score, number) for number, score in enumerate(logits) if score is not None)
        best = [number for _, number in ranked[: self._closer] if len(own[number]) == 1]
        texts = {number: candidates[number].chunk.encoded_text for number in best}
        tokens = dict(zip(best, self._model.tokenized(list(texts.values())), strict=True))
        parts = {
            number: cut(number, texts[number], _context(candidates[number]), tokens[number], room, _CLOSE)
            for number in best
        }
        several = [number for number in best if len(parts[number]) > 1]
        nearest = self._nearest(query, [candidates[n] for n in several], [parts[n] for n in several], 1)
        chosen = {
            number: [parts[number][places[0]]]
            for number, places in zip(several, nearest, strict=True)
            if places
        }
        for number, scores in self._scored(query, candidates, chosen).items():
            (window, score), whole = *scores.items(), logits[number]
            if score is not None and whole is not None:
                logits[number] = (whole + score) / 2
                self.spans[number] = _in_passage(window, candidates[number])

    def _legible_windows(self, candidates: Sequence[Candidate], room: int) -> list[list[Window]]:
        """The windows of each candidate; none of one that the model cannot read."""
        texts = [candidate.chunk.encoded_text for candidate in candidates]
        tokens = self._model.tokenized(texts)
        legible = self._model.legible(texts, tokens)
        self._illegible = legible.count(False)
        return [
            cut(number, texts[number], _context(candidate), tokens[number], room, self._size)
            if legible[number]
            else []
            for number, candidate in enumerate(candidates)
        ]

    def _read(
        self, query: str, candidates: Sequence[Candidate], own: Sequence[Sequence[Window]]
    ) -> dict[int, dict[Window, float | None]]:
        """The log-odds of the windows that were to be read, by candidate, from the cache or the model.

        None where time was up.
        """
        needed = [number for number, windows in enumerate(own) if windows]
        few = _FEW if self._in_part else _AT_ONCE
        size = len(needed) if self._sure is None or self._model.together else few
        found: dict[int, dict[Window, float | None]] = {}
        while needed and not self._out_of_time:
            now, needed = needed[:size], needed[size:]
            scores = self._scored(query, candidates, self._chosen(query, candidates, own, now))
            found |= scores
            if any(self._is_sure(by.values()) for by in scores.values()):
                self._not_needed, needed = len(needed), []
            elif needed and self._model.passes.crowded:
                self._waiting, self._not_needed, needed = self._model.passes.waiting, len(needed), []
        return found

    def _is_sure(self, logits: Iterable[float | None]) -> bool:
        """True where one of them reaches `sure`."""
        sure = math.inf if self._sure is None else self._sure
        return any(logit is not None and logit >= sure for logit in logits)

    def _chosen(
        self, query: str, candidates: Sequence[Candidate], own: Sequence[Sequence[Window]], now: Sequence[int]
    ) -> dict[int, list[Window]]:
        """The windows that are read of these candidates, in the order of the text."""
        long = [number for number in now if len(own[number]) > self._windows]
        chosen = {number: list(own[number][: self._windows]) for number in now}
        passages, windows = [candidates[number] for number in long], [own[number] for number in long]
        nearest = self._nearest(query, passages, windows, self._windows)
        for number, places in zip(long, nearest, strict=True):
            if places is None:
                self._cut_passages += 1
            else:
                chosen[number] = [own[number][place] for place in sorted(places)]
        return chosen

    def _nearest(
        self, query: str, candidates: Sequence[Candidate], own: Sequence[Sequence[Window]], most: int
    ) -> list[list[int] | None]:
        """The positions of each candidate's nearest windows, `most` of them; None where unknown."""
        if self._near is None or not candidates:
            return [None] * len(candidates)
        spans = [
            [_in_passage(window, one) for window in mine] for one, mine in zip(candidates, own, strict=True)
        ]
        places = [(number, span) for number, mine in enumerate(spans) for span in mine]
        scores = iter(self._near(query, candidates, places))
        nearest: list[list[int] | None] = []
        for mine in own:
            near = [next(scores) for _ in mine]
            known = [(score, -place) for place, score in enumerate(near) if score is not None]
            best = sorted(known, reverse=True)[:most]
            nearest.append([-place for _, place in best] if len(best) == most else None)
        return nearest

    def _scored(
        self, query: str, candidates: Sequence[Candidate], chosen: Mapping[int, Sequence[Window]]
    ) -> dict[int, dict[Window, float | None]]:
        """The log-odds of these windows."""
        pieces = {
            window: read(window, candidates[number].chunk.encoded_text, _context(candidates[number]))
            for number, windows in chosen.items()
            for window in windows
        }
        keys = {window: text_key(piece) for window, piece in pieces.items()}
        kept = self._memory.known(list(dict.fromkeys(keys.values())))
        known = dict(kept)
        self._pass(query, {key: pieces[window] for window, key in keys.items() if key not in known}, known)
        self._cached += sum(key in kept for key in keys.values())
        self._memory.keep({key: score for key, score in known.items() if key not in kept})
        return {number: {w: known.get(keys[w]) for w in windows} for number, windows in chosen.items()}

    def _pass(self, query: str, pieces: Mapping[str, str], known: dict[str, float]) -> None:
        """Add the log-odds of the pieces, by key.

        Equal pieces are read once: in different places of a batch they would differ in the last digit.
        """
        if not pieces:
            return
        places = list(pieces)
        with closing(self._model.scored(query, list(pieces.values()))) as passes:
            for scores in passes:
                known.update((places[place], logit) for place, logit in scores)
                if self._meter.remaining_s <= 0:
                    self._out_of_time = True
                    break
                stop_if_cancelled()

    def outcome(self, name: str, logits: Sequence[float | None]) -> Outcome:
        """The outcome of the stage, once the passages are read."""
        outcome, total = Outcome(name, usage=Usage(cached=self._cached)), len(logits)
        if self._illegible_question:
            return flagged(outcome, "fallback", Reason("rerank.question-illegible"))
        status: Status = "fallback" if logits.count(None) == total else "partial"
        if self._illegible:
            reason = Reason("rerank.passages-illegible", count=self._illegible, total=total)
            outcome = flagged(outcome, status, reason)
        if self._out_of_time:
            unread, why = logits.count(None) - self._illegible - self._not_needed, Reason("rerank.time-is-up")
            if unread:
                reason = Reason("rerank.passages-not-read", count=unread, total=total, reason=why)
                outcome = flagged(outcome, status, reason)
            elif self._closer:
                outcome = flagged(outcome, status, Reason("rerank.not-read-closer", reason=why))
        if self._waiting:
            why = Reason("rerank.many-wait", count=self._waiting)
            reason = Reason("rerank.passages-not-read", count=self._not_needed, total=total, reason=why)
            outcome = flagged(outcome, "partial", reason)
        if self._in_part:
            outcome = flagged(outcome, "partial", Reason("rerank.read-in-part", count=self._in_part))
        if self._cut_question:
            outcome = flagged(outcome, "partial", Reason("rerank.question-cut"))
        if self._cut_passages:
            reason = Reason("rerank.windows-not-read", count=self._cut_passages, windows=self._windows)
            outcome = flagged(outcome, "partial", reason)
        if self._cached:
            outcome = flagged(outcome, "ok", Reason("rerank.scores-cached", count=self._cached))
        return self._memory.flagged(outcome)


def _context(candidate: Candidate) -> int:
    """The characters of title and headings that the model reads before the passage's own text."""
    return len(candidate.chunk.encoded_text) - len(candidate.text)


def _best(logits: Sequence[float | None]) -> float | None:
    """The highest, NaN being the lowest; None where one is missing or there is none."""
    numbers = [logit for logit in logits if logit is not None]
    if not numbers or len(numbers) < len(logits):
        return None
    return max(numbers, key=lambda number: -math.inf if math.isnan(number) else number)


def _in_passage(window: Window, candidate: Candidate) -> tuple[int, int]:
    """A window of the encoded text as characters of the passage's own text."""
    before = _context(candidate)
    return max(0, window.start - before), max(0, window.end - before)
