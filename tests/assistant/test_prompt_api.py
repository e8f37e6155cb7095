"""The prompt library over a real socket: saved, compared, looked at, tried, put in production, taken back."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from assistant import registry
from assistant.accounts import Access
from assistant.engines.interface import Completion, Request
from assistant.server import Site, make_app
from assistant.turns import Turns
from feedback.duels import Maker
from feedback.store import Store
from tests.prompts.ground import NAME, add, model, source, vote
from tests.scripted import ScriptedEngine, answering, serving, version


class Batching(ScriptedEngine):
    """Each reply of a batch says something of its own."""

    def batch(self, requests: list[Request], on_progress: object = None) -> list[Completion]:
        self.requests += requests
        return [Completion(f"Reply {request.sampling.seed}.", 2, "stop") for request in requests]


@pytest.fixture
def engine() -> ScriptedEngine:
    return Batching("The sky is blue.")


@pytest.fixture
def store(tmp_path: Path, engine: ScriptedEngine) -> Store:
    return answering(tmp_path, engine)


@pytest.fixture
def api(store: Store, engine: ScriptedEngine) -> Iterator[httpx.Client]:
    app = make_app(Turns(store, engine), Access(store), Site(), [])
    with serving(app) as address, httpx.Client(base_url=f"{address}/api", timeout=20) as client:
        yield client


def said(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def saved(api: httpx.Client, told: str, **more: Any) -> str:
    body = {"files": source(said=told), **more}
    return str(said(api.post(f"/prompts/{NAME}/versions", json=body), 201)["id"])


def test_a_version_is_saved_compared_put_in_production_and_taken_back(api: httpx.Client) -> None:
    first = saved(api, "Be brief.")
    second = saved(api, "Be kind.", note="kinder", parent=first)
    assert said(api.put(f"/prompts/{NAME}/production", json={"version": first}))["production"] == first
    moved = said(api.put(f"/prompts/{NAME}/production", json={"version": f"{NAME}@draft", "note": "better"}))
    assert (moved["before"], moved["production"]) == (first, second)
    told = said(api.get(f"/prompts/{NAME}"))
    assert (told["production"], told["draft"], told["count"], told["can_go_back"]) == (
        second,
        second,
        2,
        True,
    )
    assert [one["id"] for one in told["versions"]] == [second, first]
    read = said(api.get(f"/prompt-versions/{second}"))
    assert (read["files"], read["labels"]) == (source(said="Be kind."), ["draft", "production"])
    assert [move["note"] for move in told["moves"]] == ["better", ""]
    assert told["versions"][0]["parent_id"] == first
    changes = said(api.get(f"/prompt-versions/{first}/diff/{second}"))
    assert '+{% message "system" %}Be kind.{% endmessage %}' in changes["unified"]
    assert said(api.post(f"/prompts/{NAME}/production/back", json={"note": "no"}))["production"] == first
    names = {one["name"]: one for one in said(api.get("/prompts"))["strategies"]}
    assert names[NAME]["production"] == first
    assert names["zero-shot"]["title"] == "Zero-shot"


def test_a_version_that_is_put_in_production_is_offered_to_chats_at_once(api: httpx.Client) -> None:
    saved(api, "Be brief.")
    names = [one["name"] for one in said(api.get("/strategies"))["strategies"]]
    assert NAME not in names
    said(api.put(f"/prompts/{NAME}/production", json={"version": f"{NAME}@draft"}))
    assert NAME in [one["name"] for one in said(api.get("/strategies"))["strategies"]]


def test_a_bad_source_is_refused_with_file_and_line(api: httpx.Client) -> None:
    files = {f"{NAME}.jinja": source()[f"{NAME}.jinja"].replace("{{ question }}", "{{ q }}")}
    error = said(api.post(f"/prompts/{NAME}/versions", json={"files": files}), 400)["error"]["message"]
    assert "answers.jinja cannot be used. Line " in error
    problem = said(api.post("/prompt-checks", json={"name": NAME, "files": files}))["problem"]
    assert (problem["file"], problem["line"]) == ("answers.jinja", 7)
    assert said(api.post("/prompt-checks", json={"name": NAME, "files": source()}))["problem"] is None


def test_an_export_can_be_imported_again(api: httpx.Client) -> None:
    first = saved(api, "Be brief.")
    answer = api.get(f"/prompt-versions/{first}/export")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert files == source(said="Be brief.")
    assert said(api.post(f"/prompts/{NAME}/versions", json={"files": files}), 201)["id"] == first
    with zipfile.ZipFile(io.BytesIO(api.get("/prompt-archive").content)) as archive:
        assert {"zero-shot.jinja", "chain/strategy.yaml"} <= set(archive.namelist())


def test_a_preview_shows_the_tokens_of_what_is_saved_or_not(
    api: httpx.Client, engine: ScriptedEngine
) -> None:
    told = said(api.post("/prompt-previews", json={"version": "few-shot", "question": "Why?"}))
    (step,) = told["steps"]
    assert "".join(token["text"] for token in step["tokens"]) == step["text"]
    assert sum(step["counts"].values()) == step["count"]
    body = {"name": NAME, "files": source(said="Be odd."), "question": "Why?"}
    unsaved = said(api.post("/prompt-previews", json=body))
    assert "Be odd." in unsaved["steps"][0]["text"]
    assert unsaved["version"] == "unsaved"
    said(api.post("/prompt-previews", json=body | {"version": "few-shot"}), 422)
    said(api.post("/prompt-previews", json={"question": "Why?"}), 422)
    assert engine.requests == []


def tried(api: httpx.Client, **body: Any) -> list[list[dict[str, Any]]]:
    with api.stream("POST", "/prompt-tries", json=body) as stream:
        assert stream.status_code == 200, stream.read()
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_two_versions_answer_side_by_side_and_nothing_is_kept(
    api: httpx.Client, store: Store, engine: ScriptedEngine
) -> None:
    first, second = saved(api, "Be brief."), saved(api, "Be kind.")
    states = tried(api, versions=[first, second], question="Why?", settings={"temperature": 0.1})
    assert [side["version"] for side in states[-1]] == [first, second]
    assert {(side["status"], side["content"]) for side in states[-1]} == {("complete", "The sky is blue.")}
    prompts = sorted(request.prompt for request in engine.requests)
    assert ["Be brief." in prompts[0], "Be kind." in prompts[1]] == [True, True]
    assert len({request.sampling.seed for request in engine.requests}) == 1
    assert {request.sampling.temperature for request in engine.requests} == {0.1}
    assert store.rows("SELECT id FROM messages") == []


def test_a_try_ends_when_it_is_stopped_and_when_nobody_listens(
    api: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.hold()
    with api.stream("POST", "/prompt-tries", json={"versions": ["zero-shot"], "question": "Why?"}) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if '"content": "The ' in line)
        said(api.delete("/prompt-tries"))
        last = [line for line in lines if line.startswith("data: ")][-1]
    assert json.loads(last.removeprefix("data: "))[0]["status"] == "stopped"
    with api.stream("POST", "/prompt-tries", json={"versions": ["zero-shot"], "question": "Why?"}) as stream:
        next(line for line in stream.iter_lines() if line.startswith("data: "))
    until = time.monotonic() + 10
    while not engine.requests[-1].stop.is_set():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_try_that_cannot_be_is_refused_and_one_that_breaks_says_so(api: httpx.Client) -> None:
    said(api.post("/prompt-tries", json={"versions": [], "question": "Why?"}), 422)
    said(api.post("/prompt-tries", json={"versions": ["nothing"], "question": "Why?"}), 404)
    states = tried(api, versions=["zero-shot"], question="BREAK")
    assert states[-1][0]["status"] == "failed"
    assert "broke off" in states[-1][0]["error"]


def test_a_trial_runs_and_shows_how_each_version_does(api: httpx.Client, store: Store) -> None:
    first, second = add(store, "Be brief."), add(store, "Be kind.")
    said(api.put(f"/prompts/{NAME}/production", json={"version": first.id}))
    body = {"arms": [{"version": first.id, "share": 3}, {"version": second.id}], "note": "kinder?"}
    trial = said(api.post(f"/prompts/{NAME}/trial", json=body), 201)["trial"]
    assert [arm["share"] for arm in trial["arms"]] == [0.75, 0.25]
    said(api.post(f"/prompts/{NAME}/trial", json=body), 409)
    one = model(store, "one")
    for number in range(12):
        vote(store, number, Maker(second.id, one), Maker(first.id, one))
    told = said(api.get(f"/prompts/{NAME}/standings", params={"worthwhile": 0.65}))
    standing = next(each for each in told["standings"] if each["version_id"] == second.id)
    assert told["against"] == first.id
    assert standing["win_rate"]["low"] > 0.5
    assert (standing["votes_against"], standing["votes_to_go"]) == (12, 85 - 12)
    assert said(api.delete(f"/prompts/{NAME}/trial"))["trial"]["ended_by"] == "u_local"
    said(api.delete(f"/prompts/{NAME}/trial"), 404)


def test_prompt_or_retrain_says_what_the_votes_say(api: httpx.Client, store: Store) -> None:
    assert said(api.get("/prompt-or-retrain"))["report"] is None
    newer = version(store, "dpo-1")
    guessed = said(api.get("/prompt-or-retrain", params={"new": newer.name}))
    assert guessed["report"]["choice"]["old"] == registry.champion(store).id
    assert "Name one, and ask labellers" in guessed["said"]
    told = said(
        api.get("/prompt-or-retrain", params={"old": "scripted", "new": newer.name, "best": "few-shot"})
    )
    assert told["report"]["choice"]["new"] == newer.id
    assert told["said"].startswith("There is too little data.")


def test_what_is_not_there_is_said_to_be_not_there(api: httpx.Client) -> None:
    said(api.get("/prompts/nothing"), 404)
    said(api.get("/prompt-versions/pv_000000000000"), 404)
    said(api.put(f"/prompts/{NAME}/production", json={"version": "zero-shot"}), 404)
    said(api.post("/prompts/zero-shot/production/back", json={}), 409)
    said(api.post("/prompts/Bad Name/versions", json={"files": {"x.jinja": "x"}}), 400)


def test_labellers_are_asked_about_makers_and_their_ranking_counts(api: httpx.Client, store: Store) -> None:
    newer, mine = version(store, "dpo-1"), add(store, "Be brief.")
    body = {
        "questions": ["What is tea?", "What is ink?"],
        "makers": [{"version": "zero-shot"}, {"version": mine.id}, {"version": mine.id, "model": "dpo-1"}],
    }
    assert len(said(api.post("/prompt-questions", json=body), 201)["tasks"]) == 2
    task = said(api.get("/tasks/next"))["task"]
    replies = [reply["id"] for reply in task["replies"]]
    said(api.put(f"/tasks/{task['id']}/ranking", json={"replies": replies, "ranks": [1, 2, 3]}))
    makers = {
        (row["prompt_version_id"], row["model_version_id"])
        for row in store.rows("SELECT * FROM messages WHERE role = 'assistant'")
    }
    assert len(makers) == 3
    assert (mine.id, newer.id) in makers
    found = said(api.get(f"/prompts/{NAME}/standings", params={"against": "zero-shot"}))["standings"]
    assert [one["votes"] for one in found] == [1]
    refused = api.post(
        "/prompt-questions", json=body | {"makers": [{"version": "chain"}, {"version": mine.id}]}
    )
    assert "more than one plain request" in said(refused, 400)["error"]["message"]


def test_a_prompt_that_was_written_is_kept_as_a_draft_and_stays_text(api: httpx.Client) -> None:
    body = {"text": "Name {{ three }} causes.", "note": "by meta"}
    kept = said(api.post("/prompts/causes/written", json=body), 201)
    assert (kept["title"], kept["note"], kept["labels"]) == ("Name {{ three }} causes.", "by meta", ["draft"])
    shown = said(api.post("/prompt-previews", json={"version": kept["id"], "question": "Why war?"}))
    assert "Why war?\n\nName {{ three }} causes." in shown["steps"][0]["text"]
