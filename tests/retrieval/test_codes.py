"""The only passage that holds a code of the question comes first, in generated collections of two languages.

Their passages are alike but for the codes, which have parts in common, so that neither meaning nor the other
words of a question tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import anyio
import pytest

from retrieval.encoders.encoder import Encoder, load_encoder
from retrieval.fusion import CODE
from retrieval.hybrid import HybridRetriever
from retrieval.lexical import UNJOINED, LexicalEncoder
from storage.qdrant.contract import Fingerprint, chunk_id, document_id
from storage.qdrant.edge.stores import EdgeCollection, EdgeStores
from storage.records import Chunk
from storage.vectors import Point
from tests.support.tiny_models import xlm_roberta_encoder

PARTS = ["pump", "valve", "belt", "gear", "sensor", "cable", "filter", "motor"]
PARTS_ZH = ["水泵", "阀门", "皮带", "齿轮", "传感器", "电缆", "滤网", "电机"]
ENGLISH = (
    "# Maintenance {i}\n\nThe {a} is checked every {n} weeks. Part number {code} is used, torque {m} Nm.",
    "# Fault {code}\n\nFault {code} of the {a} means that the {b} is too hot. Let it cool down and check it.",
    "# Release {i}\n\nIf the {a} stops after the update, {code} is the reason. Read the log of the {b}.",
)
CHINESE = (
    "# 故障代码\n\n故障代码{code}表示{a}过热，请清洁{b}并等待{m}分钟。",
    "# 维护 {i}\n\n{a}每{n}周检查一次，使用{code}号零件，扭矩为{m}牛米。",
    "# 说明 {i}\n\n{code} 是{a}的一种控制方法，它用{b}的读数来调整转速。",
)
QUESTIONS = (
    "{code}",
    "error {code}",
    "What does error {code} mean?",
    "which part uses {code} and what torque does it need",
    "{code} 是什么意思",
    "什么是{code}",
    "{code} 是什么",
    "{code} 用多大扭矩",
    "请问{code}怎么处理？",
    "机器报错{code}，应该怎么办？",
)
WORDS = ["CONN", "NAME", "TIME", "READ", "WRITE", "RESET", "ABORT", "LIMIT"]
CAMELS = ["Flash", "Router", "Cache", "Token", "Batch", "Graph"]
KINDS: tuple[Callable[[Random], str], ...] = (
    lambda r: f"E{r.randint(1000, 1999)}",
    lambda r: f"{r.randint(7400, 7460)}-{r.choice('ABCD')}",
    lambda r: f"{r.choice(('XR', 'ZT', 'QM'))}-{r.randrange(1000, 4000, 100)}",
    lambda r: f"v{r.randint(1, 5)}.{r.randint(0, 9)}.{r.randint(0, 9)}",
    lambda r: f"10.{r.randint(0, 3)}.{r.randint(0, 3)}.{r.randint(1, 9)}",
    lambda r: f"{r.choice('ABC')}{r.choice('KLM')}/{r.choice('ABCDEF')}-{r.randint(10, 40)}",
    lambda r: "ERR_" + "_".join(r.sample(WORDS, 2)),
    lambda r: str(r.randint(10_000, 99_999)),
    lambda r: "".join(r.sample(CAMELS, 2)),
)


def generated(seed: int, count: int = 150) -> dict[str, str]:
    """Passages by the code that each alone holds; more of them Chinese from seed to seed."""
    random = Random(seed)
    passages: dict[str, str] = {}
    while len(passages) < count:
        code = random.choice(KINDS)(random)
        chinese = random.random() < (0.02, 0.3, 0.6)[seed % 3]
        names = random.sample(PARTS_ZH if chinese else PARTS, 2)
        passages[code] = random.choice(CHINESE if chinese else ENGLISH).format(
            i=len(passages),
            code=code,
            a=names[0],
            b=names[1],
            n=random.randint(2, 9),
            m=random.randint(10, 60),
        )
    return passages


def stored(
    folder: Path, passages: Sequence[tuple[str, str]], encoder: Encoder, lexical: LexicalEncoder
) -> EdgeCollection:
    """A collection of passages, each with its document's name."""
    store = EdgeStores(folder).create("codes", Fingerprint(encoder.id, encoder.dim, "none", lexical.id, None))
    legible = [text for _, text in passages if encoder.reads(text)]
    vectors = dict(zip(legible, encoder.encode_passages(legible, tokens=False), strict=True))
    points = []
    for name, text in passages:
        document = document_id(name)
        chunk = Chunk(
            id=chunk_id(document, text, 0), document_id=document, source=name, title="", text=text,
            start=0, end=len(text), legible=text in vectors,
        )  # fmt: skip
        dense = vectors[text].dense if text in vectors else None
        points.append(Point(chunk, lexical.encode_passage(text), dense))
    store.upsert(points)
    return store


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder of both languages whose vectors mean nothing."""
    return load_encoder(str(xlm_roberta_encoder(tmp_path_factory.mktemp("tiny") / "model")), device="cpu")


def misses(store: EdgeCollection, encoder: Encoder, lexical: LexicalEncoder, seed: int) -> list[str]:
    """The questions that are not answered by the passage that alone holds their code, of 40."""
    random, retriever, missed = Random(seed + 100), HybridRetriever(store, encoder, lexical), []
    passages = generated(seed)
    for code in random.sample(sorted(passages), 40):
        written = code if code.isalpha() else random.choice((code, code.lower()))  # a name needs its capitals
        question = random.choice(QUESTIONS).format(code=written)
        found = anyio.run(retriever.search, question, 50)
        if found.candidates[0].text != passages[code]:
            missed.append(question)
    return missed


@pytest.mark.parametrize(("kind", "seed"), [("encoder", 1), ("tiny", 0), ("tiny", 1), ("tiny", 2)])
def test_the_only_passage_that_holds_a_code_is_first(
    tmp_path: Path, request: pytest.FixtureRequest, lexical: LexicalEncoder, kind: str, seed: int
) -> None:
    """With an encoder of English and with one of both languages, whatever the rest of the question says."""
    encoder = request.getfixturevalue(kind)
    store = stored(tmp_path, list(generated(seed).items()), encoder, lexical)
    assert misses(store, encoder, lexical, seed) == []
    store.close()


def test_in_an_older_collection_codes_of_one_word_are_found(
    tmp_path: Path, tiny: Encoder, lexical: LexicalEncoder
) -> None:
    """Where torn codes were not joined, today's questions find what they found, and whole codes first."""
    passages = generated(1)
    store = stored(tmp_path, list(passages.items()), tiny, lexical.for_collection(UNJOINED))
    for code in [code for code in passages if code.isalnum()][:10]:
        found = anyio.run(HybridRetriever(store, tiny, lexical).search, f"{code} 用多大扭矩", 50)
        assert found.candidates[0].text == passages[code]
    store.close()


@pytest.mark.parametrize(
    ("holders", "alone"), [(["a"], True), (["a", "a"], True), (["a", "b"], False), (["a", "a", "a"], False)]
)
def test_who_alone_holds_a_code(
    tmp_path: Path, tiny: Encoder, lexical: LexicalEncoder, holders: list[str], alone: bool
) -> None:
    """One passage, or two of one document, which may overlap; a code that more hold singles none out."""
    passages = [(name, f"Note {n} on E4711, the pump and its filter.") for n, name in enumerate(holders)]
    passages += [(f"other {n}", f"Note {n} on the pump and its filter.") for n in range(10)]
    store = stored(tmp_path, passages, tiny, lexical)
    found = anyio.run(HybridRetriever(store, tiny, lexical).search, "the pump and its filter and E4711", 50)
    coded = [c for c in found.candidates if CODE in c.ranks]
    assert coded == (list(found.candidates[: len(holders)]) if alone else [])
    store.close()
