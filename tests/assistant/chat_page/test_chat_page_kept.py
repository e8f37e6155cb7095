"""The chat page in a real browser: what somebody has typed, sent or begun is not lost by what comes next."""

from typing import Any

import pytest

from feedback.store import Store
from tests.assistant.chat_page.ground import answered, ask, chats
from tests.scripted import long_conversation

pytestmark = pytest.mark.browser


def test_a_reply_that_begins_when_one_has_gone_elsewhere_is_found_where_it_was_asked_for(page: Any) -> None:
    chats(page, "Tell me of tea", "Tell me of volcanoes")
    late: list[Any] = []

    def hold(route: Any) -> None:
        late.append(route)

    page.route("**/api/conversations/*/messages", hold)
    page.get_by_test_id("composer").fill("How hot are they?")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[data-testid=send]').disabled")
    page.get_by_test_id("conversation").get_by_text("tea").click()
    page.get_by_test_id("question-text").get_by_text("tea").wait_for()
    with page.expect_response("**/api/conversations?*"):
        late[0].continue_()
    page.wait_for_function("!document.querySelector('[data-testid=send]').disabled")
    assert page.get_by_test_id("question-text").all_inner_texts() == ["Tell me of tea"]
    page.get_by_test_id("conversation").get_by_text("volcanoes").click()
    page.get_by_test_id("question-text").get_by_text("How hot are they?").wait_for()
    answered(page)
    assert page.get_by_test_id("composer").input_value() == ""


def test_earlier_messages_that_do_not_come_are_not_asked_for_without_end(
    page: Any, address: str, store: Store
) -> None:
    page.goto(f"{address}/#{long_conversation(store, 60)}")
    page.reload()
    page.get_by_text("Answer 59.").wait_for()
    asked: list[str] = []

    def fail(route: Any) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route("**/api/conversations/*before=*", fail)
    page.locator(".hc-scroll").evaluate("box => { box.scrollTop = 0; }")
    page.get_by_text("The server does not answer.").first.wait_for()
    page.wait_for_timeout(500)
    assert len(asked) == 1
    page.unroute("**/api/conversations/*before=*")
    page.get_by_test_id("earlier").click()
    page.get_by_test_id("question-text").get_by_text("Question 10?", exact=True).wait_for()


def test_a_better_answer_half_written_is_there_again_when_its_panel_is_opened(page: Any) -> None:
    ask(page)
    answered(page)
    page.get_by_test_id("demonstrate").click()
    page.get_by_test_id("better-field").fill("It scatters blue light most")
    page.get_by_test_id("thumbs-down").click()
    page.get_by_test_id("rating-reason").fill("too sh")
    page.get_by_test_id("demonstrate").click()
    assert page.get_by_test_id("better-field").input_value() == "It scatters blue light most"
    page.get_by_test_id("demonstrate").click()
    page.get_by_test_id("better-panel").wait_for(state="detached")
    page.get_by_test_id("demonstrate").click()
    page.get_by_test_id("better-field").press("End")
    page.keyboard.type(".")
    page.get_by_test_id("better-save").click()
    page.get_by_test_id("better-panel").wait_for(state="detached")
    page.get_by_test_id("demonstrate").click()
    assert page.get_by_test_id("better-field").input_value() == "It scatters blue light most."


def test_a_setting_that_is_emptied_is_the_usual_one_again(page: Any) -> None:
    page.get_by_test_id("settings").click()
    numbers = page.locator("#hone-settings input[type=number]")
    for place, value in ((0, "1.5"), (2, "64")):
        numbers.nth(place).fill(value)
        page.keyboard.press("Tab")
        page.wait_for_function(f"Object.values(window.honeSettings.kept()).includes({value})")
        numbers.nth(place).fill("")
        page.keyboard.press("Tab")
    page.wait_for_function(
        "window.honeSettings.kept().temperature === 0.7 && window.honeSettings.kept().max_tokens === 512"
    )
    assert [numbers.nth(place).input_value() for place in (0, 2)] == ["0.7", "512"]


def test_what_one_edits_is_shown_whole_beside_open_settings(page: Any) -> None:
    ask(page)
    answered(page)
    page.get_by_test_id("settings").click()
    page.get_by_test_id("edit").click()
    field, message = (
        page.locator(place).bounding_box() for place in ("[data-testid=edit-field]", ".hc-message.user")
    )
    assert field["x"] >= message["x"]
