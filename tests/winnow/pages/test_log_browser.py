"""The pages of the log in Chromium: judging, replaying, comparing; phone, dark mode, hostile text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from storage.records import Answer
from tests.support.browser import HOSTILE, chromium, fits, opened, unharmed
from tests.support.log_samples import a_full_answer
from tests.support.serving import QUESTION, Server, ingested, serving
from winnow import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over three documents, with a question asked, one with every field, and a hostile one."""
    data = ingested(tmp_path_factory.mktemp("log browsed 浏览日志"))
    with serving(Settings.load(data_dir=data)) as running:
        log = running.pipeline.log
        asked = running.pipeline.ask(QUESTION, rerank="late-interaction")
        log.save(a_full_answer())
        log.save(_hostile(asked))
        log.feedback("hostile", note=HOSTILE)
        yield running


def _hostile(answer: Answer) -> Answer:
    turned = [
        replace(one, chunk=replace(one.chunk, text=HOSTILE, title=HOSTILE, source=HOSTILE), ranks=ranks)
        for at, one in enumerate(reversed(answer.candidates), 1)
        if (ranks := {**one.ranks, "final": at})
    ]
    return replace(
        answer,
        id="hostile",
        question=HOSTILE,
        text=HOSTILE,
        candidates=tuple(turned),
        warnings=(HOSTILE,),
        prompt=HOSTILE,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests here."""
    with chromium() as running:
        yield running


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_an_answer_is_found_judged_and_replayed(browser: Browser, server: Server, scripts: bool) -> None:
    """Search, judgement and replay work by forms and links, with scripts and without."""
    with opened(browser, server.url, "/answers", scripts=scripts) as page:
        page.get_by_role("searchbox").fill("missed")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("link", name=QUESTION).last.click()
        assert page.locator("h1").inner_text() == QUESTION
        page.get_by_label("Why (a note, kept in the log)").fill("说得好 <b>")
        page.get_by_role("button", name="Good").click()
        assert "说得好 <b>" in page.locator("blockquote").last.inner_text()
        page.locator("select[name=grade-1]").select_option("3")
        page.get_by_role("button", name="Save grades").click()
        assert page.locator("select[name=grade-1]").input_value() == "3"
        page.get_by_label("or another one").fill("none")
        page.get_by_role("button", name="Replay", exact=True).click()
        page.wait_for_url("**/beside")
        assert page.locator(".side").count() == 2
        left, right = (page.locator(".side").nth(n).bounding_box() for n in (0, 1))
        assert left is not None
        assert right is not None
        assert (left["y"], left["x"] < right["x"]) == (right["y"], True)
        where = page.url
        page.goto(where)
        assert page.locator("h1").inner_text() == QUESTION


def test_a_refused_replay_says_why_beside_the_form(browser: Browser, server: Server) -> None:
    """A refused replay shows the answer's page with the reason, under an error status."""
    path = f"/answers/{a_full_answer().id}"
    with opened(browser, server.url, path, expecting=("403",)) as page:
        page.get_by_label("or another one").fill("listwise")
        page.get_by_role("button", name="Replay", exact=True).click()
        assert "calls a chat model" in page.locator(".replay-form [role=alert]").inner_text()
        assert page.get_by_label("or another one").input_value() == "listwise"
        assert page.get_by_role("button", name="Replay", exact=True).is_enabled()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_specs_are_compared_while_one_looks_on(browser: Browser, server: Server, scripts: bool) -> None:
    """The page follows the job by itself and ends with the table and the plots."""
    with opened(browser, server.url, "/compare", scripts=scripts) as page:
        page.locator('input[value="none"]').check()
        page.locator('input[value="late-interaction"]').check()
        page.get_by_role("button", name="Compare").click()
        page.wait_for_selector("table.specs", timeout=60_000)
        assert page.locator("table.specs tbody tr").count() == 2
        assert page.locator(".plots circle").count() >= 1  # only what the log has times of
        page.locator(".dispute summary").first.click()
        assert page.locator(".dispute .rankings").first.is_visible()
        assert unharmed(page)


@pytest.mark.parametrize("look", [{}, {"phone": True}, {"phone": True, "dark": True, "language": "zh-CN"}])
def test_every_page_of_the_log_fits_and_is_not_harmed(
    browser: Browser, server: Server, look: dict[str, bool | str]
) -> None:
    """Every page fits a phone, dark and in Chinese, with hostile text wherever text is shown."""
    replay = server.pipeline.log.replay("hostile", "none").answer.id
    paths = ("/answers?status=ok", "/answers/hostile", f"/answers/{replay}/beside", "/answers/0198a-full")
    for path in (*paths, "/compare"):
        with opened(browser, server.url, path, **look) as page:  # type: ignore[arg-type]
            page.evaluate("for (const part of document.querySelectorAll('main details')) part.open = true")
            assert unharmed(page), path
            assert fits(page), path
            assert not re.search(r"\u202e", page.content())


def test_on_a_phone_old_and_new_are_stacked(browser: Browser, server: Server) -> None:
    """On a phone old and new answers are stacked, each as wide as the page."""
    replay = server.pipeline.log.replay("hostile", "none").answer.id
    with opened(browser, server.url, f"/answers/{replay}/beside", phone=True) as page:
        old, new = (page.locator(".side").nth(n).bounding_box() for n in (0, 1))
        assert old is not None
        assert new is not None
        assert (old["x"], old["y"] + old["height"] <= new["y"]) == (new["x"], True)
