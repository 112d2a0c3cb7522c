"""Measuring whole rows: caching, resuming, folding, answers; with a tiny encoder and the real stores."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from rerank.base import Reranker, by_score
from rerank.spec import Spec
from retrieval.encoders.tokenizer import WholeTokenizer
from retrieval.lexical import LexicalEncoder
from storage.errors import BadInputError
from storage.qdrant.contract import TokenScorer
from storage.reasons import Reason
from storage.records import Candidate, Citation, Generation, Outcome, Ranking, Usage
from storage.vectors import Encoding
from tests.support.endpoint import Endpoint
from winnow.app.encoders import Encoders
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.lab.evaluation import Evaluation, Plan, evaluate, load_dataset, read_run
from winnow.lab.evaluation.fingerprints import rerank_key
from winnow.lab.evaluation.rows import QuestionResult, RowData

pytestmark = pytest.mark.heavy

WORDS = ["flood", "fire", "storm", "quake", "drought", "frost"]


class WordEncoder:
    """One dimension per word of the list; counts the texts it encodes."""

    id = "words"
    dim = token_dim = len(WORDS) + 1
    max_tokens = 64

    def __init__(self) -> None:
        self.encoded: list[str] = []

    @property
    def counter(self) -> WholeTokenizer:
        tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = Whitespace()
        return WholeTokenizer(tokenizer)

    def legibility(self, text: str) -> float:
        return float(text.isascii())

    def reads(self, text: str) -> bool:
        return text.isascii()

    def encode_query(self, text: str) -> Encoding:
        return self._encode(text)

    def forget_queries(self) -> None:
        """It remembers none."""

    def encode_passages(self, texts: Sequence[str], *, tokens: bool) -> list[Encoding]:
        self.encoded += texts
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> Encoding:
        rows = np.zeros((max(1, len(text.split())), self.dim), dtype=np.float32)
        for row, word in zip(rows, text.lower().split(), strict=False):
            row[WORDS.index(word) if word in WORDS else -1] = 1
        total = rows.sum(0) + 1e-6
        return Encoding(np.float32(total / np.linalg.norm(total)), rows)


class ById:
    """Ranks passages by their document's name; counts its questions and reports a cost."""

    name = "by-id"

    def __init__(self, *, status: str = "ok") -> None:
        self.asked: list[str] = []
        self.given: list[int] = []
        self.status = status

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        self.asked.append(query)
        self.given.append(top_k)
        usage = Usage(calls=1, prompt_tokens=10, completion_tokens=1, cost=0.01)
        outcome = Outcome(
            self.name, self.status, "" if self.status == "ok" else "it is down since 12", usage=usage
        )
        return by_score(
            self.name, candidates, [-ord(c.chunk.document_id[0]) for c in candidates], top_k, outcome
        )


class Echo:
    """Answers with its first passage and cites it, or with nothing if that says `unknown`."""

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        first = candidates[0].chunk
        cited = Citation(
            marker=1, chunk_id=first.id, document_id=first.document_id, source="", title="", start=0, end=1
        )
        known = "unknown" not in first.text
        return Generation(
            text=f"{first.text} [1]" if known else "", outcome=Outcome("generation"), answerer="echo",
            citations=(cited,) if known else (), answered=known,
        )  # fmt: skip


class Parts:
    """The parts of the wiring that `evaluate` needs, with the tiny encoder."""

    def __init__(self, folder: Path, reranker: Reranker | None = None) -> None:
        self.settings = Settings.load(data_dir=folder / "data")
        self.encoder = WordEncoder()
        self.encoders = Encoders(self.encoder, LexicalEncoder.load())
        self.by_id = reranker or ById()

    def reranker(
        self, store: TokenScorer, encoder: WordEncoder, rerank: str, *, remembering: bool
    ) -> Reranker:
        return self.by_id

    def generator(self, store: TokenScorer, encoders: Encoders, answerer: str | None) -> Echo:
        return Echo()


