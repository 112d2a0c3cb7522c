"""Scores to rankings, chains, and users' own rerankers."""

import math
import threading
from collections.abc import Sequence

import anyio
import pytest

from rerank.base import Reranker, adapted, by_score
from rerank.chain import Chain, ChainStage
from rerank.parts import RerankParts
from rerank.spec import Spec
from rerank.strategies.none import NoRerank
from storage.errors import BadInputError, ModelError, SpecError, StageError
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking


def some(n: int) -> list[Candidate]:
    return [Candidate.from_text(f"text {i}", id=f"c{i}") for i in range(n)]


def ids(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.id for candidate in candidates]


class Backwards:
    """Reverses the order; `name` tells instances apart."""

    def __init__(self, name: str = "backwards") -> None:
        self.name = name
        self.scores = True

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        return by_score(self.name, candidates, [float(i) for i in range(len(candidates))], top_k)


class Failing:
    """Raises the given exception."""

    name = "failing"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        raise self.error


def test_the_scale_of_a_chain_is_that_of_its_last_stage_that_scores() -> None:
    """A stage that fell back still sets the scale; a stage without scores (a user's own too) does not."""
    plain = Backwards("plain")
    plain.scores = False
    chains: list[list[Reranker]] = [
        [NoRerank()],
        [Backwards("b"), NoRerank(), adapted(plain)],
        [Backwards("b"), Failing(ValueError())],
    ]
    scales = [Chain([ChainStage(stage) for stage in stages]).scored_by for stages in chains]
    assert scales == ["retrieval", "b", "failing"]


def test_equal_scores_keep_the_incoming_order() -> None:
    """Ties break by the incoming rank, so that the same input gives the same output."""
    ranking = by_score("s", some(4), [0.5, 0.7, 0.5, 0.7], top_k=3)
    assert ids(ranking.everything) == ["c1", "c3", "c0", "c2"]
    assert [c.ranks["s"] for c in ranking.everything] == [1, 2, 3, 4]
    assert ranking.outcome.status == "ok"


def test_what_is_no_number_never_ranks_and_is_flagged() -> None:
    """NaN and infinities follow every scored candidate and make the outcome partial."""
    ranking = by_score("s", some(4), [math.nan, -3.0, math.inf, None], top_k=4)
    assert ids(ranking.candidates) == ["c1", "c0", "c2", "c3"]
    assert [c.scores.get("s") for c in ranking.candidates] == [-3.0, None, None, None]
    assert ranking.outcome.status == "partial"
    assert "2 of 4" in ranking.outcome.reason
    ranking = by_score("s", some(2), [math.nan, math.inf], top_k=2)
    assert (ranking.outcome.status, ids(ranking.candidates)) == ("fallback", ["c0", "c1"])


def test_a_score_missing_for_a_candidate_is_an_error() -> None:
    """Scores that cannot be matched to candidates are refused, not shifted."""
    with pytest.raises(StageError, match="2 scores for 3"):
        by_score("s", some(3), [1.0, 2.0], top_k=1)


def test_a_cascade_keeps_and_drops_in_order() -> None:
    """Each stage sees what the stage before kept; the later stage's dropped come first."""
    chain = Chain([ChainStage(Backwards("a"), 4), ChainStage(Backwards("b"), 2)])
    ranking = anyio.run(chain.rerank, "q", some(6), 2)
    assert ids(ranking.candidates) == ["c2", "c3"]
    assert ids(ranking.dropped) == ["c4", "c5", "c1", "c0"]
    assert [outcome.name for outcome in ranking.outcomes] == ["a", "b"]
    assert ranking.candidates[0].ranks == {"a": 4, "b": 1}
    assert all(outcome.ms > 0 for outcome in ranking.outcomes)


def test_a_middle_stage_without_keep_keeps_all() -> None:
    """Only `:k` and the end of the chain cut candidates."""
    chain = Chain([ChainStage(Backwards("a")), ChainStage(Backwards("b"))])
    ranking = anyio.run(chain.rerank, "q", some(6), 3)
    assert ids(ranking.candidates) == ["c0", "c1", "c2"]


@pytest.mark.parametrize("error", [ModelError("no weights"), ValueError("index 50")])
def test_a_failing_stage_is_stepped_over_and_flagged(error: Exception) -> None:
    """The chain continues from the stage before, and the reason is kept."""
    chain = Chain([ChainStage(Backwards("a"), 4), ChainStage(Failing(error), 3), ChainStage(Backwards("b"))])
    ranking = anyio.run(chain.rerank, "q", some(6), 2)
    assert [outcome.status for outcome in ranking.outcomes] == ["ok", "fallback", "ok"]
    reason = Reason.of(ranking.outcomes[1].reason)
    assert (reason.code, str(error) in reason.values["error"]) == ("rerank.stage-failed", True)
    assert ids(ranking.candidates) == ["c3", "c4"]
    assert "failing" not in ranking.candidates[0].ranks
    assert len(ranking.everything) == 6


def test_on_failure_raise_raises() -> None:
    """With on_failure="raise" the chain raises winnow's errors as they are and wraps the others."""
    with pytest.raises(ModelError, match="no weights"):
        anyio.run(
            Chain([ChainStage(Failing(ModelError("no weights")))], on_failure="raise").rerank, "q", some(2), 1
        )
    with pytest.raises(StageError, match="failing failed: ValueError: odd"):
        anyio.run(Chain([ChainStage(Failing(ValueError("odd")))], on_failure="raise").rerank, "q", some(2), 1)


