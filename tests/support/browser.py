"""A real Chromium without a window, for tests of the pages; skipped, with the reason, where there is none.

    @pytest.fixture(scope="module")
    def browser() -> Iterator[Browser]:
        with chromium() as running:
            yield running

    with opened(browser, server.url, "/answers", dark=True, phone=True, language="zh-CN") as page:
        page.get_by_role("button", name="…").click()

Leaving `opened` asserts that the page logged no error, broke no rule of its policy and asked nobody but its
own server. Problems that a test provokes are named in `expecting`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = (1280, 900), (390, 844)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The distribution's Chromium, driven by Playwright."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("NO BROWSER TEST WAS RUN: there is no Chromium (apt-get install chromium fonts-noto-cjk)")
    playwright = pytest.importorskip(
        "playwright.sync_api",
        reason="NO BROWSER TEST WAS RUN: Playwright is missing (pip install playwright)",
    )
    # a container's root has no user namespace to build the sandbox from
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=sandbox)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser,
    url: str,
    path: str = "/",
    *,
    language: str = "en-US",
    dark: bool = False,
    phone: bool = False,
    scripts: bool = True,
    foreign_scripts: bool = False,
    expecting: tuple[str, ...] = (),
) -> Iterator[Page]:
    """A page of a server in a context of its own; see above for what is asserted at its end."""
    width, height = PHONE if phone else DESKTOP
    context = browser.new_context(
        locale=language,
        color_scheme="dark" if dark else "light",
        viewport={"width": width, "height": height},
        has_touch=phone,
        java_script_enabled=scripts,
        bypass_csp=foreign_scripts,  # axe-core is run in the page
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((url, "data:")) else complaints.append(asked.url),
    )
    try:
        page.goto(url + path)
        yield page
    finally:
        context.close()
    assert not [one for one in complaints if not any(word in one for word in expecting)]


def fits(page: Page) -> bool:
    """Return True if nothing makes the page wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def unharmed(page: Page) -> bool:
    """Return True if no text of a document was executed: `HOSTILE` would have set a variable."""
    return bool(page.evaluate("window.hacked === undefined && document.title !== 'hacked'"))


# Text of a document that tries to be more than text: on a page, in an attribute or in a script.
HOSTILE = (
    '<script>window.hacked=1</script><img src=x onerror="window.hacked=1"></script></textarea></title>'
    '<svg onload=window.hacked=1> " onmouseover="window.hacked=1" x=\' {{7*7}} ${7*7} '
    "javascript:window.hacked=1 <style>*{display:none}</style> \u202egnp.exe\u202c &lt;b&gt;"
)


def shortcomings(page: Page) -> list[str]:
    """What axe-core finds that keeps people out, as rule and element; the context must allow its script.

    Skips the test, with the reason, where axe-core is not installed.
    """
    axe = pytest.importorskip(
        "axe_playwright_python",
        reason="NO ACCESSIBILITY TEST WAS RUN: axe-core is missing (pip install axe-playwright-python)",
    )
    script = next(Path(axe.__file__).parent.rglob("axe.min.js"))
    page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{one['id']}: {node['target']}" for one in found["violations"] for node in one["nodes"]]
