"""Models that `winnow rerankers list` names: the docs say the same of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rerank.known_models import KnownModel, known_models
from rerank.parts import RerankParts

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "rerankers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", known_models(), ids=lambda model: model.name)
def test_the_docs_have_every_model_with_its_figures(model: KnownModel) -> None:
    """Each model has one row of the table, with the same figures."""
    [row] = [line for line in DOCS.splitlines() if line.startswith(f"| `{model.name}`")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == [model.languages, model.size, model.licence]
    assert cells[4] == ("" if model.quality is None else f"{model.quality:.3f}")
    assert cells[5] == ("" if model.chinese is None else str(model.chinese))
    assert cells[6] == " / ".join(map(str, model.seconds or ()))
    assert model.note in cells[0]


def test_the_default_is_among_them() -> None:
    """The cross-encoder that comes with winnow is in the list."""
    assert RerankParts().cross_encoder in {model.name for model in known_models()}


def test_what_is_recommended_is_in_the_table() -> None:
    """docs/choosing.md names no model that the list does not have."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "choosing.md").read_text(encoding="utf-8")
    named = set(re.findall(r'cross-encoder\(model="([^"]+)"', text))
    assert named
    assert named <= {model.name for model in known_models()}
