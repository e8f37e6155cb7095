"""The OpenVINO engine: all that an engine must do, and what is its own."""

from collections.abc import Iterator

import pytest

from assistant.base import Base
from assistant.engines.openvino_engine import OpenVinoEngine
from feedback.home import Home
from tests.assistant.engine_contract import EngineCase, EngineContract


@pytest.fixture
def engine_case(tiny_base: Base, home: Home) -> Iterator[EngineCase]:
    engine = OpenVinoEngine(tiny_base, home)
    yield EngineCase(engine, tiny_base, computes_alike=False)  # its weights have 8 bits
    engine.close()


class TestOpenVinoEngine(EngineContract):
    pass
