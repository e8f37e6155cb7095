"""/v1/chat/completions over a real socket: what is met, and that replies are Hone's own."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from assistant.openai_api import following
from feedback import conversations, pairs, snapshots
from feedback.ids import LOCAL_USER, MessageId
from feedback.store import Store
from prompts import library
from prompts.plain import plain_messages
from tests.assistant.openai_api.ground import ASKED, CHAT, refused, said, talk
from tests.scripted import ScriptedEngine


def events(api: httpx.Client, body: dict[str, Any]) -> list[Any]:
    """The events of a stream, which ends with [DONE]."""
    with api.stream("POST", CHAT, json=body | {"stream": True}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream"), stream.read()
        data = [line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(one) for one in data[:-1]]


def stored(store: Store, reply_id: str) -> conversations.Message:
    return conversations.message(store, MessageId(reply_id))


def test_a_plain_answer_has_openais_shape_and_our_ids(api: httpx.Client) -> None:
    answer = api.post(CHAT, json=ASKED | {"seed": 7})
    body = said(answer)
    assert (body["object"], body["model"]) == ("chat.completion", "hone")
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Light scatters. 7",
        "refusal": None,
    }
    assert body["choices"][0]["finish_reason"] == "stop"
    used = body["usage"]
    assert used["completion_tokens"] == 3
    assert used["total_tokens"] == used["prompt_tokens"] + 3
    assert used["prompt_tokens_details"] == {"cached_tokens": 1}
    assert body["hone"]["reply_id"] == answer.headers["x-hone-reply-id"]


def test_a_reply_is_kept_with_all_that_made_it_and_can_be_judged(api: httpx.Client, store: Store) -> None:
    body = said(api.post(CHAT, json=ASKED | {"seed": 7, "temperature": 0.3, "max_completion_tokens": 50}))
    reply = body["hone"]["reply_id"]
    record = said(api.get(f"/api/replies/{reply}"))
    assert record["model_version"]["name"] == body["hone"]["model_version"]
    assert record["settings"] == {"temperature": 0.3, "top_p": 0.95, "max_tokens": 50, "seed": 7}
    assert "Why is the sky blue?" in record["prompt_text"]
    assert said(api.put(f"/api/replies/{reply}/rating", json={"value": 1}))["rating"]["value"] == 1
    said(api.put(f"/api/replies/{reply}/demonstration", json={"content": "Rayleigh scattering."}))
    assert [pair.chosen for pair in pairs.from_store(store).pairs] == ["Rayleigh scattering."]
    assert said(api.post(f"/api/replies/{reply}/compare"), 202)["prompt_message_id"]


def test_a_stream_says_the_same_in_pieces_and_counts_at_its_end(api: httpx.Client) -> None:
    got = events(api, ASKED | {"seed": 7, "stream_options": {"include_usage": True}})
    assert got[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    deltas = [one["choices"][0]["delta"].get("content", "") for one in got[:-1]]
    assert "".join(deltas) == "Light scatters. 7"
    assert got[-2]["choices"][0]["finish_reason"] == "stop"
    assert (got[-1]["choices"], got[-1]["usage"]["completion_tokens"]) == ([], 3)
    assert all(one["usage"] is None for one in got[:-1])
    assert {one["hone"]["reply_id"] for one in got} == {got[0]["hone"]["reply_id"]}
    assert len({one["id"] for one in got}) == 1


def test_a_stream_gives_text_before_the_reply_is_finished(api: httpx.Client, engine: ScriptedEngine) -> None:
    engine.hold()
    with api.stream("POST", CHAT, json=ASKED | {"stream": True}) as stream:
        lines = (line for line in stream.iter_lines() if "content" in line)
        next(lines)
        assert "Light " in next(lines)
        engine.go_on()
        assert any("scatters" in line for line in lines)


def test_a_fast_model_gives_few_events(api: httpx.Client, engine: ScriptedEngine) -> None:
    engine.says, engine.pause_s = "word " * 400, 0.002
    began = time.monotonic()
    got = events(api, ASKED)
    assert sum(len(one["choices"][0]["delta"].get("content", "")) for one in got) == 2000
    assert len(got) <= 3 + 31 * (time.monotonic() - began)


def test_a_stream_that_nobody_reads_any_more_stops_the_model(
    api: httpx.Client, engine: ScriptedEngine, store: Store
) -> None:
    engine.hold()
    with api.stream("POST", CHAT, json=ASKED | {"stream": True}) as stream:
        reply = stream.headers["x-hone-reply-id"]
        next(stream.iter_lines())
    until = time.monotonic() + 5
    while stored(store, reply).status == "writing" and time.monotonic() < until:
        time.sleep(0.02)
    assert stored(store, reply).status == "stopped"
    assert engine.requests[0].stop.is_set()


def test_a_whole_answer_that_nobody_waits_for_any_more_stops_the_model(
    api: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.hold()
    asked = api.build_request("POST", CHAT, json=ASKED)
    lines = [f"POST {CHAT} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.headers.items()), "", ""]
    address = (api.base_url.host, api.base_url.port or 80)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode() + asked.read())
        assert _soon(lambda: bool(engine.requests))
    assert _soon(engine.requests[0].stop.is_set)


def _soon(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold within some seconds."""
    until = time.monotonic() + 20
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return holds()


