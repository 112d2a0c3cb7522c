"""`winnow train --gate`: which model may replace the current reranker, and writing the setting."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from storage.errors import SettingsError
from storage.records import Candidate, Outcome
from tests.support import lessons, tiny_models
from winnow.cli.app import app
from winnow.lab.training import promote

pytestmark = pytest.mark.heavy


def weigh(model: Path, held_out: Path, *words: object) -> tuple[int, dict[str, Any]]:
    result = gate(model, held_out, *words, "--json")
    assert result.exit_code in (0, 4), result.output
    return result.exit_code, dict(json.loads(result.stdout))


def gate(model: Path, held_out: Path, *words: object) -> Result:
    command = ["train", "-o", model, "--gate", "--held-out", held_out, *words]
    return CliRunner().invoke(app, [str(word) for word in command])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder that orders as it was taught."""
    root = tmp_path_factory.mktemp("gate")
    base = tiny_models.bert(root / "base")
    data = lessons.write(root / "data.jsonl", range(40))
    words = ["train", data, "--base", base, "-o", root / "taught", "--epochs", 8]
    words += ["--learning-rate", "0.01", "--batch", "8"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return root / "taught"


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    return lessons.write(tmp_path / "held-out.jsonl", range(100, 140))


def use(spec: str) -> None:
    Path("winnow.toml").write_text(f"# mine\n[rerank]\nspec = '{spec}'\ntop_k = 3\n", encoding="utf-8")


def test_what_orders_held_out_questions_better_passes(
    tmp_path: Path, model: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A significantly better model passes; the setting's line is printed and nothing is written."""
    monkeypatch.chdir(tmp_path)
    use("none")
    before = Path("winnow.toml").read_text(encoding="utf-8")
    code, found = weigh(model, held_out)
    assert code == 0
    assert found["gate"]["passed"]
    assert found["gate"]["differences"]["nDCG@10"]["interval"]["low"] > 0
    assert str(model) in found["setting"]
    assert not found["promoted"]
    assert Path("winnow.toml").read_text(encoding="utf-8") == before


def test_what_is_no_better_does_not_pass(
    tmp_path: Path, model: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that gains nothing fails with exit code 4 and a reason, and no setting is written."""
    monkeypatch.chdir(tmp_path)
    use(f'cross-encoder(model="{model}")')
    result = gate(model, held_out, "--promote")
    assert result.exit_code == 4, result.output
    assert "not promoted" in result.output
    assert "not surely better" in result.output
    assert "before" not in Path("winnow.toml").read_text(encoding="utf-8")


def test_promoting_writes_the_setting_and_keeps_the_file(
    tmp_path: Path, model: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promoting writes the setting, keeps the rest of the file, and leaves the old chain as a comment."""
    monkeypatch.chdir(tmp_path)
    use("none")
    code, found = weigh(model, held_out, "--promote", "--spec", "none:3,cross-encoder(model={model})")
    assert (code, found["promoted"], found["line"]) == (0, True, 3)
    text = Path("winnow.toml").read_text(encoding="utf-8")
    assert text.startswith("# mine\n[rerank]\n")
    assert '# before: "none"' in text
    rerank = tomllib.loads(text)["rerank"]
    assert rerank == {"spec": found["gate"]["new"], "top_k": 3}
    assert str(model) in rerank["spec"]


def test_questions_that_were_learned_from_are_left_out(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions of the training data are left out; without any other the gate refuses to judge."""
    monkeypatch.chdir(tmp_path)
    use("none")
    mixed = lessons.write(tmp_path / "mixed.jsonl", range(30, 70))
    _, found = weigh(model, mixed)
    assert found["gate"]["questions"] == 30
    assert any("10 questions" in note for note in found["gate"]["notes"])
    result = gate(model, lessons.write(tmp_path / "seen.jsonl", range(10)))
    assert result.exit_code == 2
    assert "has learned from every question" in result.output


def judged(data_dir: Path, count: int, better: str, worse: str) -> None:
    """Log answers whose feedback prefers the first text to the second."""
    from storage.database import Database
    from storage.log.answer_log import AnswerLog
    from tests.support.log_samples import a_plain_answer

    data_dir.mkdir()
    with Database.open(data_dir / "winnow.db") as database:
        log = AnswerLog(database)
        for number in range(count):
            called = lessons.name(number)
            texts = (f"{better} {called}", f"{worse} {called}")
            candidates = tuple(
                Candidate.from_text(text, id=f"c{number}-{place}").ranked("retrieval", place)
                for place, text in enumerate(texts, start=1)
            )
            answer = a_plain_answer(
                number, question=f"question {called} and the passage", candidates=candidates, rerank="none",
                stages=(Outcome("retrieval", ms=1.0), Outcome("none", ms=1.0)),
            )  # fmt: skip
            log.save(answer)
            log.feedback(answer.id, grades={1: 3, 2: 0})


def test_what_loses_on_judged_answers_does_not_pass(
    tmp_path: Path, model: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that loses on judged answers fails, even if it wins on the held-out questions."""
    monkeypatch.chdir(tmp_path)
    use("none")
    judged(tmp_path / "log", 3, better=lessons.BAD[0], worse=lessons.GOOD[0])
    code, found = weigh(model, held_out, "--data-dir", tmp_path / "log")
    assert code == 4
    now, new = found["gate"]["logged"]
    assert (found["gate"]["judged"], new < now) == (3, True)
    assert [reason for reason in found["gate"]["reasons"] if "judged answers" in reason]


def test_judged_answers_are_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--log` alone is enough training data, and the card says that people graded it."""
    monkeypatch.chdir(tmp_path)
    judged(tmp_path / "log", 12, better=lessons.GOOD[0], worse=lessons.BAD[0])
    base = tiny_models.bert(tmp_path / "base")
    words = ["train", "--log", "--base", base, "-o", "m", "--max-steps", 2, "--data-dir", tmp_path / "log"]
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)["training"]
    assert report["sources"][0]["made"] == {"feedback": 12}
    assert "12 feedback" in Path("m/README.md").read_text(encoding="utf-8")


def test_the_gate_needs_questions(model: Path) -> None:
    """The gate without --held-out is an error."""
    result = CliRunner().invoke(app, ["train", "-o", str(model), "--gate"])
    assert result.exit_code == 2
    assert "--held-out" in result.output


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("", 2),
        ("data_dir = 'x'\n", 4),
        ("[rerank]\ntop_k = 3\n\n[llm]\nmodel = 'm'\n", 2),
        ("[llm]\nspec = 'not this'\n[rerank] # mine\nspec = 'none'\n", 4),
    ],
)
def test_the_setting_finds_its_place(tmp_path: Path, before: str, line: int) -> None:
    """The setting is written into any valid file without changing the rest of it."""
    file = tmp_path / "winnow.toml"
    file.write_text(before, encoding="utf-8")
    done = promote('cross-encoder(model="/模型/a b")', "none", file)
    assert done.line == line
    assert file.read_text(encoding="utf-8").splitlines()[line - 1] == done.text
    said = tomllib.loads(file.read_text(encoding="utf-8"))
    assert said.pop("rerank")["spec"] == 'cross-encoder(model="/模型/a b")'
    old = tomllib.loads(before)
    old.pop("rerank", None)
    assert said == old


@pytest.mark.parametrize("text", ["rerank = {spec = 'none'}\n", "rerank.spec = 'none'\n", "not toml"])
def test_a_file_that_is_not_understood_stays(tmp_path: Path, text: str) -> None:
    """A file that cannot be parsed stays unchanged, and the error gives the line to add by hand."""
    file = tmp_path / "winnow.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        promote("none", "late-interaction", file)
    assert 'spec = "none"' in (raised.value.way_out or "")
    assert file.read_text(encoding="utf-8") == text
