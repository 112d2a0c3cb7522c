"""Reading answers in Chromium: conversations, sources in documents, the chart on a phone, access for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from reportlab.pdfgen.canvas import Canvas

from tests.support.browser import chromium, fits, opened, shortcomings
from tests.support.serving import Server, serving
from winnow import RAGPipeline, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

TORQUE = "What is the torque of the screw M6?"
VALVE = "When must the kraken valve be closed?"
_TABLE = """# Torque table

The torque of every screw of the pump:

| screw | torque | tool |
|---|---|---|
| M4 | 3 Nm | `T20` |
| M6 | **9 Nm** | hex key |

```sh
pump --check
```
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over a table, a PDF and twelve notes in two languages."""
    folder = tmp_path_factory.mktemp("reading")
    docs = folder / "docs"
    docs.mkdir()
    (docs / "table.md").write_text(_TABLE, "utf-8")
    for number in range(12):
        team = "red" if number % 2 else "blue"
        more = "in: the owner's\npage: Note of three\n" if number == 3 else ""
        text = f"---\nteam: {team}\n{more}---\n# Note {number}\n\nThe screw {number} is old.\n"
        (docs / f"note {number}.md").write_text(text, "utf-8")
    pdf = Canvas(str(docs / "manual.pdf"))
    for page in range(2):
        pdf.drawString(60, 780, f"The general notes of page {page} say nothing much about anything.")
        if page:
            pdf.drawString(60, 740, "The kraken valve must be closed before the boiler is")
            pdf.drawString(60, 720, "opened for the yearly inspection.")
        pdf.showPage()
    pdf.save()
    settings = Settings.load(data_dir=folder / "data")
    with RAGPipeline.from_settings(settings) as pipeline:
        assert pipeline.ingest(docs).totals["ingested"] == 14
    with serving(settings) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests here."""
    with chromium() as running:
        yield running


def _ask(page: Page, question: str) -> None:
    page.fill("#question", question)
    page.keyboard.press("Enter")
    page.wait_for_selector(".result")


def test_a_conversation_stays_in_view_and_keeps_its_choices(browser: Browser, server: Server) -> None:
    """A follow-up shows the turn before, and keeps filter and chain; a reload shows them too."""
    with opened(browser, server.url) as page:
        page.locator(".more summary").click()
        page.fill("#where", "team = 'red'")
        page.fill("#top_k_retrieve", "20")
        page.select_option("#rerank", "none")
        _ask(page, "Which screw is old?")
        assert "team = 'red'" in page.inner_text(".follow")
        page.fill("#follow-question", "And which is not?")
        page.locator(".follow [data-send]").click()
        page.wait_for_selector(".thread")
        assert "Which screw is old?" in page.inner_text(".thread")
        shown = page.url.rpartition("=")[2]
        page.reload()
        assert page.input_value("#where") == "team = 'red'"
        assert "Which screw is old?" in page.inner_text(".thread")
    given = server.get(f"/v1/answers/{shown}").json()["answer"]
    assert (given["rerank"], given["top_k_retrieve"]) == ("none", 20)
    assert {one["metadata"]["team"] for one in given["candidates"]} == {"red"}


def test_a_conversation_is_named_resumed_and_deleted(browser: Browser, server: Server) -> None:
    """A name is kept, the list leads back into it, its text can be taken along, a deletion asks first."""
    first = server.post("/v1/ask", json={"question": TORQUE}).json()["id"]
    last = server.post("/v1/ask", json={"question": "And of M4?", "follow_up": first}).json()["id"]
    with opened(browser, server.url, f"/?answer={last}", expecting=("404",)) as page:
        page.get_by_text("Rename").click()
        page.get_by_label("Name").fill("Pump <b>screws</b>")
        page.get_by_role("button", name="Save").click()
        assert page.inner_text(".thread-name") == "Pump <b>screws</b>"
        page.get_by_role("link", name="All conversations").click()
        page.get_by_role("link", name="Pump <b>screws</b>").click()
        page.wait_for_selector(".thread")
        text = server.get(f"/threads/{last}/text").text
        assert text.startswith("# Pump <b>screws</b>\n")
        assert text.count("\n## ") == 2
        page.locator(".thread a").first.click()  # an earlier turn
        page.wait_for_url(f"**/?answer={first}")
        page.get_by_role("link", name="Delete", exact=True).click()
        assert "2 answers" in page.inner_text("main")
        page.get_by_role("button", name="Delete").click()
        page.wait_for_url("**/threads")
        assert "Pump" not in page.inner_text("main")
    assert server.get(f"/v1/answers/{first}").status_code == 404


