"""The words of `winnow doctor`: the same English for shell and programs, and Chinese for its readers."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from retrieval.models.hub import DEFAULT_MODEL
from storage.manifest.uploads import AcceptedUpload
from storage.qdrant.server.state import Cluster, CollectionState
from storage.reasons import Reason
from storage.tables import TableBase
from tests.support.tiny_models import bert_encoder
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.upkeep import doctor_checks
from winnow.upkeep.doctor_checks import Check

pytestmark = pytest.mark.heavy

# What is chosen and done to the data folder; name, state, finding and advice of the check that tells of it.
Case = tuple[dict[str, Any], Callable[[Path], object], tuple[str, str, str, str]]

CHINESE = re.compile("[\u4e00-\u9fff]")
DATABASE = "winnow.db"
TABLES = ", ".join(sorted(TableBase.metadata.tables))
SAVES = "winnow doctor --repair saves what can be read and sets the file aside."


def _sql(*statements: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        with Wiring(Settings.load(data_dir=data)) as wiring, wiring.database.writing():
            pass
        with closing(sqlite3.connect(data / DATABASE)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return change


def _kept(data: Path) -> None:
    upload = AcceptedUpload(
        "1", "papers", datetime(2026, 3, 4, 5, 6, tzinfo=UTC), (data / "a.md", data / "b.md")
    )
    with Wiring(Settings.load(data_dir=data)) as wiring:
        wiring.uploads.add(upload)


def _nothing(data: Path) -> None:
    """Leave the folder as it is."""


CASES: dict[str, Case] = {
    "no collection": (
        {},
        _nothing,
        (
            "store",
            "note",
            "embedded, in {data}/collections; no collection yet",
            "winnow ingest PATH makes one.",
        ),
    ),
    "log disabled": (
        {"log": {"enabled": False}},
        _nothing,
        ("log", "note", "switched off", "log.enabled = true keeps every answer."),
    ),
    "log off": (
        {},
        lambda data: (data / "log.off").touch(),
        ("log", "note", "switched off by `winnow log off`", "`winnow log on` keeps every answer."),
    ),
    "no answer": ({}, _nothing, ("log", "ok", "{data}/winnow.db; no answer yet", "")),
    "extractive": (
        {},
        _nothing,
        ("chat model", "ok", "none is used: answers are quoted from the passages", ""),
    ),
    "no key": (
        {"answer": {"answerer": "openai"}, "llm": {"model": "big"}},
        _nothing,
        ("chat model", "bad", "big at https://api.openai.com/v1 needs a key", "Set OPENAI_API_KEY."),
    ),
    "no file": (
        {"answer": {"answerer": "openai"}, "llm": {"gguf": "absent.gguf"}},
        _nothing,
        ("chat model", "bad", "absent.gguf is no file", "Set llm.gguf to a GGUF file."),
    ),
    "chat model": (
        {"answer": {"answerer": "openai"}, "llm": {"model": "big", "base_url": "http://me:pass@host/v1"}},
        _nothing,
        ("chat model", "ok", "big at http://***@host/v1 (not asked by this check)", ""),
    ),
    "empty database": (
        {},
        lambda data: (data / DATABASE).touch(),
        ("database", "bad", "{data}/winnow.db is damaged: it is empty", SAVES),
    ),
    "folder for a database": (
        {},
        lambda data: (data / DATABASE).mkdir(),
        ("database", "bad", "{data}/winnow.db is damaged: a folder is in its place", SAVES),
    ),
    "no schema's number": (
        {},
        _sql("DROP TABLE alembic_version"),
        (
            "database",
            "bad",
            f"{{data}}/winnow.db is damaged: it has tables ({TABLES}) but no schema's number",
            SAVES,
        ),
    ),
    "no table": (
        {},
        _sql("DROP TABLE judgements"),
        ("database", "bad", "{data}/winnow.db is damaged: no judgements", SAVES),
    ),
    "no column": (
        {},
        _sql("ALTER TABLE uploads DROP COLUMN paths"),
        ("database", "bad", "{data}/winnow.db is damaged: the table uploads has no paths", SAVES),
    ),
    "set aside": (
        {},
        lambda data: (data / "winnow.db.damaged-1").touch(),
        (
            "database",
            "note",
            "{data}/winnow.db.damaged-1 was damaged, and is kept",
            "Delete it when nothing in it is missed any more: rm -r '{data}/winnow.db.damaged-1'*",
        ),
    ),
    "upload": (
        {},
        _kept,
        (
            "collection papers",
            "note",
            "accepted 2026-03-04 05:06 and not ingested yet: a.md, b.md",
            "winnow serve goes on with it when it starts.",
        ),
    ),
    "open to others": (
        {},
        lambda data: data.chmod(0o755),
        (
            "privacy",
            "note",
            "other users of this machine can read {data}",
            "chmod -R go= {data} keeps it to you.",
        ),
    ),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder that reads no Chinese."""
    return bert_encoder(tmp_path_factory.mktemp("tiny"))


