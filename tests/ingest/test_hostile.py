"""Hostile files: a file that breaks its parser breaks nothing else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from ingest.engines.local import ParserPool
from ingest.engines.tasks import Done, Parsed, Refused, Setup, Task
from ingest.loaders.base import MIB, Limits
from ingest.options import IngestOptions
from tests.support.ingestion import World, by_name, words_tokenizer, world

pytestmark = pytest.mark.heavy


def test_a_file_that_takes_too_long_is_refused_and_the_run_goes_on(here: World) -> None:
    """A slow file's process is ended, its reason is `timeout`, and the next file gets a new process."""
    here.write("a-slow.md", "word " * 4_000_000)
    here.write("b-quick.md", "# Quick\n\nText.")
    options = IngestOptions(workers=1, limits=Limits(seconds=1.0))
    report = by_name(here.ingest(options=options))
    assert report["a-slow.md"].reason.startswith("timeout: a-slow.md")
    assert report["b-quick.md"].status == "ingested"
    assert here.stored() == here.expected()


def test_a_file_that_needs_too_much_memory_is_refused(here: World) -> None:
    """The parser's memory is bounded, native code included."""
    here.write("a.json", "[" + "{}," * 15_000_000 + "{}]")
    here.write("b.md", "# Fine\n\nText.")
    options = IngestOptions(workers=1, limits=Limits(worker_bytes=1024 * MIB))
    report = by_name(here.ingest(options=options))
    assert report["a.json"].status == "refused"
    assert "a.json" in report["a.json"].reason
    assert report["b.md"].status == "ingested"


def test_entities_of_xml_are_not_expanded(here: World) -> None:
    """A billion laughs in a DOCX stay one refused file."""
    buffer = io.BytesIO()
    laughs = '<!DOCTYPE w [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + i)} "{("&" + chr(97 + i) + ";") * 10}">' for i in range(9)
    )
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("word/document.xml", laughs + "]><w>&j;</w>")
    here.write("laughs.docx", buffer.getvalue())
    here.write("fine.md", "# Fine\n\nText.")
    report = by_name(here.ingest())
    assert report["laughs.docx"].status == "refused"
    assert report["fine.md"].status == "ingested"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("deep.html", b"<div>" * 20_000 + b"deep" + b"</div>" * 20_000),
        ("deep.md", b">" * 2_000 + b" deep"),
        ("brackets.md", b"[" * 50_000 + b" deep"),
        ("deep.json", b"[" * 20_000 + b"]" * 20_000),
        ("nul.txt", b"abc\0def\0\0"),
        ("spaces.txt", b"x" * 200_000),
        ("quote.csv", b'id,text\n1,"never closed\n' + b"2,fine\n" * 1000),
        ("name with spaces & 中文 ✓.md", b"# Title\n\ntext"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_strange_files_are_read_or_refused_with_a_reason(here: World, name: str, data: bytes) -> None:
    """Deep nesting, NULs, open quotes and odd names end in a document or a reason, never in a crash."""
    here.write(name, data)
    result = by_name(here.ingest())[name]
    assert result.status == "ingested" or name in result.reason
    assert here.stored() == here.expected()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_pool_gives_every_task_an_end(workers: int) -> None:
    """However a parser fails, each task ends with Done or Refused; the pool is idle, and closes."""
    setup = Setup(counter=words_tokenizer(), max_tokens=64)
    with closing(ParserPool(setup, workers)) as pool:
        for i in range(5):
            pool.submit(Task(f"/nowhere/{i}.md", f"/nowhere/{i}.md"))
        replies = [pool.next_reply() for _ in range(5)]
        assert pool.idle
    assert all(isinstance(reply, Refused) and reply.reason.code == "ingest.damaged" for _, reply in replies)


def test_a_pool_is_closed_while_it_works(tmp_path: Path) -> None:
    """Closing a busy pool ends its processes at once."""
    path = tmp_path / "long.txt"
    path.write_text("word " * 2_000_000, encoding="utf-8")
    with closing(ParserPool(Setup(counter=words_tokenizer(), max_tokens=64), 1)) as pool:
        pool.submit(Task(str(path), path.as_posix()))
    assert not pool.idle


def test_a_reply_holds_the_document_and_its_passages(tmp_path: Path) -> None:
    """The document and its passages cross the process boundary intact."""
    path = tmp_path / "a.md"
    path.write_text("# Title\n\nText.", encoding="utf-8")
    with closing(ParserPool(Setup(counter=words_tokenizer(), max_tokens=64), 1)) as pool:
        pool.submit(Task(str(path), path.as_posix()))
        parsed, done = pool.next_reply()[1], pool.next_reply()[1]
    assert isinstance(parsed, Parsed)
    assert isinstance(done, Done)
    assert parsed.title == "Title"
    assert parsed.chunks[0].metadata["mime"] == "text/markdown"
    assert parsed.content_hash == done.content_hash


def test_a_script_without_a_main_guard_may_ingest(tmp_path: Path) -> None:
    """Parsers are started without running the caller's own module again."""
    here = tmp_path / "here"
    (here / "docs 文档").mkdir(parents=True)
    (here / "docs 文档/a.md").write_text("# A\n\nText.", encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text(f"from tests.support.ingestion import main\nmain({str(here)!r})\n", encoding="utf-8")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, script],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "ready\n"), done.stderr
    with world(here) as after:
        assert len(after.stored()) == 1
