"""The ground of the remote engine's tests: short patience, and what they do again and again."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from assistant import registry
from assistant.base import Base
from assistant.engines.interface import Completion, Request
from assistant.engines.remote_engine import RemoteEngine
from assistant.engines.remote_http import Patience
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store
from tests import tiny_models
from tests.assistant.engine_contract import prompt, whole

QUICK = Patience(
    connect_s=1.0,
    answer_s=10.0,
    first_token_s=1.0,
    between_tokens_s=2.0,
    retry_s=2.5,
    probe_s=0.2,
    linger_s=60.0,
)
STEADY = replace(QUICK, answer_s=60.0, first_token_s=60.0, between_tokens_s=60.0)
"""For tests in which nothing is late, however busy the machine."""


def versions(store: Store, home: Home, base: Base, tmp_path: Path, count: int) -> list[ModelVersion]:
    folders = [tiny_models.save_adapter(base, tmp_path / f"adapter{seed}", seed) for seed in range(count)]
    return [registry.add(store, home, base, folder, None, "sft") for folder in folders]


def ask(engine: RemoteEngine, version: ModelVersion, tokens: int = 24) -> Completion:
    return whole(engine, Request(prompt(engine, "The cat"), Sampling(1.0, 1.0, tokens, 3), version))[1]


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return holds()


def written_before_it_broke(engine: RemoteEngine, version: ModelVersion) -> tuple[str, str]:
    """(what came, what was said of the end) of a reply that breaks off."""
    stream = engine.stream(Request(prompt(engine, "The cat"), Sampling(1.0, 1.0, 200, 3), version))
    pieces: list[str] = []
    try:
        while True:
            pieces.append(next(stream))
    except HoneError as error:
        return "".join(pieces), str(error)
