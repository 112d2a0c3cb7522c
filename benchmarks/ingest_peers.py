"""A peer ingests a tree of text files into Qdrant's local mode. Run by ingest.py: NAME FOLDER MODEL.

Each is used as its documentation shows, with passages of about 256 tokens and the same model; the clock
starts once the model is loaded. Prints {"seconds", "passages"}.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

TOKENS = 256


def langchain(folder: Path, model: str, scratch: str) -> tuple[float, int]:
    from langchain_core.documents import Document
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_qdrant import QdrantVectorStore
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, VectorParams
    from transformers import AutoTokenizer

    embeddings = HuggingFaceEmbeddings(model_name=model)
    embeddings.embed_query("warm")
    tokenizer = AutoTokenizer.from_pretrained(model)
    started = time.perf_counter()
    client = QdrantClient(path=scratch)
    client.create_collection("peer", vectors_config=VectorParams(size=384, distance=Distance.COSINE))
    store = QdrantVectorStore(client=client, collection_name="peer", embedding=embeddings)
    splitter = RecursiveCharacterTextSplitter.from_huggingface_tokenizer(
        tokenizer, chunk_size=TOKENS, chunk_overlap=24
    )
    documents = [
        Document(page_content=path.read_text(encoding="utf-8"), metadata={"source": str(path)})
        for path in sorted(folder.iterdir())
    ]
    pieces = splitter.split_documents(documents)
    store.add_documents(pieces)
    return time.perf_counter() - started, len(pieces)


def llamaindex(folder: Path, model: str, scratch: str) -> tuple[float, int]:
    from llama_index.core import SimpleDirectoryReader, StorageContext, VectorStoreIndex
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient
    from transformers import AutoTokenizer

    embedding = HuggingFaceEmbedding(model_name=model)
    embedding.get_text_embedding("warm")
    tokenizer = AutoTokenizer.from_pretrained(model)
    started = time.perf_counter()
    documents = SimpleDirectoryReader(str(folder)).load_data()
    # the tokenizer must be the model's: its default is fetched from the network
    splitter = SentenceSplitter(chunk_size=TOKENS, chunk_overlap=24, tokenizer=tokenizer.tokenize)
    nodes = splitter.get_nodes_from_documents(documents)
    store = QdrantVectorStore(collection_name="peer", client=QdrantClient(path=scratch))
    VectorStoreIndex(
        nodes, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=embedding
    )
    return time.perf_counter() - started, len(nodes)


def haystack(folder: Path, model: str, scratch: str) -> tuple[float, int]:
    from haystack import Pipeline
    from haystack.components.converters import TextFileToDocument
    from haystack.components.preprocessors import DocumentSplitter
    from haystack.components.writers import DocumentWriter
    from haystack_integrations.components.embedders.sentence_transformers import (
        SentenceTransformersDocumentEmbedder,
    )
    from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

    store = QdrantDocumentStore(path=scratch, index="peer", embedding_dim=384, recreate_index=True)
    embedder = SentenceTransformersDocumentEmbedder(model=model, progress_bar=False)
    embedder.warm_up()
    pipeline = Pipeline()
    pipeline.add_component("convert", TextFileToDocument())
    # it counts words: 180 of them are about 256 tokens
    pipeline.add_component("split", DocumentSplitter(split_by="word", split_length=180, split_overlap=18))
    pipeline.add_component("embed", embedder)
    pipeline.add_component("write", DocumentWriter(store))
    for source, target in (("convert", "split"), ("split", "embed"), ("embed", "write")):
        pipeline.connect(source, target)
    started = time.perf_counter()
    pipeline.run({"convert": {"sources": sorted(folder.iterdir())}})
    return time.perf_counter() - started, store.count_documents()


def main() -> None:
    name, folder, model = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        seconds, passages = globals()[name](Path(folder), model, scratch)
        print(json.dumps({"seconds": seconds, "passages": passages}), flush=True)


if __name__ == "__main__":
    main()
