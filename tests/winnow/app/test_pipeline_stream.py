"""Streaming, cancellation and follow-up questions, over a real endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from storage.errors import BadInputError, ChatError, LogError, NotFoundError, StageError
from storage.reasons import Reason
from tests.support.endpoint import Endpoint, Request, Response, completion, events
from winnow import Answer, Candidate, RAGPipeline, Settings, Turn

pytestmark = pytest.mark.heavy

QUESTION = "What is rich in potassium?"
TEXTS = {
    "fruit.txt": "Bananas are rich in potassium. Apples keep well in a cool cellar.\n",
    "rerank.md": "# Reranking\n\nReranking reorders the candidates that retrieval found.\n",
    "hamlet.txt": "Hamlet was written by William Shakespeare. Shakespeare wrote Hamlet around 1600.\n",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stream")
    (root / "docs").mkdir()
    for name, text in TEXTS.items():
        (root / "docs" / name).write_text(text, encoding="utf-8")
    with RAGPipeline.from_settings(Settings.load(data_dir=root / "data")) as pipeline:
        pipeline.ingest(root / "docs")
    return root / "data"


def chatting(data: Path, endpoint: Endpoint, folder: Path, **more: object) -> Settings:
    """Settings with a chat model, and a log of their own."""
    return Settings.load(
        data_dir=data, answer={"answerer": "openai"},
        llm={"base_url": endpoint.url, "model": "small", "api_key": "x", "max_retries": 0},
        log={"url": f"sqlite:///{folder}/log.db", **more},
    )  # fmt: skip


class Reversed:
    """Somebody's own reranker, which no spec names."""

    def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> list[Candidate]:
        return list(candidates)[::-1][:top_k]


class Slow:
    """A reply that never ends by itself, and notices when its reader has gone."""

    def __init__(self) -> None:
        self.sent = 0
        self.left = threading.Event()

    def __call__(self, request: Request) -> Response:
        return Response(lines=_Endless(self), drip=0.01)


class _Endless(Sequence[str]):
    """Pieces without an end. The server slices them, and writes until the connection is closed."""

    def __init__(self, slow: Slow) -> None:
        self._slow = slow
        self._event = events(["word "], finish_reason=None, done=False)[0]

    def __getitem__(self, index: object) -> Iterator[str]:  # type: ignore[override]
        return self._pieces()

    def __len__(self) -> int:
        return sys.maxsize

    def _pieces(self) -> Iterator[str]:
        try:
            while True:
                self._slow.sent += 1
                yield self._event
        finally:  # the server dropped us: writing failed
            self._slow.left.set()


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


class Shelf:
    """A user's plain retriever."""

    def search(self, query: str, top_k: int) -> list[str]:
        return [f"You asked: {query}"]


