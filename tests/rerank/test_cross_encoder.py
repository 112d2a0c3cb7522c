"""Cross-encoders of each family: the loading code and the arithmetic, on tiny models with random weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
import torch
from tokenizers import Encoding

from rerank.chain import Chain
from rerank.cross.loading import load_pair_model
from rerank.cross.models import PairModel
from rerank.cross.windows import Window, cut, shortened_to
from rerank.cross.windows import read as read_of
from rerank.llm.budget import Budget
from rerank.parts import RerankParts
from rerank.spec import Spec
from rerank.strategies.cross_encoder import CrossEncoder
from storage.errors import ModelError, SettingsError, SpecError
from storage.records import Candidate, Chunk, Ranking
from tests.support import tiny_models
from tests.support.fakes import MemoryCache

pytestmark = pytest.mark.heavy

QUESTION = "What does a reranker read?"
TEXTS = [
    "A reranker reads the question and the passage together.",
    "The fox.",
    "重排序模型同时阅读问题和文档。",
    "Late interaction compares token vectors with MaxSim.",
    "The fox.",
    "a",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "bert": tiny_models.bert(root / "bert"),
        "bert-2": tiny_models.bert(root / "bert-2", labels=2),
        "bert-3": tiny_models.bert(root / "bert-3", labels=3),
        "xlm-roberta": tiny_models.xlm_roberta(root / "xlm-roberta"),
        "xlm-roberta-fp16": tiny_models.halved(root / "xlm-roberta", root / "xlm-roberta-fp16"),
    }


def all_scores(model: PairModel, query: str, texts: Sequence[str]) -> list[float]:
    found = {i: score for batch in model.scored(query, texts) for i, score in batch}
    return [found[i] for i in range(len(texts))]


def ranked(folder: Path, texts: Sequence[str], options: str = "", **parts: object) -> Ranking:
    spec = Spec.parse(f"cross-encoder({options})" if options else "cross-encoder")
    ready = RerankParts(locate=lambda _name: folder, device="cpu", **parts)  # type: ignore[arg-type]
    candidates = [Candidate.from_text(text, id=f"c{i}") for i, text in enumerate(texts)]
    return anyio.run(Chain.load(spec, ready).rerank, QUESTION, candidates, len(texts))


def by_id(ranking: Ranking) -> dict[str, float]:
    return {c.id: c.scores["cross-encoder"] for c in ranking.everything}


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_scores_equal_transformers_own(folders: Mapping[str, Path], family: str) -> None:
    """Sorted, padded batches give the same scores as transformers, one pair at a time."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folders[family]).eval()
    tokenizer = AutoTokenizer.from_pretrained(folders[family])
    expected = []
    for text in TEXTS:
        tokens = tokenizer(QUESTION, text, return_tensors="pt", truncation=True, max_length=64, padding=False)
        with torch.inference_mode():
            expected.append(model(**tokens).logits.item())
    assert all_scores(load_pair_model(folders[family], device="cpu"), QUESTION, TEXTS) == pytest.approx(
        expected, abs=1e-4
    )


def test_half_precision_checkpoints_run_in_single_on_a_cpu(folders: Mapping[str, Path]) -> None:
    """fp16 weights are widened on a CPU, where fp16 is slow and its scores saturate into ties."""
    half, single = (
        load_pair_model(folders[name], device="cpu") for name in ("xlm-roberta-fp16", "xlm-roberta")
    )
    own: Any = getattr(half.forward, "forward", half.forward)  # behind what spreads it over cores
    assert own.model.dtype == torch.float32
    assert all_scores(half, QUESTION, TEXTS) == pytest.approx(all_scores(single, QUESTION, TEXTS), abs=0.05)


def test_equal_passages_score_equal_and_keep_their_order(folders: Mapping[str, Path]) -> None:
    """Scores lie between 0 and 1, equal texts tie, and ties keep the incoming order."""
    ranking = ranked(folders["bert"], TEXTS)
    scores = by_id(ranking)
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores["c1"] == scores["c4"]
    order = [c.id for c in ranking.everything]
    assert order.index("c1") < order.index("c4")
    assert ranking.outcome.status == "ok"


def test_two_classes_give_their_difference_and_three_are_refused(folders: Mapping[str, Path]) -> None:
    """A two-class head ranks by the relevant class's odds; a classifier of more classes is no reranker."""
    assert len(set(all_scores(load_pair_model(folders["bert-2"], device="cpu"), QUESTION, TEXTS))) > 2
    with pytest.raises(ModelError, match="3 classes"):
        load_pair_model(folders["bert-3"], device="cpu")


