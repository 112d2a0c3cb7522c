"""The parts of a synthesis run, and the result for one passage or question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rerank.chain import Chain
from rerank.llm.budget import Meter
from rerank.llm.calls import CallCounts, Caller, Lost, Request
from rerank.llm.templates import language_of
from rerank.spec import Spec
from rerank.training.forms import GRADES, FormFiller, PromptForm, SynthesisTemplates
from rerank.training.journal import Journal
from rerank.training.records import Provenance, TrainingRecord
from retrieval.hybrid import HybridRetriever
from storage.chat import Price
from storage.errors import BadInputError
from storage.records import Candidate
from storage.secrets import masked
from winnow.lab.synthesis.false_negatives import ModelCheck, NegativeCheck, NoCheck, ScoreCheck
from winnow.lab.synthesis.plans import PassagePlan, QueryPlan, SynthesisPlan

if TYPE_CHECKING:
    from rerank.parts import RerankParts
    from retrieval.base import Retriever
    from storage.chat import ChatModel
    from storage.qdrant.contract import CollectionStore
    from winnow.app.wiring import Wiring

# Losses that a later run may make good.
LATER: tuple[Lost, ...] = ("not asked", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisContext:
    """Model, templates, journal; and `store` and `retriever`, unless the plan has no collection."""

    chat: ChatModel
    endpoint: str
    price: Price | None
    parts: RerankParts
    templates: SynthesisTemplates
    journal: Journal
    store: CollectionStore | None = None
    retriever: Retriever | None = None

    @classmethod
    @contextmanager
    def open(cls, plan: SynthesisPlan, wiring: Wiring) -> Iterator[SynthesisContext]:
        """The parts of a plan, from settings. Raises BadInputError for a file that is not ours to replace."""
        if plan.out.exists() and plan.out.stat().st_size and not plan.journal.exists():
            raise BadInputError(
                f"{plan.out} exists already, and was not made by `winnow synthesize`",
                way_out="Name another file, or move that one away.",
            )
        settings = wiring.settings
        store = None if isinstance(plan, PassagePlan) else wiring.collection(plan.collection)
        encoders = wiring.encoders if store is None else wiring.encoders_of(store.name, store.fingerprint)
        chat = wiring.chat(plan.model)
        examples = plan.examples if isinstance(plan, QueryPlan) else ()
        with Journal(plan.journal, masked(f"{chat.model} at {settings.llm.place}")) as journal:
            yield cls(
                chat=chat,
                endpoint=masked(settings.llm.place),
                price=settings.llm.prices.get(chat.model),
                parts=wiring.rerank_parts(store, encoders.dense),
                templates=SynthesisTemplates(settings.rerank.prompts, examples),
                journal=journal,
                store=store,
                retriever=None
                if store is None
                else HybridRetriever(store, encoders.dense, encoders.lexical, mode=settings.retrieval.mode),
            )

    def run(self, plan: SynthesisPlan, meter: Meter, tally: CallCounts) -> RunTools:
        """One run's tools. Raises SpecError, or what loading a reranker raises."""
        recall, keep = self.journal.recalled, self.journal.keep
        caller = Caller(self.chat, self.parts, tally, recall=recall, keep=keep, meter=meter)
        filler = FormFiller(caller, self.templates)
        return RunTools(self, filler, self._check(plan, filler, tally))

    def _check(self, plan: SynthesisPlan, filler: FormFiller, tally: CallCounts) -> NegativeCheck:
        if plan.checks.by == "llm":
            return ModelCheck(filler)
        if plan.checks.by == "none":
            return NoCheck()
        parts = replace(self.parts, on_failure="fallback")  # a question that cannot be scored ends no run
        return ScoreCheck(Chain.load(Spec.parse(plan.checks.by), parts), plan.checks.margin, tally)


@dataclass(frozen=True, slots=True)
class RunTools:
    """The parts that the recipes of one run share."""

    context: SynthesisContext
    filler: FormFiller
    check: NegativeCheck

    async def retrieved(self, question: str, depth: int) -> Sequence[Candidate]:
        """The candidates for a question. Raises BadInputError without a collection."""
        if self.context.retriever is None:
            raise BadInputError("this needs a collection to search", way_out="Name it: --collection NAME.")
        return (await self.context.retriever.search(question, depth)).candidates

    def fingerprint(self, *forms: PromptForm[Any], checked: bool = True) -> str:
        """A hash of the templates of these forms, and of the check's."""
        return self.context.templates.fingerprint(*forms, *([GRADES] * (self.check.calls if checked else 0)))

    def request(
        self, form: PromptForm[Any], language: str, n: int, question: str = "", passages: Sequence[str] = ()
    ) -> Request:
        return self.context.templates.request(form, language, n, question=question, passages=passages)

    def check_requests(self, question: str, passages: Sequence[str]) -> list[Request]:
        """The requests that checking these passages takes."""
        language = language_of(question)
        return [self.request(GRADES, language, len(passages), question, passages)] * self.check.calls

    def provenance(self, method: str, prompt: str, origin: str, cost: float | None, *made: str) -> Provenance:
        """The origin of a record, which the texts `made` identify."""
        store = self.context.store
        return Provenance(
            method=method,
            model=self.context.chat.model,
            prompt=prompt,
            collection="" if store is None else store.name,
            origin=origin,
            created_at=self.context.journal.time_of(method, *made),
            cost=cost,
        )


@dataclass(frozen=True, slots=True)
class Made:
    """The result for one passage or question. `left` counts requests for a later run."""

    records: tuple[TrainingRecord, ...] = ()
    rejected: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    left: int = 0

    @classmethod
    def rejected_for(cls, reason: str) -> Made:
        """No record, for that reason."""
        return cls(rejected=Counter({reason: 1}))

    @classmethod
    def lost(cls, why: Lost | None) -> Made:
        """No record, because a reply is missing or unusable."""
        if why in LATER:
            return cls(left=1)
        return cls.rejected_for("the model refused" if why == "refused" else "the reply could not be read")

    def __add__(self, other: Made) -> Made:
        return Made(
            self.records + other.records,
            self.rejected + other.rejected,
            self.dropped + other.dropped,
            self.left + other.left,
        )