DOCUMENTS = {"a": "flood frost", "b": "fire fire storm", "c": "unknown quake", "d": "storm storm storm"}
QUESTIONS = {"1": "flood", "2": "storm", "3": "quake"}
QRELS = {("1", "a"): 1, ("2", "d"): 2, ("2", "b"): 1, ("3", "c"): 1, ("3", "a"): 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "set"
    home.mkdir()
    lines = [json.dumps({"id": name, "title": "", "text": text}) for name, text in DOCUMENTS.items()]
    (home / "corpus.jsonl").write_text("\n".join(lines), encoding="utf-8")
    gold = {"1": ["flood frost"], "2": ["storm"], "3": ["quake"]}
    asked = [
        json.dumps({"id": name, "text": text, "answers": gold[name]}) for name, text in QUESTIONS.items()
    ]
    (home / "queries.jsonl").write_text("\n".join(asked), encoding="utf-8")
    judged = [f"{question}\t{document}\t{grade}" for (question, document), grade in QRELS.items()]
    (home / "qrels.tsv").write_text("\n".join(judged), encoding="utf-8")
    (home / "run.trec").write_text("1 Q0 b 1 2.0 x\n1 Q0 a 2 1.0 x\n2 Q0 d 1 1.0 x\n", encoding="utf-8")
    return home


def measure(folder: Path, parts: Parts, **plan: object) -> Evaluation:
    return evaluate(Plan(dataset=load_dataset(folder), **plan), parts)


def test_every_way_of_retrieving_meets_every_way_of_reranking(folder: Path, tmp_path: Path) -> None:
    """Rows are in the requested order, specs as given, and the first has no comparison."""
    found = measure(
        folder, Parts(tmp_path), retrieve=["lexical", "dense"], rerank=["none", "late-interaction:5"]
    )
    specs = ["none", "late-interaction:5"]
    expected = [(mode, spec) for mode in ("lexical", "dense") for spec in specs]
    assert [(row.retrieve, row.rerank) for row in found.rows] == expected
    assert not found.rows[0].differences
    assert found.rows[1].differences["nDCG@10"].interval.low <= found.rows[1].differences["nDCG@10"].mean
    assert found.rows[0].metrics["MRR@10"] == 1.0
    printed = found.to_json()["results"][1]
    assert (printed["retrieve"], printed["rerank"]) == ("lexical", "late-interaction:5")
    assert {"nDCG@10", "MRR@10", "Recall@50", "hit@5", "containment@5"} == set(printed["metrics"])


def test_the_whole_list_is_reranked_and_counted(folder: Path, tmp_path: Path) -> None:
    """A strategy ranks all candidates; its calls, cost and order appear in the row."""
    by_id = ById()
    found = measure(folder, Parts(tmp_path, by_id), retrieve=["dense"], rerank=["late-interaction"])
    assert by_id.given == [4, 4, 4]
    row = found.rows[0]
    assert (row.usage.calls, row.usage.cost) == (3, pytest.approx(0.03))
    # by name: a first for all; "storm" finds b (grade 1) at 2 and d (grade 2) at 4
    assert row.metrics["MRR@10"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_a_row_costs_what_it_would_cost_alone(folder: Path, tmp_path: Path) -> None:
    """Each row pays for its own verdicts; otherwise a cascade would look free next to its parts."""
    with Endpoint() as endpoint:
        endpoint.reply = "5"
        settings = Settings.load(data_dir=tmp_path / "data", llm={"base_url": endpoint.url})
        specs = ["pointwise", "none:9,pointwise"]
        plan = Plan(dataset=load_dataset(folder), retrieve=["lexical"], rerank=specs)
        with Wiring(settings) as wiring:
            alone, again = evaluate(plan, wiring).rows
    assert alone.usage.calls == again.usage.calls > 0


def test_a_second_strategy_costs_only_itself(folder: Path, tmp_path: Path) -> None:
    """Embeddings and rankings are cached: a second strategy costs only its own work."""
    first = Parts(tmp_path)
    before = measure(folder, first, retrieve=["hybrid"], rerank=["late-interaction"])
    assert len(first.encoder.encoded) == len(DOCUMENTS)
    second = Parts(tmp_path)
    after = measure(folder, second, retrieve=["hybrid"], rerank=["none", "late-interaction"])
    assert second.encoder.encoded == []
    assert second.by_id.asked == []
    assert after.rows[1].metrics == before.rows[0].metrics
    third = Parts(tmp_path)
    measure(folder, third, retrieve=["hybrid"], rerank=["late-interaction"], fresh=True)
    assert third.encoder.encoded == []
    assert len(third.by_id.asked) == 3


def test_what_fell_back_is_asked_again(folder: Path, tmp_path: Path) -> None:
    """A fallback is counted with its reason but not cached, as the endpoint may be up next time."""
    down = Parts(tmp_path, ById(status="fallback"))
    found = measure(folder, down, retrieve=["lexical"], rerank=["late-interaction"])
    assert found.to_json()["results"][0]["fallbacks"] == len(down.by_id.asked) > 0
    assert found.rows[0].reasons == {"by-id: it is down since 12": len(down.by_id.asked)}
    up = Parts(tmp_path)
    assert measure(folder, up, retrieve=["lexical"], rerank=["late-interaction"]).rows[0].statuses == {
        "ok": 3
    }


def test_an_interrupted_measurement_goes_on_where_it_stopped(folder: Path, tmp_path: Path) -> None:
    """After Ctrl-C the next run asks only the questions that are missing."""
    dataset = load_dataset(folder)
    plan = Plan(dataset=dataset, retrieve=["lexical"], rerank=["late-interaction"])

    def interrupted(what: str, done: int, total: int) -> None:
        if "late-interaction" in what and done == 2:
            raise KeyboardInterrupt

    stopped = Parts(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        evaluate(plan, stopped, interrupted)
    assert len(stopped.by_id.asked) == 2
    resumed = Parts(tmp_path)
    assert evaluate(plan, resumed).rows[0].statuses == {"ok": 3}
    assert len(resumed.by_id.asked) == 1


def test_lexical_retrieval_encodes_nothing(folder: Path, tmp_path: Path) -> None:
    """Lexical retrieval encodes nothing."""
    parts = Parts(tmp_path)
    measure(folder, parts, retrieve=["lexical"])
    assert parts.encoder.encoded == []


def test_a_run_is_measured_as_it_stands(folder: Path, tmp_path: Path) -> None:
    """A run without a reranker needs no passages, and a question that it lacks counts as 0."""
    parts = Parts(tmp_path)
    run = read_run(folder / "run.trec")
    found = measure(folder, parts, runs=[("run.trec", run)])
    assert found.rows[0].metrics["MRR@10"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found.rows[0].metrics["containment@5"] == pytest.approx(2 / 3)
    assert any("no candidate for 1 questions" in remark for remark in found.notes)
    assert not (tmp_path / "data").exists()


def test_a_run_is_reranked_over_its_own_documents(folder: Path, tmp_path: Path) -> None:
    """Only the run's documents are split into passages and reranked; none keeps its rank from the run."""
    parts = Parts(tmp_path)
    run = read_run(folder / "run.trec")
    rows = measure(folder, parts, runs=[("r", run)], rerank=["none", "late-interaction"]).rows
    assert rows[0].metrics["MRR@10"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert rows[1].metrics["MRR@10"] == pytest.approx((1 + 1 + 0) / 3)
    assert sorted(set(parts.by_id.given)) == [1, 2]
    assert (rows[1].wins, rows[1].losses) == (1, 0)
    assert rows[1].contrasts[0].question == "1"


def test_a_run_of_another_set_is_refused(folder: Path, tmp_path: Path) -> None:
    """A run that shares no question with the set is an error, not a row of zeros."""
    (folder / "run.trec").write_text("elsewhere Q0 a 1 1.0 x\n", encoding="utf-8")
    with pytest.raises(BadInputError, match="no candidate for any question"):
        measure(folder, Parts(tmp_path), runs=[("r", read_run(folder / "run.trec"))])


def test_a_long_document_counts_once(folder: Path, tmp_path: Path) -> None:
    """A document of several passages counts once in the metrics."""
    long = " ".join(["storm flood."] * 200)
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as corpus:
        corpus.write("\n" + json.dumps({"id": "e", "title": "", "text": long}))
    found = measure(folder, Parts(tmp_path), retrieve=["lexical"])
    assert found.rows[0].metrics["Recall@50"] == 1.0


def test_answers_are_measured_with_their_citations_and_abstentions(folder: Path, tmp_path: Path) -> None:
    """Answerable questions give containment, exact match and citations; the others abstention."""
    with (folder / "queries.jsonl").open("a", encoding="utf-8") as questions:
        questions.write("\n" + json.dumps({"id": "4", "text": "quake"}))
    found = measure(folder, Parts(tmp_path), retrieve=["lexical"], answers=True).rows[0].answers
    assert found is not None
    assert found.questions == 3
    assert found.answered == pytest.approx(2 / 3)  # "quake" finds the passage that says unknown
    assert found.containment == pytest.approx(2 / 3)
    assert found.exact_match == pytest.approx(1 / 3)
    assert found.citation_precision == 1.0
    # question 4 has no relevant document, question 3 has a passage judged useless, which Echo quotes
    assert (found.unanswerable, found.abstention, found.doubted) == (2, 0.5, 0.5)
    assert (found.first, found.sure, found.wrong) == (found.containment, found.answered, 0.0)
    assert found.exactness is None  # Echo cites passages and quotes none
    assert found.abstention_precision == 0.5  # question 3 was not answered either
    low, high = found.intervals["answered"].low, found.intervals["answered"].high
    assert 0 < low < 2 / 3 < high < 1


def test_a_way_of_retrieving_that_does_not_exist_is_refused(folder: Path, tmp_path: Path) -> None:
    """An unknown way of retrieving is refused, and the message lists those that exist."""
    with pytest.raises(BadInputError, match="magic"):
        measure(folder, Parts(tmp_path), retrieve=["magic"])


def test_a_model_trained_anew_in_its_folder_is_measured_anew(tmp_path: Path) -> None:
    """A ranking's cache key covers the settings and the files that a spec names, within fusions too."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("one", encoding="utf-8")
    settings = Settings.load()
    nested = Spec.parse(f'fusion(of="listwise(model=\\"{model}\\")")')
    plain = Spec.parse(f'listwise(model="{model}")')
    before = [rerank_key("run", spec, settings) for spec in (nested, plain)]
    assert before == [rerank_key("run", spec, settings) for spec in (nested, plain)]
    (model / "weights").write_text("another", encoding="utf-8")
    after = [rerank_key("run", spec, settings) for spec in (nested, plain)]
    assert set(before).isdisjoint(after)
    assert rerank_key("run", plain, Settings.load(llm={"model": "other"})) not in after


def test_reasons_of_one_kind_count_together() -> None:
    """Numbers in a reason make no other kind; another stage, or a text without a code, does."""
    data = RowData("hybrid", "late-interaction")
    for reason in (
        Reason("rerank.calls-failed", count=3, reason="down"),
        Reason("rerank.calls-failed", count=1, reason="down"),
        Reason("storage.of-stage", stage="one", reason=Reason("rerank.time-is-up")),
        Reason("storage.of-stage", stage="two", reason=Reason("rerank.time-is-up")),
        "a stage of mine failed",
    ):
        outcome = Outcome("rerank", "partial", reason)
        data.add(QuestionResult((), (), 0.0, Outcome("retrieval"), outcome), ())
    assert data.commonest_reasons() == {
        "3 calls failed: down": 2,
        "one: the deadline has passed": 1,
        "two: the deadline has passed": 1,
        "a stage of mine failed": 1,
    }
