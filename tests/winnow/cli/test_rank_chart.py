"""The rank chart and the time bars of `winnow log show`: correct, aligned, safe."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from storage.records import Answer, Candidate, Outcome, Usage
from tests.support.log_samples import a_chunk, a_citation, a_full_answer, a_plain_answer
from winnow.app.json_model.answers import AnswerJson
from winnow.cli.rank_chart import RankChart, timings
from winnow.cli.rendering import logged_answer


def drawn(value: object, width: int) -> list[str]:
    """Return the lines as a terminal without colours shows them."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(value)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def an_answer(title: str = "重排序 Rerank") -> Answer:
    """Return an answer in which a stage reverses fifty candidates and keeps the last two."""
    found = []
    for rank in range(1, 51):
        chunk = replace(a_chunk(rank - 1), title=title, headings=())
        candidate = Candidate(chunk).ranked("retrieval", rank).ranked("turn", 51 - rank)
        found.append(candidate.ranked("final", 51 - rank) if rank > 48 else candidate)
    stages = (
        Outcome("retrieval", ms=10),
        Outcome("turn", "partial", "one was long", 80, Usage(3, 10, 10, 0.5)),
        Outcome("generation", ms=10),
    )
    return a_plain_answer(
        candidates=tuple(reversed(found)),
        stages=stages,
        timings_ms={"total": 100.0},
        citations=(a_citation(50),),
    )


def test_the_chart_tells_who_rose_who_fell_and_who_was_cited() -> None:
    """The chart shows which passages rose, which fell or were dropped, and which were cited."""
    lines = drawn(RankChart(an_answer()), 80)
    assert lines[0] == "50 retrieved → turn ranked 50 → 2 kept"
    first, second, lost, lost_too = lines[2:6]
    assert first.startswith("1 ●")
    assert "○" in first
    assert "↑49" in first
    assert "✓" in first
    assert second.startswith("2 ")
    assert "✓" not in second
    assert "×" in lost
    assert "↓49" in lost
    assert "↓47" in lost_too
    assert len(lines) == 7


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_columns_stand_below_each_other_in_chinese_too(width: int) -> None:
    """Wide characters count as two cells, so that columns align and no line exceeds the terminal."""
    lines = drawn(logged_answer(an_answer("重排序把五十个候选段落缩到五个" * 5)), width)
    assert max(map(cell_len, lines)) <= width
    starts = {line.index("█") for line in lines if "█" in line}
    assert len(starts) == 1


def test_a_long_title_is_cut_and_takes_no_room_from_the_chart() -> None:
    """At 80 columns a long title is cut, and every row keeps its rank, track and move."""
    long, short = (drawn(RankChart(an_answer(title)), 80)[1:6] for title in ("重排序 rerank " * 20, "a"))
    before_the_title = len("# ") + 22 + len(" moved ✓ ")
    assert [line[:before_the_title] for line in long] == [line[:before_the_title] for line in short]
    assert all(cell_len(line) <= 80 for line in long)


def test_the_bars_are_as_long_as_the_times() -> None:
    """A bar's length is proportional to its time; status, calls and cost are next to it."""
    bars = {line.split()[0]: line.count("█") for line in drawn(timings(an_answer()), 100) if "█" in line}
    assert bars == {"retrieval": 2, "turn": 19, "generation": 2}
    [line] = [line for line in drawn(timings(an_answer()), 100) if line.startswith("turn")]
    assert "80 ms partial 3 calls, cost 0.50000, one was long" in " ".join(line.split())


def test_a_reason_is_told_once_for_all_stages_that_share_it() -> None:
    """Four stages that fell back for one cause name it once."""
    stages = tuple(Outcome(f"stage{n}", "fallback", "the model is away", 10) for n in range(4))
    lines = drawn(timings(replace(an_answer(), stages=stages)), 200)
    assert ["the model is away" in line for line in lines] == [True, False, False, False, False]
    assert sum("the same reason" in line for line in lines) == 3


def test_titles_cannot_steer_the_terminal() -> None:
    """Escape sequences and markup in a title are shown without effect."""
    shown = "\n".join(drawn(RankChart(an_answer("\x1b[31mred[/bold]\u202e")), 120))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "red[/bold]" in shown


def test_an_answer_without_candidates_has_no_chart() -> None:
    """An answer without candidates has no chart and is no error."""
    empty = a_plain_answer(candidates=(), stages=(), timings_ms={})
    assert drawn(RankChart(empty), 80) == []
    assert "total 0 ms" in "\n".join(drawn(logged_answer(empty), 80))


def test_json_holds_the_calls_that_are_asked_for() -> None:
    """`log show --calls --json` includes every exchange; without `--calls` there are none."""
    answer = a_full_answer()
    assert AnswerJson.of(answer).stages[1].exchanges is None
    [first, second] = AnswerJson.of(answer, exchanges=True).to_json()["stages"][1]["exchanges"]
    assert first["messages"][0] == {"role": "system", "content": "你给段落排序。"}
    assert first["usage"]["prompt_tokens"] == 1500
    assert second["error"] == "429: too many requests"
