"""Real servers of a model as processes, and what the remote engine must be able to do with each."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from assistant.base import Base
from assistant.engines.interface import Answered, Request, Wanted
from assistant.engines.remote_engine import RemoteEngine
from assistant.engines.remote_http import Patience
from assistant.engines.torch_engine import TorchEngine
from assistant.registry import ModelVersion
from feedback.conversations import Sampling
from feedback.home import Home
from tests import tiny_models
from tests.assistant.engine_contract import prompt, same, whole
from tests.scripted import drained

PEERS = Path(os.environ.get("HONE_PEERS", Path(__file__).parent.parent.parent / ".peers")).resolve()
START_S = 300.0
PATIENCE = Patience(probe_s=1.0, linger_s=1.0)
GREEDY = Sampling(0.0, 1.0, 24, 1)
COLOURS = "Name three colours."
"""One of few questions on which this small model is sure enough for any arithmetic to give the same words."""
WARM = Sampling(0.9, 0.95, 24, 7)


def needed(path: Path, target: str) -> Path:
    """`path`, which `make TARGET` makes; without it the test is skipped."""
    if not path.exists():
        pytest.skip(f"{path} is not there: make {target} makes it")
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], port: int, log: Path, env: dict[str, str] | None = None
) -> Iterator[None]:
    """The server as a process of its own, until it answers /health; killed at the end, children and all."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command), stdout=output, stderr=output, env=os.environ | (env or {}), start_new_session=True
        )
    try:
        wait_for(port, process, log)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {log.read_text('utf-8', 'replace')[-3000:]}")
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"the server did not start: {log.read_text('utf-8', 'replace')[-3000:]}")


class PeerContract:
    """What must work with every real server. Inherit it, and give `engine` and what it can do."""

    @pytest.fixture(scope="class")
    def plain(self, real_base: Base) -> ModelVersion:
        return tiny_models.base_version(real_base)

    @pytest.fixture(scope="class")
    def reference(self, real_base: Base, prepared_home: Home) -> Iterator[TorchEngine]:
        engine = TorchEngine(real_base, prepared_home)
        yield engine
        engine.close()

    def test_a_reply_streams_and_makes_sense(self, engine: RemoteEngine, plain: ModelVersion) -> None:
        request = Request(prompt(engine, COLOURS), GREEDY, plain)
        pieces, reply = whole(engine, request)
        assert len(pieces) > 3
        assert "".join(pieces) == reply.text
        assert reply.text.startswith("1. Red")
        assert not any(token in reply.text for token in engine.template.control_tokens)
        assert 0 < reply.tokens <= GREEDY.max_tokens

    def test_a_reply_begins_as_the_model_itself_would(
        self, engine: RemoteEngine, reference: TorchEngine, plain: ModelVersion
    ) -> None:
        """Where prompts were read in another way, replies would part at once; rounding parts them later."""
        for question in (COLOURS, "Write the alphabet."):
            request = Request(prompt(engine, question), GREEDY, plain)
            ours, theirs = whole(reference, request)[1].text, whole(engine, request)[1].text
            assert ours[:15] == theirs[:15]

    def test_a_stop_ends_it(self, engine: RemoteEngine, plain: ModelVersion) -> None:
        stop = threading.Event()
        long = Sampling(0.0, 1.0, 800, 1)
        stream = engine.stream(Request(prompt(engine, "Tell a long story."), long, plain, stop))
        next(stream)
        stop.set()
        begun = time.monotonic()
        assert drained(stream)[1].finish == "stopped"
        assert time.monotonic() - begun < 1.0
        assert whole(engine, Request(prompt(engine, "Hello"), GREEDY, plain))[1].text  # it is free again

    def test_a_seed_gives_the_same_text_twice(self, engine: RemoteEngine, plain: ModelVersion) -> None:
        request = Request(prompt(engine, "Tell me about tea."), WARM, plain)
        first = whole(engine, request)[1]
        assert same(whole(engine, request)[1]) == same(first)
        other = Request(request.prompt, Sampling(0.9, 0.95, 24, 8), plain)
        assert whole(engine, other)[1].text != first.text

    def test_a_batch_comes_back_in_order(self, engine: RemoteEngine, plain: ModelVersion) -> None:
        asked = [Request(prompt(engine, f"Say the number {n}."), GREEDY, plain) for n in range(4)]
        assert len({reply.text for reply in engine.batch(asked)}) == 4

    def test_a_stop_text_ends_it(self, engine: RemoteEngine, plain: ModelVersion) -> None:
        request = Request(prompt(engine, COLOURS), GREEDY, plain, wanted=Wanted((": This",)))
        reply = whole(engine, request)[1]
        assert reply.finish == "stop"
        assert reply.text == "1. Red"

    def test_log_probabilities_of_tokens_are_the_models(
        self, engine: RemoteEngine, reference: TorchEngine, plain: ModelVersion
    ) -> None:
        if "token_logprobs" not in engine.abilities:
            pytest.skip(f"{engine.name} tells none")
        request = Request(prompt(engine, COLOURS), GREEDY, plain, wanted=Wanted(top_logprobs=2))
        theirs, ours = (whole(one, request)[1].logprobs for one in (engine, reference))
        assert len(theirs) == whole(engine, request)[1].tokens
        assert theirs[0].token == ours[0].token
        assert theirs[0].nats == pytest.approx(ours[0].nats, abs=0.3)

    def test_a_schema_is_held_to(self, engine: RemoteEngine, plain: ModelVersion) -> None:
        if "json_schema" not in engine.abilities:
            pytest.skip(f"{engine.name} holds none")
        wanted = Wanted(json_schema='{"enum": ["yes", "no"]}')
        reply = whole(engine, Request(prompt(engine, "Is tea hot?"), GREEDY, plain, wanted=wanted))[1]
        assert reply.text.strip() in ('"yes"', '"no"')

    def test_given_answers_are_scored_as_the_model_scores_them(
        self, engine: RemoteEngine, reference: TorchEngine, plain: ModelVersion
    ) -> None:
        asked = [
            Answered(prompt(engine, "What is the capital of France?"), answer, ended)
            for answer, ended in (
                ("Paris.", True),
                ("The capital of France is Paris", False),
                ("A cow.", True),
            )
        ]
        if not self.scores:
            with pytest.raises(Exception, match="how probable"):
                engine.logprobs(asked, plain)
            return
        theirs, ours = (one.logprobs(asked, plain) for one in (engine, reference))
        assert [one.tokens for one in theirs] == [one.tokens for one in ours]
        nats = [[one.total_nats for one in found] for found in (theirs, ours)]
        assert nats[0] == pytest.approx(nats[1], rel=0.15, abs=0.6)
        assert nats[0][1] > nats[0][0] > nats[0][2]  # the same preference

    scores = True
