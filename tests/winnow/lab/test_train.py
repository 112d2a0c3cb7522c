"""`winnow train`: training data, the saved model, and loading it in a chain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from safetensors.torch import load_file
from typer.testing import CliRunner

from rerank.training.examples import deduplicated, examples, split
from rerank.training.records import LabelledPassage, TrainingRecord, read_records
from storage.errors import BadInputError
from tests.support import lessons, tiny_models
from winnow import rerank
from winnow.cli.app import app

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[3]
QUICK = ("--learning-rate", "0.01", "--batch", "8")


def train(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, words)])


def trained(*words: object) -> dict[str, Any]:
    result = train(*words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout)["training"])


def best(model: Path, question: str, *texts: str) -> str:
    """Return the text that a chain with the model ranks first."""
    found = rerank(question, texts, f'cross-encoder(model="{model}")')
    assert [(stage.status, stage.reason) for stage in found.outcomes] == [("ok", "")]
    return found.results[0].text


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return lessons.write(tmp_path / "data.jsonl", range(40))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_models.bert(tmp_path / "base")


def test_a_trained_cross_encoder_reranks_in_a_chain(tmp_path: Path, data: Path, base: Path) -> None:
    """The output folder is loaded by `cross-encoder(model=PATH)` and orders as it was taught."""
    out = tmp_path / "mine"
    report = trained(data, "--base", base, "-o", out, "--epochs", 6, "--learning-rate", 0.005, "--batch", 8)
    assert report["fitted"]["best"]["metrics"]["MRR@10"] == 1
    unseen = lessons.name(47)
    good, bad = f"{lessons.GOOD[0]} {unseen}", f"{lessons.BAD[0]} {unseen}"
    assert best(out, f"question {unseen} and the passage", bad, good) == good
    assert not out.with_name("mine.training").exists()


@pytest.mark.parametrize("objective", ["margin-mse", "lambda"])
def test_other_objectives_learn_the_same_order(tmp_path: Path, base: Path, objective: str) -> None:
    """Margins of a teacher and listwise losses teach the same order as labels."""
    data = lessons.write(tmp_path / "data.jsonl", range(40), scores=True)
    report = trained(
        data, "--base", base, "-o", tmp_path / "m", "--objective", objective, "--epochs", 3, *QUICK
    )
    assert report["fitted"]["best"]["metrics"]["nDCG@10"] > 0.95  # rounding differs with the cores
    assert report["learned_from"] == ("scores" if objective == "margin-mse" else "labels")


def test_a_multilingual_base_learns_chinese(tmp_path: Path) -> None:
    """An XLM-RoBERTa encoder gets a head and learns from Chinese records."""
    data = lessons.write(tmp_path / "data.jsonl", range(40), chinese=True)
    base = tiny_models.xlm_roberta_encoder(tmp_path / "base")
    report = trained(data, "--base", base, "-o", tmp_path / "m", "--epochs", 8, *QUICK)
    assert report["kind"] == "encoder"
    assert report["max_length"] == 64
    seven = lessons.name(7, chinese=True)
    good, bad = f"{lessons.GOOD_ZH[0]} {seven}", f"{lessons.BAD_ZH[0]} {seven}"
    assert best(tmp_path / "m", f"问题 {seven}", bad, good) == good


def test_a_language_model_learns_through_adapters_and_is_loaded_as_a_plain_model(
    tmp_path: Path, data: Path
) -> None:
    """A causal Qwen3 is trained with a head and LoRA, and saved as a model that loads without peft."""
    base = tiny_models.qwen3(tmp_path / "base")
    report = trained(data, "--base", base, "-o", tmp_path / "m", "--epochs", 3, *QUICK)
    assert report["kind"] == "language model"
    assert report["lora"] == 16
    assert report["weights"] < report["all_weights"]
    assert report["fitted"]["best"]["metrics"]["MRR@10"] == 1
    seven = lessons.name(7)
    good, bad = f"{lessons.GOOD[0]} {seven}", f"{lessons.BAD[0]} {seven}"
    assert best(tmp_path / "m", f"question {seven} and the passage", bad, good) == good
    assert json.loads((tmp_path / "m" / "config.json").read_text())["winnow_input"] == "pair"


def test_frozen_layers_stay_as_they_are(tmp_path: Path, data: Path) -> None:
    """Frozen embeddings and layers equal the base's bit for bit, and the card names them."""
    base = tiny_models.bert(tmp_path / "base")
    report = trained(data, "--base", base, "-o", tmp_path / "m", "--freeze", 1, *QUICK)
    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "m"))
    moved = {name for name in before if not before[name].equal(after[name])}
    still = {name for name in before if "embeddings" in name or "layer.0." in name}
    assert still
    assert not moved & still
    assert {name for name in before if "layer.1." in name} & moved
    assert report["weights"] < report["all_weights"]
    assert "the lowest 1 layers did not" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--freeze", 9), "of 2 layers 9 cannot be frozen"), (("--freeze", 1, "--lora", 4), "adapters")],
)
def test_what_cannot_be_frozen_is_said(
    tmp_path: Path, data: Path, base: Path, options: tuple[object, ...], said: str
) -> None:
    """A model that cannot be frozen as asked is refused before training."""
    result = train(data, "--base", base, "-o", tmp_path / "m", *options, *QUICK)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "m").exists()


