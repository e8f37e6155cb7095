"""The description of the whole API: what each route answers with; and that tests hold answers against it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from assistant import api, openai_api
from assistant.base import BaseChoice
from assistant.described import describe
from feedback.home import Home
from tests.scripted import serving
from training import api as operator_api
from training.api import Shop
from training.jobs import Jobs

STREAMS = {
    ("post", "/v1/chat/completions"),
    ("post", "/v1/completions"),
    ("get", "/api/replies/{reply_id}/events"),
    ("post", "/api/prompt-tries"),
}
FILES = {
    ("get", "/api/docs"): "text/html",
    ("get", "/api/classifiers/{name}/report"): "text/html",
    ("get", "/api/prompt-versions/{version}/export"): "application/zip",
    ("get", "/api/prompt-archive"): "application/zip",
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    app = FastAPI()
    operate = operator_api.router(Shop(Home(Path("nowhere")), BaseChoice(), Jobs()))
    for router in (openai_api.router(), api.router, operate):
        app.include_router(router)
    return describe(app)


def answers(schema: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """(method, path) -> content by its type, of every good answer."""
    return {
        (method, path): answer["content"]
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        for status, answer in operation["responses"].items()
        if status.startswith("2")
    }


def named(schema: dict[str, Any], about: dict[str, Any]) -> list[dict[str, Any]]:
    """The shapes that an answer may have."""
    if "$ref" in about:
        return [schema["components"]["schemas"][about["$ref"].rpartition("/")[2]]]
    return [shape for one in about["anyOf"] for shape in named(schema, one)]


def test_every_answer_in_json_has_a_schema_with_named_fields(schema: dict[str, Any]) -> None:
    found = answers(schema)
    for route, content in found.items():
        if "application/json" in content:
            for shape in named(schema, content["application/json"]["schema"]):
                assert shape["properties"], route
                assert set(shape["required"]) == set(shape["properties"]), route
    assert sum("application/json" in content for content in found.values()) > 60
    assert not any("_" in name or "-" in name for name in schema["components"]["schemas"])


def test_what_is_no_json_says_what_it_is_and_a_stream_shows_an_event(schema: dict[str, Any]) -> None:
    found = answers(schema)
    others = {route: kind for route, content in found.items() for kind in content if "json" not in kind}
    assert others == FILES | dict.fromkeys(STREAMS, "text/event-stream")
    for route in STREAMS:
        events = found[route]["text/event-stream"]["example"].strip().split("\n\n")
        said = [line.removeprefix("data: ") for event in events for line in event.split("\n")[-1:]]
        assert all(json.loads(data) for data in said if data != "[DONE]")


def test_a_route_that_always_refuses_is_described_by_its_refusal_alone(schema: dict[str, Any]) -> None:
    responses = schema["paths"]["/v1/embeddings"]["post"]["responses"]
    assert set(responses) == {"401", "403", "404", "default"}
    assert "schema" in responses["404"]["content"]["application/json"]


@dataclass(frozen=True)
class Rope:
    length_m: float


@pytest.mark.parametrize(
    "answer", [{}, {"length_m": "two"}, {"length_m": 2.0, "colour": "blue"}, [], {"length_m": None}]
)
def test_an_answer_that_is_not_as_described_fails_the_test_that_receives_it(answer: Any) -> None:
    app = FastAPI()

    @app.get("/api/rope", response_model=Rope, responses={"default": {"content": {}}})
    def rope(whole: bool = False) -> Any:
        return Rope(2.0) if whole else JSONResponse(answer)

    with serving(app) as address:
        assert httpx.get(f"{address}/api/rope?whole=1").json() == {"length_m": 2.0}
    with pytest.raises(AssertionError, match="GET /api/rope 200"), serving(app) as address:
        httpx.get(f"{address}/api/rope")
