"""Training your own reranker: data from a model, a collection or the log, then the training itself.

from winnow.lab.training import LabelPlan, MiningPlan, PassagePlan, QueryPlan, mine, synthesize

report = synthesize(QueryPlan(out=Path("train.jsonl"), sample=500), wiring)

report = train(TrainPlan(data=(Path("train.jsonl"),), out=Path("my-reranker")), wiring)
verdict = gate(GatePlan(model=report.out, held_out=Path("held-out")), wiring)

Records are read again with `rerank.training.records.read_records`.
"""

from rerank.training.hyperparameters import Hyperparameters
from rerank.training.records import LabelledPassage, Provenance, TrainingRecord, read_records
from winnow.lab.mining.mine import mine
from winnow.lab.synthesis.plans import (
    Checks,
    LabelPlan,
    MiningPlan,
    MiningReport,
    PassagePlan,
    QueryPlan,
    SynthesisEstimate,
    SynthesisPlan,
    SynthesisReport,
)
from winnow.lab.synthesis.synthesize import estimate, synthesize
from winnow.lab.training.gate import GatePlan, GateVerdict, gate
from winnow.lab.training.plans import TrainPlan, TrainReport
from winnow.lab.training.promote import Promotion, promote
from winnow.lab.training.train import train

__all__ = [
    "Checks",
    "GatePlan",
    "GateVerdict",
    "Hyperparameters",
    "LabelPlan",
    "LabelledPassage",
    "MiningPlan",
    "MiningReport",
    "PassagePlan",
    "Promotion",
    "Provenance",
    "QueryPlan",
    "SynthesisEstimate",
    "SynthesisPlan",
    "SynthesisReport",
    "TrainPlan",
    "TrainReport",
    "TrainingRecord",
    "estimate",
    "gate",
    "mine",
    "promote",
    "read_records",
    "synthesize",
    "train",
]
