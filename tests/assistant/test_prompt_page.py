"""The prompt page: its handlers through HTTP, and the whole page in a real browser."""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests import browser
from tests.prompts import ground
from tests.prompts.ground import NAME, add, source
from tests.scripted import ScriptedEngine, answering, serving, version

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from assistant import prompt_page, prompt_people, registry
from assistant.prompt_bench import PromptBench
from assistant.prompt_page import html
from feedback import look
from feedback.duels import Maker
from feedback.ids import LOCAL_USER, UserId
from feedback.people import Role
from feedback.statistics import Interval
from feedback.store import Store
from prompts import files, labels, library, service, trials
from prompts.plain import shipped
from prompts.trials import Arm


@dataclass
class Somebody:
    """Who is at the page; tests change the roles."""

    id: UserId = LOCAL_USER
    name: str = "local"
    roles: frozenset[Role] = frozenset({"engineer"})


@dataclass
class Site:
    address: str
    store: Store
    engine: ScriptedEngine
    somebody: Somebody

    def config(self) -> dict[str, Any]:
        """The page as Gradio tells it to anybody who may open it."""
        return dict(httpx.get(f"{self.address}/prompts/config", timeout=20).json())

    def call(self, handler: dict[str, Any], values: dict[int, Any]) -> httpx.Response:
        """Run one handler as a person would who knows nothing but its number."""
        data = [values.get(part) for part in handler["inputs"]]
        body = {"fn_index": handler["id"], "data": data, "session_hash": "s"}
        return httpx.post(f"{self.address}/prompts/gradio_api/run/predict", json=body, timeout=20)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    engine, somebody, app = ScriptedEngine("The sky is blue."), Somebody(), FastAPI()
    store = answering(tmp_path, engine)
    blocks = prompt_page.build(PromptBench(store, engine), lambda request: somebody)
    gr.mount_gradio_app(
        app, blocks, "/prompts", theme=look.theme(), head=look.head(), footer_links=[], run_history=False
    )
    with serving(app) as address:
        yield Site(address, store, engine, somebody)


def test_without_the_role_no_handler_tells_or_changes_anything(site: Site) -> None:
    secret = add(site.store, "Be secret.")
    config = site.config()
    handlers, values = (
        config["dependencies"],
        {p["id"]: p["props"].get("value") for p in config["components"]},
    )
    known = {"pp-strategy": NAME, "pp-version": secret.id, "pp-against": secret.id, "pp-name": NAME}
    for wanted in (None, "pp-strategy", "pp-version"):
        # As a browser does for an engineer: the lists are filled, and something is chosen in each.
        values |= {
            part["id"]: known[wanted]
            for part in config["components"]
            if wanted and part["props"].get("elem_id") == wanted
        }
        for handler in browser.drawing(config):
            assert site.call(handler, values).status_code == 200
    before = site.store.row("PRAGMA data_version"), site.store.rows("SELECT * FROM audit_log")
    site.somebody.roles = frozenset({"chatter", "labeller", "operator"})
    assert len(handlers) > 30
    for handler in handlers:
        told = site.call(handler, values).text
        assert "secret" not in told, handler["id"]
        assert secret.id not in told, handler["id"]
    assert (site.store.row("PRAGMA data_version"), site.store.rows("SELECT * FROM audit_log")) == before
    assert site.engine.requests == []


def test_texts_of_people_and_models_are_shown_as_text() -> None:
    from assistant.prompt_preview import preview
    from assistant.reply_state import ReplyState, StepState
    from feedback.ids import MessageId

    evil = "<img src=x onerror=alert(1)>"
    state = ReplyState(MessageId("m"), "failed", evil, evil, (StepState("s", evil, evil),), error=evil)
    shown = html.side(evil, state) + html.preview(preview(ScriptedEngine(), shipped()["zero-shot"], evil, 9))
    found = html.problem(html.Problem("a.jinja", 1, evil, evil), {"a.jinja": evil})
    assert "<img" not in shown + found
    assert "&lt;img" in found


def opened(page: Any, site: Site, tab: str | None = None) -> None:
    """The page, drawn, on one of its tabs."""
    page.goto(f"{site.address}/prompts")
    page.wait_for_selector("[data-testid=headline]")
    if tab:
        page.get_by_role("tab", name=tab).click()


def voted(site: Site) -> None:
    """Twelve votes for few-shot over zero-shot, both on the champion."""
    model = registry.champion(site.store).id
    plain, shown = (library.production(site.store, name).id for name in ("zero-shot", "few-shot"))
    for number in range(12):
        ground.vote(site.store, number, Maker(shown, model), Maker(plain, model))


def choose(page: Any, element: str, text: str) -> None:
    """Pick in a dropdown by the text that is shown."""
    page.click(f"#{element} input")
    page.get_by_role("option", name=re.compile(re.escape(text))).first.click()


