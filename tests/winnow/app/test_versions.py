"""Fifteen files with six versions of one policy: what the five places hold, and what the log keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import ModelError
from storage.records import Answer
from tests.support import tiny_rerankers
from winnow import RAGPipeline, Settings

pytestmark = pytest.mark.heavy

QUESTION = "How many days a week may I work from home?"
DAYS = {2019: 1, 2020: 5, 2021: 4, 2022: 3, 2023: 3, 2024: 2}
OTHERS = {
    "travel": "Travel is booked through the portal, trains before planes. Expenses come back in two weeks.",
    "canteen": "The canteen opens at eleven and serves until two. Guests pay the full price.",
    "parking": "Parking spaces are given by lot every January. Bicycles go into the cellar.",
    "laptops": "Laptops are replaced every four years. Old ones are wiped and sold to employees.",
    "leave": "Thirty days of leave a year; five of them can be carried over until March.",
    "fire": "In case of fire leave the building by the stairs and gather in the yard.",
    "visitors": "Visitors sign in at the desk, wear a badge and are accompanied at all times.",
    "training": "Every employee may spend five days a year on training, agreed with the lead.",
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RAGPipeline]:
    root = tmp_path_factory.mktemp("versions")
    (root / "docs").mkdir()
    for year, days in DAYS.items():
        text = (
            f"---\ndate: {year}-03-01\n---\n# Remote work policy\n\nEmployees may work from home on "
            f"{days} days a week. Requests go to the team lead, who answers within five working days. "
            f"Whoever needs a desk reserves one. The policy of {year} replaces the one before it.\n"
        )
        (root / "docs" / f"remote-{year}.md").write_text(text, encoding="utf-8")
    exceptions = (
        "---\ndate: 2024-05-01\n---\n# Exceptions to the remote work policy\n\nThe night shift and parents "
        "of small children may work from home on more days a week than the policy allows, in writing.\n"
    )
    (root / "docs" / "remote-exceptions.md").write_text(exceptions, encoding="utf-8")
    for name, text in OTHERS.items():
        (root / "docs" / f"{name}.md").write_text(f"# {name.title()}\n\n{text}\n", encoding="utf-8")
    with RAGPipeline.from_settings(Settings.load(data_dir=root / "data")) as opened:
        assert opened.ingest(root / "docs").totals["ingested"] == 15
        yield opened


def places(answer: Answer) -> list[str]:
    return [Path(one.chunk.source).stem for one in answer.final]


@pytest.mark.parametrize(
    "spec",
    [None, "fast", "fusion(read=16),recency(field=date,half_life=365),diversity", "fusion,recency,diversity"],
)
def test_the_newest_version_and_the_exceptions_are_in_the_five(
    pipeline: RAGPipeline, spec: str | None
) -> None:
    """Versions take one place, and it is the newest one's."""
    answer = pipeline.ask(QUESTION, rerank=spec)
    found = places(answer)
    assert [name for name in found if name.startswith("remote-2")] == ["remote-2024"]
    assert "remote-exceptions" in found
    [stage] = [stage for stage in answer.stages if stage.name == "diversity"]
    assert stage.status == "ok"
    assert "5 passages say the same as one that stays (remote-2024.md:" in stage.reason


def test_a_replay_folds_as_the_answer_did(pipeline: RAGPipeline) -> None:
    """The stage is logged like any other, and its replay keeps what it kept."""
    answer = pipeline.ask(QUESTION)
    replayed = pipeline.log.replay(answer.id)
    assert replayed.recomputed == {}
    assert places(replayed.answer) == places(answer)
    folded = pipeline.log.replay(answer.id, rerank="fusion(read=16)")
    assert len([name for name in places(folded.answer) if name.startswith("remote-2")]) > 1
    again = pipeline.log.replay(answer.id, rerank="fusion(read=16),diversity(weight=0.3)")
    assert [name for name in places(again.answer) if name.startswith("remote-2")] == ["remote-2024"]


def scores(answer: Answer) -> dict[str, float]:
    return {one.id: one.scores["cross-encoder"] for one in answer.candidates}


def test_an_instruction_is_logged_and_a_replay_knows_another(tmp_path: Path) -> None:
    """An instruction of the settings is in the log; under another one the stage is computed again."""
    model = tiny_rerankers.qwen3_logit_score(tmp_path / "model")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "fox.txt").write_text("The quick brown fox.\n", encoding="utf-8")
    (tmp_path / "docs" / "dog.txt").write_text("The lazy dog.\n", encoding="utf-8")

    def told(instruction: str) -> Settings:
        chosen = {"spec": f'cross-encoder(model="{model}")', "instruction": instruction}
        return Settings.load(data_dir=tmp_path / "data", rerank=chosen)

    with RAGPipeline.from_settings(told("find foxes")) as pipeline:
        pipeline.ingest(tmp_path / "docs")
        answer = pipeline.ask("Which animal is quick?")
        assert answer.fingerprints["instruction"] == "find foxes"
        assert pipeline.log.replay(answer.id).recomputed == {}
    with RAGPipeline.from_settings(told("find dogs")) as pipeline:
        replayed = pipeline.log.replay(answer.id)
        assert "instruction" in replayed.recomputed["cross-encoder"]
        assert scores(replayed.answer) != scores(answer)
    with (
        RAGPipeline.from_settings(told("find foxes")) as pipeline,
        pytest.raises(ModelError, match="takes no instruction"),
    ):
        pipeline.ask("Which animal is quick?", rerank="balanced")
