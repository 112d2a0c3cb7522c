"""Cohere's and Jina's face: `/v1/rerank` and `/v2/rerank`. Any winnow chain as a rerank API."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request

from winnow.app import portal
from winnow.app.json_model.answers import StageJson
from winnow.app.stages import warnings_of
from winnow.server.api.schemas_faces import RerankReply, RerankRequest
from winnow.server.documented import ASKING
from winnow.server.shared_state import State, in_thread

if TYPE_CHECKING:
    from rerank.texts import RankedText, RankedTexts
    from winnow.app.wiring import Wiring

router = APIRouter(tags=["Cohere's and Jina's face"])

_OWN = ("", "winnow")


@router.post("/v1/rerank", response_model=RerankReply, response_model_exclude_none=True, responses=ASKING)
@router.post("/v2/rerank", response_model=RerankReply, response_model_exclude_none=True, responses=ASKING)
async def rerank(asked: RerankRequest, request: Request, served: State) -> Any:
    """Order documents by a question, through any allowed rerank chain. Nothing is logged."""
    model = (asked.model or "").removeprefix("winnow/")
    own = model in _OWN
    served.policy.check_rerank(None if own else model)
    spec = served.pipeline.settings.rerank.spec if own else model
    ranked = await served.work(request, lambda: _ranked(served.pipeline.wiring, asked, spec))
    served.metrics.staged(ranked.outcomes)
    scores, whose = _scores(ranked.results)
    results = [
        {
            "index": one.index,
            "relevance_score": score,
            "document": {"text": one.text} if asked.return_documents else None,
        }
        for one, score in zip(ranked.results, scores, strict=True)
    ]
    stages = [StageJson.of(outcome) for outcome in ranked.outcomes]
    spent = sum(stage.prompt_tokens + stage.completion_tokens for stage in stages)
    return {
        "id": token_hex(16),
        "model": asked.model or "winnow",
        "results": results,
        "usage": {"total_tokens": spent},
        "meta": {
            "api_version": {"version": request.url.path.split("/")[1].removeprefix("v")},
            "billed_units": {"search_units": 0},
            "warnings": list(warnings_of(ranked.outcomes)),
            "winnow": {"spec": spec, "scores": whose, "stages": stages},
        },
    }


async def _ranked(wiring: Wiring, asked: RerankRequest, spec: str) -> RankedTexts:
    """Return the best `top_n`, or fewer if the spec keeps fewer."""
    from rerank.spec import Spec
    from rerank.texts import RankedTexts, rerank_texts

    texts = asked.texts
    top_n = min(asked.top_n or len(texts), len(texts))
    keeps = Spec.parse(spec).stages[-1].keep
    parts = await in_thread(lambda: wiring.rerank_parts(None, wiring.encoder))
    found = await portal.acall(
        lambda: rerank_texts(asked.query, texts, spec, parts, top_k=None if keeps else top_n)
    )
    return RankedTexts(found.results[:top_n], found.outcomes)


def _scores(results: Sequence[RankedText]) -> tuple[list[float], str]:
    """Return the last stage's scores if they give the order, otherwise ranks as numbers from 1 down."""
    own = [one.score for one in results if one.score is not None]
    if len(own) == len(results) and own == sorted(own, reverse=True):
        return own, "stage"
    return [1 - place / len(results) for place in range(len(results))], "rank"
