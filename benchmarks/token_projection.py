"""Learns the projection that `encoder.token_dim` uses: token vectors in fewer dimensions, trained for MaxSim.

    python -P benchmarks/token_projection.py SET OUT [--dim 128] [--passages N] [--steps S]

SET is a folder in BEIR's layout (questions with answers), OUT a file
(retrieval/encoders/projections/…safetensors). The encoder stays as it is: its token
vectors of the first N passages and their questions are computed once.
The projection begins as their principal components (Hotelling 1933) and is then trained so that a
question's own passage has the best MaxSim (Khattab & Zaharia 2020) among passages that its dense vector
finds and that do not hold its answer: cross entropy over 1 + 7. Everything is drawn with a fixed seed. What
it brings, `winnow evaluate` measures with WINNOW_ENCODER__TOKEN_DIM=128 and 384 (docs/evaluation.md).
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from retrieval.encoders.encoder import Encoder, load_encoder
from winnow.lab.datasets.dataset import read_corpus
from winnow.lab.evaluation import Dataset, load_dataset

NEGATIVES, FOUND, QUESTIONS = 7, 30, 24  # a question; by the dense vector; a step
RATE, WARM_UP, LAST, SCALE = 3e-4, 100, 0.02, 30.0


@dataclass(frozen=True, slots=True)
class Material:
    """Token vectors by number, in half precision, and what each question may be trained on."""

    passages: Sequence[np.ndarray]
    questions: Sequence[np.ndarray]
    own: Sequence[int]
    negatives: Sequence[Sequence[int]]


def material(dataset: Dataset, encoder: Encoder, count: int) -> Material:
    """The first passages of the set, the questions about them, and their hard negatives."""
    assert dataset.corpus is not None
    documents = [document for _, document in itertools.islice(read_corpus(dataset.corpus), count)]
    place = {document.id: number for number, document in enumerate(documents)}
    texts = [f"{document.title}\n{document.text}" for document in documents]
    asked = []
    for question in dataset.questions:
        own = [place[name] for name in dataset.qrels.relevant(question.id) if name in place]
        if own:
            asked.append((question, own[0]))
    dense, passages = encoded(encoder, texts)
    queries, questions = encoded(encoder, [question.text for question, _ in asked])
    low = [text.lower() for text in texts]
    negatives = []
    for start in range(0, len(asked), 256):
        best = np.argsort(-(queries[start : start + 256] @ dense.T), axis=1)[:, :FOUND]
        for (question, own), found in zip(asked[start : start + 256], best, strict=True):
            answers = [answer.lower() for answer in question.answers]
            negatives.append([int(n) for n in found if n != own and not any(a in low[n] for a in answers)])
    return Material(passages, questions, [own for _, own in asked], negatives)


def encoded(encoder: Encoder, texts: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Dense vectors, shape (n, dim), and token vectors of every text."""
    dense, tokens, started = [], [], time.monotonic()
    for start in range(0, len(texts), 256):
        for encoding in encoder.encode_passages(texts[start : start + 256], tokens=True):
            assert encoding.tokens is not None
            dense.append(encoding.dense)
            tokens.append(encoding.tokens.astype(np.float16))
    print(f"{len(texts)} texts encoded in {time.monotonic() - started:.0f} s", flush=True)
    return np.stack(dense), tokens


def components(passages: Sequence[np.ndarray], dim: int) -> Tensor:
    """The strongest directions of the token vectors, shape (dim, width)."""
    sample = np.concatenate([passages[n] for n in range(0, len(passages), 10)]).astype(np.float32)
    strength, directions = np.linalg.eigh(sample.T @ sample)  # the weakest first
    print(f"{dim} directions hold {strength[-dim:].sum() / strength.sum():.3f} of the energy", flush=True)
    return torch.from_numpy(np.ascontiguousarray(directions[:, ::-1].T[:dim]))


def padded(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Shape (n, longest, width), and which rows are there."""
    lengths = torch.tensor([len(row) for row in rows])
    stacked = torch.zeros(len(rows), int(lengths.max()), rows[0].shape[1])
    for place, row in enumerate(rows):
        stacked[place, : len(row)] = torch.from_numpy(row.astype(np.float32))
    return stacked, torch.arange(stacked.shape[1]) < lengths[:, None]


def trained(found: Material, dim: int, steps: int) -> Tensor:
    """The projection, shape (dim, width)."""
    draws = np.random.default_rng(0)
    usable = [n for n, others in enumerate(found.negatives) if len(others) >= NEGATIVES]
    weights = torch.nn.Parameter(components(found.passages, dim))
    scale = torch.nn.Parameter(torch.tensor(float(np.log(SCALE))))
    optimiser = torch.optim.AdamW([weights, scale], lr=RATE, weight_decay=0)
    sum_loss, started = 0.0, time.monotonic()
    order = draws.permutation(usable)
    for step in range(steps):
        picked = [int(order[(step * QUESTIONS + n) % len(order)]) for n in range(QUESTIONS)]
        groups = []
        for number in picked:
            chosen = draws.permutation(len(found.negatives[number]))[:NEGATIVES]
            groups += [found.own[number], *(found.negatives[number][n] for n in chosen)]
        passages, there = padded([found.passages[n] for n in groups])
        questions, asked = padded([found.questions[n] for n in picked])
        short = functional.normalize(passages @ weights.T, dim=-1).unflatten(0, (QUESTIONS, -1))
        query = functional.normalize(questions @ weights.T, dim=-1)
        likeness = torch.einsum("bqd,bnld->bnql", query, short)
        best = likeness.masked_fill(~there.unflatten(0, (QUESTIONS, -1))[:, :, None], -9).amax(-1)
        scores = (best * asked[:, None]).sum(-1) / asked.sum(-1)[:, None]
        loss = functional.cross_entropy(scores * scale.exp(), torch.zeros(QUESTIONS, dtype=torch.long))
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARM_UP) * max(LAST, 1 - step / steps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        sum_loss += float(loss.detach())
        if (step + 1) % 100 == 0:
            print(
                f"step {step + 1}: loss {sum_loss / 100:.3f}, {time.monotonic() - started:.0f} s", flush=True
            )
            sum_loss = 0.0
    return weights.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--passages", type=int, default=5_000)
    parser.add_argument("--steps", type=int, default=600)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    encoder = load_encoder(device="cpu", token_dim=384)
    found = material(load_dataset(chosen.set), encoder, chosen.passages)
    print(f"{len(found.own)} questions")
    projection = trained(found, chosen.dim, chosen.steps)
    about = {"encoder": encoder.id, "set": chosen.set.name, "passages": str(len(found.passages)),
             "steps": str(chosen.steps)}  # fmt: skip
    save_file({"projection": projection.half().contiguous()}, chosen.out, metadata=about)


if __name__ == "__main__":
    main()
