"""What a training keeps on disk: checkpoints to go on from, and the best weights so far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from storage.errors import ModelError

_WEIGHTS = "learned.safetensors"
_BEST = "best"


def save_weights(model: Any, folder: Path) -> None:
    """What learns, exactly; frozen weights are the base's."""
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
    """Put them back. Raises ModelError where they are another model's."""
    found = load_file(folder / _WEIGHTS)
    wanted = {name for name, value in model.named_parameters() if value.requires_grad}
    if wanted != set(found):
        raise ModelError(f"{folder} holds the weights of another model")
    model.load_state_dict(found, strict=False)


def keep_best(model: Any, folder: Path, step: int) -> None:
    """Keep these as the best; the best before stay as well, until the next checkpoint surely names these."""
    save_weights(model, best_weights(folder, step))
    for old in sorted(folder.glob(f"{_BEST}-*"), key=step_of)[:-2]:
        (old / _WEIGHTS).unlink(missing_ok=True)
        old.rmdir()


def best_weights(folder: Path, step: int) -> Path:
    """Where the best weights of a step are."""
    return folder / f"{_BEST}-{step}"


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that is whole: the trainer writes its state last."""
    for path in sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return path
    return None


def step_of(path: Path) -> int:
    """The step in a folder's name; -1 where there is none."""
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1
