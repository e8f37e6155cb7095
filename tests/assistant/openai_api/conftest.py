"""OpenAI's API over a real socket, answered by an engine that says what it is told to."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from assistant.accounts import Access
from assistant.server import Site, make_app
from assistant.turns import Turns
from feedback.store import Store
from tests.scripted import ScriptedEngine, answering, serving


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("Light scatters. SEED")


@pytest.fixture
def store(tmp_path: Path, engine: ScriptedEngine) -> Store:
    return answering(tmp_path, engine)


@pytest.fixture
def api(store: Store, engine: ScriptedEngine) -> Iterator[httpx.Client]:
    app = make_app(Turns(store, engine, most_waiting=2), Access(store), Site(), [])
    with serving(app) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield client
