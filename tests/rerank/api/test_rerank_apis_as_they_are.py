"""The stage `api` against servers as they are: bad documents, errors, addresses, sizes."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.errors import SpecError
from storage.records import Candidate, Ranking
from tests.support.endpoint import Endpoint, Request, Response

TIDES = ["neap tides", "spring tides", "ebb"]
KEY = "tidal-secret-4711-abcdef"


def score(text: str) -> float:
    return 0.9 if "spring" in text else 1 / (10 + len(text))


def scored(request: Request) -> Response:
    found = [{"index": i, "relevance_score": score(one)} for i, one in enumerate(request.body["documents"])]
    return Response(body={"results": found})


def refusing(bad: Callable[[str], bool], code: int, body: Any) -> Callable[[Request], Response]:
    """A server that refuses a request because of one of its documents."""

    def reply(request: Request) -> Response:
        if any(map(bad, request.body["documents"])):
            return Response(status=code, body=body)
        return scored(request)

    return reply


def rank(url: str, texts: list[str], **parts: Any) -> Ranking:
    spec = f'api(profile=custom,url="{url}",retries=1)'
    chain = Chain.load(Spec.parse(spec), RerankParts(api_key=lambda _p: KEY, **parts))
    candidates = [Candidate.from_text(text, id=str(i)) for i, text in enumerate(texts)]
    return anyio.run(chain.rerank, "Which tide is highest?", candidates, len(texts))


LONG = "x" * 4000
BAD: dict[str, tuple[str, int, Any]] = {
    "too long": (LONG, 400, {"object": "error", "message": "maximum context length is 512 tokens"}),
    "too long, 422": (LONG, 422, {"detail": [{"loc": ["body", "documents", 1], "msg": "string too long"}]}),
    "too long, 500": (LONG, 500, {"error": {"message": "input (1200 tokens) is too large to process"}}),
    "empty": ("   ", 400, {"message": "all documents must be non-empty strings"}),
    "empty, zh": ("   ", 400, {"code": "InvalidParameter", "message": "文档不能为空"}),
}


@pytest.mark.parametrize("count", [3, 17])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_document_costs_itself_alone(endpoint: Endpoint, case: str, count: int) -> None:
    """All others have the server's own scores, and the outcome is partial."""
    text, code, body = BAD[case]
    endpoint.routes["/v1/rerank"] = refusing(lambda one: one == text, code, body)
    texts = [f"{TIDES[(i + 1) % 3]} {i}" for i in range(count)]
    texts[count // 2] = text
    ranking = rank(endpoint.root, texts)
    assert ranking.outcome.status == "partial"
    unscored = [one for one in ranking.candidates if "api" not in one.scores]
    assert [one.id for one in unscored] == [str(count // 2)]
    assert ranking.candidates[-1] == unscored[0]
    assert ranking.candidates[0].text.startswith("spring")


@pytest.mark.parametrize("profile", ["jina", "xinference", "vllm", "dashscope"])
def test_an_optional_field_that_is_refused_is_left_out_and_remembered(
    endpoint: Endpoint, profile: str
) -> None:
    """A strict server costs one call more, once, and no document is blamed."""

    def reply(request: Request) -> Response:
        fields = request.body.get("parameters", request.body)
        for name in ("top_n", "return_documents", "truncate_prompt_tokens"):
            if name in fields:
                told = [{"loc": ["body", name], "msg": "Extra inputs are not permitted"}]
                return Response(status=422, body={"detail": told})
        texts = request.body.get("input", request.body)["documents"]
        found = [{"index": i, "relevance_score": score(one)} for i, one in enumerate(texts)]
        return Response(body={"results": found})

    endpoint.routes["/rank"] = reply
    spec = f'api(profile={profile},url="{endpoint.root}/rank",retries=0)'
    chain = Chain.load(Spec.parse(spec), RerankParts(api_key=lambda _p: KEY))
    candidates = [Candidate.from_text(text, id=str(i)) for i, text in enumerate(TIDES)]
    for _ in range(2):
        ranking = anyio.run(chain.rerank, "Which tide is highest?", candidates, len(TIDES))
        assert (ranking.outcome.status, ranking.candidates[0].text[:6]) == ("ok", "spring")
    assert len(endpoint.requests) == 4


def test_a_refusal_without_a_word_blames_no_document(endpoint: Endpoint) -> None:
    """An empty body is no complaint about an empty document."""
    endpoint.routes["/v1/rerank"] = lambda _request: Response(status=400, body=b"")
    assert rank(endpoint.root, TIDES).outcome.status == "fallback"
    assert len(endpoint.requests) == 1


def test_a_request_that_is_refused_whatever_it_holds_is_given_up(endpoint: Endpoint) -> None:
    """Fifty documents are not asked for one by one where each alone is refused, too."""
    endpoint.routes["/v1/rerank"] = refusing(lambda _: True, 400, {"message": "bad input"})
    ranking = rank(endpoint.root, [f"tide {i}" for i in range(50)])
    assert ranking.outcome.status == "fallback"
    assert len(endpoint.requests) < 20


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "model is still loading"}, "model is still loading"),
        ({"results": [], "error": {"message": "model is still loading"}}, "model is still loading"),
        ({"code": 50000, "message": "quota is used up", "data": None}, "quota is used up"),
        ({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, "login fail"),
    ],
)
def test_an_error_with_status_200_is_told_in_its_own_words(
    endpoint: Endpoint, body: dict[str, Any], words: str
) -> None:
    """A reply without results holds the reason."""
    endpoint.routes["/v1/rerank"] = lambda _request: Response(body=body)
    assert words in rank(endpoint.root, TIDES).outcome.reason


