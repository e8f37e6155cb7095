"""What servers and networks put on the wire that they should not, byte for byte, and the sentence that a
person reads then.
"""

import json
import math
import ssl
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.base import Base, chat_template, load_tokenizer
from assistant.engines.remote_dialects import LlamaCpp, Plain, Vllm
from assistant.engines.remote_engine import RemoteEngine
from assistant.engines.remote_errors import BusyError, ServerError, of_answer, of_connection
from assistant.engines.remote_http import Line, Patience, Watch, address
from assistant.engines.reply import Vocabulary, vocabulary
from assistant.registry import ModelVersion
from feedback.errors import HoneError
from feedback.home import Home
from feedback.store import Store
from tests.assistant.remote_ground import QUICK, ask, eventually, versions, written_before_it_broke
from tests.wire_server import Wire, WireServer, http, stream, word

PAGE = b"<html><head><title>502 Bad Gateway</title><style>p{}</style></head><body><p>nginx</p></body></html>"
DONE = b"data: [DONE]\n\n"
IMPATIENT = replace(QUICK, retry_s=0.2, answer_s=2.0, between_tokens_s=0.3)
MODELS, COMPLETIONS = "/v1/models", "/v1/completions"


@pytest.fixture
def wire() -> Iterator[WireServer]:
    made = WireServer()
    yield made
    made.close()


@pytest.fixture
def remote(wire: WireServer, tiny_base: Base, home: Home) -> Iterator[RemoteEngine]:
    made = RemoteEngine(tiny_base, home, [wire.url], IMPATIENT)
    yield made
    made.close()


@pytest.fixture(scope="module")
def words(tiny_base: Base) -> Vocabulary:
    return vocabulary(load_tokenizer(tiny_base), chat_template(tiny_base), [])


def event(**choice: object) -> bytes:
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def refusal(engine: RemoteEngine, version: ModelVersion) -> str:
    """What is said instead of a reply, if anything."""
    try:
        ask(engine, version)
    except HoneError as error:
        return str(error)
    return ""


# Before the first reply: what is at that address.


@pytest.mark.parametrize(
    ("path", "says", "words"),
    [
        (MODELS, http(PAGE, "text/html"), "does not list its models"),
        (MODELS, http(PAGE, "text/html", "502 Bad Gateway"), "It said 502: 502 Bad Gateway. Start one"),
        (MODELS, http(PAGE, "text/html", "403 Forbidden"), "HONE_REMOTE_KEY"),
        (MODELS, http(b"{hello"), "not JSON"),
        (MODELS, http(b"[" * 200_000), "not JSON"),
        (MODELS, http(b'{"data": []}'), "has no model. Its list is empty."),
        (MODELS, http(b'{"data": [{"id": "tiny", "meta": [1]}]}'), "does not understand"),
        (
            MODELS,
            http(b'{"error": {"message": "Loading model"}}', status="503 X"),
            "busy. .*Loading model\\. ",
        ),
        (
            MODELS,
            http(b"", status="301 X", headers="Location: https://b.example\r\n"),
            "sends questions elsewhere. It said 301, to https://b.example. Give that address",
        ),
        (MODELS, b"SSH-2.0-OpenSSH_9.6\r\n", "did not answer"),
        (MODELS, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}", "without sending complete"),
        (MODELS, [http(b" " * 9_000_000)], "answers without an end"),
        (COMPLETIONS, http(b'{"choices": [{"text": "a"}], "usage": "none"}'), "does not understand"),
        (COMPLETIONS, http(b'{"error": "no model is loaded"}'), "completes no text"),
    ],
)
def test_a_server_that_cannot_be_used_is_refused_in_words(
    wire: WireServer, tiny_base: Base, home: Home, path: str, says: Wire, words: str
) -> None:
    wire.says[path] = says
    with pytest.raises(HoneError, match=words) as caught:
        RemoteEngine(tiny_base, home, [wire.url], IMPATIENT)
    assert "<" not in str(caught.value)


