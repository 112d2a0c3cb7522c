"""Measuring retrieval, reranking and answers on a set of questions and judgements.

from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.lab.evaluation import Plan, evaluate, load_dataset

plan = Plan(dataset=load_dataset(Path("squad-dev")), retrieve=["hybrid"], rerank=["none", "late-interaction"])
for row in evaluate(plan, Wiring(Settings.load())).rows:
    print(row.rerank, row.metrics["nDCG@10"])
"""

from winnow.lab.datasets.dataset import Dataset, load_dataset, read_corpus
from winnow.lab.datasets.matching import contains, exact_match
from winnow.lab.datasets.trec import read_qrels, read_run
from winnow.lab.evaluation.corpus_index import CorpusIndex
from winnow.lab.evaluation.experiment import evaluate
from winnow.lab.evaluation.metrics import max_p, measured
from winnow.lab.evaluation.results import (
    Contrast,
    ContrastPassage,
    Evaluation,
    EvaluationRow,
    Plan,
    Times,
)
from winnow.lab.significance import Difference, Interval, difference, interval, resampled_means

__all__ = [
    "Contrast",
    "ContrastPassage",
    "CorpusIndex",
    "Dataset",
    "Difference",
    "Evaluation",
    "EvaluationRow",
    "Interval",
    "Plan",
    "Times",
    "contains",
    "difference",
    "evaluate",
    "exact_match",
    "interval",
    "load_dataset",
    "max_p",
    "measured",
    "read_corpus",
    "read_qrels",
    "read_run",
    "resampled_means",
]
