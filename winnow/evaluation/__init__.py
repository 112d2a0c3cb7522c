"""Measuring retrieval, reranking and answers on a set of questions and judgements.

from winnow.evaluation import Plan, evaluate, load_dataset
from winnow.settings import Settings
from winnow.wiring import Wiring

plan = Plan(dataset=load_dataset(Path("squad-dev")), retrieve=["hybrid"], rerank=["none", "late-interaction"])
for row in evaluate(plan, Wiring(Settings.load())).rows:
    print(row.rerank, row.metrics["nDCG@10"])
"""

from winnow.evaluation.corpus_index import CorpusIndex, Progress
from winnow.evaluation.dataset import (
    CorpusDocument,
    Dataset,
    Question,
    load_dataset,
    load_questions,
    read_corpus,
)
from winnow.evaluation.experiment import Plan, evaluate
from winnow.evaluation.matching import contains, exact_match
from winnow.evaluation.metrics import CONTAINMENT, RANKING_METRICS, containment, max_p, measured
from winnow.evaluation.qrels import Qrels, read_qrels
from winnow.evaluation.results import AnswerFigures, Contrast, Evaluation, Passage, Row, Times
from winnow.evaluation.runs import Run, read_run
from winnow.evaluation.significance import Difference, Interval, difference, interval, resampled_means

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
