"""The pipeline from Python: ingest, ask, read the log; users' parts, both languages, notebooks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
from tests.support.endpoint import Endpoint, said, status
from tests.support.tiny_models import bert_encoder
from winnow import Candidate, RAGPipeline, Settings
from winnow.app.parts import Parts

pytestmark = pytest.mark.heavy

DOCUMENTS = {
    "rerank.md": "# Reranking\n\nReranking reorders the candidates that retrieval found.\n\n"
    "## Limits\n\nA reranker cannot bring back a passage that retrieval missed.\n",
    "fruit.txt": "Bananas are rich in potassium. Apples keep well in a cool cellar.\n",
    "重排.md": "# 重排序\n\n重排序把最相关的段落排在最前面。召回阶段漏掉的段落，重排序无法找回。\n",
}


# A collection of the same documents whose encoder reads no Chinese.
ENGLISH: dict[str, Any] = {"encoder": {"model": MINILM}, "collection": "english"}


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the three documents, below a path with a space and Chinese characters."""
    root = tmp_path_factory.mktemp("数据 data")
    (root / "docs").mkdir()
    for name, text in DOCUMENTS.items():
        (root / "docs" / name).write_text(text, encoding="utf-8")
    with RAGPipeline.from_settings(Settings.load(data_dir=root / "data")) as pipeline:
        report = pipeline.ingest(root / "docs")
        assert report.totals["ingested"] == 3
    with RAGPipeline.from_settings(Settings.load(data_dir=root / "data", **ENGLISH)) as pipeline:
        pipeline.ingest(root / "docs")
    return root


@pytest.fixture
def pipeline(ingested: Path) -> Iterator[RAGPipeline]:
    """An open pipeline over it."""
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested / "data")) as opened:
        yield opened


def test_an_english_question_is_answered_with_an_exact_citation(pipeline: RAGPipeline) -> None:
    """The answer quotes the document, and the citation's span is that quote in the file."""
    answer = pipeline.ask("Can a reranker bring back a passage that retrieval missed?")
    assert "cannot bring back a passage that retrieval missed. [1]" in answer.text
    citation = answer.citations[0]
    assert citation.source.endswith("rerank.md")
    assert citation.headings == ("Reranking",)
    assert DOCUMENTS["rerank.md"][citation.start : citation.end] == citation.quote
    assert {stage.status for stage in answer.stages} == {"ok"}
    assert answer.candidates[0].ranks["final"] == 1
    assert answer.candidates[0].ranks["fusion.late-interaction"] == 1
    assert answer.candidates[0].ranks["fusion"] == 1


def test_a_chinese_question_is_answered_as_an_english_one(pipeline: RAGPipeline) -> None:
    """Chinese is found by both legs and reranked; every stage is well."""
    answer = pipeline.ask("重排序能找回召回阶段漏掉的段落吗？")
    assert answer.citations[0].source.endswith("重排.md")
    assert "重排序无法找回" in answer.text
    assert {stage.status for stage in answer.stages} == {"ok"}
    stages = ("dense", "lexical", "retrieval", "fusion.late-interaction", "fusion", "diversity", "final")
    assert answer.candidates[0].ranks == dict.fromkeys(stages, 1)


def test_what_the_encoder_cannot_read_is_answered_and_the_degradation_is_said(ingested: Path) -> None:
    """Chinese is answered from the lexical leg, and one warning says what every stage could not do."""
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested / "data", **ENGLISH)) as pipeline:
        answer = pipeline.ask("重排序能找回召回阶段漏掉的段落吗？")
    assert answer.citations[0].source.endswith("重排.md")
    assert "重排序无法找回" in answer.text
    assert {stage.name: stage.status for stage in answer.stages} == {
        "retrieval": "partial",
        "fusion.late-interaction": "fallback",
        "fusion": "fallback",
        "diversity": "ok",
        "generation": "partial",
    }
    assert len(answer.warnings) == 1
    assert "cannot read the question" in answer.warnings[0]