def named(page: Any, name: str) -> None:
    """Wait until the editor is about this strategy."""
    page.wait_for_function(f"document.querySelector('#pp-name textarea, #pp-name input').value === '{name}'")


def test_win_rates_stand_on_one_axis() -> None:
    rates = (Interval(0.2, 0.1, 0.3), Interval(0.9, 0.8, 1.0))
    even = {
        line for rate in rates for line in re.findall(r'class="bar" x1="[0-9.]+"', html.win_rate(rate, 9))
    }
    assert len(even) == 1


@pytest.mark.browser
def test_one_sees_what_serves_and_how_it_does_with_people(site: Site) -> None:
    serving_now = library.production(site.store, "few-shot")
    voted(site)
    with browser.page() as page:
        opened(page, site)
        row = page.locator("[data-testid=strategies] tr", has_text="few-shot").first
        assert serving_now.id in row.inner_text()
        assert "12 votes" in row.inner_text()
        page.wait_for_function("document.querySelector('#pp-strategy input').value.includes('zero-shot')")
        assert "production" in page.inner_text("[data-testid=headline]")
        assert page.is_disabled("#pp-put")
        assert page.is_disabled("#pp-back")


@pytest.mark.browser
def test_what_one_changed_and_did_not_save_is_there_again_when_one_comes_back(site: Site) -> None:
    with browser.page(1280, 1000) as page:
        opened(page, site, "Edit")
        code = page.locator("#pp-code .cm-content")
        page.get_by_text("{{ question }}").first.wait_for()
        text = source(said="Be brief.")[f"{NAME}.jinja"]
        code.fill(text.rstrip("\n"))
        page.get_by_text("It can be saved.").wait_for()
        choose(page, "pp-strategy", "Few-shot")
        page.get_by_text("Be brief.").wait_for(state="hidden")
        choose(page, "pp-strategy", "Zero-shot")
        page.get_by_text("What you changed here and did not save.").wait_for()
        assert "Be brief." in code.inner_text()
        page.click("#pp-undo")
        page.get_by_text("Be brief.").wait_for(state="hidden")
        choose(page, "pp-strategy", "Few-shot")
        named(page, "few-shot")
        choose(page, "pp-strategy", "Zero-shot")
        named(page, "zero-shot")
        assert "Be brief." not in code.inner_text()
        assert page.get_by_text("not in the list of choices").count() == 0


@pytest.mark.browser
def test_a_version_is_changed_seen_tried_put_in_production_and_taken_back(site: Site) -> None:
    before = library.production(site.store, "zero-shot")
    with browser.page(1280, 1000) as page:
        opened(page, site, "Edit")
        page.wait_for_selector("#pp-code .cm-content")
        text = source(said="Be brief.")[f"{NAME}.jinja"]
        page.locator("#pp-code .cm-content").fill(text.replace("{{ question }}", "{{ answer }}"))
        page.get_by_text("zero-shot.jinja, line 7").wait_for()
        page.click("#pp-save")
        page.get_by_text("cannot be used").first.wait_for()
        assert labels.draft(site.store, "zero-shot") is None
        page.locator("#pp-code .cm-content").fill(text.rstrip("\n"))
        page.get_by_text("It can be saved.").wait_for()
        page.click("#pp-look")
        page.wait_for_selector("[data-testid=preview]")
        assert "Be brief." in page.inner_text("[data-testid=preview] pre")
        page.get_by_label("What changed?").fill("One sentence")
        page.click("#pp-save")
        page.get_by_text("is the draft of zero-shot").wait_for()
        draft = labels.draft(site.store, "zero-shot")
        assert draft is not None
        assert dict(library.get(site.store, draft).strategy.files)["zero-shot.jinja"] == text
        assert library.record(site.store, draft).parent_id == before.id
        assert site.engine.requests == []

        page.get_by_role("tab", name="Compare").click()
        page.wait_for_selector("[data-testid=diff]")
        assert "Be brief." in page.inner_text("[data-testid=diff]")
        page.click("#pp-try")
        page.wait_for_function(
            "document.querySelectorAll('[data-testid=side][data-status=complete]').length === 2"
        )
        assert page.locator("[data-testid=side]").first.inner_text().count("The sky is blue.") == 1

        page.click("#pp-put")
        page.get_by_role("button", name="Yes, let it answer").click()
        page.get_by_text("from the next reply on").wait_for()
        assert library.production(site.store, "zero-shot").id == draft
        page.click("#pp-back:not([disabled])")
        page.get_by_role("button", name="Yes, go back").click()
        page.get_by_text(f"answered by {before.id}").wait_for()
        assert library.production(site.store, "zero-shot").id == before.id


@pytest.mark.browser
def test_a_try_is_watched_and_stopped(site: Site) -> None:
    site.engine.hold()
    with browser.page() as page:
        opened(page, site, "Compare")
        page.wait_for_selector("#pp-against")
        page.click("#pp-try")
        page.wait_for_function(
            "[...document.querySelectorAll('[data-testid=side]')].every(one => one.innerText.includes('The'))"
        )
        page.click("#pp-stop:not([disabled])")
        page.wait_for_function(
            "document.querySelectorAll('[data-testid=side][data-status=stopped]').length === 2"
        )
    assert all(request.stop.is_set() for request in site.engine.requests)


