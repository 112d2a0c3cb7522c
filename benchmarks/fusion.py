"""Compare fusions of the legs: which one is never worse than the better leg?

    python -P benchmarks/fusion.py DATA_FOLDER [--data-dir .winnow]

DATA_FOLDER holds the sets below in BEIR's layout: squad-dev in two halves, cranfield, nq-oracle and the pool
to choose from, rgb/en_fact, noveleval and covidqa-long to see what becomes of the choice elsewhere.
Both legs and late interaction are run once for each set and kept; all fusions are computed from the same
lists, over at most 2,500 questions of a part.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.qdrant.contract import DENSE, LEXICAL
from storage.vectors import Leg
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.lab.evaluation import CorpusIndex, Dataset, load_dataset, measured

DEPTH = 50
QUESTIONS = 2_500
SETS = (
    "squad-dev", "cranfield", "nq-oracle", "trec-dl19-pool", "rgb/en_fact", "noveleval", "covidqa-long",
)  # fmt: skip
Scores = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Lists:
    """One question's hits: passage → score, best first, and the document of each passage."""

    dense: Scores
    lexical: Scores
    late: Scores
    documents: Mapping[str, str]


Fusion = Callable[[Sequence[Scores]], Scores]


def rrf(k: int, *weights: float) -> Fusion:
    """Σ weight / (k + rank)."""

    def fuse(lists: Sequence[Scores]) -> Scores:
        fused: dict[str, float] = {}
        for weight, hits in zip(weights, lists, strict=True):
            for rank, name in enumerate(hits, start=1):
                fused[name] = fused.get(name, 0.0) + weight / (k + rank)
        return fused

    return fuse


def convex(normalise: Callable[[Scores], Scores], *weights: float, missing: float | None = None) -> Fusion:
    """Σ weight · normalised score; what a leg did not find has `missing` (None: that leg's lowest)."""

    def fuse(lists: Sequence[Scores]) -> Scores:
        names = list(dict.fromkeys(name for hits in lists for name in hits))
        fused = dict.fromkeys(names, 0.0)
        for weight, hits in zip(weights, lists, strict=True):
            scaled = normalise(hits)
            lowest = min(scaled.values(), default=0.0) if missing is None else missing
            for name in names:
                fused[name] += weight * scaled.get(name, lowest)
        return fused

    return fuse


def min_max(hits: Scores) -> Scores:
    """From 0 (the last hit) to 1 (the first)."""
    low, high = min(hits.values(), default=0.0), max(hits.values(), default=0.0)
    return {name: (score - low) / (high - low) if high > low else 1.0 for name, score in hits.items()}


def by_max(hits: Scores) -> Scores:
    """Divided by the best score: 0 means no similarity at all."""
    high = max(hits.values(), default=0.0)
    return {name: max(0.0, score) / high if high > 0 else 0.0 for name, score in hits.items()}


def z_score(hits: Scores) -> Scores:
    """Mean 0, deviation 1."""
    if len(hits) < 2:
        return dict.fromkeys(hits, 0.0)
    mean, spread = statistics.fmean(hits.values()), statistics.pstdev(hits.values())
    return {name: (score - mean) / spread if spread else 0.0 for name, score in hits.items()}


def dbsf(hits: Scores) -> Scores:
    """Qdrant's distribution-based fusion: mean ± 3 deviations become 0 and 1."""
    return {name: (score + 3) / 6 for name, score in z_score(hits).items()}


def shares(hits: Scores) -> Scores:
    """Shares of 1 by height above the last hit, or above 0 where a leg ended by itself."""
    floor = min(hits.values()) if len(hits) == DEPTH else 0.0
    total = sum(score - floor for score in hits.values())
    return {name: (score - floor) / total if total > 0 else 1 / len(hits) for name, score in hits.items()}


DEFAULT = convex(shares, 0.6, 0.4, missing=0.0)
LATE_WEIGHTS = ((1, 0), (0, 0.25), (0.15, 0.15), (0.3, 0.3), (0.4, 0.4), (0.5, 0.5), (0.6, 0.6), (0.5, 0.25))


def legs_of(index: CorpusIndex, wiring: Wiring, dataset: Dataset, path: Path) -> Iterator[Lists]:
    """Both legs and late interaction over their union, for every question; kept in a file."""
    if not path.exists():
        index.cut()
        index.make_findable()
        index.encode()
        draft = path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            for start in range(0, len(dataset.questions), 64):
                for lists in _searched(index, wiring, dataset, start):
                    file.write(json.dumps(lists) + "\n")
        draft.replace(path)
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Lists(*json.loads(line))


def _searched(index: CorpusIndex, wiring: Wiring, dataset: Dataset, start: int) -> Iterator[list[Scores]]:
    questions = dataset.questions[start : start + 64]
    encoded = wiring.encoder.encode_passages([question.text for question in questions], tokens=True)
    for question, encoding in zip(questions, encoded, strict=True):
        legs = [Leg(DENSE, encoding.dense), Leg(LEXICAL, wiring.lexical.encode_query(question.text))]
        dense, lexical = index.search(legs, DEPTH)
        chunks = {hit.chunk.id: hit.chunk.document_id for hit in [*dense, *lexical]}
        assert encoding.tokens is not None
        late = index.max_sim(encoding.tokens, list(chunks))
        yield [
            {hit.chunk.id: hit.score for hit in dense},
            {hit.chunk.id: hit.score for hit in lexical},
            dict(sorted(late.items(), key=lambda pair: -pair[1])),
            chunks,
        ]


