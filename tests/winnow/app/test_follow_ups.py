"""Follow-up questions: completed from what was asked before, logged and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from storage.errors import BadInputError, LogError, NotFoundError
from storage.reasons import Reason
from tests.support.endpoint import Endpoint
from tests.support.streaming import Shelf, chatting
from winnow import Answer, Candidate, RAGPipeline, Settings, Turn

pytestmark = pytest.mark.heavy


class Reversed:
    """Somebody's own reranker, which no spec names."""

    def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> list[Candidate]:
        return list(candidates)[::-1][:top_k]


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
