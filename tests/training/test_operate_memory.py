"""The bars of the Train part: what the chosen preset would need of this machine's memory."""

import dataclasses
from pathlib import Path

import pytest

from assistant.base import BaseChoice
from feedback import plots
from feedback.home import Home
from tests import browser
from tests.scripted import answering
from tests.training.test_operate_page import DrawingEngine, opened
from training import memory, recipes
from training.page.needs import needs_html


def test_the_bars_hold_every_part_and_say_when_it_does_not_fit() -> None:
    shown = plots.stacked("Memory", [("<a>", 3.0), ("b", 0.0), ("c", 2.0)], 4.0, "GB", "4 GB are free")
    assert shown.count('class="part p') == 2
    assert "&lt;a&gt;" in shown
    assert "<a>" not in shown
    assert 'class="used over"' in shown
    assert 'class="used"' in plots.stacked("Memory", [("a", 3.0)], 4.0, "GB", "4 GB are free")


def test_a_preset_of_longer_examples_is_drawn_with_more_activations(home: Home) -> None:
    def drawn(name: str) -> float:
        text = needs_html(home, BaseChoice(), recipes.load(name))
        return float(text.split("Activations: ")[1].split(" GB")[0])

    assert drawn("dpo") > 2 * drawn("dpo-quick")


def test_a_model_that_is_not_there_is_a_sentence(home: Home) -> None:
    assert "There is no model folder" in needs_html(home, BaseChoice("/nowhere/at/all"), recipes.load("dpo"))


def test_what_would_make_it_fit_is_folded_below_one_short_sentence(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = memory.Device("this machine", "cpu", int(4e9), int(1.2e9))
    monkeypatch.setattr(memory, "this_machine", lambda: small)
    shown = needs_html(home, BaseChoice(), recipes.load("dpo"))
    assert 'class="hone-note bad">It does not fit on this machine: 1.20 GB free of 4.00 GB.</p>' in shown
    folded = shown.split("<details")[1]
    assert "It fits with " in folded.split("</summary>")[0]
    assert "<li><b>Batch 1 with accumulation 8</b> costs some speed, no accuracy.</li>" in folded
    tiny = dataclasses.replace(small, free_bytes=1000)
    monkeypatch.setattr(memory, "this_machine", lambda: tiny)
    shown = needs_html(home, BaseChoice(), recipes.load("dpo"))
    assert "No change of settings is enough" in shown
    assert "<details" not in shown


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_the_bars_follow_the_chosen_preset(tmp_path: Path, width: int, dark: bool) -> None:
    engine = DrawingEngine()
    store = answering(tmp_path, engine)
    with (
        opened(Home(tmp_path), store, engine, BaseChoice()) as site,
        browser.page(width, 900, dark=dark) as page,
    ):
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="Train").click()
        page.wait_for_selector("[data-testid=needs] svg")
        before = page.inner_text("[data-testid=needs] figcaption b")
        page.click("#op-preset input")
        page.get_by_role("option", name="dpo-quick").click()
        page.wait_for_function(
            "before => document.querySelector('[data-testid=needs] figcaption b').innerText !== before",
            arg=before,
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
