"""Reading sets, judgements and runs: complete, with errors that name file and line."""

import gzip
import json
from pathlib import Path

import pytest

from storage.errors import BadInputError
from winnow.lab.evaluation import load_dataset, read_qrels, read_run

CORPUS = [{"id": "a", "title": "A", "text": "one\u2028two"}, {"id": "b", "title": "", "text": "three"}]
QUESTIONS = [{"id": "1", "text": "what?", "answers": ["one"]}, {"id": "2", "text": "who?"}]


def jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8", newline="\n")
    return path


def beir(folder: Path, *, qrels: str = "query-id\tdoc-id\tgrade\n1\ta\t1\n", suffix: str = "") -> Path:
    jsonl(folder / f"corpus.jsonl{suffix}", CORPUS)
    jsonl(folder / f"queries.jsonl{suffix}", QUESTIONS)
    (folder / "qrels.tsv").write_text(qrels, encoding="utf-8")
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_beir_folder_is_read_plain_and_compressed(tmp_path: Path, suffix: str) -> None:
    """Questions, answers and judgements come out of a folder, compressed or not; U+2028 ends no line."""
    dataset = load_dataset(beir(tmp_path, suffix=suffix))
    assert [question.id for question in dataset.questions] == ["1"]
    assert dataset.questions[0].answers == ("one",)
    assert [question.id for question in dataset.unanswerable] == ["2"]
    assert dataset.qrels.relevant("1") == {"a"}


def test_a_split_reads_its_own_questions_and_judgements(tmp_path: Path) -> None:
    """With a split, the question and judgement files of that name are read."""
    beir(tmp_path)
    jsonl(tmp_path / "queries.train.jsonl.gz", [{"id": "t", "text": "where?"}])
    (tmp_path / "qrels.train.tsv").write_text("t\tb\t1\n", encoding="utf-8")
    assert [question.id for question in load_dataset(tmp_path, split="train").questions] == ["t"]


def test_the_published_beir_layout_is_read(tmp_path: Path) -> None:
    """`_id`, and judgements in a folder of their own, are understood too."""
    jsonl(tmp_path / "corpus.jsonl", [{"_id": "a", "text": "one"}])
    jsonl(tmp_path / "queries.jsonl", [{"_id": "1", "text": "what?"}])
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\t1\n", encoding="utf-8")
    assert load_dataset(tmp_path).qrels.grades == {"1": {"a": 1}}


def test_a_sample_is_drawn_by_its_seed(tmp_path: Path) -> None:
    """The same seed draws the same questions, in the file's order, and another seed others."""
    jsonl(tmp_path / "corpus.jsonl", CORPUS)
    jsonl(tmp_path / "queries.jsonl", [{"id": f"{n:03}", "text": "what?"} for n in range(100)])
    (tmp_path / "qrels.tsv").write_text("".join(f"{n:03}\ta\t1\n" for n in range(100)), encoding="utf-8")
    dataset = load_dataset(tmp_path)
    first, again, other = (dataset.sampled(10, seed) for seed in (1, 1, 2))
    assert first.questions == again.questions != other.questions
    assert list(first.questions) == sorted(first.questions, key=lambda question: question.id)
    assert any("10 of 100" in remark for remark in first.notes)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("qrels.tsv", "1\ta\t1\n1\tnowhere\t1\n", "qrels.tsv:2: judges the document 'nowhere'"),
        ("qrels.tsv", "1\ta\t1\n9\ta\t1\n", "qrels.tsv:2: judges the question '9'"),
        ("qrels.tsv", "1\ta\tgood\n", "qrels.tsv:1: the grade 'good' is not a whole number"),
        ("qrels.tsv", "1\ta\t9999999999\n", "qrels.tsv:1: the grade 9999999999 is beyond 1000"),
        ("qrels.tsv", "1\ta\t1\n1\ta\t0\n", "qrels.tsv:2: '1' and 'a' were judged in line 1"),
        ("qrels.tsv", "1\ta\n", "qrels.tsv:1: 2 columns"),
        ("qrels.tsv", "1\ta\t1\n1 0 b 1\n", "qrels.tsv:2: 4 columns"),
        ("qrels.tsv", "", "holds no judgement"),
        ("qrels.tsv", "1\ta\t0\n", "judges no document relevant"),
        (
            "corpus.jsonl",
            '{"id": "a", "text": ""}\n{"id": "a", "text": ""}\n',
            "corpus.jsonl:2: the document id 'a'",
        ),
        ("corpus.jsonl", '{"id": "a"}\n', "corpus.jsonl:1: 'text' is missing"),
        ("corpus.jsonl", "\n\nnot json\n", "corpus.jsonl:3: not JSON"),
        ("corpus.jsonl", "[]\n", "corpus.jsonl:1: a JSON object was expected"),
        (
            "queries.jsonl",
            '{"id": "1", "text": "x"}\n{"id": "1", "text": "y"}\n',
            "queries.jsonl:2: the question id",
        ),
        ("queries.jsonl", '{"id": "1", "text": " "}\n', "queries.jsonl:1: the question '1' is empty"),
        ("queries.jsonl", '{"id": "1", "text": ["x"]}\n', "queries.jsonl:1: 'text' must be text"),
    ],
)
def test_bad_input_is_named_with_file_and_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    """Every error in a set names file and line."""
    beir(tmp_path)
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError) as error:
        load_dataset(tmp_path)
    assert said in str(error.value)