@pytest.mark.browser
def test_a_trial_is_started_watched_and_stopped(site: Site) -> None:
    first, second = add(site.store, "Be brief."), add(site.store, "Be kind.")
    service.put(site.store, LOCAL_USER, first.id)
    with browser.page() as page:
        opened(page, site)
        choose(page, "pp-strategy", NAME)
        page.get_by_text(f"Versions of {NAME}").wait_for()
        page.get_by_role("tab", name="Trial").click()
        for one in (first, second):  # what serves and the draft are chosen already
            page.locator("#pp-arms .token", has_text=one.id).wait_for()
        page.get_by_label(re.compile("Their shares")).fill("80, 20")
        page.click("#pp-start-trial")
        page.wait_for_selector("[data-testid=trial]")
        assert "80%" in page.inner_text("[data-testid=trial]")
        running = trials.running(site.store, NAME)
        assert running is not None
        assert running.arms == (Arm(first.id, 0.8), Arm(second.id, 0.2))
        page.click("#pp-stop-trial")
        page.get_by_role("button", name="Yes, stop it").click()
        page.get_by_text("Trials that are over").wait_for()
        assert trials.running(site.store, NAME) is None


@pytest.mark.browser
def test_files_come_in_and_a_bad_one_is_refused_with_its_line(site: Site, tmp_path: Path) -> None:
    good, bad = tmp_path / "all.zip", tmp_path / "bad.jinja"
    good.write_bytes(files.zipped([library.find(site.store, add(site.store, "Be brief.").id).strategy]))
    bad.write_text("---\ntitle: Bad\nvariables: [question]\n---\n{{ question }}\n")
    with browser.page() as page:
        opened(page, site, "Files")
        page.set_input_files("#pp-import input[type=file]", str(bad))
        page.get_by_text("bad.jinja cannot be used. Line 5").wait_for()
        page.set_input_files("#pp-import input[type=file]", str(good))
        page.get_by_text(f"is the draft of {NAME}").wait_for()
        page.wait_for_function(f"document.querySelector('#pp-strategy input').value.includes('{NAME}')")


@pytest.mark.browser
def test_prompt_or_retrain_is_honest_about_cells_with_too_few_votes(site: Site) -> None:
    with browser.page() as page:
        opened(page, site, "Prompt or retrain?")
        page.get_by_text("There is nothing to compare yet.").wait_for()
        newer = version(site.store, "dpo-1")
        voted(site)
        page.reload()
        page.get_by_role("tab", name="Prompt or retrain?").click()
        choose(page, "pp-old", "scripted")
        choose(page, "pp-new", newer.name)
        page.wait_for_selector("[data-testid=cells]")
        assert "There is too little data" in page.inner_text("[data-testid=verdict]")
        assert page.inner_text("[data-testid=cells]").count("too little data") == 2


@pytest.mark.browser
def test_the_page_fits_a_narrow_screen_in_the_dark(site: Site) -> None:
    with browser.page(390, 844, dark=True) as page:
        opened(page, site)
        for tab in ("Versions", "Edit", "Compare"):
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab


@pytest.mark.browser
def test_what_one_picks_while_the_page_is_still_drawn_stays_and_is_what_is_shown(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = version(site.store, "dpo-1")
    voted(site)
    with browser.page() as page:
        opened(page, site, "Prompt or retrain?")
        page.get_by_text("There is nothing to compare yet.").wait_for()
        quick = prompt_people.prompt_or_retrain

        def slow(store: Store, one: str | None, *others: Any) -> Any:
            time.sleep(0 if one else 2)
            return quick(store, one, *others)

        monkeypatch.setattr(prompt_people, "prompt_or_retrain", slow)
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("tab", name="Prompt or retrain?").click()
        choose(page, "pp-old", "scripted")
        choose(page, "pp-new", newer.name)
        page.wait_for_selector("[data-testid=cells]")
        page.wait_for_timeout(2500)
        assert page.is_visible("[data-testid=cells]")
        assert page.input_value("#pp-new input") == newer.name


@pytest.mark.browser
def test_what_one_types_stays_when_one_has_looked_at_another_tab_and_the_page_falls_silent(
    site: Site,
) -> None:
    with browser.page(1280, 1000) as page:
        opened(page, site, "Edit")
        code = page.locator("#pp-code .cm-content")
        code.fill("Half a thought")
        page.get_by_role("tab", name="Compare").click()
        page.get_by_text("This version is in production.").wait_for()
        page.get_by_role("tab", name="Edit").click()
        page.wait_for_timeout(2000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.post_data or ""))
        page.wait_for_timeout(1000)
        assert asked == []
        assert code.inner_text().strip() == "Half a thought"
