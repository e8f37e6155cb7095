"""What a server may do to a reply of the remote engine, and what becomes of the reply."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from assistant import registry
from assistant.base import Base
from assistant.engines.interface import Request, Wanted
from assistant.engines.remote_engine import RemoteEngine
from assistant.registry import ModelVersion
from assistant.turns import Turns, TurnSettings
from feedback import conversations
from feedback.conversations import Sampling
from feedback.errors import HoneError
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store
from prompts import library
from tests.assistant.engine_contract import LONG, prompt, same, whole
from tests.assistant.remote_ground import QUICK, STEADY, ask, eventually, written_before_it_broke
from tests.completions_server import CompletionsServer, Model, Mood
from tests.scripted import drained

# What a server may do before the first token: another is asked, or the same one again.


@pytest.mark.parametrize("mood", ["500", "close", "garbage", "error_event", "429", "429_date"])
def test_a_failure_before_the_first_token_is_tried_again(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion, mood: Mood
) -> None:
    good = ask(engine, plain)
    server.behave(mood, times=1)
    assert ask(engine, plain).text == good.text


@pytest.mark.parametrize(
    ("mood", "words"), [("500", "It said 500: out of memory"), ("close", "connection broke")]
)
def test_a_server_that_goes_on_failing_is_given_up_in_words(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion, mood: Mood, words: str
) -> None:
    server.behave(mood)
    with pytest.raises(HoneError, match=words):
        ask(engine, plain)


def test_a_server_that_hangs_before_the_first_token_is_given_up_in_words(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion
) -> None:
    server.behave("hang")
    with pytest.raises(HoneError, match="It took too long"):
        ask(engine, plain)


def test_a_server_that_hangs_is_left_for_one_that_does_not(
    server: CompletionsServer, model: Model, tiny_base: Base, home: Home, plain: ModelVersion
) -> None:
    other = CompletionsServer(model)
    engine = RemoteEngine(tiny_base, home, [server.url, other.url], QUICK)
    server.behave("hang")
    assert ask(engine, plain).text
    assert len([body for body in other.seen.bodies if body.get("stream")]) == 1
    engine.close()
    other.kill()


def test_a_busy_server_is_left_alone_for_as_long_as_it_said(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion
) -> None:
    server.behave("429", times=1)
    begun = time.monotonic()
    assert ask(engine, plain).text
    assert time.monotonic() - begun >= 0.4
    streams = [body for body in server.seen.bodies if body.get("stream")]
    assert len(streams) == 2


def test_servers_that_stay_busy_give_a_clear_refusal(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion
) -> None:
    server.behave("429")
    with pytest.raises(HoneError, match="busy"):
        ask(engine, plain)


def test_a_refusal_is_not_tried_again(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion
) -> None:
    server.behave("401")
    with pytest.raises(HoneError, match="HONE_REMOTE_KEY"):
        ask(engine, plain)
    assert len([body for body in server.seen.bodies if body.get("stream")]) == 1


# What it may do in the middle of a reply.


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("drop", "in the middle"),
        ("drop_in_word", "not JSON"),
        ("garbage_midway", "not JSON"),
        ("error_event_midway", "the engine is dead"),
        ("given_up", "gave it up"),
    ],
)
def test_a_reply_that_breaks_off_keeps_what_was_written_and_says_so(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion, mood: Mood, words: str
) -> None:
    good = ask(engine, plain, 200).text
    server.behave(mood, times=1)
    text, said = written_before_it_broke(engine, plain)
    assert text
    assert good.startswith(text)
    assert "The reply broke off." in said
    assert words in said
    assert len([body for body in server.seen.bodies if body.get("stream")]) == 2  # not tried again


def test_a_server_that_stalls_between_tokens_is_given_up(
    model: Model, server: CompletionsServer, tiny_base: Base, home: Home, plain: ModelVersion
) -> None:
    engine = RemoteEngine(tiny_base, home, [server.url], replace(QUICK, between_tokens_s=0.01))
    server.behave("slow", times=1)
    text, said = written_before_it_broke(engine, plain)
    assert text
    assert "It took too long." in said
    engine.close()


def test_a_reply_may_take_longer_than_its_first_token_may(
    model: Model, server: CompletionsServer, tiny_base: Base, home: Home, plain: ModelVersion
) -> None:
    engine = RemoteEngine(tiny_base, home, [server.url], replace(QUICK, first_token_s=0.5))
    server.behave("slow", times=1)
    begun = time.monotonic()
    assert ask(engine, plain, 40).finish == "length"
    assert time.monotonic() - begun > 0.6
    engine.close()


def test_who_takes_the_text_slowly_is_not_the_server_being_late(
    engine: RemoteEngine, plain: ModelVersion
) -> None:
    stream = engine.stream(Request(prompt(engine, "The cat"), Sampling(1.0, 1.0, 24, 3), plain))
    next(stream)
    time.sleep(QUICK.between_tokens_s + 0.5)
    assert same(drained(stream)[1]) == same(ask(engine, plain))


def test_a_whole_reply_does_not_wait_for_a_server_that_holds_on(
    server: CompletionsServer, tiny_base: Base, home: Home, plain: ModelVersion
) -> None:
    engine = RemoteEngine(tiny_base, home, [server.url], replace(STEADY, after_end_s=0.2))
    good = ask(engine, plain)
    server.behave("holds_on", times=1)
    with ThreadPoolExecutor(1) as aside:
        held = aside.submit(ask, engine, plain).result(timeout=STEADY.between_tokens_s / 2)
    assert (held.text, held.finish) == (good.text, good.finish)
    engine.close()


def test_the_pages_keep_what_a_broken_reply_had_written(
    server: CompletionsServer, engine: RemoteEngine, tiny_base: Base, store: Store
) -> None:
    library.register_shipped(store)
    registry.ensure_base(store, tiny_base, engine.template)
    turns = Turns(store, engine)
    conversation_id = conversations.create(store, LOCAL_USER)
    server.behave("drop", times=1)
    settings = TurnSettings(sampling=Sampling(1.0, 1.0, 200, 3))
    reply_id = turns.send(LOCAL_USER, conversation_id, None, "The cat", settings)
    last = list(turns.events(reply_id))[-1]
    turns.close()
    assert last.status == "failed"
    assert "broke off" in last.error
    assert conversations.message(store, reply_id).content


# Stops.


def test_a_stop_ends_the_servers_work_at_once(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion
) -> None:
    server.behave("slow")
    stop = threading.Event()
    stream = engine.stream(Request(prompt(engine, "The cat"), LONG, plain, stop))
    next(stream)
    stop.set()
    assert drained(stream)[1].finish == "stopped"
    assert eventually(lambda: server.seen.writing == 0, 1.0)
    assert server.seen.written < 50


def test_a_stop_ends_the_wait_for_a_first_token(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion
) -> None:
    server.behave("hang")
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    begun = time.monotonic()
    found = whole(engine, Request(prompt(engine, "The cat"), LONG, plain, stop))[1]
    assert (found.text, found.finish) == ("", "stopped")
    assert time.monotonic() - begun < 1.0


def test_a_stop_ends_the_wait_for_a_busy_server(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion
) -> None:
    server.behave("429")
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    begun = time.monotonic()
    assert whole(engine, Request(prompt(engine, "The cat"), LONG, plain, stop))[1].finish == "stopped"
    assert time.monotonic() - begun < 1.0


def test_a_stop_text_ends_the_servers_work(
    server: CompletionsServer, engine: RemoteEngine, plain: ModelVersion
) -> None:
    free = ask(engine, plain, 200)
    server.behave("slow")
    wanted = Wanted(stop_texts=(free.text[3:5],))
    request = Request(prompt(engine, "The cat"), Sampling(1.0, 1.0, 200, 3), plain, wanted=wanted)
    assert whole(engine, request)[1].finish == "stop"
    assert eventually(lambda: server.seen.writing == 0, 1.0)
