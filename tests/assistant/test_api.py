"""The API over a real socket: a chat from the first word to the vote, and errors that say what to do."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from assistant.accounts import Access
from assistant.api import replies
from assistant.server import Site, make_app
from assistant.turns import Turns
from feedback.store import Store
from tests.scripted import ScriptedEngine, answering, serving


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("The **sky** scatters <b>light</b>.")


@pytest.fixture
def store(tmp_path: Path, engine: ScriptedEngine) -> Store:
    return answering(tmp_path, engine)


@pytest.fixture
def api(store: Store, engine: ScriptedEngine) -> Iterator[httpx.Client]:
    app = make_app(Turns(store, engine), Access(store), Site(device="A test."), [])
    with serving(app) as address, httpx.Client(base_url=f"{address}/api", timeout=20) as client:
        yield client


def said(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def watched(api: httpx.Client, reply_id: str) -> list[dict[str, Any]]:
    """Every state of a reply, as a browser gets them."""
    with api.stream("GET", f"/replies/{reply_id}/events") as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def chat(api: httpx.Client, text: str = "Why is the sky blue?", **settings: Any) -> tuple[str, str]:
    """A conversation with one finished reply: (conversation id, reply id)."""
    conversation = said(api.post("/conversations", json={}), 201)["id"]
    body = {"content": text, "settings": settings}
    reply = said(api.post(f"/conversations/{conversation}/messages", json=body), 202)["reply_id"]
    watched(api, reply)
    return conversation, reply


def thread(api: httpx.Client, conversation: str) -> list[dict[str, Any]]:
    return list(said(api.get(f"/conversations/{conversation}"))["thread"])


def test_a_message_gets_a_reply_that_streams_and_stays(api: httpx.Client) -> None:
    conversation, reply = chat(api)
    last = watched(api, reply)[-1]
    assert last["status"] == "complete"
    shown_html = "".join(last["html"]["blocks"])
    assert "<strong>sky</strong>" in shown_html
    assert "<b>" not in shown_html
    shown = thread(api, conversation)
    assert [item["role"] for item in shown] == ["user", "assistant"]
    assert shown[1]["content"].startswith("The **sky**")


def test_a_conversation_begins_with_its_first_message_in_one_request(api: httpx.Client) -> None:
    body = {"message": {"content": "Why is the sky blue?"}}
    made = said(api.post("/conversations", json=body), 201)
    assert made["title"] == "Why is the sky blue?"
    assert [item["id"] for item in made["thread"]][1:] == [made["reply_id"]]
    watched(api, made["reply_id"])
    assert thread(api, made["id"])[0]["content"] == "Why is the sky blue?"
    assert said(api.post("/conversations", json=body | {"title": "Sky"}), 201)["title"] == "Sky"
    body = {"message": {"content": "Why?", "settings": {"strategy": "telepathy"}}}
    said(api.post("/conversations", json=body), 404)
    assert len(said(api.get("/conversations"))["conversations"]) == 2


def test_a_long_conversation_is_read_from_its_end(api: httpx.Client) -> None:
    conversation, reply = chat(api, "0")
    for number in range(1, 4):
        body = {"content": str(number), "parent_id": reply}
        begun = said(api.post(f"/conversations/{conversation}/messages", json=body), 202)
        reply = begun["reply_id"]
        assert begun["thread"][0]["content"] == str(number)
        watched(api, reply)
    whole = thread(api, conversation)
    assert [item["content"] for item in whole][::2] == ["0", "1", "2", "3"]
    end = said(api.get(f"/conversations/{conversation}", params={"last": 3}))["thread"]
    assert end == whole[-3:]
    before = said(api.get(f"/conversations/{conversation}", params={"last": 4, "before": end[0]["id"]}))
    assert before["thread"] == whole[1:5]
    other, elsewhere = chat(api, "elsewhere")
    said(api.get(f"/conversations/{conversation}", params={"before": elsewhere}), 404)
    said(api.get(f"/conversations/{other}", params={"last": 0}), 422)


def test_a_page_that_follows_a_reply_is_told_each_change_once(
    api: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.says = "First block.\n\nSecond *block*.\n\n- a list\n- of two\n\nThe end"
    engine.hold()
    made = said(api.post("/conversations", json={"message": {"content": "Why?"}}), 201)
    page: list[str] = []
    with api.stream("GET", f"/replies/{made['reply_id']}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                state = json.loads(line.removeprefix("data: "))
                assert state["html"]["from"] <= len(page)
                page[state["html"]["from"] :] = state["html"]["blocks"]
                engine.go_on()
    assert "".join(page) == thread(api, made["id"])[1]["html"]
    assert "".join(page).count("<li>") == 2


def test_the_end_of_a_reply_is_told_at_once(
    api: httpx.Client, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "EVENT_EVERY_S", 3600)
    engine.says = "word " * 50
    engine.pause_s = 0.01
    _, reply = chat(api)  # whoever reads along gives up after 20 s
    assert watched(api, reply)[-1]["status"] == "complete"


def test_who_follows_a_silent_reply_is_told_that_it_is_still_there(
    api: httpx.Client, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "KEEP_ALIVE_S", 0.1)
    engine.hold()
    made = said(api.post("/conversations", json={"message": {"content": "Why?"}}), 201)
    lines = list[str]()
    with api.stream("GET", f"/replies/{made['reply_id']}/events") as stream:
        for line in stream.iter_lines():
            lines.append(line)
            if lines.count(": still here") == 3:
                engine.go_on()
    states = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert lines.count(": still here") >= 3
    assert [state["status"] for state in states].count("complete") == 1
    assert states[-1]["status"] == "complete"


def test_a_reply_in_progress_is_picked_up_by_a_second_browser_and_stopped(
    api: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.hold()
    conversation = said(api.post("/conversations", json={}), 201)["id"]
    reply = said(api.post(f"/conversations/{conversation}/messages", json={"content": "Why?"}), 202)[
        "reply_id"
    ]
    busy = api.post(f"/conversations/{conversation}/messages", json={"content": "And?"})
    assert "still being written" in said(busy, 409)["error"]["message"]
    assert thread(api, conversation)[-1]["status"] == "writing"
    said(api.post(f"/replies/{reply}/stop"))
    assert watched(api, reply)[-1]["status"] == "stopped"
    assert len(thread(api, conversation)) == 2


def test_the_record_names_versions_settings_seed_and_the_exact_prompt(
    api: httpx.Client, engine: ScriptedEngine
) -> None:
    _, reply = chat(api, temperature=0.1, top_p=0.5, max_tokens=30, seed=11, strategy="few-shot")
    record = said(api.get(f"/replies/{reply}"))
    assert record["model_version"]["name"] == "scripted"
    assert record["strategy"] == "few-shot"
    assert record["settings"] == {"temperature": 0.1, "top_p": 0.5, "max_tokens": 30, "seed": 11}
    assert record["prompt_text"] == engine.requests[-1].prompt


def test_conversations_are_found_renamed_and_deleted(api: httpx.Client) -> None:
    conversation, _ = chat(api, "Tell me of volcanoes")
    other, _ = chat(api, "Tell me of tea")
    found = said(api.get("/conversations", params={"search": "volcan"}))["conversations"]
    assert [one["id"] for one in found] == [conversation]
    said(api.patch(f"/conversations/{conversation}", json={"title": "Fire"}))
    titles = {one["title"] for one in said(api.get("/conversations"))["conversations"]}
    assert titles == {"Fire", "Tell me of tea"}
    said(api.delete(f"/conversations/{conversation}"))
    assert [one["id"] for one in said(api.get("/conversations"))["conversations"]] == [other]
    said(api.get(f"/conversations/{conversation}"), 404)


def test_another_reply_and_an_edit_are_branches_to_switch_between(api: httpx.Client) -> None:
    conversation, reply = chat(api)
    again = said(api.post(f"/replies/{reply}/regenerate", json={}), 202)["reply_id"]
    watched(api, again)
    shown = thread(api, conversation)[1]
    assert (shown["branches"], shown["position"]) == ([reply, again], 1)
    said(api.post(f"/messages/{reply}/select"))
    assert thread(api, conversation)[1]["id"] == reply
    question = thread(api, conversation)[0]["id"]
    watched(api, said(api.post(f"/messages/{question}/edit", json={"content": "Why red?"}), 202)["reply_id"])
    assert thread(api, conversation)[0]["content"] == "Why red?"
    assert len(thread(api, conversation)[0]["branches"]) == 2


def test_thumbs_and_better_answers_can_be_given_changed_and_withdrawn(api: httpx.Client) -> None:
    conversation, reply = chat(api)
    said(api.put(f"/replies/{reply}/rating", json={"value": 1}))
    said(api.put(f"/replies/{reply}/rating", json={"value": -1, "reason": "too short"}))
    said(api.put(f"/replies/{reply}/demonstration", json={"content": "Better."}))
    shown = thread(api, conversation)[1]
    assert shown["rating"] == {"value": -1, "reason": "too short"}
    assert shown["demonstration"] == "Better."
    said(api.delete(f"/replies/{reply}/rating"))
    said(api.delete(f"/replies/{reply}/demonstration"))
    shown = thread(api, conversation)[1]
    assert (shown["rating"], shown["demonstration"]) == (None, None)
    said(api.delete(f"/replies/{reply}/rating"), 404)


def test_a_comparison_tells_names_only_after_the_vote(api: httpx.Client) -> None:
    conversation, reply = chat(api)
    pair = said(api.post(f"/replies/{reply}/compare"), 202)
    (hidden,) = {pair["left"]["id"], pair["right"]["id"]} - {reply}
    watched(api, hidden)
    before = said(api.get(f"/comparisons/{pair['id']}"))
    assert "scripted" not in json.dumps(before)
    assert "blind" in said(api.get(f"/replies/{hidden}"), 409)["error"]["message"]
    after = said(api.put(f"/comparisons/{pair['id']}/vote", json={"verdict": "both_bad"}))
    assert after["verdict"] == "both_bad"
    assert after["left"]["record"]["model_version"]["name"] == "scripted"
    assert len(thread(api, conversation)[1]["branches"]) == 2
    assert said(api.put(f"/comparisons/{pair['id']}/vote", json={"verdict": "left"}))["verdict"] == "left"
    assert said(api.delete(f"/comparisons/{pair['id']}/vote"))["verdict"] is None


def test_a_vote_waits_for_both_replies(api: httpx.Client, engine: ScriptedEngine) -> None:
    _, reply = chat(api)
    engine.hold()
    pair = said(api.post(f"/replies/{reply}/compare"), 202)
    early = api.put(f"/comparisons/{pair['id']}/vote", json={"verdict": "left"})
    assert "finished" in said(early, 409)["error"]["message"]
    engine.go_on()


def test_the_status_says_who_answers_and_who_asks(api: httpx.Client) -> None:
    status = said(api.get("/status"))
    assert (status["champion"]["name"], status["engine"], status["device"]) == (
        "scripted",
        "scripted",
        "A test.",
    )
    assert status["user"]["roles"] == ["chatter", "engineer", "labeller", "operator"]
    names = [one["name"] for one in said(api.get("/strategies"))["strategies"]]
    assert names[0] == "zero-shot"
    assert {"few-shot", "chain-of-thought", "chain", "meta"} <= set(names)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": ""},
        {"content": "   "},
        {"content": "x" * 40_000},
        {"content": "a", "unknown": 1},
        {"content": "a", "settings": {"temperature": 9}},
        {"content": "a", "settings": {"top_p": 0}},
        {"content": "a", "settings": {"max_tokens": 0}},
        {"content": "a", "settings": {"seed": -1}},
        {"content": "a", "settings": {"strategy": "x" * 100}},
    ],
)
def test_a_message_that_cannot_be_is_refused_in_the_one_shape(
    api: httpx.Client, body: dict[str, Any]
) -> None:
    conversation = said(api.post("/conversations", json={}), 201)["id"]
    error = said(api.post(f"/conversations/{conversation}/messages", json=body), 422)["error"]
    assert set(error) == {"message", "what", "why", "todo"}
    assert thread(api, conversation) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/conversations/c_none"),
        ("GET", "/replies/m_none"),
        ("GET", "/replies/m_none/events"),
        ("POST", "/messages/m_none/select"),
        ("GET", "/comparisons/cmp_none"),
        ("GET", "/no/such/route"),
    ],
)
def test_what_is_not_there_is_404_with_a_sentence(api: httpx.Client, method: str, path: str) -> None:
    assert said(api.request(method, path), 404)["error"]["message"]


def test_a_handler_that_breaks_shows_no_traceback(api: httpx.Client, store: Store) -> None:
    _, reply = chat(api)
    store.execute("DROP TABLE ratings")
    answer = api.put(f"/replies/{reply}/rating", json={"value": 1})
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert answer.json()["error"]["what"]


def test_who_leaves_before_the_answer_is_no_error_of_the_server(store: Store, engine: ScriptedEngine) -> None:
    app = make_app(Turns(store, engine), Access(store), Site(), [])
    told: list[Any] = []

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def noted(message: Any) -> None:
        told.append(message)

    request = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/api/status",
        "raw_path": b"/api/status", "query_string": b"", "headers": [(b"host", b"127.0.0.1")],
        "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    with ThreadPoolExecutor(1) as pool:  # a browser of other tests may have a loop open here
        pool.submit(lambda: asyncio.run(app(request, gone, noted))).result()
    assert told[0]["status"] == 200
