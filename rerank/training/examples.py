"""Turns training records into examples for a cross-encoder: pairs, pairs of passages, or whole lists.

Without torch, so that examples can be inspected, counted and tested without it.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

from rerank.training.duplicates import folded
from rerank.training.records import LabelledPassage, TrainingRecord
from storage.errors import BadInputError

Objective = Literal["bce", "margin-mse", "listwise", "lambda"]

# The typical margin of a trained cross-encoder between a positive and a negative, in log-odds.
_MARGIN = 4.0

_MINE = "Give passages that do not answer as well: winnow mine finds them."


@dataclass(frozen=True, slots=True)
class Examples:
    """Columns of equal length, as the objective's loss reads them; `label` is the target.

    `languages` has each row's. `pairs` counts the question-passage pairs that one epoch reads, repeated ones
    included. `scale` is the factor applied to teachers' scores. `left_out` counts records by reason.
    """

    columns: Mapping[str, list[Any]]
    languages: Sequence[str]
    pairs: int
    pos_weight: float = 1.0
    scale: float = 1.0
    learned_from: str = "labels"
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.columns["label"])


def examples(records: Sequence[TrainingRecord], objective: Objective) -> Examples:
    """The examples of an objective. Raises BadInputError where there is nothing to learn.

    - `bce`: every pair with its label from 0 to 1; `pos_weight` is the ratio of negatives to positives.
    - `margin-mse`: a positive, another passage, and a teacher's preference for the first (Hofstätter et
      al. 2020, arXiv 2010.02666): its scores where the records have any, else the labels. Teachers' scales
      differ, so margins are scaled to 4 log-odds in the quadratic mean.
    - `listwise`: a question's passages with a distribution over them, whose Kullback-Leibler divergence is
      the loss (ListNet: Cao et al. 2007): the softmax of a teacher's scores, scaled as above, or of labels
      where it did not score them all.
    - `lambda`: a question's passages with their labels, together (LambdaLoss: Wang et al. 2018).
    """
    made = _FORMS[objective](records)
    if not made.rows:
        raise BadInputError("no record has both a passage that answers and one that does not", way_out=_MINE)
    return made


def deduplicated(records: Iterator[TrainingRecord]) -> tuple[list[TrainingRecord], Counter[str]]:
    """Each passage once per question, under its first label; and counts of what was left out, by reason."""
    known: dict[tuple[str, str], float] = {}
    kept, dropped = [], Counter[str]()
    for record in records:
        passages = []
        for passage in record.passages:
            key = (_hash(folded(record.query)), _hash(folded(passage.text)))
            label = record.relevance(passage)
            if key not in known:
                known[key] = label
                passages.append(passage)
            elif known[key] == label:
                dropped["passages given twice"] += 1
            else:
                dropped["passages labelled twice, differently"] += 1
        if passages:
            kept.append(replace(record, passages=tuple(passages)))
    return kept, dropped


def split(
    records: Sequence[TrainingRecord], share: float, most: int, seed: int
) -> tuple[list[TrainingRecord], list[TrainingRecord]]:
    """Split into training records and dev records: about a `share` of the questions, at most `most`.

    All records of a question are on the same side. Dev questions have a positive and a negative, without
    which a ranking cannot be measured. The choice depends on question and seed alone, not on the order of
    files.
    """
    drawn = {}
    for record in records:
        if record.positives and record.negatives:
            drawn[folded(record.query)] = _draw(record.query, seed)
    dev = {query for query, number in drawn.items() if number < share}
    if len(dev) > most:
        dev = set(sorted(dev, key=lambda query: drawn[query])[:most])
    train = [record for record in records if folded(record.query) not in dev]
    return train, [record for record in records if folded(record.query) in dev]


def question_digest(query: str) -> str:
    """A short hash of a question that ignores typography."""
    return hashlib.sha256(folded(query).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _pairs(records: Sequence[TrainingRecord]) -> Examples:
    rows = [(r.query, p.text, r.relevance(p)) for r in records for p in r.passages]
    languages = [record.language for record in records for _ in record.passages]
    good = sum(label for *_, label in rows)
    if good == 0 or good == len(rows):
        kind = "answers its question" if good == 0 else "fails to"
        raise BadInputError(f"of {len(rows)} passages none {kind}: there is nothing to learn", way_out=_MINE)
    return Examples(
        {"query": [r[0] for r in rows], "passage": [r[1] for r in rows], "label": [r[2] for r in rows]},
        languages,
        pairs=len(rows),
        pos_weight=max(1.0, (len(rows) - good) / good),
    )


def _margins(records: Sequence[TrainingRecord]) -> Examples:
    taught = any(passage.score is not None for record in records for passage in record.passages)
    rows: list[tuple[str, str, str, float]] = []
    languages: list[str] = []
    left_out = Counter[str]()
    for record in records:
        found = list(_preferences(record, taught))
        rows += found
        languages += [record.language] * len(found)
        if not found:
            left_out["without two passages to compare" + (" that have scores" if taught else "")] += 1
    scale = _scale([margin for *_, margin in rows])
    return Examples(
        {
            "query": [row[0] for row in rows],
            "better": [row[1] for row in rows],
            "other": [row[2] for row in rows],
            "label": [row[3] * scale for row in rows],
        },
        languages,
        pairs=2 * len(rows),
        scale=scale,
        learned_from="scores" if taught else "labels",
        left_out=left_out,
    )


def _preferences(record: TrainingRecord, taught: bool) -> Iterator[tuple[str, str, str, float]]:
    """Every positive against all other passages; without a positive, the teacher's best takes its place."""

    def value(passage: LabelledPassage) -> float:
        return (passage.score or 0.0) if taught else record.relevance(passage)

    usable = [passage for passage in record.passages if not taught or passage.score is not None]
    good = [passage for passage in usable if passage in record.positives]
    if not good and usable:
        good = [max(usable, key=value)]
    others = [passage for passage in usable if passage not in good]
    for better, other in product(good, others):
        yield record.query, better.text, other.text, value(better) - value(other)


