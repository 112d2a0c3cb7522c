"""Rerankers of one's own: data written by a model, mined from a collection or taken from the log; training.

from winnow.training import LabelPlan, MiningPlan, PassagePlan, QueryPlan, mine, synthesize

report = synthesize(QueryPlan(out=Path("train.jsonl"), sample=500), wiring)

report = train(TrainPlan(data=(Path("train.jsonl"),), out=Path("my-reranker")), wiring)
verdict = gate(GatePlan(model=report.out, held_out=Path("held-out")), wiring)

Records are read again with `rerank.training.records.read_records`.
"""

from rerank.training.course import Course
from rerank.training.records import LabelledPassage, Provenance, TrainingRecord, read_records
from winnow.training.gating import GatePlan, Verdict, gate
from winnow.training.mining import mine
from winnow.training.plans import Checks, LabelPlan, MiningPlan, PassagePlan, QueryPlan, SynthesisPlan
from winnow.training.promoting import Promotion, promote
from winnow.training.reports import Estimate, MiningReport, SynthesisReport
from winnow.training.synthesizing import estimate, synthesize
from winnow.training.teaching import train
from winnow.training.train_plans import TrainPlan, TrainReport

__all__ = [
    "Checks",
    "Course",
    "Estimate",
    "GatePlan",
    "LabelPlan",
    "LabelledPassage",
    "MiningPlan",
    "MiningReport",
    "PassagePlan",
    "Promotion",
    "Provenance",
    "QueryPlan",
    "SynthesisPlan",
    "SynthesisReport",
    "TrainPlan",
    "TrainReport",
    "TrainingRecord",
    "Verdict",
    "estimate",
    "gate",
    "mine",
    "promote",
    "read_records",
    "synthesize",
    "train",
]
