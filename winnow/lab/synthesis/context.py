"""What a synthesis works with: a model that fills in forms, a retriever, a check, a journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rerank.chain import Chain
from rerank.llm.budget import Meter
from rerank.llm.calls import CallCounts, Caller
from rerank.spec import Spec
from rerank.training.forms import Templates
from rerank.training.journal import Journal
from rerank.training.scribe import Scribe
from storage.chat import Price
from storage.errors import BadInputError
from winnow.lab.synthesis.false_negatives import Check, ModelCheck, NoCheck, ScoreCheck
from winnow.lab.synthesis.plans import PassagePlan, QueryPlan, SynthesisPlan

if TYPE_CHECKING:
    from rerank.parts import RerankParts
    from retrieval.base import Retriever
    from storage.chat import ChatModel
    from storage.qdrant.contract import CollectionStore
    from winnow.app.wiring import Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The parts. Where no collection is needed, there is neither `store` nor `retriever`."""

    chat: ChatModel
    endpoint: str
    price: Price | None
    parts: RerankParts
    templates: Templates
    journal: Journal
    store: CollectionStore | None = None
    retriever: Retriever | None = None

    @property
    def collection(self) -> str:
        return self.store.name if self.store is not None else ""

    def found_in(self) -> Retriever:
        """The retriever, where a plan is known to need one."""
        if self.retriever is None:
            raise BadInputError("this needs a collection to search", way_out="Name it: --collection NAME.")
        return self.retriever

    def caller(self, tally: CallCounts, meter: Meter) -> Caller:
        """One run's calls."""
        return Caller(
            self.chat, self.parts, tally, recall=self.journal.recalled, keep=self.journal.keep, meter=meter
        )

    def check(self, plan: SynthesisPlan, scribe: Scribe, tally: CallCounts) -> Check:
        """The check that a plan asks for. Raises SpecError, or what loading a reranker raises."""
        if plan.checks.by == "llm":
            return ModelCheck(scribe)
        if plan.checks.by == "none":
            return NoCheck()
        parts = replace(self.parts, on_failure="fallback")  # one question that cannot be scored ends no run
        return ScoreCheck(Chain.load(Spec.parse(plan.checks.by), parts), plan.checks.margin, tally)


@contextmanager
def bench(plan: SynthesisPlan, wiring: Wiring) -> Iterator[Bench]:
    """The parts of a plan, from settings. Raises BadInputError for a file that is not ours to replace."""
    if plan.out.exists() and plan.out.stat().st_size and not plan.journal.exists():
        raise BadInputError(
            f"{plan.out} is there already, and was not made by `winnow synthesize`",
            way_out="Name another file, or move that one away.",
        )
    settings = wiring.settings
    store = None if isinstance(plan, PassagePlan) else wiring.collection(plan.collection)
    chat = wiring.chat(plan.model)
    examples = plan.examples if isinstance(plan, QueryPlan) else ()
    with Journal(plan.journal, f"{chat.model} at {settings.llm.base_url}") as journal:
        yield Bench(
            chat=chat,
            endpoint=settings.llm.base_url,
            price=settings.llm.prices.get(chat.model),
            parts=wiring.rerank_parts(store),
            templates=Templates(settings.rerank.prompts, examples),
            journal=journal,
            store=store,
            retriever=None if store is None else _retriever(store, wiring),
        )


def _retriever(store: CollectionStore, wiring: Wiring) -> Retriever:
    from retrieval.hybrid import HybridRetriever

    return HybridRetriever(store, wiring.encoder, wiring.lexical, mode=wiring.settings.retrieval.mode)
