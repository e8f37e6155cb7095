"""The operator page: its handlers through HTTP, and the whole page in a real browser."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests import browser
from tests.scripted import ScriptedEngine, answering, serving, version

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from assistant import registry
from assistant.base import Base, BaseChoice
from assistant.engines.interface import Completion, Request
from assistant.turns import Turns, TurnSettings
from feedback import look, snapshots
from feedback.home import Home
from feedback.ids import LOCAL_USER, GateReportId, UserId
from feedback.people import Role
from feedback.store import Store, now
from tests import tiny_models, training_ground
from training import heads, recipes, reward_report, runs
from training import page as operate
from training.gate import BothAnswers, Check, GateReport
from training.page.gate import report_html
from training.reward_report import Scored


class DrawingEngine(ScriptedEngine):
    """Each reply of a batch says something of its own."""

    def batch(self, requests: list[Request], on_progress: object = None) -> list[Completion]:
        self.requests += requests
        return [Completion(f"Reply {request.sampling.seed}.", 2, "stop") for request in requests]


@dataclass
class Somebody:
    """Who is at the page; tests change the roles."""

    id: UserId = LOCAL_USER
    name: str = "local"
    roles: frozenset[Role] = frozenset({"operator"})


@dataclass
class Site:
    address: str
    home: Home
    turns: Turns
    somebody: Somebody

    @property
    def store(self) -> Store:
        return self.turns.store

    def config(self) -> dict[str, Any]:
        """The page as Gradio tells it to anybody who may open it."""
        return dict(httpx.get(f"{self.address}/operate/config", timeout=20).json())

    def handlers(self) -> list[dict[str, Any]]:
        """Every event of the page."""
        return list(self.config()["dependencies"])

    def values(self) -> dict[int, Any]:
        """What stands in each component when the page opens, by its id."""
        return {part["id"]: part["props"].get("value") for part in self.config()["components"]}

    def part(self, name: str) -> int:
        """The id of the component that the page's script and style know by this name."""
        parts = self.config()["components"]
        return next(int(part["id"]) for part in parts if part["props"].get("elem_id") == name)

    def call(self, handler: dict[str, Any], values: dict[int, Any]) -> httpx.Response:
        """Run one handler as a person would who knows nothing but its number."""
        data = [values[part] for part in handler["inputs"]]
        body = {"fn_index": handler["id"], "data": data, "session_hash": "s"}
        return httpx.post(f"{self.address}/operate/gradio_api/run/predict", json=body, timeout=20)

    def voted(self, pairs: int) -> None:
        """Votes on as many questions."""
        for number in range(pairs):
            champion = registry.champion(self.store)
            training_ground.vote(
                self.store, champion, f"Question {number}?", "Yes.", "No, not " * (number + 1)
            )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    engine = DrawingEngine()
    with opened(Home(tmp_path), answering(tmp_path, engine), engine, BaseChoice()) as found:
        yield found


@contextmanager
def opened(home: Home, store: Store, engine: ScriptedEngine, choice: BaseChoice) -> Iterator[Site]:
    """The page on a real socket, as a server that runs on `choice` offers it."""
    somebody, app = Somebody(), FastAPI()
    turns = Turns(store, engine)
    blocks = operate.build(turns, home, lambda request: somebody, choice)
    gr.mount_gradio_app(
        app, blocks, "/operate", theme=look.theme(), head=look.head(), footer_links=[], run_history=False
    )
    with serving(app) as address:
        yield Site(address, home, turns, somebody)
    turns.close()


def test_without_the_role_no_handler_tells_or_changes_anything(site: Site) -> None:
    site.voted(8)
    training_ground.freeze(site.store)
    handlers, values = site.handlers(), site.values()
    before = site.store.row("PRAGMA data_version"), site.store.rows("SELECT * FROM audit_log")
    site.somebody.roles = frozenset({"chatter", "labeller"})
    secrets = (registry.champion(site.store).name, snapshots.listing(site.store)[0].id)
    for handler in handlers:
        told = site.call(handler, values).text
        assert not [secret for secret in secrets if secret in told], handler["id"]
    assert (site.store.row("PRAGMA data_version"), site.store.rows("SELECT * FROM audit_log")) == before


