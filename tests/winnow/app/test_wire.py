"""The JSON of answers, searches and the log: documented, the same everywhere, old names included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from storage.log.records import AnswerSummary, Feedback
from storage.reasons import Reason
from storage.records import Candidate, Chunk, Outcome, Usage
from tests.support import wire_schema
from tests.support.log_samples import a_full_answer, a_plain_answer
from tests.support.serving import QUESTION, events, ingested, serving
from tests.support.shell import as_json
from winnow import Settings
from winnow.app.json_model.answers import AnswerJson, SearchJson, StageJson
from winnow.app.json_model.log import LoggedAnswerJson
from winnow.app.stages import SearchResult

pytestmark = pytest.mark.heavy

SCHEMA = json.loads(wire_schema.FILE.read_text(encoding="utf-8"))


def valid(value: Any, shape: str) -> None:
    """Raise ValidationError if a value does not have the documented shape."""
    Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{shape}"}).validate(value)


def test_the_schema_is_that_of_the_models() -> None:
    """docs/answer.schema.json matches the models; `python -m tests.support.wire_schema` rewrites it."""
    Draft202012Validator.check_schema(SCHEMA)
    assert wire_schema.FILE.read_text(encoding="utf-8") == wire_schema.written(wire_schema.schema())


def test_what_the_shell_and_the_server_print_is_documented(tmp_path: Path) -> None:
    """Everything that the shell and the server print as JSON is valid under the documented schema."""
    data = ingested(tmp_path)
    there = ("--data-dir", data)
    answer = as_json("ask", QUESTION, *there)
    valid(answer, "AnswerJson")
    valid(as_json("log", "show", answer["id"], "--calls", *there), "AnswerJson")
    valid(as_json("search", QUESTION, "--expand", 1, *there), "SearchJson")
    valid(as_json("log", "replay", answer["id"], "--rerank", "none", *there), "ReplayJson")
    valid(as_json("log", "feedback", answer["id"], "--passage", "1=3", *there), "FeedbackJson")
    valid(as_json("log", "compare", "--rerank", "none", *there)["results"][0], "SpecRow")
    valid(as_json("log", "list", *there)[0], "SummaryJson")
    valid(as_json("documents", "list", *there)[0], "DocumentJson")
    as_json("log", "export", tmp_path / "log.jsonl", *there)
    for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines():
        valid(json.loads(line), "LoggedAnswerJson")
    with serving(Settings.load(data_dir=data)) as server:
        asked = {"question": QUESTION, "rerank": "none"}
        valid(server.post("/v1/ask", json=asked).json(), "AnswerJson")
        valid(server.post("/v1/search", json=asked).json(), "SearchJson")
        valid(server.get("/v1/documents").json()["documents"][0], "DocumentJson")
        valid(server.get(f"/v1/answers/{answer['id']}").json()["answer"], "AnswerJson")
        with server.stream("POST", "/v1/ask", json={**asked, "stream": True}) as reply:
            valid(events(reply.read().decode())[-1][1], "AnswerJson")
        described = server.get("/openapi.json").json()["components"]["schemas"]
    assert described["AnswerJson"]["properties"].keys() == SCHEMA["$defs"]["AnswerJson"]["properties"].keys()


def test_old_names_are_printed_next_to_the_new_ones() -> None:
    """`answer` and `document` stay for one release, marked deprecated."""
    value = AnswerJson.of(a_full_answer()).to_json()
    assert value["answer"] == value["text"] == a_full_answer().text
    for place in (*value["citations"], *value["candidates"], *value["neighbours"]):
        assert place["document"] == place["source"]
    definitions = SCHEMA["$defs"]
    for shape, name in (("AnswerJson", "answer"), ("CitationJson", "document"), ("DocumentJson", "path")):
        assert definitions[shape]["properties"][name]["deprecated"] is True


def test_a_candidate_names_every_stage() -> None:
    """A candidate has an entry for every stage, null if unseen, including stages of a user's parts."""
    seen = a_plain_answer().candidates[0].ranked("mine", 3, 0.5)
    value = AnswerJson.of(
        a_plain_answer(candidates=(seen,), stages=(Outcome("retrieval"), Outcome("none")))
    ).candidates[0]
    assert {"dense", "lexical", "retrieval", "none", "final", "mine"} <= value.ranks.keys()
    assert (value.ranks["none"], value.ranks["mine"], value.scores["mine"]) == (None, 3, 0.5)
    assert "final" not in value.scores


def test_reasons_are_sentences_and_data() -> None:
    """Reasons and warnings carry a code and values; a user's own text has the code `text`."""
    reason = Reason("storage.of-stage", stage="retrieval", reason=Reason("storage.unreadable-question"))
    stage = StageJson.of(Outcome("mine", "partial", reason, usage=Usage(2, 10, 5, 0.5)))
    assert (stage.reason, stage.reason_code) == (str(reason), "storage.of-stage")
    assert stage.reason_values["reason"]["code"] == "storage.unreadable-question"
    assert (stage.calls, stage.prompt_tokens, stage.completion_tokens, stage.cost) == (2, 10, 5, 0.5)
    assert StageJson.of(Outcome("mine", "partial", "tired")).reason_code == "text"
    well = StageJson.of(Outcome("mine"))
    assert (well.reason, well.reason_code, well.reason_values) == ("", "", {})
    [warned] = AnswerJson.of(a_plain_answer(warnings=("as it was",))).warning_reasons
    assert (warned.code, warned.values) == ("text", {"text": "as it was"})


@pytest.mark.parametrize("broken", ["caf\ud800", "重\udfff"])
def test_half_a_surrogate_pair_is_replaced(broken: str) -> None:
    """Lone surrogates from a shell or a model are replaced, so that the JSON stays valid."""
    texts = dict.fromkeys(("source", "title", "text"), broken)
    chunk = Chunk(id="c", document_id="d", start=0, end=3, metadata={"m": broken}, **texts)
    found = SearchResult(broken, "default", (Candidate(chunk),), (Outcome("mine", "partial", broken),))
    valid(json.loads(SearchJson.of(found).model_dump_json()), "SearchJson")
    assert SearchJson.of(found).question == f"{broken[0:-1]}?"


def test_an_exported_answer_has_its_feedback() -> None:
    """An exported answer has its feedback and the id of the answer that it replays."""
    answer = a_full_answer()
    summary = AnswerSummary(
        id=answer.id, created_at=answer.created_at, question="q", collection="c", rerank="none",
        answerer="extractive", status="ok", ms=1.0, answered=True, replay_of="before",
    )  # fmt: skip
    value = LoggedAnswerJson.of_entry(answer, Feedback(good=True, grades={1: 3}), summary).to_json()
    assert value.items() >= AnswerJson.of(answer).to_json().items()
    assert value["feedback"] == {"good": True, "notes": [], "grades": {"1": 3}}
    assert value["replay_of"] == "before"
