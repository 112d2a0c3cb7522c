"""The verifier: a small cross-encoder that tells whether a Chinese quotation answers its question."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from generation.extractive.answerer import E5, VERIFIED, ExtractiveAnswerer
from generation.extractive.confidence import Signs, weights_for
from rerank.cross.chinese import load_chinese, opened
from retrieval.encoders.encoder import Encoder
from retrieval.lexical import LexicalEncoder
from storage.records import Candidate
from storage.vectors import Floats
from winnow.app.answer_judges.cross_encoder import AnswerJudge

pytestmark = pytest.mark.heavy

QUESTION = "青岚净水器的滤芯多久更换一次？"
ANSWERS = "滤芯每六个月更换一次，水质较差的地区宜缩短到四个月。"
BESIDE = "青岚净水器的滤芯由椰壳活性炭制成，可以回收。"


@pytest.fixture(scope="module")
def verifier(encoder: Encoder) -> AnswerJudge:
    packaged = encoder.packaged
    assert packaged is not None
    layers = opened()
    return AnswerJudge(lambda: load_chinese(packaged, lambda: layers))


@pytest.mark.parametrize(
    ("question", "answers", "beside"),
    [
        (QUESTION, ANSWERS, BESIDE),
        ("沈括生於哪一年？", "沈括於1031年生於錢塘縣。", "沈括字存中，晚年著有《夢溪筆談》。"),
        ("谁负责批准出差？", "出差须由部门经理批准。", "出差结束后五日内提交报销单。"),
    ],
)
def test_the_sentence_that_answers_scores_above_its_neighbour(
    verifier: AnswerJudge, question: str, answers: str, beside: str
) -> None:
    right, wrong = verifier.log_odds(question, [answers, beside])
    assert right > max(0, wrong + 1)


class Stored:
    """Token vectors of passages as the encoder makes them."""

    def __init__(self, encoder: Encoder, *passages: Candidate) -> None:
        texts = [one.chunk.encoded_text for one in passages]
        encoded = encoder.encode_passages(texts, tokens=True)
        self._tokens = {one.id: found.tokens for one, found in zip(passages, encoded, strict=True)}

    def token_vectors(self, ids: list[str]) -> dict[str, Floats]:
        return {one: tokens for one in ids if (tokens := self._tokens.get(one)) is not None}

    def max_sim(self, query: Floats, chunk_ids: list[str]) -> dict[str, float]:
        return {}  # nothing is reranked here


def test_a_chinese_answer_is_verified_and_a_neighbour_of_it_is_doubted(
    encoder: Encoder, lexical: LexicalEncoder, verifier: AnswerJudge
) -> None:
    """The same question of a passage that answers it, and of one that only speaks of the thing."""
    for text, sure in ((f"{BESIDE}{ANSWERS}", True), (BESIDE, False)):
        passage = Candidate.from_text(text, id="p")
        answerer = ExtractiveAnswerer(encoder, Stored(encoder, passage), lexical, scale=E5, verifier=verifier)
        judgement = answerer.judgement(QUESTION, [passage])
        assert judgement.signs is not None
        assert judgement.signs.verified is not None
        assert judgement.answers
        assert judgement.is_weak is not sure


class Favouring:
    """A verifier that believes texts with certain words."""

    def __init__(self, words: str) -> None:
        self._words = words
        self.read = 0

    def reads(self, text: str) -> bool:
        return bool(text)

    def log_odds(self, question: str, texts: Sequence[str]) -> list[float]:
        self.read += len(texts)
        return [3.0 if self._words in text else -3.0 for text in texts]


def test_of_the_best_chinese_units_the_one_that_the_verifier_believes_comes_first(
    encoder: Encoder, lexical: LexicalEncoder
) -> None:
    restated = "更换青岚净水器的滤芯之前，请先关闭进水阀并泄压一次。"
    text = f"{restated}滤芯用满半年即需换新。{BESIDE}净水器的保修期为两年。"
    passage = Candidate.from_text(text, id="p")
    firsts = []
    for words in ("关闭进水阀", "半年"):
        verifier = Favouring(words)
        answerer = ExtractiveAnswerer(encoder, Stored(encoder, passage), lexical, scale=E5, verifier=verifier)
        judgement = answerer.judgement(QUESTION, [passage])
        firsts.append(judgement.ranked[0].quoted)
        assert verifier.read == VERIFIED
        assert judgement.signs is not None
        assert judgement.signs.verified == 3.0
        assert len({one.quoted for one in judgement.ranked}) == len(judgement.ranked) == 4
    assert firsts == [restated, "滤芯用满半年即需换新。"]


def test_an_english_question_and_an_answerer_without_a_verifier_are_judged_as_before(
    encoder: Encoder, lexical: LexicalEncoder, verifier: AnswerJudge
) -> None:
    pump = Candidate.from_text("The pump is checked each spring. It weighs 12 kg.", id="p")
    filters = Candidate.from_text(f"{BESIDE}{ANSWERS}", id="f")
    stored = Stored(encoder, pump, filters)
    with_one = ExtractiveAnswerer(encoder, stored, lexical, scale=E5, verifier=verifier)
    english = with_one.judgement("When is the pump checked?", [pump])
    chinese = ExtractiveAnswerer(encoder, stored, lexical, scale=E5).judgement(QUESTION, [filters])
    for judgement in (english, chinese):
        assert judgement.signs is not None
        assert judgement.signs.verified is None
        assert judgement.weights == weights_for(judgement.question, by_cross_encoder=False)


def test_what_the_verifier_says_counts_in_the_confidence() -> None:
    weights = weights_for(QUESTION, by_cross_encoder=False, verified=True)
    doubtful, sure = (Signs(score=0.9, cosine=0.9, verified=said) for said in (-3.0, 4.0))
    assert weights.probability(doubtful) < 0.1
    assert weights.probability(sure) > 0.7


def test_an_encoder_that_is_not_the_packaged_default_has_no_verifier(minilm: Encoder) -> None:
    """The verifier's lowest layers are that encoder's embeddings."""
    assert minilm.packaged is None
