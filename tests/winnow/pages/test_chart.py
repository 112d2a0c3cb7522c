"""The rank chart and its sentence match the ranks; an answer's citations lead to their passages."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from generation.extractive.units import units
from storage.reasons import Reason
from storage.records import (
    WEAK_MATCH,
    Answer,
    Candidate,
    Chunk,
    Citation,
    Outcome,
    Status,
    unreadable_question,
)
from tests.support.log_samples import a_chunk, a_plain_answer
from winnow.app.stages import warnings_of
from winnow.server.pages.views.answer import AnswerView
from winnow.server.pages.views.cited import CitedSource, cited, likely
from winnow.server.pages.views.markdown import Run, blocks
from winnow.server.pages.views.movement import movement
from winnow.server.pages.views.passages import cut, marked, short_of
from winnow.server.pages.views.rank_chart import rank_chart


def _ranked(number: int, stages: dict[str, int]) -> Candidate:
    candidate = Candidate(a_chunk(number))
    for stage, rank in stages.items():
        candidate = candidate.ranked(stage, rank, 1 / rank)
    return candidate


def an_answer(
    order: list[int],
    kept: int,
    *,
    stage: str = "turn",
    status: Status = "ok",
    cited_numbers: tuple[int, ...] = (),
) -> Answer:
    """Return an answer whose stage ordered the retrieval ranks as in `order`; the first `kept` are final.

    A stage that fell back gives no ranks.
    """
    found = []
    for place, was in enumerate(order, start=1):
        ranks = {"retrieval": was} | ({} if status == "fallback" else {stage: place})
        found.append(_ranked(was, ranks | ({"final": place} if place <= kept else {})))
    outcomes = (
        Outcome("retrieval"),
        Outcome(stage, status, "" if status == "ok" else "no"),
        Outcome("generation"),
    )
    return a_plain_answer(
        candidates=tuple(found),
        stages=outcomes,
        citations=tuple(_citation(a_chunk(number)) for number in cited_numbers),
    )


def _citation(chunk: Chunk, marker: int = 1, quote: str = "") -> Citation:
    start = chunk.start + (chunk.text.index(quote) if quote else 0)
    return Citation(
        marker=marker,
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        source=chunk.source,
        title=chunk.title,
        start=start,
        end=start + len(quote or chunk.text),
        quote=quote,
    )


def test_lifted_passages_are_counted_and_the_furthest_climb_is_named() -> None:
    """The sentence counts the passages lifted into the first three and names the furthest climb."""
    moved = movement(an_answer([4, 1, 9, 2, 3, 5, 6, 7, 8], 3, cited_numbers=(9,)))
    assert (moved.kind, moved.lifted, moved.kept, moved.retrieved) == ("lifted", 2, 3, 9)
    assert (moved.was, moved.place, moved.cited) == (9, 3, 1)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (an_answer([2, 1, 3, 4], 2), "reordered"),
        (an_answer([1, 2, 3, 4], 2), "unmoved"),
        (an_answer([1, 2, 3], 2, stage="none"), "not-asked"),
        (an_answer([1, 2, 3], 2, status="fallback"), "fell-back"),
        (an_answer([1, 2, 3], 0), "nothing-kept"),
        (a_plain_answer(candidates=(), stages=(), citations=()), "nothing-found"),
    ],
)
def test_what_did_not_move_is_said_as_it_is(answer: Answer, kind: str) -> None:
    """The sentence claims nothing for a reranker that changed nothing, did not run, or fell back."""
    moved = movement(answer)
    assert (moved.kind, moved.lifted, moved.was) == (kind, 0, 0)


def test_lines_run_from_rank_to_rank_and_end_where_they_were_dropped() -> None:
    """Lines run from rank to rank, better ranks higher, and end where a candidate was dropped."""
    chart = rank_chart(an_answer([3, 1, 2, 4], 2))
    assert [column.name for column in chart.columns] == ["retrieval", "turn", "final"]
    assert [(column.ranked, column.dropped) for column in chart.columns] == [(4, 0), (4, 2), (2, 0)]
    first, second, third, last = chart.lines
    assert (first.way, third.way) == ("3 → 1 → 1", "2 → 3")
    assert (first.style, second.style, third.style) == ("place-1", "place-2", "dropped")
    assert [x for x, _ in first.dots] == [column.x for column in chart.columns]
    assert first.dots[0][1] > first.dots[1][1] == first.dots[2][1]
    assert third.dots[-1][0] == chart.columns[1].x
    assert third.label_y is None
    assert last.dots[-1][1] < chart.height


def test_the_scale_spares_the_last_of_fifty_and_names_the_final_five() -> None:
    """All fifty candidates are drawn, the final five are named, and top ranks get the most room."""
    chart = rank_chart(an_answer([*range(46, 51), *range(1, 46)], 5))
    assert len(chart.lines) == len(chart.candidates) == 50
    heights = [line.label_y for line in chart.lines[:5]]
    assert all(height is not None for height in heights)
    gaps = [after - before for before, after in pairwise(heights) if before and after]
    assert min(gaps) >= 14
    last = sorted(line.dots[0][1] for line in chart.lines)[-2:]
    assert 1 <= last[1] - last[0] < min(gaps)


def test_a_stage_that_did_not_see_a_candidate_is_passed_over() -> None:
    """A line skips a stage that did not see its candidate, and a fallback's column is empty."""
    answer = an_answer([1, 2, 3], 2, status="fallback")
    chart = rank_chart(answer)
    assert chart.columns[1].ranked == 0
    assert chart.lines[0].way == "1 → 1"
    assert chart.columns[0].dropped == 1


