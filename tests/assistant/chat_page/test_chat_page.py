"""The chat page in a real browser, with a model that says what the test wants."""

import re
from typing import Any

import pytest

from feedback.store import Store
from prompts import library
from tests.assistant.chat_page.ground import answered, ask, chats
from tests.scripted import ScriptedEngine, long_conversation

pytestmark = pytest.mark.browser

ANSWER = "Answer **{}**.\n\n- one\n- two"


def test_a_reply_is_written_before_ones_eyes_and_a_reload_picks_it_up(
    page: Any, engine: ScriptedEngine
) -> None:
    engine.hold()
    ask(page)
    page.get_by_test_id("reply-text").get_by_text("The").wait_for()
    page.reload()
    page.get_by_test_id("reply-text").get_by_text("The").wait_for()
    page.get_by_test_id("stop").wait_for()
    page.get_by_test_id("composer").fill("too early")
    page.keyboard.press("Enter")
    page.get_by_test_id("toast").get_by_text("still being written").wait_for()
    assert page.get_by_test_id("composer").input_value() == "too early"
    engine.go_on()
    answered(page)
    assert page.get_by_test_id("reply-text").locator("strong").inner_text() == "sky"


def test_a_stop_keeps_the_partial_reply_and_retry_adds_a_branch(page: Any, engine: ScriptedEngine) -> None:
    engine.hold()
    ask(page)
    page.get_by_test_id("reply-text").get_by_text("The").wait_for()
    page.get_by_test_id("stop").click()
    page.get_by_test_id("stopped").wait_for()
    engine.go_on()
    page.get_by_test_id("retry").click()
    page.get_by_test_id("branch-position").get_by_text("2/2").wait_for()
    answered(page)
    page.get_by_test_id("branch-previous").click()
    page.get_by_test_id("stopped").wait_for()


def test_a_failed_reply_says_so_in_a_sentence(page: Any) -> None:
    ask(page, "BREAK <img src=x onerror=alert(1)>")
    page.get_by_test_id("failed").get_by_text("The model broke off").wait_for()
    assert page.locator("#hone-chat img").count() == 0


def test_a_server_out_of_reach_is_told_of_and_the_page_goes_on_when_it_is_back(
    page: Any, engine: ScriptedEngine
) -> None:
    engine.hold()  # a reply that is written already needs no stream
    stream = re.compile("/events")
    page.route(stream, lambda route: route.abort())
    ask(page)
    page.get_by_test_id("lost").get_by_text("does not answer").wait_for()
    page.unroute(stream)
    engine.go_on()
    answered(page)
    assert page.get_by_test_id("lost").count() == 0
    assert "scatters" in page.get_by_test_id("reply-text").inner_text()


def test_a_comparison_tells_of_a_server_out_of_reach_too(page: Any, engine: ScriptedEngine) -> None:
    ask(page)
    answered(page)
    engine.hold()
    stream = re.compile("/events")
    page.route(stream, lambda route: route.abort())
    page.get_by_test_id("compare").click()
    panel = page.get_by_test_id("compare-panel")
    lost = panel.get_by_text("The server does not answer")
    lost.wait_for()
    page.unroute(stream)
    engine.go_on()
    panel.locator("button.choice:not([disabled])").first.wait_for()
    assert lost.count() == 0


def test_two_replies_are_compared_blind_and_voted_on_by_key(page: Any) -> None:
    ask(page)
    answered(page)
    page.get_by_test_id("compare").click()
    panel = page.get_by_test_id("compare-panel")
    panel.get_by_text("Who wrote which is told after your vote.").wait_for()
    assert panel.get_by_test_id("record-version").count() == 0
    page.keyboard.press("3")
    panel.get_by_text("Your vote: Tie").wait_for()
    assert panel.get_by_test_id("record-version").count() == 2
    page.get_by_test_id("compare-withdraw").click()
    panel.get_by_text("Who wrote which is told after your vote.").wait_for()
    page.keyboard.press("1")
    panel.get_by_text("Your vote: Left").wait_for()
    page.get_by_test_id("compare-close").click()
    page.get_by_test_id("branch-position").get_by_text(re.compile("/2")).wait_for()


def test_a_thumb_with_a_reason_and_a_better_answer_are_kept(page: Any) -> None:
    ask(page)
    answered(page)
    page.get_by_test_id("thumbs-down").click()
    page.get_by_test_id("rating-reason").fill("too short")
    page.get_by_test_id("rating-save").click()
    page.get_by_test_id("rating-panel").wait_for(state="detached")
    page.get_by_test_id("demonstrate").click()
    page.get_by_test_id("better-field").fill("It scatters blue light most.")
    page.get_by_test_id("better-save").click()
    page.get_by_test_id("better-panel").wait_for(state="detached")
    page.reload()
    answered(page)
    assert page.get_by_test_id("thumbs-down").get_attribute("aria-pressed") == "true"
    assert page.get_by_test_id("demonstrate").get_attribute("aria-pressed") == "true"


