"""The gate: may a trained reranker replace the current one?

It must order held-out questions better, beyond chance, and must not lose on what people judged in the log.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rerank.spec import Spec, Stage
from rerank.training.examples import question_digest
from rerank.training.records import TrainingRecord, read_records
from storage.errors import BadInputError
from storage.log.records import AnswerFilter
from storage.records import Candidate
from winnow.app import portal
from winnow.lab.datasets.dataset import Dataset, load_dataset
from winnow.lab.progress import Progress, silent
from winnow.lab.significance import Difference, paired_difference
from winnow.lab.training.train import SEEN
from winnow.lab.training.training_data import figures, shuffled

if TYPE_CHECKING:
    from winnow.app.wiring import Wiring

MODEL = "{model}"
ALONE = f"cross-encoder(model={MODEL})"
_METRICS = ("nDCG@10", "MRR@10")
_SEED = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePlan:
    """The model to compare with the current reranker, and the held-out questions.

    `model`: the trained folder. `held_out`: a folder of BEIR's layout (or `collection` in place of its
    corpus), whose questions are retrieved and reranked, or a JSONL file of records, whose passages are
    reordered. `spec`: the setting to be, with {model} for the folder. `sample` of the questions,
    drawn by `seed`.
    """

    model: Path
    held_out: Path
    spec: str = ALONE
    collection: str | None = None
    split: str | None = None
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        # before hours of training, not after
        if MODEL not in self.spec:
            raise BadInputError(f"the spec {self.spec} does not contain {MODEL}", way_out=f"As in: {ALONE}")
        Spec.parse(self.chain)
        if not self.held_out.exists():
            raise BadInputError(f"there are no held-out questions at {self.held_out}")

    @property
    def chain(self) -> str:
        """The spec, with the folder in it."""
        path = str(Stage("m", (("m", str(self.model.resolve())),)))[len("m(m=") : -1]
        return str(Spec.parse(self.spec.replace(MODEL, path)))


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """The result, with reasons against the new chain. Metrics are of the current chain and the new one.

    `differences` are new less current, paired by question; `judged` answers of the log were replayed under
    both, `logged` is their nDCG@5. `notes` list what was left out.
    """

    passed: bool
    current: str
    new: str
    held_out: str
    questions: int
    metrics: Mapping[str, tuple[float, float]]
    differences: Mapping[str, Difference]
    judged: int = 0
    logged: tuple[float, float] | None = None
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def gate(plan: GatePlan, wiring: Wiring, progress: Progress = silent) -> GateVerdict:
    """Compare a trained model with the configured chain; nothing is changed.

    Raises BadInputError where there are no questions to compare on, SpecError, ModelError.
    """
    current, new = wiring.settings.rerank.spec, plan.chain
    weigh = _dataset if plan.held_out.is_dir() else _records
    found = weigh(plan, wiring, [current, new], progress)
    judged, logged = _logged(wiring, [current, new], progress)
    notes = [*found.notes]
    if not judged:
        notes.append("no logged answer is judged: only the held-out questions were asked")
    reasons = tuple(_objections(found, new, judged, logged))
    return GateVerdict(
        passed=not reasons,
        current=current,
        new=new,
        held_out=plan.held_out.name,
        questions=found.questions,
        metrics=found.metrics,
        differences=found.differences,
        judged=judged,
        logged=logged,
        reasons=reasons,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighed:
    questions: int
    metrics: Mapping[str, tuple[float, float]]
    differences: Mapping[str, Difference]
    fallbacks: int
    reason: str
    notes: tuple[str, ...]


def _objections(found: _Weighed, new: str, judged: int, logged: tuple[float, float] | None) -> Iterator[str]:
    if found.fallbacks:
        yield f"{new} fell back on {found.fallbacks} of {found.questions} questions: {found.reason}"
    first, *others = _METRICS
    gain = found.differences[first]
    if gain.interval.low <= 0:
        interval = f"{gain.interval.low:+.4f} to {gain.interval.high:+.4f}"
        yield f"{first} {gain.mean:+.4f}, 95 % interval {interval}: not surely better"
    for name in others:
        if found.differences[name].interval.high < 0:
            yield f"{name} {found.differences[name].mean:+.4f}: surely worse"
    if logged is not None and logged[1] < logged[0] - 1e-9:
        yield f"it loses on {judged} judged answers of the log: nDCG@5 {logged[1]:.4f}, now {logged[0]:.4f}"


def _dataset(plan: GatePlan, wiring: Wiring, specs: Sequence[str], progress: Progress) -> _Weighed:
    from winnow.lab.evaluation.experiment import evaluate
    from winnow.lab.evaluation.results import Plan

    dataset = load_dataset(plan.held_out, split=plan.split, with_corpus=plan.collection is None)
    dataset, unseen = _unseen(plan, dataset)
    dataset = dataset.sampled(plan.sample, plan.seed)
    mode = wiring.settings.retrieval.mode
    done = evaluate(
        Plan(dataset=dataset, retrieve=[mode], rerank=list(specs), collection=plan.collection, seed=_SEED),
        wiring,
        progress,
    )
    now, new = done.rows
    return _Weighed(
        questions=done.questions,
        metrics={name: (now.metrics[name], new.metrics[name]) for name in _METRICS},
        differences={name: new.differences[name] for name in _METRICS},
        fallbacks=new.statuses.get("fallback", 0),
        reason=next(iter(new.reasons), ""),
        notes=(*unseen, *done.notes),
    )


def _unseen(plan: GatePlan, dataset: Dataset) -> tuple[Dataset, list[str]]:
    seen = _seen(plan.model)
    kept = tuple(one for one in dataset.questions if question_digest(one.text) not in seen)
    return replace(dataset, questions=kept), _left_out(len(dataset.questions), len(kept), plan)


def _records(plan: GatePlan, wiring: Wiring, specs: Sequence[str], progress: Progress) -> _Weighed:
    seen = _seen(plan.model)
    given = [one for one in read_records(plan.held_out) if one.positives and len(one.passages) > 1]
    records = [one for one in given if question_digest(one.query) not in seen]
    notes = _left_out(len(given), len(records), plan)
    if plan.sample is not None and plan.sample < len(records):
        notes.append(f"{plan.sample} of {len(records)} questions, drawn with seed {plan.seed}")
        records = random.Random(plan.seed).sample(records, plan.sample)
    (now, _), (new, failures) = (_ordered(records, spec, wiring, progress) for spec in specs)
    values = {name: ([row[name] for row in now], [row[name] for row in new]) for name in _METRICS}
    return _Weighed(
        questions=len(records),
        metrics={name: (fmean(before), fmean(after)) for name, (before, after) in values.items()},
        differences={
            name: paired_difference(before, after, seed=_SEED) for name, (before, after) in values.items()
        },
        fallbacks=len(failures),
        reason=next(iter(failures), ""),
        notes=tuple(notes),
    )


def _ordered(
    records: Sequence[TrainingRecord], spec: str, wiring: Wiring, progress: Progress
) -> tuple[list[Mapping[str, float]], list[str]]:
    """The metrics of each record under a spec, and the reasons of fallbacks."""
    from rerank.chain import Chain

    chain = Chain.load(Spec.parse(spec), wiring.rerank_parts(None, wiring.encoder))
    orders, failures = [], []
    for done, record in enumerate(records, start=1):
        candidates = [Candidate.from_text(record.passages[i].text, id=str(i)) for i in shuffled(record)]
        ranking = portal.call(chain.rerank, record.query, candidates, len(candidates))
        orders.append([int(one.id) for one in ranking.everything])
        if ranking.outcome.status == "fallback":
            failures.append(ranking.outcome.reason)
        progress(spec, done, len(records))
    return figures(records, orders), failures


def _logged(
    wiring: Wiring, specs: Sequence[str], progress: Progress
) -> tuple[int, tuple[float, float] | None]:
    """The number of judged answers, and their nDCG@5 under both chains."""
    from winnow.lab.comparing import compare_logged

    judged = AnswerFilter(feedback="judged", replays=False)
    if next(iter(wiring.answers.answers(judged)), None) is None:
        return 0, None
    rows = compare_logged(wiring.answers, wiring, specs, judged, last=100_000, progress=progress)
    now, new = (row.ndcg for row in rows)
    return rows[0].judged, None if now is None or new is None else (now, new)


def _seen(model: Path) -> frozenset[str]:
    """Digests of the questions that the model was trained on, if winnow trained it."""
    file = model / SEEN
    return frozenset(file.read_text(encoding="utf-8").split()) if file.is_file() else frozenset()


def _left_out(given: int, kept: int, plan: GatePlan) -> list[str]:
    if not kept:
        raise BadInputError(
            f"the model has learned from every question of {plan.held_out}"
            if given
            else f"{plan.held_out} holds no question",
            way_out="Name questions that it has not seen: --held-out.",
        )
    return [f"{given - kept} questions that the model has learned from are left out"] if kept < given else []
