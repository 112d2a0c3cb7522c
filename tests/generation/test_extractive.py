"""The extractive answerer: the best sentences, cited exactly, by stored vectors or by words alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import anyio
import numpy as np
import pytest

from generation.extractive.answerer import E5, WHOLE, ExtractiveAnswerer, Scale
from generation.extractive.judging import Found
from generation.extractive.judging import judged as rank
from generation.extractive.quoting import CHARACTERS, QUOTES
from generation.extractive.scoring import lexical_scores, subject_share
from generation.extractive.units import units
from retrieval.encoders.encoder import Encoder
from retrieval.lexical import LexicalEncoder
from storage.errors import ModelError
from storage.records import Candidate, Chunk, Generation
from storage.vectors import Encoding, Floats

pytestmark = pytest.mark.heavy

OIL = (
    "The 1973 oil crisis began in October 1973. Arab members of OPEC proclaimed an embargo. "
    "By the end of the embargo in March 1974, the price of oil had risen to nearly $12."
)
BRIDGE = "The Golden Gate Bridge opened in 1937. Its towers are 227 metres tall. It is painted orange."
RERANK = "重排序把最相关的段落放在前面。交叉编码器比双编码器慢，但更准确。向量检索负责召回五十个候选段落。"


def passage(text: str, n: int, *, start: int = 0, title: str = "") -> Candidate:
    place = (start, start + len(text))
    chunk = Chunk(
        id=f"c{n}",
        document_id=f"d{n}",
        source=f"{n}.md",
        title=title or f"Document {n}",
        text=text,
        start=place[0],
        end=place[1],
    )
    return Candidate(chunk)


class Vectors:
    """Token vectors as a store keeps them: rounded to 4 bits, not of unit length."""

    def __init__(self, encoder: Encoder, candidates: Sequence[Candidate]) -> None:
        encodings = encoder.encode_passages([one.chunk.encoded_text for one in candidates], tokens=True)
        self.stored = {
            one.id: _rounded(encoding.tokens)
            for one, encoding in zip(candidates, encodings, strict=True)
            if encoding.tokens is not None and encoder.reads(one.text)
        }

        self.asked: list[str] = []

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        self.asked += chunk_ids
        return {one: self.stored[one] for one in chunk_ids if one in self.stored}


def _rounded(tokens: Floats) -> Floats:
    step = np.abs(tokens).max(axis=1, keepdims=True) / 7
    return np.asarray(np.round(tokens / step), dtype=np.float32)


def answer(
    encoder: Encoder,
    lexical: LexicalEncoder,
    question: str,
    candidates: Sequence[Candidate],
    *,
    vectors: Vectors | None = None,
    scale: Scale = E5,
) -> Generation:
    answerer = ExtractiveAnswerer(encoder, vectors or Vectors(encoder, candidates), lexical, scale=scale)
    return anyio.run(answerer.generate, question, candidates)


def quotes(generation: Generation) -> list[str]:
    return [citation.quote for citation in generation.citations]


def test_the_sentence_that_answers_is_quoted_with_its_exact_place(
    encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """Text, marker, quote and span all point at the same words of the document."""
    document = f"Another chapter.\n\n{OIL}"
    candidates = [passage(BRIDGE, 1), passage(OIL, 2, start=document.index(OIL))]
    generation = answer(encoder, lexical, "How much did oil cost in March 1974?", candidates)
    price = "By the end of the embargo in March 1974, the price of oil had risen to nearly $12."
    assert f"{price} [2]" in generation.text
    citation = next(one for one in generation.citations if one.quote == price)
    assert (citation.marker, citation.chunk_id, citation.document_id) == (2, "c2", "d2")
    assert document[citation.start : citation.end] == price
    assert generation.answered
    assert (generation.answerer, generation.outcome.name, generation.outcome.status) == (
        "extractive",
        "generation",
        "ok",
    )
    assert generation.outcome.usage.calls == 0
    assert generation.prompt == ""


def test_meaning_finds_what_shares_no_word(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Token vectors match a physician to a doctor, where words alone would find nothing."""
    candidates = [
        passage(OIL, 1),
        passage("The physician examined a sick child. Its towers are 227 metres tall.", 2),
    ]
    generation = answer(encoder, lexical, "Which doctor looked after the ill kid?", candidates)
    assert quotes(generation) == ["The physician examined a sick child."]


