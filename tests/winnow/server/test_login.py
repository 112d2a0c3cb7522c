"""Logging in with a token: sessions, cookies and their limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.support.serving import QUESTION, Server, ingested, serving
from winnow import Settings
from winnow.server.sessions import Sessions
from winnow.server.tokens import TokenBook

pytestmark = pytest.mark.heavy

HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three documents."""
    return ingested(tmp_path_factory.mktemp("login"))


@pytest.fixture(scope="module")
def running(data: Path) -> Iterator[Server]:
    """A server set up as public (the tests reach it on the loopback)."""
    with serving(Settings.load(data_dir=data, server={"host": "0.0.0.0"})) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    """The public server, with a client that has no cookies."""
    running.cookies.clear()
    return running


def _token(server: Server, *, full: bool = False) -> tuple[str, str]:
    """Return the id and the text of a new token."""
    book = TokenBook(server.pipeline.settings.tokens_file)
    token, text = book.create("a laptop 笔记本", "full" if full else "read")
    return token.id, text


def _login(server: Server, text: str, *, origin: str | None = None, onward: str = "/") -> httpx2.Response:
    headers = {**HTML, "origin": origin or server.url}
    return server.post("/login", data={"token": text, "next": onward}, headers=headers)


def _cookie(reply: httpx2.Response) -> tuple[str, dict[str, str]]:
    """Return the session cookie that a reply sets: its name and attributes."""
    jar: SimpleCookie = SimpleCookie()
    for header in reply.headers.get_list("set-cookie"):
        jar.load(header)
    [(name, morsel)] = [(name, one) for name, one in jar.items() if one.value]
    return name, dict(morsel)


def test_a_page_leads_to_the_login_and_back(server: Server) -> None:
    """GET requests for pages lead to the login; the API returns 401, and static files are open."""
    asked = server.get("/answers?text=%E9%87%8D+a&limit=2", headers=HTML)
    assert asked.status_code == 303
    where = urlsplit(asked.headers["location"])
    assert where.path == "/login"
    [onward] = parse_qs(where.query)["next"]
    assert onward == "/answers?text=%E9%87%8D+a&limit=2"
    form = server.get(asked.headers["location"], headers=HTML)
    assert 'value="/answers?text=%E9%87%8D+a&amp;limit=2"' in form.text
    assert '<a href="/answers"' not in form.text  # no navigation before the login
    _, text = _token(server)
    reply = _login(server, text, onward=onward)
    assert (reply.status_code, reply.headers["location"]) == (303, onward)
    assert server.get(onward, headers=HTML).status_code == 200
    server.cookies.clear()
    for path in ("/v1/collections", "/metrics", "/openapi.json"):
        reply = server.get(path, headers=HTML)
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert server.post("/answers/x/replay", headers=HTML).status_code == 401
    assert server.get("/static/winnow.css").status_code == 200


def test_a_session_may_what_its_token_may(server: Server) -> None:
    """A session has its token's rights, in the API too; a read-only one can change nothing."""
    own = {"origin": server.url}
    _login(server, _token(server)[1])
    assert server.get("/v1/collections").status_code == 200
    assert server.post("/v1/ask", json={"question": QUESTION}, headers=own).status_code == 200
    assert server.delete("/v1/documents/x", headers=own).status_code == 403
    assert server.post("/v1/answers/x/feedback", json={"good": True}, headers=own).status_code == 403
    assert server.post("/v1/answers/x/replay", json={}, headers=own).status_code == 403
    assert "read-only" in server.get("/", headers=HTML).text
    _login(server, _token(server, full=True)[1])
    assert server.delete("/v1/documents/x", headers=own).status_code == 404
    assert "read-only" not in server.get("/", headers=HTML).text


def test_the_cookie_is_out_of_reach(server: Server) -> None:
    """The cookie is HttpOnly and SameSite=Strict, expires, and does not contain the token."""
    identifier, text = _token(server)
    name, cookie = _cookie(reply := _login(server, text))
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "strict"
    assert cookie["path"] == "/"
    assert cookie["domain"] == ""
    assert cookie["secure"] == ""  # plain HTTP is what this browser speaks
    assert 0 < int(cookie["max-age"]) <= 24 * 3600
    assert name == "winnow"
    secret = server.cookies["winnow"]
    assert identifier not in secret
    assert secret not in text
    assert text not in str(reply.headers)


def test_over_tls_the_cookie_never_leaves_it(server: Server) -> None:
    """Over TLS, through a proxy too, the cookie is Secure and cannot be set by another host."""
    text = _token(server)[1]
    name, cookie = _cookie(_login(server, text, origin=server.url.replace("http:", "https:")))
    assert (name, cookie["secure"]) == ("__Host-winnow", True)


def test_a_sealed_cookie_wins_over_a_planted_one(server: Server) -> None:
    """A cookie planted by a sibling host under the plain name is ignored next to the `__Host-` one."""
    _login(server, _token(server)[1])
    planted = server.cookies["winnow"]
    server.cookies.clear()
    pair = f"winnow={planted}; __Host-winnow=wrong"
    assert server.get("/v1/collections", headers={"cookie": pair}).status_code == 401
    assert server.get("/v1/collections", headers={"cookie": f"winnow={planted}"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "same-origin"}, 404),
    ],
)
def test_another_sites_form_does_nothing(server: Server, headers: dict[str, str], status: int) -> None:
    """A form of another site changes nothing, even with the cookie."""
    _login(server, _token(server, full=True)[1])
    assert server.delete("/v1/documents/x", headers=headers).status_code == status
    assert server.post("/v1/answers/x/replay", json={}, headers=headers).status_code == status


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}])
def test_another_sites_form_logs_nobody_in(server: Server, headers: dict[str, str]) -> None:
    """A form of another site cannot log a browser in (login CSRF)."""
    reply = server.post("/login", data={"token": _token(server)[1]}, headers=headers)
    assert (reply.status_code, "set-cookie" in reply.headers) == (403, False)


