"""Token vectors in fewer dimensions: the default encoder's, unless `encoder.token_dim` says otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.encoder import Encoder, load_encoder
from retrieval.models.hub import MINILM
from storage.errors import SettingsError, WinnowError
from storage.vectors import max_sim
from tests.support import tiny_models
from winnow import RAGPipeline
from winnow.app.settings import Settings

pytestmark = pytest.mark.heavy

QUESTION = "What can a reranker not do?"
PASSAGES = [
    "A reranker cannot bring back a passage that retrieval did not find.",
    "The lake freezes in January and thaws in March.",
    "Bananas are rich in potassium.",
]


@pytest.fixture(scope="module")
def whole() -> Encoder:
    return load_encoder(MINILM, device="cpu", token_dim=384)


@pytest.fixture(scope="module")
def short() -> Encoder:
    return load_encoder(MINILM, device="cpu")


def test_only_token_vectors_become_shorter(whole: Encoder, short: Encoder) -> None:
    """The dense vector is the same; token vectors have 128 dimensions and length 1."""
    [one], [other] = (e.encode_passages(PASSAGES[:1], tokens=True) for e in (whole, short))
    assert (other.dense == one.dense).all()
    assert one.tokens is not None
    assert other.tokens is not None
    assert other.tokens.shape == (len(one.tokens), 128)
    assert np.linalg.norm(other.tokens, axis=1) == pytest.approx(1)
    assert (short.dim, short.token_dim, whole.token_dim) == (384, 128, 384)


def test_max_sim_says_nearly_the_same(whole: Encoder, short: Encoder) -> None:
    """MaxSim over projected vectors keeps the order, and the best stays far ahead."""
    for encoder in (whole, short):
        query = encoder.encode_query(QUESTION).tokens
        assert query is not None
        found = [max_sim(query, e.tokens) for e in encoder.encode_passages(PASSAGES, tokens=True)]  # type: ignore[arg-type]
        assert found[0] == max(found)
        assert found[0] > 1.5 * found[1]


def test_the_width_is_in_the_name(whole: Encoder, short: Encoder) -> None:
    """The encoder's name states a reduced token width, but not the model's own."""
    assert short.id == f"{whole.id} token_dim=128"
    assert short.id == load_encoder(MINILM, device="cpu", token_dim=128).id


def test_what_has_no_projection_is_said(tmp_path: Path) -> None:
    """A width or model without a projection is a settings error with a way out."""
    with pytest.raises(SettingsError, match="to 96 dimensions") as error:
        load_encoder(MINILM, device="cpu", token_dim=96)
    assert "384, its own or 128 for sentence-transformers/all-MiniLM-L6-v2" in str(error.value.way_out)
    with pytest.raises(SettingsError, match="no projection of"):
        load_encoder(str(tiny_models.bert_encoder(tmp_path / "m")), device="cpu", token_dim=128)


def test_a_collection_with_short_token_vectors_is_asked_as_any_other(tmp_path: Path) -> None:
    """A collection with short token vectors is reranked in the engine, and refused under another width."""
    (tmp_path / "notes").mkdir()
    for number, text in enumerate(PASSAGES):
        (tmp_path / "notes" / f"{number}.txt").write_text(text)
    english = Settings.load(data_dir=tmp_path / "data", encoder={"model": MINILM})
    with RAGPipeline.from_settings(english) as pipeline:
        pipeline.ingest(tmp_path / "notes")
        assert pipeline.wiring.collection().fingerprint.token_dim == 128
        answer = pipeline.ask(QUESTION)
        assert answer.final[0].text == PASSAGES[0]
        assert {stage.status for stage in answer.stages} == {"ok"}
    whole = Settings.load(data_dir=tmp_path / "data", encoder={"model": MINILM, "token_dim": 384})
    with (
        RAGPipeline.from_settings(whole) as pipeline,
        pytest.raises(WinnowError, match="token_dim=128"),
    ):
        pipeline.ask(QUESTION)