def test_the_card_says_what_was_learned_from_and_how(tmp_path: Path, data: Path, base: Path) -> None:
    """README.md lists the files, their origin, the licence, the seed and each epoch's dev figures."""
    trained(
        data, "--base", base, "-o", tmp_path / "m", "--licence", "cc-by-sa-4.0", "--seed", 7,
        "--epochs", 2, *QUICK,
    )  # fmt: skip
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    for said in ("data.jsonl", "40 queries, some-model", "cc-by-sa-4.0", "| seed | 7 |", "| 2.00 |", "kept"):
        assert said in card
    assert str(tmp_path) not in card


def test_without_a_licence_the_card_says_so(tmp_path: Path, data: Path, base: Path) -> None:
    """Without a licence for the data the card says that it is unknown."""
    trained(data, "--base", base, "-o", tmp_path / "m", "--max-steps", 1)
    assert "**not stated**" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, data: Path, base: Path) -> None:
    """The same seed gives identical weights, another seed others."""
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        trained(data, "--base", base, "-o", tmp_path / name, "--max-steps", 3, "--seed", seed, *QUICK)
    one, two, three = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "three")
    )
    assert one == two
    assert one != three


def test_training_ends_when_nothing_gets_better(tmp_path: Path, data: Path, base: Path) -> None:
    """Training stops after several measurements without a gain, and keeps the best weights."""
    report = trained(
        data, "--base", base, "-o", tmp_path / "m", "--epochs", 50, "--eval-steps", 2, "--patience", 2, *QUICK
    )
    fitted = report["fitted"]
    assert fitted["steps"] < fitted["planned"]
    assert "no better" in fitted["stopped"]
    assert fitted["best"]["metrics"]["nDCG@10"] == max(r["metrics"]["nDCG@10"] for r in fitted["dev"][1:])


