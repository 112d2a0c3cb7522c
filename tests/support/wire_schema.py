"""Writes `docs/answer.schema.json` from the models: `python -m tests.support.wire_schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from winnow.app.json_model.answers import AnswerJson, RankedTextsJson, SearchJson
from winnow.app.json_model.base import Wire
from winnow.app.json_model.log import FeedbackJson, LoggedAnswerJson, ReplayJson, SummaryJson
from winnow.app.json_model.passages import DocumentJson
from winnow.lab.comparing import SpecRow

FILE = Path(__file__).resolve().parents[2] / "docs" / "answer.schema.json"

# The values that are printed on their own.
SHAPES: tuple[type[Wire], ...] = (
    AnswerJson,
    SearchJson,
    ReplayJson,
    LoggedAnswerJson,
    SummaryJson,
    FeedbackJson,
    DocumentJson,
    RankedTextsJson,
)


def schema() -> dict[str, Any]:
    """The JSON Schema of an answer; the other values are among its definitions."""
    _, described = models_json_schema([(shape, "serialization") for shape in SHAPES])
    compared = TypeAdapter(SpecRow).json_schema(mode="serialization", ref_template="#/$defs/{model}")
    definitions = {**described["$defs"], **compared.pop("$defs"), "SpecRow": compared}
    others = (name for name in (*(shape.__name__ for shape in SHAPES[1:]), "SpecRow"))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "winnow's JSON",
        "description": f"An answer. Other values: {', '.join(f'#/$defs/{name}' for name in others)}.",
        "$ref": "#/$defs/AnswerJson",
        "$defs": dict(sorted(definitions.items())),
    }


def written(value: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(schema()), encoding="utf-8")
