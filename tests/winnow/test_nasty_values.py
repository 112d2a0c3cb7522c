"""Every route and every command, given values nobody sends on purpose: refused or answered, never a bug."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.support.serving import Server, ingested, serving
from tests.support.shell import ingested as shell_folder
from winnow import Settings
from winnow.cli.app import app
from winnow.cli.terminal import print_json

pytestmark = pytest.mark.nightly

# Any of them may come for a text, a number or a moment.
NASTY: dict[str, Any] = {
    "huge": 10**30,
    "minus huge": -(10**30),
    "many digits": "9" * 5000,
    "no number": "nan",
    "endless": "1e999",
    "first moment": "0001-01-01T00:00:00+23:59",
    "last moment": "9999-12-31T23:59:59-23:59",
    "half a character": "\udcff\ud800",
    "controls": "\x9b31m\u202e\ufeff\x1b]0;",
    "nothing": "",
    "another folder": "../../../etc/passwd",
    "a list": [[[]]],
    "true": True,
}
# What runs until it is stopped, or needs a terminal of its own.
ENDLESS = {("serve",), ("mcp",), ("watch",), ("demo",)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(Settings.load(data_dir=ingested(tmp_path_factory.mktemp("nasty")))) as running:
        assert running.post("/v1/ask", json={"question": "What is reranking?"}).status_code == 200
        yield running


def _ok(server: Server, method: str, path: str, tried: object, **sent: Any) -> None:
    reply = server.request(method, path, **sent)
    # 501: a part that is not installed; 502: an endpoint that is not there
    assert reply.status_code < 500 or reply.status_code in (501, 502), (method, path, tried, reply.text)


def _raw(value: Any) -> bytes:
    return json.dumps(value).encode()  # halves of characters as JSON's escapes


def _properties(schema: dict[str, Any], whole: dict[str, Any]) -> set[str]:
    """Return the names of the fields of a request, whatever its shape."""
    if "$ref" in schema:
        return _properties(whole["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], whole)
    several = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return set(schema.get("properties", ())).union(*(_properties(one, whole) for one in several))


SOUND = {
    "question": "What is reranking?",
    "query": "What is reranking?",
    "documents": ["one", "two"],
    "texts": ["one", "two"],
    "messages": [{"role": "user", "content": "What is reranking?"}],
    "model": "winnow",
    "rerank": "none",
    "specs": ["none"],
}


@pytest.mark.parametrize("nasty", NASTY.values(), ids=NASTY)
def test_no_route_fails_for_a_value(server: Server, nasty: Any) -> None:
    """Each field of each body, each parameter of each address; alone, the others being sound."""
    whole = server.get("/openapi.json").json()
    tried = 0
    for path, methods in whole["paths"].items():
        text = quote(str(nasty).encode("utf-8", "surrogatepass"), safe="")
        address = path
        while "{" in address:
            start, end = address.index("{"), address.index("}")
            address = f"{address[:start]}{text or 'x'}{address[end + 1 :]}"
        for method, described in methods.items():
            _ok(server, method, address, "address", content=b"")
            for parameter in described.get("parameters", ()):
                if parameter["in"] == "query":
                    _ok(server, method, f"{address}?{parameter['name']}={text}", parameter)
                    tried += 1
            content = described.get("requestBody", {}).get("content", {})
            for media, shape in content.items():
                names = _properties(shape["schema"], whole)
                if "json" not in media:
                    _ok(server, method, address, media, data=dict.fromkeys(names, text))
                    continue
                sound = {name: value for name, value in SOUND.items() if name in names}
                for name in names:
                    body = _raw({**sound, name: nasty})
                    _ok(server, method, address, name, content=body, headers={"content-type": media})
                    tried += 1
                for body in (_raw(nasty), _raw([nasty]), b"\xff\xfe", b"{" * 5000):
                    _ok(server, method, address, body[:20], content=body, headers={"content-type": media})
    assert tried > 80


@pytest.mark.parametrize("nasty", NASTY.values(), ids=NASTY)
def test_no_form_of_the_pages_fails_for_a_value(server: Server, nasty: Any) -> None:
    """The pages take the same values as forms, and in the query of their addresses."""
    fields = ("question", "rerank", "where", "collection", "good", "note", "grade", "specs", "last", "lang")
    [first] = server.get("/v1/answers?limit=1").json()["answers"]
    text = str(nasty).encode("utf-8", "surrogatepass")
    own = f"/answers/{first['id']}"
    pages = (
        "/",
        "/answers",
        own,
        f"{own}/replay",
        f"{own}/feedback",
        "/compare",
        "/collections",
        "/settings",
    )
    for path in (*pages, "/preferences", "/login", "/logout"):
        for name in fields:
            form = {"question": "What?", name: text.decode("latin-1")}
            _ok(server, "POST", path, name, data=form, headers={"origin": server.url})
            _ok(server, "GET", f"{path}?{name}={quote(text)}", name)


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, below in command.commands.items():
        yield from _commands(below, (*path, name))


def _lines(command: Any, nasty: str) -> Iterator[list[str]]:
    """Yield the words of a command with the value in the place of each of its parameters."""
    needed = [one for one in command.params if one.required]
    for chosen in command.params:
        if getattr(chosen, "is_flag", False) or chosen.name == "data_dir":
            continue
        options, arguments = [], []
        for one in {*needed, chosen}:
            value = nasty if one is chosen else "sound"
            if one.param_type_name == "argument":
                arguments.append(value)
            else:
                options.append(f"{one.opts[0]}={value}")
        yield [*options, "--", *arguments]


@pytest.mark.parametrize("nasty", [name for name, value in NASTY.items() if isinstance(value, int | str)])
def test_no_command_fails_for_a_value(tmp_path: Path, nasty: str) -> None:
    """Each option and argument of each command; every end is a message and a documented exit code."""
    data, tried = shell_folder(tmp_path), 0
    for path, command in _commands(get_command(app)):
        if path in ENDLESS:
            continue
        for words in _lines(command, str(NASTY[nasty])):
            own = [f"--data-dir={data}"] if any(one.name == "data_dir" for one in command.params) else []
            ended = CliRunner().invoke(app, [*path, *own, *words])
            assert ended.exception is None or isinstance(ended.exception, SystemExit), (
                path, words, ended.exc_info,
            )  # fmt: skip
            assert ended.exit_code in (0, 1, 2, 3, 4), (path, words)
            tried += 1
    assert tried > 150


def test_json_steers_no_terminal_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Controls and marks of direction are JSON's escapes, which a program reads as they were."""
    text = "a\x9b31m\u202eb\u200b\u2066\ufeff\x7f重 é\U000e0041"
    print_json({"title": text, text: 1})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"title": text, text: 1}
    assert [one for one in shown if one in "\x9b\u202e\u200b\u2066\ufeff\x7f\U000e0041"] == []
    assert "重 é" in shown
