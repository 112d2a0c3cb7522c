"""A server whose log holds answers of every kind, hostile ones among them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.log_samples import a_full_answer, a_plain_answer
from tests.support.logged_pages import HTML, hostile_answer
from tests.support.serving import Server, ingested, serving
from winnow import Settings
from winnow.server.pages.answers import PER_PAGE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over three documents, and a log of answers of every kind."""
    data = ingested(tmp_path_factory.mktemp("logged 日志"))
    with serving(Settings.load(data_dir=data)) as running:
        running.headers.update(HTML)
        for number in range(PER_PAGE + 3):
            running.pipeline.log.save(a_plain_answer(number, minutes=number))
        running.pipeline.log.save(a_full_answer())
        running.pipeline.log.save(hostile_answer())
        yield running
