"""Mining pools: questions with labelled passages, and the candidates among which negatives are sought."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rerank.training.duplicates import folded
from rerank.training.records import TOP_GRADE, LabelledPassage, TrainingRecord, read_records
from retrieval.hybrid import HybridRetriever
from storage.errors import BadInputError
from storage.log.records import AnswerFilter
from storage.records import Answer, Candidate, Chunk
from winnow.app import portal
from winnow.lab.datasets.dataset import Dataset, Question, drawn, load_dataset
from winnow.lab.datasets.matching import contains
from winnow.lab.progress import Progress
from winnow.lab.synthesis.plans import MiningPlan

if TYPE_CHECKING:
    from retrieval.base import Retriever
    from retrieval.encoders.encoder import Encoder
    from storage.qdrant.contract import Searcher, TokenScorer
    from winnow.app.encoders import Encoders
    from winnow.app.wiring import Wiring

# A candidate with fewer letters is part of other texts by chance.
_TELLING = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningPool:
    """A question, its labelled passages, and the other candidates, best first.

    Where none is labelled, the reranker says which is relevant.

    `given`: the labels alone make a record. `stages` names the scores to compare by, the best first.
    `skipped`: why there is nothing to mine for this question.
    """

    question: str
    method: str
    labelled: tuple[tuple[Candidate, int], ...] = ()
    others: Sequence[Candidate] = ()
    top_label: int = 1
    given: bool = False
    answers: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    id: str = ""
    origin: str = ""
    collection: str = ""
    created_at: str = ""
    skipped: str = ""

    @property
    def positives(self) -> list[Candidate]:
        return [candidate for candidate, label in self.labelled if 2 * label > self.top_label]


@dataclass(slots=True)
class MiningPools:
    """All pools of a plan. `scorer` has the token vectors that `encoder` made, for rerankers."""

    total: int
    each: Callable[[], Iterator[MiningPool]]
    scorer: TokenScorer
    encoder: Encoder
    notes: list[str] = field(default_factory=list)


@contextmanager
def pools(plan: MiningPlan, wiring: Wiring, progress: Progress) -> Iterator[MiningPools]:
    """The pools of a plan's source."""
    if plan.source is None:
        yield _logged(plan, wiring)
    elif not plan.source.is_dir():
        yield _of_records(plan, plan.source, wiring)
    else:
        dataset = load_dataset(plan.source, split=plan.split, with_corpus=plan.collection is None)
        dataset = dataset.sampled(plan.sample, plan.seed)
        if dataset.corpus is None:
            yield _of_collection(plan, dataset, wiring)
        else:
            with _of_corpus(plan, dataset, dataset.corpus, wiring, progress) as found:
                yield found


@contextmanager
def _of_corpus(
    plan: MiningPlan, dataset: Dataset, corpus: Path, wiring: Wiring, progress: Progress
) -> Iterator[MiningPools]:
    from winnow.lab.evaluation.evaluation_index import EvaluationIndex

    with closing(EvaluationIndex.of_corpus(corpus, wiring)) as index:
        mode = wiring.settings.retrieval.mode
        index.sources([mode], [], plan.range_max, wiring, progress)  # cuts and encodes as needed
        retriever = _retriever(index.vectors, index.encoders, wiring)
        judged = _Judged(plan, dataset, retriever, index.name, index.cache.passages_of)
        encoder = index.encoders.dense
        yield MiningPools(len(dataset.questions), judged.each, index.vectors, encoder, list(dataset.notes))


def _of_collection(plan: MiningPlan, dataset: Dataset, wiring: Wiring) -> MiningPools:
    from winnow.lab.evaluation.evaluation_index import EvaluationIndex, SourceNames

    EvaluationIndex.of_collection(plan.collection, dataset, wiring).close()  # checks the judged documents
    store = wiring.collection(plan.collection)
    encoders = wiring.encoders_of(store.name, store.fingerprint)
    names = SourceNames(frozenset(dataset.qrels.documents()))
    chunks = {names.name(row.id, row.source): row.chunk_ids for row in wiring.manifest(store.name).rows()}

    def passages_of(document: str) -> list[Chunk]:
        found = store.passages(chunks.get(document, ()))
        return sorted(found, key=lambda chunk: chunk.ordinal)

    retriever = _retriever(store, encoders, wiring)
    judged = _Judged(plan, dataset, retriever, names, passages_of, store.name)
    return MiningPools(len(dataset.questions), judged.each, store, encoders.dense, list(dataset.notes))


