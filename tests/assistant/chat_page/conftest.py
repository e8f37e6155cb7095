"""The chat page in a browser, in front of a model that says what the test wants."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant import page as chat_page
from assistant.accounts import Access
from assistant.server import RolePage, Site, make_app
from assistant.turns import Turns
from feedback.store import Store
from tests import browser
from tests.scripted import ScriptedEngine, answering, serving


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("The **sky** scatters light. `code`\n\n```\nlet x = 1;\n```\n")


@pytest.fixture
def store(tmp_path: Path, engine: ScriptedEngine) -> Store:
    return answering(tmp_path, engine)


@pytest.fixture
def address(store: Store, engine: ScriptedEngine) -> Iterator[str]:
    access = Access(store)
    pages = [RolePage("/", "chatter", chat_page.build(store, access.current_user), chat_page.head())]
    with serving(make_app(Turns(store, engine), access, Site(), pages)) as served:
        yield served


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    """The open chat page; afterwards: nothing came from elsewhere."""
    with browser.page() as opened:
        troubles: list[str] = []
        opened.on("request", lambda one: _note_foreign(one.url, address, troubles))
        opened.goto(address)
        opened.get_by_test_id("composer").wait_for()
        yield opened
        assert troubles == []


def _note_foreign(url: str, address: str, troubles: list[str]) -> None:
    if not url.startswith((address, "data:", "blob:")):
        troubles.append(url)
