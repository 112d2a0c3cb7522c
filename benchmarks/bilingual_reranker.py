"""Train a reranker that reads English and Chinese, with a point on the curve every 20,000 pairs.

    python -P benchmarks/bilingual_reranker.py DATA WORK [--hours 6] [--frozen 3] [--max-length 256]

DATA holds the folders named below in BEIR's layout; WORK gets the mined records, the teacher's scores,
checkpoints and the model. A step whose file is there is left out, and the training resumes: after an
interruption run the same command again. English is taught by the packaged cross-encoder, Chinese by labels;
of dureader-demo and lecoqa one half is learned from and the other measured. Nothing is chosen by the measured
sets; the model card lists them at every measurement. Halves are drawn by the SHA-256 of a question's id.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAIRS_A_POINT, BATCH = 20_000, 64
LICENCE = "CC BY-SA 4.0 (SQuAD, CMRC 2018), CC BY-SA 3.0 (DRCD), Apache-2.0 (DuReader), MIT (LeCoQA)"


@dataclass(frozen=True)
class Part:
    """A set: its folder below DATA, options of `winnow mine`, and which half of the questions, if not all."""

    name: str
    folder: str
    options: tuple[str, ...]
    half: int | None = None
    split: str | None = None


# Where answers are known, what holds one is no negative; elsewhere what scores like the positive is none.
_ANSWERS, _NEAR = ("-n", "7", "--no-margin"), ("-n", "15", "--relative-margin", "0.02")
LEARNED = (
    Part("squad-train", "squad-train", (*_ANSWERS, "--sample", "24000", "--seed", "1")),
    Part("drcd-dev", "drcd/dev", _ANSWERS),
    Part("drcd-test", "drcd/test", _ANSWERS),
    Part("cmrc-trial", "cmrc2018/trial", _ANSWERS),
    Part("dureader-a", "dureader-demo", _NEAR, half=0),
    Part("lecoqa-a", "lecoqa", _NEAR, half=0, split="train"),
)
# Candidates as retrieval finds them, all of them negatives that are not judged relevant.
_MANY = ("-n", "40", "--no-margin", "--seed", "1")
MEASURED = (
    Part("dl19", "trec-dl19-pool", _MANY),
    Part("squad-dev", "squad-dev", (*_MANY, "--sample", "60")),
    Part("cmrc-dev", "cmrc2018/dev", (*_MANY, "--sample", "60")),
    Part("dureader-b", "dureader-demo", _MANY, half=1),
    Part("lecoqa-b", "lecoqa", (*_MANY, "--sample", "60"), half=1, split="train"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--frozen", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--epochs", type=float, default=2.0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    learned = [_mined(part, options.data, options.work) for part in LEARNED]
    measured = [_mined(part, options.data, options.work) for part in MEASURED]
    watched = [word for path in measured for word in ("--watch", str(path))]
    _winnow(
        *("train", *map(str, learned), "-o", str(options.work / "reranker"), *watched),
        *("--teacher", "cross-encoder", "--objective", "listwise", "--learning-rate", "1e-4"),
        *("--freeze", str(options.frozen), "--max-length", str(options.max_length)),
        *("--batch", str(BATCH), "--eval-steps", str(PAIRS_A_POINT // BATCH), "--checkpoint-steps", "50"),
        *("--epochs", str(options.epochs), "--max-minutes", str(60 * options.hours), "--patience", "50"),
        *("--dev-share", "0.01", "--licence", LICENCE, "--data-dir", str(options.work / "data")),
    )


def _mined(part: Part, data: Path, work: Path) -> Path:
    records = work / f"{part.name}.jsonl"
    if not records.exists():
        folder = data / part.folder if part.half is None else _half(part, data / part.folder, work)
        _winnow("mine", str(folder), "-o", str(records), *part.options, "--data-dir", str(work / "data"))
    return records


def _half(part: Part, source: Path, work: Path) -> Path:
    """A folder with half of a set's questions and all of its documents."""
    folder = work / "halves" / part.name
    folder.mkdir(parents=True, exist_ok=True)
    middle = f".{part.split}" if part.split else ""
    [corpus] = source.glob("corpus.jsonl*")
    if not (link := folder / corpus.name).exists():
        link.symlink_to(corpus.resolve())
    [queries], [qrels] = source.glob(f"queries{middle}.jsonl*"), source.glob(f"qrels{middle}.tsv*")
    head, *judged = _lines(qrels)
    asked = [line for line in _lines(queries) if _side(str(json.loads(line)["id"])) == part.half]
    kept = [line for line in judged if _side(line.split("\t")[0]) == part.half]
    (folder / "queries.jsonl").write_text("\n".join(asked) + "\n", encoding="utf-8")
    (folder / "qrels.tsv").write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    return folder


def _side(question: str) -> int:
    return int(hashlib.sha256(question.encode()).hexdigest(), 16) % 2


def _lines(path: Path) -> Iterator[str]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    return (line for line in text.split("\n") if line)


def _winnow(*words: str) -> None:
    print("winnow", *words, file=sys.stderr, flush=True)
    if code := subprocess.run([sys.executable, "-P", "-m", "winnow", *words]).returncode:
        sys.exit(code)


if __name__ == "__main__":
    main()