def long_text() -> str:
    return " ".join(["the lazy dog jumps over the fox"] * 20 + [TEXTS[0]] + ["the fox"] * 20)


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_a_long_passage_scores_as_its_best_window(folders: Mapping[str, Path], family: str) -> None:
    """MaxP: the score is the best window's, and the window is kept as characters of the passage."""
    text = long_text()
    ranking = ranked(folders[family], [text, "a"], "windows=100,scale=logit")
    found = next(c for c in ranking.everything if c.id == "c0")
    start, end = found.evidence["cross-encoder"]
    model = load_pair_model(folders[family], device="cpu")
    assert 0 <= start < end <= len(text)
    assert all_scores(model, QUESTION, [text[start:end]])[0] == pytest.approx(
        found.scores["cross-encoder"], abs=1e-4
    )
    assert ranking.outcome.status == "ok"
    assert "cross-encoder" not in next(c for c in ranking.everything if c.id == "c1").evidence


def test_evidence_points_into_the_passage_not_into_its_heading(folders: Mapping[str, Path]) -> None:
    """The span excludes the context line that the model sees before the passage."""
    chunk = Chunk(
        id="c", document_id="d", source="s", title="The quick fox", text=long_text(), start=0, end=0
    )
    ready = RerankParts(locate=lambda _name: folders["bert"], device="cpu")
    chain = Chain.load(Spec.parse("cross-encoder(windows=100)"), ready)
    ranking = anyio.run(chain.rerank, QUESTION, [Candidate(chunk)], 1)
    start, end = ranking.candidates[0].evidence["cross-encoder"]
    assert 0 <= start < end <= len(chunk.text)


def test_what_is_not_read_is_flagged(folders: Mapping[str, Path]) -> None:
    """Too many windows, or a question longer than half the model's limit, gives partial with a reason."""
    ranking = ranked(folders["bert"], [long_text(), "a"], "windows=2")
    assert ranking.outcome.status == "partial"
    assert "1 passage has more than 2 windows" in ranking.outcome.reason
    candidates = [Candidate.from_text(text, id=text) for text in ("a", "the fox")]
    chain = Chain.load(
        Spec.parse("cross-encoder"), RerankParts(locate=lambda _n: folders["bert"], device="cpu")
    )
    ranking = anyio.run(chain.rerank, "the fox " * 60, candidates, 2)
    assert ranking.outcome.status == "partial"
    assert "question" in ranking.outcome.reason


def test_the_deadline_stops_between_batches(folders: Mapping[str, Path]) -> None:
    """Scores from before the deadline count; the other candidates follow, and the outcome is flagged."""
    texts = [f"{'the fox ' * 20} {n}" for n in range(600)]
    ranking = ranked(folders["bert"], texts, budget=Budget(deadline_ms=0))
    assert ranking.outcome.status in ("partial", "fallback")
    assert "deadline" in ranking.outcome.reason
    assert "0 of" not in ranking.outcome.reason
    assert len(ranking.everything) == 600


def test_reading_ends_where_the_model_is_sure(folders: Mapping[str, Path]) -> None:
    """Four passages are read at a time; after one that is sure enough the others keep their order, unread."""
    texts = ["A reranker reads the question. " * (n + 1) for n in range(12)]
    everything = by_id(ranked(folders["xlm-roberta"], texts, "scale=logit"))
    second = max(everything[f"c{n}"] for n in range(4, 8))
    first = max(everything[f"c{n}"] for n in range(4))
    assert first != second
    cases = {-99.0: 4, 99.0: len(texts), (first + second) / 2: 4 if first > second else 8}
    for sure, read in cases.items():
        found = ranked(folders["xlm-roberta"], texts, f"scale=logit,sure={sure}")
        assert found.outcome.status == "ok"
        assert scores_given(found) == pytest.approx(
            {f"c{n}": everything[f"c{n}"] for n in range(read)}, abs=1e-4
        )
        assert [c.id for c in found.candidates[read:]] == [f"c{n}" for n in range(read, len(texts))]


def scores_given(ranking: Ranking) -> dict[str, float]:
    return {c.id: c.scores["cross-encoder"] for c in ranking.everything if "cross-encoder" in c.scores}


def test_asking_again_reads_the_cache(folders: Mapping[str, Path]) -> None:
    """A repeated question does not run the model, and the ranking, evidence included, is the same."""
    cache, texts = MemoryCache(), [*TEXTS, long_text()]
    first = ranked(folders["bert"], texts, "windows=100", cache=cache)
    kept = dict(cache.kept)
    again = ranked(folders["bert"], texts, "windows=100", cache=cache)
    assert cache.kept == kept
    assert again.everything == first.everything
    assert again.outcome.usage.cached > 0
    assert "cache" in again.outcome.reason