def test_what_was_fused_inside_a_stage_is_told_and_no_column() -> None:
    """Members of a fusion have no column, since they did not run one after the other."""
    answer = an_answer([2, 1], 1, stage="fusion")
    outcomes = (Outcome("retrieval"), Outcome("fusion.late"), Outcome("fusion"), Outcome("generation"))
    first, second = answer.candidates
    answer = replace(answer, stages=outcomes, candidates=(first.ranked("fusion.late", 2), second))
    chart = rank_chart(answer)
    assert [column.name for column in chart.columns] == ["retrieval", "fusion", "final"]
    assert chart.stages == ("retrieval", "fusion.late", "fusion", "final")


def test_names_of_many_stages_are_cut_to_their_room() -> None:
    """The names of nine stages are cut to fit, and a leg's last ranks do not stretch the scale."""
    answer = an_answer([2, 1], 1)
    long = [Outcome(f"late-interaction#{number}") for number in range(8)]
    candidates = tuple(one.ranked("dense", 700) for one in answer.candidates)
    chart = rank_chart(replace(answer, candidates=candidates, stages=(Outcome("retrieval"), *long)))
    assert {column.label for column in chart.columns[1:-1]} == {"late-…"}
    assert [rank for rank, _ in chart.ticks] == [1, 2]


