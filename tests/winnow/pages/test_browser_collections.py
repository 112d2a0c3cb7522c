"""Collections, uploads, deletion and login in a real browser, with scripts and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import HOSTILE, chromium, fits, opened, unharmed
from tests.support.serving import DOCUMENTS, Server, ingested, serving
from winnow import Settings
from winnow.server.tokens import TokenBook

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

KIWIS = "# Kiwis 奇异果\n\nKiwis are rich in vitamin C.\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server over three documents that takes small uploads."""
    data = ingested(tmp_path_factory.mktemp("browsed 浏览"))
    with serving(Settings.load(data_dir=data, server={"upload_bytes": 100_000})) as running:
        yield running


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for tokens."""
    data = ingested(tmp_path_factory.mktemp("browsed login"))
    with serving(Settings.load(data_dir=data, server={"host": "0.0.0.0"})) as running:
        yield running


def _drop(page: Page, **files: str) -> None:
    """Drop files (name → text) on the page, with the events of a real drag."""
    held = page.evaluate_handle(
        """files => { const held = new DataTransfer();
        for (const [name, text] of Object.entries(files)) held.items.add(new File([text], name));
        return held; }""",
        files,
    )
    for kind in ("dragover", "drop"):
        page.dispatch_event(".drop", kind, {"dataTransfer": held})


def _names(page: Page) -> list[str]:
    return page.locator("table.docs th[scope=row] > a").all_inner_texts()


@pytest.mark.parametrize(
    ("dark", "phone", "language"), [(False, False, "en-US"), (True, True, "zh-CN")], ids=["desk", "phone"]
)
def test_dropped_files_are_uploaded_and_watched(
    browser: Browser, server: Server, dark: bool, phone: bool, language: str
) -> None:
    """Dropped files go into a new collection, each with its result, and are listed afterwards."""
    name = "新的" if phone else "dropped"
    with opened(browser, server.url, "/collections", dark=dark, phone=phone, language=language) as page:
        page.fill("#into", name)
        _drop(page, **{"kiwis.md": KIWIS, f"{HOSTILE[:90]}.md": HOSTILE, "bad.pdf": "no PDF"})
        assert page.locator(".chosen li").count() == 3
        page.click("form.upload button.main")
        page.wait_for_selector("[data-ended]")
        said = page.locator(".job .results").inner_text()
        assert "kiwis.md" in said
        assert ("后缀是 PDF" if phone else "its suffix says PDF") in said
        page.locator(f".collections a[href='/collections/{_quoted(name)}']").first.wait_for()
        assert fits(page)
        assert unharmed(page)
        page.goto(f"{server.url}/collections/{_quoted(name)}")
        assert "Kiwis 奇异果" in _names(page)
        assert fits(page)
        for path in ("/settings", "/collections"):
            page.goto(server.url + path)
            assert fits(page)
        assert unharmed(page)


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name)


def test_a_collections_own_page_shows_what_came(browser: Browser, server: Server) -> None:
    """The list of documents is updated when the job ends, without a reload."""
    with opened(browser, server.url, "/collections/default") as page:
        assert len(_names(page)) == len(DOCUMENTS)
        page.set_input_files(
            "input[type=file]", {"name": "kiwis.md", "mimeType": "text/markdown", "buffer": KIWIS.encode()}
        )
        page.click("form.upload button.main")
        page.get_by_role("link", name="Kiwis 奇异果").wait_for()
        assert len(_names(page)) == len(DOCUMENTS) + 1


def test_limits_are_shown_before_they_are_hit(browser: Browser, server: Server) -> None:
    """An upload that would be refused is not sent, and files that may be refused are marked."""
    with opened(browser, server.url, "/collections") as page:
        button, problem = page.locator("form.upload button.main"), page.locator("form.upload .problem")
        _drop(page, **{"large.txt": "x" * 60_000})
        assert button.is_enabled()
        _drop(page, **{"larger.txt": "x" * 60_000})
        assert "More than 97.7 KB" in problem.inner_text()
        assert button.is_disabled()
        page.locator(".chosen button").first.click()
        assert button.is_enabled()
        _drop(page, **{"larger.txt": "again", "program.exe": "MZ", "empty.md": ""})
        assert "same name: larger.txt" in problem.inner_text()
        listed = page.locator(".chosen").inner_text()
        assert "unsupported format" in listed
        assert "empty" in listed


def test_uploading_and_deleting_work_without_scripts(browser: Browser, server: Server) -> None:
    """Without scripts uploads refresh their job's page, and deletions ask for confirmation."""
    with opened(browser, server.url, "/collections", scripts=False) as page:
        page.fill("#into", "plain")
        page.set_input_files(
            "input[type=file]", {"name": "kiwis.md", "mimeType": "text/markdown", "buffer": KIWIS.encode()}
        )
        page.click("form.upload button.main")
        page.wait_for_selector("[data-ended]")
        page.get_by_role("link", name="kiwis.md").click()
        page.get_by_text("Kiwis are rich in vitamin C.").wait_for()
        page.get_by_role("link", name="Delete…").click()
        page.get_by_text("cannot be undone").wait_for()
        page.get_by_role("button", name="Delete").click()
        page.get_by_text("The document was deleted.").wait_for()
        assert _names(page) == []


def test_a_login_opens_every_page_until_the_logout(browser: Browser, public: Server) -> None:
    """A login leads back to the requested page, and its cookie allows uploads and deletions."""
    _, text = TokenBook(public.pipeline.settings.tokens_file).create("a browser", "full")
    with opened(browser, public.url, "/collections/default?text=fruit", expecting=("401",)) as page:
        assert page.locator("#token").is_visible()
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.get_by_text("Unknown token").wait_for()
        page.fill("#token", text)
        page.keyboard.press("Enter")
        page.wait_for_url("**/collections/default?text=fruit")
        assert _names(page) == ["fruit"]
        _drop(page, **{"kiwis.md": KIWIS})
        page.click("form.upload button.main")
        page.wait_for_selector("[data-ended]")
        page.goto(f"{public.url}/collections/default?text=kiwis")
        page.get_by_role("link", name="Kiwis 奇异果").click()
        page.get_by_role("link", name="Delete…").click()
        page.get_by_role("button", name="Delete").click()
        page.get_by_text("The document was deleted.").wait_for()
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.goto(f"{public.url}/settings")
        assert page.url.startswith(f"{public.url}/login")
        assert page.evaluate("document.cookie") == ""


def test_a_read_only_login_is_offered_no_change(browser: Browser, public: Server) -> None:
    """A read-only login can look and ask, and is offered no change."""
    _, text = TokenBook(public.pipeline.settings.tokens_file).create("a reader", "read")
    with opened(browser, public.url, "/collections", phone=True) as page:
        page.fill("#token", text)
        page.keyboard.press("Enter")
        page.locator(".collection").first.wait_for()
        assert page.locator("input[type=file]").count() == 0
        assert page.get_by_text("read-only").is_visible()
        assert fits(page)
