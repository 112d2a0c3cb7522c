"""Counts the relevant passages that are missing from Top-50 and Top-5, with and without lines of context.

Run from the repository's root, with a folder in BEIR's layout or the examples:

    python -P benchmarks/contexts.py DATA/covidqa-long --sample 200
    python -P benchmarks/contexts.py examples/documents --questions examples/questions.jsonl

Each of `--contexts` is ingested into a collection of its own below `--data-dir`, the first is the baseline.
A passage is relevant where it covers half of one of a question's `answer_spans`; without these, if it holds
one of the `answers` in the question's `document`; without that, where its document is judged relevant.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ingest.loaders.base import Columns
from storage.records import Candidate, Chunk
from winnow import RAGPipeline, Settings
from winnow.lab.datasets.matching import contains
from winnow.lab.datasets.trec import read_qrels
from winnow.lab.significance import paired_difference

Question = dict[str, Any]
FAILURES: Mapping[str, Callable[[Candidate], bool]] = {
    "Top-50": lambda one: "retrieval" in one.ranks,
    "Top-5 retrieved": lambda one: one.ranks.get("retrieval", 99) <= 5,
    "Top-5 reranked": lambda one: "final" in one.ranks,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("documents", type=Path)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--contexts", nargs="+", default=["off", "summary"])
    parser.add_argument("--data-dir", type=Path, default=Path(".winnow/contexts"))
    options = parser.parse_args()
    asked, relevant = _set(options.documents, options.questions)
    if options.sample and options.sample < len(asked):
        asked = random.Random(7).sample(asked, options.sample)
    whole = options.documents if options.questions else options.documents / "corpus.jsonl"
    baseline: dict[str, list[float]] = {}
    for context in options.contexts:
        settings = Settings.load(
            data_dir=options.data_dir / whole.parent.name / context,
            ingest={"context": context},
            log={"enabled": False},
        )
        with RAGPipeline.from_settings(settings) as pipeline:
            columns = None if options.questions else Columns(text="text", id="id", title="title")
            passages = pipeline.ingest(whole, columns=columns).totals["chunks"]
            failed = _failures(pipeline, asked, relevant)
        baseline = baseline or failed
        print(f"{context}: {passages} passages, {len(asked)} questions")
        for name, now in failed.items():
            found = paired_difference(baseline[name], now, seed=0)
            interval = f"{found.mean:+.3f} [{found.interval.low:+.3f}, {found.interval.high:+.3f}]"
            print(f"  not in the {name}: {sum(now) / len(now):.3f}  {interval}")


def _set(documents: Path, questions: Path | None) -> tuple[list[Question], Callable[[Chunk, Question], bool]]:
    if questions is not None:
        return [one for one in _read(questions) if one.get("answers") and one.get("document")], _holds_answer
    judged = read_qrels(documents / "qrels.tsv")

    def relevant(chunk: Chunk, question: Question) -> bool:
        if chunk.source.rpartition("#")[2] not in judged.relevant(question["id"]):
            return False
        spans: Sequence[tuple[int, int]] = question.get("answer_spans") or [(chunk.start, chunk.end)]
        return any(min(chunk.end, end) - max(chunk.start, start) >= (end - start) / 2 for start, end in spans)

    asked = _read(documents / "queries.jsonl")
    return [one for one in asked if judged.relevant(one["id"])], relevant


def _holds_answer(chunk: Chunk, question: Question) -> bool:
    return chunk.source.endswith(f"/{question['document']}") and contains(chunk.text, question["answers"])


def _failures(
    pipeline: RAGPipeline, asked: Sequence[Question], relevant: Callable[[Chunk, Question], bool]
) -> dict[str, list[float]]:
    """For each question 1 where no relevant passage is there, 0 where one is."""
    failed: dict[str, list[float]] = {name: [] for name in FAILURES}
    for question in asked:
        found = [one for one in pipeline.search(question["text"]).candidates if relevant(one.chunk, question)]
        for name, reached in FAILURES.items():
            failed[name].append(float(not any(map(reached, found))))
    return failed


def _read(path: Path) -> list[Question]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


if __name__ == "__main__":
    main()