def test_a_floor_of_one_scale_is_not_held_against_another(ingested: Path) -> None:
    """Retrieval's score is not held against the reranker's floor after a fallback, nor in a replay.

    A score of the reranker is.
    """
    chosen = {
        **ENGLISH,
        "rerank": {"spec": "late-interaction,setwise", "on_failure": "fallback"},
        "answer": {"min_score": 2},
    }
    chosen["llm"] = {"base_url": "http://127.0.0.1:9/v1", "max_retries": 0}
    settings = Settings.load(data_dir=ingested / "data", **chosen)
    with RAGPipeline.from_settings(settings) as pipeline:
        fallen = pipeline.ask("重排序能找回召回阶段漏掉的段落吗？")
        assert fallen.answered
        assert "min_score did not decide: late-interaction gave no scores" in fallen.stages[-1].reason
        replayed = pipeline.log.replay(fallen.id).answer
        assert replayed.answered
        assert "did not decide" in replayed.stages[-1].reason
        assert not pipeline.ask("What is reranking?").answered
    settings = Settings.load(data_dir=ingested / "data", **{**chosen, "answer": {"min_score": 0.1}})
    with RAGPipeline.from_settings(settings) as pipeline:
        assert pipeline.ask("What is reranking?").answered


def test_a_logged_answer_comes_back_equal(pipeline: RAGPipeline) -> None:
    """A logged Answer is read back equal, and the list has the newest first."""
    first, second = pipeline.ask("What is reranking?"), pipeline.ask("什么是重排序？")
    assert pipeline.log.get(first.id) == first
    assert pipeline.log.get(second.id[:9]) == second
    assert [summary.id for summary in pipeline.log.list(limit=2)] == [second.id, first.id]


def test_what_is_asked_again_after_reopening_is_the_same(ingested: Path, pipeline: RAGPipeline) -> None:
    """The same question over the same collection gives the same candidates in the same order."""
    one, two = pipeline.ask("What keeps well in a cellar?"), pipeline.ask("What keeps well in a cellar?")
    assert one.candidates == two.candidates
    assert one.id != two.id


def test_a_second_ingest_embeds_nothing(ingested: Path, pipeline: RAGPipeline) -> None:
    """Unchanged files are recognised by their content."""
    report = pipeline.ingest([ingested / "docs"])
    assert report.totals["unchanged"] == 3
    assert report.embedded == 0


def test_both_forms_work_from_a_running_loop(pipeline: RAGPipeline) -> None:
    """In a running loop both `await aask` and a blocking `ask` work, and concurrent answers do not mix."""

    async def notebook() -> list[str]:
        inside = pipeline.ask("What is rich in potassium?")
        several = await asyncio.gather(*(pipeline.aask(f"Do apples keep well? {n}") for n in range(8)))
        return [inside.text, *(answer.question for answer in several)]

    text, *questions = asyncio.run(notebook())
    assert "potassium" in text
    assert questions == [f"Do apples keep well? {n}" for n in range(8)]


def test_threads_may_ask_at_once(pipeline: RAGPipeline) -> None:
    """Sixteen threads, one pipeline: each gets the answer to its own question."""
    answers: dict[int, str] = {}

    def ask(n: int) -> None:
        answers[n] = pipeline.ask(
            "What is rich in potassium?" if n % 2 else "What keeps well in a cellar?"
        ).text

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(("potassium" if n % 2 else "cellar") in text for n, text in answers.items())
    assert len(answers) == 16


