"""Renders answers and searches for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from generation.language import language_of
from storage.records import AROUND_RERANK, Answer, Candidate, Chunk, Citation, Outcome, retrieval_stages
from winnow.app.stages import SearchResult
from winnow.cli.rank_chart import STATUS_STYLE, RankChart, moved, timings, where
from winnow.cli.terminal import ByWidth, safe, shortened


def answer(value: Answer, *, logged: bool = True, streamed: bool = False) -> RenderableType:
    """Render an answer, its citations, the ranks of its final passages, and the command that shows more.

    The text of a `streamed` answer has been shown already.
    """
    text = [] if streamed else [safe(value.text), Text()]
    return Group(*_understood(value), *_doubt(value), *text, *_below_answer(value, logged))


def _understood(value: Answer) -> list[RenderableType]:
    """Render the rewritten question, if it differs from the one that was typed."""
    if value.understood == value.question:
        return []
    return [safe(f"Understood as: {value.understood}", "dim"), Text()]


def _doubt(value: Answer) -> list[RenderableType]:
    """Render the remark that the answer may not be one, in the question's language."""
    remark = value.weak_match
    return [safe(remark.render(language_of(value.question)), "yellow"), Text()] if remark else []


def _below_answer(value: Answer, logged: bool) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if value.citations:
        parts += [_citations(value), Text()]
    parts += [moves(value.candidates, value.stages), stage_line(value)]
    if value.answerer == "extractive" and value.answered:
        parts.append(Text("Quoted from the passages; no language model was used.", style="dim"))
    if logged:
        parts.append(safe(f"Look closer: winnow log show {value.id}", "dim"))
    return parts


def sources(value: Answer, *, logged: bool = True) -> RenderableType:
    """Render what comes below an answer in a conversation: rewritten question, citations, id."""
    parts = _understood(value)
    if value.citations:
        parts.append(_citations(value))
    return Group(*parts, safe(f"winnow log show {value.id}\n" if logged else "", "dim"))


def logged_answer(value: Answer) -> RenderableType:
    """Render a logged answer: the rank chart, each stage's time, every candidate's rank at every stage."""
    facts = (
        f"{value.id}  {value.created_at.astimezone():%Y-%m-%d %H:%M:%S}  collection {value.collection}  "
        f"rerank {value.rerank}  answerer {value.answerer}"
    )
    if value.follow_up and value.follow_up.answer_id:
        facts += f"  follows {value.follow_up.answer_id}"
    parts: list[RenderableType] = [
        safe(value.question, "bold"),
        safe(facts, "dim"),
        Text(),
        *_understood(value),
        *_doubt(value),
        safe(value.text),
        Text(),
    ]
    if value.citations:
        parts += [_citations(value), Text()]
    cited = {citation.chunk_id for citation in value.citations}
    ranks = (RankChart(value), Text(), timings(value), Text(), _all_ranks(value, cited))
    return Group(*parts, *ranks, *_neighbours(value.neighbours))


def _neighbours(chunks: Sequence[Chunk]) -> list[RenderableType]:
    """Render the passages that were joined to the final ones for the answerer, with their places."""
    if not chunks:
        return []
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    for chunk in chunks:
        table.add_row(where(Candidate(chunk)))
        table.add_row(safe(f"  {shortened(chunk.source)}:{chunk.start}-{chunk.end}", "dim"))
    return [Text(), Text("neighbours, joined for the answerer", style="bold"), table]


def search_result(value: SearchResult) -> RenderableType:
    """Render the kept passages and their ranks."""
    passages = [_passage(rank, candidate) for rank, candidate in enumerate(value.passages, start=1)]
    return Group(*passages, Text(), moves(value.candidates, value.stages))


def moves(candidates: Sequence[Candidate], stages: Sequence[Outcome]) -> RenderableType:
    """Render the retrieved → reranked table: each final passage's rank at every stage of the chain."""
    final = [candidate for candidate in candidates if "final" in candidate.ranks]
    if not final:
        return Text("Nothing was retrieved.", style="yellow")
    columns = [name for name in _stage_columns(candidates, stages) if not _is_member(name, stages)]
    rows = []
    for candidate in final:
        before = candidate.ranks.get("retrieval")
        rise = None if before is None else before - candidate.ranks["final"]
        ranks = [_rank(candidate, column) for column in ("final", *columns)]
        rows.append((candidate, [*ranks, moved(rise)]))
    title = f"retrieved {len(candidates)} → reranked to {len(final)}"
    return ByWidth(lambda width: _ranks_table(title, ("#", *columns, "moved"), rows, width))