def test_an_operators_handlers_draw_without_an_error(site: Site) -> None:
    site.voted(8)
    training_ground.freeze(site.store)
    handlers, values = site.handlers(), site.values()
    drawing = [handler for handler in handlers if not handler["queue"]]
    answers = [site.call(handler, values) for handler in drawing]
    assert {answer.status_code for answer in answers} == {200}
    assert any(registry.champion(site.store).name in answer.text for answer in answers)


def test_a_run_started_on_the_page_trains_the_servers_base_to_its_end(home: Home, tiny_base: Base) -> None:
    on = training_ground.ground(home, tiny_base, questions=12)
    # Nothing of the server's choice is as a recipe has it by itself.
    choice = BaseChoice(str(tiny_base.folder), "none", "transformers", ("http://127.0.0.1:9",))
    with opened(home, on.store, DrawingEngine(), choice) as site:
        values, start = site.values(), site.part("op-start")
        for handler in browser.drawing(site.config()):
            site.call(handler, values)  # fills the list of snapshots
        act = next(handler for handler in site.handlers() if [start, "click"] in handler["targets"])
        values |= {site.part("op-snapshot"): on.snapshot.id, site.part("op-steps"): 2}
        values |= {site.part("op-metrics"): "tensorboard"}
        told = site.call(act, values)
    assert told.status_code == 200, told.text
    run = training_ground.finished(on, runs.get(on.store, "latest"))
    assert run.state == "done", runs.log_text(home, run.id)
    assert (run.step, run.snapshot_id, run.created_by) == (2, on.snapshot.id, LOCAL_USER)
    assert run.id in told.text
    wanted = {"model": choice.model, "quantize": choice.quantize, "max_steps": 2, "metrics": "tensorboard"}
    assert asdict(run.recipe) == asdict(replace(recipes.load("dpo"), **wanted))


def test_the_page_tells_how_many_replies_are_written_and_wait(tmp_path: Path) -> None:
    engine = DrawingEngine(held=True, capacity=1)
    with opened(Home(tmp_path), answering(tmp_path, engine), engine, BaseChoice()) as site:
        for question in ("Why?", "How?", "When?"):
            site.turns.send(LOCAL_USER, None, None, question, TurnSettings())
        values = site.values()
        drawn = [site.call(one, values).text for one in site.handlers() if not one["queue"]]
    found = [text for text in drawn if "replies being written" in text]
    assert found
    assert all("1 of at most 1 replies being written, 2 of at most 512 waiting" in text for text in found)


def test_repeat_on_the_page_makes_the_same_run_once_more(home: Home, tiny_base: Base) -> None:
    on = training_ground.ground(home, tiny_base, questions=12)
    run = runs.create(on.store, LOCAL_USER, replace(on.recipe, seed=7), on.snapshot.id)
    runs.cancel(on.store, LOCAL_USER, run.id)
    training_ground.somebody_else_trains(on)
    with opened(home, on.store, DrawingEngine(), BaseChoice()) as site:
        values, repeat = site.values(), site.part("op-repeat")
        for handler in browser.drawing(site.config()):
            site.call(handler, values)  # fills the list of runs
        act = next(handler for handler in site.handlers() if [repeat, "click"] in handler["targets"])
        told = site.call(act, {site.part("op-run"): run.id})
    again = runs.get(on.store, "latest")
    assert again.id in told.text
    assert (again.repeats_id, again.recipe, again.created_by) == (run.id, run.recipe, LOCAL_USER)
    assert again.state == "queued"


@pytest.mark.browser
def test_what_cannot_be_repeated_says_why(site: Site) -> None:
    site.voted(8)
    snapshot = training_ground.freeze(site.store)
    recipe = replace(recipes.load("dpo"), model="/nowhere/at/all")
    run = runs.create(site.store, LOCAL_USER, recipe, snapshot.id)
    with browser.page() as page:
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Train").click()
        page.get_by_text("It can be repeated when it is over.").wait_for()
        assert page.is_disabled("#op-repeat")
        runs.cancel(site.store, LOCAL_USER, run.id)
        page.click("#op-repeat:not([disabled])")
        page.get_by_text("There is no model folder /nowhere/at/all").wait_for()
    assert [one.id for one in runs.listing(site.store)] == [run.id]


