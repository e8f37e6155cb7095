"""Classifiers where operators look: the History tab and the API, which read what training left."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

import app
from assistant import registry
from assistant.accounts import Access
from assistant.base import Base, BaseChoice
from assistant.server import Site, make_app
from assistant.turns import Turns
from feedback.home import Home
from tests import browser, tiny_models
from tests.scripted import ScriptedEngine, answering, serving
from tests.training.test_classify_commands import written
from tests.training.test_operate_page import DrawingEngine, opened
from tests.training_ground import Ground, ground
from training.api import Shop, router
from training.classify import heads
from training.jobs import Jobs

FIRST, SECOND = "cats", "cats-and-dogs-and-what-else-people-wrote-about-in-two-years"


def train(home: Home, base: Base, name: str, *more: str) -> None:
    words = ["train", "classify", "--name", name, "--adapt", "frozen", "--wording", "plain", *more]
    given = ["--model", str(base.folder), "--quantize", "none", "--home", str(home.path)]
    done = CliRunner().invoke(app.cli, [*words, *given])
    assert done.exit_code == 0, done.output


@dataclass(frozen=True)
class Kept:
    """A home with two classifiers: one measured on test data, one that starts from a model version."""

    on: Ground
    version: str


@pytest.fixture
def kept(home: Home, tiny_base: Base, tmp_path: Path) -> Kept:
    on = ground(home, tiny_base, questions=12)
    adapter = tiny_models.save_adapter(on.base, tmp_path / "adapter")
    version = registry.add(on.store, home, on.base, adapter, None, "sft")
    data, test = written(tmp_path / "data.jsonl", 24), written(tmp_path / "test.jsonl", 30, first=100)
    train(home, tiny_base, FIRST, "--data", str(data), "--test", str(test))
    train(home, tiny_base, SECOND, "--data", str(data), "--from", version.name)
    return Kept(on, version.name)


@pytest.fixture
def api(kept: Kept) -> Iterator[httpx.Client]:
    turns = Turns(kept.on.store, ScriptedEngine())
    shop = Shop(kept.on.home, BaseChoice(), Jobs())
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
    with (
        opened(on.home, on.store, DrawingEngine(), BaseChoice()) as site,
        browser.page(width, 900, dark=dark) as page,
    ):
        page.goto(f"{site.address}/operate")
        page.get_by_role("tab", name="History").click()
        page.wait_for_selector("[data-testid=classifiers]")
        second, first = page.locator("[data-testid=classifiers] tbody tr").all_inner_texts()
        measured = heads.find(on.home, FIRST).metrics["measured"]["accuracy"]
        figure = f"{measured['value']:.3f} ({measured['low']:.3f} to {measured['high']:.3f})"
        for words in (FIRST, "canine, feline", figure, "30 texts of the test data", "the base"):
            assert words in first
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
