"""A data folder to run commands on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shell import ingested


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one English and one Chinese document, for the tests of a file."""
    return ingested(tmp_path_factory.mktemp("shell"))
