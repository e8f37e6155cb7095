"""Classifiers where operators look: the History tab and the API, which read what training left."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from playwright.sync_api import Page

import app
from assistant import registry
from assistant.accounts import Access
from assistant.base import Base, BaseChoice
from assistant.server import Site, make_app
from assistant.turns import Turns
from feedback.home import Home
from feedback.ids import LOCAL_USER
from tests import browser, tiny_models, training_ground
from tests.scripted import ScriptedEngine, answering, serving
from tests.training.test_classify_commands import written
from tests.training.test_operate_datasets import chooses, options
from tests.training.test_operate_page import DrawingEngine, opened
from tests.training_ground import Ground, ground
from training import recipes, runs, worker
from training.api import Shop, router
from training.classify import begin, heads
from training.jobs import Jobs
from training.runs import Run

FIRST, SECOND = "cats", "cats-and-dogs-and-what-else-people-wrote-about-in-two-years"


@contextmanager
def operate(on: Ground, tab: str, width: int, dark: bool) -> Iterator[Page]:
    """A tab of the operator page, in a browser."""
    with (
        opened(on.home, on.store, DrawingEngine(), BaseChoice()) as site,
        browser.page(width, 900, dark=dark) as page,
    ):
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name=tab).click()
        yield page


def train(on: Ground, name: str, learnt: Path, test: Path | None = None, start: str | None = None) -> Run:
    """A run that is done in this process."""
    data_id, test_id = (
        begin.dataset(on.store, on.home, LOCAL_USER, str(file)).id if file else None
        for file in (learnt, test)
    )
    recipe = recipes.from_mapping(
        {"model": str(on.base.folder), "quantize": "none", "wording": "plain", "called": name},
        recipes.load("classify-frozen"),
    )
    wanted = begin.Wanted(str(data_id), test_id, start)
    run = begin.create(on.store, on.home, LOCAL_USER, recipe, wanted)
    assert worker.claim(on.store, run.id)
    assert worker.run_to_end(worker.Seat(on.store, on.home, run.id)) == "done"
    return runs.get(on.store, run.id)


@dataclass(frozen=True)
class Kept:
    """A home with two classifiers: one measured on test data, one that starts from a model version."""

    on: Ground
    version: str
    runs: tuple[Run, Run]


@pytest.fixture
def kept(home: Home, tiny_base: Base, tmp_path: Path) -> Kept:
    on = ground(home, tiny_base, questions=12)
    adapter = tiny_models.save_adapter(on.base, tmp_path / "adapter")
    version = registry.add(on.store, home, on.base, adapter, None, "sft")
    data, test = written(tmp_path / "data.jsonl", 24), written(tmp_path / "test.jsonl", 30, first=100)
    made = train(on, FIRST, data, test), train(on, SECOND, data, start=version.name)
    return Kept(on, version.name, made)


@pytest.fixture
def api(kept: Kept) -> Iterator[httpx.Client]:
    turns = Turns(kept.on.store, ScriptedEngine())
    shop = Shop(kept.on.home, BaseChoice(str(kept.on.base.folder), "none"), Jobs())
    served = make_app(turns, Access(kept.on.store), Site(), [], [router(shop)])
    with serving(served) as address, httpx.Client(base_url=f"{address}/api", timeout=30) as client:
        yield client


def test_the_api_lists_what_the_command_lists_and_gives_each_report(api: httpx.Client, kept: Kept) -> None:
    told = api.get("/classifiers").json()["classifiers"]
    assert [one["name"] for one in told] == [SECOND, FIRST]
    command = ["classify", "--list", "--json", "--home", str(kept.on.home.path)]
    assert told[::-1] == json.loads(CliRunner().invoke(app.cli, command).stdout)
    page = (heads.folder_of_all(kept.on.home) / FIRST / heads.REPORT).read_text("utf-8")
    for named in (FIRST, told[1]["id"]):
        answer = api.get(f"/classifiers/{named}/report")
        assert (answer.status_code, answer.text) == (200, page)
        assert answer.headers["content-type"].startswith("text/html")
    missing = api.get("/classifiers/nobody/report")
    assert (missing.status_code, FIRST in missing.json()["error"]["message"]) == (404, True)


def test_a_classifiers_run_is_started_by_the_api_and_told_with_what_it_made(
    api: httpx.Client, kept: Kept
) -> None:
    first, _ = kept.runs
    told = api.get(f"/runs/{first.id}").json()
    assert (told["classifier"]["name"], told["run"]["test_dataset_id"]) == (FIRST, first.test_dataset_id)
    training_ground.somebody_else_trains(kept.on)
    order = {"recipe": "classify-frozen", "data": first.dataset_id, "test": first.test_dataset_id}
    answer = api.post("/runs", json=order | {"start": kept.version, "settings": {"wording": "asked"}})
    assert answer.status_code == 201, answer.text
    run = answer.json()["run"]
    assert (run["method"], run["state"]) == ("classify", "queued")
    assert (run["dataset_id"], run["test_dataset_id"]) == (first.dataset_id, first.test_dataset_id)
    for wrong, why in (
        (order | {"test": kept.on.snapshot.id}, "no dataset"),
        (order | {"settings": {"wording": "some"}}, "is no wording"),
        ({"recipe": "dpo", "test": first.test_dataset_id}, "takes neither test nor start"),
    ):
        refused = api.post("/runs", json=wrong)
        assert refused.status_code in (400, 404)
        assert why in refused.json()["error"]["message"]


def test_a_classifiers_run_is_started_from_the_page(kept: Kept) -> None:
    on, (first, _) = kept.on, kept.runs
    training_ground.somebody_else_trains(on)
    choice = BaseChoice(str(on.base.folder), "none")
    with opened(on.home, on.store, DrawingEngine(), choice) as site:
        values, start = site.values(), site.part("op-start")
        act = next(handler for handler in site.handlers() if [start, "click"] in handler["targets"])
        for choices in (
            {},
            {"op-learn": "A dataset", "op-dataset": first.dataset_id},
            {"op-test": first.test_dataset_id, "op-preset": "classify-full"},
        ):
            values |= {site.part(name): value for name, value in choices.items()}
            for handler in browser.drawing(site.config()):
                site.call(handler, values)  # fills the lists
        told = site.call(act, values)
    run = runs.get(on.store, "latest")
    assert run.id in told.text
    assert (run.state, run.recipe.adapt) == ("queued", "full")
    assert (run.dataset_id, run.test_dataset_id) == (first.dataset_id, first.test_dataset_id)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_train_tab_offers_what_labels_teach_and_shows_what_a_run_made(
    kept: Kept, width: int, dark: bool
) -> None:
    first, second = kept.runs
    with operate(kept.on, "Train", width, dark) as page:
        page.wait_for_selector("[data-testid=classifier]")
        shown = page.inner_text("[data-testid=classifier]")
        assert "which flatters" in shown
        href = page.get_attribute("[data-testid=classifier] a", "href")
        assert href == f"/api/classifiers/{SECOND}/report"
        assert second.id in page.inner_text("h3.op-run")
        page.get_by_label("A dataset").check()
        page.wait_for_selector("#op-test")
        page.click("#op-dataset input")
        page.get_by_role("option", name=str(first.dataset_id)).click()
        chooses(page, "classify")
        assert set(options(page, "#op-preset")) == {"classify", "classify-frozen", "classify-full"}
        measured = options(page, "#op-test")
        assert len(measured) == 2
        assert str(first.test_dataset_id) in measured[1]
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_report_that_is_not_what_was_kept_is_not_shown(api: httpx.Client, kept: Kept) -> None:
    file = heads.folder_of_all(kept.on.home) / FIRST / heads.REPORT
    file.write_text("<script>alert(1)</script>")
    changed = api.get(f"/classifiers/{FIRST}/report")
    assert (changed.status_code, "script" in changed.text) == (400, False)
    file.unlink()
    assert "cannot be shown" in api.get(f"/classifiers/{FIRST}/report").json()["error"]["what"]


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_history_tells_of_each_classifier_how_good_it_is_and_what_it_started_from(
    kept: Kept, width: int, dark: bool
) -> None:
    on = kept.on
    with operate(on, "History", width, dark) as page:
        page.wait_for_selector("[data-testid=classifiers]")
        second, first = page.locator("[data-testid=classifiers] tbody tr").all_inner_texts()
        measured = heads.find(on.home, FIRST).metrics["measured"]["accuracy"]
        figure = f"{measured['value']:.3f} ({measured['low']:.3f} to {measured['high']:.3f})"
        run, _ = kept.runs
        for words in (FIRST, "canine, feline", figure, "30 texts of the test data", "the base", run.id):
            assert words in first
        assert FIRST in page.locator("[data-testid=runs] tbody tr", has_text=run.id).inner_text()
        for words in (SECOND, "which flatters", kept.version, on.base.id):
            assert words in second
        links = page.locator("[data-testid=classifiers] a")
        found = [link.get_attribute("href") for link in links.all()]
        assert found == [f"/api/classifiers/{name}/report" for name in (SECOND, FIRST)]
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_a_damaged_classifier_hides_nothing_else(tmp_path: Path) -> None:
    engine, home = DrawingEngine(), Home(tmp_path)
    store = answering(tmp_path, engine)
    with opened(home, store, engine, BaseChoice()) as site, browser.page() as page:
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="History").click()
        page.get_by_text("hone train classify --data FILE").wait_for()
        broken = heads.folder_of_all(home) / "broken"
        broken.mkdir(parents=True)
        (broken / heads.MANIFEST).write_text("{}")
        page.reload()
        page.get_by_role("tab", name="History").click()
        page.get_by_text("is damaged").wait_for()
        assert page.is_visible("[data-testid=audit]")
