"""Other people's rerank clients at winnow's faces: each where it is installed, none is a dependency."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.serving import Server, ingested, serving
from winnow.app.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TEXTS = ["Apples keep well in a cool cellar.", "Paris is in France.", "Bananas are rich in potassium."]
FRUIT = "Which fruit is rich in potassium?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose own chain is the default one."""
    with serving(Settings.load(data_dir=ingested(tmp_path_factory.mktemp("clients")))) as running:
        yield running


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Collect what the clients leave open while this file's warnings are ignored."""
    yield
    gc.collect()


def client(name: str) -> Any:
    """A client's module; the test is skipped where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def test_voyages_client_reranks(server: Server) -> None:
    """voyageai reads `data`, asks for `top_k`, and puts its own documents in."""
    voyage = client("voyageai").Client(api_key="none", base_url=f"{server.url}/v1")
    found = voyage.rerank(FRUIT, TEXTS, model="winnow", top_k=2)
    assert found.results[0].index == 2
    assert found.results[0].document == TEXTS[2]
    assert len(found.results) == 2


@pytest.mark.parametrize("provider", ["cohere", "hosted_vllm", "jina_ai", "infinity"])
def test_litellm_reranks(server: Server, provider: str) -> None:
    """LiteLLM asks at the path of each provider's shape.

    Infinity gives documents back as texts, which at its path others expect as objects: there, without.
    """
    litellm = client("litellm")
    base = server.url if provider in ("cohere", "hosted_vllm", "infinity") else f"{server.url}/v1/rerank"
    found = litellm.rerank(
        model=f"{provider}/winnow",
        query=FRUIT,
        documents=TEXTS,
        top_n=2,
        return_documents=provider != "infinity",
        api_base=base,
        api_key="none",
    )
    assert found.results[0]["index"] == 2
    assert len(found.results) == 2


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("cohere", "/v1/rerank"),
        ("jina", "/v1/rerank"),
        ("voyage", "/v1/rerank"),
        ("text-embeddings-inference", "/rerank"),
    ],
)
def test_the_rerankers_package_reranks(server: Server, provider: str, path: str) -> None:
    """AnswerDotAI's rerankers sends each provider's shape to one address."""
    ranker = client("rerankers.models.api_rankers").APIRanker(
        "winnow", "none", provider, url=server.url + path
    )
    assert ranker.rank(FRUIT, TEXTS).results[0].document.text == TEXTS[2]


def test_langchains_client_reranks(server: Server) -> None:
    """langchain-cohere compresses documents by winnow's ranks."""
    rerank = client("langchain_cohere").CohereRerank(
        cohere_api_key="none", base_url=server.url, model="winnow", top_n=2
    )
    found = rerank.rerank(TEXTS, FRUIT)
    assert found[0]["index"] == 2
    assert len(found) == 2


def test_llama_indexs_client_reranks(server: Server) -> None:
    """llama-index's Cohere postprocessor orders nodes by winnow's ranks."""
    rerank = client("llama_index.postprocessor.cohere_rerank").CohereRerank
    schema = client("llama_index.core.schema")
    nodes = [schema.NodeWithScore(node=schema.TextNode(text=text), score=0.5) for text in TEXTS]
    made = rerank(api_key="none", model="winnow", top_n=2, base_url=server.url)
    assert made.postprocess_nodes(nodes, query_str=FRUIT)[0].node.get_content() == TEXTS[2]
