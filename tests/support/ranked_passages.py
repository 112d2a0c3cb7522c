"""Eight passages of known worth, ranked by chains that call a server of the tests."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import pytest

from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.records import Candidate, Ranking
from tests.support.endpoint import Endpoint
from tests.support.rerank_endpoint import Oracle

GRADES = {f"This passage is worth {i} points.": float(i) for i in range(8)}
CANDIDATES = [Candidate.from_text(text, id=f"p{i}") for i, text in enumerate(GRADES)]
BEST = [f"p{i}" for i in reversed(range(8))]


def worth(query: str, text: str) -> float:
    return GRADES[text] / 7


def oracle() -> Oracle:
    return Oracle(GRADES, top=7.0)


def api(endpoint: Endpoint, profile: str, *, options: str = "", **parts: Any) -> Ranking:
    spec = f'api(profile={profile},url="{endpoint.root}"{options})'
    chain = Chain.load(Spec.parse(spec), RerankParts(api_key=lambda _p: "secret-key", **parts))
    return anyio.run(chain.rerank, "Which passage is worth most?", CANDIDATES, 5)


def check_whole(ranking: Ranking) -> str:
    """Assert that no candidate is lost, and return the outcome's status."""
    assert sorted(c.id for c in ranking.everything) == sorted(BEST)
    assert len(ranking.candidates) == 5
    outcome = ranking.outcome
    assert outcome.status == "ok" or outcome.reason
    if outcome.status == "fallback":
        assert list(ranking.everything) == CANDIDATES
    return outcome.status


def printed(
    capsys: pytest.CaptureFixture[str], table: Mapping[str, Sequence[str]], heads: Sequence[str]
) -> None:
    lines = [" " * 18 + " ".join(f"{head[:10]:>10}" for head in heads)]
    lines += [f"{name:<18}" + " ".join(f"{cell:>10}" for cell in cells) for name, cells in table.items()]
    with capsys.disabled():
        sys.stdout.write("\n\n" + "\n".join(lines) + "\n")
