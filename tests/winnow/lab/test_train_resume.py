"""Killed trainings resume and end in the same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rerank.training.checkpoints import last_checkpoint, step_of
from tests.support import lessons, tiny_models


def command(data: Path, base: Path, out: Path) -> list[str]:
    words = ["train", data, "--base", base, "-o", out, "--epochs", 3, "--batch", 4, "--learning-rate", 0.001]
    words += ["--checkpoint-steps", 5, "--eval-steps", 20, "--patience", 99]
    return [sys.executable, "-m", "winnow", *map(str, words)]


def run(words: list[str], how: int = 0, after: int = 60) -> int:
    """Run a training and return its exit code; a signal is sent once the given checkpoint exists."""
    workshop = Path(words[words.index("-o") + 1] + ".training")
    root = Path(__file__).parents[3]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, cwd=root, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while how and process.poll() is None:
            last = last_checkpoint(workshop)
            if last is not None and step_of(last) >= after:
                process.send_signal(how)
                break
            time.sleep(0.01)
        _, errors = process.communicate()
    if how == signal.SIGINT:
        assert "the same command resumes at step" in " ".join(errors.split())
        assert "Traceback" not in errors
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("language_model", [False, True])
def test_a_killed_training_ends_in_the_same_weights(tmp_path: Path, language_model: bool) -> None:
    """A training killed and later interrupted ends in the same weights, bit for bit."""
    data = lessons.write(tmp_path / "data.jsonl", range(60))
    base = (tiny_models.qwen3 if language_model else tiny_models.bert)(tmp_path / "base")
    assert run(command(data, base, tmp_path / "calm")) == 0
    disturbed = command(data, base, tmp_path / "disturbed")
    assert run(disturbed, signal.SIGKILL) == -signal.SIGKILL
    assert not (tmp_path / "disturbed").exists()
    assert run(disturbed, signal.SIGINT, after=120) == 130
    assert run(disturbed) == 0
    calm, after = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("calm", "disturbed"))
    assert calm == after
    assert not (tmp_path / "disturbed.training").exists()


@pytest.mark.heavy
def test_a_checkpoint_is_incomplete_while_it_is_written_again(tmp_path: Path) -> None:
    """A step that ends an epoch is saved twice; where the second time fails, an earlier one is resumed."""
    from rerank.training.bases import load_base
    from rerank.training.examples import examples
    from rerank.training.fitting import fit
    from rerank.training.hyperparameters import Hyperparameters
    from rerank.training.records import read_records

    records = list(read_records(lessons.write(tmp_path / "data.jsonl", range(4))))
    folder = tmp_path / "training"
    written_before = folder / "checkpoint-2"

    def progress(what: str, done: int, total: int) -> None:
        if done == 2:
            (written_before / "learned.safetensors.part").mkdir(parents=True)  # nothing can be saved here
            (written_before / "trainer_state.json").write_text("{}")

    with pytest.raises(Exception, match="Is a directory"):
        fit(
            load_base(tiny_models.bert(tmp_path / "base"), tmp_path / "scratch"),
            examples(records, "bce"),
            Hyperparameters(batch=4, checkpoint_steps=1),
            folder,
            measure=None,
            progress=progress,
            announce=lambda _: None,
        )
    last = last_checkpoint(folder)
    assert last is not None
    assert last.name == "checkpoint-1"
