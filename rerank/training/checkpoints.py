"""The files of a training: checkpoints to resume from, and the best weights so far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from storage.errors import ModelError

_WEIGHTS = "learned.safetensors"
_BEST = "best"
# The trainer writes it last: a checkpoint that has it is complete.
_STATE = "trainer_state.json"


def save_weights(model: Any, folder: Path) -> None:
    """Save the weights that learn, exactly; frozen ones are the base's."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{_WEIGHTS}.part"
    learned = {
        name: value.detach().cpu().contiguous()
        for name, value in model.named_parameters()
        if value.requires_grad
    }
    save_file(learned, part)
    part.replace(folder / _WEIGHTS)


def load_weights(model: Any, folder: Path) -> None:
    """Restore saved weights. Raises ModelError for those of another model."""
    found = load_file(folder / _WEIGHTS)
    wanted = {name for name, value in model.named_parameters() if value.requires_grad}
    if wanted != set(found):
        raise ModelError(f"{folder} holds the weights of another model")
    model.load_state_dict(found, strict=False)


def keep_best(model: Any, folder: Path, step: int) -> None:
    """Save the best weights; the previous best stay until the next checkpoint names these."""
    save_weights(model, best_weights(folder, step))
    for old in sorted(folder.glob(f"{_BEST}-*"), key=step_of)[:-2]:
        (old / _WEIGHTS).unlink(missing_ok=True)
        old.rmdir()


def best_weights(folder: Path, step: int) -> Path:
    """The folder of a step's best weights."""
    return folder / f"{_BEST}-{step}"


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint."""
    for path in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        try:
            json.loads((path / _STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return path
    return None


def forget_complete(folder: Path) -> None:
    """Make a checkpoint incomplete, which is about to be written again."""
    (folder / _STATE).unlink(missing_ok=True)


def step_of(path: Path) -> int:
    """The step in a folder's name, or -1."""
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1
