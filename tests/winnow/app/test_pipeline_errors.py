"""Questions that cannot be answered or logged: an error or a warning that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.models.hub import MINILM
from storage.errors import (
    BadInputError,
    FingerprintMismatchError,
    LogError,
    ModelError,
    NotFoundError,
    WinnowError,
)
from storage.reasons import Reason
from tests.support.endpoint import Endpoint, status
from winnow import RAGPipeline, Settings

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize("question", ["", "   ", "\n"])
def test_an_empty_question_is_refused(pipeline: RAGPipeline, question: str) -> None:
    """An empty question is refused."""
    with pytest.raises(BadInputError, match="empty"):
        pipeline.ask(question)


def test_an_unknown_collection_names_what_there_is(pipeline: RAGPipeline) -> None:
    """The error for an unknown collection lists those that exist."""
    with pytest.raises(NotFoundError, match="nothere") as caught:
        pipeline.ask("What?", collection="nothere")
    assert "default" in caught.value.way_out


def test_a_collection_of_another_encoder_is_refused(ingested: Path) -> None:
    """A collection built with another encoder is refused, and its lock is released."""
    from retrieval.models.locate import locate

    by_path = Settings.load(data_dir=ingested / "data", encoder={"model": str(locate(MINILM).folder)})
    for _ in range(2):
        with (
            RAGPipeline.from_settings(by_path) as other,
            pytest.raises(FingerprintMismatchError, match="encoder"),
        ):
            other.ask("What is reranking?")


def test_a_log_that_cannot_be_written_is_a_warning_on_the_answer(ingested: Path, tmp_path: Path) -> None:
    """An answer that cannot be logged is returned with a warning."""
    blocked = tmp_path / "not a database"
    blocked.write_text("this file is no SQLite database, and has never been one" * 40)
    settings = Settings.load(data_dir=ingested / "data", log={"url": f"sqlite:///{blocked}"})
    with RAGPipeline.from_settings(settings) as pipeline:
        answer = pipeline.ask("What is reranking?")
    assert answer.text
    assert "not in the log" in answer.warnings[-1]


def test_a_log_switched_off_keeps_nothing(ingested: Path) -> None:
    """`log.enabled = false` writes nothing, and reading the log says why."""
    settings = Settings.load(data_dir=ingested / "data", log={"enabled": False})
    with RAGPipeline.from_settings(settings) as pipeline:
        pipeline.ask("What is reranking?")
        with pytest.raises(LogError, match="switched off"):
            pipeline.log.list()


def test_an_endpoint_that_is_down_is_a_clear_error(ingested: Path) -> None:
    """An endpoint that is down gives an error with its address, without a vendor's traceback."""
    chosen = Settings.load(
        data_dir=ingested / "data", answer={"answerer": "openai"},
        llm={"base_url": "http://127.0.0.1:9/v1", "api_key": "x", "max_retries": 0},
    )  # fmt: skip
    with RAGPipeline.from_settings(chosen) as pipeline, pytest.raises(WinnowError, match=r"127\.0\.0\.1:9"):
        pipeline.ask("What is reranking?")


def test_a_missing_model_leaves_the_collection_free(ingested: Path) -> None:
    """A missing model releases the collection's lock: a second attempt fails for the same reason."""
    settings = Settings.load(data_dir=ingested / "data", encoder={"model": "nobody/nothing"})
    with RAGPipeline.from_settings(settings) as pipeline:
        kept = []
        for _ in range(2):
            with pytest.raises(ModelError, match="nobody/nothing") as caught:
                pipeline.ask("What is reranking?")
            kept.append(caught)  # a notebook keeps the last exception, and with it what it refers to


def test_a_key_in_a_vendors_error_reaches_no_reason(ingested: Path) -> None:
    """A key that looks like a word is masked in outcomes, warnings and the log, in every language."""
    key = "drei-worte-hier"
    with Endpoint() as endpoint:
        endpoint.reply = status(400, f"the quota of {key} is spent")
        settings = Settings.load(
            data_dir=ingested / "data",
            rerank={"spec": "listwise", "on_failure": "fallback"},
            llm={"base_url": endpoint.url, "api_key": key, "max_retries": 0},
        )
        with RAGPipeline.from_settings(settings) as pipeline:
            answer = pipeline.ask("What is reranking?")
            logged = pipeline.log.get(answer.id)
    assert endpoint.requests
    for one in (answer, logged):
        reasons = [Reason.of(stage.reason) for stage in one.stages if stage.reason]
        assert any("the quota of *** is spent" in reason for reason in reasons)
        assert key not in repr([reasons, [reason.to_json() for reason in reasons], one.warnings])
