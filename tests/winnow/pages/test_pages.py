"""The frame of the web pages: languages, themes, policy, static files, errors, complete texts."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from storage.reasons import LANGUAGES, Reason
from tests.support.serving import Server, ingested, serving
from winnow import Settings
from winnow.server.pages.rendering import NAVIGATION
from winnow.server.pages.words import WORDS, Words, catalogues

pytestmark = pytest.mark.heavy

HTML = {"accept": "text/html,application/xhtml+xml"}
PAGES = [path for path, _ in NAVIGATION]
PACKAGE = Path(str(files("winnow.server.pages")))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server over three documents."""
    data = ingested(tmp_path_factory.mktemp("pages 页面"))
    with serving(Settings.load(data_dir=data)) as running:
        yield running


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_html_under_a_strict_policy(server: Server, path: str) -> None:
    """Scripts and styles come only from the server, none is inline, nobody may frame a page."""
    reply = server.get(path, headers=HTML)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert reply.headers["referrer-policy"] == "same-origin"  # else a form's Origin would be `null`
    without_sources = re.sub(r'<script type="module" src="/static/[a-z]+\.js"></script>', "", reply.text)
    assert "<script" not in without_sources
    assert not re.search(
        r"<style|\sstyle=|\son[a-z]+=|=.https?://", without_sources.replace("http://www.w3.org", "")
    )


@pytest.mark.parametrize("path", PAGES)
def test_the_navigation_says_where_one_is(server: Server, path: str) -> None:
    """Exactly one entry of the navigation is marked as the current page."""
    text = server.get(path, headers=HTML).text
    assert re.findall(r'<a href="([^"]*)" aria-current="page"', text) == [path]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("de,en;q=0.7,zh;q=0.3", "en"),
        ("fr", "en"),
        ("zh-TW;q=x, en;q=0.5", "en"),
    ],
)
def test_the_language_is_the_browsers_until_one_is_chosen(
    server: Server, accepted: str, language: str
) -> None:
    """The language follows Accept-Language until one is chosen, which is remembered."""
    headers = {**HTML, "accept-language": accepted}
    assert f'<html lang="{language}"' in server.get("/", headers=headers).text
    other = "en" if language == "zh-CN" else "zh"
    try:
        assert f'<html lang="{other}' in server.get(f"/?lang={other}", headers=headers).text
        assert f'<html lang="{other}' in server.get("/answers", headers=headers).text
    finally:
        server.cookies.clear()


def test_light_and_dark_are_remembered_and_nothing_else_is(server: Server) -> None:
    """The theme follows the system until one is chosen; unknown values are ignored."""
    assert "data-theme=" not in server.get("/?theme=blue", headers=HTML).text
    try:
        assert '<html lang="en" data-theme="dark">' in server.get("/?theme=dark", headers=HTML).text
        assert 'data-theme="dark"' in server.get("/settings", headers=HTML).text
    finally:
        server.cookies.clear()


def test_a_switch_keeps_the_rest_of_the_address(server: Server) -> None:
    """Changing language or theme keeps the rest of the address."""
    text = server.get("/answers?text=%22%3E%3Cb%3E&lang=en", headers=HTML).text
    server.cookies.clear()
    assert 'href="?text=%22%3E%3Cb%3E&amp;lang=zh"' in text
    assert "><b>" not in text


def test_static_files_are_asked_for_again_and_not_sent_again(server: Server) -> None:
    """Static files have an ETag, and no other path is served, however it is spelled."""
    first = server.get("/static/winnow.css")
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    again = server.get("/static/winnow.css", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("nothing.css", "..%2frendering.py", "%2e%2e/rendering.py", "..\\rendering.py", ""):
        assert server.get(f"/static/{name}").status_code == 404, name


def test_every_script_and_sheet_that_a_page_names_is_there(server: Server) -> None:
    """Every static file named in a template or a script is served."""
    named = set()
    for path in [*PACKAGE.glob("templates/*.html"), *PACKAGE.glob("static/*.js")]:
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r'"/static/([^"]+)"', text)) | set(re.findall(r'"\./([a-z-]+\.js)"', text))
    assert "page.js" in named
    for name in named:
        assert server.get(f"/static/{name}").status_code == 200, name


