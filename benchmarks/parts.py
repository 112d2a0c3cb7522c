"""How often all the documents that a question needs are among its final five, for each way of dividing it.

Run from the repository's root, with a collection of the examples:

    winnow ingest examples/documents examples/handbook/documents -c examples
    python -P benchmarks/parts.py examples/parts.jsonl -c examples

`--ordinary FILE...` also counts how many questions of other sets the clauses divide.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

from retrieval.clauses import clauses
from winnow import RAGPipeline, Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("questions", type=Path)
    parser.add_argument("-c", "--collection", default="examples")
    parser.add_argument("--parts", nargs="+", default=["off", "clauses"])
    parser.add_argument("--ordinary", nargs="*", type=Path, default=[])
    options = parser.parse_args()
    asked = _read(options.questions)
    with RAGPipeline.from_settings(Settings.load(collection=options.collection)) as pipeline:
        pipeline.warm()
        for parts in options.parts:
            _measure(pipeline, asked, parts)
    for path in options.ordinary:
        ordinary = _read(path)
        divided = sum(len(clauses(one["text"])) > 1 for one in ordinary)
        print(f"{path}: {divided} of {len(ordinary)} questions divided")


def _measure(pipeline: RAGPipeline, asked: list[dict[str, Any]], parts: str) -> None:
    started, whole, total = time.perf_counter(), Counter[str](), Counter[str]()
    for question in asked:
        final = pipeline.search(question["text"], parts=parts).final
        sources = [candidate.chunk.source for candidate in final]
        found = all(any(source.endswith(one) for source in sources) for one in question["documents"])
        for group in ("all", question["lang"], question["kind"]):
            total[group] += 1
            whole[group] += found
    ms = (time.perf_counter() - started) * 1000 / len(asked)
    print(parts, *(f"{group} {whole[group]}/{total[group]}" for group in total), f"{ms:.0f} ms", sep="  ")


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
