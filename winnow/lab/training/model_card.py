"""The model card of a reranker that winnow trained: what it learned from, how, and how well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from winnow.lab.training.plans import Source, TrainPlan, TrainReport

_OBJECTIVES = {
    "bce": "binary cross-entropy over labelled pairs",
    "margin-mse": "MarginMSE",
    "lambda": "LambdaLoss over the passages of a question",
}


def card(plan: TrainPlan, report: TrainReport) -> str:
    """README.md, with the hub's metadata at its head."""
    return "\n".join([*_head(report), *_body(plan, report)]) + "\n"


def _head(report: TrainReport) -> Iterator[str]:
    yield "---"
    yield "library_name: sentence-transformers"
    yield "pipeline_tag: text-ranking"
    if "@" not in report.base:  # a hub id; a folder's name would lead nowhere
        yield f"base_model: {json.dumps(report.base, ensure_ascii=False)}"
    yield "tags: [cross-encoder, reranker, winnow]"
    yield "---"
    yield ""
    yield f"# {_line(report.out.name)}"
    yield ""


def _body(plan: TrainPlan, report: TrainReport) -> Iterator[str]:
    from winnow.version import __version__

    today = f"{datetime.now(UTC):%d %B %Y}"
    yield f"A cross-encoder that reranks passages, trained by winnow {__version__} on {today}."
    yield f'In a rerank spec: `cross-encoder(model="/path/to/{_line(report.out.name)}")`.'
    yield ""
    yield "## Data"
    yield ""
    yield "| file | records | passages | how made | SHA-256 |"
    yield "|---|---|---|---|---|"
    yield from map(_source, report.sources)
    yield ""
    unstated = "**not stated** when it was trained; ask whoever made the data"
    yield f"Licence of the data: {_line(plan.licence) or unstated}."
    yield (
        f"{report.questions} questions were learned from, {report.pairs} pairs an epoch; "
        f"{report.dev_questions} questions were kept back to look at meanwhile."
    )
    for reason, count in report.left_out.items():
        yield f"- left out: {count} {_line(reason)}"
    yield ""
    yield from _training(plan, report)
    yield from _metrics(report)


def _source(source: Source) -> str:
    made = "; ".join(f"{count} {what}" for what, count in source.made.items())
    cells = (_line(source.name), source.records, source.passages, _line(made), source.sha256[:16] or "–")
    return "| " + " | ".join(map(str, cells)) + " |"


def _training(plan: TrainPlan, report: TrainReport) -> Iterator[str]:
    course, fitted = plan.course, report.fitted
    objective = _OBJECTIVES[report.objective]
    if report.objective == "margin-mse":
        objective += f", margins from {report.learned_from}"
    if report.pos_weight is not None:
        objective += f", a positive weighs {report.pos_weight:.3g}"
    yield "## Training"
    yield ""
    yield "| | |"
    yield "|---|---|"
    rows = {
        "base": f"{_line(report.base)} ({report.kind})",
        "objective": objective,
        "weights that learned": f"{report.weights:,} of {report.all_weights:,}"
        + (f" (LoRA, rank {report.lora}, merged)" if report.lora else "")
        + (f"; embeddings and the lowest {report.freeze} layers did not" if report.freeze else ""),
        "steps": f"{fitted.steps} of {fitted.planned} ({fitted.epochs:g} epochs)"
        + (f"; ended early: {fitted.stopped}" if fitted.stopped else ""),
        "pairs a step": course.batch * course.accumulate,
        "learning rate": f"{course.learning_rate:g}, after {course.warmup:.0%} of the steps, then down to 0",
        "longest input": f"{report.max_length} tokens; {report.cut:.1%} of a sample of pairs were longer",
        "seed": course.seed,
        "device": fitted.device,
        "seconds": f"{report.seconds:.0f}" + (" since it went on" if fitted.resumed_from else ""),
    }
    for name, value in rows.items():
        yield f"| {name} | {value} |"
    yield ""


def _metrics(report: TrainReport) -> Iterator[str]:
    fitted = report.fitted
    yield "## The dev questions"
    yield ""
    if not fitted.dev:
        yield "There were none: the last weights are the model's, and how good they are is not known."
        return
    names = list(fitted.dev[0].metrics)
    yield "Each ranks the passages of its own record, so the figures are higher than over a whole collection."
    yield ""
    yield "| step | epoch | " + " | ".join(names) + " | |"
    yield "|---|---|" + "---|" * (len(names) + 1)
    for row in fitted.dev:
        mark = "kept" if row == fitted.best else "the base" if row.step == 0 else ""
        values = " | ".join(f"{row.metrics[name]:.4f}" for name in names)
        yield f"| {row.step} | {row.epoch:.2f} | {values} | {mark} |"


def _line(text: str) -> str:
    """Text from elsewhere, as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
