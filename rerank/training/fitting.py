"""Trains a cross-encoder with sentence-transformers' trainer; resumes after an interruption or a kill.

Imported only where something is trained.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments, losses
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState

from rerank.cross.torch_models import chosen_device
from rerank.training.bases import TrainingBase, hushed
from rerank.training.checkpoints import (
    best_weights,
    forget_complete,
    keep_best,
    last_checkpoint,
    load_weights,
    save_weights,
    step_of,
)
from rerank.training.examples import Examples
from rerank.training.hyperparameters import DevRow, Fitted, Hyperparameters, Measure, Progress
from storage.errors import ModelError

_DEV = "winnow_dev"
_SCORED_AT_ONCE = 64


def fit(
    base: TrainingBase,
    found: Examples,
    chosen: Hyperparameters,
    folder: Path,
    *,
    measure: Measure | None,
    progress: Progress,
    announce: Callable[[str], None],
    device: str = "auto",
) -> Fitted:
    """Train the base in place, from the last checkpoint in `folder` if there is one.

    Raises ModelError where training diverges. An interruption leaves the checkpoints.
    """
    where = chosen_device(device)
    watch = _Watch(base.model, chosen, folder, measure, progress, announce)
    arguments = _arguments(chosen, found, folder, where)
    trainer = _Trainer(
        model=base.model,
        args=arguments,
        train_dataset=Dataset.from_dict(dict(found.columns)),
        loss=_loss(base.model, chosen, found),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    resumed = last_checkpoint(folder)
    if resumed is not None:
        announce(f"resuming at step {step_of(resumed)}")
    else:
        watch.look_before(trainer.state)
    try:
        with hushed():
            trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    except RuntimeError as error:
        if "out of memory" not in str(error):
            raise
        raise ModelError(
            f"the device has too little memory: {str(error).splitlines()[0]}",
            way_out="Halve --batch and double --accumulate, or lower --max-length.",
        ) from error
    rows = dev_rows(trainer.state)
    best = best_row([row for row in rows if row.step])
    if best is not None:
        load_weights(base.model, best_weights(folder, best.step))
    return Fitted(
        steps=trainer.state.global_step,
        planned=trainer.state.max_steps,
        epochs=round(trainer.state.epoch or 0.0, 3),
        loss=_last_loss(trainer.state),
        dev=tuple(rows),
        best=best,
        stopped=watch.stopped,
        resumed_from=0 if resumed is None else step_of(resumed),
        device=where,
    )


def dev_rows(state: TrainerState) -> list[DevRow]:
    """The measurements so far; the trainer keeps them in its checkpoints."""
    entries = [entry[_DEV] for entry in cast("Any", state.log_history) if _DEV in entry]
    return [DevRow(step, epoch, dict(metrics)) for step, epoch, metrics in entries]


def best_row(rows: Sequence[DevRow]) -> DevRow | None:
    """The best row, the earliest of equals."""
    return max(rows, key=lambda row: (row.figure, -row.step), default=None)


class _Watch(TrainerCallback):
    """Measures, keeps the best weights, and ends the training."""

    def __init__(
        self,
        model: Any,
        chosen: Hyperparameters,
        folder: Path,
        measure: Measure | None,
        progress: Progress,
        announce: Callable[[str], None],
    ) -> None:
        self.stopped = ""
        self._model = model
        self._chosen = chosen
        self._folder = folder
        self._measure = measure
        self._progress = progress
        self._announce = announce
        self._started = time.monotonic()
        self._before: list[Any] = []

    def look_before(self, state: TrainerState) -> None:
        """Measure the base as it is."""
        self.measured(state)
        self._before = [entry for entry in cast("Any", state.log_history) if _DEV in entry]

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Restore the first measurement: the trainer begins with a new state."""
        cast("Any", state.log_history).extend(self._before)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        self._progress("training", state.global_step, state.max_steps)
        every = self._chosen.eval_steps
        if every and state.global_step % every == 0:
            self._look(state, control)
        limit = self._chosen.max_minutes
        if limit is not None and time.monotonic() - self._started > 60 * limit:
            self._stop(control, f"the {limit:g} minutes are over")

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: ARG002
        self._look(state, control)
        control.should_save = True

    def _look(self, state: TrainerState, control: TrainerControl) -> None:
        if any(row.step == state.global_step for row in dev_rows(state)) or not self.measured(state):
            return
        rows = [row for row in dev_rows(state) if row.step]
        best = best_row(rows)
        if best is not None and best.step == state.global_step:
            keep_best(self._model, self._folder, best.step)
        control.should_save = True
        since = [row for row in rows if best is not None and row.step > best.step]
        if best is not None and len(since) >= self._chosen.patience:
            self._stop(control, f"{len(since)} measurements in a row were no better than at step {best.step}")

    def _stop(self, control: TrainerControl, reason: str) -> None:
        control.should_training_stop = True
        self.stopped = reason

    def measured(self, state: TrainerState) -> bool:
        """Measure the dev questions; False where there are none."""
        if self._measure is None:
            return False
        metrics = dict(self._measure(self._scores))
        row = DevRow(state.global_step, round(state.epoch or 0.0, 3), metrics)
        # as lists: the trainer's file sorts the keys of objects, and the first metric selects the weights
        kept = [row.step, row.epoch, [list(figure) for figure in metrics.items()]]
        cast("Any", state.log_history).append({"step": row.step, _DEV: kept})
        figures = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        loss = _last_loss(state)
        told = f"step {row.step}" if row.step else "before training"
        self._announce(f"{told}: {figures}" + (f", loss {loss:.4f}" if loss is not None else ""))
        return True

    def _scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        learning = self._model.training
        scores = self._model.predict(
            list(pairs),
            batch_size=_SCORED_AT_ONCE,
            show_progress_bar=False,
            activation_fn=torch.nn.Identity(),
        )
        self._model.train(learning)
        values = [float(score) for score in scores]
        if not all(map(math.isfinite, values)):
            raise ModelError(
                "training diverged: scores are no numbers any more", way_out="Lower --learning-rate."
            )
        return values


