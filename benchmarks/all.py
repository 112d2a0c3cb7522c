"""Every benchmark at a size for two cores, one after the other: benchmarks/RESULTS.md.

    python -m benchmarks.all [--tiny] [--only log]      # `make bench`, about half an hour; --tiny: minutes

The corpus is examples/ and docs/, cut into texts. What needs data of its own (docs/evaluation.md names the
sets) is not part of it. A benchmark that fails is named in the results and makes the command fail.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from storage.cores import available_cores

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "RESULTS.md"


def parts(corpus: Path, *, tiny: bool) -> dict[str, list[str]]:
    """The command of each benchmark."""

    def sized(large: int, small: int) -> str:
        return str(small if tiny else large)

    return {
        "log": ["log.py", "--answers", sized(20_000, 500)],
        "ingest": ["ingest.py", str(corpus / "corpus.jsonl"), "--documents", sized(200, 10), "--rounds", "1"],
        "retrieval": ["retrieval.py", "--points", sized(20_000, 500), "--token-points", sized(2_000, 100)],
        "rerank": ["rerank.py", "--rounds", sized(3, 1), "--only", "cross"],
        "serve": ["serve.py", str(corpus), "--askers", sized(20, 2), "--seconds", sized(60, 5)],
    }


def write_corpus(folder: Path) -> None:
    """The Markdown files as a BEIR folder: a text a section, whose heading is a question."""
    sections = [
        section
        for path in sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])
        for section in path.read_text(encoding="utf-8").split("\n## ")
    ]
    corpus, queries = [], []
    for number, section in enumerate(sections):
        title, _, text = section.partition("\n")
        corpus.append({"_id": f"d{number}", "title": title.strip("# "), "text": text[:4_000]})
        queries.append({"_id": f"q{number}", "text": f"What about {title.strip('# ')}?"})
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="only to see that each runs")
    parser.add_argument("--only", action="append")
    chosen = parser.parse_args()
    machine = f"{available_cores()} cores, {platform.machine()}, Python {platform.python_version()}"
    report = ["# Results of `make bench`", "", f"{time.strftime('%Y-%m-%d')}, {machine}.", ""]
    failed = []
    with TemporaryDirectory(prefix="winnow-bench-") as place:
        write_corpus(Path(place))
        for name, words in parts(Path(place), tiny=chosen.tiny).items():
            if chosen.only and name not in chosen.only:
                continue
            started = time.monotonic()
            ended = subprocess.run(
                [sys.executable, "-P", str(ROOT / "benchmarks" / words[0]), *words[1:]],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            print(f"{name}: {time.monotonic() - started:.0f} s, exit code {ended.returncode}", flush=True)
            shown = " ".join(words).replace(place, "CORPUS")
            report += [f"## {name}", "", f"    python benchmarks/{shown}", ""]
            report += ["```", ended.stdout.strip(), "```", ""]
            if ended.returncode:
                failed.append(name)
                report += [f"**It failed:** `{ended.stderr.strip().splitlines()[-1]}`", ""]
    if not chosen.tiny:
        RESULTS.write_text("\n".join(report), encoding="utf-8")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
