"""`winnow doctor --repair` on a damaged database, and a server whose database is taken away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.serving import QUESTION, serving
from tests.support.serving import ingested as served_folder
from tests.support.shell import ingested, run
from winnow import Settings

pytestmark = pytest.mark.heavy


def test_doctor_saves_the_log_and_enters_the_documents_again(tmp_path: Path) -> None:
    """The collection keeps its passages, the log its answers, and the damaged file stays beside them."""
    data = ingested(tmp_path)
    own = ("--data-dir", data)
    assert run("ask", "What does a reranker do?", *own).exit_code == 0
    database = data / "winnow.db"
    harmed = bytearray(database.read_bytes())
    harmed[:100] = b"\xa5" * 100
    database.write_bytes(harmed)

    found = run("doctor", *own)
    assert found.exit_code == 1
    assert "doctor --repair" in " ".join(found.output.split())
    asked = run("ask", "What does a reranker do?", *own, "--json")
    assert asked.exit_code == 0
    assert "doctor --repair" in json.dumps(json.loads(asked.stdout)["warnings"])

    repaired = run("doctor", "--repair", "--json", *own)
    assert repaired.exit_code == 0, repaired.output
    said = json.loads(repaired.stdout)
    assert any("1 answers" in done and "2 documents" in done for done in said["repaired"])
    [aside] = data.glob("winnow.db.damaged-*")
    assert aside.read_bytes()[:100] == b"\xa5" * 100
    assert any(str(aside) in check["finding"] for check in said["checks"] if check["state"] == "note")
    assert len(json.loads(run("log", "list", "--json", *own).stdout)) == 1
    assert len(json.loads(run("documents", "list", "--json", *own).stdout)) == 2


def test_where_nothing_can_be_read_the_documents_are_entered_from_their_passages(tmp_path: Path) -> None:
    """A manifest that is lost is written again from the collection."""
    data = ingested(tmp_path)
    (data / "winnow.db").write_bytes(b"")
    repaired = run("doctor", "--repair", "--json", "--data-dir", data)
    assert repaired.exit_code == 0, repaired.output
    assert len(json.loads(run("documents", "list", "--json", "--data-dir", data).stdout)) == 2


def test_a_server_whose_database_is_taken_away_says_so(tmp_path: Path) -> None:
    """Answers come with a warning, and the server is not ready, until the file is back."""
    data = served_folder(tmp_path)
    with serving(Settings.load(data_dir=data)) as server:
        assert server.post("/v1/ask", json={"question": QUESTION}).json()["warnings"] == []
        (data / "winnow.db").rename(tmp_path / "elsewhere.db")
        answer = server.post("/v1/ask", json={"question": QUESTION})
        assert answer.status_code == 200
        assert "was removed while in use" in json.dumps(answer.json()["warnings"])
        ready = server.get("/readyz")
        assert ready.status_code == 503
        assert "was removed while in use" in ready.json()["detail"]
        (tmp_path / "elsewhere.db").rename(data / "winnow.db")
        assert server.get("/readyz").status_code == 200
        assert server.post("/v1/ask", json={"question": QUESTION}).json()["warnings"] == []