def _retriever(searcher: Searcher, encoders: Encoders, wiring: Wiring) -> Retriever:
    mode = wiring.settings.retrieval.mode
    return HybridRetriever(searcher, encoders.dense, encoders.lexical, mode=mode)


@dataclass(frozen=True, slots=True)
class _Judged:
    """Questions with judged documents."""

    plan: MiningPlan
    dataset: Dataset
    retriever: Retriever
    name: Callable[[Chunk], str]
    passages_of: Callable[[str], list[Chunk]]
    collection: str = ""

    def each(self) -> Iterator[MiningPool]:
        top = max((grade for of in self.dataset.qrels.grades.values() for grade in of.values()), default=1)
        return (self._pool(question, max(1, top)) for question in self.dataset.questions)

    def _pool(self, question: Question, top: int) -> MiningPool:
        grades = {d: g for d, g in self.dataset.qrels.grades.get(question.id, {}).items() if g > 0}
        found = _retrieved(self.retriever, question.text, self.plan.range_max + len(grades))
        labelled = []
        for document, grade in grades.items():
            own = [candidate for candidate in found if self.name(candidate.chunk) == document]
            if chosen := self._passage(question, document, own):
                labelled.append((chosen, grade))
        pool = MiningPool(
            question=question.text,
            method="mined",
            labelled=tuple(labelled),
            others=[candidate for candidate in found if self.name(candidate.chunk) not in grades],
            top_label=top,
            answers=question.answers,
            id=question.id,
            origin=self.dataset.name,
            collection=self.collection,
        )
        return pool if pool.positives else replace(pool, skipped="no passage of a relevant document is known")

    def _passage(self, question: Question, document: str, own: Sequence[Candidate]) -> Candidate | None:
        """The passage that represents a document: one with an answer, the best retrieved, or the only one."""
        retrieved = {candidate.id: candidate for candidate in own}
        passages = self.passages_of(document)
        with_answer = [chunk for chunk in passages if contains(chunk.text, question.answers)]
        ranked = [candidate.chunk for candidate in own]
        holding = [chunk for chunk in ranked if chunk in with_answer] or with_answer
        choice = holding or ranked or (passages if len(passages) == 1 else [])
        return None if not choice else retrieved.get(choice[0].id, Candidate(choice[0]))


def _of_records(plan: MiningPlan, source: Path, wiring: Wiring) -> MiningPools:
    """Records with positives; their other labels are kept."""
    records = drawn(list(read_records(source)), plan.sample, plan.seed)
    if not records:
        raise BadInputError(f"{source} holds no record")
    store = wiring.collection(plan.collection)
    encoders = wiring.encoders_of(store.name, store.fingerprint)
    retriever = _retriever(store, encoders, wiring)

    def each() -> Iterator[MiningPool]:
        for record in records:
            pool = MiningPool(question=record.query, method="mined", id=record.id, top_label=record.top_label)
            if record.positives:
                found = _retrieved(retriever, record.query, plan.range_max + len(record.passages))
                yield replace(_matched(record, found, pool), origin=source.name, collection=store.name)
            else:
                yield replace(pool, skipped="the record has no positive")

    return MiningPools(len(records), each, store, encoders.dense)


