"""Re-indexing: detected, built next to the old collection, swapped at the end, nothing lost."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from ingest.loaders.base import Columns
from retrieval.lexical import AVERAGE_LENGTH, ID, UNJOINED, LexicalEncoder
from storage.errors import FingerprintMismatchError, NotFoundError, SettingsError, StoreLockedError
from storage.qdrant.contract import LEXICAL, CollectionStore, Rebuild
from storage.qdrant.edge.stores import EdgeStores
from storage.qdrant.tuning import Tuning
from storage.reasons import Reason
from storage.vectors import Hit, Leg, SparseVector
from tests.support.qdrant_wire import serving
from tests.support.reindexing import content, encoders, pipeline, write
from winnow.pipeline import RAGPipeline
from winnow.upkeep.rebuild import IngestChoices, reindex

pytestmark = pytest.mark.heavy


@dataclass(frozen=True)
class Place:
    """A collection of six documents, made with the encoder `one`."""

    docs: Path
    data: Path
    one: Path
    other: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("reindex")
    one, other = encoders(root)
    place = Place(root / "docs 文档", root / "data", one, other)
    write(place.docs, *range(6))
    with pipeline(place.data, one) as rag:
        assert rag.ingest(place.docs).totals["ingested"] == 6
    return place


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """A copy of the data over the same documents, which a test must restore if it changes them."""
    shutil.copytree(made.data, tmp_path / "data")
    return Place(made.docs, tmp_path / "data", made.one, made.other)


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


def test_the_result_is_that_of_a_first_ingest(place: Place, tmp_path: Path) -> None:
    """A re-index gives the ids, manifest and vectors of a first ingest, and leaves nothing old behind."""
    with pipeline(place.data, place.other) as rag:
        rag.ingest(reindex=True)
        assert rag.wiring.stores.leftovers() == {}
        assert len(rag.wiring.manifest().generations()) == 1
    with pipeline(tmp_path / "anew", place.other) as rag:
        rag.ingest(place.docs)
    assert content(place.data, place.other) == content(tmp_path / "anew", place.other)


def test_questions_are_answered_while_it_is_built_and_after_the_swap(place: Place) -> None:
    """The re-indexing pipeline answers from the old collection until the swap, then from the new one."""
    asked: list[int] = []
    with pipeline(place.data, place.one) as rag:
        rag.search("dog")
        held = rag.wiring.collection()
        rag.ingest(reindex=True, progress=lambda _: asked.append(len(rag.search("quick fox").candidates)))
        assert asked
        assert all(asked)
        assert held.count() > 0, "a question on its way is not cut off"
        assert rag.search("the quick question").candidates
        assert rag.wiring.collection().generation != held.generation


class _AskedWhileItSwaps:
    """A rebuild with a question from another thread in the middle of its swap."""

    def __init__(self, rebuild: Rebuild, ask: Callable[[], object]) -> None:
        self.store, self.resumed = rebuild.store, rebuild.resumed
        self._rebuild = rebuild
        self.question = Thread(target=ask)

    def finish(self, old: CollectionStore | None) -> CollectionStore:
        swapped = self._rebuild.finish(old)
        self.question.start()
        self.question.join(0.5)  # time enough to be refused
        return swapped

    def __enter__(self) -> Rebuild:
        return self

    def __exit__(self, *_: object) -> None:
        self._rebuild.__exit__(None, None, None)


def test_a_question_in_the_middle_of_the_swap_gets_the_new_one(place: Place) -> None:
    """A question in the middle of the swap waits, and is answered from the new collection."""
    given: list[str] = []
    with pipeline(place.data, place.one) as rag:
        rag.wiring._parts["stores"] = EdgeStores(place.data / "collections", patience_s=0.1)
        old = rag.wiring.collection()
        begun = rag.wiring.stores.rebuild("default", old.fingerprint)
        rebuild = _AskedWhileItSwaps(begun, lambda: given.append(rag.wiring.collection().generation))
        new = rag.wiring.collections.swap(rebuild, old)
        rebuild.question.join()
        assert given == [new.generation]


def test_other_processes_ask_the_old_one_meanwhile(place: Place) -> None:
    """Other processes can ask the old collection; if one holds the lock, the swap waits for the next call."""
    stores = EdgeStores(place.data / "collections", patience_s=0.1)
    with pipeline(place.data, place.other) as rag:
        rag.wiring._parts["stores"] = stores
        held = stores.open("default")
        with pytest.raises(StoreLockedError, match="is built") as caught:
            rag.ingest(reindex=True)
        assert "same command again" in caught.value.way_out
        assert held.count() > 0
        held.close()
        report = rag.ingest(reindex=True)
    assert report.totals["unchanged"] == 6
    assert report.embedded == 0


def test_a_document_whose_file_is_gone_is_encoded_from_its_passages(place: Place) -> None:
    """A document without its file is kept with a warning, or with --prune reported as removed."""
    before = content(place.data, place.one)
    (place.docs / "3.md").rename(place.docs.parent / "3.md")
    try:
        with pipeline(place.data, place.other) as rag:
            report = rag.ingest(reindex=True)
            [gone] = [one for one in report.documents if "its file is gone" in " ".join(one.warnings)]
            assert gone.path.endswith("3.md")
            assert rag.ingest(place.docs).totals["unchanged"] == 5
        assert content(place.data, place.other)[:2] == before[:2]
        with pipeline(place.data, place.other) as rag:
            report = rag.ingest(reindex=True, prune=True)
            assert [one.path for one in report.documents if one.status == "removed"] == [gone.path]
        assert len(content(place.data, place.other)[1]) == 5
    finally:
        (place.docs.parent / "3.md").rename(place.docs / "3.md")


def test_passages_that_no_manifest_knows_are_kept(place: Place) -> None:
    """Passages missing from the manifest, as after losing winnow.db, are kept."""
    before = content(place.data, place.one)
    (place.data / "winnow.db").unlink()
    with pipeline(place.data, place.other) as rag:
        report = rag.ingest(reindex=True)
    assert report.totals["ingested"] == 6
    after = content(place.data, place.other)
    assert after[0] == before[0]
    assert {source: row[1] for source, row in after[1].items()} == {s: row[1] for s, row in before[1].items()}


def test_a_part_is_read_again_in_place_and_costs_only_itself(place: Place) -> None:
    """Re-indexing some paths under the same settings encodes only those."""
    with pipeline(place.data, place.one) as rag:
        report = rag.ingest(place.docs / "2.md", reindex=True)
        assert [one.status for one in report.documents] == ["replaced"]
        assert rag.wiring.stores.generation("default") == ""
        report = rag.ingest(place.docs, reindex=True)
        assert report.totals["documents"] == 6
        assert rag.wiring.stores.generation("default") != ""


def test_what_is_ingested_meanwhile_is_not_lost(place: Place, tmp_path: Path) -> None:
    """A document that another process adds during a re-index is in the new collection."""
    late = tmp_path / "late"
    write(late, 77)
    added: list[str] = []

    def add(_: object) -> None:
        if not added:
            added.append("77.md")
            with pipeline(place.data, place.one) as second:
                second.ingest(late)

    with pipeline(place.data, place.one) as rag:
        report = reindex(rag.wiring, "default", (), IngestChoices(progress=add))
    assert report.totals["documents"] == 7
    assert any(source.endswith("77.md") for source in content(place.data, place.one)[1])


def test_what_was_deleted_between_two_attempts_does_not_come_back(place: Place) -> None:
    """A document deleted after an attempt that could not swap does not come back."""
    write(place.docs, 9)
    with pipeline(place.data, place.one) as rag:
        rag.ingest(place.docs)
    stores = EdgeStores(place.data / "collections", patience_s=0.1)
    with closing(stores.open("default")), pipeline(place.data, place.other) as rag:
        rag.wiring._parts["stores"] = stores
        with pytest.raises(StoreLockedError):
            rag.ingest(reindex=True)
    (place.docs / "9.md").unlink()
    with pipeline(place.data, place.one) as rag:
        row = next(row for row in rag.wiring.manifest().rows() if row.source.endswith("9.md"))
        rag.wiring.collections.remove("default", row)
    with pipeline(place.data, place.other) as rag:
        assert rag.ingest(reindex=True).totals["unchanged"] == 6
    assert not any(source.endswith("9.md") for source in content(place.data, place.other)[1])


def test_records_are_read_by_their_columns_again(tmp_path: Path, place: Place) -> None:
    """A re-index reads records by the columns stored in the manifest."""
    records = tmp_path / "records.jsonl"
    records.write_text('{"key": "a", "words": "the dog"}\n{"key": "b", "words": "the fox"}\n')
    with pipeline(place.data, place.one) as rag:
        rag.ingest(records, columns=Columns(text="words", id="key"))
    before = content(place.data, place.one)
    with pipeline(place.data, place.other) as rag:
        rag.ingest(reindex=True)
    assert content(place.data, place.other)[:2] == before[:2]
    records.unlink()
    with pipeline(place.data, place.one) as rag:
        report = rag.ingest(reindex=True)
    assert [one.chunks for one in report.documents if one.path.endswith("records.jsonl")] == [2]
    assert content(place.data, place.one)[:2] == before[:2]


ODD = [
    Columns(text="words, all", id="key", title="a, b, c", metadata=("d, e", "(f)); g", "h'i")),
    Columns(text="None", id='"key"', title="line\nbreak"),
    Columns(text="正文，全部", id="键 (主)", metadata=("日, 期",)),
]


@pytest.mark.parametrize("columns", ODD, ids=["commas", "quotes", "中文"])
def test_records_are_read_by_columns_with_odd_names_again(
    tmp_path: Path, place: Place, columns: Columns
) -> None:
    """Column names with any characters are read back from the manifest."""
    records = tmp_path / "records.jsonl"
    names = (columns.text, columns.id, columns.title, *columns.metadata)
    lines = [{str(name): f"the dog {line}" for name in names} for line in range(3)]
    records.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pipeline(tmp_path / "data 2", place.one) as rag:
        rag.ingest(records, columns=columns)
    before = content(tmp_path / "data 2", place.one)
    assert len(before[0]) == 3
    with pipeline(tmp_path / "data 2", place.other) as rag:
        [one] = rag.ingest(reindex=True).documents
        assert "refused" not in " ".join(one.warnings), one
        again = rag.ingest(records, columns=columns)
        assert [(one.status, one.warnings) for one in again.documents] == [("unchanged", ())]
    assert content(tmp_path / "data 2", place.other)[:2] == before[:2]


def test_columns_that_an_earlier_version_noted_are_read() -> None:
    """Columns noted in the format of an earlier version are read."""
    assert str(Columns(text="words", id="key")) == " by line: words, key, None, ()"
    assert Columns.read("csv/1 by line: a, b, None, None, (); winnow-1") == Columns(text="a, b")
    assert Columns.read("csv/1; winnow-1") is None


def test_records_of_a_file_that_is_refused_now_are_kept(tmp_path: Path, place: Place) -> None:
    """Records of an unchanged file are kept if a re-index refuses it (mistyped column, timeout)."""
    records = tmp_path / "lines" / "records.jsonl"
    records.parent.mkdir()
    records.write_text('{"key": "a", "words": "the dog"}\n{"key": "b", "words": "the fox"}\n')
    with pipeline(tmp_path / "data 2", place.one) as rag:
        rag.ingest(records.parent, columns=Columns(text="words", id="key"))
    before = content(tmp_path / "data 2", place.one)
    with pipeline(tmp_path / "data 2", place.other) as rag:
        report = rag.ingest(records.parent, columns=Columns(text="wrods", id="key"), reindex=True)
        [one] = report.documents
        assert one.chunks == 2
        assert any("is refused now" in warning for warning in one.warnings)
    assert content(tmp_path / "data 2", place.other)[:2] == before[:2]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that not even root can read")
def test_a_file_that_cannot_be_read_now_keeps_its_passages(tmp_path: Path, place: Place) -> None:
    """A file that a re-index may not read keeps its passages."""
    docs, data = tmp_path / "docs", tmp_path / "data 2"
    write(docs, 1, 2)
    with pipeline(data, place.one) as rag:
        rag.ingest(docs)
    before = content(data, place.one)
    (docs / "1.md").unlink()
    (docs / "1.md").symlink_to("/proc/self/mem")
    with pipeline(data, place.other) as rag:
        report = rag.ingest(reindex=True)
    [kept] = [one for one in report.documents if one.path.endswith("1.md")]
    assert Reason.of(kept.warnings[0]).code == "winnow.upkeep.copied-of-refused-file"
    assert "its file is refused now" in kept.warnings[0]
    assert content(data, place.other)[:2] == before[:2]


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


def test_a_dry_run_of_a_reindex_estimates_and_changes_nothing(place: Place) -> None:
    """A dry run of a re-index estimates and changes nothing, even with another encoder."""
    with pipeline(place.data, place.other) as rag:
        report = rag.ingest(reindex=True, dry_run=True)
        assert report.dry_run
        assert report.estimate is not None
        assert report.estimate.passages > 6
        assert rag.wiring.stores.generation("default") == ""
        assert rag.wiring.stores.leftovers() == {}


def test_a_dry_run_into_no_collection_makes_none(place: Place) -> None:
    """A dry run creates no collection, and keeps a lost one's manifest and one made meanwhile."""
    shutil.rmtree(place.data / "collections" / "default")
    made: list[str] = []

    def make(_: object) -> None:
        if not made:
            made.append("default")
            stores = EdgeStores(place.data / "collections")
            stores.create("default", rag.wiring.collections.fingerprint()).close()

    with pipeline(place.data, place.one) as rag:
        report = rag.ingest(place.docs, dry_run=True, progress=make)
        assert report.estimate is not None
        assert report.totals["ingested"] == 6
        assert made == rag.wiring.stores.names()
        assert len(list(rag.wiring.manifest().rows())) == 6


