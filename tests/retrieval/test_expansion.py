"""Neighbour expansion: one text, exact offsets, nothing twice, and the same again from the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from generation.chat.prompts import Prompter
from generation.chat.templating import Templates
from generation.citations import resolve
from retrieval.expansion import Expander, Expansion
from storage.errors import StoreUnavailableError
from storage.records import Candidate, Chunk
from winnow import RAGPipeline, Settings

# Passages of 40 characters that begin 30 apart, so that two neighbours share 10; then a gap of 2.
TEXT = "".join(f"[{n:03d}] " for n in range(60)) + "\n\n" + "".join(f"<{n:03d}> " for n in range(20))
SPANS = [(0, 40), (30, 70), (60, 100), (90, 130), (120, 160), (362, 400), (400, 440)]


def _chunk(ordinal: int, span: tuple[int, int] = (0, 0), document: str = "d") -> Chunk:
    start, end = span if any(span) else SPANS[ordinal]
    return Chunk(
        id=f"{document}-{ordinal}",
        document_id=document,
        source=f"/{document}.txt",
        title="",
        text=TEXT[start:end],
        start=start,
        end=end,
        ordinal=ordinal,
    )


DOCUMENT = [_chunk(ordinal) for ordinal in range(len(SPANS))]


class Held:
    """Neighbours from a list, as a store gives them: unordered, the given passages included."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks
        self.reads = 0

    def neighbours(self, chunks: Sequence[Chunk], reach: int) -> list[Chunk]:
        self.reads += 1
        most = len(chunks) * (2 * reach + 1)
        near = [one for one in self._chunks if any(_near(one, other, reach) for other in chunks)]
        return near[::-1][:most]


def _near(one: Chunk, other: Chunk, reach: int) -> bool:
    return one.document_id == other.document_id and abs(one.ordinal - other.ordinal) <= reach


def _expanded(final: Sequence[int], reach: int, chunks: Sequence[Chunk] = DOCUMENT) -> Expansion:
    source = Held(chunks)
    asked = [Candidate(chunks[n]).ranked("final", rank) for rank, n in enumerate(final, start=1)]
    expansion = anyio.run(Expander(source, reach).expand, asked)
    assert source.reads == 1
    return expansion


@pytest.mark.parametrize("reach", [1, 2, 10])
@pytest.mark.parametrize("final", [[2], [0], [4], [2, 3], [3, 2], [1, 3], [0, 4], [4, 1, 0], [0, 1, 2, 3, 4]])
def test_what_is_joined_is_the_document_and_stands_nowhere_twice(final: list[int], reach: int) -> None:
    """Each joined text equals the document between its offsets, holds its passage, and overlaps no other."""
    expansion = _expanded(final, reach, DOCUMENT[:5])
    covered: set[int] = set()
    for one, n in zip(expansion.candidates, final, strict=True):
        assert one.text == TEXT[one.chunk.start : one.chunk.end]
        assert one.id == DOCUMENT[n].id
        assert one.core.chunk == DOCUMENT[n]
        span = set(range(one.chunk.start, one.chunk.end))
        assert not span & covered
        covered |= span
    within = {n + step for n in final for step in range(-reach, reach + 1)} & set(range(5))
    assert covered == {at for n in within for at in range(*SPANS[n])}
    assert {chunk.ordinal for chunk in expansion.neighbours} == within - set(final)
    assert expansion.outcome.status == "ok"


def test_ranks_and_order_are_not_touched() -> None:
    """Expansion widens texts and leaves candidates, ranks and scores as they are."""
    expansion = _expanded([3, 0], 1)
    assert [one.ranks for one in expansion.candidates] == [{"final": 1}, {"final": 2}]


def test_a_gap_is_white_space_of_its_length_and_another_document_no_neighbour() -> None:
    """A short gap becomes white space of its length; a longer gap or another document ends the text."""
    joined = _chunk(5, (362, 400)), _chunk(6, (403, 440))
    expansion = _expanded([0], 1, [*joined, _chunk(6, (0, 40), "other")])
    [one] = expansion.candidates
    assert one.text == TEXT[362:400] + "\n\n " + TEXT[403:440]
    assert (one.chunk.start, one.chunk.end) == (362, 440)
    far = _expanded([4], 1)
    assert far.candidates[0].chunk.end == 160
    assert far.outcome.status == "partial"
    assert "does not continue the passage's: 1" in far.outcome.reason


def test_what_does_not_continue_the_text_is_left_out() -> None:
    """A neighbour whose overlapping text differs, as in an older version, is not joined."""
    stale = [*DOCUMENT[:3], replace(DOCUMENT[3], text="x" * 40), *DOCUMENT[4:]]
    expansion = _expanded([2], 2, stale)
    assert [chunk.ordinal for chunk in expansion.neighbours] == [0, 1]
    assert expansion.outcome.status == "partial"


