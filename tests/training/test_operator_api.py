"""The API for operators, over a real socket: freeze, train, judge, promote, roll back; and the docs page."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from assistant.accounts import Access
from assistant.base import Base, BaseChoice
from assistant.engines.torch_engine import TorchEngine
from assistant.server import Site, make_app
from assistant.turns import Turns
from feedback import audit, datasets
from feedback.datasets import Answered, Dataset
from feedback.home import Home
from feedback.ids import LOCAL_USER
from feedback.message import Turn
from tests import training_ground
from tests.scripted import serving
from tests.training_ground import Ground
from training import api as operator_api
from training import runs
from training.api import Shop
from training.jobs import Jobs

QUICK = {
    "epochs": 1, "batch": 2, "accumulation": 2, "learning_rate": 1e-3, "lora_rank": 4, "lora_alpha": 8,
    "evaluate": False,
}  # fmt: skip


@pytest.fixture
def ground(home: Home, tiny_base: Base) -> Ground:
    return training_ground.ground(home, tiny_base)


@pytest.fixture
def api(ground: Ground) -> Iterator[httpx.Client]:
    engine = TorchEngine(ground.base, ground.home)
    shop = Shop(ground.home, BaseChoice(str(ground.base.folder), "none"), Jobs())
    routers = [operator_api.router(shop)]
    app = make_app(Turns(ground.store, engine), Access(ground.store), Site(), [], routers)
    with serving(app) as address, httpx.Client(base_url=f"{address}/api", timeout=60) as client:
        yield client
    engine.close()


def said(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def until(api: httpx.Client, path: str, ready: Any) -> Any:
    """What GET path says once `ready` of it."""
    deadline = time.monotonic() + training_ground.WAIT_S
    while time.monotonic() < deadline:
        if ready(now := said(api.get(path))):
            return now
        time.sleep(0.2)
    raise AssertionError(f"{path}: {now}")


def test_the_whole_circle_from_votes_to_a_rollback(api: httpx.Client, ground: Ground) -> None:
    snapshot = said(api.post("/snapshots"), 201)
    assert snapshot["id"] == ground.snapshot.id
    assert len(said(api.get("/snapshots/latest"))["train"]) == snapshot["train_pairs"]
    run = said(api.post("/runs", json={"snapshot": snapshot["id"], "settings": QUICK}), 201)["run"]
    done = until(api, f"/runs/{run['id']}", lambda now: now["run"]["ended_at"])
    assert done["run"]["state"] == "done", said(api.get(f"/runs/{run['id']}/log"))["log"]
    assert {"loss"} <= {point["name"] for point in done["metrics"]}
    assert said(api.get("/runs/latest/log"))["run_id"] == run["id"]
    candidate = done["run"]["candidate_id"]

    assert api.get(f"/gate/{candidate}").status_code == 404
    said(api.post(f"/gate/{candidate}"), 202)
    job = until(api, "/job", lambda now: not now["job"]["running"])["job"]
    assert not job["failed"], job
    report = said(api.get(f"/gate/{candidate}"))["report"]
    assert report["verdict"] in ("pass", "fail", "not_enough_evidence")
    assert report["checks"]

    if report["verdict"] != "pass":
        assert api.post("/promotions", json={"candidate": candidate}).status_code == 409
    why = "It is a test of the API."
    moved = said(api.post("/promotions", json={"candidate": candidate, "override": why}), 201)
    assert said(api.get("/models"))["champion"] == moved["champion"]
    assert said(api.post("/promotions/rollback"), 201)["champion"] == ground.champion.name
    assert api.post("/promotions/rollback").status_code == 409
    assert [one["kind"] for one in said(api.get("/models"))["promotions"]] == ["rollback", "promote", "first"]


def test_a_run_is_cancelled_and_resumed(api: httpx.Client) -> None:
    run = said(api.post("/runs", json={"settings": QUICK | {"epochs": 50}}), 201)["run"]["id"]
    said(api.post(f"/runs/{run}/cancel"))
    until(api, f"/runs/{run}", lambda now: now["run"]["state"] == "cancelled")
    said(api.post(f"/runs/{run}/resume"))
    assert said(api.get("/runs"))["runs"][0]["state"] in ("queued", "running")
    said(api.post(f"/runs/{run}/cancel"))
    until(api, f"/runs/{run}", lambda now: now["run"]["ended_at"])


def test_a_run_is_repeated_once_it_is_over_and_the_answer_says_whether_the_numbers_are_the_same(
    api: httpx.Client, ground: Ground
) -> None:
    first = said(api.post("/runs", json={"settings": QUICK | {"max_steps": 2}}), 201)["run"]["id"]
    assert "It is " in said(api.post(f"/runs/{first}/repeat"), 409)["error"]["why"]
    assert until(api, f"/runs/{first}", lambda now: now["run"]["ended_at"])["repetition"] is None
    again = said(api.post(f"/runs/{first}/repeat"), 201)["run"]
    assert again["repeats_id"] == first
    (made,) = [one for one in audit.entries(ground.store) if one.subject_id == again["id"]]
    assert (made.action, made.detail["repeats"]) == ("run.create", first)
    done = until(api, f"/runs/{again['id']}", lambda now: now["run"]["ended_at"])
    assert done["repetition"]["same"], done["repetition"]
    assert f"It repeats {first} exactly" in done["repetition"]["sentence"]
    assert said(api.post("/runs/r_nothing/repeat"), 404)["error"]["what"]


def of_answers(ground: Ground, count: int) -> Dataset:
    asked = [Answered((Turn("user", f"What is {n} and {n}?"),), str(2 * n)) for n in range(count)]
    return datasets.freeze_answers(ground.store, ground.home, LOCAL_USER, "asked.jsonl", asked)


def test_a_run_learns_from_a_dataset(api: httpx.Client, ground: Ground) -> None:
    assert said(api.get("/datasets")) == {"datasets": []}
    assert "no dataset of answers" in said(
        api.post("/runs", json={"recipe": "sft", "data": "latest"}), 404)["error"]["what"]  # fmt: skip
    dataset = of_answers(ground, 12)
    (known,) = said(api.get("/datasets"))["datasets"]
    assert (known["id"], known["kind"], known["rows"]) == (dataset.id, "answers", 12)
    order = {"recipe": "sft", "data": "latest", "settings": QUICK | {"max_steps": 2}}
    run = said(api.post("/runs", json=order), 201)["run"]
    assert (run["dataset_id"], run["snapshot_id"]) == (dataset.id, None)
    done = until(api, f"/runs/{run['id']}", lambda now: now["run"]["ended_at"])["run"]
    assert done["state"] == "done", said(api.get(f"/runs/{run['id']}/log"))["log"]
    for wrong, why in (
        ({"recipe": "dpo", "data": "latest"}, "It learns from pairs"),
        ({"recipe": "clm", "data": dataset.id}, "holds answers"),
        ({"recipe": "sft", "data": dataset.id, "snapshot": "latest"}, "not from both"),
    ):
        assert why in said(api.post("/runs", json=wrong), 400)["error"]["message"]
    assert [one["id"] for one in said(api.get("/runs"))["runs"]] == [run["id"]]


def test_a_run_whose_data_are_gone_is_not_repeated(api: httpx.Client, ground: Ground) -> None:
    dataset = of_answers(ground, 1)
    read = runs.create(ground.store, LOCAL_USER, replace(ground.recipe, method="sft"), dataset.id)
    runs.cancel(ground.store, LOCAL_USER, read.id)
    (ground.home.datasets / f"{dataset.id}.jsonl").unlink()
    assert "cannot be read" in said(api.post(f"/runs/{read.id}/repeat"), 409)["error"]["why"]
    assert [run["id"] for run in said(api.get("/runs"))["runs"]] == [read.id]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"recipe": "/etc/passwd"}, 404),
        ({"settings": {"model": "/tmp"}}, 400),
        ({"settings": {"learning_rat": 1}}, 400),
        ({"settings": {"epochs": -1}}, 400),
        ({"settings": {"centre": 0.5}}, 400),
        ({"snapshot": "s_nothing"}, 404),
        ({"recipe": "sft", "data": "d_nothing"}, 404),
        ({"colour": "blue"}, 422),
    ],
)
def test_a_run_that_cannot_be_is_refused_with_a_sentence(
    api: httpx.Client, body: dict[str, Any], status: int
) -> None:
    assert said(api.post("/runs", json=body), status)["error"]["message"]
    assert said(api.get("/runs"))["runs"] == []


def test_what_is_not_there_is_a_404(api: httpx.Client) -> None:
    for path in ("/snapshots/s_x", "/runs/r_x", "/runs/r_x/log", "/gate/nobody"):
        assert said(api.get(path), 404)["error"]["what"]
    assert said(api.get("/job")) == {"job": None}


def test_the_docs_page_shows_every_route_and_loads_nothing(api: httpx.Client) -> None:
    page = api.get("/docs").text
    schema = said(api.get("/openapi.json"))
    for path, methods in schema["paths"].items():
        for method in methods:
            assert f'<span class="method">{method.upper()}</span> {path}<' in page
    assert not re.search(r"<script|<link|src=|@import|url\(", page)
    assert "/api/runs" in schema["paths"]
    assert all(one.get("description") for methods in schema["paths"].values() for one in methods.values())


def address_of(api: httpx.Client, path: str) -> str:
    """Where `path` of the description is, a strategy in place of a name, and some id of other parameters."""
    return str(api.base_url).removesuffix("/api/") + re.sub(
        r"{\w+}", "x", path.replace("{name}", "zero-shot")
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("post", "/v1/chat/completions", 400), ("post", "/api/votes", 422), ("get", "/api/runs/{run_id}", 404)],
)
def test_the_description_says_how_a_refusal_looks(
    api: httpx.Client, method: str, path: str, status: int
) -> None:
    schema = said(api.get("/openapi.json"))
    told = schema["paths"][path][method]["responses"][str(status)]["content"]["application/json"]
    shape = schema["components"]["schemas"][told["schema"]["$ref"].rpartition("/")[2]]
    real = said(api.request(method, address_of(api, path), json={}), status)["error"]
    assert set(real) == set(shape["properties"]["error"]["required"])


def test_the_description_says_who_may_and_by_what(api: httpx.Client) -> None:
    schema = said(api.get("/openapi.json"))
    assert set(schema["components"]["securitySchemes"]) == {"key", "login"}
    roles = {path: {one["x-hone-role"] for one in of.values()} for path, of in schema["paths"].items()}
    assert (roles["/api/runs"], roles["/v1/chat/completions"], roles["/api/docs"]) == (
        {"operator"},
        {"chatter"},
        {"any role"},
    )


def test_every_body_of_the_description_has_an_example_that_its_route_takes(api: httpx.Client) -> None:
    schema, sent = said(api.get("/openapi.json")), 0
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if "requestBody" not in operation:
                continue
            body = operation["requestBody"]["content"]["application/json"]["schema"]
            name = body.get("anyOf", [body])[0]["$ref"].rpartition("/")[2]
            example = schema["components"]["schemas"][name]["examples"][0]
            answer = api.request(method, address_of(api, path), json=example)
            assert answer.status_code in (200, 201, 202, 404), f"{method} {path}: {answer.text}"
            sent += 1
    assert sent > 20
