"""The transformers engine: all that an engine must do, and what is its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant import base as bases
from assistant.base import Base
from assistant.engines.interface import Request
from assistant.engines.torch_engine import TorchEngine
from feedback.conversations import Sampling
from feedback.home import Home
from tests import tiny_models
from tests.assistant.engine_contract import EngineCase, EngineContract, prompt, whole


@pytest.fixture
def engine_case(tiny_base: Base, home: Home) -> Iterator[EngineCase]:
    engine = TorchEngine(tiny_base, home)
    yield EngineCase(engine, tiny_base)
    engine.close()


class TestTorchEngine(EngineContract):
    pass


def test_gpt2_without_a_chat_template_gets_one_and_answers(home: Home, tmp_path: Path) -> None:
    tiny_models.save_gpt2(tmp_path / "gpt2")
    base = bases.resolve(home, bases.BaseChoice(str(tmp_path / "gpt2"), "none"))
    engine = TorchEngine(base, home)
    try:
        plain = tiny_models.base_version(base)
        requests = [
            Request(prompt(engine, question), Sampling(0.0, 1.0, 8), plain)
            for question in ("Who are you?", "The cat sat on")
        ]
        assert engine.batch(requests) == [whole(engine, request)[1] for request in requests]
        assert engine.window == 256
        assert prompt(engine, "Hello") == "<|start|>User: Hello\nAssistant:\n"
    finally:
        engine.close()
