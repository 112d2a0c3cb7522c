"""A cross-encoder judges units closely: what comes first, what stays together, what is flagged."""

from __future__ import annotations

import anyio
import pytest

from generation.extractive.answerer import E5, ExtractiveAnswerer
from generation.extractive.judging import Found
from generation.extractive.judging import judged as rank
from generation.extractive.units import units
from retrieval.encoders.encoder import Encoder
from retrieval.lexical import LexicalEncoder
from tests.support.extractive import RERANK, Literal, Vectors, judged, passage, quotes

pytestmark = pytest.mark.heavy


def test_under_load_few_units_are_judged_closely(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Judges only the best sentences while others wait for the model, and the answer says so.

    At most six, and none that vectors and words find much worse.
    """
    hours = [f"The kitchen closes at {n} o'clock." for n in range(1, 9)]
    one = passage(" ".join([*hours, "Tallow is a queue."]), 1)
    for busy, most in ((True, 6), (False, 100)):
        judge = Literal(busy=busy)
        answerer = ExtractiveAnswerer(encoder, Vectors(encoder, [one]), lexical, scale=E5, judge=judge)
        found = anyio.run(answerer.generate, "When does the kitchen close?", [one])
        assert len(judge.read) <= most
        assert (len(judge.read) > 6) is not busy
        assert any("Tallow" in read for read in judge.read) is not busy
        assert ("other questions wait for the model" in found.outcome.reason) is busy


def test_the_cross_encoder_decides_what_comes_first(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Its judgement counts where it reads question and passages, and a sure answer is one unit."""
    text = "Tallow is a queue. The admin port of the queue is 7412. Other ports are closed."
    generation = judged(encoder, lexical, "what is the admin port of the queue?", passage(text, 1))
    assert quotes(generation) == ["The admin port of the queue is 7412."]
    assert generation.outcome.status == "ok"


def test_a_change_log_answers_where_nothing_else_does(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Its entry has the words of the question, and so has the sentence that says how, which comes first."""
    entry = passage("* Run the docs in multiple workers. PR [#7](https://git.example/q/q/pull/7)", 1)
    guide = passage("Multiple workers run with `--workers 4`.", 2)
    question = "run multiple workers"
    assert "--workers 4" in quotes(judged(encoder, lexical, question, entry, guide))[0]
    assert quotes(judged(encoder, lexical, question, entry))[0].startswith("Run the docs")


def test_chinese_goes_past_a_judge_that_cannot_read_it(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """The encoder's vectors decide alone, and that is no failure."""
    generation = judged(encoder, lexical, "交叉编码器为什么慢？", passage(RERANK, 1))
    assert quotes(generation)[0] == "交叉编码器比双编码器慢，但更准确。"
    assert generation.outcome.status == "ok"


def test_a_near_miss_is_flagged_and_a_far_one_refused(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Another code than the passage's is a weak match at most; another subject is no answer."""
    text = "青苗 Q5 的额定净水流量为每分钟 1.6 升。整机保修两年。"
    asked = judged(encoder, lexical, "青苗 Q5 的净水流量是多少？", passage(text, 1, title="青苗 Q5 净水器"))
    assert (asked.answered, asked.outcome.status) == (True, "ok")
    near = judged(encoder, lexical, "青苗 Q7 的净水流量是多少？", passage(text, 1, title="青苗 Q5 净水器"))
    assert not near.answered or "weak match" in near.outcome.reason
    far = judged(encoder, lexical, "谁写了《百年孤独》？", passage(text, 1, title="青苗 Q5 净水器"))
    assert not far.answered
    assert "最接近的段落是“青苗 Q5 净水器”" in far.text


def test_a_row_is_quoted_with_its_column_names(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Both are cited, and the marker stands below the table."""
    table = "| code | meaning |\n|---|---|\n| E1 | tank is empty |\n| E7 | sensor is broken |"
    generation = judged(encoder, lexical, "code E7 meaning sensor broken", passage(table, 1))
    assert generation.text.startswith("| code | meaning |\n|---|---|\n| E7 | sensor is broken |\n[1]")
    assert quotes(generation)[:2] == ["| code | meaning |\n|---|---|", "| E7 | sensor is broken |"]


def test_rows_of_one_table_stand_together(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """The column names are shown once, and one marker stands below."""
    table = "| part | memory |\n|---|---|\n| server A | 16 GB |\n| server B | 8 GB |"
    generation = judged(encoder, lexical, "which memory has the part server?", passage(table, 1))
    assert generation.text == f"{table}\n[1]"
    assert len(quotes(generation)) == 3


def test_a_sentence_that_points_back_brings_the_one_before(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Alone it would not say what it is about."""
    text = "A card for adults costs money. It is 18 pounds a year. The rooms are free."
    generation = judged(encoder, lexical, "a card for adults costs how many pounds a year?", passage(text, 1))
    assert quotes(generation)[0] == "A card for adults costs money. It is 18 pounds a year."


def test_neighbours_that_answer_equally_well_are_one_quote() -> None:
    """One sentence takes up the question's words, and the next one answers it."""
    text = "抽三十题由两人标注，计算一致性系数。低于 0.6 就要修改说明。别的不用管。"
    found = []
    for unit, cheap in zip(units(text), (0.70, 0.69, 0.2), strict=True):
        before = text[unit.before[0] : unit.span[0]] if unit.before else ""
        found.append(Found(0, unit, text[slice(*unit.span)], "", before, "", frozenset(), cheap=cheap))
    best, *_ = rank("一致性系数低于多少要修改说明？", found, None)[0]
    assert best.quoted == "抽三十题由两人标注，计算一致性系数。低于 0.6 就要修改说明。"
