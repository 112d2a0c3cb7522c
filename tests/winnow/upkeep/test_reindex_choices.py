"""Choices that need a re-index: another encoder, chunker, lexical settings, token vectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.lexical import AVERAGE_LENGTH, ID, UNJOINED, LexicalEncoder
from storage.errors import FingerprintMismatchError, NotFoundError
from storage.qdrant.contract import LEXICAL
from storage.qdrant.edge.stores import EdgeStores
from storage.qdrant.tuning import Tuning
from storage.vectors import Hit, Leg, SparseVector
from tests.support.reindexing import Place, pipeline, write
from winnow.pipeline import RAGPipeline

pytestmark = pytest.mark.heavy


def test_another_encoder_is_named_and_refused_until_reindex(place: Place) -> None:
    """Another encoder is refused by ingest and search with the difference, until --reindex."""
    with pipeline(place.data, place.other) as rag:
        for act in (lambda: rag.ingest(place.docs), lambda: rag.search("dog")):
            with pytest.raises(FingerprintMismatchError, match="encoder") as caught:
                act()
            assert "ingest --reindex -c default" in caught.value.way_out
        report = rag.ingest(reindex=True)
        assert report.totals["ingested"] == 6
        assert rag.search("The lazy dog jumps").candidates
        assert rag.ingest(place.docs).totals["unchanged"] == 6
    with pipeline(place.data, place.one) as rag, pytest.raises(FingerprintMismatchError):
        rag.search("dog")


def test_another_chunker_is_named_by_ingest_and_does_not_hinder_asking(place: Place) -> None:
    """Another chunker is refused by ingest and does not affect asking."""
    path = place.data / "collections" / "default" / "fingerprint.json"
    path.write_text(path.read_text().replace("winnow-", "winnow-0.", 1))
    with pipeline(place.data, place.one) as rag:
        assert rag.search("dog").candidates
        with pytest.raises(FingerprintMismatchError, match="chunker"):
            rag.ingest(place.docs)
        rag.ingest(place.docs, reindex=True)
        assert rag.ingest(place.docs).totals["unchanged"] == 6


def test_a_choice_of_token_vectors_stays_unless_another_is_made(place: Place) -> None:
    """A re-index keeps the choice about token vectors, unless a flag or setting changes it."""
    from winnow.app.settings import Settings
    from winnow.pipeline import RAGPipeline

    with pipeline(place.data, place.one) as rag:
        assert rag.wiring.stores.open("default").fingerprint.token_dim is not None
    chosen = {"data_dir": place.data, "encoder": {"model": str(place.one), "device": "cpu"}}
    for values in ({"token_vectors": False, "workers": 1}, {"workers": 1}):
        with RAGPipeline.from_settings(Settings.load(**chosen, ingest=values)) as rag:
            rag.ingest(reindex=True)
            assert rag.wiring.collection().fingerprint.token_dim is None


def test_nothing_to_build_from_is_an_error(tmp_path: Path, place: Place) -> None:
    """A re-index without a collection, a manifest or paths is an error."""
    with (
        pipeline(tmp_path / "empty", place.one) as rag,
        pytest.raises(NotFoundError, match="nothing to build"),
    ):
        rag.ingest(reindex=True)


def test_the_graph_is_built_when_it_pays(tmp_path: Path, place: Place) -> None:
    """A run builds the graph, and says so, only above the threshold."""
    from winnow.upkeep.graph import build_where_it_pays

    said: list[str] = []
    with pipeline(place.data, place.one) as rag:
        assert not build_where_it_pays(rag.wiring.collection(), lambda seen: said.append(seen.path))
    assert said == []
    stores = EdgeStores(place.data / "collections", tuning=Tuning(indexing_threshold_kb=1))
    store = stores.open("default")
    build_where_it_pays(store, lambda seen: said.append(seen.path))
    assert len(said) == 1
    store.close()


def test_the_fingerprint_names_the_lexical_settings_with_their_average_length() -> None:
    """The fingerprint names the lexical settings, average length included, as it changes the weights."""
    assert f"{AVERAGE_LENGTH:g}" in ID


def test_a_collection_without_joined_codes_stays_in_use(place: Place, lexical: LexicalEncoder) -> None:
    """It is searched and ingested into with the terms that it was built with, until it is re-indexed."""
    path = place.data / "collections" / "default" / "fingerprint.json"
    path.write_text(path.read_text().replace(ID, UNJOINED))
    docs = place.data / "more"
    write(docs, 7)
    (docs / "codes.md").write_text("The dog has the number XR-2000.")
    (code,) = lexical.codes("XR-2000")
    with pipeline(place.data, place.one) as rag:
        assert rag.ingest(docs).totals["ingested"] == 2
        assert rag.search("XR-2000").candidates[0].text.endswith("XR-2000.")
        assert not found_by(rag, code)
        rag.ingest(reindex=True)
        assert found_by(rag, code)


def found_by(rag: RAGPipeline, term: int) -> list[Hit]:
    return rag.wiring.collection("default").search([Leg(LEXICAL, SparseVector((term,), (1.0,)))], 5)[0]
