"""`winnow mine`: which passages are taken as hard negatives, from a corpus, a collection and the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rerank.training.records import TrainingRecord, read_records
from retrieval.models.hub import MINILM
from winnow.cli.app import app
from winnow.lab.synthesis.false_negatives import below

pytestmark = pytest.mark.heavy

DOCUMENTS = {
    "ferry": "The ferry to the outer islands leaves from pier four at nine o'clock every morning.",
    "ferry-copy": "The ferry to the outer islands leaves from pier four at nine o'clock, every morning!",
    "ferry-bikes": "On the ferry to the outer islands bicycles travel free of charge, cars must be booked.",
    "ferry-food": "The kitchen on board of the island boat serves soup, fish and coffee to all passengers.",
    "ferry-nine": "Another boat, the night ferry to the mainland, leaves at nine o'clock in the evening.",
    "pier": "Pier four was built of oak and granite in the last century by the harbour's own masons.",
    "bread": "Sourdough bread is baked at two hundred and thirty degrees under a lid.",
    "zh-ferry": "前往外岛的渡轮每天上午九点从四号码头出发，自行车免费，汽车须提前一天预订。",
    "zh-food": "前往外岛的渡轮上有餐厅，供应鱼汤和咖啡，四号码头没有餐厅。",
    "zh-bread": "酸面包用二百三十度的烤箱烤四十分钟，前二十分钟要盖上盖子。",
}
QUESTIONS = [
    {"id": "en", "text": "When does the ferry leave for the outer islands?", "answers": ["nine o'clock"]},
    {"id": "zh", "text": "前往外岛的渡轮几点出发？"},
]
QRELS = "query-id\tdoc-id\tgrade\nen\tferry\t1\nzh\tzh-ferry\t1\n"


def mine(*words: object) -> Result:
    return CliRunner().invoke(app, ["mine", *map(str, words)])


def mined(*words: object) -> dict[str, Any]:
    result = mine(*words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def by_id(path: Path) -> dict[str, TrainingRecord]:
    return {record.id: record for record in read_records(path)}


def sources(record: TrainingRecord) -> list[str]:
    """Return the names of the negatives' documents, hardest first."""
    return [Path(passage.source).stem for passage in record.negatives]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set in BEIR's layout, and a data folder with the same documents as files."""
    root = tmp_path_factory.mktemp("mining")
    folder, docs = root / "set 集", root / "docs"
    folder.mkdir()
    docs.mkdir()
    rows = (json.dumps({"id": name, "title": "", "text": text}) for name, text in DOCUMENTS.items())
    (folder / "corpus.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)), encoding="utf-8")
    (folder / "qrels.tsv").write_text(QRELS, encoding="utf-8")
    for name, text in DOCUMENTS.items():
        (docs / f"{name}.txt").write_text(text, encoding="utf-8")
    for environment in ({}, {"WINNOW_ENCODER__MODEL": MINILM, "WINNOW_COLLECTION": "english"}):
        words = ["ingest", str(docs), "--data-dir", str(root / "data")]
        result = CliRunner().invoke(app, words, env=environment)
        assert result.exit_code == 0, result.output
    return root


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that reads no Chinese, and the collection that it made."""
    monkeypatch.setenv("WINNOW_ENCODER__MODEL", MINILM)
    monkeypatch.setenv("WINNOW_COLLECTION", "english")


@pytest.fixture
def words(home: Path, tmp_path: Path) -> list[object]:
    return ["--out", tmp_path / "out.jsonl", "--data-dir", home / "data"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.mark.usefixtures("english")
def test_hard_negatives_of_a_set(home: Path, words: list[object], out: Path) -> None:
    """Passages that hold the answer, or score like the positive, are not taken as negatives."""
    found = mined(home / "set 集", "--negatives", 2, *words)
    records = by_id(out)
    assert found["records"] == 2
    assert records["en"].positives[0].text == DOCUMENTS["ferry"]
    negatives = sources(records["en"])
    assert negatives[0] == "ferry-bikes"  # the hardest
    assert not {"ferry", "ferry-copy", "ferry-nine"} & set(negatives)
    assert found["dropped"]["holds the answer"] == 2
    assert records["en"].provenance.method == "mined"


@pytest.mark.usefixtures("english")
def test_chinese_is_mined_by_words(home: Path, words: list[object], out: Path) -> None:
    """BM25 scores separate the positive from the negatives in a language the encoder cannot read."""
    mined(home / "set 集", "--negatives", 1, *words)
    record = by_id(out)["zh"]
    assert record.language == "zh"
    assert sources(record) == ["zh-food"]


def test_chinese_is_mined_by_meaning(home: Path, words: list[object], out: Path) -> None:
    """With an encoder that reads it, cosines decide for Chinese, too, what is too near the positive."""
    found = mined(home / "set 集", "--negatives", 1, *words)
    assert sources(by_id(out)["zh"]) == ["zh-bread"]
    assert found["dropped"]["scores too near the positive"] >= 1


def test_the_same_input_gives_the_same_file(home: Path, words: list[object], out: Path) -> None:
    """The same input gives the same file, byte for byte."""
    mined(home / "set 集", *words)
    first = out.read_bytes()
    mined(home / "set 集", *words)
    assert out.read_bytes() == first


@pytest.mark.usefixtures("english")
def test_a_collection_gives_the_same_negatives(home: Path, words: list[object], out: Path) -> None:
    """Judgements know documents by the ends of their paths."""
    mined(home / "set 集", "--negatives", 2, *words)
    corpus = sources(by_id(out)["en"])
    qrels = home / "set 集" / "qrels.files.tsv"
    qrels.write_text("en\tferry.txt\t1\n", encoding="utf-8")
    found = mined(home / "set 集", "--split", "files", "--collection", "english", "--negatives", 2, *words)
    assert found["questions"] == 1
    assert sources(by_id(out)["en"]) == corpus
    assert by_id(out)["en"].provenance.collection == "english"


@pytest.mark.usefixtures("english")
def test_range_margin_and_highest_score(home: Path, words: list[object], out: Path) -> None:
    """Range, margin and maximum score each limit which passages become negatives."""
    folder = home / "set 集"
    mined(folder, "--negatives", 9, *words)
    usual = sources(by_id(out)["en"])
    mined(folder, "--negatives", 9, "--range-min", 4, *words)
    assert sources(by_id(out)["en"]) == usual[-len(sources(by_id(out)["en"])) :] != usual
    mined(folder, "--negatives", 9, "--max-score", 0.3, *words)
    assert set(sources(by_id(out)["en"])) < set(usual)
    strict = mined(folder, "--negatives", 9, "--relative-margin", 0.9, *words)
    assert strict["dropped"]["scores too near the positive"] >= 3
    free = mined(folder, "--negatives", 9, "--no-margin", *words)
    assert "scores too near the positive" not in free["dropped"]


@pytest.mark.usefixtures("english")
def test_a_reranker_rescores(home: Path, words: list[object], out: Path) -> None:
    """A reranker's scores decide and stay in the record as a teacher's; unreadable texts are reported."""
    found = mined(home / "set 集", "--rerank", "late-interaction", "--negatives", 3, *words)
    record = by_id(out)["en"]
    best = record.positives[0].score
    assert best is not None
    scores = [passage.score for passage in record.negatives]
    assert all(score is not None and score <= below(best, 0.05) for score in scores)
    assert scores == sorted(scores, key=lambda score: -(score or 0))
    assert any("cannot read the question" in reason for reason in found["skipped"])


@pytest.mark.usefixtures("english")
def test_records_with_positives_are_filled_up(
    home: Path, words: list[object], out: Path, tmp_path: Path
) -> None:
    """A positive is matched to the collection by containment, and its record's negatives are kept."""
    given = tmp_path / "given.jsonl"
    whole = f"From a guide. {DOCUMENTS['ferry']} So it has been for years."
    lines = [
        {"query": QUESTIONS[0]["text"], "positive": whole, "negatives": ["Something of the user's own."]},
        {"query": "A question without a positive", "negatives": ["No."]},
    ]
    given.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = mined(given, "--negatives", 4, *words)
    (record,) = read_records(out)
    assert record.positives[0].text == whole
    assert record.negatives[0].text == "Something of the user's own."
    assert "ferry" not in sources(record)
    assert "ferry-bikes" in sources(record)
    assert found["skipped"] == {"the record has no positive": 1}


def test_a_positive_that_was_not_found_gives_no_negatives(
    home: Path, words: list[object], out: Path, tmp_path: Path
) -> None:
    """A positive that was not found gives no negatives, unless no margin is set."""
    given = tmp_path / "given.jsonl"
    line = {"query": QUESTIONS[0]["text"], "positive": "It leaves when the tide allows, says the captain."}
    given.write_text(json.dumps(line), encoding="utf-8")
    found = mined(given, *words)
    assert (found["records"], found["skipped"]) == (0, {"no candidate is a safe negative": 1})
    assert mined(given, "--no-margin", *words)["records"] == 1


def test_judged_answers_become_records(home: Path, words: list[object], out: Path, tmp_path: Path) -> None:
    """People's grades become labels, and ungraded candidates below the margin fill up the negatives."""
    data = ["--data-dir", str(home / "data")]
    asked = CliRunner().invoke(app, ["ask", str(QUESTIONS[0]["text"]), *data, "--json"])
    answer = json.loads(asked.stdout)
    places = {Path(c["document"]).stem: i for i, c in enumerate(answer["candidates"], start=1)}
    judged = [f"{places['ferry']}=3", f"{places['ferry-nine']}=1", f"{places['pier']}=0"]
    grades = [word for grade in judged for word in ("--passage", grade)]
    CliRunner().invoke(app, ["log", "feedback", answer["id"], *grades, *data])
    mined("--log", "--negatives", 3, *words)
    (record,) = read_records(out)
    assert record.top_label == 3
    labels = {Path(passage.source).stem: passage.label for passage in record.passages}
    assert (labels["ferry"], labels["ferry-nine"], labels["pier"]) == (3, 1, 0)
    assert len(record.negatives) > 1
    assert (record.provenance.method, record.provenance.origin) == ("feedback", answer["id"])
    assert record.provenance.created_at
    mined("--log", "--negatives", 0, *words)
    assert len(next(read_records(out)).passages) == 3


def test_answers_that_nobody_judged_are_labelled_by_a_reranker(
    home: Path, words: list[object], out: Path
) -> None:
    """Its first passage counts as relevant, its scores stay; people's grades count where there are any."""
    data = ["--data-dir", str(home / "data")]
    questions = [str(QUESTIONS[1]["text"]), "What was pier four built of?"]
    for question in questions:
        assert CliRunner().invoke(app, ["ask", question, *data]).exit_code == 0
    mined("--log", "--unjudged", "--rerank", "late-interaction", "--no-margin", "--negatives", 4, *words)
    records = {record.query: record for record in read_records(out)}
    assert set(questions) <= set(records)
    for question in questions:
        record = records[question]
        assert (record.provenance.method, record.provenance.model) == ("teacher", "late-interaction")
        [positive] = record.positives
        assert positive.score == max(passage.score or 0.0 for passage in record.passages)
        assert len(record.negatives) == 4
    assert all(record.provenance.method == "feedback" for record in records.values() if record.top_label == 3)


def test_a_person_sees_what_was_left_out(home: Path, words: list[object]) -> None:
    """Without --json the report lists records, negatives, and each reason for leaving out, with counts."""
    result = mine(home / "set 集", *words)
    assert result.exit_code == 0
    assert "2 records from 2 questions" in result.stdout
    assert "holds the answer" in result.stdout
    assert "out.jsonl" in result.stderr.replace("\n", "")  # a long path wraps


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name what to mine from"),
        (["none.jsonl"], "none.jsonl"),
        (["bad.jsonl"], "bad.jsonl:1"),
        (["empty.jsonl"], "holds no record"),
        (["good.jsonl", "--log"], "name what to mine from"),
        (["good.jsonl", "--collection", "nothere"], "nothere"),
        (["good.jsonl", "--rerank", "crossencoder"], "cross-encoder"),
        (["good.jsonl", "--range-min", 9, "--range-max", 9], "range 9 to 9"),
        (["--log", "--collection", "another"], "judged"),
        (["--log", "--unjudged"], "--rerank SPEC"),
        (["good.jsonl", "--unjudged", "--rerank", "late-interaction"], "unjudged answers are the log's"),
    ],
)
def test_what_cannot_be_mined_is_said(
    words: list[object], out: Path, arguments: list[object], said: str
) -> None:
    """Impossible requests exit with 2 and a message, and write no file."""
    Path("bad.jsonl").write_text('{"query": ""}\n')
    Path("empty.jsonl").touch()
    Path("good.jsonl").write_text(json.dumps({"query": "q", "positive": DOCUMENTS["bread"]}))
    result = mine(*arguments, *words, "--json")
    assert result.exit_code == 2, result.output
    error = json.loads(result.stdout)["error"]
    assert said in error["message"] + error["way_out"]
    assert not out.exists()


