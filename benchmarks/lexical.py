"""Compare ways of making lexical terms for Chinese and English.

    python -P benchmarks/lexical.py DATA_FOLDER [--only lecoqa …]

DATA_FOLDER holds the sets below in BEIR's layout. Every way of making terms is asked every question, over
the same passages, cut as ingestion cuts them; passages fold into documents by the best one. The terms and
weights of winnow's own leg are those that ingestion stores, and every way is scored as Qdrant scores:
Σ weight in the passage x inverse document frequency. The last line of a set reorders winnow's best passages
by lexical evidence that retrieval does not use; docs/evaluation.md says why it is no rerank strategy.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ingest.chunking.chunker import Chunker
from retrieval.lexical import LexicalEncoder
from storage.records import Document
from storage.vectors import SparseVector
from winnow.app.settings import Settings
from winnow.app.wiring import Wiring
from winnow.lab.evaluation import Dataset, difference, load_dataset, measured, read_corpus, resampled_means

SETS = ("lecoqa", "dureader-demo", "squad-dev", "nq-oracle", "trec-dl19-pool")
DEPTH = 50
QUESTIONS_AT_ONCE = 500
K, B = 1.2, 0.75  # of the ways that are not Qdrant's own


Figures = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Passages:
    """The texts of passages as encoders see them, the document of each, its title and headings."""

    texts: Sequence[str]
    documents: Sequence[str]
    contexts: Sequence[str]


class Way(Protocol):
    def passages(self, texts: Sequence[str]) -> Iterable[SparseVector]: ...

    def query(self, text: str) -> SparseVector: ...


class Winnow:
    """The lexical encoder that ingestion and retrieval use."""

    def __init__(self) -> None:
        self._encoder = LexicalEncoder.load()

    def passages(self, texts: Sequence[str]) -> Iterable[SparseVector]:
        return map(self._encoder.encode_passage, texts)

    def query(self, text: str) -> SparseVector:
        return self._encoder.encode_query(text)


class Multilingual:
    """Qdrant's BM25 with its multilingual tokenizer: Chinese words by a dictionary, stemmed English."""

    def __init__(self) -> None:
        from qdrant_edge import Bm25, Bm25Config, TokenizerType

        self._bm25 = Bm25(Bm25Config(tokenizer=TokenizerType.Multilingual, avg_len=120.0))

    def passages(self, texts: Sequence[str]) -> Iterable[SparseVector]:
        found = (self._bm25.embed_document(text) for text in texts)
        return (SparseVector(tuple(one.indices), tuple(one.values)) for one in found)

    def query(self, text: str) -> SparseVector:
        found = self._bm25.embed_query(text)
        return SparseVector(tuple(found.indices), tuple(found.values))


class Plain:
    """BM25 with the corpus' own mean length over pairs of Chinese characters and unstemmed words.

    With `stop`, English stop words are dropped, so that nothing but stemming is left to differ.
    """

    def __init__(self, *, stop: bool) -> None:
        self._ids: dict[str, int] = {}
        self._kept = Multilingual().query if stop else None

    def passages(self, texts: Sequence[str]) -> Iterable[SparseVector]:
        mean = sum(sum(1 for _ in self._terms(text)) for text in texts) / len(texts)
        for text in texts:
            count = Counter(self._terms(text))
            length = count.total() / mean
            yield SparseVector(tuple(count), tuple(_saturated(often, length) for often in count.values()))

    def query(self, text: str) -> SparseVector:
        terms = tuple(dict.fromkeys(self._terms(text)))
        return SparseVector(terms, (1.0,) * len(terms))

    def _terms(self, text: str) -> Iterator[int]:
        for found in re.finditer(r"([\u3400-\u4dbf\u4e00-\u9fff]+)|[^\W\u3400-\u4dbf\u4e00-\u9fff]+", text):
            word = found[0].lower()
            parts = ([a + b for a, b in pairwise(word)] if found[1] else []) or [word]
            for part in parts:
                number = self._ids.get(part)
                if number is None:
                    dropped = self._kept is not None and part.isascii() and not self._kept(part).indices
                    number = self._ids[part] = -1 if dropped else len(self._ids)
                if number >= 0:
                    yield number


def _saturated(often: int, length: float) -> float:
    return often * (K + 1) / (often + K * (1 - B + B * length))


def matrix(vectors: Iterable[SparseVector]) -> sp.csr_matrix:
    """One row a vector; columns are term ids."""
    columns, values = [], []
    for vector in vectors:
        columns.append(np.array(vector.indices, np.int64))
        values.append(np.array(vector.values, np.float32))
    starts = np.cumsum([0, *map(len, columns)])
    return sp.csr_matrix(
        (np.concatenate(values), np.concatenate(columns), starts), shape=(len(values), 1 << 32)
    )


def with_frequencies(queries: sp.csr_matrix, passages: sp.csr_matrix) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Both over the terms that occur in a passage, the queries times Qdrant's inverse document frequency."""
    terms, places = np.unique(passages.indices, return_inverse=True)
    packed = sp.csr_matrix((passages.data, places, passages.indptr), shape=(passages.shape[0], len(terms)))
    holding = np.bincount(places, minlength=len(terms))
    rarity = np.log(1 + (passages.shape[0] - holding + 0.5) / (holding + 0.5))
    known = np.isin(queries.indices, terms)
    rows = np.repeat(np.arange(queries.shape[0]), np.diff(queries.indptr))[known]
    columns = np.searchsorted(terms, queries.indices[known])
    weights = queries.data[known] * rarity[columns]
    return sp.csr_matrix((weights, (rows, columns)), shape=(queries.shape[0], len(terms))), packed