def figures(
    dataset: Dataset, lists: Sequence[Lists], order: Callable[[Lists], Scores]
) -> tuple[float, float]:
    """nDCG@10 and MRR@10 of an order over passages, folded into documents."""
    rankings = {}
    for question, found in zip(dataset.questions, lists, strict=True):
        scores = order(found)
        ranked = sorted(scores, key=lambda name: (-scores[name], name))
        rankings[question.id] = list(dict.fromkeys(found.documents[name] for name in ranked))[:10]
    values = measured(dataset.qrels.grades, rankings).values()
    ndcg, mrr, _, _ = (statistics.fmean(column) for column in zip(*values, strict=True))
    return ndcg, mrr


def two_legs() -> dict[str, Fusion]:
    """The fusions considered for the default: dense first, lexical second."""
    found: dict[str, Fusion] = {f"rrf k={k}": rrf(k, 1, 1) for k in (10, 20, 60)}
    found["rrf k=60 dense 0.4"] = rrf(60, 0.4, 0.6)
    for name, normalise in (("min-max", min_max), ("by max", by_max), ("z", z_score)):
        for share in (0.5, 0.6, 0.65, 0.7):
            found[f"{name} dense {share}"] = convex(normalise, share, 1 - share)
    for share in (0.5, 0.6, 0.65, 0.7):
        found[f"shares dense {share}"] = convex(shares, share, 1 - share, missing=0.0)
    for share in (0.5, 0.6):
        found[f"dbsf dense {share}"] = convex(dbsf, share, 1 - share, missing=0.0)
    return found


def with_late() -> dict[str, Callable[[Lists], Scores]]:
    """Late interaction over the best of the default fusion, alone and with the legs."""
    found: dict[str, Callable[[Lists], Scores]] = {"late interaction": lambda lists: of_the_best(lists)[0]}
    fusions = {
        f"{name}: late + {dense} dense + {lexical} lexical": convex(normalise, 1, dense, lexical)
        for name, normalise in (("z", z_score), ("by max", by_max))
        for dense, lexical in LATE_WEIGHTS
    }
    fusions["rrf k=60: late + dense + lexical"] = rrf(60, 1, 1, 1)
    for name, fuse in fusions.items():
        found[name] = lambda lists, fuse=fuse: fuse(of_the_best(lists))
    return found


def of_the_best(lists: Lists) -> list[Scores]:
    """Late interaction and both legs, of the passages that the default fusion hands on."""
    scores = DEFAULT([lists.dense, lists.lexical])
    best = set(sorted(scores, key=lambda name: (-scores[name], name))[:DEPTH])
    return [
        {name: score for name, score in hits.items() if name in best}
        for hits in (lists.late, lists.dense, lists.lexical)
    ]


def parts(data: Path, wiring: Wiring) -> Iterator[tuple[str, Dataset, list[Lists]]]:
    """Each set with its lists; squad-dev in two halves, by the parity of the question's place."""
    root = wiring.settings.data_dir / "evaluation" / "corpora"
    for name in SETS:
        qrels = data / name / "qrels.full.trec"
        dataset = load_dataset(data / name, qrels=qrels if qrels.exists() else None)
        assert dataset.corpus is not None
        index = CorpusIndex.open(dataset.corpus, root, wiring.encoder, wiring.lexical)
        try:
            lists = list(legs_of(index, wiring, dataset, index.cache.path.with_name("fusion.jsonl")))
        finally:
            index.close()
        if name != "squad-dev":
            yield name, dataset, lists
            continue
        for half in (0, 1):
            step = 2 * max(1, round(len(lists) / 2 / QUESTIONS))
            picked = Dataset(f"{name}/{half + 1}", dataset.questions[half::step], dataset.qrels)
            yield picked.name, picked, lists[half::step]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--data-dir", type=Path, default=Path(".winnow"))
    chosen = parser.parse_args()
    wiring = Wiring(Settings.load(data_dir=chosen.data_dir))
    for name, dataset, lists in parts(chosen.data, wiring):
        print(f"\n{name}: {len(lists)} questions (nDCG@10, MRR@10; against the better leg)")
        dense = figures(dataset, lists, lambda found: found.dense)
        lexical = figures(dataset, lists, lambda found: found.lexical)
        best = [max(pair) for pair in zip(dense, lexical, strict=True)]
        show("dense", dense, best)
        show("lexical", lexical, best)
        for label, fuse in two_legs().items():
            show(
                label,
                figures(dataset, lists, lambda found, fuse=fuse: fuse([found.dense, found.lexical])),
                best,
            )
        late = figures(dataset, lists, lambda found: of_the_best(found)[0])
        print("  late interaction over the best 50 of the default fusion, and what it is fused with:")
        for label, order in with_late().items():
            show(label, figures(dataset, lists, order), late)


def show(label: str, values: Sequence[float], against: Sequence[float]) -> None:
    """One line: figures, and differences."""
    pairs = list(zip(values, against, strict=True))
    both = " ".join(f"{value:.4f} ({value - other:+.4f})" for value, other in pairs)
    worse = any(value < other - 1e-9 for value, other in pairs)
    print(f"  {label:42s} {both}{'  worse' if worse else ''}", flush=True)


if __name__ == "__main__":
    main()
