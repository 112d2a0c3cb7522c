"""Ingest a folder of mixed documents and hold each file against what its manifest expects.

    python benchmarks/ingest_mixed_docs.py FOLDER [--full] [--all]

FOLDER holds manifest.csv with the columns path, format, expect, kind, note. Without --full the run is a dry
one: everything is parsed and cut, a sample is encoded, nothing is kept. Prints a line for each file that is
not plain text taken plainly (--all: for every file), then each parallel file that differs from its .txt.
A PDF that is expected as text and refused is looked into object by object: one that holds no text, field,
note or bookmark at all is marked `void`, since no reader of text can meet that expectation.
Exits with 1 where any other file does not behave as expected.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import re
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# The benchmark ingest.py in this folder would shadow the package that is measured.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

from ingest.engines.tasks import Parsed, Setup, Task  # noqa: E402
from ingest.loaders import Columns, Source, load  # noqa: E402
from ingest.parse import Parser  # noqa: E402
from ingest.report import DocumentResult, IngestReport  # noqa: E402
from ingest.run import Ingestor  # noqa: E402

SIMILAR = 0.98
_MARKS = re.compile(r"^\s*(?:#{1,6}|[-*+]|\d+\.|>|\|)\s+|[*_`|\\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Expectation:
    path: str
    format: str
    kind: str
    expect: str
    note: str


def expectations(folder: Path) -> list[Expectation]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return [
            Expectation(row["path"], row["format"], row["kind"], row["expect"], row["note"])
            for row in csv.DictReader(file)
        ]


def meets(expect: str, result: DocumentResult | None) -> bool:
    """Return True if a file's result is one that its manifest allows."""
    if result is None:
        return False
    taken = result.status in ("ingested", "unchanged", "replaced", "duplicate")
    reason = result.reason.split(":")[0]
    return {
        "text": taken,
        "encrypted": reason == "encrypted",
        "empty": reason in ("empty", "no-text"),
        "error": not taken and bool(reason),
        "error-or-text": taken or bool(reason),
        "partial": taken and bool(result.warnings),
        "image-only": bool(result.warnings) if taken else bool(reason),
        "little-or-no-text": bool(result.warnings) if taken else bool(reason),
    }[expect]


def ingest(folder: Path, *, dry_run: bool) -> IngestReport:
    from retrieval.encoders.encoder import load_encoder
    from retrieval.lexical import LexicalEncoder
    from storage.database import Database
    from storage.manifest.manifest import Manifest
    from storage.qdrant.contract import Fingerprint
    from storage.qdrant.edge.stores import EdgeStores

    encoder, lexical = load_encoder(), LexicalEncoder.load()
    with tempfile.TemporaryDirectory() as scratch, Database.open(Path(scratch) / "winnow.db") as database:
        fingerprint = Fingerprint(encoder.id, encoder.dim, "benchmark", lexical.id, encoder.token_dim)
        store = EdgeStores(Path(scratch) / "collections").create("mixed", fingerprint)
        try:
            ingestor = Ingestor(store, encoder, lexical, Manifest(database, "mixed"))
            return ingestor.run([folder], dry_run=dry_run)
        finally:
            store.close()


def is_void(path: Path, item: Expectation) -> bool:
    """Return True for a PDF that should hold text but draws only pictures and lines."""
    if item.format != "pdf" or item.expect != "text":
        return False
    import pypdfium2

    with pypdfium2.PdfDocument(path) as document:
        drawn = (thing.type for page in document for thing in page.get_objects(max_depth=15))
        annotations = sum(pypdfium2.raw.FPDFPage_GetAnnotCount(page) for page in document)
        return (
            pypdfium2.raw.FPDF_PAGEOBJ_TEXT not in drawn and not annotations and not any(document.get_toc())
        )


def plain(text: str) -> str:
    """Return the text without Markdown marks and white space, to compare the words alone."""
    return "".join(_MARKS.sub("", text).split())


def similarities(folder: Path, expected: list[Expectation]) -> list[tuple[str, float]]:
    """Each parallel file's text compared with its .txt; CSV and JSONL lines by their column `text`."""
    found = []
    for item in expected:
        if item.kind == "parallel" and item.format != "txt":
            path = folder / item.path
            reference = plain(path.with_suffix(".txt").read_text(encoding="utf-8"))
            text = plain(_column(path) if item.format in ("csv", "jsonl") else _whole(path))
            found.append((item.path, difflib.SequenceMatcher(None, text, reference, autojunk=False).ratio()))
    return found


def _whole(path: Path) -> str:
    return load(Source(path.as_posix(), path.read_bytes())).text


def _column(path: Path) -> str:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    from retrieval.encoders.tokenizer import WholeTokenizer

    counter = WholeTokenizer(Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")))
    parser = Parser(Setup(counter=counter, max_tokens=512, columns=Columns(text="text")))
    replies = parser.parse(Task(str(path), path.as_posix()))
    return "\n".join(chunk.text for reply in replies if isinstance(reply, Parsed) for chunk in reply.chunks)


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--full", action="store_true")
    arguments.add_argument("--all", action="store_true")
    chosen = arguments.parse_args()
    expected = expectations(chosen.folder)
    report = ingest(chosen.folder, dry_run=not chosen.full)
    results = {result.path: result for result in report.documents}
    root = chosen.folder.absolute().as_posix()
    unmet, void, counts = [], [], Counter[str]()
    print(f"{'':5}{'path':62} {'expect':18} {'became':11} why")
    for item in expected:
        result = results.get(f"{root}/{item.path}")
        good = meets(item.expect, result)
        became = result.status if result else "missing"
        counts[f"{item.expect} → {became}"] += 1
        mark = "ok" if good else "NOT"
        if not good and result and result.status == "refused" and is_void(chosen.folder / item.path, item):
            mark = "void"
            void.append(item.path)
        elif not good:
            unmet.append(item.path)
        if chosen.all or not good or item.kind == "bad" or became == "refused":
            why = "; ".join(filter(None, [result.reason, *result.warnings])) if result else ""
            print(f"{mark:5}{item.path[-60:]:62} {item.expect:18} {became:11} {why[:160]}")
    print()
    apart = [(path, ratio) for path, ratio in similarities(chosen.folder, expected) if ratio < SIMILAR]
    for path, ratio in apart:
        print(f"NOT {path}: similarity {ratio:.4f} to its .txt")
    for line, count in sorted(counts.items()):
        print(f"{count:5}  {line}")
    print(f"{len(expected) - len(unmet) - len(void)} of {len(expected)} as expected")
    print(
        f"{len(void)} are expected as text and hold none: no text object, field, note or bookmark on any page"
    )
    print(f"{len(unmet)} otherwise")
    print(f"{len(apart)} parallel files below a similarity of {SIMILAR}")
    print(f"{report.seconds:.1f} s, {report.totals['chunks']} passages")
    return 1 if unmet or apart else 0


if __name__ == "__main__":
    sys.exit(main())
