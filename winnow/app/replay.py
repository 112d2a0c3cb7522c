"""Replays a logged answer: runs its own candidates through another chain, without a vector store.

A stage that the new chain shares with the logged one, under the same conditions, takes its logged ranks and
scores, and so gives the same ranking at no cost. Any other stage is computed again, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rerank.spec import Spec, Stage
from storage.errors import BadInputError, SpecError
from storage.reasons import Reason
from storage.records import Answer, Candidate, part_name
from winnow.app import asking
from winnow.app.asked import Asked
from winnow.app.conversation import Conversation
from winnow.app.in_parts.dividing import logged_division
from winnow.app.logged import (
    EncodedPassages,
    LoggedDivider,
    LoggedExpander,
    LoggedRetriever,
    LoggedRewriter,
    LoggedStage,
    LoggedStages,
    part_of,
    retrieved,
)
from winnow.app.stages import Stages

if TYPE_CHECKING:
    from rerank.base import Reranker
    from winnow.app.wiring import Wiring

# What held before a condition was recorded.
_UNRECORDED = {"instruction": "none", "cross_encoder_zh": "none"}
# The usual persistence: the first five places carry about two thirds of the weight.
PERSISTENCE = 0.9


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """Return the share (0 to 1) of the longer ranking that both contain; 1 for two empty ones."""
    longer = max(len(one), len(other))
    return len(set(one) & set(other)) / longer if longer else 1.0


def rank_biased_overlap(one: Sequence[str], other: Sequence[str], p: float = PERSISTENCE) -> float:
    """Extrapolated rank-biased overlap, RBO_ext (Webber, Moffat & Zobel 2010, eq. 23), for equal depths.

    0 (nothing shared) to 1 (the same); the top weighs most. Rankings of unequal length are compared to the
    shorter one's depth; two empty ones are the same.
    """
    depth = min(len(one), len(other))
    if depth == 0:
        return 1.0 if len(one) == len(other) else 0.0
    shared = [len(set(one[:d]) & set(other[:d])) for d in range(1, depth + 1)]
    weighted = sum(count / d * p**d for d, count in enumerate(shared, start=1))
    return shared[-1] / depth * p**depth + (1 - p) / p * weighted


@dataclass(frozen=True, slots=True)
class Replay:
    """An answer and its replay; `recomputed` gives the reason for each stage that was computed again."""

    original: Answer
    answer: Answer
    recomputed: Mapping[str, Reason]

    @property
    def overlap(self) -> float:
        """Share (0 to 1) of the final passages that both have."""
        return overlap(_ids(self.original), _ids(self.answer))

    @property
    def rbo(self) -> float:
        """Rank-biased overlap (0 to 1) of the two final rankings."""
        return rank_biased_overlap(_ids(self.original), _ids(self.answer))


async def replay(
    original: Answer,
    wiring: Wiring,
    *,
    rerank: str | None = None,
    answerer: str | None = None,
    top_k: int | None = None,
    scores_of: str = "",
) -> Replay:
    """Run the logged candidates through a chain (default: the logged one) and an answerer.

    The answer has a new id and is not logged here. `scores_of`: see `LogReader.scores_of`. Raises SpecError
    if the spec does not parse, or if the logged one was a user's own reranker.
    """
    keep = top_k or original.top_k_rerank
    spec = _spec(rerank or original.rerank, keep)
    encoders = wiring.present_encoders(original.collection)
    conditions = wiring.conditions(encoders.dense)
    division = logged_division(original.stages)
    parts = division.questions if division and division.each else ()
    recomputed, logged = _split_parts(original, spec, conditions, parts)
    candidates = retrieved(original)
    vectors = EncodedPassages(encoders.dense, [*candidates, *map(Candidate, original.neighbours)])
    reach = int(original.fingerprints.get("expand", 0))
    chain = wiring.chain(spec, vectors, encoders.dense, ready=logged, scores_of=scores_of)
    stages = Stages(
        retriever=LoggedRetriever(candidates, division.questions if division else ()),
        reranker=chain,
        generator=wiring.generator(
            vectors, encoders, answerer or _answerer(original), scored_by=chain.scored_by
        ),
        collection=original.collection,
        rerank=rerank or original.rerank,
        fingerprints={**original.fingerprints, **conditions},
        rewriter=LoggedRewriter(original),
        expander=LoggedExpander(original, reach) if reach else None,
        divider=LoggedDivider(division),
        answers_parts=wiring.answers_parts(answerer or _answerer(original)),
    )
    asked = Asked(original.question, max(1, len(candidates)), keep, rerank=rerank, answerer=answerer)
    with wiring.tracing.question("replay", asked.question, stages) as traced:
        answer = await asking.ask(asked, traced.stages, _followed(original))
        traced.done(answer)
    return Replay(original, replace(answer, top_k_retrieve=original.top_k_retrieve), recomputed)


def beside(original: Answer, answer: Answer) -> Replay:
    """Return a logged replay with its original, as `replay` did when it was made."""
    try:
        spec = Spec.parse(answer.rerank)
    except SpecError:  # its strategy's package is gone
        return Replay(original, answer, {})
    # its fingerprints hold the conditions under which it ran
    division = logged_division(original.stages)
    parts = division.questions if division and division.each else ()
    recomputed, _ = _split_parts(original, spec, answer.fingerprints, parts)
    return Replay(original, answer, recomputed)


def _followed(original: Answer) -> Conversation | None:
    """Return the conversation of a follow-up, which keeps its logged rewrite."""
    return None if original.follow_up is None else Conversation((), original.follow_up.answer_id)


def _split_parts(
    original: Answer, spec: Spec, conditions: Mapping[str, str], parts: Sequence[str]
) -> tuple[dict[str, Reason], dict[str, Reranker]]:
    """`_split`; of a question in parts, a stage that one of them needs again is computed again for all."""
    if not parts:
        return _split(original, spec, conditions)
    views = [part_of(original, n, part) for n, part in enumerate(parts, start=1)]
    splits = [_split(view, spec, conditions)[0] for view in views]
    again = {name: reason for split in splits for name, reason in split.items()}
    first = min((spec.names.index(name) for name in again), default=len(spec.names))
    recomputed = {
        f"{part_name(n)}.{name}": again[name] for n in range(1, len(parts) + 1) for name in spec.names[first:]
    }
    return recomputed, {name: LoggedStages(name, views) for name in spec.names[:first]}


def _split(
    original: Answer, spec: Spec, conditions: Mapping[str, str]
) -> tuple[dict[str, Reason], dict[str, Reranker]]:
    """Return the stages to compute again, each with its reason, and those that the log can give."""
    try:
        before = Spec.parse(original.rerank)
    except SpecError:  # a user's own reranker
        before = Spec(())
    outcomes = {outcome.name: outcome for outcome in original.stages}
    recomputed: dict[str, Reason] = {}
    logged: dict[str, Reranker] = {}
    for place, (name, stage) in enumerate(zip(spec.names, spec.stages, strict=True)):
        changed = [
            Reason(
                "winnow.app.changed-condition",
                what=what,
                before=original.fingerprints.get(what, _UNRECORDED.get(what, "")),
                now=now,
            )
            for what, now in conditions.items()
            if original.fingerprints.get(what, _UNRECORDED.get(what, now)) != now and _matters(what, stage)
        ]
        if recomputed:
            recomputed[name] = Reason("winnow.app.earlier-stage-recomputed")
        elif place >= len(before.stages) or before.stages[place].name != stage.name:
            recomputed[name] = Reason("winnow.app.not-in-logged-chain")
        elif before.stages[place].options != stage.options:
            then = str(before.stages[place])
            recomputed[name] = Reason("winnow.app.changed-options", before=then, now=str(stage))
        elif name not in outcomes or outcomes[name].status == "fallback":
            recomputed[name] = Reason("winnow.app.fell-back-then")
        elif changed:
            recomputed[name] = Reason("winnow.app.changed-since", changes=changed)
        else:
            logged[name] = LoggedStage(name, original)
    return recomputed, logged


def _matters(what: str, stage: Stage) -> bool:
    """False for other cross-encoders, or an instruction, where the stage has none."""
    if what == "instruction":
        return stage.name in ("cross-encoder", "api", "decision") or "read" in dict(stage.options)
    reads = stage.name == "cross-encoder" or "read" in dict(stage.options)
    return reads or not what.startswith("cross_encoder")


def _spec(text: str, top_k: int) -> Spec:
    try:
        return Spec.parse(text, top_k=top_k)
    except SpecError as error:
        raise SpecError(str(error), way_out=error.way_out or "Name the chain: --rerank SPEC") from error


def _answerer(original: Answer) -> str:
    if original.answerer == "extractive":
        return "extractive"
    if not original.prompt:  # no chat model of ours answered: nothing may be sent to one unasked
        raise BadInputError(
            f"answer {original.id} was given by {original.answerer!r}, which cannot be asked again",
            way_out="Choose who answers the replay: --answerer extractive, or --answerer openai.",
        )
    return "openai"


def _ids(answer: Answer) -> list[str]:
    return [candidate.id for candidate in answer.final]
