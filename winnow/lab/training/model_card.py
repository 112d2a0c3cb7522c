"""The model card of a reranker that winnow trained: its data, its training, its figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from winnow.lab.training.plans import TrainPlan, TrainReport

_OBJECTIVES = {
    "bce": "binary cross-entropy over labelled pairs",
    "margin-mse": "MarginMSE",
    "listwise": "Kullback-Leibler divergence from a distribution over the passages of a question (ListNet)",
    "lambda": "LambdaLoss over the passages of a question",
}


class _Verbatim(str):
    """Text for the card's metadata, which is YAML and no table."""


def card(plan: TrainPlan, report: TrainReport) -> str:
    """README.md, with the hub's metadata at its head."""
    from winnow.version import __version__

    environment = Environment(
        loader=PackageLoader("winnow.lab.training"),
        undefined=StrictUndefined,
        finalize=_cell,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = lambda text: _Verbatim(json.dumps(text, ensure_ascii=False))
    return environment.get_template("model_card.md").render(
        plan=plan,
        report=report,
        fitted=report.fitted,
        chosen=plan.hyperparameters,
        objectives=_OBJECTIVES,
        version=__version__,
        today=f"{datetime.now(UTC):%d %B %Y}",
    )


def _cell(value: Any) -> Any:
    """Text in one line, harmless within a table."""
    if not isinstance(value, str) or isinstance(value, _Verbatim):
        return value
    return " ".join(value.split()).replace("|", "\\|").replace("<", "&lt;")
