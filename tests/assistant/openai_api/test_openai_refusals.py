"""What /v1 refuses: each by its name, in OpenAI's shape, with nothing kept."""

import json
import threading
import time
from typing import Any

import httpx
import pytest

from feedback import conversations
from feedback.ids import MessageId
from feedback.store import Store
from tests.assistant.openai_api.ground import ASKED, CHAT, refused, said, talk
from tests.scripted import ScriptedEngine


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"top_k": 5}, "top_k"),
        ({"n": 9}, "n"),
        ({"n": 0}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"messages": []}, "messages"),
        ({"messages": talk("Hi", "Hello")}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [*talk("Hi"), {"role": "system", "content": "x"}]}, "messages.1.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0.content.0.type",
        ),
        ({"messages": [{"role": "user", "content": " "}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages.0.content.0"),
        ({"stop": ""}, "stop.0"),
        ({"stop": 3}, "stop"),
    ],
)
def test_what_cannot_be_met_is_refused_by_name_and_nothing_is_kept(
    api: httpx.Client, store: Store, extra: dict[str, Any], param: str
) -> None:
    error = refused(api.post(CHAT, json=ASKED | extra))
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert store.rows("SELECT 1 FROM messages") == []


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers", "told"),
    [
        (b'{"model":', JSON, "no JSON: Expecting value (character 9)"),
        (b"", JSON, "missing"),
        (b"[1]", JSON, "no JSON object"),
        (json.dumps(ASKED).encode(), {"Content-Type": "text/plain"}, "Content-Type: application/json"),
        (b'{"messages": [{"role": "user", "content": "\xff"}]}', JSON, "parsing the body"),
        (b'{"messages": [{"role": "user", "content": "so \\ud83d."}]}', JSON, "half a character, \\ud83d"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_in_words(
    api: httpx.Client, store: Store, body: bytes, headers: dict[str, str], told: str
) -> None:
    error = refused(api.post(CHAT, content=body, headers=headers))
    assert told in error["message"]
    assert (error["type"], error["param"]) == ("invalid_request_error", None)
    assert store.rows("SELECT 1 FROM messages") == []


def test_characters_that_json_writes_in_two_halves_are_read(api: httpx.Client, store: Store) -> None:
    body = b'{"messages": [{"role": "user", "content": "\\ud83d\\ude00"}]}'
    reply = said(api.post(CHAT, content=body, headers=JSON))["hone"]["reply_id"]
    assert conversations.path(store, MessageId(reply))[0].content == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"),
        ("DELETE", "/v1/models/hone", "GET"),
        ("HEAD", "/v1/models", "GET"),
        ("PUT", "/api/conversations", "GET, POST"),
        ("GET", "/api/replies/x/stop", "POST"),
    ],
)
def test_the_wrong_method_is_told_the_right_one(
    api: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = api.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert allowed.replace(", ", " or ") in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/audio/speech", "/v1/v1/chat/completions"])
def test_a_path_that_is_not_there_is_told_in_openais_shape(api: httpx.Client, path: str) -> None:
    assert refused(api.post(path, json=ASKED), 404)["code"] == "not_found"


def test_a_base_url_without_v1_is_told_what_it_lacks(api: httpx.Client) -> None:
    error = said(api.post("/chat/completions", json=ASKED), 404)["error"]
    assert "/v1/chat/completions" in error["message"]


@pytest.mark.parametrize("name", ["gpt-4", "hone:telepathy", "hone:", "", "dpo-1"])
def test_an_unknown_model_is_a_404_that_says_so(api: httpx.Client, name: str) -> None:
    error = refused(api.post(CHAT, json=ASKED | {"model": name}), 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")


@pytest.mark.parametrize("stream", [False, True])
def test_a_question_that_fits_no_window_is_a_400_with_openais_code(api: httpx.Client, stream: bool) -> None:
    body = {"messages": talk("word " * 3000), "stream": stream}
    assert refused(api.post(CHAT, json=body))["code"] == "context_length_exceeded"


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_breaks_is_a_500(api: httpx.Client, stream: bool) -> None:
    error = refused(api.post(CHAT, json={"messages": talk("BREAK"), "stream": stream}), 500)
    assert error["type"] == "server_error"


def test_a_full_line_is_a_503_that_says_when_to_come_again(
    api: httpx.Client, engine: ScriptedEngine, store: Store
) -> None:
    engine.hold()
    said_no: list[httpx.Response] = []

    def ask() -> None:
        answer = api.post(CHAT, json=ASKED)
        if answer.status_code != 200:
            said_no.append(answer)

    asking = [threading.Thread(target=ask) for _ in range(8)]  # four are written, two wait
    for one in asking:
        one.start()
    until = time.monotonic() + 10
    while len(said_no) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    engine.go_on()
    for one in asking:
        one.join()
    assert len(said_no) == 2
    assert refused(said_no[0], 503)["code"] == "overloaded"
    assert int(said_no[0].headers["retry-after"]) > 0
    assert len(store.rows("SELECT 1 FROM conversations")) == 6
