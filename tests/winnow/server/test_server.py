"""The HTTP API of a running server: asking, searching, collections, the log, errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from retrieval.models.hub import MINILM
from storage.records import Candidate, Generation, Outcome, Retrieval
from tests.support.log_samples import a_plain_answer
from tests.support.serving import DOCUMENTS, QUESTION, Server, events, ingested, serving
from winnow import RAGPipeline, Settings

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server over three documents."""
    data = ingested(tmp_path_factory.mktemp("served 服务"))
    with serving(Settings.load(data_dir=data)) as running:
        yield running


def test_a_question_is_answered_with_ranks_and_citations(server: Server) -> None:
    """The reply is the same value that the shell prints and the log keeps."""
    answer = server.post("/v1/ask", json={"question": QUESTION}).json()
    assert "cannot bring back a passage that retrieval missed. [1]" in answer["text"]
    assert answer["citations"][0]["source"].endswith("rerank.md")
    assert answer["candidates"][0]["ranks"]["final"] == 1
    logged = server.get(f"/v1/answers/{answer['id']}").json()
    assert logged["answer"] == answer
    assert logged["feedback"] == {"good": None, "notes": [], "grades": {}}


def test_an_answer_keeps_its_warnings(tmp_path: Path) -> None:
    """The reply to a question that the encoder cannot read has the degradation and the stage's reason."""
    chosen = {"encoder": {"model": MINILM}}
    with serving(Settings.load(data_dir=ingested(tmp_path, **chosen), **chosen)) as server:
        answer = server.post("/v1/ask", json={"question": "重排序能找回召回阶段漏掉的段落吗？"}).json()
    assert "重排序无法找回" in answer["text"]
    assert "cannot read the question" in answer["warnings"][0]