def _ranks_table(
    title: str,
    headings: Sequence[str],
    rows: Sequence[tuple[Candidate, Sequence[Text]]],
    width: int,
) -> RenderableType:
    """Make a table whose numbers keep their width; the passage takes the rest, on one line.

    Where headings would leave it less than half, the stages have letters, which a line below explains.
    """
    first, *stages, last = headings
    letters = list(ascii_lowercase[: len(stages)])
    short = sum(len(heading) + 2 for heading in headings) > width / 2 and len(letters) == len(stages)
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for heading in (first, *(letters if short else stages), last):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("passage", ratio=1)
    for candidate, cells in rows:
        table.add_row(*cells, where(candidate), style="" if "final" in candidate.ranks else "dim")
    if not short:
        return table
    legend = "  ".join(f"{letter} {stage}" for letter, stage in zip(letters, stages, strict=True))
    return Group(table, safe(legend, "dim"))


def _all_ranks(value: Answer, cited: set[str]) -> RenderableType:
    columns = _stage_columns(value.candidates, value.stages)
    rows = [
        (
            candidate,
            [
                *(_rank(candidate, column) for column in ("final", *columns)),
                Text("✓" if candidate.id in cited else ""),
            ],
        )
        for candidate in value.candidates
    ]
    title = f"all {len(value.candidates)} candidates"
    return ByWidth(lambda width: _ranks_table(title, ("final", *columns, "cited"), rows, width))


def _stage_columns(candidates: Sequence[Candidate], stages: Sequence[Outcome]) -> list[str]:
    return [*retrieval_stages(candidates), *(s.name for s in stages if s.name not in AROUND_RERANK)]


def _is_member(name: str, stages: Sequence[Outcome]) -> bool:
    """True if it ran inside another stage (`fusion.late-interaction`); only `log show` has room for it."""
    return any(name.startswith(f"{stage.name}.") for stage in stages)


def _citations(value: Answer) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(justify="right", style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    about = {candidate.id: candidate.chunk.about for candidate in value.candidates}
    by_marker: dict[int, list[Citation]] = {}
    for citation in value.citations:
        by_marker.setdefault(citation.marker, []).append(citation)
    for marker, places in sorted(by_marker.items()):
        spans = ", ".join(f"{place.start}-{place.end}" for place in places)
        first = places[0]
        heading = safe(first.title, "bold") + safe(f"  {_below_title(first)}" if _below_title(first) else "")
        table.add_row(f"[{marker}]", heading)
        table.add_row("", safe(f"{shortened(first.source)}:{spans}", "dim"))
        if line := about.get(first.chunk_id):
            table.add_row("", safe(f"about: {line}", "dim italic"))
    return table


def _below_title(citation: Citation) -> str:
    headings = [heading for heading in citation.headings if heading != citation.title]
    page = [f"p. {citation.page}"] if citation.page is not None else []
    return " › ".join([*page, *headings])


def stage_line(value: Answer) -> Text:
    """Render every stage's status and time on one line."""
    line = Text()
    for stage in value.stages:
        line.append(f"{stage.name} ", style="dim")
        line.append(stage.status, style=STATUS_STYLE[stage.status])
        line.append(f" {stage.ms:.0f} ms  ", style="dim")
    line.append(f"total {value.timings_ms.get('total', 0):.0f} ms", style="dim")
    return line


def _passage(rank: int, candidate: Candidate) -> RenderableType:
    heading = safe(f"{rank}. {candidate.chunk.context}", "bold")
    about = candidate.chunk.about
    line = [Padding(safe(f"about: {about}", "dim italic"), (0, 0, 0, 3), expand=False)] if about else []
    text = Padding(safe(" ".join(candidate.text.split())), (0, 0, 1, 3), expand=False)
    return Group(heading, *line, text)


def _rank(candidate: Candidate, stage: str) -> Text:
    rank = candidate.ranks.get(stage)
    return Text("–", style="dim") if rank is None else Text(str(rank))
