"""Encoders of the usual architectures, loaded from files: prompts, shortened vectors, limits, identity."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.encoder import Encoder, load_encoder
from retrieval.encoders.endpoint import estimating_tokenizer
from retrieval.encoders.prompts import Prompts, chosen_prompts, family_prompts, own_prompts
from retrieval.models.devices import chosen_device, device_among, precision
from retrieval.models.hub import MINILM
from retrieval.models.locate import LocatedModel, locate
from storage.errors import ModelError, SettingsError
from tests.support import tiny_models
from tests.support.fakes import FixedModel

pytestmark = pytest.mark.heavy

TEXTS = [
    "Late interaction compares token vectors with MaxSim.",
    "重排序模型同时阅读问题和文档。",
    "A reranker reads the question and the passage together, yes or no. " * 20,
    "fox",
]
KINDS: dict[str, Callable[..., Path]] = {
    "bert": tiny_models.bert_encoder,
    "xlm-roberta": tiny_models.xlm_roberta_encoder,
    "qwen3": tiny_models.qwen3_encoder,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One tiny encoder per kind."""
    root = tmp_path_factory.mktemp("encoders")
    return {kind: build(root / kind) for kind, build in KINDS.items()}


def states(folder: Path, text: str, limit: int) -> Any:
    """The last layer's token states by transformers alone, for one text without padding."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    given = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
    given.pop("token_type_ids", None)
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).float()(**given).last_hidden_state[0].numpy()


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_transformers_and_line_up_with_the_text(
    folders: dict[str, Path], kind: str
) -> None:
    """Dense and token vectors of each architecture equal those of transformers, one text at a time."""
    encoder = load_encoder(str(folders[kind]), device="cpu")
    pooled: dict[str, Callable[[Any], Any]] = {
        "bert": lambda found: found.mean(axis=0),
        "xlm-roberta": lambda found: found[0],
        "qwen3": lambda found: found[-1],
    }
    for text, encoding in zip(TEXTS, encoder.encode_passages(TEXTS, tokens=True), strict=True):
        expected = states(folders[kind], text, encoder.max_tokens)
        assert encoding.tokens is not None
        np.testing.assert_allclose(encoding.dense, unit(pooled[kind](expected)), atol=1e-5)
        np.testing.assert_allclose(encoding.tokens, unit(expected), atol=1e-5)
        assert len(encoder.token_spans(text)) == len(encoding.tokens)
    long = encoder.encode_passages(TEXTS, tokens=False)[2]
    assert (long.truncated, long.tokens) == (True, None)


@pytest.mark.parametrize(("kind", "reads"), [("bert", 64), ("xlm-roberta", 64), ("qwen3", 96)])
def test_an_encoder_reads_as_much_as_its_positions_allow(
    folders: dict[str, Path], kind: str, reads: int
) -> None:
    """The limit never exceeds the model's positions, even if the tokenizer states none."""
    encoder = load_encoder(str(folders[kind]), device="cpu")
    assert encoder.max_tokens == reads
    spans = encoder.token_spans("question " * 200)
    assert len(spans) == reads
    assert spans[-1] == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_stand_before_questions_and_passages(tmp_path: Path, kind: str) -> None:
    """The model's own prompts are prepended, count towards the limit, and leave the spans unchanged."""
    folder = KINDS[kind](tmp_path / kind, prompts={"query": "Judge: ", "document": "passage "})
    encoder = load_encoder(str(folder), device="cpu")
    bare = load_encoder(str(folder), device="cpu", query_prompt="", passage_prompt="")
    text = "The quick brown fox"
    for ours, theirs in (
        (encoder.encode_query(text), bare.encode_query("Judge: " + text)),
        (
            encoder.encode_passages([text], tokens=True)[0],
            bare.encode_passages(["passage " + text], tokens=True)[0],
        ),
    ):
        np.testing.assert_allclose(ours.dense, theirs.dense, atol=1e-6)
        assert ours.tokens is not None
        assert theirs.tokens is not None
        np.testing.assert_allclose(ours.tokens, theirs.tokens, atol=1e-6)
    assert encoder.max_tokens < bare.max_tokens
    assert all(end <= len(text) for _, end in encoder.token_spans(text))
    fits = "fox " * encoder.max_tokens
    assert encoder.encode_passages([fits], tokens=False)[0].truncated


