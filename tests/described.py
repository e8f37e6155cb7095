"""Whether a server's answers are as its description says: each is held against the schema of its route.

Stricter than the description in one thing: an answer has no field that its schema does not name.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from fastapi import FastAPI
from jsonschema import Draft202012Validator

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Described:
    """An app whose JSON answers under /api and /v1 are held against its own description as they leave.

    `wrong`: what did not fit, a sentence each. `held`: (method, path, status) of what was looked at.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._schema = _schema_of(app)
        self.wrong: list[str] = []
        self.held: set[tuple[str, str, str]] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(("/api/", "/v1/")):
            await self._app(scope, receive, send)
            return
        began: Message = {}
        body = bytearray()

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                began.update(message)
            elif dict(began["headers"]).get(b"content-type") == b"application/json":
                body.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, sent)
        if body:
            self._hold(scope["method"], scope["path"], began["status"], json.loads(body))

    def _hold(self, method: str, path: str, status: int, answer: Any) -> None:
        for template, operations in self._schema["paths"].items():
            operation = operations.get(method.lower())
            if operation and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
                told = operation["responses"]
                content = told.get(str(status), told["default"])["content"]
                schema = content.get("application/json", {}).get("schema", False)
                self.held.add((method, template, str(status)))
                found = misfits(schema, answer, self._schema)
                self.wrong += (f"{method} {path} {status}: {one}" for one in found)
                return


_SCHEMAS: dict[tuple[tuple[str, ...], ...], Any] = {}
"""By an app's routes: many tests serve the same ones, and to describe them takes a fifth of a second."""


def _schema_of(app: FastAPI) -> Any:
    routes = tuple(
        (getattr(route, "path", ""), *sorted(getattr(route, "methods", None) or ())) for route in app.routes
    )
    if routes not in _SCHEMAS:
        _SCHEMAS[routes] = closed(app.openapi())
    return _SCHEMAS[routes]


def closed(schema: Any) -> Any:
    """The same schema, in which no object has a field without a name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(one) for key, one in schema.items()}
    return made | {"additionalProperties": False} if isinstance(made.get("properties"), dict) else made


def misfits(schema: dict[str, Any] | bool, answer: Any, whole: dict[str, Any]) -> Iterator[str]:
    """Where `answer` does not fit `schema`, which points into `whole`; False: nothing fits."""
    validator = Draft202012Validator({"allOf": [schema], "components": whole["components"]})
    for error in validator.iter_errors(answer):
        yield f"{error.json_path}: {error.message[:300]}"
