"""`winnow synthesize`: a model writes questions, passages or grades; what passes the checks is recorded.

Every reply goes into a journal at once. The file of records is a function of plan and journal: after a kill,
the same command asks for nothing that was paid for.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from rerank.llm.budget import CURRENT_METER, Meter
from rerank.llm.calls import CallCounts
from rerank.training.duplicates import Duplicates, folded
from rerank.training.records import RecordWriter, numbered_lines
from storage.errors import BadInputError
from storage.records import Usage
from winnow.app import portal
from winnow.lab.datasets.dataset import Question, drawn
from winnow.lab.datasets.reading import records, text_field
from winnow.lab.progress import Progress, silent
from winnow.lab.synthesis.context import Made, SynthesisContext
from winnow.lab.synthesis.plans import (
    LabelPlan,
    PassagePlan,
    QueryPlan,
    SynthesisEstimate,
    SynthesisPlan,
    SynthesisReport,
)
from winnow.lab.synthesis.recipes import LabelRecipe, PassageRecipe, QuestionRecipe

if TYPE_CHECKING:
    from storage.qdrant.contract import CollectionStore
    from storage.records import Chunk
    from winnow.app.wiring import Wiring

T = TypeVar("T")

_QUESTION_FIELDS = ("text", "query", "question")

Recipe = QuestionRecipe | PassageRecipe | LabelRecipe
# The method's name and the recipe of each plan.
_RECIPES: dict[type[SynthesisPlan], tuple[str, Callable[..., Recipe]]] = {
    QueryPlan: ("queries", QuestionRecipe),
    PassagePlan: ("passages", PassageRecipe),
    LabelPlan: ("labels", LabelRecipe),
}


def synthesize(
    plan: SynthesisPlan,
    wiring: Wiring,
    progress: Progress = silent,
    *,
    announce: Callable[[str], None] | None = None,
) -> SynthesisReport:
    """Ask the chat model as planned, and write the records to `plan.out`.

    `announce` gets the model's name before anything is asked. After an interruption (Ctrl-C, an error) the
    file has the finished records. Raises BadInputError, ChatError where the endpoint is no URL, and whatever
    loading models and collections raises.
    """
    started = time.perf_counter()
    with SynthesisContext.open(plan, wiring) as context:
        units = _units(plan, context)
        with RecordWriter(plan.out, keep_partial=True) as writer:
            run = _SynthesisRun(plan, context, writer)
            if announce is not None:
                announce(f"asking {context.chat.model} at {context.endpoint}")
            portal.call(run.over, units, progress)
    return run.report(len(units), time.perf_counter() - started)


def estimate(plan: SynthesisPlan, wiring: Wiring, progress: Progress = silent) -> SynthesisEstimate:
    """Estimate the calls and the cost of `synthesize`, without asking anything."""
    with SynthesisContext.open(plan, wiring) as context:
        return portal.call(_estimated, plan, context, _units(plan, context), progress)


@dataclass(slots=True)
class _SynthesisRun:
    """One run; results are taken in the order of the units."""

    plan: SynthesisPlan
    context: SynthesisContext
    writer: RecordWriter
    tally: CallCounts = field(default_factory=CallCounts)
    made: Made = field(default_factory=Made)
    known: Duplicates = field(default_factory=Duplicates)

    async def over(self, units: Sequence[Any], progress: Progress) -> None:
        meter = Meter(self.plan.budget)
        CURRENT_METER.set(meter)  # a reranker that checks keeps to the same budget
        method, make = _RECIPES[type(self.plan)]
        recipe = make(self.plan, self.context.run(self.plan, meter, self.tally))
        done = 0

        def take(made: Made) -> None:
            nonlocal done
            done += 1
            self._take(made)
            progress(f"synthesizing {method}", done, len(units))

        at_once = int(self.context.parts.limiter.total_tokens)
        await _in_order(units, recipe.make, take, at_once=at_once)

    def _take(self, made: Made) -> None:
        rejected = Counter[str]()
        for record in made.records:
            if self.known.seen(record.query):
                rejected["asked already"] += 1
            else:
                self.writer.write(record)
        self.made += Made(rejected=made.rejected + rejected, dropped=made.dropped, left=made.left)

    def report(self, units: int, seconds: float) -> SynthesisReport:
        failures = (f"{count} calls failed: {why}" for why, count in sorted(self.tally.failed.items()))
        return SynthesisReport(
            method=_RECIPES[type(self.plan)][0],
            model=self.context.chat.model,
            endpoint=self.context.endpoint,
            out=self.plan.out,
            units=units,
            kept=self.writer.count,
            rejected=dict(self.made.rejected),
            dropped=dict(self.made.dropped),
            left=self.made.left,
            stopped=self.tally.stopped,
            failed=self.tally.failed.total(),
            problems="; ".join(failures),
            usage=self.tally.usage,
            seconds=round(seconds, 3),
        )


async def _in_order(
    units: Iterable[T], make: Callable[[T], Any], take: Callable[[Made], None], *, at_once: int
) -> None:
    """Make from units concurrently; take the results in the units' order."""
    ready: dict[int, Made] = {}
    numbered = iter(enumerate(units))
    taken = 0

    async def work() -> None:
        nonlocal taken
        for number, unit in numbered:  # shared: each worker takes the next
            ready[number] = await make(unit)
            while taken in ready:
                take(ready.pop(taken))
                taken += 1

    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(work)
    except ExceptionGroup as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group


