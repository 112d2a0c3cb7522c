"""Measure an ingest's memory on top of the loaded model, its duration, and that of a second run.

    python benchmarks/ingest_memory.py PATH... [--no-token-vectors]
        [--text-column T --id-column I --title-column H]

Prints the passages, the seconds of a first run and of a second one over the same files, and the private
memory (RssAnon of /proc, every 20 ms): of this process when the models are loaded, at its peak, and the
difference; then the peak of it together with the parsers. The collection lies in a temporary folder (TMPDIR
moves it). Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

# The benchmark ingest.py in this folder would shadow the package that is measured.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

from ingest.loaders import Columns  # noqa: E402
from winnow import RAGPipeline  # noqa: E402
from winnow.app.settings import Settings  # noqa: E402

EVERY_S = 0.02
MB = 1_000_000


def rss_anon(process: str = "self") -> int:
    """Return the private memory of a process in bytes; 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def children() -> list[str]:
    """Return the child processes started by any thread of this process."""
    found: list[str] = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found += (thread / "children").read_text().split()
    return found


class Watch:
    """Samples memory in a separate thread."""

    def __init__(self) -> None:
        self.peak = self.peak_with_parsers = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(EVERY_S):
            own = rss_anon()
            self.peak = max(self.peak, own)
            self.peak_with_parsers = max(self.peak_with_parsers, own + sum(map(rss_anon, children())))


def measure(paths: list[Path], columns: Columns | None, settings: Settings) -> None:
    with RAGPipeline.from_settings(settings) as pipeline:
        pipeline.wiring.encoder.encode_passages(["The models are loaded."], tokens=True)
        pipeline.wiring.lexical.encode_passage("The models are loaded.")
        loaded = rss_anon()
        with Watch() as watch:
            started = time.perf_counter()
            report = pipeline.ingest(paths, columns=columns)
            first = time.perf_counter() - started
        started = time.perf_counter()
        again = pipeline.ingest(paths, columns=columns)
        second = time.perf_counter() - started
    totals = report.totals
    print(f"{totals['documents']} files, {totals['refused']} refused, {totals['chunks']} passages, of which "
          f"{totals['embedded']} embedded and {totals['illegible']} lexical only")  # fmt: skip
    print(f"first run   {first:10.1f} s  ({totals['chunks'] / first:.0f} passages/s)")
    print(f"second run  {second:10.1f} s  ({again.totals['embedded']} embedded)")
    print(f"RssAnon, models loaded  {loaded / MB:8.0f} MB")
    print(f"RssAnon, peak           {watch.peak / MB:8.0f} MB")
    print(f"difference              {(watch.peak - loaded) / MB:8.0f} MB  (goal: below 600)")
    print(f"peak with parsers       {watch.peak_with_parsers / MB:8.0f} MB")


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("paths", type=Path, nargs="+")
    arguments.add_argument("--no-token-vectors", action="store_true")
    arguments.add_argument("--text-column")
    arguments.add_argument("--id-column")
    arguments.add_argument("--title-column")
    chosen = arguments.parse_args()
    columns = (
        Columns(text=chosen.text_column, id=chosen.id_column, title=chosen.title_column)
        if chosen.text_column
        else None
    )
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings.load(data_dir=scratch, ingest={"token_vectors": not chosen.no_token_vectors})
        measure(chosen.paths, columns, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
