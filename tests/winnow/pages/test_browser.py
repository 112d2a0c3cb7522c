"""The start page in Chromium: asking, rank chart, citations, keyboard, dark mode, phone, hostile text."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from storage.records import Candidate, Generation, Outcome, Retrieval
from tests.support.browser import HOSTILE, chromium, fits, opened, unharmed
from tests.support.serving import Server, serving
from winnow import RAGPipeline, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

ENGLISH = "Can a reranker bring back a passage that retrieval missed?"
CHINESE = "重排序能找回召回阶段漏掉的段落吗？"
_FRUITS = ("Apples", "Pears", "Plums", "Grapes", "Figs", "Dates", "Limes", "Kiwis", "Melons", "Quinces")


def _documents(folder: Path) -> None:
    """Fifty passages that share words with the questions, one that answers each, and a hostile one."""
    for number in range(50):
        fruit = _FRUITS[number % len(_FRUITS)]
        text = f"{fruit} were passed over by a retrieval of the passage number {number}; a reranker slept."
        (folder / f"fruit {number}.md").write_text(f"# {fruit} {number}\n\n{text}\n", encoding="utf-8")
    (folder / "limits.md").write_text(
        "# Reranking\n\n## Limits\n\nReranking is not magic. A reranker cannot bring back a passage that "
        "retrieval missed. It reorders what it is given.\n",
        encoding="utf-8",
    )
    (folder / "重排.md").write_text(
        "# 重排序\n\n重排序把最相关的段落排在最前面。召回阶段漏掉的段落，重排序无法找回。\n", encoding="utf-8"
    )
    name = '"><img src=x onerror=window.hacked=1>.md'
    hostile = f"# {HOSTILE}\n\nThe password of the kraken is written here: {HOSTILE} and it is long.\n"
    (folder / name).write_text(hostile, encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over those documents."""
    folder = tmp_path_factory.mktemp("browsed 浏览")
    docs = folder / "docs"
    docs.mkdir()
    _documents(docs)
    settings = Settings.load(data_dir=folder / "data")
    with RAGPipeline.from_settings(settings) as pipeline:
        assert pipeline.ingest(docs).totals["ingested"] == 53
    with serving(settings) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests here."""
    with chromium() as running:
        yield running


def test_a_question_shows_its_answer_and_what_reranking_did(browser: Browser, server: Server) -> None:
    """Enter sends the question, and the answer has an address that works after a reload."""
    with opened(browser, server.url) as page:
        page.get_by_label("Question").fill(ENGLISH)
        page.keyboard.press("Enter")
        page.wait_for_selector(".result")
        assert "cannot bring back a passage that retrieval missed" in page.inner_text(".result .answer-text")
        assert page.locator(".rank-chart-picture .way").count() == 50
        assert page.locator(".rank-chart-picture .way .name").count() == 5
        assert "the reranker" in page.inner_text(".moved").lower()
        assert "?answer=" in page.url
        sentence = page.inner_text(".moved")
        page.reload()
        assert page.inner_text(".moved") == sentence
        assert page.inner_text("h1") == ENGLISH


def test_a_chinese_reader_sees_chinese(browser: Browser, server: Server) -> None:
    """A Chinese browser gets Chinese pages, including the reasons of degraded stages."""
    with opened(browser, server.url, language="zh-CN") as page:
        page.get_by_label("问题").fill(CHINESE)
        page.locator(".more summary").click()
        page.get_by_label("其他重排序规格").fill("cross-encoder")
        page.get_by_role("button", name="提问").click()
        page.wait_for_selector(".result")
        assert "重排序无法找回" in page.inner_text(".result .answer-text")
        assert "模型读不懂这个问题" in page.inner_text(".warning")
        assert page.locator(".times .badge.fallback").inner_text() == "已回退"
        page.get_by_role("link", name="English").click()
        assert page.locator(".times .badge.fallback").inner_text() == "fell back"
        assert "cannot read the question" in page.inner_text(".warning")


def test_a_line_is_pointed_at_and_its_passage_read(browser: Browser, server: Server) -> None:
    """Chart lines can be inspected by pointer or keyboard: Tab reaches the chart, arrows step."""
    with opened(browser, server.url) as page:
        page.get_by_label("Question").fill(ENGLISH)
        page.keyboard.press("Enter")
        panel = page.locator(".rank-chart-panel article:visible")
        panel.wait_for()
        dropped = page.locator(".rank-chart-picture .way.dropped").first
        dropped.locator(".cross").hover(force=True)  # the middle of a bent line is beside it
        shown = page.locator(".rank-chart-picture .way.shown")
        assert shown.count() == 1
        assert panel.count() == 1
        assert shown.get_attribute("data-shows") == panel.get_attribute("id")
        assert "then dropped" in (shown.get_attribute("aria-label") or "")
        page.locator(".rank-chart-picture .way.place-2").focus()
        page.keyboard.press("ArrowUp")
        assert "Final rank 1" in panel.inner_text()
        for _ in range(5):
            page.keyboard.press("ArrowDown")
        assert "Dropped" in panel.inner_text()
        assert "Retrieval" in panel.inner_text()
        page.keyboard.press("End")
        assert page.evaluate("document.activeElement.dataset.number") == "50"


def test_a_citation_opens_its_passage_with_the_sentence_marked(browser: Browser, server: Server) -> None:
    """A citation opens its passage in place with the sentence marked, by keyboard too."""
    with opened(browser, server.url) as page:
        page.get_by_label("Question").fill(ENGLISH)
        page.keyboard.press("Enter")
        marker = page.locator("a.marker").first
        marker.wait_for()
        source = page.locator(f"#source-{marker.inner_text().strip('[]')}")
        assert not source.locator("mark").first.is_visible()
        marker.focus()
        page.keyboard.press("Enter")
        assert source.locator("mark").first.inner_text() in page.inner_text(".result .answer-text")
        assert "Reranking is not magic" in source.inner_text()


def test_the_keyboard_alone_is_enough(browser: Browser, server: Server) -> None:
    """Everything works by keyboard alone, with a visible focus."""
    with opened(browser, server.url, "/answers") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    with opened(browser, server.url) as page:
        page.evaluate("window.loaded = 1")
        page.locator(".skip").focus()
        page.keyboard.press("Enter")
        page.wait_for_function("location.hash === '#main'")
        page.get_by_label("Question").focus()
        page.keyboard.type("Can a reranker bring back a passage")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("that retrieval missed?")
        page.keyboard.press("Enter")
        good = page.get_by_role("button", name="A good answer")
        good.focus()
        assert page.evaluate("window.loaded") == 1
        page.keyboard.press("Space")
        page.get_by_text("Noted.").wait_for()
        assert good.get_attribute("aria-pressed") == "true"
        page.reload()
        assert page.get_by_role("button", name="A good answer").get_attribute("aria-pressed") == "true"


def test_a_follow_up_says_how_it_was_understood(browser: Browser, server: Server) -> None:
    """A follow-up shows how it was understood, from the answer above it."""
    with opened(browser, server.url) as page:
        page.get_by_label("Question").fill(ENGLISH)
        page.keyboard.press("Enter")
        page.get_by_label("Ask a follow-up").fill("Why not?")
        page.keyboard.press("Enter")
        page.get_by_text("Understood as:").wait_for()
        assert ENGLISH in page.inner_text(".result")
        page.go_back()
        page.wait_for_function("document.querySelector('.result h1')?.textContent.startsWith('Can a')")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_a_phone_needs_no_sideways_scrolling(
    browser: Browser, server: Server, dark: bool, language: str
) -> None:
    """On a phone nothing scrolls sideways, and the system's dark mode is followed."""
    with opened(browser, server.url, phone=True, dark=dark, language=language) as page:
        assert fits(page)
        page.locator("#question").fill(ENGLISH)
        page.locator("[data-send]").first.tap()
        page.wait_for_selector(".result")
        for details in page.locator("details").all():
            details.evaluate("one => { one.open = true }")
        assert fits(page)
        assert not page.locator(".rank-chart-picture").is_visible()  # it has a narrow form
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, colour.strip("rgb()").split(","))) < 200) is dark