def test_who_asks_with_a_browser_gets_errors_as_pages(server: Server) -> None:
    """Browsers get errors as pages; programs, and everything below /v1, get JSON."""
    page = server.get("/nothing", headers={**HTML, "accept-language": "zh"})
    assert page.status_code == 404
    assert "未找到" in page.text
    assert server.get("/nothing").json()["status"] == 404
    refused = server.get("/v1/answers/nothing", headers=HTML)
    assert (refused.status_code, refused.json()["code"]) == (404, "not-found")
    foreign = server.get("/", headers={**HTML, "host": "evil.example"})
    assert foreign.status_code == 403
    assert "the Host header names another machine" in foreign.text


def test_pages_are_no_part_of_the_api(server: Server) -> None:
    """The OpenAPI document has no routes of pages."""
    paths = server.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path in PAGES or path.startswith("/static")]


def test_every_text_is_there_in_both_languages() -> None:
    """Every text exists in both languages with the same values, and no two files share a key."""
    files = catalogues()
    assert len(WORDS) == sum(len(texts) for texts in files.values())
    for key, texts in WORDS.items():
        assert set(texts) == set(LANGUAGES), key
        assert all(text.strip() for text in texts.values()), key
        values = [
            {name for _, name, _, _ in string.Formatter().parse(text) if name} - {"n"}
            for text in texts.values()
        ]
        assert values[0] == values[1], key


def test_every_text_is_used_and_every_text_in_use_is_there() -> None:
    """Every text is used in a template or in code, and every text in use exists."""
    sources = [*PACKAGE.glob("templates/*.html"), *PACKAGE.rglob("*.py")]
    said = "".join(path.read_text(encoding="utf-8") for path in sources)
    made = tuple(re.findall(r'["\']([a-z.-]+\.)["\'] ~', said)) + tuple(re.findall(r'f"([a-z]+\.)\{', said))
    named = set(re.findall(r'["\']([a-z]+(?:-[a-z]+)?\.[a-z0-9._-]+)["\']', said))
    unused = [
        key
        for key in WORDS
        if not {key, key.removesuffix(".one"), key.removesuffix(".many")} & named and not key.startswith(made)
    ]
    assert not unused
    asked = re.findall(r'\bt\(\s*["\']([a-z._-]+)["\']\s*[,)]', said)
    assert len(asked) > 100
    assert not [key for key in asked if key not in WORDS]
    counted = re.findall(r'\btn\(\s*["\']([a-z.-]+)["\']', said)
    assert counted
    assert not [key for key in counted if f"{key}.one" not in WORDS or f"{key}.many" not in WORDS]
    assert not [key for key in WORDS if key.endswith(".one") != (f"{key[:-4]}.many" in WORDS)]


def test_words_of_a_number_a_stage_and_a_reason() -> None:
    """Numbers, stages and reasons are in the reader's language; users' own are shown as they are."""
    english, chinese = Words("en"), Words("zh")
    assert [english.ordinal(n) for n in (1, 2, 3, 11, 22)] == ["1st", "2nd", "3rd", "11th", "22nd"]
    assert chinese.ordinal(3) == "第 3"
    assert (english.stage("retrieval"), chinese.stage("retrieval")) == ("Retrieval", "检索")
    assert chinese.stage("my-own") == "my-own"
    unreadable = Reason("storage.unreadable-question")
    assert english.reason(unreadable) == unreadable
    assert chinese.reason(unreadable).startswith("编码器")
    assert chinese.reason("encrypted: it needs a password") == "encrypted: it needs a password"
    assert (english.problem(404), english.problem(418)) == ("Not found", "Something went wrong")
