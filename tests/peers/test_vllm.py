"""The remote engine against vLLM on the CPU. `make remote-vllm` installs it and runs this; a few minutes."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from assistant import registry
from assistant.base import Base
from assistant.engines.interface import Answered, Request
from assistant.engines.remote_engine import RemoteEngine
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store
from tests import tiny_models
from tests.assistant.engine_contract import prompt, whole
from tests.peers.ground import COLOURS, GREEDY, PATIENCE, PEERS, PeerContract, free_port, needed, running
from training import promotion

pytestmark = [pytest.mark.vllm, pytest.mark.model]


@dataclass(frozen=True)
class Vllm:
    """How to start it, always on the same port."""

    url: str
    start: Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def vllm(real_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Vllm:
    program = needed(PEERS / "vllm" / "bin" / "vllm", "remote-vllm")
    port, log = free_port(), tmp_path_factory.mktemp("vllm") / "log"
    options = [
        "--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16", "--max-model-len", "2048",
        "--enable-lora", "--max-lora-rank", "16", "--max-loras", "2",
    ]  # fmt: skip
    env = {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{program.parent}:/usr/local/bin:/usr/bin:/bin",
    }
    command = [str(program), "serve", str(real_base.folder), *options]
    return Vllm(f"http://127.0.0.1:{port}", lambda: running(command, port, log, env))


def adapters(url: str) -> set[str]:
    return {one["id"] for one in httpx.get(f"{url}/v1/models").json()["data"] if one.get("parent")}


def version(store: Store, home: Home, base: Base, folder: Path, seed: int) -> ModelVersion:
    made = tiny_models.save_adapter(base, folder / str(seed), seed, strength=0.02)
    return registry.add(store, home, base, made, None, "sft")


class TestVllm(PeerContract):
    @pytest.fixture(scope="class")
    def engine(self, vllm: Vllm, real_base: Base, prepared_home: Home) -> Iterator[RemoteEngine]:
        with vllm.start():
            engine = RemoteEngine(real_base, prepared_home, [vllm.url], PATIENCE)
            yield engine
            engine.close()

    def test_it_can_do_everything(self, engine: RemoteEngine) -> None:
        assert engine.abilities == {"token_logprobs", "json_schema"}
        assert engine.window == 2047


def test_a_promotion_reaches_it_the_old_adapter_leaves_and_a_restart_finds_the_champion(
    vllm: Vllm, real_base: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    with vllm.start():
        engine = RemoteEngine(real_base, home, [vllm.url], PATIENCE)
        registry.ensure_base(store, real_base, engine.template)
        first, second = (version(store, home, real_base, tmp_path, seed) for seed in (1, 2))
        for one in (first, second):
            with promotion.made_ready(engine, store, one.id):
                promotion.promote(store, home, LOCAL_USER, one.id, "a test of promotions")
            if one is first:
                assert adapters(vllm.url) == {first.id}
                long = Request(prompt(engine, COLOURS), Sampling(1.0, 1.0, 600, 1), first)
                running_reply = engine.stream(long)
                next(running_reply)
        assert adapters(vllm.url) == {first.id, second.id}  # the first is still writing
        running_reply.close()
        until = time.monotonic() + 20
        while adapters(vllm.url) != {second.id} and time.monotonic() < until:
            time.sleep(0.2)
        assert adapters(vllm.url) == {second.id}
        request = Request(prompt(engine, COLOURS), GREEDY, second)
        before = whole(engine, request)[1].text
        compare_with_transformers(engine, real_base, home, second)
    # The process was killed. It is started again on the same port, and knows no adapter.
    with vllm.start():
        until = time.monotonic() + 60
        while adapters(vllm.url) != {second.id} and time.monotonic() < until:
            time.sleep(0.2)
        assert adapters(vllm.url) == {second.id}
        assert whole(engine, request)[1].text == before
        engine.close()


def compare_with_transformers(engine: RemoteEngine, base: Base, home: Home, adapted: ModelVersion) -> None:
    """What was trained is what is served: both find the same answers of an adapted version as probable."""
    reference = TorchEngine(base, home)
    asked = [
        Answered(prompt(engine, COLOURS), answer) for answer in ("Red, green, blue.", "A cow.", "1. Red")
    ]
    for one in (adapted, tiny_models.base_version(base)):
        theirs, ours = (
            [found.total_nats for found in which.logprobs(asked, one)] for which in (engine, reference)
        )
        assert theirs == pytest.approx(ours, rel=0.05, abs=0.5)
    reference.close()
