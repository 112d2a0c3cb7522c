"""`winnow evaluate` on the command line: JSON, exit codes, errors of bad sets."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from retrieval.models.hub import MINILM
from winnow.cli.app import app

pytestmark = pytest.mark.heavy

DOCUMENTS = {
    "rank": "A reranker orders the passages that retrieval found.",
    "cook": "Boil the potatoes for twenty minutes.",
    "zh": "重排序按相关性重新排列候选段落。",
}
QUESTIONS = {"1": "What orders passages?", "2": "How long do potatoes boil?", "3": "重排序做什么？"}
QRELS = "query-id\tdoc-id\tgrade\n1\trank\t1\n2\tcook\t1\n3\tzh\t1\n"


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated") / "set 集"
    folder.mkdir()
    corpus = (json.dumps({"id": name, "title": "", "text": text}) for name, text in DOCUMENTS.items())
    (folder / "corpus.jsonl").write_text("\n".join(corpus), encoding="utf-8")
    asked = (
        json.dumps({"id": name, "text": text, "answers": ["twenty"]}) for name, text in QUESTIONS.items()
    )
    (folder / "queries.jsonl").write_text("\n".join(asked), encoding="utf-8")
    (folder / "qrels.tsv").write_text(QRELS, encoding="utf-8")
    (folder / "run.trec").write_text("1 Q0 cook 1 2 x\n1 Q0 rank 2 1 x\n", encoding="utf-8")
    return folder


def test_json_has_a_result_for_every_row(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`results` has a row per spec, in the requested order and as given, with its fallbacks."""
    monkeypatch.setenv("WINNOW_ENCODER__MODEL", MINILM)  # it cannot read the third question
    arguments = ["--retrieve", "hybrid", "--rerank", "none", "--rerank", "late-interaction"]
    result = run(home, *arguments, "--data-dir", home / "data", "--json")
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)["results"]
    assert (first["retrieve"], first["rerank"], second["rerank"]) == ("hybrid", "none", "late-interaction")
    assert first["metrics"]["nDCG@10"] == 1.0
    assert second["fallbacks"] == 1
    assert second["against_first"]["MRR@10"]["p"] <= 1
    assert second["ms"]["total"]["p95"] >= second["ms"]["total"]["p50"] > 0


def test_a_table_and_a_report_are_made(home: Path, tmp_path: Path) -> None:
    """Without --json a table is printed, and the report is written to the requested path."""
    report = tmp_path / "report.html"
    result = run(home, "--retrieve", "lexical", "--answers", "--data-dir", home / "data", "--report", report)
    assert result.exit_code == 0, result.output
    assert "nDCG@10" in result.output
    assert "lexical" in report.read_text(encoding="utf-8")


def test_a_run_is_measured_without_models(home: Path, tmp_path: Path) -> None:
    """A plain run loads no models and builds no index; its name is printed as given."""
    result = run(home, "--run", home / "run.trec", "--data-dir", tmp_path / "data", "--json")
    (row,) = json.loads(result.stdout)["results"]
    assert row["retrieve"] == str(home / "run.trec")
    assert row["metrics"]["MRR@10"] == pytest.approx(1 / 6)
    assert not (tmp_path / "data").exists()


def test_a_collection_is_measured_by_its_documents_names(home: Path, tmp_path: Path) -> None:
    """Judgements may name files by the end of their path; a missing file is an error with its line."""
    docs, data = tmp_path / "docs", tmp_path / "data"
    docs.mkdir()
    for name, text in DOCUMENTS.items():
        (docs / f"{name}.txt").write_text(text, encoding="utf-8")
    ingested = CliRunner().invoke(app, ["ingest", str(docs), "--data-dir", str(data)])
    assert ingested.exit_code == 0, ingested.output
    qrels = tmp_path / "q.tsv"
    qrels.write_text("1\trank.txt\t1\n2\tdocs/cook.txt\t1\n", encoding="utf-8")
    files = ["--queries", home / "queries.jsonl", "--qrels", qrels, "--data-dir", data]
    result = run("--collection", "default", "--retrieve", "lexical", *files, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["results"][0]["metrics"]["MRR@10"] == 1.0
    qrels.write_text("1\trank.txt\t1\n2\tlost.txt\t1\n", encoding="utf-8")
    result = run("--collection", "default", *files, "--json")
    assert result.exit_code == 2
    assert "q.tsv:2" in json.loads(result.stdout)["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rerank", "late-interacton"], "did you mean 'late-interaction'"),
        (["--retrieve", "magic"], "magic"),
        (["--run", "nowhere.trec"], "nowhere.trec"),
        (["--split", "dev"], "qrels.dev.tsv"),
        (["--report", "nowhere/report.html"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(home: Path, arguments: list[str], said: str) -> None:
    """Impossible requests exit with 2 before any work, with a message, as JSON under --json."""
    result = run(home, *arguments, "--data-dir", home / "data", "--json")
    assert result.exit_code == 2, result.output
    assert said in json.loads(result.stdout)["error"]["message"]


def test_an_empty_run_is_named(home: Path, tmp_path: Path) -> None:
    """An empty run is an error, not a row of zeros."""
    (tmp_path / "run.trec").write_text("\n", encoding="utf-8")
    result = run(home, "--run", tmp_path / "run.trec")
    assert result.exit_code == 2
    assert "is empty" in " ".join(result.output.split())
