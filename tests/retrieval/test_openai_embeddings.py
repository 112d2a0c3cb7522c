"""Embeddings of an OpenAI-compatible endpoint: limits, retries, validation of every reply."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.encoder import Encoder
from retrieval.encoders.endpoint import load_openai_encoder
from storage.chat import Price
from storage.errors import ModelError, SettingsError
from tests.support.embedding_api import EmbeddingApi, vector_of
from tests.support.endpoint import Endpoint, Response, status
from winnow import RAGPipeline, Settings

pytestmark = pytest.mark.heavy

TEXTS = ["Late interaction compares token vectors.", "重排序让最相关的段落排在最前面。", "A fox jumps."]


@pytest.fixture
def api(endpoint: Endpoint) -> EmbeddingApi:
    endpoint.routes["/v1/embeddings"] = api = EmbeddingApi()
    return api


@pytest.fixture
def load(endpoint: Endpoint) -> Iterator[Callable[..., Encoder]]:
    """Makes encoders at the endpoint, and closes them."""
    made: list[Encoder] = []

    def loaded(model: str = "some-embedder", **options: Any) -> Encoder:
        made.append(load_openai_encoder(model, base_url=endpoint.url, **options))
        return made[-1]

    yield loaded
    for encoder in made:
        encoder.close()


def unit(vector: Any) -> Any:
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("formats", [("base64", "float"), ("float",)])
def test_vectors_are_the_endpoints_in_the_order_of_the_texts(
    api: EmbeddingApi, load: Callable[..., Encoder], formats: tuple[str, ...]
) -> None:
    """Base64 is requested; a server that refuses it is asked for numbers from then on."""
    api.formats = formats
    encoder = load()
    for text, encoding in zip(TEXTS, encoder.encode_passages(TEXTS, tokens=True), strict=True):
        np.testing.assert_allclose(encoding.dense, unit(vector_of(text, 8)), atol=1e-6)
        assert (encoding.tokens, encoding.truncated) == (None, False)
    asked = api.asked
    encoder.encode_passages(["one more"], tokens=False)
    assert api.asked == asked + 1
    assert (encoder.dim, encoder.token_dim) == (8, None)


def test_vectors_in_another_order_are_put_in_theirs(api: EmbeddingApi, load: Callable[..., Encoder]) -> None:
    """Vectors are matched to texts by the items' index, not by their order."""
    api.faults.append(lambda reply: reply | {"data": reply["data"][::-1]})
    for text, encoding in zip(TEXTS, load().encode_passages(TEXTS, tokens=False), strict=True):
        np.testing.assert_allclose(encoding.dense, unit(vector_of(text, 8)), atol=1e-6)


