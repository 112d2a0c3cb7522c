"""`winnow train`: a cross-encoder from records, judgements or the log, as a folder that any chain can load.

The folder appears whole or not at all. Until then there are checkpoints next to it, from which the same
command resumes after an interruption or a kill.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rerank.training.examples import Examples, examples, question_digest
from storage.errors import BadInputError, SettingsError
from winnow.lab.progress import Progress, silent
from winnow.lab.training.plans import TrainPlan, TrainReport
from winnow.lab.training.teacher import taught
from winnow.lab.training.training_data import TrainingData, measure_of, training_data

if TYPE_CHECKING:
    from rerank.training.bases import TrainingBase
    from winnow.app.wiring import Wiring
    from winnow.lab.training.encoder_base import CutBase

# Digests of the questions that a model was trained on, which the gate leaves out.
SEEN = "training_questions.txt"
REPORT = "training.json"
_SAMPLE = 1_000


def train(
    plan: TrainPlan,
    wiring: Wiring,
    progress: Progress = silent,
    announce: Callable[[str], None] = lambda _: None,
) -> TrainReport:
    """Train, and write the model to `plan.out`. `announce` gets the metrics of the dev questions.

    Raises MissingDependencyError without the extra `[train]`, BadInputError for unusable data or an output
    that exists already, ModelError for an unusable base or where training diverges.
    """
    from rerank.training.bases import check_extra

    check_extra()
    started = time.perf_counter()
    _check_free(plan.out)
    with _workshop(plan) as folder:
        found = training_data(plan, wiring)
        if plan.teacher is not None:
            found = taught(plan, plan.teacher, found, wiring, progress, announce)
        material = examples(found.train, plan.hyperparameters.objective)
        base, identity, cut = _base(plan, found, wiring, folder, announce)
        _check_same(folder, _fingerprint(plan, found, identity))
        report = _trained(plan, found, material, base, identity, cut, wiring, progress, announce, started)
        _publish(plan, base, report, found)
    shutil.rmtree(plan.workshop, ignore_errors=True)
    return report


def _trained(
    plan: TrainPlan,
    found: TrainingData,
    material: Examples,
    base: TrainingBase,
    identity: str,
    cut: CutBase | None,
    wiring: Wiring,
    progress: Progress,
    announce: Callable[[str], None],
    started: float,
) -> TrainReport:
    from rerank.training.fitting import fit

    try:
        fitted = fit(
            base,
            material,
            plan.hyperparameters,
            plan.workshop,
            measure=measure_of(found),
            progress=progress,
            announce=announce,
            device=wiring.settings.encoder.device,
        )
    except KeyboardInterrupt:
        announce(_resume_hint(plan))
        raise
    learning, every = base.parameters
    chosen = plan.hyperparameters
    weight = material.pos_weight if chosen.pos_weight is None else chosen.pos_weight
    return TrainReport(
        out=plan.out,
        base=identity,
        kind=base.kind,
        objective=chosen.objective,
        learned_from=material.learned_from,
        teacher=plan.teacher or "",
        pieces=cut.pieces if cut else 0,
        without_room=cut.missing if cut else 0,
        sources=found.sources,
        questions=len({record.query for record in found.train}),
        pairs=material.pairs,
        dev_questions=len({record.query for record in found.dev}),
        max_length=base.max_length,
        cut=_share_cut(base, found),
        lora=base.lora,
        freeze=plan.freeze,
        weights=learning,
        all_weights=every,
        pos_weight=weight if chosen.objective == "bce" else None,
        fitted=fitted,
        left_out={**found.left_out, **material.left_out},
        seconds=round(time.perf_counter() - started, 1),
    )


def _base(
    plan: TrainPlan, found: TrainingData, wiring: Wiring, folder: Path, announce: Callable[[str], None]
) -> tuple[TrainingBase, str, CutBase | None]:
    """The base, a name that changes with its weights, and how its vocabulary was cut."""
    from rerank.training.bases import load_base
    from retrieval.models.locate import locate
    from winnow.lab.training.encoder_base import cut_encoder

    located = locate(plan.base)
    located.check()
    cut = cut_encoder(located, found.texts(), plan.vocabulary, folder / "encoder")
    if cut is not None:
        announce(f"vocabulary: {cut.pieces:,} pieces; the data's texts use {cut.used:,}")
    if cut is not None and cut.missing:
        announce(f"{cut.missing:,} rare pieces of the data have no room (--vocabulary): they are split up")
    base = load_base(
        located.folder if cut is None else cut.folder,
        folder / "base",
        device=wiring.settings.encoder.device,
        max_length=plan.max_length,
        lora=plan.lora,
        freeze=plan.freeze,
        seed=plan.hyperparameters.seed,
    )
    return base, located.identity(), cut


@contextmanager
def _workshop(plan: TrainPlan) -> Iterator[Path]:
    """The folder of checkpoints, for one process at a time."""
    from filelock import FileLock, Timeout

    folder = plan.workshop
    try:
        if plan.restart:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", timeout=0):
            yield folder
    except Timeout as error:
        raise BadInputError(f"{plan.out} is being trained by another process") from error
    except PermissionError as error:
        raise SettingsError(
            f"{folder} cannot be written: {error.strerror}", way_out="Name a folder of yours: --out."
        ) from error


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInputError(
            f"{out} exists already", way_out="Name another folder, or move that one away; --gate compares it."
        )


def _check_same(folder: Path, fingerprint: str) -> None:
    """Raises BadInputError for checkpoints of another training."""
    file = folder / "plan.sha256"
    if not file.exists():
        file.write_text(fingerprint, encoding="utf-8")
    elif file.read_text(encoding="utf-8") != fingerprint:
        raise BadInputError(
            f"{folder} holds an unfinished training with other data, another base or other options",
            way_out="Give the same ones to resume, --restart to discard it, or another --out.",
        )


def _fingerprint(plan: TrainPlan, found: TrainingData, identity: str) -> str:
    """A hash of everything that decides the weights; time limit and checkpoints do not."""
    chosen = asdict(plan.hyperparameters)
    for name in ("max_minutes", "checkpoint_steps"):
        del chosen[name]
    parts = [chosen, plan.max_length, plan.lora, plan.freeze, plan.vocabulary, identity, found.digest()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _share_cut(base: TrainingBase, found: TrainingData) -> float:
    """The share of a sample of pairs that is longer than the model's input."""
    from tokenizers import Tokenizer

    pairs = [(record.query, passage.text) for record in found.train for passage in record.passages]
    sample = pairs[:: max(1, len(pairs) // _SAMPLE)]
    tokenizer = Tokenizer.from_str(base.model.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lengths = [len(tokens.ids) for tokens in tokenizer.encode_batch(sample)]
    return round(sum(length > base.max_length for length in lengths) / len(sample), 3)


def _publish(plan: TrainPlan, base: TrainingBase, report: TrainReport, found: TrainingData) -> None:
    """Put the model's folder in its place, in one step."""
    from rerank.training.bases import hushed
    from winnow.lab.training.model_card import card

    ready = plan.workshop / "model"
    shutil.rmtree(ready, ignore_errors=True)
    with hushed():
        base.merged().save_pretrained(str(ready), create_model_card=False)
    seen = sorted({question_digest(record.query) for record in (*found.train, *found.dev)})
    files = {
        "README.md": card(plan, report),
        REPORT: json.dumps(asdict(report), ensure_ascii=False, indent=2, default=str) + "\n",
        SEEN: "".join(f"{digest}\n" for digest in seen),
    }
    for name, text in files.items():
        (ready / name).write_text(text, encoding="utf-8")
    if plan.out.is_dir():
        plan.out.rmdir()  # empty: checked before
    ready.replace(plan.out)


def _resume_hint(plan: TrainPlan) -> str:
    from rerank.training.checkpoints import last_checkpoint, step_of

    last = last_checkpoint(plan.workshop)
    if last is None:
        return "interrupted before the first checkpoint: the same command starts again"
    return f"interrupted; the same command resumes at step {step_of(last)} ({plan.workshop})"