def _matched(record: TrainingRecord, found: Sequence[Candidate], pool: MiningPool) -> MiningPool:
    """The pool with the record's passages, scored as the same candidates, and the other candidates."""
    labelled = []
    same: set[str] = set()
    for number, passage in enumerate(record.passages):
        equal = [candidate for candidate in found if _is(candidate, passage)]
        # a passage that is related (grade 1 of 3) is no negative either
        same.update(candidate.id for candidate in equal)
        bare = Candidate.from_text(passage.text, id=passage.id or f"given-{number}", source=passage.source)
        scores = equal[0].scores if equal else {}
        labelled.append((replace(bare, scores=scores), passage.label))
    others = [candidate for candidate in found if candidate.id not in same]
    return replace(pool, labelled=tuple(labelled), others=others, given=bool(record.negatives))


def _is(candidate: Candidate, passage: LabelledPassage) -> bool:
    """True where candidate and passage are the same by id, or one text contains the other."""
    if passage.id and passage.id in (candidate.id, candidate.chunk.document_id):
        return True
    one, other = folded(candidate.text), folded(passage.text)
    return (len(one) >= _TELLING or one == other) and (one in other or other in one)


def _logged(plan: MiningPlan, wiring: Wiring) -> MiningPools:
    """Answers whose passages people graded; for a passage graded twice, the newest answer counts.

    With `unjudged` the other answered questions as well, without labels.
    """
    from winnow.app.logged import EncodedPassages

    where = AnswerFilter(collection=plan.collection, replays=False)
    where = where if plan.unjudged else replace(where, feedback="judged")
    log = wiring.answers
    grouped: dict[tuple[str, str], list[tuple[str, dict[str, int]]]] = {}
    for answer in log.answers(where):
        grades = log.grades(answer)
        if grades or (answer.answered and answer.candidates):
            key = (answer.collection, _asked(answer))
            grouped.setdefault(key, []).append((answer.id, grades))
    if not grouped:
        raise BadInputError(
            "no answer is logged" if plan.unjudged else "no answer has judged passages",
            way_out="Ask first." if plan.unjudged else "Judge some: winnow log feedback ID --passage 1=3",
        )
    # ids alone until here: a log may be larger than the memory
    groups = [
        [(log.get(id_), grades) for id_, grades in _judged_ones(group)]
        for group in drawn(list(grouped.values()), plan.sample, plan.seed)
    ]
    every = [candidate for group in groups for answer, _ in group for candidate in answer.candidates]
    most = plan.range_max
    encoder = wiring.encoder
    scorer = EncodedPassages(encoder, every)
    return MiningPools(len(groups), lambda: (_judged_pool(group, most) for group in groups), scorer, encoder)


def _asked(answer: Answer) -> str:
    """The question as it was searched: a follow-up's own words say little without the earlier ones."""
    return answer.follow_up.question if answer.follow_up else answer.question


def _judged_ones(group: list[tuple[str, dict[str, int]]]) -> list[tuple[str, dict[str, int]]]:
    """The graded answers of a question; where there are none, its newest one."""
    return [one for one in group if one[1]] or group[:1]


def _judged_pool(group: Sequence[tuple[Answer, dict[str, int]]], most: int) -> MiningPool:
    """The pool of a question's answers. Unjudged, it has the best candidate and `most` others."""
    newest, _ = group[0]
    grades: dict[str, int] = {}
    candidates: dict[str, Candidate] = {}
    for answer, given in group:
        candidates = {**{c.id: c for c in answer.candidates}, **candidates}
        grades = {**given, **grades}
    others = [candidate for candidate in newest.candidates if candidate.id not in grades]
    return MiningPool(
        question=_asked(newest),
        method="feedback" if grades else "teacher",
        labelled=tuple((candidates[id_], grade) for id_, grade in grades.items()),
        others=others if grades else others[: most + 1],
        top_label=TOP_GRADE if grades else 1,
        given=bool(grades),
        stages=tuple(outcome.name for outcome in reversed(newest.stages)),
        origin=newest.id,
        collection=newest.collection,
        created_at=newest.created_at.isoformat(timespec="seconds"),
    )


def _retrieved(retriever: Retriever, question: str, depth: int) -> tuple[Candidate, ...]:
    return portal.call(retriever.search, question, depth).candidates
