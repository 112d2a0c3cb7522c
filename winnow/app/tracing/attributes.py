"""Span attributes, named by OpenTelemetry's GenAI conventions and by OpenInference.

GenAI has no rerank operation yet; `rerank` and `gen_ai.rerank.*` follow the proposal for one. What people
wrote (questions, passages, prompts, answers, reasons) is included only with `content`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from storage.chat import Completion, Message
from storage.records import Answer, Candidate, Generation, Outcome, Ranking, Retrieval, Usage
from winnow.app.stages import SearchResult, Stages

Value = str | bool | int | float | Sequence[str] | Sequence[float]
Attributes = dict[str, Value]

KIND = "openinference.span.kind"


def asked(question: str, stages: Stages, content: bool) -> Attributes:
    """A question as it comes in."""
    return {
        KIND: "CHAIN",
        "gen_ai.data_source.id": stages.collection,
        "winnow.rerank": stages.rerank,
        **({"input.value": question} if content else {}),
    }


def answered(result: Answer | SearchResult, content: bool) -> Attributes:
    """The result of a question; an answer's id leads to its entry in the log."""
    if isinstance(result, SearchResult):
        return {"winnow.candidates": len(result.candidates)}
    return {
        "winnow.answer.id": result.id,
        "winnow.answered": result.answered,
        **_totals(result.usage),
        **({"output.value": result.text} if content else {}),
    }


def retrieving(question: str, collection: str, top_k: int, content: bool) -> Attributes:
    """A retrieval as it begins."""
    given: Attributes = {
        KIND: "RETRIEVER",
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": collection,
        "gen_ai.request.top_k": top_k,
    }
    return {**given, "gen_ai.retrieval.query.text": question, "input.value": question} if content else given


def retrieved(found: Retrieval, content: bool) -> Attributes:
    """A retrieval's candidates and outcome."""
    listed = [{"id": one.id, "score": one.scores.get("retrieval")} for one in found.candidates]
    return {
        **dict(_documents("retrieval.documents", found.candidates, "retrieval", content)),
        "gen_ai.retrieval.documents": json.dumps(listed),
        **outcome(found.outcome, content),
    }


def reranking(
    question: str, candidates: Sequence[Candidate], top_k: int, model: str, content: bool
) -> Attributes:
    """A rerank stage as it begins."""
    given: Attributes = {
        **dict(_documents("reranker.input_documents", candidates, None, content)),
        KIND: "RERANKER",
        "gen_ai.operation.name": "rerank",
        "gen_ai.request.model": model,
        "gen_ai.rerank.candidate.count": len(candidates),
        "gen_ai.rerank.top_n": top_k,
        "reranker.model_name": model,
        "reranker.top_k": top_k,
    }
    return {**given, "reranker.query": question} if content else given


def reranked(name: str, ranking: Ranking, content: bool) -> Attributes:
    """A rerank stage's candidates and outcome."""
    kept = ranking.candidates
    scores = [one.scores[name] for one in kept if name in one.scores]
    return {
        **dict(_documents("reranker.output_documents", kept, name, content)),
        **({"gen_ai.rerank.scores": scores} if scores else {}),
        **outcome(ranking.outcome, content),
    }


def generating(question: str, candidates: Sequence[Candidate], content: bool) -> Attributes:
    """The answerer as it begins."""
    given: Attributes = {KIND: "CHAIN", "winnow.passages": len(candidates)}
    return {**given, "input.value": question} if content else given


def generated(found: Generation, content: bool) -> Attributes:
    """The answerer's result."""
    said: Attributes = {
        "winnow.answerer": found.answerer,
        "winnow.answered": found.answered,
        "winnow.citations": len(found.citations),
        **outcome(found.outcome, content),
    }
    return {**said, "output.value": found.text} if content else said


def calling(model: str, messages: Sequence[Message], max_tokens: int, content: bool) -> Attributes:
    """A chat model's call as it begins."""
    given: Attributes = {
        KIND: "LLM",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",  # whose protocol it is
        "gen_ai.request.model": model,
        "gen_ai.request.max_tokens": max_tokens,
        "llm.model_name": model,
    }
    return {**given, **dict(_messages("llm.input_messages", messages))} if content else given


def called(completion: Completion, content: bool) -> Attributes:
    """A chat model's reply, its tokens and cost."""
    usage = completion.usage
    found: Attributes = {
        "gen_ai.response.model": completion.model,
        "gen_ai.response.finish_reasons": [completion.finish_reason],
        "llm.token_count.total": usage.prompt_tokens + usage.completion_tokens,
        "llm.token_count.prompt": usage.prompt_tokens,
        "llm.token_count.completion": usage.completion_tokens,
        **_totals(usage),
        **({} if usage.cost is None else {"llm.cost.total": usage.cost}),
    }
    reply = [Message("assistant", completion.text or completion.refusal)]
    return {**found, **dict(_messages("llm.output_messages", reply))} if content else found


def outcome(value: Outcome, content: bool) -> Attributes:
    """A stage's outcome. Its reason may quote a model or a server, and so is content."""
    found: Attributes = {
        "winnow.stage": value.name,
        "winnow.status": value.status,
        "winnow.calls": value.usage.calls,
        **_totals(value.usage),
        **({} if value.usage.cost is None else {"winnow.cost": value.usage.cost}),
    }
    return {**found, "winnow.reason": value.reason} if content and value.reason else found


def _totals(usage: Usage) -> Attributes:
    if not usage.calls:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }


def _documents(
    prefix: str, candidates: Sequence[Candidate], stage: str | None, content: bool
) -> Iterator[tuple[str, Value]]:
    """Passages, each with its score from `stage`, or its latest one.

    In reverse: a full span (128 attributes by default) drops the oldest.
    """
    for place in range(len(candidates) - 1, -1, -1):
        candidate, key = candidates[place], f"{prefix}.{place}.document"
        scores = candidate.scores
        score = next(reversed(list(scores.values())), None) if stage is None else scores.get(stage)
        if content:
            yield f"{key}.content", candidate.text
            where = {"source": candidate.chunk.source, "title": candidate.chunk.context}
            yield f"{key}.metadata", json.dumps(where, ensure_ascii=False)
        if score is not None:
            yield f"{key}.score", float(score)
        yield f"{key}.id", candidate.id


def _messages(prefix: str, messages: Sequence[Message]) -> Iterator[tuple[str, Value]]:
    for place, message in enumerate(messages):
        yield f"{prefix}.{place}.message.role", message.role
        yield f"{prefix}.{place}.message.content", message.content
