"""Labelling through the API: blind tasks, rankings, skips and a step back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from assistant.accounts import Access
from assistant.server import Site, make_app
from assistant.turns import Turns
from feedback import label, pairs
from feedback.store import Store
from tests.scripted import ScriptedEngine, answering, serving

CHAT = "/v1/chat/completions"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return answering(tmp_path, ScriptedEngine())


@pytest.fixture
def api(store: Store) -> Iterator[httpx.Client]:
    engine = ScriptedEngine("Reply SEED")
    app = make_app(Turns(store, engine), Access(store), Site(), [])
    with serving(app) as address, httpx.Client(base_url=address, timeout=20) as client:
        for question in ("What is tea?", "What is ink?"):
            messages = [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": question},
            ]
            assert client.post(CHAT, json={"messages": messages, "n": 3, "seed": 1}).status_code == 200
        assert label.enqueue_branches(store) == 2
        yield client


def said(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_task_is_shown_blind_ranked_and_taken_back(api: httpx.Client, store: Store) -> None:
    shown = said(api.get("/api/tasks/next"))
    task = shown["task"]
    assert shown["progress"] == {"done": 0, "skipped": 0, "open": 2}
    assert (task["system_text"], task["turns"]) == (
        "Be brief.",
        [{"role": "user", "content": "What is tea?"}],
    )
    assert {frozenset(reply) for reply in task["replies"]} == {frozenset(("id", "content"))}
    replies = [reply["id"] for reply in task["replies"]]
    ranking = {"replies": replies, "ranks": [1, 2, 2]}
    assert said(api.put(f"/api/tasks/{task['id']}/ranking", json=ranking))["progress"]["done"] == 1
    assert len(pairs.from_store(store).pairs) == 2
    assert said(api.get("/api/tasks/next"))["task"]["turns"][0]["content"] == "What is ink?"
    assert said(api.post("/api/tasks/undo"))["task_id"] == task["id"]
    assert pairs.from_store(store).pairs == ()
    assert said(api.get(f"/api/tasks/{task['id']}"))["task"] == task


def test_all_bad_is_a_ranking_and_a_skip_needs_a_reason(api: httpx.Client) -> None:
    task = said(api.get("/api/tasks/next"))["task"]
    ids = [reply["id"] for reply in task["replies"]]
    said(api.put(f"/api/tasks/{task['id']}/skip", json={"reason": " "}), 422)
    said(api.put(f"/api/tasks/{task['id']}/skip", json={"reason": "not sure"}))
    other = said(api.get("/api/tasks/next"))["task"]
    said(api.put(f"/api/tasks/{other['id']}/ranking", json={"replies": ids, "ranks": None}), 400)
    ids = [reply["id"] for reply in other["replies"]]
    done = said(api.put(f"/api/tasks/{other['id']}/ranking", json={"replies": ids, "ranks": None}))
    assert done["progress"] == {"done": 1, "skipped": 1, "open": 0}
    assert said(api.get("/api/tasks/next"))["task"] is None
    said(api.get("/api/tasks/t_nothing"), 404)
