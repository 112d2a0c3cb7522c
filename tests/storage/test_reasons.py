"""Reasons: every code in use has a text, in both languages."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from string import Formatter

import pytest

from storage import secrets
from storage.reasons import FOLDERS, LANGUAGES, Reason, catalogue
from storage.records import Outcome

ROOT = Path(__file__).resolve().parents[2]
CODES = [f"{folder}.{name}" for folder in FOLDERS for name in catalogue(folder)]
USED = re.compile(r"""\b(?:Reason|DocumentRefusedError)\(\s*["']([a-z.]+\.[a-z0-9-]+)["']""")


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("code", CODES)
def test_a_code_reads_in_both_languages(code: str) -> None:
    """Both texts exist, take the same values, and render."""
    folder, _, name = code.rpartition(".")
    texts = catalogue(folder)[name]
    assert set(texts) == set(LANGUAGES)
    assert _fields(texts["en"]) == _fields(texts["zh"])
    reason = Reason(code, dict.fromkeys(_fields(texts["en"]), 3))
    assert reason.render("en") == reason
    assert re.search("[\u4e00-\u9fff]|：", reason.render("zh"))


def test_codes_in_use_and_codes_with_a_text_are_the_same() -> None:
    """Every code in use has a text, and every text a code in use."""
    used = {
        code
        for folder in {name.partition(".")[0] for name in FOLDERS}
        for path in (ROOT / folder).rglob("*.py")
        for code in USED.findall(path.read_text(encoding="utf-8"))
    }
    assert used == set(CODES)


def test_a_reason_is_its_sentence_and_its_data() -> None:
    """A reason compares and prints as text; code and values survive copies, pickles and JSON."""
    inner = Reason("storage.unreadable-question")
    reason = Reason("storage.of-stage", stage="retrieval", reason=inner)
    assert reason == f"retrieval: {inner}"
    for same in (
        copy.deepcopy(reason),
        pickle.loads(pickle.dumps(reason)),
        Reason.from_json(reason.to_json()),
    ):
        assert (same, same.code, same.values["reason"].code) == (reason, reason.code, inner.code)
    assert reason.render("zh").startswith("retrieval：编码器")


def test_several_reasons_are_one_and_none_is_said_twice() -> None:
    """Joined reasons keep their parts; plain text of a user's own stage is a reason, too."""
    both = Reason.all(
        ["my own stage was tired", Reason("storage.unreadable-question"), "", "my own stage was tired"]
    )
    assert [part.code for part in both.parts] == ["text", "storage.unreadable-question"]
    assert both == f"my own stage was tired; {both.parts[1]}"
    assert Outcome("mine", "partial", "tired").reason.code == "text"  # type: ignore[attr-defined]


def test_a_code_that_this_version_lacks_gives_the_logged_sentence() -> None:
    """A row written by another version still reads."""
    assert (
        Reason.from_json({"code": "rerank.from-the-future", "values": {}}, "as it was logged")
        == "as it was logged"
    )


def test_an_unknown_code_within_a_reason_gives_the_outer_sentence() -> None:
    """The sentence that was logged is whole; the outer reason around an empty text would not be."""
    unknown = {"code": "rerank.from-the-future", "values": {}}
    for inner in (
        unknown,
        [unknown],
        {"code": "storage.of-stage", "values": {"stage": "a", "reason": unknown}},
    ):
        data = {"code": "storage.of-stage", "values": {"stage": "retrieval", "reason": inner}}
        for reason in (Reason.from_json(data, "as logged"), Reason.from_json({**data, "text": "as logged"})):
            assert (reason, reason.code) == ("as logged", "text")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Incorrect API key provided: sk-proj-abc123def456.", "Incorrect API key provided: ***."),
        ("Authorization: Bearer abcdef123456789", "Authorization: Bearer ***"),
        ("cannot reach https://me:pass word@host", "cannot reach https://me:pass word@host"),
        ("cannot reach https://me:hunter22@host/v1", "cannot reach https://***@host/v1"),
        ("cannot reach https://me:p@ss:w0rd@host/v1?a=b@c", "cannot reach https://***@host/v1?a=b@c"),
        ("cannot reach https://t0ken@host", "cannot reach https://***@host"),
        ("GET /v1?key=AIza55&sig=abcd failed", "GET /v1?key=***&sig=*** failed"),
        ("{'x-api-key': 'short1'}", "{'x-api-key': '***'}"),
        ("authorization: Basic bWU6aHVudGVyMjI=", "authorization: Basic ***"),
        ("no token embeddings in jina-reranker-v2-base", "no token embeddings in jina-reranker-v2-base"),
        ("the sort key: alphabetical", "the sort key: alphabetical"),
        ("api_key=0123456789 was refused", "api_key=*** was refused"),
        ("a task-oriented risk-assessment of desk-lamps", "a task-oriented risk-assessment of desk-lamps"),
    ],
)
def test_secrets_in_outside_text_are_masked(said: str, kept: str) -> None:
    """A credential that a server echoes is masked in the reason, its values and every language."""
    reason = Reason.of(said)
    assert reason == kept
    assert reason.values["text"] == kept
    assert reason.render("zh") == kept


def test_a_known_secret_is_masked_whatever_its_form() -> None:
    """A key that looks like a word is masked once the settings have named it."""
    secrets.remember("correct-horse-battery")
    assert Reason.of("refused: correct-horse-battery") == "refused: ***"


def test_a_short_key_masks_no_ordinary_word() -> None:
    """The usual dummy key of a local server is also its name, and part of its URLs."""
    secrets.remember("ollama", "eightkey")
    assert Reason.of("http://ollama:11434 has no ollama/llama3") == "http://ollama:11434 has no ollama/llama3"
    assert Reason.of("refused: eightkey") == "refused: ***"