def test_several_replies_are_branches_that_can_be_ranked(api: httpx.Client, store: Store) -> None:
    body = said(api.post(CHAT, json=ASKED | {"n": 3, "seed": 7}))
    assert [one["message"]["content"] for one in body["choices"]] == [
        "Light scatters. 7",
        "Light scatters. 8",
        "Light scatters. 9",
    ]
    ids = body["hone"]["reply_ids"]
    assert len({stored(store, one).parent_id for one in ids}) == 1
    assert body["usage"]["completion_tokens"] == 9
    vote = said(api.post("/api/votes", json={"replies": ids, "ranks": [2, 1, 2]}), 201)
    assert len(pairs.from_store(store).pairs) == 2
    said(api.delete(f"/api/votes/{vote['id']}"))
    assert pairs.from_store(store).pairs == ()


def test_several_replies_stream_side_by_side(api: httpx.Client) -> None:
    got = events(api, ASKED | {"n": 2, "seed": 1})
    for index, seed in ((0, "1"), (1, "2")):
        mine = [one["choices"][0] for one in got if one["choices"][0]["index"] == index]
        assert "".join(one["delta"].get("content", "") for one in mine).endswith(seed)
        assert mine[-1]["finish_reason"] == "stop"


def test_the_end_of_each_reply_is_told_at_once_however_slow_the_pace(
    api: httpx.Client, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PACE_S", 3600)
    engine.hold()
    body = ASKED | {"n": 2, "seed": 1, "stream": True}
    with api.stream("POST", CHAT, json=body) as stream:
        lines = stream.iter_lines()
        assert any("Light " in line for line in lines)
        engine.go_on()
        assert list(lines)[-2:] == ["data: [DONE]", ""]


def test_a_stop_text_ends_the_reply_and_teaches_no_end(api: httpx.Client, store: Store) -> None:
    body = said(api.post(CHAT, json=ASKED | {"stop": ["scat"]}))
    assert body["choices"][0]["message"]["content"] == "Light "
    assert body["choices"][0]["finish_reason"] == "stop"
    assert not stored(store, body["hone"]["reply_id"]).ended


def test_the_token_limit_is_told(api: httpx.Client) -> None:
    choice = said(api.post(CHAT, json=ASKED | {"max_tokens": 1}))["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Light ", "length")


def test_logprobs_come_with_their_alternatives(api: httpx.Client) -> None:
    body = ASKED | {"logprobs": True, "top_logprobs": 2, "seed": 1}
    content = said(api.post(CHAT, json=body))["choices"][0]["logprobs"]["content"]
    assert [(one["token"], one["logprob"], len(one["top_logprobs"])) for one in content] == [
        ("Light ", -0.5, 2),
        ("scatters. ", -0.5, 2),
        ("1", -0.5, 2),
    ]
    streamed = [one["choices"][0]["logprobs"] for one in events(api, body)]
    assert sum(len(one["content"]) for one in streamed if one) == 3


def test_a_json_schema_reaches_an_engine_that_can_hold_to_it(
    api: httpx.Client, engine: ScriptedEngine
) -> None:
    schema = {"type": "object", "properties": {"sky": {"type": "string"}}}
    asked = ASKED | {
        "response_format": {"type": "json_schema", "json_schema": {"name": "sky", "schema": schema}}
    }
    error = refused(api.post(CHAT, json=asked))
    assert (error["param"], error["code"]) == ("response_format", "unsupported_parameter")
    engine.abilities = frozenset(("json_schema",))
    said(api.post(CHAT, json=asked))
    assert json.loads(engine.requests[-1].wanted.json_schema or "") == schema
    said(api.post(CHAT, json=ASKED | {"response_format": {"type": "json_object"}}))
    assert json.loads(engine.requests[-1].wanted.json_schema or "") == {"type": "object"}
    said(api.post(CHAT, json=ASKED | {"response_format": {"type": "text"}}))
    assert engine.requests[-1].wanted.json_schema is None


def test_what_changes_nothing_is_let_pass(api: httpx.Client) -> None:
    harmless = {
        "user": "me", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "tools": [],
        "tool_choice": "none", "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {},
        "parallel_tool_calls": False, "modalities": ["text"], "seed": None, "stop": None, "n": None,
        "temperature": None, "response_format": None, "max_tokens": None, "stream": None,
    }  # fmt: skip
    said(api.post(CHAT, json=ASKED | harmless))


def test_a_reply_that_is_sent_back_as_it_came_is_understood(api: httpx.Client) -> None:
    first = said(api.post(CHAT, json=ASKED))["choices"][0]["message"]
    back = first | {"annotations": [], "audio": None, "tool_calls": None, "function_call": None}
    said(api.post(CHAT, json={"messages": [*ASKED["messages"], back, *talk("And red?")]}))  # type: ignore[misc]


def test_a_request_that_goes_on_grows_the_same_tree(
    api: httpx.Client, store: Store, engine: ScriptedEngine
) -> None:
    first = said(api.post(CHAT, json=ASKED | {"seed": 7}))
    went_on = talk("Why is the sky blue?", "Light scatters. 7", "And red?")
    second = said(api.post(CHAT, json={"messages": went_on}))
    assert second["hone"]["conversation_id"] == first["hone"]["conversation_id"]
    path = conversations.path(store, MessageId(second["hone"]["reply_id"]))
    assert path[1].id == first["hone"]["reply_id"]
    assert len(path) == 4
    third = said(api.post(CHAT, json={"messages": [*went_on, *talk("", "Other words."), *talk("Then?")][:3]}))
    assert third["hone"]["conversation_id"] == first["hone"]["conversation_id"]
    assert "And red?" in engine.requests[-1].prompt


@pytest.mark.parametrize(
    "messages",
    [
        talk("Why is the sky blue?", "Another answer.", "And red?"),
        talk("Why is the sea blue?", "Light scatters. 7", "And red?"),
        talk("Why is the sky blue?", "Light scatters. 7", "And red?", system="Be brief."),
    ],
)
def test_a_request_that_tells_another_story_is_a_new_conversation_with_given_replies(
    api: httpx.Client, store: Store, messages: list[dict[str, str]]
) -> None:
    first = said(api.post(CHAT, json=ASKED | {"seed": 7}))
    other = said(api.post(CHAT, json={"messages": messages}))
    assert other["hone"]["conversation_id"] != first["hone"]["conversation_id"]
    path = conversations.path(store, MessageId(other["hone"]["reply_id"]))
    assert path[1].model_version_id is None
    assert path[1].content == messages[-2]["content"]


def test_another_persons_conversation_is_never_gone_on_with(store: Store, engine: ScriptedEngine) -> None:
    from feedback.continuations import Asked, keep
    from feedback.message import Turn
    from tests import build

    asked = Asked("", (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c")))
    mine, theirs = keep(store, LOCAL_USER, asked), keep(store, build.person(store, "other"), asked)
    both = {conversations.message(store, one).conversation_id for one in (mine, theirs)}
    assert len(both) == 2
    again = keep(store, LOCAL_USER, asked)
    assert conversations.message(store, again).conversation_id in both


def test_conversations_of_programs_stay_out_of_the_chat_pages_list(api: httpx.Client) -> None:
    made = said(api.post(CHAT, json=ASKED))["hone"]["conversation_id"]
    assert said(api.get("/api/conversations"))["conversations"] == []
    assert said(api.get("/api/conversations", params={"search": "sky"}))["conversations"] == []
    listed = said(api.get("/api/conversations", params={"origin": "api"}))["conversations"]
    assert [one["id"] for one in listed] == [made]


def test_a_system_text_is_the_same_prompt_in_chat_training_and_the_gate(
    api: httpx.Client, store: Store, engine: ScriptedEngine
) -> None:
    messages = talk("Why is the sky blue?", system="Answer like a pirate.")
    body = said(api.post(CHAT, json={"messages": messages, "seed": 1}))
    reply = body["hone"]["reply_id"]
    asked_with = engine.requests[0].prompt
    assert "Answer like a pirate." in asked_with
    said(api.put(f"/api/replies/{reply}/demonstration", json={"content": "Arr."}))
    zero_shot = library.production(store, "zero-shot")
    frozen = snapshots.freeze(store, LOCAL_USER, engine.template.sha256, zero_shot.id)
    parts = snapshots.pairs(store, frozen.id)
    (pair,) = (*parts.train, *parts.held_out)
    assert pair.system_text == "Answer like a pirate."
    assert (
        engine.template.text(plain_messages(pair.turns, zero_shot.strategy, pair.system_text)) == asked_with
    )


def test_prompts_that_differ_in_their_system_text_are_different_prompts(
    api: httpx.Client, store: Store
) -> None:
    for system in ("Be brief.", "Be long.", ""):
        body = said(api.post(CHAT, json={"messages": talk("Why?", system=system), "seed": 1}))
        reply = body["hone"]["reply_id"]
        said(api.put(f"/api/replies/{reply}/demonstration", json={"content": "Because."}))
    assert len({pair.prompt_sha256 for pair in pairs.from_store(store).pairs}) == 3


def test_the_callers_system_text_comes_before_a_strategys_own(
    api: httpx.Client, engine: ScriptedEngine
) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "kind."}],
        },
        *talk("Why?"),
    ]
    said(api.post(CHAT, json={"model": "hone:few-shot", "messages": messages}))
    prompt = engine.requests[-1].prompt
    assert prompt.count("<|im_start|>system") == 1
    assert "Be brief.\n\nBe kind." in prompt


def test_a_strategy_and_a_version_are_asked_for_by_the_models_name(api: httpx.Client, store: Store) -> None:
    from tests.scripted import version

    version(store, "dpo-1")
    wanted = {
        "hone": ("zero-shot", None),
        "hone:cot": ("chain-of-thought", None),
        "hone:chain-of-thought": ("chain-of-thought", None),
        "dpo-1": ("zero-shot", "dpo-1"),
        "dpo-1:meta": ("meta", "dpo-1"),
    }
    for name, (strategy, model) in wanted.items():
        body = said(api.post(CHAT, json=ASKED | {"model": name}))
        record = said(api.get(f"/api/replies/{body['hone']['reply_id']}"))
        assert record["strategy"] == strategy
        assert record["model_version"]["name"] == (model or "scripted")
