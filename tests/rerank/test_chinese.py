"""winnow's own cross-encoder: it reads Chinese, each pair by itself, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import numpy as np
import pytest

from rerank.cross.chinese import load_chinese, opened
from rerank.cross.models import PairModel
from rerank.parts import RerankParts
from rerank.strategies.fusion import Fusion
from retrieval.encoders.encoder import Encoder
from storage.errors import ModelError
from storage.records import Candidate

pytestmark = pytest.mark.heavy

QUESTION = "青岚净水器的滤芯多久更换一次？"
ANSWERS = "滤芯每六个月更换一次，水质较差的地区宜缩短到四个月。"
BESIDE = "青岚净水器的滤芯由椰壳活性炭制成，可以回收。"


@pytest.fixture(scope="module")
def model(encoder: Encoder) -> PairModel:
    assert encoder.packaged is not None
    layers = opened()
    return load_chinese(encoder.packaged, lambda: layers)


def scores(model: PairModel, question: str, *texts: str) -> list[float]:
    found: dict[int, float] = {}
    for one in model.scored(question, texts):
        found.update(one)
    return [found[number] for number in range(len(texts))]


def test_a_passage_that_answers_scores_above_its_neighbours(model: PairModel) -> None:
    passages = (f"{BESIDE}{ANSWERS}", BESIDE, "保修期为两年，滤芯不在保修之列。")
    right, *wrong = scores(model, QUESTION, *passages)
    assert right > max(wrong) + 1


def test_a_pair_is_joined_as_the_model_was_trained(model: PairModel, encoder: Encoder) -> None:
    """Begin, question, end, end, passage, end; what is too long loses the passage's end."""
    packaged = encoder.packaged
    assert packaged is not None
    asked, told = packaged.tokenizer.encode_ids([QUESTION, ANSWERS])
    [(ids, types)] = model._rows(QUESTION, [ANSWERS])
    assert ids == [*asked, asked[-1], *told[1:]]
    assert model.overhead == len(ids) - (len(asked) - 2) - (len(told) - 2)
    assert set(types) == {0}
    [(long, _)] = model._rows(QUESTION, [ANSWERS + BESIDE * 100])
    assert len(long) == model.max_tokens
    assert (long[: len(ids) - 1], long[-1]) == (ids[:-1], ids[-1])


def test_a_score_does_not_depend_on_what_else_is_read(model: PairModel) -> None:
    alone = [scores(model, QUESTION, text)[0] for text in (ANSWERS, BESIDE)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda _: scores(model, QUESTION, ANSWERS, BESIDE, ANSWERS), range(8)))
    assert together == [[*alone, alone[0]]] * 8


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (QUESTION, True),
        ("LoRA 是什么？", True),
        ("檢索與重排序", True),
        ("What does the filter cost?", False),
        ("What does 重排序 mean, and where is it described?", False),
        (f"def rerank(query, passages, top_k): return sorted(passages)  # {ANSWERS}", True),
        ("フィルターの交換時期は？", False),
        ("필터는 언제 교체하나요?", False),
        ("鸲鹟繇倢", False),  # none of these is in the vocabulary
        ("", False),
    ],
)
def test_it_reads_chinese_alone(model: PairModel, text: str, read: bool) -> None:
    assert model.reads(text) is read


def test_layers_are_loaded_when_something_is_read(encoder: Encoder) -> None:
    asked: list[bool] = []

    def layers() -> object:
        asked.append(True)
        raise ModelError("gone")

    assert encoder.packaged is not None
    model = load_chinese(encoder.packaged, layers)  # type: ignore[arg-type]
    assert model.reads(QUESTION)
    assert not asked
    with pytest.raises(ModelError, match="gone"):
        scores(model, QUESTION, ANSWERS)


def test_scores_are_those_of_the_layers(model: PairModel, encoder: Encoder) -> None:
    """Asked of ONNX Runtime directly, one pair at a time."""
    packaged = encoder.packaged
    assert packaged is not None
    session = opened()
    for text in (ANSWERS, BESIDE):
        [(ids, _)] = model._rows(QUESTION, [text])
        given = {"embedded": packaged.embedded(ids), "lengths": np.array([len(ids)], np.int32)}
        assert scores(model, QUESTION, text) == [session.run(["log_odds"], given)[0].item()]


def test_a_chinese_question_loads_no_other_cross_encoder(
    model: PairModel, encoder: Encoder, tmp_path: Path
) -> None:
    """The other one is damaged, which only a question in English finds out."""
    (tmp_path / "model.onnx").write_bytes(b"cut")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    parts = RerankParts(encoder=encoder, chinese=lambda: model, locate=lambda _: tmp_path)
    fusion = Fusion.load(parts, "fusion", read=4)
    given = [Candidate.from_text(text, id=text) for text in (BESIDE, ANSWERS)]
    ranking = anyio.run(fusion.rerank, QUESTION, given, 2)
    assert [one.id for one in ranking.candidates] == [ANSWERS, BESIDE]
    assert {outcome.name: outcome.status for outcome in ranking.outcomes} == {
        "fusion.late-interaction": "ok",
        "fusion.cross-encoder": "ok",
        "fusion": "ok",
    }
    with pytest.raises(Exception, match="Model missing"):
        anyio.run(fusion.rerank, "When is the filter changed?", given, 2)


def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "chinese.onnx").write_bytes(b"cut")
    with pytest.raises(ModelError, match=r"chinese\.onnx cannot be loaded"):
        opened(tmp_path / "chinese.onnx")
