"""A site, and a folder for the copies of what is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.sources.mirror import Mirror
from tests.support.site import TORQUE, LocalSite, Page, local_site


@pytest.fixture
def web() -> Iterator[LocalSite]:
    with local_site({"/guide/pump": Page(TORQUE, headers={"ETag": '"1"'})}) as site:
        yield site


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path / "fetched")