def test_a_bearer_token_needs_no_page(server: Server) -> None:
    """A bearer token works without an Origin and takes precedence over a cookie."""
    _login(server, _token(server, full=True)[1])
    full = {"authorization": f"Bearer {_token(server, full=True)[1]}"}
    assert server.delete("/v1/documents/x", headers=full).status_code == 404
    wrong = {"authorization": "Bearer nothing"}
    assert server.get("/v1/collections", headers=wrong).status_code == 401
    proxys = {"authorization": "Basic bm9ib2R5"}
    assert server.get("/v1/collections", headers=proxys).status_code == 200
    server.cookies.clear()
    assert server.get("/v1/collections", headers=proxys).status_code == 401


def test_a_wrong_token_begins_nothing(server: Server) -> None:
    """A wrong token gives the form again with 401, without the typed text."""
    text = _token(server)[1]
    for wrong in ("", "nothing", text[:-1], text + "x", "<script>alert(1)</script>"):
        reply = _login(server, wrong)
        assert (reply.status_code, "set-cookie" in reply.headers) == (401, False)
        assert "Unknown token." in reply.text
        assert not wrong or wrong not in reply.text


def test_a_logout_ends_the_session_on_the_server(server: Server) -> None:
    """A logout ends the session on the server; other sites cannot cause one."""
    _login(server, _token(server)[1])
    kept = server.cookies["winnow"]
    assert server.post("/logout").status_code == 403
    reply = server.post("/logout", headers={"origin": server.url})
    assert (reply.status_code, reply.headers["location"]) == (303, "/login")
    assert "winnow" not in server.cookies
    assert server.get("/v1/collections", headers={"cookie": f"winnow={kept}"}).status_code == 401


def test_a_new_login_ends_the_old_session(server: Server) -> None:
    """A new login ends the browser's old session, so that session fixation fails."""
    _login(server, _token(server)[1])
    first = server.cookies["winnow"]
    _login(server, _token(server)[1])
    assert server.cookies["winnow"] != first
    assert server.get("/v1/collections", headers={"cookie": f"winnow={first}"}).status_code == 401


def test_a_revoked_token_ends_its_sessions_at_once(server: Server) -> None:
    """Revoking a token ends its sessions at once, and no others."""
    identifier, text = _token(server)
    _login(server, text)
    mine = server.cookies["winnow"]
    _login(server, _token(server)[1])
    other = server.cookies["winnow"]
    server.cookies.clear()
    TokenBook(server.pipeline.settings.tokens_file).revoke(identifier)
    assert server.get("/v1/collections", headers={"cookie": f"winnow={mine}"}).status_code == 401
    assert server.get("/v1/collections", headers={"cookie": f"winnow={other}"}).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ("/answers?x=1", "/answers?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("evil.example", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_to_no_other_site(server: Server, wanted: str, where: str) -> None:
    """The login redirects only to addresses on this server."""
    text = _token(server)[1]
    assert _login(server, text, onward=wanted).headers["location"] == where
    again = server.get("/login", params={"next": wanted})
    assert (again.status_code, again.headers["location"]) == (303, where)


def test_guesses_at_the_form_are_slowed_down(tmp_path: Path) -> None:
    """Wrong tokens in the form count towards the same limit as wrong bearer tokens."""
    settings = Settings.load(data_dir=tmp_path, server={"host": "0.0.0.0", "per_minute": 6})
    with serving(settings) as server:
        guesses: Sequence[int] = [_login(server, f"{n}").status_code for n in range(4)]
        wrong = {"authorization": "Bearer nothing"}
        others = [server.get("/v1/collections", headers=wrong).status_code for _ in range(2)]
        assert (guesses, others) == ([401] * 4, [401] * 2)
        reply = _login(server, "another")
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) >= 1


def test_where_no_tokens_are_asked_for_there_is_nothing_to_log_in_to(data: Path) -> None:
    """On the loopback, where tokens are not required, there is no login form, cookie or button."""
    with serving(Settings.load(data_dir=data, collection="other")) as server:
        assert server.get("/login?next=/settings").headers["location"] == "/settings"
        reply = server.post("/login", data={"token": "x", "next": "/settings"})
        assert (reply.headers["location"], "set-cookie" in reply.headers) == ("/settings", False)
        assert "/logout" not in server.get("/", headers=HTML).text


def test_a_session_ends_however_much_it_is_used(tmp_path: Path) -> None:
    """A session ends after its lifetime, however often it is used."""
    book = TokenBook(tmp_path / "tokens.json")
    token, text = book.create("a test", "read")
    long, over = Sessions(book), Sessions(book, life_s=0)
    key, old = long.begin(text), over.begin(text)
    assert key is not None
    assert old is not None
    assert [long.find(key) for _ in range(3)] == [token] * 3
    assert over.find(old) is None
    assert long.find(old) is None


def test_a_token_has_so_many_sessions_and_no_more(tmp_path: Path) -> None:
    """A token at its limit of sessions loses the oldest; other tokens' sessions stay."""
    book = TokenBook(tmp_path / "tokens.json")
    mine, text = book.create("mine", "read")
    other, others_text = book.create("other", "read")
    sessions = Sessions(book)
    kept = sessions.begin(others_text)
    keys = [sessions.begin(text) for _ in range(101)]
    assert kept is not None
    assert sessions.find(kept) == other
    assert [sessions.find(key or "") for key in (keys[0], keys[1], keys[-1])] == [None, mine, mine]
