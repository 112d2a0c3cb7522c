"""Hold libraries that read documents against winnow's own readers: which text does each lose or change?

    python benchmarks/ingest_libraries.py LIBRARY... --files FOLDER [--cases FOLDER]

LIBRARY is winnow, docling, markitdown, mammoth, calamine, pdfplumber, pypdfium2 or trafilatura; all but
winnow have to be installed here. Prints for each library and suffix how many files it reads, the median and
least recall of words (as ingest_recall.py counts them, on at most --most files), how many are below 0.9, and
the seconds; and of a folder of small files that show one kind each (`CASES`) those that it gets right.
"""

from __future__ import annotations

import argparse
import io
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path = [path for path in sys.path if Path(path).resolve() != Path(__file__).resolve().parent]
sys.path.append(str(Path(__file__).resolve().parent))

from ingest_recall import TRUTHS, words  # noqa: E402

Reader = Callable[[Path], str]
# Words that must stand in one line, in this order; after a `!` a text that must not occur.
CASES: dict[str, tuple[tuple[str, ...], ...]] = {
    "xlsx_pandas_index.xlsx": (("Oslo", "11"), ("Bergen", "7"), ("Tromso", "3")),
    "xlsx_formula_uncached_formats.xlsx": (("25%",), ("00007",)),
    "html_page_in_form.html": (("Pump manual",), ("The torque is 25 Nm.",)),
    "docx_cell_break.docx": (("M8 steel",), ("!steelgrade5",)),
    "docx_merged_cells.docx": (("Norway", "Bergen", "7"),),
    "docx_cell_in_content_control.docx": (("va", "vb", "vc"),),
    "docx_text_box.docx": (("Box line one.",), ("Box line two.",), ("!one.Box",)),
    "docx_footnote.docx": (("Except for bookings made after 1 June.",),),
    "docx_comment_equation_heading.docx": (("Own style chapter",), ("=",)),
    "docx_document2.docx": (),
    "pptx_linked_picture.pptx": (("Pump overview",),),
    "pdf_hyphens.pdf": (("multi-stage",), ("state-of-the-art",), ("555-0134",), ("X-25",)),
    "pdf_superscript.pdf": (("!106 cells",),),
    "pdf_headers_footers.pdf": (("!Page 1 of 4 ",),),
}


def winnow(path: Path) -> str:
    from ingest.loaders import Source, load

    return load(Source(path.as_posix(), path.read_bytes())).text


def docling(path: Path) -> str:
    from docling.backend.html_backend import HTMLDocumentBackend
    from docling.backend.msexcel_backend import MsExcelDocumentBackend
    from docling.backend.mspowerpoint_backend import MsPowerpointDocumentBackend
    from docling.backend.msword_backend import MsWordDocumentBackend
    from docling.datamodel.base_models import InputFormat
    from docling.datamodel.document import InputDocument

    kind, backend = {
        ".docx": (InputFormat.DOCX, MsWordDocumentBackend),
        ".pptx": (InputFormat.PPTX, MsPowerpointDocumentBackend),
        ".xlsx": (InputFormat.XLSX, MsExcelDocumentBackend),
        ".html": (InputFormat.HTML, HTMLDocumentBackend),
    }[path.suffix]
    source = InputDocument(path_or_stream=path, format=kind, backend=backend, filename=path.name)
    return str(
        backend(source, path).convert().export_to_markdown(escape_underscores=False, escape_html=False)
    )


def markitdown(path: Path) -> str:
    from markitdown import MarkItDown

    return str(MarkItDown().convert(str(path)).text_content)


def mammoth(path: Path) -> str:
    import mammoth as library
    from selectolax.lexbor import LexborHTMLParser

    page = library.convert_to_html(io.BytesIO(path.read_bytes())).value
    root = LexborHTMLParser(re.sub("</(?:p|tr|h[1-6]|li)>", "\n", page)).root
    return root.text(separator=" ") if root else ""