def test_a_server_that_says_200_to_everything_is_not_taken_for_one_that_loads_adapters(
    wire: WireServer, tiny_base: Base, home: Home, store: Store, tmp_path: Path
) -> None:
    [adapted] = versions(store, home, tiny_base, tmp_path, 1)
    for path in ("/v1/load_lora_adapter", "/tokenize", "/props", "/openapi.json"):
        wire.says[path] = http(b'{"error": "Unexpected endpoint or method."}')
    engine = RemoteEngine(tiny_base, home, [wire.url], IMPATIENT)
    with pytest.raises(HoneError, match="loads no adapters while it runs"):
        engine.load(adapted)
    engine.close()


def test_a_server_that_counts_no_tokens_is_sent_text(
    wire: WireServer, tiny_base: Base, home: Home, plain: ModelVersion
) -> None:
    prompts: list[object] = []

    def streamed(body: dict[str, object]) -> Wire:
        prompts.append(body["prompt"])
        return stream(word("a", "stop"))

    wire.says |= {COMPLETIONS: http(b'{"choices": [{"text": "a"}]}'), "stream": streamed}
    engine = RemoteEngine(tiny_base, home, [wire.url], IMPATIENT)
    assert ask(engine, plain).text == "a"
    assert isinstance(prompts[0], str)
    engine.close()


# Replies that are well, however oddly they come.


@pytest.mark.parametrize(
    "says",
    [
        stream(word("a "), word("cat", "stop"), DONE),
        stream(word("a "), word("cat", "stop")),
        stream(
            *[one.replace(b"\n", b"\r\n") for one in (word("a "), b": ping\n\n", word("cat", "stop"), DONE)]
        ),
        stream(b"event: message\nid: 7\n" + word("a "), b"retry: 9\n" + word("cat", "stop")),
        stream(
            word("a "), word("cat", "stop"), b'data: {"choices": [], "usage": {"completion_tokens": "x"}}\n'
        ),
        stream(word("a "), word("cat", "eos_token"), DONE),
        stream(word("a "), word("cat", "stop"), b"data: {not json\n\n"),
        stream(word("a cat"), event(finish_reason="stop")),
        http(b'\n{"choices": [{"text": "a cat", "finish_reason": "stop"}]}'),
    ],
)
def test_a_reply_is_read_in_every_shape_that_servers_give_it(
    wire: WireServer, remote: RemoteEngine, plain: ModelVersion, says: Wire
) -> None:
    wire.says["stream"] = says
    found = ask(remote, plain)
    assert (found.text, found.finish) == ("a cat", "stop")


def test_characters_that_the_network_cuts_arrive_whole(
    wire: WireServer, remote: RemoteEngine, plain: ModelVersion
) -> None:
    said = 'data: {"choices": [{"text": "你好 🙂", "finish_reason": "stop"}]}\n\n'.encode()
    wire.says["stream"] = stream(*[bytes([one]) for one in said])
    assert ask(remote, plain).text == "你好 🙂"


def test_half_a_character_of_a_server_that_counts_in_utf_16_does_no_harm(
    wire: WireServer, remote: RemoteEngine, plain: ModelVersion
) -> None:
    wire.says["stream"] = stream(event(text="a \ud83d"), event(text="\ude42", finish_reason="stop"))
    assert ask(remote, plain).text.encode() == "a \ufffd\ufffd".encode()


