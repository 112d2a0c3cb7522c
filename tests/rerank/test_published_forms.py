"""Rerankers in every form that they are published in score as with sentence-transformers, their oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rerank.cross.loading import load_pair_model
from rerank.cross.models import PairModel
from storage.errors import ModelError
from tests.support import tiny_models, tiny_rerankers

pytestmark = pytest.mark.heavy

QUESTION = "What does a reranker read?"
TEXTS = [
    "A reranker reads the question and the passage together.",
    "The fox.",
    "  Late interaction compares token vectors with MaxSim.\n",
    "The quick brown fox jumps over the lazy dog, yes or no. The fox. The lazy dog.",
    "a",
    "The fox.",
]
FORMS: dict[str, Callable[[Path], Path]] = {
    "BERT": tiny_models.bert,
    "XLM-RoBERTa": tiny_models.xlm_roberta,
    "ettin (modules)": tiny_rerankers.ettin,
    "Qwen3-Reranker (LogitScore)": tiny_rerankers.qwen3_logit_score,
    "Qwen3-Reranker with a prompt": lambda folder: tiny_rerankers.qwen3_logit_score(folder, prompt="find the fox"),
    "Qwen3-Reranker (classifier)": tiny_rerankers.qwen3_classifier,
    "Qwen3 trained as a classifier of pairs": lambda folder: tiny_models.qwen3(folder, converted=True),
    "mxbai-rerank-v2": tiny_rerankers.mxbai_v2,
    "zerank-2": tiny_rerankers.zerank,
    "Gemma 2 (capped logits)": tiny_rerankers.gemma2,
    "causal with a template for pairs": lambda folder: tiny_rerankers.qwen2(folder, template=tiny_rerankers.QWEN3),
}


@pytest.fixture(scope="module", params=sorted(FORMS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FORMS[request.param](tmp_path_factory.mktemp("forms") / "model")


def own_scores(model: PairModel, texts: Sequence[str] = TEXTS, question: str = QUESTION) -> list[float]:
    found = {i: score for batch in model.scored(question, texts) for i, score in batch}
    return [found[i] for i in range(len(texts))]


def oracle_scores(folder: Path, question: str = QUESTION, prompt: str | None = None) -> list[float]:
    from sentence_transformers import CrossEncoder

    oracle = CrossEncoder(str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": torch.float32})
    pairs = [(question, text) for text in TEXTS]
    return list(map(float, oracle.predict(pairs, activation_fn=torch.nn.Identity(), prompt=prompt)))


def test_scores_are_the_oracles(folder: Path) -> None:
    """Alone and unpadded, in one padded batch, and in batches of every size between."""
    model, expected = load_pair_model(folder, device="cpu"), oracle_scores(folder)
    assert len(set(expected)) > 3
    longest = max(len(ids) for ids, _ in model._rows(QUESTION, TEXTS))
    for rows in range(1, len(TEXTS) + 1):
        batched = replace(model, batch_tokens=rows * longest)
        assert own_scores(batched) == pytest.approx(expected, abs=1e-4)
    assert [own_scores(model, [text])[0] for text in TEXTS] == pytest.approx(expected, abs=1e-4)
