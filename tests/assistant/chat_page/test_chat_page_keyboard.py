"""The chat page by keyboard alone, and on a narrow screen that is touched."""

from typing import Any

import pytest

from tests import browser
from tests.assistant.chat_page.ground import answered, ask
from tests.scripted import ScriptedEngine

pytestmark = pytest.mark.browser


def focused(page: Any) -> str:
    """The test id of what has the focus; empty where nothing has."""
    return str(page.evaluate("document.activeElement.dataset.testid ?? ''"))


def press(page: Any, testid: str, key: str = "Enter") -> None:
    page.get_by_test_id(testid).last.focus()
    page.keyboard.press(key)


def test_by_keyboard_alone_the_focus_stays_with_what_one_does(page: Any, engine: ScriptedEngine) -> None:
    engine.hold()
    ask(page)
    page.get_by_test_id("reply-text").get_by_text("The").wait_for()
    page.keyboard.press("Tab")
    assert focused(page) == "stop"
    page.keyboard.press("Enter")
    page.get_by_test_id("stopped").wait_for()
    assert focused(page) == "composer"
    engine.go_on()
    press(page, "retry")
    page.get_by_test_id("branch-position").get_by_text("2/2").wait_for()
    page.get_by_test_id("news").get_by_text("The reply is written.").wait_for()
    assert focused(page) == "composer"
    for opener, panel in (
        ("thumbs-up", "rating-panel"),
        ("demonstrate", "better-panel"),
        ("details", "details-panel"),
    ):
        press(page, opener)
        page.get_by_test_id(panel).locator(":focus").wait_for()
        page.keyboard.press("Escape")
        page.get_by_test_id(panel).wait_for(state="detached")
        assert focused(page) == opener
    press(page, "demonstrate")
    page.keyboard.type("Better: ")
    page.keyboard.press("Escape")
    assert page.get_by_test_id("better-panel").count() == 1, "what one has typed is not thrown away"
    press(page, "better-close")
    press(page, "branch-previous")
    page.get_by_test_id("branch-position").get_by_text("1/2").wait_for()
    assert focused(page) == "branch-next"  # its neighbour is at rest
    page.keyboard.press("Enter")
    page.get_by_test_id("branch-position").get_by_text("2/2").wait_for()
    assert focused(page) == "branch-previous"
    answered(page)
    press(page, "compare")
    page.get_by_test_id("compare-panel").get_by_text("Who wrote which is told after your vote.").wait_for()
    assert focused(page) == "compare-panel"
    page.keyboard.press("Escape")
    page.get_by_test_id("compare-panel").wait_for(state="detached")
    assert focused(page) == "compare"
    press(page, "edit")
    page.keyboard.press("Escape")
    assert focused(page) == "edit"


def test_settings_and_the_list_keep_the_focus_too(page: Any) -> None:
    ask(page, "Tell me of tea")
    answered(page)
    press(page, "settings")
    page.keyboard.press("Tab")
    page.locator("#hone-strategy input:focus").wait_for()
    page.get_by_role("listbox").wait_for()
    page.keyboard.press("Tab")
    page.wait_for_timeout(400)
    assert page.get_by_role("listbox").count() == 0
    page.keyboard.press("Shift+Tab")
    page.get_by_role("listbox").wait_for()
    page.keyboard.press("Escape")  # the list of strategies
    page.locator("#hone-strategy input[aria-expanded=false]").wait_for()
    page.keyboard.press("Escape")
    page.locator("#hone-settings").wait_for(state="hidden")
    assert focused(page) == "settings"
    press(page, "rename")
    page.keyboard.type("Green tea")
    page.evaluate("window.hone.sidebar.refresh()")  # as when a reply ends meanwhile
    page.keyboard.press("Enter")
    page.locator(".hc-title:focus").get_by_text("Green tea", exact=True).wait_for()
    press(page, "delete")
    page.get_by_role("dialog", name='Delete "Green tea"').wait_for()
    page.keyboard.press("Escape")
    assert focused(page) == "delete"


WIDE = f"""A word: {"Donaudampfschifffahrt" * 4}, `{"code_" * 20}`.

```
{"a long line of code " * 8}
```

| colour | how it looks | where it is told |
|---|---|---|
| blue | {"like the sky " * 4} | https://example.org/{"path/" * 20} |
"""


def test_on_a_narrow_screen_nothing_sticks_out_and_the_list_is_a_drawer(
    address: str, engine: ScriptedEngine
) -> None:
    engine.says = WIDE
    with browser.page(width=320, height=640, touch=True) as page:
        page.goto(address)
        page.get_by_test_id("composer").wait_for()
        ask(page, "W" * 200)
        answered(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        for one in ("nav-operate", "settings", "send", "details"):
            box = page.get_by_test_id(one).bounding_box()
            assert box["x"] + box["width"] <= 320, one
            assert box["height"] >= 36, one
        lines = page.locator(".md-table td").first.evaluate("cell => cell.getClientRects().length")
        assert (lines, page.locator(".md-table td").first.bounding_box()["width"] > 40) == (1, True)
        copy = page.locator(".copy-code")
        before = copy.bounding_box()
        assert page.locator("pre > code").evaluate(
            "code => { code.scrollLeft = 100; return code.scrollLeft; }"
        )
        assert copy.bounding_box() == before
        press(page, "open-sidebar")
        assert focused(page) == "new-chat"
        assert page.locator("#hone-chat-box").evaluate("box => box.inert")
        page.keyboard.press("Escape")
        assert focused(page) == "open-sidebar"
        assert not page.locator("#hone-chat-box").evaluate("box => box.inert")
