"""Draws docs/rerank-calls.svg and docs/rerank-bias.svg: the quality of LLM strategies with a model that errs.

    python benchmarks/rerank_plots.py

A simulated model knows each passage's grade and errs by noise, drawn for every prompt, and by a preference
for early places. The 50 candidates come in the order of a retriever that errs too; the mean nDCG@5 over the
questions is drawn against the calls that a question takes, and against the strength of the preference.
Seeded.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import anyio
import matplotlib as mpl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
mpl.use("svg")

import matplotlib.pyplot as plt

from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.records import Candidate
from tests.support.rerank_endpoint import Oracle, OracleChat

DOCS = Path(__file__).resolve().parent.parent / "docs"
QUESTIONS, CANDIDATES, KEEP = 40, 50, 5
NOISE = 0.7
BIASES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
SPECS = (
    "pointwise", "listwise", "listwise(permutations=5)", "pairwise", "pairwise(method=sliding)",
    "setwise(size=3)", "setwise", "tournament(rounds=1)", "tournament", "tournament(rounds=10)",
)  # fmt: skip
MARKS = "oxs^vD<>P*"


def question(seed: int) -> tuple[list[Candidate], dict[str, float]]:
    """Candidates in a retriever's order, and their grades: 3 of 3, 4 of 2, 8 of 1, the others 0."""
    random = Random(seed)
    grades = [3.0] * 3 + [2.0] * 4 + [1.0] * 8 + [0.0] * (CANDIDATES - 15)
    texts = [f"question {seed} passage {i}" for i in range(CANDIDATES)]
    known = dict(zip(texts, grades, strict=True))
    order = sorted(texts, key=lambda text: -known[text] - random.gauss(0, 1.5))
    return [Candidate.from_text(text, id=text) for text in order], known


def ndcg(candidates: Sequence[Candidate], grades: dict[str, float]) -> float:
    """nDCG@5 with linear gain."""
    gains = [grades[candidate.id] for candidate in candidates[:KEEP]]
    best = sorted(grades.values(), reverse=True)[:KEEP]
    return _dcg(gains) / _dcg(best)


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


async def measured(spec: str, bias: float) -> tuple[float, float]:
    """Mean nDCG@5 and mean calls."""
    quality, calls = 0.0, 0
    for seed in range(QUESTIONS):
        candidates, grades = question(seed)
        chat = OracleChat(Oracle(grades, noise=NOISE, bias=bias))
        parts = RerankParts(chat=lambda _model, chat=chat: chat)
        ranking = await Chain.load(Spec.parse(spec), parts).rerank(f"question {seed}", candidates, KEEP)
        quality += ndcg(ranking.candidates, grades)
        calls += ranking.outcome.usage.calls
    return quality / QUESTIONS, calls / QUESTIONS


def retrieval() -> float:
    """The incoming order's mean nDCG@5."""
    return sum(ndcg(*question(seed)) for seed in range(QUESTIONS)) / QUESTIONS


def drawn(name: str, xlabel: str, title: str) -> None:
    plt.axhline(retrieval(), color="0.6", linestyle=":", label="retrieval alone")
    plt.xlabel(xlabel)
    plt.ylabel("nDCG@5")
    plt.title(title, fontsize=10)
    plt.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    plt.grid(alpha=0.25)
    plt.savefig(DOCS / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
    plt.close()


def main() -> None:
    # the same numbers give the same file
    mpl.rcParams.update({"svg.hashsalt": "winnow", "svg.fonttype": "none", "font.size": 9})
    found = {spec: [anyio.run(measured, spec, bias) for bias in BIASES] for spec in SPECS}
    plt.figure(figsize=(6, 3.8))
    for spec, mark in zip(SPECS, MARKS, strict=True):
        quality, calls = found[spec][BIASES.index(1.0)]
        plt.scatter([calls], [quality], marker=mark, s=42, label=spec)
        print(f"{spec:<28}{calls:8.1f}" + "".join(f"{q:8.3f}" for q, _ in found[spec]))
    plt.xscale("log")
    drawn(
        "rerank-calls",
        "calls a question",
        f"50 candidates → 5, noise {NOISE}, preference for early places 1.0",
    )
    plt.figure(figsize=(6, 3.8))
    for spec, mark in zip(SPECS, MARKS, strict=True):
        plt.plot(
            BIASES,
            [quality for quality, _ in found[spec]],
            marker=mark,
            markersize=4,
            linewidth=1,
            label=spec,
        )
    drawn("rerank-bias", "preference for early places (in grades)", f"50 candidates → 5, noise {NOISE}")


if __name__ == "__main__":
    main()