def test_a_users_stream_without_an_end_is_a_clear_error(tmp_path: Path) -> None:
    """A user's stream without a final Generation gives an error that states the contract."""
    from rerank.strategies.none import NoRerank

    with RAGPipeline(Shelf(), NoRerank(), Endless(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        items = pipeline.stream("Why?")
        assert next(items) == "a piece"
        with pytest.raises(StageError, match="without an answer"):
            next(items)


def test_a_follow_up_is_searched_with_the_question_before(data: Path, tmp_path: Path) -> None:
    """Without a model a follow-up is joined to the question before; the log keeps both."""
    settings = Settings.load(data_dir=data, log={"url": f"sqlite:///{tmp_path}/log.db"})
    with RAGPipeline.from_settings(settings) as pipeline:
        first = pipeline.ask("Who wrote Hamlet?")
        second = pipeline.ask("And when?", follow_up=first.id[:8])
        assert second.question == "And when?"
        assert second.understood == "Who wrote Hamlet? And when?"
        assert second.follow_up is not None
        assert second.follow_up.answer_id == first.id
        assert second.stages[0].name == "rewrite"
        assert second.citations[0].source.endswith("hamlet.txt")
        assert pipeline.log.get(second.id) == second
        assert second.warnings == ()
        by_hand = pipeline.ask("Who wrote Hamlet?", rerank=Reversed())
        after = pipeline.ask("And when?", follow_up=by_hand.id)
        assert [reason.code for reason in map(Reason.of, after.warnings)] == ["winnow.app.another-chain"]
        assert pipeline.log.get(after.id) == after
        assert pipeline.ask("And when?", follow_up=by_hand.id, rerank="none").warnings == ()
        pipeline.ask("And when?", follow_up=first.id)
        third = pipeline.ask("Was that before Macbeth?", follow_up="last")
        assert third.understood == "Who wrote Hamlet? And when? Was that before Macbeth?"
        assert pipeline.log.get(third.id) == third


def test_a_chat_model_rewrites_a_follow_up_and_answers_the_rewrite(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """A follow-up takes two calls, both counted: the rewrite, then the answer to it."""
    endpoint.enqueue("When was Hamlet written?", "Around 1600 [1].")
    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path, llm_calls=True)) as pipeline:
        turns = [Turn("Who wrote Hamlet?", "Shakespeare [1].")]
        *_, answer = pipeline.stream("And when?", history=turns)
        assert isinstance(answer, Answer)
        rewriting, answering = (str(request.body["messages"]) for request in endpoint.requests)
        assert "Q: Who wrote Hamlet?" in rewriting
        assert "Question: When was Hamlet written?" in answering
        assert answer.understood == "When was Hamlet written?"
        assert answer.follow_up is not None
        assert "Q: Who wrote Hamlet?" in answer.follow_up.prompt
        assert answer.usage.calls == 2
        assert answer.stages[0].exchanges[0].reply == "When was Hamlet written?"
        assert pipeline.log.get(answer.id) == answer


def test_a_replay_takes_the_rewritten_question_without_asking_again(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """A replay answers the logged rewrite with one call, and keeps the link to the answer before."""
    endpoint.enqueue("Shakespeare [1].", "When was Hamlet written?", "Around 1600 [1].")
    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        first = pipeline.ask("Who wrote Hamlet?")
        second = pipeline.ask("And when?", history=[first])
        endpoint.enqueue("In 1600 [1].")
        replayed = pipeline.log.replay(second.id, "none").answer
        assert len(endpoint.requests) == 4
        assert "Question: When was Hamlet written?" in replayed.prompt
        assert replayed.follow_up == second.follow_up
        assert second.follow_up is not None
        assert second.follow_up.answer_id == first.id
        assert (replayed.question, replayed.usage.calls) == ("And when?", 1)
        assert pipeline.log.get(replayed.id) == replayed


def test_ready_parts_take_a_history_too(tmp_path: Path) -> None:
    """With a history, a user's own retriever gets the complete question."""
    from rerank.strategies.none import NoRerank

    class Echo:
        def generate(self, question: str, candidates: Sequence[Candidate]) -> str:
            return f"{candidates[0].text} [1]"

    with RAGPipeline(Shelf(), NoRerank(), Echo(), settings=Settings.load(data_dir=tmp_path)) as pipeline:
        answer = pipeline.ask("And why?", history=[Turn("Who wrote Hamlet?", "Shakespeare.")])
    assert answer.text == "You asked: Who wrote Hamlet? And why? [1]"


def test_the_last_answer_is_that_of_the_collection_asked(tmp_path: Path) -> None:
    """A question to another collection in between does not become part of the conversation."""
    from rerank.strategies.none import NoRerank

    class Echo:
        def generate(self, question: str, candidates: Sequence[Candidate]) -> str:
            return f"{candidates[0].text} [1]"

    settings = Settings.load(data_dir=tmp_path)
    parts = (Shelf(), NoRerank(), Echo())
    with (
        RAGPipeline(*parts, collection="plays", settings=settings) as plays,
        RAGPipeline(*parts, collection="bikes", settings=settings) as bikes,
    ):
        plays.ask("Who wrote Hamlet?")
        bikes.ask("Who built it?")
        assert plays.ask("And when?", follow_up="last").understood == "Who wrote Hamlet? And when?"


def test_what_cannot_be_followed_is_said(data: Path, tmp_path: Path) -> None:
    """Following an empty log, an unknown id, two histories at once or a switched-off log is an error."""
    settings = Settings.load(data_dir=data, log={"url": f"sqlite:///{tmp_path}/log.db"})
    with RAGPipeline.from_settings(settings) as pipeline:
        with pytest.raises(NotFoundError, match="none of yours from the collection 'default'"):
            pipeline.ask("And when?", follow_up="last")
        with pytest.raises(NotFoundError, match="nothere"):
            pipeline.ask("And when?", follow_up="nothere")
        with pytest.raises(BadInputError, match="not both"):
            pipeline.ask("And when?", follow_up="last", history=[Turn("Who?", "I.")])
    off = Settings.load(data_dir=data, log={"enabled": False})
    with RAGPipeline.from_settings(off) as pipeline, pytest.raises(LogError, match="off"):
        pipeline.ask("And when?", follow_up="last")


@pytest.mark.slow
def test_ctrl_c_in_the_shell_stops_the_model_and_exits_130_with_one_line(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """Ctrl-C during a stream closes the connection and exits with 130, one line and no traceback."""
    slow = Slow()
    endpoint.enqueue(slow)
    environment = {
        **os.environ,
        "WINNOW_LLM__BASE_URL": endpoint.url, "WINNOW_LLM__API_KEY": "x",
        "WINNOW_LOG__URL": f"sqlite:///{tmp_path}/log.db",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "winnow", "ask", QUESTION, "--answerer", "openai", "--stream",
         "--data-dir", str(data)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(5) == "word "
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines() == ["interrupted; an answer that was cut short is not logged"]
    assert slow.left.wait(10)
    assert len(endpoint.requests) == 1
    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        assert pipeline.log.list() == []


@pytest.mark.slow
def test_a_chat_in_the_shell_keeps_its_history_and_survives_ctrl_c(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """In a chat Ctrl-C stops only the answer, follow-ups are rewritten, and Ctrl-D leaves."""
    slow = Slow()
    endpoint.enqueue("Shake\x1b[2Jspeare [1].", "When was Hamlet written?", slow, "Goodbye [1].")
    environment = {
        **os.environ,
        "WINNOW_LLM__BASE_URL": endpoint.url, "WINNOW_LLM__API_KEY": "x",
        "WINNOW_LOG__URL": f"sqlite:///{tmp_path}/log.db", "TERM": "dumb",
    }  # fmt: skip
    words = [sys.executable, "-m", "winnow", "chat", "--answerer", "openai", "--data-dir", str(data)]
    handle, theirs = pty.openpty()
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    terminal = _Terminal(handle)
    terminal.until("> ").type("Who wrote Hamlet?\n")
    terminal.until("winnow log show").until("> ").type("And when?\n")
    terminal.until("word word")
    process.send_signal(signal.SIGINT)
    terminal.until("stopped; an answer that was cut short is not logged").until("> ").type("/new\n")
    terminal.until("> ").type("Who wrote Hamlet?\n")
    terminal.until("Goodbye [1].").until("> ").type("\x04")
    assert process.wait(60) == 0
    os.close(handle)
    assert slow.left.wait(10)
    assert "\x1b[2J" not in terminal.seen
    sent = [str(request.body["messages"]) for request in endpoint.requests]
    assert len(sent) == 4
    assert "Q: Who wrote Hamlet?" in sent[1]
    assert "When was Hamlet written?" in sent[2]
    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        assert [row.question for row in pipeline.log.list()] == ["Who wrote Hamlet?"] * 2


class _Terminal:
    """The other end of a pseudo-terminal."""

    def __init__(self, handle: int) -> None:
        self.seen = ""
        self._handle = handle
        self._read_to = 0

    def until(self, text: str) -> _Terminal:
        """Read until `text` appears after the text that was waited for before."""
        while (found := self.seen.find(text, self._read_to)) < 0:
            try:
                self.seen += os.read(self._handle, 4096).decode(errors="replace")
            except OSError as error:
                raise AssertionError(f"no {text!r} in {self.seen[self._read_to :]!r}") from error
        self._read_to = found + len(text)
        return self

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())
