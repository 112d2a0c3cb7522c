"""The calibrated probability that the best unit answers the question, from a few signs.

Besides the judge's score: what of the question the passage lacks (names, numbers and codes above all, which
tell a near miss from an answer), and whether the unit holds what the question asks for (a number for "how
many" and 多少, a date for "when"). The weights are those of a logistic regression: docs/answers.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from operator import mul
from typing import Protocol

from generation.extractive.judging import Found
from generation.extractive.kinds import asked, is_named, values
from generation.extractive.scoring import ASKING
from generation.language import language_of
from storage.reasons import Language

# Units of other passages oppose if their score is at most this much less: in log-odds, and on the scale of
# vectors and words.
NEAR_LOG_ODDS, NEAR_SCORE = 4.0, 0.1

_TOKEN = re.compile(r"[A-Za-z0-9][\w.+#@/-]*[\w+#]|[A-Za-z0-9]")
_QUOTED = re.compile(r"[《“「『\"]([^》”」』\"]{2,40})[》”」』\"]")
_STOP = frozenset(
    re.findall(
        r"\w+",
        """
        a about all also an and any are as at be been being by call called can could did do does done far
        first for from had happen happens has have he her his how if in into is it its kind long many may mean
        means might much must my name named no not of old on or our out over she should so some than that the
        their then there these they this those to type up use used using was we were what when where which who
        whom whose why will with would you your i
        """,
    )
)


@dataclass(frozen=True, slots=True)
class Signs:
    """The evidence for and against a unit as the answer to a question, or a weight for each piece of it.

    `score` is the judge's, `cosine` that of the unit's own vector (0 where nobody asked), `words` the share
    of the question's words in the unit. `names` counts names of the question that the passage lacks, numbers
    and codes twice; `lacking` is the share of its other words. `untyped` is 1 where the question asks for a
    date, number, person or place and the unit has none (`kinds`), and part of it for part of a date; the
    cross-encoder's score counts that already, so that its weight is 0.
    `opposing` counts the passages whose best unit is nearly as good and holds other things of that kind.
    `verified` is what a `Verifier` says of the unit, in log-odds; None where none read it.
    """

    score: float
    cosine: float = 0.0
    words: float = 0.0
    names: float = 0.0
    lacking: float = 0.0
    untyped: float = 0.0
    opposing: float = 0.0
    verified: float | None = None


class Verifier(Protocol):
    """Tells how likely quotations answer their question."""

    def reads(self, text: str) -> bool:
        """True for a question that it can read."""
        ...

    def log_odds(self, question: str, texts: Sequence[str]) -> list[float]:
        """The log-odds for each text, read with its heading."""
        ...


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression over `Signs`.

    Below the probability `abstains` there is no answer, below `doubts` the answer is a weak match; from
    `suffices` on one unit is enough.
    """

    signs: Signs
    start: float
    abstains: float
    doubts: float
    suffices: float

    def probability(self, signs: Signs) -> float:
        """The probability that the unit answers the question."""
        logit = self.start + sum(map(mul, _values(self.signs), _values(signs)))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


# For the cross-encoder's log-odds; for vectors and words (multilingual-e5-small's).
CROSS_ENCODER = Weights(
    Signs(score=0.4, words=1.1, names=-0.87, lacking=-0.47, opposing=-0.49),
    start=-2.58,
    abstains=0.07,
    doubts=0.6,
    suffices=0.85,
)
MEANING: Mapping[Language, Weights] = {
    "en": Weights(
        Signs(score=3.78, cosine=30.15, names=-0.59, lacking=-0.24, untyped=-0.37, words=2.38),
        start=-29.5,
        abstains=0.12,
        doubts=0.6,
        suffices=0.95,
    ),
    "zh": Weights(
        Signs(score=5.06, cosine=12.6, names=-1.6, lacking=-2.08, untyped=-0.5, words=3.0),
        start=-15.0,
        abstains=0.1,
        doubts=0.6,
        suffices=0.95,
    ),
}

