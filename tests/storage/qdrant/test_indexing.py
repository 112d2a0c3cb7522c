"""Payload indexes: which metadata gets one, and of which kind."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from storage.qdrant.edge.stores import EdgeStores
from storage.qdrant.filters import parse_filter
from storage.qdrant.payload_indexes import MOST, OWN, Indexed
from storage.records import Scalar
from storage.vectors import Point
from tests.support.passages import FINGERPRINT, points

pytestmark = pytest.mark.heavy


def _with(metadata: Mapping[str, Scalar]) -> Point:
    point = points(1)[0]
    return replace(point, chunk=replace(point.chunk, metadata=metadata))


@pytest.mark.parametrize(
    ("value", "kind"),
    [("zh", "keyword"), (3, "number"), (2.5, "number"), (True, "flag"), ("2024-01-31", "date")],
)
def test_the_kind_follows_the_value(value: Scalar, kind: str) -> None:
    """Text, numbers, flags and dates each get their kind of index; numbers one for fractions."""
    assert Indexed(OWN).missing([_with({"key": value})]) == {'metadata."key"': kind}


def test_the_first_value_decides_and_null_says_nothing() -> None:
    """A key that begins with null is indexed by its first real value."""
    found = Indexed(OWN).missing([_with({"key": value}) for value in (None, 7, "x")])
    assert found == {'metadata."key"': "number"}


def test_what_is_indexed_is_not_indexed_again() -> None:
    """An indexed path is not indexed again, however the engine spells it."""
    indexed = Indexed({**OWN, "metadata.lang": "keyword", 'metadata."a b"': "number"})
    assert indexed.missing([_with({"lang": "zh", "a b": 1})]) == {}


def test_indexes_are_not_made_without_end() -> None:
    """Documents with a thousand keys get at most MOST indexes."""
    indexed = Indexed(OWN)
    found = indexed.missing([_with({f"key{i}": i for i in range(1_000)})])
    assert len(found) == MOST
    for path, kind in found.items():
        indexed.add(path, kind)
    assert indexed.missing([_with({"another": 1})]) == {}


@pytest.mark.parametrize("values", [(2020, "2021-05-01"), ("2021-05-01", 2020)])
def test_numbers_and_dates_under_one_key_have_no_index_that_misleads(values: tuple[Scalar, Scalar]) -> None:
    """A key with numbers and dates gets a keyword index, since either typed index would hide the other."""
    together = Indexed(OWN).missing([_with({"date": value}) for value in values])
    assert together == {'metadata."date"': "keyword"}
    indexed = Indexed(OWN)
    for value in (*values, *values):
        for path, kind in indexed.missing([_with({"date": value})]).items():
            indexed.add(path, kind)
    assert indexed.missing([_with({"date": value}) for value in values]) == {}


def test_a_key_that_no_path_can_say_is_kept_without_an_index(tmp_path: Path) -> None:
    """A key that no path can express is stored without an index."""
    odd = [_with({'a"b': "x", "c\\d": 1})]
    assert Indexed(OWN).missing(odd) == {}
    store = EdgeStores(tmp_path).create("c", FINGERPRINT)
    store.upsert(odd)
    assert {tuple(chunk.metadata) for chunk in store.chunks()} == {('a"b', "c\\d")}
    store.close()


def test_a_date_is_not_looked_for_among_numbers() -> None:
    """A date bound finds no numbers, such as years, indexed or not."""
    condition = parse_filter('year <= "2024-01-01" or not year > "2024-01-01"')
    assert Indexed({}).fitted(condition) == condition
    fitted = Indexed({"metadata.year": "number"}).fitted(condition)
    assert "year" not in str(fitted)


def test_indexes_outlive_the_process(tmp_path: Path) -> None:
    """A reopened collection knows its indexes."""
    stores = EdgeStores(tmp_path)
    collection = stores.create("papers", FINGERPRINT)
    collection.upsert(points())
    collection.close()
    with closing(stores.open("papers")) as reopened:
        assert reopened._indexed.missing(points()) == {}
