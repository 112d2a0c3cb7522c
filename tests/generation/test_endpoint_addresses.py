"""Addresses, keys, headers and proxies of a chat endpoint, and that no secret of them is shown."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from generation.chat.client import OpenAIChat
from storage.errors import ChatError, MissingDependencyError
from tests.support.chat_client import QUESTION, asked, running, streamed
from tests.support.endpoint import Endpoint, Request, Response

KEY = "tidal-secret-4711-abcdef"


def test_no_credential_of_the_environment_is_sent(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key, organisation, header or address from the environment is never sent."""
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "leaked")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Leak: leaked\nAuthorization: Bearer leaked")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/leaked")
    asked(endpoint)
    running(endpoint, lambda chat: chat.models())
    assert [request.path for request in endpoint.requests] == ["/v1/chat/completions", "/v1/models"]
    for request in endpoint.requests:
        assert "authorization" not in request.headers
        assert not [value for value in request.headers.values() if "leaked" in value]


def test_the_key_that_is_handed_in_is_sent(endpoint: Endpoint) -> None:
    """Exactly the given key goes to the endpoint, as a bearer token."""
    asked(endpoint, api_key="given")
    assert endpoint.requests[0].headers["authorization"] == "Bearer given"


@pytest.mark.parametrize("base_url", ["not a url", "ftp://example.invalid/v1", "http://[::1"])
def test_an_address_that_is_none_is_a_chat_error(base_url: str) -> None:
    """An invalid base_url is refused with the setting's name."""

    async def running() -> None:
        chat = OpenAIChat.load(model="m", base_url=base_url, max_retries=0)
        try:
            await chat.complete(QUESTION, max_tokens=8)
        finally:
            await chat.aclose()

    with pytest.raises(ChatError) as caught:
        anyio.run(running)
    assert "llm.base_url" in caught.value.way_out


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": f"Incorrect API key provided: {KEY}"}},
        {"message": f"invalid token Bearer {KEY}"},
        {"detail": "x" * 290 + KEY},
        [{"error": {"message": f"key={KEY}"}}],
        f"<html><body>Denied: {KEY}</body></html>".encode(),
    ],
    ids=["openai", "bearer", "at the cut", "list", "html"],
)
def test_a_key_that_an_endpoint_echoes_is_masked(endpoint: Endpoint, body: Any) -> None:
    """Not the key, and no half of it, is in the error."""
    endpoint.reply = Response(status=401, body=body)
    with pytest.raises(ChatError) as caught:
        asked(endpoint, api_key=KEY)
    assert "tidal-secret" not in str(caught.value) + caught.value.way_out


def test_a_key_in_the_address_is_not_shown(endpoint: Endpoint) -> None:
    """The error names the address without the credential in its query."""
    with pytest.raises(ChatError, match="404") as caught:
        asked(endpoint, base_url=f"{endpoint.url}?api-key=quite-private-9&api-version=7")
    assert "quite-private" not in str(caught.value)
    assert "api-version=7" in str(caught.value)


@pytest.mark.parametrize("typed", ["/v1", "/v1/", "/v1/chat/completions", "", "/"])
def test_an_address_is_taken_as_people_type_it(endpoint: Endpoint, typed: str) -> None:
    """With or without /v1 and the path of the API; what answered is remembered."""
    endpoint.reply = "Fine."
    assert asked(endpoint, base_url=endpoint.root + typed, times=2).text == "Fine."
    assert [request.path for request in endpoint.requests[-2:]] == ["/v1/chat/completions"] * 2
    assert len(endpoint.requests) <= 3


def test_a_path_that_a_server_refuses_with_status_200_is_tried_with_a_version(endpoint: Endpoint) -> None:
    """LM Studio's way, whole and in a stream."""
    endpoint.routes["/chat/completions"] = lambda _request: Response(
        body={"error": "Unexpected endpoint or method. (POST /chat/completions)"}
    )
    endpoint.reply = "Fine."
    assert asked(endpoint, base_url=endpoint.root, times=2).text == "Fine."
    paths = [request.path for request in endpoint.requests]
    assert paths == ["/chat/completions", "/v1/chat/completions", "/v1/chat/completions"]
    assert "".join(map(str, streamed(endpoint, base_url=endpoint.root)[:-1])) == "Fine."


def test_a_path_that_is_not_there_is_named(endpoint: Endpoint) -> None:
    """The 404 says which address was asked."""
    with pytest.raises(ChatError, match=r"/proxy/v3/chat/completions"):
        asked(endpoint, base_url=f"{endpoint.root}/proxy/v3")


def test_headers_query_and_body_go_with_every_request(endpoint: Endpoint) -> None:
    """As Azure and thinking models want them; a query of the address survives."""
    path = "/openai/deployments/m/chat/completions"
    came: list[Request] = []

    def route(request: Request) -> str:
        came.append(request)
        return "Fine."

    for query in ("?api-version=2024-06-01&x=1", "?x=1&api-version=2024-06-01"):
        endpoint.routes[path + query] = route
    reply = asked(
        endpoint,
        base_url=f"{endpoint.root}/openai/deployments/m?api-version=2024-06-01",
        headers={"api-key": "azure-secret-key"},
        query={"x": "1"},
        body={"reasoning_effort": "low", "temperature": 1},
    )
    assert reply.text == "Fine."
    assert came[0].headers["api-key"] == "azure-secret-key"
    assert "authorization" not in came[0].headers
    assert (came[0].body["reasoning_effort"], came[0].body["temperature"]) == ("low", 1)


def test_a_redirection_is_followed_to_the_same_host_only(endpoint: Endpoint) -> None:
    """Passages go to no other host than the settings name."""
    moved = {"location": "http://elsewhere.invalid/v1/chat/completions"}
    endpoint.reply = Response(status=307, body={}, headers=moved)
    with pytest.raises(ChatError, match="307"):
        asked(endpoint)


def test_a_proxy_of_the_environment_is_not_for_the_loopback(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SOCKS proxy beside a local server does no harm; elsewhere its missing package is named."""
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    endpoint.reply = "Fine."
    assert asked(endpoint).text == "Fine."
    try:
        import socksio  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError) as caught:
            OpenAIChat.load(model="m", base_url="https://chat.invalid/v1")
        assert "winnow-rag[socks]" in caught.value.way_out


def test_the_models_of_an_endpoint_are_listed(endpoint: Endpoint) -> None:
    """Names, sorted."""
    endpoint.models = ["b", "a"]
    assert running(endpoint, lambda chat: chat.models()) == ["a", "b"]
