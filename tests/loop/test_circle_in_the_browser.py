"""The whole circle in a real browser, with the real server and model.

Chat, stop, compare; then rank, train, promote, chat with the new one, and go back.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.base import Base
from tests import browser
from tests.served import served

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.slow]

RUN_S, REPLY_S = 600, 120
PROMPTS = [f"Name {count} things that you find in a {place}." for count in ("two", "three") for place in (
    "kitchen", "garden", "school", "ship", "forest", "library"
)]  # fmt: skip


@pytest.fixture
def address(real_base: Base, tmp_path: Path) -> Iterator[str]:
    """The server on an empty home, answering with the real model."""
    with served(real_base, tmp_path) as server:
        yield server.address


def test_a_reply_is_streamed_stopped_written_again_compared_and_voted_on(address: str) -> None:
    with browser.page() as page:
        page.set_default_timeout(REPLY_S * 1000)
        page.goto(address)
        page.get_by_test_id("composer").fill("Write a long story about a lighthouse keeper.")
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('[data-testid=reply-text]')?.innerText.length > 20")
        page.get_by_test_id("stop").click()
        page.get_by_test_id("stopped").wait_for()
        partial = page.get_by_test_id("reply-text").inner_text()
        assert len(partial) > 20
        page.get_by_test_id("composer").fill("Say hello in one short sentence.")
        page.keyboard.press("Enter")
        page.get_by_test_id("thumbs-up").nth(1).wait_for()
        page.get_by_test_id("regenerate").last.click()
        page.get_by_test_id("branch-position").get_by_text("2/2").wait_for()
        page.get_by_test_id("thumbs-up").nth(1).wait_for()
        page.get_by_test_id("compare").last.click()
        panel = page.get_by_test_id("compare-panel")
        panel.get_by_text("Who wrote which is told after your vote.").wait_for()
        page.get_by_test_id("compare-left").click()
        panel.get_by_text("Your vote: Left").wait_for()
        assert panel.get_by_test_id("record-version").count() == 2
        page.reload()
        page.get_by_test_id("thumbs-up").first.wait_for()
        stopped = page.get_by_test_id("reply-text").first
        stopped.scroll_into_view_if_needed()  # what lies out of sight is not drawn, and has no inner text
        assert stopped.inner_text() == partial


def test_votes_on_the_label_page_become_a_model_that_answers_and_can_be_taken_back(address: str) -> None:
    with browser.page() as page:
        page.set_default_timeout(REPLY_S * 1000)
        page.goto(f"{address}/operate")
        first = page.inner_text("[data-testid=champion]")
        draw_tasks(page)
        rank_everything(page, address)
        train(page, address)
        made = promote(page)
        assert made != first
        assert champion_of_a_reply(page, address) == made
        roll_back(page, address)
        assert page.inner_text("[data-testid=champion]") == first
        assert champion_of_a_reply(page, address) == first


def draw_tasks(page: Any) -> None:
    """Have prompts of our own answered twice each."""
    page.get_by_role("tab", name="Data").click()
    page.get_by_label("Pasted prompts").check()
    page.get_by_label("Prompts, one a line").fill("\n".join(PROMPTS))
    page.click("#op-draw")
    page.get_by_text(re.compile(r"\d+ label tasks queued\.")).wait_for(timeout=RUN_S * 1000)


def rank_everything(page: Any, address: str) -> None:
    """By key: the shorter reply is the better one, always."""
    page.goto(f"{address}/label")
    while not page.locator("[data-testid=empty]").is_visible():
        page.wait_for_selector("[data-testid=reply-2], [data-testid=empty]")
        if page.locator("[data-testid=empty]").is_visible():
            break
        before = page.inner_text("[data-testid=progress]")
        lengths = [len(page.inner_text(f"[data-testid=reply-{n}] .hone-md")) for n in (1, 2)]
        page.wait_for_timeout(350)  # keys are ignored for a moment after a task appears
        page.keyboard.press("1" if lengths[0] <= lengths[1] else "2")
        page.wait_for_function(
            "before => document.querySelector('[data-testid=progress]').innerText !== before", arg=before
        )


def train(page: Any, address: str) -> None:
    """Freeze, start a run of two steps, reload in the middle, and wait for its end."""
    page.goto(f"{address}/operate")
    page.get_by_role("tab", name="Data").click()
    page.click("#op-freeze:not([disabled])")
    page.wait_for_selector("[data-testid=snapshots]")
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Most steps (0: all)").fill("2")
    page.click("#op-start:not([disabled])")
    page.wait_for_selector("[data-testid=run-state]")
    page.reload()
    page.get_by_role("tab", name="Train").click()
    state = page.locator("[data-testid=run-state]")
    until = time.monotonic() + RUN_S
    while state.inner_text() not in ("done", "failed", "interrupted"):
        assert time.monotonic() < until, "the run did not end"
        page.wait_for_timeout(1000)
    assert state.inner_text() == "done"


def promote(page: Any) -> str:
    """Let the candidate answer, against the gate where need be; gives its name."""
    page.get_by_role("tab", name="Gate").click()
    verdict = page.inner_text("[data-testid=verdict]")
    page.click("#op-promote:not([disabled])")
    if verdict != "pass":
        page.get_by_label("Why? The audit log keeps it.").fill("Two steps only: to see the circle turn")
    page.get_by_role("button", name="Yes, promote it").click()
    page.get_by_text("is the champion. It answers").first.wait_for()
    page.get_by_role("tab", name="Now").click()
    page.wait_for_function("document.querySelector('[data-testid=champion]').innerText.startsWith('dpo')")
    return str(page.inner_text("[data-testid=champion]"))


def roll_back(page: Any, address: str) -> None:
    page.goto(f"{address}/operate")
    page.click("#op-roll-back:not([disabled])")
    page.get_by_role("button", name="Yes, roll back").click()
    page.get_by_text("answers again").first.wait_for()
    page.wait_for_function("!document.querySelector('[data-testid=champion]').innerText.startsWith('dpo')")


def champion_of_a_reply(page: Any, address: str) -> str:
    """Ask something on the chat page; the version that the reply's details name."""
    page.goto(address)
    page.get_by_test_id("composer").fill("Say hello.")
    page.keyboard.press("Enter")
    page.get_by_test_id("thumbs-up").last.wait_for()
    page.get_by_test_id("details").last.click()
    return str(page.get_by_test_id("record-version").last.inner_text())
