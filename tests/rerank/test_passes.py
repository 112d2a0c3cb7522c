"""Concurrent questions share a cross-encoder's passes, but neither scores, faults nor cancellation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank.chain import Chain, ChainStage
from rerank.cross.loading import load_pair_model
from rerank.cross.models import PairModel
from rerank.cross.passes import Passes, Row
from rerank.cross.queued import QUESTIONS
from rerank.llm.budget import Budget
from rerank.strategies.cross_encoder import CrossEncoder
from storage.records import Candidate
from storage.vectors import Floats
from tests.support import tiny_models

# A row of `length` tokens, all of them the number of its question.
Rows = Sequence[Row]


def rows(question: int, *lengths: int) -> list[Row]:
    return [([question] * length, [0] * length) for length in lengths]


def sums(some: Rows) -> list[float]:
    """Return the log-odds of each row: the sum of its tokens."""
    return [float(sum(ids)) for ids, _ in some]


def all_of(passes: Passes, some: Rows, run: Callable[[Rows], Sequence[float]], budget: int) -> list[float]:
    found: dict[int, float] = {}
    for came in passes.scored(some, run, budget):
        found.update(came)
    return [found[number] for number in range(len(some))]


class Held:
    """A model that waits for `go` in every pass; `read` holds the rows of each as (question, length)."""

    def __init__(self) -> None:
        self.read: list[list[tuple[int, int]]] = []
        self.inside = threading.Event()
        self.go = threading.Event()

    def __call__(self, some: Rows) -> list[float]:
        self.read.append([(ids[0], len(ids)) for ids, _ in some])
        self.inside.set()
        assert self.go.wait(10)
        if any(ids[0] == 13 for ids, _ in some):
            raise ZeroDivisionError("thirteen")
        return sums(some)


class Crowd:
    """Questions over one `Passes`, each in its own thread; the first is held inside its pass."""

    def __init__(self, pool: ThreadPoolExecutor, budget: int = 100) -> None:
        self.passes, self.held = Passes(), Held()
        self._pool = pool
        self._budget = budget
        self._count = 0

    def ask(self, question: int, *lengths: int) -> Future[list[float]]:
        """Ask, and return once the question waits for its turn or is inside its pass."""
        self._count += 1
        asked = self._pool.submit(all_of, self.passes, rows(question, *lengths), self.held, self._budget)
        while len(self.passes._requests) < self._count:
            time.sleep(0.001)
        if self._count == 1:
            assert self.held.inside.wait(10)
        return asked


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def test_questions_that_come_together_share_passes(pool: ThreadPoolExecutor) -> None:
    """One pass takes all waiting rows within the budget, and each question gets its own scores."""
    crowd = Crowd(pool)
    asked = [crowd.ask(n, 5, 7) for n in range(1, 7)]
    crowd.held.go.set()
    assert [one.result() for one in asked] == [[5 * n, 7 * n] for n in range(1, 7)]
    assert [len(batch) for batch in crowd.held.read] == [2, 10]
    assert crowd.passes.count == 2


def test_who_came_first_is_served_first(pool: ThreadPoolExecutor) -> None:
    """Later questions only fill the room that the first one's rows leave, with rows that are no longer."""
    crowd = Crowd(pool)
    asked = [crowd.ask(1, 100), crowd.ask(2, 50, 50, 30), crowd.ask(3, 60, 29, 20, 10), crowd.ask(4, 28)]
    crowd.held.go.set()
    for one in asked:
        one.result()
    assert crowd.held.read == [
        [(1, 100)],
        [(2, 50), (2, 50)],
        [(2, 30), (3, 29), (4, 28)],
        [(3, 60)],
        [(3, 20), (3, 10)],
    ]