def test_the_details_show_the_exact_prompt_and_the_chosen_settings(page: Any, engine: ScriptedEngine) -> None:
    page.get_by_test_id("settings").click()
    page.locator("#hone-strategy input").click()
    page.get_by_role("option", name="Few-shot", exact=True).click()
    page.locator("#hone-settings label input[type=number]").last.fill("42")
    page.keyboard.press("Tab")
    page.get_by_test_id("settings").click()
    ask(page)
    answered(page)
    page.get_by_test_id("details").click()
    assert page.get_by_test_id("record-strategy").inner_text() == "few-shot"
    assert page.get_by_test_id("record-seed").inner_text() == "42"
    page.get_by_test_id("show-exact-prompt").click()
    assert page.get_by_test_id("exact-prompt").text_content() == engine.requests[-1].prompt


def test_conversations_are_listed_searched_renamed_and_deleted(page: Any) -> None:
    chats(page, "Tell me of volcanoes", "Tell me of tea")
    rows = page.get_by_test_id("conversation")
    page.get_by_test_id("search").fill("volcan")
    rows.get_by_text("tea").wait_for(state="detached")
    rows.first.hover()
    page.get_by_test_id("rename").click()
    page.get_by_test_id("rename-field").fill("Fire")
    page.keyboard.press("Enter")
    rows.get_by_text("Fire").wait_for()
    rows.first.hover()
    page.get_by_test_id("delete").click()
    page.get_by_test_id("confirm-yes").click()
    rows.get_by_text("Fire").wait_for(state="detached")


def test_a_list_that_comes_late_does_not_take_the_place_of_a_newer_one(page: Any) -> None:
    late: list[Any] = []

    def hold_the_first(route: Any) -> None:
        if late:
            route.continue_()
        else:
            late.extend((route, route.fetch()))

    page.get_by_text("Your conversations will be listed here.").wait_for()
    page.route("**/api/conversations?*", hold_the_first)
    page.evaluate("() => { window.hone.sidebar.refresh(); }")
    ask(page, "Tell me of tea")
    answered(page)
    page.get_by_test_id("conversation").get_by_text("tea").wait_for()
    with page.expect_response("**/api/conversations?*"):
        late[0].fulfill(response=late[1])
    page.wait_for_timeout(300)
    assert page.get_by_test_id("conversation").count() == 1


def test_an_edit_asks_again_beside_the_old_question(page: Any) -> None:
    ask(page)
    answered(page)
    page.get_by_test_id("edit").click()
    page.get_by_test_id("edit-field").fill("Why is it red?")
    page.keyboard.press("Enter")
    page.get_by_test_id("question-text").get_by_text("Why is it red?").wait_for()
    answered(page)
    page.get_by_test_id("branch-previous").first.click()
    page.get_by_test_id("question-text").get_by_text("Why is the sky blue?").wait_for()


def test_a_long_conversation_opens_at_its_end_and_earlier_messages_come_by_scrolling(
    page: Any, address: str, store: Store
) -> None:
    page.goto(f"{address}/#{long_conversation(store, 200, ANSWER)}")
    page.reload()
    page.get_by_text("Answer 199.").wait_for()
    messages = page.get_by_test_id("message")
    assert messages.count() < 100
    for _ in range(40):
        page.locator(".hc-scroll").evaluate("box => { box.scrollTop = 0; }")
        if page.get_by_test_id("question-text").get_by_text("Question 0?", exact=True).count():
            break
        page.wait_for_timeout(100)
    assert messages.count() == 400
    assert [one.split("?")[0] for one in page.get_by_test_id("question-text").all_text_contents()] == [
        f"Question {number}" for number in range(200)
    ]
    page.get_by_test_id("earlier").wait_for(state="hidden")


def test_a_message_in_sight_stays_where_it_is_when_earlier_ones_come(
    page: Any, address: str, store: Store
) -> None:
    page.goto(f"{address}/#{long_conversation(store, 100, ANSWER)}")
    page.reload()
    page.get_by_text("Answer 99.").wait_for()
    moved = page.locator(".hc-scroll").evaluate(
        """async (box) => {
          const wait = (ms) => new Promise((done) => setTimeout(done, ms));
          const all = () => [...document.querySelectorAll("[data-testid=message]")];
          await wait(200);
          box.scrollTop -= 1500;
          await wait(300);
          const before = all().length;
          const mark = all().find((one) => one.getBoundingClientRect().top > 100);
          const top = mark.getBoundingClientRect().top;
          await window.hone.thread.loadEarlier();
          await wait(300);
          return [mark.getBoundingClientRect().top - top, all().length - before];
        }"""
    )
    assert moved[1] == 60
    assert abs(moved[0]) < 4