def test_cancelling_an_awaited_question_cancels_it(pipeline: RAGPipeline) -> None:
    """A cancelled `aask` ends at once and leaves the pipeline usable."""

    async def impatient() -> None:
        task = asyncio.create_task(pipeline.aask("What is reranking?"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(impatient())
    assert pipeline.ask("What is reranking?").text


def test_search_stops_before_generation_and_logs_nothing(pipeline: RAGPipeline) -> None:
    """`search` gives candidates with ranks; the log does not grow."""
    before = [summary.id for summary in pipeline.log.list(limit=100)]
    found = pipeline.search("potassium", top_k_rerank=2)
    assert [candidate.ranks["final"] for candidate in found.final] == [1, 2]
    judges = ["fusion.late-interaction", "fusion.cross-encoder"]
    assert [stage.name for stage in found.stages] == ["retrieval", *judges, "fusion", "diversity"]
    assert [summary.id for summary in pipeline.log.list(limit=100)] == before


def test_the_spec_none_keeps_the_retrieval_order(pipeline: RAGPipeline) -> None:
    """A spec given with the question overrides the settings, and is logged as given."""
    answer = pipeline.ask("What is reranking?", rerank="none")
    assert answer.rerank == "none"
    assert [candidate.ranks["retrieval"] for candidate in answer.final] == list(
        range(1, len(answer.final) + 1)
    )


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


def test_models_are_prepared_where_the_settings_say(tmp_path: Path) -> None:
    """`models_dir` holds the form of a model that runs here, which the next process finds."""
    encoder = {"model": str(bert_encoder(tmp_path / "tiny")), "device": "cpu"}
    with Parts(Settings.load(models_dir=tmp_path / "models", encoder=encoder)) as parts:
        assert parts.encoder.dim > 0
    assert [folder.name.partition("@")[0] for folder in (tmp_path / "models").glob("[!.]*")] == ["tiny"]


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


def test_a_closed_pipeline_says_so(ingested: Path) -> None:
    """A pipeline can be closed twice; asking afterwards is a clear error."""
    pipeline = RAGPipeline.from_settings(Settings.load(data_dir=ingested / "data"))
    pipeline.close()
    pipeline.close()
    with pytest.raises(BadInputError, match="closed"):
        pipeline.ask("And when?", follow_up="ffffffff")  # not looked for in the log
    with pytest.raises(BadInputError, match="closed"):
        pipeline.ask("What is reranking?")


def test_a_forgotten_close_neither_hangs_nor_loses(ingested: Path) -> None:
    """A script that ends without `close()` ends at once, and its answer is in the log."""
    script = (
        "from winnow import RAGPipeline, Settings\n"
        f"p = RAGPipeline.from_settings(Settings.load(data_dir={str(ingested / 'data')!r}))\n"
        "print(p.ask('What is rich in potassium?').id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested / "data")) as pipeline:
        assert pipeline.log.get(done.stdout.strip()).question == "What is rich in potassium?"


class Shelf:
    """A user's plain retriever over bare texts."""

    def search(self, query: str, top_k: int) -> list[str]:
        return ["Bananas are yellow.", "Reranking helps.", "Grass is green."][:top_k]


class Longest:
    """A user's plain reranker."""

    name = "longest"

    def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> list[Candidate]:
        return sorted(candidates, key=lambda candidate: -len(candidate.text))[:top_k]


class Echo:
    """A user's plain generator."""

    def generate(self, question: str, candidates: Sequence[Candidate]) -> str:
        return f"{question} {candidates[0].text} [1]"


def test_ready_plain_parts_make_a_pipeline_that_logs(tmp_path: Path) -> None:
    """A user's three synchronous parts answer, cite and log, without a store or a model."""
    with RAGPipeline(Shelf(), Longest(), Echo(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        answer = pipeline.ask("Why?", top_k_rerank=1)
        assert answer.text == "Why? Bananas are yellow. [1]"
        assert answer.citations[0].chunk_id == "text-1"
        assert answer.candidates[0].ranks == {"retrieval": 1, "longest": 1, "final": 1}
        assert answer.rerank == "longest"
        assert pipeline.log.get(answer.id) == answer
        assert pipeline("Why?") == answer.text.replace("[1]", "[1]")


def test_ready_parts_have_nothing_to_choose_by_name(tmp_path: Path) -> None:
    """With users' parts a spec or collection is refused rather than ignored."""
    with RAGPipeline(Shelf(), Longest(), Echo(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        with pytest.raises(BadInputError, match="ready parts"):
            pipeline.ask("Why?", rerank="none")
        with pytest.raises(BadInputError, match="ready parts"):
            pipeline.ask("Why?", collection="x")


def test_a_chat_model_answers_only_when_chosen(ingested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chat model is called only with `--answerer openai`, not because a key is in the environment."""
    with Endpoint() as endpoint:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
        chosen = Settings.load(data_dir=ingested / "data", llm={"base_url": endpoint.url, "model": "small"})
        with RAGPipeline.from_settings(chosen) as pipeline:
            pipeline.ask("What is rich in potassium?")
            assert endpoint.requests == []
            endpoint.enqueue(said("Bananas are. [1]"))
            answer = pipeline.ask("What is rich in potassium?", answerer="openai")
        assert answer.text == "Bananas are. [1]"
        assert answer.citations[0].source.endswith("fruit.txt")
        assert "Bananas are rich in potassium" in answer.prompt
        assert len(endpoint.requests) == 1
        assert answer.usage.calls == 1


def test_an_endpoint_that_is_down_is_a_clear_error(ingested: Path) -> None:
    """An endpoint that is down gives an error with its address, without a vendor's traceback."""
    chosen = Settings.load(
        data_dir=ingested / "data", answer={"answerer": "openai"},
        llm={"base_url": "http://127.0.0.1:9/v1", "api_key": "x", "max_retries": 0},
    )  # fmt: skip
    with RAGPipeline.from_settings(chosen) as pipeline, pytest.raises(WinnowError, match=r"127\.0\.0\.1:9"):
        pipeline.ask("What is reranking?")


def test_without_token_vectors_late_interaction_computes_them(ingested: Path, tmp_path: Path) -> None:
    """Computed token vectors rank like stored ones, up to their 4-bit rounding."""
    stored = Settings.load(data_dir=ingested / "data")
    without = Settings.load(data_dir=tmp_path / "bare", ingest={"token_vectors": False})
    question = "Can a reranker bring back a passage?"
    with RAGPipeline.from_settings(without) as pipeline:
        pipeline.ingest(ingested / "docs")
        assert pipeline.wiring.collection().fingerprint.token_dim is None
        bare = pipeline.ask(question)
    with RAGPipeline.from_settings(stored) as pipeline:
        full = pipeline.ask(question)
    assert [c.text for c in bare.final] == [c.text for c in full.final]
    for one, other in zip(bare.final, full.final, strict=True):
        ours, theirs = one.scores.get("fusion"), other.scores.get("fusion")
        assert (ours is None) == (theirs is None)
        assert ours is None or ours == pytest.approx(theirs, abs=0.03)


class Broken:
    """A user's reranker that fails."""

    name = "broken"

    def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> list[Candidate]:
        raise RuntimeError("out of luck")


def test_a_users_reranker_that_fails_is_a_flagged_fallback(tmp_path: Path) -> None:
    """A user's failing reranker keeps the retrieval order, flagged, or raises with `raise`."""
    with RAGPipeline(Shelf(), Broken(), Echo(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        answer = pipeline.ask("Why?")
    assert answer.stages[1].status == "fallback"
    assert "out of luck" in answer.warnings[0]
    assert answer.final[0].text == "Bananas are yellow."
    strict = Settings.load(data_dir=tmp_path, rerank={"on_failure": "raise"})
    with (
        RAGPipeline(Shelf(), Broken(), Echo(), settings=strict) as pipeline,
        pytest.raises(WinnowError, match="luck"),
    ):
        pipeline.ask("Why?")


def test_the_answer_of_a_users_generator_is_sent_to_no_chat_model(tmp_path: Path) -> None:
    """Replaying a user's generator's answer requires an answerer to be named, and calls no model."""
    with RAGPipeline(Shelf(), Longest(), Echo(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        answer = pipeline.ask("Why?")
        with pytest.raises(BadInputError, match="Echo"):
            pipeline.log.replay(answer.id, "none")
        assert pipeline.log.replay(answer.id, "none", answerer="extractive").answer.answerer == "extractive"


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
