"""Access to the server: hosts, origins, tokens, limits, specs, and secrets that never leave it."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from storage.errors import SettingsError
from tests.support.serving import QUESTION, Server, ingested, serving
from winnow import RAGPipeline, Settings
from winnow.cli.app import app
from winnow.server.policy import Policy
from winnow.server.run import serve
from winnow.server.security import is_loopback
from winnow.server.tokens import TokenBook


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three documents."""
    return ingested(tmp_path_factory.mktemp("guarded"))


@pytest.fixture(scope="module")
def local(data: Path) -> Iterator[Server]:
    """A server as it is by default: for this machine alone."""
    with serving(Settings.load(data_dir=data, server={"body_bytes": 2_048})) as running:
        yield running


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Server]:
    """A server that says it listens for everybody (the test reaches it on the loopback)."""
    settings = Settings.load(data_dir=tmp_path / "data", server={"host": "0.0.0.0", "per_minute": 8})
    with serving(settings) as running:
        yield running


def _token(server: Server, *, full: bool = False) -> tuple[str, dict[str, str]]:
    book = TokenBook(server.pipeline.settings.tokens_file)
    token, text = book.create("a test", "full" if full else "read")
    return token.id, {"authorization": f"Bearer {text}"}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.", "[::1].evil"])
def test_a_rebound_name_is_refused_on_the_loopback(local: Server, host: str) -> None:
    """DNS rebinding: the browser says the name that its page has, which is none of this machine's."""
    assert local.get("/v1/collections", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:8765"])
def test_this_machines_own_names_are_known(local: Server, host: str) -> None:
    """With any port: a tunnel has another one."""
    assert local.get("/v1/collections", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://["},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_another_sites_page_cannot_call(local: Server, headers: dict[str, str]) -> None:
    """Not even a simple request, which needs no preflight; and no CORS header invites one."""
    reply = local.post("/v1/ask", json={"question": QUESTION}, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (403, "not-allowed")
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_the_servers_own_page_can_call(local: Server) -> None:
    """An Origin that is the Host."""
    reply = local.get("/v1/collections", headers={"origin": local.url, "sec-fetch-site": "same-origin"})
    assert reply.status_code == 200


@pytest.mark.parametrize("path", ["/v1/collections", "/nothing", "/healthz", "/v1/answers?limit=x"])
def test_every_reply_has_the_security_headers(local: Server, path: str) -> None:
    """Also errors; and no word of the software behind."""
    headers = local.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_a_body_that_is_too_large_is_refused(local: Server) -> None:
    """By its declared length, and by counting where none is declared."""
    large = json.dumps({"question": "x" * 4_000}).encode()
    for content in (large, iter([large[:2_000], large[2_000:]])):
        reply = local.post("/v1/ask", content=content)
        assert (reply.status_code, reply.json()["code"]) == (413, "too-large")
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_tokens_are_ignored_on_the_loopback(local: Server) -> None:
    """A wrong one does no harm."""
    assert local.get("/v1/collections", headers={"authorization": "Bearer no"}).status_code == 200


def test_elsewhere_a_token_is_needed(public: Server) -> None:
    """401 without, with a wrong, a cut or a revoked one; health is open to all."""
    identifier, good = _token(public)
    for headers in ({}, {"authorization": "Bearer nothing"}, {"authorization": good["authorization"][:-1]}):
        reply = public.get("/v1/collections", headers=headers)
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert public.get("/v1/collections", headers=good).status_code == 200
    TokenBook(public.pipeline.settings.tokens_file).revoke(identifier)
    assert public.get("/v1/collections", headers=good).status_code == 401
    assert public.get("/healthz").status_code == 200
    assert public.get("/metrics").status_code == 401


def test_a_read_only_token_changes_nothing(public: Server) -> None:
    """It asks and looks; feedback, replays and deletions need a full one."""
    _, read = _token(public)
    _, full = _token(public, full=True)
    assert public.post("/v1/search", json={"question": "q"}, headers=read).status_code == 404  # let in
    changes = [
        ("DELETE", "/v1/documents/x"),
        ("POST", "/v1/answers/x/feedback"),
        ("POST", "/v1/answers/x/replay"),
        ("POST", "/v1/ask/"),
    ]
    for method, path in changes:
        assert public.request(method, path, headers=read).status_code == 403, path
    assert public.delete("/v1/documents/x", headers=full).status_code == 404


def test_a_client_may_ask_so_often_a_minute(public: Server) -> None:
    """429 with Retry-After; guessing tokens is slowed down the same way."""
    replies = [public.get("/v1/collections", headers={"authorization": f"Bearer {n}"}) for n in range(9)]
    assert {reply.status_code for reply in replies[:8]} == {401}
    assert replies[8].status_code == 429
    assert int(replies[8].headers["retry-after"]) >= 1


def test_a_server_for_others_does_not_start_without_a_token(tmp_path: Path) -> None:
    """Neither on another address, nor on the loopback under a further name."""
    for server in ({"host": "0.0.0.0"}, {"names": ["winnow.example"]}):
        settings = Settings.load(data_dir=tmp_path, server=server)
        with (
            RAGPipeline.from_settings(settings) as pipeline,
            pytest.raises(SettingsError, match="no token"),
        ):
            serve(pipeline, print, print)


def test_a_port_that_is_taken_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    """And no traceback of the server's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings.load(data_dir=tmp_path, server={"port": taken.getsockname()[1]})
        with RAGPipeline.from_settings(settings) as pipeline, pytest.raises(SettingsError, match="listen"):
            serve(pipeline, print, print)


def test_a_token_is_kept_as_a_hash_alone(tmp_path: Path) -> None:
    """The file, which only its owner reads, does not hold the text; the shell shows it once."""
    run = CliRunner()
    made = json.loads(
        run.invoke(app, ["token", "create", "电脑", "--data-dir", str(tmp_path), "--json"]).stdout
    )
    file = tmp_path / "tokens.json"
    assert made["token"] not in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made["scope"] == "read"
    found = TokenBook(file).find(made["token"])
    assert found is not None
    assert (found.id, found.name) == (made["id"], "电脑")
    listed = run.invoke(app, ["token", "list", "--data-dir", str(tmp_path)])
    assert made["id"] in listed.stdout
    assert made["token"] not in listed.stdout
    assert run.invoke(app, ["token", "revoke", made["id"], "--data-dir", str(tmp_path)]).exit_code == 0
    assert TokenBook(file).find(made["token"]) is None


def test_a_damaged_token_file_lets_nobody_in(public: Server) -> None:
    """An error of the server's, not an open door."""
    _, good = _token(public)
    public.pipeline.settings.tokens_file.write_text("[", encoding="utf-8")
    assert public.get("/v1/collections", headers=good).status_code == 500


@pytest.mark.parametrize(
    "spec",
    [
        'api(profile=tei,url="http://169.254.169.254/latest")',
        "api",
        'cross-encoder(model="/etc")',
        "cross-encoder(trust_remote_code=true)",
        "cross-encoder(backend=onnx)",
        "listwise",
        'late-interaction(model="somebody/model")',
        'fusion(of="late-interaction;api")',
        "late-interaction:20,listwise:5",
    ],
)
@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search"])
def test_a_request_names_no_address_model_or_file(local: Server, path: str, spec: str) -> None:
    """Nothing is fetched, loaded or paid because a request says so."""
    reply = local.post(path, json={"question": "q", "rerank": spec})
    assert (reply.status_code, reply.json()["code"]) == (403, "not-allowed")


@pytest.mark.parametrize(
    ("sections", "spec"),
    [
        ({}, "none:20,late-interaction"),
        ({}, 'fusion(of="late-interaction;none",method=rrf,k=10)'),
        (
            {"server": {"specs": ['api(profile=tei,url="http://gpu:1")']}},
            'api(profile=tei,url="http://gpu:1"):5',
        ),
        ({"answer": {"answerer": "openai"}}, "listwise(window=10):5"),
        ({"rerank": {"spec": "none:20,listwise"}}, "pairwise"),
    ],
)
def test_what_the_settings_name_a_request_may_name(sections: dict[str, Any], spec: str) -> None:
    """Local strategies always, the settings' own specs, and chat models where the settings ask one."""
    Policy(Settings.load(**sections)).check_rerank(spec)


def test_a_replay_spends_nothing_that_the_settings_do_not(local: Server) -> None:
    """An answer that the shell made with a chat model is not made with it again by a request."""
    from dataclasses import replace

    log = local.pipeline.log
    first = log.get(local.post("/v1/ask", json={"question": QUESTION}).json()["id"])
    changes: list[dict[str, Any]] = [
        {"id": "a" * 16, "rerank": "listwise"},
        {"id": "b" * 16, "answerer": "gpt-x", "prompt": "what was sent"},
        {"id": "c" * 16, "rerank": 'api(url="http://169.254.169.254")'},
    ]
    for change in changes:
        log.save(replace(first, **change))
        reply = local.post(f"/v1/answers/{change['id']}/replay", json={})
        assert (reply.status_code, reply.json()["code"]) == (403, "not-allowed")
    chosen = {"rerank": "none", "answerer": "extractive"}
    assert local.post(f"/v1/answers/{'a' * 16}/replay", json=chosen).status_code == 200


def test_only_the_loopback_is_the_loopback() -> None:
    """Names that merely look like it are not."""
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "localhost.example", "")))
