"""Settings: precedence of the sources, and errors that name the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.errors import BadInputError, SettingsError
from winnow.app.reranking import rerank
from winnow.app.settings import Settings


def test_flags_win_over_environment_over_file_over_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source overrides the ones below it, key by key."""
    Path("winnow.toml").write_text(
        'profile = "openai"\ncollection = "from-file"\n[rerank]\ntop_k = 7\n[retrieval]\ntop_k = 40\n'
    )
    monkeypatch.setenv("WINNOW_RERANK__TOP_K", "8")
    settings = Settings.load(retrieval={"top_k": 30})
    assert settings.retrieval.top_k == 30
    assert settings.rerank.top_k == 8
    assert settings.collection == "from-file"
    assert settings.rerank.spec == "none:20,diversity(weight=0),listwise"
    assert settings.answer.answerer == "openai"


def test_without_anything_the_default_is_local() -> None:
    """Without settings everything is local, and the default reranker is used."""
    settings = Settings.load()
    assert settings.answer.answerer == "extractive"
    assert settings.rerank.spec == "balanced"
    assert settings.store.url is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colection = 'x'", "colection"),
        ("[rerank]\nspek = 'x'", "rerank.spek"),
        ("[rerank]\ntop_k = 0", "rerank.top_k"),
        ("profile = 'fast'", "profile"),
        ("[rerank", "winnow.toml"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, named: str) -> None:
    """A mistake in the file is an error that names the key."""
    Path("winnow.toml").write_text(text)
    with pytest.raises(SettingsError, match=named.replace(".", r"\.")):
        Settings.load()


def test_a_key_never_appears_in_an_error_or_a_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key never appears in an error or a dump, even if it is invalid."""
    monkeypatch.setenv("WINNOW_LLM__API_KEY", "sk-secret")
    settings = Settings.load()
    assert "sk-secret" not in repr(settings)
    assert "sk-secret" not in settings.model_dump_json()
    assert settings.chat_api_key() == "sk-secret"
    with pytest.raises(SettingsError) as caught:
        Settings.load(llm={"api_key": ["sk-other"]})
    assert "sk-other" not in str(caught.value)


def test_a_key_in_the_environment_alone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """OPENAI_API_KEY is seen and mentioned; the answerer stays extractive."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-lying-around")
    settings = Settings.load()
    assert settings.answer.answerer == "extractive"
    assert settings.unused_keys() == ["OPENAI_API_KEY"]
    assert Settings.load(answer={"answerer": "openai"}).unused_keys() == []


def test_a_data_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """A data folder that cannot be created is an error with the path and the flag that helps."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="data folder") as caught:
        Settings.load(data_dir=tmp_path / "file" / "below").make_data_dir()
    assert "--data-dir" in caught.value.way_out


def test_where_a_value_came_from_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value's origin is the strongest source that set it; a section counts for its parts."""
    Path("winnow.toml").write_text(
        'profile = "openai"\n[rerank]\ntop_k = 7\n[rerank.budget]\nmax_calls = 3\n[server]\nport = 1\n'
    )
    monkeypatch.setenv("WINNOW_RERANK__TOP_K", "8")
    monkeypatch.setenv("WINNOW_SERVER", '{"names": ["a.example"]}')
    settings = Settings.load(server={"port": 2}, collection="x")
    Path("winnow.toml").unlink()
    wanted = {
        "collection": "flag",
        "server.port": "flag",
        "server.names": "environment",
        "rerank.top_k": "environment",
        "rerank.budget.max_calls": "file",
        "rerank.budget": "file",
        "rerank.budget.max_cost": "default",
        "profile": "file",
        "answer.answerer": "profile",
        "answer": "profile",
        "answer.order": "default",
        "llm.model": "default",
    }
    assert {key: settings.origin(key) for key in wanted} == wanted


def test_headers_and_keys_in_an_address_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are known, so that they are masked wherever an endpoint echoes them, and never shown."""
    monkeypatch.setenv("WINNOW_LLM__HEADERS", '{"api-key": "azure-secret-key"}')
    settings = Settings.load(
        llm={
            "base_url": "https://llm.invalid/v1?key=in-the-address&api-version=2024-06-01",
            "query": {"sig": "in-the-query", "api-version": "2024-06-01"},
        }
    )
    found = settings.secrets()
    assert {"azure-secret-key", "in-the-address", "in-the-query"} <= found
    assert "2024-06-01" not in found
    assert "azure-secret-key" not in repr(settings) + settings.model_dump_json()
    with pytest.raises(SettingsError) as caught:
        Settings.load(llm={"headers": {"x": ["hidden-value"]}})
    assert "hidden-value" not in str(caught.value)


def test_a_body_cannot_replace_the_question() -> None:
    """What winnow itself sets is refused, and named."""
    assert Settings.load(llm={"body": {"reasoning_effort": "low"}}).llm.body == {"reasoning_effort": "low"}
    with pytest.raises(SettingsError, match="messages, stream"):
        Settings.load(llm={"body": {"stream": True, "messages": []}})


@pytest.mark.parametrize("spec", ["listwise", "pointwise", "setwise", "none:2,tournament"])
def test_without_key_and_address_a_language_model_is_refused(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent: no passage leaves the machine only to be refused."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(SettingsError, match="needs an API key") as caught:
        rerank("Which tide?", ["neap", "spring"], spec, settings=Settings.load())
    assert "llm.base_url" in caught.value.way_out


@pytest.mark.parametrize("texts", [["a", None], [1], [{"text": "a"}]])
def test_documents_that_are_no_texts_are_refused(texts: list[Any]) -> None:
    """By name, before a strategy sees them."""
    with pytest.raises(BadInputError, match="each document must be a text"):
        rerank("Which tide?", texts, "none")
    with pytest.raises(BadInputError, match="top_k"):
        rerank("Which tide?", ["a"], "none", top_k=0)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("", None),
        ("http://a:6333", "http://a:6333"),
        (["http://a:6333", "http://b:6333"], "http://a:6333, http://b:6333"),
    ],
)
def test_the_address_of_a_server_may_be_several_or_empty(given: object, url: str | None) -> None:
    """A list of addresses is one text with commas; an empty text means the embedded store."""
    assert Settings.load(store={"url": given}).store.url == url


def test_an_empty_address_in_the_environment_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set to nothing does not count."""
    monkeypatch.setenv("WINNOW_STORE__URL", "")
    assert Settings.load().store.url is None
