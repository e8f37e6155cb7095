"""The API described for programs: what FastAPI reads from the routes, and what it cannot know.

Who may use a route, how one shows who one is, and errors in the shapes that they really have. Pure.
"""

import json
import re
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from assistant.accounts import COOKIE
from assistant.problems import is_openai

ABOUT = (
    "OpenAI's API under /v1, Hone's own under /api. Programs send `Authorization: Bearer KEY`, with a key"
    " from `hone keys add`; a server on one's own machine without accounts asks for none. The role that a"
    " route needs is in `x-hone-role`."
)
TEXT, TEXT_OR_NULL = {"type": "string"}, {"type": ["string", "null"]}
ERRORS: dict[str, dict[str, Any]] = {
    "OpenAIError": {"message": TEXT, "type": TEXT, "param": TEXT_OR_NULL, "code": TEXT_OR_NULL},
    "HoneError": {"message": TEXT, "what": TEXT, "why": TEXT, "todo": TEXT},
}
"""Name of an error's shape -> its fields, as `problems` writes them."""


def describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 of all routes of `app` that are for programs."""
    schema = get_openapi(title="Hone", version=version("hone"), description=ABOUT, routes=app.routes)
    parts = schema.setdefault("components", {})
    shapes = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # what FastAPI would say; Hone says it otherwise
        shapes.pop(name, None)
    shapes |= {name: _error(fields) for name, fields in ERRORS.items()}
    parts["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key from `hone keys add`."},
        "login": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "What /login sets."},
    }
    schema["security"] = [{"key": []}, {"login": []}]
    sent = _bodies(schema["paths"], shapes)
    for name in shapes.keys() - sent:  # of an answer every field is there, also one that has a default
        shapes[name]["required"] = list(shapes[name].get("properties", ()))
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            operation["x-hone-role"] = who = _role(operation)
            operation["responses"].pop("422", None)
            operation["responses"] |= _refusals(path, who, operation)
    return schema


def _bodies(paths: dict[str, Any], shapes: dict[str, Any]) -> set[str]:
    """The names of the shapes that are sent, those within others too."""
    found: set[str] = set()
    asked = [one.get("requestBody") for methods in paths.values() for one in methods.values()]
    while new := set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(asked))) - found:
        found |= new
        asked = [shapes[name] for name in new]
    return found


def _role(operation: dict[str, Any]) -> str:
    """chatter, labeller, engineer or operator; "any role" where whoever may come in at all may."""
    return str(operation["tags"][0]).lower().replace("openai", "chatter")


def _refusals(path: str, who: str, operation: dict[str, Any]) -> dict[str, Any]:
    """Status -> when, for the errors that the route of `operation` can give."""
    refusals = {"401": "The key opens nothing, or there is neither key nor login."}
    if who != "any role":
        refusals["403"] = f"The person or the key lacks the role {who}."
    if "{" in path or "404" in operation["responses"]:
        refusals["404"] = "It is not there, or not this person's."
    if "requestBody" in operation or "parameters" in operation:
        refusals["400" if is_openai(path) else "422"] = "What was sent is not valid; the message names it."
    refusals["default"] = "Any other error, in the same shape; 503 says in Retry-After when to come again."
    shape = {"$ref": f"#/components/schemas/{'OpenAIError' if is_openai(path) else 'HoneError'}"}
    content = {"application/json": {"schema": shape}}
    return {status: {"description": when, "content": content} for status, when in refusals.items()}


def _error(fields: dict[str, Any]) -> dict[str, Any]:
    error = {"type": "object", "properties": fields, "required": list(fields)}
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}
