"""The remote engine against `transformers serve`. `make remote-transformers` prepares it and runs this."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.base import Base
from assistant.engines.remote_engine import RemoteEngine
from feedback.home import Home
from tests.peers.ground import PATIENCE, PEERS, PeerContract, free_port, needed, running

pytestmark = [pytest.mark.transformers_serve, pytest.mark.model]


class TestTransformersServe(PeerContract):
    scores = False

    @pytest.fixture(scope="class")
    def engine(
        self, real_base: Base, prepared_home: Home, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[RemoteEngine]:
        extra = needed(PEERS / "transformers", "remote-transformers")
        port, log = free_port(), tmp_path_factory.mktemp("transformers") / "log"
        program = Path(sys.executable).parent / "transformers"
        options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
        env = {"PYTHONPATH": str(extra), "HF_HUB_OFFLINE": "1"}
        with running([str(program), "serve", str(real_base.folder), *options], port, log, env):
            engine = RemoteEngine(real_base, prepared_home, [f"http://127.0.0.1:{port}"], PATIENCE)
            yield engine
            engine.close()

    def test_it_is_asked_one_thing_at_a_time(self, engine: RemoteEngine) -> None:
        assert engine.capacity == 1
        assert engine.name == "remote transformers-serve"
        assert engine.abilities == frozenset()
