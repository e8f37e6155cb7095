"""Datasets beside votes on the operator page: what can be trained on each, and a run started on one."""

from pathlib import Path
from typing import Any

import pytest

from assistant.base import Base, BaseChoice
from feedback import datasets
from feedback.datasets import Answered, Dataset
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.message import Turn
from feedback.store import Store
from tests import browser, training_ground
from tests.scripted import answering
from tests.training.test_operate_page import DrawingEngine, opened
from training import recipes, runs
from training.methods import METHODS

LONG = "reviews-of-two-years-without-what-was-said-twice.jsonl, questions.csv, translations.jsonl"


def of_answers(store: Store, home: Home, name: str = LONG) -> Dataset:
    asked = [Answered((Turn("user", f"What is {n} and {n}?"),), str(2 * n)) for n in range(12)]
    return datasets.freeze_answers(store, home, LOCAL_USER, name, asked)


def of_text(store: Store, home: Home, folder: Path) -> Dataset:
    file = folder / "book.txt"
    file.write_text("The cat sat.\n\nThe dog ran.")
    return datasets.freeze_texts(store, home, LOCAL_USER, file)


def test_a_run_is_started_on_a_dataset_and_only_by_what_learns_from_it(home: Home, tiny_base: Base) -> None:
    on = training_ground.ground(home, tiny_base, questions=12)
    training_ground.somebody_else_trains(on)
    dataset = of_answers(on.store, home)
    choice = BaseChoice(str(tiny_base.folder), "none")
    with opened(home, on.store, DrawingEngine(), choice) as site:
        values, start = site.values(), site.part("op-start")
        for handler in browser.drawing(site.config()):
            site.call(handler, values)  # fills the lists
        act = next(handler for handler in site.handlers() if [start, "click"] in handler["targets"])
        values |= {
            site.part("op-learn"): "A dataset",
            site.part("op-snapshot"): on.snapshot.id,
            site.part("op-dataset"): dataset.id,
        }
        told = site.call(act, values | {site.part("op-preset"): "sft"})
        before = len(runs.listing(on.store))
        site.call(act, values | {site.part("op-preset"): "dpo"})  # as if the page had not yet followed
        assert len(runs.listing(on.store)) == before
    run = runs.get(on.store, "latest")
    assert run.id in told.text
    assert (run.state, run.method, run.dataset_id, run.snapshot_id) == ("queued", "sft", dataset.id, None)


def options(page: Any, field: str) -> list[str]:
    page.wait_for_function("() => !document.querySelector('[role=option]')")  # of the list before
    page.click(f"{field} input")
    page.get_by_role("option").first.wait_for()
    found = page.get_by_role("option").all_inner_texts()
    page.keyboard.press("Escape")
    return [one.replace("✓", "").strip() for one in found]


def chooses(page: Any, preset: str) -> None:
    """Wait until the form has this preset, and the bars are its."""
    page.wait_for_function("name => document.querySelector('#op-preset input').value === name", arg=preset)
    page.get_by_text(recipes.load(preset).description).wait_for()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_presets_and_the_memory_follow_what_is_learnt_from(
    tmp_path: Path, width: int, dark: bool
) -> None:
    engine, home = DrawingEngine(), Home(tmp_path)
    store = answering(tmp_path, engine)
    with opened(home, store, engine, BaseChoice()) as site, browser.page(width, 900, dark=dark) as page:
        site.voted(8)
        training_ground.freeze(store)
        text, answers = of_text(store, home, tmp_path), of_answers(store, home)
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Train").click()
        page.wait_for_selector("[data-testid=needs] svg")
        chooses(page, "dpo")
        page.wait_for_function("() => document.querySelector('#op-snapshot input').value")
        by_votes = page.inner_text("[data-testid=needs] figcaption b")
        page.get_by_label("A dataset").check()
        chooses(page, "sft")
        assert answers.id in page.input_value("#op-dataset input")
        assert page.locator("#op-snapshot").count() == 0 or page.is_hidden("#op-snapshot")
        assert options(page, "#op-preset") == ["sft"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.click("#op-dataset input")
        page.get_by_role("option", name=text.id).click()
        chooses(page, "clm")
        page.wait_for_function(
            "before => document.querySelector('[data-testid=needs] figcaption b').innerText !== before",
            arg=by_votes,
        )
        page.wait_for_selector("#op-start:not([disabled])")
        page.get_by_label("Votes").check()
        chooses(page, "dpo")
        learning = {
            name
            for name, one in recipes.presets().items()
            if METHODS[one.method].reads not in ("text", "labels")
        }
        assert set(options(page, "#op-preset")) == learning


@pytest.mark.browser
def test_without_a_dataset_the_page_says_how_one_is_made(tmp_path: Path) -> None:
    engine = DrawingEngine()
    store = answering(tmp_path, engine)
    with opened(Home(tmp_path), store, engine, BaseChoice()) as site, browser.page(390, 844) as page:
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Train").click()
        page.get_by_label("A dataset").check()
        page.get_by_text("hone data instruct FILE --task sentiment").wait_for()
        page.get_by_text("hone data labels FILE").wait_for()
        assert page.is_disabled("#op-start")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
