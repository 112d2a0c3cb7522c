"""Streamed answers over a real endpoint, and readers who leave or cancel."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from storage.errors import ChatError, StageError
from tests.support.endpoint import Endpoint, Request, Response, completion, events
from tests.support.streaming import QUESTION, Shelf, Slow, chatting
from winnow import Answer, Candidate, RAGPipeline, Settings

pytestmark = pytest.mark.heavy


def test_a_streamed_answer_comes_in_pieces_then_whole_and_logged(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """The pieces are the text; the last item is the Answer, with citations, and the log has it."""
    endpoint.enqueue("Bananas are rich in it [1].")
    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        *pieces, answer = pipeline.stream(QUESTION)
        assert isinstance(answer, Answer)
        assert len(pieces) == 6
        assert "".join(map(str, pieces)) == answer.text == "Bananas are rich in it [1]."
        assert answer.citations[0].source.endswith("fruit.txt")
        names = [stage.name for stage in answer.stages]
        judges = ["fusion.late-interaction", "fusion.cross-encoder"]
        assert names == ["retrieval", *judges, "fusion", "diversity", "generation"]
        assert pipeline.log.get(answer.id) == answer


def test_an_awaited_stream_gives_the_same(data: Path, endpoint: Endpoint, tmp_path: Path) -> None:
    """Concurrent awaited streams in the caller's loop do not mix."""
    endpoint.reply = lambda request: "Bananas [1]." if "potassium" in str(request.body) else "Apples [1]."

    async def several(pipeline: RAGPipeline) -> list[list[str | Answer]]:
        async def one(question: str) -> list[str | Answer]:
            return [item async for item in pipeline.astream(question, top_k_rerank=1)]

        return await asyncio.gather(*(one(q) for q in (QUESTION, "What is reordered by reranking?")))

    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        for items, text in zip(asyncio.run(several(pipeline)), ["Bananas [1].", "Apples [1]."], strict=True):
            assert items[:-1] == [text.split(" ")[0], " [1]."]
            assert isinstance(items[-1], Answer)
            assert pipeline.log.get(items[-1].id) == items[-1]


def test_an_answerer_that_cannot_stream_gives_one_piece(data: Path, tmp_path: Path) -> None:
    """The extractive answer comes as one piece, and no model is called."""
    with RAGPipeline.from_settings(Settings.load(data_dir=data)) as pipeline:
        text, answer = pipeline.stream(QUESTION)
        assert isinstance(answer, Answer)
        assert text == answer.text
        assert "Bananas are rich in potassium. [1]" in answer.text


def test_leaving_a_stream_stops_the_model_and_logs_nothing(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """Leaving a stream closes the connection and logs nothing, and the pipeline stays usable."""
    slow = Slow()
    endpoint.enqueue(slow, "Next [1].")
    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        items = pipeline.stream(QUESTION)
        assert next(items) == "word "
        items.close()
        assert slow.left.wait(10)
        assert len(endpoint.requests) == 1
        assert pipeline.log.list() == []
        assert pipeline.ask(QUESTION).text == "Next [1]."


def test_breaking_out_of_an_awaited_stream_stops_the_model(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """`aclosing`, or cancelling the reading task, stops the model at once."""
    slow, cancelled = Slow(), Slow()
    endpoint.enqueue(slow, cancelled)

    async def leave(pipeline: RAGPipeline) -> None:
        async with contextlib.aclosing(pipeline.astream(QUESTION)) as items:
            async for _ in items:
                break
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in pipeline.astream(QUESTION):
                begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        asyncio.run(leave(pipeline))
        assert slow.left.wait(10)
        assert cancelled.left.wait(10)
        assert len(endpoint.requests) == 2
        assert pipeline.log.list() == []


def test_cancelling_an_awaited_question_stops_the_model(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """When a time limit around `aask` raises, its work has stopped and nothing is logged."""
    asked = threading.Event()

    def never(request: Request) -> Response:
        asked.set()
        return Response(body=completion("too late"), delay=60)

    endpoint.enqueue(never)

    async def impatient(pipeline: RAGPipeline) -> None:
        task = asyncio.create_task(pipeline.aask(QUESTION))
        await asyncio.to_thread(asked.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        asyncio.run(impatient(pipeline))
        assert pipeline.log.list() == []
        assert len(endpoint.requests) == 1


def test_a_stream_that_breaks_raises_after_its_pieces_and_logs_nothing(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """Half an answer is never taken for a whole one."""
    endpoint.enqueue(Response(lines=events(["Half"], finish_reason=None, done=False)))
    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        items = pipeline.stream(QUESTION)
        assert next(items) == "Half"
        with pytest.raises(ChatError, match="broke off"):
            next(items)
        assert pipeline.log.list() == []


class Endless:
    """A user's streaming answerer that forgets its last item."""

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> object:
        raise AssertionError("it streams")

    async def stream(self, question: str, candidates: Sequence[Candidate]) -> object:
        yield "a piece"


def test_a_users_stream_without_an_end_is_a_clear_error(tmp_path: Path) -> None:
    """A user's stream without a final Generation gives an error that states the contract."""
    from rerank.strategies.none import NoRerank

    with RAGPipeline(Shelf(), NoRerank(), Endless(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        items = pipeline.stream("Why?")
        assert next(items) == "a piece"
        with pytest.raises(StageError, match="without an answer"):
            next(items)
