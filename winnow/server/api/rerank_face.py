"""Any winnow chain as a rerank API at `/rerank`, `/v1/rerank`, `/v2/rerank`: Cohere's, Jina's, Voyage's.

At `/rerank`, `texts` instead of `documents` make it the shape of Text Embeddings Inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request

from winnow.app import portal
from winnow.app.json_model.answers import StageJson
from winnow.app.stages import warnings_of
from winnow.server.api.schemas_faces import RerankReply, RerankRequest, TeiRequest, TeiResult
from winnow.server.documented import ASKING
from winnow.server.shared_state import Seen, State, in_thread
from winnow.server.visible import Visible

if TYPE_CHECKING:
    from rerank.texts import RankedText, RankedTexts

router = APIRouter(tags=["Rerank APIs' faces"])

_OWN = ("", "winnow")


@router.post("/v1/rerank", response_model=RerankReply, response_model_exclude_none=True, responses=ASKING)
@router.post("/v2/rerank", response_model=RerankReply, response_model_exclude_none=True, responses=ASKING)
async def rerank(asked: RerankRequest, request: Request, served: State, seen: Seen) -> Any:
    """Order documents by a question, through any allowed rerank chain. Nothing is logged."""
    return await _reply(asked, request, served, seen)


@router.post(
    "/rerank",
    response_model=RerankReply | list[TeiResult],
    response_model_exclude_none=True,
    responses=ASKING,
)
async def rerank_either(
    asked: RerankRequest | TeiRequest, request: Request, served: State, seen: Seen
) -> Any:
    """Order documents as above, or `texts` as Text Embeddings Inference does. Nothing is logged."""
    if isinstance(asked, RerankRequest):
        return await _reply(asked, request, served, seen)
    whole = RerankRequest(query=asked.query, documents=list(asked.texts))
    found = await _reply(whole, request, served, seen)
    return [
        {
            "index": one["index"],
            "score": one["relevance_score"],
            "text": asked.texts[one["index"]] if asked.return_text else None,
        }
        for one in found["results"]
    ]


async def _reply(asked: RerankRequest, request: Request, served: State, seen: Visible) -> dict[str, Any]:
    model = (asked.model or "").removeprefix("winnow/")
    own = model in _OWN
    served.policy.check_rerank(None if own else model)
    spec = served.pipeline.settings.rerank.spec if own else model
    ranked = await served.work(request, lambda: _ranked(seen, asked, spec))
    served.metrics.staged(ranked.outcomes)
    scores, whose = _scores(ranked.results)
    wanted = asked.return_documents
    results = [
        {
            "index": one.index,
            "relevance_score": score,
            "document": {"text": one.text} if wanted else None,
        }
        for one, score in zip(ranked.results, scores, strict=True)
    ]
    voyage: dict[str, Any] = {}
    if asked.top_k is not None or asked.truncation is not None:
        data = [
            {"index": one.index, "relevance_score": score, "document": one.text if wanted else None}
            for one, score in zip(ranked.results, scores, strict=True)
        ]
        voyage = {"object": "list", "data": data}
    stages = [StageJson.of(outcome) for outcome in ranked.outcomes]
    spent = sum(stage.prompt_tokens + stage.completion_tokens for stage in stages)
    return {
        "id": token_hex(16),
        "model": asked.model or "winnow",
        "results": results,
        **voyage,
        "usage": {"total_tokens": spent},
        "meta": {
            "api_version": {"version": "1" if request.url.path.startswith("/v1") else "2"},
            "billed_units": {"search_units": 0},
            "warnings": list(warnings_of(ranked.outcomes)),
            "winnow": {"spec": spec, "scores": whose, "stages": stages},
        },
    }


async def _ranked(seen: Visible, asked: RerankRequest, spec: str) -> RankedTexts:
    """Return the best `top_n`, or fewer if the spec keeps fewer."""
    from rerank.spec import Spec
    from rerank.texts import RankedTexts, rerank_texts

    texts = asked.texts
    top_n = min(asked.top_n or asked.top_k or len(texts), len(texts))
    keeps = Spec.parse(spec).stages[-1].keep
    wiring, scores_of = seen.wiring, seen.rights.reader.scores_of
    parts = await in_thread(lambda: wiring.rerank_parts(None, wiring.encoder, scores_of=scores_of))
    found = await portal.acall(
        lambda: rerank_texts(asked.query, texts, spec, parts, top_k=None if keeps else top_n)
    )
    return RankedTexts(found.results[:top_n], found.outcomes)


def _scores(results: Sequence[RankedText]) -> tuple[list[float], str]:
    """Return the last stage's scores if they give the order, otherwise ranks as numbers from 1 down.

    A document that the stage could not score has one that fits its place: between its neighbours', or below
    the last.
    """
    own = [one.score for one in results if one.score is not None]
    if not own or own != sorted(own, reverse=True):
        return [1 - place / len(results) for place in range(len(results))], "rank"
    scores: list[float] = []
    for place, one in enumerate(results):
        following = next((other.score for other in results[place:] if other.score is not None), None)
        if one.score is not None:
            scores.append(one.score)
        elif following is None:
            scores.append(min(0.0, own[-1] - 1))
        else:
            scores.append((scores[-1] + following) / 2 if scores else following)
    return scores, "stage"
