"""Measuring retrieval, reranking and answers on a set of questions and judgements.

from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.lab.evaluation import Plan, evaluate, load_dataset

plan = Plan(dataset=load_dataset(Path("squad-dev")), retrieve=["hybrid"], rerank=["none", "late-interaction"])
for row in evaluate(plan, Wiring(Settings.load())).rows:
    print(row.rerank, row.metrics["nDCG@10"])
"""

from winnow.lab.datasets.dataset import (
    CorpusDocument,
    Dataset,
    Question,
    load_dataset,
    load_questions,
    read_corpus,
)
from winnow.lab.datasets.matching import contains, exact_match
from winnow.lab.datasets.qrels import Qrels, read_qrels
from winnow.lab.datasets.runs import Run, read_run
from winnow.lab.evaluation.corpus_index import CorpusIndex, Progress
from winnow.lab.evaluation.experiment import evaluate
from winnow.lab.evaluation.metrics import CONTAINMENT, RANKING_METRICS, containment, max_p, measured
from winnow.lab.evaluation.plan import Plan
from winnow.lab.evaluation.results import AnswerFigures, Contrast, Evaluation, Passage, Row, Times
from winnow.lab.significance import Difference, Interval, difference, interval, resampled_means

__all__ = [
    "CONTAINMENT",
    "RANKING_METRICS",
    "AnswerFigures",
    "Contrast",
    "CorpusDocument",
    "CorpusIndex",
    "Dataset",
    "Difference",
    "Evaluation",
    "Interval",
    "Passage",
    "Plan",
    "Progress",
    "Qrels",
    "Question",
    "Row",
    "Run",
    "Times",
    "containment",
    "contains",
    "difference",
    "evaluate",
    "exact_match",
    "interval",
    "load_dataset",
    "load_questions",
    "max_p",
    "measured",
    "read_corpus",
    "read_qrels",
    "read_run",
    "resampled_means",
]