def test_an_output_that_is_there_is_never_overwritten(tmp_path: Path, data: Path, base: Path) -> None:
    """A non-empty output folder is an error before anything is read."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "precious").touch()
    result = train(data, "--base", base, "-o", tmp_path / "m")
    assert result.exit_code == 2
    assert "exists already" in " ".join(result.output.split())
    assert (tmp_path / "m" / "precious").exists()


def test_an_unfinished_training_is_gone_on_with_by_its_own_command_only(
    tmp_path: Path, data: Path, base: Path
) -> None:
    """Checkpoints resume only with the same options; else an error advises, and --restart drops them."""
    workshop = tmp_path / "m.training"
    workshop.mkdir()
    (workshop / "plan.sha256").write_text("another", encoding="utf-8")
    result = train(data, "--base", base, "-o", tmp_path / "m", "--max-steps", 1)
    assert result.exit_code == 2
    assert "--restart" in result.output
    assert trained(data, "--base", base, "-o", tmp_path / "m", "--max-steps", 1, "--restart")


def test_data_without_negatives_is_no_data(tmp_path: Path, base: Path) -> None:
    """Records without negatives are refused, and the error names `winnow mine`."""
    file = tmp_path / "data.jsonl"
    file.write_text('{"query": "q", "positive": "p"}\n', encoding="utf-8")
    result = train(file, "--base", base, "-o", tmp_path / "m")
    assert result.exit_code == 2
    assert "winnow mine" in result.output
    assert not (tmp_path / "m").exists()


def test_judgements_of_a_beir_folder_train(tmp_path: Path, base: Path) -> None:
    """Judged documents are passages; a grade of 0 is a negative."""
    folder = tmp_path / "set"
    folder.mkdir()
    documents = {"d1": lessons.GOOD[0], "d2": lessons.BAD[0], "d3": lessons.BAD[1]}
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in documents.items())
    )
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "what does the fox do"}\n')
    (folder / "qrels.tsv").write_text("query-id\tdoc-id\tgrade\nq\td1\t1\nq\td2\t0\nq\td3\t0\n")
    report = trained(folder, "--base", base, "-o", tmp_path / "m", "--dev-share", 0, "--max-steps", 1)
    assert report["pairs"] == 3
    assert report["pos_weight"] == 2
    assert report["fitted"]["best"] is None


def test_a_missing_extra_gives_the_install_command(tmp_path: Path, data: Path) -> None:
    """Without accelerate and datasets the command says what to install, and creates nothing."""
    script = (
        "import sys\n"
        "sys.modules['accelerate'] = sys.modules['datasets'] = None  # as if not installed\n"
        "from winnow.cli.app import app\n"
        f"app(['train', {str(data)!r}, '-o', {str(tmp_path / 'm')!r}])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "pip install 'winnow-rag[train]'" in done.stderr
    assert not (tmp_path / "m.training").exists()


def test_margins_are_a_teachers_and_of_one_size(tmp_path: Path) -> None:
    """Margins are scaled to one size, whatever the teacher; records without scores are left out."""
    records = list(read_records(lessons.write(tmp_path / "a.jsonl", range(4), scores=True)))
    bare = list(read_records(lessons.write(tmp_path / "b.jsonl", range(4, 6))))
    found = examples([*records, *bare], "margin-mse")
    assert found.columns["label"] == pytest.approx([4.0] * found.rows)
    assert found.learned_from == "scores"
    assert sum(found.left_out.values()) == 2


def test_grades_are_soft_labels() -> None:
    """Grade 1 of 3 is a third of an answer; a positive weighs as much as its negatives."""
    passages = tuple(LabelledPassage(text=f"p{grade}", label=grade) for grade in (0, 1, 3))
    found = examples([TrainingRecord(query="q", passages=passages, top_label=3)], "bce")
    assert found.columns["label"] == pytest.approx([0, 1 / 3, 1])
    assert found.pos_weight == pytest.approx((3 - 4 / 3) / (4 / 3))


def test_a_passage_counts_once_a_question_and_contradictions_are_counted() -> None:
    """A passage counts once per question with its first label, ignoring typography."""
    one = TrainingRecord(query="What?", passages=(LabelledPassage(text="It is.", label=1),))
    again = TrainingRecord(query="what", passages=(LabelledPassage(text="it is", label=0),))
    kept, dropped = deduplicated(iter([one, one, again]))
    assert kept == [one]
    assert dropped == {"passages given twice": 1, "passages labelled twice, differently": 1}


def test_a_question_is_never_on_both_sides(tmp_path: Path) -> None:
    """Records of one question stay together, whatever the order of the files."""
    records = list(read_records(lessons.write(tmp_path / "a.jsonl", [*range(50), *range(50)])))
    train_on, dev = split(records, 0.3, 500, seed=1)
    asked = {record.query for record in dev}
    assert asked
    assert not asked & {record.query for record in train_on}
    assert {record.query for record in split(records[::-1], 0.3, 500, seed=1)[1]} == asked
    assert len({record.query for record in split(records, 0.9, 5, seed=1)[1]}) == 5


def test_labels_of_one_kind_are_refused() -> None:
    """Records with only negatives are refused."""
    record = TrainingRecord(query="q", passages=(LabelledPassage(text="p", label=0),))
    with pytest.raises(BadInputError, match="none answers"):
        examples([record], "bce")
