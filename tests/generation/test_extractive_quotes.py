"""The extractive answerer quotes the best sentences, cited exactly, by meaning or by words."""

from __future__ import annotations

import pytest

from generation.extractive.answerer import Scale
from generation.extractive.quoting import CHARACTERS, QUOTES
from generation.extractive.scoring import lexical_scores
from retrieval.encoders.encoder import Encoder
from retrieval.lexical import LexicalEncoder
from storage.records import Candidate
from tests.support.extractive import BRIDGE, OIL, answer, judged, passage, quotes

pytestmark = pytest.mark.heavy


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


def test_a_question_is_never_quoted_as_an_answer(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """A sentence that repeats the question is not quoted, although it shares every word."""
    text = "When did the oil crisis begin? It began in October of that year, an oil crisis like no other."
    generation = answer(encoder, lexical, "When did the oil crisis begin?", [passage(text, 1)])
    assert quotes(generation) == ["It began in October of that year, an oil crisis like no other."]


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


def test_without_a_floor_any_shared_word_will_do(encoder: Encoder, lexical: LexicalEncoder) -> None:
    """Without a floor even a weak answer is given."""
    question = "Which painter painted the Mona Lisa?"
    candidates = [passage(BRIDGE, 1)]
    assert not answer(encoder, lexical, question, candidates).answered
    assert answer(encoder, lexical, question, candidates, scale=Scale(None)).answered