def calamine(path: Path) -> str:
    from python_calamine import CalamineWorkbook

    book = CalamineWorkbook.from_path(path)
    rows = (row for name in book.sheet_names for row in book.get_sheet_by_name(name).to_python())
    return "\n".join(" ".join(str(cell) for cell in row) for row in rows)


def pdfplumber(path: Path) -> str:
    import pdfplumber as library

    with library.open(path) as document:
        return "\n".join(page.extract_text() for page in document.pages)


def pypdfium2(path: Path) -> str:
    import pypdfium2 as library

    with library.PdfDocument(path) as document:
        return "\n".join(page.get_textpage().get_text_range() for page in document)


def trafilatura(path: Path) -> str:
    import trafilatura as library

    return library.extract(path.read_bytes().decode("utf-8", "replace"), include_tables=True) or ""


LIBRARIES: dict[str, tuple[Reader, tuple[str, ...]]] = {
    "winnow": (winnow, (".docx", ".pptx", ".xlsx", ".html", ".pdf")),
    "docling": (docling, (".docx", ".pptx", ".xlsx", ".html")),
    "markitdown": (markitdown, (".docx", ".pptx", ".xlsx", ".html", ".pdf")),
    "mammoth": (mammoth, (".docx",)),
    "calamine": (calamine, (".xlsx",)),
    "pdfplumber": (pdfplumber, (".pdf",)),
    "pypdfium2": (pypdfium2, (".pdf",)),
    "trafilatura": (trafilatura, (".html",)),
}


def is_right(text: str, wanted: tuple[tuple[str, ...], ...]) -> bool:
    """True if each line that is wanted is there, and nothing that is not."""
    lines = [re.sub(r"\\(?=\W)", "", line) for line in text.splitlines()]
    for parts in wanted:
        if parts[0].startswith("!"):
            if parts[0][1:] in text:
                return False
        elif not any(re.search(".*".join(map(re.escape, parts)), line) for line in lines):
            return False
    return bool(text.strip())


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("libraries", nargs="+", choices=LIBRARIES, metavar="LIBRARY")
    arguments.add_argument("--files", type=Path, required=True)
    arguments.add_argument("--cases", type=Path)
    arguments.add_argument("--most", type=int, default=60)
    given = arguments.parse_args()
    for name in given.libraries:
        read, suffixes = LIBRARIES[name]
        for suffix in suffixes:
            print(
                f"{name:12} {suffix:6} {_recall(read, _files(given.files, suffix, given.most))}", flush=True
            )
        if given.cases is not None:
            own = [case for case in CASES if case.endswith(suffixes)]
            wrong = [case for case in own if not _reads(read, given.cases / case)]
            print(
                f"{name:12} cases  {len(own) - len(wrong)} of {len(own)} right; not: {' '.join(wrong)}",
                flush=True,
            )


def _files(folder: Path, suffix: str, most: int) -> list[Path]:
    found = sorted(path for path in folder.rglob(f"*{suffix}") if "bad" not in path.parts)
    return found[:: max(1, len(found) // most)][:most]


def _recall(read: Reader, files: list[Path]) -> str:
    recalls, failed, seconds, problem = [], 0, 0.0, ""
    for path in files:
        try:
            truth = words(TRUTHS[path.suffix](path))
        except Exception:  # noqa: BLE001 - no file of that format
            continue
        started = time.process_time()
        try:
            found = words(read(path))
        except Exception as error:  # noqa: BLE001 - what a library raises
            failed += 1
            problem = problem or f"{type(error).__name__}: {error}"
            continue
        seconds += time.process_time() - started
        if truth:
            recalls.append((truth & found).total() / truth.total())
    if not recalls:
        return f"none of {len(files)} read {problem}"
    return (
        f"{len(recalls)} files, {failed} failed, median {statistics.median(recalls):.3f}, "
        f"least {min(recalls):.3f}, {sum(one < 0.9 for one in recalls)} below 0.9, {seconds:.1f} s"
    )


def _reads(read: Reader, path: Path) -> bool:
    try:
        return is_right(read(path), CASES[path.name])
    except Exception:  # noqa: BLE001 - what a library raises
        return False


if __name__ == "__main__":
    main()
