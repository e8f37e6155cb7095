"""The servers behind the remote engine: which is refused, which is asked, how a promotion reaches each."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from assistant import registry
from assistant.base import Base
from assistant.engines.interface import Request
from assistant.engines.remote_engine import RemoteEngine
from assistant.registry import ModelVersion
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store
from tests import tiny_models
from tests.assistant.engine_contract import LONG, WARM, prompt, whole
from tests.assistant.remote_ground import QUICK, ask, eventually, versions
from tests.completions_server import CompletionsServer, Kind, Model

# Which server: the right model, the right key, the least busy.


def test_a_server_that_reads_other_tokens_is_refused_at_the_start(
    tiny_base: Base, home: Home, tmp_path: Path
) -> None:
    tiny_models.save_llama(tmp_path / "other")
    shift = json.loads((tmp_path / "other" / "tokenizer.json").read_text())
    words = shift["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    (tmp_path / "other" / "tokenizer.json").write_text(json.dumps(shift))
    other = Model(replace(tiny_base, folder=tmp_path / "other"), home)
    server = CompletionsServer(other)
    with pytest.raises(HoneError, match="serves another model than the base"):
        RemoteEngine(tiny_base, home, [server.url], QUICK)
    server.kill()
    other.served.close()


def test_a_server_of_a_model_of_another_shape_is_refused_at_the_start(
    model: Model, tiny_base: Base, home: Home, tmp_path: Path
) -> None:
    model.base = replace(tiny_base, folder=tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 64, "num_hidden_layers": 2}))
    server = CompletionsServer(model)
    with pytest.raises(HoneError, match="64 wide, the base 32"):
        RemoteEngine(tiny_base, home, [server.url], QUICK)
    server.kill()


def test_a_server_that_puts_prompts_into_a_template_of_its_own_is_refused(
    model: Model, tiny_base: Base, home: Home
) -> None:
    server = CompletionsServer(model, Kind(vllm=False, own_template=True))
    with pytest.raises(HoneError, match="chat template of its own"):
        RemoteEngine(tiny_base, home, [server.url], QUICK)
    server.kill()


def test_a_server_that_adds_a_begin_token_to_text_which_the_base_would_not_is_refused(
    model: Model, tiny_base: Base, home: Home
) -> None:
    server = CompletionsServer(model, Kind(vllm=False, adds_bos=True))
    with pytest.raises(HoneError, match="serves another model"):
        RemoteEngine(tiny_base, home, [server.url], QUICK)
    server.kill()


def test_a_begin_token_that_the_server_adds_is_not_sent_twice(
    tiny_base: Base, home: Home, tmp_path: Path
) -> None:
    base = replace(tiny_base, folder=tmp_path / "with-bos")
    shutil.copytree(tiny_base.folder, base.folder)
    tiny_models.add_bos(base.folder)
    model = Model(base, home)
    server = CompletionsServer(model, Kind(vllm=False, adds_bos=True))
    engine = RemoteEngine(base, home, [server.url], QUICK)
    found = ask(engine, tiny_models.base_version(base))
    sent = server.seen.bodies[-1]["prompt"]
    assert prompt(engine, "The cat") == "<|start|>" + sent
    assert found.text
    engine.close()
    server.kill()
    model.served.close()


def test_something_that_is_no_server_of_a_model_is_refused(home: Home, tiny_base: Base) -> None:
    for url in ("http://127.0.0.1:9", "ftp://nowhere", "nothing"):
        with pytest.raises(HoneError):
            RemoteEngine(tiny_base, home, [url], QUICK)


def test_the_key_of_the_environment_opens_a_locked_server(
    model: Model, tiny_base: Base, home: Home, plain: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = CompletionsServer(model, Kind(key="secret"))
    with pytest.raises(HoneError, match="HONE_REMOTE_KEY"):
        RemoteEngine(tiny_base, home, [server.url], QUICK)
    monkeypatch.setenv("HONE_REMOTE_KEY", "secret")
    engine = RemoteEngine(tiny_base, home, [f"{server.url}/v1/"], QUICK)
    assert ask(engine, plain).text
    engine.close()
    server.kill()


def test_a_reply_goes_to_the_server_with_the_fewest_under_way(
    server: CompletionsServer, model: Model, tiny_base: Base, home: Home, plain: ModelVersion
) -> None:
    other = CompletionsServer(model)
    engine = RemoteEngine(tiny_base, home, [server.url, other.url], QUICK)
    for one in (server, other):
        one.behave("slow")
    streams = [engine.stream(Request(prompt(engine, "The cat"), LONG, plain)) for _ in range(6)]
    for stream in streams:
        next(stream)
    assert (server.seen.writing, other.seen.writing) == (3, 3)
    for stream in streams:
        stream.close()
    engine.close()
    other.kill()


def test_control_tokens_that_a_server_shows_as_text_are_taken_out(
    model: Model, tiny_base: Base, home: Home, plain: ModelVersion
) -> None:
    server = CompletionsServer(model, Kind(vllm=False))
    engine = RemoteEngine(tiny_base, home, [server.url], QUICK)
    server.behave("shows_control_tokens")
    pieces, found = whole(engine, Request(prompt(engine, "The cat"), WARM, plain))
    assert "<|start|>" not in found.text
    assert "".join(pieces) == found.text
    engine.close()
    server.kill()


def test_text_with_odd_line_separators_arrives_whole(
    model: Model, tiny_base: Base, home: Home, plain: ModelVersion
) -> None:
    server = CompletionsServer(model, Kind(vllm=False))
    engine = RemoteEngine(tiny_base, home, [server.url], QUICK)
    server.behave("odd_separators")
    assert ask(engine, plain, 5).text.count("\u2028\x85\x0c") == 5
    engine.close()
    server.kill()


# Adapters: loaded at a promotion, unloaded after the last reply, brought back to a server that was away.


def test_a_promotion_reaches_every_server_and_the_old_adapter_leaves_with_its_last_reply(
    server: CompletionsServer, model: Model, tiny_base: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    other = CompletionsServer(model)
    engine = RemoteEngine(tiny_base, home, [server.url, other.url], QUICK)
    old, new = versions(store, home, tiny_base, tmp_path, 2)
    engine.load(old)
    assert server.seen.loaded == other.seen.loaded == [old.id]
    server.behave("slow")
    other.behave("slow")
    running = engine.stream(Request(prompt(engine, "The cat"), LONG, old))
    next(running)
    engine.load(new)
    assert eventually(lambda: set(server.adapters) | set(other.adapters) >= {old.id, new.id})
    time.sleep(0.5)
    assert old.id in server.adapters or old.id in other.adapters  # its reply is not done
    running.close()
    assert eventually(lambda: set(server.adapters) == set(other.adapters) == {new.id})
    engine.close()
    other.kill()


def test_an_adapter_that_nobody_asks_for_leaves_after_a_while_and_the_champion_stays(
    server: CompletionsServer, tiny_base: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    engine = RemoteEngine(tiny_base, home, [server.url], replace(QUICK, linger_s=1.0))
    champion, other = versions(store, home, tiny_base, tmp_path, 2)
    engine.load(champion)
    assert ask(engine, other).text
    assert set(server.adapters) == {champion.id, other.id}
    assert eventually(lambda: set(server.adapters) == {champion.id})
    engine.close()


def test_a_server_that_loads_no_adapters_refuses_the_promotion_before_it_happens(
    model: Model, tiny_base: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    server = CompletionsServer(model, Kind(adapters=False))
    engine = RemoteEngine(tiny_base, home, [server.url], QUICK)
    [version] = versions(store, home, tiny_base, tmp_path, 1)
    with pytest.raises(HoneError, match="loads no adapters"):
        engine.load(version)
    engine.close()
    server.kill()


def test_an_adapter_that_the_server_cannot_see_is_refused_in_words(
    server: CompletionsServer, model: Model, tiny_base: Base, store: Store, home: Home, tmp_path: Path
) -> None:
    [version] = versions(store, home, tiny_base, tmp_path, 1)
    model.home = Home(tmp_path / "another-disc")
    engine = RemoteEngine(tiny_base, home, [server.url], QUICK)
    with pytest.raises(HoneError, match="must see the folder"):
        engine.load(version)
    engine.close()


def test_a_server_that_was_killed_comes_back_on_the_champion(
    server: CompletionsServer, engine: RemoteEngine, tiny_base: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    [champion] = versions(store, home, tiny_base, tmp_path, 1)
    engine.load(champion)
    before = ask(engine, registry.get(store, champion.id))  # as a turn does: read anew from the store
    server.kill()
    again = CompletionsServer(server.model, port=server.port)
    assert eventually(lambda: again.seen.loaded == [champion.id])
    assert ask(engine, champion).text == before.text
    again.kill()


def test_a_server_that_was_away_at_a_promotion_gets_the_champion_before_it_serves(
    server: CompletionsServer, model: Model, tiny_base: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    other = CompletionsServer(model)
    engine = RemoteEngine(tiny_base, home, [server.url, other.url], QUICK)
    [champion] = versions(store, home, tiny_base, tmp_path, 1)
    other.kill()
    assert ask(engine, tiny_models.base_version(tiny_base)).text
    engine.load(champion)
    again = CompletionsServer(model, port=other.port)
    assert eventually(lambda: again.seen.loaded == [champion.id])
    for one in (server, again):
        one.behave("slow")
    streams = [engine.stream(Request(prompt(engine, "The cat"), LONG, champion)) for _ in range(2)]
    assert all(next(stream) for stream in streams)
    assert eventually(lambda: (server.seen.writing, again.seen.writing) == (1, 1))
    for stream in streams:
        stream.close()
    engine.close()
    again.kill()


def test_a_server_restarted_unnoticed_gets_the_adapter_with_the_next_reply(
    server: CompletionsServer, model: Model, tiny_base: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    engine = RemoteEngine(tiny_base, home, [server.url], replace(QUICK, probe_s=60.0))
    [champion] = versions(store, home, tiny_base, tmp_path, 1)
    engine.load(champion)
    before = ask(engine, champion)
    server.adapters.clear()
    assert ask(engine, champion).text == before.text
    assert server.seen.loaded == [champion.id, champion.id]
    engine.close()


def test_a_server_that_comes_back_with_another_model_stays_out(
    server: CompletionsServer, model: Model, tiny_base: Base, home: Home, plain: ModelVersion
) -> None:
    engine = RemoteEngine(tiny_base, home, [server.url], QUICK)
    server.kill()
    with pytest.raises(HoneError):
        ask(engine, plain)
    again = CompletionsServer(model, Kind(vllm=False, own_template=True), port=server.port)
    with pytest.raises(HoneError, match="serves another model than the base"):
        ask(engine, plain)
    engine.close()
    again.kill()