def test_the_switch_is_remembered(browser: Browser, server: Server) -> None:
    """The chosen theme is rendered by the server on the next page, without a flash."""
    with opened(browser, server.url) as page:
        page.get_by_role("link", name="Dark").click()
        page.get_by_role("link", name="Light").wait_for()
        page.goto(f"{server.url}/settings")
        assert page.get_attribute("html", "data-theme") == "dark"


def test_hostile_text_is_shown_and_not_run(browser: Browser, server: Server) -> None:
    """Hostile titles, texts, file names and questions are shown and not run, whole or streamed."""
    for question in ("What is the password of the kraken?", HOSTILE):
        with opened(browser, server.url) as page:
            page.get_by_label("Question").fill(question)
            page.keyboard.press("Enter")
            page.wait_for_selector(".result")
            for details in page.locator("details").all():
                details.evaluate("one => { one.open = true }")
            for way in page.locator(".rank-chart-picture .way").all()[-6:]:
                way.dispatch_event("pointerover")
            assert "window.hacked=1" in page.inner_text("#result")
            assert "49" not in page.inner_text("h1")
            assert "\u202e" not in page.inner_html("#result") + page.title() + page.inner_html(
                "[data-pieces]"
            )
            page.reload()
            assert unharmed(page)
            page.goto(server.url)
            assert unharmed(page)


