"""Token vectors that are missing, kept, of another tokenizer or not to be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest

from generation.extractive.answerer import ExtractiveAnswerer
from retrieval.encoders.encoder import Encoder
from retrieval.lexical import LexicalEncoder
from storage.errors import ModelError
from storage.vectors import Encoding, Floats
from tests.support.extractive import BRIDGE, OIL, Vectors, answer, passage, quotes

pytestmark = pytest.mark.heavy


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
