"""The compatible APIs, through the vendors' own clients and winnow's `api` strategy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cohere
import httpx
import openai
import pytest

from retrieval.models.hub import MINILM
from tests.support.endpoint import Endpoint, said
from tests.support.serving import QUESTION, Server, ingested, serving
from winnow import Settings
from winnow.app.reranking import rerank

pytestmark = pytest.mark.heavy

TEXTS = ["Apples keep well in a cool cellar.", "Paris is in France.", "Bananas are rich in potassium."]
FRUIT = "Which fruit is rich in potassium?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server over three documents, with a further spec."""
    data = ingested(tmp_path_factory.mktemp("faces"))
    with serving(Settings.load(data_dir=data, server={"specs": ["none"]})) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    """OpenAI's own client."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as opened:
        yield opened


@pytest.fixture
def connections() -> Iterator[httpx.Client]:
    """The HTTP client for cohere's clients, which never close their own."""
    with httpx.Client() as opened:
        yield opened


@pytest.fixture
def reranks(server: Server, connections: httpx.Client) -> cohere.ClientV2:
    """Cohere's own client."""
    return cohere.ClientV2("none", base_url=server.url, httpx_client=connections)


def test_openais_client_sees_the_collections_first(client: openai.OpenAI) -> None:
    """The models are the collections, then collections with the server's further specs."""
    assert [model.id for model in client.models.list()] == ["winnow", "winnow/default", "winnow/default@none"]
    assert client.models.retrieve("winnow/default").owned_by == "winnow"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("winnow/nothing")


def test_openais_client_gets_an_answer_with_citations(server: Server, client: openai.OpenAI) -> None:
    """Citations are in the text, listed below it, and in annotations that link to the passage."""
    said = client.chat.completions.create(
        model="winnow/default", messages=[{"role": "user", "content": QUESTION}], temperature=0.2
    )
    message = said.choices[0].message
    assert message.content is not None
    assert "cannot bring back a passage that retrieval missed. [1]" in message.content
    assert message.content.endswith("Sources:\n[1] Reranking")
    assert message.annotations
    cited = message.annotations[0].url_citation
    assert message.content[cited.start_index : cited.end_index] == "[1]"
    page = server.get(cited.url.partition("#")[0], headers={"accept": "text/html"}).text
    assert "rerank.md" in page
    assert "<mark>A reranker cannot bring back a passage that retrieval missed.</mark>" in page
    assert said.usage is not None
    assert server.get(f"/v1/answers/{said.winnow['answer_id']}").status_code == 200  # type: ignore[attr-defined]