def test_a_question_alone_runs_at_once() -> None:
    """A lone question runs without waiting, one pass per batch, in the caller's thread."""
    passes, seen = Passes(), []

    def run(some: Rows) -> list[float]:
        seen.append(threading.get_ident())
        return sums(some)

    assert all_of(passes, rows(2, 5, 7), run, 100) == [10, 14]
    assert seen == [threading.get_ident()]
    assert list(passes.scored([], run, 100)) == []


def test_a_fault_is_one_questions_own(pool: ThreadPoolExecutor) -> None:
    """After a shared pass fails, the other questions' rows are scored again without the faulty one."""
    crowd = Crowd(pool)
    first, bad, good, other = (crowd.ask(n, 10, 20) for n in (1, 13, 3, 4))
    crowd.held.go.set()
    with pytest.raises(ZeroDivisionError, match="thirteen"):
        bad.result()
    assert first.result() == [10, 20]
    assert good.result() == [30, 60]
    assert other.result() == [40, 80]
    assert crowd.passes._requests == []


def test_who_leaves_takes_nothing_from_the_others(pool: ThreadPoolExecutor) -> None:
    """The rows of a question that ends early are dropped; earlier and later questions are scored."""
    crowd = Crowd(pool, budget=20)
    before = crowd.ask(1, 10, 10)
    with closing(crowd.passes.scored(rows(2, 10, 10, 10), crowd.held, 20)) as leaving:
        threading.Timer(0.05, crowd.held.go.set).start()
        assert next(leaving) == [(0, 20.0), (1, 20.0)]
    assert before.result() == [10, 10]
    assert all_of(crowd.passes, rows(3, 9), crowd.held, 20) == [27]
    assert crowd.held.read == [[(1, 10), (1, 10)], [(2, 10), (2, 10)], [(3, 9)]]


def test_an_interrupted_pass_is_run_again_by_the_next(pool: ThreadPoolExecutor) -> None:
    """After Ctrl-C in the thread that runs a pass, the other questions' rows are still scored."""
    passes, entered = Passes(), threading.Event()

    def interrupted(some: Rows) -> list[float]:
        entered.set()
        while len(passes._requests) < 2:
            time.sleep(0.001)
        raise KeyboardInterrupt

    breaking = pool.submit(all_of, passes, rows(1, 5), interrupted, 99)
    assert entered.wait(10)
    assert all_of(passes, rows(2, 5), sums, 99) == [10]
    with pytest.raises(KeyboardInterrupt):
        breaking.result()


@given(st.lists(st.lists(st.integers(1, 300), max_size=20), max_size=5), st.integers(1, 1200))
def test_passes_hold_everything_within_the_budget(questions: list[list[int]], budget: int) -> None:
    """Every row is in exactly one pass, and only a single row may exceed the budget, padding included."""
    passes, read = Passes(), []

    def run(some: Rows) -> list[float]:
        read.append([len(ids) for ids, _ in some])
        return sums(some)

    under_way = [passes.scored(rows(n, *lengths), run, budget) for n, lengths in enumerate(questions)]
    found: list[list[tuple[int, float]]] = [[] for _ in questions]
    while sum(_step(one, found[n]) for n, one in enumerate(under_way)):
        pass
    for n, lengths in enumerate(questions):
        assert sorted(found[n]) == [(i, n * length) for i, length in enumerate(lengths)]
    assert sum(map(len, read)) == sum(map(len, questions))
    assert all(len(lengths) == 1 or max(lengths) * len(lengths) <= budget for lengths in read)


def _step(one: Iterator[list[tuple[int, float]]], found: list[tuple[int, float]]) -> bool:
    came = next(one, None)
    found.extend(came or [])
    return came is not None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PairModel:
    """A tiny BERT; in batches of 256 tokens, so that questions meet in them."""
    folder: Path = tiny_models.bert(tmp_path_factory.mktemp("models") / "bert")
    return replace(load_pair_model(folder, device="cpu"), batch_tokens=256)


WORDS = (*tiny_models.SENTENCES[0].split(), *tiny_models.SENTENCES[1].split())


