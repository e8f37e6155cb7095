"""The remote engine against a real socket: all that an engine must do, and what a server may do to it."""

from collections.abc import Iterator

import pytest

from assistant.base import Base
from assistant.engines.remote_engine import RemoteEngine
from assistant.engines.remote_http import Patience
from feedback.home import Home
from tests.assistant.engine_contract import EngineCase, EngineContract
from tests.completions_server import CompletionsServer, Kind, Model

QUICK = Patience(
    connect_s=1.0,
    answer_s=10.0,
    first_token_s=2.0,
    between_tokens_s=2.0,
    retry_s=3.0,
    probe_s=0.2,
    linger_s=0.0,
)


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


class TestRemoteEngineOnVllm(EngineContract):
    @pytest.fixture
    def engine_case(self, server: CompletionsServer, tiny_base: Base, home: Home) -> Iterator[EngineCase]:
        engine = RemoteEngine(tiny_base, home, [server.url], QUICK)
        yield EngineCase(engine, tiny_base)
        engine.close()


class TestRemoteEngineOnAPlainServer(EngineContract):
    @pytest.fixture
    def engine_case(self, model: Model, tiny_base: Base, home: Home) -> Iterator[EngineCase]:
        server = CompletionsServer(model, Kind(vllm=False, adapters=False))
        engine = RemoteEngine(tiny_base, home, [server.url], QUICK)
        yield EngineCase(engine, tiny_base, scores=False, adapters=False)
        engine.close()
        server.kill()