def items(
    change: Callable[[int, dict[str, Any]], dict[str, Any]],
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A fault that changes each item of a reply."""
    return lambda reply: reply | {"data": [change(n, item) for n, item in enumerate(reply["data"])]}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda reply: reply | {"data": reply["data"][1:]}, "2 vectors for 3 texts"),
        (lambda reply: reply | {"data": "none"}, "no list of vectors"),
        (lambda reply: {"error": "busy"}, "no list of vectors"),
        (items(lambda n, item: item | {"index": 0}), "numbered 0, 0, 0"),
        (items(lambda n, item: item | {"index": n + 1}), "numbered 1, 2, 3"),
        (items(lambda n, item: item | {"index": [n]}), "are numbered"),
        (items(lambda n, item: item | {"embedding": [1.0] * (8 - n)}), "7 dimensions, not 8"),
        (items(lambda n, item: item | {"embedding": [float("nan")] * 8}), "not a number"),
        (items(lambda n, item: item | {"embedding": [None] * 8}), "not a number"),
        (items(lambda n, item: item | {"embedding": [1e300] * 8}), "not a number"),
        (items(lambda n, item: item | {"embedding": [0.0] * 8}), "zeros"),
        (items(lambda n, item: item | {"embedding": "?not base64?"}), "neither"),
        (items(lambda n, item: item | {"embedding": "AAA="}), "neither"),
        (items(lambda n, item: item | {"embedding": [[1.0] * 8]}), "neither"),
        (items(lambda n, item: item | {"embedding": ["1"] * 8}), "neither"),
        (items(lambda n, item: item | {"embedding": []}), "neither"),
    ],
)
def test_a_reply_that_cannot_be_right_is_refused(
    api: EmbeddingApi, load: Callable[..., Encoder], fault: Any, said: str
) -> None:
    """A wrong count, index, width or number in a reply is an error that says what came."""
    api.faults.append(fault)
    with pytest.raises(ModelError, match=said) as caught:
        load().encode_passages(TEXTS, tokens=False)
    assert "some-embedder" in str(caught.value)
    assert caught.value.way_out


def test_a_width_that_changes_between_replies_is_refused(
    api: EmbeddingApi, load: Callable[..., Encoder]
) -> None:
    """The first reply fixes the width; a later reply of another width is refused."""
    encoder = load()
    encoder.encode_query("What is reranking?")
    api.dim = 16
    with pytest.raises(ModelError, match="16 dimensions, not 8"):
        encoder.encode_query("And now?")


@pytest.mark.parametrize(
    ("fault", "said", "way_out"),
    [
        (status(401, "Incorrect API key"), "HTTP 401.*Incorrect API key", "encoder.api_key"),
        (status(403), "HTTP 403", "encoder.model"),
        (status(404, "no such model"), "no such model", "encoder.model"),
        (status(400, "something else"), "something else", "message"),
        (status(418), "refused", "log"),
        (Response(body=b"<html>not found</html>"), "does not follow the embeddings API", "/v1"),
        (Response(body=b"{"), "does not follow the embeddings API", "/v1"),
    ],
)
def test_refusals_name_the_reason_and_the_way_out(
    api: EmbeddingApi, load: Callable[..., Encoder], fault: Response, said: str, way_out: str
) -> None:
    """An error that a retry cannot fix is not retried."""
    api.faults.append(fault)
    with pytest.raises(ModelError, match=said) as caught:
        load().encode_query("What?")
    assert way_out in caught.value.way_out
    assert api.asked == 1


@pytest.mark.parametrize(
    "fault",
    [status(429, retry_after=0.01), status(503, retry_after=0.01), Response(reset=True), Response(cut=9)],
)
def test_what_may_pass_is_tried_again(
    api: EmbeddingApi, load: Callable[..., Encoder], fault: Response
) -> None:
    """A busy server or broken connection is retried, and the usage counts the retry."""
    if fault.cut:
        fault = Response(body={"data": []}, cut=9)
    api.faults.append(fault)
    encoding = load().encode_query("What is reranking?")
    np.testing.assert_allclose(encoding.dense, unit(vector_of("What is reranking?", 8)), atol=1e-6)
    assert (encoding.usage.calls, encoding.usage.retries) == (2, 1)


def test_what_does_not_pass_is_an_error_in_the_end(api: EmbeddingApi, load: Callable[..., Encoder]) -> None:
    """A fault that outlasts the configured retries is an error."""
    api.faults.extend([status(429, "slow down", retry_after=0.01)] * 3)
    with pytest.raises(ModelError, match=r"rate limit.*slow down"):
        load(max_retries=2).encode_query("What?")
    assert api.asked == 3


def test_a_silent_or_missing_server_is_an_error(endpoint: Endpoint, load: Callable[..., Encoder]) -> None:
    """A server that is silent or missing is an error and does not hang a question."""
    endpoint.routes["/v1/embeddings"] = lambda request: Response(body={}, delay=30)
    with pytest.raises(ModelError, match="in time"):
        load(timeout_s=0.2, max_retries=0).encode_query("What?")
    nobody = load_openai_encoder("m", base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(ModelError, match="cannot be reached"):
        nobody.encode_query("What?")
    nobody.close()


def test_too_many_texts_for_a_server_are_sent_in_portions(
    api: EmbeddingApi, load: Callable[..., Encoder]
) -> None:
    """A server's limit on texts is learned from its refusals and kept."""
    api.most_texts = 8
    encoder, texts = load(), [f"passage number {n}" for n in range(30)]
    for text, encoding in zip(texts, encoder.encode_passages(texts, tokens=False), strict=True):
        np.testing.assert_allclose(encoding.dense, unit(vector_of(text, 8)), atol=1e-6)
    assert api.texts == texts
    asked = api.asked
    encoder.encode_passages(texts, tokens=False)
    assert api.asked == asked + 4


def test_too_many_tokens_for_a_server_are_sent_in_portions(
    api: EmbeddingApi, load: Callable[..., Encoder]
) -> None:
    """A request that is too large (413) is halved until it fits."""
    api.most_tokens_a_request = 10
    texts = [f"four words make {n}" for n in range(9)]
    assert len(load().encode_passages(texts, tokens=False)) == 9
    assert api.texts == texts


@pytest.mark.parametrize(
    "said",
    ["maximum context length is {most} tokens, however you requested {count} tokens", "input is too long"],
)
def test_a_text_that_is_too_long_is_cut_and_flagged(
    api: EmbeddingApi, load: Callable[..., Encoder], said: str
) -> None:
    """A text that is too long is cut until the server accepts it; the others stay whole."""
    api.most_tokens, api.said_too_long = 50, said
    texts = ["short one", "word " * 400, "short two"]
    found = load().encode_passages(texts, tokens=False)
    assert [encoding.truncated for encoding in found] == [False, True, False]
    assert found[1].dense @ unit(vector_of("word", 8)) > 0.99  # the cut may fall into a word
    assert {"short one", "short two"} < set(api.texts)


def test_a_text_beyond_the_stated_limit_is_cut_before_it_is_sent(
    api: EmbeddingApi, load: Callable[..., Encoder]
) -> None:
    """A text beyond `max_tokens` is cut before it is sent, and flagged."""
    encoding = load(max_tokens=64).encode_query("word " * 100)
    assert encoding.truncated
    assert len(api.texts[0].split()) == 64


def test_an_empty_text_is_refused_before_it_is_sent(api: EmbeddingApi, load: Callable[..., Encoder]) -> None:
    """An empty text counts as unreadable and is refused before it is sent."""
    encoder = load()
    assert not encoder.reads(" \n")
    with pytest.raises(ModelError, match="1 of 2 texts are empty"):
        encoder.encode_passages(["something", " \n"], tokens=False)
    assert encoder.encode_passages([], tokens=False) == []
    assert api.asked == 0


def test_half_a_surrogate_pair_does_no_harm(api: EmbeddingApi, load: Callable[..., Encoder]) -> None:
    """A lone surrogate, which JSON cannot carry, is removed before sending."""
    load().encode_passages(["broken \ud800 text"], tokens=False)
    assert api.texts == ["broken ? text"]


def test_dimensions_are_asked_of_the_server(api: EmbeddingApi, load: Callable[..., Encoder]) -> None:
    """A width in the settings is sent as `dimensions` and becomes part of the id."""
    encoder = load(dim=4)
    assert encoder.id == "openai:some-embedder dim=4"
    assert encoder.dim == 4
    assert encoder.encode_query("What?").dense.shape == (4,)


def test_a_server_that_does_not_know_dimensions_is_an_error(
    endpoint: Endpoint, api: EmbeddingApi, load: Callable[..., Encoder]
) -> None:
    """Vectors of another width are never accepted, whether the server refuses `dimensions` or ignores it."""
    api.knows_dimensions = False
    with pytest.raises(ModelError, match="specifying dimensions") as caught:
        load(dim=4).encode_query("What?")
    assert "encoder.dim" in caught.value.way_out
    assert api.asked == 1
    endpoint.routes["/v1/embeddings"] = lambda request: EmbeddingApi()(
        type(request)(request.method, request.path, {}, request.body | {"dimensions": None})
    )
    with pytest.raises(ModelError, match="8 dimensions, not 4"):
        load(dim=4).encode_query("What?")


def test_prompts_of_the_family_are_sent(api: EmbeddingApi, load: Callable[..., Encoder]) -> None:
    """The prompts of a known family are sent, unless the settings leave them out."""
    encoder = load("intfloat/multilingual-e5-small")
    encoder.encode_query("What?")
    encoder.encode_passages(["A fox."], tokens=False)
    load("intfloat/multilingual-e5-small", query_prompt="").encode_query("What?")
    assert api.texts == ["query: What?", "passage: A fox.", "What?"]


def test_a_question_is_paid_once(api: EmbeddingApi, load: Callable[..., Encoder]) -> None:
    """A repeated question comes from memory and costs nothing."""
    encoder = load(price=Price(prompt=2.0))
    first, second = encoder.encode_query("What is reranking?"), encoder.encode_query("What is reranking?")
    assert (first.usage.calls, first.usage.prompt_tokens, first.usage.cost) == (1, 3, 6e-06)
    assert (second.usage.calls, second.usage.cost) == (0, None)
    assert api.asked == 1


def test_the_width_of_a_known_model_needs_no_call(
    endpoint: Endpoint, api: EmbeddingApi, load: Callable[..., Encoder]
) -> None:
    """The width of OpenAI's models is known; for others the endpoint is asked once, when needed."""
    assert load("text-embedding-3-small").dim == 1536
    assert api.asked == 0
    assert load("something-else").dim == 8
    assert api.asked == 1


def test_no_key_of_the_environment_is_sent(
    endpoint: Endpoint, api: EmbeddingApi, load: Callable[..., Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter sends only the key it is given, never one from the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    load().encode_query("What?")
    load(api_key="handed-in").encode_query("What?")
    bare, keyed = (request.headers for request in endpoint.requests)
    assert "authorization" not in bare
    assert "openai-organization" not in bare
    assert keyed["authorization"] == "Bearer handed-in"


def test_openais_own_endpoint_needs_a_key() -> None:
    """OpenAI's endpoint without a key is an error before anything is sent."""
    with pytest.raises(SettingsError, match="API key"):
        load_openai_encoder("text-embedding-3-small")


def settings(endpoint: Endpoint, folder: Path, **more: Any) -> Settings:
    """The `openai` profile at a local endpoint."""
    encoder = {"base_url": endpoint.url, "model": "some-embedder", **more.pop("encoder", {})}
    llm = {"base_url": endpoint.url, "prices": {"some-embedder": Price(prompt=2.0)}}
    return Settings.load(data_dir=folder / "data", profile="openai", encoder=encoder, llm=llm, **more)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.md").write_text("# Reranking\n\nReranking puts the best passages first.\n")
    (folder / "b.md").write_text("# 重排序\n\n重排序让最相关的段落排在最前面。\n", encoding="utf-8")
    return folder


def test_the_profile_openai_ingests_and_answers(
    endpoint: Endpoint, api: EmbeddingApi, documents: Path, tmp_path: Path
) -> None:
    """The profile `openai` ingests and answers without a fallback, with every token counted."""
    endpoint.enqueue('{"ranking": [1, 2]}', "Reranking puts the best passages first [1].")
    with RAGPipeline.from_settings(settings(endpoint, tmp_path)) as pipeline:
        report = pipeline.ingest(documents)
        answer = pipeline.ask("What does reranking do?")
    assert {result.status for result in report.documents} == {"ingested"}
    assert report.illegible == 0
    assert {stage.name: stage.status for stage in answer.stages}["retrieval"] == "ok"
    assert all("dense" in candidate.ranks for candidate in answer.candidates)
    assert answer.warnings == ()
    retrieval = answer.stages[0]
    assert (retrieval.usage.calls, retrieval.usage.prompt_tokens) == (1, 4)
    assert retrieval.usage.cost == pytest.approx(8e-06)


def test_late_interaction_without_token_vectors_is_a_flagged_fallback(
    endpoint: Endpoint, api: EmbeddingApi, documents: Path, tmp_path: Path
) -> None:
    """Without token vectors late interaction keeps the retrieval order, flagged, and says why."""
    chosen = settings(
        endpoint, tmp_path, rerank={"spec": "late-interaction"}, answer={"answerer": "extractive"}
    )
    with RAGPipeline.from_settings(chosen) as pipeline:
        pipeline.ingest(documents)
        asked = api.asked
        answer = pipeline.ask("What does reranking do?")
    stage = next(stage for stage in answer.stages if stage.name == "late-interaction")
    assert stage.status == "fallback"
    assert "no token vectors" in stage.reason
    assert any("no token vectors" in warning for warning in answer.warnings)
    assert api.asked == asked + 1
    assert answer.text


def test_an_endpoint_that_is_down_leaves_lexical_search_flagged(
    endpoint: Endpoint, api: EmbeddingApi, documents: Path, tmp_path: Path
) -> None:
    """A question that cannot be embedded is answered from the lexical leg, with a warning."""
    chosen = settings(endpoint, tmp_path, encoder={"max_retries": 0}, answer={"answerer": "extractive"})
    with RAGPipeline.from_settings(chosen) as pipeline:
        pipeline.ingest(documents)
        api.faults.append(status(503, "under maintenance"))
        found = pipeline.search("What does reranking do?", rerank="none")
    assert found.stages[0].status == "partial"
    assert "under maintenance" in found.stages[0].reason
    assert found.candidates
    assert all("dense" not in candidate.ranks for candidate in found.candidates)


def test_an_endpoint_that_fails_stops_an_ingest_which_then_goes_on(
    endpoint: Endpoint, api: EmbeddingApi, documents: Path, tmp_path: Path
) -> None:
    """A failing endpoint stops an ingest; nothing half-written counts, and the next run completes it."""
    api.faults.append(status(401, "Incorrect API key"))
    chosen = settings(endpoint, tmp_path, encoder={"dim": 8})
    with RAGPipeline.from_settings(chosen) as pipeline:
        with pytest.raises(ModelError, match="Incorrect API key"):
            pipeline.ingest(documents)
        assert pipeline.ingest(documents).embedded == 2


def test_a_passage_that_was_cut_is_in_the_reports_warnings(
    endpoint: Endpoint, api: EmbeddingApi, documents: Path, tmp_path: Path
) -> None:
    """The report warns, per document, that the server truncated a passage."""
    api.most_tokens = 6
    with RAGPipeline.from_settings(settings(endpoint, tmp_path)) as pipeline:
        report = pipeline.ingest(documents)
    warned = {Path(result.path).name: result.warnings for result in report.documents}
    assert any("longer than the encoder reads" in warning for warning in warned["a.md"])
    assert warned["b.md"] == ()


def test_only_the_choice_of_the_provider_reads_the_key(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in the environment is read only with `provider = "openai"`, and mentioned otherwise."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert Settings.load().unused_keys() == ["OPENAI_API_KEY"]
    chosen = Settings.load(encoder={"provider": "openai", "model": "m", "base_url": endpoint.url})
    assert chosen.unused_keys() == []
    assert chosen.encoder_api_key() == "k"
    assert json.loads(chosen.model_dump_json())["encoder"]["api_key"] is None


@pytest.mark.parametrize("packed", [False, True])
def test_no_reply_is_read_beyond_what_vectors_can_be(
    endpoint: Endpoint, load: Callable[..., Encoder], packed: bool
) -> None:
    """A reply larger than the vectors of a request can be ends at once, packed or not."""
    body, headers = b"x" * (66 << 20), {}
    if packed:
        body, headers = gzip.compress(body, 1), {"content-encoding": "gzip"}
    endpoint.routes["/v1/embeddings"] = lambda _request: Response(body=body, headers=headers)
    with pytest.raises(ModelError, match="larger than 67,108,864 bytes"):
        load(max_retries=0).encode_query("What is a fox?")
