"""Requests to an embeddings endpoint: portions that fit, whole characters, prompts, widths and keys."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from retrieval.encoders.encoder import Encoder
from retrieval.encoders.endpoint import load_openai_encoder
from storage.chat import Price
from storage.errors import ModelError, SettingsError
from tests.support.embedding_api import EmbeddingApi, unit, vector_of
from tests.support.endpoint import Endpoint
from winnow import Settings

pytestmark = pytest.mark.heavy


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
