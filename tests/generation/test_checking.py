"""A model's answer against the passages that it cites: what is made up is found, what is there is not."""

from __future__ import annotations

import pytest

from generation.chat.checking import Check, checked, claims
from storage.records import Candidate, Chunk

TEXTS = (
    "Tallow listens on port 7411. Messages may be 1,000 bytes long. "
    "Ada Byron says: “keys are never reused here”.",
    "The reading room opens at 10:00 on Saturday.",
    "星图的默认端口是 9301，数据保留 45 天。手册写道：“写入后不可修改，只能整体过期。”",
)


def look(answer: str, check: Check = "flag", question: str = "How?") -> tuple[str, list[str]]:
    passages = [
        Candidate(
            Chunk(
                id=str(n), document_id=str(n), source=f"{n}.md", title="", text=text, start=0, end=len(text)
            )
        )
        for n, text in enumerate(TEXTS, 1)
    ]
    found = checked(question, answer, passages, (1, 2, 3), check)
    return found.text, [str(complaint) for complaint in found.complaints]


@pytest.mark.parametrize(
    "answer",
    [
        "Tallow uses port 7411. [1]",
        "Messages may have 1000 bytes [1]. The room opens at 10:00 [2].",
        "Byron says “keys are never\nreused here” [1].",
        "It is a “queue” [1] of messages.",
        "默认端口是 9301，数据保留 45 天 [3]。",
        "手册写道：“写入后不可修改，只能整体过期” [3]。",
        "The room opens on Saturday, as Kim asked. [2]",
        "The Star Atlas keeps records for 45 days [3].",  # words of another language are not looked for
        "Nothing cited, 99 times, by Nobody Here.",
        "An unknown passage says 99. [7]",
    ],
)
def test_what_the_passages_hold_is_left_alone(answer: str) -> None:
    """Numbers in another form, words in quotation marks, names of the question and uncited text pass."""
    assert look(answer, question="When can Kim come?") == (answer, [])


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("Tallow uses port 7412. [1]", "7412"),
        ("It is said that “keys are always reused here” [1].", "“keys are always reused here”"),
        ("The messages are checked by Charles Babbage [1].", "Charles, Babbage"),
        ("数据保留 90 天 [3]。", "90"),
        ("手册写道：“写入后可以修改” [3]。", "“写入后可以修改”"),
        ("端口由 Redis 决定 [3]。", "Redis"),
        ("The Star Atlas keeps records for 54 days [3].", "54"),
        ("Bananas ripen slowly [2].", "[2]"),
    ],
)
def test_what_they_lack_is_named(answer: str, fault: str) -> None:
    """Made-up numbers, quotations and names, and a passage with no word of the sentence, are flagged."""
    text, complaints = look(answer)
    assert text == answer
    assert complaints == [f"the cited passages do not hold: {fault}"]


def test_such_sentences_can_be_dropped() -> None:
    """The others stay with their markers; off, nothing is looked at."""
    answer = "Tallow uses port 7411. [1] It was made in 1987. [1] The room opens at 10:00. [2]"
    text, complaints = look(answer, "drop")
    assert text == "Tallow uses port 7411. [1] The room opens at 10:00. [2]"
    assert complaints == ["1 sentence was dropped, since the cited passages do not hold: 1987"]
    assert look(answer, "off") == (answer, [])


def test_a_marker_belongs_to_the_sentence_before_it() -> None:
    """Behind the full stop, before it, or several at once."""
    found = [
        (claim.text.strip(), claim.cited) for claim in claims("One is so. [1][2] Two is not [3]. Three is.")
    ]
    assert found == [("One is so.", (1, 2)), ("Two is not .", (3,))]
