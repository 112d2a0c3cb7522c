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
