"""The remote engine passes what every engine must, on a server like vLLM and on a plain one."""

from collections.abc import Iterator

import pytest

from assistant.base import Base
from assistant.engines.remote_engine import RemoteEngine
from feedback.home import Home
from tests.assistant.engine_contract import EngineCase, EngineContract
from tests.assistant.remote_ground import STEADY
from tests.completions_server import CompletionsServer, Kind, Model


class TestRemoteEngineOnVllm(EngineContract):
    @pytest.fixture
    def engine_case(self, server: CompletionsServer, tiny_base: Base, home: Home) -> Iterator[EngineCase]:
        engine = RemoteEngine(tiny_base, home, [server.url], STEADY)
        yield EngineCase(engine, tiny_base)
        engine.close()


class TestRemoteEngineOnAPlainServer(EngineContract):
    @pytest.fixture
    def engine_case(self, model: Model, tiny_base: Base, home: Home) -> Iterator[EngineCase]:
        server = CompletionsServer(model, Kind(vllm=False, adapters=False))
        engine = RemoteEngine(tiny_base, home, [server.url], STEADY)
        yield EngineCase(engine, tiny_base, scores=False, adapters=False)
        engine.close()
        server.kill()
