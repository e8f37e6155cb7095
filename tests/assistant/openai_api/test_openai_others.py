"""/v1 beside the chat: models, raw completions, embeddings."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from assistant import registry
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.store import Store
from tests.assistant.openai_api.ground import said
from tests.scripted import ScriptedEngine, version

TEXT = "/v1/completions"


def test_the_models_say_who_is_champion_and_who_was_and_which_way_each_asks(
    api: httpx.Client, store: Store, tmp_path: Path
) -> None:
    newer = version(store, "dpo-1")
    registry.move_champion(store, Home(tmp_path), LOCAL_USER, newer.id, "promote")
    models = {one["id"]: one["hone"] for one in said(api.get("/v1/models"))["data"]}
    assert models["hone"] == {"role": "champion", "version": "dpo-1", "strategy": "zero-shot"}
    assert models["hone:cot"]["strategy"] == "chain-of-thought"
    assert {"hone:zero-shot", "hone:few-shot", "hone:chain", "hone:meta"} <= set(models)
    assert (models["dpo-1"]["role"], models["scripted"]["role"]) == ("champion", "former champion")
    assert said(api.get("/v1/models/")) == said(api.get("/v1/models"))


def test_a_model_is_found_by_every_name_that_a_request_may_give(api: httpx.Client, store: Store) -> None:
    version(store, "dpo-1")
    for name in ("hone", "hone:cot", "hone:chain-of-thought", "dpo-1", "dpo-1:chain"):
        assert said(api.get(f"/v1/models/{name}"))["id"] == name
    assert said(api.get("/v1/models/gpt-4"), 404)["error"]["code"] == "model_not_found"


def test_a_version_of_another_base_is_not_offered(api: httpx.Client, store: Store) -> None:
    store.execute(
        "INSERT INTO model_versions (id, name, base_id, chat_template_sha256, created_at)"
        " VALUES ('mv_x', 'stranger', 'another-base', 't', '2026-01-01T00:00:00Z')"
    )
    assert "stranger" not in [one["id"] for one in said(api.get("/v1/models"))["data"]]
    assert api.get("/v1/models/stranger").status_code == 404


def test_a_completion_puts_the_prompt_as_it_is_and_keeps_nothing(
    api: httpx.Client, engine: ScriptedEngine, store: Store
) -> None:
    body = said(api.post(TEXT, json={"model": "hone", "prompt": "The sky <|im_start|>", "seed": 3}))
    assert engine.requests[0].prompt == "The sky <|im_start|>"
    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "Light scatters. 3")
    assert body["usage"]["completion_tokens"] == 3
    assert store.rows("SELECT 1 FROM conversations") == []
    assert "hone" not in body


def test_several_prompts_and_several_texts_each(api: httpx.Client) -> None:
    body = said(api.post(TEXT, json={"prompt": ["a", "b"], "n": 2, "seed": 1, "logprobs": 1}))
    assert [one["text"][-1] for one in body["choices"]] == ["1", "2", "1", "2"]
    logprobs = body["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["Light ", "scatters. ", "1"]
    assert logprobs["text_offset"] == [0, 6, 16]
    assert logprobs["top_logprobs"][0] == {"Light ": -0.5}


def test_a_completion_streams(api: httpx.Client) -> None:
    with api.stream("POST", TEXT, json={"prompt": "a", "seed": 1, "stream": True}) as stream:
        data = [line.removeprefix("data: ") for line in stream.iter_lines() if line]
    assert data[-1] == "[DONE]"
    assert "".join(json.loads(one)["choices"][0]["text"] for one in data[:-1]) == "Light scatters. 1"


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"model": "hone:cot"}, "model"),
        ({"prompt": ["a", "b"], "n": 5}, "n"),
        ({"logprobs": 9}, "logprobs"),
    ],
)
def test_what_a_completion_cannot_meet_is_refused_by_name(
    api: httpx.Client, extra: dict[str, Any], param: str
) -> None:
    assert said(api.post(TEXT, json={"prompt": "a"} | extra), 400)["error"]["param"].startswith(param)


def test_a_completion_that_breaks_is_a_500_and_the_next_one_works(api: httpx.Client) -> None:
    assert said(api.post(TEXT, json={"prompt": "BREAK"}), 500)["error"]["type"] == "server_error"
    said(api.post(TEXT, json={"prompt": "a"}))


def test_embeddings_are_not_offered_and_why(api: httpx.Client) -> None:
    error = said(api.post("/v1/embeddings", json={"input": "a", "model": "hone"}), 404)["error"]
    assert "embeddings" in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