def test_what_changes_vectors_is_in_the_id(tmp_path: Path) -> None:
    """Prompts, width and weights change an encoder's id; moving its files does not."""
    folder = tiny_models.bert_encoder(tmp_path / "model")
    moved = tmp_path / "elsewhere" / "model"
    shutil.copytree(folder, moved)
    name = load_encoder(str(folder), device="cpu").id
    assert name.startswith("model@")
    assert load_encoder(str(moved), device="cpu").id == name
    assert load_encoder(str(folder), device="cpu", dim=8).id == f"{name} dim=8"
    prompted = load_encoder(str(folder), device="cpu", query_prompt="query: ")
    assert prompted.id == f'{name} query="query: " passage=""'
    weights = bytearray((moved / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (moved / "model.safetensors").write_bytes(weights)
    assert load_encoder(str(moved), device="cpu").id != name


def test_a_published_model_has_one_id_wherever_it_lies(tmp_path: Path) -> None:
    """The packaged default has the same id as the same weights in the hub's cache."""
    packaged = locate(MINILM)
    assert packaged.identity() == MINILM
    assert LocatedModel(MINILM, packaged.folder, "cache").identity() == MINILM
    (tmp_path / "c0ffee").mkdir()
    assert LocatedModel(MINILM, tmp_path / "c0ffee", "cache").identity() == f"{MINILM}@c0ffee"


@pytest.mark.parametrize("kind", KINDS)
def test_shortened_vectors_are_the_first_dimensions_at_unit_length(
    folders: dict[str, Path], kind: str
) -> None:
    """Matryoshka: `dim` cuts dense vectors of questions and passages, and leaves token vectors alone."""
    whole, short = (load_encoder(str(folders[kind]), device="cpu", dim=dim) for dim in (None, 8))
    for one, other in (
        (whole.encode_query(TEXTS[0]), short.encode_query(TEXTS[0])),
        *zip(
            whole.encode_passages(TEXTS, tokens=True), short.encode_passages(TEXTS, tokens=True), strict=True
        ),
    ):
        np.testing.assert_allclose(other.dense, unit(one.dense[:8]), atol=1e-6)
        assert other.tokens is not None
        assert other.tokens.shape[1] == short.token_dim == 32
    assert short.dim == 8


def test_more_dimensions_than_there_are_is_refused(folders: dict[str, Path]) -> None:
    """A width that the model does not have is a settings error that names both."""
    with pytest.raises(SettingsError, match=r"33.*32 dimensions"):
        load_encoder(str(folders["bert"]), device="cpu", dim=33)


def test_a_prompt_that_leaves_no_room_is_refused(folders: dict[str, Path]) -> None:
    """A passage prompt as long as the model's reach is a settings error, not a passage of nothing."""
    with pytest.raises(SettingsError, match="more than half of the 64 tokens"):
        load_encoder(str(folders["bert"]), device="cpu", passage_prompt="fox " * 40)


def test_a_width_saved_with_the_model_is_kept(tmp_path: Path) -> None:
    """A model published with `truncate_dim` gives vectors of that width."""
    encoder = load_encoder(str(tiny_models.bert_encoder(tmp_path / "m", truncate_dim=8)), device="cpu")
    assert encoder.dim == 8
    assert encoder.encode_query("fox").dense.shape == (8,)
    assert encoder.token_dim == 32


def test_a_checkpoint_in_half_precision_runs_exactly_on_a_cpu(tmp_path: Path) -> None:
    """A float16 checkpoint is widened on a CPU, where float16 is slow and rounds."""
    folder = tiny_models.xlm_roberta_encoder(tmp_path / "half", half=True)
    encoder = load_encoder(str(folder), device="cpu")
    expected = unit(states(folder, TEXTS[0], 64)[0])
    np.testing.assert_allclose(encoder.encode_query(TEXTS[0]).dense, expected, atol=1e-6)


def test_static_embeddings_have_no_token_vectors(tmp_path: Path) -> None:
    """Static embeddings encode questions and passages, but report no token vectors."""
    encoder = load_encoder(str(tiny_models.static_encoder(tmp_path / "static")), device="cpu")
    assert (encoder.dim, encoder.token_dim) == (16, None)
    assert encoder.encode_query(TEXTS[0]).tokens is None
    assert [one.tokens for one in encoder.encode_passages(TEXTS, tokens=True)] == [None] * len(TEXTS)


def test_another_pooling_goes_through_sentence_transformers(tmp_path: Path) -> None:
    """A BERT with other than mean pooling goes through sentence-transformers."""
    encoder = load_encoder(str(tiny_models.bert_encoder(tmp_path / "m", pooling="cls")), device="cpu")
    expected = unit(states(tmp_path / "m", TEXTS[0], 64)[0])
    np.testing.assert_allclose(encoder.encode_query(TEXTS[0]).dense, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "query", "passage"),
    [
        ("intfloat/multilingual-e5-small", "query: ", "passage: "),
        ("intfloat/e5-base-v2", "query: ", "passage: "),
        ("intfloat/multilingual-e5-large-instruct", "Instruct: ", ""),
        ("BAAI/bge-small-en-v1.5", "Represent this sentence", ""),
        ("BAAI/bge-large-zh-v1.5", "为这个句子", ""),
        ("Qwen/Qwen3-Embedding-0.6B", "Instruct: ", ""),
        ("nomic-ai/nomic-embed-text-v1.5", "search_query: ", "search_document: "),
        ("Snowflake/snowflake-arctic-embed-m-v2.0", "query: ", ""),
        ("BAAI/bge-m3", "", ""),
        (MINILM, "", ""),
        ("text-embedding-3-small", "", ""),
    ],
)
def test_known_families_are_asked_the_way_they_were_trained(model: str, query: str, passage: str) -> None:
    """A model without prompts in its files gets those of its family; an unknown name gets none."""
    found = family_prompts(model)
    assert found.query.startswith(query)
    assert bool(found.query) is bool(query)
    assert found.passage == passage


def test_settings_go_before_files_and_files_before_the_family(tmp_path: Path) -> None:
    """Prompts come from the settings, even if empty, then the model's files, then its family."""
    config = tmp_path / "config_sentence_transformers.json"
    assert own_prompts(tmp_path) is None
    config.write_text(json.dumps({"prompts": {"query": "", "document": ""}}))
    assert own_prompts(tmp_path) is None
    config.write_text(json.dumps({"prompts": {"retrieval.query": "Q ", "passage": "P ", "sts": "S "}}))
    own = own_prompts(tmp_path)
    assert own == Prompts("Q ", "P ")
    assert chosen_prompts("intfloat/e5-small", own) == own
    assert chosen_prompts("intfloat/e5-small", None) == Prompts("query: ", "passage: ")
    assert chosen_prompts("intfloat/e5-small", None, query="") == Prompts("", "passage: ")
    config.write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        own_prompts(tmp_path)


def test_long_prompts_are_hashed_in_the_id() -> None:
    """A long prompt is hashed in the id, so that the id stays short and unique."""
    one, other = (Prompts(f"Instruct: {what}, retrieve the passages\nQuery: ") for what in ("web", "code"))
    assert str(one) != str(other)
    assert len(str(one)) < 50
    assert str(Prompts()) == ""


def test_remembered_questions_are_the_same_and_can_be_forgotten(folders: dict[str, Path]) -> None:
    """A repeated question is not encoded again until the encoder forgets its queries."""
    encoder: Encoder = load_encoder(str(folders["xlm-roberta"]), device="cpu")
    first, second = encoder.encode_query("fox"), encoder.encode_query("fox")
    assert second.dense is first.dense
    encoder.forget_queries()
    assert encoder.encode_query("fox").dense is not first.dense


def test_auto_takes_the_best_device_and_a_missing_one_is_refused() -> None:
    """`auto` prefers cuda, then mps, then cpu; a missing device is a clear error."""
    assert device_among({"cuda": True, "mps": False, "cpu": True}, "auto") == "cuda"
    assert device_among({"cuda": False, "mps": True, "cpu": True}, "auto") == "mps"
    assert device_among({"cuda": True, "mps": False, "cpu": True}, "cpu") == "cpu"
    with pytest.raises(ModelError, match="'mps' is not available"):
        device_among({"cuda": False, "mps": False, "cpu": True}, "mps")
    assert chosen_device("cpu") == "cpu"


@pytest.mark.parametrize(
    ("device", "config", "bfloat16", "expected"),
    [
        ("cpu", {"model_type": "bert"}, True, "float32"),
        ("mps", {"model_type": "bert"}, True, "float32"),
        ("cuda", {"model_type": "bert"}, True, "float16"),
        ("cuda", {"model_type": "xlm-roberta", "torch_dtype": "float32"}, False, "float16"),
        ("cuda", {"model_type": "qwen3", "torch_dtype": "bfloat16"}, True, "bfloat16"),
        ("cuda", {"model_type": "qwen3", "dtype": "bfloat16"}, False, "float32"),
        ("cuda", {"model_type": "gemma3_text"}, True, "bfloat16"),
        ("cuda", {"model_type": "t5"}, False, "float32"),
    ],
)
def test_half_precision_only_where_it_is_exact_enough(
    device: str, config: dict[str, str], bfloat16: bool, expected: str
) -> None:
    """Half precision is used on NVIDIA GPUs only, and float16 never for models that overflow it."""
    assert precision(device, config, bfloat16=bfloat16) == expected


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ([[1.0, 0.0]], "2 dimensions, not 3"),
        ([[1.0, float("nan"), 0.0]], "values that are not finite"),
        ([[1.0, float("inf"), 0.0]], "values that are not finite"),
        ([], "0 vectors for 1 texts"),
        ([[1.0, 0.0, 0.0]] * 2, "2 vectors for 1 texts"),
    ],
)
def test_vectors_that_cannot_be_right_go_nowhere(vectors: list[list[float]], said: str) -> None:
    """Vectors of a wrong width or count, or with NaN, are errors, whatever the model."""
    encoder = Encoder("fixed", FixedModel(3, *vectors), estimating_tokenizer())
    with pytest.raises(ModelError, match=said):
        encoder.encode_passages(["text"], tokens=False)
    with pytest.raises(ModelError, match=said):
        encoder.encode_query("text")