@pytest.mark.browser
def test_freezing_gives_a_snapshot_that_can_be_trained_on(site: Site) -> None:
    site.voted(12)
    with browser.page() as page:
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Data").click()
        page.click("#op-freeze:not([disabled])")
        page.wait_for_selector("[data-testid=snapshots]")
        found = snapshots.listing(site.store)[0]
        assert found.id in page.inner_text("[data-testid=snapshots]")
        page.get_by_role("tab", name="Train").click()
        page.wait_for_function(
            "id => document.querySelector('#op-snapshot input').value.includes(id)", arg=found.id
        )
        page.wait_for_selector("#op-start:not([disabled])")


@pytest.mark.browser
def test_buttons_that_cannot_be_pressed_say_why(site: Site) -> None:
    with browser.page(390, 844, dark=True) as page:
        page.goto(f"{site.address}/operate")
        page.wait_for_selector("[data-testid=champion]")
        page.get_by_text("There is no earlier champion to roll back to.").wait_for()
        assert page.is_disabled("#op-roll-back")
        page.get_by_role("tab", name="Data").click()
        page.get_by_text("There is nothing to freeze").wait_for()
        assert page.is_disabled("#op-freeze")
        page.get_by_role("tab", name="Train").click()
        page.get_by_text("There is no snapshot yet").wait_for()
        assert page.is_disabled("#op-start")
        page.get_by_role("tab", name="Gate").click()
        page.get_by_text("There is no candidate to judge.").wait_for()
        assert page.is_disabled("#op-promote")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_pasted_prompts_are_drawn_in_the_background_and_wait_for_labellers(site: Site) -> None:
    with browser.page() as page:
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Data").click()
        page.get_by_label(
            "Pasted prompts"
        ).check()  # the form is open by itself while there is nothing to rank
        page.get_by_label("Prompts, one a line").fill("What is tea?\n\n  What is ink?  \nWhat is rope?")
        page.click("#op-draw")
        page.get_by_text("3 label tasks queued.").wait_for()
    asked = (
        "SELECT m.content FROM label_tasks t JOIN messages m ON m.id = t.prompt_message_id ORDER BY t.rowid"
    )
    assert [row["content"] for row in site.store.rows(asked)] == [
        "What is tea?",
        "What is ink?",
        "What is rope?",
    ]


@pytest.mark.browser
def test_a_failed_candidate_is_promoted_only_with_a_typed_reason_and_can_be_rolled_back(site: Site) -> None:
    first = registry.champion(site.store)
    candidate = made_by_a_run(site)
    with browser.page() as page:
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Gate").click()
        page.wait_for_selector("[data-testid=verdict]")
        assert page.inner_text("[data-testid=verdict]") == "fail"
        page.click("#op-promote")
        page.get_by_role("button", name="Yes, promote it").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Yes, promote it").wait_for(state="hidden")
        page.click("#op-promote")
        page.get_by_role("button", name="Yes, promote it").click()
        page.get_by_text("cannot be promoted").wait_for()
        assert registry.champion(site.store).id == first.id
        page.get_by_label("Why? The audit log keeps it.").fill("To see what people say of it")
        page.get_by_role("button", name="Yes, promote it").click()
        page.get_by_text("is the champion. It answers").wait_for()
        assert registry.champion(site.store).id == candidate
        page.get_by_role("tab", name="Now").click()
        page.click("#op-roll-back")
        page.get_by_role("button", name="Yes, roll back").click()
        page.get_by_text("answers again").wait_for()
        assert registry.champion(site.store).id == first.id
        page.get_by_role("tab", name="History").click()
        page.wait_for_selector("[data-testid=promotions]")
        assert "To see what people say of it" in page.inner_text("[data-testid=promotions]")


