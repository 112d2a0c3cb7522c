"""Measures how often the extractive answerer is right at each confidence, and fits its weights.

    python -P benchmarks/answer_confidence.py SET... [--questions N] [--rerank fast] [--fit] [--svg FILE]

SET is a folder in BEIR's layout whose questions have gold answers. Each question is asked twice: with its
best five passages, and with the best five that are neither relevant nor hold a gold answer, so that half of
the cases have none. Right is where the first quotation holds a gold answer. --fit prints the weights of a
logistic regression over these cases, for `generation/extractive/confidence.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from generation.extractive.answerer import ExtractiveAnswerer
from generation.extractive.confidence import Signs
from storage.records import Candidate
from winnow.app import portal
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.lab.datasets.dataset import Dataset, Question
from winnow.lab.datasets.matching import contains
from winnow.lab.evaluation import load_dataset
from winnow.lab.evaluation.answers import PASSAGES
from winnow.lab.evaluation.evaluation_index import EvaluationIndex
from winnow.lab.progress import silent

BINS = 10
RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class Case:
    """The first unit that answers a question: its signs, what was said of it, and how it is."""

    signs: Signs
    said: float
    right: bool
    has_answer: bool


def cases(folder: Path, questions: int, rerank: str, wiring: Wiring) -> Iterator[Case]:
    """Every question of a set with the best passages, and with the best of those that do not answer it."""
    dataset = load_dataset(folder).sampled(questions, seed=7)
    assert dataset.corpus is not None
    with closing(EvaluationIndex.of_corpus(dataset.corpus, wiring)) as index:
        answerer = wiring.generator(index.vectors, index.encoders, "extractive")
        assert isinstance(answerer, ExtractiveAnswerer)
        reranker = wiring.reranker(index.vectors, index.encoders.dense, rerank)
        (source,) = index.sources(["hybrid"], [], None, wiring, silent)
        for question in dataset.questions:
            found = source.retrieve(question).candidates
            ranked = portal.call(reranker.rerank, question.text, found, len(found)).everything
            useless = [one for one in ranked if not _answers(one, question, dataset, index)]
            for candidates in (ranked, useless):
                case = _case(answerer, question, candidates[:PASSAGES], has_answer=candidates is ranked)
                if case is not None:
                    yield case


def _answers(one: Candidate, question: Question, dataset: Dataset, index: EvaluationIndex) -> bool:
    relevant = dataset.qrels.relevant(question.id)
    return index.name(one.chunk) in relevant or contains(one.text, question.answers)


def _case(
    answerer: ExtractiveAnswerer, question: Question, candidates: Sequence[Candidate], *, has_answer: bool
) -> Case | None:
    judgement = answerer.judgement(question.text, candidates)
    if judgement.signs is None or judgement.confidence is None:
        return None
    right = contains(judgement.ranked[0].shown, question.answers)
    return Case(judgement.signs, judgement.confidence, right, has_answer)


def fitted(found: Sequence[Case]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The weights of a ridge logistic regression, and its start, by Newton's method."""
    signs = np.array([astuple(one.signs) for one in found])
    scale = signs.std(axis=0) + 1e-9
    x = np.hstack([signs / scale, np.ones((len(found), 1))])
    y = np.array([one.right for one in found], dtype=float)
    penalty = np.diag([RIDGE] * (x.shape[1] - 1) + [1e-6])
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        said = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (said - y) + penalty @ weights
        curve = (x * (said * (1 - said))[:, None]).T @ x + penalty
        weights -= np.linalg.solve(curve, slope)
    return weights / np.append(scale, 1.0)


def curve(said: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float, int]]:
    """For each bin of confidence with cases: the mean of what was said, the share right, how many."""
    bins = np.minimum((np.array(said) * BINS).astype(int), BINS - 1)
    return [
        (
            float(np.array(said)[bins == at].mean()),
            float(np.array(right)[bins == at].mean()),
            int((bins == at).sum()),
        )
        for at in range(BINS)
        if (bins == at).any()
    ]


def drawn(curves: dict[str, list[tuple[float, float, int]]], target: Path) -> None:
    """Said against right, a line a set; perfect calibration is the diagonal."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "winnow", "svg.fonttype": "none", "font.size": 9})
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.6, 4.2))
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for (name, points), mark in zip(curves.items(), "osD^vP", strict=False):
        axes.plot([said for said, _, _ in points], [right for _, right, _ in points], marker=mark, label=name)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share right")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(target, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", metavar="SET")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--rerank", default="fast")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--data-dir", type=Path, default=Path(".winnow"))
    chosen = parser.parse_args()
    with Wiring(Settings.load(data_dir=chosen.data_dir)) as wiring:
        found = {
            str(folder): list(cases(folder, chosen.questions, chosen.rerank, wiring))
            for folder in chosen.sets
        }
    curves = {name: curve([one.said for one in of], [one.right for one in of]) for name, of in found.items()}
    for name, points in curves.items():
        print(name)
        for said, right, count in points:
            print(f"  said {said:4.0%}  right {right:4.0%}  of {count}")
    if chosen.svg:
        drawn(curves, chosen.svg)
    if chosen.fit:
        weights = fitted([case for of in found.values() for case in of])
        names = (*(field.name for field in fields(Signs)), "start")
        print(", ".join(f"{name}={weight:.3g}" for name, weight in zip(names, weights, strict=True)))


if __name__ == "__main__":
    main()
