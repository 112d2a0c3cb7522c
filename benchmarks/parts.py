"""Counts questions that have all documents they need among the final five, for each way of dividing them.

Run from the repository's root, with a collection of the examples:

    winnow ingest examples/documents examples/handbook/documents -c examples
    python -P benchmarks/parts.py examples/parts.jsonl -c examples

`--ordinary FILE...` also counts how many questions of other sets the clauses divide. `--pairs 80 FILE...`
joins pairs of questions about different documents, drawn from FILEs, and measures these as well.
"""

from __future__ import annotations

import argparse
import json
import random
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
    parser.add_argument("--pairs", nargs="+", default=[], metavar=("N", "FILE"))
    options = parser.parse_args()
    asked = _read(options.questions)
    pairs = _pairs(int(options.pairs[0]), [Path(name) for name in options.pairs[1:]]) if options.pairs else []
    with RAGPipeline.from_settings(Settings.load(collection=options.collection)) as pipeline:
        pipeline.warm()
        for parts in options.parts:
            for questions in filter(None, (asked, pairs)):
                _measure(pipeline, questions, parts)
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


def _pairs(count: int, files: list[Path]) -> list[dict[str, Any]]:
    """Two questions in one, half of them Chinese where there are enough."""
    single = [one for path in files for one in _read(path) if one.get("document")]
    draw, found = random.Random(7), list[dict[str, Any]]()
    while len(found) < count:
        lang = ("en", "zh")[len(found) % 2]
        first, second = draw.sample([one for one in single if one["lang"] == lang], 2)
        if first["document"] != second["document"]:
            joined = (first["text"].rstrip("?？"), second["text"])
            text = f"{joined[0]}，{joined[1]}" if lang == "zh" else f"{joined[0]}, and {joined[1]}"
            documents = [first["document"], second["document"]]
            found.append({"text": text, "lang": lang, "kind": "pair", "documents": documents})
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