def test_while_a_reply_grows_no_other_message_is_touched(
    page: Any, address: str, store: Store, engine: ScriptedEngine
) -> None:
    page.goto(f"{address}/#{long_conversation(store, 100, ANSWER)}")
    page.reload()
    page.get_by_text("Answer 99.").wait_for()
    asked: list[str] = []
    engine.hold()
    ask(page, "Go on")
    page.get_by_test_id("reply-text").last.get_by_text("The").wait_for()
    page.evaluate(
        """() => {
          window.touched = new Set();
          const last = [...document.querySelectorAll("[data-testid=message]")].at(-1);
          const all = { subtree: true, childList: true, attributes: true, characterData: true };
          new MutationObserver((seen) => seen.forEach(({ target }) => {
            if (!last.contains(target)) window.touched.add(target.className || target.nodeName);
          })).observe(document.querySelector("[data-testid=thread]"), all);
        }"""
    )
    page.on("request", lambda one: asked.append(one.url))
    engine.go_on()
    page.get_by_test_id("thumbs-up").nth(30).wait_for()
    page.locator("[data-testid=message]").last.get_by_test_id("thumbs-up").wait_for()
    page.wait_for_timeout(300)
    assert page.evaluate("[...window.touched]") == []
    assert not [url for url in asked if re.search(r"/api/conversations/c_", url)], (
        "the thread is not read again"
    )


def test_a_reply_that_waits_says_how_many_are_before_it(page: Any, engine: ScriptedEngine) -> None:
    engine.hold()
    for number in range(engine.capacity + 2):
        page.get_by_test_id("new-chat").click()
        page.get_by_test_id("empty").wait_for()
        ask(page, f"Number {number}?")
        page.get_by_test_id("question-text").get_by_text(f"Number {number}?").wait_for()
    page.get_by_test_id("waiting").get_by_text("Busy: 2 replies are before yours").wait_for()
    engine.go_on()
    answered(page)


def choose(page: Any, strategy: str) -> None:
    page.get_by_test_id("settings").click()
    page.locator("#hone-strategy input").click()
    page.get_by_role("option", name=strategy, exact=True).click()
    page.get_by_test_id("settings").click()


def test_the_votes_of_self_consistency_are_shown_with_the_other_answers_folded(
    page: Any, engine: ScriptedEngine
) -> None:
    engine.says = "Thinking: so. Answer: SEED <b>"
    choose(page, "Self-consistency")
    ask(page)
    answered(page)
    votes = page.get_by_test_id("votes")
    assert votes.locator("summary").first.inner_text() == "1 of 9 agreed"
    assert votes.get_attribute("open") is None
    votes.locator("summary").first.click()
    assert page.get_by_test_id("other-answer").count() == 8
    page.reload()
    answered(page)
    assert page.get_by_test_id("votes").locator("summary").first.inner_text() == "1 of 9 agreed"


def test_each_step_says_what_became_of_it_and_the_examples_are_named(
    page: Any, engine: ScriptedEngine
) -> None:
    engine.says = "word " * 70
    choose(page, "Meta prompt")
    ask(page)
    answered(page)
    summary = page.get_by_test_id("step").first.locator("summary")
    assert "A prompt for this request (asked again 2 times; its text has 70 words" in summary.inner_text()


def test_the_prompt_that_meta_prompting_wrote_is_kept_as_a_draft(
    page: Any, engine: ScriptedEngine, store: Store
) -> None:
    engine.says = "Explain in three short steps how light is scattered."
    choose(page, "Meta prompt")
    ask(page)
    answered(page)
    assert page.get_by_test_id("keep-prompt").count() == 1  # under the step that writes a prompt, no other
    page.get_by_test_id("step").nth(2).locator("summary").click()
    page.get_by_test_id("keep-prompt").click()
    assert page.get_by_test_id("keep-name").input_value() == "explain-in-three"
    page.get_by_test_id("keep-name").fill("three-steps")
    page.get_by_test_id("keep-save").click()
    page.get_by_text("three-steps is kept as a draft.").wait_for()
    draft = library.find(store, "three-steps@draft")
    assert "three-steps" not in library.names(store)  # nobody is answered by it yet
    (message,) = draft.strategy.steps[0].messages("Why?")
    assert message.content == f"Why?\n\n{engine.says}"
