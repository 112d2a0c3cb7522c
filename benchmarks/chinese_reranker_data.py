"""Make the data that winnow's own cross-encoder learns from (benchmarks/chinese_reranker.py).

    python -P benchmarks/chinese_reranker_data.py DATA WORK [--taught 4600]

DATA holds the folders named below in BEIR's layout; WORK gets a file of mined records for each, and
`squad-train.taught`: for the first questions the scores of the packaged cross-encoder, which teaches English.
A step whose file is there is left out. Of dureader-demo and lecoqa one half is learned from and the other
measured: halves are drawn by the SHA-256 of a question's id.
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
from itertools import islice
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """A set: its folder below DATA, options of `winnow mine`, and which half of the questions, if not all."""

    name: str
    folder: str
    options: tuple[str, ...]
    half: int | None = None
    split: str | None = None


# Where answers are known, what holds one is no negative; elsewhere what scores like the positive is none.
# What is relevant to a question of LeCoQA was judged, all of it.
_ANSWERS, _NEAR = ("-n", "7", "--no-margin"), ("-n", "15", "--relative-margin", "0.02")
LEARNED = (
    Part("squad-train", "squad-train", (*_ANSWERS, "--sample", "9000", "--seed", "1")),
    Part("drcd-dev", "drcd/dev", _ANSWERS),
    Part("drcd-test", "drcd/test", _ANSWERS),
    Part("cmrc-trial", "cmrc2018/trial", _ANSWERS),
    Part("dureader-a", "dureader-demo", _NEAR, half=0),
    Part("lecoqa-a", "lecoqa", ("-n", "15", "--no-margin"), half=0, split="train"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--taught", type=int, default=4_600)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for part in LEARNED:
        _mined(part, options.data, options.work)
    _teach(options.work / "squad-train.jsonl", options.taught)


def _teach(records: Path, questions: int) -> None:
    """Write the teacher's log-odds of each passage, a line a question; null where it could not read all."""
    from rerank.chain import Chain
    from rerank.spec import Spec
    from storage.records import Candidate
    from winnow.app import portal
    from winnow.app.settings import Settings
    from winnow.app.wiring import Wiring

    file = records.with_suffix(".taught")
    if file.exists():
        return
    lines = []
    with Wiring(Settings.load()) as wiring:
        chain = Chain.load(Spec.parse("cross-encoder(scale=logit)"), wiring.rerank_parts(None, None))
        for line in islice(_lines(records), questions):
            record = json.loads(line)
            passages = [
                Candidate.from_text(one["text"], id=str(n)) for n, one in enumerate(record["passages"])
            ]
            ranking = portal.call(chain.rerank, record["query"], passages, len(passages))
            scores = {int(one.id): one.scores.get(chain.scored_by) for one in ranking.everything}
            read = ranking.outcome.status == "ok"
            lines.append(json.dumps([scores[n] for n in range(len(passages))] if read else None))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


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
