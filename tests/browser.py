"""A real headless browser for tests; without one they skip and say what to install.

One browser is started for all tests; each page has a profile of its own in it, so that nothing is shared.
While it is open an event loop runs in the main thread (playwright's): `asyncio.run` works in others only.
"""

import atexit
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest

ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
MISSING = (
    "needs a browser: run `playwright install chromium`, or install chromium with your system's packages"
)


@contextmanager
def page(width: int = 1280, height: int = 800, dark: bool = False, touch: bool = False) -> Iterator[Any]:
    """A page of playwright's synchronous API. An uncaught error in the page fails the test at the end."""
    errors: list[str] = []
    profile = _browser().new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        has_touch=touch,
        is_mobile=touch,
    )
    try:
        opened = profile.new_page()
        opened.on("pageerror", lambda error: errors.append(str(error)))
        yield opened
    finally:
        profile.close()
    assert not errors, errors


def drawing(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a Gradio page's config: the handlers that a browser runs when it opens the page, at the load and at
    the change of a state.
    """
    states = {part["id"] for part in config["components"] if part["type"] == "state"}
    return [
        handler
        for handler in config["dependencies"]
        if any(event == "load" or (event == "change" and of in states) for of, event in handler["targets"])
    ]


@cache
def _browser() -> Any:
    """The browser, started when the first test wants it and closed with the tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason=MISSING)
    driver = playwright.sync_playwright().start()
    own = driver.chromium.executable_path
    found = own if os.path.exists(own) else shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        driver.stop()
        # CI installs one, so that there a missing browser is a failure and not a skip.
        (pytest.fail if os.environ.get("HONE_REQUIRE_BROWSER") else pytest.skip)(MISSING)
    browser = driver.chromium.launch(executable_path=found, args=ARGS)
    atexit.register(driver.stop)
    atexit.register(browser.close)  # first: what is registered last goes first
    return browser