def test_an_echoed_key_is_masked(endpoint: Endpoint) -> None:
    """Also where it lies across the end of what is shown."""
    from storage import secrets

    secrets.remember(KEY)
    endpoint.routes["/v1/rerank"] = lambda request: Response(
        status=401, body={"message": "x" * 185 + request.headers["authorization"]}
    )
    assert "tidal" not in rank(endpoint.root, TIDES).outcome.reason


def test_a_transport_that_fails_says_how() -> None:
    """A refused connection is named, at a number and at a name."""
    with Endpoint() as gone:
        root = gone.root
    for url in (root, root.replace("127.0.0.1", "localhost")):
        assert "refused" in rank(url, TIDES).outcome.reason.lower()


@pytest.mark.parametrize("typed", ["", "/", "/v1", "/v1/", "/v1/rerank"])
def test_an_address_is_taken_as_people_type_it(endpoint: Endpoint, typed: str) -> None:
    """With or without the path, or where the API begins."""
    endpoint.routes["/v1/rerank"] = scored
    assert rank(endpoint.root + typed, TIDES).outcome.status == "ok"


def test_a_query_of_the_address_survives(endpoint: Endpoint) -> None:
    """It goes with the request."""
    endpoint.routes["/v1/rerank?tenant=7"] = scored
    assert rank(f"{endpoint.root}/v1?tenant=7", TIDES).outcome.status == "ok"


@pytest.mark.parametrize("packed", [False, True])
def test_no_reply_is_read_beyond_its_limit(endpoint: Endpoint, packed: bool) -> None:
    """Neither a large one nor one that becomes large when it is unpacked; it is not asked for again."""
    whole = b" " * 5_000_000
    body, headers = (gzip.compress(whole), {"content-encoding": "gzip"}) if packed else (whole, {})
    endpoint.routes["/v1/rerank"] = lambda _request: Response(body=body, headers=headers)
    ranking = rank(endpoint.root, TIDES, max_reply_bytes=10_000)
    assert "larger than 10,000 bytes" in ranking.outcome.reason
    assert len(endpoint.requests) == 1


def test_half_a_character_costs_nothing_else(endpoint: Endpoint) -> None:
    """A lone surrogate cannot be sent, and is replaced."""
    endpoint.routes["/v1/rerank"] = scored
    assert rank(endpoint.root, ["spring\udfff", "ebb"]).outcome.status == "ok"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ('cross-encoder(model="no/such-model"):20,listwize:5', "did you mean 'listwise'"),
        ('cross-encoder(model="no/such-model"):20,listwise(windo=3)', "no option 'windo'"),
        ('cross-encoder(model="no/such-model"):20,fusion(of="late-interaction;listwize")', "listwise"),
    ],
)
def test_a_spec_is_checked_whole_before_a_model_is_looked_for(spec: str, said: str) -> None:
    """A slip in a later stage does not hide behind a missing model."""
    with pytest.raises(SpecError, match=said):
        Chain.load(Spec.parse(spec), RerankParts())


@pytest.mark.parametrize("constant", [0.5, 1e-20])
def test_scores_that_are_all_alike_are_worth_a_word(endpoint: Endpoint, constant: float) -> None:
    """A model that is no reranker, or is run as none, gives every passage the same."""
    endpoint.routes["/v1/rerank"] = lambda _request: Response(
        body={"results": [{"index": i, "relevance_score": constant * (1 + i * 1e-12)} for i in range(3)]}
    )
    assert "all passages alike" in rank(endpoint.root, TIDES).outcome.reason
    endpoint.routes["/v1/rerank"] = scored
    assert rank(endpoint.root, TIDES).outcome.reason == ""