def _quick(settings: Settings) -> list[Check]:
    with Wiring(settings) as wiring:
        return doctor_checks.quick(wiring)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_check_says_in_english_what_it_always_said(tmp_path: Path, tiny: Path, case: Case) -> None:
    """Finding and advice of every check are the sentences that programs and people know, secrets masked."""
    chosen, change, expected = case
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    change(data)
    checks = _quick(Settings.load(data_dir=data, encoder={"model": str(tiny), "device": "cpu"}, **chosen))
    found = [check.to_dict() for check in checks]
    assert json.loads(json.dumps(found)) == found
    name, state, finding, advice = (text.format(data=data) for text in expected)
    assert {"name": name, "state": state, "finding": finding, "advice": advice} in found
    [check] = [check for check in checks if (check.name, check.finding) == (name, finding)]
    for text in filter(None, (check.finding, check.advice)):
        assert CHINESE.search(Reason.of(text).render("zh"))


def test_every_package_is_named_with_its_version(tmp_path: Path, tiny: Path) -> None:
    """The first check names Python and each package that matters, in both languages."""
    versions, encoder, *_ = _quick(Settings.load(data_dir=tmp_path, encoder={"model": str(tiny)}))
    assert re.fullmatch(
        r"Python [\d.]+, winnow-rag \S+, qdrant-edge-py \S+, qdrant-client \S+, onnxruntime \S+, torch \S+,"
        r" sentence-transformers \S+, sqlalchemy \S+, openai [^\s,]+",
        versions.finding,
    )
    assert re.fullmatch(
        r".*, \d+ dimensions, reads \d+ tokens; of Chinese it reads \d+%,"
        r" so Chinese is searched lexically only",
        encoder.finding,
    )
    assert encoder.advice == f"The default, {DEFAULT_MODEL}, reads both: leave encoder.model out."


def test_keys_that_are_not_used_are_named(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key in the environment is told, and that it goes nowhere."""
    monkeypatch.setenv("COHERE_API_KEY", "co-very-secret-key")
    last = _quick(Settings.load(data_dir=tmp_path, encoder={"model": str(tiny)}))[-1]
    assert (last.name, last.state) == ("keys", "note")
    assert last.finding == "COHERE_API_KEY is set; nothing is sent there unless you choose it"


def test_an_error_is_passed_on_with_its_way_out(tmp_path: Path) -> None:
    """A check that fails says what the error says, secrets masked."""
    encoder = {"model": "nobody/nothing?api_key=hunter22"}
    checks = {check.name: check for check in _quick(Settings.load(data_dir=tmp_path, encoder=encoder))}
    assert checks["encoder"].state == "bad"
    assert "nobody/nothing?api_key=***" in checks["encoder"].finding
    assert "hunter22" not in checks["encoder"].finding + checks["encoder"].advice


def test_a_server_is_described_in_both_languages() -> None:
    """Nodes, copies and strict mode are told where there are any."""
    state = CollectionState(2, {"Dead": 1, "Active": 3}, "ok", strict=True, lacking=())
    assert state.described == "2 shards, optimizer ok, copies: 3 Active, 1 Dead, strict mode"
    assert state.described.render("zh") == "2 个分片，优化器状态 ok，副本：3 Active, 1 Dead，严格模式"
    assert Cluster("1.20.0", 3).described == "Qdrant 1.20.0, 3 nodes"
    assert Cluster("1.20.0", 0).described == "Qdrant 1.20.0"