def test_the_best_unit_comes_first_whatever_its_passage(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """The order of the quotes is how well they answer, not where they stand."""
    candidates = [passage(BRIDGE, 1), passage(OIL, 2)]
    generation = answer(encoder, lexical, "How much did oil cost in March 1974?", candidates)
    assert "nearly $12" in quotes(generation)[0]
    assert generation.citations[0].marker == 2


def test_what_is_said_twice_is_quoted_once(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """A repeated sentence, or one that differs by a word, is quoted only once."""
    near = OIL.replace("nearly $12", "almost $12").replace("began", "had begun")
    candidates = [passage(OIL, 1), passage(OIL, 2), passage(near, 3)]
    generation = answer(encoder, lexical, "How much did oil cost in March 1974?", candidates)
    assert sum("March 1974" in quote for quote in quotes(generation)) == 1


def test_passages_that_contradict_each_other_are_both_quoted(
    encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """The same sentence with another year in it is no repetition, and the outcome says so."""
    candidates = [passage(BRIDGE, 1), passage(BRIDGE.replace("1937", "1973"), 2), passage(OIL, 3)]
    question = "When did the Golden Gate Bridge open?"
    for found in (
        answer(encoder, lexical, question, candidates),
        judged(encoder, lexical, question, *candidates),
    ):
        assert {quote[-5:-1] for quote in quotes(found)} >= {"1937", "1973"}
        assert "the passages contradict each other" in found.outcome.reason


def test_an_answer_stays_short(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Three sentences at most, and about 700 characters, whatever the passages hold."""
    long = " ".join(f"Oil of kind {n} is traded {'very ' * 40}often." for n in range(9))
    generation = answer(encoder, lexical, "How is oil traded?", [passage(long, 1), passage(OIL, 2)])
    assert 1 <= len(generation.citations) <= QUOTES
    assert sum(len(quote) for quote in quotes(generation)) <= CHARACTERS


def test_chinese_is_answered_by_meaning_where_the_encoder_reads_it(
    encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """Token vectors choose Chinese sentences as they choose English ones."""
    candidates = [passage(OIL, 1), passage(RERANK, 2)]
    generation = answer(encoder, lexical, "哪一步挑出五十段候选文字？", candidates)
    assert quotes(generation)[0] == "向量检索负责召回五十个候选段落。"
    assert "weak match" in generation.outcome.reason  # hardly a word in common


def test_chinese_that_the_encoder_cannot_read_is_answered_by_words(
    minilm: Encoder, lexical: LexicalEncoder
) -> None:
    """The outcome is partial and names the reason."""
    candidates = [passage(OIL, 1), passage(RERANK, 2)]
    generation = answer(minilm, lexical, "交叉编码器为什么慢？", candidates, scale=WHOLE)
    assert quotes(generation)[0] == "交叉编码器比双编码器慢，但更准确。"
    assert generation.text.startswith("交叉编码器比双编码器慢，但更准确。 [2]")
    assert generation.outcome.status == "partial"
    assert "cannot read the question" in generation.outcome.reason


def test_passages_without_vectors_are_judged_by_words_and_counted(
    encoder: Encoder, lexical: LexicalEncoder
) -> None:
    """A passage that the encoder could not read still takes part, and the outcome says how many sentences."""
    candidates = [passage(OIL, 1), passage(BRIDGE, 2)]
    vectors = Vectors(encoder, candidates)
    del vectors.stored["c2"]
    generation = answer(
        encoder, lexical, "How tall are the towers of the bridge?", candidates, vectors=vectors
    )
    assert any("Its towers are 227 metres tall." in quote for quote in quotes(generation))
    assert (generation.outcome.status, generation.outcome.reason[:34]) == (
        "partial",
        "3 of 6 sentences have no token vec",
    )


def test_vectors_are_read_once_for_several_questions(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """The next question about a passage finds its tokens; a passage of another text has others."""
    one, changed = passage(BRIDGE, 1), passage(f"{BRIDGE} It is orange.", 1)
    vectors = Vectors(encoder, [one])
    question = "When did the Golden Gate Bridge open?"
    first, second = (answer(encoder, lexical, question, [one], vectors=vectors) for _ in range(2))
    assert (first.text, vectors.asked) == (second.text, [one.id])
    vectors.stored[one.id] = Vectors(encoder, [changed]).stored[changed.id]
    same = replace(changed, chunk=replace(changed.chunk, id=one.id))
    answer(encoder, lexical, question, [same], vectors=vectors)
    assert vectors.asked == [one.id, one.id]


def test_vectors_of_another_tokenizer_are_not_guessed_at(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Stored vectors whose number does not match the text's tokens count as missing."""
    candidates = [passage(OIL, 1)]
    vectors = Vectors(encoder, candidates)
    vectors.stored["c1"] = vectors.stored["c1"][:-3]
    generation = answer(encoder, lexical, "When did the oil crisis begin?", candidates, vectors=vectors)
    assert "The 1973 oil crisis began in October 1973." in quotes(generation)
    assert generation.outcome.status == "partial"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Who painted the Mona Lisa?", "The retrieved passages do not answer this question."),
        ("谁画了蒙娜丽莎？", "检索到的资料无法回答这个问题。"),
    ],
)
def test_what_has_nothing_to_do_with_the_question_is_no_answer(
    encoder: Encoder, lexical: LexicalEncoder, question: str, text: str
) -> None:
    """`answered` is False and the text says so, in the question's language."""
    generation = answer(encoder, lexical, question, [passage(OIL, 1), passage(BRIDGE, 2)])
    assert (generation.answered, generation.citations) == (False, ())
    assert generation.text.startswith(text)
    assert "Document 1" in generation.text


def test_a_question_is_never_quoted_as_an_answer(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """A sentence that repeats the question is not quoted, although it shares every word."""
    text = "When did the oil crisis begin? It began in October of that year, an oil crisis like no other."
    generation = answer(encoder, lexical, "When did the oil crisis begin?", [passage(text, 1)])
    assert quotes(generation) == ["It began in October of that year, an oil crisis like no other."]


def test_without_a_floor_any_shared_word_will_do(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Without a floor even a weak answer is given."""
    question = "Which painter painted the Mona Lisa?"
    candidates = [passage(BRIDGE, 1)]
    assert not answer(encoder, lexical, question, candidates).answered
    assert answer(encoder, lexical, question, candidates, scale=Scale(None)).answered


@pytest.mark.parametrize("candidates", [[], [passage("", 1)], [passage("# Only a heading", 1)]])
def test_nothing_to_quote_is_no_answer(
    encoder: Encoder, lexical: LexicalEncoder, candidates: list[Candidate]
) -> None:
    """Without candidates, or without a sentence in them, there is no answer and no error."""
    generation = answer(encoder, lexical, "When did the oil crisis begin?", candidates)
    assert (generation.answered, generation.citations) == (False, ())
    assert generation.text


def test_shared_words_weigh_by_their_rarity() -> None:
    """A rare term of the question counts more than a common one; the share stays within 0 and 1."""
    common, rare = 1, 2
    sentences = [frozenset({common}), frozenset({common, rare}), frozenset({common})]
    scores = lexical_scores(frozenset({common, rare}), sentences)
    assert scores[0] == scores[2] < 0.5
    assert scores[1] == pytest.approx(1)
    assert lexical_scores(frozenset(), [frozenset({common})]) == [0]


@pytest.mark.parametrize("reader", ["encoder", "minilm"])
def test_a_chinese_question_about_something_else_is_not_answered_by_its_common_words(
    request: pytest.FixtureRequest, lexical: LexicalEncoder, reader: str
) -> None:
    """The subject of a question decides, not its function words: 为什么, 是, 的 occur in every text."""
    encoder: Encoder = request.getfixturevalue(reader)
    scale = E5 if reader == "encoder" else WHOLE
    candidates = [passage(RERANK, 1), passage("为什么说段落的长度是重要的？因为模型是有限的。", 2)]
    for question, answered in (
        ("高铁的时速是多少？为什么是有限的？", False),
        ("重排序把什么放在前面？", True),
        ("段落是什么？", True),
    ):
        assert answer(encoder, lexical, question, candidates, scale=scale).answered == answered, question


def test_the_subject_of_a_chinese_question_is_what_it_does_not_ask_with(lexical: LexicalEncoder) -> None:
    """Simplified and traditional characters match; a question of function words alone has no subject."""
    passages = ["BM25 很快。", "重排序更慢。"]
    assert subject_share("重排序哪里更慢？", passages, lexical) == 1
    assert subject_share("重排序為什麼更慢？", ["重排序更快。", "重排序更慢。"], lexical) == 1
    assert subject_share("气候变暖的原因是什么？", ["氣候變暖的原因很多。"], lexical) == 1
    assert subject_share("向量检索有多少段落？", passages, lexical) == 0
    assert subject_share("为什么？", passages, lexical) is None
    assert subject_share("猫是什么？", passages, lexical) is None
    assert subject_share("重排序是什么？", [], lexical) == 0


class Empty:
    """A store without token vectors."""

    def token_vectors(self, chunk_ids: Sequence[str]) -> dict[str, Floats]:
        return {}


class Unreachable:
    """An encoder behind an endpoint that is down."""

    def reads(self, text: str) -> bool:
        return bool(text.strip())

    def encode_query(self, text: str) -> Encoding:
        raise ModelError("the embeddings endpoint cannot be reached")

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return []


def test_an_encoder_that_fails_leaves_the_words(lexical: LexicalEncoder) -> None:
    """Without dense vectors the lexical scores pick the quotes, and the outcome names the failure."""
    answerer = ExtractiveAnswerer(Unreachable(), Empty(), lexical)
    given = anyio.run(answerer.generate, "When did the Golden Gate Bridge open?", [passage(BRIDGE, 1)])
    assert "opened in 1937" in given.text
    assert given.outcome.status == "partial"
    assert "cannot be reached" in given.outcome.reason


class Literal:
    """A cross-encoder that counts the words that question and text share, and reads what is Latin."""

    def __init__(self, *, busy: bool = False) -> None:
        self.read: list[str] = []
        self.busy = busy

    def reads(self, text: str) -> bool:
        return text.isascii()

    def log_odds(self, question: str, texts: Sequence[str]) -> list[float]:
        self.read += texts
        asked = set(question.lower().strip("?").split())
        return [4.0 * len(asked & set(text.lower().strip(".").split())) - 8.0 for text in texts]


def judged(encoder: Encoder, lexical: LexicalEncoder, question: str, *passages: Candidate) -> Generation:
    vectors = Vectors(encoder, passages)
    answerer = ExtractiveAnswerer(encoder, vectors, lexical, scale=E5, judge=Literal())
    return anyio.run(answerer.generate, question, passages)


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