def test_a_citation_leads_into_its_document(browser: Browser, server: Server) -> None:
    """The passage is shown between its neighbours, the cited words marked, a table as a table."""
    with opened(browser, server.url) as page:
        _ask(page, TORQUE)
        page.locator(".source summary").first.click()
        page.locator(".source a").first.click()
        page.wait_for_selector(".chunk.wanted")
        assert "M6" in page.inner_text(".chunk.wanted table")
        assert page.inner_text(".chunk.wanted table td strong") == "9 Nm"
        assert page.locator(".chunk.wanted mark").count() >= 1
        assert "|---" not in page.inner_text("main")
        assert page.locator(".chunk.wanted pre").inner_text().strip() == "pump --check"


def test_a_citation_of_a_pdf_shows_its_page_with_the_words_marked(browser: Browser, server: Server) -> None:
    """The page is drawn on the server, and has yellow where the quotation is; other pages have none."""
    with opened(browser, server.url, foreign_scripts=True) as page:
        _ask(page, VALVE)
        source = page.locator(".source", has_text="manual").first
        source.locator("summary").click()
        source.locator("a").click()
        image = page.locator(".page-image img")
        image.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('.page-image img').naturalWidth > 0", timeout=90_000)
        yellow = page.evaluate(
            """() => {
                const image = document.querySelector('.page-image img');
                const canvas = document.createElement('canvas');
                canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
                const context = canvas.getContext('2d');
                context.drawImage(image, 0, 0);
                const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
                let found = 0;
                for (let at = 0; at < pixels.length; at += 4)
                    if (pixels[at] > 200 && pixels[at + 1] > 200 && pixels[at + 2] < 150) found += 1;
                return found;
            }"""
        )
        assert yellow > 1_000


def test_the_reranker_is_picked_from_a_list(browser: Browser, server: Server) -> None:
    """Every offered chain has a line that says what it does; what a request may not choose is greyed."""
    with opened(browser, server.url) as page:
        options = page.locator("#rerank option").all_inner_texts()
        assert any(one.startswith("balanced: ") for one in options)
        assert any("retrieval's own order" in one for one in options)
        page.select_option("#rerank", "none")
        _ask(page, TORQUE)
        assert "Nothing was reranked" in page.inner_text(".moved")


def test_a_filter_is_put_together(browser: Browser, server: Server) -> None:
    """The fields that there are, with their values, become a filter without its language being known."""
    with opened(browser, server.url) as page:
        page.locator(".more summary").click()
        page.select_option("[data-field]", "team")
        offered = page.evaluate(
            "[...document.querySelectorAll('#field-values option')].map((one) => one.value)"
        )
        assert offered == ["'blue'", "'red'"]
        page.fill("[data-value]", "red")
        page.get_by_role("button", name="Add").click()
        assert page.input_value("#where") == "team = 'red'"
        page.select_option("[data-field]", "source")
        page.select_option("[data-sign]", "contains")
        page.fill("[data-value]", "note")
        page.get_by_role("button", name="Add").click()
        assert page.input_value("#where") == "team = 'red' and source contains 'note'"
        _ask(page, "Which screw is old?")
        assert "Note" in page.inner_text(".result")


def test_what_is_put_together_means_what_was_chosen(browser: Browser, server: Server) -> None:
    """Words of the language are fields in backticks, an `or` keeps to itself, quotes stay within a value."""
    filters = []
    with opened(browser, server.url) as page:
        page.locator(".more summary").click()
        for before, field, sign, value, made in (
            ("team = 'red' or team = 'blue'", "`in`", "=", "'the owner\\'s'", "`in` = 'the owner\\'s'"),
            ("", "metadata.page", "contains", "'Note'", "metadata.page contains 'Note'"),
            ("", "`in`", "=", "the owner's", "`in` = 'the owner\\'s'"),
            ("", "`in`", "contains", "\\", "`in` contains '\\\\'"),
            ("", "`in`", "=", "'a' or 'b'", "`in` = '\\'a\\' or \\'b\\''"),
        ):
            page.fill("#where", before)
            page.select_option("[data-field]", field)
            page.select_option("[data-sign]", sign)
            page.fill("[data-value]", value)
            page.get_by_role("button", name="Add").click()
            filters.append(page.input_value("#where"))
            assert filters[-1] == (f"({before}) and {made}" if before else made)
    for where in filters:
        assert server.post("/v1/search", json={"question": "screw", "where": where}).status_code == 200
    found = server.post("/v1/search", json={"question": "screw", "where": filters[0]}).json()["candidates"]
    assert [one["source"].rpartition("/")[2] for one in found] == ["note 3.md"]


