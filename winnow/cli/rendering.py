"""How answers, searches and the log look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from storage.records import Answer, Candidate, Citation, Outcome
from winnow.asking import SearchResult
from winnow.cli.terminal import safe

_STATUS_STYLE = {"ok": "green", "repaired": "yellow", "partial": "yellow", "fallback": "red"}
_NOT_RERANK = ("retrieval", "generation")


def answer(value: Answer) -> RenderableType:
    """The answer, its citations, where each of the final passages came from, and how to look closer."""
    parts: list[RenderableType] = [safe(value.text), Text()]
    if value.citations:
        parts += [_citations(value.citations), Text()]
    parts += [moves(value.candidates, value.stages), _stages(value)]
    if value.answerer == "extractive":
        parts.append(Text("Quoted from the passages; no language model was used.", style="dim"))
    parts.append(safe(f"Look closer: winnow log show {value.id}", "dim"))
    return Group(*parts)


def logged_answer(value: Answer) -> RenderableType:
    """A logged answer with every candidate's rank at every stage."""
    facts = (
        f"{value.id}  {value.created_at.astimezone():%Y-%m-%d %H:%M:%S}  collection {value.collection}  "
        f"rerank {value.rerank}  answerer {value.answerer}"
    )
    parts: list[RenderableType] = [
        safe(value.question, "bold"),
        safe(facts, "dim"),
        Text(),
        safe(value.text),
        Text(),
    ]
    if value.citations:
        parts += [_citations(value.citations), Text()]
    cited = {citation.chunk_id for citation in value.citations}
    return Group(*parts, _all_ranks(value, cited), _stages(value))


def search_result(value: SearchResult) -> RenderableType:
    """The kept passages and where they came from."""
    passages = [_passage(rank, candidate) for rank, candidate in enumerate(value.final, start=1)]
    return Group(*passages, Text(), moves(value.candidates, value.stages))


def moves(candidates: Sequence[Candidate], stages: Sequence[Outcome]) -> RenderableType:
    """The retrieved → reranked table: where each of the final passages stood at every stage."""
    final = [candidate for candidate in candidates if "final" in candidate.ranks]
    if not final:
        return Text("Nothing was retrieved.", style="yellow")
    columns = _stage_columns(stages)
    table = Table(
        title=f"retrieved {len(candidates)} → reranked to {len(final)}", title_justify="left", box=None
    )
    for heading in ("#", *columns):
        table.add_column(heading, justify="right")
    table.add_column("moved", justify="right")
    table.add_column("passage", overflow="ellipsis", no_wrap=True, ratio=1)
    for candidate in final:
        ranks = [_rank(candidate, column) for column in columns]
        table.add_row(str(candidate.ranks["final"]), *ranks, _moved(candidate), _where(candidate))
    return table


def _all_ranks(value: Answer, cited: set[str]) -> RenderableType:
    columns = _stage_columns(value.stages)
    table = Table(title=f"all {len(value.candidates)} candidates", title_justify="left", box=None)
    for heading in ("final", *columns):
        table.add_column(heading, justify="right")
    table.add_column("cited", justify="center")
    table.add_column("passage", overflow="ellipsis", no_wrap=True, ratio=1)
    for candidate in value.candidates:
        kept = "final" in candidate.ranks
        table.add_row(
            _rank(candidate, "final"),
            *(_rank(candidate, column) for column in columns),
            "✓" if candidate.id in cited else "",
            _where(candidate),
            style="" if kept else "dim",
        )
    return table


def _stage_columns(stages: Sequence[Outcome]) -> list[str]:
    return ["dense", "lexical", "retrieval", *(s.name for s in stages if s.name not in _NOT_RERANK)]


def _citations(citations: Sequence[Citation]) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(justify="right", style="cyan")
    table.add_column(overflow="fold")
    for citation in citations:
        place = safe(citation.title, "bold")
        if citation.location:
            place += safe(f"  {citation.location}", "dim")
        span = f"  {citation.source}:{citation.start}-{citation.end}"
        table.add_row(f"[{citation.marker}]", place + safe(span, "dim"))
    return table


def _stages(value: Answer) -> RenderableType:
    line = Text()
    for stage in value.stages:
        line.append(f"{stage.name} ", style="dim")
        line.append(stage.status, style=_STATUS_STYLE[stage.status])
        line.append(f" {stage.ms:.0f} ms   ", style="dim")
    line.append(f"total {value.timings_ms.get('total', 0):.0f} ms", style="dim")
    return line


def _passage(rank: int, candidate: Candidate) -> RenderableType:
    heading = safe(f"{rank}. {candidate.chunk.context}", "bold")
    return Group(heading, Padding(safe(" ".join(candidate.text.split())), (0, 0, 1, 3)))


def _rank(candidate: Candidate, stage: str) -> Text:
    rank = candidate.ranks.get(stage)
    return Text("–", style="dim") if rank is None else Text(str(rank))


def _moved(candidate: Candidate) -> Text:
    before = candidate.ranks.get("retrieval")
    if before is None:
        return Text("–", style="dim")
    rise = before - candidate.ranks["final"]
    if rise == 0:
        return Text("=", style="dim")
    return Text(f"↑{rise}", style="green") if rise > 0 else Text(f"↓{-rise}", style="red")


def _where(candidate: Candidate) -> Text:
    page = f"p. {candidate.chunk.page} · " if candidate.chunk.page is not None else ""
    return safe(f"{candidate.chunk.context} · ", "dim") + safe(page + " ".join(candidate.text.split())[:160])
