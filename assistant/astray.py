"""Requests of programs that no route can take: each is told what it lacks.

Knows HTTP and the description of the routes that there are; `server` asks the router last.
"""

import json
import re

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from assistant.problems import MethodError, ParameterError
from feedback.errors import NotFoundError

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
BASELESS = ("/chat/completions", "/completions", "/models")
"""What a client of OpenAI's API asks for whose base URL lacks the /v1."""
REST = (*(f"{top}{end}" for top in ("/api", "/v1") for end in ("", "/{path:path}")), *BASELESS)

router = APIRouter(include_in_schema=False)


def no_such_route(request: Request) -> Response:
    path = request.url.path[:200]
    if path in BASELESS:
        raise NotFoundError(f"There is no {path} here.", todo=f"Use /v1{path}: the base URL ends in /v1.")
    allowed = [
        method.upper()
        for template, methods in request.app.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path)
        for method in methods
    ]
    if allowed:
        raise MethodError(request.method, path, allowed)
    raise NotFoundError(f"The API has no route {path}.", todo="GET /api/docs shows all there are.")


async def check_text(request: Request) -> None:
    """ParameterError for a body with half a pair of surrogates, which JSON can write and no file can keep."""
    try:
        body = await request.body()
    except ClientDisconnect:
        return  # who asked has gone, as a browser does that leaves the page; nobody hears what is wrong
    if not re.search(rb"\\u[dD][89a-fA-F]", body):
        return
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ParameterError(
            "", f"The request's body has half a character, {half}, without the other."
        ) from error


for path in REST:
    router.add_api_route(path, no_such_route, methods=METHODS)