@pytest.mark.browser
def test_when_a_run_ends_the_tab_that_one_looks_at_is_drawn_anew(site: Site) -> None:
    with browser.page() as page:
        candidate = made_by_a_run(site)
        busy = "UPDATE runs SET state = ?, pid = ?, heartbeat_at = ? WHERE id = 'r_1'"
        site.store.execute(busy, "running", os.getpid(), now())
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Gate").click()
        page.wait_for_selector("[data-testid=verdict]")
        page.wait_for_timeout(1000)
        site.store.execute("UPDATE gate_reports SET verdict = 'pass' WHERE candidate_id = ?", candidate)
        page.wait_for_timeout(2500)  # more than a tick: what is drawn at each is not what this is about
        assert page.inner_text("[data-testid=verdict]") == "fail"
        site.store.execute(busy, "done", None, None)
        page.locator("[data-testid=verdict]", has_text="pass").wait_for()


def made_by_a_run(site: Site) -> str:
    """A candidate that failed the gate. Its weights are the base's own: nothing here asks it anything."""
    site.voted(12)
    snapshot, champion = training_ground.freeze(site.store), registry.champion(site.store)
    site.store.execute(
        """INSERT INTO runs
             (id, method, snapshot_id, base_version_id, recipe_json, state, created_by, created_at)
           VALUES ('r_1', 'dpo', ?, ?, '{}', 'done', ?, ?)""",
        *(snapshot.id, champion.id, LOCAL_USER, now()),
    )
    candidate = version(site.store, "dpo-1")
    # A version's row never changes: take the one without a run out before anything names it.
    site.store.execute("DELETE FROM model_versions WHERE id = ?", candidate.id)
    site.store.execute(
        """INSERT INTO model_versions (id, name, base_id, run_id, chat_template_sha256, created_at)
           VALUES (?, ?, ?, 'r_1', ?, ?)""",
        *(candidate.id, "dpo-1", champion.base_id, champion.chat_template_sha256, now()),
    )
    held = {"reasons": ["It is worse."], "checks": [], "margins_nats": [-1.0], "examples": []}
    site.store.execute(
        """INSERT INTO gate_reports
             (id, candidate_id, champion_id, snapshot_id, verdict, report_json, created_at)
           VALUES ('g_1', ?, ?, ?, 'fail', ?, ?)""",
        *(candidate.id, champion.id, snapshot.id, json.dumps(held), now()),
    )
    return str(candidate.id)


@pytest.mark.browser
def test_a_reward_models_report_fits_a_narrow_screen(site: Site, tiny_base: Base, tmp_path: Path) -> None:
    site.voted(8)
    snapshot = training_ground.freeze(site.store)
    run = runs.create(site.store, LOCAL_USER, recipes.load("reward"), snapshot.id)
    runs.cancel(site.store, LOCAL_USER, run.id)
    scored = [Scored(number / 9, 1 - number / 9, 30, 20) for number in range(10)]
    made = heads.Made(tiny_models.fake_adapter(tmp_path / "made"), reward_report.report(scored))
    heads.add(site.store, site.home, tiny_base, made, run.id, snapshot.chat_template_sha256)
    with browser.page(320, 640) as page:
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Train").click()
        report = page.get_by_test_id("reward-report")
        report.wait_for()
        frame = report.locator("xpath=ancestor-or-self::*[contains(@class, 'hone-scroll')]")
        assert frame.evaluate("frame => frame.scrollWidth - frame.clientWidth") == 0
        assert report.locator("svg.strip").first.bounding_box()["width"] >= 80
        assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_a_report_shows_each_check_and_never_obeys_what_a_model_wrote() -> None:
    checks = (
        Check("margin", "Mean margin, nats", "effect", 1.5, 0.5, 2.5, 0.0, True, "It is +1.50 nats."),
        Check("length", "Length", "guard", 4.0, None, None, 3.0, False, "It is 4.00 times as long."),
    )
    examples = (BothAnswers("<b>Why?</b>", "<script>a()</script>", "![x](http://example.org/x.png)"),)
    shown = report_html(
        GateReport("fail", ("Too <long>.",), checks, (1.0, 2.0), examples, GateReportId("g_1"))
    )
    assert shown.count("<td>") == 8
    assert "1.5 (0.5 to 2.5)" in shown
    assert "Too &lt;long&gt;." in shown
    for forbidden in ("<script", "<img", "<b>Why"):
        assert forbidden not in shown