def test_a_dry_run_says_that_ray_needs_a_server(tmp_path: Path, place: Place) -> None:
    """A dry run with Ray and no server says that Ray needs one."""
    with pipeline(tmp_path / "none", place.one) as rag, pytest.raises(SettingsError, match="Qdrant server"):
        rag.ingest(place.docs, dry_run=True, engine="ray")


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


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
def test_on_a_server_a_long_lived_pipeline_follows_the_swap(place: Place) -> None:
    """On a server, an open pipeline of another process follows the swap, or says what differs."""
    docs = place.data.parent / "papers"
    write(docs, 1, 2)
    with serving() as wire:
        store = {"url": wire.url, "prefer_grpc": False}
        with pipeline(place.data, place.one, store) as rag, pipeline(place.data, place.one, store) as other:
            rag.ingest(docs)
            assert other.search("lazy dog").candidates
            rag.ingest(reindex=True)
            assert other.search("lazy dog").candidates
            assert other.wiring.collection().generation == rag.wiring.stores.generation("default") != ""
        with pipeline(place.data, place.other, store) as rag:
            rag.ingest(reindex=True)
            assert rag.wiring.stores.leftovers() == {}
        with pipeline(place.data, place.one, store) as rag, pytest.raises(FingerprintMismatchError):
            rag.search("lazy dog")


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
def test_on_a_server_an_older_generation_gives_nothing_back(place: Place) -> None:
    """A leftover generation with the same settings does not bring deleted documents back."""
    docs = place.data.parent / "papers"
    write(docs, 1, 2)
    with serving() as wire:
        store = {"url": wire.url, "prefer_grpc": False}
        with pipeline(place.data, place.one, store) as rag:
            rag.ingest(docs)
            rag.ingest(reindex=True)
            rag.wiring.collections._retired.clear()
            rag.ingest(reindex=True)
            assert any("default@" in left for left in rag.wiring.stores.leftovers()["default"])
            rag.wiring.collections._retired.clear()  # the crash
        (docs / "2.md").unlink()
        with pipeline(place.data, place.one, store) as rag:
            rag.ingest(reindex=True, prune=True)
            sources = {chunk.source for chunk in rag.wiring.collection().chunks()}
            assert sources == {str(docs / "1.md")}
