"""The remote engine against llama.cpp's own server. `make remote-llamacpp` builds it and runs this."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant import embedded, registry
from assistant.base import Base
from assistant.engines.interface import Answered
from assistant.engines.remote_engine import RemoteEngine
from assistant.registry import ModelVersion
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store
from tests import tiny_models
from tests.assistant.engine_contract import prompt
from tests.peers.ground import PATIENCE, PEERS, PeerContract, free_port, needed, running

pytestmark = [pytest.mark.llamacpp, pytest.mark.model]


class TestLlamaCpp(PeerContract):
    @pytest.fixture(scope="class")
    def engine(
        self, real_base: Base, prepared_home: Home, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[RemoteEngine]:
        program = needed(PEERS / "llamacpp" / "bin" / "llama-server", "remote-llamacpp")
        port, log = free_port(), tmp_path_factory.mktemp("llamacpp") / "log"
        model = str(embedded.locate(prepared_home))
        options = ["--host", "127.0.0.1", "--port", str(port), "-c", "8192", "-np", "4"]
        with running([str(program), "-m", model, *options], port, log):
            engine = RemoteEngine(real_base, prepared_home, [f"http://127.0.0.1:{port}"], PATIENCE)
            yield engine
            engine.close()

    def test_it_says_how_many_replies_and_tokens_it_has_room_for(self, engine: RemoteEngine) -> None:
        assert (engine.capacity, engine.window) == (4, 2048)
        assert engine.abilities == {"token_logprobs", "json_schema"}

    def test_a_promotion_is_refused_before_it_happens(
        self, engine: RemoteEngine, store: Store, real_base: Base, prepared_home: Home, tmp_path: Path
    ) -> None:
        folder = tiny_models.save_adapter(real_base, tmp_path / "adapter")
        version = registry.add(store, prepared_home, real_base, folder, None, "sft")
        with pytest.raises(HoneError, match="loads no adapters while it runs"):
            engine.load(version)

    def test_an_answer_with_characters_of_many_tokens_is_not_scored_wrongly(
        self, engine: RemoteEngine, plain: ModelVersion
    ) -> None:
        with pytest.raises(HoneError, match="inside a character"):
            engine.logprobs([Answered(prompt(engine, "Greet me in Chinese."), "你好")], plain)