# Replies that never begin, or break.


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (http(PAGE, "text/html", "502 Bad Gateway"), "failed. It said 502: 502 Bad Gateway.$"),
        (http(PAGE, "text/html"), "not JSON. It begins with '502 Bad Gateway'"),
        (http(b'{"error": "model crashed"}'), "It said: model crashed."),
        (http(b"gone\x1b[2J", status="404 X"), "It said 404: gone \\[2J.$"),
        (http(b"slow", status="408 X"), "failed. It said 408"),
        (http(b"", "text/event-stream"), "never said that the reply was complete"),
        (stream(event(text=5)), "does not understand"),
        (stream(event(text="a", finish_reason={"type": "stop"})), "does not understand"),
        (stream(event(delta={"content": "a"})), "does not understand"),
        (stream(b'data: {"choices": null}\n\n'), "does not understand"),
        (stream(b"data: " + b"[" * 200_000 + b"\n\n"), "not JSON"),
        (stream(b"data: ", *[b"x" * 1_000_000] * 9), "answers without an end"),
    ],
)
def test_a_reply_that_does_not_begin_is_given_up_in_words(
    wire: WireServer, remote: RemoteEngine, plain: ModelVersion, says: Wire, words: str
) -> None:
    wire.says["stream"] = says
    with pytest.raises(HoneError, match=words) as caught:
        ask(remote, plain)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ([], "never said that the reply was complete"),
        ([DONE], "never said that the reply was complete"),
        ([b'event: error\ndata: {"error": {"message": "CUDA out of memory"}}\n\n'], "CUDA out of memory."),
        ([b'error: {"code": 500, "message": "CUDA out of memory"}\n\n'], "CUDA out of memory."),
        ([b'data: {"error": "CUDA out of memory", "choices": []}\n\n'], "CUDA out of memory."),
        ([b": ping\n\n", 0.2] * 8, "too long"),
        ([b'data: {"choi', 1.5], "too long"),
        ([event(text=None, finish_reason="content_filter")], "gave it up (content_filter)"),
    ],
)
def test_a_reply_that_breaks_keeps_its_text_and_tells_the_servers_own_words(
    wire: WireServer, remote: RemoteEngine, plain: ModelVersion, rest: list[bytes | float], words: str
) -> None:
    wire.says["stream"] = [*stream(word("a cat")), *rest]
    text, said = written_before_it_broke(remote, plain)
    assert text == "a cat"
    assert words in said
    assert said.endswith("What was written is kept. Ask again.")