def test_a_streamed_answer_is_pieces_and_then_the_whole(server: Server) -> None:
    """The pieces together are the text of the answer that comes last."""
    with server.stream("POST", "/v1/ask", json={"question": QUESTION, "stream": True}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        found = events(reply.read().decode())
    names = [name for name, _ in found]
    assert names == ["piece"] * (len(found) - 1) + ["answer"]
    assert "".join(data["text"] for _, data in found[:-1]) == found[-1][1]["text"]
    assert server.get(f"/v1/answers/{found[-1][1]['id']}").status_code == 200


def test_a_search_answers_nothing_and_logs_nothing(server: Server) -> None:
    """A search gives candidates with ranks and adds nothing to the log."""
    before = server.get("/v1/answers").json()["total"]
    found = server.post("/v1/search", json={"question": "potassium", "top_k_rerank": 1}).json()
    assert found["candidates"][0]["source"].endswith("fruit.txt")
    assert len(found["passages"]) == 1
    assert server.get("/v1/answers").json()["total"] == before


def test_a_follow_up_is_understood_with_the_answer_before(server: Server) -> None:
    """`follow_up` names a logged answer; `history` gives turns; both at once are refused."""
    first = server.post("/v1/ask", json={"question": QUESTION}).json()
    follow = {"question": "Why not?", "follow_up": first["id"]}
    assert server.post("/v1/ask", json=follow).json()["follow_up"]["answer_id"] == first["id"]
    turns = [{"question": QUESTION, "answer": first["text"]}]
    told = server.post("/v1/ask", json={"question": "Why not?", "history": turns}).json()
    assert told["follow_up"]["answer_id"] == ""
    assert server.post("/v1/ask", json={**follow, "history": turns}).status_code == 400


def test_a_chain_that_is_not_taken_over_is_said(server: Server) -> None:
    """A follow-up that a request may not rerank like the answer before has a warning, in the log too."""
    before = a_plain_answer(1, id="by-an-api", rerank='api(url="http://127.0.0.1:9")')
    server.pipeline.log.save(before)
    follow = {"question": "Why not?", "follow_up": before.id}
    answer = server.post("/v1/ask", json=follow).json()
    assert answer["rerank"] == server.pipeline.settings.rerank.spec
    assert before.rerank in answer["warnings"][0]
    assert server.get(f"/v1/answers/{answer['id']}").json()["answer"] == answer
    assert server.post("/v1/ask", json={**follow, "rerank": "none"}).json()["warnings"] == []


def test_collections_and_documents_are_listed_with_their_passages(server: Server) -> None:
    """Collections have sizes, documents are listed by path, and passages in document order."""
    [only] = server.get("/v1/collections").json()["collections"]
    assert (only["name"], only["default"]) == ("default", True)
    facts = server.get("/v1/collections/default").json()
    assert facts["documents"] == {"ingested": len(DOCUMENTS)}
    assert facts["last_run"]["totals"]["ingested"] == len(DOCUMENTS)
    page = server.get("/v1/documents", params={"limit": 2}).json()
    assert (page["total"], len(page["documents"])) == (3, 2)
    [row] = [one for one in page["documents"] if one["source"].endswith("rerank.md")]
    whole = server.get(f"/v1/documents/{row['id']}").json()
    assert [passage["chunk_id"] for passage in whole["passages"]] == row["chunks"]
    assert "reorders the candidates" in whole["passages"][0]["text"]


def test_answers_are_searched_replayed_judged_and_exported(server: Server) -> None:
    """The log over HTTP offers text search, linked replays, feedback and three export formats."""
    answer = server.post("/v1/ask", json={"question": "Which fruit has potassium?"}).json()
    path = f"/v1/answers/{answer['id']}"
    found = server.get("/v1/answers", params={"text": "potassium", "replays": False}).json()
    assert answer["id"] in [one["id"] for one in found["answers"]]
    replay = server.post(f"{path}/replay", json={"rerank": "none"}).json()
    assert replay["original"]["id"] == answer["id"]
    assert replay["replay"]["rerank"] == "none"
    judged = server.post(f"{path}/feedback", json={"good": True, "note": "yes", "grades": {"1": 3}})
    assert judged.json() == {"good": True, "notes": ["yes"], "grades": {"1": 3}}
    logged = server.get(path).json()
    assert logged["feedback"]["grades"] == {"1": 3}
    assert [one["id"] for one in logged["replays"]] == [replay["replay"]["id"]]
    lines = server.get("/v1/answers/export", params={"form": "jsonl"}).text.splitlines()
    assert len(lines) == server.get("/v1/answers").json()["total"]
    assert server.get("/v1/answers/export", params={"form": "csv"}).content.startswith(b"\xef\xbb\xbfid,")
    assert server.get("/v1/answers/export", params={"form": "beir"}).content.startswith(b"PK")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/ask", {"question": "q", "collection": "no-such"}, 404, "not-found"),
        ("POST", "/v1/ask", {"question": "q", "collection": "../../etc"}, 400, "bad-input"),
        ("POST", "/v1/ask", {"question": "q", "rerank": "late-interacton"}, 400, "spec"),
        ("POST", "/v1/ask", {"question": "q", "where": "year >"}, 400, "bad-input"),
        ("POST", "/v1/ask", {"question": "   "}, 400, "bad-input"),
        ("POST", "/v1/ask", {"question": "q", "top_k": 3}, 422, "invalid-request"),
        ("POST", "/v1/ask", {"question": "\ud800"}, 422, "invalid-request"),
        ("POST", "/v1/ask", {"question": "q", "answerer": "openai"}, 403, "not-allowed"),
        ("POST", "/v1/ask", {"question": "q", "parts": "decompose"}, 403, "not-allowed"),
        ("GET", "/v1/answers/zzzz", None, 404, "not-found"),
        ("GET", "/v1/documents/nothing", None, 404, "not-found"),
        ("GET", "/v1/collections/nothing", None, 404, "not-found"),
        ("GET", "/v1/answers?limit=0", None, 422, "invalid-request"),
        ("GET", "/nothing", None, 404, "http"),
        ("DELETE", "/v1/ask", None, 405, "http"),
    ],
)
def test_an_error_is_a_problem_with_a_way_out(
    server: Server, method: str, path: str, body: object, status: int, code: str
) -> None:
    """An error is an RFC 9457 problem with winnow's code, and also has OpenAI's shape."""
    content = None if body is None else json.dumps(body).encode()
    reply = server.request(method, path, content=content, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    problem = reply.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["error"]["message"] == problem["detail"] != ""


@pytest.mark.parametrize(
    "path",
    [
        "/v1/answers?since=0001-01-01T00:00:00%2B14:00",
        "/v1/answers?until=9999-12-31T23:59:59-14:00",
        "/v1/answers?text=%22%27)%20OR%20*%00",
        "/v1/answers?min_ms=inf",
        "/v1/answers/%00",
        "/v1/answers/%25",
        "/v1/documents/%00?collection=default",
        "/v1/documents?collection=%2e%2e",
        "/v1/collections/%2e%2e%2f%2e%2e",
        "/v1/models/winnow/..@none",
        "/v1/answers/export?form=csv&text=%00",
    ],
)
def test_odd_queries_are_never_an_error_of_the_servers(server: Server, path: str) -> None:
    """Extreme dates, zero bytes, quotes and dots never cause a server error."""
    assert server.get(path).status_code < 500


@pytest.mark.parametrize(
    "odd",
    [
        {"where": "(" * 3_000},
        {"where": "not " * 900 + "a = 1"},
        {"rerank": 'fusion(of="fusion(of=late-interaction)")'},
        {"rerank": "none(" * 300},
        {"follow_up": "\x00"},
        {"question": "\x00"},
        {"question": "？" * 20_000},
        {"collection": "\x00"},
        {"top_k_retrieve": 1_000, "top_k_rerank": 100, "expand": 10},
    ],
)
def test_odd_questions_are_never_an_error_of_the_servers(server: Server, odd: dict[str, object]) -> None:
    """Deeply nested, zero-byte or huge questions never cause a server error."""
    assert server.post("/v1/ask", json={"question": "q", **odd}).status_code < 500


def test_every_error_of_the_tree_has_a_status() -> None:
    """Every error class maps to a status, new ones through their parent."""
    from storage import errors
    from winnow.server.errors import STATUSES, status_of

    ours = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert {kind for kind in ours if issubclass(kind, errors.WinnowError)} <= set(STATUSES)
    assert status_of(type("Later", (errors.NotFoundError,), {})("gone")) == 404


def test_the_openapi_names_every_route_error_and_example(server: Server) -> None:
    """Each operation has a summary and problems; each request of winnow's own has an example."""
    document = server.get("/openapi.json").json()
    assert "HTTPValidationError" not in str(document["paths"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), (method, path)
            errors = [status for status in operation["responses"] if status >= "400"]
            assert errors, (method, path)
    for name in ("AskRequest", "SearchRequest", "ReplayRequest", "FeedbackRequest", "AnswerJson", "Problem"):
        assert document["components"]["schemas"][name]["examples"], name


class Slow:
    """A part that waits to be cancelled, and records that it was."""

    name = "slow"

    def __init__(self) -> None:
        self.started = threading.Event()
        self.cancelled = threading.Event()

    async def search(self, query: str, top_k: int) -> Retrieval:
        return Retrieval((Candidate.from_text("a passage", id="1"),))

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Sequence[Candidate]:
        return candidates

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        self.started.set()
        try:
            await anyio.sleep(60)
        except BaseException:
            self.cancelled.set()
            raise
        return Generation(text="late", outcome=Outcome("generation"), answerer="slow")


class Broken(Slow):
    """A user's part with a bug."""

    async def search(self, query: str, top_k: int) -> Retrieval:
        raise ZeroDivisionError("the password is hunter2")


def test_a_mistake_shows_a_number_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception shows only a number, under which the server's log has the details."""
    broken = Broken()
    settings = Settings.load(data_dir=tmp_path / "data")
    with serving(settings, RAGPipeline(broken, broken, broken, settings=settings)) as running:
        reply = running.post("/v1/ask", json={"question": "q"})
    assert (reply.status_code, reply.headers["content-type"]) == (500, "application/problem+json")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "hunter2" not in reply.text
    number = reply.json()["detail"].rpartition(" ")[2]
    [record] = [one for one in caplog.records if number in one.getMessage()]
    assert record.exc_info is not None


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels_the_work(tmp_path: Path, stream: bool) -> None:
    """Closing the connection reaches the stage that is running."""
    import httpx2

    slow = Slow()
    settings = Settings.load(data_dir=tmp_path / "data")
    with serving(settings, RAGPipeline(slow, slow, slow, settings=settings)) as running:
        with pytest.raises(httpx2.ReadTimeout):
            running.post("/v1/ask", json={"question": "q", "stream": stream}, timeout=0.5)
        assert slow.started.is_set()
        assert slow.cancelled.wait(10)


def test_a_question_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    """A question over its time limit gives 504, and its stage is cancelled."""
    slow = Slow()
    settings = Settings.load(data_dir=tmp_path / "data", server={"timeout_s": 0.2})
    with serving(settings, RAGPipeline(slow, slow, slow, settings=settings)) as running:
        reply = running.post("/v1/ask", json={"question": "q"})
        assert (reply.status_code, reply.json()["code"]) == (504, "timeout")
        assert slow.cancelled.wait(10)


def test_who_comes_when_the_queue_is_full_is_told_when_to_return(tmp_path: Path) -> None:
    """A request to a full queue gets 429 with Retry-After at once, and the others continue."""
    slow = Slow()
    settings = Settings.load(
        data_dir=tmp_path / "data", server={"concurrency": 1, "queue": 0, "timeout_s": 3}
    )
    with serving(settings, RAGPipeline(slow, slow, slow, settings=settings)) as running:
        asking = threading.Thread(target=running.post, args=("/v1/ask",), kwargs={"json": {"question": "q"}})
        asking.start()
        assert slow.started.wait(10)
        reply = running.post("/v1/ask", json={"question": "another"})
        asking.join()
    assert (reply.status_code, reply.json()["code"]) == (429, "busy")
    assert int(reply.headers["retry-after"]) >= 1


def test_a_message_never_shows_a_secret(tmp_path: Path) -> None:
    """A key repeated by an error is masked in the reply."""
    from storage.errors import ChatError
    from winnow.server.errors import Problems

    settings = Settings.load(data_dir=tmp_path, llm={"api_key": "sk-very-secret"})
    problem = Problems(settings.secrets()).of(ChatError("401 for Bearer sk-very-secret"))
    assert "very-secret" not in str(problem)
    assert "***" in problem["detail"]
