"""Hold the words of many files against a second reading of them that knows no structure.

    python benchmarks/ingest_recall.py FOLDER...

The second reading is all text nodes of the parts of an Office file (deleted text left out), all text of an
HTML page but scripts and what is around it, and `pdftotext` for a PDF where it is installed, otherwise
PDFium's own order. Recall is the share of its words, counted with repetition, that winnow's text has too.
Prints each file below 0.99, each refusal, and the median; exits with 1 if a file is below 0.9 and has no
warning.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import time
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

# The benchmark ingest.py in this folder would shadow the package that is measured.
sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]

from lxml import etree  # noqa: E402

from ingest.loaders import Source, load  # noqa: E402
from ingest.loaders.decoding import decode  # noqa: E402
from ingest.loaders.text import clean  # noqa: E402
from storage.errors import DocumentRefusedError  # noqa: E402

_WORD = re.compile(r"[^\W\d_\u3040-\u9fff]+|\d+|[\u3040-\u9fff]")
_PARTS = {
    ".docx": re.compile(r"word/(?:document|footnotes|endnotes|comments)\d*\.xml"),
    ".pptx": re.compile(r"ppt/slides/slide\d+\.xml"),
    ".xlsx": re.compile(r"xl/sharedStrings\.xml"),
    ".odt": re.compile(r"content\.xml"),
}
_PARAGRAPHS = ("p", "h", "si", "tr", "tc")
_DELETED = ("del", "moveFrom", "instrText", "delText", "Fallback", "rPh", "tracked-changes", "deletion")


def words(text: str) -> Counter[str]:
    """The words of a text, whatever its case and width; Chinese and Japanese by character."""
    return Counter(_WORD.findall(unicodedata.normalize("NFKC", clean(text)).lower()))


def of_xml(path: Path) -> str:
    """Every text node of the parts that a reader sees."""
    texts: list[str] = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if _PARTS[path.suffix].fullmatch(name):
                _collect(etree.fromstring(archive.read(name)), texts)
    return "".join(texts)


def _collect(element: etree._Element, texts: list[str]) -> None:
    for event, node in etree.iterwalk(element, events=("start", "end")):
        kind = etree.QName(node).localname if isinstance(node.tag, str) else ""
        if event == "end":
            texts.append(" " if kind in (*_PARAGRAPHS, "br", "tab") else "")
            continue
        within = any(etree.QName(one).localname in _DELETED for one in node.iterancestors())
        if node.text and not within and (kind == "t" or "opendocument" in (node.tag or "")):
            texts.append(node.text)


def of_html(path: Path) -> str:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(decode(path.read_bytes()).text)
    for node in tree.css("script, style, template, noscript, nav, header, footer, aside, head, [hidden]"):
        node.remove()
    return tree.root.text(separator=" ") if tree.root else ""


def of_pdf(path: Path) -> str:
    if shutil.which("pdftotext"):
        return subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True).stdout
    import pypdfium2

    with pypdfium2.PdfDocument(path) as document:
        text = "\n".join(page.get_textpage().get_text_range() for page in document)
    return re.sub("[\ufffe\x02][\r\n]*", "", text)


TRUTHS: dict[str, Callable[[Path], str]] = {**dict.fromkeys(_PARTS, of_xml), ".html": of_html, ".pdf": of_pdf}


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("folders", nargs="+", type=Path)
    recalls: dict[str, list[float]] = {}
    silent = 0
    for path in sorted(
        path
        for folder in arguments.parse_args().folders
        for path in folder.rglob("*")
        if path.suffix in TRUTHS
    ):
        started = time.monotonic()
        try:
            loaded = load(Source(path.as_posix(), path.read_bytes()))
        except DocumentRefusedError as error:
            print(f"refused  {path.name}: {error.kind.removeprefix('ingest.')}: {error.why}")
            continue
        seconds = time.monotonic() - started
        try:
            truth = words(TRUTHS[path.suffix](path))
        except Exception as error:  # noqa: BLE001 - the second reading is no better than it is
            print(f"no truth {path.name}: {error}")
            continue
        found = words(loaded.text)
        recall = (truth & found).total() / truth.total() if truth else 1.0
        recalls.setdefault(path.suffix, []).append(recall)
        silent += recall < 0.9 and not loaded.warnings
        if recall < 0.99 or seconds > 5:
            missing = " ".join(word for word, _ in (truth - found).most_common(8))
            print(f"{recall:.3f} {seconds:5.1f} s {path.name}: {missing} {'; '.join(loaded.warnings)[:80]}")
    for suffix, values in sorted(recalls.items()):
        print(
            f"{suffix} {len(values)} files, median {statistics.median(values):.4f}, least {min(values):.3f}"
        )
    print(f"{silent} below 0.9 without a warning")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
