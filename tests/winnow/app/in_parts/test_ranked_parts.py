"""The parts' passages in one order, twins among them, and their remarks in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest

from rerank.chain import Chain
from rerank.parts import RerankParts
from rerank.spec import Spec
from storage.reasons import Reason
from storage.records import WEAK_MATCH, WEAK_PARTS, Candidate, Generation, Outcome, Retrieval
from tests.support.questions_in_parts import SAME
from winnow.app.in_parts.answering import AnswerInParts
from winnow.app.in_parts.ranking import ranked, retrieved, seen_by
from winnow.app.stages import warnings_of
from winnow.cli.ask import not_said_above

pytestmark = pytest.mark.heavy


def test_the_best_of_each_part_is_never_cut() -> None:
    """The best of one part stays, though passages far down in both have higher fused scores."""
    shared = [f"shared {n}" for n in range(50)]

    async def search(question: str) -> Retrieval:
        found = [Candidate.from_text(text, id=text) for text in (f"best of {question}", *shared)]
        return Retrieval(tuple(one.ranked("retrieval", rank) for rank, one in enumerate(found, start=1)))

    found = anyio.run(retrieved, ("one", "two"), search, 20).candidates
    assert len(found) == 20
    assert {"best of one", "best of two"} < {candidate.id for candidate in found}
    assert [candidate.ranks["retrieval"] for candidate in found] == [*range(1, 21)]


def of_parts(text: str, source: str, date: str = "", **ranks: int) -> Candidate:
    """A passage with its places in the retrieval of each part."""
    found = Candidate.from_text(text, id=source, source=source)
    found = replace(found, chunk=replace(found.chunk, metadata={"date": date} if date else {}))
    return replace(found, ranks={name.replace("_", "-"): rank for name, rank in ranks.items()})


OTHERS = [of_parts(f"{n} bottles of beer.", f"{n}.md", part_1=n, part_2=n) for n in range(3, 9)]


@pytest.mark.parametrize(
    ("spec", "dates", "final"),
    [
        ("diversity(weight=0)", ("", ""), ["a.md", "3.md"]),
        ("diversity(weight=0)", ("2024-01-01", "2025-01-01"), ["b.md", "3.md"]),
        ("diversity(weight=0,alike=1)", ("", ""), ["a.md", "b.md"]),
        ("none", ("", ""), ["a.md", "b.md"]),
    ],
)
def test_of_twins_from_two_parts_one_stays_for_both(
    spec: str, dates: tuple[str, str], final: list[str]
) -> None:
    """The newer, or else the first, though only one part found it; where the chain folds none, both."""
    twins = [
        of_parts(SAME.format(""), "a.md", dates[0], part_1=1),
        of_parts(SAME.format(" in it"), "b.md", dates[1], part_2=1),
    ]
    chain = Chain.load(Spec.parse(spec), RerankParts(drop_twins=True))
    ranking, remark = anyio.run(ranked, ("one", "two"), [*twins, *OTHERS], chain, 2)
    assert [candidate.id for candidate in ranking.candidates] == final
    first, second = (seen_by(n, ranking.candidates, "final")[0].id for n in (1, 2))
    assert (first, second) == ((final[0],) * 2 if "3.md" in final else ("a.md", "b.md"))
    assert bool(remark) is ("3.md" in final)


class Doubtful:
    """An answerer that is not sure of any answer, and has none about gulls."""

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        remark = Reason(WEAK_MATCH, percent=len(question))
        return Generation(
            text="It may be.",
            outcome=Outcome("generation", "partial", remark),
            answerer="doubtful",
            answered="gulls" not in question,
        )


def test_weak_matches_of_several_parts_are_told_once_with_the_parts() -> None:
    """One remark names the parts, in both languages, and keeps how sure each is; another is told apart."""
    answerer = AnswerInParts(Doubtful(), ("Who repairs boats?", "灯塔有多高？", "What do gulls eat?"))
    outcome = anyio.run(answerer.generate, "all of it", ()).outcome
    weak, missing = Reason.of(outcome.reason).parts
    assert str(weak) == "weak match: what is quoted may not answer 1. Who repairs boats?; 2. 灯塔有多高？"
    assert weak.render("zh").count("匹配较弱") == 1
    assert list(weak.values["percents"]) == [18, 6]
    assert "gulls" in missing


def test_a_shell_tells_of_weak_parts_above_the_answer_alone() -> None:
    """Warnings below the answer leave out the weak match, which is shown above it."""
    weak = Reason(WEAK_PARTS, parts=[Reason("winnow.app.part", n=1, question="How high?")], percents=[40])
    missing = Reason("winnow.app.part-unanswered", question="How deep?")
    both = Outcome("generation", "partial", Reason.all([weak, missing]))
    alone = Outcome("generation", "partial", weak)
    assert [not_said_above(one) for one in warnings_of([alone])] == [""]
    [left] = [not_said_above(one) for one in warnings_of([both])]
    assert left == "generation partial: the passages do not answer: How deep?"
