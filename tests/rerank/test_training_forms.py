"""Synthesizing with a model: forms, replies, the journal, duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from rerank.llm.budget import Budget, Meter
from rerank.llm.calls import CallCounts, Caller, Request
from rerank.parts import RerankParts
from rerank.training.duplicates import Duplicates, folded
from rerank.training.forms import ANSWERING, FORMS, GRADES, MISLEADING, QUERIES, SynthesisTemplates
from rerank.training.journal import Journal
from rerank.training.records import LabelledPassage, TrainingRecord
from storage.chat import Completion, Message
from storage.errors import BadInputError, SettingsError
from storage.records import Usage


def reply(text: str, **more: Any) -> Completion:
    return Completion(text, Usage(1, 10, 5, 0.25), "m", **more)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"questions": ["Why?", "How\\nso?"]}', ("Why?", "How so?")),
        ('Sure!\n```json\n{"questions": ["为什么？"]}\n```\nAnything else?', ("为什么？",)),
        ('{"questions": []} is a draft. {"questions": ["Why?"]}', ("Why?",)),
        ('{"questions": ["a", "b", "c"]}', ("a", "b")),
        ('{"questions": ["Why?", "Ho', None),
        ('{"questions": "Why?"}', None),
        ('{"questions": [1]}', None),
        ('{"questions": [" "]}', None),
        ("Why?", None),
        ("", None),
    ],
)
def test_written_questions_are_read(text: str, found: tuple[str, ...] | None) -> None:
    """Questions are read from the JSON in a reply; cut-off or misshapen JSON gives none."""
    assert QUERIES.read(reply(text), 2) == found


def test_full_width_signs_stay_as_they_were_written() -> None:
    """A Chinese passage keeps its punctuation."""
    assert (
        ANSWERING.read(reply('{"passage": "第十四条：可以（书面），１天。"}'), 1)
        == "第十四条：可以（书面），１天。"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"grades": [3, 0, "1"]}', (3, 0, 1)),
        ('{"grades": [3, 0]}', None),
        ('{"grades": [3, 0, 4]}', None),
        ('{"grades": [3, 0, -1]}', None),
        ('{"grades": [3, 0, true]}', None),
        ('{"grades": [3, 0, 1.5]}', None),
        ("3, 0, 1", None),
    ],
)
def test_grades_are_read_or_not_believed(text: str, found: tuple[int, ...] | None) -> None:
    """Each passage needs a whole grade from 0 to 3; otherwise there is no verdict at all."""
    assert GRADES.read(reply(text), 3) == found


def test_every_form_is_there_in_both_languages() -> None:
    """Every template exists in both languages, can be filled in, and declares passages to be data."""
    templates = SynthesisTemplates()
    for form in FORMS:
        en, zh = (
            templates.messages(form, language, question="Q?", passages="P.", count="3")
            for language in ("en", "zh")
        )
        assert en != zh
        assert "data" in en[0].content
        assert "资料" in zh[0].content
        assert all(name in en[1].content for name in form.schema["required"])


def test_own_examples_take_the_place_of_winnows_by_language() -> None:
    """Few-shot examples are in the passage's language, and the user's replace the built-in ones."""
    mine = TrainingRecord(
        query="What is mine?", passages=(LabelledPassage(text="</passage> is mine.", label=1),)
    )
    own, stock = SynthesisTemplates(examples=[mine]), SynthesisTemplates()
    shown = own.messages(QUERIES, "en", passages="P", count="1")[1].content
    assert "What is mine?" in shown
    assert shown.count("</passage>") == 1  # its own cannot close the fence
    assert own.messages(QUERIES, "zh", passages="P", count="1") == stock.messages(
        QUERIES, "zh", passages="P", count="1"
    )
    assert own.fingerprint(QUERIES) != stock.fingerprint(QUERIES)
    assert own.fingerprint(GRADES) == stock.fingerprint(GRADES)


def test_a_folder_replaces_templates_file_by_file(tmp_path: Path) -> None:
    """A user's template is used and changes the hash; an unusable one is refused at once."""
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "misleading.txt").write_text("S\n---\n$question $passages $count", encoding="utf-8")
    templates = SynthesisTemplates(tmp_path)
    assert templates.messages(MISLEADING, "en", question="Q", passages="P", count="2")[1].content == "Q P 2"
    assert templates.fingerprint(MISLEADING) != SynthesisTemplates().fingerprint(MISLEADING)
    (tmp_path / "en" / "grades.txt").write_text("S\n---\n$question", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"en/grades\.txt"):
        SynthesisTemplates(tmp_path)


REQUEST = Request((Message("system", "s"), Message("user", "你好")), 100)