# Where a verifier read the unit, the Chinese weights and its log-odds, both weighed: docs/answers.md.
VERIFIED = Weights(
    Signs(score=1.29, cosine=3.2, names=-0.41, lacking=-0.53, untyped=-0.13, words=0.76, verified=0.6),
    start=-4.86,
    abstains=0.02,
    doubts=0.6,
    suffices=0.9,
)


def _values(signs: Signs) -> list[float]:
    return [value or 0.0 for value in astuple(signs)]


def weights_for(question: str, by_cross_encoder: bool, *, verified: bool = False) -> Weights:
    """The weights of the judge that scored a question's units, and of a verifier that read the first."""
    if verified:
        return VERIFIED
    return CROSS_ENCODER if by_cross_encoder else MEANING[language_of(question)]


def signs(
    question: str, ranked: Sequence[Found], passage: str, *, score: float, by_cross_encoder: bool
) -> Signs:
    """The signs of the first of the ranked units.

    `passage` is all that is around it, with title and headings.
    """
    best = ranked[0]
    there = passage.casefold()
    names = _names(question)
    return Signs(
        score=score,
        cosine=best.cosine or 0.0,
        words=best.by_words,
        names=_missing(names, there),
        lacking=_lacking(question, there),
        untyped=1.0 - best.fit,
        opposing=float(_opposing(question, ranked, NEAR_LOG_ODDS if by_cross_encoder else NEAR_SCORE)),
    )


def _opposing(question: str, ranked: Sequence[Found], near: float) -> int:
    """Count the passages that hold other things of the kind asked for, in a unit at most `near` worse."""
    kind = asked(question)
    best, seen = ranked[0], {ranked[0].passage}
    own = values(kind, best.shown, question) if kind else frozenset()
    opposing = 0
    for one in ranked[1:]:
        if kind is None or not own or one.passage in seen or one.score < best.score - near:
            continue
        seen.add(one.passage)
        said = values(kind, one.shown, question)
        opposing += bool(said) and own.isdisjoint(said)
    return opposing


def _missing(names: Iterable[str], there: str) -> float:
    """The weight of the names that a text lacks, at most 3."""
    return min(3.0, sum(_weight(name) for name in names if not is_named(name, there)))


def _names(question: str) -> set[str]:
    """Names, numbers, codes and titles of a question, case-folded."""
    found = {match[1].casefold() for match in _QUOTED.finditer(question)}
    chinese = language_of(question) == "zh"
    for at, token in enumerate(_TOKEN.findall(question)):
        own = token[:-2] if token.endswith(("'s", "’s")) else token
        marked = any(letter.isdigit() for letter in own) or any(letter.isupper() for letter in own[1:])
        marked = marked or any(sign in own for sign in "._/@#")
        capital = own[0].isupper() and at > 0
        if own.isdigit() and len(own) == 1:
            continue  # often spelt out
        if (chinese and len(own) > 1) or marked or (capital and own.casefold() not in _STOP):
            found.add(own.casefold().rstrip("."))
    return found


def _weight(name: str) -> float:
    """A number or code that is missing tells more than a name: names are written in several ways."""
    return 2.0 if any(letter.isdigit() for letter in name) else 1.0


def _lacking(question: str, there: str) -> float:
    """The share (0 to 1) of the question's other words, or pairs of Chinese characters, that is missing."""
    if language_of(question) == "zh":
        parts = [part for part in re.split(r"[^\u3400-\u9fff]+", ASKING.sub(" ", question)) if len(part) > 1]
        pairs = {part[at : at + 2] for part in parts for at in range(len(part) - 1)}
        return sum(pair not in there for pair in pairs) / len(pairs) if pairs else 0.0
    words = {_stem(word) for word in re.findall(r"[a-z]{2,}", question.casefold()) if word not in _STOP}
    return sum(word not in there for word in words) / len(words) if words else 0.0


def _stem(word: str) -> str:
    """A beginning that most forms of a word share."""
    return word[: max(4, len(word) - 3)] if len(word) > 4 else word