def test_bytes_that_are_not_utf8_and_damaged_archives_are_named(tmp_path: Path) -> None:
    """Wrong bytes are an error with a line, a cut .gz one with a file."""
    beir(tmp_path)
    (tmp_path / "corpus.jsonl").write_bytes(b'{"id": "a", "text": "x"}\n\xff\n')
    with pytest.raises(BadInputError, match=r"corpus\.jsonl:2: not UTF-8"):
        load_dataset(tmp_path)
    (tmp_path / "corpus.jsonl").unlink()
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(b"x" * 1000)[:-12])
    with pytest.raises(BadInputError, match=r"corpus\.jsonl\.gz"):
        load_dataset(tmp_path)


def test_a_trec_file_may_judge_a_larger_collection(tmp_path: Path) -> None:
    """Judged documents outside the corpus are kept, because ideal gains need them."""
    beir(tmp_path)
    full = tmp_path / "full.trec"
    full.write_text("1 0 a 2\n1 0 elsewhere 3\n7 0 a 1\n", encoding="utf-8")
    dataset = load_dataset(tmp_path, qrels=full)
    assert dataset.qrels.grades["1"] == {"a": 2, "elsewhere": 3}
    assert any("1 judged documents are not in the corpus" in remark for remark in dataset.notes)
    assert any("full.trec:3" in remark for remark in dataset.notes)


def test_a_run_is_ordered_as_trec_eval_orders_it(tmp_path: Path) -> None:
    """Scores decide, not the rank column; equal scores go by document id backwards."""
    path = tmp_path / "run.trec"
    path.write_text("1 Q0 a 1 0.5 x\n1 Q0 c 2 0.5 x\n1 Q0 b 3 0.9 x\n", encoding="utf-8")
    assert [document for document, _ in read_run(path).candidates["1"]] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("1 Q0 a 1 0.5 x\n1 Q0 a 2 0.4 x\n", "run.trec:2: the document 'a'"),
        ("1 Q0 a 1 high x\n", "run.trec:1: the score 'high' is not a number"),
        ("1 Q0 a 1 nan x\n", "run.trec:1: the score 'nan' is not a number"),
        ("1 a 0.5\n", "run.trec:1: 3 columns"),
    ],
)
def test_a_bad_run_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    """An empty run, a repeated document or an invalid score is an error with its line."""
    path = tmp_path / "run.trec"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError) as error:
        read_run(path)
    assert said in str(error.value)


def test_ids_with_spaces_survive_in_a_tsv(tmp_path: Path) -> None:
    """Only tabs separate the columns of a TSV, so ids may hold spaces."""
    path = tmp_path / "qrels.tsv"
    path.write_text("q 1\tdoc 1.pdf\t1\n", encoding="utf-8")
    assert read_qrels(path).grades == {"q 1": {"doc 1.pdf": 1}}


def test_questions_may_name_their_documents_themselves(tmp_path: Path) -> None:
    """They are the judgements then; a question without a document has no answer."""
    asked = [
        {"id": "1", "text": "what?", "document": "docs/a.md", "answers": ["one"]},
        {"id": "2", "text": "where?", "documents": ["b.md", "c.md"]},
        {"id": "3", "text": "who?", "kind": "near"},
    ]
    dataset = load_dataset(None, queries=jsonl(tmp_path / "asked.jsonl", asked), with_corpus=False)
    assert dataset.qrels.grades == {"1": {"docs/a.md": 1}, "2": {"b.md": 1, "c.md": 1}}
    assert [question.id for question in dataset.unanswerable] == ["3"]
    with pytest.raises(BadInputError, match="qrels"):
        load_dataset(None, queries=jsonl(tmp_path / "bare.jsonl", QUESTIONS), with_corpus=False)