def candidates(question: int, *, longer_by: int = 0) -> list[Candidate]:
    texts = [" ".join(WORDS[: 1 + (question + 3 * n) % len(WORDS)]) + f" {chr(97 + n)}" for n in range(12)]
    texts = [text + " fox" * longer_by for text in texts]
    return [Candidate.from_text(text, id=f"{question}-{n}") for n, text in enumerate(texts)]


def asked(model: PairModel, question: int) -> dict[str, float]:
    """The scores of a question that has a thread and a loop of its own, as a cross-encoder gives them."""
    ranking = anyio.run(
        CrossEncoder("cross-encoder", model, scale="logit").rerank,
        f"what reads question {question}",
        candidates(question),
        5,
    )
    assert ranking.outcome.status == "ok"
    return {one.id: one.scores["cross-encoder"] for one in ranking.everything}


def test_scores_are_those_of_a_question_alone(model: PairModel, pool: ThreadPoolExecutor) -> None:
    """A pair's score is the same, up to rounding, whichever pairs share its pass."""
    alone = [asked(replace(model), question) for question in range(8)]
    for question, found in enumerate(pool.map(partial(asked, model), range(8))):
        assert found == pytest.approx(alone[question], abs=1e-4)


def test_a_copy_of_a_model_has_passes_of_its_own(model: PairModel) -> None:
    """int8 and float32 copies of the same weights do not share passes."""
    assert replace(model).passes is not model.passes


def test_a_cancelled_question_leaves_the_others_whole(model: PairModel) -> None:
    """A question cancelled while waiting or in a pass ends; the other is ranked in full."""

    async def scenario() -> tuple[int, str]:
        held, seen = threading.Event(), threading.Event()

        def forward(ids: Any, mask: Any, types: Any) -> Floats:
            seen.set()
            assert held.wait(10)
            return model.forward(ids, mask, types)

        slow = replace(model, forward=forward, batch_tokens=64)
        reranker = CrossEncoder("cross-encoder", slow)
        async with anyio.create_task_group() as group:
            cancelling = anyio.CancelScope()

            async def leaving() -> None:
                with cancelling:
                    await reranker.rerank("what reads", candidates(1), 5)

            group.start_soon(leaving)
            await anyio.to_thread.run_sync(seen.wait, 10)
            group.start_soon(_let_go, slow.passes, cancelling, held)
            ranking = await reranker.rerank("what is read", candidates(2), 5)
        assert cancelling.cancelled_caught
        assert slow.passes._requests == []
        return len(ranking.candidates), ranking.outcome.status

    assert anyio.run(scenario) == (5, "ok")


async def _let_go(passes: Passes, cancelling: anyio.CancelScope, held: threading.Event) -> None:
    while len(passes._requests) < 2:
        await anyio.sleep(0.001)
    cancelling.cancel()
    held.set()


def test_a_deadline_holds_while_others_are_served(model: PairModel, pool: ThreadPoolExecutor) -> None:
    """A question past its deadline falls back, flagged, without affecting the others."""
    held, seen = threading.Event(), threading.Event()

    def forward(ids: Any, mask: Any, types: Any) -> Floats:
        seen.set()
        assert held.wait(10)
        return model.forward(ids, mask, types)

    slow = replace(model, forward=forward, batch_tokens=64)
    first = pool.submit(asked, slow, 1)
    assert seen.wait(10)
    hurried = Chain([ChainStage(CrossEncoder("cross-encoder", slow), budget=Budget(deadline_ms=1))])
    second = pool.submit(anyio.run, hurried.rerank, "what reads", candidates(2, longer_by=20), 5)
    while len(slow.passes._requests) < 2:
        time.sleep(0.005)
    held.set()
    [outcome] = second.result().outcomes
    assert outcome.status == "fallback"
    assert "12 of 12 passages not read: the deadline has passed" in outcome.reason
    assert len(first.result()) == 12