def test_on_a_phone_both_ends_of_the_chart_are_in_view(browser: Browser, server: Server) -> None:
    """Two columns fit, the titles stand below, a touch shows the passage, and nothing scrolls sideways."""
    with opened(browser, server.url, phone=True) as page:
        _ask(page, TORQUE)
        assert page.locator(".rank-chart-picture").is_hidden()
        box = page.locator(".rank-chart-narrow .place").first.bounding_box()
        assert box is not None
        assert 0 < box["x"] < 390
        assert page.locator(".rank-chart-titles li").count() == 5
        page.locator(".rank-chart-titles a").nth(2).tap()
        wanted = page.locator(".rank-chart-titles a").nth(2).inner_text()
        assert page.locator(".rank-chart-panel article:visible h2").inner_text() == wanted
        assert fits(page)


def test_the_keyboard_goes_through_the_final_places_in_order(browser: Browser, server: Server) -> None:
    """Tab visits the lines as they are ranked, not as they are painted."""
    with opened(browser, server.url) as page:
        _ask(page, TORQUE)
        page.locator(".rank-chart-picture .way[tabindex]").first.wait_for(state="attached")
        page.evaluate("document.querySelector('.below .button').focus()")
        page.keyboard.press("Tab")
        seen = []
        for _ in range(5):
            seen.append(page.evaluate("document.activeElement.querySelector('.place')?.textContent"))
            page.keyboard.press("Tab")
        assert seen == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(("language", "dark", "phone"), [("en-US", False, True), ("zh-CN", True, False)])
def test_nobody_is_kept_out(browser: Browser, server: Server, language: str, dark: bool, phone: bool) -> None:
    """axe-core finds nothing on a result, its document, the conversations, the reference and the forms."""
    with opened(browser, server.url, language=language, dark=dark, phone=phone, foreign_scripts=True) as page:
        page.locator(".more summary").click()
        page.wait_for_selector("[data-field]")
        assert shortcomings(page) == []
        _ask(page, TORQUE)
        page.locator(".source summary").first.click()
        assert shortcomings(page) == []
        page.locator(".source a").first.click()
        page.wait_for_selector(".chunk.wanted")
        assert shortcomings(page) == []
        for path in ("/threads", "/api", "/answers", "/compare"):
            page.goto(server.url + path)
            assert shortcomings(page) == []
            assert fits(page)


def test_a_result_moves_nothing_and_a_page_is_small(browser: Browser, server: Server) -> None:
    """After the result is there nothing shifts; a whole page with its parts is below 100 kB."""
    sizes: list[int] = []
    with opened(browser, server.url) as page:
        page.on("response", lambda reply: sizes.append(len(reply.body())))
        page.reload(wait_until="networkidle")
        _ask(page, TORQUE)
        address = page.url
        moved = page.evaluate(
            """() => new Promise((done) => {
                let sum = 0;
                new PerformanceObserver((list) => {
                    for (const one of list.getEntries()) if (!one.hadRecentInput) sum += one.value;
                }).observe({ type: "layout-shift" });
                setTimeout(() => done(sum), 400);
            })"""
        )
        assert moved == 0
        sizes.clear()
        page.goto(address, wait_until="networkidle")
        assert 0 < sum(sizes) < 100_000


def test_the_reference_is_this_servers_own(browser: Browser, server: Server) -> None:
    """Every operation of the OpenAPI document is on the page, which loads nothing from elsewhere."""
    with opened(browser, server.url, "/") as page:
        page.get_by_role("link", name="API reference").click()
        shown = page.inner_text(".api")
        for path in server.get("/openapi.json").json()["paths"]:
            assert path in shown


def test_without_scripts_a_follow_up_keeps_the_conversation(browser: Browser, server: Server) -> None:
    """The forms alone do it: ask, follow up, see both, and open the source."""
    with opened(browser, server.url, scripts=False) as page:
        page.fill("#question", TORQUE)
        page.locator(".ask [data-send]").click()
        page.fill("#follow-question", "And of M4?")
        page.locator(".follow [data-send]").click()
        assert TORQUE in page.inner_text(".thread")
        page.locator(".source summary").first.click()
        page.locator(".source a").first.click()
        assert page.locator(".chunk.wanted").count() == 1