def test_large_scores_do_not_saturate_into_ties(folders: Mapping[str, Path]) -> None:
    """Extreme log-odds keep their order: no score is rounded to 1 before sorting."""
    import numpy as np

    model = load_pair_model(folders["bert"], device="cpu")
    odds = iter([np.float32([24.0, 22.0, 30.0, 26.0])])
    sure = PairModel("sure", lambda ids, mask, types: next(odds), model.tokenizer, 64, 3, 0, 4096)
    candidates = [Candidate.from_text(word, id=word) for word in ("fox", "dog", "the", "lazy")]
    ranking = anyio.run(CrossEncoder("cross-encoder", sure).rerank, QUESTION, candidates, 4)
    scores = [c.scores["cross-encoder"] for c in ranking.candidates]
    assert scores == sorted(set(scores), reverse=True)
    assert len(scores) == 4


def test_the_model_never_sees_more_than_a_batch(folders: Mapping[str, Path]) -> None:
    """Two hundred passages go through in batches within the token budget, not in one pass."""
    import numpy as np

    model, seen = load_pair_model(folders["bert"], device="cpu"), []

    def forward(ids: Any, mask: Any, types: Any) -> Any:
        seen.append(ids.size)
        return np.zeros(len(ids), np.float32)

    recording = PairModel("recording", forward, model.tokenizer, 64, 3, 0, 256)
    candidates = [
        Candidate.from_text(f"the fox{' a' * (i % 20)}{' b' * (i // 20)}", id=str(i)) for i in range(200)
    ]
    anyio.run(CrossEncoder("cross-encoder", recording).rerank, QUESTION, candidates, 4)
    assert len(seen) > 10
    assert max(seen) <= 256


def test_a_late_interaction_model_of_its_own(tmp_path: Path) -> None:
    """Any MultiVectorEncoder ranks by the same MaxSim, and passages it cannot read are flagged."""
    from sentence_transformers import MultiVectorEncoder

    folder = tmp_path / "colbert"
    MultiVectorEncoder(str(tiny_models.bert(tmp_path / "bert")), device="cpu").save(str(folder))
    ready = RerankParts(locate=lambda _name: folder, device="cpu")
    chain = Chain.load(Spec.parse('late-interaction(model="a/colbert")'), ready)
    candidates = [
        Candidate.from_text(text, id=f"c{i}") for i, text in enumerate([TEXTS[0], TEXTS[3], QUESTION])
    ]
    ranking = anyio.run(chain.rerank, QUESTION, candidates, 3)
    assert sorted(c.id for c in ranking.candidates) == ["c0", "c1", "c2"]
    # a mean of cosines, within rounding: the question is one of the texts
    assert all(abs(c.scores["late-interaction"]) <= 1 + 1e-5 for c in ranking.candidates)
    assert ranking.outcome.status == "ok"
    ranking = anyio.run(chain.rerank, "Ωμέγα Ψυχή", candidates, 3)
    assert ranking.outcome.status == "fallback"


def test_a_model_that_gives_nan_is_flagged(folders: Mapping[str, Path]) -> None:
    """NaN scores never rank, and the outcome says so."""
    import numpy as np

    model = load_pair_model(folders["bert"], device="cpu")
    broken = PairModel(
        "broken",
        lambda ids, mask, types: np.full(len(ids), math.nan, np.float32),
        model.tokenizer,
        64,
        3,
        0,
        1024,
    )
    candidates = [Candidate.from_text(text, id=f"c{i}") for i, text in enumerate(TEXTS)]
    ranking = anyio.run(CrossEncoder("cross-encoder", broken).rerank, QUESTION, candidates, 3)
    assert [c.id for c in ranking.candidates] == ["c0", "c1", "c2"]
    assert ranking.outcome.status != "ok"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "config.json"),
        ("[]", "not an object"),
        ('{"architectures": ["BertModel"], "model_type": "bert"}', "not a cross-encoder"),
        ('{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}', "does not say how it reranks"),
        ('{"architectures": ["BertForSequenceClassification"], "model_type": "bert"}', "has no tokenizer"),
    ],
)
def test_what_is_no_reranker_is_refused(tmp_path: Path, config: str | None, says: str) -> None:
    """A folder without weights, an encoder or an unknown causal model is refused, with a way out."""
    if config is not None:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(ModelError, match=says):
        load_pair_model(tmp_path, device="cpu")


