"""winnow inside LangChain, LlamaIndex and Haystack: the real packages, a real collection.

They are not among winnow's own dependencies: `pip install langchain-core llama-index-core haystack-ai`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import QUESTION, ingested
from winnow import RAGPipeline, Settings

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

TEXTS = [
    "Bananas are rich in potassium.",
    "A reranker cannot bring back a passage that retrieval missed.",
    "Apples keep well in a cool cellar.",
]
SPEC = "late-interaction"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RAGPipeline]:
    data = ingested(tmp_path_factory.mktemp("adapters"))
    with RAGPipeline.from_settings(Settings.load(data_dir=data)) as made:
        yield made


def test_no_framework_is_loaded_by_the_package_and_a_missing_one_is_named() -> None:
    """`winnow.integrations` loads none; an adapter without its framework says what to install."""
    code = (
        "import sys, winnow.integrations\n"
        "assert not {'langchain_core', 'llama_index', 'haystack'} & set(sys.modules)\n"
        "sys.modules['langchain_core.callbacks'] = None\n"
        "from storage.errors import MissingDependencyError\n"
        "try:\n    import winnow.integrations.langchain\n"
        "except MissingDependencyError as error:\n    print(error, error.way_out)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install langchain-core" in done.stdout


def test_langchain_retrieves_and_compresses(pipeline: RAGPipeline) -> None:
    """As any retriever and compressor there: `invoke`, `ainvoke`, documents with ids, metadata and scores."""
    documents = pytest.importorskip("langchain_core.documents")
    from winnow.integrations.langchain import WinnowReranker, WinnowRetriever

    retriever = WinnowRetriever(pipeline=pipeline, top_k=2, where='file = "rerank.md"')
    found = retriever.invoke(QUESTION)
    assert 1 <= len(found) <= 2
    assert "cannot bring back" in found[0].page_content
    assert Path(found[0].metadata["source"]).name == "rerank.md"
    assert found[0].id
    assert [one.id for one in asyncio.run(retriever.ainvoke(QUESTION))] == [one.id for one in found]

    own = [documents.Document(page_content=text, metadata={"n": n}) for n, text in enumerate(TEXTS)]
    best = WinnowReranker(spec=SPEC, top_n=2).compress_documents(own, QUESTION)
    assert best[0].metadata["n"] == 1
    assert len(best) == 2
    assert best[0].metadata["relevance_score"] > best[1].metadata["relevance_score"]
    assert "relevance_score" not in own[1].metadata
    again = asyncio.run(WinnowReranker(spec=SPEC, top_n=2).acompress_documents(own, QUESTION))
    assert again == best
    assert WinnowReranker().compress_documents([], QUESTION) == []


def test_llama_index_retrieves_and_postprocesses(pipeline: RAGPipeline) -> None:
    """As any retriever and postprocessor there: nodes with scores, best first."""
    schema = pytest.importorskip("llama_index.core.schema")
    from winnow.integrations.llama_index import WinnowReranker, WinnowRetriever

    retriever = WinnowRetriever(pipeline, top_k=2)
    found = retriever.retrieve(QUESTION)
    assert len(found) == 2
    assert "cannot bring back" in found[0].text
    assert [one.node_id for one in asyncio.run(retriever.aretrieve(QUESTION))] == [
        one.node_id for one in found
    ]

    nodes = [schema.NodeWithScore(node=schema.TextNode(text=text, id_=text[:6])) for text in TEXTS]
    best = WinnowReranker(spec=SPEC, top_n=1).postprocess_nodes(nodes, query_str=QUESTION)
    assert [one.text for one in best] == [TEXTS[1]]
    assert best[0].score is not None


def test_haystack_retrieves_and_ranks_in_a_pipeline(pipeline: RAGPipeline) -> None:
    """As components of a pipeline, which can be saved and loaded."""
    haystack = pytest.importorskip("haystack")
    from winnow.integrations.haystack import WinnowRanker, WinnowRetriever

    pipe = haystack.Pipeline()
    pipe.add_component("retriever", WinnowRetriever(pipeline, top_k=3))
    pipe.add_component("ranker", WinnowRanker(SPEC, top_k=1))
    pipe.connect("retriever.documents", "ranker.documents")
    documents = pipe.run({"retriever": {"query": QUESTION}, "ranker": {"query": QUESTION}})["ranker"][
        "documents"
    ]
    assert len(documents) == 1
    assert "cannot bring back" in documents[0].content
    assert Path(documents[0].meta["source"]).name == "rerank.md"
    saved = pipe.dumps()
    loaded = haystack.Pipeline.loads(saved, allowed_modules=["winnow.integrations.haystack"])
    assert loaded.dumps() == saved
