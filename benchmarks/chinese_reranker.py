"""Train winnow's own cross-encoder for Chinese (rerank/cross/chinese.py).

    python -P benchmarks/chinese_reranker.py DATA WORK --phase sentences --minutes 170 [--threads 1]
    python -P benchmarks/chinese_reranker.py DATA WORK --phase passages --minutes 100
    python -P benchmarks/chinese_reranker.py DATA WORK --export rerank/cross/chinese.onnx

WORK holds what `benchmarks/chinese_reranker_data.py DATA WORK` makes: questions with a passage that answers
and some that do not. In the first phase three batches of four are sentences: the one that holds the answer
against its neighbours and the most similar sentences of other passages, with and without their titles. The
rest, and the second phase, are passages, cut around the answer; DRCD also in simplified characters (OpenCC),
English as far as the teacher scored it. Listwise and pointwise losses; the embeddings and the lowest layers
stay multilingual-e5-small's. A run that was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

# Mined records, the questions that they were mined for, and how often a question is drawn from them in the
# first and in the second phase.
SETS = (
    ("squad-train", "squad-train/queries.jsonl.gz", 4.0, 1.6),
    ("drcd-dev", "drcd/dev/queries.jsonl", 1.6, 1.5),
    ("drcd-test", "drcd/test/queries.jsonl", 1.4, 1.5),
    ("cmrc-trial", "cmrc2018/trial/queries.jsonl", 1.2, 1.2),
    ("dureader-a", None, 0.5, 0.6),
    ("lecoqa-a", None, 0.0, 1.4),
)
GROUP, SENTENCES, PASSAGES = 8, 12, 8  # texts a question; questions a batch
FROZEN, WARM_UP = 3, 60
CHARACTERS = {"en": 480, "zh": 165}
TEACHER_SCALE, SIMPLIFIED = 1.5, 0.6


@dataclass(frozen=True)
class Phase:
    """Options of a phase. `cuts`: the lengths of passages as shares of `CHARACTERS`."""

    weights: int  # a column of SETS
    sentences: float  # the share of batches
    cuts: tuple[float, ...]
    longest: int  # tokens
    rate: float
    dropout: float
    pointwise: float  # the weight of that loss beside the listwise


PHASES = {
    "sentences": Phase(2, 0.75, (0.35, 0.45, 0.55, 0.55, 0.8, 1.0), 144, 2e-4, 0.1, 0.5),
    "passages": Phase(3, 0.0, (0.5, 0.7, 0.9, 1.0, 1.4, 1.6), 192, 1e-4, 0.0, 0.3),
}
_END = re.compile(r"(?<=[。！？；])|(?<=[.!?])\s+(?=[A-Z\"“(\d])")
_HAN = re.compile(r"[㐀-鿿]")


@dataclass
class Asked:
    """A question with a text that answers it and texts that do not. `answers` may be unknown."""

    question: str
    positives: list[str]
    negatives: list[str]
    answers: list[str] = field(default_factory=list)
    # All texts with the teacher's log-odds, where it gave any.
    taught: Sequence[tuple[str, float]] = ()

    @property
    def language(self) -> str:
        return "zh" if _HAN.search(self.question) else "en"


def read(records: Path, questions: Path | None) -> list[Asked]:
    known = {} if questions is None else {one["id"]: one.get("answers") or [] for one in lines(questions)}
    file = records.with_suffix(".taught")
    taught = list(lines(file)) if file.exists() else []
    found = []
    for number, one in enumerate(lines(records)):
        texts: dict[bool, list[str]] = {True: [], False: []}
        for passage in one["passages"]:
            texts[passage["label"] > 0].append(passage["text"])
        if texts[True] and texts[False]:
            every = [passage["text"] for passage in one["passages"]]
            scores = taught[number] if number < len(taught) else None  # None: the teacher could not read it
            scored = zip(every, scores, strict=True) if scores else ()
            answers = known.get(one["id"], [])
            found.append(Asked(one["query"], texts[True], texts[False], answers, list(scored)))
    return found


def lines(path: Path) -> Iterator[Any]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    return (json.loads(line) for line in text.split("\n") if line)


# The questions and texts of a batch, and of each question how likely each text is the one to be first.
Batch = tuple[list[str], list[str], list[list[float]]]


class Batches:
    """Draws batches of pairs; of each `GROUP` texts the first answers, where no teacher says more."""

    def __init__(self, sets: Sequence[tuple[list[Asked], float]], phase: Phase, seed: int) -> None:
        self._draws = random.Random(seed)
        self._sets, self._weights = [one for one, _ in sets], [weight for _, weight in sets]
        self._phase = phase

    def next(self) -> Batch:
        of_sentences = self._draws.random() < self._phase.sentences
        cut = self._draws.choice(self._phase.cuts)
        questions, found, targets = list[str](), list[str](), list[list[float]]()
        while len(targets) < (SENTENCES if of_sentences else PASSAGES):
            [drawn] = self._draws.choices(self._sets, self._weights)
            asked = self._draws.choice(drawn)
            target = [1.0] + [0.0] * (GROUP - 1)
            if of_sentences:
                texts = self._sentences(asked)
            elif self._phase.sentences == 0 and cut >= 1 and len(asked.taught) == GROUP:
                texts = [text for text, _ in asked.taught]
                scores = torch.tensor([score for _, score in asked.taught])
                target = torch.softmax(scores / TEACHER_SCALE, 0).tolist()
            else:
                texts = self._passages(asked, cut)
            if not texts:
                continue
            question = asked.question
            if asked.language == "zh" and self._draws.random() < SIMPLIFIED:
                question, texts = simplified(question), list(map(simplified, texts))
            questions += [question] * GROUP
            found += texts
            targets.append(target)
        return questions, found, targets

    def _sentences(self, asked: Asked) -> list[str]:
        title, sentences = split(self._draws.choice(asked.positives))
        right = [one for one in sentences if any(answer in one for answer in asked.answers)]
        if not right:
            return []
        beside = [(title, one) for one in sentences if one not in right]
        chosen = [(title, self._draws.choice(right)), *self._draws.sample(beside, min(4, len(beside)))]
        words = set(asked.question if asked.language == "zh" else asked.question.lower().split())
        while len(chosen) < GROUP:
            other, found = split(self._draws.choice(asked.negatives))
            if found:
                alike = max(found, key=lambda one: shared(words, one, asked.language))
                chosen.append((other, alike if self._draws.random() < 0.6 else self._draws.choice(found)))
        titled = self._draws.random() < 0.6
        return [f"{title}\n{one}" if titled and title else one for title, one in chosen]

    def _passages(self, asked: Asked, cut: float) -> list[str]:
        size = int(CHARACTERS[asked.language] * cut)
        others = self._draws.choices(asked.negatives, k=GROUP - 1)
        return [
            self._cut(self._draws.choice(asked.positives), size, asked.answers),
            *(self._cut(one, size, ()) for one in others),
        ]

    def _cut(self, text: str, size: int, answers: Sequence[str]) -> str:
        title, body = titled_body(text)
        if len(body) <= size:
            return text
        start = self._draws.randint(0, len(body) - size)
        for answer in answers:
            if (place := body.find(answer)) >= 0 and len(answer) < size:
                least, most = max(0, place + len(answer) - size), min(place, len(body) - size)
                start = self._draws.randint(min(least, most), most)
                break
        return (f"{title}\n" if title else "") + body[start : start + size]


def titled_body(text: str) -> tuple[str, str]:
    title, end, body = text.partition("\n")
    return (title, body) if end and len(title) < 120 else ("", text)


def split(text: str) -> tuple[str, list[str]]:
    title, body = titled_body(text)
    return title, [one.strip() for one in _END.split(body) if len(one.strip()) > 5]


@cache
def converter() -> Any:
    import opencc

    return opencc.OpenCC("t2s")


def simplified(text: str) -> str:
    converted: str = converter().convert(text)
    return converted


def shared(words: set[str], sentence: str, language: str) -> float:
    own = set(sentence if language == "zh" else sentence.lower().split())
    return len(words & own) / (8 + len(sentence) ** 0.5)


def train(base: Path, batches: Batches, work: Path, phase: Phase, minutes: float) -> None:
    """Train for this many minutes of this process's time; `WORK/reranker` is the model."""
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(
        base,
        num_labels=1,
        attn_implementation="eager",
        hidden_dropout_prob=phase.dropout,
        attention_probs_dropout_prob=phase.dropout,
    )
    model.bert.embeddings.requires_grad_(False)
    for layer in model.bert.encoder.layer[:FROZEN]:
        layer.requires_grad_(False)
    learned = [one for one in model.parameters() if one.requires_grad]
    decay = [
        {"params": [one for one in learned if one.dim() > 1], "weight_decay": 0.01},
        {"params": [one for one in learned if one.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(decay, lr=phase.rate)
    kept, state = work / "reranker.pt", {"step": 0, "seconds": 0.0}
    if kept.exists():
        saved = torch.load(kept)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]
    model.train()
    last = time.monotonic()
    while (done := state["seconds"] / 60 / minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = phase.rate * min(1, (state["step"] + 1) / WARM_UP) * (1 - done)
        questions, texts, wanted = batches.next()
        scores = scored(model, tokenizer, questions, texts, phase.longest).view(-1, GROUP)
        targets = torch.tensor(wanted)
        loss = -(targets * torch.log_softmax(scores, 1)).sum(1).mean()
        labelled = targets.max(1).values == 1
        if labelled.any():
            loss = loss + phase.pointwise * torch.nn.functional.binary_cross_entropy_with_logits(
                scores[labelled], targets[labelled], pos_weight=torch.tensor(4.0)
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        now = time.monotonic()
        state = {"step": state["step"] + 1, "seconds": state["seconds"] + now - last}
        last = now
        if state["step"] % 100 == 0:
            print(f"step {state['step']}, loss {loss.item():.3f}", flush=True)
            part = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state}
            torch.save(part, kept.with_suffix(".part"))
            kept.with_suffix(".part").replace(kept)
    model.save_pretrained(work / "reranker")
    tokenizer.save_pretrained(work / "reranker")
    kept.unlink(missing_ok=True)


def scored(model: Any, tokenizer: Any, questions: list[str], texts: list[str], longest: int) -> torch.Tensor:
    """The scores of a batch, in passes of texts of like length."""
    ids = tokenizer(questions, texts, truncation="only_second", max_length=longest)["input_ids"]
    order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    found = []
    for part in np.array_split(order, 4):
        rows = {"input_ids": [ids[at] for at in part]}
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found.append(model(**tokenizer.pad(rows, return_tensors="pt")).logits.float()[:, 0])
    return torch.cat(found)[torch.tensor(order).argsort()]


def export(trained: Path, texts: Sequence[tuple[str, str]], file: Path) -> None:
    """Write the layers and the head in int8. `texts` are pairs on which the activations are measured."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import load_file

    from retrieval.encoders.bert_graph import BertShape, measured_peaks, write_graph
    from retrieval.encoders.encoder import load_encoder

    encoder = load_encoder().packaged
    assert encoder is not None
    found = load_file(trained / "model.safetensors")
    weights = {name.removeprefix("bert."): np.asarray(one, np.float32) for name, one in found.items()}
    config = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    sizes = (config["num_hidden_layers"], config["num_attention_heads"], config["layer_norm_eps"])
    shape, read = BertShape(*sizes), map(encoder.tokenizer.encode_ids, map(list, texts))
    joined = ([*asked, asked[-1], *told[1:]] for asked, told in read)
    peaks = measured_peaks(weights, shape, map(encoder.embedded, joined))
    write_graph(weights, shape, file, peaks=peaks)
    model = onnx.load(str(file))
    graph, names = (
        model.graph,
        ("pooler.dense.weight", "pooler.dense.bias", "classifier.weight", "classifier.bias"),
    )
    for name in names:
        graph.initializer.append(numpy_helper.from_array(weights[name], name))
    graph.initializer.append(numpy_helper.from_array(np.array(0), "first"))
    graph.node.extend(
        [
            helper.make_node("Gather", ["states", "first"], ["begin"], axis=1),
            helper.make_node("Gemm", ["begin", *names[:2]], ["pooled"], transB=1),
            helper.make_node("Tanh", ["pooled"], ["active"]),
            helper.make_node("Gemm", ["active", *names[2:]], ["log_odds"], transB=1),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("log_odds", TensorProto.FLOAT, None))
    onnx.save(model, str(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--phase", choices=PHASES, default="passages")
    parser.add_argument("--minutes", type=float, default=170.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    phase, work = PHASES[options.phase], options.work
    sets = [
        (read(work / f"{one[0]}.jsonl", options.data / one[1] if one[1] else None), one[phase.weights])
        for one in SETS
    ]
    batches = Batches(sets, phase, seed=0)
    if options.export:
        pairs = [pair for _ in range(2) for pair in zip(*batches.next()[:2], strict=True)]
        export(work / "reranker", pairs, options.export)
    else:
        begun = work / "reranker" if options.phase == "passages" else base(work)
        train(begun, batches, work, phase, options.minutes)


def base(work: Path) -> Path:
    """The packaged encoder with a vocabulary that training can hold."""
    from retrieval.models.hub import DEFAULT_MODEL
    from retrieval.models.locate import locate
    from winnow.lab.training.encoder_base import cut_encoder

    if not (folder := work / "reranker-base").exists():
        texts = (one["query"] for name, *_ in SETS for one in lines(work / f"{name}.jsonl"))
        passages = (
            passage["text"]
            for name, *_ in SETS
            for one in lines(work / f"{name}.jsonl")
            for passage in one["passages"]
        )
        cut_encoder(locate(DEFAULT_MODEL), (*texts, *passages), 45_000, folder)
    return folder


if __name__ == "__main__":
    main()