def test_a_thousand_candidates_are_a_hundred_lines_and_a_whole_table() -> None:
    """Of a thousand candidates a hundred lines are drawn, the final ones included; the table has all."""
    chart = rank_chart(an_answer([*range(996, 1001), *range(1, 996)], 5))
    assert (len(chart.lines), chart.undrawn, len(chart.candidates)) == (100, 900, 1000)
    assert [line.view.place for line in chart.lines[:5]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kept", [0, 1])
def test_odd_charts_are_charts(kept: int) -> None:
    """A chart of one candidate, or with none kept, can be drawn."""
    chart = rank_chart(an_answer([1], kept), prefix="old-")
    assert chart.height > 0
    assert chart.lines[0].path.startswith("M")


def test_quoted_sentences_are_marked_where_they_stand() -> None:
    """Quoted spans are marked by document offsets, merged if they overlap, ignored if outside."""
    chunk = replace(a_chunk(1), text="One. Two. Three.", start=100, end=116)
    [block] = marked(chunk, [(105, 109), (107, 110), (300, 310), (0, 50)])
    assert [(run.text, run.marked) for run in block.runs] == [
        ("One. ", False),
        ("Two. ", True),
        ("Three.", False),
    ]


def test_an_answers_markers_lead_to_their_passages() -> None:
    """Markers link to their passages; unknown markers, and markers in code, stay text."""
    answer = an_answer([1, 2, 3], 3)
    first, second = (one.chunk for one in answer.candidates[:2])
    text = "A [1]. **B** [1, 2]. C [9]. `x[1]` <b>"
    citations = (_citation(first, 1, first.text[:4]), _citation(second, 2))
    found = cited(replace(answer, text=text, citations=citations))
    [block] = found.blocks
    assert [(run.text, run.markers) for run in block.runs if run.markers] == [
        ("[1]", (1,)),
        ("[1, 2]", (1, 2)),
    ]
    assert "".join(run.text for run in block.runs) == "A [1]. B [1, 2]. C [9]. x[1] <b>"
    styled = [(run.text, run.style) for run in block.runs if run.style]
    assert styled == [("B", "strong"), ("x[1]", "code")]
    quoted, whole = found.sources
    assert [run.text for run in _runs(quoted) if run.marked] == [first.text[:4]]
    assert (quoted.quoted, whole.quoted) == (True, False)
    assert not any(run.marked for run in _runs(whole))
    assert f"passage={first.id}&from={first.start}&to={first.start + 4}" in quoted.address


def _runs(source: CitedSource) -> list[Run]:
    return [run for text in source.texts for block in text for run in block.runs]


def test_code_stands_in_a_block_and_links_show_their_words() -> None:
    """A fence becomes a block of its own; of a link only its words are shown."""
    text = "Run [this](http://a.b/c):\n```bash\nmake **it**\n```\nDone."
    found = cited(replace(an_answer([1], 1), text=text, citations=()))
    before, code, after = found.blocks
    assert "".join(run.text for run in before.runs) == "Run this:\n"
    assert (code.kind, [run.text for run in code.runs]) == ("code", ["make **it**\n"])
    assert [run.text for run in after.runs] == ["Done."]


def test_markdown_is_shown_without_its_signs_and_letter_by_letter() -> None:
    """Tables, lists, headings and quotes become blocks; nothing that is text is lost."""
    text = (
        "# Head\n\n| a | b |\n|---|---|\n| 1 | `x` |\n| 2 |\n\n3. three\n   more\n4. four\n\n- dot\n"
        "> said\nreads only the\n20. When\n"
    )
    found = blocks(text)
    assert [block.kind for block in found] == ["heading", "table", "list", "list", "quote"]
    table, numbered = found[1], found[2]
    assert [len(row) for row in table.rows] == [2, 2, 2]
    assert (numbered.start, len(numbered.rows)) == (3, 2)
    said = "".join(run.text for run in found[-1].runs)
    assert said.split() == ["said", "reads", "only", "the", "20.", "When"]


def test_letters_that_look_like_markdown_stay() -> None:
    """A C signature keeps its asterisks, and what is no Markdown is shown as it is."""
    [block] = blocks("void f(char **a, void **b)")
    assert "".join(run.text for run in block.runs) == "void f(char **a, void **b)"
    chunk = replace(a_chunk(1), text="# include <x>\n**p", source="a.c", start=0, end=17)
    [as_is] = marked(chunk, [])
    assert (as_is.kind, [run.text for run in as_is.runs]) == ("plain", ["# include <x>\n**p"])


def test_a_weak_match_is_no_complaint_but_a_remark() -> None:
    """It stands above the answer by itself, and not among what did not go as asked."""
    remark = Reason(WEAK_MATCH, percent=31)
    weak = replace(an_answer([1], 1), stages=(Outcome("generation", "partial", remark),))
    assert weak.weak_match == remark
    assert AnswerView(weak).complaints == []
    assert an_answer([1], 1).weak_match is None
    missing = Reason("winnow.app.part-unanswered", question="How deep?")
    both = replace(weak, stages=(Outcome("generation", "partial", Reason.all([remark, missing])),))
    assert [complaint.reason for complaint in AnswerView(both).complaints] == [missing]


@pytest.mark.parametrize(
    ("claim", "passage", "sentence"),
    [
        ("It cannot recover what retrieval missed", "Fast. A reranker cannot recover it. Cheap.", 1),
        ("它找不回漏掉的段落", "重排很慢。漏掉的段落，它找不回来。费用不高。", 1),
        ("Bananas are yellow", "A reranker cannot recover it. Cheap.", None),
        ("", "Something.", None),
        ("what", "| a | b |\n|---|---|", None),
    ],
)
def test_the_sentence_most_like_a_claim_is_found(claim: str, passage: str, sentence: int | None) -> None:
    """The sentence that shares most words or character pairs is found; below a minimum, none."""
    found = likely(claim, passage)
    if sentence is None:
        assert found is None
    else:
        assert (
            passage[slice(*found or (0, 0))]
            == [passage[slice(*unit.span)] for unit in units(passage)][sentence]
        )


def test_a_citation_without_a_quotation_marks_what_is_most_like_it() -> None:
    """A citation without a quote marks the sentence most like the claim before the marker."""
    answer = an_answer([1], 1)
    text = "Apples are red. Rerankers cannot bring back what was missed."
    chunk = replace(answer.candidates[0].chunk, text=text, end=answer.candidates[0].chunk.start + len(text))
    answer = replace(
        answer,
        text="Apples are tasty and red fruit. What was missed, rerankers cannot bring back [1].",
        citations=(_citation(chunk),),
        candidates=(replace(answer.candidates[0], chunk=chunk),),
    )
    [source] = cited(answer).sources
    assert [run.text for run in _runs(source) if run.marked] == [text[16:]]
    assert not source.quoted


def test_a_quotation_from_a_neighbour_is_marked_there() -> None:
    """A quotation from a joined neighbour is marked in the neighbour, shown with the cited passage."""
    answer = an_answer([1], 1)
    own = answer.candidates[0].chunk
    after = own.start + len(own.text)
    beside = replace(own, id="beside", text="Said next door.", start=after, end=after + 15)
    elsewhere = replace(beside, id="elsewhere", document_id="other")
    citation = replace(_citation(own, 1), start=beside.start, end=beside.end, quote=beside.text)
    found = cited(replace(answer, text="[1]", citations=(citation,), neighbours=(beside, elsewhere)))
    marks = [
        [run.text for block in text for run in block.runs if run.marked] for text in found.sources[0].texts
    ]
    assert marks == [[], ["Said next door."]]


def test_names_are_cut_by_the_room_that_they_take() -> None:
    """Names are cut by display width, and the innermost heading tells passages apart."""
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert cut("重排序做了什么", 6) == "重排…"
    assert short_of(replace(a_chunk(1), page=None)) == "Rerank 重排序 › Why rerank"
    assert short_of(replace(a_chunk(1), title="", headings=(), page=None)) == "1 重排序.md"


def test_a_reason_that_several_stages_give_is_one_complaint() -> None:
    """A reason shared by stages is shown once with their names; warnings that repeat it are dropped."""
    stages = (
        Outcome("retrieval", "partial", unreadable_question()),
        Outcome("turn", "fallback", unreadable_question()),
        Outcome("generation"),
    )
    warnings = (*warnings_of(stages), "the log is full")
    found = AnswerView(replace(an_answer([1], 1), stages=stages, warnings=warnings)).complaints
    assert [(one.reason, [stage.name for stage in one.stages]) for one in found] == [
        (unreadable_question(), ["retrieval", "turn"]),
        ("the log is full", []),
    ]
