"""Rerank speed, side by side: cross-encoders in several ways, late interaction, LLM strategies' calls.

    python benchmarks/rerank.py                     # all parts, passages from examples/
    python benchmarks/rerank.py --corpus corpus.jsonl --rounds 7 --only cross

Part `cross`: the same 50 question-passage pairs and the same weights (the shape of MiniLM-L6, the packaged
encoder's weights with a random head), every way in turn, in rounds; medians. `rerankers` takes part where it
is installed. Part `forms`: a modular and a causal reranker against `CrossEncoder.rank`. Part `stages`:
`diversity` over 50 candidates. Part `llm`: each strategy against an HTTP server on this machine that answers
after 100 ms. Part `gpu` needs a GPU: pairs a second of two model shapes, as a share of the measured matrix
rate.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rerank.chain import Chain
from rerank.cross.loading import load_pair_model
from rerank.cross.models import PairModel
from rerank.parts import RerankParts
from rerank.spec import Spec
from rerank.strategies.heapsort import expected_calls
from storage.records import Candidate

QUESTION = "Why does a cross-encoder rank better than the retriever, and what does it cost?"
LETTERS = 700  # about 160 tokens
LLM_SPECS: Mapping[str, int | None] = {
    "pointwise": 50,
    "listwise": 4,
    "listwise(step=15)": 3,
    "listwise(permutations=5)": 20,
    "pairwise": 4 * expected_calls(50, 5, 2),
    "setwise": expected_calls(50, 5, 9),
    "setwise(size=20)": expected_calls(50, 5, 19),
    "tournament(rounds=1)": 7,
    "tournament": 14,
}


def passages(corpus: Path | None, count: int = 50) -> list[str]:
    """Real text in passages of mixed length: a corpus.jsonl's, or the project's own examples'."""
    if corpus is not None:
        with corpus.open(encoding="utf-8") as lines:
            return [json.loads(line)["text"] for line, _ in zip(lines, range(count), strict=False)]
    folder = Path(__file__).resolve().parent.parent / "examples" / "documents" / "en"
    text = " ".join(" ".join(f.read_text(encoding="utf-8").split()) for f in sorted(folder.glob("*.md")))
    sizes = [LETTERS // 2 + (i * 197) % LETTERS for i in range(count)]
    starts = [sum(sizes[:i]) % max(1, len(text) - LETTERS * 2) for i in range(count)]
    return [text[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def minilm_cross_encoder(folder: Path) -> Path:
    """The packaged encoder's weights below a random head, as a reranker's folder."""
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    from retrieval.models.hub import MINILM
    from retrieval.models.locate import locate

    source = locate(MINILM).folder
    torch.manual_seed(0)
    BertForSequenceClassification.from_pretrained(source, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, model_max_length=512).save_pretrained(folder)
    return folder


def timed(
    ways: Mapping[str, Callable[[], Sequence[float]]], rounds: int
) -> dict[str, tuple[float, list[float]]]:
    """Median seconds and scores of each way; the ways take turns, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    scores: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            scores[name] = list(way())
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: (statistics.median(seconds[name]), scores[name]) for name in ways}


def cross(texts: Sequence[str], rounds: int) -> None:
    """Every way of the same 50 scores."""
    with tempfile.TemporaryDirectory() as work, start_blocking_portal() as portal:
        folder = minilm_cross_encoder(Path(work) / "minilm")
        model = load_pair_model(folder, device="cpu")
        ways = {
            "one pair at a time (the seed loop)": seed_loop(folder, texts),
            "one padded batch of 50": one_batch(folder, texts),
            "sentence-transformers CrossEncoder.rank": library_rank(folder, texts),
            "winnow, torch float32": lambda: own_scores(model, texts),
        }
        if way := rerankers_rank(folder, texts):
            ways["the rerankers package"] = way
        int8 = load_pair_model(folder, backend="onnx", exported=Path(work) / "exported")
        ways["winnow, int8 through ONNX Runtime"] = lambda: own_scores(int8, texts)
        ways["late interaction, tokens stored"] = late_interaction(Path(work) / "store", texts, portal)
        report(timed(ways, rounds), len(texts))


def forms(texts: Sequence[str], rounds: int) -> None:
    """Rerankers of other forms, ours and sentence-transformers', with the same weights in float32."""
    from benchmarks import rerank_forms

    # a passage's own [SEP] is text to winnow, and a special token to the library
    texts = [text.replace("[", "(").replace("]", ")") for text in texts]
    print(f"\n{len(texts)} pairs, median seconds\n")
    print(f"{'form':<12}{'ST':>9}{'winnow':>9}{'× ST':>7}{'max |Δ|':>10}")
    for name, make in (("modular", rerank_forms.modular), ("causal", rerank_forms.causal)):
        with tempfile.TemporaryDirectory() as work:
            folder = make(Path(work) / name)
            model = load_pair_model(folder, device="cpu")
            library = library_rank(folder, texts)
            found = timed({"ST": library, "winnow": lambda model=model: own_scores(model, texts)}, rounds)
        (theirs, expected), (ours, scores) = found["ST"], found["winnow"]
        apart = max(abs(a - b) for a, b in zip(scores, expected, strict=True))
        print(f"{name:<12}{theirs:9.3f}{ours:9.3f}{theirs / ours:7.2f}{apart:10.6f}")


class Stored:
    """A store's dense vectors."""

    def __init__(self, vectors: Mapping[str, Any]) -> None:
        self._vectors = vectors

    def dense_vectors(self, ids: Sequence[str]) -> Mapping[str, Any]:
        return {one: self._vectors[one] for one in ids}


def stages(texts: Sequence[str], rounds: int) -> None:
    """Stages that read no model: milliseconds for 50 candidates, whose vectors the store would give."""
    import numpy as np

    candidates = [Candidate.from_text(text, id=str(place)) for place, text in enumerate(texts)]
    vectors = np.random.default_rng(0).normal(size=(len(texts), 384)).astype(np.float32)
    scorer: Any = Stored(dict(zip((one.id for one in candidates), vectors, strict=True)))
    print(f"\n{len(texts)} candidates, the best 5 and all, median milliseconds of processor time\n")
    for spec in ("diversity(weight=0)", "diversity"):
        chain = Chain.load(Spec.parse(spec), RerankParts(scorer=scorer, drop_twins=True))
        for top_k in (5, len(texts)):
            taken = [anyio.run(stage_seconds, chain, candidates, top_k) for _ in range(4 * rounds)]
            print(f"{spec:<22}{top_k:>4}{statistics.median(taken) * 1000:9.2f}")


async def stage_seconds(chain: Chain, candidates: Sequence[Candidate], top_k: int) -> float:
    """Processor time, without the start of an event loop and of its first thread."""
    await anyio.to_thread.run_sync(len, "")
    started = time.process_time()
    await chain.rerank(QUESTION, candidates, top_k)
    return time.process_time() - started


def report(found: Mapping[str, tuple[float, list[float]]], count: int) -> None:
    seed, reference = next(iter(found.values()))
    library = found["sentence-transformers CrossEncoder.rank"][0]
    print(f"\n{count} pairs, median seconds\n")
    print(f"{'way':<42}{'s':>9}{'× seed':>9}{'× ST':>9}{'max |Δ|':>10}")
    for name, (seconds, scores) in found.items():
        apart = max(abs(a - b) for a, b in zip(scores, reference, strict=True))
        shown = "" if "late" in name else f"{apart:10.5f}"
        print(f"{name:<42}{seconds:9.4f}{seed / seconds:9.2f}{library / seconds:9.2f}{shown}")


def own_scores(model: PairModel, texts: Sequence[str]) -> list[float]:
    found = {i: score for batch in model.scored(QUESTION, texts) for i, score in batch}
    return [found[i] for i in range(len(texts))]


def seed_loop(folder: Path, texts: Sequence[str]) -> Callable[[], list[float]]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def way() -> list[float]:
        scores = []
        for text in texts:
            # without padding=False the tokenizer's own settings pad every pair to 128 tokens
            tokens = tokenizer(
                QUESTION, text, padding=False, truncation=True, max_length=512, return_tensors="pt"
            )
            with torch.no_grad():
                scores.append(model(**tokens).logits.squeeze().item())
        return scores

    return way


def one_batch(folder: Path, texts: Sequence[str]) -> Callable[[], list[float]]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def way() -> list[float]:
        pairs = [QUESTION] * len(texts), list(texts)
        tokens = tokenizer(*pairs, padding="longest", truncation=True, max_length=512, return_tensors="pt")
        with torch.inference_mode():
            return [float(score) for score in model(**tokens).logits[:, 0]]

    return way


def library_rank(folder: Path, texts: Sequence[str]) -> Callable[[], list[float]]:
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu", max_length=512, activation_fn=torch.nn.Identity())

    def way() -> list[float]:
        found = model.rank(QUESTION, list(texts), show_progress_bar=False)
        return [float(hit["score"]) for hit in sorted(found, key=lambda hit: hit["corpus_id"])]

    return way


def rerankers_rank(folder: Path, texts: Sequence[str]) -> Callable[[], list[float]] | None:
    try:
        from rerankers import Reranker
    except ImportError:
        return None
    model = Reranker(str(folder), model_type="cross-encoder", device="cpu", dtype="float32", verbose=0)

    def way() -> list[float]:
        found = model.rank(QUESTION, list(texts), doc_ids=list(range(len(texts))))
        return [float(hit.score) for hit in sorted(found.results, key=lambda hit: hit.document.doc_id)]

    return way


def late_interaction(folder: Path, texts: Sequence[str], portal: BlockingPortal) -> Callable[[], list[float]]:
    """The question's forward pass and MaxSim inside the store, over token vectors made beforehand."""
    from retrieval.encoders.encoder import load_encoder
    from retrieval.lexical import LexicalEncoder
    from storage.qdrant.contract import Fingerprint, chunk_id
    from storage.qdrant.edge.stores import EdgeStores
    from storage.records import Chunk
    from storage.vectors import Point

    encoder = load_encoder(device="cpu")
    lexical = LexicalEncoder.load()
    stored = EdgeStores(folder).create(
        "bench", Fingerprint(encoder.id, encoder.dim, "none", lexical.id, encoder.token_dim)
    )
    chunks = [
        Chunk(
            id=chunk_id("d", text, i),
            document_id="d",
            source="d",
            title="",
            text=text,
            start=0,
            end=len(text),
        )
        for i, text in enumerate(texts)
    ]
    encoded = encoder.encode_passages(texts, tokens=True)
    stored.upsert(
        [
            Point(chunk, lexical.encode_passage(chunk.text), dense=e.dense, tokens=e.tokens)
            for chunk, e in zip(chunks, encoded, strict=True)
        ]
    )
    chain = Chain.load(Spec.parse("late-interaction"), RerankParts(encoder=encoder, scorer=stored))
    candidates = [Candidate(chunk) for chunk in chunks]
    asked = iter(range(10**6))

    def way() -> list[float]:
        # another question each time: the encoder remembers the last ones
        ranking = portal.call(chain.rerank, f"{QUESTION} {next(asked)}", candidates, len(candidates))
        return [candidate.scores["late-interaction"] for candidate in ranking.everything]

    return way


def llm() -> None:
    """Calls and wall time of each strategy, 100 ms a call, 16 at once."""
    from generation.chat.client import OpenAIChat
    from tests.support.endpoint import Endpoint, Request, Response, completion
    from tests.support.rerank_endpoint import Oracle

    grades = {f"This passage is worth {i} points.": float(i * 37 % 50) for i in range(50)}
    oracle = Oracle(grades, top=49.0)

    def slow(request: Request) -> Response:
        return Response(body=completion(oracle(request)), delay=0.1)

    candidates = [Candidate.from_text(text, id=text) for text in grades]
    print(
        "\n50 candidates, the best 5, 100 ms a call, 16 at once\n\n"
        f"{'spec':<28}{'formula':>8}{'calls':>7}{'s':>8}"
    )
    with Endpoint() as endpoint:
        endpoint.reply = slow
        for spec, formula in LLM_SPECS.items():
            seconds, calls = anyio.run(asked, OpenAIChat, endpoint.url, spec, candidates)
            print(f"{spec:<28}{formula or '':>8}{calls:>7}{seconds:>8.2f}")


async def asked(client: Any, url: str, spec: str, candidates: Sequence[Candidate]) -> tuple[float, int]:
    chat = client.load(model="oracle", base_url=url)
    chain = Chain.load(Spec.parse(spec), RerankParts(chat=lambda _model: chat))
    await chain.rerank("warm up", candidates[:2], 1)
    started = time.perf_counter()
    ranking = await chain.rerank("Which passage is worth most?", candidates, 5)
    seconds = time.perf_counter() - started
    await chat.aclose()
    return seconds, ranking.outcome.usage.calls


def gpu(rounds: int) -> None:
    """Pairs a second of two shapes (random weights) in half precision, ours and sentence-transformers'."""
    import torch

    if not torch.cuda.is_available():
        print("\nno GPU here: part `gpu` is left out")
        return
    rate = matrix_rate()
    print(f"\n{torch.cuda.get_device_name()}: {rate / 1e12:.0f} TFLOP/s in float16 matrix products\n")
    texts = [f"{i} " + "passage of some words that a reranker reads " * (4 + i % 24) for i in range(2_000)]
    for name, layers, hidden, wide, heads in (
        ("MiniLM-L6", 6, 384, 1536, 12),
        ("bge-reranker-v2-m3", 24, 1024, 4096, 16),
    ):
        with tempfile.TemporaryDirectory() as work:
            folder = random_model(Path(work) / name, layers, hidden, wide, heads)
            model = load_pair_model(folder, device="cuda")
            tokens = sum(len(ids) for ids, _ in model._rows(QUESTION, texts))
            found = timed(
                {"winnow": lambda model=model: own_scores(model, texts), "predict": predict(folder, texts)},
                rounds,
            )
            flop = tokens * 2 * layers * (4 * hidden * hidden + 2 * hidden * wide)
            for way, (seconds, _) in found.items():
                share = flop / seconds / rate
                print(f"{name:<22}{way:<10}{len(texts) / seconds:>10.0f} pairs/s{share:>8.1%} of that rate")


def matrix_rate() -> float:
    import torch

    a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - started)


def random_model(folder: Path, layers: int, hidden: int, wide: int, heads: int) -> Path:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from retrieval.models.hub import MINILM
    from retrieval.models.locate import locate

    torch.manual_seed(0)
    config = BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        intermediate_size=wide,
        num_attention_heads=heads,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(locate(MINILM).folder, model_max_length=512).save_pretrained(folder)
    return folder


def predict(folder: Path, texts: Sequence[str]) -> Callable[[], list[float]]:
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cuda", max_length=512, model_kwargs={"dtype": torch.float16})
    pairs = [[QUESTION, text] for text in texts]
    return lambda: [float(s) for s in model.predict(pairs, batch_size=128, show_progress_bar=False)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="a corpus.jsonl with the field `text`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("cross", "forms", "stages", "llm", "gpu"))
    chosen = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if chosen.only in (None, "cross"):
        cross(passages(chosen.corpus), chosen.rounds)
    if chosen.only in (None, "forms"):
        forms(passages(chosen.corpus), chosen.rounds)
    if chosen.only in (None, "stages"):
        stages(passages(chosen.corpus), chosen.rounds)
    if chosen.only in (None, "llm"):
        llm()
    if chosen.only in (None, "gpu"):
        gpu(chosen.rounds)


if __name__ == "__main__":
    main()