class _Mixed(DefaultBatchSampler):
    """Batches with each language's share of the rows.

    Each epoch's order depends on seed and epoch alone, so that a resumed epoch has the same order.
    """

    def __init__(self, *given: Any, languages: Sequence[str], **named: Any) -> None:
        super().__init__(*given, **named)
        self._languages = languages

    def __iter__(self) -> Iterator[list[int]]:
        drawn = torch.Generator()
        drawn.manual_seed(self.seed * 100_003 + self.epoch)
        shuffled = torch.randperm(len(self._languages), generator=drawn).tolist()
        rows = Counter(self._languages)
        met = Counter[str]()
        places = []
        for row in shuffled:
            language = self._languages[row]
            places.append((met[language] + 0.5) / rows[language])
            met[language] += 1
        order = [row for _, row in sorted(zip(places, shuffled, strict=True))]
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]


class _Trainer(CrossEncoderTrainer):
    """Saves only the weights that learn in its checkpoints, exactly, whatever the base."""

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save a checkpoint; one of this step that is written again is incomplete until it is whole."""
        folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        forget_complete(folder)
        super()._save_checkpoint(model, trial)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        save_weights(self.model, Path(output_dir or str(self.args.output_dir)))

    def _load_from_checkpoint(
        self,
        resume_from_checkpoint: str,
        model: torch.nn.Module | None = None,  # noqa: ARG002
    ) -> None:
        load_weights(self.model, Path(resume_from_checkpoint))

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """winnow writes its own card."""


def _arguments(
    chosen: Hyperparameters, found: Examples, folder: Path, device: str
) -> CrossEncoderTrainingArguments:
    per_row = found.pairs / found.rows
    on_gpu = device == "cuda"
    return CrossEncoderTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=max(1, round(chosen.batch / per_row)),
        gradient_accumulation_steps=chosen.accumulate,
        num_train_epochs=chosen.epochs,
        max_steps=chosen.max_steps or -1,
        learning_rate=chosen.learning_rate,
        warmup_steps=chosen.warmup,
        weight_decay=0.01,
        save_strategy="steps",
        save_steps=chosen.checkpoint_steps,
        save_total_limit=2,
        eval_strategy="no",
        logging_steps=10,
        logging_nan_inf_filter=False,
        seed=chosen.seed,
        data_seed=chosen.seed,
        bf16=torch.cuda.is_bf16_supported() if on_gpu else device == "cpu" and _fast_bfloat16(),
        use_cpu=device == "cpu",
        dataloader_pin_memory=on_gpu,
        batch_sampler=partial(_Mixed, languages=found.languages),
        report_to="none",
        disable_tqdm=True,
    )


def _fast_bfloat16() -> bool:
    """True for a CPU that multiplies it (AMX, AVX-512), where steps take half the time; elsewhere more."""
    # older versions of torch do not tell
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_tile") or capabilities.get("avx512_bf16"))


def _loss(model: Any, chosen: Hyperparameters, found: Examples) -> torch.nn.Module:
    if chosen.objective == "bce":
        weight = found.pos_weight if chosen.pos_weight is None else chosen.pos_weight
        return losses.BinaryCrossEntropyLoss(model, pos_weight=torch.tensor(weight))
    if chosen.objective == "margin-mse":
        return losses.MarginMSELoss(model)
    if chosen.objective == "listwise":
        return losses.ListNetLoss(model, mini_batch_size=chosen.batch)
    return losses.LambdaLoss(model, mini_batch_size=chosen.batch)


def _last_loss(state: TrainerState) -> float | None:
    logged = [entry["loss"] for entry in cast("Any", state.log_history) if "loss" in entry]
    return float(logged[-1]) if logged else None
