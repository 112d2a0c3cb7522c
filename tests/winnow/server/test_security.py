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

from storage.errors import SettingsError, SpecError
from tests.support.serving import QUESTION, Server, ingested, serving
from winnow import RAGPipeline, Settings
from winnow.cli.app import app
from winnow.server.policy import Policy
from winnow.server.run import serve
from winnow.server.security import is_loopback
from winnow.server.tokens import TokenBook

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three documents."""
    return ingested(tmp_path_factory.mktemp("guarded"))


@pytest.fixture(scope="module")
def local(data: Path) -> Iterator[Server]:
    """A server with default settings: on the loopback only."""
    with serving(Settings.load(data_dir=data, server={"body_bytes": 2_048})) as running:
        yield running


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Server]:
    """A server set up as public (the tests reach it on the loopback)."""
    settings = Settings.load(data_dir=tmp_path / "data", server={"host": "0.0.0.0", "per_minute": 8})
    with serving(settings) as running:
        yield running


def _token(server: Server, *, full: bool = False) -> tuple[str, dict[str, str]]:
    book = TokenBook(server.pipeline.settings.tokens_file)
    token, text = book.create("a test", "full" if full else "read")
    return token.id, {"authorization": f"Bearer {text}"}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.", "[::1].evil"])
def test_a_rebound_name_is_refused_on_the_loopback(local: Server, host: str) -> None:
    """An unknown Host is refused on the loopback (DNS rebinding)."""
    assert local.get("/v1/collections", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:8765"])
def test_this_machines_own_names_are_known(local: Server, host: str) -> None:
    """This machine's own names are accepted with any port, as a tunnel may use another."""
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
    """A page of another site cannot call the API, even without a preflight; no CORS header is sent."""
    reply = local.post("/v1/ask", json={"question": QUESTION}, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (403, "not-allowed")
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_the_servers_own_page_can_call(local: Server) -> None:
    """A request whose Origin equals its Host is accepted."""
    reply = local.get("/v1/collections", headers={"origin": local.url, "sec-fetch-site": "same-origin"})
    assert reply.status_code == 200


@pytest.mark.parametrize("path", ["/v1/collections", "/nothing", "/healthz", "/v1/answers?limit=x"])
def test_every_reply_has_the_security_headers(local: Server, path: str) -> None:
    """Every reply, errors included, has the security headers and does not name the server software."""
    headers = local.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_a_body_that_is_too_large_is_refused(local: Server) -> None:
    """A body over the limit is refused, by its declared length or by counting."""
    large = json.dumps({"question": "x" * 4_000}).encode()
    for content in (large, iter([large[:2_000], large[2_000:]])):
        reply = local.post("/v1/ask", content=content)
        assert (reply.status_code, reply.json()["code"]) == (413, "too-large")
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_tokens_are_ignored_on_the_loopback(local: Server) -> None:
    """On the loopback tokens are ignored, wrong ones too."""
    assert local.get("/v1/collections", headers={"authorization": "Bearer no"}).status_code == 200


def test_elsewhere_a_token_is_needed(public: Server) -> None:
    """A missing, wrong, truncated or revoked token gives 401; health needs none."""
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
    """A read-only token can ask and look, but not give feedback, replay or delete."""
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
    """A client over its rate gets 429 with Retry-After, for token guesses too."""
    replies = [public.get("/v1/collections", headers={"authorization": f"Bearer {n}"}) for n in range(9)]
    assert {reply.status_code for reply in replies[:8]} == {401}
    assert replies[8].status_code == 429
    assert int(replies[8].headers["retry-after"]) >= 1


def test_a_server_for_others_does_not_start_without_a_token(tmp_path: Path) -> None:
    """A server for other hosts, or with a further name, does not start without a token."""
    for server in ({"host": "0.0.0.0"}, {"names": ["winnow.example"]}):
        settings = Settings.load(data_dir=tmp_path, server=server)
        with (
            RAGPipeline.from_settings(settings) as pipeline,
            pytest.raises(SettingsError, match="no token"),
        ):
            serve(pipeline, print, print)


def test_a_port_that_is_taken_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    """A port in use is an error with a way out, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings.load(data_dir=tmp_path, server={"port": taken.getsockname()[1]})
        with RAGPipeline.from_settings(settings) as pipeline, pytest.raises(SettingsError, match="listen"):
            serve(pipeline, print, print)


def test_a_token_is_kept_as_a_hash_alone(tmp_path: Path) -> None:
    """Only a token's hash is stored, in a file that only its owner can read; it is printed once."""
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
    """A damaged token file is a server error and grants no access."""
    _, good = _token(public)
    public.pipeline.settings.tokens_file.write_text("[", encoding="utf-8")
    assert public.get("/v1/collections", headers=good).status_code == 500


@pytest.mark.parametrize(
    "spec",
    [
        'api(profile=tei,url="http://169.254.169.254/latest")',
        "api",
        'cross-encoder(model="/etc")',
        "cross-encoder(backend=onnx)",
        "listwise",
        'late-interaction(model="somebody/model")',
        'fusion(of="late-interaction;api")',
        "late-interaction:20,listwise:5",
    ],
)
@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search"])
def test_a_request_names_no_address_model_or_file(local: Server, path: str, spec: str) -> None:
    """A request's spec cannot name an address, a model or a file."""
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
    """A request may use local strategies, the settings' specs, and chat models if configured."""
    Policy(Settings.load(**sections)).check_rerank(spec)


@pytest.mark.parametrize(
    "sections", [{"rerank": {"spec": "api(timeout=1)"}}, {"server": {"specs": ["fusion(of=lexical,wait=1)"]}}]
)
def test_a_server_does_not_start_with_a_spec_that_is_none(sections: dict[str, Any]) -> None:
    """Every question would fail; whoever starts the server is told, and can mend it."""
    with pytest.raises(SpecError, match="has no option"):
        Policy(Settings.load(**sections))


def test_a_replay_spends_nothing_that_the_settings_do_not(local: Server) -> None:
    """A replay over HTTP does not call a chat model that the settings do not use."""
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
    """Only loopback addresses count as such, not names that look like them."""
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "localhost.example", "")))