async def _estimated(
    plan: SynthesisPlan, context: SynthesisContext, units: Sequence[Any], progress: Progress
) -> SynthesisEstimate:
    method, make = _RECIPES[type(plan)]
    recipe = make(plan, context.run(plan, Meter(plan.budget), CallCounts()))
    most, paid = Usage(), 0
    for done, unit in enumerate(units, start=1):
        for request in await recipe.requests(unit):
            known = context.journal.recalled(request) is not None
            paid += known
            most += Usage() if known else request.most
        progress("estimating", done, len(units))
    return SynthesisEstimate(
        method=method,
        model=context.chat.model,
        endpoint=context.endpoint,
        units=len(units),
        calls=most.calls,
        paid=paid,
        prompt_tokens=most.prompt_tokens,
        completion_tokens=most.completion_tokens,
        cost=None if context.price is None else round(context.price.of(most), 6),
    )


def _units(plan: SynthesisPlan, context: SynthesisContext) -> Sequence[Any]:
    """The passages or questions to work on, or a sample of them."""
    if isinstance(plan, PassagePlan | LabelPlan):
        return drawn(_read_questions(plan.questions), plan.sample, plan.seed)
    if isinstance(plan, QueryPlan) and context.store is not None:
        return drawn(_passages(plan, context.store), plan.sample, plan.seed)
    raise BadInputError(f"{type(plan).__name__} is not a plan for synthesis")


def _passages(plan: QueryPlan, store: CollectionStore) -> Sequence[Chunk]:
    """Passages long enough to ask about, each text once, in the order of documents."""
    every = sorted(store.chunks(), key=lambda chunk: (chunk.source, chunk.ordinal, chunk.id))
    long = [chunk for chunk in every if sum(c.isalnum() for c in chunk.text) >= plan.min_letters]
    if not long:
        raise BadInputError(
            f"the collection {store.name!r} has no passage of {plan.min_letters} letters or more",
            way_out="Ingest more, or lower --min-letters.",
        )
    first = {folded(chunk.text): chunk for chunk in reversed(long)}
    return [chunk for chunk in long if first[folded(chunk.text)] is chunk]


def _read_questions(path: Path) -> list[Question]:
    """The questions of a file without (near) duplicates; the id is empty where the file gives none.

    `.jsonl` lines have `text`, `query` or `question`, and maybe `id` or `_id`; any other file has a question
    per line. Raises BadInputError, which names the line.
    """
    structured = {".jsonl", ".json"} & set(path.suffixes)
    every = (
        _structured(path) if structured else [Question("", line.strip()) for _, line in numbered_lines(path)]
    )
    known = Duplicates()
    fresh = [question for question in every if not known.seen(question.text)]
    if not fresh:
        raise BadInputError(f"{path} holds no question")
    return fresh


def _structured(path: Path) -> list[Question]:
    found = []
    for number, record in records(path):
        name = text_field(path, number, record, "id", "_id") if {"id", "_id"} & record.keys() else ""
        names = [name for name in _QUESTION_FIELDS if name in record] or _QUESTION_FIELDS
        text = text_field(path, number, record, *names)
        if text.strip():
            found.append(Question(name, text))
    return found