def test_the_journal_gives_back_what_was_paid_for(tmp_path: Path) -> None:
    """A journaled reply is found by the same request, in another process too, with its cost."""
    path = tmp_path / "j"
    paid = reply("answer 回答", refusal="no", finish_reason="length")
    with Journal(path, "m") as journal:
        assert journal.recalled(REQUEST) is None
        journal.keep(REQUEST, paid)
        made = journal.time_of("a", "b")
    with Journal(path, "m") as journal:
        assert journal.recalled(REQUEST) == paid
        assert journal.recalled(Request(REQUEST.messages, 200)) is None
        assert journal.time_of("a", "b") == made
    with Journal(path, "another") as journal:
        assert journal.recalled(REQUEST) is None


class Reasoner:
    """A ChatModel that needs more room for puzzles, and counts its calls."""

    model = "m"

    def __init__(self) -> None:
        self.calls = 0

    async def complete(self, messages: Sequence[Message], *, max_tokens: int, **_: object) -> Completion:
        self.calls += 1
        await anyio.lowlevel.checkpoint()
        if "puzzle" in messages[0].content and max_tokens < 1_000:
            return reply("", finish_reason="length")
        return reply("yes", finish_reason="stop")

    def stream(self, messages: Sequence[Message], *, max_tokens: int) -> Any:
        raise AssertionError("what ranks and grades asks for whole replies")


@pytest.mark.parametrize("order", [("easy", "puzzle"), ("puzzle", "easy")])
def test_a_reply_is_known_whatever_room_it_was_given(tmp_path: Path, order: tuple[str, str]) -> None:
    """A reply is found in the journal whatever token limit it was requested with."""
    chat = Reasoner()

    async def run(questions: Sequence[str]) -> list[str | None]:
        with Journal(tmp_path / "j", "m") as journal:
            caller = Caller(
                chat,
                RerankParts(),
                CallCounts(),
                recall=journal.recalled,
                keep=journal.keep,
                meter=Meter(Budget()),
            )
            asked = [Request((Message("user", question),), 100) for question in questions]
            return [(await caller.asked(one, lambda c: c.text or None, again="?")).value for one in asked]

    assert anyio.run(run, order) == ["yes", "yes"]
    assert chat.calls == 3
    assert anyio.run(run, order[::-1]) == ["yes", "yes"]
    assert chat.calls == 3


def test_half_a_line_at_the_end_of_the_journal_is_cut_off(tmp_path: Path) -> None:
    """A line left incomplete by a kill is dropped, and the next reply starts on a line of its own."""
    path = tmp_path / "j"
    with Journal(path, "m") as journal:
        journal.keep(REQUEST, reply("one"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    with Journal(path, "m") as journal:
        journal.keep(Request(REQUEST.messages, 7), reply("two"))
    with Journal(path, "m") as journal:
        assert journal.recalled(REQUEST) == reply("one")
        assert journal.recalled(Request(REQUEST.messages, 7)) == reply("two")


def test_a_file_that_is_no_journal_is_not_written_to(tmp_path: Path) -> None:
    """A file that is not a journal is left unchanged, and the error names the line."""
    path = tmp_path / "j"
    path.write_text('{"some": "thing"}\n')
    with pytest.raises(BadInputError, match="j:1 is no line of a journal"), Journal(path, "m"):
        pass
    assert path.read_text() == '{"some": "thing"}\n'


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is reranking?", "what is  RE-RANKING", True),
        ("How do I renew the library card?", "How do I renew the library cards?", True),
        ("How do I renew the library card?", "How do I renew my passport?", False),
        ("重排序做什么？", "重排序，做什么?", True),
        ("重排序做什么？", "重排序不做什么？", False),
        ("a", "b", False),
    ],
)
def test_near_copies_are_known(one: str, other: str, same: bool) -> None:
    """Questions that differ in typography, or by a letter in a long text, are near copies."""
    known = Duplicates()
    assert not known.seen(one)
    assert known.seen(other) is same


def test_no_near_copy_is_missed() -> None:
    """The prefix filter finds the same near copies as comparing all pairs."""
    texts = [f"question number {i % 7} about subject {'abcdefg'[i % 5] * (i % 11)}" for i in range(120)]
    known, kept = Duplicates(), list[str]()
    for text in texts:
        alike = any(_jaccard(text, other) >= 0.8 for other in kept)
        assert known.seen(text) is alike
        if not alike:
            kept.append(text)
    assert 5 < len(kept) < 120


def _jaccard(one: str, other: str) -> float:
    a, b = ({t[i : i + 3] for i in range(len(t) - 2)} for t in (folded(one), folded(other)))
    return len(a & b) / len(a | b)
