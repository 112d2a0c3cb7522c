"""Making training data for rerankers: written by a model, mined from a collection, taken from the log.

from winnow.training import LabelPlan, MiningPlan, PassagePlan, QueryPlan, mine, synthesize

report = synthesize(QueryPlan(out=Path("train.jsonl"), sample=500), wiring)

Records are read again with `rerank.training.records.read_records`.
"""

from rerank.training.records import LabelledPassage, Provenance, TrainingRecord, read_records
from winnow.training.mining import mine
from winnow.training.plans import Checks, LabelPlan, MiningPlan, PassagePlan, QueryPlan, SynthesisPlan
from winnow.training.reports import Estimate, MiningReport, SynthesisReport
from winnow.training.synthesizing import estimate, synthesize

__all__ = [
    "Checks",
    "Estimate",
    "LabelPlan",
    "LabelledPassage",
    "MiningPlan",
    "MiningReport",
    "PassagePlan",
    "Provenance",
    "QueryPlan",
    "SynthesisPlan",
    "SynthesisReport",
    "TrainingRecord",
    "estimate",
    "mine",
    "read_records",
    "synthesize",
]
