"""Draws docs/quality.svg: how well rerank specs order, against what a question takes in time and in money.

    python -P benchmarks/quality_plot.py SET [--questions N] [--model FOLDER] [--data-dir .winnow]

SET is a folder in BEIR's layout. What runs on this machine is measured as it is. Language models are
simulated, since none can be had offline: an endpoint on the loopback knows the judgements, errs by noise and
favours early places, answers after 100 ms, and counts a token for every four characters; a million tokens
cost 0.15 (prompt) and 0.60 (reply), what a small hosted model does. So the time and the cost of those are
what the procedure asks for, and their quality is what it makes of such a model. --model is a cross-encoder.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
mpl.use("svg")

import matplotlib.pyplot as plt

from tests.support.endpoint import Endpoint, Request, Response, said
from tests.support.rerank_endpoint import Oracle
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.lab.datasets.dataset import read_corpus
from winnow.lab.evaluation import Dataset, Plan, evaluate, load_dataset
from winnow.lab.evaluation.results import EvaluationRow

TARGET = Path(__file__).resolve().parent.parent / "docs" / "quality.svg"
DELAY_S, NOISE, BIAS = 0.1, 1.5, 1.0
PRICE = {"prompt": 0.15, "completion": 0.60}
LOCAL = ("none", "fast", "fusion(read=8)", "balanced", "fusion(read=16)", "fusion(read=50)")
TRAINED = ("cross-encoder(model={model})",)
SIMULATED = (
    "listwise", "fusion:20,listwise", "fusion:20,listwise(permutations=5)", "pointwise", "fusion:20,setwise",
    "tournament(rounds=2)",
)  # fmt: skip
MARKS = "osD^vPX<>*ph8"
_QUESTION = re.compile(r"Question: (.*)")


class Judge:
    """Replies to prompts over many questions; a passage is worth 3 where a relevant document ends it."""

    def __init__(self, dataset: Dataset) -> None:
        assert dataset.corpus is not None
        texts = {document.id: document.text for _, document in read_corpus(dataset.corpus)}
        self._relevant = {
            _plain(question.text): [_plain(texts[name]) for name in dataset.qrels.relevant(question.id)]
            for question in dataset.questions
        }

    def __call__(self, request: Request) -> Response:
        prompt = str(request.body["messages"][-1]["content"])
        asked = _QUESTION.search(prompt)
        assert asked is not None
        text = _Knowing(self._relevant[_plain(asked[1])]).reply(prompt)
        sent = sum(len(str(message["content"])) for message in request.body["messages"])
        return replace(said(text, usage=(sent // 4, len(text) // 4 + 1)), delay=DELAY_S)


class _Knowing(Oracle):
    def __init__(self, relevant: Sequence[str]) -> None:
        super().__init__({}, noise=NOISE, bias=BIAS)
        self._documents = relevant

    def _grade(self, text: str) -> float:
        return 3.0 if any(_plain(text)[-80:] in document for document in self._documents) else 0.0


def _plain(text: str) -> str:
    return " ".join(text.split())


def rows(folder: Path, questions: int, model: Path | None, data_dir: Path) -> Sequence[EvaluationRow]:
    """Every spec over the same questions and candidates."""
    dataset = load_dataset(folder).sampled(questions, seed=1)
    trained = [] if model is None else [spec.format(model=f'"{model.resolve()}"') for spec in TRAINED]
    with Endpoint() as endpoint:
        endpoint.reply = Judge(dataset)
        settings = Settings.load(
            data_dir=data_dir,
            llm={"base_url": endpoint.url, "model": "simulated", "prices": {"simulated": PRICE}},
        )
        plan = Plan(dataset=dataset, retrieve=["hybrid"], rerank=[*LOCAL, *trained, *SIMULATED], fresh=True)
        with Wiring(settings) as wiring:
            return evaluate(plan, wiring).rows


def drawn(found: Sequence[EvaluationRow], model: Path | None, title: str) -> None:
    """Two panels with one quality axis; simulated models are hollow."""
    figure, (by_time, by_cost) = plt.subplots(1, 2, figsize=(9, 3.9), sharey=True)
    for row, mark in zip(found, MARKS, strict=False):
        assert row.times is not None
        label = row.rerank if model is None else row.rerank.replace(f'"{model.resolve()}"', "trained")
        cost = 1_000 * (row.usage.cost or 0.0) / len(row.per_question)
        for axes, x in ((by_time, row.times.p50), (by_cost, cost)):
            dots = axes.scatter([x], [row.metrics["nDCG@10"]], marker=mark, s=46, label=label)
            dots.set_edgecolor(dots.get_facecolor())
            if row.usage.calls:
                dots.set_facecolor("none")
        print(f"{label:<46}{row.metrics['nDCG@10']:8.4f}{row.times.p50:10.0f} ms{cost:9.3f}")
    by_time.set_xscale("log")
    by_time.set_xlabel("milliseconds a question (median)")
    by_time.set_ylabel("nDCG@10")
    by_cost.set_xscale("symlog", linthresh=0.01)
    by_cost.set_xlim(-0.002, 20)
    by_cost.set_xlabel("dollars for 1,000 questions (0: no call)")
    by_cost.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    for axes in (by_time, by_cost):
        axes.grid(alpha=0.25)
    figure.suptitle(title, fontsize=10)
    figure.savefig(TARGET, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data-dir", type=Path, default=Path(".winnow"))
    chosen = parser.parse_args()
    # the same numbers give the same file
    mpl.rcParams.update({"svg.hashsalt": "winnow", "svg.fonttype": "none", "font.size": 9})
    found = rows(chosen.set, chosen.questions, chosen.model, chosen.data_dir)
    drawn(
        found,
        chosen.model,
        f"{chosen.set.name}, {chosen.questions} questions, 50 candidates; hollow: simulated",
    )


if __name__ == "__main__":
    main()
