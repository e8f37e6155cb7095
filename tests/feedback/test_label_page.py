"""The label page, through HTTP as its script calls it, and in a real browser."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from feedback import label, look, votes
from feedback import page as label_page
from feedback.ids import LOCAL_USER, TaskId, UserId
from feedback.people import Role
from feedback.store import Store
from tests import browser, build
from tests.scripted import serving


@dataclass
class Somebody:
    """Who is at the page; tests change the roles."""

    id: UserId = LOCAL_USER
    name: str = "local"
    roles: frozenset[Role] = frozenset({"labeller"})


@dataclass
class Site:
    address: str
    store: Store
    somebody: Somebody
    board_id: int = field(default=0)

    def call(self, name: str, **data: Any) -> dict[str, Any]:
        """What the board's script gets when it calls a function of the page."""
        body = {"session_hash": "s", "component_id": self.board_id, "fn_name": name, "data": data}
        answer = httpx.post(f"{self.address}/label/gradio_api/component_server", json=body, timeout=20)
        assert answer.status_code == 200
        return dict(answer.json())

    def task(self, question: str, *replies: str) -> TaskId:
        asked = build.asked(self.store, question, *replies)
        return label.add_task(self.store, asked.prompt_id, asked.replies)

    def ranks(self) -> list[dict[str, int | None]]:
        """Each vote that counts, oldest first, as text of a reply -> rank."""
        found = []
        for vote in self.store.rows("SELECT id FROM votes WHERE withdrawn_at IS NULL ORDER BY rowid"):
            rows = self.store.rows(
                "SELECT m.content, r.rank FROM vote_replies r JOIN messages m ON m.id = r.reply_id"
                " WHERE r.vote_id = ?",
                vote["id"],
            )
            found.append({row["content"]: row["rank"] for row in rows})
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store, somebody, app = build.store(tmp_path), Somebody(), FastAPI()
    blocks = label_page.build(store, lambda request: somebody)
    gr.mount_gradio_app(
        app, blocks, "/label", theme=look.theme(), head=look.head(), footer_links=[], run_history=False
    )
    with serving(app) as address:
        parts = httpx.get(f"{address}/label/config", timeout=20).json()["components"]
        board = next(part["id"] for part in parts if part["props"].get("elem_id") == "label-board")
        yield Site(address, store, somebody, board)


def test_ranking_a_task_stores_the_vote_and_answers_with_the_next_task(site: Site) -> None:
    first, second = (
        site.task("What is tea?", "A drink.", "A leaf."),
        site.task("What is ink?", "Dark.", "Wet."),
    )
    task = site.call("load")["task"]
    assert task["id"] == first
    shown = [reply["id"] for reply in task["replies"]]
    after = site.call("rank", task_id=first, shown=shown, ranks=[2, 1])
    assert after["task"]["id"] == second
    assert after["progress"] == {"done": 1, "skipped": 0, "open": 1}
    vote = votes.of_prompt(site.store, site.store.rows("SELECT prompt_message_id FROM votes")[0][0])[0]
    assert site.ranks() == [{_plain(task["replies"][0]): 2, _plain(task["replies"][1]): 1}]
    assert vote.source == "label"


def _plain(reply: dict[str, Any]) -> str:
    return str(reply["html"]).replace("<p>", "").replace("</p>\n", "")


def test_undo_takes_the_vote_back_and_shows_its_task_again(site: Site) -> None:
    task_id = site.task("What is tea?", "A drink.", "A leaf.")
    task = site.call("load")["task"]
    site.call("rank", task_id=task_id, shown=[reply["id"] for reply in task["replies"]], ranks=None)
    before = site.call("undo")
    assert before["task"] == task
    assert site.ranks() == []
    assert before["can_undo"] is False


def test_a_skipped_task_does_not_come_back_until_the_skip_is_undone(site: Site) -> None:
    task_id = site.task("What is tea?", "A drink.", "A leaf.")
    assert site.call("skip", task_id=task_id, reason="I cannot judge this")["task"] is None
    assert site.call("load")["progress"] == {"done": 0, "skipped": 1, "open": 0}
    assert site.call("undo")["task"]["id"] == task_id


def test_what_reaches_the_browser_does_not_say_who_wrote_a_reply(site: Site) -> None:
    site.task("What is tea?", "A drink.", "A leaf.")
    sent = json.dumps(site.call("load"))
    for secret in (build.MODEL_VERSION, build.PROMPT_VERSION, "zero-shot", "torch"):
        assert secret not in sent