def test_a_collection_without_an_order_is_flagged() -> None:
    """Passages that share an ordinal are not joined, and the outcome says why."""
    flat = [replace(chunk, ordinal=0) for chunk in DOCUMENT]
    expansion = _expanded([1, 2], 1, flat)
    assert [one.text for one in expansion.candidates] == [TEXT[30:70], TEXT[70:100]]
    assert expansion.neighbours == ()
    assert expansion.outcome.status == "partial"
    assert "its order is not known" in expansion.outcome.reason


class Down:
    """A store that cannot be reached."""

    def neighbours(self, chunks: Sequence[Chunk], reach: int) -> list[Chunk]:
        raise StoreUnavailableError("the server is down")


def test_a_store_that_fails_leaves_the_passages_as_they_are() -> None:
    """If the store fails, passages stay unexpanded and the outcome is a fallback with the reason."""
    expansion = anyio.run(Expander(Down(), 1).expand, [Candidate(DOCUMENT[2])])
    assert expansion.candidates == (Candidate(DOCUMENT[2]),)
    assert expansion.outcome.status == "fallback"
    assert "the server is down" in expansion.outcome.reason


def test_neighbours_never_push_a_passage_out_of_a_prompt() -> None:
    """A short budget drops neighbours first, and citations span only the text that was sent."""
    expansion = _expanded([0, 4], 1)
    full = Prompter(Templates.load(), tokens=2_000).prompt("what?", expansion.candidates)
    assert full.complaints == ()
    assert TEXT[60:70] in full.text
    assert TEXT[100:110] in full.text
    for tokens in range(300, 900):
        prompt = Prompter(Templates.load(), tokens=tokens).prompt("what?", expansion.candidates)
        if any("1 of 2 passages were sent without" in one for one in prompt.complaints):
            break
    assert prompt.given == (1, 2)
    spans = [(c.start, c.end) for c in resolve("a [1] b [2]", prompt.shown, prompt.given).citations]
    assert spans == [(0, 70), (120, 160)]
    assert TEXT[60:70] in prompt.text
    assert TEXT[100:110] not in prompt.text


def test_a_passage_that_was_not_sent_is_not_said_to_have_been() -> None:
    """The complaint about neighbours counts only the passages in the prompt."""
    candidates = _expanded([0, 4], 1).candidates
    prompts = (
        Prompter(Templates.load(), tokens=tokens).prompt("what?", candidates) for tokens in range(300, 900)
    )
    prompt = next(
        one
        for one in prompts
        if one.complaints and one.complaints[0].startswith("1 of 2 passages were not sent")
    )
    assert prompt.given == (1,)
    assert "the passage was sent without its neighbours" in "; ".join(prompt.complaints)
    assert "of 2 passages were sent" not in "; ".join(prompt.complaints)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One document of several passages about lighthouses and their keepers."""
    root = tmp_path_factory.mktemp("expansion")
    keepers = (
        f"## Keeper {n}\n\nThe keeper number {n} was called Name{n} and kept the tower of Rock {n}. "
        f"{'He wrote down the weather every evening and mended the lamp in the morning. ' * 12}\n\n"
        for n in range(12)
    )
    (root / "keepers.md").write_text("# Keepers\n\n" + "".join(keepers), encoding="utf-8")
    with RAGPipeline.from_settings(Settings.load(data_dir=root / "data")) as pipeline:
        assert pipeline.ingest(root / "keepers.md").totals["ingested"] == 1
    return root


def test_an_answer_with_neighbours_is_logged_and_replayed_whole(ingested: Path) -> None:
    """Expansion leaves the ranks unchanged, and log and replay give the same passages and text."""
    text = (ingested / "keepers.md").read_text(encoding="utf-8")
    with RAGPipeline.from_settings(Settings.load(data_dir=ingested / "data")) as pipeline:
        question = "Who kept the tower of Rock 7?"
        plain, wide = pipeline.ask(question, 50, 2), pipeline.ask(question, 50, 2, expand=1)
        assert wide.candidates == plain.candidates
        assert wide.neighbours
        assert "Name7" in wide.text
        assert all(text[c.start : c.end] == c.quote for c in wide.citations)
        assert [stage.status for stage in wide.stages if stage.name == "expand"] == ["ok"]
        assert pipeline.log.get(wide.id) == wide
        again = pipeline.log.replay(wide.id).answer
        assert (again.text, again.neighbours) == (wide.text, wide.neighbours)
        assert [c.quote for c in again.citations] == [c.quote for c in wide.citations]
        other = pipeline.log.replay(wide.id, top_k=4).answer
        assert "no neighbours of 2 of 4 passages" in " ".join(other.warnings)
        found = pipeline.search(question, 50, 2, expand=1)
        assert [len(one.text) for one in found.passages] > [len(one.text) for one in found.final]
        nothing = pipeline.ask("What is the boiling point of tungsten?", min_score=0.95, expand=1)
        assert (nothing.answered, nothing.candidates, nothing.citations) == (False, (), ())
        assert "below min_score" in nothing.stages[0].reason
