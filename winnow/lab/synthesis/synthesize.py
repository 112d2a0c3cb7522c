"""`winnow synthesize`: a model writes questions, passages or grades; what can be trusted becomes records.

Every reply goes into a journal as soon as it is there. The file of records is a function of plan and
journal: a run that was killed is run again, and asks for nothing that was paid for.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from rerank.llm.budget import CURRENT_METER, Meter
from rerank.llm.calls import CallCounts, Caller
from rerank.training.duplicates import Duplicates, folded
from rerank.training.records import RecordWriter
from rerank.training.scribe import Scribe
from storage.errors import BadInputError
from storage.records import Usage
from winnow.app import portal
from winnow.lab.synthesis.context import Bench, bench
from winnow.lab.synthesis.plans import LabelPlan, PassagePlan, QueryPlan, SynthesisPlan
from winnow.lab.synthesis.questions import read_questions
from winnow.lab.synthesis.recipes import Labels, Passages, Queries
from winnow.lab.synthesis.reports import Estimate, SynthesisReport
from winnow.lab.synthesis.tools import Made, Recipe, Tools

if TYPE_CHECKING:
    from storage.records import Chunk
    from winnow.app.wiring import Wiring

T = TypeVar("T")

# What is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """For callers who want no progress."""


def synthesize(
    plan: SynthesisPlan,
    wiring: Wiring,
    progress: Progress = silent,
    *,
    announce: Callable[[str], None] | None = None,
) -> SynthesisReport:
    """Ask the chat model for what the plan wants; `plan.out` then holds the records.

    `announce` is told whom, before anything is asked.
    Interrupted (Ctrl-C, an error), the file holds what was finished. Raises BadInputError, ChatError where
    the endpoint is no URL, and what loading models and collections raises.
    """
    started = time.perf_counter()
    with bench(plan, wiring) as parts:
        units = _units(plan, parts)
        with RecordWriter(plan.out, keep_partial=True) as writer:
            run = _Run(plan, parts, writer)
            if announce is not None:
                announce(f"asking {parts.chat.model} at {parts.endpoint}")
            portal.call(run.over, units, progress)
    return run.report(len(units), time.perf_counter() - started)


def estimate(plan: SynthesisPlan, wiring: Wiring, progress: Progress = silent) -> Estimate:
    """What `synthesize` would ask at most, and about what that costs. Nothing is asked."""
    with bench(plan, wiring) as parts:
        return portal.call(_estimated, plan, parts, _units(plan, parts), progress)


@dataclass(slots=True)
class _Run:
    """One run: what was made so far, in the order of the units."""

    plan: SynthesisPlan
    bench: Bench
    writer: RecordWriter
    tally: CallCounts = field(default_factory=CallCounts)
    made: Made = field(default_factory=Made)
    known: Duplicates = field(default_factory=Duplicates)

    async def over(self, units: Sequence[Any], progress: Progress) -> None:
        meter = Meter(self.plan.budget)
        CURRENT_METER.set(meter)  # a reranker that checks keeps to the same budget
        caller = self.bench.caller(self.tally, meter)
        method, recipe = _recipe(self.plan, self.bench, caller, self.tally)
        done = 0

        def take(made: Made) -> None:
            nonlocal done
            done += 1
            self._take(made)
            progress(f"synthesizing {method}", done, len(units))

        at_once = int(self.bench.parts.limiter.total_tokens)
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
            method=_method(self.plan),
            model=self.bench.chat.model,
            endpoint=self.bench.endpoint,
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
    """Make from units concurrently, take what was made in the units' order."""
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


async def _estimated(plan: SynthesisPlan, parts: Bench, units: Sequence[Any], progress: Progress) -> Estimate:
    tally = CallCounts()
    method, recipe = _recipe(plan, parts, parts.caller(tally, Meter(plan.budget)), tally)
    most, paid = Usage(), 0
    for done, unit in enumerate(units, start=1):
        for request in await recipe.requests(unit):
            known = parts.journal.recalled(request) is not None
            paid += known
            most += Usage() if known else request.most
        progress("estimating", done, len(units))
    return Estimate(
        method=method,
        model=parts.chat.model,
        endpoint=parts.endpoint,
        units=len(units),
        calls=most.calls,
        paid=paid,
        prompt_tokens=most.prompt_tokens,
        completion_tokens=most.completion_tokens,
        cost=None if parts.price is None else round(parts.price.of(most), 6),
    )


def _method(plan: SynthesisPlan) -> str:
    return {QueryPlan: "queries", PassagePlan: "passages", LabelPlan: "labels"}[type(plan)]


def _recipe(plan: SynthesisPlan, parts: Bench, caller: Caller, tally: CallCounts) -> tuple[str, Recipe[Any]]:
    scribe = Scribe(caller, parts.templates)
    tools = Tools(parts, scribe, parts.check(plan, scribe, tally))
    recipe: Recipe[Any]
    if isinstance(plan, QueryPlan):
        recipe = Queries(plan, tools)
    elif isinstance(plan, PassagePlan):
        recipe = Passages(plan, tools)
    elif isinstance(plan, LabelPlan):
        recipe = Labels(plan, tools)
    else:
        raise BadInputError(f"{type(plan).__name__} is no plan to synthesize by")
    return _method(plan), recipe


def _units(plan: SynthesisPlan, parts: Bench) -> Sequence[Any]:
    if isinstance(plan, PassagePlan | LabelPlan):
        questions, _ = read_questions(plan.questions)
        return _drawn(questions, plan)
    if isinstance(plan, QueryPlan) and parts.store is not None:
        return _passages(plan, parts)
    raise BadInputError(f"{type(plan).__name__} is no plan to synthesize by")


def _passages(plan: QueryPlan, parts: Bench) -> Sequence[Chunk]:
    """Passages that say enough to be asked about, each text once, in the order of documents."""
    if parts.store is None:
        return ()
    every = sorted(parts.store.chunks(), key=lambda chunk: (chunk.source, chunk.ordinal, chunk.id))
    long = [chunk for chunk in every if sum(c.isalnum() for c in chunk.text) >= plan.min_letters]
    if not long:
        raise BadInputError(
            f"the collection {parts.collection!r} has no passage of {plan.min_letters} letters or more",
            way_out="Ingest more, or lower --min-letters.",
        )
    first = {folded(chunk.text): chunk for chunk in reversed(long)}
    return _drawn([chunk for chunk in long if first[folded(chunk.text)] is chunk], plan)


def _drawn(units: Sequence[T], plan: SynthesisPlan) -> Sequence[T]:
    """A sample by the plan's seed, in the units' order."""
    if plan.sample is None or plan.sample >= len(units):
        return units
    chosen = sorted(random.Random(plan.seed).sample(range(len(units)), plan.sample))
    return [units[place] for place in chosen]
