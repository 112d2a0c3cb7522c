"""`TrainPlan` and `TrainReport`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rerank.llm.budget import Budget
from rerank.training.hyperparameters import DevRow, Fitted, Hyperparameters
from retrieval.models.hub import DEFAULT_MODEL
from storage.errors import BadInputError

# The packaged encoder, which reads English and Chinese: nothing has to be downloaded.
DEFAULT_BASE = DEFAULT_MODEL
VOCABULARY = 45_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """The data, the base, the hyperparameters, and the folder of the model.

    `data`: JSONL files of records, or folders of BEIR's layout (`split` names their questions and
    judgements); `log`: also judged answers, of one `collection` if named. `base`: hub id or folder of an
    encoder, a cross-encoder to continue from, or a causal language model. `dev`: files or folders to measure
    on during training; without any, a `dev_share` of the questions (at most `dev_most`) is held back.
    `watch`: others that are measured as well, and by which nothing is chosen. `lora`: rank of the adapters, 0
    for none; None: 16 for a language model, none otherwise. `freeze`: the number of lowest layers that, like
    the embeddings, do not learn. `vocabulary`: the most pieces that an encoder keeps, those of the data
    first. `teacher`: a rerank spec whose scores are learned, within `budget` for this run. `licence`: the
    data's, for the model card. `restart` discards an unfinished training.
    """

    out: Path
    data: tuple[Path, ...] = ()
    log: bool = False
    collection: str | None = None
    split: str | None = None
    base: str = DEFAULT_BASE
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    dev: tuple[Path, ...] = ()
    watch: tuple[Path, ...] = ()
    dev_share: float = 0.1
    dev_most: int = 500
    max_length: int | None = None
    lora: int | None = None
    freeze: int = 0
    vocabulary: int = VOCABULARY
    teacher: str | None = None
    budget: Budget = field(default_factory=Budget)
    licence: str = ""
    restart: bool = False

    def __post_init__(self) -> None:
        if not self.data and not self.log:
            raise BadInputError(
                "there is nothing to learn from",
                way_out="Name JSONL files of records, BEIR folders, or --log.",
            )
        if not 0 <= self.dev_share < 1:
            raise BadInputError(f"the dev share lies from 0 to below 1, and is {self.dev_share}")
        if self.lora is not None and self.lora < 0:
            raise BadInputError(f"a rank is 0 or more, and is {self.lora}")
        if self.freeze < 0:
            raise BadInputError(f"0 layers or more are frozen, and not {self.freeze}")
        if self.teacher is not None and self.hyperparameters.objective not in ("listwise", "margin-mse"):
            raise BadInputError(
                f"{self.hyperparameters.objective} learns labels, and a teacher gives scores",
                way_out="Take --objective listwise, or margin-mse.",
            )

    @property
    def scores(self) -> Path:
        """The teacher's scores, which stay: they may have been paid for."""
        return self.out.with_name(f"{self.out.name}.teacher.jsonl")

    @property
    def workshop(self) -> Path:
        """The folder of checkpoints until the model is ready."""
        return self.out.with_name(f"{self.out.name}.training")


@dataclass(frozen=True, slots=True)
class DataSource:
    """A file, folder or log of training data.

    `made` counts records by method, and by model where one made them.
    """

    name: str
    sha256: str
    records: int
    passages: int
    made: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """The results. `weights` of `all_weights` were trained; `left_out` counts by reason.

    `teacher` is a spec, empty without one. `pieces` are those that a cut vocabulary kept, 0 of one that was
    not cut; `without_room` counts the data's that it did not. `pairs` are those of one epoch. `cut` is the
    share of a sample of pairs that is longer than `max_length`.
    """

    out: Path
    base: str
    kind: str
    objective: str
    learned_from: str
    teacher: str
    pieces: int
    without_room: int
    sources: tuple[DataSource, ...]
    questions: int
    pairs: int
    dev_questions: int
    max_length: int
    cut: float
    lora: int
    freeze: int
    weights: int
    all_weights: int
    pos_weight: float | None
    fitted: Fitted
    left_out: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def before(self) -> DevRow | None:
        """The base's metrics on the dev questions."""
        return next((row for row in self.fitted.dev if row.step == 0), None)