def test_html_in_a_reply_is_shown_and_not_obeyed(site: Site) -> None:
    site.task("<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "[x](javascript:alert(1))")
    sent = json.dumps(site.call("load"))
    assert "<script" not in sent
    assert "<img" not in sent
    assert "href" not in sent


@pytest.mark.parametrize("name", ["load", "rank", "skip", "undo"])
def test_each_handler_asks_for_the_labeller_role_itself(site: Site, name: str) -> None:
    task_id = site.task("What is tea?", "A drink.", "A leaf.")
    shown = [reply["id"] for reply in site.call("load")["task"]["replies"]]
    site.somebody.roles = frozenset({"chatter", "operator"})
    answer = site.call(name, task_id=task_id, shown=shown, ranks=[1, 2], reason="none")
    assert list(answer) == ["error"]
    assert "labeller" in answer["error"]
    assert site.ranks() == []


@pytest.mark.parametrize(
    "data",
    [
        {}, {"task_id": 7}, {"task_id": "t_none", "shown": [], "ranks": []},
        {"task_id": "t_none", "shown": "ab", "ranks": [1]},
        {"task_id": "t_none", "shown": ["a"], "ranks": ["1"]},
    ],
)  # fmt: skip
def test_a_senseless_request_is_answered_with_a_sentence(site: Site, data: dict[str, Any]) -> None:
    answer = site.call("rank", **data)
    assert list(answer) == ["error"]
    assert "Traceback" not in answer["error"]


@pytest.mark.browser
def test_a_pair_is_voted_on_with_one_key_and_taken_back_with_another(site: Site) -> None:
    site.task("What is tea?", "A drink.", "A leaf.")
    with browser.page() as page:
        page.goto(f"{site.address}/label")
        second = page.locator("[data-testid=reply-2] .hone-md").inner_text()
        page.wait_for_timeout(400)  # keys are ignored for a moment after a task appears
        page.keyboard.press("2")
        page.wait_for_selector("[data-testid=empty]")
        assert [text for text, rank in site.ranks()[0].items() if rank == 1] == [second]
        page.wait_for_timeout(400)
        page.keyboard.press("u")
        page.wait_for_selector("[data-testid=reply-2]")
        assert site.ranks() == []


@pytest.mark.browser
def test_three_replies_are_ordered_with_ties_and_submitted_with_enter(site: Site) -> None:
    site.task("What is tea?", "One.", "Two.", "Three.")
    with browser.page() as page:
        page.goto(f"{site.address}/label")
        texts = [page.locator(f"[data-testid=reply-{n}] .hone-md").inner_text() for n in (1, 2, 3)]
        page.wait_for_timeout(400)
        for key in ("3", "=", "1"):
            page.keyboard.press(key)
        assert page.inner_text("[data-testid=badge-3]") == "best, tied"
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-testid=empty]")
    assert site.ranks() == [{texts[2]: 1, texts[0]: 1, texts[1]: 2}]


@pytest.mark.browser
def test_the_focus_stays_where_one_presses_and_a_new_task_begins_at_its_prompt(site: Site) -> None:
    site.task("What is tea?", "One.", "Two.", "Three.")
    site.task("What is coffee?", "One.", "Two.", "Three.")
    with browser.page() as page:

        def press(name: str) -> str:
            page.get_by_test_id(name).focus()
            page.keyboard.press("Enter")
            return str(page.evaluate("document.activeElement.dataset.testid"))

        page.goto(f"{site.address}/label")
        assert press("pick-2") == "pick-2"
        assert press("skip") == "skip-1"
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.dataset.testid") == "skip"
        press("pick-1")
        press("submit")
        page.locator("[data-testid=prompt]:focus").get_by_text("coffee").wait_for()
        assert page.get_by_role("article", name="Reply 3").count() == 1


@pytest.mark.browser
def test_keys_typed_into_the_reason_for_a_skip_do_not_vote(site: Site) -> None:
    site.task("What is tea?", "A drink.", "A leaf.")
    with browser.page(390, 844, dark=True) as page:
        page.goto(f"{site.address}/label")
        page.wait_for_selector("[data-testid=reply-1]")
        page.wait_for_timeout(400)
        page.keyboard.press("s")
        page.locator("[data-testid=skip-other]").press_sequentially("1 and 2 are both fine = u")
        assert site.ranks() == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-testid=empty]")
    assert site.store.rows("SELECT reason FROM label_skips")[0]["reason"] == "1 and 2 are both fine = u"


@pytest.mark.browser
def test_the_page_asks_no_other_machine_for_anything(site: Site) -> None:
    asked: list[str] = []
    with browser.page() as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{site.address}/label")
        page.wait_for_selector("[data-testid=empty]")
    assert [url for url in asked if not url.startswith((site.address, "data:", "blob:"))] == []
