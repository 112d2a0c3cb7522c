"""The settings page: values in effect with their origin, health, and no secrets."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from retrieval.models.hub import DEFAULT_MODEL
from storage.secrets import masked
from tests.support.serving import Server, ingested, serving
from winnow import Settings
from winnow.server.pages.settings import memory
from winnow.server.pages.views.in_effect import in_effect

pytestmark = pytest.mark.heavy

HTML = {"accept": "text/html"}
SECRETS = ("sk-very-secret", "co-very-secret", "hunter2")


def _row(text: str, key: str) -> str:
    """Return a setting's row in the table of its section, without markup."""
    rows = re.findall(r"<tr><th scope=\"row\".*?</tr>", text, re.DOTALL)
    [last] = [row for row in rows if f"<code>{key}</code>" in row][-1:]
    return " ".join(re.sub(r"<[^>]+>", " ", last).split())


def _page(server: Server, **query: str) -> str:
    reply = server.get("/settings", params=query or None, headers=HTML)
    assert reply.status_code == 200, reply.text
    return reply.text


def test_every_setting_is_there_with_its_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting has its value and origin, with changed ones first."""
    Path("winnow.toml").write_text('profile = "local"\n[server]\nqueue = 7\n', "utf-8")
    monkeypatch.setenv("WINNOW_RETRIEVAL__TOP_K", "40")
    with serving(Settings.load(data_dir=tmp_path / "data", collection="论文")) as server:
        text = _page(server)
    for section, value in server.pipeline.settings.model_dump().items():
        keys = [f"{section}.{name}" for name in value] if isinstance(value, dict) else [section]
        assert all(f"<code>{key}" in text for key in keys), section
    assert _row(text, "server.queue") == "server.queue 7 winnow.toml"
    assert _row(text, "retrieval.top_k") == "retrieval.top_k 40 environment"
    assert _row(text, "collection") == "collection 论文 flag"
    assert _row(text, "rerank.top_k") == "rerank.top_k 5 default"
    assert _row(text, "store.url") == "store.url not set default"
    assert _row(text, "log.enabled") == "log.enabled true default"
    assert text.index("<code>server.queue</code>") < text.index("[store]")


def test_no_secret_is_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys show only whether they are set, and passwords in addresses are masked everywhere."""
    monkeypatch.setenv("WINNOW_LLM__API_KEY", SECRETS[0])
    sections = {
        "rerank": {"api_keys": {"cohere": SECRETS[1]}, "spec": f"none(x='{SECRETS[1]}')"},
        "llm": {"base_url": f"http://bob:{SECRETS[2]}@127.0.0.1:9/v1"},
        "answer": {"answerer": "openai"},
        "server": {"specs": [f'api(url="http://bob:{SECRETS[2]}@localhost/")']},
    }
    shown = in_effect(settings := Settings.load(**sections), lambda text: text.replace(SECRETS[1], "***"))
    assert not [one for section in shown.values() for one in section if any(s in str(one) for s in SECRETS)]
    keys = {one.key: one.secret for section in shown.values() for one in section}
    assert (keys["llm.api_key"], keys["rerank.api_keys.cohere"], keys["store.api_key"]) == (True, True, False)
    assert SECRETS[0] in settings.secrets()
    del sections["server"], sections["rerank"]["spec"]
    with serving(Settings.load(data_dir=tmp_path / "data", **sections)) as server:
        for query in ({}, {"lang": "zh"}):
            text = _page(server, **query)
            assert not [secret for secret in SECRETS if secret in text]
        assert _row(_page(server, lang="en"), "llm.api_key") == "llm.api_key set, not shown environment"
        assert "http://***@127.0.0.1:9/v1" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:pw@db/winnow", "postgresql://***@db/winnow"),
        ("https://token@host:1/path?x=a@b", "https://***@host:1/path?x=a@b"),
        ("http://localhost:6333", "http://localhost:6333"),
        ("someone@example.org, http://a/b@c", "someone@example.org, http://a/b@c"),
        (
            'api(url="http://u:p@h/"), api(url="http://u:p@i/")',
            'api(url="http://***@h/"), api(url="http://***@i/")',
        ),
    ],
)
def test_addresses_lose_who_asks(text: str, shown: str) -> None:
    """Addresses lose their credentials and nothing else."""
    assert masked(text) == shown


def test_health_says_what_would_not_work(tmp_path: Path) -> None:
    """Health shows doctor's quick findings, work in progress, paths and models, all as text."""
    data = ingested(tmp_path / "<b>folder")
    with serving(Settings.load(data_dir=data, collection="absent")) as server:
        text = _page(server)
        assert "Ready: models are loaded" in text
        assert "none is called &#39;absent&#39;" in text
        assert "English and Chinese" in text
        assert html.escape(str(data / "uploads")) in text
        assert "<b>folder" not in text
        assert "0 of 8" in text
        assert "0 of 64" in text
        assert DEFAULT_MODEL in text
        assert "<form" not in text.split("<main")[1]  # nothing can be changed
        assert "当前设置" in _page(server, lang="zh")


def test_memory_is_the_systems_own_figure(tmp_path: Path) -> None:
    """Memory is the system's figure in bytes, or absent if the system gives none."""
    status = tmp_path / "status"
    assert memory(status) is None
    status.write_text("Name:\twinnow\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n", "utf-8")
    assert memory(status) == (1 << 20, 2 << 20)
    status.write_text("Name:\twinnow\n", "utf-8")
    assert memory(status) is None


def test_health_speaks_the_readers_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Chinese, every name, finding and advice is; what stays are names, versions, paths and commands."""
    monkeypatch.setenv("JINA_API_KEY", SECRETS[1])
    monkeypatch.setenv("WINNOW_LLM__API_KEY", SECRETS[2])
    (data := tmp_path / SECRETS[2]).mkdir(mode=0o755)
    settings = Settings.load(data_dir=data, answer={"answerer": "openai"})
    with serving(settings) as server:
        english, chinese = _page(server, lang="en"), _page(server, lang="zh")
    assert [name for name, *_ in _checks(english)] == [
        *("versions", "encoder", "store", "log", "chat model", "disk", "privacy", "keys")
    ]
    told = _checks(chinese)
    assert [name for name, *_ in told] == [
        *("版本", "编码器", "存储", "日志", "对话模型", "磁盘", "隐私", "密钥")
    ]
    for _, *texts in told:
        assert texts
        for text in texts:
            assert re.search("[\u4e00-\u9fff]", text)
            assert SECRETS[2] not in text
    assert "；还没有文档库" in told[2][1]
    assert told[2][2] == "运行 winnow ingest PATH 即可建立。"
    # no English sentence: four words in a row that are no command's
    assert not re.findall(r"(?:\b[a-z]+ ){3}[a-z]+\b", " ".join(text for _, *texts in told for text in texts))


def _checks(page: str) -> list[list[str]]:
    """Return name, finding and advice, if there is any, of every check on the page."""
    found = re.findall(r'<strong>(.*?)</strong> (.*?)(?:<p class="hint">(.*?)</p>)?</div>', page)
    return [[html.unescape(part) for part in check if part] for check in found]
