"""Loops, threads, cancelling and closing: a pipeline from its opening to its end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storage.errors import BadInputError
from tests.support.tiny_models import bert_encoder
from winnow import RAGPipeline, Settings
from winnow.app.parts import Parts

pytestmark = pytest.mark.heavy


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


def test_models_are_prepared_where_the_settings_say(tmp_path: Path) -> None:
    """`models_dir` holds the form of a model that runs here, which the next process finds."""
    encoder = {"model": str(bert_encoder(tmp_path / "tiny")), "device": "cpu"}
    with Parts(Settings.load(models_dir=tmp_path / "models", encoder=encoder)) as parts:
        assert parts.encoder.dim > 0
    assert [folder.name.partition("@")[0] for folder in (tmp_path / "models").glob("[!.]*")] == ["tiny"]


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
