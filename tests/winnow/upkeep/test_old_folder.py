"""A data folder of an earlier release opens, answers, replays and passes the doctor.

`winnow-785a145.tar.xz` was made by the release of that commit: docs/tides.md and docs/茶.md, ingested into
the collection `default`, and five logged answers, one of them a replay, one with a graded passage.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.models.hub import MINILM
from storage.migrations.upgrade import known_revisions
from storage.reasons import Reason
from tests.support.serving import serving
from tests.support.shell import as_json, run
from winnow import RAGPipeline, Settings

pytestmark = pytest.mark.heavy

ARCHIVE = Path(__file__).with_name("winnow-785a145.tar.xz")
MOVES = "winnow ingest --reindex -c default"
MADE_IN = "/tmp/old/docs"
ENGLISH, CHINESE = "4d17cdf4d69de64b", "0b0926e7534a0136"
GRADED, REPLAY = "265f6a00b92b3af2", "a3b41f38947ca4e1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the archive, once for all tests: additions by one do not affect another."""
    folder = tmp_path_factory.mktemp("old 旧")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    assert revision(folder) == "0004"
    return folder


@pytest.fixture
def rag(folder: Path) -> Iterator[RAGPipeline]:
    with RAGPipeline.from_settings(Settings.load(data_dir=folder / ".winnow")) as opened:
        yield opened


def revision(folder: Path) -> str:
    with closing(sqlite3.connect(folder / ".winnow" / "winnow.db")) as database:
        [[found]] = database.execute("SELECT version_num FROM alembic_version")
    return str(found)


def test_the_log_is_listed_and_shown(folder: Path) -> None:
    """Opening upgrades the schema and keeps every answer with its replay, grade and reasons."""
    listed = {row["id"]: row for row in as_json("log", "list", "--data-dir", folder / ".winnow")}
    assert {ENGLISH, CHINESE, GRADED, REPLAY, "58939e701c0851e0"} <= set(listed)
    assert revision(folder) == known_revisions()[-1]
    assert listed[REPLAY]["replay_of"] == GRADED
    assert listed[GRADED]["judged"] == 1
    shown = run("log", "show", CHINESE, "--data-dir", folder / ".winnow")
    assert shown.exit_code == 0, shown.output
    assert "龙井茶产于杭州西湖一带。 [1]" in shown.stdout
    assert "cannot read the question" in " ".join(shown.stdout.split())


def test_reasons_and_warnings_of_old_rows_read_as_plain_text(rag: RAGPipeline) -> None:
    """Reasons and warnings of old rows are plain text without a code."""
    answer = rag.log.get(CHINESE)
    for sentence in (answer.stages[0].reason, answer.warnings[0]):
        reason = Reason.of(sentence)
        assert reason.code == "text"
        assert reason.render("zh") == sentence
        assert "the encoder cannot read the question" in reason


@pytest.mark.parametrize(
    ("question", "text", "source"),
    [
        ("Since when has the Rance barrage made electricity?", "since 1966. [1]", f"{MADE_IN}/tides.md"),
        ("龙井茶产于哪里？", "龙井茶产于杭州西湖一带。 [1]", f"{MADE_IN}/茶.md"),
    ],
)
def test_a_question_gets_a_cited_answer(rag: RAGPipeline, question: str, text: str, source: str) -> None:
    """An old collection gives a cited answer from its own encoder, without another ingest."""
    answer = rag.ask(question)
    assert answer.answered
    assert answer.fingerprints["encoder"] == f"{MINILM} token_dim=128"
    assert MOVES in answer.stages[0].reason
    assert answer.text.endswith(text)
    assert [citation.source for citation in answer.citations] == [source]


@pytest.mark.parametrize("id_", [ENGLISH, CHINESE, GRADED])
def test_a_logged_answer_is_replayed(rag: RAGPipeline, id_: str) -> None:
    """A logged answer replayed under another chain gives the same answer, and both stages are logged."""
    replay = rag.log.replay(id_, "none")
    assert replay.answer.text == rag.log.get(id_).text
    assert replay.answer.answered
    assert not any("encoder" in reason for reason in replay.recomputed.values())
    assert rag.log.summary(replay.answer.id).replay_of == id_


def test_the_doctor_finds_nothing_broken(folder: Path) -> None:
    """The doctor finds documents and passages intact, and says how to move to the present encoder."""
    checks = json.loads(run("doctor", "--json", "--data-dir", folder / ".winnow").stdout)
    assert [check for check in checks if check["state"] == "bad"] == []
    [collection, remark] = [check for check in checks if check["name"] == "collection default"]
    assert (collection["state"], collection["finding"]) == ("ok", "2 passages of 2 documents")
    assert remark["state"] == "note"
    assert MOVES in remark["finding"]


def test_whoever_looks_at_the_collection_reads_how_to_move_it(folder: Path) -> None:
    """Shell, HTTP and page show the remark, the page in the reader's language."""
    assert MOVES in as_json("collections", "show", "default", "--data-dir", folder / ".winnow")["note"]
    shown = run("collections", "show", "default", "--data-dir", folder / ".winnow")
    assert MOVES in " ".join(shown.stderr.split())
    with serving(Settings.load(data_dir=folder / ".winnow")) as server:
        [collection] = server.get("/v1/collections").json()["collections"]
        assert MOVES in collection["note"]
        page = server.get("/collections/default", headers={"accept": "text/html", "accept-language": "zh"})
        assert f"文档库 default 是用当时的默认编码器 {MINILM} 建立的" in page.text
        assert MOVES in page.text


def test_the_same_files_in_another_folder_take_the_place_of_the_old_ones(
    folder: Path, tmp_path: Path
) -> None:
    """The files that the collection was made of are gone: no citation names their paths any more."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    with RAGPipeline.from_settings(Settings.load(data_dir=copy / ".winnow")) as rag:
        first = [(result.status, Path(result.path).name) for result in rag.ingest(copy / "docs").documents]
        assert sorted(first) == sorted(
            (status, name) for status in ("ingested", "removed") for name in ("tides.md", "茶.md")
        )
        again = rag.ingest(copy / "docs")
        assert (again.embedded, {result.status for result in again.documents}) == (0, {"unchanged"})
        answer = rag.ask("Since when has the Rance barrage made electricity?")
        assert [citation.source for citation in answer.citations] == [(copy / "docs" / "tides.md").as_posix()]
