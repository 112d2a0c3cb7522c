"""The frame of the web pages: languages, light and dark, policy, static files, errors; every word there."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.support.serving import Server, ingested, serving
from winnow import Settings
from winnow.server.pages.rendering import NAVIGATION
from winnow.server.pages.words import WORDS

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
    """Scripts and styles come from the server alone, none stands in the page, nobody frames it."""
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
    """Exactly one entry is the current page."""
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
    """By Accept-Language; a choice wins, and is remembered."""
    headers = {**HTML, "accept-language": accepted}
    assert f'<html lang="{language}"' in server.get("/", headers=headers).text
    other = "en" if language == "zh-CN" else "zh"
    try:
        assert f'<html lang="{other}' in server.get(f"/?lang={other}", headers=headers).text
        assert f'<html lang="{other}' in server.get("/answers", headers=headers).text
    finally:
        server.cookies.clear()


def test_light_and_dark_are_remembered_and_nothing_else_is(server: Server) -> None:
    """By the system until one is chosen; an unknown choice is none."""
    assert "data-theme=" not in server.get("/?theme=blue", headers=HTML).text
    try:
        assert '<html lang="en" data-theme="dark">' in server.get("/?theme=dark", headers=HTML).text
        assert 'data-theme="dark"' in server.get("/settings", headers=HTML).text
    finally:
        server.cookies.clear()


def test_a_switch_keeps_the_rest_of_the_address(server: Server) -> None:
    """Whoever changes the language stays where he is."""
    text = server.get("/answers?text=%22%3E%3Cb%3E&lang=en", headers=HTML).text
    server.cookies.clear()
    assert 'href="?text=%22%3E%3Cb%3E&amp;lang=zh"' in text
    assert "><b>" not in text


def test_static_files_are_asked_for_again_and_not_sent_again(server: Server) -> None:
    """An ETag; what is not listed is not there, however it is spelled."""
    first = server.get("/static/winnow.css")
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    again = server.get("/static/winnow.css", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("nothing.css", "..%2frendering.py", "%2e%2e/rendering.py", "..\\rendering.py", ""):
        assert server.get(f"/static/{name}").status_code == 404, name


def test_every_script_and_sheet_that_a_page_names_is_there(server: Server) -> None:
    """Templates and modules name static files; each is served."""
    named = set()
    for path in [*PACKAGE.glob("templates/*.html"), *PACKAGE.glob("static/*.js")]:
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r'"/static/([^"]+)"', text)) | set(re.findall(r'"\./([a-z-]+\.js)"', text))
    assert "page.js" in named
    for name in named:
        assert server.get(f"/static/{name}").status_code == 200, name


def test_who_asks_with_a_browser_gets_errors_as_pages(server: Server) -> None:
    """The same text and status as the problem; a program gets JSON, and so does everybody below /v1."""
    page = server.get("/nothing", headers={**HTML, "accept-language": "zh"})
    assert page.status_code == 404
    assert "这里没有" in page.text
    assert server.get("/nothing").json()["status"] == 404
    refused = server.get("/v1/answers/nothing", headers=HTML)
    assert (refused.status_code, refused.json()["code"]) == (404, "not-found")
    foreign = server.get("/", headers={**HTML, "host": "evil.example"})
    assert foreign.status_code == 403
    assert "the Host header names another machine" in foreign.text


def test_pages_are_no_part_of_the_api(server: Server) -> None:
    """The OpenAPI document describes programs' routes alone."""
    paths = server.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path in PAGES or path.startswith("/static")]


def test_every_text_is_there_in_both_languages_and_used() -> None:
    """Both of a pair have the same gaps; each key is named somewhere, and each that is named exists."""
    for key, (english, chinese) in WORDS.items():
        assert english.strip(), key
        assert chinese.strip(), key
        gaps = [
            {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (english, chinese)
        ]
        assert gaps[0] - {"n"} == gaps[1] - {"n"}, key
    sources = [*PACKAGE.glob("templates/*.html"), *PACKAGE.rglob("*.py")]
    where = [path for path in sources if path.parent.name != "words" or path.name == "__init__.py"]
    said = "".join(path.read_text(encoding="utf-8") for path in where)
    made = tuple(re.findall(r'["\']([a-z]+\.)["\'] ~', said)) + tuple(re.findall(r'f"([a-z]+\.)\{', said))
    named = set(re.findall(r'["\']([a-z]+\.[a-z0-9.-]+)["\']', said))
    unused = [
        key
        for key in WORDS
        if not {key, key.removesuffix(".one"), key.removesuffix(".many")} & named and not key.startswith(made)
    ]
    assert not unused
    asked = re.findall(r'\bt\(\s*"([a-z.-]+)"\s*[,)]', said)
    assert not [key for key in asked if key not in WORDS]
    counted = re.findall(r'\btn\("([a-z.-]+)"', said)
    assert not [key for key in counted if f"{key}.one" not in WORDS or f"{key}.many" not in WORDS]