def test_openais_client_streams(client: openai.OpenAI) -> None:
    """Deltas carry the text and its sources, and the last chunk the usage, if requested."""
    parts = list(
        client.chat.completions.create(
            model="winnow/default@none",
            messages=[{"role": "user", "content": QUESTION}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert "[1]" in text
    assert "\n\nSources:\n[1] " in text
    assert [part.choices[0].finish_reason for part in parts if part.choices][-1] == "stop"
    assert parts[-1].usage is not None


def test_an_answer_that_met_its_limit_ends_so(tmp_path: Path, endpoint: Endpoint) -> None:
    """OpenAI's clients look at the reason of the end, whole and in a stream."""
    endpoint.reply = said("A reranker cannot bring back [1]", finish_reason="length")
    data = ingested(tmp_path)
    chosen = {"llm": {"model": "m", "base_url": endpoint.url}, "answer": {"answerer": "openai"}}
    with (
        serving(Settings.load(data_dir=data, **chosen)) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        asked: Any = {"model": "winnow", "messages": [{"role": "user", "content": QUESTION}]}
        whole = client.chat.completions.create(**asked)
        parts = list(client.chat.completions.create(**asked, stream=True))
    assert whole.choices[0].finish_reason == "length"
    assert parts[-1].choices[0].finish_reason == "length"


def test_a_conversation_is_followed(server: Server, client: openai.OpenAI) -> None:
    """Earlier turns are used to understand the question, without the source lists below answers."""
    first = client.chat.completions.create(
        model="winnow/default", messages=[{"role": "user", "content": QUESTION}]
    )
    said = client.chat.completions.create(
        model="winnow/default",
        messages=[
            {"role": "system", "content": "Answer like a pirate."},
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": first.choices[0].message.content},
            {"role": "user", "content": [{"type": "text", "text": "Why not?"}]},
        ],
    )
    logged = server.get(f"/v1/answers/{said.winnow['answer_id']}").json()["answer"]  # type: ignore[attr-defined]
    assert logged["question"] == "Why not?"
    assert "reranker" in logged["follow_up"]["question"]
    assert "Sources" not in logged["follow_up"]["question"]


def test_a_chinese_question_gets_chinese_sources(client: openai.OpenAI) -> None:
    """The heading above the sources is in the question's language."""
    said = client.chat.completions.create(
        model="winnow/default",
        messages=[{"role": "user", "content": "重排序能找回召回阶段漏掉的段落吗？"}],
    )
    assert "\n\n来源：\n[1] 重排序" in (said.choices[0].message.content or "")


def test_openais_client_reads_our_errors(client: openai.OpenAI) -> None:
    """OpenAI's client raises its own exceptions with winnow's message."""
    with pytest.raises(openai.NotFoundError, match="nothing"):
        client.chat.completions.create(
            model="winnow/nothing", messages=[{"role": "user", "content": "q"}], stream=True
        )
    with pytest.raises(openai.PermissionDeniedError, match="api"):
        client.chat.completions.create(
            model="winnow/default@api", messages=[{"role": "user", "content": "q"}]
        )
    with pytest.raises(openai.BadRequestError, match="no question"):
        client.chat.completions.create(
            model="winnow/default", messages=[{"role": "assistant", "content": "I asked nothing"}]
        )


def test_coheres_client_reranks(reranks: cohere.ClientV2) -> None:
    """Indices refer to the documents sent, best first, at most `top_n`."""
    found = reranks.rerank(model="late-interaction", query=FRUIT, documents=TEXTS, top_n=2)
    assert found.results[0].index == 2
    assert len(found.results) == 2
    assert found.results[0].relevance_score > found.results[1].relevance_score


def test_coheres_first_api_gives_documents_back(server: Server, connections: httpx.Client) -> None:
    """`/v1/rerank` works with the older client and returns documents, which may be objects."""
    client = cohere.Client("none", base_url=server.url, httpx_client=connections)
    found = client.rerank(
        model="winnow", query=FRUIT, documents=[{"text": text} for text in TEXTS], return_documents=True
    )
    assert found.results[0].document is not None
    assert found.results[0].document.text == TEXTS[2]


def test_what_degraded_is_said_to_coheres_client(tmp_path: Path, connections: httpx.Client) -> None:
    """A question that the encoder cannot read keeps the order, with a warning that says why."""
    with serving(Settings.load(data_dir=tmp_path / "data", encoder={"model": MINILM})) as server:
        reranks = cohere.ClientV2("none", base_url=server.url, httpx_client=connections)
        found = reranks.rerank(model="late-interaction", query="香蕉富含什么？", documents=TEXTS)
    assert [one.index for one in found.results] == [0, 1, 2]
    scores = [one.relevance_score for one in found.results]
    assert scores == sorted(scores, reverse=True)
    assert found.meta is not None
    assert found.meta.warnings
    assert "cannot read the question" in found.meta.warnings[0]


def test_a_chain_that_keeps_fewer_is_obeyed(server: Server) -> None:
    """The smaller of the spec's own `:k` and top_n applies."""
    body = {"model": "none:3,late-interaction:1", "query": FRUIT, "documents": TEXTS, "top_n": 2}
    assert [one["index"] for one in server.post("/v2/rerank", json=body).json()["results"]] == [2]


def test_every_path_of_rerank_clients_answers(server: Server) -> None:
    """Infinity's, llama.cpp's and vLLM's clients ask at `/rerank`, those of TEI with `texts` of their own."""
    body = {"model": "late-interaction", "query": FRUIT, "documents": TEXTS}
    replies = [server.post(path, json=body).json() for path in ("/rerank", "/v1/rerank", "/v2/rerank")]
    assert [[one["index"] for one in reply["results"]] for reply in replies][1:] == [
        [one["index"] for one in replies[0]["results"]]
    ] * 2
    found = server.post("/rerank", json={"query": FRUIT, "texts": TEXTS, "truncate": True}).json()
    assert found[0]["index"] == 2
    assert found[0].keys() == {"index", "score"}
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    told = server.post("/rerank", json={"query": FRUIT, "texts": TEXTS, "return_text": True}).json()
    assert told[0]["text"] == TEXTS[2]
    assert server.post("/rerank", json={"query": FRUIT}).status_code == 422


def test_a_blank_document_costs_no_other_its_score(server: Server) -> None:
    """It is last and below all; the default chain's scores of the others are the model's own."""
    alone = server.post("/v2/rerank", json={"query": FRUIT, "documents": TEXTS, "top_n": 0}).json()
    beside = server.post("/v2/rerank", json={"query": FRUIT, "documents": ["", *TEXTS]}).json()
    scores = {one["index"]: one["relevance_score"] for one in alone["results"]}
    *others, last = beside["results"]
    assert last["index"] == 0
    assert last["relevance_score"] < min(scores.values())
    assert {one["index"] - 1: one["relevance_score"] for one in others} == pytest.approx(scores)


def test_documents_are_read_by_the_fields_that_a_request_names(server: Server) -> None:
    """As in Cohere's first API: `text` by default; of several fields, each that a document has."""
    body = {"query": FRUIT, "model": "late-interaction"}
    plain = [{"text": text, "id": i, "tags": ["x"]} for i, text in enumerate(TEXTS)]
    named = [{"title": text, "text": "A page.", "year": 2019} for text in TEXTS]
    missing = [{"title": text} for text in TEXTS]

    def best(documents: list[Any], *fields: str) -> tuple[int, str]:
        asked = {**body, "documents": documents, "return_documents": True, "rank_fields": list(fields)}
        [first, *_] = server.post("/v1/rerank", json=asked).json()["results"]
        return first["index"], first["document"]["text"]

    assert best(plain) == (2, TEXTS[2])
    assert best(named, "title") == (2, TEXTS[2])
    assert best(named, "title", "year", "none") == (2, f"title: {TEXTS[2]}\nyear: 2019")
    refused = server.post("/v1/rerank", json={**body, "documents": missing})
    assert refused.status_code == 422
    assert "rank_fields" in refused.text


def test_equal_documents_all_come_back(server: Server) -> None:
    """A client's own documents are never folded: each has its index in the reply."""
    body = {"query": FRUIT, "documents": [*TEXTS, *TEXTS]}
    found = server.post("/v2/rerank", json=body).json()
    assert sorted(one["index"] for one in found["results"]) == list(range(2 * len(TEXTS)))


@pytest.mark.parametrize("profile", ["cohere", "jina", "vllm", "llamacpp", "infinity", "tei", "custom"])
def test_winnows_own_api_strategy_reranks_here(server: Server, profile: str) -> None:
    """winnow's `api` strategy can rerank at a winnow server, in the shape of each API."""
    settings = Settings.load(rerank={"api_keys": {profile: "any"}})
    model = "" if profile == "tei" else ',model="late-interaction"'
    spec = f'api(profile={profile},url="{server.url}"{model})'
    found = rerank(FRUIT, TEXTS, spec, settings=settings)
    assert [outcome.status for outcome in found.outcomes] == ["ok"]
    assert found.results[0].index == 2


def test_a_rerank_request_names_no_address(server: Server) -> None:
    """A rerank request cannot name an address in its spec."""
    body = {"model": 'api(url="http://169.254.169.254")', "query": "q", "documents": ["a"]}
    assert server.post("/v1/rerank", json=body).status_code == 403