@pytest.mark.usefixtures("english")
def test_what_the_encoder_cannot_read_is_no_safe_negative(tmp_path: Path) -> None:
    """A passage that the encoder cannot read is no negative, as no cosine says it does not answer."""
    docs, records, out = tmp_path / "docs", tmp_path / "records.jsonl", tmp_path / "out.jsonl"
    docs.mkdir()
    texts = {name: DOCUMENTS[name] for name in ("ferry", "bread", "pier")}
    texts["mixed"] = (
        "前往 outer islands 的渡轮（ferry）每天上午九点从四号码头出发，自行车免费，汽车须提前一天预订。"
    )
    for name, text in texts.items():
        (docs / f"{name}.txt").write_text(text, encoding="utf-8")
    data = ["--data-dir", str(tmp_path / "data")]
    assert CliRunner().invoke(app, ["ingest", str(docs), *data]).exit_code == 0
    line = {"id": "q", "query": QUESTIONS[0]["text"], "positive": DOCUMENTS["ferry"]}
    records.write_text(json.dumps(line), encoding="utf-8")
    report = mined(records, "--out", out, *data)
    assert sorted(sources(by_id(out)["q"])) == ["bread", "pier"]
    assert report["dropped"] == {"has no score to hold against the positive's": 1}
    mined(records, "--out", out, "--no-margin", *data)
    assert "mixed" in sources(by_id(out)["q"])


@pytest.mark.parametrize(("positive", "limit"), [(1.0, 0.95), (-2.0, -2.1), (0.0, 0.0)])
def test_the_margin_is_a_share_of_the_positives_size(positive: float, limit: float) -> None:
    """The margin is relative to the positive's score, negative log-odds included."""
    assert below(positive, 0.05) == pytest.approx(limit)