def test_with_many_waiting_a_question_reads_no_more_than_it_must(model: PairModel) -> None:
    """With `sure`, questions of a crowd read their first passages, and say so; without it, all."""

    def forward(ids: Any, mask: Any, types: Any) -> Floats:
        while not crowd.wait(0.005) and busy.passes.waiting < 10:
            pass
        crowd.set()
        return model.forward(ids, mask, types)

    def reader(sure: float | None) -> CrossEncoder:
        return CrossEncoder("cross-encoder", busy, scale="logit", sure=sure)

    for sure in (99.0, None):
        crowd, busy = threading.Event(), replace(model, forward=forward)
        with ThreadPoolExecutor(10) as many:
            calls = [(reader(sure).rerank, f"what reads question {n}", candidates(n), 12) for n in range(10)]
            rankings = list(many.map(lambda call: anyio.run(*call), calls))
        unread = [sum("cross-encoder" not in one.scores for one in found.candidates) for found in rankings]
        assert unread[-1:] == [0] if sure is None else 8 in unread
        for found, count in zip(rankings, unread, strict=True):
            said = f"{count} of 12 passages not read: " in found.outcome.reason
            assert (found.outcome.status, said) == (("partial", True) if count else ("ok", False))
            assert "questions wait for the model" in found.outcome.reason or not count


def test_questions_that_wait_outside_crowd_a_model_too(model: PairModel) -> None:
    """Those that a server has not let in yet count as those that wait for the model."""
    own = replace(model)
    QUESTIONS.change(5)
    try:
        assert (own.passes.waiting, own.passes.crowded) == (5, True)
        reader, thorough = (CrossEncoder("cross-encoder", own, sure=sure) for sure in (99.0, None))
        assert (reader.crowd, thorough.crowd) == (5, 0)
        found = anyio.run(reader.rerank, "which fox", candidates(1), 12)
        nearest = replace(reader, near=lambda _query, _of, places: [0.0 for _ in places])
        in_part = anyio.run(nearest.rerank, "which fox", candidates(1), 12)
    finally:
        QUESTIONS.change(-5)
    assert reader.crowd == 0
    assert found.outcome.status == "partial"
    assert "8 of 12 passages not read: 5 questions wait for the model" in found.outcome.reason
    assert "10 of 12 passages not read: 5 questions wait for the model" in in_part.outcome.reason
    assert not own.passes.crowded


def test_in_a_crowd_the_nearest_part_of_a_passage_is_read(model: PairModel) -> None:
    """Who comes when many wait reads the nearest part, by vectors, of the first passages, and says so."""

    def forward(ids: Any, mask: Any, types: Any) -> Floats:
        assert all_there.wait(60)
        return model.forward(ids, mask, types)

    def last_first(
        _query: str, _of: Sequence[Candidate], places: Sequence[tuple[int, tuple[int, int]]]
    ) -> list[float]:
        return [float(span[0]) for _, span in places]

    all_there, busy = threading.Event(), replace(model, forward=forward)
    reader = CrossEncoder("cross-encoder", busy, scale="logit", sure=99.0, near=last_first)
    text = ". ".join(["the lazy dog jumps over the fox"] * 30)
    passages = [Candidate.from_text(text, id="long"), Candidate.from_text("the fox", id="short")]
    with ThreadPoolExecutor(10) as many:
        asked = []
        for n in range(10):
            asked.append(many.submit(anyio.run, reader.rerank, f"what reads question {n}", passages, 2))
            while busy.passes.waiting <= n:
                time.sleep(0.002)
        all_there.set()
        rankings = [one.result() for one in asked]
    hurried = [found for found in rankings if found.outcome.status == "partial"]
    assert hurried
    for found in hurried:
        assert "only the nearest part of each passage was read" in found.outcome.reason
        evidence = {one.id: one.evidence.get("cross-encoder") for one in found.candidates}
        assert evidence["short"] is None
        start, end = evidence["long"] or (0, 0)
        assert end == len(text)
        assert text[start:end].count("fox") < 10
