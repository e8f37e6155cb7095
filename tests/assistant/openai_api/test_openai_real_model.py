"""/v1 with the embedded model: a seed holds, stops stop, counts and probabilities are the real ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from assistant import base as bases
from assistant import registry
from assistant.accounts import Access
from assistant.base import Base
from assistant.engines.torch_engine import TorchEngine
from assistant.server import Site, make_app
from assistant.turns import Turns
from feedback.home import Home
from feedback.store import Store
from prompts import library
from tests import schemas
from tests.scripted import serving

pytestmark = pytest.mark.model
CHAT = "/v1/chat/completions"
ASKED = {"messages": [{"role": "user", "content": "Name three colours."}], "max_tokens": 24, "seed": 3}


@pytest.fixture(scope="module")
def api(real_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home: Path = tmp_path_factory.mktemp("home")
    store = Store(home / "hone.db")
    library.register_shipped(store)
    registry.ensure_base(store, real_base, bases.chat_template(real_base))
    engine = TorchEngine(real_base, Home(home))
    with (
        serving(make_app(Turns(store, engine), Access(store), Site(), [])) as address,
        httpx.Client(base_url=address, timeout=120) as client,
    ):
        yield client
    engine.close()


def said(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def text(api: httpx.Client, **wishes: Any) -> str:
    return str(said(api.post(CHAT, json=ASKED | wishes))["choices"][0]["message"]["content"])


def test_the_same_seed_gives_the_same_text_whole_and_streamed(api: httpx.Client) -> None:
    whole = text(api)
    with api.stream("POST", CHAT, json=ASKED | {"stream": True}) as stream:
        data = [line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: ")]
    pieces = [json.loads(one)["choices"][0]["delta"].get("content", "") for one in data[:-1]]
    assert "".join(pieces) == whole == text(api)
    assert text(api, seed=4) != whole


def test_a_stop_text_cuts_the_reply_where_it_stands(api: httpx.Client) -> None:
    whole = text(api)
    stop = whole[5:9]
    assert text(api, stop=stop) == whole[: whole.index(stop)]


def test_what_is_counted_is_what_was_read_and_written(api: httpx.Client) -> None:
    body = said(api.post(CHAT, json=ASKED | {"max_tokens": 5, "logprobs": True, "top_logprobs": 2}))
    choice = body["choices"][0]
    assert (choice["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 5)
    tokens = choice["logprobs"]["content"]
    assert "".join(one["token"] for one in tokens) == choice["message"]["content"]
    assert all(one["logprob"] <= one["top_logprobs"][0]["logprob"] <= 0 for one in tokens)


def test_a_system_text_changes_the_answer(api: httpx.Client) -> None:
    system = {"role": "system", "content": "You only ever answer with the word Banana."}
    assert text(api, messages=[system, *ASKED["messages"]]) != text(api)  # type: ignore[misc]


def test_a_reply_fits_the_schema_asked_for_whole_and_streamed(api: httpx.Client) -> None:
    asked = ASKED | {
        "max_tokens": 120,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schemas.PERSON}},
    }
    choice = said(api.post(CHAT, json=asked))["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert schemas.text_fits(choice["message"]["content"], schemas.PERSON)
    with api.stream("POST", CHAT, json=asked | {"stream": True}) as stream:
        data = [line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: ")]
    pieces = [json.loads(one)["choices"][0]["delta"].get("content", "") for one in data[:-1]]
    assert "".join(pieces) == choice["message"]["content"]
    assert text(api, response_format={"type": "json_object"}, max_tokens=40).startswith("{")


def test_a_schema_that_cannot_be_held_is_refused_before_anything_is_kept(api: httpx.Client) -> None:
    before = api.get("/api/conversations", params={"origin": "api"}).json()
    wrong = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nothing"}}}
    answer = api.post(CHAT, json=ASKED | {"stream": True, "response_format": wrong})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert "Invalid type: nothing" in error.pop("message")
    assert error == {"type": "invalid_request_error", "param": "response_format", "code": None}
    assert api.get("/api/conversations", params={"origin": "api"}).json() == before


def test_a_raw_completion_goes_on_with_the_text(api: httpx.Client) -> None:
    body = said(
        api.post("/v1/completions", json={"prompt": "One, two, three, four,", "max_tokens": 4, "seed": 1,
                                          "temperature": 0})
    )  # fmt: skip
    assert "five" in body["choices"][0]["text"]
