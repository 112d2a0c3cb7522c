"""`winnow rerankers list`: strategies, presets and models."""

from __future__ import annotations

from rerank.known_models import known_models
from rerank.registry import STRATEGIES
from rerank.spec import PRESETS
from tests.support.shell import as_json, run


def test_the_list_has_strategies_presets_and_models() -> None:
    """Everything that a spec can name is listed, as a table and as JSON."""
    found = as_json("rerankers", "list")
    assert [one["name"] for one in found["strategies"]][: len(STRATEGIES)] == list(STRATEGIES)
    assert found["presets"] == dict(PRESETS)
    assert [one["name"] for one in found["models"]] == [one.name for one in known_models()]
    shown = run("rerankers", "list").stdout
    assert all(name in shown for name in (*STRATEGIES, *PRESETS))
    assert "ettin" in shown