def _distributions(records: Sequence[TrainingRecord]) -> Examples:
    """Targets in log-odds: a teacher's scores where it scored all passages of a question, else labels."""
    scored = [_scores(record) for record in records]
    scale = _scale([max(own) - score for own in scored for score in own if score < max(own)])
    targets = [
        [score * scale for score in own] or [_MARGIN * record.relevance(one) for one in record.passages]
        for record, own in zip(records, scored, strict=True)
    ]
    rows = [(record, own) for record, own in zip(records, targets, strict=True) if len(set(own)) > 1]
    taught = sum(bool(own) for own in scored)
    sources = {"scores": taught, "labels": len(records) - taught}
    left_out = {"without passages that differ": len(records) - len(rows)}
    return Examples(
        {
            "query": [record.query for record, _ in rows],
            "passages": [[passage.text for passage in record.passages] for record, _ in rows],
            "label": [own for _, own in rows],
        },
        [record.language for record, _ in rows],
        pairs=sum(len(own) for _, own in rows),
        scale=scale,
        learned_from=" and ".join(source for source, count in sources.items() if count),
        left_out={reason: count for reason, count in left_out.items() if count},
    )


def _scores(record: TrainingRecord) -> list[float]:
    """A teacher's scores, or none where it did not score all passages."""
    scores = [passage.score for passage in record.passages if passage.score is not None]
    return scores if len(scores) == len(record.passages) else []


def _scale(margins: Sequence[float]) -> float:
    """The factor that makes margins typical ones in the quadratic mean."""
    size = math.sqrt(sum(margin**2 for margin in margins) / len(margins)) if margins else 0.0
    return _MARGIN / size if size else 1.0


def _lists(records: Sequence[TrainingRecord]) -> Examples:
    rows = [record for record in records if len({passage.label for passage in record.passages}) > 1]
    left_out = {"without passages of different labels": len(records) - len(rows)}
    return Examples(
        {
            "query": [record.query for record in rows],
            "passages": [[passage.text for passage in record.passages] for record in rows],
            "label": [[record.relevance(passage) for passage in record.passages] for record in rows],
        },
        [record.language for record in rows],
        pairs=sum(len(record.passages) for record in rows),
        left_out={reason: count for reason, count in left_out.items() if count},
    )


_FORMS = {"bce": _pairs, "margin-mse": _margins, "listwise": _distributions, "lambda": _lists}


def _draw(query: str, seed: int) -> float:
    """A pseudo-random number from 0 to 1, from question and seed."""
    digest = hashlib.sha256(f"{seed}\0{folded(query)}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
