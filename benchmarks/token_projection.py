"""Learns the directions that `encoder.token_dim` keeps: principal components of the encoder's token states.

    python -P benchmarks/token_projection.py CORPUS OUT [--passages N] [--dims K]

CORPUS is a corpus.jsonl ({title, text} a line, .gz too), OUT a file (retrieval/projections/NAME.safetensors).
Only the second moments of the token vectors of N passages, drawn with a fixed seed, are looked at: no
question, and no judgement. Prints how much of the states' energy the first dimensions hold. What it costs in
quality, `winnow evaluate` measures with and without WINNOW_ENCODER__TOKEN_DIM (docs/evaluation.md).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from retrieval.encoder import load_encoder


def passages(corpus: Path, number: int) -> list[str]:
    packed = corpus.suffix == ".gz"
    with gzip.open(corpus, "rt", encoding="utf-8") if packed else corpus.open(encoding="utf-8") as lines:
        texts = [f"{record.get('title', '')}\n{record['text']}" for record in map(json.loads, lines)]
    return random.Random(0).sample(texts, min(number, len(texts)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--passages", type=int, default=1_000)
    parser.add_argument("--dims", type=int, default=192)
    chosen = parser.parse_args()
    encoder = load_encoder(device="cpu")
    moments, tokens = np.zeros((encoder.dim, encoder.dim)), 0
    texts = passages(chosen.corpus, chosen.passages)
    for start in range(0, len(texts), 64):
        for encoding in encoder.encode_passages(texts[start : start + 64], tokens=True):
            assert encoding.tokens is not None
            moments += encoding.tokens.T.astype(np.float64) @ encoding.tokens
            tokens += len(encoding.tokens)
    energy, directions = np.linalg.eigh(moments)  # the weakest first
    energy, directions = energy[::-1], directions[:, ::-1].T
    save_file(
        {"directions": np.ascontiguousarray(directions[: chosen.dims]).astype(np.float16)},
        chosen.out,
        metadata={"encoder": encoder.id, "corpus": chosen.corpus.parent.name, "tokens": str(tokens)},
    )
    print(f"{len(texts)} passages, {tokens} token vectors; energy of the first dimensions:")
    for dim in (64, 96, 128, 160, 192, 256):
        print(f"  {dim:4} {energy[:dim].sum() / energy.sum():.3f}")


if __name__ == "__main__":
    main()
