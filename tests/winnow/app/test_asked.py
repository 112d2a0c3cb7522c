"""`Asked`, a question with its options: the same from Python, the command line and HTTP."""

from __future__ import annotations

from dataclasses import fields

import pytest

from storage.errors import BadInputError
from storage.records import Candidate, Generation, Outcome, Retrieval
from winnow import Asked, RAGPipeline
from winnow.app.asked import AskWishes, SearchWishes
from winnow.cli.options import AskOptions, SearchOptions
from winnow.server.api.schemas import AskRequest, SearchRequest

# What a token may see, and what is said of that which a follow-up cannot take over: nobody's wishes.
ASKED = {field.name for field in fields(Asked)} - {"within", "noted"}
WISHES = ASKED - {"question", "top_k_retrieve", "top_k_rerank"}
OF_ANSWERS = {"answerer", "history", "follow_up"}


class Parts:
    """A pipeline's parts that return what they are asked for."""

    name = "parts"

    async def search(self, query: str, top_k: int) -> Retrieval:
        found = tuple(Candidate.from_text(f"passage {n}", id=str(n)) for n in range(top_k))
        return Retrieval(found)

    async def rerank(self, query: str, candidates: list[Candidate], top_k: int) -> list[Candidate]:
        return list(candidates)[:top_k]

    async def generate(self, question: str, candidates: list[Candidate]) -> Generation:
        return Generation(text=question, outcome=Outcome("generation"), answerer="parts")


@pytest.fixture
def pipeline() -> RAGPipeline:
    return RAGPipeline(Parts(), Parts(), Parts())


def test_every_door_offers_every_wish() -> None:
    """Every interface offers every option, except that the command line takes no earlier turns."""
    assert AskWishes.__annotations__.keys() == WISHES
    assert SearchWishes.__annotations__.keys() == WISHES - OF_ANSWERS
    assert AskRequest.model_fields.keys() == ASKED | {"stream"}
    assert SearchRequest.model_fields.keys() == ASKED - OF_ANSWERS
    own = {"data_dir", "as_json"}
    assert {field.name for field in fields(AskOptions)} - own == ASKED - {"question", "history"}
    assert {field.name for field in fields(SearchOptions)} - own == ASKED - OF_ANSWERS - {"question"}


def test_a_ready_question_is_asked_whole(pipeline: RAGPipeline) -> None:
    """An `Asked` can be passed as the question, and explicit arguments override it."""
    answer = pipeline.ask(Asked("Why?", top_k_retrieve=7, top_k_rerank=2))
    assert (answer.question, len(answer.candidates), len(answer.final)) == ("Why?", 7, 2)
    assert len(pipeline.search(Asked("Why?", 7), top_k_rerank=3).final) == 3
    assert pipeline(Asked("Why?")) == "Why?"


def test_limits_are_the_settings_or_50_and_5(pipeline: RAGPipeline) -> None:
    """Limits default to the settings', or to 50 and 5; less than one is refused."""
    answer = pipeline.ask("Why?")
    assert (answer.top_k_retrieve, answer.top_k_rerank) == Asked("Why?").limits == (50, 5)
    with pytest.raises(BadInputError, match="1 or more"):
        pipeline.ask("Why?", top_k_rerank=0)


def test_a_search_takes_no_wish_of_an_answer(pipeline: RAGPipeline) -> None:
    """A search refuses an answerer or a history instead of ignoring them."""
    with pytest.raises(BadInputError, match="answerer and no follow_up"):
        pipeline.search(Asked("Why?", answerer="openai", follow_up="last"))