def rankings(
    way: Way, passages: Passages, questions: Sequence[str], *, reorder: bool = False
) -> Iterator[list[str]]:
    """The documents of the best passages, best first, question by question."""
    asked = matrix([way.query(question) for question in questions])
    queries, weights = with_frequencies(asked, matrix(way.passages(passages.texts)))
    by_term = weights.T.tocsr()
    for start in range(0, len(questions), QUESTIONS_AT_ONCE):
        scores = (queries[start : start + QUESTIONS_AT_ONCE] @ by_term).tocsr()
        for row in range(scores.shape[0]):
            span = slice(scores.indptr[row], scores.indptr[row + 1])
            found, values = scores.indices[span], scores.data[span]
            best = np.lexsort((found, -values))[:DEPTH]
            if reorder and len(best):
                terms = queries[start + row].indices
                contexts = [passages.contexts[i] for i in found[best]]
                evidence = supported(values[best], weights[found[best]], terms, contexts)
                best = best[np.argsort(-evidence, kind="stable")]
            yield list(dict.fromkeys(passages.documents[i] for i in found[best]))


def supported(
    scores: Figures, weights: sp.csr_matrix, terms: npt.NDArray[np.int32], contexts: Sequence[str]
) -> Figures:
    """Return candidates' scores, best first, with added evidence from the other candidates.

    Added to the score (divided by the best): BM25 with the terms' rarity among the candidates; the likeness
    to the best ten others (pseudo-relevance feedback, Rocchio 1971); and the support of candidates under the
    same title and headings. The weights were chosen on the even questions of lecoqa.
    """
    score = scores / scores[0]
    holding = np.bincount(weights.indices, minlength=weights.shape[1])
    rarity = np.log(1 + (len(score) - holding + 0.5) / (holding + 0.5))
    local = np.asarray(weights[:, terms] @ rarity[terms])
    directions = weights.multiply(rarity).tocsr()
    lengths = np.sqrt(directions.multiply(directions).sum(axis=1)).A1 + 1e-9
    likeness = (directions @ directions.T).toarray() / np.outer(lengths, lengths)
    np.fill_diagonal(likeness, 0)
    trust = np.where(np.arange(len(score)) < 10, score, 0)
    feedback = likeness @ trust / np.maximum(trust.sum() - trust, 1e-9)
    same = np.array([[one == other for other in contexts] for one in contexts])
    support = same @ score - score
    return score + 0.4 * local / max(local.max(), 1e-9) + 0.5 * feedback + 0.4 * support / (1 + support)


def cut(dataset: Dataset, chunker: Chunker) -> Passages:
    """Return the corpus as ingestion splits it."""
    assert dataset.corpus is not None
    texts, documents, contexts = [], [], []
    for _, found in read_corpus(dataset.corpus):
        if found.text.strip():
            whole = Document(
                id=found.id,
                source=found.id,
                title=found.title,
                text=found.text,
                mime="text/plain",
                content_hash="",
            )
            for chunk in chunker.chunks(whole):
                texts.append(chunk.encoded_text)
                documents.append(found.id)
                contexts.append(chunk.context or found.id)
    return Passages(texts, documents, contexts)


def ways() -> dict[str, Way]:
    return {
        "plain: CJK bigrams, unstemmed words": Plain(stop=False),
        "plain, without English stop words": Plain(stop=True),
        "Qdrant's Bm25, multilingual": Multilingual(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="*", default=SETS, choices=SETS)
    chosen = parser.parse_args()
    encoder = Wiring(Settings.load()).encoder
    chunker = Chunker(encoder.counter, encoder.max_tokens)
    for name in chosen.only:
        full = chosen.data / name / "qrels.full.trec"
        dataset = load_dataset(
            chosen.data / name,
            split="train" if name == "lecoqa" else None,
            qrels=full if full.exists() else None,
        )
        passages = cut(dataset, chunker)
        print(f"\n{name}: {len(dataset.questions)} questions, {len(passages.texts)} passages", flush=True)
        print(f"  {'':38s} nDCG@10  MRR@10  winnow's nDCG@10 against it", flush=True)
        own = figures(dataset, passages, Winnow())
        compare("winnow", own, own)
        for label, way in ways().items():
            compare(label, figures(dataset, passages, way), own)
        reordered = figures(dataset, passages, Winnow(), reorder=True)
        compare("winnow, reordered", reordered, own)
        if name == "lecoqa":  # the odd questions alone played no part in the choice
            compare("winnow, reordered: odd questions", reordered[1::2], own[1::2])


def figures(dataset: Dataset, passages: Passages, way: Way, *, reorder: bool = False) -> Figures:
    """nDCG@10 and MRR@10 of every question."""
    found = rankings(way, passages, [question.text for question in dataset.questions], reorder=reorder)
    ranked = {question.id: documents for question, documents in zip(dataset.questions, found, strict=True)}
    values = measured(dataset.qrels.grades, ranked)
    return np.array([values[question.id][:2] for question in dataset.questions])


def compare(label: str, values: Figures, own: Figures) -> None:
    """One line: the means, and the paired bootstrap of the difference in nDCG@10."""
    ndcg, mrr = values.mean(axis=0)
    line = f"  {label:38s} {ndcg:.4f}   {mrr:.4f}"
    if values is not own:
        gain = own[:, :1] - values[:, :1]
        tested = difference(float(gain.mean()), resampled_means(gain, seed=0)[:, 0])
        low, high = tested.interval.low, tested.interval.high
        line += f"  {tested.mean:+.4f} [{low:+.4f}, {high:+.4f}]  p {tested.p:.4f}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
