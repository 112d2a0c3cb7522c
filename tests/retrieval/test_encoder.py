"""The encoder: equal to sentence-transformers; unreadable and cut texts are flagged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.encoder import Encoder, load_encoder
from retrieval.models.hub import DEFAULT_MODEL, MINILM
from retrieval.models.locate import locate
from storage.errors import ModelError

pytestmark = pytest.mark.heavy

TEXTS = [
    "Reranking puts the best passages first.",
    "A cross-encoder reads question and passage together, " * 60,
    "short",
    "naïve café: accents, UPPER CASE and numbers like 12.3 ms",
]


def test_vectors_equal_those_of_sentence_transformers() -> None:
    """The light forward pass computes what sentence-transformers computes, dense and token vectors alike."""
    from retrieval.encoders.sentence_transformer import SentenceTransformerModel

    reference = SentenceTransformerModel.load(locate(MINILM).folder, device="cpu")
    encoder = load_encoder(MINILM, device="cpu", token_dim=reference.token_dim)
    ours, theirs = encoder.encode_passages(TEXTS, tokens=True), reference.encode(TEXTS, tokens=True)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.truncated == other.truncated
        assert mine.tokens is not None
        assert other.tokens is not None
        assert mine.tokens.shape == other.tokens.shape
        np.testing.assert_allclose(mine.dense, other.dense, atol=5e-6)
        np.testing.assert_allclose(mine.tokens, other.tokens, atol=2e-5)


def test_batching_changes_no_vector(encoder: Encoder) -> None:
    """A text has the same vector alone and among longer and shorter ones."""
    together = encoder.encode_passages(TEXTS, tokens=False)
    alone = [encoder.encode_passages([text], tokens=False)[0] for text in TEXTS]
    for one, other in zip(together, alone, strict=True):
        assert (one.dense == other.dense).all()


def test_a_text_longer_than_the_encoder_reads_is_flagged(minilm: Encoder) -> None:
    """Truncation is never silent, and exactly the limit is not truncated."""
    tokens = minilm.max_tokens - 2
    fits, too_long = minilm.encode_passages(["word " * tokens, "word " * (tokens + 1)], tokens=True)
    assert (fits.truncated, too_long.truncated) == (False, True)
    assert too_long.tokens is not None
    assert too_long.tokens.shape == (minilm.max_tokens, minilm.token_dim)


@pytest.mark.parametrize("model", [MINILM, DEFAULT_MODEL])
def test_token_spans_line_up_with_token_vectors(model: str) -> None:
    """Every token vector has a span: the characters it came from."""
    encoder = load_encoder(model, device="cpu")
    text = "Qdrant stores multivectors."
    spans = encoder.token_spans(text)
    vectors = encoder.encode_passages([text], tokens=True)[0].tokens
    assert vectors is not None
    assert len(spans) == len(vectors)
    assert "".join(text[slice(*span)] for span in spans).replace(" ", "") == text.replace(" ", "")
    assert spans[0] == spans[-1] == (0, 0)


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("What does reranking change?", True),
        ("重排序会改变什么？", False),
        ("Qdrant 的 HNSW 索引参数应该怎么配置才合适", False),
        ("The term 重排 means reranking, as every reader of this long English sentence knows.", True),
        ("", False),
        (" \n\t　", False),
    ],
)
def test_legibility_tells_what_the_encoder_can_read(minilm: Encoder, text: str, readable: bool) -> None:
    """English is legible to MiniLM, Chinese and nothing at all are not; one Chinese word does no harm."""
    assert minilm.reads(text) is readable


def test_a_missing_model_says_what_to_do() -> None:
    """An unknown hub id is not fetched: the error names the model and the command."""
    with pytest.raises(ModelError, match="nobody/nothing") as caught:
        load_encoder("nobody/nothing")
    assert "winnow models fetch nobody/nothing" in caught.value.way_out


def test_a_missing_folder_says_so() -> None:
    """A path that does not exist is not mistaken for a hub id."""
    with pytest.raises(ModelError, match="no model folder"):
        load_encoder("./no/such/folder")


def test_a_truncated_weights_file_is_a_clear_error(tmp_path: Path) -> None:
    """A local folder with half a weights file names the folder, without a vendor's traceback."""
    folder = tmp_path / "half a model"
    shutil.copytree(locate(MINILM).folder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="half a model"):
        load_encoder(str(folder))