def test_it_works_without_scripts(browser: Browser, server: Server) -> None:
    """Without scripts asking, chart links to passages and feedback still work."""
    with opened(browser, server.url, scripts=False) as page:
        page.get_by_label("Question").fill(ENGLISH)
        page.get_by_role("button", name="Ask", exact=True).click()
        page.wait_for_selector(".result")
        assert "?answer=" in page.url
        assert page.locator(".rank-chart-panel article:visible").count() == 1
        page.locator(".rank-chart-picture .way.place-3").focus()
        page.keyboard.press("Enter")
        assert "Final rank 3" in page.locator(".rank-chart-panel article:visible").inner_text()
        assert page.locator(".rank-chart-panel article:visible").count() == 1


def test_a_mistake_is_said_with_its_way_out(browser: Browser, server: Server) -> None:
    """An unknown spec gives an error with a way out, and the question stays in its field."""
    with opened(browser, server.url, expecting=("400",)) as page:
        page.get_by_label("Question").fill(ENGLISH)
        page.locator(".more summary").click()
        page.get_by_label("Another rerank spec").fill("late-interacton")
        page.get_by_role("button", name="Ask", exact=True).click()
        problem = page.locator("#failed")
        problem.wait_for()
        assert "did you mean 'late-interaction'?" in problem.inner_text()
        assert "Presets:" in problem.inner_text()
        assert page.get_by_label("Question").input_value() == ENGLISH


class Telling:
    """Parts whose answerer streams two pieces, the second only when released."""

    name = "telling"

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.cancelled = threading.Event()

    async def search(self, query: str, top_k: int) -> Retrieval:
        return Retrieval((Candidate.from_text("A passage.", id="1"),))

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Sequence[Candidate]:
        return candidates

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        raise AssertionError("it can stream")

    async def stream(self, question: str, candidates: Sequence[Candidate]) -> AsyncIterator[str | Generation]:
        try:
            yield "The first half, "
            while not self.go_on.is_set():
                await anyio.sleep(0.02)
            yield "and the second."
        except BaseException:
            self.cancelled.set()
            raise
        text = "The first half, and the second."
        yield Generation(text=text, outcome=Outcome("generation"), answerer="telling")


@pytest.fixture
def telling(tmp_path: Path) -> Iterator[tuple[Server, Telling]]:
    """A server whose answers come in pieces."""
    parts = Telling()
    settings = Settings.load(data_dir=tmp_path / "data")
    with serving(settings, RAGPipeline(parts, parts, parts, settings=settings)) as running:
        yield running, parts


def test_the_text_appears_while_it_comes(browser: Browser, telling: tuple[Server, Telling]) -> None:
    """The first piece is shown before the second is written."""
    server, parts = telling
    with opened(browser, server.url) as page:
        page.get_by_label("Question").fill("What?")
        page.keyboard.press("Enter")
        page.get_by_text("The first half,").wait_for()
        assert page.locator(".result").count() == 0
        assert page.get_by_role("button", name="Stop").is_visible()
        parts.go_on.set()
        page.wait_for_selector(".result")
        assert page.inner_text(".result .answer-text") == "The first half, and the second."
        assert not page.locator("#live").is_visible()


def test_stop_ends_the_work_on_the_server(browser: Browser, telling: tuple[Server, Telling]) -> None:
    """Stop cancels the work on the server, and another question can be asked at once."""
    server, parts = telling
    with opened(browser, server.url) as page:
        page.get_by_label("Question").fill("What?")
        page.keyboard.press("Enter")
        page.get_by_text("The first half,").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped. Nothing was logged.").wait_for()
        assert parts.cancelled.wait(10)
        parts.go_on.set()
        page.get_by_label("Question").press("Enter")
        page.wait_for_selector(".result")
        assert server.get("/v1/answers").json()["total"] == 1
