"""Lines of context are told, indexed and shown apart, and never quoted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.chat_lines import ingest, settings
from tests.support.endpoint import Endpoint, status
from tests.support.serving import serving
from winnow import RAGPipeline
from winnow.cli.app import app

pytestmark = pytest.mark.heavy


def test_the_shell_names_the_model_and_what_is_missing(
    tmp_path: Path, endpoint: Endpoint, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the run and with --last, as text and as JSON."""
    monkeypatch.setenv("WINNOW_LLM__BASE_URL", endpoint.url)
    monkeypatch.setenv("WINNOW_LLM__MODEL", "m")
    monkeypatch.setenv("WINNOW_LLM__MAX_RETRIES", "0")
    endpoint.enqueue(status(500))
    data = ["--data-dir", str(tmp_path / "data")]
    done = CliRunner().invoke(app, ["ingest", str(docs), "--context", "chat", *data])
    again = CliRunner().invoke(app, ["ingest", "--last", *data])
    for told in (done.output, again.output):
        text = " ".join(told.split())
        assert f"lines of context by m at {endpoint.url}: {len(endpoint.requests)} calls" in text
        assert f"1 of {len(endpoint.requests)} passages have no line of context" in text
    last = json.loads(CliRunner().invoke(app, ["ingest", "--last", "--json", *data]).stdout)
    assert last["context"]["status"] == "partial"
    assert last["context"]["calls"] == len(endpoint.requests)


def test_a_line_is_found_and_shown_apart_but_never_quoted(
    tmp_path: Path, endpoint: Endpoint, docs: Path
) -> None:
    """A word of the line alone finds passages; shell, JSON, log and pages show it as none of their text."""
    (docs / "heron.md").unlink()
    ingest(tmp_path, endpoint, docs)
    data = ["--data-dir", str(tmp_path / "data")]
    found = json.loads(CliRunner().invoke(app, ["search", "zephyrine", "--json", *data]).stdout)
    by_words = [one for one in found["candidates"] if one["ranks"]["lexical"]]
    assert {one["about"] for one in by_words} == {"Zephyrine line on 青岚."}
    assert not any("Zephyrine" in one["text"] for one in by_words)
    question = "Zephyrine 滤芯多久更换一次？"
    assert "about: Zephyrine line" in CliRunner().invoke(app, ["search", question, *data]).stdout
    shown = CliRunner().invoke(app, ["ask", question, *data]).stdout
    assert "about: Zephyrine line" in shown
    with serving(settings(tmp_path, endpoint)) as server:
        answer = server.post("/v1/ask", json={"question": question}).json()
        assert answer["answered"]
        assert "Zephyrine" not in answer["text"]
        assert not any("Zephyrine" in citation["quote"] for citation in answer["citations"])
        logged = server.get(f"/v1/answers/{answer['id']}").json()
        about = [one["about"] for one in answer["candidates"]]
        assert [one["about"] for one in logged["answer"]["candidates"]] == about
        for language, words in (
            ("en", "Context, from elsewhere in the document or written by a model"),
            ("zh", "上下文说明（取自文档别处，或由模型撰写）"),
        ):
            page = server.get(f"/answers/{answer['id']}", headers={"accept-language": language}).text
            assert words in page
            document = answer["candidates"][0]["document_id"]
            page = server.get(
                f"/collections/default/documents/{document}", headers={"accept-language": language}
            ).text
            assert words in page


def test_a_chat_answerer_sees_the_line_as_no_words_of_the_source(
    tmp_path: Path, endpoint: Endpoint, docs: Path
) -> None:
    """It is in the passage's label, within the fence and the budget of the prompt."""
    ingest(tmp_path, endpoint, docs)
    endpoint.reply = "The filter lasts half a year. [1]"
    with RAGPipeline.from_settings(settings(tmp_path, endpoint)) as pipeline:
        answer = pipeline.ask("Zephyrine 滤芯多久更换一次？", answerer="openai")
    assert (
        "(context, from elsewhere in the document or written by a model: Zephyrine line on 青岚.)"
        in answer.prompt
    )
