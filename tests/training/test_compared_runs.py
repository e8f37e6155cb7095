"""Runs beside one another on the operator page, and what is said there of one that went wrong."""

import os
from collections.abc import Sequence
from math import exp
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from assistant.base import BaseChoice
from feedback import plots
from feedback.home import Home
from feedback.ids import LOCAL_USER, RunId
from feedback.store import Store, now
from tests import browser, training_ground
from tests.scripted import answering
from tests.training.test_operate_page import DrawingEngine, Site, opened
from training import recipes, runs

Line = Sequence[tuple[float, float]]


def test_each_other_line_is_drawn_on_one_scale_and_named_by_its_own_mark() -> None:
    lines: list[Line] = [[(1, 2.0), (9, 1.0)], [], [(1, 5.0), (4, -3.0)]]
    loss = plots.Curve("Loss", [(1, 1.5), (6, 0.5)], 6, None, lines)
    picture = ElementTree.fromstring(plots.curve(loss))
    drawn = {line.get("class"): line.get("points", "").split() for line in picture.iter("polyline")}
    assert list(drawn) == ["curve other o0", "curve other o2", "curve"]  # the run itself lies on top
    spots = [tuple(map(float, spot.split(","))) for points in drawn.values() for spot in points]
    assert all(
        plots.LEFT <= x <= plots.WIDTH - plots.RIGHT and plots.TOP <= y <= plots.HEIGHT for x, y in spots
    )
    assert max(x for x, _ in spots) == plots.WIDTH - plots.RIGHT  # the longest of them ends the axis
    keys = ElementTree.fromstring(plots.legend("<this>", ["one", "none", "two"]))
    named = {line.get("class"): key[1].text for key in keys for line in key.iter("line")}
    assert named == {
        "curve": "<this>",
        "curve other o0": "one",
        "curve other o1": "none",
        "curve other o2": "two",
    }


def made(store: Store, pace: float, **changes: object) -> RunId:
    """A run that is done, as its rows tell it: loss and margin over twelve steps."""
    recipe = recipes.from_mapping(changes, recipes.load("dpo"))
    run = runs.create(store, LOCAL_USER, recipe, "latest")
    for step in range(1, 13):
        figures = {"loss": exp(-pace * step), "margin": pace * step, "accuracy": 1 - exp(-pace * step)}
        runs.record(store, run.id, step, figures | {"chosen_reward": pace * step / 2})
    store.execute("UPDATE runs SET state = 'done', step = 12, total_steps = 12 WHERE id = ?", run.id)
    return run.id


def ready(site: Site) -> None:
    site.voted(8)
    training_ground.freeze(site.store)


def choose(page: Any, field: str, run_id: str) -> None:
    page.click(f"{field} input")
    page.get_by_role("option", name=run_id).click()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_runs_that_one_chooses_are_drawn_in_the_same_plots_and_stay_chosen(
    tmp_path: Path, width: int, dark: bool
) -> None:
    engine = DrawingEngine()
    store = answering(tmp_path, engine)
    with (
        opened(Home(tmp_path), store, engine, BaseChoice()) as site,
        browser.page(width, 900, dark=dark) as page,
    ):
        ready(site)
        slow, middle, quick = (made(store, pace, seed=place) for place, pace in enumerate((0.1, 0.2, 0.4)))
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Train").click()
        page.wait_for_selector(".op-curves svg")
        assert page.locator("polyline.other").count() == 0
        choose(page, "#op-compare", slow)
        page.wait_for_selector("polyline.o0")
        choose(page, "#op-compare", middle)
        page.wait_for_selector("polyline.o1")
        page.keyboard.press("Escape")
        keys = page.locator("ul.legend li").all_inner_texts()
        assert [key.split()[-1] for key in keys] == [quick, slow, middle]
        assert page.locator(".op-curves svg").count() == 4
        assert page.locator("polyline.o1").count() == 4
        page.get_by_role("tab", name="Gate").click()
        page.get_by_role("tab", name="Train").click()
        choose(page, "#op-run", middle)  # one of them: it is not drawn beside itself
        page.wait_for_function("() => document.querySelectorAll('ul.legend li').length === 2")
        assert page.locator("ul.legend li").last.inner_text().split()[-1] == slow
        page.locator("#op-compare .token", has_text=slow).locator(".token-remove").click()
        page.wait_for_function("() => document.querySelectorAll('ul.legend').length === 0")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_what_one_compares_with_stays_while_a_run_goes_on(tmp_path: Path) -> None:
    engine = DrawingEngine()
    store = answering(tmp_path, engine)
    with opened(Home(tmp_path), store, engine, BaseChoice()) as site, browser.page() as page:
        ready(site)
        earlier, run = made(store, 0.1), made(store, 0.2)
        busy = "UPDATE runs SET state = ?, pid = ?, heartbeat_at = ? WHERE id = ?"
        store.execute(busy, "running", os.getpid(), now(), run)
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Train").click()
        page.wait_for_selector(".op-curves svg")
        choose(page, "#op-compare", earlier)
        page.wait_for_selector("polyline.o0")
        runs.record(store, run, 13, {"loss": 0.125})
        page.get_by_text("0.125").wait_for()  # drawn at a tick
        assert page.locator("polyline.o0").count() == 4
        runs.warn(store, run, "The chosen answers fall.")
        store.execute(busy, "interrupted", None, None, run)
        page.get_by_text("The chosen answers fall.").wait_for()
        assert page.locator("polyline.o0").count() == 4
        assert earlier in page.locator("#op-compare").inner_text()