def test_limits_come_from_the_model(folders: Mapping[str, Path]) -> None:
    """Length limits follow the model (RoBERTa reserves padding positions); impossible ones are refused."""
    assert load_pair_model(folders["xlm-roberta"], device="cpu").max_tokens == 64
    assert load_pair_model(folders["bert"], device="cpu", max_length=40).max_tokens == 40
    with pytest.raises(ModelError, match="reads 64 tokens"):
        load_pair_model(folders["bert"], device="cpu", max_length=65)
    with pytest.raises(SpecError):
        ranked(folders["bert"], TEXTS, "windows=0")
    with pytest.raises(SettingsError):
        Chain.load(Spec.parse("cross-encoder"), RerankParts())


@pytest.mark.parametrize("size", [None, 24])
def test_windows_cover_the_text(folders: Mapping[str, Path], size: int | None) -> None:
    """Every token is in a window, neighbours overlap, and each window fits after the context."""
    tokenizer = load_pair_model(folders["bert"], device="cpu").tokenizer
    context, text = "the fox\n", ". ".join(["the lazy dog jumps over the fox"] * 12 + [long_text()])

    def tokens(of: str) -> Encoding:
        return tokenizer.encode(of, add_special_tokens=False)

    windows = cut(3, context + text, len(context), tokens(context + text), 30, size)
    assert windows[0].start == len(context)
    assert windows[-1].end == len(context + text)
    assert {window.passage for window in windows} == {3}
    assert all(
        before.start < after.start <= before.end + 1 < after.end for before, after in pairwise(windows)
    )
    for window in windows:
        piece = read_of(window, context + text, len(context))
        assert piece.startswith(context)
        assert len(tokens(piece).ids) <= 30
    assert cut(0, "short", 0, tokens("short"), 30, size) == [Window(0, 0, 5)]
    assert shortened_to(tokenizer, "the fox the fox", 2) == ("the fox", True)
    assert shortened_to(tokenizer, "the fox", 2) == ("the fox", False)


def test_sized_windows_are_whole_sentences(folders: Mapping[str, Path]) -> None:
    """Only a sentence that is too long by itself is torn; the next window takes half of the one before."""
    tokenizer = load_pair_model(folders["bert"], device="cpu").tokenizer
    text = " ".join(f"the fox jumps over the lazy dog {n}." for n in range(8))
    windows = cut(0, text, 0, tokenizer.encode(text, add_special_tokens=False), 400, 44)
    parts = [text[window.start : window.end] for window in windows]
    assert len(parts) > 2
    assert all(part.startswith("the fox") and part.endswith(".") for part in parts)
    assert all(part.count(".") > 1 for part in parts)


def test_a_folders_config_is_read_as_it_is(folders: Mapping[str, Path]) -> None:
    """The tiny models have the architectures that they claim."""
    names = {
        name: json.loads((f / "config.json").read_text())["architectures"][0] for name, f in folders.items()
    }
    assert names["bert"] == "BertForSequenceClassification"
    assert names["xlm-roberta"] == "XLMRobertaForSequenceClassification"


def test_the_best_are_read_closer(tmp_path: Path) -> None:
    """The mean with the nearest part's score counts, and the part is kept; not where one is sure."""
    sentence = "the lazy dog jumps over the fox. "
    texts = [sentence * 30, "the fox " * 3, sentence * 29 + "a reranker. "]
    candidates = [Candidate.from_text(text, id=f"c{n}") for n, text in enumerate(texts)]
    model = load_pair_model(tiny_models.bert(tmp_path / "bert", positions=512), device="cpu")

    def last(
        _query: str, _of: Sequence[Candidate], places: Sequence[tuple[int, tuple[int, int]]]
    ) -> list[float]:
        return [float(start) for _, (start, _) in places]

    def read(**options: Any) -> dict[str, Candidate]:
        reader = CrossEncoder("cross-encoder", model, scale="logit", near=last, **options)
        return {c.id: c for c in anyio.run(reader.rerank, QUESTION, candidates, 3).candidates}

    whole, closer = read(), read(closer=3)
    assert closer["c1"].scores == pytest.approx(whole["c1"].scores, abs=1e-4)
    for name in ("c0", "c2"):
        text = texts[int(name[1])]
        start, end = closer[name].evidence["cross-encoder"]
        assert (end, start > 0) == (len(text.rstrip()), True)
        part = all_scores(model, QUESTION, [text[start:end]])[0]
        mean = (whole[name].scores["cross-encoder"] + part) / 2
        assert closer[name].scores["cross-encoder"] == pytest.approx(mean, abs=1e-4)
    assert not read(closer=3, sure=-99.0)["c0"].evidence
