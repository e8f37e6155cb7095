"""A server of the tiny model on a real socket, and the engine that asks it."""

from collections.abc import Iterator

import pytest

from assistant.base import Base
from assistant.engines.remote_engine import RemoteEngine
from assistant.registry import ModelVersion
from feedback.home import Home
from tests import tiny_models
from tests.assistant.remote_ground import QUICK
from tests.completions_server import CompletionsServer, Model


@pytest.fixture
def model(tiny_base: Base, home: Home) -> Iterator[Model]:
    made = Model(tiny_base, home)
    yield made
    made.served.close()


@pytest.fixture
def server(model: Model) -> Iterator[CompletionsServer]:
    made = CompletionsServer(model)
    yield made
    made.kill()


@pytest.fixture
def plain(tiny_base: Base) -> ModelVersion:
    return tiny_models.base_version(tiny_base)


@pytest.fixture
def engine(server: CompletionsServer, tiny_base: Base, home: Home) -> Iterator[RemoteEngine]:
    made = RemoteEngine(tiny_base, home, [server.url], QUICK)
    yield made
    made.close()