ANYTHING = st.sampled_from(
    [None, True, -1, 10**30, 1e400, float("nan"), "", "a", [], [[]], {}, {"a": {}}]
).map(deepcopy)
USUAL = {
    "choices": [{"text": "a", "finish_reason": "stop", "token_ids": [7], "logprobs": {
        "tokens": ["token_id:7"], "token_logprobs": [-1.5], "top_logprobs": [{"token_id:7": -1.5}],
        "content": [{"id": 7, "logprob": -1.5, "top_logprobs": [{"id": 7, "logprob": -1.5}]}],
    }}],
    "usage": {"completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}},
}  # fmt: skip


@st.composite
def unusual(draw: st.DrawFn) -> object:
    """The usual event with anything at all in one or two of its places."""
    event = deepcopy(USUAL)
    for _ in range(draw(st.integers(1, 2))):
        inside: Any = event
        while True:
            places = range(len(inside)) if isinstance(inside, list) else sorted(inside)
            place = draw(st.sampled_from(places))
            if not (isinstance(inside[place], list | dict) and inside[place] and draw(st.integers(0, 3))):
                break
            inside = inside[place]
        inside[place] = draw(ANYTHING)
    return event


@settings(max_examples=300)
@given(event=unusual())
@pytest.mark.parametrize("kind", [Plain, Vllm, LlamaCpp])
def test_whatever_an_event_says_it_is_a_piece_of_a_reply_or_refused_in_words(
    words: Vocabulary, kind: type[Plain], event: object
) -> None:
    try:
        found = kind(words).chunk(event)
    except ServerError:
        return
    assert isinstance(found.text, str)
    assert isinstance(found.finish, str | None)
    for one in found.logprobs:
        told = [(one.token, one.nats), *one.top]
        assert all(isinstance(text, str) and math.isfinite(nats) for text, nats in told)


# A server that is started anew.


def test_a_server_that_comes_back_with_another_model_is_not_asked_again(
    wire: WireServer, remote: RemoteEngine, plain: ModelVersion
) -> None:
    assert ask(remote, plain).text
    wire.models = [{"id": "tiny", "owned_by": "somebody", "meta": {"n_embd": 4096}}]
    assert eventually(lambda: "4096 wide, the base 32" in refusal(remote, plain))
    wire.models = [{"id": "tiny-again", "owned_by": "somebody"}]
    assert eventually(lambda: refusal(remote, plain) == "", 20.0)


def test_a_server_that_no_longer_knows_its_model_is_looked_at_again(
    wire: WireServer, tiny_base: Base, home: Home, plain: ModelVersion
) -> None:
    engine = RemoteEngine(tiny_base, home, [wire.url], replace(QUICK, probe_s=60.0))
    assert ask(engine, plain).text

    def known(body: dict[str, object]) -> Wire:
        if body["model"] != "renamed":
            return http(b'{"error": {"message": "no such model"}}', status="404 X")
        return stream(word("a", "stop"))

    wire.models[0]["id"], wire.says["stream"] = "renamed", known
    assert ask(engine, plain).text == "a"
    engine.close()


# Addresses, keys, proxies, certificates.


@given(
    st.text(max_size=20), st.sampled_from(["", "http://", "https://", "http://[", "http://a:", "http://a/?"])
)
def test_whatever_is_given_as_an_address_is_taken_or_refused_in_words(text: str, scheme: str) -> None:
    with suppress(HoneError):
        assert address(scheme + text).lower().startswith("http")


@given(st.text(max_size=40))
def test_whatever_retry_after_says_a_busy_server_has_a_time(text: str) -> None:
    found = of_answer("http://a", 429, {"retry-after": text}, "")
    assert isinstance(found, BusyError)
    assert found.retry_after_s >= 0


def test_a_date_beyond_every_calendar_is_no_trouble() -> None:
    found = of_answer("http://a", 429, {"retry-after": f"1 Jan {9**30} 00:00 GMT"}, "")
    assert isinstance(found, BusyError)


def test_a_key_that_cannot_be_sent_is_refused_and_never_shown(
    wire: WireServer, tiny_base: Base, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONE_REMOTE_KEY", "sécret\nkey")
    with pytest.raises(HoneError, match="HONE_REMOTE_KEY is no API key") as caught:
        RemoteEngine(tiny_base, home, [wire.url], IMPATIENT)
    assert "cret" not in str(caught.value)


def test_a_server_of_this_machine_is_not_asked_through_a_proxy(
    wire: WireServer, tiny_base: Base, home: Home, plain: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    engine = RemoteEngine(tiny_base, home, [wire.url], IMPATIENT)
    assert ask(engine, plain).text
    engine.close()


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "telepathy://127.0.0.1:9")
    watch = Watch()
    with pytest.raises(HoneError, match="ALL_PROXY"):
        Line("http://models.example", Patience(), watch)
    watch.close()


def test_a_certificate_file_that_is_not_there_is_told(
    wire: WireServer, tiny_base: Base, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(HoneError, match="SSL_CERT_FILE"):
        RemoteEngine(tiny_base, home, [wire.url], IMPATIENT)


def test_a_server_without_tls_behind_https_is_told_apart_from_one_that_is_away(
    wire: WireServer, tiny_base: Base, home: Home
) -> None:
    with pytest.raises(HoneError, match="begins with http:// or https://"):
        RemoteEngine(tiny_base, home, [wire.url.replace("http:", "https:")], IMPATIENT)
    with pytest.raises(HoneError, match="Look whether it runs"):
        RemoteEngine(tiny_base, home, ["http://127.0.0.1:9"], IMPATIENT)
    unknown = ssl.SSLCertVerificationError("certificate verify failed: self-signed certificate")
    unknown.verify_code = 18
    assert "SSL_CERT_FILE" in str(of_connection("https://a", unknown))
    unknown.verify_code = 62
    assert "the name that its certificate has" in str(of_connection("https://a", unknown))
