"""The format on which synthesizing, mining and training agree."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rerank.training.records import LabelledPassage, Provenance, RecordWriter, TrainingRecord, read_records
from storage.errors import BadInputError

GRADED = TrainingRecord(
    query="重排序做什么？",
    passages=(
        LabelledPassage(
            text="重排序重新排列\u2028候选段落。", label=3, id="c1", source="文档/a.md", score=0.97
        ),
        LabelledPassage(text="On the subject.", label=1),
        LabelledPassage(text="Something else.", label=0, score=-2.5),
    ),
    top_label=3,
    id="q1",
    language="zh",
    provenance=Provenance(
        method="labels", model="m", prompt="ab12", collection="c", origin="q.jsonl", cost=0.1
    ),
)
PLAIN = TrainingRecord(query="q", passages=(LabelledPassage(text="p", label=1),))


def written(path: Path, *records: TrainingRecord) -> Path:
    with RecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Records are written one per line and read back equal, Chinese and line separators included."""
    path = written(tmp_path / "new folder" / "训练.jsonl", GRADED, PLAIN)
    assert list(read_records(path)) == [GRADED, PLAIN]
    assert path.read_bytes().count(b"\n") == 2
    assert json.loads(path.read_bytes().split(b"\n")[1]) == {
        "query": "q", "passages": [{"text": "p", "label": 1}], "top_label": 1
    }  # fmt: skip
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert list(read_records(packed)) == [GRADED, PLAIN]


def test_the_short_form_is_read(tmp_path: Path) -> None:
    """A question with a positive and negatives, as many tools write it, needs no conversion."""
    path = tmp_path / "short.jsonl"
    path.write_text('{"query": "q", "positive": "yes", "negatives": ["no", "never"]}\n', encoding="utf-8")
    (record,) = read_records(path)
    assert [(one.text, one.label) for one in record.passages] == [("yes", 1), ("no", 0), ("never", 0)]


def test_grades_and_binary_labels_are_one_scale() -> None:
    """A label counts against its record's highest; the middle grade is neither positive nor negative."""
    assert [GRADED.relevance(one) for one in GRADED.passages] == [1, pytest.approx(1 / 3), 0]
    assert GRADED.positives == GRADED.passages[:1]
    assert GRADED.negatives == GRADED.passages[2:]
    assert PLAIN.positives == PLAIN.passages


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"query": "q"', "not JSON"),
        ("[1]", "a record must be a JSON object"),
        ('{"passages": []}', "'query' is missing"),
        ('{"query": "q"}', "'passages' is missing"),
        ('{"query": "q", "passages": []}', "no passage"),
        ('{"query": " ", "positive": "p"}', "query is empty"),
        ('{"query": "q", "positive": " "}', "passage is empty"),
        ('{"query": "q", "positive": 3}', "'text' must be text"),
        ('{"query": "q", "passages": [{"text": "p", "label": true}]}', "'label' must be a whole number"),
        ('{"query": "q", "passages": [{"text": "p", "label": 2}]}', "above top_label 1"),
        ('{"query": "q", "passages": [{"text": "p", "label": -1}]}', "negative"),
        ('{"query": "q", "passages": [{"text": "p", "label": 1, "score": NaN}]}', "finite"),
        ('{"query": "q", "positive": "p", "negatvies": ["n"]}', "no field 'negatvies'"),
        ('{"query": "q", "positive": "p", "passages": []}', "exclude each other"),
        ('{"query": "q", "positive": "p", "negatives": "n"}', "lists"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    """The error for a bad line has file, line number and reason."""
    path = tmp_path / "bad.jsonl"
    path.write_text(f'{{"query": "q", "positive": "p"}}\n\n{line}\n', encoding="utf-8")
    with pytest.raises(BadInputError, match=r"bad\.jsonl:3: ") as raised:
        list(read_records(path))
    assert said in str(raised.value)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """A missing file, invalid UTF-8 or a cut archive raises an error of winnow's."""
    (tmp_path / "latin.jsonl").write_bytes('{"query": "é"}'.encode("latin-1"))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"query": "q", "positive": "p"}\n' * 50)[:-9])
    for name in ("none.jsonl", "latin.jsonl", "cut.jsonl.gz"):
        with pytest.raises(BadInputError, match=name):
            list(read_records(tmp_path / name))


def interrupted(path: Path, records: list[TrainingRecord], **options: Any) -> None:
    """Write the records, then raise KeyboardInterrupt."""

    def write() -> None:
        with RecordWriter(path, **options) as writer:
            for record in records:
                writer.write(record)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()


def test_an_interrupted_file_is_whole(tmp_path: Path) -> None:
    """An interruption leaves the old file or, where partial files are wanted, the longer of the two."""
    path = written(tmp_path / "out" / "r.jsonl", PLAIN, PLAIN)
    interrupted(path, [GRADED] * 3)
    assert list(read_records(path)) == [PLAIN, PLAIN]
    interrupted(path, [GRADED], keep_partial=True)
    assert list(read_records(path)) == [PLAIN, PLAIN]
    interrupted(path, [GRADED] * 3, keep_partial=True)
    assert list(read_records(path)) == [GRADED] * 3
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """An output path that is a folder is refused before any work is done."""
    with pytest.raises(BadInputError, match="is a folder"):
        written(tmp_path)