def test_cancellation_is_no_failure() -> None:
    """Cancelling a chain cancels it; it does not fall back and continue."""

    class Waiting:
        name = "waiting"

        async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
            await anyio.sleep_forever()
            raise AssertionError

    async def run() -> bool:
        with anyio.move_on_after(0.01) as scope:
            await Chain([ChainStage(Waiting())]).rerank("q", some(2), 1)
        return scope.cancelled_caught

    assert anyio.run(run)


def test_no_candidates_reach_no_stage() -> None:
    """Without candidates no stage runs, and that is not a failure."""
    ranking = anyio.run(Chain([ChainStage(Failing(ValueError("asked")))]).rerank, "q", [], 5)
    assert ranking.everything == ()
    assert ranking.outcome.status == "ok"


def test_top_k_below_one_is_refused() -> None:
    """top_k below 1 is refused at once."""
    with pytest.raises(BadInputError, match="top_k"):
        anyio.run(NoRerank().rerank, "q", some(2), 0)


def test_unknown_names_and_options_name_the_nearest() -> None:
    """An error for a mistyped strategy or option suggests the nearest name."""
    with pytest.raises(SpecError, match="did you mean 'late-interaction'") as error:
        Chain.load(Spec.parse("late-interactoin"), RerankParts())
    with pytest.raises(SpecError, match="did you mean 'listwise'"):  # not that the model is missing
        Chain.load(Spec.parse('cross-encoder(model="no/such"):20,listwize:5'), RerankParts())
    assert "none" in error.value.way_out
    with pytest.raises(SpecError, match="none has no option 'window'"):
        Chain.load(Spec.parse("none(window=3)"), RerankParts())
    with pytest.raises(SpecError, match="did you mean 'max_calls'") as budget:
        Chain.load(Spec.parse("none(max_cals=3)"), RerankParts())
    assert "min_score" in budget.value.way_out


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("none(min_score=high)", "none: the option min_score='high' must be a number"),
        ("listwise(window=2.5)", "listwise: the option window=2.5 must be a whole number"),
        ("listwise(window=true)", "listwise: the option window=True must be a whole number"),
        ("pointwise(logprobs=1)", "pointwise: the option logprobs=1 must be true or false"),
        ("pointwise(model=3)", "pointwise: the option model=3 must be a text"),
        (
            "pairwise(method=heapsort)",
            "pairwise: the option method='heapsort' must be 'heap', 'sliding' or 'all'",
        ),
        ("listwise(window=1)", "listwise: window must be at least 2, and is 1"),
        ("cross-encoder(max_length=16)", "cross-encoder: max_length must be at least 32, and is 16"),
        ("none(max_calls=-1)", "none: max_calls must not be negative, and is -1"),
        (
            "listwise(step=20)",
            "listwise: step=20 must be smaller than window=20, so that windows overlap",
        ),
    ],
)
def test_a_wrong_value_names_option_value_and_what_is_allowed(spec: str, says: str) -> None:
    """An option's type is strict; a whole number fits where a number is wanted."""
    with pytest.raises(SpecError) as error:
        Chain.load(Spec.parse(spec), RerankParts())
    assert str(error.value) == says
    Chain.load(Spec.parse("none(min_score=1)"), RerankParts())


class PlainReranker:
    """A user's own: synchronous, sorts its list in place, keeps the longest texts."""

    def __init__(self) -> None:
        self.thread: int | None = None

    def rerank(self, query: str, candidates: list[Candidate], k: int) -> list[Candidate]:
        self.thread = threading.get_ident()
        candidates.sort(key=lambda candidate: candidate.id, reverse=True)
        return candidates[:k]


def test_a_plain_object_ranks_in_a_worker_thread() -> None:
    """A user's synchronous reranker does not block the loop, and cannot disturb the caller's list."""
    own, given = PlainReranker(), some(4)
    ranking = anyio.run(adapted(own).rerank, "q", given, 2)
    assert own.thread not in (None, threading.get_ident())
    assert ids(given) == ["c0", "c1", "c2", "c3"]
    assert ids(ranking.candidates) == ["c3", "c2"]
    assert ids(ranking.dropped) == ["c0", "c1"]
    assert ranking.candidates[0].ranks == {"PlainReranker": 1}


class Returning:
    """A user's async reranker that returns the given value."""

    def __init__(self, result: object) -> None:
        self.result = result

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> object:
        return self.result


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (["text 1", "text 0"], "a list of str"),
        (None, "a NoneType"),
        ([Candidate.from_text("?", id="stranger")], "was not given"),
        ([*some(1), *some(1)], "twice"),
    ],
)
def test_what_is_no_ranking_is_refused(result: object, says: str) -> None:
    """The error for a wrong return value names what was returned and what is expected."""
    with pytest.raises(StageError, match=says):
        anyio.run(adapted(Returning(result)).rerank, "q", some(3), 2)  # type: ignore[arg-type]


def test_a_users_ranking_is_completed() -> None:
    """Candidates that a user's Ranking leaves out are dropped ones, in the incoming order."""
    given = some(4)
    own = Returning(Ranking((given[3],), (Outcome("mine", "repaired", "so"),), (given[1],)))
    ranking = anyio.run(adapted(own).rerank, "q", given, 2)  # type: ignore[arg-type]
    assert ids(ranking.everything) == ["c3", "c1", "c0", "c2"]
    assert len(ranking.candidates) == 1
    assert ranking.outcome.status == "repaired"


def test_an_object_without_rerank_is_refused() -> None:
    """An object without `rerank` is refused when the chain is built."""
    with pytest.raises(BadInputError, match="no method rerank"):
        adapted(object())  # type: ignore[arg-type]
